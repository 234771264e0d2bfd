//! Which verbs a case allows, what each would do, and why the others do not fit.
//!
//! `keep`, `park` and `escalate` ask for role and claim alone; every other verb has its rows in [`RULES`].

use super::steps::{self, Act};
use crate::config::EffectConfig;
use crate::domain::case::{FamilyRow, FoundCase, Happened, Outside, State, Verb};
use crate::domain::finding::{Finding, Kind, Missing};
use crate::domain::queue::CaseFile;
use crate::domain::schema::{ORDER, Schema};
use crate::ledger::Role;
use std::collections::BTreeMap;

/// How far a verb can be taken back. With the effect `record` every verb is reversible.
pub const REVERSIBLE: &str = "reversible";
/// How a decision without an effect of its own is taken back.
pub const UNDO: &str = "undo takes it back as long as nobody did the work";

/// A verb of the menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The verb.
    pub verb: Verb,
    /// What it would do, in words.
    pub what: String,
    /// Why it cannot be used, where it cannot.
    pub refused: Option<String>,
    /// `reversible`, `compensable` or `one-way`.
    pub kind: &'static str,
    /// How it is taken back, in words.
    pub undo: &'static str,
    /// What a person must do outside, step by step, for this case and for those of `also`.
    pub steps: Vec<String>,
    /// The evidence that closes the to-do, in words; `None` where there is no to-do.
    pub wanted: Option<&'static str>,
    /// What must be asked before, and answered with the decision (`--evidence`): nobody knows whether it would be done
    /// twice.
    pub asks: Option<String>,
    /// Other cases that it decides too, because it writes their rows.
    pub also: Vec<String>,
    /// The scan advises it.
    pub advised: bool,
}

/// What the rules are told besides the case.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The site's entities.
    pub schema: &'a Schema,
    /// `[effects]`
    pub effects: &'a BTreeMap<String, EffectConfig>,
    /// The ledger login of whoever asks.
    pub who: &'a str,
    /// Their role.
    pub role: Role,
    /// The cases it waits for: the undecided ones transitively, and those it names itself in whatever state.
    pub waits_for: &'a [CaseFile],
}

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

/// A case as one person sees it.
struct Asked<'a> {
    facts: Facts<'a>,
    file: &'a CaseFile,
    around: Around<'a>,
    undecided: Vec<&'a CaseFile>,
}

/// One offer for each verb, in the order of [`Verb::ALL`].
pub fn offers(file: &CaseFile, around: Around<'_>) -> Vec<Offer> {
    let undecided: Vec<&CaseFile> = around.waits_for.iter().filter(|c| c.state.is_decidable()).collect();
    let decided = around
        .waits_for
        .iter()
        .filter(|c| !c.state.is_decidable() && c.state != State::Gone);
    let asked = Asked {
        facts: Facts {
            found: &file.found,
            schema: around.schema,
            undecided: undecided.iter().map(|c| &c.found).collect(),
            settled: decided
                .filter_map(|c| Some((c.found.label.as_str(), c.decision.as_ref()?.verb)))
                .collect(),
            touched: std::iter::once(file)
                .chain(around.waits_for)
                .filter(|c| c.decision.is_some())
                .map(|c| c.found.id.as_str())
                .collect(),
        },
        file,
        around,
        undecided,
    };
    Verb::ALL.into_iter().map(|verb| asked.offer(verb)).collect()
}

impl Asked<'_> {
    fn offer(&self, verb: Verb) -> Offer {
        let also: Vec<String> = match verb {
            Verb::Reapply => self.undecided.iter().map(|c| c.found.id.clone()).collect(),
            _ => Vec::new(),
        };
        let case = &self.file.found;
        let steps = match verb {
            Verb::Reapply => {
                // Who is waited for longest stands last in the chain and is written first.
                let mut steps: Vec<String> = Vec::new();
                for c in self.undecided.iter().rev() {
                    steps.extend(steps::reapply(&c.found, self.around.schema));
                }
                steps.extend(steps::reapply(case, self.around.schema));
                steps
            }
            _ => own_steps(self.file, verb, None, None, self.around.schema),
        };
        Offer {
            verb,
            what: self.what(verb),
            refused: self.refused(verb),
            kind: REVERSIBLE,
            undo: UNDO,
            steps,
            wanted: wanted(verb),
            asks: match verb {
                // An answer may turn out either way, so the verb is not refused: it takes the answer. Where no step is
                // known at all there is nothing to ask about by name: the advice says so, and the person decides.
                Verb::Resubmit if case.outside.iter().any(is_open_step) => steps::question(case),
                _ => None,
            },
            also,
            advised: case.advice.as_ref().is_some_and(|a| a.verb == verb),
        }
    }

    /// The first reason against a verb.
    fn refused(&self, verb: Verb) -> Option<String> {
        if self.around.role < Role::Operator {
            return Some(format!("{} may look but not decide", self.around.who));
        }
        if !self.file.state.is_decidable() {
            return Some(not_decidable(self.file.state));
        }
        if let Some(claim) = self.file.claim.as_ref().filter(|c| c.by != self.around.who) {
            return Some(format!("{} holds it", claim.by));
        }
        if let Some(effect) = self.around.effects.get(verb.name()).filter(|e| e.kind != "record") {
            return Some(format!(
                "its effect is configured as {:?}, which this restitch cannot do yet",
                effect.kind
            ));
        }
        self.facts.why_not(verb).or_else(|| match verb {
            Verb::Reapply => self.chain_is_not_mine(),
            _ => None,
        })
    }

    /// A verb that writes rows of other cases needs those too.
    fn chain_is_not_mine(&self) -> Option<String> {
        let other = |c: &&&CaseFile| c.claim.as_ref().is_some_and(|l| l.by != self.around.who);
        if let Some(c) = self.undecided.iter().find(other) {
            let by = c.claim.as_ref().map_or("somebody", |l| l.by.as_str());
            return Some(format!("{by} holds {}", c.found.label));
        }
        let missing: Vec<&str> = self
            .undecided
            .iter()
            .filter(|c| c.claim.is_none())
            .map(|c| c.found.id.as_str())
            .collect();
        // Before the case itself is claimed the menu shows what could be done.
        (self.file.claim.is_some() && !missing.is_empty())
            .then(|| format!("it writes rows of {} too: claim the chain", missing.join(", ")))
    }

    fn what(&self, verb: Verb) -> String {
        let case = &self.file.found;
        let label = &case.label;
        match verb {
            Verb::Reapply => self.reapply_words(),
            Verb::Resubmit => format!("send {label} to the order intake again"),
            Verb::Relink => {
                let missing: Vec<String> = case.missing.iter().map(|m| instead(case, m)).collect();
                missing.join("; ")
            }
            Verb::Complete => "done outside: write the evidence".to_owned(),
            Verb::Supersede => format!("another order did what {label} should: name it"),
            Verb::Cancel => format!("a person cancels {label} outside"),
            Verb::Park => "put it off until a time or an answer".to_owned(),
            Verb::Escalate => "hand it to a person, with a time".to_owned(),
            Verb::Keep => {
                let kinds: Vec<&str> = case.kinds().into_iter().map(Kind::words).collect();
                format!("leave it as restored: stays {}", kinds.join(", "))
            }
        }
    }

    /// `re-create SFO-77, inventory item 12, SFM-12: 6 rows`
    fn reapply_words(&self) -> String {
        const MOST: usize = 4;
        let mut rows = 0;
        let mut groups: BTreeMap<Act, Vec<String>> = BTreeMap::new();
        for c in self.undecided.iter().rev().copied().chain([self.file]) {
            let writes = steps::writes(&c.found, self.around.schema);
            rows += writes.len();
            let order_is_written = writes.iter().any(|(_, f)| f.entity == ORDER);
            for (act, f) in writes {
                // The rows that belong to a written order go without saying, unless somebody refers to them.
                let referred = self
                    .file
                    .found
                    .missing
                    .iter()
                    .any(|m| m.entity == f.entity && m.key == f.key);
                if f.entity == ORDER || !order_is_written || referred {
                    groups
                        .entry(act)
                        .or_default()
                        .push(steps::name(&c.found, &f.entity, &f.key));
                }
            }
        }
        let acts: Vec<String> = groups
            .into_iter()
            .map(|(act, names)| {
                let more = names.len().saturating_sub(MOST);
                let mut shown: Vec<String> = names.into_iter().take(MOST).collect();
                if more > 0 {
                    shown.push(format!("{more} more"));
                }
                format!("{} {}", act.words(), shown.join(", "))
            })
            .collect();
        let plural = if rows == 1 { "row" } else { "rows" };
        if acts.is_empty() {
            "bring the log's state back".to_owned()
        } else {
            format!("{}: {rows} {plural}", acts.join("; "))
        }
    }
}

impl Facts<'_> {
    /// The undecided cases that it waits for, and itself.
    fn cases(&self) -> impl Iterator<Item = &FoundCase> {
        self.undecided.iter().copied().chain([self.found])
    }

    fn is_held(&self) -> bool {
        self.found.held || self.found.id.starts_with("held:")
    }

    fn order_row(&self) -> Option<&FamilyRow> {
        let key = self.found.order.as_deref()?;
        self.found.family.iter().find(|r| r.entity == ORDER && r.key == key)
    }

    fn row_of_kind(&self, kind: Kind) -> Option<String> {
        let case = self.found;
        let f = case.findings.iter().find(|f| f.kind == kind)?;
        Some(steps::name(case, &f.entity, &f.key))
    }

    /// Whether one of these cases re-creates what is missing.
    fn is_brought_back(&self, missing: &Missing) -> bool {
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

/// What a person must do for one case; `reapply` lists this case's rows alone.
pub fn own_steps(
    file: &CaseFile,
    verb: Verb,
    reference: Option<&str>,
    to: Option<&str>,
    schema: &Schema,
) -> Vec<String> {
    let case = &file.found;
    let label = &case.label;
    match verb {
        Verb::Reapply => steps::reapply(case, schema),
        Verb::Resubmit => vec![
            format!("look {label} up once more: it must not be there"),
            format!("submit {label} to the order intake"),
        ],
        Verb::Relink => {
            let mut steps = Vec::new();
            for row in &case.family {
                for r in row
                    .refs
                    .iter()
                    .filter(|r| case.lacks(r) && reference.is_none_or(|c| c == r.column))
                {
                    let table = schema
                        .index(&row.entity)
                        .and_then(|ix| schema.entities.get(ix))
                        .map_or(row.entity.as_str(), |e| e.table.as_str());
                    let to = to.unwrap_or("another row");
                    steps.push(format!(
                        "set {table} {}: {} from {} to {to}",
                        row.key, r.column, r.to.key
                    ));
                }
            }
            steps
        }
        Verb::Supersede => match to {
            Some(to) => vec![format!("see that {to} does all that {label} should have done")],
            None => vec![format!(
                "see that the other order does all that {label} should have done"
            )],
        },
        Verb::Cancel => vec![format!("cancel {label} in the order system")],
        Verb::Complete | Verb::Park | Verb::Escalate | Verb::Keep => Vec::new(),
    }
}

/// The evidence that closes the to-do of a verb.
pub const fn wanted(verb: Verb) -> Option<&'static str> {
    match verb {
        Verb::Reapply => Some("how the rows were written, and by whom"),
        Verb::Resubmit => Some("the number that the order intake answered"),
        Verb::Relink => Some("what the reference names now"),
        Verb::Supersede => Some("the order that redid it, and its state"),
        Verb::Cancel => Some("who cancelled it, and where"),
        Verb::Complete | Verb::Park | Verb::Escalate | Verb::Keep => None,
    }
}

/// A step, or a word of an export on one, whose outcome nobody knows.
fn is_open_step(effect: &Outside) -> bool {
    effect.state == Happened::Unknown && (effect.item.is_some() || effect.evidence.is_some())
}

/// Why a case in this state is not decided again.
pub fn not_decidable(state: State) -> String {
    match state {
        State::Gone => "it is gone: no scan finds it any more".to_owned(),
        other => format!("it is {} already: undo that first", other.words()),
    }
}

/// What a reference could name instead of the row that is not there.
fn instead(case: &FoundCase, missing: &Missing) -> String {
    const MOST: usize = 3;
    let words = missing_words(missing);
    let fit = case.fits.iter().find(|f| f.missing == *missing);
    match fit.map(|f| &f.to[..]) {
        None | Some([]) => format!("no row is known that fits {words}: name one"),
        Some([one]) => format!("{one} fits instead of {words}"),
        Some(many) => {
            let more = if many.len() > MOST { ", …" } else { "" };
            let first: Vec<&str> = many.iter().take(MOST).map(String::as_str).collect();
            format!("{} rows fit instead of {words}: {}{more}", many.len(), first.join(", "))
        }
    }
}

fn missing_words(m: &Missing) -> String {
    let entity = m.entity.replace('_', " ");
    match &m.column {
        Some(column) => format!("{entity} {column} {}", m.key),
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
        .map(|m| format!("the log brings no {} back", missing_words(m)))
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

fn no_state_counts_as_cancelled(f: &Facts<'_>) -> Option<String> {
    let order = f.schema.index(ORDER).and_then(|ix| f.schema.entities.get(ix));
    order
        .is_none_or(|o| o.cancelled.is_empty())
        .then(|| "no state is configured as cancelled, so it could not be proven".to_owned())
}
