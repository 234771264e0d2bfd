//! `restitch hold release`

use super::super::{Context, DONE, complain};
use crate::domain::hold::Rescued;
use crate::domain::{Error, ErrorKind, Result};
use crate::ledger::Role;
use crate::restore::hold::release::{self, Asked, Fate, Line, Release as Plan};
use crate::restore::hold::status;
use crate::text::Safe;
use crate::{job, safe};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Arguments of `hold release`.
#[derive(Debug, Args)]
pub struct Release {
    /// The file that `hold rescue` wrote
    #[arg(long = "in", value_name = "FILE")]
    file: PathBuf,
    /// Say what would be sent, in which order, and what not, and why; send nothing
    #[arg(long)]
    dry_run: bool,
}

impl Release {
    /// Sends; 0 where everything that may go back is there, 6 where of some message nobody can tell.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let hold = status::on_broker(&config)?;
        let mut ledger = if self.dry_run {
            context.reading(&config)?
        } else {
            context.ledger(&config)?
        };
        if !self.dry_run && context.globals.readonly {
            return Err(Error::refused("hold release: this restitch only looks").cure("run it without --readonly"));
        }
        if !self.dry_run && ledger.role() < Role::Lead {
            let refused = Error::refused("only a lead sends rescued orders back")
                .cure("ask one of `[roles] lead`; --dry-run shows everybody what would be sent");
            return Err(ledger.refuse_release(refused));
        }
        let look = status::look(&config, Some(&ledger))?;
        if let Some(silent) = look.silent {
            return Err(silent);
        }
        let planning = release::plan(
            &self.file,
            &Asked {
                hold,
                schema: &config.schema,
                reading: &look.reading,
                there: &|labels| job::labels_there(&config, labels),
                released: &|id| ledger.released(id),
            },
            self.dry_run,
        )?;
        if !planning.release.rings.is_empty() {
            complain(&format!(
                "restitch: these orders refer to each other in a ring and go as they came: {}",
                planning.release.rings.join(", ")
            ));
        }
        let count = |fate: &dyn Fn(&Line) -> bool| planning.release.lines.iter().filter(|l| fate(l)).count();
        let going = count(&|l| l.fate == Fate::Sent);
        let file = self.file.display().to_string();
        let done = if self.dry_run {
            planning.release
        } else {
            let (topic, id) = (planning.release.topic.clone(), planning.release.id.clone());
            let why = format!("release of {file} to {topic}: {going} messages to be sent");
            let mut known = ledger.released(&id)?;
            for line in planning.release.lines.iter().filter(|l| l.fate == Fate::SentBefore) {
                known
                    .entry(line.place.0)
                    .or_default()
                    .add(line.place.1, line.place.1 + 1);
            }
            ledger.keep_released(&id, &known, Some(&why))?;
            let done = planning.carry_out(hold, &mut |_, sent| {
                complain(&format!("release: {sent} of {going} sent"));
                Ok(())
            })?;
            let mut known: Rescued = known;
            let sent = done
                .lines
                .iter()
                .filter(|l| matches!(l.fate, Fate::Sent | Fate::SentBefore));
            for line in sent {
                known
                    .entry(line.place.0)
                    .or_default()
                    .add(line.place.1, line.place.1 + 1);
            }
            let why = format!("release of {file} to {topic} ended: {going} messages sent");
            ledger.keep_released(&id, &known, Some(&why))?;
            done
        };
        self.print(context, &done)?;
        let unconfirmed = done.lines.iter().filter(|l| l.fate == Fate::Unconfirmed).count();
        if unconfirmed > 0 {
            return Err(Error::new(
                ErrorKind::Unconfirmed,
                format!(
                    "of {unconfirmed} messages nobody can tell whether they went back: the broker deleted that stretch"
                ),
            )
            .cure("look for these orders in the order system before they are sent by hand"));
        }
        Ok(DONE)
    }

    fn print(&self, context: &mut Context<'_>, plan: &Plan) -> Result<()> {
        let words = |fate: Fate| match (fate, self.dry_run) {
            (Fate::Sent, true) => "to be sent",
            (Fate::Sent, false) => "sent",
            (Fate::SentBefore, _) => "sent before",
            (Fate::Refused(_), _) => "refused",
            (Fate::Unconfirmed, _) => "unconfirmed",
        };
        let why = |fate: Fate| match fate {
            Fate::Refused(why) => Some(why),
            _ => None,
        };
        let count = |name: &str| plan.lines.iter().filter(|l| words(l.fate) == name).count();
        let sent = if self.dry_run { "to be sent" } else { "sent" };
        if context.out.wants_json() {
            let line = |l: &Line| {
                json!({
                    "partition": l.place.0, "offset": l.place.1, "label": l.label,
                    "fate": words(l.fate), "why": why(l.fate),
                })
            };
            return context.out.json(&json!({
                "topic": plan.topic, "id": plan.id, "dry_run": self.dry_run,
                "sent": count(sent), "sent_before": count("sent before"), "refused": count("refused"),
                "unconfirmed": count("unconfirmed"),
                "messages": plan.lines.iter().map(line).collect::<Vec<_>>(),
            }));
        }
        let mut table = context.out.table(&["order", "partition", "offset", "what", "why"]);
        for line in &plan.lines {
            let own = |text: &str| Safe::of(text).into_owned();
            table.row(vec![
                Safe::id(line.label.as_deref().unwrap_or("·")).into_owned(),
                own(&line.place.0.to_string()),
                own(&line.place.1.to_string()),
                own(words(line.fate)),
                own(why(line.fate).unwrap_or_default()),
            ])?;
        }
        table.end()?;
        context.out.line(&safe!(
            "{} {}, {} sent before, {} refused, {} unconfirmed",
            count(sent),
            sent,
            count("sent before"),
            count("refused"),
            count("unconfirmed")
        ))
    }
}
