//! The two lines on top and the one at the bottom.

use super::layout::{Areas, FULL};
use crate::console::command::{self, Command, Id};
use crate::console::model::overlay::Overlay;
use crate::console::model::{Model, Scan, Source, View, restore};
use crate::console::pane::value::{count, instant, span};
use crate::console::widget::{Pen, Strip};
use crate::domain::deadline::{Deadline, HOLD, first};
use crate::domain::gate::Gate;
use crate::domain::queue::HoldClock;
use crate::domain::time;
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

const MINUTE: i64 = 60_000_000;

/// The incident and its deadline; where one is, who one is, and how old everything is.
pub fn header(model: &Model, pen: &mut Pen<'_>, areas: &Areas) {
    let width = usize::from(areas.header.width);
    pen.strip(areas.header, 0, &incident(model, width));
    pen.strip(areas.header, 1, &whereabouts(model, width, areas.rule.height == 0));
}

/// What is not known of the night, and the scan under way: at the right end of the rule below the header, where they move
/// nothing.
pub fn scanning(model: &Model, pen: &mut Pen<'_>, rule: Rect) {
    let unknown = (!model.not_known.is_empty()).then(|| (Tone::Warn, Safe::of(&model.not_known).into_owned()));
    let mut line = Strip::new();
    for (tone, text) in unknown.into_iter().chain(scan_words(&model.scan, model.now)) {
        line = line.ours(Tone::Text, " ").with(tone, text).ours(Tone::Text, " ");
    }
    if line.width() == 0 {
        return;
    }
    let width = u16::try_from(line.width())
        .unwrap_or(u16::MAX)
        .saturating_add(1)
        .min(rule.width);
    pen.strip(
        Rect {
            x: rule.right() - width,
            width,
            ..rule
        },
        0,
        &line,
    );
}

fn incident(model: &Model, width: usize) -> Strip<'static> {
    let room = width.saturating_sub(attempt(model, 0).width() + 5);
    let loud = |words: &Safe<'_>, room: usize| Strip::new().with(Tone::Loud, safe!(" {} ", words.clone().clip(room)));
    let right = |short: bool| {
        if let Some(red) = model.gate.as_ref().and_then(Gate::red) {
            return loud(
                &safe!("RED GATE: {}: {}", Safe::of(&red.check), Safe::of(&red.what)),
                room,
            );
        }
        let clock = next_deadline(model, short);
        let Some(alarm) = restore::alarms(model).into_iter().next() else {
            return clock.map_or_else(Strip::new, |(_, strip)| strip);
        };
        // Both, where the hold is about to lose orders meanwhile.
        match clock.filter(|(urgent, _)| *urgent) {
            Some((_, clock)) if clock.width() + 30 < room => {
                let both = loud(&Safe::of(&alarm), room - clock.width() - 3).ours(Tone::Text, " ");
                let pieces = clock.pieces().iter().cloned();
                pieces.fold(both, |line, (text, tone)| line.with(tone, text))
            }
            _ => loud(&Safe::of(&alarm), room),
        }
    };
    // What goes first when it is narrow: words of the deadline, the loss window, words of T; never the deadline itself.
    let choices = [(2, false), (2, true), (1, false), (1, true), (0, false), (0, true)];
    let line = |(words, short)| (attempt(model, words), right(short).ours(Tone::Text, " "));
    let fits = |(left, right): &(Strip<'_>, Strip<'_>)| left.width() + right.width() + 2 <= width;
    let (left, right) = choices
        .into_iter()
        .map(line)
        .find(fits)
        .unwrap_or_else(|| line((0, true)));
    left.beside(right, width).into_owned()
}

/// The incident and T, the more words the higher: 1 says what T is, 2 how much it lost.
fn attempt(model: &Model, words: u8) -> Strip<'static> {
    let setup = &model.setup;
    let mut left = Strip::new()
        .ours(Tone::Text, " ")
        .with(Tone::Heading, Safe::of(&setup.incident).into_owned());
    if setup.attempt > 1 {
        let word = if words == 0 { "#" } else { "attempt " };
        left = left.with(Tone::Dim, safe!(" {}{}", word, setup.attempt));
    }
    left = match setup.restored_to {
        Some(t) => {
            let restored = if words == 0 { "T" } else { "restored to" };
            left.with(Tone::Text, safe!("  {} {}", restored, instant(t, Some(model.now))))
        }
        None => left.ours(Tone::Warn, "  restore point not configured"),
    };
    if let (2, Some(t), Some(stop)) = (words, setup.restored_to, setup.stopped_at) {
        left = left.with(Tone::Text, safe!(", loss window {}", Safe::of(&time::age(stop - t))));
    }
    left
}

/// The deadline that comes first, and whether it is near. What the hold has lost comes before what something else may
/// lose; a hold that is safe leaves the place to another clock in its last hour.
fn next_deadline(model: &Model, short: bool) -> Option<(bool, Strip<'static>)> {
    let clocks = restore::clocks(model);
    let first = first(&clocks, model.now);
    let hold = model.hold.as_ref();
    let at_risk = hold.is_some_and(|h| h.lost > 0 || h.held > h.rescued);
    let by_hold = hold.and_then(|h| h.loss_from).filter(|_| at_risk);
    match (hold, first) {
        (Some(hold), first)
            if at_risk && first.is_none_or(|f| f.name == HOLD || by_hold.is_none_or(|at| at <= f.at)) =>
        {
            let left = hold.loss_from.map_or(0, |at| at - model.now);
            Some((left <= 10 * MINUTE, deadline(hold, model.now, short)))
        }
        (hold, Some(clock)) if hold.is_none() || at_risk || clock.at - model.now <= 60 * MINUTE => {
            Some((clock.at - model.now <= 10 * MINUTE, other(clock, model.now, short)))
        }
        (Some(hold), _) => Some((false, deadline(hold, model.now, short))),
        (None, _) => None,
    }
}

/// A deadline that is not the hold's.
fn other(clock: &Deadline, now: i64, short: bool) -> Strip<'static> {
    let ends = if short { "" } else { "ends " };
    let text = safe!("{} {}{}", Safe::of(&clock.name), ends, instant(clock.at, Some(now)));
    hurry(text, clock.at - now)
}

/// Words about something that is so long off: calm, and loud at ten, five and two minutes.
fn hurry(text: Safe<'static>, left: i64) -> Strip<'static> {
    match left {
        left if left <= 2 * MINUTE => Strip::new().with(Tone::Loud, safe!(" {}: {} LEFT ", text, span(left))),
        left if left <= 5 * MINUTE => Strip::new().with(Tone::Bad, safe!("{}: {} left", text, span(left))),
        left if left <= 10 * MINUTE => Strip::new().with(Tone::Warn, safe!("{}: {} left", text, span(left))),
        _ => Strip::new().with(Tone::Text, text),
    }
}

/// The hold's deadline: calm when rescued, loud at ten minutes and nearer.
fn deadline(hold: &HoldClock, now: i64, short: bool) -> Strip<'static> {
    let at_risk = hold.held.saturating_sub(hold.rescued);
    if hold.lost > 0 && at_risk == 0 {
        return Strip::new().with(
            Tone::Loud,
            safe!(" hold: {} LOST, the rest is rescued ", count(hold.lost)),
        );
    }
    if hold.lost > 0
        && let Some(next) = hold.loss_from.filter(|at| *at > now)
    {
        return Strip::new().with(
            Tone::Loud,
            safe!(
                " hold: {} LOST, more from {} ",
                count(hold.lost),
                instant(next, Some(now))
            ),
        );
    }
    if hold.lost > 0 {
        let since = hold
            .loss_from
            .map_or(Safe::ours("unknown"), |at| instant(at, Some(now)));
        return Strip::new().with(Tone::Loud, safe!(" LOSING since {}, {} lost ", since, count(hold.lost)));
    }
    if at_risk == 0 {
        return Strip::new().with(
            Tone::Text,
            safe!("hold rescued {} of {}", count(hold.rescued), count(hold.held)),
        );
    }
    let Some(from) = hold.loss_from else {
        return Strip::new().with(
            Tone::Warn,
            safe!("hold: {} not rescued, deadline not known", count(at_risk)),
        );
    };
    let left = from - now;
    if left <= 0 {
        return Strip::new().with(
            Tone::Loud,
            safe!(
                " LOSS POSSIBLE since {}, {} not rescued ",
                instant(from, Some(now)),
                count(at_risk)
            ),
        );
    }
    let (hold, rescued) = if short {
        ("", "unrescued")
    } else {
        ("hold: ", "not rescued")
    };
    let text = safe!(
        "{}loss possible from {}, {} {}",
        hold,
        instant(from, Some(now)),
        count(at_risk),
        rescued
    );
    hurry(text, left)
}

fn whereabouts(model: &Model, width: usize, with_scan: bool) -> Strip<'static> {
    let setup = &model.setup;
    let mut right = Strip::new().with(Tone::Text, safe!("{}, {}", Safe::id(&setup.who), Safe::of(&setup.role)));
    if setup.readonly {
        right = right.ours(Tone::Warn, ", readonly");
    }
    // What does not fit goes: the scan first, then the ages from the right; a lost source stays.
    let line = |sources: usize, scan: bool| {
        let mut strip = right.clone();
        let (lost, fine): (Vec<&Source>, Vec<&Source>) = model.sources.iter().partition(|s| s.lost_since.is_some());
        for (i, source) in lost.into_iter().chain(fine.into_iter().take(sources)).enumerate() {
            let (tone, text) = age(source, model.now);
            strip = strip.ours(Tone::Text, if i == 0 { "  " } else { " " }).with(tone, text);
        }
        // Where there is no rule to say it on.
        if with_scan && !model.not_known.is_empty() {
            strip = strip
                .ours(Tone::Text, "  ")
                .with(Tone::Warn, Safe::of(&model.not_known).into_owned());
        }
        if scan && let Some((tone, text)) = scan_words(&model.scan, model.now) {
            strip = strip.ours(Tone::Text, "  ").with(tone, text);
        }
        strip.ours(Tone::Text, " ")
    };
    let room = |names: bool| width.saturating_sub(tabs(model, names).width() + 1);
    let running = with_scan && matches!(model.scan, Scan::Running { .. } | Scan::Failed { .. });
    let all = model.sources.len();
    let fitting = |names: bool, scan: bool| {
        let shown = [all, 1, 0].into_iter().map(|sources| line(sources, scan));
        shown
            .into_iter()
            .find(|r| r.width() <= room(names))
            .map(|right| (names, right))
    };
    let with_scan = || fitting(true, true).or_else(|| fitting(false, true)).filter(|_| running);
    let (names, right) = with_scan()
        .or_else(|| fitting(true, false))
        .or_else(|| fitting(false, false))
        .unwrap_or_else(|| (false, line(0, running)));
    tabs(model, names).beside(right, width)
}

/// The views by their digits; only the one shown is named where it is narrow.
fn tabs(model: &Model, names: bool) -> Strip<'static> {
    let mut strip = Strip::new();
    for (digit, view) in (1_u8..).zip(View::ALL) {
        let gap = if names && digit > 1 { "  " } else { " " };
        strip = strip.ours(Tone::Text, gap).with(Tone::Dim, safe!("{}", digit));
        if view == model.view {
            let name = Safe::of(&view.name().to_uppercase()).into_owned();
            strip = strip.ours(Tone::Text, " ").with(Tone::Heading, name);
        } else if names {
            strip = strip.ours(Tone::Text, " ").ours(Tone::Text, view.name());
        }
    }
    strip
}

fn age(source: &Source, now: i64) -> (Tone, Safe<'static>) {
    let name = Safe::of(&source.name);
    if let Some(since) = source.lost_since {
        return (Tone::Loud, safe!("{} LOST {}", name, span(now - since)));
    }
    match source.read_at {
        None => (Tone::Dim, safe!("{} not read", name)),
        Some(at) => {
            let late = source.late_after > 0 && now - at > source.late_after;
            let age = time::age(now - at);
            if late {
                (Tone::Warn, safe!("{} {} late", name, Safe::of(&age)))
            } else {
                (Tone::Dim, safe!("{} {}", name, Safe::of(&age)))
            }
        }
    }
}

/// The scan, short enough for a header.
fn scan_words(scan: &Scan, now: i64) -> Option<(Tone, Safe<'static>)> {
    match scan {
        Scan::Running {
            stage,
            done,
            total,
            since,
        } => {
            let text = match done.saturating_mul(100).checked_div(*total) {
                Some(percent) => safe!("{} {}%", stage.words(), percent.min(100)),
                None => safe!("{} {}", stage.words(), span(now - since)),
            };
            Some((Tone::Accent, safe!("scan: {}", text)))
        }
        Scan::Failed { .. } => Some((Tone::Bad, Safe::ours("scan FAILED"))),
        Scan::Never | Scan::Done { .. } => None,
    }
}

/// What was just done, else the keys that matter here.
pub fn footer(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let width = usize::from(area.width);
    if let Some(notice) = &model.notice {
        let tone = if notice.bad { Tone::Bad } else { Tone::Good };
        let glyph = if notice.bad { " ✗ " } else { " ✓ " };
        pen.strip(
            area,
            0,
            &Strip::new()
                .ours(tone, glyph)
                .with(tone, Safe::of(&notice.text))
                .cut(width),
        );
        return;
    }
    if let Some((_, words)) = model.pending.first() {
        pen.strip(
            area,
            0,
            &Strip::new()
                .ours(Tone::Accent, " … ")
                .with(Tone::Accent, Safe::of(words)),
        );
        return;
    }
    if model
        .layer
        .as_ref()
        .is_some_and(|l| !matches!(l.overlay, Overlay::Filter(_)))
    {
        return;
    }
    let right = status(model);
    let room = width.saturating_sub(right.width() + 1);
    pen.strip(area, 0, &hints(model, room).beside(right, width));
}

/// Where the list stands, and whether it waits.
fn status(model: &Model) -> Strip<'static> {
    let queue = &model.queue;
    if model.view != View::Queue || model.in_case {
        return Strip::new();
    }
    let mut strip = Strip::new();
    if queue.range.is_some() {
        strip = strip.ours(Tone::Marked, "range… ");
    }
    if !queue.marks.is_empty() {
        strip = strip.with(Tone::Marked, safe!("{} marked ", count(queue.marks.len() as u64)));
    }
    if model.is_frozen() && (queue.has_news() || queue.again) {
        strip = strip.ours(Tone::Warn, "newer data waits ");
    }
    if !queue.query.is_empty() {
        strip = strip.with(Tone::Accent, safe!("/{} ", Safe::of(&queue.query.text).clip(24)));
    }
    if queue.shown.is_empty() || (model.size.0 < FULL.0 && strip.width() > 0) {
        return strip;
    }
    let reading = if queue.complete { "" } else { "…" };
    strip.with(
        Tone::Dim,
        safe!(
            "{} of {}{} ",
            count(queue.at as u64 + 1),
            count(queue.shown.len() as u64),
            reading
        ),
    )
}

/// The hints that fit, the most needed first; help is always among them.
fn hints(model: &Model, width: usize) -> Strip<'static> {
    let hint = |command: &'static Command| {
        let key = command.keys.first().copied().unwrap_or("");
        command::hint(model, command).map(|words| (key, words))
    };
    let piece = |(key, words): (&'static str, &'static str)| {
        Strip::new()
            .ours(Tone::Key, key)
            .ours(Tone::Text, " ")
            .ours(Tone::Text, words)
    };
    // A claim is offered before there is a case to claim, but not to who may not, nor while nothing can be asked.
    let claims = model.setup.may_act && model.ledger_lost.is_none();
    let all: Vec<_> = command::bound(model)
        .filter(|c| c.id != Id::Help && (c.id == Id::Claim && claims || command::refused(model, c).is_none()))
        .filter_map(hint)
        .map(piece)
        .collect();
    let help = piece(("?", "help"));
    let mut taken: Vec<Strip<'static>> = Vec::new();
    let mut used = 1 + help.width();
    for strip in all {
        if used + strip.width() + 2 > width {
            continue;
        }
        used += strip.width() + 2;
        taken.push(strip);
    }
    taken.push(help);
    let mut line = Strip::new().ours(Tone::Text, " ");
    for (i, strip) in taken.into_iter().enumerate() {
        if i > 0 {
            line = line.ours(Tone::Text, "  ");
        }
        for (text, tone) in strip.pieces() {
            line.add(*tone, text.clone());
        }
    }
    line
}
