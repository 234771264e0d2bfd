//! `restitch cases`

use super::{Context, DONE, parse};
use crate::domain::case::State;
use crate::domain::finding::Kind;
use crate::domain::queue::{CaseFile, CaseRow, Filter};
use crate::domain::schema::{ORDER, Schema};
use crate::domain::{Error, Result, time};
use crate::text::Safe;
use clap::Args;
use serde_json::{Value as Json, json};

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
            ledger.each_found(&filter, &mut |file| context.out.json(&case_json(&file)?))?;
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
    let entity = row.id.split_once(':').map_or(ORDER, |(entity, _)| entity);
    let entity = schema.entities.iter().find(|e| e.name == entity);
    let column = |i: usize| entity.and_then(|e| e.show.get(i));
    let masked = |i: usize| column(i).is_some_and(|c| entity.is_some_and(|e| e.mask.contains(c)));
    let show: Vec<String> = row
        .show
        .iter()
        .enumerate()
        .map(|(i, value)| if masked(i) { Safe::masked() } else { Safe::of(value) }.to_string())
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

/// The object that `cases --json` prints for a case.
pub fn case_json(file: &CaseFile) -> Result<Json> {
    let found = &file.found;
    let kinds: Vec<&str> = found.kinds().iter().map(|k| k.name()).collect();
    let plain =
        |value: Result<Json, serde_json::Error>| value.map_err(|e| Error::failed(format!("cannot write JSON: {e}")));
    Ok(json!({
        "case": found.id,
        "order": found.order,
        "label": found.label,
        "kinds": kinds,
        "state": file.state.name(),
        "claimed_by": file.claim.as_ref().map(|c| &c.by),
        "claimed_until": file.claim.as_ref().map(|c| time::format(c.until)),
        "dies_at": found.dies_at,
        "findings": plain(serde_json::to_value(&found.findings))?,
        "missing": plain(serde_json::to_value(&found.missing))?,
        "blocked_by": found.blocked_by,
        "advice": plain(serde_json::to_value(&found.advice))?,
        "outside": plain(serde_json::to_value(&found.outside))?,
        "fits": plain(serde_json::to_value(&found.fits))?,
    }))
}
