//! Values of columns as they stand on the screen.

use crate::console::model::Setup;
use crate::domain::finding::{Evidence, Missing};
use crate::domain::time;
use crate::safe;
use crate::text::Safe;
use serde_json::Value as Json;

/// A value as text. A string that could be taken for something else stands in quotes.
pub fn text(value: &Json) -> Safe<'static> {
    match value {
        Json::Null => Safe::ours("null"),
        Json::String(s) if s.is_empty() || s.trim() != s || s == "null" => safe!("\"{}\"", Safe::of(s)),
        Json::String(s) => Safe::of(s).into_owned(),
        other => Safe::of(&other.to_string()).into_owned(),
    }
}

/// The same, masked where the column is.
pub fn of_column(setup: &Setup, entity: &str, column: &str, value: &Json) -> Safe<'static> {
    if setup.masks(entity, column) && !value.is_null() {
        Safe::masked()
    } else {
        text(value)
    }
}

/// Both sides of a field, each cut to its width such that a difference can be seen: where they begin alike, the
/// beginning goes.
pub fn pair(
    (a, a_width): (Safe<'static>, usize),
    (b, b_width): (Safe<'static>, usize),
) -> (Safe<'static>, Safe<'static>) {
    let width = a_width.min(b_width);
    let alike = a
        .as_str()
        .chars()
        .zip(b.as_str().chars())
        .take_while(|(x, y)| x == y)
        .count();
    let fits = a.width() <= a_width && b.width() <= b_width;
    if a == b || fits || alike + 2 <= width {
        return (a.clip(a_width), b.clip(b_width));
    }
    let from = alike.saturating_sub(width / 3);
    let cut = |s: &Safe<'static>, width| {
        let rest: String = s.as_str().chars().skip(from).collect();
        safe!("…{}", Safe::of(&rest)).clip(width)
    };
    (cut(&a, a_width), cut(&b, b_width))
}

/// `cdc@9911 14:09:11Z`; the date where it is not the incident's.
pub fn evidence(by: &Evidence, today: Option<i64>) -> Safe<'static> {
    let at = by
        .ts
        .as_deref()
        .map_or(Safe::ours("no time"), |ts| instant_text(ts, today));
    safe!("{}@{} {}", Safe::id(&by.source), Safe::id(&by.position), at)
}

fn instant_text(ts: &str, today: Option<i64>) -> Safe<'static> {
    match time::parse(ts) {
        Some(at) => instant(at, today),
        None => Safe::of(ts).into_owned(),
    }
}

/// `14:09:11Z`, with the date where it is not today's.
pub fn instant(at: i64, today: Option<i64>) -> Safe<'static> {
    const DAY: i64 = 86_400_000_000;
    let clock = time::clock(at);
    if today.is_none_or(|t| t.div_euclid(DAY) == at.div_euclid(DAY)) {
        return Safe::of(&clock).into_owned();
    }
    let whole = time::format(at - at.rem_euclid(1_000_000));
    Safe::of(&whole).into_owned()
}

/// `inventory_item 12`, `asset reference_id=R7`.
pub fn missing(setup: &Setup, to: &Missing) -> Safe<'static> {
    match &to.column {
        Some(column) if setup.masks(&to.entity, column) => {
            safe!("{} {}={}", Safe::id(&to.entity), Safe::id(column), Safe::masked())
        }
        Some(column) => safe!("{} {}={}", Safe::id(&to.entity), Safe::id(column), Safe::id(&to.key)),
        None => safe!("{} {}", Safe::id(&to.entity), Safe::id(&to.key)),
    }
}

/// `1,204`: thousands apart.
pub fn count(n: u64) -> Safe<'static> {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    Safe::of(&out).into_owned()
}

/// `1 row`, `3 rows`.
pub fn many(n: u64, one: &'static str, more: &'static str) -> Safe<'static> {
    safe!("{} {}", count(n), if n == 1 { one } else { more })
}

/// `9:31`, `1:02:03`: a span.
pub fn span(micros: i64) -> Safe<'static> {
    let s = micros.max(0) / 1_000_000;
    let (hours, minutes, seconds) = (s / 3600, s / 60 % 60, s % 60);
    if hours > 0 {
        safe!("{}:{:02}:{:02}", hours, minutes, seconds)
    } else {
        safe!("{}:{:02}", minutes, seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn different_values_never_look_alike() {
        assert_ne!(text(&json!(null)), text(&json!("null")));
        assert_ne!(text(&json!("a")), text(&json!("a ")));
        assert_ne!(text(&json!("")), text(&json!(null)));
        let long = |end: &str| Safe::of(&("same ".repeat(40) + end)).into_owned();
        let (a, b) = pair((long("one"), 14), (long("two"), 20));
        assert_ne!(a, b);
        assert!(a.width() <= 14 && b.width() <= 20);
    }

    #[test]
    fn figures_are_read_at_a_glance() {
        assert_eq!(count(1_234_567).as_str(), "1,234,567");
        assert_eq!(count(120).as_str(), "120");
        assert_eq!(span(571_000_000).as_str(), "9:31");
        assert_eq!(span(3_723_000_000).as_str(), "1:02:03");
    }
}
