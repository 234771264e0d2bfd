//! An incident whose hold is a topic.

use crate::night::{Night, Ran};
use crate::support::kafka::kafka;
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub struct World {
    pub night: Night,
    pub topic: String,
}

impl World {
    /// A topic of this name, and these lines in `[hold]`.
    pub fn new(topic: &str, partitions: i32, settings: &[(&str, &str)], hold: &str) -> Self {
        kafka().topic_with(topic, partitions, settings);
        Self::at(topic, &kafka().brokers(), hold)
    }

    /// A topic that is there, or is not, at these brokers.
    pub fn at(topic: &str, brokers: &str, hold: &str) -> Self {
        let night = Night::new();
        night.write(
            "restitch.toml",
            format!("[incident]\nid = \"night\"\n\n[hold]\nsource = \"kafka\"\nbrokers = [\"{brokers}\"]\ntopic = \"{topic}\"\n{hold}\n"),
        );
        Self {
            night,
            topic: topic.to_owned(),
        }
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        self.night.run(args)
    }

    pub fn status(&self) -> Json {
        self.run(&["hold", "status", "--json"]).ended(0).json()
    }

    /// Asks for the status until it is so.
    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn(&Json) -> bool) -> Json {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if so(&status) {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "never {what}: {status}");
        }
    }
}

/// An order as the hold's native format has it.
pub fn order(label: &str, state: &Json) -> String {
    json!({"entity": "order", "key": label, "op": "upsert", "state": state}).to_string()
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Milliseconds as restitch writes instants.
pub fn instant(ms: i64) -> String {
    restitch::domain::time::format(ms * 1_000)
}
