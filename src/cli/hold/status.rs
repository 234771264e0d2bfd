//! `restitch hold status`

use super::super::{Context, DONE, complain};
use crate::domain::hold::{HeldPartition, HoldReading};
use crate::domain::{Result, time};
use crate::ledger::Ledger;
use crate::restore::hold::status;
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::{Value, json};

/// Arguments of `hold status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Record the offsets as those of the shutdown: what is lost is counted from them
    #[arg(long)]
    record: bool,
}

impl Status {
    /// Asks the brokers; where they do not answer, prints what was last known and fails.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        status::on_broker(&config)?;
        let mut ledger = match Ledger::open(&config, context.globals.readonly) {
            Ok(ledger) => Some(ledger),
            // To look, nothing is made: there may be no ledger yet.
            Err(_) if context.globals.readonly && !self.record => None,
            Err(error) => return Err(error),
        };
        let mut look = status::look(&config, ledger.as_ref())?;
        if let (Some(ledger), false, Some(follower)) = (&mut ledger, context.globals.readonly, &mut look.follower) {
            let by_itself = status::wants_record(ledger)?;
            if self.record || by_itself {
                let why = if self.record {
                    "recorded by hand"
                } else {
                    "phase pods-down is done"
                };
                ledger.record_hold(&follower.baseline(time::now()), why)?;
                let hold = status::on_broker(&config)?;
                let beside = status::beside(&config, hold, Some(ledger), &look.reading.topic, time::now())?;
                look.reading = follower.reading(&beside);
            }
            follower.remember(ledger.hold_seen(&look.reading.topic)?);
            ledger.keep_hold_seen(&look.reading.topic, &follower.seen())?;
            ledger.keep_hold_reading(&look.reading)?;
        }
        if context.out.wants_json() {
            context.out.json(&to_json(&look.reading))?;
        } else {
            print(context, &look.reading)?;
        }
        if let Some(error) = look.silent {
            return Err(error);
        }
        if !look.reading.recorded {
            complain("restitch: the offsets at the shutdown are not recorded: `restitch hold status --record` does it");
        }
        Ok(DONE)
    }
}

fn at(micros: Option<i64>) -> Value {
    micros.map_or(Value::Null, |at| time::format(at).into())
}

fn to_json(reading: &HoldReading) -> Value {
    let clock = reading.clock();
    let partition = |p: &HeldPartition| {
        json!({
            "partition": p.id, "earliest": p.earliest, "latest": p.latest, "committed": p.committed,
            "held": p.held, "rescued": p.rescued, "lost": p.lost,
            "loss_possible_from": at(p.loss_from),
            "oldest": p.oldest.as_ref().map(|o| json!({"offset": o.offset, "name": o.name, "at": at(o.at)})),
            "at_risk": p.at_risk, "future_stamps": p.future, "without_stamp": p.unstamped,
        })
    };
    let known = reading.partitions.iter().any(|p| p.lost.is_some());
    json!({
        "topic": reading.topic,
        "brokers": if reading.silent_since.is_none() { "answer" } else { "silent" },
        "silent_since": at(reading.silent_since),
        "why": reading.why,
        "read_at": time::format(reading.read_at),
        "window": time::span(reading.keeping.window),
        "window_from": reading.keeping.from,
        "proven": reading.keeping.proven,
        "stamps": reading.keeping.stamps,
        "shutdown": reading.shutdown.as_ref().map(|(t, by)| json!({"at": time::format(*t), "by": by})),
        "services_back": reading.services_back.as_ref().map(|(t, by)| json!({"at": time::format(*t), "by": by})),
        "recorded": reading.recorded,
        "held": clock.held, "rescued": clock.rescued, "not_rescued": clock.held.saturating_sub(clock.rescued),
        "lost": known.then_some(clock.lost),
        "loss_possible_from": at(clock.loss_from),
        "at_risk": reading.services_back.as_ref().map(|_| reading.at_risk()),
        "partitions": reading.partitions.iter().map(partition).collect::<Vec<_>>(),
        "notes": notes(reading),
    })
}

/// Everything that a person should know besides the figures.
fn notes(reading: &HoldReading) -> Vec<String> {
    reading.keeping.notes.iter().chain(&reading.notes).cloned().collect()
}

fn print(context: &mut Context<'_>, reading: &HoldReading) -> Result<()> {
    let out = &mut *context.out;
    out.line(&safe!("{}", Safe::of(&reading.head())))?;
    if let Some(why) = &reading.why {
        out.line(&safe!("{}", Safe::of(why)))?;
    }
    let own = |text: &str| Safe::of(text).into_owned();
    let instant = |at: Option<i64>| at.map_or_else(|| "not known".to_owned(), time::format);
    let mut table = out.table(&[
        "partition",
        "held",
        "loss possible from",
        "oldest",
        "stamped",
        "lost",
        "rescued",
    ]);
    for p in &reading.partitions {
        let oldest = p.oldest.as_ref();
        let name = oldest.map_or_else(String::new, |o| {
            if o.name.is_empty() {
                format!("offset {}", o.offset)
            } else {
                o.name.clone()
            }
        });
        let from = if p.held == 0 {
            "·".to_owned()
        } else {
            instant(p.loss_from)
        };
        let stamped = oldest.map_or_else(String::new, |o| instant(o.at));
        let lost = p.lost.map_or_else(|| "not known".to_owned(), |n| n.to_string());
        table.row(vec![
            own(&p.id.to_string()),
            own(&p.held.to_string()),
            own(&from),
            Safe::id(&name).into_owned(),
            own(&stamped),
            own(&lost),
            own(&p.rescued.to_string()),
        ])?;
    }
    table.end()?;
    let clock = reading.clock();
    let open = clock.held.saturating_sub(clock.rescued);
    out.line(&safe!(
        "{} held, {} rescued, {} not rescued, {} lost; loss possible from {}",
        clock.held,
        clock.rescued,
        open,
        clock.lost,
        own(&if clock.held == 0 {
            "·".to_owned()
        } else {
            instant(clock.loss_from)
        })
    ))?;
    out.line(&own(&reading.forecast()))?;
    for note in notes(reading) {
        complain(&format!("restitch: {note}"));
    }
    Ok(())
}
