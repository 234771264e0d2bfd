//! The queue: what do I do next?

use super::case::{kinds_in, state_tone};
use super::value::{count, instant};
use crate::console::model::{Feed, Model, Scan};
use crate::console::view::layout::Areas;
use crate::console::widget::{Pen, Strip};
use crate::domain::case::State;
use crate::domain::finding::Kind;
use crate::domain::queue::{CaseRow, Claim, Counts};
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;

/// Draws sums, list and the words below it.
pub fn draw(model: &Model, pen: &mut Pen<'_>, areas: &Areas) {
    let width = usize::from(areas.sums.width);
    match &model.counts {
        Some(counts) if counts.total() == 0 => {
            pen.strip(areas.sums, 0, &Strip::new().ours(Tone::Dim, " no case in the ledger"));
        }
        Some(counts) => {
            pen.strip(areas.sums, 0, &sums(counts, width));
            pen.strip(areas.sums, 1, &by_kind(counts, width));
        }
        None => pen.strip(areas.sums, 0, &Strip::new().ours(Tone::Dim, " reading cases…")),
    }
    pen.rule(areas.sums_rule);
    let columns = Columns::of(model, usize::from(areas.list.width));
    pen.strip(areas.head, 0, &columns.head(model));
    let queue = &model.queue;
    let range = queue.range_bounds();
    for line in 0..usize::from(areas.list.height) {
        let Some(row) = queue.row_at(queue.top + line) else {
            break;
        };
        pen.strip(areas.list, line, &columns.line(model, row, queue.top + line, range));
    }
    if queue.shown.is_empty() {
        pen.strip(
            areas.list,
            0,
            &Strip::new().ours(Tone::Text, " ").with(Tone::Dim, empty(model)),
        );
    }
    pen.rule(areas.about_rule);
    pen.strips(areas.about, &about(model, usize::from(areas.about.width)));
}

fn empty(model: &Model) -> Safe<'static> {
    let queue = &model.queue;
    if let Some((_, why)) = model.dead.iter().find(|(feed, _)| *feed == Feed::Rows) {
        return safe!("reading the cases stopped, ctrl-r starts it again: {}", Safe::of(why));
    }
    if !queue.complete || queue.is_arranging() {
        return Safe::ours("reading cases…");
    }
    if !queue.query.is_empty() {
        return Safe::ours("no case fits the filter: esc lifts it");
    }
    Safe::ours(match (model.counts.as_ref().map_or(0, Counts::total), &model.scan) {
        (0, Scan::Never) => "no case yet, and no scan: ctrl-r begins one",
        (0, Scan::Running { .. }) => "no case yet: the scan is under way",
        (0, Scan::Failed { .. }) => "no case yet: the scan failed, view 1 says why",
        (0, Scan::Done { .. }) => "the scan found nothing to decide",
        _ => "every case is settled",
    })
}

/// `612 = 420 open  40 to do  …`; states without cases are left out, and what does not fit is summed up.
pub fn sums(counts: &Counts, width: usize) -> Strip<'static> {
    let parts: Vec<(u64, Safe<'static>, Tone)> = State::ALL
        .into_iter()
        .map(|s| (counts.of(s), Safe::ours(s.words()), state_tone(s)))
        .filter(|(n, _, _)| *n > 0)
        .collect();
    let head = Strip::new()
        .ours(Tone::Text, " ")
        .with(Tone::Heading, count(counts.total()))
        .ours(Tone::Dim, " =");
    fitted(&head, &parts, "other", width)
}

/// `left 499: unknown state 318  lost 62 …`: every case that is still work, once.
pub fn by_kind(counts: &Counts, width: usize) -> Strip<'static> {
    let of = |wanted: fn(Kind) -> bool| -> u64 {
        Kind::ALL
            .into_iter()
            .zip(counts.kinds)
            .filter(|(k, _)| wanted(*k))
            .map(|(_, n)| n)
            .sum()
    };
    let unknown = of(Kind::is_unknown_state);
    let mut parts: Vec<(u64, Safe<'static>, Tone)> = Vec::new();
    if unknown > 0 {
        parts.push((unknown, Safe::ours("unknown state"), Tone::Text));
    }
    for (kind, n) in Kind::ALL.into_iter().zip(counts.kinds) {
        if !kind.is_unknown_state() && n > 0 {
            parts.push((n, Safe::ours(kind.words()), Tone::Text));
        }
    }
    for (table, n) in &counts.undeleted_rows {
        parts.push((*n, safe!("undeleted {} rows", Safe::id(table)), Tone::Dim));
    }
    if counts.undone > 0 {
        parts.push((counts.undone, Safe::ours("undone by the restore"), Tone::Dim));
    }
    let rows: u64 = counts.undeleted_rows.iter().map(|(_, n)| n).sum();
    // What the kinds do not name must not vanish from the sum.
    let rest = counts
        .unsettled()
        .saturating_sub(counts.kinds.iter().sum::<u64>() + counts.undone + rows);
    if rest > 0 {
        parts.push((rest, Safe::ours("without finding"), Tone::Text));
    }
    let head = Strip::new()
        .ours(Tone::Text, " left ")
        .with(Tone::Heading, count(counts.unsettled()))
        .ours(Tone::Dim, " =");
    let strip = fitted(&head, &parts, "other", width);
    let also = safe!("  ({} both lost and orphaned)", count(counts.lost_and_orphaned));
    if counts.lost_and_orphaned > 0 && strip.width() + also.width() <= width {
        strip.with(Tone::Dim, also)
    } else {
        strip
    }
}

/// The parts that fit, and the sum of those that do not.
fn fitted(
    head: &Strip<'static>,
    parts: &[(u64, Safe<'static>, Tone)],
    other: &'static str,
    width: usize,
) -> Strip<'static> {
    let line = |shown: usize| {
        let mut strip = head.clone();
        for (i, (n, words, tone)) in parts.iter().take(shown).enumerate() {
            strip = strip
                .ours(Tone::Text, if i == 0 { " " } else { "  " })
                .with(*tone, safe!("{} {}", count(*n), words));
        }
        let rest: u64 = parts.iter().skip(shown).map(|(n, _, _)| n).sum();
        if rest > 0 {
            strip = strip
                .ours(Tone::Text, if shown == 0 { " " } else { "  " })
                .with(Tone::Dim, safe!("{} {}", count(rest), other));
        }
        if parts.is_empty() {
            strip.ours(Tone::Text, " 0")
        } else {
            strip
        }
    };
    (0..=parts.len())
        .rev()
        .map(line)
        .find(|s| s.width() <= width)
        .unwrap_or_else(|| line(0))
}

/// Widths of the list's columns; a column of no width is left out.
struct Columns {
    order: usize,
    action: usize,
    what: usize,
    waits: usize,
    holder: usize,
    shows: Vec<usize>,
}

impl Columns {
    fn of(model: &Model, width: usize) -> Self {
        let room = width.saturating_sub(3);
        let order = model.queue.table.rows.longest_label().clamp(12, 20).min(room);
        let mut left = room.saturating_sub(order + 1);
        let mut take = |wanted: usize| {
            let taken = if left >= wanted { wanted } else { 0 };
            left = left.saturating_sub(taken + usize::from(taken > 0));
            taken
        };
        let wide = room > 84;
        let what = take(if wide { 26 } else { 17 });
        let action = take(10);
        let waits = take(if wide { 16 } else { 11 });
        let holder = take(9);
        let each = if wide { [14, 7] } else { [10, 7] };
        let shows = model
            .setup
            .show
            .iter()
            .map(|_| each.into_iter().map(&mut take).find(|w| *w > 0).unwrap_or(0))
            .collect();
        // What is left over goes to the column that is cut first.
        let what = if what > 0 { what + left.min(20) } else { 0 };
        Self {
            order,
            action,
            what,
            waits,
            holder,
            shows,
        }
    }

    fn head(&self, model: &Model) -> Strip<'static> {
        let mut strip = Strip::new()
            .ours(Tone::Text, "   ")
            .column(Tone::Heading, Safe::ours("order"), self.order);
        for (width, name) in [
            (self.action, "kind"),
            (self.what, "what"),
            (self.waits, "waits for"),
            (self.holder, "held by"),
        ] {
            if width > 0 {
                strip = strip.column(Tone::Heading, Safe::ours(name), width);
            }
        }
        for (width, name) in self.shows.iter().zip(&model.setup.show) {
            if *width > 0 {
                strip = strip.column(Tone::Heading, Safe::id(name).into_owned(), *width);
            }
        }
        strip
    }

    fn line<'r>(&self, model: &'r Model, row: &'r CaseRow, place: usize, range: Option<(usize, usize)>) -> Strip<'r> {
        let queue = &model.queue;
        let cursor = place == queue.at;
        let marked =
            queue.marks.contains(&row.id) || range.is_some_and(|(first, last)| (first..=last).contains(&place));
        let glyph = match (cursor, marked) {
            (true, true) => " ▸*",
            (true, false) => " ▸ ",
            (false, true) => " * ",
            (false, false) => "   ",
        };
        let mut strip = Strip::new().ours(Tone::Accent, glyph);
        strip.ground = match (cursor, marked) {
            (true, _) if !model.in_case => Some(Tone::Selected),
            (_, true) => Some(Tone::Marked),
            _ => None,
        };
        strip = strip.column(Tone::Text, Safe::id(&row.label).clip_start(self.order), self.order);
        if self.action > 0 {
            strip = strip.column(Tone::Dim, Safe::of(&row.action), self.action);
        }
        if self.what > 0 {
            let (tone, what) = what(row, self.what);
            strip = strip.column(tone, what, self.what);
        }
        if self.waits > 0 {
            let waits = match row.blocked_by.as_slice() {
                [] => Safe::ours("·"),
                [(_, one)] => Safe::id(one),
                [(_, first), rest @ ..] => {
                    let more = safe!(" +{}", rest.len());
                    safe!(
                        "{}{}",
                        Safe::id(first).clip_start(self.waits.saturating_sub(more.width())),
                        more
                    )
                }
            };
            let tone = if row.blocked_by.is_empty() {
                Tone::Dim
            } else {
                Tone::Warn
            };
            strip = strip.column(tone, waits.clip_start(self.waits), self.waits);
        }
        if self.holder > 0 {
            let (tone, holder) = holder(model, row);
            strip = strip.column(tone, holder, self.holder);
        }
        for ((width, value), column) in self.shows.iter().zip(&row.show).zip(&model.setup.show) {
            if *width > 0 {
                let shown = if model.setup.masks("order", column) {
                    Safe::masked()
                } else {
                    Safe::of(value)
                };
                strip = strip.column(Tone::Text, shown, *width);
            }
        }
        strip
    }
}

/// Who holds it, and in brackets who has it open without holding it.
fn holder<'r>(model: &'r Model, row: &'r CaseRow) -> (Tone, Safe<'r>) {
    let (tone, name) = match &row.claim {
        None => (Tone::Dim, None),
        Some(claim) if claim.by == model.setup.who => (Tone::Mine, Some(Safe::ours("you"))),
        Some(claim) => (Tone::Held, Some(Safe::id(&claim.by))),
    };
    let on_it = others_on(model, &row.id, row.claim.as_ref());
    match (name, on_it.as_slice()) {
        (None, []) => (tone, Safe::ours("·")),
        (Some(name), []) => (tone, name),
        (None, [one, ..]) => (Tone::Held, safe!("({})", Safe::id(one))),
        (Some(name), [one, ..]) => (tone, safe!("{} ({})", name, Safe::id(one))),
    }
}

/// Who has the case open without holding it.
pub fn others_on<'m>(model: &'m Model, id: &str, claim: Option<&Claim>) -> Vec<&'m str> {
    let all = model.lookers(id).iter().map(String::as_str);
    all.filter(|who| claim.is_none_or(|c| c.by != *who)).collect()
}

/// `li is on it`, `li and 2 others are on it`; nothing where nobody is.
pub fn on_it(others: &[&str]) -> Safe<'static> {
    match others {
        [] => Safe::ours(""),
        [one] => safe!("{} is on it", Safe::id(one)),
        [one, two] => safe!("{} and {} are on it", Safe::id(one), Safe::id(two)),
        [one, rest @ ..] => safe!("{} and {} others are on it", Safe::id(one), rest.len()),
    }
}

/// What the matter is: the findings of an open case, else its state and verb.
fn what(row: &CaseRow, width: usize) -> (Tone, Safe<'static>) {
    let found = |words: &'static str| {
        let head = safe!("{}: ", words);
        let room = width.saturating_sub(head.width());
        safe!("{}{}", head, kinds_in(&row.kinds, room))
    };
    match (row.state, row.verb) {
        (State::Open, _) if row.disproven => (Tone::Bad, found("not proven")),
        (State::Open, _) if row.undone => (Tone::Dim, found("undone")),
        (State::Open, _) => (Tone::Text, kinds_in(&row.kinds, width)),
        (state, _) if row.due => (Tone::Loud, safe!("{}: its time has come", state.words())),
        (state @ (State::Parked | State::Escalated | State::Gone), _) => (state_tone(state), found(state.words())),
        (state, None) => (state_tone(state), Safe::ours(state.words())),
        (state, Some(verb)) => (state_tone(state), safe!("{}: {}", state.words(), verb.name())),
    }
}

/// Two lines about the case under the cursor.
fn about(model: &Model, width: usize) -> Vec<Strip<'static>> {
    let Some(row) = model.queue.current() else {
        return Vec::new();
    };
    let label = || Safe::id(&row.label);
    let loaded = model.case.current().filter(|l| l.file.found.id == *row.id);
    let mut first = Strip::new().ours(Tone::Text, " ");
    let missing = loaded
        .and_then(|l| l.file.found.missing.first())
        .map(|m| super::value::missing(&model.setup, m));
    match (row.blocked_by.first(), missing) {
        (Some((_, other)), Some(missing)) => {
            first.add(
                Tone::Text,
                safe!("{} refers to {}, lost with {}.", label(), missing, Safe::id(other)),
            );
        }
        (Some((_, other)), None) => first.add(Tone::Text, safe!("{} waits for {}.", label(), Safe::id(other))),
        (None, Some(missing)) => first.add(
            Tone::Text,
            safe!("{} refers to {}, which is not there.", label(), missing),
        ),
        (None, None) => first.add(Tone::Text, safe!("{} waits for no other case.", label())),
    }
    let waiting = match (row.waited_for, loaded.map(|l| l.file.waited_for_by.as_slice())) {
        (0, _) => Safe::ours(""),
        (1, Some([(_, one), ..])) => safe!(" {} waits for {}.", Safe::id(one), label()),
        (1, _) => safe!(" One case waits for {}.", label()),
        (n, _) => safe!(" {} cases wait for {}.", n, label()),
    };
    first.add(Tone::Text, waiting);
    let others = others_on(model, &row.id, row.claim.as_ref());
    if !others.is_empty() {
        first.add(Tone::Held, safe!(" {}.", on_it(&others)));
    }
    if let Some(at) = row.dies_at {
        first.add(
            Tone::Loud,
            safe!(" Held: loss possible from {}.", instant(at, Some(model.now))),
        );
    }
    let mut second = Strip::new().ours(Tone::Text, " ");
    if let Some(loaded) = loaded {
        if let Some(decision) = loaded.file.decision.as_ref().filter(|_| row.state != State::Open) {
            let text = safe!(
                "{} by {}: {}",
                decision.verb.name(),
                Safe::id(&decision.by),
                Safe::of(&decision.reason)
            );
            second = second.ours(Tone::Dim, "decided: ").with(Tone::Text, text);
        } else if let Some(advice) = &loaded.file.found.advice {
            let text = safe!("{}, {}", advice.verb.name(), Safe::of(&advice.why));
            second = second.ours(Tone::Accent, "advice: ").with(Tone::Text, text);
        }
    } else if model.case.missing {
        second = second.ours(Tone::Warn, "the ledger has no such case any more: ctrl-r reads again");
    }
    vec![first.cut(width).into_owned(), second.cut(width).into_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture;
    use crate::console::widget::snapshot;

    #[test]
    fn looks_as_drawn() {
        let mut model = fixture::model();
        model.case.id = Some("order:958".to_owned());
        model.case.loaded = Some(fixture::loaded(fixture::orphan()));
        snapshot::check("queue-80x24", &mut model, 80, 24);
        snapshot::check("queue-160x48", &mut model, 160, 48);
        snapshot::check("queue-60x16", &mut model, 60, 16);
        snapshot::check("queue-40x10", &mut model, 40, 10);
    }

    #[test]
    fn others_and_a_lost_ledger_look_as_drawn() {
        let mut model = fixture::model();
        model.case.id = Some("order:958".to_owned());
        model.case.loaded = Some(fixture::loaded(fixture::orphan()));
        for (case, who) in [
            ("order:958", "li"),
            ("order:90", "sam"),
            ("order:91", "li"),
            ("order:91", "sam"),
        ] {
            model.lookers.entry(case.to_owned()).or_default().push(who.to_owned());
        }
        snapshot::check("queue-shared-80x24", &mut model, 80, 24);
        model.in_case = true;
        snapshot::check("case-shared-80x24", &mut model, 80, 24);
        model.in_case = false;
        let source = crate::console::model::Source {
            name: "ledger".to_owned(),
            read_at: Some(fixture::NOW - 41_000_000),
            lost_since: Some(fixture::NOW - 41_000_000),
            late_after: 0,
        };
        model.sources.insert(0, source);
        model.ledger_lost = Some("nothing listens at 10.1.2.3:5432".to_owned());
        snapshot::check("queue-lost-80x24", &mut model, 80, 24);
        snapshot::check("queue-lost-160x48", &mut model, 160, 48);
    }

    #[test]
    fn the_first_frame_says_what_is_known() {
        let mut model = Model::new(fixture::setup(), fixture::NOW, (80, 24));
        let text = snapshot::text(&snapshot::draw(&mut model, 80, 24)).join("\n");
        assert!(
            text.contains("om-prod  restored to 14:05:00Z, loss window 26m") && text.contains("reading cases…"),
            "{text}"
        );
    }

    proptest::proptest! {
        /// The first figure is the sum of the others, whatever there is room for.
        #[test]
        fn counts_add_up_at_any_width(
            states in proptest::array::uniform8(0_u64..2_000_000),
            share in 0_u64..10,
            width in 0_usize..200,
        ) {
            let mut counts = Counts { states, ..Counts::default() };
            let left = counts.unsettled();
            counts.kinds[0] = left * share / 10;
            counts.undeleted_rows = vec![("catalog".to_owned(), (left - counts.kinds[0]) / 2)];
            counts.kinds[6] = left - counts.kinds[0] - counts.undeleted_rows[0].1;
            for (strip, total) in [(sums(&counts, width), counts.total()), (by_kind(&counts, width), left)] {
                let text: String = strip.pieces().iter().map(|(t, _)| t.as_str()).collect();
                let text = text.split('(').next().unwrap().replace(',', "");
                let figures: Vec<u64> = text.split_whitespace().filter_map(|w| w.parse().ok()).collect();
                proptest::prop_assert_eq!(figures[0], total, "{}", text);
                proptest::prop_assert_eq!(figures[1..].iter().sum::<u64>(), total, "{}", text);
            }
        }
    }
}
