//! Ready to open: one list of what will happen by itself the moment workers start, and the cure beside each line. The lead
//! says go; this only tells.

use crate::config::Config;
use crate::domain::Result;
use crate::domain::back::CameBack;
use crate::domain::case::{FoundCase, Happened, State, Verb};
use crate::domain::cluster::BEFORE_GO;
use crate::domain::finding::Kind;
use crate::domain::old::Old;
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::queue::{Filter, HoldClock};
use crate::domain::ready::{Line, Ready, Stand};
use crate::domain::time;
use crate::ledger::Ledger;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// So many lines of a kind are told one by one.
const MOST: usize = 20;
/// Entities whose rows are the catalogue: after T only a full sync brings them back.
const CATALOGUE: [&str; 3] = ["catalog", "catalogue", "sync_delta"];
/// Where the old instance would have to be named.
const NAME_IT: &str = "name it in a [[log]] with source = \"database\"";

/// A step that runs by itself when workers start.
struct Fire {
    order: String,
    case: String,
    name: String,
    at: Option<String>,
    why: String,
    decided: Option<Verb>,
}

/// What the cases of a ledger come to.
#[derive(Default)]
struct Cases {
    done: Vec<Fire>,
    unknown: Vec<Fire>,
    /// Steps that did not happen outside: running them is right.
    none: usize,
    /// Orders under way.
    in_doubt: usize,
    /// Catalogue rows by kind.
    catalogue: BTreeMap<Kind, usize>,
}

/// Makes the list from what the ledger knows and from a look at the old instances; `now` is microseconds since 1970.
pub fn list(config: &Config, ledger: &Ledger, old: &[Old], now: i64) -> Result<Ready> {
    let mut cases = Cases::default();
    ledger.each_found(&Filter::default(), &mut |file| {
        if !matches!(file.state, State::Gone) {
            cases.take(&file.found, file.state, file.decision.map(|d| d.verb));
        }
        Ok(())
    })?;
    let scan = ledger
        .last_scan()?
        .filter(|(_, report)| report["attempt"] == config.incident.attempt);
    let known = Known {
        config,
        phases: &ledger.phases()?,
        cases: &cases,
        scan: scan.as_ref().map(|(at, report)| (*at, report)),
        scanned: ledger.was_scanned()?,
        hold: ledger.hold_clock()?,
        old,
    };
    let mut lines = known.lines();
    lines.sort_by_key(|line| line.stand);
    Ok(Ready { at: now, lines })
}

impl Cases {
    fn take(&mut self, found: &FoundCase, state: State, decided: Option<Verb>) {
        for finding in found.findings.iter().filter(|f| !f.undone) {
            if CATALOGUE.contains(&finding.entity.as_str()) {
                *self.catalogue.entry(finding.kind).or_default() += 1;
            }
        }
        if state.is_settled() {
            return;
        }
        self.in_doubt += usize::from(found.findings.iter().any(|f| f.kind == Kind::InDoubt));
        for effect in &found.outside {
            let to = match effect.state {
                Happened::None => {
                    self.none += 1;
                    continue;
                }
                _ if !effect.again => continue,
                Happened::Done => &mut self.done,
                Happened::Unknown => &mut self.unknown,
            };
            to.push(Fire {
                order: found.label.clone(),
                case: found.id.clone(),
                name: effect.name.clone(),
                at: effect.at.clone(),
                why: effect.why.clone(),
                decided,
            });
        }
    }
}

struct Known<'a> {
    config: &'a Config,
    phases: &'a [PhaseLine],
    cases: &'a Cases,
    /// The last scan of this attempt, and when it ended.
    scan: Option<(i64, &'a Json)>,
    scanned: bool,
    hold: Option<HoldClock>,
    old: &'a [Old],
}

impl Known<'_> {
    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        lines.extend(self.beaten());
        lines.extend(self.gate());
        lines.extend(self.fires());
        lines.extend(self.came_back());
        lines.push(self.opening());
        lines.push(self.rescue());
        lines.push(self.catalogue());
        lines.extend(self.old.iter().map(old));
        if self.old.is_empty() {
            let what = "the old instance is not configured: whether clients still write there is not known";
            lines.push(Line::new("old instance", Stand::CannotTell, what, NAME_IT));
        }
        lines.push(self.way_back());
        // Order Management Plus help, Corrupt Data: the grants cache can be reloaded by hand where persistent state was
        // rolled back.
        lines.push(Line::new(
            "grants cache",
            Stand::Note,
            "it was filled before the restore and does not know that the database went back",
            "once services are back, trigger its reload by hand",
        ));
        lines
    }

    fn phase(&self, phase: Phase) -> Option<&PhaseLine> {
        self.phases.iter().find(|line| line.phase == phase)
    }

    fn beaten(&self) -> Option<Line> {
        let line = self.phase(Phase::Ready)?;
        let beaten = line.state == PhaseState::Failed && line.evidence.contains(BEFORE_GO);
        beaten.then(|| {
            let cure = "take them down, or go on: then the opening may hold traffic; `restitch phase ready done` says that you know";
            Line::new("services", Stand::Red, line.evidence.clone(), cure)
        })
    }

    fn gate(&self) -> Option<Line> {
        let line = self.phase(Phase::Gate)?;
        let cure = "`restitch gate` says why, check by check";
        Some(match line.state {
            PhaseState::Done => Line::green("gate", line.evidence.clone()),
            PhaseState::Failed => Line::new("gate", Stand::Red, line.evidence.clone(), cure),
            _ if line.evidence.is_empty() => Line::new("gate", Stand::CannotTell, "nobody asked the gate", cure),
            _ => Line::new("gate", Stand::CannotTell, line.evidence.clone(), cure),
        })
    }

    fn fires(&self) -> Vec<Line> {
        const ABOUT: &str = "fires";
        let cases = self.cases;
        let knows = self
            .config
            .schema
            .entities
            .iter()
            .any(|e| e.type_column.is_some() && !e.outside.is_empty());
        if !knows {
            let what =
                "what fires by itself is not known: no [schema.*] says which types of steps have effects outside";
            let cure = "add type, outside and states to [schema.plan_item], and scan";
            return vec![Line::new(ABOUT, Stand::CannotTell, what, cure)];
        }
        if self.scan.is_none() {
            let what = "what fires by itself is not known before a scan";
            return vec![Line::new(ABOUT, Stand::CannotTell, what, "run `restitch scan`")];
        }
        let mut lines = Vec::new();
        for (fires, stand, then) in [
            (&cases.done, Stand::Red, "would be done again when workers start"),
            (
                &cases.unknown,
                Stand::CannotTell,
                "fires when workers start, and nobody knows whether it happened",
            ),
        ] {
            lines.extend(fires.iter().take(MOST).map(|fire| fire.line(stand, then)));
            if let Some(more) = fires.len().checked_sub(MOST).filter(|n| *n > 0) {
                let what = format!("{more} more steps: {then}");
                lines.push(Line::new(
                    ABOUT,
                    stand,
                    what,
                    "`restitch cases --kind in_doubt` lists the orders",
                ));
            }
        }
        if lines.is_empty() {
            let orders = match cases.in_doubt {
                0 => "no order was under way at T".to_owned(),
                n => format!("{n} orders under way, no step that would be done twice"),
            };
            lines.push(Line::green(ABOUT, orders));
        }
        if cases.none > 0 {
            let what = format!("{} steps did not happen outside: running them is right", cases.none);
            lines.push(Line::green(ABOUT, what));
        }
        lines
    }

    /// What the last scan found to have come back, or to be left behind.
    fn came_back(&self) -> Vec<Line> {
        let Some((at, report)) = self.scan else {
            let what = "systems that are UP again, and sequences behind the log, are not known before a scan";
            return vec![Line::new("system", Stand::CannotTell, what, "run `restitch scan`")];
        };
        let back: Vec<CameBack> = serde_json::from_value(report["came_back"].clone()).unwrap_or_default();
        let as_of = format!("as of the scan of {}", time::clock(at));
        let mut lines: Vec<Line> = back.iter().map(came_back).collect();
        for (about, fine) in [
            ("system", "no system is UP that was taken DOWN after T"),
            ("sequence", "no sequence would give an id that the log has seen"),
            ("prepared", "no prepared transaction is in doubt"),
        ] {
            if back.iter().all(|b| b.kind != about) {
                lines.push(Line::green(about, format!("{fine}, {as_of}")));
            }
        }
        let systems = self.config.schema.entities.iter().any(|e| e.name == "system_instance");
        if !systems {
            lines.retain(|line| line.about != "system");
            let what = "systems that are UP though they were taken DOWN after T: not known, no [schema.system_instance] is mapped";
            lines.push(Line::new(
                "system",
                Stand::CannotTell,
                what,
                "map their table with its state, and scan",
            ));
        }
        lines
    }

    fn opening(&self) -> Line {
        const ABOUT: &str = "opening";
        let at = self
            .scan
            .and_then(|(_, report)| report["opening"].as_str().and_then(time::parse));
        let Some(at) = at.filter(|_| self.scanned) else {
            let what = "the opening is not taken: what workers change could not be told from damage";
            return Line::new(ABOUT, Stand::Red, what, "run `restitch scan` before they start");
        };
        let services = self
            .phase(Phase::Services)
            .filter(|l| l.state != PhaseState::Waiting)
            .and_then(|l| l.since);
        match services.filter(|up| *up < at) {
            Some(up) => Line::new(
                ABOUT,
                Stand::Note,
                format!(
                    "taken at {}, after services came up at {}: it may hold traffic",
                    time::clock(at),
                    time::clock(up)
                ),
                "take what changed between the two for traffic, not for damage",
            ),
            None => Line::green(ABOUT, format!("taken at {}", time::clock(at))),
        }
    }

    fn rescue(&self) -> Line {
        const ABOUT: &str = "hold";
        if self.config.hold.is_none() {
            let what = "no [hold] is configured: what waits there, and whether it is safe, is not known";
            return Line::new(ABOUT, Stand::CannotTell, what, "add [hold], or see to it by hand");
        }
        let Some(hold) = self.hold else {
            let what = "nobody has read the hold";
            return Line::new(ABOUT, Stand::CannotTell, what, "`restitch hold status` reads it");
        };
        let left = hold.held.saturating_sub(hold.rescued);
        if hold.lost > 0 {
            let what = format!("{} held orders are lost already, {left} are not rescued", hold.lost);
            return Line::new(
                ABOUT,
                Stand::Red,
                what,
                "`restitch hold rescue` saves the rest; the lost are cases of the next scan",
            );
        }
        if left > 0 {
            let what = format!("{left} of {} held orders are not rescued", hold.held);
            return Line::new(
                ABOUT,
                Stand::Red,
                what,
                "`restitch hold rescue`, before anybody consumes or drains",
            );
        }
        Line::green(ABOUT, format!("{} of {} held orders rescued", hold.rescued, hold.held))
    }

    fn catalogue(&self) -> Line {
        const ABOUT: &str = "catalogue";
        let rows: Vec<String> = self
            .cases
            .catalogue
            .iter()
            .map(|(kind, n)| format!("{n} {}", kind.name()))
            .collect();
        let mapped = self
            .config
            .schema
            .entities
            .iter()
            .any(|e| CATALOGUE.contains(&e.name.as_str()));
        let sync = "once services are back and before the hold is replayed: a full catalogue sync from Salesforce";
        if !rows.is_empty() {
            // Synced Delta Objects help: Salesforce takes later deltas for delivered, so only a full sync mends it.
            let what = format!(
                "it changed after T ({}): orders would be decomposed by the old one",
                rows.join(", ")
            );
            return Line::new(ABOUT, Stand::Note, what, sync);
        }
        if !mapped || self.scan.is_none() {
            let what = "whether it changed after T is not known";
            return Line::new(
                ABOUT,
                Stand::CannotTell,
                what,
                format!("map [schema.catalog] and scan; or {sync}"),
            );
        }
        Line::green(ABOUT, "no row of it changed after T, as far as the log tells")
    }

    /// Until when the old instance is a way back.
    fn way_back(&self) -> Line {
        const ABOUT: &str = "way back";
        let name = match self.old {
            [one, ..] => format!("the old instance ({})", one.name),
            [] => "the old instance".to_owned(),
        };
        let since = |phase| {
            self.phase(phase)
                .filter(|l| l.state != PhaseState::Waiting)
                .and_then(|l| l.since)
        };
        let opened = [Phase::Services, Phase::Workers, Phase::Hold]
            .into_iter()
            .filter_map(since)
            .min();
        let what = match opened {
            Some(at) => format!(
                "{name} is no way back since {}: what was done from then on is only in the restored database",
                time::clock(at)
            ),
            None => format!(
                "{name} is a way back until services start: from then on orders go on in the restored database only"
            ),
        };
        let cure = "keep it, stopped, with its backups: deleting it without retaining automated backups deletes them all, and a \
                    stopped one starts itself after 7 days";
        Line::new(ABOUT, Stand::Note, what, cure)
    }
}

impl Fire {
    fn line(&self, stand: Stand, then: &str) -> Line {
        let at = self.at.as_ref().map_or_else(String::new, |at| format!(" at {at}"));
        let what = match stand {
            Stand::Red => format!("{}: {} {then}: it happened{at} ({})", self.order, self.name, self.why),
            _ => format!("{}: {} {then} ({})", self.order, self.name, self.why),
        };
        let cure = match self.decided {
            Some(verb) => format!(
                "case {}: {} is decided, finish it, or hold its system DOWN",
                self.case,
                verb.name()
            ),
            None => format!("decide case {} first, or hold its system DOWN", self.case),
        };
        Line::new("fires", stand, what, cure)
    }
}

fn came_back(back: &CameBack) -> Line {
    let unknown = back.what.contains("not known");
    let stand = match back.kind.as_str() {
        "system" | "sequence" | "prepared" if unknown => Stand::CannotTell,
        "system" | "sequence" | "prepared" => Stand::Red,
        _ => Stand::Note,
    };
    Line::new(&back.kind, stand, back.what.clone(), back.cure.clone())
}

fn old(old: &Old) -> Line {
    const ABOUT: &str = "old instance";
    let stop = "stop the clients, close its security group, or stop the instance: what they write is in neither world";
    if let Some(alarm) = old.alarm() {
        return Line::new(ABOUT, Stand::Red, alarm, stop);
    }
    let since = time::clock(old.looked.0);
    match &old.seen {
        Err(why) => Line::new(
            ABOUT,
            Stand::CannotTell,
            format!("({}) cannot be asked: {why}", old.name),
            "see that it is stopped, or that nobody can reach it",
        ),
        Ok(seen) if !seen.writable => Line::green(ABOUT, format!("({}) takes no writes: it is a standby", old.name)),
        Ok(seen) if !seen.clients.is_empty() => {
            let newest = seen
                .newest
                .map_or_else(String::new, |at| format!(", newest transaction {}", time::clock(at)));
            let what = format!(
                "({}) still has clients: {}{newest}; they wrote nothing since {since}",
                old.name,
                old.clients()
            );
            Line::new(ABOUT, Stand::CannotTell, what, stop)
        }
        Ok(_) => Line::green(
            ABOUT,
            format!("({}) has no clients, and nothing was written since {since}", old.name),
        ),
    }
}
