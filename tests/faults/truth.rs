//! What people were told, held against what the ledger says.

use crate::room::Room;

/// Rules in SQL, of the ledger alone.
const INVARIANTS: &str = include_str!("invariants.sql");

/// The answers that deciders got.
#[derive(Debug, Default)]
pub struct Told {
    /// Keys of decisions that were acknowledged.
    pub done: Vec<String>,
    /// Keys of decisions that were said not to be made.
    pub not_done: Vec<String>,
}

pub const LOST: &str = "an acknowledged decision that is lost";
pub const GHOST: &str = "a decision that was said not to be made";

impl Told {
    pub fn add(&mut self, other: Self) {
        self.done.extend(other.done);
        self.not_done.extend(other.not_done);
    }

    /// What is wrong: rule by rule, with how often.
    pub fn violations(&self, room: &Room) -> Vec<(String, u64)> {
        let list = |keys: &[String]| format!("ARRAY[{}]::text[]", quoted(keys));
        let found = room.sql(&format!(
            "SET search_path = restitch, pg_temp;
             SELECT '{LOST}', count(*) FROM unnest({}) k WHERE NOT EXISTS (SELECT 1 FROM restitch.kept_decisions d WHERE d.key = k)
             HAVING count(*) > 0;
             SELECT '{GHOST}', count(*) FROM unnest({}) k WHERE EXISTS (SELECT 1 FROM restitch.kept_decisions d WHERE d.key = k)
             HAVING count(*) > 0;
             {INVARIANTS}",
            list(&self.done),
            list(&self.not_done)
        ));
        found
            .lines()
            .map(|line| {
                let (rule, n) = line.rsplit_once('|').unwrap();
                (rule.to_owned(), n.parse().unwrap())
            })
            .collect()
    }

    /// Nothing is lost, doubled or torn.
    pub fn assert_holds(&self, room: &Room) {
        let violations = self.violations(room);
        assert!(violations.is_empty(), "{violations:?}");
        let lines: u64 = room.sql("SELECT count(*) FROM restitch.kept_audit").parse().unwrap();
        assert_eq!(room.open("bo").verify().unwrap(), lines);
    }
}

fn quoted(keys: &[String]) -> String {
    keys.iter().map(|k| format!("'{k}'")).collect::<Vec<_>>().join(",")
}
