//! Which verbs a case allows, what each would do, and why the others do not fit.
//!
//! `keep`, `park` and `escalate` ask for role and claim alone; every other verb has its rows in [`RULES`](super::rules::RULES).

use super::effects::plan::{self, Asked as Args, Planned};
use super::rules::{Facts, missing_words};
use super::steps::{self, Act};
use crate::config::{Effect, Effects};
use crate::domain::case::{FoundCase, Happened, Outside, State, Verb};
use crate::domain::finding::{Kind, Missing};
use crate::domain::queue::CaseFile;
use crate::domain::schema::{ORDER, Schema};
use crate::ledger::Role;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A verb that undo takes back: every one with the effect `record`.
pub const REVERSIBLE: &str = "reversible";
/// A verb that another act makes up for, as long as nobody built on it: with the effect `sql`.
pub const COMPENSABLE: &str = "compensable";
/// A verb that nothing takes back once it has left: with the effects `kafka` and `http`.
pub const ONE_WAY: &str = "one-way";
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
    pub undo: String,
    /// What its effect does, exactly; with `record`, what a person must do outside: step by step, for this case and for
    /// those of `also`.
    pub steps: Vec<String>,
    /// What its effect does, in the form of `--json`; `None` with `record`.
    pub effect: Option<Json>,
    /// What tells these cases, as they are now, from any others; `None` with `record`.
    pub seen: Option<String>,
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
    pub effects: &'a Effects,
    /// The ledger login of whoever asks.
    pub who: &'a str,
    /// Their role.
    pub role: Role,
    /// The cases it waits for: the undecided ones transitively, and those it names itself in whatever state.
    pub waits_for: &'a [CaseFile],
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
        let effect = self.around.effects.of(verb);
        let planned = self.planned(verb, Args::default());
        let (steps, json) = match planned {
            Ok(Some(planned)) => (planned.lines, Some(planned.json)),
            Ok(None) | Err(_) => (self.steps(verb), None),
        };
        let (kind, undo) = self.way(verb);
        Offer {
            verb,
            what: self.what(verb),
            refused: self.refused(verb),
            kind,
            undo,
            steps,
            effect: json,
            seen: (*effect != Effect::Record).then(|| plan::digest(case, &self.chain(verb))),
            wanted: wanted(verb).filter(|_| *effect == Effect::Record),
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

    /// What a person must do, for the whole chain.
    fn steps(&self, verb: Verb) -> Vec<String> {
        if verb != Verb::Reapply {
            return own_steps(self.file, verb, None, None, self.around.schema);
        }
        let chain = self.chain(verb);
        let all = chain.into_iter().chain([&self.file.found]);
        all.flat_map(|c| steps::reapply(c, self.around.schema)).collect()
    }

    /// The other cases that it writes: who is waited for longest stands last in the chain and is written first.
    fn chain(&self, verb: Verb) -> Vec<&FoundCase> {
        match verb {
            Verb::Reapply => self.undecided.iter().rev().map(|c| &c.found).collect(),
            _ => Vec::new(),
        }
    }

    fn planned(&self, verb: Verb, args: Args<'_>) -> Result<Option<Planned>, String> {
        let effect = self.around.effects.of(verb);
        plan::plan(
            effect,
            verb,
            &self.file.found,
            &self.chain(verb),
            args,
            self.around.schema,
        )
    }

    /// Whether and how it is taken back.
    fn way(&self, verb: Verb) -> (&'static str, String) {
        match self.around.effects.of(verb) {
            Effect::Record => (REVERSIBLE, UNDO.to_owned()),
            Effect::Sql => (
                COMPENSABLE,
                "undo writes the rows back, as long as they stand as written".to_owned(),
            ),
            Effect::Kafka(_) | Effect::Http(_) => {
                let grace = self.around.effects.grace.as_secs_f64();
                let undo = if grace > 0.0 {
                    format!("it leaves after {grace} s; until then undo takes it back, then nothing does")
                } else {
                    "nothing takes it back".to_owned()
                };
                (ONE_WAY, undo)
            }
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
        self.facts.why_not(verb).or_else(|| match verb {
            Verb::Reapply => self
                .chain_is_not_mine()
                .or_else(|| self.planned(verb, Args::default()).err()),
            // What it would write, depends on what is asked for yet.
            Verb::Relink => None,
            _ => self.planned(verb, Args::default()).err(),
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
                let missing: Vec<String> = case
                    .missing
                    .iter()
                    .map(|m| instead(case, m, self.facts.schema))
                    .collect();
                missing.join("; ")
            }
            Verb::Complete => "done outside: write the evidence".to_owned(),
            Verb::Supersede => format!("another order did what {label} should: name it"),
            Verb::Cancel if *self.around.effects.of(verb) == Effect::Record => {
                format!("a person cancels {label} outside")
            }
            Verb::Cancel => format!("cancel {label}"),
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
                        row.key,
                        r.column,
                        schema.key_shown(&r.to)
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
fn instead(case: &FoundCase, missing: &Missing, schema: &Schema) -> String {
    const MOST: usize = 3;
    let words = missing_words(missing, schema);
    let fit = case.fits.iter().find(|f| f.missing == *missing);
    match fit.map(|f| schema.fits_shown(f)).as_deref() {
        None | Some([]) => format!("no row is known that fits {words}: name one"),
        Some([one]) => format!("{one} fits instead of {words}"),
        Some(many) => {
            let more = if many.len() > MOST { ", …" } else { "" };
            let first: Vec<&str> = many.iter().take(MOST).copied().collect();
            format!("{} rows fit instead of {words}: {}{more}", many.len(), first.join(", "))
        }
    }
}
