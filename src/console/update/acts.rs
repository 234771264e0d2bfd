//! The forms of the acts: what each will do, what it asks for, how it is confirmed. What a filled one sends: `submit`.

use super::{complain, lay, send};
use crate::console::command::can_be_done;
use crate::console::effect::{Deed, Effect, short};
use crate::console::model::Model;
use crate::console::model::case::{Choice, Loaded, Way};
use crate::console::model::input::Input;
use crate::console::model::overlay::{Act, Asks, Confirm, Field, Form, Overlay};
use crate::domain::case::{State, Verb};
use crate::domain::gate::Gate;
use crate::domain::queue::{Course, Decision, EffectLine};
use crate::domain::time;

pub(super) fn field(asks: Asks, name: &'static str, hint: impl Into<String>, required: bool) -> Field {
    Field {
        asks,
        name,
        hint: hint.into(),
        required,
        input: Input::default(),
    }
}

pub(super) fn form(case: &str, title: String, act: Act, confirm: Confirm, yes: &'static str) -> Form {
    Form {
        case: case.to_owned(),
        title,
        act,
        lines: Vec::new(),
        top: 0,
        fields: Vec::new(),
        focus: None,
        presets: Vec::new(),
        confirm,
        yes,
        sent: None,
        problem: None,
    }
}

/// The last four of the order's number: of its trailing digits, where it has some.
pub fn tail(label: &str) -> String {
    let letters: Vec<char> = label.chars().filter(char::is_ascii_alphanumeric).collect();
    let digits = letters.iter().rev().take_while(|c| c.is_ascii_digit()).count();
    let wanted = if digits == 0 { 4 } else { digits.min(4) };
    letters[letters.len().saturating_sub(wanted)..].iter().collect()
}

/// The decision screen of a verb.
pub fn decide(model: &mut Model, choice: &Choice) {
    let Some(loaded) = model.case.current() else { return };
    let found = &loaded.file.found;
    let verb = choice.verb;
    let confirm = match choice.way {
        Way::OneWay => Confirm::Words(format!("{} {}", verb.name(), tail(&found.label))),
        Way::Reversible | Way::Compensable => Confirm::Yes,
    };
    let key = format!("{}-{}", model.setup.session, model.deeds + 1);
    let claim = loaded.file.claim.as_ref();
    let fence = claim.filter(|c| c.by == model.setup.who).map(|c| c.fence);
    // Then it is claimed with the decision: nobody should have to find that out after writing a reason.
    let free = claim.is_none();
    let mut form = form(
        &found.id,
        format!("{} {}", verb.name(), found.label),
        Act::Decide {
            choice: choice.clone(),
            fence,
            key,
        },
        confirm.clone(),
        if free { "claim it and apply" } else { "apply" },
    );
    form.lines = vec![choice.what.clone()];
    form.lines
        .extend((1..).zip(&choice.steps).map(|(n, step)| format!("{n} {step}")));
    if let Some(wanted) = &choice.wanted {
        form.lines
            .push(format!("{} acts outside; what closes it: {wanted}", model.setup.who));
    }
    if !choice.also.is_empty() {
        let also: Vec<String> = choice.also.iter().map(|id| name(model, id)).collect();
        form.lines.push(format!("decides also: {}", also.join(", ")));
    }
    form.lines.push(match (choice.way, &choice.back) {
        (way, Some(back)) => format!("{}: {back}", way.words()),
        (way, None) => way.words().to_owned(),
    });
    form.fields = asks(verb, loaded);
    if let Some(question) = &choice.asks {
        form.lines.push(format!("first: {question}"));
        form.fields
            .push(field(Asks::Evidence, "evidence", "the answer, and whose it is", true));
    }
    form.fields
        .push(field(Asks::Reason, "reason", "a digit, or your own words", true));
    if let Confirm::Words(words) = &confirm {
        form.fields
            .push(field(Asks::Confirm, "confirm", format!("type: {words}"), true));
    }
    form.presets = model.setup.reasons.of(verb.name());
    // What was decided before, and did not hold or was restored over: its reason is at hand.
    form.presets
        .extend(loaded.file.decision.as_ref().map(|d| d.reason.clone()));
    form.focus = form.blank().filter(|i| form.fields[*i].asks != Asks::Reason);
    // A new decision must not be taken for the one before, should its form never be sent.
    model.deeds += 1;
    lay(model, Overlay::Form(Box::new(form)));
}

/// What a verb needs to know beside the reason.
pub(super) fn asks(verb: Verb, loaded: &Loaded) -> Vec<Field> {
    let refs = || {
        let mut columns: Vec<&str> = loaded
            .file
            .found
            .family
            .iter()
            .flat_map(|row| &row.refs)
            .filter(|r| loaded.file.found.lacks(r))
            .map(|r| r.column.as_str())
            .collect();
        columns.dedup();
        columns
    };
    match verb {
        Verb::Relink => {
            let columns = refs();
            let mut reference = field(
                Asks::Ref,
                "ref",
                format!("the referring column: {}", columns.join(", ")),
                true,
            );
            if let [one] = columns.as_slice() {
                reference.input.set(*one);
            }
            let mut to = field(Asks::To, "to", "key of the row it shall refer to", true);
            if let ([_], [fit]) = (columns.as_slice(), loaded.file.found.fits.as_slice())
                && let [only] = fit.to.as_slice()
            {
                to.input.set(only);
            }
            vec![reference, to]
        }
        Verb::Supersede => vec![field(Asks::To, "to", "the order that redid it: key or case", true)],
        Verb::Complete => vec![field(
            Asks::Evidence,
            "evidence",
            "what shows that it is done: ticket, screen, answer",
            true,
        )],
        Verb::Escalate => vec![
            field(Asks::To, "to", "who decides", true),
            field(
                Asks::Until,
                "until",
                "by when: 2h, 15:30, or 2026-11-22T15:30:00Z",
                true,
            ),
        ],
        Verb::Park => vec![field(
            Asks::Until,
            "until",
            "2h, 15:30, or a full time; blank: until an answer",
            false,
        )],
        Verb::Reapply | Verb::Resubmit | Verb::Cancel | Verb::Keep => Vec::new(),
    }
}

/// A time as people type it: a span from now, a time of day (the next one), or RFC 3339.
pub fn when(text: &str, now: i64) -> Option<i64> {
    const SECOND: i64 = 1_000_000;
    const DAY: i64 = 86_400 * SECOND;
    let text = text.trim().trim_start_matches('+');
    if let Some(at) = time::parse(text) {
        return Some(at);
    }
    if let Some((hours, minutes)) = text.trim_end_matches(['Z', 'z']).split_once(':') {
        let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
        if !(0..24).contains(&hours) || !(0..60).contains(&minutes) {
            return None;
        }
        let at = now - now.rem_euclid(DAY) + (hours * 3600 + minutes * 60) * SECOND;
        return Some(if at <= now { at + DAY } else { at });
    }
    let unit = match text.chars().last()? {
        'm' => 60 * SECOND,
        'h' => 3600 * SECOND,
        'd' => DAY,
        _ => return None,
    };
    let count: i64 = text[..text.len() - 1].trim().parse().ok()?;
    (count > 0)
        .then(|| count.checked_mul(unit).and_then(|span| now.checked_add(span)))
        .flatten()
}

/// The case of an act: loaded, or a word why it cannot be asked yet.
pub(super) fn subject(model: &mut Model) -> Option<(String, String)> {
    let id = model.subject()?.to_owned();
    if let Some(loaded) = model.case.current().filter(|l| l.file.found.id == id) {
        return Some((id, loaded.file.found.label.clone()));
    }
    complain(model, "the case is still being read");
    None
}

/// A note.
pub fn note(model: &mut Model) {
    let Some((id, label)) = subject(model) else { return };
    let mut form = form(&id, format!("note on {label}"), Act::Note, Confirm::Enter, "save");
    form.fields.push(field(Asks::Text, "note", "", true));
    form.focus = Some(0);
    lay(model, Overlay::Form(Box::new(form)));
}

/// Shows a masked field for a while.
pub fn unmask(model: &mut Model) {
    let Some((id, label)) = subject(model) else { return };
    let columns = model.masked_here();
    let Some((entity, column)) = columns.first() else {
        return;
    };
    let names: Vec<String> = columns.iter().map(|(e, c)| format!("{e}.{c}")).collect();
    let first = format!("{entity}.{column}");
    let mut form = form(
        &id,
        format!("show a masked field of {label}"),
        Act::Unmask(columns),
        Confirm::Yes,
        "show it for a minute",
    );
    form.lines = vec![
        format!("masked here: {}", names.join(", ")),
        "who sees it, and why, goes into the audit trail; it is masked again after a minute".to_owned(),
    ];
    let mut which = field(Asks::Column, "column", "entity.column", true);
    which.input = Input::new(first);
    form.fields.push(which);
    form.fields
        .push(field(Asks::Reason, "reason", "why you must see it", true));
    form.focus = Some(1);
    lay(model, Overlay::Form(Box::new(form)));
}

/// Takes the last decision back.
pub fn undo(model: &mut Model, out: &mut Vec<Effect>) {
    let Some((id, label)) = subject(model) else { return };
    let Some(loaded) = model.case.current() else { return };
    let file = &loaded.file;
    let Some(decision) = file.decision.as_ref().filter(|_| super::commands::can_undo(file.state)) else {
        complain(model, format!("{label} has no decision to take back"));
        return;
    };
    // What has not left yet is stopped at once: there is no time for a form.
    let waits = |e: &EffectLine| e.state == Course::Queued && !e.undoes && e.leaves_at > model.now;
    if file.effect.as_ref().is_some_and(waits) {
        let deed = Deed::Undo {
            case: id,
            reason: "taken back before it left".to_owned(),
        };
        send(model, deed, out);
        return;
    }
    let back = file.effect.as_ref().filter(|e| e.state == Course::Done && !e.undoes);
    let mut form = form(
        &id,
        format!("take back the decision on {label}"),
        Act::Undo,
        Confirm::Yes,
        "take it back",
    );
    form.lines = vec![
        decided(decision),
        format!("the case is open again; it is {} now", file.state.words()),
    ];
    if let Some(effect) = back {
        form.lines.push(match effect.does.as_str() {
            "sql" => "first the rows are written back, as long as every one stands as it was written".to_owned(),
            _ => "it has left, and nothing takes it back: this will be refused".to_owned(),
        });
    }
    form.presets = model.setup.reasons.of("undo");
    form.fields
        .push(field(Asks::Reason, "reason", "a digit, or your own words", true));
    lay(model, Overlay::Form(Box::new(form)));
}

/// Opens a decided or settled case again.
pub fn reopen(model: &mut Model) {
    let Some((id, label)) = subject(model) else { return };
    let Some(loaded) = model.case.current() else { return };
    let file = &loaded.file;
    let mut form = form(
        &id,
        format!("open {label} again"),
        Act::Reopen,
        Confirm::Yes,
        "open it again",
    );
    form.lines = file.decision.iter().map(decided).collect();
    form.lines.push(format!(
        "it is {} now, and will be open; what was done is not taken back by this",
        file.state.words()
    ));
    form.presets = model.setup.reasons.of("reopen");
    form.fields
        .push(field(Asks::Reason, "reason", "a digit, or your own words", true));
    lay(model, Overlay::Form(Box::new(form)));
}

/// A decision in a line.
fn decided(decision: &Decision) -> String {
    format!(
        "{} by {} at {}: {}",
        decision.verb.name(),
        decision.by,
        time::clock(decision.at),
        decision.reason
    )
}

/// A to-do is done, or the answer that a case waits for is there.
pub fn done(model: &mut Model) {
    let Some((id, label)) = subject(model) else { return };
    let Some(loaded) = model.case.current() else { return };
    let file = &loaded.file;
    if !can_be_done(file.state) {
        complain(
            model,
            format!("{label} is {}: nothing of it is to do", file.state.words()),
        );
        return;
    }
    let decision = file.decision.as_ref();
    if file.state != State::ToDo {
        let mut form = form(
            &id,
            format!("{label} has its answer"),
            Act::Done,
            Confirm::Yes,
            "that is the answer",
        );
        form.lines = decision.map(decided).into_iter().collect();
        form.lines
            .push("the case is open again; the answer stands among its notes".to_owned());
        form.fields
            .push(field(Asks::Evidence, "answer", "what was answered, and by whom", true));
        form.focus = Some(0);
        lay(model, Overlay::Form(Box::new(form)));
        return;
    }
    let steps = decision.map(|d| d.steps.clone()).unwrap_or_default();
    let wanted = decision
        .and_then(|d| d.wanted.clone())
        .unwrap_or_else(|| "what shows that it is done".to_owned());
    let mut form = form(&id, format!("{label} is done"), Act::Done, Confirm::Yes, "it is done");
    form.lines = steps;
    form.lines
        .push("it counts as proven only when the restored database shows it: P reads again".to_owned());
    form.fields.push(field(Asks::Evidence, "evidence", wanted, true));
    form.focus = Some(0);
    lay(model, Overlay::Form(Box::new(form)));
}

/// Reads the restored database again.
pub fn prove(model: &mut Model) {
    let ids: Vec<String> = if !model.in_case && !model.queue.marks.is_empty() {
        model.queue.marks.iter().map(ToString::to_string).collect()
    } else {
        model.subject().map(str::to_owned).into_iter().collect()
    };
    let what = match ids.as_slice() {
        [one] => model
            .queue
            .table
            .by_id(one)
            .map_or_else(|| one.clone(), |r| r.label.to_string()),
        many => format!("{} cases", many.len()),
    };
    let mut form = form("", format!("prove {what}"), Act::Prove(ids), Confirm::Yes, "read again");
    form.lines = vec![
        "reads the rows of decided cases in the restored database again".to_owned(),
        "what holds is proven; what does not is open again, to its decider first".to_owned(),
    ];
    lay(model, Overlay::Form(Box::new(form)));
}

/// A field that is noise, or turned out to be none.
pub fn ignore(model: &mut Model) {
    let Some(group) = model.diff.group() else { return };
    let key = group.key.clone();
    let Some(column) = key.field.clone() else { return };
    let name = short(&format!("{}.{column}", key.entity));
    let of_column = model.diff.groups.iter().flatten();
    let rows: u64 = of_column
        .filter(|g| g.key.entity == key.entity && g.key.field == key.field)
        .map(|g| g.rows)
        .sum();
    let ignored = model.diff.ignored(&key).cloned();
    let again = ignored.is_some();
    let (title, yes) = if again {
        (format!("compare {name} again"), "compare it again")
    } else {
        (format!("ignore {name} in this incident"), "ignore it")
    };
    let act = Act::Ignore {
        entity: key.entity,
        column,
        again,
    };
    let mut form = form("", title, act, Confirm::Yes, yes);
    if let Some(ignored) = ignored {
        form.lines = vec![
            format!("ignored: {}", ignored.why),
            "from the next scan on it is compared again; cases that rest on it open again".to_owned(),
        ];
        form.presets = ["it matters after all", "the wrong column"].map(str::to_owned).to_vec();
    } else {
        form.lines = vec![
            format!("{rows} rows of cases that are still work differ in it"),
            "from the next scan on it is not compared: cases that differ in nothing else go, undecided".to_owned(),
            "proofs do not look at it either; the same key takes it back; the configuration stays as it is".to_owned(),
        ];
        form.presets = [
            "written by a trigger or a batch, it says nothing of the order",
            "the log carries less of it than the database",
            "agreed with its owner: no harm in any value",
        ]
        .map(str::to_owned)
        .to_vec();
    }
    form.fields
        .push(field(Asks::Reason, "reason", "a digit, or your own words", true));
    lay(model, Overlay::Form(Box::new(form)));
}

/// A scan although the gate is red.
pub fn scan_despite(model: &mut Model) {
    let Some(red) = model.gate.as_ref().and_then(Gate::red) else {
        return;
    };
    let mut form = form(
        "",
        "scan although the gate is red".to_owned(),
        Act::ScanDespite,
        Confirm::Yes,
        "scan all the same",
    );
    form.lines = vec![format!("{}: {}", red.check, red.what)];
    form.lines.extend(red.cure.as_ref().map(|cure| format!("cure: {cure}")));
    form.lines
        .push("a scan has begun that asks the gate again, and stops there while it is red".to_owned());
    form.lines
        .push("what is found in the wrong database, or at the wrong point, opens cases that are none".to_owned());
    form.presets = [
        "the check is wrong: the database is the right one, at T",
        "to see what would be lost; it is restored again after that",
    ]
    .map(str::to_owned)
    .to_vec();
    form.fields
        .push(field(Asks::Reason, "reason", "a digit, or your own words", true));
    lay(model, Overlay::Form(Box::new(form)));
}

/// The end, after a word where claims are held.
pub fn quit(model: &mut Model, out: &mut Vec<Effect>) {
    let ids: Vec<String> = model.held.iter().cloned().collect();
    if ids.is_empty() && model.pending.is_empty() {
        model.quitting = true;
        out.push(Effect::Quit { give_back: ids });
        return;
    }
    let mut form = form(
        "",
        "end restitch".to_owned(),
        Act::Quit(ids.clone()),
        Confirm::Yes,
        "end",
    );
    for (_, words) in &model.pending {
        form.lines.push(format!("still {words}"));
    }
    if !ids.is_empty() {
        form.lines.push(format!("{} claims are given back:", ids.len()));
        form.lines.extend(names(model, &ids));
    }
    lay(model, Overlay::Form(Box::new(form)));
}

pub(super) fn name(model: &Model, id: &str) -> String {
    model
        .queue
        .table
        .by_id(id)
        .map_or_else(|| short(id), |r| short(&r.label))
}

pub(super) fn names(model: &Model, ids: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ids.iter().take(5).map(|id| name(model, id)).collect();
    if ids.len() > 5 {
        names.push(format!("and {} more", ids.len() - 5));
    }
    vec![names.join(", ")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture::NOW;

    #[test]
    fn reads_times_as_people_type_them() {
        let text = |at: Option<i64>| at.map(time::format).unwrap_or_default();
        assert_eq!(text(when("2h", NOW)), "2026-11-22T16:41:07Z");
        assert_eq!(text(when("+90m", NOW)), "2026-11-22T16:11:07Z");
        assert_eq!(text(when("15:30", NOW)), "2026-11-22T15:30:00Z");
        assert_eq!(text(when("09:00Z", NOW)), "2026-11-23T09:00:00Z");
        assert_eq!(text(when("2026-11-22T15:30:00+01:00", NOW)), "2026-11-22T14:30:00Z");
        for wrong in ["", "soon", "25:00", "0h", "-2h", "9999999999999999d", "é"] {
            assert_eq!(when(wrong, NOW), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_last_four_are_what_people_say() {
        assert_eq!(tail("SFO-10012345"), "2345");
        assert_eq!(tail("SFM-12"), "12");
        assert_eq!(tail("12345678901234567"), "4567");
        assert_eq!(tail("ABCDEF"), "CDEF");
        assert_eq!(tail(""), "");
    }
}
