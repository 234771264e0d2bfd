//! The Diff view: what differs, counted by table, kind and field, and the orders behind each count.

use crate::domain::case::FoundCase;
use crate::domain::finding::{Evidence, Kind};
use crate::domain::time;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// Slots of a time line.
pub const SLOTS: usize = 120;
/// At most so many rows are listed behind one count.
pub const MOST_BEHIND: usize = 5_000;

/// What one count is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKey {
    /// The entity.
    pub entity: String,
    /// The kind of finding.
    pub kind: Kind,
    /// The differing field, for kinds that have fields.
    pub field: Option<String>,
    /// Findings that the restore made on purpose.
    pub undone: bool,
    /// Rows that moved after the opening.
    pub since_opening: bool,
}

/// A column that people ignore, beside what the configuration does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The entity.
    pub entity: String,
    /// Its column.
    pub column: String,
    /// Who said why.
    pub why: String,
    /// The section and the line that say the same in a configuration.
    pub paste: String,
}

/// One count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What it is about.
    pub key: GroupKey,
    /// Rows.
    pub rows: u64,
    /// Cases.
    pub cases: u64,
    /// When the log said so.
    pub times: Times,
}

/// Events over a span of time, in slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// Begin and end, microseconds since 1970.
    pub span: (i64, i64),
    /// Events in each slot.
    pub slots: Vec<u32>,
    /// Events outside the span, or without a time.
    pub outside: u32,
}

impl Times {
    /// An empty line over this span.
    pub fn new(span: (i64, i64)) -> Self {
        Self {
            span,
            slots: vec![0; SLOTS],
            outside: 0,
        }
    }

    /// Adds an event.
    pub fn add(&mut self, at: Option<i64>) {
        let (from, to) = self.span;
        let slot = at.filter(|at| *at >= from && *at <= to && to > from).and_then(|at| {
            let slot = i128::from(at - from) * (SLOTS as i128) / i128::from(to - from);
            usize::try_from(slot).ok().map(|s| s.min(SLOTS - 1))
        });
        match slot.and_then(|s| self.slots.get_mut(s)) {
            Some(n) => *n += 1,
            None => self.outside += 1,
        }
    }
}

/// A row behind a count.
#[derive(Debug, Clone, PartialEq)]
pub struct Behind {
    /// The case.
    pub case: String,
    /// What people call it.
    pub label: String,
    /// The row's key.
    pub key: String,
    /// As restored, for a field.
    pub restored: Option<Json>,
    /// As the log says, for a field.
    pub log: Option<Json>,
    /// As it stood at the opening, for a field that moved since.
    pub opening: Option<Json>,
    /// The last event behind it.
    pub by: Option<Evidence>,
}

/// Counts while all cases pass by.
#[derive(Debug)]
pub struct Tally {
    span: (i64, i64),
    groups: BTreeMap<GroupKey, (Group, Option<String>)>,
}

impl Tally {
    /// Nothing counted yet; the time lines cover this span.
    pub fn new(span: (i64, i64)) -> Self {
        Self {
            span,
            groups: BTreeMap::new(),
        }
    }

    /// Counts one case that is still work.
    pub fn add(&mut self, case: &FoundCase) {
        for (key, behind) in behind_all(case) {
            let (group, last) = self.groups.entry(key).or_insert_with_key(|key| {
                let group = Group {
                    key: key.clone(),
                    rows: 0,
                    cases: 0,
                    times: Times::new(self.span),
                };
                (group, None)
            });
            group.rows += 1;
            if last.as_deref() != Some(case.id.as_str()) {
                group.cases += 1;
                *last = Some(case.id.clone());
            }
            group
                .times
                .add(behind.by.and_then(|e| e.ts).as_deref().and_then(time::parse));
        }
    }

    /// The counts: by entity, then kind, then field. A column that is ignored has one too, however many rows differ in it
    /// still: from there it is compared again.
    pub fn groups(mut self, ignored: &[Ignored]) -> Vec<Group> {
        for column in ignored {
            let named = |key: &GroupKey| key.entity == column.entity && key.field.as_ref() == Some(&column.column);
            if !self.groups.keys().any(named) {
                let key = GroupKey {
                    entity: column.entity.clone(),
                    kind: Kind::Regressed,
                    field: Some(column.column.clone()),
                    undone: false,
                    since_opening: false,
                };
                let group = Group {
                    key: key.clone(),
                    rows: 0,
                    cases: 0,
                    times: Times::new(self.span),
                };
                self.groups.insert(key, (group, None));
            }
        }
        self.groups.into_values().map(|(g, _)| g).collect()
    }
}

/// The rows of this case that the group counts.
pub fn behind(case: &FoundCase, group: &GroupKey) -> Vec<Behind> {
    behind_all(case)
        .into_iter()
        .filter(|(k, _)| k == group)
        .map(|(_, b)| b)
        .collect()
}

fn behind_all(case: &FoundCase) -> Vec<(GroupKey, Behind)> {
    let mut out = Vec::new();
    for finding in &case.findings {
        let key = |field: Option<&str>, undone: bool| GroupKey {
            entity: finding.entity.clone(),
            kind: finding.kind,
            field: field.map(str::to_owned),
            undone: finding.undone || undone,
            since_opening: finding.since_opening,
        };
        let row = |by: Option<&Evidence>| Behind {
            case: case.id.clone(),
            label: case.label.clone(),
            key: finding.key.clone(),
            restored: None,
            log: None,
            opening: None,
            by: by.cloned(),
        };
        if finding.fields.is_empty() {
            out.push((key(None, false), row(finding.evidence.last())));
        }
        for field in &finding.fields {
            let behind = Behind {
                restored: Some(field.restored.clone()),
                log: Some(field.log.clone()),
                opening: field.opening.clone(),
                ..row(finding.evidence.get(field.by))
            };
            out.push((key(Some(&field.name), field.undone), behind));
        }
    }
    out
}

/// The Diff view.
#[derive(Debug, Default)]
pub struct DiffPane {
    /// The counts, once made.
    pub groups: Option<Vec<Group>>,
    /// The number of the counting under way, or of the last.
    pub reading: u64,
    /// A counting is under way.
    pub busy: bool,
    /// The queue changed since the counts were made.
    pub stale: bool,
    /// The line under the cursor.
    pub at: usize,
    /// The first line on the screen.
    pub top: usize,
    /// The count that was opened.
    pub inside: Option<Inside>,
    /// The columns that people ignore.
    pub ignored: Vec<Ignored>,
}

/// The rows behind a count.
#[derive(Debug)]
pub struct Inside {
    /// Which count.
    pub key: GroupKey,
    /// The rows, once read; cut at [`MOST_BEHIND`].
    pub rows: Option<Vec<Behind>>,
    /// The line under the cursor.
    pub at: usize,
    /// The first line on the screen.
    pub top: usize,
}

impl DiffPane {
    /// The count under the cursor, or the one that is open.
    pub fn group(&self) -> Option<&Group> {
        let groups = self.groups.as_ref()?;
        match &self.inside {
            Some(inside) => groups.iter().find(|g| g.key == inside.key),
            None => groups.get(self.at),
        }
    }

    /// The ignored column that this count is about.
    pub fn ignored(&self, key: &GroupKey) -> Option<&Ignored> {
        self.ignored
            .iter()
            .find(|i| i.entity == key.entity && Some(&i.column) == key.field.as_ref())
    }

    /// Lines in the list that is shown.
    pub fn len(&self) -> usize {
        match &self.inside {
            Some(inside) => inside.rows.as_ref().map_or(0, Vec::len),
            None => self.groups.as_ref().map_or(0, Vec::len),
        }
    }

    /// Whether the list that is shown has no line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture;

    #[test]
    fn counts_rows_and_cases_by_table_kind_and_field() {
        let mut tally = Tally::new((fixture::T, fixture::STOP));
        tally.add(&fixture::orphan().found);
        tally.add(&fixture::regressed().found);
        let groups = tally.groups(&[]);
        let of = |entity: &str, kind: Kind, field: Option<&str>| {
            let group = groups
                .iter()
                .find(|g| g.key.entity == entity && g.key.kind == kind && g.key.field.as_deref() == field);
            group.map(|g| (g.rows, g.cases))
        };
        assert_eq!(of("order", Kind::Lost, None), Some((1, 1)));
        assert_eq!(of("order_item", Kind::Lost, None), Some((1, 1)));
        assert_eq!(of("order", Kind::Regressed, Some("status")), Some((1, 1)));
        assert_eq!(
            of("order", Kind::Regressed, None),
            None,
            "a regressed row counts under its fields"
        );
    }

    #[test]
    fn what_moved_since_and_what_is_undone_count_apart() {
        let mut case = fixture::regressed().found;
        let fields = case.findings[0].fields.len();
        assert!(fields > 1);
        let mut tally = Tally::new((fixture::T, fixture::STOP));
        tally.add(&case);
        case.findings[0].since_opening = true;
        case.findings[0].fields[0].undone = true;
        case.findings[0].fields[0].opening = Some(Json::Bool(true));
        tally.add(&case);
        let groups = tally.groups(&[]);
        let of = |undone: bool, since_opening: bool| {
            let of_kind = groups.iter().filter(|g| g.key.kind == Kind::Regressed);
            of_kind
                .filter(|g| g.key.undone == undone && g.key.since_opening == since_opening)
                .count()
        };
        assert_eq!(
            (of(false, false), of(true, true), of(false, true)),
            (fields, 1, fields - 1)
        );
        let moved = groups.iter().find(|g| g.key.undone).unwrap();
        assert_eq!(behind(&case, &moved.key)[0].opening, Some(Json::Bool(true)));
    }

    #[test]
    fn an_ignored_column_keeps_a_line_to_compare_it_again() {
        let ignored = |column: &str| Ignored {
            entity: "order".to_owned(),
            column: column.to_owned(),
            why: "noise, says sam".to_owned(),
            paste: String::new(),
        };
        let mut tally = Tally::new((fixture::T, fixture::STOP));
        tally.add(&fixture::regressed().found);
        let ignored = [ignored("status"), ignored("touched")];
        let groups = tally.groups(&ignored);
        let rows = |column: &str| -> Vec<u64> {
            let of_column = groups.iter().filter(|g| g.key.field.as_deref() == Some(column));
            of_column.map(|g| g.rows).collect()
        };
        assert_eq!((rows("status"), rows("touched")), (vec![1], vec![0]));
    }

    #[test]
    fn a_time_line_keeps_every_event() {
        let mut times = Times::new((100, 200));
        for at in [Some(100), Some(150), Some(200), Some(99), None] {
            times.add(at);
        }
        assert_eq!(times.slots.iter().sum::<u32>(), 3);
        assert_eq!(times.outside, 2);
        assert_eq!((times.slots[0], times.slots[SLOTS - 1]), (1, 1));
        let mut point = Times::new((5, 5));
        point.add(Some(5));
        assert_eq!(point.outside, 1, "a span of no length has no slots to fill");
    }
}
