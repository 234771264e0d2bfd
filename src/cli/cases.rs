//! `restitch cases`

use super::{Context, DONE, parse};
use crate::domain::Result;
use crate::domain::case::State;
use crate::domain::finding::Kind;
use crate::domain::queue::{CaseRow, Filter};
use crate::domain::schema::Schema;
use crate::report::case;
use crate::text::Safe;
use clap::Args;

/// Arguments of `cases`.
#[derive(Debug, Args)]
pub struct Cases {
    /// Only cases in this state
    #[arg(long, value_name = "STATE", value_parser = parse::state)]
    state: Option<State>,
    /// Only cases with a finding of this kind
    #[arg(long, value_name = "KIND", value_parser = parse::kind)]
    kind: Option<Kind>,
    /// Only cases of this order, by its key or label
    #[arg(long, value_name = "ID")]
    order: Option<String>,
}

impl Cases {
    /// Lists every case unless filtered, in the order of the queue.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let ledger = context.reading(&config)?;
        let filter = Filter {
            state: self.state,
            kind: self.kind,
            order: self.order,
        };
        if context.out.wants_json() {
            ledger.each_found(&filter, &mut |file| {
                context.out.json(&case::short(&file, &config.schema)?)
            })?;
            return Ok(DONE);
        }
        let mut table = context
            .out
            .table(&["order", "case", "kind", "what", "state", "waits for", "held by", "show"]);
        let mut failed = Ok(());
        ledger.each_row(&filter, &mut |row| {
            failed = table.row(cells(&row, &config.schema));
            failed.is_ok() && !table.is_closed()
        })?;
        failed?;
        table.end()?;
        Ok(DONE)
    }
}

fn cells(row: &CaseRow, schema: &Schema) -> Vec<Safe<'static>> {
    let own = |text: &str| Safe::of(text).into_owned();
    let kinds: Vec<&str> = row.kinds.iter().map(|k| k.words()).collect();
    let state = match row.verb {
        Some(verb) => format!("{}: {}", row.state.words(), verb.name()),
        None => row.state.words().to_owned(),
    };
    let waits: Vec<&str> = row.blocked_by.iter().map(|(_, label)| &**label).collect();
    let show: Vec<String> = row
        .show
        .iter()
        .enumerate()
        .map(|(i, value)| {
            if schema.masks_shown(&row.id, i) && !value.is_empty() {
                Safe::masked()
            } else {
                Safe::of(value)
            }
            .to_string()
        })
        .collect();
    vec![
        Safe::id(&row.label).into_owned(),
        Safe::id(&row.id).into_owned(),
        own(&row.action),
        own(&kinds.join(", ")),
        own(&state),
        own(&waits.join(" ")),
        own(row.claim.as_ref().map_or("", |c| &c.by)),
        // Safe already: escaping twice would show the escapes.
        Safe::assembled(show.join(" ")),
    ]
}
