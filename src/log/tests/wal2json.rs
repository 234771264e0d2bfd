//! `wal2json`, format version 2.

use super::*;

fn read(lines: &[&str]) -> Folded {
    Logs::new()
        .with("cdc", FormatKind::Wal2json, lines.join("\n").as_bytes())
        .read()
}

const INSERT: &str = r#"{"action":"I","timestamp":"2026-11-22 14:05:00.123456+00","lsn":"0/10","schema":"om","table":"orders","columns":[{"name":"id","type":"bigint","value":9007199254740993},{"name":"status","type":"text","value":"New"},{"name":"amount","type":"numeric(12,2)","value":1.50},{"name":"note","type":"text","value":"long"},{"name":"data","type":"jsonb","value":"{\"a\": 1}"},{"name":"raw","type":"bytea","value":"deadbeef"}]}"#;

#[test]
fn inserts_updates_and_deletes() {
    // The update leaves out the unchanged long value.
    let update = r#"{"action":"U","timestamp":"2026-11-22 14:05:01+00","lsn":"0/20","schema":"om","table":"orders","columns":[{"name":"id","type":"bigint","value":9007199254740993},{"name":"status","type":"text","value":null}],"identity":[{"name":"id","type":"bigint","value":9007199254740993}]}"#;
    let delete = r#"{"action":"D","timestamp":"2026-11-22 14:05:02+00","lsn":"1/A","schema":"om","table":"orders","identity":[{"name":"id","type":"bigint","value":9007199254740993},{"name":"amount","type":"numeric(12,2)","value":9.99}]}"#;
    let key = "9007199254740993";
    let inserted = r#"id=9007199254740993@0/10 status=New@0/10 amount=1.50@0/10 note=long@0/10 data={"a": 1}@0/10 raw=\xdeadbeef@0/10"#;
    let folded = read(&[INSERT]);
    assert_eq!(show(&folded, 0, key), inserted);
    let event = folded.get(0, key).unwrap().events()[0];
    assert_eq!(
        folded.evidence(event).ts.as_deref(),
        Some("2026-11-22T14:05:00.123456Z")
    );
    let updated = r#"id=9007199254740993@0/20 status=NULL@0/20 amount=1.50@0/10 note=long@0/10 data={"a": 1}@0/10 raw=\xdeadbeef@0/10"#;
    for lines in [[INSERT, update], [update, INSERT]] {
        assert_eq!(show(&read(&lines), 0, key), updated);
    }
    let deleted = r#"id=9007199254740993@1/A status=NULL@0/20 amount=9.99@1/A note=long@0/10 data={"a": 1}@0/10 raw=\xdeadbeef@0/10 deleted@1/A"#;
    for lines in [[INSERT, update, delete], [delete, update, INSERT]] {
        assert_eq!(show(&read(&lines), 0, key), deleted);
    }
}

#[test]
fn marks_and_other_tables_are_skipped() {
    let folded = read(&[
        r#"{"action":"B"}"#,
        INSERT,
        r#"{"action":"M","transactional":false,"prefix":"x","content":"y"}"#,
        r#"{"action":"I","schema":"billing","table":"orders","columns":[{"name":"id","type":"bigint","value":1}]}"#,
        r#"{"action":"C","lsn":"0/99","timestamp":"2026-11-22 14:05:00+00"}"#,
    ]);
    assert_eq!(
        (folded.stats.events, folded.stats.skipped, folded.stats.rejected),
        (1, 4, 0)
    );
    assert_eq!(folded.len(0), 1);
}

#[test]
fn without_lsn_the_position_is_file_and_line() {
    let folded =
        read(&[r#"{"action":"I","schema":"om","table":"orders","columns":[{"name":"id","type":"bigint","value":1}]}"#]);
    assert_eq!(show(&folded, 0, "1"), "id=1@cdc.ndjson:1");
}

fn change(action: &str, lsn: u32, columns: &[(&str, &str)], identity: &[(&str, &str)]) -> String {
    let list = |values: &[(&str, &str)]| {
        let one = |(name, value): &(&str, &str)| format!(r#"{{"name":"{name}","type":"t","value":{value}}}"#);
        values.iter().map(one).collect::<Vec<_>>().join(",")
    };
    format!(
        r#"{{"action":"{action}","lsn":"0/{lsn:X}","schema":"om","table":"orders","columns":[{}],"identity":[{}]}}"#,
        list(columns),
        list(identity)
    )
}

#[test]
fn an_update_with_another_identity_moves_the_key_and_the_columns_it_omits() {
    let insert = change("I", 1, &[("id", "1"), ("status", "\"a\""), ("note", "\"long\"")], &[]);
    let update = change("U", 2, &[("id", "1"), ("status", "\"b\"")], &[("id", "1")]);
    let moved = change("U", 3, &[("id", "2"), ("status", "\"c\"")], &[("id", "1")]);
    let moved_on = change("U", 4, &[("id", "3"), ("status", "\"d\"")], &[("id", "2")]);
    let reused = change("I", 5, &[("id", "1"), ("status", "\"z\"")], &[]);
    let all = [&insert, &update, &moved, &moved_on, &reused];
    let check = |order: &[usize]| {
        let lines: Vec<&str> = order.iter().map(|n| all[*n].as_str()).collect();
        let folded = read(&lines);
        if order.contains(&4) {
            assert_eq!(show(&folded, 0, "1"), "id=1@0/5 status=z@0/5", "{order:?}");
        } else {
            assert_eq!(
                show(&folded, 0, "1"),
                "id=1@0/2 status=b@0/2 note=long@0/1 deleted@0/3",
                "{order:?}"
            );
        }
        if order.contains(&3) {
            assert_eq!(
                show(&folded, 0, "2"),
                "id=2@0/3 status=c@0/3 note=long@0/1 deleted@0/4",
                "{order:?}"
            );
            assert_eq!(
                show(&folded, 0, "3"),
                "id=3@0/4 status=d@0/4 note=long@0/1",
                "{order:?}"
            );
        } else {
            assert_eq!(
                show(&folded, 0, "2"),
                "id=2@0/3 status=c@0/3 note=long@0/1",
                "{order:?}"
            );
        }
        assert_eq!(folded.max_int_key(0), Some(if order.contains(&3) { 3 } else { 2 }));
    };
    check(&[0, 1, 2]);
    check(&[2, 1, 0]);
    check(&[0, 1, 2, 3]);
    check(&[3, 2, 1, 0]);
    check(&[0, 1, 2, 3, 4]);
    check(&[0, 2, 4, 1, 3]);
}

#[test]
fn a_truncate_deletes_every_known_key_and_warns() {
    let a = change("I", 1, &[("id", "1"), ("status", "\"a\"")], &[]);
    let b = change("I", 2, &[("id", "2"), ("status", "\"b\"")], &[]);
    let truncate = r#"{"action":"T","lsn":"0/3","timestamp":"2026-11-22 14:05:00+00","schema":"om","table":"orders"}"#;
    let again = change("I", 4, &[("id", "2"), ("note", "\"n\"")], &[]);
    for lines in [[&*a, &*b, truncate, &*again], [truncate, &*again, &*b, &*a]] {
        let folded = read(&lines);
        assert_eq!(show(&folded, 0, "1"), "id=1@0/1 status=a@0/1 deleted@0/3");
        assert_eq!(show(&folded, 0, "2"), "id=2@0/4 note=n@0/4");
        let warnings: Vec<&String> = folded.warnings.iter().filter(|w| w.contains("truncated")).collect();
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].contains("om.orders") && warnings[0].contains("2026-11-22T14:05:00Z"),
            "{warnings:?}"
        );
    }
}

#[test]
fn what_is_no_change_is_rejected() {
    for (line, reason) in [
        (r#"{"action":"X"}"#, "`action`"),
        (r#"{"kind":"insert"}"#, "action"),
        (r#"{"action":"I","schema":"om"}"#, "no `table`"),
        (
            r#"{"action":"I","schema":"om","table":"orders","columns":[]}"#,
            "no value for key column id",
        ),
        (
            r#"{"action":"D","schema":"om","table":"orders"}"#,
            "identity: no value for key column id",
        ),
        (r#"{"action":"I","lsn":"7","schema":"om","table":"orders"}"#, "`lsn`"),
        (
            r#"{"action":"I","timestamp":"now","schema":"om","table":"orders"}"#,
            "`timestamp`",
        ),
    ] {
        let logs = Logs::new().with("cdc", FormatKind::Wal2json, format!("{line}\n{INSERT}").as_bytes());
        let folded = logs.limit(1.0).read();
        assert_eq!((folded.stats.rejected, folded.stats.events), (1, 1), "{line}");
        assert!(
            folded.rejects[0].reason.contains(reason),
            "{}",
            folded.rejects[0].reason
        );
    }
}

#[test]
fn events_have_no_version_to_be_ordered_by() {
    let logs = Logs::new()
        .with("cdc", FormatKind::Wal2json, INSERT.as_bytes())
        .order(OrderBy::Version);
    let error = logs.try_read().unwrap_err().error;
    assert_eq!(error.kind, crate::domain::ErrorKind::Usage);
    assert!(error.place.unwrap().contains("order"));
}

/// Lines as wal2json 2.5 writes them.
#[test]
fn what_the_plugin_writes_that_its_documentation_does_not_say() {
    // A type in a schema that needs quotes is no JSON, twice in this line.
    let quoted = r#"{"action":"I","lsn":"0/10","schema":"om","table":"orders","columns":[{"name":"id","type":"bigint","value":1,"optional":false},{"name":"status","type":"My Schema"."My Type","value":"B \"type\":\"x\".\"y\"","optional":true},{"name":"note","type":"A"."B","value":"n","optional":true}]}"#;
    let folded = read(&[quoted]);
    assert_eq!(
        show(&folded, 0, "1"),
        r#"id=1@0/10 status=B "type":"x"."y"@0/10 note=n@0/10"#
    );
    // NaN and the infinities are null, which a NOT NULL column cannot be.
    let nan = |optional: bool| {
        let line = format!(
            r#"{{"action":"I","lsn":"0/20","schema":"om","table":"orders","columns":[{{"name":"id","type":"bigint","value":2,"optional":false}},{{"name":"amount","type":"numeric","value":null,"optional":{optional}}}]}}"#
        );
        show(&read(&[&line]), 0, "2")
    };
    assert_eq!(nan(false), "id=2@0/20");
    assert_eq!(nan(true), "id=2@0/20 amount=NULL@0/20");
    // Primary key columns are repeated without values; types may be left out.
    let pk = r#"{"action":"U","xid":7,"lsn":"0/30","nextlsn":"0/38","schema":"om","table":"orders","columns":[{"name":"id","value":3,"position":1,"default":"nextval('s'::regclass)"}],"identity":[{"name":"id","value":3}],"pk":[{"name":"id","type":"bigint"}]}"#;
    assert_eq!(show(&read(&[pk]), 0, "3"), "id=3@0/30");
}
