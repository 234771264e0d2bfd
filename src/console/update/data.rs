//! Data that comes in by itself: rows, sums, cases, the scan, answers to deeds.

use super::{complain, follow, lay, peek, read_rows, reload_case, say};
use crate::console::effect::{Deed, Effect, short};
use crate::console::model::case::{UNMASKED_FOR, Unmasked};
use crate::console::model::overlay::{Act, Overlay};
use crate::console::model::restore::Night;
use crate::console::model::{Feed, Model, Scan, Source, View};
use crate::console::msg::{Msg, Outcome};
use crate::domain::cluster::Reading;
use crate::domain::hold::HoldReading;
use crate::domain::paper::PaperKind;
use crate::domain::phase::Phase;
use crate::domain::preflight::Preflight;
use crate::domain::restoring::Restoring;
use crate::domain::{Error, ErrorKind, Result};

/// The source that the hold's brokers are, and when it is late, microseconds.
const HOLD: &str = "hold";
const HOLD_LATE: i64 = 15_000_000;

/// The source that the ledger's server is, where it does not answer.
const LEDGER: &str = "ledger";
/// The source that the cluster is.
const CLUSTER: &str = "cluster";
/// A cluster that was heard of so long ago is late, microseconds.
const CLUSTER_LATE: i64 = 30_000_000;
/// The source that AWS is.
const AWS: &str = "aws";
/// A reading of AWS older than this is shown as late, microseconds: looks are half a minute apart, twice that where AWS
/// throttles.
const AWS_LATE: i64 = 180_000_000;

/// Takes one message that is neither key nor time.
pub fn take(model: &mut Model, msg: Msg, out: &mut Vec<Effect>) {
    match msg {
        Msg::Rows { reading, rows, last } => {
            if reading != model.queue.reading {
                return;
            }
            let step = model.queue.append(rows, last, &model.setup.who, model.now);
            follow(model, step, out);
        }
        Msg::Patched(rows) => {
            for row in &rows {
                if row.claim.as_ref().is_none_or(|c| c.by != model.setup.who) {
                    model.held.remove(&*row.id);
                }
            }
            model.queue.patch(rows, &model.setup.who);
        }
        Msg::Arranged { number, shown } => {
            let step = model.queue.arranged(number, shown);
            follow(model, step, out);
        }
        Msg::Overview { counts, phases, hold } => {
            model.dead.retain(|(feed, _)| *feed != Feed::Overview);
            model.diff.stale |= model.counts.as_ref().is_some_and(|before| *before != counts);
            model.counts = Some(counts);
            model.phases = Some(phases);
            // What this console sees itself is newer than what the ledger has.
            if model.hold_reading.is_none() {
                model.hold = hold;
            }
        }
        Msg::Hold(reading) => followed(model, reading),
        Msg::Gate(gate) => model.gate = gate,
        Msg::Case { reading, case } if reading == model.case.reading => {
            model.case.missing = case.is_none();
            if case.is_some() {
                model.case.loaded = case;
            }
        }
        Msg::Diff {
            reading,
            groups,
            ignored,
        } if reading == model.diff.reading => {
            model.diff.busy = false;
            model.diff.stale = false;
            model.diff.ignored = ignored;
            keep_place(model, groups);
        }
        Msg::Behind { key, rows } => {
            if let Some(inside) = model.diff.inside.as_mut()
                && inside.key == key
            {
                inside.at = inside.at.min(rows.len().saturating_sub(1));
                inside.rows = Some(rows);
            }
        }
        Msg::Scan(scan) => {
            let over = !matches!(scan, Scan::Running { .. }) && matches!(model.scan, Scan::Running { .. });
            scanned(model, &scan, over, out);
            model.scan = scan;
        }
        Msg::Deed { number, deed, outcome } => answered(model, number, &deed, outcome, out),
        Msg::Carried { cases, words, well } => carried(model, cases, &words, well, out),
        Msg::Changed => {
            out.push(Effect::LoadOverview);
            model.queue.again = true;
            if model.layer.is_none() {
                reload_case(model, out);
            }
        }
        Msg::Ledger(lost) => linked(model, lost, out),
        Msg::Again(feed) => again(model, feed, out),
        Msg::Person { who, role, may_act } => {
            model.setup.who = who;
            role.clone_into(&mut model.setup.role);
            model.setup.may_act = may_act;
        }
        Msg::Lookers(lookers) => model.lookers = lookers,
        Msg::Preview(state) => previewed(model, state),
        Msg::Sources(sources) => aged(model, sources),
        Msg::Night(night) => nightly(model, *night),
        Msg::Cluster(reading) => clustered(model, reading),
        Msg::Restoring { view, preflight } => restoring(model, view, preflight),
        Msg::Warning(error) => complain(model, sentence(&error)),
        Msg::Died { feed, why } => died(model, feed, why),
        // Keys, time, and what is taken before it comes here.
        _ => {}
    }
}

/// Other ages come in; the cluster and AWS have their own.
fn aged(model: &mut Model, sources: Vec<Source>) {
    let own = |s: &Source| [CLUSTER, AWS, HOLD, LEDGER].contains(&s.name.as_str());
    let kept: Vec<Source> = model.sources.drain(..).filter(own).collect();
    model.sources = sources;
    model.sources.extend(kept);
}

/// A background task died.
fn died(model: &mut Model, feed: Feed, why: String) {
    match feed {
        Feed::Rows => model.queue.busy = false,
        Feed::Diff => model.diff.busy = false,
        Feed::Preview => model.preview.state = crate::console::model::preview::State::Never,
        // No part of the view says so of these.
        Feed::Deeds | Feed::Watch => {
            let first = why.lines().next().unwrap_or_default();
            complain(
                model,
                format!("{} stopped, ctrl-r starts it again: {first}", feed.words()),
            );
        }
        _ => {}
    }
    model.dead.retain(|(dead, _)| *dead != feed);
    model.dead.push((feed, why));
}

/// The ledger's server went away, or is back: then everything is read again.
fn linked(model: &mut Model, lost: Option<(Source, String)>, out: &mut Vec<Effect>) {
    model.sources.retain(|s| s.name != LEDGER);
    model.ledger_lost = None;
    let Some((source, why)) = lost else {
        say(model, "the ledger answers again");
        for feed in [Feed::Overview, Feed::Rows, Feed::Case, Feed::Diff] {
            again(model, feed, out);
        }
        return;
    };
    model.sources.insert(0, source);
    model.ledger_lost = Some(why);
}

/// What feeds this lost what it was asked for.
fn again(model: &mut Model, feed: Feed, out: &mut Vec<Effect>) {
    match feed {
        Feed::Rows => {
            model.queue.busy = false;
            read_rows(model, out);
        }
        Feed::Case => reload_case(model, out),
        Feed::Overview | Feed::Watch => {
            out.push(Effect::LoadOverview);
            // Single rows that were to be read are not known any more.
            model.queue.again = true;
        }
        Feed::Diff => {
            model.diff.busy = false;
            model.diff.stale = true;
            if model.view == View::Diff {
                super::commands::count(model, true, out);
            }
        }
        Feed::Preview => model.preview.state = crate::console::model::preview::State::Never,
        Feed::Deeds | Feed::Phases | Feed::Night | Feed::Aws | Feed::Scan | Feed::Hold => {}
    }
}

/// What else is watched was looked at; the cursor stays on its line, though others come before it.
fn nightly(model: &mut Model, night: Night) {
    model.dead.retain(|(feed, _)| *feed != Feed::Night);
    let line = |night: &Night, nth: usize| night.ready.as_ref().and_then(|r| r.lines.get(nth).cloned());
    let on_ready = model
        .phases
        .iter()
        .flatten()
        .nth(model.phase_at)
        .is_some_and(|l| l.phase == Phase::Ready);
    if let Some(nth) = model.below.filter(|_| on_ready) {
        let was = line(&model.night, nth);
        let lines = night.ready.as_ref().map(|r| r.lines.as_slice()).unwrap_or_default();
        let same = was.and_then(|was| lines.iter().position(|l| *l == was));
        model.below = same.or_else(|| lines.len().checked_sub(1).map(|last| nth.min(last)));
    }
    model.night = night;
}

/// The cluster was read.
fn clustered(model: &mut Model, reading: Box<Reading>) {
    model.dead.retain(|(feed, _)| *feed != Feed::Phases);
    model.sources.retain(|s| s.name != CLUSTER);
    model.sources.push(Source {
        name: CLUSTER.to_owned(),
        read_at: reading.heard_at,
        lost_since: reading.lost.as_ref().map(|(since, _)| *since),
        late_after: CLUSTER_LATE,
    });
    model.cluster = Some(reading);
}

/// The restore as AWS shows it.
fn restoring(model: &mut Model, view: Box<Restoring>, preflight: Option<Box<Preflight>>) {
    model.dead.retain(|(feed, _)| *feed != Feed::Aws);
    model.sources.retain(|s| s.name != AWS);
    model.sources.push(Source {
        name: AWS.to_owned(),
        read_at: view.read_at,
        lost_since: view.lost_since,
        late_after: AWS_LATE,
    });
    model.preflight = preflight.filter(|p| p.attempt == model.setup.attempt);
    model.restoring = Some(view);
}

/// An effect was carried out, or was not.
fn carried(model: &mut Model, cases: Vec<String>, words: &str, well: bool, out: &mut Vec<Effect>) {
    let Some(first) = cases.first() else { return };
    let label = model
        .queue
        .table
        .by_id(first)
        .map_or_else(|| first.clone(), |r| r.label.to_string());
    let words = format!("{}: {words}", short(&label));
    if well {
        say(model, words);
    } else {
        complain(model, words);
    }
    out.push(Effect::LoadSome(cases));
    out.push(Effect::LoadOverview);
    if model.layer.is_none() {
        reload_case(model, out);
    }
}

/// The preview said how far it is.
fn previewed(model: &mut Model, state: crate::console::model::preview::State) {
    model.dead.retain(|(feed, _)| *feed != Feed::Preview);
    model.preview.state = state;
    let end = model
        .preview
        .ready()
        .and_then(crate::scan::preview::Preview::span)
        .map(|(_, last)| last);
    if let Some(at) = model.preview.at.or(model.setup.restored_to).or(end) {
        model.preview.go(at);
    }
}

/// The hold as its brokers show it.
fn followed(model: &mut Model, reading: Box<HoldReading>) {
    model.dead.retain(|(feed, _)| *feed != Feed::Hold);
    model.sources.retain(|s| s.name != HOLD);
    model.sources.push(Source {
        name: HOLD.to_owned(),
        read_at: (reading.read_at > 0).then_some(reading.read_at),
        lost_since: reading.silent_since,
        late_after: HOLD_LATE,
    });
    // Brokers that never answered tell nothing.
    if reading.read_at > 0 {
        model.hold = Some(reading.clock());
    }
    model.hold_reading = Some(reading);
}

/// The scan said something; `over`: it ran until now.
fn scanned(model: &mut Model, scan: &Scan, over: bool, out: &mut Vec<Effect>) {
    if let Scan::Failed { error, .. } = scan
        && over
    {
        complain(model, format!("the scan failed: {}", error.what));
    }
    let Scan::Done { not_known, .. } = scan else { return };
    model.not_known.clone_from(not_known);
    if over {
        model.diff.stale = true;
        out.push(Effect::LoadOverview);
        read_rows(model, out);
        reload_case(model, out);
    }
}

/// Other counts come in: the cursor stays on its count.
fn keep_place(model: &mut Model, groups: Vec<crate::console::model::diff::Group>) {
    let diff = &mut model.diff;
    let key = diff.groups.as_ref().and_then(|g| g.get(diff.at)).map(|g| g.key.clone());
    if let Some(at) = key.and_then(|key| groups.iter().position(|g| g.key == key)) {
        diff.top = diff.top.saturating_add_signed(at.cast_signed() - diff.at.cast_signed());
        diff.at = at;
    }
    diff.at = diff.at.min(groups.len().saturating_sub(1));
    diff.groups = Some(groups);
}

fn answered(model: &mut Model, number: u64, deed: &Deed, outcome: Result<Outcome>, out: &mut Vec<Effect>) {
    model.pending.retain(|(n, _)| *n != number);
    let waits = model.form_mut().is_some_and(|f| f.sent == Some(number));
    match outcome {
        Ok(outcome) => {
            match deed {
                Deed::Claim(_) | Deed::TakeOver { .. } => model.held.extend(outcome.changed.iter().cloned()),
                Deed::Next { .. } => super::claims::took_next(model, &outcome.changed, out),
                Deed::Drop(ids) => {
                    for id in ids {
                        model.held.remove(id);
                    }
                    model.queue.marks.retain(|m| !ids.iter().any(|id| **id == **m));
                }
                Deed::Decide(decide) => model.last_reason = Some(decide.reason.clone()),
                Deed::Unmask {
                    case, entity, column, ..
                } => {
                    model.case.unmasked = Some(Unmasked {
                        case: case.clone(),
                        entity: entity.clone(),
                        column: column.clone(),
                        until: model.now + UNMASKED_FOR,
                    });
                }
                _ => {}
            }
            if waits {
                super::drafts::forget(model);
                model.layer = None;
            }
            let words = if outcome.words.is_empty() {
                usual(model, deed, &outcome.changed)
            } else {
                outcome.words
            };
            if matches!(deed, Deed::Next { .. }) && outcome.changed.is_empty() {
                complain(model, words);
            } else {
                say(model, words);
            }
            if !outcome.changed.is_empty() {
                out.push(Effect::LoadSome(outcome.changed));
            }
            out.push(Effect::LoadOverview);
            model.diff.stale = true;
            if matches!(deed, Deed::Ignore { .. } | Deed::CompareAgain { .. }) {
                super::commands::count(model, true, out);
            }
            reload_case(model, out);
            if model.case.id.is_none() {
                peek(model, out);
            }
        }
        Err(error) => {
            let quit = model.form_mut().is_some_and(|f| matches!(f.act, Act::Quit(_)));
            if waits && !quit {
                if let Some(form) = model.form_mut() {
                    form.sent = None;
                    form.problem = Some(sentence(&error));
                }
            } else if matches!(error.kind, ErrorKind::Refused | ErrorKind::Lost) || model.layer.is_some() {
                complain(model, sentence(&error));
            } else {
                lay(model, Overlay::Message(error));
            }
            // What was refused is usually out of date on the screen.
            reload_case(model, out);
            if let Deed::Claim(ids) | Deed::Next { among: ids, .. } = deed {
                out.push(Effect::LoadSome(ids.clone()));
            }
        }
    }
}

pub(super) fn sentence(error: &Error) -> String {
    let mut text = error.what.clone();
    for more in [&error.place, &error.cure].into_iter().flatten() {
        text.push_str("; ");
        text.push_str(more);
    }
    text
}

fn yours(name: &str, chain: &[String]) -> String {
    match chain.len() {
        0 | 1 => format!("{name} is yours"),
        all => format!("{name} is yours, with {} more that it waits for", all - 1),
    }
}

fn usual(model: &Model, deed: &Deed, changed: &[String]) -> String {
    let name = |id: &str| {
        model
            .queue
            .table
            .by_id(id)
            .map_or_else(|| id.to_owned(), |r| r.label.to_string())
    };
    match deed {
        Deed::Claim(ids) => match ids.as_slice() {
            [one] => yours(&name(one), changed),
            ids => format!("{} cases are yours", ids.len()),
        },
        Deed::Next { whole, .. } => match changed.first() {
            Some(one) => yours(&name(one), changed),
            None if *whole => super::claims::NONE_LEFT.to_owned(),
            None => format!("{} (in this filter: esc lifts it)", super::claims::NONE_LEFT),
        },
        Deed::TakeOver { case, .. } => yours(&name(case), changed),
        Deed::Drop(ids) => match ids.as_slice() {
            [one] => format!("{} is given back", name(one)),
            ids => format!("{} cases are given back", ids.len()),
        },
        Deed::Decide(d) => {
            let verb = d.verb.map_or("decided", crate::domain::case::Verb::name);
            format!("{}: {verb}", name(&d.case))
        }
        Deed::Done { case, .. } => format!("{}: done is recorded, P proves it", name(case)),
        Deed::Note { case, .. } => format!("note on {}", name(case)),
        Deed::Unmask { entity, column, .. } => format!("{entity}.{column} is shown for a minute"),
        Deed::Undo { case, .. } => format!("{}: the decision is taken back", name(case)),
        Deed::Reopen { case, .. } => format!("{}: open again", name(case)),
        Deed::Sign { paper, .. } => match paper.kind {
            PaperKind::Handover => format!("the shift of {} is yours", paper.by),
            kind => format!("{}'s {} is approved", paper.by, kind.name()),
        },
        Deed::Decline { paper, .. } => format!("{}'s {} is declined", paper.by, paper.kind.name()),
        Deed::HandOver { .. } => "the list is frozen and signed; whoever takes over signs it with H".to_owned(),
        Deed::SignOff { .. } => "signed off".to_owned(),
        Deed::Prove(ids) => format!("read again for {} cases", ids.len()),
        Deed::Tick { phase, state, .. } => format!("{} is {}", phase.title(), state.name()),
        Deed::Ignore { entity, column, .. } => {
            format!("{entity}.{column} is ignored from the next scan on: ctrl-r scans")
        }
        Deed::CompareAgain { entity, column, .. } => {
            format!("{entity}.{column} is compared again from the next scan on: ctrl-r scans")
        }
    }
}
