//! What sources leave out, and what they contradict each other on.

use super::*;
use crate::domain::time;

/// The time of the nth second.
fn ts(second: i64) -> String {
    time::format(1_795_356_300_000_000 + second * 1_000_000)
}

/// Positions 1 to 60 but for these, each a second after the other; `key` names the row of a position.
fn numbered(missing: &[i64], key: impl Fn(i64) -> i64) -> Vec<String> {
    let line = |n: i64| {
        let (ts, key) = (ts(n), key(n));
        format!(r#"{{"pos":{n},"ts":"{ts}","entity":"order","key":{key},"op":"upsert","state":{{"status":"s"}}}}"#)
    };
    (1..=60).filter(|n| !missing.contains(n)).map(line).collect()
}

fn one(lines: &[String]) -> Folded {
    Logs::native(&lines.iter().map(String::as_str).collect::<Vec<_>>()).read()
}

fn covered(folded: &Folded) -> Vec<&str> {
    folded.covered_keys(0).collect()
}

#[test]
fn rows_named_before_missing_positions_and_not_since_are_covered() {
    // Keys 0 to 9 in turn until 30, then only 0 to 4.
    let key = |n: i64| if n <= 30 { n % 10 } else { n % 5 };
    let folded = one(&numbered(&[31, 32, 33], key));
    assert_eq!(folded.gaps.len(), 1);
    let gap = &folded.gaps[0];
    assert_eq!(
        (gap.positions, gap.gap.from, gap.gap.to),
        (Some((31, 33)), time::parse(&ts(30)), time::parse(&ts(34)))
    );
    assert_eq!(covered(&folded), ["5", "6", "7", "8", "9"]);
    let evidence = folded.evidence_of_gap(folded.gap_over(0, "7").unwrap());
    assert_eq!(
        (evidence.source.as_str(), evidence.position.as_str()),
        ("cdc", "31 to 33 missing")
    );
    let warnings = folded.gap_warnings(None);
    assert!(
        warnings
            .iter()
            .any(|w| w.contains("positions 31 to 33 are missing") && w.contains("5 rows")),
        "{warnings:?}"
    );
    assert!(one(&numbered(&[], key)).gaps.is_empty());
}

#[test]
fn missing_positions_are_found_however_the_log_is_split() {
    let lines = numbered(&[31], |n| n);
    let (odd, even): (Vec<_>, Vec<_>) = lines.iter().cloned().enumerate().partition(|(n, _)| n % 2 == 0);
    let logs = Logs::new().with("cdc", FormatKind::Native, b"");
    let mut logs = logs;
    for (name, part) in [("1.log", &even), ("2.log", &odd)] {
        let text: Vec<&str> = part.iter().rev().map(|(_, line)| line.as_str()).collect();
        std::fs::write(logs.path().join(name), text.join("\n")).unwrap();
    }
    logs.configs[0].path = Some(logs.path().join("*.log").display().to_string());
    let folded = logs.read();
    assert_eq!(
        folded.gaps.iter().map(|g| g.positions).collect::<Vec<_>>(),
        [Some((31, 31))]
    );
    assert_eq!(covered(&folded).len(), 30);
}

#[test]
fn numbers_that_do_not_follow_each_other_say_nothing() {
    let missing: Vec<i64> = (2..=60).filter(|n| n % 7 == 0).collect();
    assert!(one(&numbered(&missing, |n| n)).gaps.is_empty());
}

#[test]
fn lines_that_are_not_read_may_hold_the_positions() {
    let mut lines = numbered(&[31], |n| n);
    lines.insert(30, r#"{"pos":31,"entity":"invoice","key":1,"op":"upsert"}"#.to_owned());
    assert!(one(&lines).gaps.is_empty(), "an event of a table that is not mapped");
    lines[30] = "broken".to_owned();
    let logs = Logs::native(&lines.iter().map(String::as_str).collect::<Vec<_>>()).limit(0.5);
    assert!(logs.read().gaps.is_empty(), "a line that is rejected");
    // Elsewhere they explain nothing.
    let mut lines = numbered(&[31], |n| n);
    lines.insert(3, r#"{"pos":31,"entity":"invoice","key":1,"op":"upsert"}"#.to_owned());
    assert_eq!(one(&lines).gaps.len(), 1);
}

#[test]
fn another_source_that_names_the_row_later_ends_the_gap() {
    let lines = numbered(&[31, 32, 33], |n| if n <= 30 { 1 + n % 3 } else { 1 });
    let other = |second: i64, key: i64| {
        let ts = ts(second);
        format!(r#"{{"pos":1,"ts":"{ts}","entity":"order","key":{key},"op":"upsert","state":{{"note":"x"}}}}"#)
    };
    // Key 2 is named at the gap's end, key 3 within it.
    let others = [other(34, 2), other(32, 3)].join("\n");
    let logs = Logs::new()
        .with("cdc", FormatKind::Native, lines.join("\n").as_bytes())
        .with("crm", FormatKind::Native, others.as_bytes());
    assert_eq!(covered(&logs.read()), ["3"]);
}

#[test]
fn a_gap_event_covers_the_rows_that_it_names_until_something_says_more() {
    let event = |second: i64, kind: &str, key: i64| {
        let at = 1_795_356_300_000 + second * 1_000;
        format!(
            r#"{{"ChangeEventHeader":{{"entityName":"order","recordIds":["{key}"],"changeType":"{kind}","commitTimestamp":{at},"transactionKey":"t","commitUser":"u","commitNumber":1,"sequenceNumber":1,"changedFields":[],"nulledFields":[],"diffFields":[]}},"note":"x"}}"#
        )
    };
    let lines = [
        event(1, "UPDATE", 1),
        event(2, "GAP_UPDATE", 1),
        event(2, "GAP_CREATE", 2),
        event(2, "GAP_UPDATE", 3),
        event(3, "UPDATE", 3),
    ];
    let logs = Logs::new().with("crm", FormatKind::SalesforceCdc, lines.join("\n").as_bytes());
    let folded = logs.read();
    assert_eq!(covered(&folded), ["1", "2"], "{:?} {:?}", folded.gaps, folded.rejects);
    assert!(folded.get(0, "2").is_none(), "the log says nothing else of it");
    assert_eq!(
        folded.evidence_of_gap(folded.gap_over(0, "2").unwrap()).position,
        "crm.ndjson:3"
    );
}

/// Second, key, op and state.
type Said<'a> = (i64, i64, &'a str, &'a str);

/// What two sources say; whether the row 1 is contradicted, and by which events, the one that is followed first.
fn contradicted(a: &[Said<'_>], b: &[Said<'_>]) -> Option<(String, String)> {
    let told = |said: &[Said<'_>]| {
        let line = |(second, key, op, state): &Said<'_>| {
            let ts = ts(*second);
            format!(r#"{{"pos":{second},"ts":"{ts}","entity":"order","key":{key},"op":"{op}","state":{state}}}"#)
        };
        said.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let of = |first: &[Said<'_>], second: &[Said<'_>]| {
        let logs = Logs::new().with("a", FormatKind::Native, told(first).as_bytes()).with(
            "b",
            FormatKind::Native,
            told(second).as_bytes(),
        );
        let folded = logs.read();
        let clash = folded.get(0, "1")?.contradicted()?;
        Some((folded.evidence(clash.0).position, folded.evidence(clash.1).position))
    };
    let found = of(a, b);
    assert_eq!(found, of(b, a), "the order of the sources makes no difference");
    found
}

#[test]
fn sources_that_should_know_better_contradict_each_other() {
    let both = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
    let new = (1, 1, "upsert", r#"{"status":"New"}"#);
    let done = (3, 1, "upsert", r#"{"status":"Done"}"#);
    let later = (5, 2, "upsert", "{}");
    assert_eq!(
        contradicted(&[new, later], &[done]),
        both("3", "1"),
        "it tells of later events and not of this"
    );
    assert_eq!(contradicted(&[new], &[done]), None, "it ended before");
    assert_eq!(
        contradicted(&[new, (3, 2, "upsert", "{}")], &[done]),
        None,
        "it does not reach past it"
    );
    assert_eq!(
        contradicted(&[new, later], &[(3, 1, "upsert", r#"{"status":"New"}"#)]),
        None,
        "the same value"
    );
    assert_eq!(
        contradicted(&[new, later], &[(3, 1, "upsert", r#"{"note":"x"}"#)]),
        None,
        "of another column"
    );
    assert_eq!(
        contradicted(&[new, later], &[(3, 1, "delete", "null")]),
        both("3", "1"),
        "it is gone"
    );
    assert_eq!(
        contradicted(&[new, (2, 1, "delete", "null"), later], &[done]),
        both("3", "2"),
        "it came back"
    );
    assert_eq!(
        contradicted(&[(2, 1, "delete", "null"), later], &[(3, 1, "delete", "null")]),
        None
    );
    let items = format!(
        r#"{{"pos":9,"ts":"{}","entity":"order_item","key":"1/a","op":"upsert","state":{{}}}}"#,
        ts(9)
    );
    let logs = Logs::new()
        .with(
            "a",
            FormatKind::Native,
            format!(
                r#"{{"pos":1,"ts":"{}","entity":"order","key":1,"op":"upsert","state":{{"status":"New"}}}}{}{items}"#,
                ts(1),
                "\n"
            )
            .as_bytes(),
        )
        .with(
            "b",
            FormatKind::Native,
            format!(
                r#"{{"pos":1,"ts":"{}","entity":"order","key":1,"op":"upsert","state":{{"status":"Done"}}}}"#,
                ts(3)
            )
            .as_bytes(),
        );
    assert_eq!(
        logs.read().get(0, "1").unwrap().contradicted(),
        None,
        "what it tells of other entities does not count"
    );
}
