//! `restitch restore ready`

use super::{Context, DONE, LEFT, complain};
use crate::config::Config;
use crate::domain::ready::{Ready, Stand};
use crate::domain::{Result, time};
use crate::job;
use crate::safe;
use crate::text::Safe;
use serde_json::json;

/// What will happen by itself when workers start, each line with its cure: 0 where nothing is red and everything could be
/// told. The phases that the cluster shows are set first.
pub fn run(context: &mut Context<'_>, config: &Config) -> Result<u8> {
    let mut ledger = context.ledger(config)?;
    let may_set = !context.globals.readonly;
    if config.cluster.is_some()
        && let Err(error) = job::cluster(config, &mut ledger, may_set)
    {
        complain(&format!("restitch: warning: {error}"));
    }
    if may_set {
        job::tell_org(config, &mut ledger)?;
    }
    let ready = job::ready(config, &mut ledger)?;
    print(context, &ready)?;
    Ok(if ready.is_green() { DONE } else { LEFT })
}

fn print(context: &mut Context<'_>, ready: &Ready) -> Result<()> {
    let out = &mut *context.out;
    if out.wants_json() {
        return out.json(&json!({"at": time::format(ready.at), "green": ready.is_green(), "lines": ready.lines}));
    }
    for line in &ready.lines {
        let cure = match line.stand {
            Stand::Green => String::new(),
            _ => format!("; do: {}", line.cure),
        };
        out.line(&safe!(
            "{}{}: {}{}",
            Safe::ours(line.stand.words()).pad(13),
            Safe::of(&line.about),
            Safe::of(&line.what),
            Safe::of(&cure)
        ))?;
    }
    out.line(&safe!("ready to open: {}", Safe::of(&ready.words())))
}
