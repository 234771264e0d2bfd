//! What will be lost when: the clocks of the witnesses, and which of them comes first.

use super::queue::HoldClock;
use serde::{Deserialize, Serialize};

/// A moment after which something may be gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// What it is about, short enough for a header: `log cdc`, `AWS session`.
    pub name: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// What is lost then.
    pub lost: String,
    /// What says so.
    pub source: String,
}

/// A log that keeps its events for a time only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// How long it keeps an event, microseconds.
    pub keeps: i64,
    /// What says so.
    pub source: String,
}

/// What is known of clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// T: what a log loses first is what it says of the time right after.
    pub restored_to: Option<i64>,
    /// Logs that forget.
    pub logs: &'a [Kept],
    /// The hold.
    pub hold: Option<&'a HoldClock>,
    /// What others told: sessions that end, an instance that starts by itself.
    pub told: &'a [Deadline],
}

/// The fact under which one room keeps the deadlines that it knows, as a list of [`Deadline`].
pub fn fact(room: &str) -> String {
    format!("deadlines-{room}")
}

/// The rooms that keep deadlines.
pub const ROOMS: [&str; 4] = ["aws", "hold", "logs", "cluster"];

/// All deadlines, the one that comes first first.
pub fn deadlines(known: &Known<'_>) -> Vec<Deadline> {
    let log = |t: i64| {
        move |log: &Kept| Deadline {
            name: format!("log {}", log.name),
            at: t.saturating_add(log.keeps),
            lost: "it forgets what happened right after T; read it into a file, or scan, before".to_owned(),
            source: log.source.clone(),
        }
    };
    let logs = known
        .restored_to
        .into_iter()
        .flat_map(|t| known.logs.iter().map(log(t)));
    let hold = known.hold.and_then(|hold| {
        let left = hold.held.saturating_sub(hold.rescued);
        let at = hold.loss_from.filter(|_| left > 0)?;
        Some(Deadline {
            name: HOLD.to_owned(),
            at,
            lost: format!("{left} held orders that are not rescued"),
            source: "offsets and retention of its topic".to_owned(),
        })
    });
    let mut all: Vec<Deadline> = logs.chain(hold).chain(known.told.iter().cloned()).collect();
    all.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
    all.dedup();
    all
}

/// The name of the hold's deadline, which a header shows in words of its own.
pub const HOLD: &str = "hold";

/// The one that comes first, of those that are still to come.
pub fn first(all: &[Deadline], now: i64) -> Option<&Deadline> {
    all.iter().find(|d| d.at > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_comes_first_is_shown_and_what_has_passed_stays_in_the_list() {
        const HOUR: i64 = 3_600_000_000;
        let hold = HoldClock {
            held: 12,
            rescued: 10,
            lost: 0,
            loss_from: Some(30 * HOUR / 60),
        };
        let logs = [Kept {
            name: "stream".to_owned(),
            keeps: 24 * HOUR,
            source: "log.keep".to_owned(),
        }];
        let told = [Deadline {
            name: "AWS session".to_owned(),
            at: HOUR,
            lost: "restitch reads nothing from AWS any more".to_owned(),
            source: "sts".to_owned(),
        }];
        let known = Known {
            restored_to: Some(0),
            logs: &logs,
            hold: Some(&hold),
            told: &told,
        };
        let all = deadlines(&known);
        let names: Vec<&str> = all.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["hold", "AWS session", "log stream"]);
        assert_eq!(all[0].lost, "2 held orders that are not rescued");
        assert_eq!(first(&all, 0).unwrap().name, "hold");
        assert_eq!(first(&all, HOUR).unwrap().name, "log stream");
        assert_eq!(first(&all, 25 * HOUR), None);
        // What is rescued has no deadline; without T no log has one.
        let hold = HoldClock { rescued: 12, ..hold };
        let known = Known {
            restored_to: None,
            hold: Some(&hold),
            ..known
        };
        assert_eq!(deadlines(&known), told);
    }
}
