//! Forms of what takes many cases or two people: bulks, approvals, hand-overs, the end.

use super::acts::{asks, field, form};
use super::data::sentence;
use super::submit::submit_until;
use super::{complain, lay, say, send};
use crate::console::effect::{Bulking, Deed, Effect, short};
use crate::console::model::Model;
use crate::console::model::case::Choice;
use crate::console::model::overlay::{Act, Asks, Confirm, Form, Menu, Overlay};
use crate::console::msg::Msg;
use crate::domain::case::State;
use crate::domain::paper::{BulkAsk, Paper, PaperKind, Scope, Sifted};
use crate::domain::{Result, time};

/// Begins a bulk with the verb menu; where one runs, or was cut short, it is stopped or goes on instead.
pub fn bulk(model: &mut Model, out: &mut Vec<Effect>) {
    if model.bulk_runs {
        let mut form = form("", "stop the bulk".to_owned(), Act::StopBulk, Confirm::Yes, "stop it");
        form.lines =
            vec!["what is decided stays decided; what is pending can go on later, with the same key".to_owned()];
        lay(model, Overlay::Form(Box::new(form)));
        return;
    }
    let waits = |id: &str| model.papers.iter().any(|p| p.key == id);
    let own = model
        .bulks
        .iter()
        .find(|b| b.by == model.setup.who && b.sums.pending > 0 && !waits(&b.id));
    if let Some(bulk) = own.cloned() {
        let verb = bulk.ask.verb.name();
        let act = Act::Bulk(Bulking::Resume(bulk.id.clone()));
        let mut form = form("", format!("go on: {verb}, {}", bulk.scope), act, Confirm::Yes, "go on");
        form.lines = vec![bulk.sums.words()];
        form.lines.extend(bulk.stopped.map(|why| format!("stopped: {why}")));
        lay(model, Overlay::Form(Box::new(form)));
        return;
    }
    let Some(id) = model.subject().map(str::to_owned) else {
        return;
    };
    super::want_case(model, &id, out);
    let menu = Menu {
        case: id,
        at: 0,
        refused: None,
        together: true,
    };
    lay(model, Overlay::Menu(menu));
}

/// The cases that a bulk begun now is about: the marked ones, else those like the case.
pub fn scope(model: &Model, case: &str) -> Scope {
    if model.in_case || model.queue.marks.is_empty() {
        return Scope::Like(case.to_owned());
    }
    Scope::These(model.queue.marks.iter().map(ToString::to_string).collect())
}

/// What shall be decided on each; which cases that will be is looked up first.
pub fn ask(model: &mut Model, choice: &Choice) {
    let Some(loaded) = model.case.current() else { return };
    let verb = choice.verb;
    let scope = scope(model, &loaded.file.found.id);
    let title = format!("{} together: {}", verb.name(), short(&scope.words()));
    let mut form = form("", title, Act::Sift { verb, scope }, Confirm::Yes, "look which");
    form.lines =
        vec!["first it is said which cases that would decide, and which not and why; nothing happens yet".to_owned()];
    form.fields = asks(verb, loaded);
    form.fields
        .push(field(Asks::Reason, "reason", "a digit, or your own words", true));
    form.presets = model.setup.reasons.of(verb.name());
    form.focus = form.blank().filter(|i| form.fields[*i].asks != Asks::Reason);
    lay(model, Overlay::Form(Box::new(form)));
}

/// What the look-up said: the bulk begins when the count is typed.
pub fn sifted(model: &mut Model, answer: Result<Sifted>) {
    let waits = |f: &mut Form| matches!(f.act, Act::Sift { .. }) && f.sent.is_some();
    if !model.form_mut().is_some_and(waits) {
        return;
    }
    let sifted = match answer {
        Ok(sifted) => sifted,
        Err(error) => {
            if let Some(form) = model.form_mut() {
                form.sent = None;
                form.problem = Some(error.to_string());
            }
            return;
        }
    };
    let count = sifted.taken.len().to_string();
    let title = format!("{} {count} cases", sifted.ask.verb.name());
    let confirm = if sifted.taken.is_empty() {
        Confirm::Enter
    } else {
        Confirm::Words(count.clone())
    };
    let mut next = form("", title, Act::Nothing, confirm, "back");
    next.lines = lines(&sifted);
    if !sifted.taken.is_empty() {
        let hint = format!("type the number of cases: {count}");
        next.fields.push(field(Asks::Confirm, "cases", hint, true));
        next.focus = Some(0);
        next.act = Act::Bulk(Bulking::New(Box::new(sifted)));
    }
    lay(model, Overlay::Form(Box::new(next)));
}

fn lines(sifted: &Sifted) -> Vec<String> {
    const NAMED: usize = 6;
    let some = |labels: Vec<&str>| {
        let more = labels.len().saturating_sub(NAMED);
        let mut named: Vec<String> = labels.into_iter().take(NAMED).map(short).collect();
        if more > 0 {
            named.push(format!("{more} more"));
        }
        named.join(", ")
    };
    let mut lines = vec![format!("{}, {}: {}", sifted.scope, sifted.kind, sifted.ask.reason)];
    let taken = sifted.taken.iter().map(|(_, label, _)| label.as_str()).collect();
    lines.push(match sifted.taken.len() {
        0 => "no case is left that could be decided so".to_owned(),
        n => format!("{n} cases: {}", some(taken)),
    });
    let mut reasons: Vec<&str> = sifted.excluded.iter().map(|e| e.why.as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for why in reasons {
        let labels: Vec<&str> = sifted
            .excluded
            .iter()
            .filter(|e| e.why == why)
            .map(|e| e.label.as_str())
            .collect();
        lines.push(format!("{} left out, {why}: {}", labels.len(), some(labels)));
    }
    if sifted.waits {
        lines.push("it waits for another person before it runs".to_owned());
    }
    lines
}

/// The paper that waits for this person, about the case under the cursor first.
pub fn waits_for_me<'m>(model: &'m Model, handover: bool) -> Option<&'m Paper> {
    let me = &model.setup.who;
    let fits = |p: &&'m Paper| {
        (p.kind == PaperKind::Handover) == handover && p.by != *me && p.to.as_ref().is_none_or(|to| to == me)
    };
    let about = |p: &&'m Paper| p.case.is_some() && p.case.as_deref() == model.subject();
    let papers = || model.papers.iter().filter(fits);
    papers().find(about).or_else(|| papers().next())
}

/// Another person's yes or no to what somebody asked for.
pub fn approve(model: &mut Model, yes: bool) {
    let Some(paper) = waits_for_me(model, false).cloned() else {
        return;
    };
    let (word, answer) = if yes {
        ("approve", "approve exactly this")
    } else {
        ("decline", "decline it")
    };
    let title = format!("{word} what {} asks for", short(&paper.by));
    let mut lines = paper.lines();
    lines.push(format!("asked for at {}", time::clock(paper.at)));
    if yes && paper.kind == PaperKind::Decision {
        lines.push(format!("it takes effect at once, as {}'s decision", paper.by));
    }
    let act = if yes {
        Act::Sign(Box::new(paper))
    } else {
        Act::Decline(Box::new(paper))
    };
    let mut form = form("", title, act, Confirm::Yes, answer);
    form.lines = lines;
    let hint = if yes { "a word to go with it" } else { "why not" };
    form.fields.push(field(Asks::Reason, "reason", hint, !yes));
    lay(model, Overlay::Form(Box::new(form)));
}

/// The shift's open list, given away or taken over.
pub fn hand_over(model: &mut Model) {
    if let Some(paper) = waits_for_me(model, true).cloned() {
        let title = format!("take the shift over from {}", short(&paper.by));
        let lines = paper.lines();
        let mut form = form("", title, Act::Sign(Box::new(paper)), Confirm::Yes, "I have read it");
        form.lines = lines;
        form.fields
            .push(field(Asks::Reason, "reason", "a word to go with it", false));
        lay(model, Overlay::Form(Box::new(form)));
        return;
    }
    let mut form = form(
        "",
        "hand the shift over".to_owned(),
        Act::HandOver,
        Confirm::Yes,
        "sign it",
    );
    form.lines = sums(model);
    form.lines
        .push("the list is frozen as it is; whoever takes over signs it too".to_owned());
    form.fields
        .push(field(Asks::To, "to", "who takes over; blank: whoever signs", false));
    form.fields
        .push(field(Asks::Text, "note", "what they should know", false));
    lay(model, Overlay::Form(Box::new(form)));
}

/// The end.
pub fn sign_off(model: &mut Model) {
    let mut form = form(
        "",
        "sign the incident off".to_owned(),
        Act::SignOff,
        Confirm::Yes,
        "read all again and sign",
    );
    form.lines = sums(model);
    form.lines
        .push("every decided case is read again; where anything is not proven it is refused, with the list".to_owned());
    form.presets = vec!["every case is settled".to_owned()];
    form.fields
        .push(field(Asks::Reason, "reason", "a digit, or your own words", true));
    lay(model, Overlay::Form(Box::new(form)));
}

fn sums(model: &Model) -> Vec<String> {
    let Some(counts) = &model.counts else {
        return Vec::new();
    };
    let by_state: Vec<String> = State::ALL
        .into_iter()
        .filter(|s| counts.of(*s) > 0)
        .map(|s| format!("{} {}", counts.of(s), s.words()))
        .collect();
    vec![format!("{} cases = {}", counts.total(), by_state.join(", "))]
}

/// Sends what one of these forms says; `false` where it is another form.
pub fn submit(model: &mut Model, out: &mut Vec<Effect>) -> bool {
    let Ok(until) = submit_until(model) else { return true };
    let Some(form) = model.form_mut() else { return false };
    let own = |asks| form.text(asks).map(str::to_owned);
    let reason = own(Asks::Reason).unwrap_or_default();
    let deed = match form.act.clone() {
        Act::Sift { verb, scope } => {
            let ask = BulkAsk {
                verb,
                reason: reason.clone(),
                reference: own(Asks::Ref),
                to: own(Asks::To),
                evidence: own(Asks::Evidence),
                until,
            };
            form.sent = Some(0);
            form.focus = None;
            model.last_reason = Some(reason);
            out.push(Effect::Sift { scope, ask });
            return true;
        }
        Act::Bulk(bulking) => {
            model.layer = None;
            model.queue.marks.clear();
            model.queue.range = None;
            model.bulk_runs = true;
            model.pending.push((0, "the bulk begins".to_owned()));
            out.push(Effect::Bulk(bulking));
            return true;
        }
        Act::StopBulk => {
            model.layer = None;
            out.push(Effect::StopBulk);
            say(model, "the bulk stops after the case it is at");
            return true;
        }
        Act::Nothing => {
            model.layer = None;
            return true;
        }
        Act::Sign(paper) => Deed::Sign { paper, reason },
        Act::Decline(paper) => Deed::Decline { paper, reason },
        Act::HandOver => Deed::HandOver {
            to: own(Asks::To),
            note: own(Asks::Text).unwrap_or_default(),
        },
        Act::SignOff => Deed::SignOff { reason },
        _ => return false,
    };
    let number = send(model, deed, out);
    if let Some(form) = model.form_mut() {
        form.sent = Some(number);
        form.focus = None;
    }
    true
}

/// What comes in by itself; a message that is about something else is given back.
pub fn take(model: &mut Model, msg: Msg, out: &mut Vec<Effect>) -> Option<Msg> {
    match msg {
        Msg::Papers { waiting, bulks } => (model.papers, model.bulks) = (waiting, bulks),
        Msg::Sifted(answer) => sifted(model, answer),
        Msg::BulkRuns(sums) => {
            model.pending.retain(|(number, _)| *number != 0);
            model.pending.push((0, format!("bulk: {}", sums.words())));
        }
        Msg::BulkEnded(ended) => {
            model.pending.retain(|(number, _)| *number != 0);
            model.bulk_runs = false;
            match ended.map(|bulk| *bulk) {
                Ok((bulk, true)) => say(
                    model,
                    format!("{} cases wait for another person's approval", bulk.sums.total),
                ),
                Ok((bulk, false)) => match bulk.stopped {
                    Some(why) => complain(model, format!("bulk: {}; stopped: {why}; B goes on", bulk.sums.words())),
                    None => say(model, format!("bulk: {}", bulk.sums.words())),
                },
                Err(error) => complain(model, sentence(&error)),
            }
        }
        Msg::Due(labels) => {
            let more = match labels.len() {
                0 | 1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            let first = labels.first().map_or("", String::as_str);
            say(model, format!("it is time: {first}{more} (filter due:yes)"));
            out.push(Effect::Bell);
        }
        other => return Some(other),
    }
    None
}
