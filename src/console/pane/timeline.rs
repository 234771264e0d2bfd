//! The log's time line: when events happened, against T and the stop.

use super::value::instant;
use crate::console::model::Setup;
use crate::console::model::diff::Times;
use crate::console::widget::{Strip, rules};
use crate::text::Safe;
use crate::theme::Tone;

/// `13:58:30Z ──●──T──●●─── 14:31:00Z stop`, in `width` cells; events outside the span are said.
pub fn strip(setup: &Setup, times: &Times, width: usize) -> Strip<'static> {
    let Some(t) = setup.restored_to else {
        return Strip::new().ours(Tone::Dim, "no restore point is configured: no time line");
    };
    let (from, to) = times.span;
    let begin = instant(from, Some(t));
    let end = instant(to, Some(t));
    let stop = if setup.stopped_at.is_some() { " stop" } else { "" };
    let outside = if times.outside == 0 {
        String::new()
    } else {
        format!(", {} outside", times.outside)
    };
    let taken = begin.width() + end.width() + stop.len() + outside.len() + 3;
    let cells = width.saturating_sub(taken).min(times.slots.len());
    let mut strip = Strip::new().with(Tone::Dim, begin).ours(Tone::Text, " ");
    if cells < 8 || to <= from {
        return strip.ours(Tone::Dim, "to ").with(Tone::Dim, end);
    }
    let cell_of = |at: i64| {
        let cell = i128::from(at - from) * (cells as i128) / (i128::from(to - from) + 1);
        usize::try_from(cell).unwrap_or(0).min(cells - 1)
    };
    let mut events = vec![0u32; cells];
    for (slot, n) in times.slots.iter().enumerate() {
        events[slot * cells / times.slots.len()] += n;
    }
    let mark = cell_of(t);
    let mut idle = 0;
    for (cell, n) in events.iter().enumerate() {
        let glyph = if *n < 10 { "●" } else { "█" };
        if cell == mark || *n > 0 {
            strip = strip.with(Tone::Rule, rules(std::mem::take(&mut idle)));
        }
        // T stands between cells, so that it hides no event.
        if cell == mark {
            strip = strip.ours(Tone::Accent, "T");
        }
        if *n > 0 {
            strip = strip.ours(Tone::Text, glyph);
        } else {
            idle += 1;
        }
    }
    strip
        .with(Tone::Rule, rules(idle))
        .ours(Tone::Text, " ")
        .with(Tone::Dim, end)
        .ours(Tone::Dim, stop)
        .with(Tone::Dim, Safe::of(&outside).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture::{STOP, T, setup};

    fn text(times: &Times, width: usize) -> String {
        strip(&setup(), times, width)
            .pieces()
            .iter()
            .map(|(t, _)| t.as_str())
            .collect()
    }

    #[test]
    fn shows_events_around_t() {
        let mut times = Times::new(setup().span().unwrap());
        times.add(Some(T - 60_000_000));
        times.add(Some(STOP));
        times.add(None);
        let line = text(&times, 70);
        assert!(
            line.starts_with("13:58:30Z ─") && line.ends_with("● 14:31:00Z stop, 1 outside"),
            "{line}"
        );
        assert_eq!(line.matches('●').count(), 2);
        assert!(line.find('●') < line.find('T') && line.contains('T'));
        for width in 0..200 {
            let _ = text(&times, width);
        }
    }
}
