//! Restore: how far is it, and what says so?

use super::value::{count, instant, span};
use crate::console::model::restore::{Below, below, clocks};
use crate::console::model::{Feed, Model, Scan};
use crate::console::view::layout::Areas;
use crate::console::widget::{Pen, Strip};
use crate::domain::gate::Light;
use crate::domain::phase::{Phase, PhaseLine, PhaseState};
use crate::domain::preflight::Mark;
use crate::domain::ready::Stand;
use crate::domain::restoring::{Restoring, Told};
use crate::domain::time;
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;

/// Cells of the columns before the evidence.
const BEFORE: usize = 51;

/// Draws the phases, and below them the events and the scan.
pub fn draw(model: &Model, pen: &mut Pen<'_>, areas: &Areas) {
    let head = Strip::new()
        .ours(Tone::Text, "   ")
        .column(Tone::Heading, Safe::ours("phase"), 21)
        .column(Tone::Heading, Safe::ours("state"), 7)
        .column(Tone::Heading, Safe::ours("since"), 9)
        .column(Tone::Heading, Safe::ours("took").right(7), 7)
        .ours(Tone::Heading, "evidence");
    pen.strip(areas.head, 0, &head);
    let Some(phases) = &model.phases else {
        pen.strip(areas.list, 0, &Strip::new().ours(Tone::Dim, " reading phases…"));
        return;
    };
    let width = usize::from(areas.list.width);
    let mut lines = Vec::new();
    let mut cursor = 0;
    for (at, phase) in phases.iter().enumerate() {
        let here = at == model.phase_at;
        if here {
            cursor = lines.len() + model.below.map_or(0, |nth| nth + 1);
        }
        lines.push(line(model, phase, here && model.below.is_none()));
        if here {
            let below = below(model, phase.phase).into_iter().enumerate();
            lines.extend(below.map(|(nth, of)| line_below(&of, model.below == Some(nth))));
        }
        if let Some(share) = phase.per_mille.filter(|_| phase.state == PhaseState::Running) {
            let cells = width.saturating_sub(BEFORE + 8).clamp(8, 40);
            lines.push(bar(
                Strip::new().with(Tone::Text, crate::console::widget::blank(25)),
                share,
                cells,
            ));
        }
    }
    let top = (cursor + 2).saturating_sub(usize::from(areas.list.height)).min(cursor);
    pen.strips(areas.list, lines.iter().skip(top));
    pen.rule(areas.about_rule);
    let about = about(
        model,
        phases,
        usize::from(areas.about.width),
        usize::from(areas.about.height),
    );
    pen.strips(areas.about, &about);
}

fn line<'m>(model: &Model, phase: &'m PhaseLine, cursor: bool) -> Strip<'m> {
    let (glyph, tone) = match phase.state {
        PhaseState::Done => (" ✓ ", Tone::Good),
        PhaseState::Running => (" ▶ ", Tone::Accent),
        PhaseState::Failed => (" ✗ ", Tone::Bad),
        PhaseState::Waiting => ("   ", Tone::Dim),
    };
    let name = if phase.state == PhaseState::Waiting {
        Tone::Dim
    } else {
        Tone::Text
    };
    let since = phase.since.map_or(Safe::ours(""), |at| instant(at, Some(model.now)));
    let took = match (phase.took, phase.since, phase.state) {
        (Some(took), _, _) => span(took),
        // Under way: how long by now.
        (None, Some(since), PhaseState::Running) => span(model.now - since),
        _ => Safe::ours(""),
    };
    let mut strip = Strip::new()
        .ours(tone, glyph)
        .column(name, Safe::ours(phase.phase.title()), 21)
        .column(tone, Safe::ours(phase.state.name()), 7)
        .column(Tone::Dim, since, 9)
        .column(Tone::Text, took.right(7), 7)
        .with(name, Safe::of(&phase.evidence));
    strip.ground = cursor.then_some(Tone::Selected);
    strip
}

/// A line of what a phase consists of.
fn line_below<'m>(of: &Below<'m>, cursor: bool) -> Strip<'m> {
    let (tone, word, text) = match of {
        Below::Check(check) => {
            let tone = match check.light {
                Light::Green => Tone::Good,
                Light::CannotTell => Tone::Dim,
                Light::Red => Tone::Bad,
            };
            let words = safe!("{}: {}", Safe::of(&check.check), Safe::of(&check.what));
            (tone, Safe::ours(check.light.words()), words)
        }
        Below::Back(back) => (Tone::Warn, Safe::of(&back.kind), Safe::of(&back.what)),
        Below::Line(line) => {
            let tone = match line.stand {
                Stand::Green => Tone::Good,
                Stand::Note => Tone::Text,
                Stand::CannotTell => Tone::Dim,
                Stand::Red => Tone::Bad,
            };
            let words = safe!("{}: {}", Safe::of(&line.about), Safe::of(&line.what));
            (tone, Safe::ours(line.stand.words()), words)
        }
        Below::Ahead(line) => {
            let tone = match line.mark {
                Mark::Good => Tone::Good,
                Mark::Note => Tone::Text,
                Mark::CannotTell => Tone::Dim,
                Mark::Bad => Tone::Bad,
            };
            let words = safe!("{}: {}", Safe::of(&line.check), Safe::of(&line.what));
            (tone, Safe::ours(line.mark.words()), words)
        }
        Below::Step(step) => {
            let words = safe!("{}: {}", Safe::of(&step.name), Safe::of(&step.evidence));
            (state_tone(step.state), Safe::ours(step.state.name()), words)
        }
        Below::Lacks(lack) => (Tone::Warn, Safe::ours("lacks"), Safe::of(lack)),
    };
    let mut strip = Strip::new()
        .ours(Tone::Text, "     ")
        .column(tone, word, 12)
        .with(Tone::Text, text);
    strip.ground = cursor.then_some(Tone::Selected);
    strip
}

/// A bar of so many cells, and its share in words.
fn bar(mut strip: Strip<'static>, per_mille: u16, cells: usize) -> Strip<'static> {
    let share = usize::from(per_mille.min(1000));
    let full = cells * share / 1000;
    for cell in 0..cells {
        strip.add(Tone::Accent, Safe::ours(if cell < full { "█" } else { "░" }));
    }
    strip.with(Tone::Text, safe!(" {}%", share / 10))
}

/// What says so for the phase under the cursor, what happened last, and the scan.
fn about(model: &Model, phases: &[PhaseLine], width: usize, room: usize) -> Vec<Strip<'static>> {
    let mut lines: Vec<Strip<'static>> = Vec::new();
    let mut say = |name: &'static str, tone: Tone, text: &Safe<'_>, most: usize| {
        let parts = match most {
            1 => vec![text.clone().into_owned().clip(width.saturating_sub(11))],
            _ => text.wrap(width.saturating_sub(11)),
        };
        for (i, part) in parts.into_iter().take(most).enumerate() {
            let name = if i == 0 { name } else { "" };
            lines.push(
                Strip::new()
                    .ours(Tone::Text, " ")
                    .column(Tone::Dim, Safe::ours(name), 9)
                    .with(tone, part),
            );
        }
    };
    let roomy = room > 6;
    let below = phases.get(model.phase_at).map(|line| below(model, line.phase));
    let chosen = model.below.and_then(|nth| below?.into_iter().nth(nth));
    if let Some(of) = chosen {
        let (word, what, cure): (&'static str, &str, Option<&String>) = match of {
            Below::Check(check) => (check.light.words(), &check.what, check.cure.as_ref()),
            Below::Back(back) => ("", &back.what, Some(&back.cure)),
            Below::Line(line) => (line.stand.words(), &line.what, Some(&line.cure)),
            Below::Ahead(line) => (line.mark.words(), &line.what, line.cure.as_ref()),
            Below::Step(step) => (step.state.name(), &step.evidence, None),
            Below::Lacks(lack) => ("", lack, None),
        };
        let cure = cure.map_or(Safe::ours(""), |cure| Safe::of(cure));
        let colon = if word.is_empty() { "" } else { ": " };
        say(
            "evidence",
            Tone::Text,
            &safe!("{}{}{}", word, colon, Safe::of(what)),
            room.div_ceil(2),
        );
        if !cure.is_empty() {
            say("do", Tone::Warn, &cure, room / 2);
        }
    } else if let Some(phase) = phases.get(model.phase_at) {
        let percent = match (phase.state, phase.per_mille) {
            (PhaseState::Running, None) => "; no percentage: nothing measures this phase",
            _ => "",
        };
        let evidence = Safe::of(&phase.evidence);
        let words = if evidence.is_empty() {
            Safe::ours("nothing says so")
        } else {
            evidence
        };
        say(
            "evidence",
            Tone::Text,
            &safe!("{}{}", words, percent),
            if roomy { 4 } else { 1 },
        );
    }
    for (name, tone, text, most) in watched(model, phases.get(model.phase_at), roomy) {
        say(name, tone, &text, most);
    }
    let (tone, scan) = scan(model);
    say("scan", tone, &scan, if roomy { 3 } else { 1 });
    let mut events: Vec<(i64, &PhaseLine)> = phases.iter().filter_map(|p| Some((p.since?, p))).collect();
    events.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    // Of the restore AWS tells its own.
    let aws = on_restoring(model, phases.get(model.phase_at)).is_some_and(|view| !view.events.is_empty());
    let most = usize::from(!aws) * if roomy { 5 } else { 1 };
    for (i, (at, phase)) in events.into_iter().take(most).enumerate() {
        let text = safe!(
            "{} {} {}",
            instant(at, Some(model.now)),
            phase.phase.title(),
            phase.state.name()
        );
        say(if i == 0 { "events" } else { "" }, Tone::Text, &text, 1);
    }
    for (feed, why) in &model.dead {
        say(
            "stopped",
            Tone::Bad,
            &safe!("{}: {}; ctrl-r starts it again", feed.words(), Safe::of(why)),
            2,
        );
    }
    if let Scan::Done { warnings, coverage, .. } = &model.scan {
        for warning in warnings {
            say("warning", Tone::Warn, &Safe::of(warning), if roomy { 3 } else { 1 });
        }
        for covered in coverage {
            say("covered", Tone::Dim, &Safe::of(covered), 1);
        }
    }
    lines.truncate(room);
    lines
}

/// A cluster that is lost, what was told of this phase, and the deadlines: name, tone, words, and lines at most.
fn watched(model: &Model, phase: Option<&PhaseLine>, roomy: bool) -> Vec<(&'static str, Tone, Safe<'static>, usize)> {
    let mut lines = Vec::new();
    if let Some((since, why)) = model.cluster.as_ref().and_then(|c| c.lost.as_ref()) {
        let words = safe!("LOST {}: {}", span(model.now - since), Safe::of(why));
        lines.push(("cluster", Tone::Bad, words, if roomy { 3 } else { 1 }));
    }
    let told = phase.map(|line| line.phase);
    for notice in model.night.notices.iter().filter(|n| n.is_about(told)) {
        let fine = matches!(notice.outcome, Some(Ok(_)));
        let tone = if fine { Tone::Text } else { Tone::Warn };
        lines.push(("told", tone, Safe::of(&notice.words(model.now)).into_owned(), 1));
    }
    for (tone, words) in aws(model, phase) {
        lines.push(("aws", tone, words, if roomy { 4 } else { 2 }));
    }
    for (i, words) in told_by_aws(model, phase, if roomy { 6 } else { 2 })
        .into_iter()
        .enumerate()
    {
        lines.push((if i == 0 { "events" } else { "" }, Tone::Text, words, 1));
    }
    for (i, clock) in clocks(model).iter().take(if roomy { 6 } else { 1 }).enumerate() {
        let when = instant(clock.at, Some(model.now));
        let (tone, left) = match clock.at - model.now {
            left if left > 0 => (Tone::Text, safe!("in {}", Safe::of(&time::age(left)))),
            _ => (Tone::Bad, Safe::ours("PASSED")),
        };
        let (name, lost, source) = (Safe::of(&clock.name), Safe::of(&clock.lost), Safe::of(&clock.source));
        let words = safe!("{} {} {}: {} ({})", when, left, name, lost, source);
        lines.push((if i == 0 { "clocks" } else { "" }, tone, words, 1));
    }
    lines
}

/// How a state looks.
const fn state_tone(state: PhaseState) -> Tone {
    match state {
        PhaseState::Done => Tone::Good,
        PhaseState::Running => Tone::Accent,
        PhaseState::Failed => Tone::Bad,
        PhaseState::Waiting => Tone::Dim,
    }
}

/// What AWS tells, where this is the phase that it tells of.
fn on_restoring<'m>(model: &'m Model, line: Option<&PhaseLine>) -> Option<&'m Restoring> {
    let here = line.is_some_and(|l| l.phase == Phase::Restoring);
    model.restoring.as_deref().filter(|_| here)
}

/// Of the phase that AWS tells of: that it does not answer, or what has to be done about what it says.
fn aws(model: &Model, line: Option<&PhaseLine>) -> Vec<(Tone, Safe<'static>)> {
    let Some(view) = on_restoring(model, line) else {
        return Vec::new();
    };
    let mut lines = Vec::new();
    if let (Some(since), Some((what, cure))) = (view.lost_since, &view.trouble) {
        let words = safe!(
            "LOST {}: {}; do: {}",
            span(model.now - since),
            Safe::of(what),
            Safe::of(cure)
        );
        lines.push((Tone::Bad, words));
    }
    if let Some(resource) = &view.resource {
        let name = safe!("{} is {}", Safe::of(&view.name), Safe::of(resource));
        lines.push((Tone::Dim, name));
    }
    lines
}

/// What AWS told last, the newest first.
fn told_by_aws(model: &Model, line: Option<&PhaseLine>, most: usize) -> Vec<Safe<'static>> {
    let Some(view) = on_restoring(model, line) else {
        return Vec::new();
    };
    let mut told: Vec<_> = view.events.iter().filter(|told| told.kind != "step").collect();
    told.sort_by_key(|told| std::cmp::Reverse(told.at));
    let words = |told: &&Told| {
        let (kind, text) = (Safe::of(&told.kind), Safe::of(&told.text));
        safe!("{} {}: {}", instant(told.at, Some(model.now)), kind, text)
    };
    told.iter().take(most).map(words).collect()
}

/// The scan in one sentence.
pub fn scan(model: &Model) -> (Tone, Safe<'static>) {
    if let Some((_, why)) = model.dead.iter().find(|(feed, _)| *feed == Feed::Scan) {
        return (Tone::Bad, safe!("stopped: {}; ctrl-r starts it again", Safe::of(why)));
    }
    match &model.scan {
        Scan::Never => (Tone::Dim, Safe::ours("none yet: ctrl-r begins one")),
        Scan::Running {
            stage,
            done,
            total,
            since,
        } => {
            let so_far = if *total > 0 {
                safe!(" {} of {}", count(*done), count(*total))
            } else {
                Safe::ours("")
            };
            (
                Tone::Accent,
                safe!("{}{}, for {}", stage.words(), so_far, span(model.now - since)),
            )
        }
        Scan::Done {
            at,
            events,
            rows,
            rejected,
            warnings,
            ..
        } => {
            let rejected_words = if *rejected == 0 {
                Safe::ours("")
            } else {
                safe!(", {} lines rejected", count(*rejected))
            };
            let warned = match warnings.len() {
                0 => Safe::ours(""),
                1 => Safe::ours(", 1 warning"),
                n => safe!(", {} warnings", n),
            };
            let tone = if *rejected > 0 || !warnings.is_empty() {
                Tone::Warn
            } else {
                Tone::Text
            };
            let at = instant(*at, Some(model.now));
            (
                tone,
                safe!(
                    "{}: {} events, {} rows read{}{}",
                    at,
                    count(*events),
                    count(*rows),
                    rejected_words,
                    warned
                ),
            )
        }
        Scan::Failed { at, error } => {
            let mut text = safe!("FAILED {}: {}", instant(*at, Some(model.now)), Safe::of(&error.what));
            for more in [&error.place, &error.cure].into_iter().flatten() {
                text = safe!("{}; {}", text, Safe::of(more));
            }
            (Tone::Bad, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture;
    use crate::console::model::View;
    use crate::console::widget::snapshot;
    use crate::domain::progress::Stage;

    #[test]
    fn looks_as_drawn() {
        let mut model = fixture::model();
        model.view = View::Restore;
        model.phase_at = 2;
        model.scan = Scan::Running {
            stage: Stage::ReadingLog,
            done: 1_000,
            total: 4_000,
            since: fixture::NOW - 5_000_000,
        };
        snapshot::check("restore-80x24", &mut model, 80, 24);
        model.scan = fixture::scanned();
        snapshot::check("restore-160x48", &mut model, 160, 48);
        model.restoring = Some(Box::new(fixture::restoring()));
        model.below = Some(1);
        snapshot::check("restore-aws-80x24", &mut model, 80, 24);
        model.below = None;
        snapshot::check("restore-aws-160x48", &mut model, 160, 48);
        model.restoring = None;
        model.gate = Some(fixture::red_gate());
        (model.phase_at, model.below) = (3, Some(0));
        snapshot::check("restore-gate-80x24", &mut model, 80, 24);
        (model.phase_at, model.below) = (4, Some(0));
        snapshot::check("restore-back-80x24", &mut model, 80, 24);
        // The list before workers start, the clocks, and an old instance that still takes commits.
        model.gate = None;
        model.night = fixture::night();
        snapshot::check("restore-ready-80x24", &mut model, 80, 24);
        (model.phase_at, model.below) = (1, None);
        snapshot::check("restore-watched-160x48", &mut model, 160, 48);
    }
}
