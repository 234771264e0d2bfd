//! What the list shows: the words of the filter, the sort, and the arranging of rows by both.

use super::table::Rows;
use crate::domain::case::{State, Verb};
use crate::domain::finding::Kind;
use crate::domain::queue::CaseRow;
use std::cmp::Ordering;

/// A filter as typed, and as understood. Empty: everything that is still work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// As typed.
    pub text: String,
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// A substring of label, id, action or a shown column, in any case.
    Text(String),
    States(Vec<State>),
    AnyState,
    Kind(Kind),
    UnknownState,
    Undone,
    Verb(Verb),
    Action(String),
    HeldByMe,
    HeldByNobody,
    HeldBy(String),
    Waits(bool),
    Due(bool),
}

impl Query {
    /// Reads a filter; the error says which word is not understood and what could stand there.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = text.split_whitespace().map(word).collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.trim().to_owned(),
            words,
        })
    }

    /// Whether it is the plain list of what is still work.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether the list shows this row to this person.
    pub fn matches(&self, row: &CaseRow, me: &str) -> bool {
        if self.words.is_empty() {
            return !row.state.is_settled();
        }
        self.words.iter().all(|w| match w {
            Word::Text(needle) => text_matches(row, needle),
            Word::States(states) => states.contains(&row.state),
            Word::AnyState => true,
            Word::Kind(kind) => row.kinds.contains(kind),
            Word::UnknownState => row.kinds.iter().any(|k| k.is_unknown_state()),
            Word::Undone => row.undone,
            Word::Verb(verb) => row.verb == Some(*verb),
            Word::Action(action) => row.action.eq_ignore_ascii_case(action),
            Word::HeldByMe => row.claim.as_ref().is_some_and(|c| c.by == me),
            Word::HeldByNobody => row.claim.is_none(),
            Word::HeldBy(who) => row.claim.as_ref().is_some_and(|c| c.by.eq_ignore_ascii_case(who)),
            Word::Waits(waits) => row.blocked_by.is_empty() != *waits,
            Word::Due(due) => row.due == *due,
        })
    }
}

fn word(text: &str) -> Result<Word, String> {
    let plain = || Ok(Word::Text(text.to_lowercase()));
    let Some((key, value)) = text.split_once(':') else {
        return plain();
    };
    let wanted = value.to_ascii_lowercase().replace('-', "_");
    match key.to_ascii_lowercase().as_str() {
        "state" if wanted == "any" => Ok(Word::AnyState),
        "state" => wanted
            .split(',')
            .map(|s| {
                State::of_name(s).ok_or_else(|| no_such("state", s, State::ALL.map(State::name).as_slice(), "any"))
            })
            .collect::<Result<_, _>>()
            .map(Word::States),
        "kind" if wanted == "unknown" => Ok(Word::UnknownState),
        "kind" if wanted == "undone" => Ok(Word::Undone),
        "kind" => Kind::of_name(&wanted)
            .map(Word::Kind)
            .ok_or_else(|| no_such("kind", value, Kind::ALL.map(Kind::name).as_slice(), "unknown, undone")),
        "verb" => Verb::of_name(&wanted)
            .map(Word::Verb)
            .ok_or_else(|| no_such("verb", value, Verb::ALL.map(Verb::name).as_slice(), "")),
        "action" => Ok(Word::Action(value.to_owned())),
        "by" => Ok(match wanted.as_str() {
            "me" => Word::HeldByMe,
            "nobody" | "" => Word::HeldByNobody,
            _ => Word::HeldBy(value.to_owned()),
        }),
        "due" => match wanted.as_str() {
            "yes" => Ok(Word::Due(true)),
            "no" => Ok(Word::Due(false)),
            _ => Err(format!("due:{value}? it is due:yes or due:no")),
        },
        "waits" => match wanted.as_str() {
            "yes" => Ok(Word::Waits(true)),
            "no" => Ok(Word::Waits(false)),
            _ => Err(format!("waits:{value}? it is waits:yes or waits:no")),
        },
        // Ids and labels may hold a colon.
        _ => plain(),
    }
}

fn no_such(what: &str, given: &str, known: &[&str], more: &str) -> String {
    let more = if more.is_empty() {
        String::new()
    } else {
        format!(" {more}")
    };
    format!("no {what} {given:?}: {}{more}", known.join(" "))
}

fn text_matches(row: &CaseRow, needle: &str) -> bool {
    contains(&row.label, needle)
        || contains(&row.id, needle)
        || contains(&row.action, needle)
        || row.show.iter().any(|s| contains(s, needle))
}

/// Whether `hay` contains the lower-case `needle`, in any case, without allocating for ASCII.
fn contains(hay: &str, needle: &str) -> bool {
    if needle.is_ascii() {
        let (hay, needle) = (hay.as_bytes(), needle.as_bytes());
        return needle.is_empty() || hay.windows(needle.len()).any(|w| w.eq_ignore_ascii_case(needle));
    }
    hay.to_lowercase().contains(needle)
}

/// The order of the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sort {
    /// What fires by itself, what expires, what blocks most, the site's rank.
    #[default]
    Queue,
    /// By label.
    Label,
    /// By the first of its kinds.
    Kind,
    /// By state.
    State,
    /// By holder, held ones first.
    Holder,
    /// Most waited for first.
    WaitedFor,
    /// By this configured column.
    Column(usize),
}

impl Sort {
    /// The next in the round, with so many configured columns.
    #[must_use]
    pub fn next(self, columns: usize) -> Self {
        match self {
            Self::Queue => Self::Label,
            Self::Label => Self::Kind,
            Self::Kind => Self::State,
            Self::State => Self::Holder,
            Self::Holder => Self::WaitedFor,
            Self::WaitedFor if columns > 0 => Self::Column(0),
            Self::Column(n) if n + 1 < columns => Self::Column(n + 1),
            Self::WaitedFor | Self::Column(_) => Self::Queue,
        }
    }

    /// For people; `columns` are the configured columns' names.
    pub fn words(self, columns: &[String]) -> String {
        match self {
            Self::Queue => "queue order".to_owned(),
            Self::Label => "by order".to_owned(),
            Self::Kind => "by what".to_owned(),
            Self::State => "by state".to_owned(),
            Self::Holder => "by holder".to_owned(),
            Self::WaitedFor => "most waited for first".to_owned(),
            Self::Column(n) => format!("by {}", columns.get(n).map_or("?", String::as_str)),
        }
    }

    fn compare(self, a: &CaseRow, b: &CaseRow) -> Ordering {
        match self {
            Self::Queue => Ordering::Equal,
            Self::Label => a.label.cmp(&b.label),
            Self::Kind => a.kinds.cmp(&b.kinds),
            Self::State => a.state.cmp(&b.state),
            Self::Holder => {
                let key = |r: &CaseRow| (r.claim.is_none(), r.claim.as_ref().map(|c| c.by.clone()));
                key(a).cmp(&key(b))
            }
            Self::WaitedFor => b.waited_for.cmp(&a.waited_for),
            Self::Column(n) => a.show.get(n).cmp(&b.show.get(n)),
        }
    }
}

/// The numbers of the rows that the query shows, sorted. Takes time with the rows: a worker's job when there are many.
pub fn arrange(rows: &Rows, query: &Query, sort: Sort, me: &str) -> Vec<u32> {
    let mut shown: Vec<u32> = (0u32..)
        .zip(rows.iter())
        .filter(|(_, row)| query.matches(row, me))
        .map(|(n, _)| n)
        .collect();
    if sort != Sort::Queue {
        shown.sort_by(|a, b| match (rows.get(*a), rows.get(*b)) {
            (Some(a), Some(b)) => sort.compare(a, b),
            _ => Ordering::Equal,
        });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::fixture;

    fn shown(filter: &str) -> Vec<String> {
        let query = Query::parse(filter).unwrap();
        fixture::rows()
            .iter()
            .filter(|r| query.matches(r, "ana"))
            .map(|r| r.label.to_string())
            .collect()
    }

    #[test]
    fn an_empty_filter_shows_what_is_still_work() {
        assert!(!shown("").contains(&"SFO-3".to_owned()), "proven");
        assert!(shown("state:any").contains(&"SFO-3".to_owned()));
        assert!(
            shown("sfo-3").contains(&"SFO-3".to_owned()),
            "who searches by name finds settled ones too"
        );
    }

    #[test]
    fn words_narrow() {
        assert_eq!(shown("state:open kind:lost by:me"), ["SFM-12"]);
        assert_eq!(
            shown("kind:lost waits:no by:nobody state:open"),
            ["SFO-77", "SFO-92", "SFO-95"]
        );
        assert_eq!(shown("by:LI"), ["SFO-90"]);
        assert_eq!(shown("order:958"), ["SFM-12"], "an id with its colon is text");
        assert_eq!(shown("acc-311"), ["SFO-77"]);
        assert_eq!(shown("kind:unknown state:open,parked"), ["SFO-90", "SFO-91"]);
    }

    #[test]
    fn a_wrong_word_says_what_could_stand_there() {
        assert!(Query::parse("state:opne").unwrap_err().contains("to_do"));
        assert!(Query::parse("kind:lots").unwrap_err().contains("orphaned"));
    }

    #[test]
    fn the_round_of_sorts_closes() {
        let mut sort = Sort::default();
        for _ in 0..8 {
            sort = sort.next(2);
        }
        assert_eq!(sort, Sort::Queue);
    }

    #[test]
    fn sorting_keeps_the_queue_order_of_equals() {
        let mut table = super::super::table::Table::default();
        for row in fixture::rows() {
            table.push(row);
        }
        let by_state = arrange(&table.rows, &Query::parse("state:any").unwrap(), Sort::State, "ana");
        let states: Vec<_> = by_state
            .iter()
            .map(|n| (table.rows.get(*n).unwrap().state, *n))
            .collect();
        assert!(states.is_sorted());
        assert_eq!(states.len(), fixture::rows().len());
    }
}
