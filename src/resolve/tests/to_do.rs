use super::*;

#[test]
fn steps_come_in_an_order_that_can_be_written() {
    let mut schema = schema();
    let refer = |column: &str, entity: &str| Reference {
        column: column.to_owned(),
        entity: entity.to_owned(),
        target: None,
    };
    schema.entities[1].owner = Some(Owner {
        column: "order_id".to_owned(),
        entity: "order".to_owned(),
    });
    schema.entities[1].refs = vec![refer("inventory_item_id", "inventory_item")];
    // An order may refer to another order: no cycle to fall into.
    schema.entities[0].refs = vec![refer("prior_order_id", "order")];
    let mut case = order("1", &[Kind::Lost]);
    for (entity, key, kind) in [
        ("order_item", "5", Kind::Lost),
        ("order_item", "6", Kind::Undeleted),
        ("inventory_item", "7", Kind::Lost),
        ("inventory_item", "8", Kind::Undeleted),
    ] {
        case.findings.push(finding(entity, key, kind));
    }
    let steps = steps::reapply(&case, &schema);
    assert_eq!(
        steps,
        [
            "insert om.orders 1: Activated",
            "insert om.inventory_items 7",
            "insert om.order_items 5",
            "delete om.order_items 6",
            "delete om.inventory_items 8",
        ]
    );
}

#[test]
fn steps_name_the_change_but_no_masked_value() {
    let mut schema = schema();
    schema.entities[0].label = Some("msisdn".to_owned());
    schema.entities[0].mask = vec!["msisdn".to_owned()];
    schema.entities[0].show = vec!["status".to_owned(), "msisdn".to_owned(), "note".to_owned()];
    let field = |name: &str, log: serde_json::Value| FamilyField {
        name: name.to_owned(),
        restored: None,
        log: Some(log),
        by: None,
        differs: true,
        coarse: None,
    };
    let mut case = order("1", &[Kind::Lost]);
    case.family[0].fields.push(field("msisdn", json!("+49170")));
    case.family[0].fields.push(field("note", json!("x".repeat(10_000))));
    let lost = steps::reapply(&case, &schema).remove(0);
    assert_eq!(lost, format!("insert om.orders 1: Activated, {}...", "x".repeat(60)));

    let mut case = order("1", &[Kind::Regressed]);
    let diff = |name: &str, log: serde_json::Value| FieldDiff {
        name: name.to_owned(),
        restored: json!(null),
        log,
        by: 0,
        opening: None,
        undone: false,
    };
    case.findings[0].fields = vec![
        diff("status", json!("Activated")),
        diff("msisdn", json!("+49170")),
        diff("n", json!(3)),
    ];
    assert_eq!(
        steps::reapply(&case, &schema),
        ["set om.orders 1: status from null to Activated, msisdn (masked), n from null to 3"]
    );
}

#[test]
fn relinking_names_each_row_that_refers() {
    let mut case = waiting("2", &[Kind::Orphaned], &["1"]);
    let reference = |column: &str, present: bool| FamilyRef {
        column: column.to_owned(),
        to: Missing {
            entity: "inventory_item".to_owned(),
            column: None,
            key: "12".to_owned(),
        },
        present,
    };
    // What the log itself deleted is not there either, but nobody misses it.
    let deleted = FamilyRef {
        to: Missing {
            entity: "catalog".to_owned(),
            column: None,
            key: "40".to_owned(),
        },
        ..reference("inventory_item_id", false)
    };
    case.missing.push(reference("", false).to);
    case.family.push(FamilyRow {
        entity: "order_item".to_owned(),
        key: "1201".to_owned(),
        kinds: Vec::new(),
        restored: true,
        bad: None,
        log: Some(true),
        fields: Vec::new(),
        refs: vec![
            reference("inventory_item_id", false),
            reference("asset_ref", true),
            deleted,
        ],
    });
    let steps = crate::resolve::guards::own_steps(
        &file(case),
        Verb::Relink,
        Some("inventory_item_id"),
        Some("15"),
        &schema(),
    );
    assert_eq!(steps, ["set om.order_items 1201: inventory_item_id from 12 to 15"]);
}
