//! `restitch hold rescue`

use super::super::{Context, DONE, complain};
use crate::domain::{Error, ErrorKind, Result, time};
use crate::ledger::{self, Ledger};
use crate::restore::hold::file::Origin;
use crate::restore::hold::rescue::{self, Progress, Verified};
use crate::restore::hold::status;
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The ledger hears so often how far it is.
const TELL: Duration = Duration::from_secs(2);

/// Arguments of `hold rescue`.
#[derive(Debug, Args)]
pub struct Rescue {
    /// Go on copying what comes, until stopped (ctrl-c): to be armed before the shutdown
    #[arg(long)]
    follow: bool,
    /// Another topic than the hold's, such as the queue of finished steps before it is drained
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// The file, continued where it is there already; TOPIC.rescue unless told
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Rescue {
    /// Copies; 0 where everything up to the broker's last message is in the file.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let hold = status::on_broker(&config)?;
        let own = hold.topic.clone().unwrap_or_default();
        let topic = self.topic.clone().unwrap_or_else(|| own.clone());
        let out = self
            .out
            .clone()
            .unwrap_or_else(|| PathBuf::from(format!("{topic}.rescue")));
        if context.globals.readonly {
            return Err(Error::refused("hold rescue: this restitch only looks").cure("run it without --readonly"));
        }
        // The orders are in more danger than the ledger: where it is out of reach, the rescue goes on without it.
        let mut ledger = match context.ledger(&config) {
            Ok(ledger) => Some(ledger),
            Err(error) => {
                complain(&format!(
                    "restitch: the ledger is not told of this rescue: {}",
                    error.what
                ));
                None
            }
        };
        if topic != own {
            complain(&format!(
                "restitch: {topic} is not the hold: if it is the queue of finished steps, its drain destroys the proof that they \
                 are finished, so copy it first"
            ));
        }
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&stop))?;
        }
        let mut teller = Teller {
            topic: &topic,
            out: &out,
            last: None,
            shown: String::new(),
        };
        let done = rescue::run(
            hold,
            &topic,
            &out,
            self.follow,
            &|| stop.load(Ordering::Relaxed),
            &mut |origin, progress| teller.tell(&mut ledger, origin, progress, None),
        )?;
        let complete = done.is_complete();
        let ended = Progress {
            messages: done.contents.messages,
            offsets: done.contents.offsets.clone(),
            ..Progress::default()
        };
        let words = if complete { "complete" } else { "NOT complete" };
        teller.tell(
            &mut ledger,
            &done.contents.origin,
            &ended,
            Some(&format!("ended, {words}")),
        )?;
        if done.cut > 0 {
            complain(&format!(
                "restitch: {} torn bytes at the end of the file were cut",
                done.cut
            ));
        }
        if done.contents.damaged > 0 {
            complain(&format!(
                "restitch: {} bytes of the file are damaged; the messages that stood there were copied again where the broker \
                 still has them",
                done.contents.damaged
            ));
        }
        print(context, &topic, &out, &done)?;
        if complete {
            return Ok(DONE);
        }
        let gaps: Vec<String> = done
            .partitions
            .iter()
            .flat_map(|p| {
                p.missing
                    .iter()
                    .map(|(from, to)| format!("{}: {from} to {}", p.partition, to - 1))
            })
            .collect();
        Err(Error::failed(format!(
            "not everything is in the file; missing offsets by partition: {}",
            gaps.join(", ")
        ))
        .at(out.display().to_string())
        .cure(if stop.load(Ordering::Relaxed) {
            "it was stopped before it was done: run it again, it goes on where it was"
        } else {
            "the broker deleted them before they were copied: look for these orders in Salesforce"
        }))
    }
}

/// Says how far it is: to the person, and to the ledger.
struct Teller<'a> {
    topic: &'a str,
    out: &'a Path,
    last: Option<Instant>,
    shown: String,
}

impl Teller<'_> {
    fn tell(
        &mut self,
        ledger: &mut Option<Ledger>,
        origin: &Origin,
        progress: &Progress,
        ended: Option<&str>,
    ) -> Result<()> {
        let words = match &progress.silent {
            Some(why) => format!("{} of {} safe; {why}", progress.safe, progress.all),
            None => format!("{} of {} safe", progress.safe, progress.all),
        };
        if ended.is_none() && words != self.shown {
            complain(&format!("rescue: {words}"));
            self.shown = words;
        }
        let first = self.last.is_none();
        if !first && ended.is_none() && self.last.is_some_and(|at| at.elapsed() < TELL) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let Some(open) = ledger else {
            return Ok(());
        };
        let file = std::path::absolute(self.out).unwrap_or_else(|_| self.out.to_owned());
        let known = ledger::Rescue {
            file: file.display().to_string(),
            at: time::now(),
            offsets: progress.offsets.clone(),
        };
        let what = match ended {
            Some(how) => Some(how.to_owned()),
            None => first.then(|| "begun".to_owned()),
        };
        let why = what.map(|how| {
            format!(
                "rescue of {} into {} {how}, {} messages",
                self.topic, known.file, progress.messages
            )
        });
        match open.keep_rescue(self.topic, &origin.id, &known, why.as_deref()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind == ErrorKind::Refused => Err(error),
            Err(error) => {
                complain(&format!("restitch: the ledger is no longer told: {}", error.what));
                *ledger = None;
                Ok(())
            }
        }
    }
}

fn print(context: &mut Context<'_>, topic: &str, out: &Path, done: &rescue::Rescue) -> Result<()> {
    let file = out.display().to_string();
    if context.out.wants_json() {
        let partition = |p: &Verified| {
            json!({
                "partition": p.partition, "earliest": p.offsets.earliest, "latest": p.offsets.latest,
                "complete_to": p.complete_to, "missing": p.missing,
            })
        };
        return context.out.json(&json!({
            "topic": topic, "file": file, "id": done.contents.origin.id, "messages": done.contents.messages,
            "complete": done.is_complete(), "cut": done.cut, "damaged": done.contents.damaged,
            "partitions": done.partitions.iter().map(partition).collect::<Vec<_>>(),
        }));
    }
    for p in &done.partitions {
        let words = if p.missing.is_empty() {
            format!("complete to {}", p.offsets.latest)
        } else {
            let gaps: Vec<String> = p
                .missing
                .iter()
                .map(|(from, to)| format!("{from} to {}", to - 1))
                .collect();
            format!("MISSING {}", gaps.join(", "))
        };
        context
            .out
            .line(&safe!("partition {}: {}", i64::from(p.partition), Safe::of(&words)))?;
    }
    context.out.line(&safe!(
        "{} messages of {} in {}, read back and held against the broker",
        done.contents.messages,
        Safe::of(topic),
        Safe::of(&file)
    ))
}
