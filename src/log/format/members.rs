//! A JSON object's members as written: nothing is decoded that nobody asks for, and no digit is lost.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use smallvec::SmallVec;
use std::borrow::Cow;

/// The members of an object, in their order.
pub(super) struct Members<'a>(pub SmallVec<[(Cow<'a, str>, &'a RawValue); 24]>);

impl<'a> Members<'a> {
    /// The members of the object that this text is; the error is the reason for a reject.
    pub fn read(text: &'a str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|e| super::why(text, &e))
    }

    /// The last member of this name, as for `jsonb`.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.0.iter().rev().find(|(n, _)| n == name);
        found.map(|(_, value)| *value)
    }
}

/// A member's name, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = SmallVec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(All)
    }
}
