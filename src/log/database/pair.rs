//! Two streams of marks side by side: which rows both have alike, which need a closer look.
//!
//! Both sides come in the order of the key, but in whose order is not known: collations differ between servers. So nothing
//! is compared but for equality: a key that only one side has shown yet waits until the other shows it, or shows one that
//! stands behind it. Where the orders agree, few wait, and no longer than a run of rows that one side lacks; where they do
//! not, more rows are looked at than need be, and none is missed.

use crate::restored::marks::Mark;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// Keys that wait on both sides before all of them are looked at.
const MOST_WAITING: usize = 65_536;

/// One of the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Old,
    Restored,
}

/// Bytes of their own: those of a mark would keep all that came with it.
type Bytes = Box<[u8]>;

/// Rows seen on one side that the other has not shown.
#[derive(Debug, Default)]
struct Waiting {
    keys: VecDeque<Bytes>,
    /// For each key its number, counted from the first that ever waited, and the rest of its mark.
    at: HashMap<Bytes, (u64, Bytes)>,
    /// Number of the first in `keys`.
    first: u64,
    ended: bool,
}

/// Both sides.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    old: Waiting,
    restored: Waiting,
}

impl Waiting {
    fn push(&mut self, mark: &Mark) {
        let number = self.first + self.keys.len() as u64;
        let rest = mark.rest().into();
        self.keys.push_back(mark.key().into());
        self.at.insert(mark.key().into(), (number, rest));
    }

    fn pop(&mut self) -> Option<Bytes> {
        let key = self.keys.pop_front()?;
        self.first += 1;
        self.at.remove(&key);
        Some(key)
    }

    fn drain(&mut self, look: &mut impl FnMut(&[u8])) {
        while let Some(key) = self.pop() {
            look(&key);
        }
    }
}

impl Pairing {
    /// Whether nothing waits: then two marks that are equal need no more than that.
    pub fn is_even(&self) -> bool {
        self.old.keys.is_empty() && self.restored.keys.is_empty()
    }

    /// The next row of a side; `look` is given the keys that need a closer look.
    pub fn take(&mut self, side: Side, mark: &Mark, look: &mut impl FnMut(&[u8])) {
        let (mine, other) = self.sides(side);
        if let Some((number, rest)) = other.at.get(mark.key()) {
            let (number, same) = (*number, **rest == *mark.rest());
            // What came before it on either side, the other has passed without showing it.
            mine.drain(look);
            while other.first < number {
                if let Some(key) = other.pop() {
                    look(&key);
                }
            }
            other.pop();
            if !same {
                look(mark.key());
            }
        } else if other.ended && other.keys.is_empty() {
            look(mark.key());
        } else {
            mine.push(mark);
            if mine.keys.len() + other.keys.len() > MOST_WAITING {
                mine.drain(look);
                other.drain(look);
            }
        }
    }

    /// A side has no more rows.
    pub fn end(&mut self, side: Side, look: &mut impl FnMut(&[u8])) {
        let (mine, other) = self.sides(side);
        mine.ended = true;
        if mine.keys.is_empty() || other.ended {
            other.drain(look);
        }
        if other.ended {
            mine.drain(look);
        }
    }

    fn sides(&mut self, side: Side) -> (&mut Waiting, &mut Waiting) {
        match side {
            Side::Old => (&mut self.old, &mut self.restored),
            Side::Restored => (&mut self.restored, &mut self.old),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn mark(key: u16, rest: u8) -> Mark {
        let mut bytes = key.to_be_bytes().to_vec();
        bytes.push(rest);
        Mark::new(bytes.into(), 2)
    }

    /// What is looked at when the rows come as they do, some of one side and then some of the other.
    fn looked(old: &[(u16, u8)], restored: &[(u16, u8)], turns: &[bool]) -> Vec<u16> {
        let mut pairing = Pairing::default();
        let mut found = Vec::new();
        let mut look = |key: &[u8]| found.push(u16::from_be_bytes([key[0], key[1]]));
        let (mut a, mut b) = (old.iter(), restored.iter());
        let (mut a_ended, mut b_ended) = (false, false);
        let mut turns = turns.iter().copied().cycle();
        while !(a_ended && b_ended) {
            let take_old = turns.next().unwrap_or(true);
            if (take_old && !a_ended) || b_ended {
                if let Some((key, rest)) = a.next() {
                    pairing.take(Side::Old, &mark(*key, *rest), &mut look);
                } else {
                    pairing.end(Side::Old, &mut look);
                    a_ended = true;
                }
            } else if let Some((key, rest)) = b.next() {
                pairing.take(Side::Restored, &mark(*key, *rest), &mut look);
            } else {
                pairing.end(Side::Restored, &mut look);
                b_ended = true;
            }
        }
        assert!(pairing.is_even());
        found
    }

    fn differing(a: &BTreeMap<u16, u8>, b: &BTreeMap<u16, u8>) -> Vec<u16> {
        let keys: BTreeSet<u16> = a.keys().chain(b.keys()).copied().collect();
        keys.into_iter().filter(|k| a.get(k) != b.get(k)).collect()
    }

    proptest! {
        /// In one order, exactly what differs is looked at, each key once, however the sides take turns.
        #[test]
        fn exactly_what_differs_is_looked_at(
            a in prop::collection::btree_map(0_u16..60, 0_u8..3, 0..40),
            b in prop::collection::btree_map(0_u16..60, 0_u8..3, 0..40),
            turns in prop::collection::vec(any::<bool>(), 1..9),
        ) {
            let list = |m: &BTreeMap<u16, u8>| m.iter().map(|(k, v)| (*k, *v)).collect::<Vec<_>>();
            let mut found = looked(&list(&a), &list(&b), &[&turns[..], &[true, false]].concat());
            found.sort_unstable();
            prop_assert_eq!(found, differing(&a, &b));
        }

        /// In different orders more may be looked at, but nothing is missed.
        #[test]
        fn another_order_misses_nothing(
            a in prop::collection::btree_map(0_u16..60, 0_u8..3, 0..40),
            b in prop::collection::btree_map(0_u16..60, 0_u8..3, 0..40),
            salt in any::<u16>(),
        ) {
            let mut shuffled: Vec<(u16, u8)> = b.iter().map(|(k, v)| (*k, *v)).collect();
            shuffled.sort_by_key(|(k, _)| k.wrapping_mul(salt | 1));
            let list: Vec<(u16, u8)> = a.iter().map(|(k, v)| (*k, *v)).collect();
            let found: BTreeSet<u16> = looked(&list, &shuffled, &[true, false]).into_iter().collect();
            for key in differing(&a, &b) {
                prop_assert!(found.contains(&key), "{key} was missed");
            }
        }
    }

    #[test]
    fn a_long_run_that_one_side_lacks_is_not_held() {
        let old: Vec<(u16, u8)> = (0..60_000).map(|k| (k, 0)).collect();
        let restored: Vec<(u16, u8)> = vec![(0, 0)];
        assert_eq!(looked(&old, &restored, &[true, false]).len(), 59_999);
    }
}
