//! What people sign: decisions and bulks that wait for another person, hand-overs, the end.
//!
//! Whoever writes a paper signs it. The second signature is another person's, never the same one's in another role; what
//! they sign is what the first wrote, by its digest.

use super::audit::Deed;
use super::fault::{Fault, Res};
use super::plan::{self, Plan};
use super::sqlite::Tx;
use super::store::{Act, Row, Snapshot};
use super::{Ledger, new_key};
use crate::domain::case::{State, Verb};
use crate::domain::paper::{Paper, PaperKind, PaperState};
use crate::domain::queue::Decide;
use crate::domain::{Error, ErrorKind, Result};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// So often a plan is made anew where others change what it was made of.
const TRIES: usize = 10;
/// What another person approved is decided under a lease of its decider's, so long, microseconds.
const LEASE: i64 = 60_000_000;

/// What `papers` is read with.
const PAPER: &str =
    "SELECT key, kind, case_id, digest, content, by, at, for_whom, state, answered_by, answered_at, answer FROM papers";

/// A paper is written and signed.
#[derive(Debug, Serialize)]
pub(super) struct Write<'a> {
    pub key: &'a str,
    pub kind: PaperKind,
    pub case: Option<&'a str>,
    pub verb: Option<&'a str>,
    pub digest: &'a str,
    /// JSON.
    pub content: &'a str,
    pub to: Option<&'a str>,
    /// One signature is enough.
    pub alone: bool,
    /// It takes a lead.
    pub lead: bool,
    pub why: &'a str,
}

/// A paper is answered: signed, declined or taken back.
#[derive(Debug, Serialize)]
struct Reply<'a> {
    key: &'a str,
    digest: &'a str,
    kind: PaperKind,
    case: Option<&'a str>,
    state: PaperState,
    why: &'a str,
    /// What takes effect with the signature.
    plan: Option<&'a Plan>,
}

/// What a decision that waits says, besides who asked: enough to make it.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    verb: Verb,
    reason: String,
    #[serde(rename = "ref")]
    reference: Option<String>,
    to: Option<String>,
    evidence: Option<String>,
    until: Option<i64>,
    /// What it will do, step by step.
    #[serde(default)]
    steps: Vec<String>,
    /// The case's body when it was asked for: what the second person signs is about this and nothing newer.
    seen: String,
}

fn read_paper(row: &dyn Row) -> Res<Paper> {
    Ok(Paper {
        key: row.own(0)?,
        kind: PaperKind::of_name(row.text(1)?).unwrap_or(PaperKind::Decision),
        case: row.own_or_null(2)?,
        digest: row.own(3)?,
        content: row.json(4)?,
        by: row.own(5)?,
        at: row.int(6)?,
        to: row.own_or_null(7)?,
        state: PaperState::of_name(row.text(8)?).unwrap_or(PaperState::Waits),
        answered_by: row.own_or_null(9)?,
        answered_at: row.get_int(10)?,
        answer: row.own_or_null(11)?,
    })
}

/// SHA-256 of what is signed, hex.
pub(super) fn digest(text: &str) -> String {
    plan::hex(&Sha256::digest(text.as_bytes()))
}

pub(super) fn paper(at: &dyn Snapshot, key: &str) -> Res<Option<Paper>> {
    at.one(
        &format!("{PAPER} WHERE incident = ?1 AND key = ?2"),
        &[at.incident().into(), key.into()],
        read_paper,
    )
}

impl Ledger {
    /// All papers, oldest first.
    pub fn papers(&self) -> Result<Vec<Paper>> {
        self.read(|at| {
            at.all(
                &format!("{PAPER} WHERE incident = ?1 ORDER BY no"),
                &[at.incident().into()],
                read_paper,
            )
        })
    }

    /// The papers that lack a signature, oldest first.
    pub fn waiting_papers(&self) -> Result<Vec<Paper>> {
        self.read(|at| {
            at.all(
                &format!("{PAPER} WHERE incident = ?1 AND state = 'waits' ORDER BY no"),
                &[at.incident().into()],
                read_paper,
            )
        })
    }

    /// The paper of this key.
    pub fn paper(&self, key: &str) -> Result<Option<Paper>> {
        self.read(|at| paper(at, key))
    }

    /// Writes a decision down that waits for another person; the case stays as it is.
    pub(super) fn ask(&mut self, d: &Decide, verb: Verb, plan: &Plan) -> Result<()> {
        let seen = plan.seen.first().and_then(|s| s.was.as_ref());
        let asked = Asked {
            verb,
            reason: d.reason.clone(),
            reference: d.reference.clone(),
            to: d.to.clone(),
            evidence: d.evidence.clone(),
            until: d.until,
            steps: plan.steps(),
            seen: seen.map(|s| s.digest.clone()).unwrap_or_default(),
        };
        let content = json(&asked)?;
        self.act(&Write {
            key: &d.key,
            kind: PaperKind::Decision,
            case: Some(&d.case),
            verb: Some(verb.name()),
            digest: &plan.digest,
            content: &content,
            to: None,
            alone: false,
            lead: false,
            why: &d.reason,
        })
    }

    /// Writes a paper of another kind; gives it back as it stands. `alone`: it takes one signature.
    pub fn write_paper(
        &mut self,
        kind: PaperKind,
        key: Option<&str>,
        content: &impl Serialize,
        to: Option<&str>,
        why: &str,
    ) -> Result<Paper> {
        let made = new_key();
        let key = key.unwrap_or(&made);
        let content = json(content)?;
        let signoff = kind == PaperKind::Signoff;
        self.act(&Write {
            key,
            kind,
            case: None,
            verb: None,
            digest: &digest(&content),
            content: &content,
            to,
            alone: signoff,
            lead: signoff,
            why,
        })?;
        let lost = || Error::failed(format!("the paper {key} is not in the ledger"));
        self.paper(key)?.ok_or_else(lost)
    }

    /// Signs a paper that somebody else wrote, as it was when it was read: a decision takes effect with that. Says where
    /// the cases stand that it decided.
    pub fn sign(&mut self, read: &Paper, why: &str) -> Result<Vec<(String, State)>> {
        if read.kind != PaperKind::Decision {
            self.act(&reply(read, PaperState::Signed, why, None))?;
            return Ok(Vec::new());
        }
        for _ in 0..TRIES {
            let plan = match self.read(|at| self.here.plan_asked(at, read)) {
                Ok(plan) => plan,
                Err(error) if error.kind == ErrorKind::Refused => {
                    return Err(self.refuse(reply(read, PaperState::Signed, why, None).deed(), error));
                }
                Err(error) => return Err(error),
            };
            if self.act(&reply(read, PaperState::Signed, why, Some(&plan)))? {
                return Ok(plan.cases.iter().map(|c| (c.id.clone(), c.next)).collect());
            }
        }
        Err(Error::failed("the case changes faster than it can be decided; nothing was written").cure("do it again"))
    }

    /// Says no to a paper that somebody else wrote.
    pub fn decline(&mut self, read: &Paper, why: &str) -> Result<()> {
        if why.trim().is_empty() {
            return Err(Error::usage("to decline needs a reason").cure("--decline REASON"));
        }
        self.act(&reply(read, PaperState::Declined, why, None)).map(drop)
    }

    /// Writes down that a paper was refused for what was found outside the ledger, and gives the refusal back.
    pub fn refuse_paper(&mut self, kind: PaperKind, error: Error) -> Error {
        let deed = Deed {
            action: kind.name(),
            ..Deed::default()
        };
        match self.refuse_readonly(deed) {
            Ok(()) => self.refuse(deed, error),
            Err(readonly) => readonly,
        }
    }

    /// Takes a paper back that one wrote oneself.
    pub fn withdraw(&mut self, read: &Paper, why: &str) -> Result<()> {
        self.act(&reply(read, PaperState::Withdrawn, why, None)).map(drop)
    }
}

fn json(what: &impl Serialize) -> Result<String> {
    serde_json::to_string(what).map_err(|e| Error::failed(format!("cannot write JSON: {e}")))
}

const fn reply<'a>(read: &'a Paper, state: PaperState, why: &'a str, plan: Option<&'a Plan>) -> Reply<'a> {
    Reply {
        key: read.key.as_str(),
        digest: read.digest.as_str(),
        kind: read.kind,
        case: match &read.case {
            Some(case) => Some(case.as_str()),
            None => None,
        },
        state,
        why,
        plan,
    }
}

/// The decision that a paper asks for.
pub(super) fn decide_of(paper: &Paper) -> Res<(Decide, String)> {
    let asked: Asked = serde_json::from_value(paper.content.clone())?;
    let decide = Decide {
        case: paper.case.clone().unwrap_or_default(),
        key: paper.key.clone(),
        verb: Some(asked.verb),
        reason: asked.reason,
        reference: asked.reference,
        to: asked.to,
        evidence: asked.evidence,
        until: asked.until,
        // It was given when it was asked for.
        confirm: paper.case.clone(),
        fence: None,
        seen: None,
    };
    Ok((decide, asked.seen))
}

/// The decision that a paper of kind `decision` asks for, for the look before it is signed.
pub fn asked(paper: &Paper) -> Result<Decide> {
    let told = |_: Fault| Error::failed(format!("the paper {} cannot be read", paper.key));
    decide_of(paper).map(|(decide, _)| decide).map_err(told)
}

impl Act for Write<'_> {
    type Answer = ();
    const NAME: &'static str = "write_paper";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: match self.kind {
                PaperKind::Decision | PaperKind::Bulk => "ask",
                PaperKind::Handover => "handover",
                PaperKind::Signoff => "signoff",
            },
            case: self.case,
            verb: self.verb,
            key: Some(self.key),
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        tx.require_operator()?;
        if self.lead {
            tx.require_lead("to sign off")?;
        }
        if let Some(known) = paper(tx, self.key)? {
            return match known.state {
                _ if known.digest != self.digest => Err(Error::refused(format!(
                    "the key {} was used for something else",
                    self.key
                ))
                .cure("a new decision needs a new key")
                .into()),
                PaperState::Waits | PaperState::Signed => Ok(()),
                state => Err(Error::refused(format!("{} was {}", self.key, state.name()))
                    .cure("a new decision needs a new key")
                    .into()),
            };
        }
        if let Some(case) = self.case {
            // The newer word of whoever holds the case counts.
            tx.db.execute(
                "UPDATE papers SET state = 'withdrawn', answered_by = by, answered_at = ?3, answer = 'asked for anew'
                 WHERE incident = ?1 AND case_id = ?2 AND state = 'waits'",
                params![tx.incident, case, tx.now],
            )?;
        }
        tx.db.execute(
            "INSERT INTO papers (incident, key, kind, case_id, digest, content, by, at, for_whom, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                tx.incident,
                self.key,
                self.kind.name(),
                self.case,
                self.digest,
                self.content,
                tx.who.user,
                tx.now,
                self.to,
                if self.alone { "signed" } else { "waits" },
            ],
        )?;
        tx.audit(Deed {
            outcome: "ok",
            why: Some(self.why),
            ..self.deed()
        })
    }
}

impl Act for Reply<'_> {
    /// `false` where the plan was made of what is not so any more.
    type Answer = bool;
    const NAME: &'static str = "answer_paper";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: match (self.state, self.kind) {
                (PaperState::Declined, _) => "decline",
                (PaperState::Withdrawn, _) => "withdraw",
                (_, PaperKind::Handover) => "handover",
                _ => "approve",
            },
            case: self.case,
            verb: self.plan.map(|p| p.verb.name()),
            key: Some(self.key),
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<bool> {
        tx.require_operator()?;
        let known: Option<(String, String, String, Option<String>)> = tx
            .db
            .query_row(
                "SELECT by, digest, state, for_whom FROM papers WHERE incident = ?1 AND key = ?2",
                (tx.incident, self.key),
                |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)),
            )
            .optional()?;
        let Some((by, digest, state, to)) = known else {
            return Err(Error::usage(format!("there is no paper {:?}", self.key))
                .cure("`restitch approve` lists what waits")
                .into());
        };
        if state != PaperState::Waits.name() {
            return Err(Error::refused(format!("it is {state} already")).into());
        }
        if digest != self.digest {
            return Err(Error::refused("it is not what was read")
                .cure("look at it again, then sign")
                .into());
        }
        let own = by == tx.who.user;
        if self.state == PaperState::Withdrawn && !own {
            return Err(Error::refused(format!("{by} wrote it, and takes it back"))
                .cure("decline it")
                .into());
        }
        if self.state != PaperState::Withdrawn && own {
            return Err(Error::refused(format!("{by} asked for it: it takes another person"))
                .cure("ask somebody else to look at it")
                .into());
        }
        if self.state == PaperState::Signed && to.as_ref().is_some_and(|to| *to != tx.who.user) {
            let to = to.unwrap_or_default();
            return Err(Error::refused(format!("it is for {to} to sign")).into());
        }
        if let Some(plan) = self.plan {
            for case in &plan.cases {
                tx.claim(&case.id, &by, tx.now.saturating_add(LEASE))?;
            }
            if plan.write_for(tx, &by)?.is_none() {
                return Ok(false);
            }
        }
        tx.db.execute(
            "UPDATE papers SET state = ?3, answered_by = ?4, answered_at = ?5, answer = ?6 WHERE incident = ?1 AND key = ?2",
            params![tx.incident, self.key, self.state.name(), tx.who.user, tx.now, self.why],
        )?;
        let why = if own || self.why.is_empty() {
            format!("asked by {by}")
        } else {
            format!("asked by {by}: {}", self.why)
        };
        tx.audit(Deed {
            outcome: "ok",
            why: Some(&why),
            ..self.deed()
        })?;
        Ok(true)
    }
}
