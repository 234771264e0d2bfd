//! The rows of the queue: up to millions, found by id, patched in place, and lent to a worker that sorts or filters.

use crate::domain::queue::CaseRow;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Rows of one chunk: small enough that patching a row while a worker reads costs a chunk's copy and no more.
const CHUNK: usize = 1024;

/// All rows in queue order; cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    chunks: Vec<Arc<Vec<CaseRow>>>,
    len: usize,
    longest: usize,
}

impl Rows {
    /// Letters of the longest label, so that its column keeps one width while the list scrolls.
    pub fn longest_label(&self) -> usize {
        self.longest
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The row with this number in queue order.
    pub fn get(&self, number: u32) -> Option<&CaseRow> {
        let number = number as usize;
        self.chunks.get(number / CHUNK)?.get(number % CHUNK)
    }

    /// All rows in queue order.
    pub fn iter(&self) -> impl Iterator<Item = &CaseRow> {
        self.chunks.iter().flat_map(|c| c.iter())
    }

    fn push(&mut self, row: CaseRow) -> u32 {
        let label = row.label.chars().count();
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK)));
        }
        if let Some(last) = self.chunks.last_mut() {
            Arc::make_mut(last).push(row);
        }
        self.longest = self.longest.max(label);
        self.len += 1;
        u32::try_from(self.len - 1).unwrap_or(u32::MAX)
    }

    fn set(&mut self, number: u32, row: CaseRow) {
        let number = number as usize;
        if let Some(chunk) = self.chunks.get_mut(number / CHUNK)
            && let Some(slot) = Arc::make_mut(chunk).get_mut(number % CHUNK)
        {
            *slot = row;
        }
    }
}

/// The rows and where each id stands.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// The rows.
    pub rows: Rows,
    // Keyed by the id's hash: a million ids need not be kept twice. A clash of 64-bit hashes loses one row's patches
    // until the next full reading.
    index: HashMap<u64, u32>,
    // Counted as rows come and change: a million rows are never walked for it.
    holders: BTreeMap<String, u64>,
}

impl Table {
    /// An empty table that expects so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            rows: Rows::default(),
            index: HashMap::with_capacity(rows),
            holders: BTreeMap::new(),
        }
    }

    /// Adds a row at the end and returns its number.
    pub fn push(&mut self, row: CaseRow) -> u32 {
        let hash = hash(&row.id);
        if let Some(claim) = &row.claim {
            *self.holders.entry(claim.by.clone()).or_default() += 1;
        }
        let number = self.rows.push(row);
        self.index.insert(hash, number);
        number
    }

    /// The number of the row with this id.
    pub fn find(&self, id: &str) -> Option<u32> {
        let number = *self.index.get(&hash(id))?;
        self.rows.get(number).is_some_and(|r| &*r.id == id).then_some(number)
    }

    /// Who holds how many cases.
    pub const fn holders(&self) -> &BTreeMap<String, u64> {
        &self.holders
    }

    /// The row with this id.
    pub fn by_id(&self, id: &str) -> Option<&CaseRow> {
        self.find(id).and_then(|n| self.rows.get(n))
    }

    /// Puts a newer reading of a row in its place; `false` when it is not in the table.
    pub fn replace(&mut self, row: CaseRow) -> bool {
        let Some(number) = self.find(&row.id) else { return false };
        if let Some(before) = self.rows.get(number).and_then(|r| r.claim.as_ref())
            && let Some(cases) = self.holders.get_mut(&before.by)
        {
            *cases -= 1;
        }
        if let Some(claim) = &row.claim {
            *self.holders.entry(claim.by.clone()).or_default() += 1;
        }
        self.holders.retain(|_, cases| *cases > 0);
        self.rows.set(number, row);
        true
    }
}

fn hash(id: &str) -> u64 {
    foldhash::fast::FixedState::default().hash_one(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture;

    #[test]
    fn rows_are_found_and_replaced_by_id_while_shared() {
        let mut table = Table::default();
        for n in 0..3000 {
            assert_eq!(table.push(fixture::row(n)), u32::try_from(n).unwrap());
        }
        let shared = table.rows.clone();
        let mut row = fixture::row(2047);
        row.disproven = true;
        assert!(table.replace(row.clone()));
        assert_eq!(table.by_id(&row.id), Some(&row));
        assert!(
            !shared.get(2047).unwrap().disproven,
            "the worker keeps what it was lent"
        );
        assert_eq!(table.rows.iter().count(), 3000);
        assert_eq!(table.find("order:no such"), None);
        row.id = "order:no such".into();
        assert!(!table.replace(row));
    }
}
