//! Every screen at every size, and what must be readable there.

use super::{layout, view_in};
use crate::console::fixture;
use crate::console::keymap::Key;
use crate::console::model::diff::{Inside, behind};
use crate::console::model::overlay::{Layer, Overlay};
use crate::console::model::{Feed, Model, Scan, Source, View};
use crate::console::msg::Msg;
use crate::console::update::update;
use crate::console::widget::snapshot;
use crate::domain::Error;
use crate::domain::progress::Stage;
use crate::theme::{Depth, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Presses keys on a model with everything loaded, a dialog drawn in between.
fn press(model: &mut Model, keys: &[&str]) {
    for key in keys {
        model.now += 1_000_000;
        let at = model.now;
        update(model, Msg::Key(Key::parse(key).unwrap().event(), at));
        update(model, Msg::Drawn(at));
    }
}

fn with_case(file: crate::domain::queue::CaseFile) -> Model {
    let mut model = fixture::model();
    model.queue.go_to(&file.found.id);
    model.case.id = Some(file.found.id.clone());
    model.case.loaded = Some(fixture::loaded(file));
    model
}

/// The Hold view over brokers that answer, or do not.
fn followed(silent: Option<&str>) -> Model {
    let mut model = with_case(fixture::orphan());
    let mut reading = fixture::hold_reading();
    if let Some(why) = silent {
        reading.silent_since = Some(fixture::NOW);
        reading.read_at -= 41_000_000;
        reading.why = Some(why.to_owned());
    }
    model.hold = Some(reading.clock());
    model.hold_reading = Some(Box::new(reading));
    press(&mut model, &["4"]);
    model
}

/// Every screen there is, by name.
fn screens() -> Vec<(&'static str, Model)> {
    let pressed = |keys: &[&str]| {
        let mut model = with_case(fixture::orphan());
        press(&mut model, keys);
        model
    };
    let mut screens = vec![
        ("first frame", Model::new(fixture::setup(), fixture::NOW, (80, 24))),
        ("queue", with_case(fixture::orphan())),
        ("queue marked", pressed(&["space", "v", "j", "j"])),
        ("case", pressed(&["enter"])),
        ("case in full", pressed(&["enter", "+", "+"])),
        ("events", pressed(&["enter", "l"])),
        ("restore", pressed(&["1", "j", "j"])),
        ("hold", pressed(&["4"])),
        ("hold followed", followed(None)),
        ("hold silent", followed(Some("no broker answers within 10 s"))),
        ("board", pressed(&["5"])),
        ("menu", pressed(&["a"])),
        ("menu refused", pressed(&["a", "s"])),
        ("decision", pressed(&["a", "r"])),
        ("decision one-way", pressed(&["a", "c", "1"])),
        ("decision asking", pressed(&["a", "e", "s"])),
        ("note", pressed(&["i", "x"])),
        ("filter", pressed(&["/", "x"])),
        (
            "filter wrong",
            pressed(&["/", "b", "y", ":", "m", "e", "space", "w", "a", "i", "t", "s", ":"]),
        ),
        ("help", pressed(&["?", "j"])),
        ("palette", pressed(&[":", "n"])),
        ("prove", pressed(&["space", "P"])),
        ("give back", pressed(&["enter", "c"])),
    ];
    let mut done = with_case(fixture::to_do());
    press(&mut done, &["D", "x"]);
    screens.push(("done", done));
    let mut undo = with_case(fixture::to_do());
    press(&mut undo, &["u"]);
    screens.push(("undo", undo));
    let mut diff = fixture::model();
    diff.view = View::Diff;
    screens.push((
        "diff counting",
        Model {
            view: View::Diff,
            ..fixture::model()
        },
    ));
    diff.diff.groups = Some(fixture::groups());
    let key = fixture::groups()[1].key.clone();
    let rows = behind(&fixture::regressed().found, &key);
    diff.diff.inside = Some(Inside {
        key,
        rows: Some(rows),
        at: 0,
        top: 0,
    });
    screens.push(("diff rows", diff));
    let mut sad = with_case(fixture::regressed());
    let lost = |name: &str| Source {
        name: name.to_owned(),
        read_at: Some(fixture::NOW - 60_000_000),
        lost_since: Some(fixture::NOW - 41_000_000),
        late_after: 1,
    };
    sad.sources = vec![lost("restored"), lost("ledger")];
    sad.gate = Some(fixture::red_gate());
    sad.dead = vec![
        (Feed::Rows, "no answer".to_owned()),
        (Feed::Scan, "panicked".to_owned()),
    ];
    sad.scan = Scan::Running {
        stage: Stage::Comparing,
        done: 3,
        total: 9,
        since: fixture::NOW,
    };
    screens.push(("lost", sad));
    let mut message = fixture::model();
    let error = Error::failed("the ledger is full")
        .at("/var/ledger.db")
        .cure("make room, then ctrl-r");
    message.layer = Some(Layer::new(Overlay::Message(error)));
    screens.push(("message", message));
    screens
}

/// Screens that the same code draws as one of the others, with other words: they are not drawn at every size again.
const TWINS: [&str; 12] = [
    "queue",
    "case",
    "menu",
    "decision",
    "note",
    "filter",
    "prove",
    "give back",
    "done",
    "undo",
    "diff counting",
    "first frame",
];

#[test]
fn every_screen_at_every_size() {
    let theme = Theme::named("sixteen", Depth::Sixteen).unwrap();
    let screens = screens();
    for twin in TWINS {
        assert!(screens.iter().any(|(name, _)| *name == twin), "no screen {twin}");
    }
    let drawn_at = |name: &str, width: u16, height: u16| {
        !TWINS.contains(&name) || [29, 30, 60, 80, 140].contains(&width) || [5, 6, 16, 24].contains(&height)
    };
    std::thread::scope(|scope| {
        for (name, mut model) in screens {
            let (theme, drawn_at) = (&theme, &drawn_at);
            scope.spawn(move || {
                let mut buffer = Buffer::default();
                for width in 0..=200 {
                    for height in (0..=60).filter(|height| drawn_at(name, width, *height)) {
                        update(&mut model, Msg::Resize(width, height));
                        buffer.resize(Rect::new(0, 0, width, height));
                        buffer.reset();
                        view_in(&model, theme, &mut buffer);
                        let small = width < layout::LEAST.0 || height < layout::LEAST.1;
                        let drawn = small || buffer.content.iter().any(|c| c.symbol() != " ");
                        assert!(drawn, "{name} is empty at {width}x{height}");
                    }
                }
            });
        }
    });
}

/// A model may be drawn into a buffer of another size: the terminal shrinks between update and frame.
#[test]
fn a_size_that_changed_meanwhile_does_no_harm() {
    let theme = Theme::named("sixteen", Depth::Sixteen).unwrap();
    for (_, mut model) in screens() {
        for (said, real) in [
            ((160, 48), (3, 2)),
            ((80, 24), (0, 0)),
            ((20, 3), (80, 24)),
            ((200, 60), (80, 24)),
        ] {
            model.size = said;
            view_in(&model, &theme, &mut Buffer::empty(Rect::new(0, 0, real.0, real.1)));
        }
    }
}

#[test]
fn the_queue_names_its_column_and_the_claim_at_every_full_size() {
    for (width, height) in [(60, 16), (80, 24), (100, 17), (139, 30), (140, 30), (200, 60)] {
        let mut model = with_case(fixture::regressed());
        model.queue.go_to("order:92");
        let text = snapshot::text(&snapshot::draw(&mut model, width, height));
        assert!(
            text.iter().any(|l| l.trim_start().starts_with("order ")),
            "{width}x{height}"
        );
        assert!(
            text.last().unwrap().contains("c claim"),
            "{width}x{height}: {:?}",
            text.last()
        );
        model.queue.go_to("order:958");
        model.queue.patch(
            vec![crate::domain::queue::CaseRow {
                claim: None,
                ..fixture::rows()[0].clone()
            }],
            "ana",
        );
        let text = snapshot::text(&snapshot::draw(&mut model, width, height));
        assert!(
            text.last().unwrap().contains("c claim chain"),
            "{width}x{height}: {:?}",
            text.last()
        );
    }
}

#[test]
fn small_terminals_say_what_they_can() {
    let mut model = with_case(fixture::orphan());
    let text = |model: &mut Model, w, h| snapshot::text(&snapshot::draw(model, w, h));
    assert_eq!(text(&mut model, 29, 10)[0], "too small: 30x6 needed");
    assert_eq!(text(&mut model, 30, 5)[0], "too small: 30x6 needed");
    let lines = text(&mut model, 59, 16);
    assert!(lines[0].contains("SFM-12"), "the list alone: {lines:?}");
}

#[test]
fn a_lost_source_and_a_red_gate_are_on_every_view() {
    let (_, mut model) = screens().into_iter().find(|(name, _)| *name == "lost").unwrap();
    for view in View::ALL {
        model.view = view;
        let text = snapshot::text(&snapshot::draw(&mut model, 80, 24)).join("\n");
        assert!(text.contains("RED GATE: address: this is the old inst"), "{text}");
        assert!(text.contains("restored LOST 0:41"), "{text}");
        let small = snapshot::text(&snapshot::draw(&mut model, 50, 12)).join("\n");
        assert!(small.contains("RED GATE: address"), "{small}");
        assert!(text.contains("as of 14:40:07Z"), "{text}");
    }
}

#[test]
fn masked_values_and_hostile_text_are_nowhere() {
    for (name, mut model) in screens() {
        for (w, h) in [(80, 24), (160, 48)] {
            let text = snapshot::text(&snapshot::draw(&mut model, w, h)).join("\n");
            assert!(!text.contains("1555010"), "{name}: a masked value\n{text}");
        }
    }
    let mut file = fixture::regressed();
    let hostile = "A\u{1b}[2J\r\nB\u{202e}\u{0}".repeat(3);
    file.found.label.clone_from(&hostile);
    file.found.show = vec![hostile.clone()];
    file.found.family[0].entity.clone_from(&hostile);
    file.found.advice = None;
    file.notes.push(crate::domain::queue::Note {
        by: hostile.clone(),
        at: 0,
        text: hostile.clone(),
    });
    let mut model = with_case(file);
    let mut row = fixture::rows()[2].clone();
    (row.label, row.action) = (hostile.as_str().into(), hostile.as_str().into());
    model.queue.patch(vec![row], "ana");
    for keys in [
        &["down"][..],
        &["up", "enter"],
        &["l"],
        &["a"],
        &["esc", "i"],
        &["esc", "Y"],
        &["y"],
    ] {
        press(&mut model, keys);
        let buffer = snapshot::draw(&mut model, 80, 24);
        for cell in &buffer.content {
            assert!(
                !cell.symbol().chars().any(|c| c.is_control() || c == '\u{202e}'),
                "{:?}",
                cell.symbol()
            );
        }
    }
}

#[test]
fn dialogs_look_as_drawn() {
    for (name, file) in [
        ("menu", "menu-80x24"),
        ("decision", "decision-80x24"),
        ("decision one-way", "decision-one-way-80x24"),
        ("help", "help-80x24"),
        ("palette", "palette-80x24"),
        ("done", "done-80x24"),
        ("lost", "lost-80x24"),
    ] {
        let (_, mut model) = screens().into_iter().find(|(n, _)| *n == name).unwrap();
        snapshot::check(file, &mut model, 80, 24);
    }
    let (_, mut model) = screens().into_iter().find(|(n, _)| *n == "menu refused").unwrap();
    snapshot::check("menu-160x48", &mut model, 160, 48);
}

#[test]
fn a_scan_under_way_is_visible_on_every_view() {
    let mut model = fixture::model();
    model.scan = Scan::Running {
        stage: Stage::Comparing,
        done: 3,
        total: 9,
        since: fixture::NOW,
    };
    for view in View::ALL {
        model.view = view;
        for (w, h) in [(80, 24), (60, 16), (160, 48)] {
            let text = snapshot::text(&snapshot::draw(&mut model, w, h));
            assert!(
                text[..3].join("\n").contains("comparing rows 33%"),
                "{view:?} {w}x{h}: {text:?}"
            );
        }
    }
}

#[test]
fn every_view_says_after_when_nothing_is_known() {
    let mut model = fixture::model();
    let scan = match fixture::scanned() {
        Scan::Done {
            at,
            events,
            rows,
            rejected,
            warnings,
            coverage,
            back,
            ..
        } => Scan::Done {
            at,
            events,
            rows,
            rejected,
            warnings,
            coverage,
            back,
            not_known: "not known after 14:29:00Z".to_owned(),
        },
        other => other,
    };
    let _ = update(&mut model, Msg::Scan(scan));
    // The next scan does not make it known while it runs.
    let _ = update(
        &mut model,
        Msg::Scan(Scan::Running {
            stage: crate::domain::progress::Stage::ReadingLog,
            done: 1,
            total: 2,
            since: fixture::NOW,
        }),
    );
    for (width, height) in [(60, 16), (80, 24), (140, 30)] {
        for view in View::ALL {
            model.view = view;
            let text = snapshot::text(&snapshot::draw(&mut model, width, height));
            let top = text[..3].join(
                "
",
            );
            assert!(top.contains("not known after 14:29:00Z"), "{view:?} {width}: {top}");
        }
    }
}
