use super::*;

/// A change event without its schema, of one order or of the table.
fn event(lsn: u64, op: &str, before: &str, after: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},"source":{{"schema":"om","table":"orders","lsn":{lsn},"ts_ms":{}}},"op":"{op}","ts_ms":1}}"#,
        1_795_356_300_000 + lsn
    )
}

fn read_events(events: &[String]) -> Folded {
    Logs::new()
        .with("cdc", FormatKind::Debezium, events.join("\n").as_bytes())
        .read()
}

#[test]
fn a_key_change_is_a_delete_and_a_create() {
    let events = [
        event(10, "c", "null", r#"{"id":1,"amount":"12.50","note":"long"}"#),
        // What replica identity DEFAULT knows of the old row: its key.
        event(20, "d", r#"{"id":1,"amount":null,"note":""}"#, "null"),
        "null".to_owned(),
        event(
            20,
            "c",
            "null",
            r#"{"id":2,"amount":"12.50","note":"__debezium_unavailable_value"}"#,
        ),
    ];
    let folded = read_events(&events);
    assert_eq!(show(&folded, 0, "1"), "id=1@20 amount=12.50@10 note=long@10 deleted@20");
    assert_eq!(show(&folded, 0, "2"), "id=2@20 amount=12.50@20");
    assert_eq!(folded.stats.first, Some(1_795_356_300_010_000));
    assert_eq!((folded.max_int_key(0), folded.stats.rejected), (Some(2), 0));
}

#[test]
fn the_lsn_orders_the_events_and_an_unavailable_value_leaves_the_older_one() {
    let events = [
        event(
            30,
            "u",
            "null",
            r#"{"id":9007199254740993,"amount":"MDk=","note":"__debezium_unavailable_value"}"#,
        ),
        event(
            10,
            "r",
            "null",
            r#"{"id":9007199254740993,"amount":"AQ==","note":"kept"}"#,
        ),
        event(
            20,
            "u",
            "null",
            r#"{"id":9007199254740993,"amount":"Ag==","note":"__debezium_unavailable_value"}"#,
        ),
    ];
    let folded = read_events(&events);
    assert_eq!(
        show(&folded, 0, "9007199254740993"),
        "id=9007199254740993@30 amount=123.45@30 note=kept@10"
    );
}

#[test]
fn a_truncate_deletes_what_is_known() {
    let truncate = event(20, "t", "null", "null");
    let events = [
        event(10, "c", "null", r#"{"id":1,"note":"a"}"#),
        event(30, "c", "null", r#"{"id":2,"note":"b"}"#),
        truncate,
    ];
    let folded = read_events(&events);
    assert_eq!(show(&folded, 0, "1"), "id=1@10 note=a@10 deleted@20");
    assert_eq!(show(&folded, 0, "2"), "id=2@30 note=b@30");
    assert!(
        folded.warnings.iter().any(|w| w.contains("truncated")),
        "{:?}",
        folded.warnings
    );
}

#[test]
fn what_cannot_be_decoded_is_a_reject_that_names_column_and_value() {
    let good = event(10, "c", "null", r#"{"id":1,"amount":"1.00"}"#);
    let bad = event(11, "u", "null", r#"{"id":1,"amount":"twelve"}"#);
    let logs = Logs::new()
        .with("cdc", FormatKind::Debezium, [good, bad].join("\n").as_bytes())
        .limit(1.0);
    let folded = logs.read();
    assert_eq!((folded.stats.rejected, folded.rejects.len()), (1, 1));
    assert!(
        folded.rejects[0]
            .reason
            .contains(r#"column "amount": "twelve" is neither a decimal nor one in base64"#),
        "{:?}",
        folded.rejects[0]
    );
    assert_eq!(show(&folded, 0, "1"), "id=1@10 amount=1.00@10");
}
