//! `restitch show`

use super::{Context, DONE, one_case};
use crate::domain::case::{FamilyField, FamilyRow};
use crate::domain::finding::{Evidence, Finding, Missing};
use crate::domain::mask::mask;
use crate::domain::queue::CaseFile;
use crate::domain::schema::Schema;
use crate::domain::{Error, Result, time};
use crate::ledger::Ledger;
use crate::report::case;
use crate::safe;
use crate::text::Safe;
use clap::Args;
use serde_json::Value as Json;

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The case: id, label or order key
    case: String,
    /// Show a masked column; the audit trail has who and why
    #[arg(long, value_name = "COLUMN", requires = "reason")]
    unmask: Vec<String>,
    /// Why it must be seen
    #[arg(long, value_name = "TEXT", requires = "unmask")]
    reason: Option<String>,
}

impl Show {
    /// Prints one case with its evidence.
    pub fn run(self, context: &mut Context<'_>) -> Result<u8> {
        let config = context.config()?;
        let mut schema = config.schema.clone();
        let ledger = match &self.reason {
            None => context.reading(&config)?,
            Some(reason) => {
                let mut ledger = context.ledger(&config)?;
                let id = one_case(&ledger, &self.case)?;
                for name in &self.unmask {
                    unmask(&mut ledger, &mut schema, &id, name, reason)?;
                }
                ledger
            }
        };
        let id = one_case(&ledger, &self.case)?;
        let mut file = ledger
            .case(&id)?
            .ok_or_else(|| Error::usage(format!("there is no case {id:?}")))?;
        mask(&mut file.found, &schema);
        if context.out.wants_json() {
            context.out.json(&case::whole(&file, &schema)?)?;
            return Ok(DONE);
        }
        for line in lines(&file) {
            context.out.line(&line)?;
        }
        Ok(DONE)
    }
}

/// Takes the mask off a column once the audit trail has it.
fn unmask(ledger: &mut Ledger, schema: &mut Schema, id: &str, name: &str, reason: &str) -> Result<()> {
    let masked = schema
        .entities
        .iter()
        .flat_map(|e| e.mask.iter().map(|c| (e.name.clone(), c.clone())));
    let masked: Vec<(String, String)> = masked.collect();
    let meant = |(entity, column): &&(String, String)| name == column || name == format!("{entity}.{column}");
    let [(entity, column)] = masked.iter().filter(meant).collect::<Vec<_>>()[..] else {
        let names: Vec<String> = masked
            .iter()
            .map(|(entity, column)| format!("{entity}.{column}"))
            .collect();
        return Err(
            Error::usage(format!("{name:?} names no masked column, or several")).cure(if names.is_empty() {
                "no column is masked: `show` shows them all".to_owned()
            } else {
                format!("masked are {}", names.join(", "))
            }),
        );
    };
    ledger.unmask(id, entity, column, reason)?;
    let masks = schema.entities.iter_mut().filter(|e| e.name == *entity);
    masks.for_each(|e| e.mask.retain(|c| c != column));
    Ok(())
}

fn lines(file: &CaseFile) -> Vec<Safe<'static>> {
    let found = &file.found;
    let own = |text: &str| Safe::of(text).into_owned();
    let kinds: Vec<&str> = found.kinds().iter().map(|k| k.words()).collect();
    let mut lines = vec![
        safe!(
            "{}  {}  {}",
            Safe::id(&found.label),
            Safe::id(&found.id),
            own(&found.action)
        ),
        safe!("{}, {}", own(&kinds.join(", ")), file.state.words()),
    ];
    if let Some(claim) = &file.claim {
        lines.push(safe!(
            "held by {} until {}",
            own(&claim.by),
            own(&time::format(claim.until))
        ));
    }
    for missing in &found.missing {
        lines.push(safe!("refers to {}, which is not there", target(missing)));
    }
    for id in &found.blocked_by {
        lines.push(safe!("waits for {}", Safe::id(id)));
    }
    for (id, label) in &file.waited_for_by {
        lines.push(safe!("{} ({}) waits for it", Safe::id(label), Safe::id(id)));
    }
    if let Some(advice) = &found.advice {
        lines.push(safe!("advice: {}, {}", advice.verb.name(), own(&advice.why)));
    }
    for fit in &found.fits {
        lines.push(safe!(
            "instead of {} fits {}",
            target(&fit.missing),
            Safe::of(&fit.to.join(", "))
        ));
    }
    for outside in &found.outside {
        let mut line = safe!("outside {} {}", own(&outside.name), outside.state.name());
        if let Some(at) = &outside.at {
            line = safe!("{} {}", line, own(at));
        }
        if outside.again {
            line = safe!("{}, would run again", line);
        }
        line = safe!("{}: {}", line, own(&outside.why));
        if let Some(by) = &outside.evidence {
            line = safe!("{}  {}", line, own(&event(by)));
        }
        lines.push(line);
    }
    for row in &found.family {
        family(row, &mut lines);
    }
    for finding in &found.findings {
        told(finding, &mut lines);
    }
    if let Some(decision) = &file.decision {
        lines.push(safe!(
            "{} by {} at {}: {}",
            decision.verb.name(),
            own(&decision.by),
            own(&time::format(decision.at)),
            own(&decision.reason)
        ));
        let does = if file.effect.is_some() { "does" } else { "to do" };
        lines.extend(decision.steps.iter().map(|step| safe!("  {}: {}", does, own(step))));
        if let Some(effect) = &file.effect {
            lines.push(safe!("  effect: {}", own(&effect.words())));
        }
        if let Some(evidence) = &decision.evidence {
            lines.push(safe!("  evidence: {}", own(evidence)));
        }
        if let Some((holds, read)) = &decision.proof {
            let words = match holds {
                Some(true) => "proof holds",
                Some(false) => "proof fails",
                None => "proof cannot tell",
            };
            lines.push(safe!("  {}: {}", words, own(read)));
        }
    }
    for note in &file.notes {
        lines.push(safe!(
            "note by {} at {}: {}",
            own(&note.by),
            own(&time::format(note.at)),
            own(&note.text)
        ));
    }
    lines
}

/// One finding, the events behind it, and what traffic did to its row.
fn told(finding: &Finding, lines: &mut Vec<Safe<'static>>) {
    let own = |text: &str| Safe::of(text).into_owned();
    let by: Vec<String> = finding.evidence.iter().map(event).collect();
    let since = match (finding.since_opening, finding.there_at_opening) {
        (true, Some(false)) => ", not there at the opening",
        (true, _) => ", moved since the opening",
        (false, _) => "",
    };
    lines.push(safe!(
        "{} {} {}{}  {}",
        finding.kind.words(),
        own(&finding.entity),
        Safe::id(&finding.key),
        since,
        own(&by.join(", "))
    ));
    for field in finding.fields.iter().filter(|f| f.opening.is_some()) {
        lines.push(safe!(
            "  {}: {} at the opening",
            own(&field.name),
            value(field.opening.as_ref())
        ));
    }
}

fn target(missing: &Missing) -> Safe<'static> {
    let entity = Safe::of(&missing.entity);
    match &missing.column {
        Some(column) => safe!("{} with {} {}", entity, Safe::of(column), Safe::id(&missing.key)),
        None => safe!("{} {}", entity, Safe::id(&missing.key)),
    }
}

fn family(row: &FamilyRow, lines: &mut Vec<Safe<'static>>) {
    let restored = if row.restored { "there" } else { "not there" };
    let log = match row.log {
        Some(true) => "the log has it",
        Some(false) => "the log deleted it",
        None => "the log never names it",
    };
    lines.push(safe!(
        "{} {}: {}, {}",
        Safe::of(&row.entity),
        Safe::id(&row.key),
        restored,
        log
    ));
    for field in row.fields.iter().filter(|f| f.differs || !row.restored) {
        lines.push(safe!(
            "  {}: restored {}, log {}  {}",
            Safe::of(&field.name),
            value(field.restored.as_ref()),
            value(field.log.as_ref()),
            Safe::of(&said_by(field))
        ));
    }
}

fn value(value: Option<&Json>) -> Safe<'static> {
    match value {
        None => Safe::ours("·"),
        Some(Json::String(text)) => Safe::of(text).into_owned(),
        Some(other) => Safe::of(&other.to_string()).into_owned(),
    }
}

fn said_by(field: &FamilyField) -> String {
    field.by.as_ref().map_or_else(String::new, event)
}

fn event(evidence: &Evidence) -> String {
    match &evidence.ts {
        Some(ts) => format!("{}@{} {ts}", evidence.source, evidence.position),
        None => format!("{}@{}", evidence.source, evidence.position),
    }
}
