//! Taking in what a scan found: compared here with what the ledger knows, staged piece by piece, taken in as a whole by the
//! server.

use super::super::audit::Deed;
use super::super::body::Packer;
use super::super::fault::Res;
use super::super::follow::{self, Decided};
use super::super::opening::{as_opened, pieces};
use super::super::rows::{mask_of, state_of};
use super::super::store::Snapshot;
use super::super::{Here, new_key, place};
use super::trouble::Doing;
use super::{Postgres, clean, origin};
use crate::domain::case::{FoundCase, State, Verb};
use crate::domain::progress::{Progress, Stage};
use crate::domain::queue::{Reject, ScanCounts};
use crate::domain::{Error, Result};
use crate::ledger::plan::hex;
use crate::scan::Opening;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use std::collections::HashMap;

/// Cases of a piece: their bodies make about a megabyte.
const PIECE: usize = 1_000;

/// A case as the ledger knows it before the scan.
struct Known {
    state: State,
    digest: Vec<u8>,
    decision: Option<String>,
    decisions: Vec<Decided>,
    /// How the opening saw it; empty where it did not.
    opening: Option<Vec<u8>>,
}

/// A scan on its way to the server.
struct Intake<'a> {
    store: &'a Postgres,
    here: &'a Here,
    scan: String,
    packer: Packer,
    pieces: u64,
    cases: u64,
    rows: u64,
    /// The first scan of an attempt that is not the first.
    again: bool,
}

impl Postgres {
    /// Takes in everything a scan found, all of it or nothing.
    pub fn store_scan(
        &self,
        here: &Here,
        cases: &mut dyn Iterator<Item = FoundCase>,
        rejects: &[Reject],
        report: &Json,
        opening: Option<&Opening>,
        progress: &Progress,
    ) -> Res<ScanCounts> {
        let mut intake = Intake {
            store: self,
            here,
            scan: new_key(),
            packer: Packer::new()?,
            pieces: 0,
            cases: 0,
            rows: 0,
            again: self.read(here, |at| is_first_of_another(at, here))?,
        };
        let stored = intake.store(cases, rejects, report, opening, progress);
        if stored.is_err() {
            // What stays is forgotten by a later scan.
            let _ = intake.call("scan_forget", &json!({"scan": intake.scan}), None, Doing::Quick);
        }
        stored
    }
}

fn is_first_of_another(at: &dyn Snapshot, here: &Here) -> Res<bool> {
    let scans = at.one(
        "SELECT count(*) FILTER (WHERE attempt < ?2), count(*) FILTER (WHERE attempt = ?2) FROM scans WHERE incident = ?1",
        &[at.incident().into(), here.attempt.into()],
        |r| Ok((r.int(0)?, r.int(1)?)),
    )?;
    Ok(matches!(scans, Some((1.., 0))))
}

impl Intake<'_> {
    fn store(
        &mut self,
        cases: &mut dyn Iterator<Item = FoundCase>,
        rejects: &[Reject],
        report: &Json,
        opening: Option<&Opening>,
        progress: &Progress,
    ) -> Res<ScanCounts> {
        progress.begin(Stage::Writing, u64::try_from(cases.size_hint().0).unwrap_or(0));
        loop {
            let piece: Vec<FoundCase> = cases.take(PIECE).collect();
            if piece.is_empty() {
                break;
            }
            self.stage_cases(&piece)?;
            progress.add(u64::try_from(piece.len()).unwrap_or(0));
            if progress.is_cancelled() {
                return Err(Error::failed("the scan was stopped; the ledger is as it was before").into());
            }
        }
        let mut opened = Json::Null;
        if let Some(opening) = opening {
            for piece in pieces(opening)? {
                let rows = json!({
                    "entity": piece.entity,
                    "columns": piece.columns,
                    "whole": piece.whole,
                    "body": STANDARD.encode(&piece.body),
                });
                self.rows += 1;
                self.stage(&json!([]), &rows)?;
            }
            opened = json!({
                "at": opening.at,
                "place": opening.place,
                "timeline": opening.timeline,
                "in_doubt": STANDARD.encode(super::super::body::packed(&serde_json::to_vec(&opening.in_doubt)?)?),
            });
        }
        let args = json!({
            "scan": self.scan,
            "cases": self.cases,
            "rows": self.rows,
            "again": self.again,
            "rejects": rejects,
            "report": report.to_string(),
            "opening": opened,
        });
        let counts = self.call("scan_take_in", &clean(args), Some(new_key()), Doing::Long)?;
        Ok(serde_json::from_value(counts)?)
    }

    fn stage_cases(&mut self, piece: &[FoundCase]) -> Res<()> {
        let known = self.store.read(self.here, |at| self.known(at, piece))?;
        let mut staged = Vec::with_capacity(piece.len());
        for case in piece {
            staged.push(self.staged(case, known.get(case.id.as_str()))?);
        }
        self.cases += u64::try_from(staged.len()).unwrap_or(0);
        self.stage(&clean(Json::Array(staged)), &json!({}))
    }

    fn staged(&mut self, found: &FoundCase, known: Option<&Known>) -> Res<Json> {
        let shown = match known.and_then(|k| k.opening.as_ref()) {
            Some(opening) => as_opened(found, opening)?,
            None => std::borrow::Cow::Borrowed(found),
        };
        let case: &FoundCase = &shown;
        let digest = self.packer.take(case)?;
        let opens = known.is_some_and(|known| match known.state {
            State::Gone => true,
            State::Proven => known.decision.is_none() || follow::is_news(&known.decisions, case),
            _ => false,
        });
        if known.is_some_and(|k| k.digest == digest) && !opens {
            return Ok(json!({"id": case.id}));
        }
        Ok(json!({
            "id": case.id,
            "place": hex(&place::of(case)),
            "kinds": mask_of(case),
            "label": case.label,
            "action": case.action,
            "show": serde_json::to_string(&case.show)?,
            "dies_at": place::dies_at(case),
            "waits": case.blocked_by,
            "digest": hex(&digest),
            "body": STANDARD.encode(self.packer.pack()?),
            "since": case.findings.iter().any(|f| f.since_opening),
            "opens": opens.then(|| known.and_then(|k| k.decision.clone()).unwrap_or_default()),
        }))
    }

    /// What the ledger knows of these cases.
    fn known(&self, at: &dyn Snapshot, piece: &[FoundCase]) -> Res<HashMap<String, Known>> {
        let ids = |of: &dyn Fn(&&FoundCase) -> bool| -> Res<String> {
            let ids: Vec<&str> = piece.iter().filter(of).map(|c| c.id.as_str()).collect();
            Ok(serde_json::to_string(&ids)?)
        };
        let all = ids(&|_| true)?;
        let found = at.all(
            "SELECT c.id, c.state, c.digest, c.decision, coalesce(c.verb <> 'keep' AND d.attempt < ?3, false)
             FROM cases c LEFT JOIN decisions d ON d.key = c.decision
             WHERE c.incident = ?1 AND c.id IN (SELECT jsonb_array_elements_text(?2::jsonb))",
            &[at.incident().into(), (&all).into(), self.here.attempt.into()],
            |r| {
                let state = match state_of(r.text(1)?) {
                    // Its proof will be asked for again.
                    State::Proven if self.again && r.bool(4)? => State::Applied,
                    state => state,
                };
                let known = Known {
                    state,
                    digest: r.blob(2)?.to_vec(),
                    decision: r.own_or_null(3)?,
                    decisions: Vec::new(),
                    opening: None,
                };
                Ok((r.own::<String>(0)?, known))
            },
        )?;
        let mut known: HashMap<String, Known> = found.into_iter().collect();
        if known.values().any(|k| k.state == State::Proven) {
            at.few(
                "SELECT c.id, d.verb, d.reference, t.findings
                 FROM cases c JOIN decided t ON t.no = c.no JOIN decisions d ON d.key = t.key
                 WHERE c.incident = ?1 AND c.id IN (SELECT jsonb_array_elements_text(?2::jsonb)) AND c.state = 'proven'
                   AND (d.key = c.decision OR d.attempt = ?3)",
                &[at.incident().into(), (&all).into(), self.here.attempt.into()],
                &mut |r| {
                    if let Some(known) = known.get_mut(r.text(0)?) {
                        known.decisions.push(Decided {
                            verb: Verb::of_name(r.text(1)?).unwrap_or(Verb::Keep),
                            reference: r.own_or_null(2)?,
                            seen: r.json(3)?,
                        });
                    }
                    Ok(())
                },
            )?;
        }
        let moved = ids(&|c| c.findings.iter().any(|f| f.since_opening))?;
        // Bodies of an earlier attempt do not tell how this opening saw a case.
        if moved != "[]" && !self.again {
            at.few(
                "SELECT c.id, coalesce(f.opening, f.body) FROM cases c JOIN found f ON f.no = c.no
                 WHERE c.incident = ?1 AND c.id IN (SELECT jsonb_array_elements_text(?2::jsonb))",
                &[at.incident().into(), (&moved).into()],
                &mut |r| {
                    if let Some(known) = known.get_mut(r.text(0)?) {
                        known.opening = Some(r.blob(1)?.to_vec());
                    }
                    Ok(())
                },
            )?;
        }
        Ok(known)
    }

    fn stage(&mut self, cases: &Json, rows: &Json) -> Res<()> {
        self.pieces += 1;
        let args = json!({"scan": self.scan, "piece": self.pieces, "cases": cases, "rows": rows});
        self.call("scan_stage", &args, None, Doing::Long)?;
        Ok(())
    }

    fn call(&self, name: &str, args: &Json, key: Option<String>, doing: Doing) -> Result<Json> {
        let deed = Deed {
            action: "scan",
            ..Deed::default()
        };
        let mut origin = origin(self.here, deed);
        if let Some(key) = key {
            origin["call"] = json!(key);
        }
        self.store.call(name, &origin, args, doing)
    }
}
