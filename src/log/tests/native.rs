//! `native`, and what every format has in common: order, deletes, contradictions.

use super::*;
use crate::domain::time;

const T0: &str = "2026-11-22T14:00:00Z";

fn event(pos: u64, key: &str, op: &str, version: Option<i64>, state: &str) -> String {
    let version = version.map_or_else(String::new, |v| format!(r#","version":{v}"#));
    format!(r#"{{"pos":{pos},"ts":"{T0}","entity":"order","key":"{key}","op":"{op}"{version},"state":{state}}}"#)
}

fn fold(lines: &[String]) -> Folded {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    Logs::native(&lines).read()
}

#[test]
fn the_newest_value_of_every_column_with_its_event() {
    let logs = Logs::native(&[
        r#"{"pos":1,"ts":"2026-11-22T14:00:00Z","entity":"order","key":"958","op":"insert","version":1,"state":{"status":"New","amount":"1.50"}}"#,
        r#"{"pos":3,"ts":"2026-11-22T14:00:02Z","entity":"order","key":958,"op":"upsert","version":3,"state":{"status":"Accepted"}}"#,
        r#"{"pos":2,"ts":"2026-11-22T14:00:01Z","entity":"order","key":"0958","op":"upsert","version":2,"state":{"status":"Created","note":null}}"#,
    ]);
    let folded = logs.read();
    assert_eq!(show(&folded, 0, "958"), "status=Accepted@3 amount=1.50@1 note=NULL@2");
    let row = folded.get(0, "958").unwrap();
    let positions: Vec<String> = row.events().into_iter().map(|e| folded.evidence(e).position).collect();
    assert_eq!(positions, ["1", "2", "3"]);
    assert_eq!(
        folded.evidence(row.events()[2]).ts.as_deref(),
        Some("2026-11-22T14:00:02Z")
    );
    assert_eq!(row.field(STATUS).unwrap().0.text, "Accepted");
    assert!(row.field(7).is_none());
    assert_eq!(
        (folded.stats.events, folded.stats.rejected, folded.stats.skipped),
        (3, 0, 0)
    );
    assert_eq!(folded.max_int_key(0), Some(958));
    assert_eq!(folded.coverage[0].first, time::parse("2026-11-22T14:00:00Z"));
    assert_eq!(folded.coverage[0].last, time::parse("2026-11-22T14:00:02Z"));
    assert_eq!((folded.coverage[1].first, folded.coverage.len()), (None, 2));
}

#[test]
fn every_digit_is_kept() {
    let state = r#"{"amount":12345678901234567890.123456789012345678900,"data":{"a": 9007199254740993},"note":"1.50"}"#;
    let folded = fold(&[event(1, "9223372036854775807", "insert", None, state)]);
    assert_eq!(
        show(&folded, 0, "9223372036854775807"),
        r#"amount=12345678901234567890.123456789012345678900@1 note=1.50@1 data={"a": 9007199254740993}@1"#
    );
}

#[test]
fn rows_come_in_the_order_of_their_numbers() {
    let folded = fold(&["10", "9", "100", "-5"].map(|key| event(1, key, "upsert", None, "{}")));
    let keys: Vec<&str> = folded.rows(0).map(LogRow::key).collect();
    assert_eq!(keys, ["-5", "9", "10", "100"]);
    assert_eq!(folded.len(0), 4);
}

#[test]
fn a_composite_key_is_read_part_by_part() {
    let logs =
        Logs::native(&[r#"{"pos":1,"entity":"order_item","key":"007/a%2Fb","op":"insert","state":{"product":"P"}}"#]);
    assert_eq!(show(&logs.read(), 1, "7/a%2Fb"), "product=P@1");
    let logs = Logs::native(&[r#"{"pos":1,"entity":"order_item","key":"7","op":"insert","state":{}}"#]).limit(1.0);
    assert!(logs.read().rejects[0].reason.contains("2 key columns"));
}

#[test]
fn order_is_version_where_the_first_event_has_one_else_position() {
    let late = [
        event(1, "1", "insert", Some(2), r#"{"status":"new"}"#),
        event(2, "1", "upsert", Some(1), r#"{"status":"old"}"#),
    ];
    assert_eq!(show(&fold(&late), 0, "1"), "status=new@1");
    let lines: Vec<&str> = late.iter().map(String::as_str).collect();
    assert_eq!(
        show(&Logs::native(&lines).order(OrderBy::Position).read(), 0, "1"),
        "status=old@2"
    );
    let unversioned = [
        event(2, "1", "upsert", None, r#"{"status":"later"}"#),
        event(1, "1", "upsert", Some(9), r#"{"status":"earlier"}"#),
    ];
    assert_eq!(show(&fold(&unversioned), 0, "1"), "status=later@2");
    // An event that cannot be ordered is not guessed at.
    let lines = [late[0].as_str(), unversioned[0].as_str()];
    let folded = Logs::native(&lines).limit(0.5).read();
    assert!(folded.rejects[0].reason.contains("no `version`"));
}

#[test]
fn ties_go_to_the_later_line_and_positions_default_to_file_and_line() {
    let same = [
        event(5, "1", "upsert", None, r#"{"status":"a"}"#),
        event(5, "1", "upsert", None, r#"{"status":"b"}"#),
    ];
    assert_eq!(show(&fold(&same), 0, "1"), "status=b@5");
    let logs = Logs::native(&[
        r#"{"entity":"order","key":1,"op":"insert","state":{"status":"a"}}"#,
        "",
        r#"{"entity":"order","key":1,"op":"upsert","state":{"status":"b"}}"#,
    ]);
    let folded = logs.read();
    assert_eq!(show(&folded, 0, "1"), "status=b@cdc.ndjson:3");
    assert_eq!(folded.evidence(folded.get(0, "1").unwrap().events()[0]).ts, None);
}

#[test]
fn a_delete_clears_all_older_and_the_last_state_stays_readable() {
    let insert = event(1, "1", "insert", None, r#"{"status":"a","note":"x"}"#);
    let update = event(2, "1", "upsert", None, r#"{"status":"b"}"#);
    let delete = event(3, "1", "delete", None, r#"{"amount":"7"}"#);
    let again = event(4, "1", "insert", None, r#"{"status":"c"}"#);
    let delete_again = event(5, "1", "delete", None, "null");
    let all = [insert, update, delete, again, delete_again];
    let expected = [
        "status=a@1 note=x@1",
        "status=b@2 note=x@1",
        "status=b@2 amount=7@3 note=x@1 deleted@3",
        "status=c@4",
        "status=c@4 deleted@5",
    ];
    for n in 1..=all.len() {
        assert_eq!(show(&fold(&all[..n]), 0, "1"), expected[n - 1]);
        let mut backwards = all[..n].to_vec();
        backwards.reverse();
        assert_eq!(show(&fold(&backwards), 0, "1"), expected[n - 1], "backwards");
    }
}

#[test]
fn duplicates_change_nothing() {
    let once = [
        event(1, "1", "insert", Some(1), r#"{"status":"a","note":"x"}"#),
        event(2, "1", "upsert", Some(2), r#"{"status":"b"}"#),
    ];
    let twice = [&once[..], &once[..]].concat();
    assert_eq!(show(&fold(&twice), 0, "1"), show(&fold(&once), 0, "1"));
    assert_eq!(fold(&twice).stats.events, 4);
}

#[test]
fn one_version_with_two_contents_is_contradicted_and_the_later_position_wins() {
    let a = event(7, "1", "upsert", Some(3), r#"{"status":"a"}"#);
    let b = event(8, "1", "upsert", Some(3), r#"{"status":"b"}"#);
    let part = event(9, "1", "upsert", Some(3), r#"{"note":"n"}"#);
    let delete = event(9, "1", "delete", Some(3), "null");
    let newer = event(10, "1", "upsert", Some(4), r#"{"status":"c"}"#);
    for lines in [vec![&a, &b], vec![&b, &a]] {
        let lines: Vec<String> = lines.into_iter().cloned().collect();
        assert_eq!(show(&fold(&lines), 0, "1"), "status=b@8 contradicted@8/7");
    }
    assert_eq!(
        show(&fold(&[a.clone(), part.clone()]), 0, "1"),
        "status=a@7 note=n@9 contradicted@9/7"
    );
    assert_eq!(
        show(&fold(&[delete.clone(), a.clone()]), 0, "1"),
        "status=a@7 deleted@9 contradicted@9/7"
    );
    // What a newer version says is disputed by nobody.
    assert_eq!(
        show(&fold(&[a.clone(), b.clone(), newer.clone()]), 0, "1"),
        "status=c@10"
    );
    assert_eq!(show(&fold(&[newer, b, a.clone()]), 0, "1"), "status=c@10");
    // Positions are no versions.
    let a = event(7, "1", "upsert", None, r#"{"status":"a"}"#);
    assert_eq!(show(&fold(&[a, part]), 0, "1"), "status=a@7 note=n@9");
}

#[test]
fn columns_that_are_not_compared_are_kept_only_where_they_are_read() {
    let state = r#"{"status":"a","updated_at":"2026-11-22T14:00:00Z","colour":"red","colour":"blue"}"#;
    let folded = fold(&[
        event(1, "1", "upsert", None, state),
        event(2, "2", "upsert", None, state),
    ]);
    assert_eq!(show(&folded, 0, "1"), "status=a@1");
    let about: Vec<&String> = folded.warnings.iter().filter(|w| w.contains("colour")).collect();
    assert_eq!(about.len(), 1, "{:?}", folded.warnings);
    assert!(about[0].contains("om.orders") && about[0].contains("cdc"));
}

#[test]
fn other_entities_are_counted_and_skipped() {
    let folded = fold(&[
        event(1, "1", "insert", None, "{}"),
        event(2, "1", "insert", None, "{}").replace("\"order\"", "\"invoice\""),
    ]);
    assert_eq!(
        (folded.stats.events, folded.stats.skipped, folded.stats.rejected),
        (1, 1, 0)
    );
}

#[test]
fn what_is_no_event_is_rejected_with_its_place_and_reason() {
    let good = event(1, "1", "insert", None, "{}");
    let bad = [
        ("not json", "not JSON"),
        ("[1,2]", "not a JSON object"),
        (r#"{"entity":"order","key":"1","op":"insert""#, "ends in mid-object"),
        (
            r#"{"entity":"order","key":"1","op":"update"}"#,
            "not insert, upsert or delete",
        ),
        (r#"{"entity":"order","op":"insert"}"#, "no `key`"),
        (
            r#"{"entity":"order","key":1.5,"op":"insert"}"#,
            "not a string or an integer",
        ),
        (r#"{"entity":"order","key":"abc","op":"insert"}"#, "is no bigint"),
        (
            r#"{"entity":"order","key":"9223372036854775808","op":"insert"}"#,
            "is no bigint",
        ),
        (r#"{"key":"1","op":"insert"}"#, "no `entity`"),
        (
            r#"{"entity":"order","key":"1","op":"insert","state":[]}"#,
            "not an object",
        ),
        (r#"{"entity":"order","key":"1","op":"insert","ts":"today"}"#, "RFC 3339"),
        (
            r#"{"entity":"order","key":"1","op":"insert","pos":-1}"#,
            "64-bit integer",
        ),
        (
            r#"{"entity":"order","key":"1","op":"insert","version":1.5}"#,
            "64-bit integer",
        ),
        (
            r#"{"entity":"order","key":"1","op":"insert","state":{"note":"\u0000"}}"#,
            "NUL",
        ),
        (
            r#"{"entity":"order","key":"1","op":"insert","state":{"note":"\ud800"}}"#,
            "state.note",
        ),
        (
            "{\"entity\":\"order\",\"key\":\"1\",\"op\":\"insert\",\"state\":{\"note\":\"\u{0}\"}}",
            "not JSON",
        ),
    ];
    for (line, reason) in bad {
        let folded = Logs::native(&[&good, line, &good]).limit(1.0).read();
        assert_eq!((folded.stats.events, folded.stats.rejected), (2, 1), "{line}");
        let reject = &folded.rejects[0];
        assert!(reject.reason.contains(reason), "{line}: {}", reject.reason);
        assert_eq!(
            (reject.source.as_str(), reject.position.as_str()),
            ("cdc", "cdc.ndjson:2")
        );
        assert_eq!(reject.excerpt, line);
    }
}

#[test]
fn members_come_in_any_order_and_with_any_space() {
    let logs = Logs::native(&[
        " { \"state\" : { \"note\" : \"caf\\u00e9 \\\"x\\\"\" , \"amount\" : -1.5e3 } , \"op\" : \"upsert\" , \"more\" : [ { } ] ,\t\"key\" : 7 , \"entity\" : \"order\" , \"pos\" : 4 } \r",
        "{\"\\u0065ntity\":\"order\",\"key\":8,\"op\":\"upsert\",\"op\":\"delete\",\"pos\":5}",
    ]);
    let folded = logs.read();
    assert_eq!(show(&folded, 0, "7"), "amount=-1.5e3@4 note=café \"x\"@4");
    assert_eq!(show(&folded, 0, "8"), "deleted@5");
}

#[test]
fn sources_are_merged_by_event_time() {
    let at = |second: u32, op: &str, state: &str| {
        format!(
            r#"{{"pos":{second},"ts":"2026-11-22T14:00:{second:02}Z","entity":"order","key":"1","op":"{op}","state":{state}}}"#
        )
    };
    let both = |a: &[String], b: &[String]| {
        let logs = Logs::new().with("a", FormatKind::Native, a.join("\n").as_bytes());
        let folded = logs.with("b", FormatKind::Native, b.join("\n").as_bytes()).read();
        assert_eq!(folded.coverage.len(), 4);
        show(&folded, 0, "1")
    };
    let old = at(1, "insert", r#"{"status":"a","note":"x"}"#);
    let new = at(2, "upsert", r#"{"status":"b"}"#);
    let delete = at(3, "delete", "null");
    let merged = "status=b@2 note=x@1";
    assert_eq!(both(std::slice::from_ref(&old), std::slice::from_ref(&new)), merged);
    assert_eq!(both(std::slice::from_ref(&new), std::slice::from_ref(&old)), merged);
    let deleted = "status=b@2 note=x@1 deleted@3";
    assert_eq!(
        both(&[old.clone(), new.clone()], std::slice::from_ref(&delete)),
        deleted
    );
    assert_eq!(
        both(&[delete.clone(), old.clone()], std::slice::from_ref(&new)),
        deleted
    );
    // The same time and another content is a contradiction; another spelling is not.
    let a = at(5, "upsert", r#"{"amount":"1.50"}"#);
    let same = at(5, "upsert", r#"{"amount":1.5}"#);
    let other = at(5, "upsert", r#"{"amount":2}"#);
    assert_eq!(
        both(std::slice::from_ref(&a), std::slice::from_ref(&same)),
        "amount=1.5@5"
    );
    assert_eq!(
        both(std::slice::from_ref(&a), std::slice::from_ref(&other)),
        "amount=2@5 contradicted@5/5"
    );
}
