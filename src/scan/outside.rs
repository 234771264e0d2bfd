//! What happened outside of the order system: one fact for each step of an order with an effect there.
//!
//! The log's steps say what they can, the exports of other systems the rest. Silence is UNKNOWN: NONE takes somebody who
//! would know, and says so.

use super::family::Families;
use super::{RowId, Scan};
use crate::domain::Result;
use crate::domain::case::{FoundCase, Happened, Outside};
use crate::domain::finding::Kind;
use crate::domain::schema::{ColumnIx, Entity, EntityIx, ORDER};
use crate::domain::time;
use crate::domain::value::{self, ColumnType, LogKind};
use crate::log::outside::Word;
use crate::restored::Restored;
use hashbrown::HashMap;

/// What stands for the steps of an order of which the log does not tell.
const ITS_PLAN: &str = "its plan";
/// A log whose last event is no older than this reaches to the stop: nothing need happen in the last moments.
const TAIL: i64 = 60_000_000;

/// An entity whose rows are steps with effects outside.
struct Steps {
    entity: EntityIx,
    kind: ColumnIx,
    state: Option<ColumnIx>,
    label: Option<ColumnIx>,
    /// Why the log cannot say that nothing happened, where it cannot.
    uncovered: Option<String>,
}

/// How one side has a step.
#[derive(Debug, Clone, Copy)]
struct Stands<'a> {
    state: &'a str,
    /// When the log says that it came into that state, microseconds since 1970.
    at: Option<i64>,
}

impl<R: Restored> Scan<'_, R> {
    /// Fills in what is known of each order's effects outside, from the log and from the exports.
    pub(super) fn outside(&mut self, cases: &mut [FoundCase], families: &Families) -> Result<()> {
        let steps = self.steps()?;
        for case in cases.iter_mut() {
            let Some(order) = case.order.as_deref() else { continue };
            case.outside = self.by_log(order, &steps, families);
            let lost = case
                .findings
                .iter()
                .any(|f| f.kind == Kind::Lost && f.entity == ORDER && f.key == order);
            if lost
                && case.outside.is_empty()
                && let Some(why) = no_steps(&steps)
            {
                case.outside.push(Outside {
                    item: None,
                    name: ITS_PLAN.to_owned(),
                    state: Happened::Unknown,
                    at: None,
                    why,
                    evidence: None,
                    again: false,
                });
            }
        }
        self.by_exports(cases)?;
        for case in cases.iter_mut() {
            nothing_again(&mut case.outside);
        }
        Ok(())
    }

    fn steps(&self) -> Result<Vec<Steps>> {
        let mut all = Vec::new();
        for (ix, entity) in self.schema.entities.iter().enumerate() {
            let Some(kind) = entity.type_column.as_deref().filter(|_| !entity.outside.is_empty()) else {
                continue;
            };
            let shown = entity.label.as_deref().filter(|l| !entity.mask.iter().any(|m| m == l));
            all.push(Steps {
                entity: ix,
                kind: self.column(ix, kind)?,
                state: entity.state.as_deref().map(|s| self.column(ix, s)).transpose()?,
                label: shown.map(|l| self.column(ix, l)).transpose()?,
                uncovered: self.uncovered(ix),
            });
        }
        Ok(all)
    }

    /// Why what the log does not say of this entity may have happened all the same; `None` where one of its sources
    /// tells of it from T to the stop and left nothing out.
    fn uncovered(&self, entity: EntityIx) -> Option<String> {
        let incident = &self.config.incident;
        let words = self.schema.entities[entity].name.replace('_', " ");
        let (Some(from), Some(stop)) = (incident.restored_to, incident.stopped_at) else {
            return Some("T or the stop is not configured".to_owned());
        };
        let mut why = format!("the log does not tell of any {words}");
        let name = &self.schema.entities[entity].name;
        let coverage = &self.log.folded().coverage;
        if coverage.iter().any(|c| c.entity == *name && c.rows.is_some()) {
            // A whole instance tells of every row as it was when it stopped.
            return None;
        }
        for (ix, source) in self.config.logs.iter().enumerate() {
            let of_source = || coverage.iter().filter(|c| c.source == source.name);
            let told = of_source().any(|c| c.entity == *name && c.first.is_some());
            if !told {
                continue;
            }
            let first = of_source().filter_map(|c| c.first).min();
            let last = of_source().filter_map(|c| c.last).max();
            let gap = self.log.folded().gaps.iter().find(|g| {
                usize::from(g.source) == ix
                    && g.gap.entity.is_none_or(|e| e == entity)
                    && g.gap.from.is_none_or(|at| at <= stop)
                    && g.gap.to.is_none_or(|at| at >= from)
            });
            why = match (first, last, gap) {
                (_, _, Some(gap)) => format!("{}: {}", source.name, gap.gap.why),
                (Some(first), _, _) if first > from => {
                    format!("{} begins at {} only, after T", source.name, time::format(first))
                }
                (_, Some(last), _) if last < stop - TAIL => {
                    format!("{} ends at {}, before the stop", source.name, time::format(last))
                }
                _ => return None,
            };
        }
        Some(why)
    }

    fn by_log(&self, order: &str, steps: &[Steps], families: &Families) -> Vec<Outside> {
        let mut out = Vec::new();
        for row in families.by_order.get(order).into_iter().flatten() {
            if let Some(step) = steps.iter().find(|s| s.entity == row.0) {
                out.extend(self.step(step, row, families));
            }
        }
        out
    }

    /// A step that may have had its effect since T; `None` where it has none, or had it before.
    fn step(&self, step: &Steps, (entity, key): &RowId, families: &Families) -> Option<Outside> {
        let mapped = &self.schema.entities[*entity];
        let log = self.log.get(*entity, key);
        let text = |column: ColumnIx| {
            let said = log.and_then(|row| row.field(column));
            match said {
                Some((v, _)) => (v.kind != LogKind::Null).then(|| v.text.into_owned()),
                None => families.value(*entity, key, column).map(str::to_owned),
            }
        };
        let kind = text(step.kind).unwrap_or_default();
        if !mapped.outside.contains(&kind) {
            return None;
        }
        let said = step.state.and_then(|column| log?.field(column));
        let evidence = said.as_ref().map(|(_, by)| self.log.evidence(*by));
        let at = evidence.as_ref().and_then(|e| time::parse(e.ts.as_deref()?));
        let there = step.state.and_then(|column| families.value(*entity, key, column));
        let same = there
            .filter(|_| log.is_none() && self.log.is_whole())
            .map(|state| Stands { state, at: None });
        let log_stands = said.as_ref().map(|(v, _)| Stands { state: &v.text, at });
        // What a whole instance and the restored database have alike is not told of row by row.
        let log_stands = log_stands.or(same);
        let in_doubt = log.is_some_and(|row| row.contradicted().is_some());
        let uncovered = if in_doubt {
            Some("the log contradicts itself on it".to_owned())
        } else {
            step.uncovered.clone()
        };
        let (state, why) = judge(mapped, log_stands, there, uncovered.as_deref())?;
        let name = step.label.and_then(text).unwrap_or_else(|| format!("{kind} {key}"));
        Some(Outside {
            item: Some(key.to_string()),
            name,
            state,
            at: at.filter(|_| state != Happened::None).map(time::format),
            why,
            evidence,
            again: there.is_some_and(|there| would_run(mapped, there)),
        })
    }

    /// What the exports say of these cases' orders joins what the log says.
    fn by_exports(&mut self, cases: &mut [FoundCase]) -> Result<()> {
        let exports = &self.config.outside;
        if exports.is_empty() {
            return Ok(());
        }
        let named = self.names(cases)?;
        let ids = ColumnType::Text;
        let normal = |text: &str| value::normal(&[&ids], &[text.to_owned()]).pop().unwrap_or_default();
        let mut words: HashMap<usize, Vec<Word>> = HashMap::new();
        let mut unsure = 0_u64;
        let noticed = crate::log::outside::read(exports, self.config.schema.masks_any(), self.progress, &mut |word| {
            let Some(of) = named.get(&normal(&word.order)) else {
                return;
            };
            for case in of {
                let mut word = word.clone();
                if of.len() > 1 && word.state == Happened::None {
                    // It may be about the other one: then nobody said that this one's did not happen.
                    word.state = Happened::Unknown;
                    unsure += 1;
                }
                words.entry(*case).or_default().push(word);
            }
        })?;
        self.rejects.extend(noticed.rejects);
        self.warnings.extend(noticed.warnings);
        if unsure > 0 {
            self.warnings.push(format!(
                "outside: {unsure} lines name more than one order by its key or label: what they say did not happen counts \
                 as unknown"
            ));
        }
        let masked = |column: &str| self.schema.entities.iter().any(|e| e.mask.iter().any(|m| m == column));
        let hidden: Vec<bool> = exports.iter().map(|e| masked(&e.state)).collect();
        let nameless: Vec<bool> = exports
            .iter()
            .map(|e| e.effect.as_deref().is_some_and(masked))
            .collect();
        for (case, mut words) in words {
            for word in &mut words {
                if hidden[word.export] {
                    "(masked)".clone_into(&mut word.said);
                }
                if nameless[word.export] {
                    word.effect.clone_from(&exports[word.export].name);
                }
            }
            join(&mut cases[case], words, exports.len(), self.config.incident.restored_to);
        }
        Ok(())
    }

    /// How the exports may call each case's order: by key, label or identity.
    fn names(&self, cases: &[FoundCase]) -> Result<HashMap<String, Vec<usize>>> {
        let ids = ColumnType::Text;
        let mut named: HashMap<String, Vec<usize>> = HashMap::new();
        let identity = match self.order_entity().map(|e| (e, &self.schema.entities[e].identity[..])) {
            Some((entity, [one])) => Some((entity, self.column(entity, one)?)),
            _ => None,
        };
        for (ix, case) in cases.iter().enumerate() {
            let Some(order) = &case.order else { continue };
            let by_log = identity.and_then(|(entity, column)| {
                let (value, _) = self.log.get(entity, order)?.field(column)?;
                (value.kind != LogKind::Null).then(|| value.text.into_owned())
            });
            let own = case.family.iter().find(|r| r.entity == ORDER && r.key == *order);
            let by_row = identity.and_then(|(entity, column)| {
                let name = &self.catalogue.tables[entity].columns[usize::from(column)].name;
                let field = own?.fields.iter().find(|f| f.name == *name)?;
                Some(field.restored.as_ref()?.as_str()?.to_owned())
            });
            for name in [Some(order.clone()), Some(case.label.clone()), by_log.or(by_row)]
                .into_iter()
                .flatten()
            {
                let name = value::normal(&[&ids], &[name]).pop().unwrap_or_default();
                let of = named.entry(name).or_default();
                if !of.contains(&ix) {
                    of.push(ix);
                }
            }
        }
        Ok(named)
    }
}

/// Why an order without a single step may have had effects all the same; `None` where the log would tell of its steps.
fn no_steps(steps: &[Steps]) -> Option<String> {
    let silent = "the log does not tell of its plan";
    if steps.is_empty() {
        return Some(format!("{silent}: no [schema.*] has steps with effects outside"));
    }
    let why = steps.iter().find_map(|s| s.uncovered.as_deref())?;
    Some(format!("{silent}: {why}"))
}

/// Whether a step in this state runs, or may run, when workers start.
fn would_run(entity: &Entity, state: &str) -> bool {
    let place = entity.states.iter().position(|s| s == state);
    place.is_some_and(|p| p + 1 < entity.states.len()) || entity.in_progress.iter().any(|s| s == state)
}

/// The first of the states in which a step has been sent: the one before the last, unless one is called so earlier.
fn sent(states: &[String]) -> usize {
    let called = |s: &String| ["running", "in progress"].contains(&s.to_lowercase().as_str());
    let last_but_one = states.len().saturating_sub(2);
    states
        .iter()
        .position(called)
        .map_or(last_but_one, |p| p.min(last_but_one))
}

/// What the log and the restored row say of a step's effect since T, and why; `None` where both have it behind them.
fn judge(
    entity: &Entity,
    log: Option<Stands<'_>>,
    restored: Option<&str>,
    uncovered: Option<&str>,
) -> Option<(Happened, String)> {
    use Happened::{Done, None as Not, Unknown};
    let states = &entity.states;
    let last = states.len().saturating_sub(1);
    let place = |state: &str| states.iter().position(|s| s == state);
    let is_last = |state: &str| states.len() > 1 && place(state) == Some(last);
    let was_sent = |state: &str| place(state).is_none_or(|p| p >= sent(states));
    let there = restored.map_or_else(String::new, |r| format!(" ({r} at T)"));
    let Some(log) = log else {
        return match restored {
            Some(state) if is_last(state) => None,
            _ => Some((Unknown, format!("the log says nothing of it since T{there}"))),
        };
    };
    let when = log
        .at
        .map_or_else(String::new, |at| format!(" at {}", time::format(at)));
    let says = format!("the log has it {}{when}", log.state);
    if states.len() < 2 {
        return Some((
            Unknown,
            format!("{says}; no order of states is configured for {}", entity.name),
        ));
    }
    if is_last(log.state) {
        return match restored {
            Some(state) if is_last(state) => None,
            Some(state) if was_sent(state) => Some((Done, format!("sent before T, answered{when}"))),
            _ => Some((Done, says)),
        };
    }
    match restored {
        Some(state) if is_last(state) => {
            return Some((
                Unknown,
                format!("{says}: it was {state} at T, and may have been taken back"),
            ));
        }
        Some(state) if was_sent(state) && !was_sent(log.state) => {
            return Some((
                Unknown,
                format!("{says}: it was {state} at T, and may have had its effect"),
            ));
        }
        _ => {}
    }
    match place(log.state) {
        Some(p) if p >= sent(states) => Some((Unknown, format!("started{when}, no answer in the log"))),
        Some(_) => Some(match uncovered {
            None => (
                Not,
                format!("{says}: not started, and the log tells of it from T to the stop"),
            ),
            Some(why) => (Unknown, format!("{says}, but {why}")),
        }),
        None => Some((Unknown, format!("{says}: whether it had its effect is not known"))),
    }
}

/// What did not happen does not happen again.
fn nothing_again(outside: &mut [Outside]) {
    for effect in outside {
        effect.again &= effect.state != Happened::None;
    }
}

/// Adds the words of the exports. A DONE is believed whoever says otherwise; an explicit word beats what the log does not
/// know; of other contradictions the one that asks is kept.
fn join(case: &mut FoundCase, mut words: Vec<Word>, exports: usize, t: Option<i64>) {
    let own = case.order.clone().unwrap_or_default();
    let there = case
        .family
        .iter()
        .any(|r| r.entity == ORDER && r.key == own && r.restored);
    words.sort_by(|a, b| (a.export, a.at, &a.evidence.position).cmp(&(b.export, b.at, &b.evidence.position)));
    let mut spoke: Vec<usize> = words
        .iter()
        .filter(|w| w.state != Happened::Unknown)
        .map(|w| w.export)
        .collect();
    spoke.dedup();
    // With each fact the export that it rests on; `None` is the log.
    let mut all: Vec<(Outside, Option<usize>)> = std::mem::take(&mut case.outside)
        .into_iter()
        .map(|o| (o, None))
        .collect();
    for word in words {
        let is_it = |o: &Outside| match (&word.item, &o.item) {
            (Some(item), Some(known)) => item == known,
            _ => o.name == word.effect,
        };
        if let Some(at) = all.iter().position(|(o, _)| is_it(o)) {
            for (outside, by) in all[at..].iter_mut().filter(|(o, _)| is_it(o)) {
                settle(outside, by, &word);
            }
            continue;
        }
        // What an export dates before T is in the restored order, and so is a step that has no fact since T.
        let before = there && word.at.zip(t).is_some_and(|(at, t)| at <= t);
        let behind = |item: &String| {
            case.family
                .iter()
                .any(|r| r.key == *item && r.entity != ORDER && r.restored)
        };
        if !before && !word.item.as_ref().is_some_and(behind) {
            let outside = Outside {
                item: word.item.clone(),
                name: word.effect.clone(),
                state: word.state,
                at: word.at.map(time::format),
                why: says(&word),
                evidence: Some(word.evidence.clone()),
                again: false,
            };
            all.push((outside, Some(word.export)));
        }
    }
    if spoke.len() == exports {
        // Everybody who would know has spoken: nobody is left to ask.
        all.retain(|(o, by)| by.is_some() || o.name != ITS_PLAN);
    }
    case.outside = all.into_iter().map(|(o, _)| o).collect();
}

fn says(word: &Word) -> String {
    let said = if word.said.is_empty() { "nothing" } else { &word.said };
    format!("{} says {said} ({})", word.evidence.source, word.evidence.position)
}

/// One more word on an effect; `by` is the export that the fact rests on so far.
fn settle(outside: &mut Outside, by: &mut Option<usize>, word: &Word) {
    use Happened::{Done, None as Not, Unknown};
    let (was, new) = (std::mem::take(&mut outside.why), says(word));
    let same = *by == Some(word.export);
    let (taken, why) = match (outside.state, word.state) {
        (Done, Not) => (false, format!("{was}; but {new}")),
        (Done, _) => (false, was),
        (Not, Done) if !same => (true, format!("{new}; but {was}")),
        // The later line of an export corrects the earlier one; another one's word settles no question of it.
        (Unknown, Not) if by.is_some() && !same => (false, format!("{was}; {new}")),
        (Not, Unknown) if !same => (true, format!("{new}; {was}")),
        (Unknown, Unknown) | (Not, Not) if !same => (false, format!("{was}; {new}")),
        _ => (true, new),
    };
    outside.why = why;
    if word.state == Unknown && outside.state == Unknown {
        *by = Some(word.export);
    }
    if taken {
        *by = Some(word.export);
        outside.state = word.state;
        outside.at = word.at.map(time::format);
        outside.evidence = Some(word.evidence.clone());
    }
}

#[cfg(test)]
mod tests;
