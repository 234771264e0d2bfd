//! The hold as a file.

use super::*;
use crate::log::hold::{self, Held};

fn held(lines: &[&str], limit: f64) -> Result<Held, ReadError> {
    let logs = Logs::native(lines);
    hold::read(logs.configs[0].path.as_deref().unwrap(), limit, false)
}

#[test]
fn the_key_is_a_label_and_items_are_lists_of_columns() {
    let held = held(
        &[
            r#"{"pos":1,"ts":"2026-11-22T14:10:00Z","entity":"order","key":"SFM-1","op":"insert","state":{"amount":1.50,"account_id":"0012","items":[{"product":"P1","qty":90071992547409931},{"product":null}]}}"#,
            r#"{"pos":2,"key":7,"state":null}"#,
            r#"{"pos":3,"entity":"task","key":"x","op":"insert"}"#,
        ],
        0.0,
    )
    .unwrap();
    let value = |kind, text: &str| crate::domain::value::LogValue::new(kind, text.to_owned());
    let order = held.orders.iter().find(|o| o.key == "SFM-1").unwrap();
    assert_eq!(order.at, crate::domain::time::parse("2026-11-22T14:10:00Z"));
    assert_eq!(order.position, "1");
    let state = [
        ("account_id", value(LogKind::Text, "0012")),
        ("amount", value(LogKind::Number, "1.50")),
    ];
    assert_eq!(order.state, state.map(|(n, v)| (n.to_owned(), v)));
    let first = [
        ("product", value(LogKind::Text, "P1")),
        ("qty", value(LogKind::Number, "90071992547409931")),
    ];
    assert_eq!(order.items[0], first.map(|(n, v)| (n.to_owned(), v)));
    assert_eq!(order.items[1], [("product".to_owned(), value(LogKind::Null, ""))]);
    assert_eq!(
        held.orders.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(),
        ["7", "SFM-1"]
    );
    assert_eq!(held.warnings.len(), 1);
}

#[test]
fn the_latest_message_of_a_label_counts() {
    let message = |pos: u32, version: &str, op: &str| {
        format!(r#"{{"pos":{pos}{version},"entity":"order","key":"A","op":"{op}","state":{{"n":{pos}}}}}"#)
    };
    let kept = |lines: &[&str]| held(lines, 0.0).unwrap().orders.first().map(|o| o.position.clone());
    assert_eq!(
        kept(&[&message(2, "", "insert"), &message(1, "", "insert")]).as_deref(),
        Some("2")
    );
    let (old, new) = (
        message(2, ",\"version\":1", "insert"),
        message(1, ",\"version\":2", "insert"),
    );
    assert_eq!(kept(&[&old, &new]).as_deref(), Some("1"));
    assert_eq!(kept(&[&message(1, "", "insert"), &message(2, "", "delete")]), None);
}

#[test]
fn nothing_held_is_no_error_and_malformed_messages_are_rejected() {
    assert_eq!(held(&[], 0.0).unwrap(), Held::default());
    let lines = [
        r#"{"entity":"order","key":"A","op":"insert","state":{"items":{}}}"#,
        r#"{"entity":"order","key":"B","op":"insert"}"#,
    ];
    let rejects = held(&lines, 0.5).unwrap().rejects;
    assert_eq!(
        (rejects[0].source.as_str(), rejects[0].position.as_str()),
        ("hold", "cdc.ndjson:1")
    );
    assert!(rejects[0].reason.contains("items"));
    let failed = held(&lines, 0.01).unwrap_err();
    assert!(failed.error.what.contains("hold"), "{}", failed.error);
    assert_eq!(failed.rejects.len(), 1);
}
