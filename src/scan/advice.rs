//! What to do first, by the first row of the table that fits.
//!
//! Only what rows alone can show is advised on here; where the right verb hangs on what happened outside the order
//! system, there is no advice.

use crate::domain::case::{Advice, FoundCase, Verb};
use crate::domain::finding::{Kind, Missing};

/// One row of the table.
struct Rule {
    fits: fn(&FoundCase) -> bool,
    verb: Verb,
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        fits: |case| has(case, Kind::Contradicted),
        verb: Verb::Escalate,
        why: "the log contradicts itself on a row of it",
    },
    Rule {
        fits: |case| order_has(case, Kind::Moved),
        verb: Verb::Supersede,
        why: "it is back under another key with the same identity; resubmitting would double it",
    },
    Rule {
        fits: |case| has(case, Kind::Collided),
        verb: Verb::Escalate,
        why: "its id was reused: nothing may be written under that key",
    },
    Rule {
        fits: |case| case.order.is_some() && order_has(case, Kind::Undeleted),
        verb: Verb::Cancel,
        why: "the log deleted this order, and the restore brought it back",
    },
    Rule {
        fits: |case| only(case, Kind::Undeleted),
        verb: Verb::Reapply,
        why: "the log deleted it, and the restore brought it back: delete it again",
    },
    Rule {
        fits: |case| only(case, Kind::Regressed),
        verb: Verb::Reapply,
        why: "only values differ, and the log has the later ones",
    },
];

/// The advice for a case; `blocker` is the case that is decided first, and what it brings back.
pub(super) fn advise(case: &FoundCase, blocker: Option<(&str, &Missing)>) -> Option<Advice> {
    if let Some((first, missing)) = blocker {
        let what = missing.entity.replace('_', " ");
        let why = format!("{what} {} was lost with {first}, which is decided first", missing.key);
        return Some(Advice { verb: Verb::Park, why });
    }
    let rule = RULES.iter().find(|rule| (rule.fits)(case))?;
    Some(Advice {
        verb: rule.verb,
        why: rule.why.to_owned(),
    })
}

fn has(case: &FoundCase, kind: Kind) -> bool {
    case.findings.iter().any(|f| f.kind == kind)
}

/// The order's own row has it.
fn order_has(case: &FoundCase, kind: Kind) -> bool {
    case.findings
        .iter()
        .any(|f| f.kind == kind && Some(&f.key) == case.order.as_ref() && f.entity == "order")
}

fn only(case: &FoundCase, kind: Kind) -> bool {
    case.findings.iter().all(|f| f.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finding::Finding;

    fn case(entity: &str, kinds: &[Kind]) -> FoundCase {
        let finding = |kind: &Kind| Finding {
            entity: entity.to_owned(),
            key: "7".to_owned(),
            kind: *kind,
            undone: false,
            since_opening: false,
            there_at_opening: None,
            fields: vec![],
            evidence: vec![],
            rows: vec![],
            moved_to: None,
        };
        FoundCase {
            id: format!("{entity}:7"),
            order: (entity == "order").then(|| "7".to_owned()),
            label: "SFO-7".to_owned(),
            action: "New".to_owned(),
            show: vec![],
            rank: None,
            findings: kinds.iter().map(finding).collect(),
            missing: vec![],
            blocked_by: vec![],
            dies_at: None,
            advice: None,
            outside: Vec::new(),
            fits: Vec::new(),
            family: vec![],
        }
    }

    #[test]
    fn each_row_of_the_table() {
        use Kind::{Collided, Contradicted, InDoubt, Lost, Moved, Regressed, Undeleted};
        for (entity, kinds, verb) in [
            ("order", &[Regressed, Contradicted][..], Some(Verb::Escalate)),
            ("order", &[Moved], Some(Verb::Supersede)),
            ("order", &[Collided, Regressed], Some(Verb::Escalate)),
            ("order", &[Undeleted], Some(Verb::Cancel)),
            ("catalog", &[Undeleted], Some(Verb::Reapply)),
            ("order", &[Regressed], Some(Verb::Reapply)),
            ("order", &[Regressed, InDoubt], None),
            ("order", &[Lost], None),
        ] {
            assert_eq!(
                advise(&case(entity, kinds), None).map(|a| a.verb),
                verb,
                "{entity} {kinds:?}"
            );
        }
    }

    #[test]
    fn what_waits_is_parked_behind_what_it_waits_for() {
        let mut case = case("order", &[Kind::Lost, Kind::Orphaned]);
        let missing = |key: &str| Missing {
            entity: "inventory_item".to_owned(),
            column: None,
            key: key.to_owned(),
        };
        case.missing = vec![missing("11"), missing("12")];
        let advice = advise(&case, Some(("order:41", &case.missing[1]))).unwrap();
        assert_eq!(advice.verb, Verb::Park);
        assert_eq!(
            advice.why,
            "inventory item 12 was lost with order:41, which is decided first"
        );
    }
}
