//! `restitch preview`

use super::{Context, DONE, bars, complain, parse};
use crate::config::Config;
use crate::domain::progress::Progress;
use crate::domain::{Error, Result, time};
use crate::job;
use crate::safe;
use crate::scan::preview::{Bucket, Point, Preview};
use crate::text::Safe;
use clap::Args;
use serde_json::json;

/// Cells of the longest bar of the histogram.
const BAR: usize = 30;

/// Arguments of `preview`.
#[derive(Debug, Args)]
pub struct Ask {
    /// A restore point; RFC 3339. Unless one is given: the configured `restored_to`
    #[arg(long, value_name = "T", value_parser = parse::instant)]
    at: Vec<i64>,
}

impl Ask {
    /// Says what a restore to each T would find.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let mut moments = self.at;
        if moments.is_empty() {
            moments.extend(config.incident.restored_to);
        }
        if moments.is_empty() {
            return Err(Error::usage("no restore point is given")
                .cure("name one or more: --at 2026-11-22T14:05:00Z; or set incident.restored_to"));
        }
        let progress = Progress::default();
        let preview = bars::watch(context.globals, &progress, || job::preview(&config, &progress))?;
        let points: Vec<Point> = moments.iter().map(|t| preview.at(*t)).collect();
        let warnings = warnings(&preview, &points);
        if context.out.wants_json() {
            context.out.json(&json!({
                "points": points, "buckets": preview.buckets(), "warnings": warnings,
            }))?;
        } else {
            print(context, &config, &preview, &points)?;
            for warning in &warnings {
                complain(&format!("warning: {warning}"));
            }
        }
        Ok(DONE)
    }
}

fn warnings(preview: &Preview, points: &[Point]) -> Vec<String> {
    let of_points = points.iter().flat_map(|point| preview.warnings_at(point));
    preview.warnings().iter().cloned().chain(of_points).collect()
}

fn print(context: &mut Context<'_>, config: &Config, preview: &Preview, points: &[Point]) -> Result<()> {
    let mut table = context.out.table(&[
        "restore to",
        "orders",
        "lost",
        "regressed",
        "undeleted",
        "in doubt",
        "orphaned",
        "bad left",
    ]);
    for point in points {
        let figures = [
            point.orders,
            point.lost,
            point.regressed,
            point.undeleted,
            point.in_doubt,
            point.orphaned,
            point.bad_left,
        ];
        let mut cells = vec![Safe::id(&time::format(point.at)).into_owned()];
        cells.extend(figures.iter().map(|n| safe!("{}", *n)));
        table.row(cells)?;
    }
    table.end()?;
    if config.incident.bad.is_some() {
        for point in points.iter().filter(|point| point.bad_rows > 0) {
            context.out.line(&safe!(
                "BAD CHANGE LEFT by a restore to {}: {} orders, {} rows",
                Safe::id(&time::format(point.at)),
                point.bad_left,
                point.bad_rows
            ))?;
        }
    } else {
        complain("no [incident.bad] is configured: what a restore would leave of the bad change is not known");
    }
    let most = preview.buckets().iter().map(|b| b.events).max().unwrap_or(0).max(1);
    let bar = |bucket: &Bucket| {
        let cells = usize::try_from(bucket.events * BAR as u64 / most).unwrap_or(BAR);
        let cells = if bucket.events > 0 { cells.max(1) } else { 0 };
        if context.globals.ascii {
            "#".repeat(cells)
        } else {
            "█".repeat(cells)
        }
    };
    let bars: Vec<String> = preview.buckets().iter().map(bar).collect();
    let mut table = context.out.table(&["from", "events", "orders", ""]);
    for (bucket, bar) in preview.buckets().iter().zip(&bars) {
        let asked = points.iter().any(|p| bucket.from <= p.at && p.at < bucket.to);
        table.row(vec![
            Safe::id(&time::format(bucket.from)).into_owned(),
            safe!("{}", bucket.events),
            safe!("{}", bucket.orders),
            safe!("{}{}", Safe::id(bar), if asked { " <- T" } else { "" }),
        ])?;
    }
    table.end()
}
