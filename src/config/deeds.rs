//! `[approve]`, `[bulk]` and `[reasons]`: what of a decision takes two people, how many are made how fast, and why.

use super::fields::{Field, Fields};
use super::tree::Node;
use crate::domain::Result;
use crate::domain::case::Verb;
use crate::domain::schema::nearest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `[approve]`: what waits for another person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approve {
    /// Decisions of these verbs.
    pub verbs: Vec<Verb>,
    /// Bulks of so many cases or more.
    pub bulk: Option<usize>,
}

impl Approve {
    /// Whether a decision of this verb takes effect only when another person approved it.
    pub fn needs(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    /// Whether a bulk of this verb over so many cases does.
    pub fn needs_for_bulk(&self, verb: Verb, cases: usize) -> bool {
        self.needs(verb) || self.bulk.is_some_and(|most| cases >= most)
    }

    /// Makes what the other names wait as well.
    pub fn add(&mut self, other: &Self) {
        for verb in &other.verbs {
            if !self.needs(*verb) {
                self.verbs.push(*verb);
            }
        }
        self.bulk = match (self.bulk, other.bulk) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// `another person approves: cancel, resubmit, bulks of 20 cases or more`
    pub fn words(&self) -> String {
        let mut what: Vec<String> = self.verbs.iter().map(|v| v.name().to_owned()).collect();
        what.extend(self.bulk.map(|most| format!("bulks of {most} cases or more")));
        format!("another person approves: {}", what.join(", "))
    }
}

/// `[bulk]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkConfig {
    /// At most so many decisions a second.
    pub per_second: u32,
    /// So many failures end it.
    pub stop_after: u32,
}

impl Default for BulkConfig {
    fn default() -> Self {
        Self {
            per_second: 10,
            stop_after: 3,
        }
    }
}

/// `[reasons]`: the presets by verb, and for `undo` and `reopen`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reasons(BTreeMap<String, Vec<String>>);

impl Reasons {
    /// Deeds besides the verbs that have presets.
    const OTHERS: [&str; 2] = ["undo", "reopen"];

    /// The presets of a verb or deed: the site's own, else the built-in ones.
    pub fn of(&self, deed: &str) -> Vec<String> {
        match self.0.get(deed) {
            Some(own) => own.clone(),
            None => built_in(deed).iter().map(|r| (*r).to_owned()).collect(),
        }
    }
}

const fn of_verb(verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::Keep => &[
            "the difference does no harm",
            "the restore was meant to remove it",
            "agreed with the account's owner",
        ],
        Verb::Reapply => &[
            "lost window: every effect outside is done",
            "the log is right, nothing was built on the old state",
        ],
        Verb::Resubmit => &[
            "lost window: nothing was done outside",
            "agreed with the account's owner",
        ],
        Verb::Relink => &[
            "the same thing came back under another key",
            "agreed with the account's owner",
        ],
        Verb::Complete => &[
            "done outside, evidence attached",
            "done outside, seen by the outside team",
        ],
        Verb::Supersede => &["ordered again after the restore", "agreed with the account's owner"],
        Verb::Cancel => &["what it builds on is gone", "agreed with the account's owner"],
        Verb::Park => &[
            "waits for an answer from outside",
            "waits for another case",
            "waits until services are back",
        ],
        Verb::Escalate => &[
            "needs a decision by the account's owner",
            "sources contradict each other",
            "past the point of no return",
        ],
    }
}

fn built_in(deed: &str) -> &'static [&'static str] {
    match (Verb::of_name(deed), deed) {
        (Some(verb), _) => of_verb(verb),
        (None, "undo") => &[
            "decided the wrong order",
            "decided the wrong verb",
            "something new is known",
        ],
        (None, "reopen") => &[
            "what it rests on turned out wrong",
            "the account's owner asks for it",
            "decided in error",
        ],
        _ => &[],
    }
}

/// Reads `[approve]`.
pub(super) fn approve(node: &Node) -> Result<Approve> {
    let fields = Fields::of(node, "approve", "approve")?;
    let mut approve = Approve::default();
    if let Some(field) = fields.get("verbs") {
        for name in field.texts()? {
            let verb = Verb::of_name(&name).ok_or_else(|| {
                let near = nearest(&name, Verb::ALL.iter().map(|v| v.name()));
                field
                    .wrong(format!("approve.verbs names {name:?}, which is no verb"))
                    .cure(format!("the nearest verbs are {near}"))
            })?;
            approve.verbs.push(verb);
        }
    }
    if let Some(field) = fields.get("bulk") {
        approve.bulk = usize::try_from(field.int(1..=1_000_000)?).ok();
    }
    Ok(approve)
}

/// Reads `[bulk]`.
pub(super) fn bulk(node: &Node) -> Result<BulkConfig> {
    let fields = Fields::of(node, "bulk", "bulk")?;
    let mut bulk = BulkConfig::default();
    let number = |field: Field<'_>| -> Result<u32> { Ok(u32::try_from(field.int(1..=10_000)?).unwrap_or(1)) };
    if let Some(field) = fields.get("per_second") {
        bulk.per_second = number(field)?;
    }
    if let Some(field) = fields.get("stop_after") {
        bulk.stop_after = number(field)?;
    }
    Ok(bulk)
}

/// Reads `[reasons]`; a digit picks one, so there are at most nine.
pub(super) fn reasons(node: &Node) -> Result<Reasons> {
    const MOST: usize = 9;
    let fields = Fields::any(node, "reasons")?;
    let mut reasons = Reasons::default();
    for (deed, field) in fields.all() {
        if Verb::of_name(deed).is_none() && !Reasons::OTHERS.contains(&deed) {
            let near = nearest(deed, Verb::ALL.iter().map(|v| v.name()).chain(Reasons::OTHERS));
            return Err(field
                .wrong(format!(
                    "unknown key {deed:?} in reasons: it is neither a verb nor undo or reopen"
                ))
                .cure(format!("the nearest are {near}")));
        }
        let texts = field.some_texts()?;
        if texts.len() > MOST {
            return Err(field
                .wrong(format!("{} has {} reasons", field.path, texts.len()))
                .cure("a digit picks one: keep the nine that are used most"));
        }
        reasons.0.insert(deed.to_owned(), texts);
    }
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_needs_approval_by_its_verb_or_by_its_size() {
        let approve = Approve {
            verbs: vec![Verb::Cancel],
            bulk: Some(20),
        };
        assert!(approve.needs(Verb::Cancel) && !approve.needs(Verb::Keep));
        assert!(approve.needs_for_bulk(Verb::Cancel, 1) && approve.needs_for_bulk(Verb::Keep, 20));
        assert!(!approve.needs_for_bulk(Verb::Keep, 19));
        assert!(!Approve::default().needs_for_bulk(Verb::Cancel, 100_000));
    }

    #[test]
    fn two_policies_together_are_the_stricter() {
        let of = |verbs: &[Verb], bulk| Approve {
            verbs: verbs.to_vec(),
            bulk,
        };
        let mut approve = of(&[Verb::Cancel], Some(20));
        approve.add(&of(&[Verb::Cancel, Verb::Keep], Some(5)));
        assert_eq!(approve, of(&[Verb::Cancel, Verb::Keep], Some(5)));
        approve.add(&Approve::default());
        assert_eq!(
            approve.words(),
            "another person approves: cancel, keep, bulks of 5 cases or more"
        );
    }

    #[test]
    fn every_verb_undo_and_reopen_have_reasons() {
        let deeds = Verb::ALL.iter().map(|v| v.name()).chain(Reasons::OTHERS);
        for deed in deeds {
            assert!((1..=9).contains(&Reasons::default().of(deed).len()), "{deed}");
        }
        assert!(Reasons::default().of("claim").is_empty());
    }
}
