use super::*;
use crate::domain::case::{FamilyRow, Fit};
use crate::domain::finding::{Evidence, FieldDiff, RowState};
use crate::ledger::tests::{finding, order};

/// The schema of the ledger's tests, with orders that can be cancelled.
fn schema() -> Schema {
    crate::ledger::tests::schema()
}

/// A case with what the rules are told besides.
struct Told {
    case: FoundCase,
    undecided: Vec<FoundCase>,
    settled: Vec<(&'static str, Verb)>,
    brought: Option<(String, Missing)>,
    stays_lost: Option<(Missing, String)>,
    ended: Option<String>,
    past_return: bool,
    half: Option<Half>,
}

fn told(case: FoundCase) -> Told {
    Told {
        case,
        undecided: Vec::new(),
        settled: Vec::new(),
        brought: None,
        stays_lost: None,
        ended: None,
        past_return: false,
        half: None,
    }
}

fn of(kinds: &[Kind]) -> Told {
    told(order("7", kinds))
}

fn inventory() -> Missing {
    Missing {
        entity: "inventory_item".to_owned(),
        column: None,
        key: "12".to_owned(),
    }
}

fn effect(name: &str, state: Happened) -> Outside {
    Outside {
        item: Some("77".to_owned()),
        name: name.to_owned(),
        state,
        at: None,
        why: "started at 14:08:59Z, no answer in the log".to_owned(),
        evidence: None,
        again: false,
    }
}

impl Told {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn effects(self, states: &[Happened]) -> Self {
        self.with(|t| {
            t.case.outside = states.iter().map(|s| effect("billing.activate", *s)).collect();
        })
    }

    fn again(self, state: Happened) -> Self {
        self.effects(&[state]).with(|t| t.case.outside[0].again = true)
    }

    fn lacks(self) -> Self {
        self.with(|t| t.case.missing = vec![inventory()])
    }

    fn stays_lost(self, action: &str) -> Self {
        self.lacks().with(|t| {
            t.case.action = action.to_owned();
            t.stays_lost = Some((inventory(), "SFO-1 is Cancelled".to_owned()));
        })
    }

    fn ended(self) -> Self {
        self.with(|t| t.ended = Some("is Cancelled".to_owned()))
    }

    fn half(self, missing: bool) -> Self {
        self.with(|t| {
            t.half = Some(Half {
                other: "9".into(),
                missing,
            });
        })
    }

    fn regressed_state(self) -> Self {
        self.with(|t| {
            t.case.findings[0].fields = vec![FieldDiff {
                name: "status".to_owned(),
                restored: "Open".into(),
                log: "Cancelled".into(),
                by: 0,
                opening: None,
                undone: false,
            }];
        })
    }

    fn fits(self, to: &[&str]) -> Self {
        self.lacks().with(|t| {
            t.case.fits = vec![Fit {
                missing: inventory(),
                to: to.iter().map(|k| (*k).to_owned()).collect(),
            }];
        })
    }

    /// A row of its own that no order owns.
    fn ownerless(self) -> Self {
        self.with(|t| {
            t.case.order = None;
            t.case.id = "inventory_item:7".to_owned();
            for f in &mut t.case.findings {
                f.entity = "inventory_item".to_owned();
            }
            for row in &mut t.case.family {
                row.entity = "inventory_item".to_owned();
            }
        })
    }

    /// Another row of the order has it, not the order's own.
    fn on_item(self) -> Self {
        self.with(|t| {
            for f in &mut t.case.findings {
                f.entity = "order_item".to_owned();
                f.key = "71".to_owned();
            }
            let own = FamilyRow {
                kinds: Vec::new(),
                restored: true,
                ..t.case.family[0].clone()
            };
            t.case.family = vec![own];
        })
    }

    fn choice(&self) -> (&'static Rule, Advice) {
        let schema = schema();
        let situation = Situation {
            case: &self.case,
            schema: &schema,
            facts: rules::Facts {
                found: &self.case,
                schema: &schema,
                undecided: self.undecided.iter().collect(),
                settled: self.settled.clone(),
                touched: Vec::new(),
            },
            brought: self.brought.as_ref().map(|(id, m)| (id.as_str(), m)),
            stays_lost: self.stays_lost.as_ref().map(|(m, why)| (m, why.clone())),
            ended: self.ended.clone(),
            past_return: self.past_return,
            half: self.half.as_ref(),
            other: "SFO-9".to_owned(),
        };
        chosen(&situation).unwrap()
    }
}

/// The situation in the words of the table, a case in it, the verb, and words of the reason.
type Row = (&'static str, Told, Verb, &'static str);

#[allow(clippy::too_many_lines, reason = "a table")]
fn table() -> Vec<Row> {
    use Happened::{Done, None as Not, Unknown};
    use Kind::{Collided, Contradicted, Expired, HalfSuperseded, InDoubt, Lost, Moved, Orphaned, Regressed, Undeleted};
    use Verb::{Cancel, Complete, Escalate, Keep, Park, Reapply, Relink, Resubmit, Supersede};
    vec![
        (
            "sources contradict, or a gap covers the key",
            of(&[Regressed, Contradicted]).with(|t| {
                t.case.findings[1].evidence.push(Evidence {
                    source: "old".to_owned(),
                    position: "13".to_owned(),
                    ts: None,
                });
            }),
            Escalate,
            "the log contradicts itself on SFO-7, or lacks a part of it (cdc@9911, old@13)",
        ),
        (
            "every difference rests on the bad change",
            of(&[Regressed]).with(|t| t.case.findings[0].undone = true),
            Keep,
            "rests on the bad change",
        ),
        (
            "back under another key, same identity",
            of(&[Moved]),
            Supersede,
            "SFO-7 is back as order 55 with the same identity",
        ),
        (
            "back under another key, and no order owns it",
            of(&[Moved]).ownerless(),
            Keep,
            "inventory item 7 is back as 55",
        ),
        (
            "id reused",
            of(&[Collided, Regressed]),
            Escalate,
            "the id of SFO-7 was reused",
        ),
        (
            "held, still in the hold, what it refers to is there",
            of(&[Lost]).with(|t| t.case.held = true),
            Park,
            "SFO-7 is still in the hold",
        ),
        (
            "left the hold by age",
            of(&[Expired]).with(|t| {
                t.case.id = "held:SFO-7".to_owned();
                t.case.order = None;
                t.case.family.clear();
            }),
            Resubmit,
            "from the rescued copy",
        ),
        (
            "orphan, exactly one row fits",
            of(&[Regressed, Orphaned]).fits(&["55"]),
            Relink,
            "inventory item 12 is not there, and 55 alone fits it",
        ),
        (
            "orphan, several rows fit",
            of(&[Regressed, Orphaned]).fits(&["55", "61"]),
            Escalate,
            "2 rows fit inventory item 12, which is not there: 55, 61",
        ),
        (
            "orphan, what it refers to is lost too",
            of(&[Lost, Orphaned]).lacks().with(|t| {
                t.undecided = vec![order("41", &[Lost])];
                t.case.blocked_by = vec!["order:41".to_owned()];
                t.brought = Some(("order:41".to_owned(), inventory()));
            }),
            Park,
            "inventory item 12 was lost with order:41, which is decided first",
        ),
        (
            "orphan of what stays lost, change or move",
            of(&[Regressed, Orphaned]).stays_lost("Change"),
            Cancel,
            "inventory item 12, which stays lost (SFO-1 is Cancelled): there is nothing left to change",
        ),
        (
            "orphan of what stays lost, change or move",
            of(&[Regressed, Orphaned]).stays_lost("Move"),
            Cancel,
            "nothing left to move",
        ),
        (
            "orphan of what stays lost, disconnect",
            of(&[Regressed, Orphaned]).stays_lost("Disconnect"),
            Escalate,
            "the service would live on and be billed",
        ),
        (
            "half of a supersede chain, past the point of no return",
            of(&[Lost, HalfSuperseded]).half(true).with(|t| t.past_return = true),
            Escalate,
            "SFO-7 and SFO-9 are halves of one change",
        ),
        (
            "half of a supersede chain, the missing one",
            of(&[Lost, HalfSuperseded]).half(true),
            Resubmit,
            "SFO-7 is the missing half of a change, SFO-9 is there",
        ),
        (
            "half of a supersede chain, the one that is there",
            of(&[HalfSuperseded]).half(false),
            Park,
            "SFO-9, the other half of the change, is missing",
        ),
        (
            "lost, the log ended cancelled or superseded, an effect DONE",
            of(&[Lost]).ended().effects(&[Not, Done]),
            Cancel,
            "SFO-7 is Cancelled in the log, but billing.activate is DONE: cancel it with compensation",
        ),
        (
            "lost, the log ended cancelled or superseded",
            of(&[Lost]).ended().effects(&[Not]),
            Keep,
            "that it is not there is right",
        ),
        (
            "lost, every outside effect NONE",
            of(&[Lost]).effects(&[Not, Not]),
            Resubmit,
            "nothing of it happened outside: billing.activate, billing.activate NONE",
        ),
        (
            "lost, every outside effect NONE",
            of(&[Lost]),
            Resubmit,
            "no step with an effect outside",
        ),
        (
            "lost, any outside effect DONE",
            of(&[Lost]).effects(&[Unknown, Done, Not]),
            Reapply,
            "billing.activate is DONE, a new order would do it twice: re-create it with its inventory",
        ),
        (
            "lost, an effect UNKNOWN",
            of(&[Lost]).effects(&[Not, Unknown]),
            Park,
            "ask billing whether billing.activate of SFO-7 happened (started at 14:08:59Z, no answer in the log)",
        ),
        (
            "rows lost, of an order that is there or of none",
            of(&[Lost]).on_item(),
            Reapply,
            "order item 71 was lost and the log has it",
        ),
        (
            "rows lost, of an order that is there or of none",
            of(&[Lost]).ownerless(),
            Reapply,
            "inventory item 7 was lost",
        ),
        ("undeleted order", of(&[Undeleted]), Cancel, "the log deleted SFO-7"),
        (
            "undeleted row",
            of(&[Undeleted]).ownerless(),
            Reapply,
            "the log deleted inventory item 7, and the restore brought it back: delete it again",
        ),
        (
            "regressed, log says cancelled or superseded, past the point of no return",
            of(&[Regressed])
                .regressed_state()
                .ended()
                .with(|t| t.past_return = true),
            Escalate,
            "a step of it is past the point of no return",
        ),
        (
            "regressed, log says cancelled or superseded",
            of(&[Regressed]).regressed_state().ended(),
            Cancel,
            "SFO-7 is Cancelled in the log, and the restore brought it back to life",
        ),
        (
            "regressed, an effect DONE that would run again",
            of(&[Regressed]).again(Done),
            Complete,
            "billing.activate is DONE and would run again",
        ),
        (
            "regressed, an effect UNKNOWN that would run again",
            of(&[Regressed]).again(Unknown),
            Park,
            "ask billing whether billing.activate",
        ),
        // Cancelled long before, and only another value differs; done, but not to be run again.
        (
            "regressed, plain values",
            of(&[Regressed]).ended(),
            Reapply,
            "only values differ",
        ),
        (
            "regressed, plain values",
            of(&[Regressed]).effects(&[Done]),
            Reapply,
            "only values differ",
        ),
        (
            "in doubt, an effect DONE",
            of(&[InDoubt]).effects(&[Done]),
            Complete,
            "billing.activate is DONE, and the step still stands where it would run",
        ),
        (
            "in doubt, an effect UNKNOWN",
            of(&[InDoubt]).effects(&[Unknown]),
            Park,
            "ask billing whether billing.activate of SFO-7 happened",
        ),
        (
            "in doubt, nothing with an effect, or NONE",
            of(&[InDoubt]).effects(&[Not]),
            Keep,
            "billing.activate was under way and is NONE",
        ),
        (
            "in doubt, nothing with an effect, or NONE",
            of(&[InDoubt])
                .effects(&[Unknown])
                .with(|t| t.case.outside[0].item = Some("other".to_owned())),
            Keep,
            "no step with an effect outside was under way",
        ),
        (
            "none of these, or nothing that may be done",
            of(&[Orphaned]).stays_lost("New"),
            Escalate,
            "it refers to inventory item 12, which stays lost (SFO-1 is Cancelled): a person must say",
        ),
    ]
}

#[test]
fn each_row_of_the_table_has_a_case_that_it_fits() {
    let rows = table();
    for (when, told, verb, words) in &rows {
        let (rule, advice) = told.choice();
        assert_eq!((rule.when, advice.verb), (*when, *verb), "{}", advice.why);
        assert!(advice.why.contains(words), "{when}: {}", advice.why);
    }
    for rule in RULES {
        assert!(
            rows.iter().any(|(when, ..)| *when == rule.when),
            "no case for: {}",
            rule.when
        );
    }
}

/// What the guards refuse is not advised: the next row is asked, and the last one fits everything.
#[test]
fn an_advice_can_always_be_followed() {
    use Happened::{Done, None as Not, Unknown};
    let all: Vec<Vec<Kind>> = (0..1_u32 << Kind::ALL.len())
        .map(|set| {
            let kinds = Kind::ALL.iter().enumerate();
            kinds.filter(|(n, _)| set >> n & 1 == 1).map(|(_, k)| *k).collect()
        })
        .collect();
    for kinds in all.iter().filter(|k| !k.is_empty()) {
        for states in [&[][..], &[Done], &[Not], &[Unknown], &[Done, Unknown, Not]] {
            for action in ["New", "Disconnect", "Change"] {
                let plain = || of(kinds).effects(states).with(|t| t.case.action = action.to_owned());
                let shapes = [
                    plain(),
                    plain().ownerless(),
                    plain().on_item(),
                    plain().stays_lost(action).ended(),
                    plain().fits(&["55"]),
                    plain().half(true),
                    plain().half(false).with(|t| t.case.held = true),
                    plain().lacks().with(|t| t.settled = vec![("SFO-41", Verb::Keep)]),
                ];
                for told in shapes {
                    let (rule, advice) = told.choice();
                    let schema = schema();
                    let facts = rules::Facts {
                        found: &told.case,
                        schema: &schema,
                        undecided: Vec::new(),
                        settled: told.settled.clone(),
                        touched: Vec::new(),
                    };
                    assert_eq!(facts.why_not(advice.verb), None, "{kinds:?}: {}", rule.when);
                    assert!(!advice.why.is_empty());
                }
            }
        }
    }
}

#[test]
fn an_order_whose_missing_half_may_not_be_sent_again_is_brought_back() {
    let told = of(&[Kind::Lost, Kind::HalfSuperseded])
        .half(true)
        .effects(&[Happened::Done]);
    assert_eq!(told.choice().1.verb, Verb::Reapply);
}

#[test]
fn several_findings_of_steps_in_doubt_ask_for_those_under_way_alone() {
    let mut told = of(&[Kind::InDoubt]).effects(&[Happened::Unknown, Happened::Done]);
    told.case.findings = vec![finding("order", "7", Kind::InDoubt)];
    told.case.findings[0].rows = vec![RowState {
        entity: "plan_item".to_owned(),
        key: "78".to_owned(),
        state: "Ready".to_owned(),
    }];
    told.case.outside[1].item = Some("78".to_owned());
    assert_eq!(told.choice().1.verb, Verb::Complete);
}
