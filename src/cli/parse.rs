//! Values of arguments: words of the contract, times, spans.

use crate::config::units;
use crate::domain::case::{State, Verb};
use crate::domain::finding::Kind;
use crate::domain::phase::Phase;
use crate::domain::time;
use std::time::Duration;

fn one_of<T>(word: &str, found: Option<T>, all: &[&str]) -> Result<T, String> {
    found.ok_or_else(|| format!("{word:?} is none of {}", all.join(", ")))
}

/// A state's word.
pub fn state(word: &str) -> Result<State, String> {
    one_of(word, State::of_name(word), &State::ALL.map(State::name))
}

/// A kind's word.
pub fn kind(word: &str) -> Result<Kind, String> {
    one_of(word, Kind::of_name(word), &Kind::ALL.map(Kind::name))
}

/// A verb.
pub fn verb(word: &str) -> Result<Verb, String> {
    one_of(word, Verb::of_name(word), &Verb::ALL.map(Verb::name))
}

/// A phase's name.
pub fn phase(word: &str) -> Result<Phase, String> {
    one_of(word, Phase::of_name(word), &Phase::ALL.map(Phase::name))
}

/// An instant, microseconds since 1970.
pub fn instant(text: &str) -> Result<i64, String> {
    time::parse(text).ok_or_else(|| format!("{text:?} is no RFC 3339 time, like 2026-11-22T18:00:00Z"))
}

/// A span of time.
pub fn span(text: &str) -> Result<Duration, String> {
    units::duration(text)
        .filter(|d| !d.is_zero())
        .ok_or_else(|| format!("{text:?} is no span of time, like 15m or 1h30m"))
}
