//! Taking in what a scan found: cases open, update and go; decisions stay.

use super::audit::Deed;
use super::body::Packer;
use super::fault::Res;
use super::follow::{self, Decided};
use super::rows::{mask_of, state_of};
use super::sqlite::Tx;
use super::store::Act;
use super::{Ledger, Store, place};
use crate::domain::case::{FoundCase, State, Verb};
use crate::domain::progress::{Progress, Stage};
use crate::domain::queue::{Reject, ScanCounts};
use crate::domain::{Error, Result, time};
use crate::scan::Opening;
use rusqlite::{OptionalExtension, params};
use serde::Serialize;
use serde_json::Value as Json;
use std::borrow::Cow;

/// A case as the ledger knows it before the scan.
struct Known {
    no: i64,
    state: State,
    digest: Vec<u8>,
    waits: bool,
    decision: Option<String>,
}

impl Ledger {
    /// Takes in everything a scan found, in one transaction: a scan that fails or is stopped leaves the ledger as it
    /// was.
    pub fn store_scan(
        &mut self,
        cases: &mut dyn Iterator<Item = FoundCase>,
        rejects: &[Reject],
        report: &Json,
        opening: Option<&Opening>,
        progress: &Progress,
    ) -> Result<ScanCounts> {
        let deed = Deed {
            action: "scan",
            ..Deed::default()
        };
        self.refuse_readonly(deed)?;
        let stored = match &mut self.store {
            Store::Sqlite(sqlite) => sqlite.transact(&self.here, deed, |tx| {
                tx.store(cases, rejects, report, opening, progress)
            }),
            Store::Postgres(postgres) => postgres.store_scan(&self.here, cases, rejects, report, opening, progress),
        };
        stored.map_err(|e| self.told(e))
    }

    /// Keeps the lines that a scan rejected before it failed; nothing else of it is taken in.
    pub fn keep_rejects(&mut self, rejects: &[Reject], why: &str) -> Result<()> {
        self.act(&Rejected { rejects, why })
    }

    /// When the last scan of the incident ended (microseconds since 1970), and its report.
    pub fn last_scan(&self) -> Result<Option<(i64, Json)>> {
        self.read(|at| {
            at.one(
                "SELECT at, report FROM scans WHERE incident = ?1 ORDER BY no DESC LIMIT 1",
                &[at.incident().into()],
                |r| Ok((r.int(0)?, r.json(1)?)),
            )
        })
    }
}

/// What a failed scan could not read.
#[derive(Debug, Serialize)]
struct Rejected<'a> {
    rejects: &'a [Reject],
    why: &'a str,
}

impl Act for Rejected<'_> {
    type Answer = ();
    const NAME: &'static str = "keep_rejects";

    fn deed(&self) -> Deed<'_> {
        Deed {
            action: "scan",
            ..Deed::default()
        }
    }

    fn on_sqlite(&self, tx: &Tx<'_>) -> Res<()> {
        tx.store_rejects(self.rejects)?;
        tx.audit(Deed {
            outcome: "refused",
            why: Some(self.why),
            ..self.deed()
        })
    }
}

impl Tx<'_> {
    fn store(
        &self,
        cases: &mut dyn Iterator<Item = FoundCase>,
        rejects: &[Reject],
        report: &Json,
        opening: Option<&Opening>,
        progress: &Progress,
    ) -> Res<ScanCounts> {
        self.enter_attempt()?;
        let again = self.begin_again()?;
        progress.begin(Stage::Writing, u64::try_from(cases.size_hint().0).unwrap_or(0));
        let mut intake = Intake {
            tx: self,
            packer: Packer::new()?,
            seen: Bits::default(),
            counts: ScanCounts::default(),
            again,
        };
        for case in cases {
            intake.store_case(&case)?;
            progress.add(1);
            if progress.is_cancelled() {
                return Err(Error::failed("the scan was stopped; the ledger is as it was before").into());
            }
        }
        let Intake { seen, mut counts, .. } = intake;
        self.let_go(&seen, &mut counts)?;
        self.count_waiting()?;
        self.store_rejects(rejects)?;
        if let Some(opening) = opening {
            self.store_opening(opening)?;
        }
        self.db.execute(
            "INSERT INTO scans (incident, attempt, at, by, report) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                self.incident,
                self.attempt,
                self.now,
                self.who.user,
                serde_json::to_string(report)?
            ],
        )?;
        counts.total = self
            .db
            .query_row("SELECT count(*) FROM cases WHERE incident = ?1", [self.incident], |r| {
                r.get::<_, i64>(0).map(i64::unsigned_abs)
            })?;
        let why = format!(
            "attempt {}: {} cases in all, {} opened, {} updated, {} gone",
            self.attempt, counts.total, counts.opened, counts.updated, counts.gone
        );
        self.audit(Deed {
            action: "scan",
            outcome: "ok",
            why: Some(&why),
            ..Deed::default()
        })?;
        Ok(counts)
    }

    /// Notes which attempt is read, once; an older one is not read again.
    fn enter_attempt(&self) -> Res<()> {
        // Checked at opening too, but another console may have scanned since.
        self.check_attempt()?;
        let newest: Option<u32> = self.db.query_row(
            "SELECT max(attempt) FROM attempts WHERE incident = ?1",
            [self.incident],
            |r| r.get(0),
        )?;
        if let Some(newest) = newest.filter(|n| *n > self.attempt) {
            return Err(Error::refused(format!(
                "attempt {newest} was scanned already; attempt {} is over",
                self.attempt
            ))
            .at("incident.attempt")
            .cure(format!("set `incident.attempt = {newest}`"))
            .into());
        }
        self.db.execute(
            "INSERT INTO attempts (incident, attempt, restored_to) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET restored_to = coalesce(restored_to, excluded.restored_to)",
            params![self.incident, self.attempt, self.restored_to],
        )?;
        Ok(())
    }

    /// Whether a proven case that is found must be decided again: for what no decision of this attempt on it, nor the one
    /// that stands, knew or brought with it.
    fn opens_again(&self, known: &Known, case: &FoundCase) -> Res<bool> {
        let Some(key) = &known.decision else { return Ok(true) };
        let mut made = self.db.prepare_cached(
            "SELECT d.verb, d.reference, c.findings FROM decisions d JOIN decided c ON c.key = d.key
             WHERE c.no = ?1 AND (d.key = ?2 OR d.attempt = ?3)",
        )?;
        let mut rows = made.query((known.no, key, self.attempt))?;
        let mut decisions = Vec::new();
        while let Some(row) = rows.next()? {
            let verb = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            decisions.push(Decided {
                verb: Verb::of_name(verb).unwrap_or(Verb::Keep),
                reference: row.get(1)?,
                seen: serde_json::from_str(row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?,
            });
        }
        Ok(follow::is_news(&decisions, case))
    }

    /// At the first scan of another restore of the incident: what was written into the database before is gone with it,
    /// so every proof is asked for again. Cases, notes and reasons stay; what was decided to stay as restored stands.
    fn begin_again(&self) -> Res<bool> {
        let (before, this): (bool, bool) = self.db.query_row(
            "SELECT EXISTS (SELECT 1 FROM scans WHERE incident = ?1 AND attempt < ?2),
                    EXISTS (SELECT 1 FROM scans WHERE incident = ?1 AND attempt = ?2)",
            (self.incident, self.attempt),
            |r| Ok((r.get(0)?, r.get(1)?)),
        )?;
        if this || !before {
            return Ok(false);
        }
        self.forget_effects()?;
        // Bodies of an earlier attempt do not tell how this opening saw a case.
        self.db.execute(
            "UPDATE found SET opening = x'' WHERE no IN (SELECT no FROM cases WHERE incident = ?1)",
            [self.incident],
        )?;
        let which = "incident = ?1 AND state = 'proven' AND verb <> 'keep'
                     AND decision IN (SELECT key FROM decisions WHERE incident = ?1 AND attempt < ?2)";
        self.db.execute(
            &format!(
                "UPDATE decided SET held = NULL, read = NULL
                 WHERE (key, no) IN (SELECT decision, no FROM cases WHERE {which})"
            ),
            (self.incident, self.attempt),
        )?;
        let asked = self.db.execute(
            &format!("UPDATE cases SET state = 'applied' WHERE {which}"),
            (self.incident, self.attempt),
        )?;
        let to = self.restored_to.map(|to| format!(", restored to {}", time::format(to)));
        let cases = if asked == 1 { "case is" } else { "cases are" };
        let why = format!(
            "attempt {}{}: {asked} proven {cases} to be proven again; what was kept as restored stands",
            self.attempt,
            to.unwrap_or_default()
        );
        self.audit(Deed {
            action: "attempt",
            outcome: "ok",
            why: Some(&why),
            ..Deed::default()
        })?;
        Ok(true)
    }

    /// Open cases that this scan did not find any more are gone.
    fn let_go(&self, seen: &Bits, counts: &mut ScanCounts) -> Res<()> {
        let mut open = self
            .db
            .prepare_cached("SELECT no FROM cases WHERE incident = ?1 AND state = 'open'")?;
        let mut gone = Vec::new();
        let mut rows = open.query([self.incident])?;
        while let Some(row) = rows.next()? {
            let no: i64 = row.get(0)?;
            if !seen.has(no) {
                gone.push(no);
            }
        }
        for no in gone {
            self.db
                .prepare_cached(
                    "UPDATE cases SET state = 'gone', verb = NULL, decision = NULL, disproven = 0 WHERE no = ?1",
                )?
                .execute([no])?;
            counts.gone += 1;
        }
        Ok(())
    }

    /// Says of every case how many unsettled ones wait for it, and moves it in the queue where that changed.
    fn count_waiting(&self) -> Res<()> {
        let mut changed = self.db.prepare_cached(
            "SELECT c.no, coalesce(w.n, 0) FROM cases c
             JOIN (SELECT for_id, count(*) AS n FROM waits JOIN cases USING (no)
                   WHERE waits.incident = ?1 AND state NOT IN ('proven', 'gone') GROUP BY for_id) w ON w.for_id = c.id
             WHERE c.incident = ?1 AND c.waited_for <> w.n
             UNION ALL
             SELECT c.no, 0 FROM cases c WHERE c.incident = ?1 AND c.waited_for > 0
             AND NOT EXISTS (SELECT 1 FROM waits JOIN cases b USING (no)
                             WHERE waits.incident = ?1 AND for_id = c.id AND b.state NOT IN ('proven', 'gone'))",
        )?;
        let changed: Vec<(i64, u32)> = changed
            .query_map([self.incident], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (no, waiting) in changed {
            let mut at: Vec<u8> = self
                .db
                .prepare_cached("SELECT place FROM cases WHERE no = ?1")?
                .query_row([no], |r| r.get(0))?;
            if let Some(part) = at.get_mut(place::WAITED) {
                part.copy_from_slice(&place::waited_for(waiting));
            }
            self.db
                .prepare_cached("UPDATE cases SET waited_for = ?2, place = ?3 WHERE no = ?1")?
                .execute((no, waiting, at))?;
        }
        Ok(())
    }

    fn store_rejects(&self, rejects: &[Reject]) -> Res<()> {
        self.db
            .execute("DELETE FROM rejects WHERE incident = ?1", [self.incident])?;
        for r in rejects {
            self.db
                .prepare_cached(
                    "INSERT INTO rejects (incident, source, position, reason, excerpt) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute((self.incident, &r.source, &r.position, &r.reason, &r.excerpt))?;
        }
        Ok(())
    }
}

/// Takes in case by case.
struct Intake<'t, 'a> {
    tx: &'t Tx<'a>,
    packer: Packer,
    /// What was found this time.
    seen: Bits,
    counts: ScanCounts,
    /// The first scan of an attempt that is not the first.
    again: bool,
}

impl Intake<'_, '_> {
    fn store_case(&mut self, case: &FoundCase) -> Res<()> {
        let known = self.known(&case.id)?;
        let shown = match &known {
            Some(known) => self.tx.with_opening(known.no, case)?,
            None => Cow::Borrowed(case),
        };
        let case: &FoundCase = &shown;
        let digest = self.packer.take(case)?;
        let Some(known) = known else {
            let no = self.insert(case, &digest)?;
            self.seen.set(no);
            self.counts.opened += 1;
            return Ok(());
        };
        let same = known.digest == digest;
        if !self.seen.set(known.no) {
            return Err(Error::failed(format!("the scan found case {} twice", case.id)).into());
        }
        if self.again {
            self.tx
                .db
                .prepare_cached("UPDATE found SET opening = NULL WHERE no = ?1")?
                .execute([known.no])?;
        }
        let opens = match known.state {
            State::Gone => true,
            State::Proven => self.tx.opens_again(&known, case)?,
            _ => false,
        };
        if !same || opens {
            self.update(&known, case, &digest)?;
        }
        if opens {
            self.tx
                .db
                .prepare_cached(
                    "UPDATE cases SET state = 'open', verb = NULL, decision = NULL, disproven = 0 WHERE no = ?1",
                )?
                .execute([known.no])?;
            self.counts.opened += 1;
            if known.state == State::Proven {
                self.tx.audit(Deed {
                    action: "open",
                    case: Some(&case.id),
                    key: known.decision.as_deref(),
                    outcome: "ok",
                    why: Some("found again, with findings that its decision did not cover"),
                    ..Deed::default()
                })?;
            }
        } else if !same {
            self.counts.updated += 1;
        }
        Ok(())
    }

    fn known(&self, id: &str) -> Res<Option<Known>> {
        let found = self
            .tx
            .db
            .prepare_cached("SELECT no, state, digest, waits, decision FROM cases WHERE incident = ?1 AND id = ?2")?
            .query_row((self.tx.incident, id), |r| {
                Ok(Known {
                    no: r.get(0)?,
                    state: state_of(r.get_ref(1)?.as_str()?),
                    digest: r.get(2)?,
                    waits: r.get::<_, i64>(3)? > 0,
                    decision: r.get(4)?,
                })
            })
            .optional()?;
        Ok(found)
    }

    fn insert(&mut self, case: &FoundCase, digest: &[u8]) -> Res<i64> {
        self.tx
            .db
            .prepare_cached(
                "INSERT INTO cases (incident, id, place, state, kinds, label, action, show, dies_at, waits, digest)
                 VALUES (?1, ?2, ?3, 'open', ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?
            .execute(params![
                self.tx.incident,
                case.id,
                place::of(case),
                mask_of(case),
                case.label,
                case.action,
                serde_json::to_string(&case.show)?,
                place::dies_at(case),
                number(case.blocked_by.len()),
                digest
            ])?;
        let no = self.tx.db.last_insert_rowid();
        self.tx
            .db
            .prepare_cached("INSERT INTO found (no, body) VALUES (?1, ?2)")?
            .execute((no, self.packer.pack()?))?;
        self.store_waits(no, case)?;
        Ok(no)
    }

    fn update(&mut self, known: &Known, case: &FoundCase, digest: &[u8]) -> Res<()> {
        self.tx
            .db
            .prepare_cached(
                "UPDATE cases SET place = ?2, kinds = ?3, label = ?4, action = ?5, show = ?6, dies_at = ?7, waits = ?8,
                                  waited_for = 0, digest = ?9 WHERE no = ?1",
            )?
            .execute(params![
                known.no,
                place::of(case),
                mask_of(case),
                case.label,
                case.action,
                serde_json::to_string(&case.show)?,
                place::dies_at(case),
                number(case.blocked_by.len()),
                digest
            ])?;
        self.tx
            .db
            .prepare_cached(if case.findings.iter().any(|f| f.since_opening) {
                // The body before is how the opening saw it, unless that one is kept already.
                "UPDATE found SET opening = coalesce(opening, body), body = ?2 WHERE no = ?1"
            } else {
                "UPDATE found SET opening = nullif(opening, x''), body = ?2 WHERE no = ?1"
            })?
            .execute((known.no, self.packer.pack()?))?;
        if known.waits {
            self.tx
                .db
                .prepare_cached("DELETE FROM waits WHERE no = ?1")?
                .execute([known.no])?;
        }
        self.store_waits(known.no, case)
    }

    fn store_waits(&self, no: i64, case: &FoundCase) -> Res<()> {
        for (nth, id) in case.blocked_by.iter().enumerate() {
            self.tx
                .db
                .prepare_cached("INSERT INTO waits (no, nth, incident, for_id) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![no, number(nth), self.tx.incident, id])?;
        }
        Ok(())
    }
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A set of case numbers, one bit each.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn at(no: i64) -> (usize, u64) {
        let no = no.unsigned_abs();
        (usize::try_from(no / 64).unwrap_or(usize::MAX), 1 << (no % 64))
    }

    /// Adds a number; `false` if it was in already.
    fn set(&mut self, no: i64) -> bool {
        let (word, bit) = Self::at(no);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }

    fn has(&self, no: i64) -> bool {
        let (word, bit) = Self::at(no);
        self.0.get(word).is_some_and(|w| w & bit != 0)
    }
}
