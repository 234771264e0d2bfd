//! What an effect will do, told before anything is done.

use super::{file, menu_of, of};
use crate::config::{Effect, Effects, HttpEffect, KafkaConfig, KafkaEffect};
use crate::domain::case::{FamilyField, FamilyRow, FoundCase, Verb};
use crate::domain::finding::{Evidence, FieldDiff, Kind};
use crate::domain::queue::CaseFile;
use crate::ledger::Role;
use crate::ledger::tests::{Tap, finding, order, schema, waiting};
use crate::resolve::effects::plan::{Asked, Plan, Planned, digest, plan};
use crate::resolve::guards::{COMPENSABLE, ONE_WAY, REVERSIBLE};
use crate::resolve::steps::Act;
use serde_json::{Value as Json, json};
use std::time::Duration;

fn field(name: &str, restored: Option<Json>, log: Option<Json>) -> FamilyField {
    FamilyField {
        name: name.to_owned(),
        restored,
        by: log.is_some().then(|| Evidence {
            source: "cdc".to_owned(),
            position: "1".to_owned(),
            ts: None,
        }),
        log,
        differs: true,
        coarse: None,
    }
}

fn row(entity: &str, key: &str, kind: Kind, fields: Vec<FamilyField>) -> FamilyRow {
    FamilyRow {
        entity: entity.to_owned(),
        key: key.to_owned(),
        kinds: vec![kind],
        restored: kind != Kind::Lost,
        bad: None,
        log: Some(kind != Kind::Undeleted),
        fields,
        refs: Vec::new(),
    }
}

/// Order 1: a status set back, an item lost, another that the log deleted.
fn case() -> FoundCase {
    order("1", &[Kind::Regressed]).tap(|c| {
        c.findings[0].fields = vec![FieldDiff {
            name: "status".to_owned(),
            restored: json!("New"),
            log: json!("Done"),
            by: 0,
            opening: None,
            undone: false,
        }];
        c.findings.push(finding("order_item", "7", Kind::Lost));
        c.findings.push(finding("order_item", "8", Kind::Undeleted));
        c.family = vec![
            row(
                "order",
                "1",
                Kind::Regressed,
                vec![
                    field("id", Some(json!("1")), None),
                    field("status", Some(json!("New")), Some(json!("Done"))),
                    field("msisdn", Some(json!("+4917")), None),
                ],
            ),
            row(
                "order_item",
                "7",
                Kind::Lost,
                vec![
                    field("order_id", None, Some(json!("1"))),
                    field("note", None, Some(Json::Null)),
                ],
            ),
            row(
                "order_item",
                "8",
                Kind::Undeleted,
                vec![field("note", Some(Json::Null), None)],
            ),
        ];
    })
}

fn effects(verb: Verb, effect: Effect) -> Effects {
    Effects {
        verbs: [(verb, effect)].into(),
        ..Effects::default()
    }
}

fn sql(case: &FoundCase, chain: &[&FoundCase], verb: Verb, asked: Asked<'_>) -> Result<Planned, String> {
    let schema = schema().tap(|s| s.entities[0].mask = vec!["msisdn".to_owned()]);
    plan(&Effect::Sql, verb, case, chain, asked, &schema).map(Option::unwrap)
}

fn acts(plan: &Plan) -> Vec<(Act, String)> {
    let Plan::Sql { writes } = plan else { panic!("{plan:?}") };
    writes
        .iter()
        .map(|w| (w.act, format!("{} {}", w.entity, w.key)))
        .collect()
}

#[test]
fn rows_are_written_in_the_order_of_their_references_and_deleted_last() {
    let before = order("9", &[Kind::Lost]).tap(|c| {
        c.findings.push(finding("order_item", "90", Kind::Undeleted));
        c.family = vec![
            row(
                "order",
                "9",
                Kind::Lost,
                vec![field("status", None, Some(json!("Done")))],
            ),
            row("order_item", "90", Kind::Undeleted, Vec::new()),
        ];
    });
    let planned = sql(&case(), &[&before], Verb::Reapply, Asked::default()).unwrap();
    let named = |act, name: &str| (act, name.to_owned());
    assert_eq!(
        acts(&planned.plan),
        [
            named(Act::Insert, "order 9"),
            named(Act::Set, "order 1"),
            named(Act::Insert, "order_item 7"),
            named(Act::Delete, "order_item 8"),
            named(Act::Delete, "order_item 90"),
        ]
    );
    // A key that the log's state does not repeat comes from the event; a null that it tells is written, what it does not
    // tell is not.
    assert_eq!(
        planned.lines[..5],
        [
            "insert om.orders 9: status = Done, id = 9",
            "set om.orders 1: status from New to Done",
            "insert om.order_items 7: order_id = 1, note = null, id = 7",
            "delete om.order_items 8: note = null",
            "delete om.order_items 90",
        ]
    );
    assert!(!planned.json.to_string().contains("+4917"), "{}", planned.json);
    let Plan::Sql { writes } = &planned.plan else { panic!() };
    let was: Vec<(&str, Option<&str>)> = writes[1].was.iter().map(|c| (&*c.column, c.text.as_deref())).collect();
    assert_eq!(
        was,
        [("id", Some("1")), ("status", Some("New")), ("msisdn", Some("+4917"))]
    );
}

#[test]
fn what_takes_a_plan_back_writes_the_rows_as_they_were_and_only_as_written() {
    let planned = sql(&case(), &[], Verb::Reapply, Asked::default()).unwrap();
    let back = planned.plan.inverse().unwrap();
    let named = |act, name: &str| (act, name.to_owned());
    assert_eq!(
        acts(&back),
        [
            named(Act::Insert, "order_item 8"),
            named(Act::Delete, "order_item 7"),
            named(Act::Set, "order 1"),
        ]
    );
    let Plan::Sql { writes } = &back else { panic!() };
    assert_eq!(writes[2].set[0].text.as_deref(), Some("New"));
    let status = writes[2].was.iter().find(|c| c.column == "status").unwrap();
    assert_eq!(status.text.as_deref(), Some("Done"));
    // There and back again is where one was, but for what an insert knows of the row before.
    let there = back.inverse().unwrap();
    let (Plan::Sql { writes: again }, Plan::Sql { writes: first }) = (&there, &planned.plan) else {
        panic!()
    };
    assert_eq!(
        (again.len(), &again[0].set, &again[0].was),
        (3, &first[0].set, &first[0].was)
    );
    for plan in [
        Plan::Http {
            url: String::new(),
            payload: String::new(),
        },
        Plan::Kafka {
            topic: String::new(),
            key: String::new(),
            payload: String::new(),
        },
    ] {
        assert!(plan.inverse().is_none() && plan.is_one_way());
    }
}

#[test]
fn a_plan_says_why_it_cannot_be() {
    let why = |case: &FoundCase, chain: &[&FoundCase], verb, asked| sql(case, chain, verb, asked).unwrap_err();
    let lost = order("1", &[Kind::Lost]).tap(|c| c.family[0].fields.clear());
    assert!(why(&lost, &[], Verb::Cancel, Asked::default()).contains("is not there"));
    assert!(why(&case(), &[&case()], Verb::Reapply, Asked::default()).contains("written twice"));
    assert!(why(&case(), &[], Verb::Relink, Asked::default()).contains("not said yet"));
    let bare = case().tap(|c| c.family.clear());
    assert!(why(&bare, &[], Verb::Reapply, Asked::default()).contains("not known field by field"));
    let asked = Asked {
        reference: Some("prior_order_id"),
        to: Some("5"),
    };
    let whole = order("1", &[Kind::Regressed]);
    assert!(why(&whole, &[], Verb::Relink, asked).contains("no row to write"));
}

#[test]
fn an_order_is_sent_in_the_words_of_the_log_or_of_the_hold() {
    let to = Effect::Kafka(KafkaEffect {
        topic: "om.orders.in".to_owned(),
        cluster: KafkaConfig::default(),
    });
    let held = order("SFH-1", &[Kind::Orphaned]).tap(|c| {
        c.id = "held:SFH-1".to_owned();
        c.order = None;
        c.family = vec![
            row(
                "order",
                "SFH-1",
                Kind::Lost,
                vec![field("msisdn", None, Some(json!("+4917")))],
            ),
            row(
                "order_item",
                "SFH-1#1",
                Kind::Lost,
                vec![field("what", None, Some(json!("fibre")))],
            ),
        ];
        for f in c.family.iter_mut().flat_map(|r| &mut r.fields) {
            f.by = None;
        }
    });
    let schema = schema().tap(|s| s.entities[0].mask = vec!["msisdn".to_owned()]);
    let planned = plan(&to, Verb::Resubmit, &held, &[], Asked::default(), &schema)
        .unwrap()
        .unwrap();
    let Plan::Kafka { key, payload, .. } = &planned.plan else {
        panic!()
    };
    assert_eq!(key, "SFH-1");
    assert_eq!(
        serde_json::from_str::<Json>(payload).unwrap(),
        json!({"entity": "order", "key": "SFH-1", "op": "insert", "state": {"msisdn": "+4917", "items": [{"what": "fibre"}]}})
    );
    assert!(!planned.lines.join(" ").contains("+4917") && !planned.json.to_string().contains("+4917"));
    assert!(planned.lines[1].contains("at least once"));
    // Every other verb names itself and lists its rows.
    let planned = plan(&to, Verb::Reapply, &case(), &[], Asked::default(), &schema)
        .unwrap()
        .unwrap();
    let Plan::Kafka { payload, .. } = &planned.plan else {
        panic!()
    };
    let told: Json = serde_json::from_str(payload).unwrap();
    assert_eq!((&told["verb"], &told["order"]), (&json!("reapply"), &json!("1")));
    assert_eq!(told["events"][0]["op"], "upsert");
    assert_eq!(
        told["events"][2],
        json!({"entity": "order_item", "key": "8", "op": "delete", "state": null})
    );
}

#[test]
fn the_menu_says_whether_and_how_a_verb_is_taken_back() {
    let case = file(case());
    let offer = |effects: &Effects, verb| {
        let menu = menu_of(&case, &[], Role::Operator, &schema(), effects);
        of(&menu, verb).clone()
    };
    let plain = offer(&Effects::default(), Verb::Reapply);
    assert_eq!((plain.kind, &plain.effect, &plain.seen), (REVERSIBLE, &None, &None));
    assert!(plain.wanted.is_some());
    let sql = offer(&effects(Verb::Reapply, Effect::Sql), Verb::Reapply);
    assert_eq!((sql.kind, sql.wanted, &sql.refused), (COMPENSABLE, None, &None));
    assert_eq!(sql.seen, Some(digest(&case.found, &[])));
    let http = Effect::Http(HttpEffect {
        url: "http://intake/".to_owned(),
        headers: [].into(),
        token_env: None,
        token_file: None,
        timeout: Duration::from_secs(1),
    });
    let mut sends = effects(Verb::Cancel, http);
    let cancel = offer(&sends, Verb::Cancel);
    assert_eq!(cancel.kind, ONE_WAY);
    assert!(cancel.undo.contains("10 s"), "{}", cancel.undo);
    sends.grace = Duration::ZERO;
    assert_eq!(offer(&sends, Verb::Cancel).undo, "nothing takes it back");
    // What it would write cannot be planned: refused with the words.
    let lost: CaseFile = file(waiting("2", &[Kind::Regressed], &[]).tap(|c| c.family.clear()));
    let menu = menu_of(
        &lost,
        &[],
        Role::Operator,
        &schema(),
        &effects(Verb::Reapply, Effect::Sql),
    );
    assert!(
        of(&menu, Verb::Reapply)
            .refused
            .as_ref()
            .unwrap()
            .contains("field by field")
    );
}
