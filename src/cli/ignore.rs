//! `restitch ignore`

use super::{Context, DONE};
use crate::config::Config;
use crate::domain::queue::Filter;
use crate::domain::{Error, Result, time};
use crate::ledger::{self, Ledger};
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::json;

/// Arguments of `ignore`.
#[derive(Debug, Args)]
pub struct Ignore {
    /// The column; without it, what is ignored is listed
    #[arg(value_name = "ENTITY.COLUMN", requires = "reason")]
    column: Option<String>,
    /// Why it is noise, or why it is compared again
    #[arg(long, value_name = "TEXT", requires = "column")]
    reason: Option<String>,
    /// Compare it again
    #[arg(long, requires = "column")]
    undo: bool,
}

impl Ignore {
    /// Ignores a column from the next scan on, compares it again, or lists what is ignored.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let (Some(named), Some(reason)) = (&self.column, &self.reason) else {
            let ledger = context.reading(&config)?;
            return list(context, &config, &ledger);
        };
        let (entity, column) = named.split_once('.').ok_or_else(|| {
            Error::usage(format!("{named:?} names no column of an entity"))
                .cure("ENTITY.COLUMN, as in order.updated_at")
        })?;
        let mut ledger = context.ledger(&config)?;
        let (rows, cases) = if self.undo {
            ledger.compare_again(entity, column, reason)?;
            (0, 0)
        } else {
            // A column that nothing differs in is most likely misspelt: with it every later scan would fail.
            let found = resting_on(&ledger, entity, column)?;
            if found.0 == 0 {
                return Err(Error::usage(format!("no case has a difference in {entity}.{column}"))
                    .cure("`restitch cases --json` shows the fields that differ"));
            }
            ledger.ignore(entity, column, reason)?;
            found
        };
        let paste = ledger::to_paste(&config.schema, &ledger.ignores()?);
        if context.out.wants_json() {
            context.out.json(&json!({
                "entity": entity, "column": column, "ignored": !self.undo, "rows": rows, "cases": cases, "paste": paste,
            }))?;
            return Ok(DONE);
        }
        let (entity, column) = (Safe::id(entity), Safe::id(column));
        if self.undo {
            context
                .out
                .line(&safe!("{}.{} is compared again from the next scan on", entity, column))?;
        } else {
            context.out.line(&safe!(
                "{}.{} is ignored from the next scan on: {} rows of {} cases differ in it, and those that differ in nothing \
                 else go",
                entity,
                column,
                rows,
                cases
            ))?;
        }
        say_paste(context, &paste)?;
        Ok(DONE)
    }
}

/// Rows and cases that differ in the column and are still work.
fn resting_on(ledger: &Ledger, entity: &str, column: &str) -> Result<(u64, u64)> {
    let (mut rows, mut cases) = (0, 0);
    ledger.each_found(&Filter::default(), &mut |file| {
        if !file.state.is_settled() {
            let differ =
                |f: &&crate::domain::finding::Finding| f.entity == entity && f.fields.iter().any(|d| d.name == column);
            let found = file.found.findings.iter().filter(differ).count() as u64;
            rows += found;
            cases += u64::from(found > 0);
        }
        Ok(())
    })?;
    Ok((rows, cases))
}

fn list(context: &mut Context<'_>, config: &Config, ledger: &Ledger) -> Result<u8> {
    let ignores = ledger.ignores()?;
    if context.out.wants_json() {
        for i in &ignores {
            context.out.json(&json!({
                "entity": i.entity, "column": i.column, "reason": i.reason, "by": i.by, "at": time::format(i.at),
            }))?;
        }
        return Ok(DONE);
    }
    let mut table = context.out.table(&["column", "by", "at", "reason"]);
    for i in &ignores {
        table.row(vec![
            safe!("{}.{}", Safe::id(&i.entity), Safe::id(&i.column)),
            Safe::of(&i.by).into_owned(),
            Safe::of(&time::format(i.at)).into_owned(),
            Safe::of(&i.reason).into_owned(),
        ])?;
    }
    table.end()?;
    say_paste(context, &ledger::to_paste(&config.schema, &ignores))?;
    Ok(DONE)
}

/// The lines for the configuration: it is never written to, so a person pastes them.
fn say_paste(context: &mut Context<'_>, paste: &[String]) -> Result<()> {
    if !paste.is_empty() {
        context
            .out
            .line(&safe!("in the configuration, for every later incident:"))?;
    }
    for line in paste {
        context.out.line(&Safe::of(line))?;
    }
    Ok(())
}
