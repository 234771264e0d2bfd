//! The right next step for every case: the table of the product, read anew on the model of both worlds.

use super::{Key, TrueCase, Worlds};
use crate::domain::case::{Happened, Verb};
use crate::domain::finding::{Kind, Missing};
use crate::sim::model::Table;
use std::collections::{BTreeMap, BTreeSet};

type Cases = BTreeMap<String, TrueCase>;

/// A case and all that it waits for.
struct Chain<'a> {
    case: &'a TrueCase,
    behind: Vec<&'a TrueCase>,
}

impl<'a> Chain<'a> {
    fn of(id: &str, cases: &'a Cases) -> Option<Self> {
        let case = cases.get(id)?;
        let mut seen: BTreeSet<&str> = BTreeSet::from([id]);
        let mut ahead: Vec<&str> = case.waits_for.iter().map(String::as_str).collect();
        let mut behind = Vec::new();
        while let Some(next) = ahead.pop() {
            if let Some(case) = cases.get(next).filter(|_| seen.insert(next)) {
                behind.push(case);
                ahead.extend(case.waits_for.iter().map(String::as_str));
            }
        }
        Some(Self { case, behind })
    }

    fn has(&self, kind: Kind) -> bool {
        has(self.case, kind)
    }

    fn on_order(&self, kind: Kind) -> bool {
        let Some(order) = &self.case.order else { return false };
        let at = ("order".to_owned(), order.clone(), kind);
        self.case.findings.contains_key(&at)
    }

    fn effect(&self, state: Happened) -> bool {
        self.case.outside.iter().any(|o| o.1 == state)
    }

    fn effect_again(&self, state: Happened) -> bool {
        self.case.outside.iter().any(|o| o.1 == state && o.2)
    }

    fn effect_in_doubt(&self, state: Happened) -> bool {
        let findings = self.case.findings.iter().filter(|(at, _)| at.2 == Kind::InDoubt);
        let rows: Vec<&str> = findings.flat_map(|(_, f)| &f.rows).map(|r| r.key.as_str()).collect();
        let under_way = |item: &Option<String>| item.as_deref().is_none_or(|item| rows.contains(&item));
        !rows.is_empty() && self.case.outside.iter().any(|o| o.1 == state && under_way(&o.0))
    }
}

fn has(case: &TrueCase, kind: Kind) -> bool {
    case.findings.keys().any(|at| at.2 == kind)
}

impl Worlds<'_> {
    /// One verb for the case.
    pub(super) fn advice(&self, id: &str, cases: &Cases) -> Verb {
        let Some(chain) = Chain::of(id, cases) else {
            return Verb::Escalate;
        };
        let case = chain.case;
        let held = id.starts_with("held:");
        let order = case.order.as_deref().unwrap_or_default();
        let kind = match self.held_kinds.get(id) {
            Some(kind) => kind.clone(),
            None => self
                .value(&(Table::Order, order.to_owned()), "kind")
                .unwrap_or_default(),
        };
        let ended = self.ended(order);
        let stays_lost = case.missing.iter().any(|m| self.stays_lost(id, m));
        let another = |m: &Missing| self.brings_back(m).is_some_and(|by| by != id);
        let comes_back = case.missing.iter().any(|m| another(m) && !self.stays_lost(id, m));
        let half = case.findings.iter().find(|(at, _)| at.2 == Kind::HalfSuperseded);
        let other = half.and_then(|(_, f)| f.other.clone());
        let past_return = self.past_return(order) || other.as_deref().is_some_and(|o| self.past_return(o));
        let missing_half = half.is_some() && !self.is_there(order);
        let lost = chain.on_order(Kind::Lost);
        let any_lost = chain.has(Kind::Lost);
        let disconnect = kind == "Disconnect";
        let dropped = disconnect && chain.has(Kind::Orphaned) && !chain.effect(Happened::Done);
        let can_reapply = self.can_reapply(&chain);
        let can_resubmit = !chain.effect(Happened::Done) && chain.behind.is_empty() && !held;
        let alive_again = chain.on_order(Kind::Regressed)
            && ended
            && case.findings.iter().any(|(at, f)| {
                at.0 == "order" && at.1 == order && at.2 == Kind::Regressed && f.fields.contains_key("status")
            });
        let regressed = chain.has(Kind::Regressed);
        let fits = |many: fn(usize) -> bool| case.fits.values().any(|to| many(to.len()));
        // A message in the hold is no row, and one decision mends one reference: the others must be mended as well.
        let fit_alone = |m: &Missing| case.fits.get(m).is_some_and(|to| to.len() == 1);
        let mends = !case.waits_for.is_empty() || case.missing.iter().all(fit_alone);
        let one_fits = fits(|n| n == 1) && mends && !held;
        let only_undeleted = case.findings.keys().all(|at| at.2 == Kind::Undeleted);
        // In the order of the table; the first that fits and may be done.
        let table = [
            (chain.has(Kind::Contradicted), Verb::Escalate),
            (case.findings.values().all(|f| f.undone), Verb::Keep),
            (chain.on_order(Kind::Moved), Verb::Supersede),
            (case.order.is_none() && chain.has(Kind::Moved), Verb::Keep),
            (chain.has(Kind::Collided), Verb::Escalate),
            (held && case.missing.is_empty(), Verb::Park),
            (one_fits, Verb::Relink),
            (fits(|n| n > 1), Verb::Escalate),
            (comes_back, Verb::Park),
            (stays_lost && !held && matches!(&*kind, "Change" | "Move"), Verb::Cancel),
            (stays_lost && disconnect, Verb::Escalate),
            (half.is_some() && past_return, Verb::Escalate),
            (missing_half && can_resubmit, Verb::Resubmit),
            (half.is_some() && !missing_half, Verb::Park),
            (lost && ended && chain.effect(Happened::Done), Verb::Cancel),
            (lost && ended, Verb::Keep),
            (
                lost && case.outside.iter().all(|o| o.1 == Happened::None) && can_resubmit,
                Verb::Resubmit,
            ),
            (lost && chain.effect(Happened::Done) && can_reapply, Verb::Reapply),
            (lost && chain.effect(Happened::Unknown), Verb::Park),
            (!lost && any_lost && can_reapply, Verb::Reapply),
            (chain.on_order(Kind::Undeleted) && !dropped, Verb::Cancel),
            (only_undeleted && can_reapply, Verb::Reapply),
            (alive_again && past_return, Verb::Escalate),
            (alive_again && !dropped, Verb::Cancel),
            (regressed && chain.effect_again(Happened::Done), Verb::Complete),
            (regressed && chain.effect_again(Happened::Unknown), Verb::Park),
            (regressed && can_reapply, Verb::Reapply),
            (chain.effect_in_doubt(Happened::Done), Verb::Complete),
            (chain.effect_in_doubt(Happened::Unknown), Verb::Park),
            (chain.has(Kind::InDoubt), Verb::Keep),
        ];
        let first = table.into_iter().find(|(fits, _)| *fits);
        first.map_or(Verb::Escalate, |(_, verb)| verb)
    }

    /// Nothing is written under a reused key, beside what came back or as the bad change left it, and what is referred to must be brought along.
    fn can_reapply(&self, chain: &Chain<'_>) -> bool {
        let mut all = chain.behind.iter().copied().chain([chain.case]);
        let rests_on_bad = |c: &TrueCase| {
            c.findings
                .keys()
                .any(|at| self.on_bad.contains(&(at.0.clone(), at.1.clone())))
        };
        let clean = !all.any(|c| has(c, Kind::Collided) || has(c, Kind::Moved) || rests_on_bad(c));
        let own = |m: &Missing| self.brings_back(m).is_some();
        clean && (!chain.behind.is_empty() || chain.case.missing.iter().all(own))
    }

    /// Cancelled or superseded, as the log has it.
    fn ended(&self, order: &str) -> bool {
        let told = self.log.get(&(Table::Order, order.to_owned())).filter(|told| told.live);
        let status = told.and_then(|told| told.row.text("status"));
        let replaces = |(key, told): (&Key, &super::Told)| {
            key.0 == Table::Order && told.live && told.row.text("superseded_order_id").as_deref() == Some(order)
        };
        matches!(status.as_deref(), Some("Cancelled" | "Superseded"))
            || (told.is_some() && self.log.iter().any(replaces))
    }

    /// Nothing brings it back, or only an order that had ended.
    fn stays_lost(&self, id: &str, missing: &Missing) -> bool {
        match self.brings_back(missing) {
            None => true,
            Some(by) => by != id && by.strip_prefix("order:").is_some_and(|order| self.ended(order)),
        }
    }

    fn past_return(&self, order: &str) -> bool {
        let passed = |key: &&Key| {
            let told = self.log.get(*key).and_then(|told| told.row.text("is_ponr"));
            let there = self.restored.get(*key).and_then(|row| row.text("is_ponr"));
            [told, there].into_iter().flatten().any(|flag| flag == "t")
        };
        self.rows_of(order).iter().any(|key| passed(&key))
    }

    /// Under its own key, and not another's.
    fn is_there(&self, order: &str) -> bool {
        let key = (Table::Order, order.to_owned());
        let reused = self.findings.get(&key).is_some_and(|f| f.0 == Kind::Collided);
        self.restored.contains_key(&key) && !reused || self.findings.get(&key).is_some_and(|f| f.0 == Kind::Moved)
    }
}
