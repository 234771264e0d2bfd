//! The rows of the order's family: restored and log side by side, and the event behind each value.

use super::{Page, kinds};
use crate::console::model::case::Detail;
use crate::console::pane::value;
use crate::console::widget::Strip;
use crate::domain::case::{FamilyField, FamilyRow};
use crate::domain::finding::Finding;
use crate::safe;
use crate::text::Safe;
use crate::theme::Tone;
use serde_json::Value as Json;

/// Widths of the columns of the family.
struct Columns {
    row: usize,
    field: usize,
    restored: usize,
    log: usize,
}

impl Page<'_> {
    fn columns(&self) -> Columns {
        // Each column as wide as what stands in it, within its share of the line.
        let family = &self.loaded.file.found.family;
        let fields = || {
            family
                .iter()
                .take(200)
                .flat_map(|row| row.fields.iter().map(move |f| (row, f)))
                .take(1_000)
        };
        let names = family
            .iter()
            .take(200)
            .map(|row| row.entity.len() + 1 + row.key.len().min(12))
            .max();
        let row = names.unwrap_or(0).clamp(12, (self.width * 3 / 10).max(12));
        let columns = family
            .iter()
            .take(200)
            .flat_map(|row| row.refs.iter().map(|r| r.column.len()));
        let field = fields()
            .map(|(_, f)| f.name.len())
            .chain(columns)
            .max()
            .unwrap_or(0)
            .clamp(8, (self.width / 6).max(8));
        let today = self.model.setup.restored_to;
        let by = fields()
            .filter_map(|(_, f)| f.by.as_ref())
            .map(|e| value::evidence(e, today).width())
            .max();
        let by = by.unwrap_or(0).clamp(12, (self.width * 3 / 10).max(12));
        let room = self.width.saturating_sub(row + field + by + 5);
        // The side whose values are short leaves its room to the other.
        let (mut restored, mut log) = (9, 9);
        for (row, field) in fields() {
            restored = self.side(row, field, field.restored.as_ref()).width().max(restored);
            log = self.side(row, field, field.log.as_ref()).width().max(log);
        }
        let half = (room / 2).max(6);
        let restored = if restored <= half {
            restored
        } else {
            room.saturating_sub(log).max(half)
        };
        Columns {
            row,
            field,
            restored,
            log: room.saturating_sub(restored).max(6),
        }
    }

    /// One side of a field as text.
    fn side(&self, row: &FamilyRow, field: &FamilyField, value: Option<&Json>) -> Safe<'static> {
        value.map_or(Safe::ours("·"), |v| self.of_column(&row.entity, &field.name, v))
    }

    /// The rows of the family, both sides.
    pub(super) fn family(&mut self) {
        let c = self.columns();
        self.put(
            Strip::new()
                .ours(Tone::Text, " ")
                .column(Tone::Heading, Safe::ours("row"), c.row)
                .column(Tone::Heading, Safe::ours("field"), c.field)
                .column(Tone::Heading, Safe::ours("restored"), c.restored)
                .column(Tone::Heading, Safe::ours("log says"), c.log)
                .ours(Tone::Heading, "said by"),
        );
        let loaded = self.loaded;
        let (mut same, mut hidden) = (Vec::new(), 0);
        for row in &loaded.file.found.family {
            let noteworthy = !row.kinds.is_empty()
                || row.refs.iter().any(|r| loaded.file.found.lacks(r))
                || row
                    .fields
                    .iter()
                    .any(|f| f.differs && row.restored && row.log == Some(true));
            if noteworthy || (self.model.case.detail != Detail::Differences && !self.model.case.only_found) {
                self.row(row, &c);
            } else if self.model.case.only_found {
                hidden += 1;
            } else {
                same.push(safe!("{} {}", Safe::id(&row.entity), Safe::id(&row.key)));
            }
        }
        if !same.is_empty() {
            let names: Vec<&str> = same.iter().map(Safe::as_str).collect();
            let text = safe!("{} as the log says: ", value::many(same.len() as u64, "row", "rows"));
            let all = format!("{}{}", text.as_str(), names.join(", "));
            self.say("same", Tone::Dim, &Safe::of(&all));
        }
        if hidden > 0 {
            self.say(
                "hidden",
                Tone::Dim,
                &safe!("{} without findings (f shows them)", value::many(hidden, "row", "rows")),
            );
        }
        if loaded.file.found.family.is_empty() {
            self.put(Strip::new().ours(Tone::Dim, " no rows are stored with this case"));
        }
    }

    fn row(&mut self, row: &FamilyRow, c: &Columns) {
        // Of a long key the end stays: its last digits are what people compare.
        let room = c.row.saturating_sub(Safe::id(&row.entity).width() + 1).max(6);
        let name = safe!("{} {}", Safe::id(&row.entity), Safe::id(&row.key).clip_start(room));
        let detail = self.model.case.detail;
        let whole = match (row.restored, row.log) {
            (false, Some(true)) => Some(("not there", "exists")),
            (true, Some(false)) => Some(("there", "deleted")),
            (false, Some(false)) => Some(("not there", "deleted")),
            (true, None) => Some(("there", "never named")),
            (false, None) => Some(("not there", "never named")),
            (true, Some(true)) => None,
        };
        let mut first = true;
        if let Some((restored, log)) = whole {
            first = false;
            let last = row
                .fields
                .iter()
                .filter_map(|f| f.by.as_ref())
                .max_by(|a, b| a.ts.cmp(&b.ts));
            let finding = self
                .loaded
                .file
                .found
                .findings
                .iter()
                .find(|f| f.entity == row.entity && f.key == row.key);
            let by = finding.and_then(|f| f.evidence.last()).or(last);
            let bad = !row.kinds.is_empty();
            let tone = if bad { Tone::Bad } else { Tone::Text };
            let by = by.map_or(Safe::ours("·"), |e| value::evidence(e, self.model.setup.restored_to));
            self.put(
                Strip::new()
                    .ours(Tone::Text, " ")
                    .column(Tone::Text, name.clone(), c.row)
                    .column(Tone::Dim, kinds(&row.kinds), c.field)
                    .column(
                        if row.restored { Tone::Text } else { tone },
                        Safe::ours(restored),
                        c.restored,
                    )
                    .column(if row.restored { tone } else { Tone::Text }, Safe::ours(log), c.log)
                    .with(Tone::Dim, by),
            );
        }
        let shown: Vec<&FamilyField> = row
            .fields
            .iter()
            .filter(|f| match detail {
                // Of a row that is missing whole, what the log knew of it is the evidence: all but its key is shown.
                Detail::Differences => {
                    f.differs && whole.is_none()
                        || whole.is_some() && f.log.as_ref().and_then(Json::as_str) != Some(row.key.as_str())
                }
                Detail::Fields | Detail::Full => true,
            })
            .collect();
        for field in shown {
            let name = if first { name.clone() } else { Safe::ours("") };
            first = false;
            self.field(row, field, name, c, whole.is_some());
        }
        if first {
            self.put(
                Strip::new()
                    .ours(Tone::Text, " ")
                    .column(Tone::Text, name, c.row)
                    .ours(Tone::Dim, "as the log says"),
            );
        }
        self.since_opening(row);
        self.references(row, c);
    }

    /// What traffic did to the row after the opening.
    fn since_opening(&mut self, row: &FamilyRow) {
        let loaded = self.loaded;
        let of_row = |f: &&Finding| f.since_opening && f.entity == row.entity && f.key == row.key;
        let Some(finding) = loaded.file.found.findings.iter().find(of_row) else {
            return;
        };
        let what = match (finding.there_at_opening, row.restored) {
            (Some(false), true) => "appeared",
            (Some(true), false) => "went",
            _ => "changed",
        };
        let mut line = Strip::new().with(Tone::Accent, safe!("   {} since the opening", what));
        for (n, field) in finding.fields.iter().filter(|f| f.opening.is_some()).enumerate() {
            let then = field
                .opening
                .as_ref()
                .map_or(Safe::ours("·"), |v| self.of_column(&row.entity, &field.name, v));
            let joint = if n == 0 { ": " } else { ", " };
            line = line.with(Tone::Accent, safe!("{}{} was {}", joint, Safe::id(&field.name), then));
        }
        self.put(line);
    }

    /// What the row refers to, and where it is where it moved.
    fn references(&mut self, row: &FamilyRow, c: &Columns) {
        let detail = self.model.case.detail;
        let case = &self.loaded.file.found;
        for reference in row
            .refs
            .iter()
            .filter(|r| case.lacks(r) || detail != Detail::Differences)
        {
            let to = value::missing(&self.model.setup, &reference.to);
            let line = Strip::new()
                .ours(Tone::Text, " ")
                .column(Tone::Dim, Safe::ours("  refers to"), c.row)
                .column(Tone::Dim, Safe::id(&reference.column), c.field)
                .with(Tone::Text, to);
            self.put(if reference.present {
                line.ours(Tone::Dim, " there")
            } else if case.lacks(reference) {
                line.ours(Tone::Bad, " MISSING")
            } else {
                line.ours(Tone::Dim, " deleted, as the log says")
            });
        }
        let moved = self
            .loaded
            .file
            .found
            .findings
            .iter()
            .filter(|f| f.entity == row.entity && f.key == row.key);
        let moved: Vec<String> = moved.filter_map(|f| f.moved_to.clone()).collect();
        for to in moved {
            let line = safe!(
                "   is there under another key: {} {}",
                Safe::id(&row.entity),
                Safe::id(&to)
            );
            self.put(Strip::new().with(Tone::Warn, line));
        }
    }

    fn field(&mut self, row: &FamilyRow, field: &FamilyField, name: Safe<'_>, c: &Columns, whole: bool) {
        let setup = &self.model.setup;
        let restored = self.side(row, field, field.restored.as_ref());
        let log = self.side(row, field, field.log.as_ref());
        let by = field
            .by
            .as_ref()
            .map_or(Safe::ours("·"), |e| value::evidence(e, setup.restored_to));
        let tone = if field.differs && !whole {
            Tone::Warn
        } else {
            Tone::Text
        };
        let overflows = restored.width() > c.restored || log.width() > c.log;
        let masked = self.model.masks(&row.entity, &field.name) && field.differs && !whole;
        let (short, mut shown) = value::pair((restored.clone(), c.restored), (log.clone(), c.log));
        if masked {
            shown = safe!("{} differs", shown).clip(c.log);
        }
        self.put(
            Strip::new()
                .ours(Tone::Text, " ")
                .column(Tone::Text, name, c.row)
                .column(Tone::Text, Safe::id(&field.name), c.field)
                .column(tone, short, c.restored)
                .column(tone, shown, c.log)
                .with(Tone::Dim, by),
        );
        if overflows && self.model.case.detail == Detail::Full {
            for (side, text) in [("restored", restored), ("log", log)] {
                // A value of megabytes shows its beginning: the rest is a matter for the database's own tools.
                for (i, part) in text
                    .wrap(self.width.saturating_sub(14))
                    .into_iter()
                    .take(200)
                    .enumerate()
                {
                    let side = if i == 0 { side } else { "" };
                    self.put(
                        Strip::new()
                            .ours(Tone::Text, "   ")
                            .column(Tone::Dim, Safe::ours(side), 9)
                            .with(Tone::Text, part),
                    );
                }
            }
        }
    }
}
