//! What to do first: for every case one verb and why, by the first row of [`RULES`] that fits.
//!
//! A rule whose verb the guards would refuse for the case does not fit it: an advice that cannot be followed is none.

use super::supersede::Half;
use crate::domain::case::{Advice, FoundCase, Happened, Outside, Verb};
use crate::domain::finding::{Finding, Kind, Missing};
use crate::domain::schema::{ORDER, Schema};
use crate::resolve::rules;
use crate::resolve::steps::{name, question};

/// A case, and what the rules ask besides.
#[derive(Debug, Clone)]
pub(super) struct Situation<'a> {
    pub case: &'a FoundCase,
    pub schema: &'a Schema,
    /// What the guards are told.
    pub facts: rules::Facts<'a>,
    /// The case that is decided first, and what it may bring back.
    pub brought: Option<(&'a str, &'a Missing)>,
    /// What nothing brings back, and why not.
    pub stays_lost: Option<(&'a Missing, String)>,
    /// How the log says that the order ended, where it was cancelled or superseded.
    pub ended: Option<String>,
    /// A step of it, or of the order that it is joined with, is past the point of no return.
    pub past_return: bool,
    /// The other half of a pair, one of which is missing.
    pub half: Option<&'a Half>,
    /// What people call the other half.
    pub other: String,
}

/// One row of the table: the situation, what is advised, and in whose words it fits.
pub(super) struct Rule {
    /// The situation in the words of the table.
    #[cfg_attr(not(test), allow(dead_code, reason = "for the reader, and for the test of the row"))]
    pub when: &'static str,
    verb: Verb,
    /// Why, where it fits.
    why: fn(&Situation<'_>) -> Option<String>,
}

const fn rule(when: &'static str, verb: Verb, why: fn(&Situation<'_>) -> Option<String>) -> Rule {
    Rule { when, verb, why }
}

/// The table, first row first.
pub(super) const RULES: &[Rule] = &[
    rule(
        "sources contradict, or a gap covers the key",
        Verb::Escalate,
        contradicted,
    ),
    rule("every difference rests on the bad change", Verb::Keep, undone),
    rule("back under another key, same identity", Verb::Supersede, came_back),
    rule(
        "back under another key, and no order owns it",
        Verb::Keep,
        row_came_back,
    ),
    rule("id reused", Verb::Escalate, id_reused),
    rule("held, still in the hold, what it refers to is there", Verb::Park, held),
    rule("left the hold by age", Verb::Resubmit, left_the_hold),
    rule("orphan, exactly one row fits", Verb::Relink, one_fits),
    rule("orphan, several rows fit", Verb::Escalate, several_fit),
    rule("orphan, what it refers to is lost too", Verb::Park, lost_with_another),
    rule(
        "orphan of what stays lost, change or move",
        Verb::Cancel,
        change_of_what_stays_lost,
    ),
    rule(
        "orphan of what stays lost, disconnect",
        Verb::Escalate,
        disconnect_of_what_stays_lost,
    ),
    rule(
        "half of a supersede chain, past the point of no return",
        Verb::Escalate,
        half_past_return,
    ),
    rule(
        "half of a supersede chain, the missing one",
        Verb::Resubmit,
        missing_half,
    ),
    rule(
        "half of a supersede chain, the one that is there",
        Verb::Park,
        half_that_is_there,
    ),
    rule(
        "lost, the log ended cancelled or superseded, an effect DONE",
        Verb::Cancel,
        lost_ended_but_done,
    ),
    rule("lost, the log ended cancelled or superseded", Verb::Keep, lost_ended),
    rule("lost, every outside effect NONE", Verb::Resubmit, lost_nothing_done),
    rule("lost, any outside effect DONE", Verb::Reapply, lost_done),
    rule("lost, an effect UNKNOWN", Verb::Park, lost_unknown),
    rule(
        "rows lost, of an order that is there or of none",
        Verb::Reapply,
        rows_lost,
    ),
    rule("undeleted order", Verb::Cancel, order_undeleted),
    rule("undeleted row", Verb::Reapply, row_undeleted),
    rule(
        "regressed, log says cancelled or superseded, past the point of no return",
        Verb::Escalate,
        regressed_past_return,
    ),
    rule(
        "regressed, log says cancelled or superseded",
        Verb::Cancel,
        regressed_ended,
    ),
    rule(
        "regressed, an effect DONE that would run again",
        Verb::Complete,
        regressed_done,
    ),
    rule(
        "regressed, an effect UNKNOWN that would run again",
        Verb::Park,
        regressed_unknown,
    ),
    rule("regressed, plain values", Verb::Reapply, regressed),
    rule("in doubt, an effect DONE", Verb::Complete, in_doubt_done),
    rule("in doubt, an effect UNKNOWN", Verb::Park, in_doubt_unknown),
    rule("in doubt, nothing with an effect, or NONE", Verb::Keep, in_doubt),
    rule(
        "none of these, or nothing that may be done",
        Verb::Escalate,
        anything_else,
    ),
];

/// The advice for a case.
pub(super) fn advise(situation: &Situation<'_>) -> Option<Advice> {
    chosen(situation).map(|(_, advice)| advice)
}

/// The row that fits, and what it says.
fn chosen(s: &Situation<'_>) -> Option<(&'static Rule, Advice)> {
    RULES.iter().find_map(|rule| {
        let why = (rule.why)(s)?;
        let refused = s.facts.why_not(rule.verb);
        let verb = rule.verb;
        refused.is_none().then_some((rule, Advice { verb, why }))
    })
}

impl Situation<'_> {
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Finding> {
        self.case.findings.iter().filter(move |f| f.kind == kind)
    }

    fn has(&self, kind: Kind) -> bool {
        self.of_kind(kind).next().is_some()
    }

    /// The finding of this kind on the order's own row.
    fn on_order(&self, kind: Kind) -> Option<&Finding> {
        let order = self.case.order.as_ref()?;
        self.of_kind(kind).find(|f| f.entity == ORDER && f.key == *order)
    }

    fn label(&self) -> &str {
        &self.case.label
    }

    fn name(&self, f: &Finding) -> String {
        name(self.case, &f.entity, &f.key)
    }

    /// Names of the effects in this state; `None` where there is none.
    fn effects(&self, state: Happened) -> Option<String> {
        named(self.case.outside.iter().filter(|o| o.state == state))
    }

    fn effects_again(&self, state: Happened) -> Option<String> {
        named(self.case.outside.iter().filter(|o| o.state == state && o.again))
    }

    /// Names of the effects in this state of steps that were under way.
    fn effects_in_doubt(&self, state: Happened) -> Option<String> {
        let under_way = |o: &&Outside| {
            let item = o.item.as_deref();
            self.of_kind(Kind::InDoubt)
                .flat_map(|f| &f.rows)
                .any(|row| item.is_none_or(|item| item == row.key))
        };
        named(self.case.outside.iter().filter(|o| o.state == state).filter(under_way))
    }

    /// What to ask before going on, where something is not known.
    fn question(&self) -> String {
        question(self.case).unwrap_or_default()
    }

    fn action_is(&self, words: &[&str]) -> bool {
        let action = self.case.action.to_lowercase();
        words.contains(&action.as_str())
    }

    /// Cancelled or superseded in the log, while the restored row stands before that.
    fn regressed_to_before_the_end(&self) -> Option<&str> {
        let state = self
            .schema
            .index(ORDER)
            .and_then(|ix| self.schema.entities[ix].state.as_deref())?;
        let moved = self.on_order(Kind::Regressed)?.fields.iter().any(|f| f.name == state);
        self.ended.as_deref().filter(|_| moved)
    }
}

/// `billing.activate, hlr.provision and 3 more`
fn named<'o>(effects: impl Iterator<Item = &'o Outside>) -> Option<String> {
    const MOST: usize = 3;
    let names: Vec<&str> = effects.map(|o| o.name.as_str()).collect();
    match names.len() {
        0 => None,
        n if n > MOST => Some(format!("{} and {} more", names[..MOST].join(", "), n - MOST)),
        _ => Some(names.join(", ")),
    }
}

fn what(s: &Situation<'_>, missing: &Missing) -> String {
    let entity = missing.entity.replace('_', " ");
    match &missing.column {
        Some(column) => format!("{entity} with {column} {}", s.schema.key_shown(missing)),
        None => format!("{entity} {}", missing.key),
    }
}

fn contradicted(s: &Situation<'_>) -> Option<String> {
    let finding = s.of_kind(Kind::Contradicted).next()?;
    let by: Vec<String> = finding
        .evidence
        .iter()
        .map(|e| format!("{}@{}", e.source, e.position))
        .collect();
    let by = if by.is_empty() {
        String::new()
    } else {
        format!(" ({})", by.join(", "))
    };
    Some(format!(
        "the log contradicts itself on {}, or lacks a part of it{by}: a person must find out what really happened",
        s.name(finding)
    ))
}

fn undone(s: &Situation<'_>) -> Option<String> {
    let all = !s.case.findings.is_empty() && s.case.findings.iter().all(|f| f.undone);
    all.then(|| "every difference rests on the bad change, which the restore took back on purpose".to_owned())
}

fn came_back(s: &Situation<'_>) -> Option<String> {
    let to = s.on_order(Kind::Moved)?.moved_to.as_deref().unwrap_or("another");
    Some(format!(
        "{} is back as order {to} with the same identity: resubmitting would double it",
        s.label()
    ))
}

fn row_came_back(s: &Situation<'_>) -> Option<String> {
    let finding = s.of_kind(Kind::Moved).next().filter(|_| s.case.order.is_none())?;
    let to = finding.moved_to.as_deref().unwrap_or("another row");
    Some(format!("{} is back as {to} with the same identity", s.name(finding)))
}

fn id_reused(s: &Situation<'_>) -> Option<String> {
    let name = s.name(s.of_kind(Kind::Collided).next()?);
    Some(format!(
        "the id of {name} was reused: nothing may be written under that key"
    ))
}

fn held(s: &Situation<'_>) -> Option<String> {
    (s.case.held && s.case.missing.is_empty()).then(|| {
        format!(
            "{} is still in the hold, and sent from there when services are back",
            s.label()
        )
    })
}

fn left_the_hold(s: &Situation<'_>) -> Option<String> {
    s.has(Kind::Expired).then(|| {
        format!(
            "{} left the hold by age: from the rescued copy where there is one, else from Salesforce",
            s.label()
        )
    })
}

fn one_fits(s: &Situation<'_>) -> Option<String> {
    let fit = s.case.fits.iter().find(|f| f.to.len() == 1)?;
    // One decision points one reference elsewhere: the others must be mended as well, here or by another case.
    let fits = |missing: &Missing| s.case.fits.iter().any(|f| f.missing == *missing && f.to.len() == 1);
    if s.case.blocked_by.is_empty() && !s.case.missing.iter().all(fits) {
        return None;
    }
    Some(format!(
        "{} is not there, and {} alone fits it",
        what(s, &fit.missing),
        s.schema.fits_shown(fit)[0]
    ))
}

fn several_fit(s: &Situation<'_>) -> Option<String> {
    let fit = s.case.fits.iter().find(|f| f.to.len() > 1)?;
    Some(format!(
        "{} rows fit {}, which is not there: {}; a person must say which one is meant",
        fit.to.len(),
        what(s, &fit.missing),
        s.schema
            .fits_shown(fit)
            .into_iter()
            .take(4)
            .collect::<Vec<_>>()
            .join(", ")
    ))
}

fn lost_with_another(s: &Situation<'_>) -> Option<String> {
    let (case, missing) = s.brought?;
    Some(format!(
        "{} was lost with {case}, which is decided first",
        what(s, missing)
    ))
}

fn stays_lost(s: &Situation<'_>) -> Option<String> {
    let (missing, why) = s.stays_lost.as_ref()?;
    Some(format!("it refers to {}, which stays lost ({why})", what(s, missing)))
}

fn change_of_what_stays_lost(s: &Situation<'_>) -> Option<String> {
    let why = stays_lost(s).filter(|_| s.action_is(&["change", "modify", "move"]))?;
    Some(format!(
        "{why}: there is nothing left to {}",
        s.case.action.to_lowercase()
    ))
}

fn disconnect_of_what_stays_lost(s: &Situation<'_>) -> Option<String> {
    let why = stays_lost(s).filter(|_| rules::disconnects(s.case))?;
    Some(format!(
        "{why}: dropped, the service would live on and be billed; a person must see it ended"
    ))
}

fn half_past_return(s: &Situation<'_>) -> Option<String> {
    s.half.filter(|_| s.past_return)?;
    Some(format!(
        "{} and {} are halves of one change, one is missing, and a step is past the point of no return",
        s.label(),
        s.other
    ))
}

fn missing_half(s: &Situation<'_>) -> Option<String> {
    s.half.filter(|half| half.missing)?;
    Some(format!(
        "{} is the missing half of a change, {} is there",
        s.label(),
        s.other
    ))
}

fn half_that_is_there(s: &Situation<'_>) -> Option<String> {
    s.half.filter(|half| !half.missing)?;
    Some(format!(
        "{}, the other half of the change, is missing and decided first",
        s.other
    ))
}

fn lost_ended(s: &Situation<'_>) -> Option<String> {
    s.on_order(Kind::Lost)?;
    let ended = s.ended.as_ref()?;
    Some(format!(
        "{} {ended} in the log: that it is not there is right",
        s.label()
    ))
}

fn lost_ended_but_done(s: &Situation<'_>) -> Option<String> {
    s.on_order(Kind::Lost)?;
    let (ended, done) = (s.ended.as_ref()?, s.effects(Happened::Done)?);
    Some(format!(
        "{} {ended} in the log, but {done} is DONE: cancel it with compensation",
        s.label()
    ))
}

fn lost_nothing_done(s: &Situation<'_>) -> Option<String> {
    s.on_order(Kind::Lost)?;
    if !s.case.outside.iter().all(|o| o.state == Happened::None) {
        return None;
    }
    Some(match s.effects(Happened::None) {
        Some(none) => format!("nothing of it happened outside: {none} NONE"),
        None => "the log tells of its plan, and of no step with an effect outside".to_owned(),
    })
}

fn lost_done(s: &Situation<'_>) -> Option<String> {
    s.on_order(Kind::Lost)?;
    let done = s.effects(Happened::Done)?;
    Some(format!(
        "{done} is DONE, a new order would do it twice: re-create it with its inventory"
    ))
}

/// Of an order that is there the steps that would run are asked for; those that the restored one has behind it are not.
fn lost_unknown(s: &Situation<'_>) -> Option<String> {
    s.of_kind(Kind::Lost).next()?;
    if s.on_order(Kind::Lost).is_some() {
        s.effects(Happened::Unknown)?;
    } else if s.effects_again(Happened::Done).is_none() {
        s.effects_again(Happened::Unknown)?;
    } else {
        return None;
    }
    Some(s.question())
}

fn rows_lost(s: &Situation<'_>) -> Option<String> {
    let lost = s
        .of_kind(Kind::Lost)
        .next()
        .filter(|_| s.on_order(Kind::Lost).is_none())?;
    Some(format!("{} was lost and the log has it: re-create it", s.name(lost)))
}

fn order_undeleted(s: &Situation<'_>) -> Option<String> {
    s.on_order(Kind::Undeleted)?;
    Some(format!(
        "the log deleted {}, and the restore brought it back",
        s.label()
    ))
}

fn row_undeleted(s: &Situation<'_>) -> Option<String> {
    let row = s.of_kind(Kind::Undeleted).next()?;
    let only = s.case.findings.iter().all(|f| f.kind == Kind::Undeleted);
    only.then(|| {
        format!(
            "the log deleted {}, and the restore brought it back: delete it again",
            s.name(row)
        )
    })
}

fn regressed_ended(s: &Situation<'_>) -> Option<String> {
    let ended = s.regressed_to_before_the_end()?;
    Some(format!(
        "{} {ended} in the log, and the restore brought it back to life",
        s.label()
    ))
}

fn regressed_past_return(s: &Situation<'_>) -> Option<String> {
    let why = regressed_ended(s).filter(|_| s.past_return)?;
    Some(format!("{why}; a step of it is past the point of no return"))
}

fn regressed_done(s: &Situation<'_>) -> Option<String> {
    let done = s
        .of_kind(Kind::Regressed)
        .next()
        .and_then(|_| s.effects_again(Happened::Done))?;
    Some(format!(
        "{done} is DONE and would run again when workers start: record the evidence"
    ))
}

fn regressed_unknown(s: &Situation<'_>) -> Option<String> {
    s.of_kind(Kind::Regressed).next()?;
    s.effects_again(Happened::Unknown)?;
    Some(s.question())
}

fn regressed(s: &Situation<'_>) -> Option<String> {
    s.has(Kind::Regressed)
        .then(|| "only values differ, and the log has the later ones".to_owned())
}

fn in_doubt_done(s: &Situation<'_>) -> Option<String> {
    let done = s.effects_in_doubt(Happened::Done)?;
    Some(format!(
        "{done} is DONE, and the step still stands where it would run: record the evidence"
    ))
}

fn in_doubt_unknown(s: &Situation<'_>) -> Option<String> {
    s.effects_in_doubt(Happened::Unknown)?;
    Some(s.question())
}

fn in_doubt(s: &Situation<'_>) -> Option<String> {
    s.of_kind(Kind::InDoubt).next()?;
    Some(match s.effects_in_doubt(Happened::None) {
        Some(none) => format!("{none} was under way and is NONE: it can go on from there"),
        None => "no step with an effect outside was under way: it can go on from there".to_owned(),
    })
}

#[allow(clippy::unnecessary_wraps, reason = "a row of the table as the others are")]
fn anything_else(s: &Situation<'_>) -> Option<String> {
    if let Some(why) = stays_lost(s) {
        return Some(format!("{why}: a person must say what becomes of it"));
    }
    let kinds: Vec<&str> = s.case.kinds().into_iter().map(Kind::words).collect();
    let kinds = kinds.join(", ");
    Some(match s.facts.why_not(Verb::Reapply) {
        Some(why) => format!("{kinds}, and it cannot be reapplied ({why}): a person must decide"),
        None => format!("{kinds}: a person must decide"),
    })
}

#[cfg(test)]
mod tests;
