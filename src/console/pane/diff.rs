//! Diff: what differs, counted by table, kind and field; then the orders behind a count.

use super::timeline;
use super::value::{self, count, evidence, many};
use crate::console::model::diff::{Behind, Group, GroupKey, Inside, MOST_BEHIND};
use crate::console::model::{Feed, Model};
use crate::console::view::layout::Areas;
use crate::console::widget::{Pen, Strip};
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;

/// Draws the counts, or the rows behind one.
pub fn draw(model: &Model, pen: &mut Pen<'_>, areas: &Areas) {
    let width = usize::from(areas.list.width);
    pen.strip(areas.sums, 0, &title(model, width));
    pen.rule(areas.sums_rule);
    match &model.diff.inside {
        Some(inside) => rows(model, inside, pen, areas),
        None => groups(model, pen, areas),
    }
    pen.rule(areas.about_rule);
    pen.strips(areas.about, &about(model, usize::from(areas.about.width)));
}

fn title(model: &Model, width: usize) -> Strip<'static> {
    let diff = &model.diff;
    let mut right = Strip::new();
    if diff.busy {
        right = right.ours(Tone::Accent, "counting… ");
    } else if diff.stale && diff.groups.is_some() {
        right = right.ours(Tone::Warn, "cases changed since: ctrl-r counts again ");
    }
    let left = match (&diff.inside, &diff.groups) {
        (Some(inside), _) => {
            let key = &inside.key;
            let field = key
                .field
                .as_deref()
                .map_or(Safe::ours(""), |f| safe!(" {}", Safe::id(f)));
            let tags = tags(key, false);
            let comma = if tags.is_empty() { "" } else { ", " };
            let text = safe!(
                " {} {}{}{}{}",
                Safe::id(&key.entity),
                key.kind.words(),
                field,
                comma,
                tags
            );
            let shown = inside.rows.as_ref().map_or(0, Vec::len);
            let cut = if shown >= MOST_BEHIND {
                " (the first of them)"
            } else {
                ""
            };
            Strip::new()
                .with(Tone::Heading, text)
                .with(Tone::Text, safe!(": {}{}   ", many(shown as u64, "row", "rows"), cut))
                .ours(Tone::Key, "esc")
                .ours(Tone::Text, " all counts")
        }
        (None, Some(groups)) => {
            let rows: u64 = groups.iter().map(|g| g.rows).sum();
            Strip::new().with(
                Tone::Text,
                safe!(
                    " {}, of cases that are still work",
                    many(rows, "difference", "differences")
                ),
            )
        }
        (None, None) => Strip::new().ours(Tone::Dim, " log against restored, of cases that are still work"),
    };
    left.beside(right, width).into_owned()
}

fn groups(model: &Model, pen: &mut Pen<'_>, areas: &Areas) {
    let width = usize::from(areas.list.width);
    let tagged = |g: &Group| g.key.undone || g.key.since_opening || model.diff.ignored(&g.key).is_some();
    // Words behind the counts need room.
    let any = model.diff.groups.iter().flatten().any(tagged);
    let name = (width / 4).clamp(12, 30) - if any { 6 } else { 0 };
    let head = Strip::new()
        .ours(Tone::Text, "   ")
        .column(Tone::Heading, Safe::ours("table"), name)
        .column(Tone::Heading, Safe::ours("kind"), 16)
        .column(Tone::Heading, Safe::ours("field"), name)
        .column(Tone::Heading, Safe::ours("rows").right(8), 8)
        .column(Tone::Heading, Safe::ours("cases").right(8), 8);
    pen.strip(areas.head, 0, &head);
    let Some(groups) = &model.diff.groups else {
        let dead = model.dead.iter().find(|(feed, _)| *feed == Feed::Diff);
        let words = match dead {
            Some((_, why)) => safe!(" counting stopped: {}; ctrl-r starts it again", Safe::of(why)),
            None => Safe::ours(" counting differences…"),
        };
        pen.strip(
            areas.list,
            0,
            &Strip::new().with(if dead.is_some() { Tone::Bad } else { Tone::Dim }, words),
        );
        return;
    };
    if groups.is_empty() {
        pen.strip(
            areas.list,
            0,
            &Strip::new().ours(Tone::Dim, " no case is left that differs"),
        );
    }
    for (row, (at, group)) in groups
        .iter()
        .enumerate()
        .skip(model.diff.top)
        .take(usize::from(areas.list.height))
        .enumerate()
    {
        let ignored = model.diff.ignored(&group.key).is_some();
        pen.strip(areas.list, row, &group_line(group, at == model.diff.at, ignored, name));
    }
}

fn group_line(group: &Group, cursor: bool, ignored: bool, name: usize) -> Strip<'_> {
    let key = &group.key;
    let mut strip = Strip::new()
        .ours(Tone::Accent, if cursor { " ▸ " } else { "   " })
        .column(Tone::Text, Safe::id(&key.entity), name)
        .column(Tone::Text, Safe::ours(key.kind.words()), 16)
        .column(
            if key.field.is_some() { Tone::Text } else { Tone::Dim },
            key.field.as_deref().map_or(Safe::ours("·"), Safe::id),
            name,
        )
        .column(Tone::Text, count(group.rows).right(8), 8)
        .column(Tone::Dim, count(group.cases).right(8), 8);
    let tags = tags(key, ignored);
    if !tags.is_empty() {
        strip = strip.ours(Tone::Text, "  ").ours(Tone::Warn, tags);
    }
    strip.ground = cursor.then_some(Tone::Selected);
    strip
}

/// What sets a count apart from the damage.
const fn tags(key: &GroupKey, ignored: bool) -> &'static str {
    match (ignored, key.undone, key.since_opening) {
        (true, ..) => "ignored",
        (_, true, true) => "undone+",
        (_, true, false) => "undone",
        (_, false, true) => "moved",
        (_, false, false) => "",
    }
}

fn rows(model: &Model, inside: &Inside, pen: &mut Pen<'_>, areas: &Areas) {
    let width = usize::from(areas.list.width);
    let by = (width / 4).clamp(12, 32);
    let with_values = inside.key.field.is_some();
    let side = width.saturating_sub(3 + 13 + 13 + by + 2) / 2;
    let mut head = Strip::new()
        .ours(Tone::Text, "   ")
        .column(Tone::Heading, Safe::ours("order"), 12)
        .column(Tone::Heading, Safe::ours("key"), 12);
    if with_values {
        head = head.column(Tone::Heading, Safe::ours("restored"), side).column(
            Tone::Heading,
            Safe::ours("log says"),
            side,
        );
    }
    pen.strip(areas.head, 0, &head.ours(Tone::Heading, "said by"));
    let Some(rows) = &inside.rows else {
        pen.strip(areas.list, 0, &Strip::new().ours(Tone::Dim, " reading rows…"));
        return;
    };
    for (line, (at, row)) in rows
        .iter()
        .enumerate()
        .skip(inside.top)
        .take(usize::from(areas.list.height))
        .enumerate()
    {
        let cursor = at == inside.at;
        let mut strip = Strip::new()
            .ours(Tone::Accent, if cursor { " ▸ " } else { "   " })
            .column(Tone::Text, Safe::id(&row.label).clip_start(12), 12)
            .column(Tone::Dim, Safe::id(&row.key).clip_start(12), 12);
        if with_values {
            let (restored, log) = sides(model, inside, row);
            let (restored, log) = value::pair((restored, side), (log, side));
            strip = strip.column(Tone::Warn, restored, side).column(Tone::Warn, log, side);
        }
        let by = row
            .by
            .as_ref()
            .map_or(Safe::ours("·"), |e| evidence(e, model.setup.restored_to));
        strip = strip.with(Tone::Dim, by);
        strip.ground = cursor.then_some(Tone::Selected);
        pen.strip(areas.list, line, &strip);
    }
}

fn sides(model: &Model, inside: &Inside, row: &Behind) -> (Safe<'static>, Safe<'static>) {
    let column = inside.key.field.as_deref().unwrap_or("");
    let side = |v: &Option<serde_json::Value>| {
        v.as_ref().map_or(Safe::ours("·"), |v| {
            value::of_column(&model.setup, &inside.key.entity, column, v)
        })
    };
    (side(&row.restored), side(&row.log))
}

/// When the log said so, and both values in full.
fn about(model: &Model, width: usize) -> Vec<Strip<'static>> {
    let mut lines = Vec::new();
    let named = |name: &'static str| {
        Strip::new()
            .ours(Tone::Text, " ")
            .column(Tone::Dim, Safe::ours(name), 9)
    };
    if let Some(group) = model.diff.group() {
        let line = timeline::strip(&model.setup, &group.times, width.saturating_sub(12));
        lines.push(
            line.pieces()
                .iter()
                .fold(named("log"), |strip, (text, tone)| strip.with(*tone, text.clone())),
        );
    }
    if let Some(inside) = &model.diff.inside
        && let Some(row) = inside.rows.as_ref().and_then(|r| r.get(inside.at))
        && inside.key.field.is_some()
    {
        let (restored, log) = sides(model, inside, row);
        let room = width.saturating_sub(12);
        let (restored, log) = value::pair((restored, room), (log, room));
        let mut restored = named("restored").with(Tone::Text, restored);
        if let Some(then) = &row.opening {
            let column = inside.key.field.as_deref().unwrap_or("");
            let then = value::of_column(&model.setup, &inside.key.entity, column, then);
            restored = restored.with(Tone::Accent, safe!("  (at the opening: {})", then));
        }
        lines.push(restored);
        lines.push(named("log says").with(Tone::Text, log));
    } else if let Some(group) = model.diff.group().filter(|_| model.diff.inside.is_none()) {
        if let Some(ignored) = model.diff.ignored(&group.key) {
            lines.push(named("ignored").with(Tone::Text, Safe::of(&ignored.why).into_owned()));
            lines.push(named("to keep").with(Tone::Text, Safe::of(&ignored.paste).into_owned()));
            return lines;
        }
        if group.key.undone && group.key.since_opening {
            lines.push(named("undone+").ours(
                Tone::Dim,
                "it rests on the bad change, and the rows moved after the opening",
            ));
        } else if group.key.undone {
            lines.push(named("undone").ours(
                Tone::Dim,
                "it rests on the bad change: the restore removed it on purpose",
            ));
        } else if group.key.since_opening {
            lines.push(named("moved").ours(
                Tone::Dim,
                "these rows moved after the opening: traffic, in cases that were there",
            ));
        }
        lines.push(named("").ours(Tone::Dim, "enter shows the orders behind the count"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture;
    use crate::console::model::View;
    use crate::console::model::diff::behind;
    use crate::console::widget::snapshot;

    #[test]
    fn looks_as_drawn() {
        let mut model = fixture::model();
        model.view = View::Diff;
        model.diff.groups = Some(fixture::groups());
        model.diff.at = 2;
        snapshot::check("diff-80x24", &mut model, 80, 24);
        let key = model.diff.group().unwrap().key.clone();
        let rows = behind(&fixture::regressed().found, &key);
        assert!(!rows.is_empty());
        model.diff.inside = Some(Inside {
            key,
            rows: Some(rows),
            at: 0,
            top: 0,
        });
        snapshot::check("diff-rows-80x24", &mut model, 80, 24);
        snapshot::check("diff-rows-160x48", &mut model, 160, 48);
    }

    #[test]
    fn what_moved_is_undone_or_ignored_looks_as_drawn() {
        let mut model = fixture::model();
        model.view = View::Diff;
        let mut case = fixture::regressed().found;
        case.findings[0].since_opening = true;
        case.findings[0].fields[0].undone = true;
        case.findings[0].fields[1].opening = Some(serde_json::json!("3"));
        let ignored = [crate::console::model::diff::Ignored {
            entity: "order".to_owned(),
            column: "touched".to_owned(),
            why: "a trigger writes it, says sam".to_owned(),
            paste: "[schema.order] ignore = [\"touched\"]".to_owned(),
        }];
        let mut tally = crate::console::model::diff::Tally::new(model.setup.span().unwrap());
        tally.add(&fixture::orphan().found);
        tally.add(&case);
        model.diff.groups = Some(tally.groups(&ignored));
        model.diff.ignored = ignored.to_vec();
        let groups = model.diff.groups.as_ref().unwrap();
        let at = |f: &str| groups.iter().position(|g| g.key.field.as_deref() == Some(f)).unwrap();
        let (touched, moved) = (at("touched"), at(&case.findings[0].fields[1].name));
        model.diff.at = touched;
        snapshot::check("diff-ignored-80x24", &mut model, 80, 24);
        model.diff.at = moved;
        let key = model.diff.group().unwrap().key.clone();
        let rows = behind(&case, &key);
        model.diff.inside = Some(Inside {
            key,
            rows: Some(rows),
            at: 0,
            top: 0,
        });
        snapshot::check("diff-moved-80x24", &mut model, 80, 24);
    }
}
