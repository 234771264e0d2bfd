//! The opening: how the rows stood when an attempt was first scanned, in 16 bytes a row, so that a later scan can tell
//! what traffic moved since from what the restore damaged.

use crate::domain::case::Verb;
use crate::domain::finding::RowState;
use crate::domain::{Error, Result};
use crate::log::hold::OnBroker;
use crate::restore::gate::Asked;
use crate::restored::facts::Facts;
use siphasher::sip::SipHasher13;
use std::collections::HashMap;
use std::hash::Hasher;

/// What earlier scans and people left behind, as a scan asks for it.
#[derive(Debug, Default)]
pub struct Past {
    /// How the rows stood at the attempt's first completed scan; `None` where there was none yet.
    pub opening: Option<Opening>,
    /// The verb that stands on each case, where one does.
    pub decided: HashMap<String, Verb>,
    /// What the gate asks with.
    pub gate: Asked,
    /// The hold, where it is on a broker that answered.
    pub hold: Option<OnBroker>,
}

/// How the compared rows stood at the first completed scan of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opening {
    /// When the database was read, microseconds since 1970.
    pub at: i64,
    /// Where: `host:port/database`, or the file.
    pub place: String,
    /// The server's timeline, where it says: a restore to a point in time begins one of its own.
    pub timeline: Option<i64>,
    /// One for each entity that was compared.
    pub tables: Vec<Baseline>,
    /// What was under way.
    pub in_doubt: Vec<InDoubt>,
}

/// A row that was under way at the opening, and the order it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InDoubt {
    /// Key of the order.
    pub order: String,
    /// The row and its state.
    pub row: RowState,
}

/// The compared rows of one entity at the opening.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    /// The entity's name.
    pub entity: String,
    /// The columns that the digests cover: what is ignored later was not ignored then.
    pub columns: Vec<String>,
    /// Rows that are not listed were as the log says.
    pub whole: bool,
    /// By key, each key once.
    marks: Vec<Mark>,
}

/// One row: the hash of its key, and how it stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Hash of the canonical key.
    pub key: u64,
    /// The digest of its columns, 0 where it was not there; the lowest bit says that it had a finding.
    pub row: u64,
}

impl Mark {
    /// A row as it stands, without a finding; `digest` is `None` where it is not there.
    pub(super) fn new(key: &str, digest: Option<Digest>) -> Self {
        Self {
            key: hash_key(key),
            row: digest.map_or(0, |d| d.0),
        }
    }

    /// The same row with a finding.
    pub(super) const fn with_finding(self) -> Self {
        Self {
            row: self.row | 1,
            ..self
        }
    }

    /// Whether the row had a finding.
    pub(super) const fn had_finding(self) -> bool {
        self.row & 1 == 1
    }

    /// Whether the row was there.
    pub(super) const fn was_there(self) -> bool {
        self.row > 1
    }

    /// Whether the row stands otherwise now.
    pub(super) fn moved(self, now: Option<Digest>) -> bool {
        self.row & !1 != now.map_or(0, |d| d.0)
    }
}

/// A digest of a row's columns: never 0, its lowest bit free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest(u64);

impl Digest {
    /// Of these values, in the order of the baseline's columns.
    pub fn of<'v>(values: impl Iterator<Item = Option<&'v str>>) -> Self {
        let mut hasher = hasher();
        for value in values {
            match value {
                None => hasher.write_u8(0),
                Some(text) => {
                    hasher.write_u8(1);
                    hasher.write(&(text.len() as u64).to_le_bytes());
                    hasher.write(text.as_bytes());
                }
            }
        }
        Self((hasher.finish() & !1).max(2))
    }
}

fn hash_key(key: &str) -> u64 {
    let mut hasher = hasher();
    hasher.write(key.as_bytes());
    hasher.finish()
}

/// The ledger keeps what this gives: it must never change.
fn hasher() -> SipHasher13 {
    SipHasher13::new_with_keys(0x7265_7374_6974_6368, 0x6f70_656e_696e_6721)
}

impl Baseline {
    /// The rows in any order; of a key that comes twice the later one counts.
    pub fn new(entity: String, columns: Vec<String>, whole: bool, mut marks: Vec<Mark>) -> Self {
        // Stable, so that of equal keys the later stands last.
        marks.sort_by_key(|m| m.key);
        marks.dedup_by(|later, first| {
            let same = later.key == first.key;
            if same {
                *first = *later;
            }
            same
        });
        Self {
            entity,
            columns,
            whole,
            marks,
        }
    }

    /// Takes in later words on its rows.
    pub fn extend(&mut self, later: Vec<Mark>) {
        if !later.is_empty() {
            let mut marks = std::mem::take(&mut self.marks);
            marks.extend(later);
            let (entity, columns) = (std::mem::take(&mut self.entity), std::mem::take(&mut self.columns));
            *self = Self::new(entity, columns, self.whole, marks);
        }
    }

    /// The rows, ordered by the hashes of their keys.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// How the row under this key stood; `None` where it was not listed.
    pub(super) fn get(&self, key: &str) -> Option<Mark> {
        let key = hash_key(key);
        let at = self.marks.binary_search_by_key(&key, |m| m.key).ok()?;
        self.marks.get(at).copied()
    }
}

impl Opening {
    /// Refuses a database that is another restore than the one whose opening this is: held against it, what the restore
    /// damaged would look like traffic. The same server may go by another name: a warning says so.
    pub(super) fn check(&self, facts: &Facts, attempt: u32) -> Result<Option<String>> {
        let timeline = facts.timeline.as_ref().ok().copied();
        if let (Some(then), Some(now)) = (self.timeline, timeline)
            && then != now
        {
            return Err(Error::refused(format!(
                "attempt {attempt} was begun on timeline {then} ({}), and {} is on timeline {now}: it is another restore",
                self.place, facts.place
            ))
            .at("incident.attempt")
            .cure(format!(
                "a second restore of the incident is a new attempt: set `incident.attempt = {}`; else put [restored] url right",
                attempt + 1
            )));
        }
        Ok((self.place != facts.place).then(|| {
            format!(
                "the opening of attempt {attempt} was read at {}, this is {}: if it is another restore, what it damaged looks \
                 like traffic here; raise incident.attempt then",
                self.place, facts.place
            )
        }))
    }

    /// How the rows of this entity stood.
    pub(super) fn table(&self, entity: &str) -> Option<&Baseline> {
        self.tables.iter().find(|t| t.entity == entity)
    }
}

/// What became of a row since the opening.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Since {
    /// It moved; whether it was there then, where that is known.
    pub moved: bool,
    /// Whether it was there at the opening.
    pub was_there: Option<bool>,
    /// It moved, and nothing was wrong with it before: nothing that the restore did.
    pub traffic: bool,
}

/// How a row stands now against how it stood at the opening. `by_whole` says whether all that the log tells of it comes
/// from sources that are the whole log, and whether it tells that the row is there.
pub(super) fn since(
    baseline: Option<&Baseline>,
    key: &str,
    now: Option<Digest>,
    by_whole: impl FnOnce() -> (bool, bool),
) -> Since {
    let Some(baseline) = baseline else {
        return Since::default();
    };
    match baseline.get(key) {
        Some(was) if was.moved(now) => Since {
            moved: true,
            was_there: Some(was.was_there()),
            traffic: !was.had_finding(),
        },
        // What was not listed was as the whole log says. What another source tells may have come later.
        None if baseline.whole => match by_whole() {
            (true, exists) => Since {
                moved: true,
                was_there: Some(exists),
                traffic: true,
            },
            (false, _) => Since::default(),
        },
        _ => Since::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(values: &[Option<&str>]) -> Digest {
        Digest::of(values.iter().copied())
    }

    #[test]
    fn a_digest_tells_values_apart_and_not_by_their_joints() {
        let all = [
            digest(&[]),
            digest(&[None]),
            digest(&[Some("")]),
            digest(&[Some("a"), Some("b")]),
            digest(&[Some("ab"), Some("")]),
            digest(&[Some("ab"), None]),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(all[n + 1..].iter().all(|other| other != one));
        }
    }

    /// What a ledger holds is read by later versions: these numbers may never change.
    #[test]
    fn hashes_are_those_of_every_version() {
        assert_eq!(hash_key("958"), HASH_OF_958);
        assert_eq!(digest(&[Some("Created"), None]).0, DIGEST_OF_CREATED);
    }

    const HASH_OF_958: u64 = 14_198_592_347_894_963_719;
    const DIGEST_OF_CREATED: u64 = 16_669_273_968_501_893_298;

    #[test]
    fn a_row_that_moved_is_traffic_only_where_nothing_was_wrong_with_it() {
        let (a, b) = (digest(&[Some("a")]), digest(&[Some("b")]));
        let marks = vec![
            Mark::new("right", Some(a)),
            Mark::new("wrong", Some(a)).with_finding(),
            Mark::new("lost", None).with_finding(),
            Mark::new("none", None),
        ];
        let mut of_log = Baseline::new("order".to_owned(), vec![], false, marks);
        let look = |base: &Baseline, key: &str, now| {
            let since = since(Some(base), key, now, || (true, true));
            (since.moved, since.was_there, since.traffic)
        };
        assert_eq!(look(&of_log, "right", Some(a)), (false, None, false));
        assert_eq!(look(&of_log, "right", Some(b)), (true, Some(true), true));
        assert_eq!(look(&of_log, "right", None), (true, Some(true), true));
        assert_eq!(look(&of_log, "wrong", Some(b)), (true, Some(true), false));
        assert_eq!(look(&of_log, "lost", None), (false, None, false));
        assert_eq!(look(&of_log, "lost", Some(a)), (true, Some(false), false));
        assert_eq!(look(&of_log, "none", Some(a)), (true, Some(false), true));
        assert_eq!(look(&of_log, "never named", Some(a)), (false, None, false));
        of_log.whole = true;
        assert_eq!(look(&of_log, "never named", Some(a)), (true, Some(true), true));
        let told_later = since(Some(&of_log), "never named", Some(a), || (false, true));
        assert_eq!(told_later, Since::default());
    }

    #[test]
    fn another_timeline_is_another_restore_and_another_name_is_said() {
        let unknown = || "not asked".to_owned();
        let facts = |place: &str, timeline| Facts {
            place: place.to_owned(),
            address: Err(unknown()),
            database: Err(unknown()),
            started: Err(unknown()),
            timeline,
            in_recovery: Err(unknown()),
            replayed: Err(unknown()),
            prepared: Err(unknown()),
            slots: Err(unknown()),
            settings: Err(unknown()),
            roles: Err(unknown()),
            hosts: Err(unknown()),
        };
        let opening = Opening {
            place: "a:5432/om".to_owned(),
            timeline: Some(3),
            ..Opening::default()
        };
        assert_eq!(opening.check(&facts("a:5432/om", Ok(3)), 1).unwrap(), None);
        assert_eq!(opening.check(&facts("a:5432/om", Err(unknown())), 1).unwrap(), None);
        let named = opening.check(&facts("b:5432/om", Ok(3)), 1).unwrap().unwrap();
        assert!(named.contains("read at a:5432/om, this is b:5432/om"), "{named}");
        let refused = opening.check(&facts("a:5432/om", Ok(2)), 1).unwrap_err().to_string();
        assert!(
            refused.contains("another restore") && refused.contains("incident.attempt = 2"),
            "{refused}"
        );
    }

    #[test]
    fn the_later_word_on_a_row_counts() {
        let first = Mark::new("1", None);
        let base = Baseline::new(String::new(), vec![], false, vec![first, first.with_finding()]);
        assert_eq!(base.get("1"), Some(first.with_finding()));
        assert_eq!(base.marks().len(), 1);
    }
}
