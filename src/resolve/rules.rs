//! The rules of the verbs: a row for each reason against one. Pure, and the same for whoever asks; [`super::guards`] adds
//! role, claim and state.

use super::steps;
use crate::domain::case::{FamilyRow, FoundCase, Happened, Verb};
use crate::domain::finding::{Finding, Kind, Missing};
use crate::domain::schema::{ORDER, Schema};

/// Why a verb does not fit the case, or `None`.
type Rule = fn(&Facts<'_>) -> Option<String>;

/// The rules, top down: the first that answers is the reason shown.
pub const RULES: &[(&[Verb], Rule)] = &[
    (&[Verb::Resubmit, Verb::Supersede, Verb::Cancel], no_order_owns_it),
    (&[Verb::Reapply], bad_change_would_repeat),
    (&[Verb::Reapply], key_was_reused),
    (&[Verb::Reapply], came_back_by_itself),
    (&[Verb::Reapply], appeared_since_the_opening),
    (&[Verb::Reapply], went_past_the_log),
    (&[Verb::Reapply], blocker_will_not_come_back),
    (&[Verb::Reapply], nothing_brings_it_back),
    (&[Verb::Reapply], nothing_differs),
    (&[Verb::Resubmit], still_in_the_hold),
    (&[Verb::Resubmit], order_is_there),
    (&[Verb::Resubmit], effect_is_done),
    (&[Verb::Resubmit], order_is_nowhere),
    (&[Verb::Resubmit], others_come_first),
    (&[Verb::Relink], nothing_is_missing),
    (&[Verb::Relink], message_is_no_row),
    (&[Verb::Complete], nothing_was_under_way),
    (&[Verb::Cancel], only_in_the_hold),
    (&[Verb::Cancel], service_would_live_on),
    (&[Verb::Cancel], past_no_return),
    (&[Verb::Cancel], no_state_counts_as_cancelled),
];

/// A case with what the rules ask of it again and again.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The case.
    pub found: &'a FoundCase,
    /// The site's entities.
    pub schema: &'a Schema,
    /// The undecided cases that it waits for, transitively, the first to decide first.
    pub undecided: Vec<&'a FoundCase>,
    /// What was decided on the others: their labels and verbs.
    pub settled: Vec<(&'a str, Verb)>,
    /// The ids of those of these cases on which something was decided before.
    pub touched: Vec<&'a str>,
}

impl Facts<'_> {
    /// The first rule against a verb, whoever asks.
    pub fn why_not(&self, verb: Verb) -> Option<String> {
        RULES
            .iter()
            .filter(|(verbs, _)| verbs.contains(&verb))
            .find_map(|(_, rule)| rule(self))
    }
}

impl Facts<'_> {
    /// The undecided cases that it waits for, and itself.
    pub(super) fn cases(&self) -> impl Iterator<Item = &FoundCase> {
        self.undecided.iter().copied().chain([self.found])
    }

    pub(super) fn is_held(&self) -> bool {
        self.found.held || self.found.id.starts_with("held:")
    }

    pub(super) fn order_row(&self) -> Option<&FamilyRow> {
        let key = self.found.order.as_deref()?;
        self.found.family.iter().find(|r| r.entity == ORDER && r.key == key)
    }

    pub(super) fn row_of_kind(&self, kind: Kind) -> Option<String> {
        let case = self.found;
        let f = case.findings.iter().find(|f| f.kind == kind)?;
        Some(steps::name(case, &f.entity, &f.key))
    }

    /// Whether one of these cases re-creates what is missing.
    pub(super) fn is_brought_back(&self, missing: &Missing) -> bool {
        self.cases().any(|case| {
            case.findings
                .iter()
                .filter(|f| f.kind == Kind::Lost && f.entity == missing.entity)
                .any(|f| match &missing.column {
                    None => f.key == missing.key,
                    Some(column) => case
                        .family
                        .iter()
                        .filter(|r| r.entity == f.entity && r.key == f.key)
                        .flat_map(|r| &r.fields)
                        .any(|v| v.name == *column && v.log.as_ref().and_then(|l| l.as_str()) == Some(&missing.key)),
                })
        })
    }
}

pub(super) fn missing_words(m: &Missing, schema: &Schema) -> String {
    let entity = m.entity.replace('_', " ");
    match &m.column {
        Some(column) => format!("{entity} {column} {}", schema.key_shown(m)),
        None => format!("{entity} {}", m.key),
    }
}

fn no_order_owns_it(f: &Facts<'_>) -> Option<String> {
    (f.found.order.is_none() && !f.is_held()).then(|| "no order owns this row".to_owned())
}

/// What the restore undid on purpose must not come back through the log's state.
fn bad_change_would_repeat(f: &Facts<'_>) -> Option<String> {
    let (row, did) = f.cases().find_map(FoundCase::rests_on_bad)?;
    let entity = row.entity.replace('_', " ");
    Some(format!(
        "the bad change {did} {entity} {}: reapplying would repeat it",
        row.key
    ))
}

fn key_was_reused(f: &Facts<'_>) -> Option<String> {
    f.cases()
        .flat_map(|c| c.findings.iter().map(move |x| (c, x)))
        .find(|(_, x)| x.kind == Kind::Collided)
        .map(|(c, x)| {
            let name = steps::name(c, &x.entity, &x.key);
            format!("the key of {name} was reused: nothing is written under it")
        })
}

fn came_back_by_itself(f: &Facts<'_>) -> Option<String> {
    f.cases()
        .flat_map(|c| c.findings.iter().map(move |x| (c, x)))
        .find(|(_, x)| x.kind == Kind::Moved)
        .map(|(c, x)| {
            let name = steps::name(c, &x.entity, &x.key);
            format!(
                "{name} came back by itself as {}",
                x.moved_to.as_deref().unwrap_or("another row")
            )
        })
}

/// The rows that it would write, of all the cases that it writes, with their findings.
fn written<'f>(f: &'f Facts<'_>) -> impl Iterator<Item = (&'f FoundCase, &'f Finding)> {
    f.cases()
        .flat_map(|c| steps::writes(c, f.schema).into_iter().map(move |(_, x)| (c, x)))
}

/// Under the key of a lost row stands one that came after the opening, and nobody decided to put it there: without an
/// identity nobody can tell whether it is the same. Sequences that were set back give the ids of lost rows again.
fn appeared_since_the_opening(f: &Facts<'_>) -> Option<String> {
    let (case, x) = written(f).find(|(c, x)| {
        let is_told = f
            .schema
            .index(&x.entity)
            .is_some_and(|ix| !f.schema.entities[ix].identity.is_empty());
        x.kind == Kind::Regressed
            && x.there_at_opening == Some(false)
            && !is_told
            && !f.touched.contains(&c.id.as_str())
    })?;
    let name = steps::name(case, &x.entity, &x.key);
    Some(format!(
        "{name} appeared after the opening, and cannot be told from a new row that took its key: nothing is written over it"
    ))
}

/// The order system went on with a row, past the log's state: the log's values would set it back.
fn went_past_the_log(f: &Facts<'_>) -> Option<String> {
    written(f)
        .filter(|(_, x)| x.kind == Kind::Regressed && x.since_opening)
        .find_map(|(c, x)| {
            let entity = &f.schema.entities[f.schema.index(&x.entity)?];
            let state = entity.state.as_deref()?;
            let field = x.fields.iter().find(|d| d.name == state)?;
            let place = |v: &serde_json::Value| entity.states.iter().position(|s| Some(s.as_str()) == v.as_str());
            let (now, log) = (place(&field.restored)?, place(&field.log)?);
            (now > log).then(|| {
                format!(
                    "{} went on to {} since the opening, past the log's {}: it would be set back",
                    steps::name(c, &x.entity, &x.key),
                    entity.states[now],
                    entity.states[log]
                )
            })
        })
}

/// A case that it waits for was decided in a way that does not bring the row back. A resubmitted order comes back under
/// another key.
fn blocker_will_not_come_back(f: &Facts<'_>) -> Option<String> {
    f.settled
        .iter()
        .find(|(_, verb)| leaves_it_lost(*verb))
        .map(|(label, verb)| format!("{label} was decided {}: what it needs will not come back", verb.name()))
}

/// Whether what a case would bring back stays lost by this decision on it.
pub const fn leaves_it_lost(verb: Verb) -> bool {
    matches!(verb, Verb::Keep | Verb::Cancel | Verb::Supersede | Verb::Resubmit)
}

fn nothing_brings_it_back(f: &Facts<'_>) -> Option<String> {
    // A case that is decided already brings its rows back by its own decision.
    let waits = !f.undecided.is_empty() || !f.settled.is_empty();
    let missing = f.found.missing.iter().find(|m| !f.is_brought_back(m));
    missing
        .filter(|_| !waits)
        .map(|m| format!("the log brings no {} back", missing_words(m, f.schema)))
}

fn nothing_differs(f: &Facts<'_>) -> Option<String> {
    let writes = f.cases().any(|c| !steps::writes(c, f.schema).is_empty());
    (!writes).then(|| "no row of it differs from the log".to_owned())
}

fn still_in_the_hold(f: &Facts<'_>) -> Option<String> {
    let expired = f.found.findings.iter().any(|x| x.kind == Kind::Expired);
    (f.is_held() && !expired).then(|| "still in the hold: it is sent from there".to_owned())
}

fn order_is_there(f: &Facts<'_>) -> Option<String> {
    let row = f.order_row()?;
    let label = &f.found.label;
    if row.kinds.contains(&Kind::Moved) {
        return Some(format!("{label} came back by itself: it would be done twice"));
    }
    (row.restored && !row.kinds.contains(&Kind::Collided)).then(|| format!("{label} is there: it would be done twice"))
}

fn effect_is_done(f: &Facts<'_>) -> Option<String> {
    let done = f.found.outside.iter().find(|o| o.state == Happened::Done)?;
    Some(format!("{} is DONE: resubmitting would repeat it", done.name))
}

fn order_is_nowhere(f: &Facts<'_>) -> Option<String> {
    let known = f.is_held() || f.order_row().is_some_and(|r| r.log == Some(true));
    (!known).then(|| format!("the log has no order {}", f.found.label))
}

fn others_come_first(f: &Facts<'_>) -> Option<String> {
    f.undecided.first().map(|c| format!("{} must come back first", c.label))
}

fn nothing_is_missing(f: &Facts<'_>) -> Option<String> {
    f.found
        .missing
        .is_empty()
        .then(|| "it refers to nothing that is missing".to_owned())
}

fn message_is_no_row(f: &Facts<'_>) -> Option<String> {
    (f.is_held() && f.found.order.is_none())
        .then(|| "it is in the hold only: its message is sent as it is, no row could be pointed elsewhere".to_owned())
}

fn nothing_was_under_way(f: &Facts<'_>) -> Option<String> {
    let fits = [
        Kind::Lost,
        Kind::Regressed,
        Kind::InDoubt,
        Kind::Contradicted,
        Kind::HalfSuperseded,
        Kind::Expired,
    ];
    let any = fits.into_iter().any(|k| f.row_of_kind(k).is_some());
    (!any).then(|| "none of it was under way: there is nothing to complete".to_owned())
}

fn only_in_the_hold(f: &Facts<'_>) -> Option<String> {
    (f.is_held() && f.found.order.is_none()).then(|| "it is in the hold only: there is no order to cancel".to_owned())
}

/// Whether the order ends a service.
pub fn disconnects(case: &FoundCase) -> bool {
    let words = ["disconnect", "delete", "cease"];
    words.iter().any(|word| case.action.eq_ignore_ascii_case(word))
}

fn service_would_live_on(f: &Facts<'_>) -> Option<String> {
    let orphaned = f.row_of_kind(Kind::Orphaned).is_some();
    let ended = f.found.outside.iter().any(|o| o.state == Happened::Done);
    (orphaned && !ended && disconnects(f.found)).then(|| {
        let label = &f.found.label;
        format!("{label} ends a service that still lives: dropped, it would live on and be billed")
    })
}

/// OM Plus rejects a cancel once a step passed the point of no return. After a restore its flag may be unset although the
/// field work is done: the log's word counts. What the log itself ended was ended in time, and what lacks the ground it
/// builds on has to end all the same.
fn past_no_return(f: &Facts<'_>) -> Option<String> {
    let order = f.schema.index(ORDER).and_then(|ix| f.schema.entities.get(ix))?;
    let is_set = |v: &serde_json::Value| match v {
        serde_json::Value::Bool(b) => *b,
        serde_json::Value::String(s) => matches!(&**s, "true" | "t" | "1" | "True" | "TRUE" | "yes"),
        serde_json::Value::Number(n) => n.as_i64() == Some(1),
        _ => false,
    };
    let by_log = |row: &FamilyRow, column: &str| {
        let field = row.fields.iter().find(|v| v.name == column)?;
        field.log.clone().filter(|_| row.log == Some(true))
    };
    let row = f.order_row().filter(|row| row.restored && row.log != Some(false))?;
    if f.row_of_kind(Kind::Orphaned).is_some() {
        return None;
    }
    let state = order.state.as_deref().and_then(|column| by_log(row, column));
    if state.is_some_and(|s| order.cancelled.iter().any(|c| s.as_str() == Some(c))) {
        return None;
    }
    let step = f.found.family.iter().find(|row| {
        let entity = f.schema.index(&row.entity).and_then(|ix| f.schema.entities.get(ix));
        let ponr = entity.and_then(|e| e.ponr.as_deref());
        ponr.and_then(|column| by_log(row, column)).is_some_and(|v| is_set(&v))
    })?;
    Some(format!(
        "{} is past the point of no return by the log",
        steps::name(f.found, &step.entity, &step.key)
    ))
}

fn no_state_counts_as_cancelled(f: &Facts<'_>) -> Option<String> {
    let order = f.schema.index(ORDER).and_then(|ix| f.schema.entities.get(ix));
    order
        .is_none_or(|o| o.cancelled.is_empty())
        .then(|| "no state is configured as cancelled, so it could not be proven".to_owned())
}
