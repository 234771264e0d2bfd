//! Columns that people ignore.

use super::*;
use crate::ledger::{to_paste, with_ignores};

#[test]
fn a_column_is_ignored_by_a_lead_with_a_reason_and_compared_again() {
    let room = Room::new();
    let (mut ana, mut sam) = (room.open("ana"), room.open("sam"));
    store(&mut ana, vec![order("1", &[Kind::Regressed])]);
    assert!(refused(ana.ignore("order", "touched", "noise")).contains("takes one to ignore"));
    for (entity, column, reason) in [
        ("order", "touched", " "),
        ("ordr", "touched", "noise"),
        ("order", "id", "noise"),
    ] {
        assert_eq!(sam.ignore(entity, column, reason).unwrap_err().kind, ErrorKind::Usage);
    }
    sam.ignore("order", "touched", "set by a trigger").unwrap();
    assert!(refused(sam.ignore("order", "touched", "again")).contains("already"));
    let ignores = ana.ignores().unwrap();
    assert_eq!(ignores.len(), 1);
    assert_eq!(
        (ignores[0].by.as_str(), ignores[0].reason.as_str()),
        ("sam", "set by a trigger")
    );
    let mut schema = schema();
    schema.entities[0].ignore = vec!["updated_at".to_owned()];
    assert_eq!(
        to_paste(&schema, &ignores),
        ["[schema.order]", r#"ignore = ["updated_at", "touched"]"#]
    );
    with_ignores(&mut schema, &ignores);
    assert_eq!(schema.entities[0].ignore, ["updated_at", "touched"]);
    assert!(refused(ana.compare_again("order", "touched", "it matters")).contains("no lead"));
    sam.compare_again("order", "touched", "it matters").unwrap();
    assert_eq!(ana.ignores().unwrap(), []);
    assert!(refused(sam.compare_again("order", "touched", "it matters")).contains("nobody ignored"));
    let lines: Vec<(String, Option<String>)> = trail(&ana)
        .into_iter()
        .filter(|l| l.outcome == "ok" && l.action != "scan")
        .map(|l| (l.action, l.why))
        .collect();
    let line = |action: &str, why: &str| (action.to_owned(), Some(why.to_owned()));
    assert_eq!(
        lines,
        [
            line("ignore", "order.touched: set by a trigger"),
            line("undo", "order.touched is compared again: it matters")
        ]
    );
}

#[test]
fn ignoring_belongs_to_its_incident() {
    let mut room = Room::new();
    room.open("sam").ignore("order", "touched", "noise").unwrap();
    room.config.incident.id = "another".to_owned();
    assert_eq!(room.open("sam").ignores().unwrap(), []);
    refused(room.try_open("sam", true).unwrap().ignore("order", "touched", "noise"));
}
