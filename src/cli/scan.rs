//! `restitch scan`

use super::{Context, DONE, LEFT, bars, complain};
use crate::config::Config;
use crate::domain::finding::Kind;
use crate::domain::progress::Progress;
use crate::domain::{Error, Result};
use crate::job::{self, Scanned};
use crate::ledger::Ledger;
use crate::safe;
use crate::text::Safe;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::{Map, Value as Json, json};
use std::time::Instant;

/// So many things that came back are printed.
const MOST_BACK: usize = 40;

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub struct Scan {
    /// Scan although the gate is red, and say why
    #[arg(long, value_name = "REASON", value_parser = NonEmptyStringValueParser::new())]
    despite_gate: Option<String>,
}

impl Scan {
    /// Reads log and restored database, opens and updates cases.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        if context.globals.readonly {
            return Err(Error::refused("scan: this restitch only looks").cure("run it without --readonly"));
        }
        scan(context, &config, self.despite_gate.as_deref())
    }
}

/// Scans the configured incident and prints what was found: 0 where every case is settled.
pub fn scan(context: &mut Context<'_>, config: &Config, despite: Option<&str>) -> Result<u8> {
    let began = Instant::now();
    let mut ledger = Ledger::open(config, false)?;
    let progress = Progress::default();
    let scanned = bars::watch(context.globals, &progress, || {
        job::scan(config, &mut ledger, despite, &progress)
    })?;
    let elapsed = began.elapsed().as_millis();
    if context.out.wants_json() {
        context.out.json(&report(&scanned, elapsed)?)?;
    } else {
        print(context, &scanned)?;
        for warning in &scanned.report.warnings {
            complain(&format!("warning: {warning}"));
        }
        complain(&format!("{elapsed} ms, peak memory {} MB", peak_memory() / 1_000_000));
    }
    job::tell_org(config, &mut ledger)?;
    Ok(if ledger.counts()?.unsettled() == 0 { DONE } else { LEFT })
}

/// The object that `scan --json` prints, its keys in the contract's order.
fn report(scanned: &Scanned, elapsed: u128) -> Result<Json> {
    let lost = |e: serde_json::Error| Error::failed(format!("cannot write JSON: {e}"));
    let Json::Object(found) = serde_json::to_value(&scanned.report).map_err(lost)? else {
        return Err(Error::failed("the report is no object"));
    };
    let mut whole = Map::new();
    for (key, value) in found {
        if key == "warnings" {
            let counts = serde_json::to_value(scanned.counts).map_err(lost)?;
            whole.insert("cases".to_owned(), counts);
        }
        whole.insert(key, value);
    }
    whole.insert(
        "elapsed_ms".to_owned(),
        json!(u64::try_from(elapsed).unwrap_or(u64::MAX)),
    );
    whole.insert("peak_rss_bytes".to_owned(), json!(peak_memory()));
    Ok(Json::Object(whole))
}

fn print(context: &mut Context<'_>, scanned: &Scanned) -> Result<()> {
    let report = &scanned.report;
    let counts = &scanned.counts;
    context.out.line(&safe!(
        "{}, attempt {}: {} events, {} rejected, {} rows read",
        Safe::id(&report.incident),
        report.attempt,
        report.log.events,
        report.log.rejected,
        report.rows_read
    ))?;
    let kinds = Kind::ROW.map(Kind::words);
    let mut head = vec!["entity"];
    head.extend(kinds);
    let mut table = context.out.table(&head);
    let number = |of: &Json, kind: Kind| of.get(kind.name()).and_then(Json::as_u64).unwrap_or(0);
    for (entity, of) in &report.findings {
        let mut cells = vec![Safe::of(entity).into_owned()];
        cells.extend(Kind::ROW.iter().map(|kind| safe!("{}", number(of, *kind))));
        table.row(cells)?;
    }
    table.end()?;
    for kind in Kind::ORDER {
        let orders = report.orders.get(kind.name()).and_then(Json::as_u64).unwrap_or(0);
        context.out.line(&safe!("orders {}: {}", kind.words(), orders))?;
    }
    let moved: Vec<String> = report
        .since_opening
        .iter()
        .filter(|(_, n)| n.as_u64() != Some(0))
        .map(|(entity, n)| format!("{entity} {n}"))
        .collect();
    if let Some(at) = report.opening.as_ref().filter(|_| !moved.is_empty()) {
        context.out.line(&safe!(
            "rows that traffic moved since the opening at {}, and that open no case: {}",
            Safe::of(at),
            Safe::of(&moved.join(", "))
        ))?;
    }
    for back in report.came_back.iter().take(MOST_BACK) {
        context.out.line(&safe!(
            "{}: {}; do: {}",
            Safe::of(&back.kind),
            Safe::of(&back.what),
            Safe::of(&back.cure)
        ))?;
    }
    if let Some(more) = report.came_back.len().checked_sub(MOST_BACK).filter(|n| *n > 0) {
        context.out.line(&safe!("{} more came back: --json lists them", more))?;
    }
    context.out.line(&safe!(
        "cases: {} in all, {} opened, {} updated, {} gone",
        counts.total,
        counts.opened,
        counts.updated,
        counts.gone
    ))
}

/// The most memory that this process ever held, in bytes; 0 where the system does not say (proc(5), `VmHWM`).
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}
