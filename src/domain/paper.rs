//! What takes more than one key press or more than one person: papers that people sign, and bulks.

use super::case::Verb;
use super::time;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// What a paper is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaperKind {
    /// A decision that waits for another person.
    Decision,
    /// A bulk that does.
    Bulk,
    /// A shift's open list, handed over.
    Handover,
    /// The end: everything is proven.
    Signoff,
}

impl PaperKind {
    /// The word in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Bulk => "bulk",
            Self::Handover => "handover",
            Self::Signoff => "signoff",
        }
    }

    /// The kind of this word.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Decision, Self::Bulk, Self::Handover, Self::Signoff]
            .into_iter()
            .find(|k| k.name() == name)
    }
}

/// Where a paper stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaperState {
    /// It lacks the second signature.
    Waits,
    /// All who must have signed.
    Signed,
    /// Another person said no.
    Declined,
    /// Whoever wrote it took it back.
    Withdrawn,
}

impl PaperState {
    /// The word in files and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Signed => "signed",
            Self::Declined => "declined",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The state of this word.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Waits, Self::Signed, Self::Declined, Self::Withdrawn]
            .into_iter()
            .find(|s| s.name() == name)
    }
}

/// Something in writing that one person signs, or two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paper {
    /// Its name: the idempotency key of the decision, the bulk's id, or one of its own.
    pub key: String,
    /// What it is about.
    pub kind: PaperKind,
    /// The case, where it is about one.
    pub case: Option<String>,
    /// Of everything that is signed, hex.
    pub digest: String,
    /// What is signed.
    pub content: Json,
    /// Who wrote and signed it first.
    pub by: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// The only person who may sign second; `None`: anybody else.
    pub to: Option<String>,
    /// Where it stands.
    pub state: PaperState,
    /// Who answered.
    pub answered_by: Option<String>,
    /// When, microseconds since 1970.
    pub answered_at: Option<i64>,
    /// Why they declined, or what they said.
    pub answer: Option<String>,
}

impl Paper {
    /// What is signed, line by line.
    pub fn lines(&self) -> Vec<String> {
        let text = |at: &Json, name: &str| at[name].as_str().map(str::to_owned);
        let ask = match self.kind {
            PaperKind::Bulk => &self.content["ask"],
            _ => &self.content,
        };
        let mut lines = Vec::new();
        match self.kind {
            PaperKind::Decision | PaperKind::Bulk => {
                let verb = text(ask, "verb").unwrap_or_default();
                let listed = self.content["cases"].as_array().map_or(&[][..], Vec::as_slice);
                let listed = listed.iter().filter_map(Json::as_str);
                let cases: Vec<&str> = self.case.as_deref().into_iter().chain(listed).collect();
                lines.push(match self.kind {
                    PaperKind::Bulk => {
                        let scope = text(&self.content, "scope").unwrap_or_default();
                        format!("{verb} {} cases ({scope}): {}", cases.len(), cases.join(" "))
                    }
                    _ => format!("{verb} {}", cases.join(" ")),
                });
                for name in ["reason", "ref", "to", "evidence"] {
                    lines.extend(text(ask, name).map(|value| format!("{name}: {value}")));
                }
                let steps = self.content["steps"].as_array().into_iter().flatten();
                lines.extend(steps.filter_map(Json::as_str).map(str::to_owned));
                lines.extend(ask["until"].as_i64().map(|at| format!("until: {}", time::format(at))));
            }
            PaperKind::Handover | PaperKind::Signoff => {
                let counts = self.content["counts"].as_object();
                let counts: Vec<String> = counts
                    .into_iter()
                    .flatten()
                    .filter(|(_, n)| n.as_u64() != Some(0))
                    .map(|(state, n)| format!("{n} {}", state.replace('_', " ")))
                    .collect();
                lines.push(counts.join(", "));
                for name in ["note", "reason"] {
                    lines.extend(text(&self.content, name).filter(|t| !t.is_empty()));
                }
                for case in self.content["cases"].as_array().into_iter().flatten() {
                    let of = |name: &str| case[name].as_str().unwrap_or_default();
                    let holder = match of("claimed_by") {
                        "" => String::new(),
                        by => format!(", {by} holds it"),
                    };
                    lines.push(format!("{} {}: {}{holder}", of("label"), of("case"), of("state")));
                }
            }
        }
        lines
    }
}

/// How a case of a bulk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemState {
    /// Its turn is still to come.
    Pending,
    /// Decided.
    Done,
    /// It could not be decided.
    Failed,
    /// It was not as the bulk had frozen it any more, or somebody else had it.
    Skipped,
}

impl ItemState {
    /// The word in files and on screens.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// The state of this word.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Done, Self::Failed, Self::Skipped]
            .into_iter()
            .find(|s| s.name() == name)
    }
}

/// How far a bulk is: done, failed, skipped and pending add up to the total at every moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Cases of the frozen set.
    pub total: u64,
    /// Decided.
    pub done: u64,
    /// Could not be decided.
    pub failed: u64,
    /// Left out on the way.
    pub skipped: u64,
    /// Still to come.
    pub pending: u64,
}

impl Sums {
    /// `12 = 9 done, 1 failed, 0 skipped, 2 pending`
    pub fn words(&self) -> String {
        let Self {
            total,
            done,
            failed,
            skipped,
            pending,
        } = self;
        format!("{total} = {done} done, {failed} failed, {skipped} skipped, {pending} pending")
    }
}

/// The same decision for many cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BulkAsk {
    /// The verb.
    pub verb: Verb,
    /// Why.
    pub reason: String,
    /// `--ref`
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// `--to`
    pub to: Option<String>,
    /// `--evidence`
    pub evidence: Option<String>,
    /// `--until`, microseconds since 1970.
    pub until: Option<i64>,
}

/// A case of a bulk's frozen set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkItem {
    /// Its place, from 1.
    pub nth: u32,
    /// The case.
    pub case: String,
    /// Digest of the case as it was when the set was frozen.
    pub seen: String,
    /// How it ended.
    pub state: ItemState,
    /// Why it failed or was skipped.
    pub why: Option<String>,
}

/// A case that a bulk leaves out from the beginning, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// The case.
    pub case: String,
    /// What people call it.
    pub label: String,
    /// Why.
    pub why: String,
}

/// Which cases a bulk means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Undecided cases of the same shape as this one, and itself.
    Like(String),
    /// Those that a filter shows, in the words of the console.
    Filter(String),
    /// These.
    These(Vec<String>),
}

impl Scope {
    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::Like(case) => format!("like {case}"),
            Self::Filter(text) => format!("filter {text:?}"),
            Self::These(ids) => format!("{} marked cases", ids.len()),
        }
    }
}

/// What a bulk would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Sifted {
    /// What is decided on each.
    pub ask: BulkAsk,
    /// Which cases were meant, in words.
    pub scope: String,
    /// The cases to decide, in queue order: id, label and digest of what was seen.
    pub taken: Vec<(String, String, String)>,
    /// Those left out, and why.
    pub excluded: Vec<Excluded>,
    /// It waits for another person before it runs.
    pub waits: bool,
    /// It can be taken back, made up for, or neither: the least of all its cases.
    pub kind: &'static str,
}

/// A bulk as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bulk {
    /// Its id.
    pub id: String,
    /// What is decided on each case.
    pub ask: BulkAsk,
    /// Which cases were meant, in words.
    pub scope: String,
    /// Who began it.
    pub by: String,
    /// Microseconds since 1970.
    pub at: i64,
    /// What was left out from the beginning.
    pub excluded: Vec<Excluded>,
    /// How far it is.
    pub sums: Sums,
    /// Why it stopped before its end.
    pub stopped: Option<String>,
}
