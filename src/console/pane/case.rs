//! The case: what happened, and how do I know?

mod family;

use super::{timeline, value};
use crate::console::model::case::Loaded;
use crate::console::model::diff::Times;
use crate::console::model::{Feed, Model};
use crate::console::view::layout;
use crate::console::widget::{Pen, Strip};
use crate::domain::case::{Happened, State};
use crate::domain::finding::{Evidence, Kind};
use crate::domain::queue::Course;
use crate::domain::time;
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;
use serde_json::Value as Json;

/// Draws the case that is open, or beside the list; how much more there is stands on the rule below it.
pub fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect, below: Rect) {
    if area.is_empty() {
        return;
    }
    let lines = lines(model, usize::from(area.width));
    let last = lines.len().saturating_sub(usize::from(area.height));
    let top = model.case.top.min(last);
    for (row, line) in lines.iter().skip(top).take(usize::from(area.height)).enumerate() {
        pen.strip(area, row, line);
    }
    if top < last {
        let more = Strip::new().with(
            Tone::Accent,
            safe!(" {}: j ", value::many((last - top) as u64, "more line", "more lines")),
        );
        let place = if below.is_empty() {
            Rect {
                y: area.bottom() - 1,
                height: 1,
                ..area
            }
        } else {
            below
        };
        let width = u16::try_from(more.width()).unwrap_or(u16::MAX).min(place.width);
        pen.strip(
            Rect {
                x: place.right() - width,
                width,
                ..place
            },
            0,
            &more,
        );
    }
}

/// How many lines the case has at the size it is shown.
pub fn height(model: &Model) -> usize {
    lines(model, usize::from(layout::areas(model).case.width)).len()
}

/// The case as lines of at most `width` cells.
pub fn lines(model: &Model, width: usize) -> Vec<Strip<'static>> {
    let Some(id) = model.case.id.as_deref() else {
        return vec![Strip::new().ours(Tone::Dim, "no case")];
    };
    if let Some((_, why)) = model.dead.iter().find(|(feed, _)| *feed == Feed::Case) {
        let why = safe!("reading the case stopped, ctrl-r starts it again: {}", Safe::of(why));
        return vec![Strip::new().with(Tone::Bad, why)];
    }
    let Some(loaded) = model.case.current() else {
        let words = if model.case.missing {
            "the ledger has no case "
        } else {
            "reading "
        };
        return vec![
            Strip::new()
                .ours(Tone::Dim, words)
                .with(Tone::Dim, Safe::id(id).into_owned()),
        ];
    };
    let mut page = Page {
        model,
        loaded,
        width,
        lines: Vec::new(),
    };
    page.head();
    if model.case.events {
        page.events();
    } else {
        page.family();
        page.outside();
        page.order_findings();
        page.asked();
        page.decision();
        page.notes();
    }
    page.lines
}

/// Lines being made.
struct Page<'m> {
    model: &'m Model,
    loaded: &'m Loaded,
    width: usize,
    lines: Vec<Strip<'static>>,
}

impl Page<'_> {
    fn put(&mut self, line: Strip<'_>) {
        self.lines.push(line.cut(self.width).into_owned());
    }

    /// A name and a text that goes on below itself.
    fn say(&mut self, name: &'static str, tone: Tone, text: &Safe<'_>) {
        let indent = 10;
        for (i, part) in text.wrap(self.width.saturating_sub(indent + 1)).into_iter().enumerate() {
            let name = if i == 0 { name } else { "" };
            self.put(
                Strip::new()
                    .ours(Tone::Text, " ")
                    .with(Tone::Dim, Safe::ours(name).pad(indent))
                    .with(tone, part),
            );
        }
    }

    /// A value, masked where its column is and nobody unmasked it.
    fn of_column(&self, entity: &str, column: &str, value: &Json) -> Safe<'static> {
        if self.model.masks(entity, column) && !value.is_null() {
            Safe::masked()
        } else {
            value::text(value)
        }
    }

    fn head(&mut self) {
        let file = &self.loaded.file;
        let found = &file.found;
        let mut title = Strip::new()
            .ours(Tone::Text, " ")
            .with(Tone::Heading, Safe::id(&found.label))
            .ours(Tone::Text, "  ")
            .with(Tone::Text, Safe::of(&found.action));
        for (show, column) in found.show.iter().zip(&self.model.setup.show) {
            let shown = if self.model.masks("order", column) {
                Safe::masked()
            } else {
                Safe::of(show)
            };
            title = title.ours(Tone::Text, "  ").with(Tone::Text, shown);
        }
        title = title.ours(Tone::Text, "  ").with(Tone::Dim, Safe::id(&found.id));
        let holder = self.holder();
        self.put(title.beside(holder.ours(Tone::Text, " "), self.width));

        let mut what = Strip::new().ours(Tone::Text, " ");
        if file.state != State::Open {
            what = what.with(state_tone(file.state), safe!("{}: ", file.state.words()));
        }
        if file.disproven {
            what = what.ours(Tone::Bad, "proof failed, open again: ");
        }
        what.add(Tone::Text, kinds(&found.kinds()));
        let undone = found.findings.iter().filter(|f| f.undone).count();
        if undone > 0 {
            what = what.with(
                Tone::Warn,
                safe!("  ({} of {} undone on purpose)", undone, found.findings.len()),
            );
        }
        let since = found.findings.iter().filter(|f| f.since_opening).count();
        if since > 0 {
            what = what.with(
                Tone::Accent,
                safe!("  ({} of {} moved since the opening)", since, found.findings.len()),
            );
        }
        let mut waits = Strip::new();
        if let Some(first) = found.blocked_by.first() {
            waits = waits.with(Tone::Warn, safe!("waits for {}", self.name(first)));
            if found.blocked_by.len() > 1 {
                waits = waits.with(Tone::Warn, safe!(" and {} more", found.blocked_by.len() - 1));
            }
        }
        match file.waited_for_by.as_slice() {
            [] => {}
            [(_, one)] => {
                let comma = if waits.width() > 0 { ", " } else { "" };
                waits = waits
                    .ours(Tone::Text, comma)
                    .with(Tone::Text, safe!("{} waits for it", Safe::id(one)));
            }
            many => {
                let comma = if waits.width() > 0 { ", " } else { "" };
                waits = waits
                    .ours(Tone::Text, comma)
                    .with(Tone::Text, safe!("{} wait for it", many.len()));
            }
        }
        self.put(what.beside(waits.ours(Tone::Text, " "), self.width));

        if let Some(at) = found.dies_at.as_deref() {
            let at = time::parse(at).map_or_else(
                || Safe::of(at).into_owned(),
                |at| value::instant(at, Some(self.model.now)),
            );
            self.say(
                "hold",
                Tone::Loud,
                &safe!("loss possible from {}: held, and not rescued", at),
            );
        }
        if let Some(advice) = &found.advice {
            self.say(
                "advice",
                Tone::Accent,
                &safe!("{}: {}", advice.verb.name(), Safe::of(&advice.why)),
            );
        }
        self.log_line();
    }

    /// Who holds it, and who else has it open.
    fn holder(&self) -> Strip<'static> {
        let (file, me) = (&self.loaded.file, &self.model.setup.who);
        let found = &file.found;
        let holder = match &file.claim {
            None => Strip::new().ours(Tone::Dim, "nobody holds it"),
            Some(claim) if claim.by == *me => Strip::new().with(
                Tone::Mine,
                if found.blocked_by.is_empty() {
                    Safe::ours("yours")
                } else {
                    safe!("yours (chain of {})", found.blocked_by.len() + 1)
                },
            ),
            Some(claim) => Strip::new().with(Tone::Held, safe!("{} holds it", Safe::id(&claim.by))),
        };
        let others = super::queue::others_on(self.model, &found.id, file.claim.as_ref());
        if others.is_empty() {
            holder
        } else {
            holder.with(Tone::Held, safe!(", {}", super::queue::on_it(&others)))
        }
    }

    fn name(&self, id: &str) -> Safe<'static> {
        let label = self.model.queue.table.by_id(id).map(|r| &*r.label);
        Safe::id(label.unwrap_or(id)).into_owned()
    }

    fn log_line(&mut self) {
        let Some(span) = self.model.setup.span() else { return };
        let mut times = Times::new(span);
        for (event, _) in self.all_events() {
            times.add(event.ts.as_deref().and_then(time::parse));
        }
        let line = timeline::strip(&self.model.setup, &times, self.width.saturating_sub(12));
        let name = Strip::new()
            .ours(Tone::Text, " ")
            .with(Tone::Dim, Safe::ours("log").pad(10));
        let line = line
            .pieces()
            .iter()
            .fold(name, |strip, (text, tone)| strip.with(*tone, text.clone()));
        self.put(line);
        self.put(Strip::new());
    }

    /// The distinct events behind the case, in the order of their times, with what each says.
    fn all_events(&self) -> Vec<(&Evidence, Vec<String>)> {
        let found = &self.loaded.file.found;
        let mut events: Vec<(&Evidence, Vec<String>)> = Vec::new();
        let mut add = |event, says: Option<String>| {
            let at = events.iter().position(|(e, _)| *e == event).unwrap_or_else(|| {
                events.push((event, Vec::new()));
                events.len() - 1
            });
            if let Some(says) = says.filter(|s| !events[at].1.contains(s)) {
                events[at].1.push(says);
            }
        };
        for row in &found.family {
            for field in &row.fields {
                let (Some(by), Some(log)) = (&field.by, &field.log) else {
                    continue;
                };
                let shown = self.of_column(&row.entity, &field.name, log);
                add(
                    by,
                    Some(format!("{} {} {}={}", row.entity, row.key, field.name, shown.as_str())),
                );
            }
        }
        for finding in &found.findings {
            for event in &finding.evidence {
                let says = match finding.kind {
                    Kind::Undeleted => Some(format!("{} {} deleted", finding.entity, finding.key)),
                    _ => None,
                };
                add(event, says);
            }
        }
        events.sort_by(|(a, _), (b, _)| (&a.ts, &a.source, &a.position).cmp(&(&b.ts, &b.source, &b.position)));
        events
    }

    fn events(&mut self) {
        let events: Vec<(Evidence, Vec<String>)> = self
            .all_events()
            .into_iter()
            .map(|(e, says)| (e.clone(), says))
            .collect();
        self.put(Strip::new().with(
            Tone::Heading,
            safe!(" {} events stand behind the values shown, first to last", events.len()),
        ));
        for (event, says) in events {
            self.put(
                Strip::new()
                    .ours(Tone::Text, " ")
                    .with(Tone::Text, value::evidence(&event, self.model.setup.restored_to)),
            );
            let text = if says.is_empty() {
                "its values were overwritten later".to_owned()
            } else {
                says.join("  ")
            };
            for part in Safe::of(&text).wrap(self.width.saturating_sub(5)) {
                self.put(Strip::new().ours(Tone::Text, "    ").with(Tone::Dim, part));
            }
        }
        self.put(Strip::new().ours(
            Tone::Dim,
            " events whose values were all overwritten later are in the log, not here",
        ));
    }

    /// What happened in other systems since T: `billing.activate DONE 14:08:59Z   mail.confirm UNKNOWN`.
    fn outside(&mut self) {
        let loaded = self.loaded;
        let mut name = "outside since T";
        let mut line = Strip::new();
        let indent = 19;
        for effect in &loaded.file.found.outside {
            let (tone, word) = match effect.state {
                Happened::Done => (Tone::Good, "DONE"),
                Happened::None => (Tone::Dim, "NONE"),
                Happened::Unknown => (Tone::Warn, "UNKNOWN"),
            };
            let at = effect
                .at
                .as_deref()
                .and_then(time::parse)
                .filter(|_| effect.state == Happened::Done);
            let mut piece = Strip::new()
                .with(Tone::Text, Safe::of(&effect.name))
                .ours(Tone::Text, " ")
                .ours(tone, word);
            if let Some(at) = at {
                let at = value::instant(at, self.model.setup.restored_to);
                piece = piece.with(Tone::Text, safe!(" {}", at));
            }
            if effect.again && effect.state == Happened::Done {
                piece = piece.ours(Tone::Warn, " would run again");
            }
            if line.width() > 0 && indent + line.width() + 3 + piece.width() + 1 > self.width {
                self.effects(name, &line);
                name = "";
                line = Strip::new();
            }
            if line.width() > 0 {
                line = line.ours(Tone::Text, "   ");
            }
            line = piece
                .pieces()
                .iter()
                .fold(line, |line, (text, tone)| line.with(*tone, text.clone()));
        }
        if line.width() > 0 {
            self.effects(name, &line);
        }
        for fit in &loaded.file.found.fits {
            let missing = value::missing(&self.model.setup, &fit.missing);
            let text = safe!("{} instead of {}", Safe::of(&fit.to.join(", ")), missing);
            self.say("fits", Tone::Accent, &text);
        }
    }

    fn effects(&mut self, name: &'static str, line: &Strip<'_>) {
        let head = Strip::new()
            .ours(Tone::Text, " ")
            .with(Tone::Dim, Safe::ours(name).pad(18));
        let line = line
            .pieces()
            .iter()
            .fold(head, |strip, (text, tone)| strip.with(*tone, text.clone()));
        self.put(line);
    }

    fn order_findings(&mut self) {
        let loaded = self.loaded;
        for finding in &loaded.file.found.findings {
            for row in &finding.rows {
                let text = safe!(
                    "{} {} was {} when the restore cut it off",
                    Safe::id(&row.entity),
                    Safe::id(&row.key),
                    Safe::of(&row.state)
                );
                self.say("in doubt", Tone::Warn, &text);
            }
            match finding.kind {
                Kind::HalfSuperseded => {
                    let other = finding.other.as_deref().unwrap_or("another");
                    let name = self.name(&format!("order:{other}"));
                    let text = safe!("one half of a change: of it and {} one is not there", name);
                    self.say("half", Tone::Warn, &text);
                }
                Kind::Expired => self.say("expired", Tone::Bad, &Safe::ours("the hold lost it by age")),
                Kind::Contradicted => {
                    let text = safe!(
                        "{} {}: sources of the log disagree",
                        Safe::id(&finding.entity),
                        Safe::id(&finding.key)
                    );
                    self.say("not sure", Tone::Warn, &text);
                }
                _ => {}
            }
        }
    }

    /// A decision on it that waits for another person.
    fn asked(&mut self) {
        let case = Some(self.loaded.file.found.id.as_str());
        let papers = &self.model.papers;
        let Some(paper) = papers.iter().find(|p| p.case.as_deref() == case) else {
            return;
        };
        let what = paper.lines().join("; ");
        let text = safe!(
            "{} asks: {}; it waits for another person (A approves, X declines)",
            Safe::id(&paper.by),
            Safe::of(&what)
        );
        self.say("approval", Tone::Warn, &text);
    }

    fn decision(&mut self) {
        let file = &self.loaded.file;
        let Some(decision) = &file.decision else { return };
        let today = Some(self.model.now);
        let text = safe!(
            "{} by {} at {}: {}",
            decision.verb.name(),
            Safe::id(&decision.by),
            value::instant(decision.at, today),
            Safe::of(&decision.reason)
        );
        self.put(Strip::new());
        self.say("decided", Tone::Heading, &text);
        for (name, value) in [
            ("ref", &decision.reference),
            ("to", &decision.to),
            ("evidence", &decision.evidence),
        ] {
            if let Some(value) = value {
                self.say(name, Tone::Text, &Safe::of(value));
            }
        }
        if let Some(until) = decision.until {
            self.say("until", Tone::Text, &value::instant(until, today));
        }
        if let (State::ToDo, Some(assignee), None) = (file.state, &decision.assignee, &file.effect) {
            self.say("who", Tone::Text, &safe!("{} acts outside", Safe::id(assignee)));
        }
        for (i, step) in decision.steps.iter().enumerate() {
            let name = match (i, file.state, &file.effect) {
                (0, _, Some(_)) => "does",
                (0, State::ToDo, None) => "to do",
                _ => "",
            };
            self.say(name, Tone::Text, &safe!("{} {}", i + 1, Safe::of(step)));
        }
        if let Some(effect) = &file.effect {
            let tone = match effect.state {
                Course::Queued | Course::Running => Tone::Accent,
                Course::Done | Course::Cancelled => Tone::Text,
                Course::Failed | Course::Unknown => Tone::Bad,
            };
            let left = (effect.leaves_at - self.model.now + 999_999) / 1_000_000;
            let words = match effect.state {
                Course::Queued if left > 0 => format!("{} leaves in {left} s: u takes it back", effect.does),
                _ => effect.words(),
            };
            self.say("effect", tone, &Safe::of(&words));
        }
        if let (State::ToDo, Some(wanted)) = (file.state, &decision.wanted) {
            self.say("wanted", Tone::Text, &Safe::of(wanted));
        }
        if let Some((held, read)) = &decision.proof {
            let (tone, word) = match held {
                Some(true) => (Tone::Good, "holds"),
                Some(false) => (Tone::Bad, "failed"),
                None => (Tone::Bad, "cannot tell"),
            };
            self.say("proof", tone, &safe!("{}: {}", word, Safe::of(read)));
        }
        if file.state == State::ToDo && file.effect.is_none() {
            self.say(
                "next",
                Tone::Accent,
                &Safe::ours("D when it is done, with the evidence; P reads it again; u takes it back"),
            );
        }
    }

    fn notes(&mut self) {
        let loaded = self.loaded;
        if !loaded.file.notes.is_empty() {
            self.put(Strip::new());
        }
        for note in &loaded.file.notes {
            let at = value::instant(note.at, Some(self.model.now));
            self.say(
                "note",
                Tone::Text,
                &safe!("{} {}: {}", at, Safe::id(&note.by), Safe::of(&note.text)),
            );
        }
    }
}

/// `lost, orphaned`
pub fn kinds(kinds: &[Kind]) -> Safe<'static> {
    let words: Vec<&str> = kinds.iter().map(|k| k.words()).collect();
    if words.is_empty() {
        Safe::ours("·")
    } else {
        Safe::of(&words.join(", ")).into_owned()
    }
}

/// The same in so many cells: the kinds that fit, and how many do not.
pub fn kinds_in(kinds: &[Kind], width: usize) -> Safe<'static> {
    let whole = self::kinds(kinds);
    if whole.width() <= width {
        return whole;
    }
    let cut = |shown: usize| safe!("{} +{}", self::kinds(&kinds[..shown]), kinds.len() - shown);
    (1..kinds.len())
        .rev()
        .map(cut)
        .find(|text| text.width() <= width)
        .unwrap_or_else(|| cut(1).clip(width))
}

/// What a state means.
pub const fn state_tone(state: State) -> Tone {
    match state {
        State::Open => Tone::Text,
        State::ToDo | State::Applied => Tone::Accent,
        State::Unconfirmed | State::Escalated => Tone::Warn,
        State::Parked | State::Gone => Tone::Dim,
        State::Proven => Tone::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture;
    use crate::console::widget::snapshot;

    fn open(file: crate::domain::queue::CaseFile) -> Model {
        let mut model = fixture::model();
        model.case.id = Some(file.found.id.clone());
        model.case.loaded = Some(fixture::loaded(file));
        model.in_case = true;
        model
    }

    #[test]
    fn looks_as_drawn() {
        snapshot::check("case-orphan-80x24", &mut open(fixture::orphan()), 80, 24);
        snapshot::check("case-orphan-160x48", &mut open(fixture::orphan()), 160, 48);
        snapshot::check("case-to-do-80x24", &mut open(fixture::to_do()), 80, 24);
        let mut events = open(fixture::orphan());
        events.case.events = true;
        snapshot::check("case-events-80x24", &mut events, 80, 24);
    }
}
