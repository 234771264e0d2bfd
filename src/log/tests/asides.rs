//! Second readings: the fold without the bad change is the fold of the log without its events, whatever the order of
//! arrival; as at T likewise.

use super::*;
use crate::domain::time;
use proptest::prelude::*;
use std::fmt::Write;

/// An event of one of few keys.
#[derive(Debug, Clone)]
struct Made {
    key: u8,
    /// 0 sets, 1 deletes, 2 moves to the next key, 3 truncates.
    what: u8,
    bad: bool,
    version: i64,
    values: [Option<u8>; 3],
    source: bool,
}

const COLUMNS: [&str; 3] = ["status", "amount", "note"];

fn made(kinds: u8) -> impl Strategy<Value = Made> {
    let value = prop::option::of(0..3_u8);
    let what = prop_oneof![6 => Just(0_u8), 1 => 0..kinds];
    let values = [value.clone(), value.clone(), value];
    (
        0..4_u8,
        what,
        prop::bool::weighted(0.3),
        0..5_i64,
        values,
        any::<bool>(),
    )
        .prop_map(|(key, what, bad, version, values, source)| Made {
            key,
            what,
            bad,
            version,
            values,
            source,
        })
}

/// The time of the nth event.
fn at(n: usize) -> i64 {
    1_795_356_300_000_000 + i64::try_from(n).unwrap() * 1_000_000
}

fn native(n: usize, made: &Made, versions: bool) -> String {
    let mut state = String::new();
    for (name, value) in COLUMNS.iter().zip(made.values) {
        if let Some(value) = value {
            let comma = if state.is_empty() { "" } else { "," };
            write!(state, "{comma}\"{name}\":\"{value}\"").unwrap();
        }
    }
    let op = if made.what == 1 { "delete" } else { "upsert" };
    let version = if versions {
        format!(r#""version":{},"#, made.version)
    } else {
        String::new()
    };
    let actor = if made.bad { "batch-77" } else { "ana" };
    format!(
        r#"{{"pos":{n},"ts":"{}","actor":"{actor}","entity":"order","key":{},"op":"{op}",{version}"state":{{{state}}}}}"#,
        time::format(at(n)),
        made.key
    )
}

fn wal2json(n: usize, made: &Made) -> String {
    let xid = if made.bad { 9 } else { 1 };
    let head = format!(
        r#""lsn":"0/{:X}","xid":{xid},"timestamp":"{}","schema":"om","table":"orders""#,
        n + 1,
        time::format(at(n)).replace('T', " ")
    );
    let id = |key: u8| format!(r#"{{"name":"id","type":"bigint","value":{key}}}"#);
    let mut columns = String::new();
    for (name, value) in COLUMNS.iter().zip(made.values) {
        if let Some(value) = value {
            write!(columns, r#",{{"name":"{name}","type":"text","value":"{value}"}}"#).unwrap();
        }
    }
    let (old, new) = (id(made.key), id((made.key + 1) % 4));
    match made.what {
        0 => format!(r#"{{"action":"U",{head},"columns":[{old}{columns}],"identity":[{old}]}}"#),
        1 => format!(r#"{{"action":"D",{head},"identity":[{old}]}}"#),
        2 => format!(r#"{{"action":"U",{head},"columns":[{new}{columns}],"identity":[{old}]}}"#),
        _ => format!(r#"{{"action":"T",{head}}}"#),
    }
}

fn shuffle<T>(items: &mut [T], order: u64) {
    let mut seed = order | 1;
    for at in (1..items.len()).rev() {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        items.swap(at, usize::try_from(seed >> 33).unwrap() % (at + 1));
    }
}

fn logs(format: FormatKind, sources: &[Vec<String>]) -> Logs {
    let names = ["a", "b"];
    sources.iter().zip(names).fold(Logs::new(), |logs, (lines, name)| {
        logs.with(name, format, (lines.join("\n") + "\n").as_bytes())
    })
}

fn bad(actor: Option<&str>, transaction: &[&str]) -> BadChange {
    BadChange {
        actor: actor.map(str::to_owned),
        transaction: transaction.iter().map(|t| (*t).to_owned()).collect(),
        ..BadChange::default()
    }
}

/// Every key's row without the bad change.
fn clean(folded: &Folded) -> Vec<String> {
    let of_key = |key: u8| {
        let key = key.to_string();
        let row = folded.without_bad(0, &key).unwrap_or_else(|| folded.get(0, &key));
        show_row(folded, 0, row)
    };
    (0..4).map(of_key).collect()
}

fn plain(folded: &Folded) -> Vec<String> {
    (0..4).map(|key: u8| show(folded, 0, &key.to_string())).collect()
}

/// A line of a key that is not looked at: sources reach as far, and have lines at all, with the bad change and without.
fn last(versions: bool) -> String {
    let made = Made {
        key: 9,
        what: 0,
        bad: false,
        version: 0,
        values: [None; 3],
        source: false,
    };
    native(1_000, &made, versions)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_aside_is_the_fold_without_the_bad_events(
        events in prop::collection::vec(made(2), 1..40),
        order in any::<u64>(),
        versions in any::<bool>(),
        two in any::<bool>(),
    ) {
        let mut sources = [vec![(false, last(versions))], vec![(false, last(versions))]];
        for (n, made) in events.iter().enumerate() {
            sources[usize::from(two && made.source)].push((made.bad, native(n, made, versions)));
        }
        let used = if two { 2 } else { 1 };
        for lines in &mut sources {
            shuffle(lines, order);
        }
        let all: Vec<Vec<String>> = sources[..used].iter().map(|l| l.iter().map(|(_, line)| line.clone()).collect()).collect();
        let good: Vec<Vec<String>> = sources[..used]
            .iter()
            .map(|l| l.iter().filter(|(bad, _)| !bad).map(|(_, line)| line.clone()).collect())
            .collect();
        let mut with = logs(FormatKind::Native, &all);
        with.bad = Some(bad(Some("batch-77"), &[]));
        let with = with.read();
        let without = logs(FormatKind::Native, &good).read();
        prop_assert_eq!(clean(&with), plain(&without));
        for key in 0..4_u8 {
            let touched = events.iter().any(|e| e.bad && e.key == key);
            prop_assert_eq!(with.touched_by_bad(0).any(|k| k == key.to_string()), touched, "key {}", key);
        }
    }

    #[test]
    fn moves_and_truncates_are_left_out_and_honoured(
        events in prop::collection::vec(made(4), 1..24),
        order in any::<u64>(),
    ) {
        let mut lines: Vec<(bool, String)> =
            events.iter().enumerate().map(|(n, made)| (made.bad, wal2json(n, made))).collect();
        // Which row a reused key's move took along is only known of logs that come nearly in order.
        if events.iter().all(|e| e.what != 2) {
            shuffle(&mut lines, order);
        }
        let begin = format!(r#"{{"action":"B","xid":{}}}"#, order % 10);
        let text = |bad: bool| {
            let kept = lines.iter().filter(|(is_bad, _)| bad || !is_bad).map(|(_, line)| line.clone());
            vec![std::iter::once(begin.clone()).chain(kept).collect::<Vec<String>>()]
        };
        let mut with = logs(FormatKind::Wal2json, &text(true));
        with.bad = Some(bad(None, &["8", "9"]));
        prop_assert_eq!(clean(&with.read()), plain(&logs(FormatKind::Wal2json, &text(false)).read()));
    }

    #[test]
    fn as_at_t_is_the_fold_of_the_events_until_then(
        events in prop::collection::vec(made(2), 1..40),
        t in 0..40_usize,
        order in any::<u64>(),
        two in any::<bool>(),
    ) {
        let mut sources = [vec![(0, last(false))], vec![(0, last(false))]];
        for (n, made) in events.iter().enumerate() {
            sources[usize::from(two && made.source)].push((n, native(n, made, false)));
        }
        let used = if two { 2 } else { 1 };
        for lines in &mut sources {
            shuffle(lines, order);
        }
        let text = |all: bool| -> Vec<Vec<String>> {
            let kept = |l: &Vec<(usize, String)>| l.iter().filter(|(n, _)| all || *n <= t).map(|(_, line)| line.clone()).collect();
            sources[..used].iter().map(kept).collect()
        };
        let mut with = logs(FormatKind::Native, &text(true));
        with.as_at = Some(at(t));
        let with = with.read();
        let until = logs(FormatKind::Native, &text(false)).read();
        let mut touched = Vec::new();
        for (key, row) in with.at_t(0).filter(|(key, _)| *key != "9") {
            touched.push(key.to_owned());
            prop_assert_eq!(show_row(&with, 0, row), show(&until, 0, key), "key {}", key);
        }
        touched.sort();
        let mut expected: Vec<String> = events.iter().skip(t + 1).map(|e| e.key.to_string()).collect();
        expected.sort();
        expected.dedup();
        prop_assert_eq!(touched, expected);
        prop_assert!(with.at_t_is_whole(0));
    }
}

/// What of these events the bad change is, by key.
fn touched(bad: BadChange, lines: &[&str]) -> Vec<String> {
    let mut logs = Logs::native(lines);
    logs.bad = Some(bad);
    let folded = logs.read();
    let mut keys: Vec<String> = folded.touched_by_bad(0).map(str::to_owned).collect();
    keys.sort();
    keys
}

#[test]
fn all_that_is_given_of_the_bad_change_must_hold() {
    let lines = [
        r#"{"pos":1,"ts":"2026-11-22T14:05:10Z","tx":71,"actor":"ana","entity":"order","key":1,"op":"upsert","state":{"amount":"1.50"}}"#,
        r#"{"pos":2,"ts":"2026-11-22T14:05:20Z","tx":72,"actor":"ana","entity":"order","key":2,"op":"upsert","state":{"amount":1.5}}"#,
        r#"{"pos":3,"ts":"2026-11-22T14:05:30Z","tx":73,"actor":"li","entity":"order","key":3,"op":"upsert","state":{"amount":2}}"#,
        r#"{"pos":4,"entity":"order","key":4,"op":"upsert","state":{"status":"New"}}"#,
    ];
    let bad = BadChange::default;
    let amount = |text: &str| [("amount".to_owned(), text.to_owned())].into_iter().collect();
    for (given, expected) in [
        (
            BadChange {
                from: Some(at(20)),
                ..bad()
            },
            &["2", "3"][..],
        ),
        (
            BadChange {
                to: Some(at(20)),
                ..bad()
            },
            &["1", "2"],
        ),
        (
            BadChange {
                from: Some(at(20)),
                to: Some(at(20)),
                ..bad()
            },
            &["2"],
        ),
        (
            BadChange {
                transaction: vec!["73".to_owned(), "71".to_owned()],
                ..bad()
            },
            &["1", "3"],
        ),
        (
            BadChange {
                actor: Some("ana".to_owned()),
                ..bad()
            },
            &["1", "2"],
        ),
        (
            BadChange {
                actor: Some("an".to_owned()),
                ..bad()
            },
            &[],
        ),
        (
            BadChange {
                entity: Some("order".to_owned()),
                ..bad()
            },
            &["1", "2", "3", "4"],
        ),
        (
            BadChange {
                entity: Some("order_item".to_owned()),
                ..bad()
            },
            &[],
        ),
        (
            BadChange {
                values: amount("1.5"),
                ..bad()
            },
            &["1", "2"],
        ),
        (
            BadChange {
                values: amount("1.5"),
                from: Some(at(11)),
                ..bad()
            },
            &["2"],
        ),
        (
            BadChange {
                values: amount("1.5"),
                actor: Some("li".to_owned()),
                ..bad()
            },
            &[],
        ),
    ] {
        // Events without a time are in no span of time; a value that the event does not carry holds of nothing.
        assert_eq!(touched(given.clone(), &lines), expected, "{given:?}");
    }
}

#[test]
fn a_column_that_is_ignored_may_still_name_the_bad_change() {
    let lines = [
        r#"{"pos":1,"entity":"order","key":1,"op":"upsert","state":{"updated_at":"2026-11-22T15:05:10+01:00"}}"#,
        r#"{"pos":2,"entity":"order","key":2,"op":"upsert","state":{"updated_at":"2026-11-22T14:05:11Z"}}"#,
    ];
    let given = BadChange {
        values: [("updated_at".to_owned(), "2026-11-22T14:05:10Z".to_owned())].into(),
        ..BadChange::default()
    };
    assert_eq!(touched(given, &lines), ["1"]);
}

#[test]
fn a_column_that_no_table_has_is_a_mistake_in_the_configuration() {
    let mut logs = Logs::native(&[r#"{"pos":1,"entity":"order","key":1,"op":"upsert"}"#]);
    for (entity, column, what, near) in [
        (None, "ammount", "no mapped table has a column \"ammount\"", "amount"),
        (
            Some("order_item"),
            "amount",
            "table om.order_items has no column \"amount\"",
            "product",
        ),
    ] {
        logs.bad = Some(BadChange {
            entity: entity.map(str::to_owned),
            values: [(column.to_owned(), "1".to_owned())].into(),
            ..BadChange::default()
        });
        let error = logs.try_read().unwrap_err().error;
        assert_eq!(error.kind.exit_code(), 2);
        assert_eq!(error.what, what);
        assert!(error.cure.as_ref().unwrap().contains(near), "{error}");
    }
}

#[test]
fn of_very_many_rows_touched_after_t_some_thousand_are_kept() {
    let line = |n: usize, key: usize| {
        let ts = time::format(at(n));
        format!(r#"{{"pos":{n},"ts":"{ts}","entity":"order","key":{key},"op":"upsert","state":{{"status":"{n}"}}}}"#)
    };
    let lines: Vec<String> = (0..40_000).map(|n| line(n, n % 20_000)).collect();
    let mut logs = logs(FormatKind::Native, &[lines]);
    logs.as_at = Some(at(19_999));
    let folded = logs.read();
    let kept = folded.at_t(0).count();
    assert!((4_000..=8_192).contains(&kept), "{kept}");
    assert!(!folded.at_t_is_whole(0));
    for (key, row) in folded.at_t(0) {
        assert_eq!(show_row(&folded, 0, row), format!("status={key}@{key}"));
    }
}
