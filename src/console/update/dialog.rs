//! Keys while a dialog lies over the view. A key given before the dialog could be read does nothing.

use super::commands::{filter, run};
use super::{acts, complain, submit, together};
use crate::console::command;
use crate::console::effect::Effect;
use crate::console::model::Model;
use crate::console::model::input::{Input, Typed};
use crate::console::model::overlay::{Asks, Confirm, Form, Overlay};
use crate::console::model::query::Query;
use crate::domain::case::Verb;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// One key.
pub fn key(model: &mut Model, key: KeyEvent, at: i64, out: &mut Vec<Effect>) {
    let Some(layer) = model.layer.as_mut() else { return };
    let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    // Leaving changes nothing and is always heard.
    if key.code == KeyCode::Esc || ctrl_c {
        leave(model, out);
        return;
    }
    if !layer.takes(at)
        || (layer.overlay.is_guarded() && key.kind == KeyEventKind::Repeat && key.code == KeyCode::Char('y'))
    {
        layer.early = true;
        return;
    }
    layer.early = false;
    match &mut layer.overlay {
        Overlay::Menu(_) => menu(model, key),
        Overlay::Form(_) => form(model, key, out),
        Overlay::Filter(_) => typed_filter(model, key, out),
        Overlay::Palette(_) => palette(model, key, out),
        Overlay::Help { top } => match key.code {
            KeyCode::Char('j') | KeyCode::Down => *top = top.saturating_add(1),
            KeyCode::Char('k') | KeyCode::Up => *top = top.saturating_sub(1),
            KeyCode::Char(' ') | KeyCode::PageDown => *top = top.saturating_add(10),
            KeyCode::PageUp => *top = top.saturating_sub(10),
            KeyCode::Char('?' | 'q') | KeyCode::Enter => model.layer = None,
            _ => {}
        },
        Overlay::Message(_) => {
            if matches!(key.code, KeyCode::Enter | KeyCode::Char('q')) {
                model.layer = None;
            }
        }
    }
}

fn leave(model: &mut Model, out: &mut Vec<Effect>) {
    match model.layer.take().map(|l| l.overlay) {
        Some(Overlay::Filter(b)) => filter(model, b.before, out),
        Some(Overlay::Form(form)) if form.sent.is_some() => {
            complain(model, "it was sent already: the answer is still to come");
        }
        _ => {}
    }
}

fn menu(model: &mut Model, key: KeyEvent) {
    let Some(layer) = model.layer.as_mut() else { return };
    let Overlay::Menu(menu) = &mut layer.overlay else {
        return;
    };
    let verb = match key.code {
        KeyCode::Down => {
            menu.at = (menu.at + 1) % Verb::ALL.len();
            return;
        }
        KeyCode::Up => {
            menu.at = (menu.at + Verb::ALL.len() - 1) % Verb::ALL.len();
            return;
        }
        KeyCode::Enter => Verb::ALL.get(menu.at).copied(),
        KeyCode::Char(c) => Verb::ALL.into_iter().find(|v| v.letter() == c),
        _ => None,
    };
    let Some(verb) = verb else { return };
    menu.at = Verb::ALL.iter().position(|v| *v == verb).unwrap_or(0);
    let Some(loaded) = model.case.current() else {
        menu.refused = Some("the case is still being read".to_owned());
        return;
    };
    match loaded.choices.iter().find(|c| c.verb == verb) {
        // Which of many cases cannot be decided so is looked up next, each with its reason.
        Some(choice) if menu.together => {
            let choice = choice.clone();
            together::ask(model, &choice);
        }
        None => menu.refused = Some(format!("{} is not offered here", verb.name())),
        Some(choice) => {
            if let Some(why) = &choice.refused {
                menu.refused = Some(format!("no {}: {why}", verb.name()));
            } else {
                let choice = choice.clone();
                acts::decide(model, &choice);
            }
        }
    }
}

fn form(model: &mut Model, key: KeyEvent, out: &mut Vec<Effect>) {
    let last = model.last_reason.clone();
    let Some(form) = model.form_mut() else { return };
    if form.sent.is_some() {
        return;
    }
    match key.code {
        KeyCode::Tab | KeyCode::Down => return turn(form, true),
        KeyCode::BackTab | KeyCode::Up => return turn(form, false),
        KeyCode::PageDown => {
            form.top = (form.top + 5).min(form.lines.len());
            return;
        }
        KeyCode::PageUp => {
            form.top = form.top.saturating_sub(5);
            return;
        }
        _ => {}
    }
    if let Some(focus) = form.focus {
        if key.code == KeyCode::Enter {
            return entered(model, focus, out);
        }
        // A digit in an empty reason picks one, as it does when no field has the keys.
        let Some(field) = form.fields.get_mut(focus) else {
            return;
        };
        let picks = field.asks == Asks::Reason && field.input.text().is_empty();
        if let (true, KeyCode::Char(c)) = (picks, key.code)
            && pick(form, c, last.as_ref())
        {
            form.focus = form.fields.iter().position(|f| f.asks == Asks::Confirm);
            return;
        }
        if let Some(field) = form.fields.get_mut(focus)
            && field.input.key(key) == Typed::Yes
        {
            form.problem = None;
        }
        return;
    }
    match key.code {
        KeyCode::Char('y') if form.confirm == Confirm::Yes => submit::submit(model, out),
        KeyCode::Char(c) if pick(form, c, last.as_ref()) => {
            form.focus = form.fields.iter().position(|f| f.asks == Asks::Confirm);
        }
        KeyCode::Enter => match form.blank() {
            Some(blank) => form.focus = Some(blank),
            None => form.problem = Some(form.how()),
        },
        _ => {}
    }
}

impl Form {
    /// How it is confirmed, in words.
    pub fn how(&self) -> String {
        match &self.confirm {
            Confirm::Yes => format!("y: {}", self.yes),
            Confirm::Words(words) => format!("type {words:?} and press enter"),
            Confirm::Enter => format!("enter: {}", self.yes),
        }
    }
}

/// A digit is a reason; `0` the last one given.
fn pick(form: &mut Form, c: char, last: Option<&String>) -> bool {
    let reason = match c {
        '0' => last,
        '1'..='9' => c.to_digit(10).and_then(|d| form.presets.get(d as usize - 1)),
        _ => None,
    };
    let Some(reason) = reason.cloned() else { return false };
    let Some(field) = form.fields.iter_mut().find(|f| f.asks == Asks::Reason) else {
        return false;
    };
    field.input.set(reason);
    form.problem = None;
    true
}

/// To the next or previous field; past the last one keys are answers again.
fn turn(form: &mut Form, forward: bool) {
    let count = form.fields.len();
    form.focus = match (form.focus, forward) {
        _ if count == 0 => None,
        (None, true) => Some(0),
        (None, false) => Some(count - 1),
        (Some(at), true) => (at + 1 < count).then_some(at + 1),
        (Some(at), false) => at.checked_sub(1),
    };
}

/// Enter in a field: on to what is missing, else done with the fields.
fn entered(model: &mut Model, focus: usize, out: &mut Vec<Effect>) {
    let Some(form) = model.form_mut() else { return };
    let Some(field) = form.fields.get(focus) else { return };
    let typed = field.input.text().trim().to_owned();
    if field.asks == Asks::Confirm {
        match &form.confirm {
            Confirm::Words(words) if *words == typed => submit::submit(model, out),
            Confirm::Words(words) => form.problem = Some(format!("type {words:?} exactly")),
            _ => {}
        }
        return;
    }
    if field.required && field.input.is_blank() {
        form.problem = Some(format!("{} is missing", field.name));
        return;
    }
    if field.asks == Asks::Until && !typed.is_empty() {
        let now = model.now;
        let Some(form) = model.form_mut() else { return };
        if acts::when(&typed, now).is_none() {
            form.problem = Some("until: 2h, 15:30, or 2026-11-22T15:30:00Z".to_owned());
            return;
        }
    }
    let Some(form) = model.form_mut() else { return };
    form.problem = None;
    match form
        .blank()
        .filter(|i| form.fields[*i].asks != Asks::Reason || form.presets.is_empty())
    {
        Some(blank) => form.focus = Some(blank),
        None if form.confirm == Confirm::Enter => submit::submit(model, out),
        // With a reason still to choose, digits choose; with none missing, what confirms has the keys.
        None if form.blank().is_some() => form.focus = None,
        None => form.focus = form.fields.iter().position(|f| f.asks == Asks::Confirm),
    }
}

fn typed_filter(model: &mut Model, key: KeyEvent, out: &mut Vec<Effect>) {
    let Some(layer) = model.layer.as_mut() else { return };
    let Overlay::Filter(filter_box) = &mut layer.overlay else {
        return;
    };
    if key.code == KeyCode::Enter {
        if filter_box.problem.is_none() {
            model.layer = None;
        }
        return;
    }
    if filter_box.input.key(key) == Typed::Yes {
        apply_filter(model, out);
    }
}

fn apply_filter(model: &mut Model, out: &mut Vec<Effect>) {
    let Some(layer) = model.layer.as_mut() else { return };
    let Overlay::Filter(filter_box) = &mut layer.overlay else {
        return;
    };
    match Query::parse(filter_box.input.text()) {
        Ok(query) => {
            filter_box.problem = None;
            if query != model.queue.query {
                filter(model, query, out);
            }
        }
        Err(problem) => filter_box.problem = Some(problem),
    }
}

fn palette(model: &mut Model, key: KeyEvent, out: &mut Vec<Effect>) {
    let Some(layer) = model.layer.as_mut() else { return };
    let Overlay::Palette(palette) = &mut layer.overlay else {
        return;
    };
    match key.code {
        KeyCode::Enter => {
            let (typed, at) = (palette.input.text().to_owned(), palette.at);
            let Some(command) = command::find(model, &typed).get(at).copied() else {
                return;
            };
            model.layer = None;
            run(model, command, out);
        }
        KeyCode::Down | KeyCode::Tab => {
            let typed = palette.input.text().to_owned();
            let count = command::find(model, &typed).len();
            if let Some(Overlay::Palette(palette)) = model.layer.as_mut().map(|l| &mut l.overlay) {
                palette.at = (palette.at + 1).min(count.saturating_sub(1));
            }
        }
        KeyCode::Up | KeyCode::BackTab => palette.at = palette.at.saturating_sub(1),
        _ => {
            if palette.input.key(key) == Typed::Yes {
                palette.at = 0;
            }
        }
    }
}

/// Pasted text goes where text is typed, and nowhere else; never into the words that confirm.
pub fn paste(model: &mut Model, text: &str, out: &mut Vec<Effect>) {
    let mut into: Option<&mut Input> = None;
    match model.layer.as_mut().map(|l| &mut l.overlay) {
        Some(Overlay::Form(form)) if form.sent.is_none() => {
            let field = form.focus.and_then(|at| form.fields.get_mut(at));
            into = field.filter(|f| f.asks != Asks::Confirm).map(|f| &mut f.input);
        }
        Some(Overlay::Filter(b)) => {
            b.input.paste(text);
            apply_filter(model, out);
            return;
        }
        Some(Overlay::Palette(p)) => into = Some(&mut p.input),
        _ => {}
    }
    match into {
        Some(input) => input.paste(text),
        None => complain(model, "pasted text is ignored here: it never decides anything"),
    }
}
