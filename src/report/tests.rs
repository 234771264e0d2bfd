use super::paper::{escaped, plain};
use super::sql::Dialect;
use super::*;
use crate::config::Effect;
use crate::domain::case::{State, Verb};
use crate::domain::finding::{FieldDiff, Kind, Missing};
use crate::domain::paper::{BulkAsk, Excluded, ItemState, PaperKind};
use crate::domain::queue::Decide;
use crate::ledger::tests::{Room, asking, claim, order, store};
use crate::text::Safe;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// A ledger in which something of everything happened; `msisdn` is masked.
fn worked() -> Room {
    let mut room = Room::new();
    let order_entity = &mut room.config.schema.entities[0];
    order_entity.show = vec!["account".to_owned(), "msisdn".to_owned()];
    order_entity.mask = vec!["msisdn".to_owned()];
    let mut ledger = room.open("ana");
    let mut cases: Vec<_> = (1..=6)
        .map(|n| order(&n.to_string(), &[if n % 2 == 0 { Kind::Lost } else { Kind::Regressed }]))
        .collect();
    for (n, case) in cases.iter_mut().enumerate() {
        case.show = vec![format!("=ACC-{}", n % 2), format!("1555010{n}")];
    }
    for (name, restored, log) in [("status", "Created", "Accepted"), ("msisdn", "15550101", "15550102")] {
        cases[0].findings[0].fields.push(FieldDiff {
            name: name.to_owned(),
            restored: json!(restored),
            log: json!(log),
            by: 0,
            opening: None,
            undone: false,
        });
    }
    store(&mut ledger, cases);
    for (key, verb) in (1..).zip([Verb::Keep, Verb::Reapply, Verb::Park]) {
        let id = format!("order:{key}");
        claim(&mut ledger, &[&id]);
        let reason = "<b>a | reason</b> `x`".to_owned();
        ledger
            .decide(&Decide {
                reason,
                ..asking(&id, verb)
            })
            .unwrap();
    }
    claim(&mut ledger, &["order:4"]);
    ledger.decide(&asking("order:5", Verb::Keep)).unwrap_err();
    room
}

fn told(room: &Room, ledger: &Ledger) -> Told {
    told::gather(
        &room.config,
        ledger,
        Err("nobody asked".to_owned()),
        1_795_356_300_000_000,
    )
    .unwrap()
}

fn written(room: &Room, format: Format) -> String {
    let ledger = room.open("ana");
    let told = told(room, &ledger);
    let source = Source {
        ledger: &ledger,
        config: &room.config,
        told: &told,
    };
    let mut out = String::new();
    write(source, format, &mut |text| {
        out.push_str(text);
        Ok(())
    })
    .unwrap();
    out
}

/// Beside what [`worked`] has: an effect that waits, a bulk that ended badly, a hand-over that somebody signed.
fn busy() -> Room {
    let mut room = worked();
    room.config.effects.verbs.insert(Verb::Cancel, Effect::Sql);
    let mut ana = room.open("ana");
    claim(&mut ana, &["order:5"]);
    ana.decide(&asking("order:5", Verb::Cancel)).unwrap();
    let ask = BulkAsk {
        verb: Verb::Keep,
        reason: "does no harm".to_owned(),
        reference: None,
        to: None,
        evidence: None,
        until: None,
    };
    let items = [
        ("order:1".to_owned(), String::new()),
        ("order:3".to_owned(), String::new()),
    ];
    let excluded = [Excluded {
        case: "order:6".to_owned(),
        label: "SFM-6".to_owned(),
        why: "li holds it".to_owned(),
    }];
    ana.freeze_bulk("b1", &ask, "2 marked cases", &items, &excluded)
        .unwrap();
    ana.mark_bulk("b1", 1, ItemState::Done, None).unwrap();
    ana.mark_bulk("b1", 2, ItemState::Failed, Some("<i>it is parked</i>"))
        .unwrap();
    ana.turn_bulk("b1", Some("3 failures"), "stopped").unwrap();
    let content = json!({"counts": {"open": 4}, "note": "call the customer", "cases": []});
    let paper = ana
        .write_paper(PaperKind::Handover, None, &content, Some("li"), "4 cases are open")
        .unwrap();
    room.open("li").sign(&paper, "read").unwrap();
    room
}

#[test]
fn what_left_bulks_and_papers_have_their_parts() {
    let room = busy();
    let md = written(&room, Format::Md);
    for words in [
        "## What left restitch",
        "| order:5 | cancel | ana | sql | queued |",
        "## Bulks",
        "keep of 2 cases by ana",
        "2 = 1 done, 1 failed, 0 skipped, 0 pending",
        "| order:3 | failed | \\<i\\>it is parked\\</i\\> |",
        "| order:6 | left out | li holds it |",
        "3 failures",
        "## Approvals, hand-overs, sign-off",
        "hand-over by ana, signed",
        "call the customer",
        "by li: read",
    ] {
        assert!(md.contains(words), "{words:?} is not in {md}");
    }
    let html = written(&room, Format::Html);
    for words in [
        "What left restitch",
        "li holds it",
        "hand-over by ana, signed",
        "&lt;i&gt;it is parked",
    ] {
        assert!(html.contains(words), "{words:?} is not in {html}");
    }
    let json: Json = serde_json::from_str(&written(&room, Format::Json)).unwrap();
    assert_eq!(json["effects"][0]["cases"], json!(["order:5"]));
    assert_eq!(
        (&json["effects"][0]["do"], &json["effects"][0]["state"]),
        (&json!("sql"), &json!("queued"))
    );
    assert_eq!(json["bulks"][0]["sums"]["failed"], 1);
    assert_eq!(json["bulks"][0]["items"][1]["state"], "failed");
    assert_eq!(
        (&json["papers"][0]["kind"], &json["papers"][0]["answered_by"]),
        (&json!("handover"), &json!("li"))
    );
    let quiet = written(&worked(), Format::Md);
    assert!(
        quiet.contains("every decision was written down") && quiet.contains("None: every case was decided by itself")
    );
}

#[test]
fn figures_add_up_and_are_those_of_the_queue() {
    let room = worked();
    let ledger = room.open("ana");
    let told = told(&room, &ledger);
    let counts = ledger.counts().unwrap();
    assert_eq!(told.figures.total(), counts.total());
    for state in State::ALL {
        assert_eq!(told.figures.of(state), counts.of(state), "{state:?}");
    }
    assert_eq!(told.figures.unsettled(), counts.unsettled());
    assert_eq!(told.figures.held.values().sum::<u64>(), 3);
    assert_eq!((told.found.orders, told.found.lost, told.found.regressed), (6, 3, 3));
    let shown: u64 = told.accounts.rows.iter().map(|(_, n, _)| n).sum();
    assert_eq!(shown, 6);
    let json: Json = serde_json::from_str(&written(&room, Format::Json)).unwrap();
    let figures = &json["figures"];
    let sum = |of: &Json| {
        of.as_object()
            .unwrap()
            .values()
            .map(|n| n.as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!(sum(&figures["states"]), 6);
    assert_eq!(figures["kinds"].as_object().unwrap().values().map(sum).sum::<u64>(), 6);
    assert_eq!(json["cases"].as_array().unwrap().len(), 6);
    assert_eq!(json["deeds"].as_array().unwrap().len() as u64, told.trail.lines);
    assert_eq!(json["audit"]["whole"], json!(true));
    assert_eq!(told.trail.refused(), 1);
}

#[test]
fn every_form_tells_the_decisions_and_no_masked_value() {
    let room = worked();
    for format in [Format::Md, Format::Html, Format::Json, Format::Csv] {
        let text = written(&room, format);
        assert!(!text.contains("1555010"), "{format:?}: {text}");
        for word in ["order:1", "keep", "reapply", "9911", "ACC-0", "ana", "****"] {
            let masked = format == Format::Md && word == "****";
            let word = if masked { r"\*\*\*\*" } else { word };
            assert!(text.contains(word), "{format:?} does not tell {word}: {text}");
        }
    }
    let mut lines = Vec::new();
    let ledger = room.open("ana");
    brief(&told(&room, &ledger), false, &mut |line| {
        lines.push(line.to_owned());
        Ok(())
    })
    .unwrap();
    assert_eq!(lines.len(), 5);
    assert!(lines[3].contains("held by ana 3"), "{lines:?}");
}

#[test]
fn html_is_one_file_without_a_script_or_a_place_elsewhere() {
    let html = written(&worked(), Format::Html);
    for never in ["<script", "src=", "href=", "url(", "@import", "http:", "https:", "<b>"] {
        assert!(!html.contains(never), "{never}");
    }
    // Every tag that opens closes.
    let count = |what: &str| html.matches(what).count();
    for tag in [
        "h2", "h3", "table", "tr", "td", "dl", "dd", "pre", "p", "ul", "li", "div", "main", "body", "html",
    ] {
        assert_eq!(
            count(&format!("<{tag}>")) + count(&format!("<{tag} ")),
            count(&format!("</{tag}>")),
            "{tag}"
        );
    }
}

#[test]
fn a_table_in_markdown_has_as_many_cells_as_its_head() {
    let md = written(&worked(), Format::Md);
    let bars = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut rows = 0;
    for pair in md
        .lines()
        .collect::<Vec<_>>()
        .windows(2)
        .filter(|p| p[1].starts_with('|'))
    {
        if pair[0].starts_with('|') {
            assert_eq!(bars(pair[0]), bars(pair[1]), "{} {}", pair[0], pair[1]);
            rows += 1;
        }
    }
    assert!(rows > 20);
}

#[test]
fn a_broken_trail_is_told() {
    let room = worked();
    room.sql("DROP TRIGGER audit_is_append_only_u; UPDATE audit SET why = 'another' WHERE seq = 2");
    assert!(written(&room, Format::Md).contains("The audit trail is not whole"));
    let json: Json = serde_json::from_str(&written(&room, Format::Json)).unwrap();
    assert_eq!(json["audit"]["whole"], json!(false));
}

#[test]
fn statements_name_the_key_whatever_it_is_and_no_masked_column() {
    let room = worked();
    let schema = &room.config.schema;
    let sql = |key: &str, dialect| {
        let queries = sql::of_case(&order(key, &[Kind::Lost]), schema, dialect);
        assert_eq!(queries.len(), 1);
        queries[0].sql.clone()
    };
    assert_eq!(
        sql("41", Dialect::Postgres),
        "select id, external_id, status from om.orders where id = '41';"
    );
    assert_eq!(
        sql("a'; drop table x --\n\u{202e}\\", Dialect::Postgres),
        r"select id, external_id, status from om.orders where id = U&'a''; drop table x --\+00000A\+00202E\\';"
    );
    assert!(sql("é", Dialect::Sqlite).ends_with(r#"from "om.orders" where id = (''||char(233)||'');"#));
    let mut case = order("7", &[Kind::Orphaned]);
    case.missing = vec![Missing {
        entity: "inventory_item".to_owned(),
        column: None,
        key: "12".to_owned(),
    }];
    let queries = sql::of_case(&case, schema, Dialect::Postgres);
    assert_eq!(queries[0].sql, "select id from om.inventory_items where id = '12';");
    assert_eq!(queries[0].shows, "no row");
}

/// What a spreadsheet or a program reads, turned back.
fn read_back(cell: &str) -> String {
    let text = cell.strip_prefix('\'').unwrap_or(cell);
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<U+") {
        out.push_str(before);
        let (hex, after) = after.split_once('>').unwrap();
        out.push(char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap());
        rest = after;
    }
    out + rest
}

fn nasty() -> impl Strategy<Value = String> {
    let letter = prop_oneof![
        4 => prop::sample::select(vec!['=', '+', '-', '@', '\t', '\r', '\0', '\'', '"', ',', ';', '\n', '|', '＝', '<', 'U', ' ']),
        3 => prop::char::range('a', 'z'),
        1 => any::<char>(),
    ];
    prop::collection::vec(letter, 0..12).prop_map(|letters| letters.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn cells_never_run_and_are_read_back(text in nasty(), other in nasty()) {
        let cell = csv::cell(&text).into_owned();
        let runs = ['=', '+', '-', '@', '\t', '\r', '\0', '＝', '＋', '－', '＠'];
        prop_assert!(!cell.starts_with(runs), "{cell:?}");
        prop_assert_eq!(text.starts_with(runs) && !cell.starts_with('\''), false);
        let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::CRLF).from_writer(Vec::new());
        writer.write_record([cell.as_str(), "x", &csv::cell(&other)]).unwrap();
        let line = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        prop_assert!(line.ends_with("\r\n"));
        let mut reader = ::csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
        let records: Vec<_> = reader.records().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(records.len(), 1);
        prop_assert_eq!(read_back(&records[0][0]), text);
        prop_assert_eq!(read_back(&records[0][2]), other);
    }

    #[test]
    fn nothing_in_a_text_is_markup(text in nasty()) {
        let safe = Safe::of(&text);
        let html = escaped(safe.as_str()).into_owned();
        prop_assert!(!html.contains(['<', '>', '"']), "{html}");
        let md = plain(safe.as_str()).into_owned();
        let mut before = ' ';
        for c in md.chars() {
            prop_assert!(c != '@' || before == '\\' || before.is_alphanumeric(), "{md}");
            prop_assert!(before == '\\' || !"`*_[]<>|~&#!$".contains(c), "{md}");
            before = if before == '\\' && c == '\\' { ' ' } else { c };
        }
        prop_assert!(!md.starts_with(['+', '-', '=']), "{md}");
    }
}
