//! What of a set of cases can be decided together, and why the others cannot. Pure.

use super::guards::Offer;
use crate::domain::case::{FoundCase, Verb};
use crate::domain::queue::CaseFile;
use crate::ledger::hex;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// What two cases share that are decided the same way: of every finding the entity, the kind and the fields that differ,
/// and the action of the order.
pub fn shape(case: &FoundCase) -> BTreeSet<String> {
    let findings = case.findings.iter().map(|f| {
        let fields: BTreeSet<&str> = f.fields.iter().map(|d| d.name.as_str()).collect();
        let fields: Vec<&str> = fields.into_iter().collect();
        format!("{} {} {}", f.entity, f.kind.name(), fields.join(","))
    });
    let missing = case.missing.iter().map(|m| format!("missing {}", m.entity));
    let own = [
        format!("action {}", case.action),
        format!("order {}", case.order.is_some()),
    ];
    findings.chain(missing).chain(own).collect()
}

/// A digest of a case as a scan found it: another one, another case to look at.
pub fn seen(case: &FoundCase) -> String {
    let json = serde_json::to_vec(case).unwrap_or_default();
    hex(&Sha256::digest(json))
}

/// Why a case is not decided together with others, or `None`.
pub fn why_not(file: &CaseFile, offer: &Offer) -> Option<String> {
    if file.found.findings.iter().any(|f| f.undone) {
        return Some("the restore removed it on purpose: such a case is decided by itself".to_owned());
    }
    if let Some(why) = &offer.refused {
        return Some(why.clone());
    }
    if let Some(asks) = &offer.asks {
        return Some(format!("{asks}: it is decided by itself"));
    }
    (offer.verb == Verb::Supersede).then(|| "each is superseded by an order of its own".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::case::State;
    use crate::domain::finding::Kind;
    use crate::ledger::tests::{Tap, finding, order};

    fn offer(verb: Verb) -> Offer {
        Offer {
            verb,
            refused: None,
            asks: None,
            ..offers().into_iter().find(|o| o.verb == verb).unwrap()
        }
    }

    fn offers() -> Vec<Offer> {
        use crate::resolve::guards::{Around, offers};
        let around = Around {
            schema: &crate::ledger::tests::schema(),
            effects: &crate::config::Effects::default(),
            who: "ana",
            role: crate::ledger::Role::Operator,
            waits_for: &[],
        };
        offers(&file(order("1", &[Kind::Lost])), around)
    }

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

    #[test]
    fn cases_of_one_shape_differ_in_their_keys_alone() {
        let one = order("1", &[Kind::Lost]);
        assert_eq!(shape(&one), shape(&order("2", &[Kind::Lost])));
        let others = [
            order("2", &[Kind::Regressed]),
            order("2", &[Kind::Lost, Kind::Orphaned]),
            order("2", &[Kind::Lost]).tap(|c| c.action = "Disconnect".to_owned()),
            order("2", &[Kind::Lost]).tap(|c| c.order = None),
            order("2", &[Kind::Lost]).tap(|c| c.findings[0].entity = "plan".to_owned()),
        ];
        for other in others {
            assert_ne!(shape(&one), shape(&other), "{:?}", shape(&other));
        }
        // Two lost items or three: the same shape.
        let items = |n: usize| {
            order("1", &[Kind::Lost]).tap(|c| {
                c.findings
                    .extend((0..n).map(|k| finding("order_item", &k.to_string(), Kind::Lost)));
            })
        };
        assert_eq!(shape(&items(2)), shape(&items(3)));
        assert_ne!(seen(&items(2)), seen(&items(3)));
    }

    #[test]
    fn what_the_bad_change_did_is_never_decided_in_bulk() {
        let half = order("1", &[Kind::Lost, Kind::Orphaned]).tap(|c| c.findings[0].undone = true);
        for verb in Verb::ALL {
            let why = why_not(&file(half.clone()), &offer(verb)).unwrap();
            assert!(why.contains("on purpose"), "{why}");
        }
    }

    #[test]
    fn what_is_refused_or_asked_is_left_out_with_its_reason() {
        let file = file(order("1", &[Kind::Lost]));
        assert_eq!(why_not(&file, &offer(Verb::Keep)), None);
        let refused = Offer {
            refused: Some("li holds it".to_owned()),
            ..offer(Verb::Keep)
        };
        assert_eq!(why_not(&file, &refused).as_deref(), Some("li holds it"));
        let asks = Offer {
            asks: Some("ask billing".to_owned()),
            ..offer(Verb::Resubmit)
        };
        assert!(why_not(&file, &asks).unwrap().starts_with("ask billing"));
        assert!(why_not(&file, &offer(Verb::Supersede)).unwrap().contains("of its own"));
    }
}
