//! `restitch restore`

use super::{Context, DONE, LEFT, complain, ready};
use crate::config::Config;
use crate::domain::phase::{Phase, PhaseState};
use crate::domain::preflight::{Mark, Preflight};
use crate::domain::restoring::Told;
use crate::domain::time::Clock;
use crate::domain::{Result, time};
use crate::job;
use crate::ledger::Ledger;
use crate::restore::rds::command::Commands;
use crate::restore::rds::watch::Watch;
use crate::safe;
use crate::text::Safe;
use clap::Subcommand;
use serde_json::json;

/// What to do about the restore in AWS; nothing here starts one.
#[derive(Debug, Subcommand)]
pub enum Restore {
    /// May it work? Line by line, each with its cure
    Check,
    /// Print the exact command that restores; a person runs it
    Command,
    /// Follow the restore in plain lines until it answers
    Watch,
    /// What will happen by itself when workers start, and the cure beside each
    Ready,
}

impl Restore {
    /// Does it.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        match self {
            Self::Check => check(context, &config),
            Self::Command => command(context, &config),
            Self::Watch => watch(context, &config),
            Self::Ready => ready::run(context, &config),
        }
    }
}

/// The ledger, to look where nothing may be made: there may be none yet.
fn ledger(context: &Context<'_>, config: &Config) -> Result<Option<Ledger>> {
    match Ledger::open(config, context.globals.readonly) {
        Ok(ledger) => Ok(Some(ledger)),
        Err(_) if context.globals.readonly => Ok(None),
        Err(error) => Err(error),
    }
}

/// 0 where nothing speaks against the restore. What was found is kept in the ledger.
fn check(context: &mut Context<'_>, config: &Config) -> Result<u8> {
    let mut ledger = ledger(context, config)?;
    let found = job::preflight(config, ledger.as_mut(), !context.globals.readonly)?;
    print(context, &found, config)?;
    if context.globals.readonly {
        complain("restitch: not kept in the ledger: this restitch only looks");
    }
    Ok(if found.mark() == Mark::Good { DONE } else { LEFT })
}

fn print(context: &mut Context<'_>, found: &Preflight, config: &Config) -> Result<()> {
    let out = &mut *context.out;
    if out.wants_json() {
        return out.json(&json!({
            "light": found.mark(),
            "at": time::format(found.at),
            "attempt": found.attempt,
            "source": config.aws.source,
            "target": config.aws.target,
            "restored_to": config.incident.restored_to.map(time::format),
            "checks": found.lines,
        }));
    }
    for line in &found.lines {
        let cure = line.cure.as_ref().map_or(String::new(), |cure| format!("; do: {cure}"));
        out.line(&safe!(
            "{}{}: {} [{}]{}",
            Safe::ours(line.mark.words()).pad(13),
            Safe::of(&line.check),
            Safe::of(&line.what),
            Safe::of(&line.evidence),
            Safe::of(&cure)
        ))?;
    }
    out.line(&safe!("{}", Safe::of(&found.words())))
}

/// Prints the commands. All but the restore itself stand behind `#`: what is piped into a shell by mistake does one thing.
fn command(context: &mut Context<'_>, config: &Config) -> Result<u8> {
    let Commands { restore, then, notes } = job::restore_commands(config)?;
    let out = &mut *context.out;
    if out.wants_json() {
        out.json(&json!({"restore": restore, "then": then, "notes": notes}))?;
        return Ok(DONE);
    }
    for note in &notes {
        complain(&format!("note: {note}"));
    }
    out.line(&Safe::of(&restore))?;
    if !then.is_empty() {
        out.line(&Safe::ours("# once it is there:"))?;
    }
    for line in &then {
        out.line(&safe!("# {}", Safe::of(line)))?;
    }
    Ok(DONE)
}

/// Follows the restore until somebody can connect: 0; or until it will come to no good end by itself: an error that says why.
/// The phases that the cluster and others say of meanwhile are told too.
fn watch(context: &mut Context<'_>, config: &Config) -> Result<u8> {
    let mut ledger = ledger(context, config)?;
    let may_set = !context.globals.readonly;
    let mut watch = Watch::new(config, ledger.as_ref(), Clock::default())?;
    let mut phases = Phases::default();
    let runtime = job::runtime()?;
    loop {
        let (mut told, pause) = runtime.block_on(watch.look())?;
        if let Some(ledger) = &mut ledger {
            if may_set {
                watch.keep(ledger)?;
            }
            told.extend(phases.news(config, ledger, may_set)?);
        }
        for told in &told {
            if context.out.wants_json() {
                let line = json!({"at": time::format(told.at), "kind": told.kind, "text": told.text});
                context.out.json(&line)?;
            } else {
                let (kind, text) = (Safe::of(&told.kind), Safe::of(&told.text));
                context
                    .out
                    .line(&safe!("{} {}: {}", Safe::of(&time::clock(told.at)), kind, text))?;
            }
        }
        context.out.finish()?;
        if let Some(ledger) = ledger.as_mut().filter(|_| may_set) {
            job::tell_org(config, ledger)?;
        }
        if context.out.is_closed() {
            return Ok(DONE);
        }
        if let Some(ended) = watch.ended() {
            return ended.map(|()| DONE);
        }
        // A poll: AWS tells nothing by itself.
        std::thread::sleep(pause);
    }
}

/// The phases as they were last told.
#[derive(Default)]
struct Phases {
    told: Vec<(Phase, PhaseState, String)>,
    lost: Option<String>,
}

impl Phases {
    /// What is new: the cluster is read where one is configured. The restore itself tells of its own phase.
    fn news(&mut self, config: &Config, ledger: &mut Ledger, may_set: bool) -> Result<Vec<Told>> {
        let mut news = Vec::new();
        if config.cluster.is_some() {
            let lost = job::cluster(config, ledger, may_set).err().map(|e| e.what);
            if lost != self.lost {
                let text = lost.clone().unwrap_or_else(|| "the cluster answers again".to_owned());
                news.push(Told {
                    at: time::now(),
                    kind: "cluster".to_owned(),
                    text,
                });
                self.lost = lost;
            }
        }
        for line in ledger.phases()? {
            let now = (line.phase, line.state, line.evidence.clone());
            let quiet = line.phase == Phase::Restoring || line.state == PhaseState::Waiting && line.evidence.is_empty();
            if quiet || self.told.contains(&now) {
                continue;
            }
            self.told.retain(|(phase, _, _)| *phase != line.phase);
            self.told.push(now);
            news.push(Told {
                at: time::now(),
                kind: "phase".to_owned(),
                text: format!("{} {}: {}", line.phase.title(), line.state.name(), line.evidence),
            });
        }
        Ok(news)
    }
}
