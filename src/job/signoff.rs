//! Handing a shift over, and the end: what the papers say, and what must be so before they are signed.

use super::prove;
use crate::config::Config;
use crate::domain::case::{State, Verb};
use crate::domain::paper::{Paper, PaperKind};
use crate::domain::progress::Progress;
use crate::domain::queue::{CaseRow, Counts, Filter};
use crate::domain::{Error, Result, time};
use crate::ledger::{Ledger, Role};
use serde::Serialize;
use serde_json::{Value as Json, json};

/// A case that keeps the incident open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The case.
    pub case: String,
    /// What people call it.
    pub label: String,
    /// Where it stands.
    pub state: State,
    /// Why it is not settled, where more than its state says it.
    pub why: String,
}

/// How a sign-off ended.
#[derive(Debug)]
pub enum SignedOff {
    /// It is signed.
    Yes(Box<Paper>),
    /// Refused: this is left.
    No(Vec<Left>, Error),
}

fn states(counts: &Counts) -> Json {
    let states = State::ALL
        .into_iter()
        .map(|s| (s.name().to_owned(), json!(counts.of(s))));
    let mut states: serde_json::Map<String, Json> = states.collect();
    states.insert("total".to_owned(), json!(counts.total()));
    Json::Object(states)
}

/// Freezes the list of what is not settled, for whoever takes over; `to` names them, else anybody else may sign.
pub fn hand_over(ledger: &mut Ledger, to: Option<&str>, note: &str) -> Result<Paper> {
    if to.is_some_and(|to| to == ledger.who().user) {
        return Err(Error::usage("a shift is handed over to somebody else").at("--to"));
    }
    let mut cases = Vec::new();
    ledger.each_row(&Filter::default(), &mut |row: CaseRow| {
        if !row.state.is_settled() {
            cases.push(json!({
                "case": row.id, "label": row.label, "state": row.state, "verb": row.verb,
                "claimed_by": row.claim.map(|c| c.by),
            }));
        }
        true
    })?;
    let counts = states(&ledger.counts()?);
    let why = match note.trim() {
        "" => format!("{} cases are open", cases.len()),
        note => format!("{} cases are open: {note}", cases.len()),
    };
    let content = json!({"note": note.trim(), "counts": counts, "cases": cases});
    ledger.write_paper(PaperKind::Handover, None, &content, to, &why)
}

/// Reads every decided case again, the proven ones too, and signs the incident off where nothing is left.
pub fn sign_off(config: &Config, ledger: &mut Ledger, reason: &str, progress: &Progress) -> Result<SignedOff> {
    let refuse = |ledger: &mut Ledger, left: Vec<Left>, error: Error| {
        let error = ledger.refuse_paper(PaperKind::Signoff, error);
        Ok(SignedOff::No(left, error))
    };
    if ledger.role() < Role::Lead {
        let who = ledger.who().user.clone();
        return refuse(
            ledger,
            Vec::new(),
            Error::refused(format!("{who} is no lead, and it takes one to sign off"))
                .cure("`[roles]` in the configuration names the leads"),
        );
    }
    if ledger.last_scan()?.is_none() {
        return refuse(
            ledger,
            Vec::new(),
            Error::refused("nothing was scanned yet").cure("`restitch scan` finds what there is to settle"),
        );
    }
    let mut proven: Vec<String> = Vec::new();
    let filter = Filter {
        state: Some(State::Proven),
        ..Filter::default()
    };
    ledger.each_row(&filter, &mut |row| {
        proven.push(row.id.into());
        true
    })?;
    prove(config, ledger, None, progress)?;
    let reread = prove(config, ledger, Some(&proven), progress)?;
    let left = left(ledger)?;
    if !left.is_empty() {
        let error = Error::refused(format!("{} things are not settled", left.len()))
            .cure("each is named; settle them, then sign off");
        return refuse(ledger, left, error);
    }
    let counts = ledger.counts()?;
    let content = json!({
        "reason": reason, "counts": states(&counts), "read_again": reread.proven,
        "scanned_at": ledger.last_scan()?.map(|(at, _)| time::format(at)),
    });
    let why = format!(
        "{} cases, {} proven, {} read again: {reason}",
        counts.total(),
        counts.of(State::Proven),
        reread.proven
    );
    let paper = ledger.write_paper(PaperKind::Signoff, None, &content, None, &why)?;
    Ok(SignedOff::Yes(Box::new(paper)))
}

/// Everything that is not settled: cases, decisions and bulks that wait for somebody.
fn left(ledger: &Ledger) -> Result<Vec<Left>> {
    let mut left = Vec::new();
    let mut proven = Vec::new();
    ledger.each_row(&Filter::default(), &mut |row| {
        if !row.state.is_settled() {
            left.push(Left {
                case: row.id.into(),
                label: row.label.into(),
                state: row.state,
                why: if row.disproven {
                    "its proof failed".to_owned()
                } else {
                    String::new()
                },
            });
        } else if row.state == State::Proven && !matches!(row.verb, Some(Verb::Keep)) {
            proven.push(String::from(row.id));
        }
        true
    })?;
    for id in proven {
        let Some(file) = ledger.case(&id)? else { continue };
        let Some(decision) = &file.decision else { continue };
        // What a lead confirmed was not to be told from the rows in the first place.
        if let (Some((None, read)), false) = (&decision.proof, decision.verb == Verb::Complete) {
            left.push(Left {
                case: id,
                label: file.found.label.clone(),
                state: file.state,
                why: format!("it could not be read again: {read}"),
            });
        }
    }
    for paper in ledger.waiting_papers()? {
        if matches!(paper.kind, PaperKind::Decision | PaperKind::Bulk) {
            left.push(Left {
                case: paper.case.clone().unwrap_or_else(|| format!("bulk {}", paper.key)),
                label: String::new(),
                state: State::Open,
                why: format!("{}'s {} waits for approval", paper.by, paper.kind.name()),
            });
        }
    }
    Ok(left)
}
