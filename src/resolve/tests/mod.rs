mod effects;
mod proofs;
mod to_do;

use crate::config::Effects;
use crate::domain::case::{Advice, FamilyField, FamilyRef, FamilyRow, FoundCase, Happened, Outside, State, Verb};
use crate::domain::finding::{FieldDiff, Kind, Missing};
use crate::domain::queue::{CaseFile, Claim, Decision};
use crate::domain::schema::{Owner, Reference, Schema};
use crate::ledger::Role;
use crate::ledger::tests::{Tap, finding, order, schema, waiting};
use crate::resolve::guards::{Around, Offer, offers};
use crate::resolve::rules::RULES;
use crate::resolve::steps;
use serde_json::json;

fn file(found: FoundCase) -> CaseFile {
    CaseFile {
        found,
        state: State::Open,
        claim: None,
        disproven: false,
        decision: None,
        effect: None,
        notes: Vec::new(),
        waited_for_by: Vec::new(),
    }
}

fn held_by(mut file: CaseFile, by: &str) -> CaseFile {
    file.claim = Some(Claim {
        by: by.to_owned(),
        until: 1,
        fence: 1,
    });
    file
}

fn decided(mut file: CaseFile, verb: Verb, state: State) -> CaseFile {
    file.state = state;
    file.decision = Some(Decision {
        key: "k".to_owned(),
        verb,
        reason: "r".to_owned(),
        by: "ana".to_owned(),
        at: 0,
        reference: None,
        to: None,
        evidence: None,
        until: None,
        steps: Vec::new(),
        assignee: None,
        wanted: None,
        proof: None,
    });
    file
}

fn menu(case: &CaseFile, waits_for: &[CaseFile]) -> Vec<Offer> {
    menu_of(case, waits_for, Role::Operator, &schema(), &Effects::default())
}

fn menu_of(case: &CaseFile, waits_for: &[CaseFile], role: Role, schema: &Schema, effects: &Effects) -> Vec<Offer> {
    offers(
        case,
        Around {
            schema,
            effects,
            who: "ana",
            role,
            waits_for,
        },
    )
}

fn of(menu: &[Offer], verb: Verb) -> &Offer {
    menu.iter().find(|o| o.verb == verb).unwrap()
}

fn why(case: &CaseFile, waits_for: &[CaseFile], verb: Verb) -> String {
    of(&menu(case, waits_for), verb).refused.clone().unwrap_or_default()
}

fn effect(state: Happened) -> Outside {
    Outside {
        item: Some("7".to_owned()),
        name: "billing.activate".to_owned(),
        state,
        at: None,
        why: "the log".to_owned(),
        evidence: None,
        again: false,
    }
}

/// What nobody knows is asked, and the answer goes with the decision.
#[test]
fn resubmitting_with_an_effect_unknown_asks_first() {
    let case = file(order("1", &[Kind::Lost]).tap(|c| c.outside = vec![effect(Happened::Unknown)]));
    let menu = menu(&case, &[]);
    let offer = of(&menu, Verb::Resubmit);
    assert_eq!(offer.refused, None);
    let asks = offer.asks.as_deref().unwrap();
    assert_eq!(asks, "ask billing whether billing.activate of SFO-1 happened (the log)");
    assert!(menu.iter().all(|o| o.verb == Verb::Resubmit || o.asks.is_none()));
    // A site that maps no plan has no step to ask about.
    let plan = Outside {
        item: None,
        name: "its plan".to_owned(),
        ..effect(Happened::Unknown)
    };
    let case = file(order("1", &[Kind::Lost]).tap(|c| c.outside = vec![plan]));
    assert_eq!(of(&self::menu(&case, &[]), Verb::Resubmit).asks, None);
}

/// A row that no order owns.
fn product(kinds: &[Kind]) -> FoundCase {
    order("P3", kinds).tap(|c| {
        c.id = "inventory_item:P3".to_owned();
        c.order = None;
        c.label = "P3".to_owned();
        for f in &mut c.findings {
            f.entity = "inventory_item".to_owned();
        }
        for r in &mut c.family {
            r.entity = "inventory_item".to_owned();
        }
    })
}

fn in_hold(kinds: &[Kind]) -> FoundCase {
    order("SFH-1", kinds).tap(|c| {
        c.id = "held:SFH-1".to_owned();
        c.order = None;
        c.family.clear();
    })
}

/// A row that was not there at the opening, and that no identity tells from another.
fn appeared() -> FoundCase {
    order("1", &[Kind::Regressed]).tap(|c| {
        c.findings[0].since_opening = true;
        c.findings[0].there_at_opening = Some(false);
    })
}

#[test]
fn what_was_decided_to_be_there_or_has_an_identity_may_be_written() {
    let put_there = decided(file(appeared()), Verb::Reapply, State::Open);
    assert_eq!(why(&put_there, &[], Verb::Reapply), "");
    let told = schema().tap(|s| s.entities[0].identity = vec!["external_id".to_owned()]);
    let menu = menu_of(&file(appeared()), &[], Role::Lead, &told, &Effects::default());
    assert_eq!(of(&menu, Verb::Reapply).refused, None);
}

/// An order one step of which is past the point of no return by the log; the restored database knows nothing of it.
fn past_return() -> FoundCase {
    order("1", &[Kind::Regressed]).tap(|c| {
        c.family.push(FamilyRow {
            entity: "plan_item".to_owned(),
            key: "71".to_owned(),
            kinds: vec![Kind::Regressed],
            restored: true,
            bad: None,
            log: Some(true),
            fields: vec![FamilyField {
                name: "is_ponr".to_owned(),
                restored: Some(json!(false)),
                log: Some(json!(true)),
                by: None,
                differs: true,
                coarse: None,
            }],
            refs: Vec::new(),
        });
    })
}

#[test]
fn what_is_past_the_point_of_no_return_by_the_log_is_not_cancelled() {
    let schema = schema().tap(|s| s.entities[2].ponr = Some("is_ponr".to_owned()));
    let told = |case: FoundCase| {
        let menu = menu_of(&file(case), &[], Role::Lead, &schema, &Effects::default());
        of(&menu, Verb::Cancel).refused.clone().unwrap_or_default()
    };
    assert_eq!(
        told(past_return()),
        "plan item 71 is past the point of no return by the log"
    );
    let cancelled_in_time = past_return().tap(|c| c.family[0].fields[0].log = Some(json!("Cancelled")));
    assert_eq!(told(cancelled_in_time), "");
    let without_ground = past_return().tap(|c| c.findings.push(finding("order", "1", Kind::Orphaned)));
    assert_eq!(told(without_ground), "");
    let by_the_restored_alone = past_return().tap(|c| {
        c.family[1].fields[0].log = Some(json!(false));
        c.family[1].fields[0].restored = Some(json!(true));
    });
    assert_eq!(told(by_the_restored_alone), "");
}

#[test]
fn what_went_past_the_log_since_the_opening_is_not_set_back() {
    let states = ["Created", "Accepted", "Activated"].map(str::to_owned).to_vec();
    let ordered = schema().tap(|s| s.entities[0].states = states);
    for (now, since, expected) in [
        (
            "Activated",
            true,
            "SFO-1 went on to Activated since the opening, past the log's Accepted",
        ),
        ("Activated", false, ""),
        ("Created", true, ""),
        ("Unheard of", true, ""),
    ] {
        let case = order("1", &[Kind::Regressed]).tap(|c| {
            c.findings[0].since_opening = since;
            c.findings[0].fields = vec![FieldDiff {
                name: "status".to_owned(),
                restored: json!(now),
                log: json!("Accepted"),
                by: 0,
                opening: None,
                undone: false,
            }];
        });
        let menu = menu_of(&file(case), &[], Role::Lead, &ordered, &Effects::default());
        let told = of(&menu, Verb::Reapply).refused.clone().unwrap_or_default();
        assert_eq!(told.is_empty(), expected.is_empty(), "{now}: {told}");
        assert!(told.contains(expected), "{told}");
    }
}

/// A case, what it waits for, a verb, and the reason against it (empty: none).
type Row = (&'static str, FoundCase, Vec<CaseFile>, Verb, &'static str);

#[allow(clippy::too_many_lines, reason = "a table")]
fn table() -> Vec<Row> {
    use Kind::{Collided, Contradicted, Expired, InDoubt, Lost, Moved, Orphaned, Regressed, Undeleted};
    use Verb::{Cancel, Complete, Reapply, Relink, Resubmit, Supersede};
    let blocked = || waiting("2", &[Lost, Orphaned], &["1"]);
    let first = || file(order("1", &[Lost]));
    vec![
        ("no order", product(&[Lost]), vec![], Resubmit, "no order owns this row"),
        (
            "no order",
            product(&[Lost]),
            vec![],
            Supersede,
            "no order owns this row",
        ),
        ("no order", product(&[Lost]), vec![], Cancel, "no order owns this row"),
        ("no order", product(&[Undeleted]), vec![], Reapply, ""),
        (
            "reused",
            order("1", &[Collided]),
            vec![],
            Reapply,
            "the key of SFO-1 was reused",
        ),
        (
            "reused, asked by a waiting case",
            blocked(),
            vec![file(order("1", &[Collided]))],
            Reapply,
            "key of SFO-1 was reused",
        ),
        (
            "moved",
            order("1", &[Moved]),
            vec![],
            Reapply,
            "SFO-1 came back by itself as 55",
        ),
        (
            "kept",
            blocked(),
            vec![decided(first(), Verb::Keep, State::Proven)],
            Reapply,
            "SFO-1 was decided keep",
        ),
        (
            "cancelled",
            blocked(),
            vec![decided(first(), Verb::Cancel, State::ToDo)],
            Reapply,
            "SFO-1 was decided cancel",
        ),
        (
            "sent again",
            blocked(),
            vec![decided(first(), Verb::Resubmit, State::Proven)],
            Reapply,
            "SFO-1 was decided resubmit",
        ),
        (
            "the key of a lost row, taken since",
            appeared(),
            vec![],
            Reapply,
            "SFO-1 appeared after the opening",
        ),
        (
            "coming",
            blocked(),
            vec![decided(first(), Verb::Reapply, State::ToDo)],
            Reapply,
            "",
        ),
        (
            "nobody has it",
            waiting("2", &[Lost, Orphaned], &["1"]),
            vec![],
            Reapply,
            "the log brings no order 1 back",
        ),
        ("comes along", blocked(), vec![first()], Reapply, ""),
        (
            "only a reference",
            waiting("2", &[Orphaned], &["1"]),
            vec![first()],
            Reapply,
            "",
        ),
        (
            "nothing to write",
            order("1", &[InDoubt]),
            vec![],
            Reapply,
            "no row of it differs",
        ),
        ("differs", order("1", &[Regressed]), vec![], Reapply, ""),
        ("held", in_hold(&[Orphaned]), vec![], Resubmit, "still in the hold"),
        ("expired", in_hold(&[Expired]), vec![], Resubmit, ""),
        (
            "there",
            order("1", &[Regressed]),
            vec![],
            Resubmit,
            "SFO-1 is there: it would be done twice",
        ),
        (
            "moved",
            order("1", &[Moved]),
            vec![],
            Resubmit,
            "SFO-1 came back by itself",
        ),
        ("key reused by another", order("1", &[Collided]), vec![], Resubmit, ""),
        (
            "nowhere",
            order("1", &[Lost]).tap(|c| c.family.clear()),
            vec![],
            Resubmit,
            "the log has no order SFO-1",
        ),
        (
            "needs another",
            blocked(),
            vec![first()],
            Resubmit,
            "SFO-1 must come back first",
        ),
        ("lost", order("1", &[Lost]), vec![], Resubmit, ""),
        (
            "whole",
            order("1", &[Lost]),
            vec![],
            Relink,
            "refers to nothing that is missing",
        ),
        ("missing", blocked(), vec![first()], Relink, ""),
        (
            "held, and missing",
            in_hold(&[Orphaned]).tap(|c| {
                c.missing = vec![Missing {
                    entity: "inventory_item".to_owned(),
                    column: None,
                    key: "12".to_owned(),
                }];
            }),
            vec![],
            Relink,
            "no row could be pointed elsewhere",
        ),
        (
            "an effect is done",
            order("1", &[Lost]).tap(|c| c.outside = vec![effect(Happened::Done)]),
            vec![],
            Resubmit,
            "billing.activate is DONE: resubmitting would repeat it",
        ),
        (
            "an effect did not happen",
            order("1", &[Lost]).tap(|c| c.outside = vec![effect(Happened::None)]),
            vec![],
            Resubmit,
            "",
        ),
        (
            "ends a service that lives",
            order("1", &[Orphaned]).tap(|c| c.action = "Disconnect".to_owned()),
            vec![],
            Cancel,
            "SFO-1 ends a service that still lives",
        ),
        (
            "has ended the service",
            order("1", &[Orphaned]).tap(|c| {
                c.action = "Disconnect".to_owned();
                c.outside = vec![effect(Happened::Done)];
            }),
            vec![],
            Cancel,
            "",
        ),
        (
            "orphaned",
            waiting("2", &[Orphaned], &["1"]),
            vec![],
            Complete,
            "nothing to complete",
        ),
        (
            "undeleted",
            order("1", &[Undeleted]),
            vec![],
            Complete,
            "nothing to complete",
        ),
        ("in doubt", order("1", &[InDoubt]), vec![], Complete, ""),
        ("regressed", order("1", &[Regressed]), vec![], Complete, ""),
        ("unclear", order("1", &[Contradicted]), vec![], Complete, ""),
        ("held", in_hold(&[Orphaned]), vec![], Cancel, "in the hold only"),
        ("lost", order("1", &[Lost]), vec![], Cancel, ""),
        ("lost", order("1", &[Lost]), vec![], Supersede, ""),
    ]
}

#[test]
fn the_rules() {
    for (what, case, waits_for, verb, expected) in table() {
        let case = file(case);
        let told = why(&case, &waits_for, verb);
        if expected.is_empty() {
            assert_eq!(told, "", "{what}: {}", verb.name());
        } else {
            assert!(told.contains(expected), "{what}: {}: {told:?}", verb.name());
        }
        for free in [Verb::Keep, Verb::Park, Verb::Escalate] {
            assert_eq!(why(&case, &waits_for, free), "", "{what}: {}", free.name());
        }
    }
}

/// Each rule refuses a case of the table, and each verb of the rules is allowed on another.
#[test]
fn every_rule_has_its_row() {
    let table = table();
    for verb in RULES.iter().flat_map(|(verbs, _)| verbs.iter()) {
        let of_verb = |allowed: bool| table.iter().any(|(.., v, why)| v == verb && why.is_empty() == allowed);
        assert!(of_verb(true) && of_verb(false), "{}", verb.name());
    }
    // `no_state_counts_as_cancelled` depends on the configuration, not on the case.
    let mut schema = schema();
    schema.entities[0].cancelled.clear();
    let menu = menu_of(
        &file(order("1", &[Kind::Lost])),
        &[],
        Role::Lead,
        &schema,
        &Effects::default(),
    );
    assert!(
        of(&menu, Verb::Cancel)
            .refused
            .as_ref()
            .unwrap()
            .contains("no state is configured")
    );
}

#[test]
fn role_state_holder_and_effect_come_before_the_rules() {
    let case = file(order("1", &[Kind::Lost]));
    let all = |menu: Vec<Offer>, words: &str| {
        assert!(
            menu.iter()
                .all(|o| o.refused.as_ref().is_some_and(|r| r.contains(words))),
            "{words}: {menu:?}"
        );
    };
    all(
        menu_of(&case, &[], Role::Viewer, &schema(), &Effects::default()),
        "may look",
    );
    all(menu(&held_by(case.clone(), "li"), &[]), "li holds it");
    for (state, words) in [
        (State::ToDo, "to do already"),
        (State::Applied, "applied already"),
        (State::Unconfirmed, "unconfirmed already"),
        (State::Proven, "proven already"),
        (State::Gone, "gone"),
    ] {
        all(menu(&decided(case.clone(), Verb::Reapply, state), &[]), words);
    }
    for state in [State::Parked, State::Escalated] {
        assert_eq!(why(&decided(case.clone(), Verb::Park, state), &[], Verb::Reapply), "");
    }
}

#[test]
fn a_chain_is_written_only_by_who_holds_all_of_it() {
    let case = || file(waiting("2", &[Kind::Lost], &["1"]));
    let blocker = || file(order("1", &[Kind::Lost]));
    let told = |case: CaseFile, blocker: CaseFile| why(&case, &[blocker], Verb::Reapply);
    assert_eq!(
        told(case(), blocker()),
        "",
        "before the claim the menu says what could be done"
    );
    assert!(told(held_by(case(), "ana"), blocker()).contains("claim the chain"));
    assert_eq!(told(case(), held_by(blocker(), "li")), "li holds SFO-1");
    assert_eq!(told(held_by(case(), "ana"), held_by(blocker(), "ana")), "");
    let menu = menu(&held_by(case(), "ana"), &[held_by(blocker(), "ana")]);
    assert_eq!(of(&menu, Verb::Reapply).also, ["order:1"]);
    assert!(menu.iter().all(|o| o.verb == Verb::Reapply || o.also.is_empty()));
}

#[test]
fn the_menu_says_what_each_verb_would_do() {
    let mut lost = order("41", &[Kind::Lost]);
    lost.findings.push(finding("inventory_item", "12", Kind::Lost));
    lost.findings.push(finding("order_item", "77", Kind::Lost));
    let mut case = waiting("12", &[Kind::Lost, Kind::Orphaned], &["41"]);
    case.label = "SFM-12".to_owned();
    case.missing = vec![Missing {
        entity: "inventory_item".to_owned(),
        column: None,
        key: "12".to_owned(),
    }];
    case.findings.push(finding("order_item", "1201", Kind::Lost));
    case.findings.push(finding("plan_item", "973", Kind::Lost));
    case.advice = Some(Advice {
        verb: Verb::Park,
        why: String::new(),
    });
    let menu = menu(&file(case), &[file(lost)]);
    assert_eq!(menu.iter().map(|o| o.verb).collect::<Vec<_>>(), Verb::ALL);
    let what = |verb| of(&menu, verb).what.as_str();
    assert_eq!(
        what(Verb::Reapply),
        "re-create SFO-41, inventory item 12, SFM-12: 6 rows"
    );
    assert_eq!(what(Verb::Resubmit), "send SFM-12 to the order intake again");
    assert_eq!(
        what(Verb::Relink),
        "no row is known that fits inventory item 12: name one"
    );
    assert_eq!(what(Verb::Keep), "leave it as restored: stays lost, orphaned");
    assert!(of(&menu, Verb::Park).advised && !of(&menu, Verb::Keep).advised);
    assert_eq!(
        of(&menu, Verb::Reapply).steps,
        [
            "insert om.orders 41: Activated",
            "insert om.order_items 77",
            "insert om.inventory_items 12",
            "insert om.orders 12: Activated",
            "insert om.order_items 1201",
            "insert om.orch_items 973",
        ]
    );

    let product = self::menu(&file(product(&[Kind::Undeleted])), &[]);
    assert_eq!(of(&product, Verb::Reapply).what, "delete inventory item P3: 1 row");
    assert_eq!(of(&product, Verb::Reapply).steps, ["delete om.inventory_items P3"]);
}
