//! A decision as it is written: made of what was read, by rules that know no store, and checked again under lock by the
//! store that writes it.

use super::Here;
use super::claims::{chain, held};
use super::effects::{Queued, RESTITCH};
use super::fault::Res;
use super::follow;
use super::papers::{self, decide_of};
use super::rows::case_file;
use super::store::Snapshot;
use crate::domain::case::{FoundCase, State, Verb};
use crate::domain::paper::{Paper, PaperState};
use crate::domain::queue::{CaseFile, Claim, Decide};
use crate::domain::{Error, Result};
use crate::resolve::effects::plan::{self as effects, Asked, Planned};
use crate::resolve::guards::{self, Around, Offer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Who escalates and names no time wants an answer within this, microseconds.
const ANSWERED_BY: i64 = 3_600_000_000;

/// A decision, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    /// Its idempotency key.
    pub key: String,
    /// Of everything that makes it this decision and no other, hex: the same key with another digest is refused.
    pub digest: String,
    pub verb: Verb,
    pub reason: String,
    pub reference: Option<String>,
    pub to: Option<String>,
    pub evidence: Option<String>,
    pub until: Option<i64>,
    /// The fence of the claim under which the screen was drawn.
    pub fence: Option<i64>,
    /// The bulk that it is part of.
    #[serde(default)]
    pub bulk: Option<String>,
    /// What is decided, the case that was asked for first.
    pub cases: Vec<Decided>,
    /// What leaves restitch with it.
    pub effect: Option<Queued>,
    /// What the rules looked at. Where any of it is another when the plan is written, it must be made anew.
    pub seen: Vec<Sight>,
}

impl Plan {
    /// What it will do, step by step: who is waited for first.
    pub fn steps(&self) -> Vec<String> {
        let of = |case: &Decided| serde_json::from_str::<Vec<String>>(&case.steps).unwrap_or_default();
        self.cases.iter().rev().flat_map(of).collect()
    }
}

/// A case that the decision decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Decided {
    pub id: String,
    pub next: State,
    /// JSON: what was found when it was decided.
    pub findings: String,
    /// JSON list: what a person must do outside.
    pub steps: String,
    pub assignee: Option<String>,
    pub wanted: Option<String>,
}

/// A case as the rules saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sight {
    pub id: String,
    /// `None`: there was no such case.
    pub was: Option<Standing>,
}

/// What the rules asked of a case, besides its claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Digest of its body, hex.
    pub digest: String,
    pub state: State,
    /// Key of the decision that counts.
    pub decision: Option<String>,
}

/// How the case stands now.
pub(super) fn standing(at: &dyn Snapshot, id: &str) -> Res<Option<Standing>> {
    at.one(
        "SELECT digest, state, decision FROM cases WHERE incident = ?1 AND id = ?2",
        &[at.incident().into(), id.into()],
        |r| {
            Ok(Standing {
                digest: hex(r.blob(0)?),
                state: super::rows::state_of(r.text(1)?),
                decision: r.own_or_null(2)?,
            })
        },
    )
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, b| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// The menu of verbs for a case.
pub(super) fn offers(at: &dyn Snapshot, here: &Here, id: &str) -> Res<Option<Vec<Offer>>> {
    let Some(file) = case_file(at, id)? else {
        return Ok(None);
    };
    let (waits_for, _) = waits_for(at, &file)?;
    Ok(Some(guards::offers(&file, here.around(at, &here.who.user, &waits_for))))
}

impl Here {
    fn around<'a>(&'a self, at: &dyn Snapshot, who: &'a str, waits_for: &'a [CaseFile]) -> Around<'a> {
        Around {
            schema: &self.schema,
            effects: &self.effects,
            who,
            role: at.role(),
            waits_for,
        }
    }

    /// Everything that makes a decision this one and no other.
    pub(super) fn digest(&self, by: &str, d: &Decide, verb: Verb) -> Res<String> {
        let bytes = serde_json::to_vec(&(
            (&self.name, by, &d.case, verb.name()),
            (&d.reason, &d.reference, &d.to, &d.evidence, d.until),
        ))?;
        Ok(hex(&Sha256::digest(bytes)))
    }

    /// Makes the plan of a decision, or says why it cannot be decided so.
    pub(super) fn plan(&self, at: &dyn Snapshot, d: &Decide, verb: Verb) -> Res<Plan> {
        self.plan_by(at, d, verb, &self.who.user)
    }

    /// As [`Here::plan`], of a decision that somebody else asked for and this person approves: exactly that, about the case
    /// as it was.
    pub(super) fn plan_asked(&self, at: &dyn Snapshot, paper: &Paper) -> Res<Plan> {
        if let Some(now) = papers::paper(at, &paper.key)?.filter(|p| p.state != PaperState::Waits) {
            return Err(Error::refused(format!("it is {} already", now.state.name())).into());
        }
        let (d, seen) = decide_of(paper)?;
        let plan = self.plan_by(at, &d, well_formed(&d)?, &paper.by)?;
        let now = plan.seen.first().and_then(|s| s.was.as_ref());
        if plan.digest != paper.digest || now.is_none_or(|now| now.digest != seen) {
            return Err(Error::refused(format!("{} changed since it was asked for", d.case))
                .cure("decline it; whoever asked looks again, then decides")
                .into());
        }
        Ok(plan)
    }

    /// A decision of `by`, made by whoever reads: where that is somebody else, a case that nobody holds by now will do.
    fn plan_by(&self, at: &dyn Snapshot, d: &Decide, verb: Verb, by: &str) -> Res<Plan> {
        let require_claim = |id: &str, claim: Option<&Claim>, fence| match claim {
            None if by != self.who.user => Ok(()),
            claim => require_claim(id, claim, by, fence),
        };
        self.require_operator(at.role())?;
        let Some(file) = case_file(at, &d.case)? else {
            return Err(
                Error::usage(format!("there is no case {:?} in incident {}", d.case, self.name))
                    .cure("`restitch cases` lists them")
                    .into(),
            );
        };
        if !file.state.is_decidable() {
            return Err(Error::refused(format!("{}: {}", d.case, guards::not_decidable(file.state))).into());
        }
        require_claim(&d.case, file.claim.as_ref(), d.fence)?;
        if d.confirm.as_ref().is_some_and(|c| *c != d.case) {
            return Err(Error::refused(format!("the confirmation does not name {}", d.case))
                .cure(format!("--confirm {}", d.case))
                .into());
        }
        let (waits_for, asked) = waits_for(at, &file)?;
        let offer = guards::offers(&file, self.around(at, by, &waits_for))
            .into_iter()
            .find(|o| o.verb == verb);
        let Some(offer) = offer else {
            return Err(Error::refused(format!("{} is not offered", verb.name())).into());
        };
        refuse_unready(d, verb, &offer)?;
        refuse_pointless_target(d, verb, &file)?;
        let others: Vec<&CaseFile> = waits_for.iter().filter(|c| offer.also.contains(&c.found.id)).collect();
        let planned = self.effect(d, verb, &file, &others)?;
        let mut cases = vec![self.decided((d, verb), &file, by, planned.as_ref())?];
        for other in others {
            require_claim(&other.found.id, other.claim.as_ref(), None)?;
            cases.push(self.decided((d, verb), other, by, planned.as_ref())?);
        }
        let effect = planned
            .map(|p| Queued::new(&d.key, &p.plan, self.effects.grace))
            .transpose()?;
        // These three ask for role and claim alone: what others do to other cases is nothing to them.
        let alone = matches!(verb, Verb::Keep | Verb::Park | Verb::Escalate);
        let others = asked.into_iter().filter(|_| !alone);
        let seen = std::iter::once(d.case.clone()).chain(others).map(|id| {
            Ok(Sight {
                was: standing(at, &id)?,
                id,
            })
        });
        Ok(Plan {
            key: d.key.clone(),
            digest: self.digest(by, d, verb)?,
            verb,
            reason: d.reason.clone(),
            reference: d.reference.clone(),
            to: d.to.clone(),
            evidence: d.evidence.clone(),
            until: match (d.until, verb) {
                (None, Verb::Escalate) => Some(at.now().saturating_add(ANSWERED_BY)),
                (until, _) => until,
            },
            fence: d.fence,
            bulk: None,
            seen: seen.collect::<Res<_>>()?,
            cases,
            effect,
        })
    }

    /// What the decision's effect will do; `None` for `record`. `others` are written before.
    fn effect(&self, d: &Decide, verb: Verb, file: &CaseFile, others: &[&CaseFile]) -> Result<Option<Planned>> {
        let chain: Vec<&FoundCase> = others.iter().rev().map(|c| &c.found).collect();
        let asked = Asked {
            reference: d.reference.as_deref(),
            to: d.to.as_deref(),
        };
        let planned = effects::plan(self.effects.of(verb), verb, &file.found, &chain, asked, &self.schema);
        planned.map_err(|why| Error::refused(format!("{} {}: {why}", verb.name(), d.case)))
    }

    fn decided(&self, (d, verb): (&Decide, Verb), file: &CaseFile, by: &str, effect: Option<&Planned>) -> Res<Decided> {
        let next = match verb {
            Verb::Keep => State::Proven,
            Verb::Park => State::Parked,
            Verb::Escalate => State::Escalated,
            // Nobody has to act any more: the evidence came with the decision.
            Verb::Complete => State::Applied,
            Verb::Reapply | Verb::Resubmit | Verb::Relink | Verb::Supersede | Verb::Cancel => State::ToDo,
        };
        let steps = match effect {
            Some(effect) if file.found.id == d.case => effect.lines.clone(),
            _ => guards::own_steps(file, verb, d.reference.as_deref(), d.to.as_deref(), &self.schema),
        };
        Ok(Decided {
            id: file.found.id.clone(),
            next,
            findings: serde_json::to_string(&follow::seen(&file.found))?,
            steps: serde_json::to_string(&steps)?,
            assignee: match verb {
                Verb::Escalate => d.to.clone(),
                _ if effect.is_some() => Some(RESTITCH.to_owned()),
                _ if next == State::ToDo => Some(by.to_owned()),
                _ => None,
            },
            wanted: guards::wanted(verb).filter(|_| effect.is_none()).map(str::to_owned),
        })
    }
}

/// What of a decision can be wrong before anyone looks at the case.
pub(super) fn well_formed(d: &Decide) -> Result<Verb> {
    let verb = d.verb.ok_or_else(|| Error::usage("a decision needs a verb"))?;
    let name = verb.name();
    let empty = |text: &Option<String>| text.as_ref().is_none_or(|t| t.trim().is_empty());
    if d.reason.trim().is_empty() {
        return Err(Error::usage("a decision needs a reason").cure("--reason TEXT"));
    }
    if d.key.trim().is_empty() {
        return Err(Error::usage("a decision needs an idempotency key"));
    }
    if verb == Verb::Relink && (empty(&d.reference) || empty(&d.to)) {
        return Err(
            Error::usage("`relink` needs the referring column and the row to name").cure("--ref COLUMN --to KEY")
        );
    }
    if matches!(verb, Verb::Supersede | Verb::Escalate) && empty(&d.to) {
        let whom = if verb == Verb::Escalate { "PERSON" } else { "CASE" };
        return Err(Error::usage(format!("`{name}` needs to know to whom or what")).cure(format!("--to {whom}")));
    }
    if verb == Verb::Complete && empty(&d.evidence) {
        return Err(Error::usage("`complete` needs the evidence").cure("--evidence TEXT"));
    }
    Ok(verb)
}

/// The cases a case waits for: the undecided ones transitively, and those it names itself in whatever state; and the ids
/// that were asked for them.
fn waits_for(at: &dyn Snapshot, file: &CaseFile) -> Res<(Vec<CaseFile>, Vec<String>)> {
    let mut ids = chain(at, &file.found.id)?;
    ids.remove(0);
    for id in &file.found.blocked_by {
        if *id != file.found.id && !ids.contains(id) {
            ids.push(id.clone());
        }
    }
    let mut files = Vec::with_capacity(ids.len());
    for id in &ids {
        files.extend(case_file(at, id)?);
    }
    Ok((files, ids))
}

/// Refuses where whoever decides does not hold the case.
pub(super) fn require_claim(id: &str, claim: Option<&Claim>, who: &str, fence: Option<i64>) -> Result<()> {
    match claim {
        None => Err(Error::refused(format!("nobody holds {id}")).cure(format!("`restitch claim {id}` first"))),
        Some(claim) if claim.by != who => Err(held(id, claim)),
        Some(claim) if fence.is_some_and(|f| f != claim.fence) => {
            Err(Error::refused(format!("somebody else held {id} in between"))
                .cure("look at the case again, then decide"))
        }
        Some(_) => Ok(()),
    }
}

/// What the offer wants first: that nothing speaks against it, an answer, the confirmation of what nothing takes back, and
/// eyes that saw the cases as they are.
fn refuse_unready(d: &Decide, verb: Verb, offer: &Offer) -> Result<()> {
    let what = format!("{} {}", verb.name(), d.case);
    if let Some(why) = &offer.refused {
        return Err(Error::refused(format!("{what}: {why}")));
    }
    let answered = d.evidence.as_ref().is_some_and(|e| !e.trim().is_empty());
    if let Some(asks) = offer.asks.as_ref().filter(|_| !answered) {
        return Err(
            Error::refused(format!("{what}: first {asks}")).cure("give the answer, and whose it is: --evidence TEXT")
        );
    }
    if offer.kind == guards::ONE_WAY && d.confirm.is_none() {
        return Err(
            Error::refused(format!("{what} is one-way: nothing takes it back once it has left")).cure(format!(
                "--confirm {} says that it is meant; --dry-run shows what leaves",
                d.case
            )),
        );
    }
    if d.seen.is_some() && offer.seen.is_some() && d.seen != offer.seen {
        return Err(
            Error::refused(format!("{what}: a scan changed the case since it was shown"))
                .cure("look at it again, then decide"),
        );
    }
    Ok(())
}

/// `--ref` and `--to` must name something that can be meant.
fn refuse_pointless_target(d: &Decide, verb: Verb, file: &CaseFile) -> Result<()> {
    let case = &file.found;
    let to = d.to.as_deref().unwrap_or_default();
    if verb == Verb::Relink {
        let columns: Vec<&str> = case
            .family
            .iter()
            .flat_map(|r| &r.refs)
            .filter(|r| case.lacks(r))
            .map(|r| r.column.as_str())
            .collect();
        if !columns.iter().any(|c| Some(*c) == d.reference.as_deref()) {
            return Err(Error::refused(format!(
                "relink {}: {:?} refers to nothing that is missing",
                d.case,
                d.reference.as_deref().unwrap_or_default()
            ))
            .cure(format!("--ref {}", columns.join(" or "))));
        }
        if case.missing.iter().any(|m| m.key == to) {
            return Err(Error::refused(format!("relink {}: {to} is what is missing", d.case)));
        }
    }
    if verb == Verb::Supersede && (to == d.case || Some(to) == case.order.as_deref() || to == case.label) {
        return Err(Error::refused(format!(
            "supersede {}: an order cannot redo itself",
            d.case
        )));
    }
    Ok(())
}
