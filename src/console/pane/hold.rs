//! Hold: what is about to be lost? Partition by partition where this console follows the brokers, else as the ledger knows
//! it.

use super::value::{count, instant, span};
use crate::console::model::{Feed, Model};
use crate::console::widget::{Pen, Strip};
use crate::domain::hold::{HeldPartition, HoldReading};
use crate::domain::queue::HoldClock;
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use ratatui::layout::Rect;

const MINUTE: i64 = 60_000_000;

/// Draws the hold, and says what it does not show.
pub fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let mut lines: Vec<Strip<'_>> = Vec::new();
    if let Some((_, why)) = model.dead.iter().find(|(feed, _)| *feed == Feed::Hold) {
        lines.push(Strip::new().with(
            Tone::Loud,
            safe!(
                " following the hold STOPPED: {}; ctrl-r starts it again ",
                Safe::of(why)
            ),
        ));
    }
    match (&model.hold_reading, &model.hold) {
        (Some(reading), _) => {
            let rows = usize::from(area.height).saturating_sub(lines.len());
            lines.extend(followed(model, reading, usize::from(area.width), rows));
        }
        (None, Some(hold)) => lines.extend(known(model, hold)),
        (None, None) => {
            lines.push(Strip::new().ours(Tone::Dim, " no hold is known: none is configured, or none was read yet"));
        }
    }
    pen.strips(area, &lines);
}

/// The tone of a deadline: calm far off, loud at ten, five and two minutes, and once it has passed.
const fn tone(left: i64) -> Tone {
    match left {
        i64::MIN..=0 => Tone::Loud,
        left if left <= 2 * MINUTE => Tone::Loud,
        left if left <= 5 * MINUTE => Tone::Bad,
        left if left <= 10 * MINUTE => Tone::Warn,
        _ => Tone::Text,
    }
}

/// The hold as the brokers show it, in at most so many rows; partitions that do not fit are summed up, the most pressing
/// first.
fn followed<'m>(model: &Model, reading: &'m HoldReading, width: usize, rows: usize) -> Vec<Strip<'m>> {
    let mut head = heads(model, reading, width);
    let tail = forecast(model, reading, width);
    head.push(Strip::new().ours(
        Tone::Dim,
        " part     held  loss possible from  oldest order                 lost  rescued",
    ));
    let room = rows.saturating_sub(head.len() + tail.len() + 1);
    let mut partitions: Vec<&HeldPartition> = reading.partitions.iter().collect();
    let hidden = if partitions.len() > room {
        partitions.sort_by_key(|p| (p.held <= p.rescued, p.loss_from.unwrap_or(i64::MAX), p.id));
        partitions.split_off(room.saturating_sub(1))
    } else {
        Vec::new()
    };
    let mut lines = head;
    lines.extend(partitions.iter().map(|p| line(model, p)));
    if !hidden.is_empty() {
        let sum = |of: fn(&HeldPartition) -> u64| hidden.iter().map(|p| of(p)).sum::<u64>();
        lines.push(Strip::new().with(
            Tone::Dim,
            safe!(
                " and {} more, later: {} held, {} lost, {} rescued",
                count(hidden.len() as u64),
                count(sum(|p| p.held)),
                count(sum(|p| p.lost.unwrap_or(0))),
                count(sum(|p| p.rescued))
            ),
        ));
    }
    lines.push(Strip::new());
    lines.extend(tail);
    lines
}

fn heads<'m>(model: &Model, reading: &'m HoldReading, width: usize) -> Vec<Strip<'m>> {
    let keeping = &reading.keeping;
    let stamps = match keeping.stamps.as_str() {
        "not known" => Safe::ours("stamps by whom not known"),
        by => safe!("stamps by {}", Safe::of(by)),
    };
    let mut first = Strip::new()
        .ours(Tone::Text, " ")
        .with(Tone::Heading, Safe::id(&reading.topic).clip(40));
    if keeping.window > 0 {
        let window = crate::domain::time::span(keeping.window);
        first = first.with(
            Tone::Text,
            safe!(
                "  window {} ({})  {}",
                Safe::of(&window),
                Safe::of(&keeping.from),
                stamps
            ),
        );
    }
    let mut lines = match reading.silent_since {
        None if first.width() + 18 <= width => vec![first.ours(Tone::Good, "  brokers answer")],
        None => vec![first, Strip::new().ours(Tone::Good, " brokers answer")],
        Some(since) => {
            let as_of = if reading.read_at == 0 {
                Safe::ours("nothing is known of it")
            } else {
                safe!("below as of {}", instant(reading.read_at, Some(model.now)))
            };
            let silent = safe!(" BROKERS SILENT since {}, {} ", instant(since, Some(model.now)), as_of);
            vec![first, Strip::new().with(Tone::Loud, silent)]
        }
    };
    let notes = reading.why.iter().chain(&keeping.notes).chain(&reading.notes);
    // What to do about it stands at their end.
    let parts = notes.flat_map(|note| Safe::of(note).wrap(width.saturating_sub(1)));
    lines.extend(parts.map(|part| Strip::new().with(Tone::Warn, safe!(" {}", part))));
    if !reading.recorded && reading.silent_since.is_none() {
        let words = " offsets at the shutdown not recorded: hold status --record, or phase pods-down";
        lines.push(Strip::new().ours(Tone::Warn, words));
    }
    lines
}

fn line<'m>(model: &Model, p: &'m HeldPartition) -> Strip<'m> {
    let open = p.held > p.rescued;
    let (from_tone, from) = match p.loss_from {
        _ if p.held == 0 => (Tone::Dim, Safe::ours("·")),
        None => (Tone::Warn, Safe::ours("not known")),
        Some(at) => {
            let tone = if open { tone(at - model.now) } else { Tone::Text };
            let left = at - model.now;
            let words = if open && left > 0 {
                safe!("{} in {}", instant(at, Some(model.now)), span(left))
            } else {
                instant(at, Some(model.now))
            };
            (tone, words)
        }
    };
    let oldest = match &p.oldest {
        None => Safe::ours("·"),
        Some(o) => {
            let name = if o.name.is_empty() {
                safe!("offset {}", o.offset)
            } else {
                Safe::id(&o.name).clip(20)
            };
            let at = o.at.map_or(Safe::ours("no stamp"), |at| instant(at, Some(model.now)));
            safe!("{} {}", name, at)
        }
    };
    let (lost_tone, lost) = match p.lost {
        None => (Tone::Dim, Safe::ours("?")),
        Some(0) => (Tone::Text, count(0)),
        Some(n) => (Tone::Loud, count(n)),
    };
    Strip::new()
        .with(Tone::Text, safe!("{}", i64::from(p.id)).right(5))
        .with(Tone::Text, count(p.held).right(9))
        .ours(Tone::Text, "  ")
        .column(from_tone, from, 19)
        .column(Tone::Text, oldest, 27)
        .with(lost_tone, lost.right(5))
        .with(if open { Tone::Warn } else { Tone::Good }, count(p.rescued).right(9))
}

/// What may be gone when services are back, how far the rescue is, and what Salesforce keeps queued itself.
fn forecast<'m>(model: &Model, reading: &'m HoldReading, width: usize) -> Vec<Strip<'m>> {
    let clock = reading.clock();
    let open = clock.held.saturating_sub(clock.rescued);
    let at_risk = reading.at_risk();
    let mut lines = Vec::new();
    lines.push(match &reading.services_back {
        None => Strip::new().ours(
            Tone::Dim,
            " when services are back is not known: hold.services_back, or phase services",
        ),
        Some((back, by)) => {
            let by = Safe::of(by);
            let back = instant(*back, Some(model.now));
            if at_risk == 0 {
                Strip::new().with(
                    Tone::Text,
                    safe!(" nothing unrescued is old when services are back: {} ({})", back, by),
                )
            } else {
                Strip::new().with(
                    Tone::Bad,
                    safe!(
                        " {} unrescued may be gone when services are back: {} ({})",
                        count(at_risk),
                        back,
                        by
                    ),
                )
            }
        }
    });
    lines.push(if open == 0 {
        Strip::new().with(
            Tone::Good,
            safe!(" rescued {} of {}", count(clock.rescued), count(clock.held)),
        )
    } else {
        Strip::new().with(
            Tone::Warn,
            safe!(
                " rescued {} of {}, {} not: `restitch hold rescue` copies them to safety",
                count(clock.rescued),
                count(clock.held),
                count(open)
            ),
        )
    });
    let odd = |of: fn(&HeldPartition) -> u64| reading.partitions.iter().map(of).sum::<u64>();
    let (future, unstamped) = (odd(|p| p.future), odd(|p| p.unstamped));
    if future + unstamped > 0 {
        lines.push(Strip::new().with(
            Tone::Warn,
            safe!(
                " {} stamped in the future, {} without a stamp: their time is not known",
                count(future),
                count(unstamped)
            ),
        ));
    }
    if let Some((queued, at)) = reading.queued {
        lines.push(Strip::new().with(
            Tone::Text,
            safe!(
                " Salesforce keeps {} Queued itself, and submits them later (scan of {})",
                count(queued),
                instant(at, Some(model.now))
            ),
        ));
    }
    lines.into_iter().map(|l| l.cut(width)).collect()
}

/// The hold's figures, as the ledger has them.
fn known(model: &Model, hold: &HoldClock) -> Vec<Strip<'static>> {
    let figure = |name: &'static str, n: u64, tone: Tone| {
        Strip::new()
            .ours(Tone::Text, " ")
            .column(Tone::Dim, Safe::ours(name), 16)
            .with(tone, count(n).right(10))
    };
    let at_risk = hold.held.saturating_sub(hold.rescued);
    let alert = |n: u64, tone: Tone| if n > 0 { tone } else { Tone::Text };
    vec![
        figure("held", hold.held, Tone::Text),
        figure("rescued", hold.rescued, Tone::Good),
        figure("not rescued", at_risk, alert(at_risk, Tone::Warn)),
        figure("lost by age", hold.lost, alert(hold.lost, Tone::Loud)),
        Strip::new(),
        match hold.loss_from {
            None => Strip::new().ours(Tone::Warn, " from when on loss is possible is not known"),
            Some(from) if from > model.now => Strip::new().with(
                Tone::Text,
                safe!(
                    " loss possible from {}, in {}",
                    instant(from, Some(model.now)),
                    span(from - model.now)
                ),
            ),
            Some(from) => Strip::new().with(
                alert(at_risk, Tone::Loud),
                safe!(" loss possible since {}", instant(from, Some(model.now))),
            ),
        },
        Strip::new(),
        Strip::new().ours(Tone::Dim, " these are the whole hold's figures, as last read"),
        Strip::new().ours(
            Tone::Dim,
            " not shown: partitions; no hold on a broker is configured here",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use crate::console::effect::Effect;
    use crate::console::model::{Model, View};
    use crate::console::msg::Msg;
    use crate::console::widget::snapshot;
    use crate::console::{fixture, update};

    fn followed() -> Model {
        let mut model = fixture::model();
        model.view = View::Hold;
        update(&mut model, Msg::Hold(Box::new(fixture::hold_reading())));
        model
    }

    #[test]
    fn partitions_deadlines_and_forecast() {
        snapshot::check("hold-followed-80x24", &mut followed(), 80, 24);
        snapshot::check("hold-followed-160x48", &mut followed(), 160, 48);
    }

    #[test]
    fn silent_brokers_keep_what_was_last_known() {
        let mut model = followed();
        let mut reading = fixture::hold_reading();
        reading.silent_since = Some(fixture::NOW);
        reading.read_at -= 41_000_000;
        reading.why = Some("no broker answers within 10 s: Connection refused".to_owned());
        reading.recorded = false;
        update(&mut model, Msg::Hold(Box::new(reading)));
        snapshot::check("hold-silent-80x24", &mut model, 80, 24);
    }

    #[test]
    fn the_bell_rings_at_ten_five_and_two_minutes_and_not_for_what_is_rescued() {
        const MINUTE: i64 = 60_000_000;
        let mut model = followed();
        let from = model.hold.unwrap().loss_from.unwrap();
        let mut rang = Vec::new();
        for left in (0..=12).rev() {
            let out = update(&mut model, Msg::Tick(from - left * MINUTE));
            if out.iter().any(|e| matches!(e, Effect::Bell)) {
                rang.push(left);
            }
        }
        // The clock does not go back: what was passed when it began is one bell.
        assert_eq!(rang, [10, 5, 2]);
        let mut safe = fixture::hold_reading();
        for partition in &mut safe.partitions {
            partition.rescued = partition.held;
        }
        let mut model = followed();
        update(&mut model, Msg::Hold(Box::new(safe)));
        let out = update(&mut model, Msg::Tick(from));
        assert!(!out.iter().any(|e| matches!(e, Effect::Bell)));
    }
}
