//! Preview: what would a restore to another moment find?

use super::value::{count, instant};
use crate::console::model::Model;
use crate::console::model::preview::State;
use crate::console::widget::{Pen, Strip, blank};
use crate::domain::time;
use crate::safe;
use crate::scan::preview::{Bucket, Point, Preview, width_for};
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

/// The figures of a point, in their order.
const FIGURES: [&str; 7] = [
    "orders",
    "lost",
    "regressed",
    "undeleted",
    "in doubt",
    "orphaned",
    "bad left",
];
/// Cells of the first column of the figures.
const NAME: usize = 18;

/// Draws the histogram, the cursor on it, and what a restore to there would find.
pub fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let lines = match &model.preview.state {
        State::Never => vec![Strip::new().ours(Tone::Dim, " nobody asked yet")],
        State::Running { stage, done, total } => vec![running(stage.words(), *done, *total)],
        State::Failed(error) => failed(error, usize::from(area.width)),
        State::Ready(preview) => ready(model, preview, usize::from(area.width), usize::from(area.height)),
    };
    pen.strips(area, &lines);
}

fn running(words: &'static str, done: u64, total: u64) -> Strip<'static> {
    let share = done.saturating_mul(100).checked_div(total);
    let share = share.map_or_else(|| Safe::ours(""), |percent| safe!(" {}%", percent.min(100)));
    Strip::new()
        .ours(Tone::Text, " preview: ")
        .with(Tone::Accent, safe!("{}{}", Safe::ours(words), share))
}

fn failed(error: &crate::domain::Error, width: usize) -> Vec<Strip<'static>> {
    let mut lines = Vec::new();
    for text in std::iter::once(&error.what).chain(&error.place).chain(&error.cure) {
        let parts = Safe::of(text).wrap(width.saturating_sub(2));
        lines.extend(
            parts
                .into_iter()
                .map(|part| Strip::new().ours(Tone::Bad, " ").with(Tone::Bad, part)),
        );
    }
    lines.push(Strip::new().ours(Tone::Text, " ctrl-r tries again"));
    lines
}

/// The bars of the histogram for a screen so many cells wide.
pub fn bars(preview: &Preview, width: usize) -> Vec<Bucket> {
    let Some((first, last)) = preview.span() else {
        return Vec::new();
    };
    let most = i64::try_from(width.saturating_sub(2)).unwrap_or(i64::MAX).max(1);
    let width = width_for((first, last), most);
    let from = first.div_euclid(width) * width;
    let len = usize::try_from((last - from).div_euclid(width) + 1).unwrap_or_default();
    preview.histogram(from, width, len)
}

fn ready(model: &Model, preview: &Preview, width: usize, height: usize) -> Vec<Strip<'static>> {
    let bars = bars(preview, width);
    let (Some(at), Some(first), Some(last)) = (model.preview.at, bars.first(), bars.last()) else {
        return vec![Strip::new().ours(Tone::Warn, " no event of the log says when it happened")];
    };
    let t = model.setup.restored_to;
    let place = |moment: i64| bars.iter().position(|b| b.from <= moment && moment < b.to);
    let cursor = place(at).unwrap_or(if at < first.from { 0 } else { bars.len() - 1 });
    let rows = height.saturating_sub(13).clamp(2, 12);
    let mut lines = vec![Strip::new().ours(Tone::Heading, " preview ").with(
        Tone::Dim,
        safe!("from the log alone; a bar is {}", length(first.to - first.from)),
    )];
    lines.extend(drawn(&bars, cursor, rows));
    let mut marks = vec![(cursor, "▲", Tone::Accent)];
    marks.extend(model.setup.stopped_at.and_then(place).map(|n| (n, "S", Tone::Text)));
    marks.extend(t.and_then(place).map(|n| (n, "T", Tone::Heading)));
    lines.push(marked(bars.len(), &marks));
    let from = Strip::new().with(Tone::Dim, safe!(" {}", instant(first.from, Some(at))));
    let to = Strip::new().with(Tone::Dim, instant(last.to, Some(at)));
    lines.push(from.beside(to, (bars.len() + 1).max(22)));
    let distance = t.map_or_else(
        || Safe::ours(""),
        |t| {
            safe!(
                ", {} {}",
                length((at - t).abs()),
                Safe::ours(match at {
                    _ if at < t => "before T",
                    _ if at > t => "after T",
                    _ => "from T",
                })
            )
        },
    );
    lines.push(
        Strip::new()
            .ours(Tone::Accent, " cursor ")
            .with(Tone::Text, Safe::id(&time::format(at)).into_owned())
            .with(
                Tone::Dim,
                safe!(
                    "{}; h l move it by {}",
                    distance,
                    Safe::ours(model.preview.step.words())
                ),
            ),
    );
    lines.push(Strip::default());
    let point = preview.at(at);
    lines.push(heads());
    lines.push(figures(Safe::ours(" at the cursor"), &point, Tone::Accent));
    if let Some(t) = t {
        lines.push(figures(
            safe!(" at T {}", instant(t, Some(at))),
            &preview.at(t),
            Tone::Text,
        ));
    }
    lines.push(left(preview, &point));
    let mut said = preview.warnings_at(&point);
    said.extend(preview.warnings().iter().cloned());
    let room = height.saturating_sub(lines.len());
    let warnings = said
        .iter()
        .flat_map(|warning| Safe::of(warning).wrap(width.saturating_sub(2)));
    lines.extend(
        warnings
            .take(room)
            .map(|part| Strip::new().ours(Tone::Warn, " ").with(Tone::Warn, part)),
    );
    lines
}

/// The bars, from the top down.
fn drawn(bars: &[Bucket], cursor: usize, rows: usize) -> Vec<Strip<'static>> {
    let most = bars.iter().map(|b| b.events).max().unwrap_or(0).max(1);
    let tall = |bar: &Bucket| usize::try_from((bar.events * rows as u64).div_ceil(most)).unwrap_or(rows);
    let row = |row: usize| {
        let mut strip = Strip::new().ours(Tone::Text, " ");
        for (n, bar) in bars.iter().enumerate() {
            let full = tall(bar) >= rows - row;
            let (tone, cell) = match (full, n == cursor) {
                (true, true) => (Tone::Accent, "█"),
                (true, false) => (Tone::Dim, "█"),
                (false, true) => (Tone::Accent, "│"),
                (false, false) => (Tone::Dim, " "),
            };
            strip.add(tone, Safe::ours(cell));
        }
        strip
    };
    (0..rows).map(row).collect()
}

/// Letters under the bars; of two on one bar the first stands.
fn marked(len: usize, marks: &[(usize, &'static str, Tone)]) -> Strip<'static> {
    let mut strip = Strip::new().ours(Tone::Text, " ");
    for n in 0..len {
        match marks.iter().find(|(at, ..)| *at == n) {
            Some((_, letter, tone)) => strip.add(*tone, Safe::ours(letter)),
            None => strip.add(Tone::Dim, Safe::ours("─")),
        }
    }
    strip
}

fn heads() -> Strip<'static> {
    let mut strip = Strip::new().with(Tone::Text, blank(NAME));
    for name in FIGURES {
        strip.add(
            Tone::Heading,
            safe!(" {}", Safe::ours(name)).right(name.len().max(6) + 1),
        );
    }
    strip
}

fn figures(name: Safe<'static>, point: &Point, tone: Tone) -> Strip<'static> {
    let all = [
        point.orders,
        point.lost,
        point.regressed,
        point.undeleted,
        point.in_doubt,
        point.orphaned,
        point.bad_left,
    ];
    let mut strip = Strip::new().column(tone, name, NAME - 1).ours(Tone::Text, "");
    for (name, figure) in FIGURES.iter().zip(all) {
        let tone = match (*name, figure) {
            (_, 0) => Tone::Dim,
            ("bad left", _) => Tone::Bad,
            _ => Tone::Text,
        };
        strip.add(tone, count(figure).right(name.len().max(6) + 1));
    }
    strip
}

/// What of the bad change a restore to there would leave.
fn left(preview: &Preview, point: &Point) -> Strip<'static> {
    if !preview.knows_bad() {
        return Strip::new().ours(
            Tone::Dim,
            " bad change: none is configured, so what would be left of it is not known",
        );
    }
    if point.bad_rows == 0 {
        return Strip::new().ours(Tone::Good, " bad change: nothing of it would be left");
    }
    Strip::new().with(
        Tone::Loud,
        safe!(
            " BAD CHANGE LEFT: {} orders, {} rows; go to before it ",
            count(point.bad_left),
            count(point.bad_rows)
        ),
    )
}

/// A length of time in its two largest units.
fn length(micros: i64) -> Safe<'static> {
    let seconds = micros / 1_000_000;
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => safe!("{}s", s),
        (0, m, 0) => safe!("{}m", m),
        (0, m, s) => safe!("{}m{}s", m, s),
        (h, m, _) => safe!("{}h{}m", h, m),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture;
    use crate::console::keymap::Key;
    use crate::console::model::View;
    use crate::console::msg::Msg;
    use crate::console::update::update;
    use crate::console::widget::snapshot;
    use crate::domain::progress::Progress;
    use std::fmt::Write as _;
    use std::sync::Arc;

    const CONFIG: &str = r#"
        [incident]
        id = "test"
        [incident.bad]
        transaction = ["77"]
        [[log]]
        name = "cdc"
        path = "log.ndjson"
        format = "native"
        [schema.order]
        table = "orders"
        key = "id"
        state = "status"
        in_progress = ["Running"]
        refs = { prior_order_id = "order" }
    "#;

    /// Orders come every five seconds from seven minutes before T on, run, and are done; a batch cancels some.
    fn preview() -> Preview {
        let folder = tempfile::tempdir().unwrap();
        let mut events: Vec<(i64, String)> = Vec::new();
        let from = fixture::T - 420_000_000;
        for n in 0..380_i64 {
            let at = from + n * 5_000_000;
            let mut event = |at: i64, op: &str, tx: u8, status: &str| {
                let prior = if n % 9 == 8 {
                    (n - 1).to_string()
                } else {
                    "null".to_owned()
                };
                let ts = time::format(at);
                events.push((at, format!(
                    r#"{{"ts":"{ts}","entity":"order","key":{n},"op":"{op}","tx":"{tx}","state":{{"status":"{status}","prior_order_id":{prior}}}}}"#
                )));
            };
            event(at, "insert", 1, "New");
            event(at + 20_000_000, "upsert", 1, "Running");
            event(at + 20_000_000 + n % 50 * 3_000_000, "upsert", 1, "Done");
            if n % 7 == 0 && n < 100 {
                event(fixture::T + 90_000_000, "upsert", 77, "Cancelled");
            }
        }
        events.sort();
        let log = events.iter().fold(String::new(), |mut log, (_, line)| {
            writeln!(log, "{line}").unwrap();
            log
        });
        std::fs::write(folder.path().join("log.ndjson"), log).unwrap();
        let config = crate::config::from_text(CONFIG, "restitch.toml", folder.path()).unwrap();
        crate::job::preview(&config, &Progress::default()).unwrap()
    }

    fn press(model: &mut Model, keys: &str) {
        for key in keys.split_whitespace() {
            update(model, Msg::Key(Key::parse(key).unwrap().event(), model.now));
        }
    }

    fn model() -> Model {
        let mut model = fixture::model();
        model.view = View::Restore;
        press(&mut model, "p");
        update(&mut model, Msg::Preview(State::Ready(Arc::new(preview()))));
        model
    }

    #[test]
    fn looks_as_drawn() {
        let mut model = model();
        snapshot::check("preview-80x24", &mut model, 80, 24);
        // Two minutes on, the bad change is in it.
        press(&mut model, "down down");
        snapshot::check("preview-bad-80x24", &mut model, 80, 24);
        snapshot::check("preview-bad-160x48", &mut model, 160, 48);
    }

    #[test]
    fn the_cursor_moves_by_its_step_and_stays_within_the_log() {
        let mut model = model();
        let t = fixture::T;
        assert_eq!(model.preview.at, Some(t));
        press(&mut model, "l l h right");
        assert_eq!(model.preview.at, Some(t + 2_000_000));
        press(&mut model, "+ h");
        assert_eq!(model.preview.at, Some(t - 58_000_000));
        press(&mut model, "+ l t");
        assert_eq!(model.preview.at, Some(t));
        let (first, last) = model.preview.ready().unwrap().span().unwrap();
        press(&mut model, "g h h");
        assert_eq!(model.preview.at, Some(first - 1_000_000));
        press(&mut model, "G");
        assert_eq!(model.preview.at, Some(last));
        press(&mut model, "esc");
        assert!(!model.preview.shown);
        press(&mut model, "h");
        assert!(model.notice.as_ref().unwrap().text.contains("p opens it"));
    }

    #[test]
    fn it_says_how_far_it_is_and_what_failed() {
        let mut model = fixture::model();
        model.view = View::Restore;
        press(&mut model, "p");
        let text = |model: &mut Model| snapshot::text(&snapshot::draw(model, 80, 24)).join("\n");
        update(
            &mut model,
            Msg::Preview(State::Running {
                stage: crate::domain::progress::Stage::ReadingLog,
                done: 30,
                total: 120,
            }),
        );
        assert!(text(&mut model).contains("preview: reading the log 25%"));
        let error = crate::domain::Error::failed("the log is empty").cure("check the path");
        update(&mut model, Msg::Preview(State::Failed(error)));
        let shown = text(&mut model);
        assert!(shown.contains("the log is empty") && shown.contains("check the path") && shown.contains("ctrl-r"));
    }

    #[test]
    fn every_size_is_drawn() {
        let mut model = model();
        for (width, height) in [(30, 6), (59, 15), (60, 16), (80, 24), (100, 30), (200, 60)] {
            snapshot::draw(&mut model, width, height);
        }
    }
}
