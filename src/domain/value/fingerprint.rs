//! A number that equal values of a column share, whatever their spelling: [`same`](super::same) for values that are not
//! there any more.

use super::nested::Element;
use super::{ColumnType, LogKind, boolean, canonical, decimal, double, instant, nested, salesforce_id, single};
use std::hash::BuildHasher;

/// What a value means, in a form that can be hashed.
#[derive(Hash)]
enum Meaning<'a> {
    Text(&'a str),
    Number(i64),
    Bits(u64),
    /// What cannot be read as the type, or only by the server: equal where it is spelled alike.
    Raw(&'a str),
}

/// The fingerprint of one column's value: 0 for null. Values of types that only the server can compare are told apart by
/// their spelling.
pub fn fingerprint(hasher: &impl BuildHasher, column: u16, ty: &ColumnType, kind: LogKind, text: &str) -> u64 {
    if kind == LogKind::Null {
        return 0;
    }
    let of = |meaning: Meaning<'_>| hasher.hash_one((column, meaning)) | 1;
    let number = |n: Option<i64>| of(n.map_or(Meaning::Raw(text), Meaning::Number));
    let moment = |n: Option<i64>| match kind {
        LogKind::Millis => number(n.map(|n| n.div_euclid(1_000) * 1_000)),
        _ => number(n),
    };
    let bits = |n: Option<u64>| of(n.map_or(Meaning::Raw(text), Meaning::Bits));
    let spelled = |t: Option<String>| match &t {
        Some(t) => of(Meaning::Text(t)),
        None => of(Meaning::Raw(text)),
    };
    match ty {
        ColumnType::Text => of(Meaning::Text(salesforce_id(text))),
        ColumnType::Char => of(Meaning::Text(salesforce_id(text.trim_end_matches(' ')))),
        ColumnType::TextCi => of(Meaning::Text(&text.to_lowercase())),
        ColumnType::Bool => number(boolean(text).map(i64::from)),
        ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8 => number(text.trim().parse().ok()),
        ColumnType::Numeric if kind == LogKind::Double => bits(double(text)),
        ColumnType::Numeric => spelled(decimal::canonical(text)),
        ColumnType::Float8 => bits(double(text)),
        ColumnType::Float4 => bits(single(text).map(u64::from)),
        ColumnType::Uuid => spelled(canonical(ty, text).map(std::borrow::Cow::into_owned)),
        ColumnType::Date => number(instant::date(text)),
        ColumnType::Time => moment(instant::time(text)),
        ColumnType::TimeTz => moment(instant::timetz(text)),
        ColumnType::Timestamp => moment(instant::timestamp(text)),
        ColumnType::TimestampTz => moment(instant::timestamptz(text)),
        ColumnType::Json | ColumnType::Jsonb => spelled(nested::canonical_json(text)),
        ColumnType::Bytea => spelled(text.strip_prefix("\\x").map(str::to_ascii_lowercase)),
        ColumnType::Array(inner) => {
            let items = match kind {
                LogKind::Json => nested::json_array(text),
                _ => nested::pg_array(text),
            };
            match items {
                Some(items) => of(Meaning::Bits(of_items(hasher, column, inner, kind, &items))),
                None => of(Meaning::Raw(text)),
            }
        }
        ColumnType::Interval | ColumnType::Other => of(Meaning::Raw(text)),
    }
}

fn of_items(hasher: &impl BuildHasher, column: u16, inner: &ColumnType, kind: LogKind, items: &[Element]) -> u64 {
    let kind = match kind {
        LogKind::Millis | LogKind::Double => kind,
        _ => LogKind::Text,
    };
    let one = |item: &Element| match item {
        Element::Null => 0,
        Element::Text(text) => fingerprint(hasher, column, inner, kind, text),
        Element::Array(items) => of_items(hasher, column, inner, kind, items).rotate_left(7),
    };
    let parts: Vec<u64> = items.iter().map(one).collect();
    hasher.hash_one(parts)
}

#[cfg(test)]
mod tests {
    use super::super::{LogValue, Same, same};
    use super::*;
    use foldhash::fast::FixedState;

    #[test]
    fn equal_values_share_it_and_others_do_not() {
        let of = |ty: &ColumnType, text: &str| {
            let kind = if text.starts_with('[') {
                LogKind::Json
            } else {
                LogKind::Text
            };
            fingerprint(&FixedState::default(), 3, ty, kind, text)
        };
        let groups: [(ColumnType, &[&[&str]]); 14] = [
            (
                ColumnType::Text,
                &[&["8024R000000p73z", "8024R000000p73zQAA"], &["8024r000000p73z"], &[""]],
            ),
            (ColumnType::Char, &[&["ab", "ab  "], &["a"]]),
            (ColumnType::Bool, &[&["t", "true", "yes", "1"], &["f", "off"]]),
            (ColumnType::Int8, &[&["7", "+7", " 07"], &["-7"], &["x"]]),
            (ColumnType::Numeric, &[&["1.5", "1.50", "150e-2"], &["15"]]),
            (ColumnType::Float8, &[&["0", "-0.0", "0e7"], &["1e300"]]),
            (ColumnType::Float4, &[&["0.1", "0.10000000149"], &["0.2"]]),
            (ColumnType::Date, &[&["2026-11-22"], &["2026-11-23"]]),
            (
                ColumnType::TimestampTz,
                &[
                    &["2026-11-22 14:05:00+00", "2026-11-22T15:05:00.000+01:00"],
                    &["2026-11-22 14:05:01+00"],
                ],
            ),
            (
                ColumnType::Jsonb,
                &[&[r#"{"a":1.0,"b":[2]}"#, r#"{"b":[2], "a":1}"#], &[r#"{"a":1}"#]],
            ),
            (ColumnType::Bytea, &[&["\\xAB", "\\xab"], &["\\xac"]]),
            (
                ColumnType::Uuid,
                &[
                    &[
                        "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                        "{a0eebc999c0b4ef8bb6d6bb9bd380a11}",
                    ],
                    &["b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
                ],
            ),
            (
                ColumnType::Array(Box::new(ColumnType::Numeric)),
                &[&["{1.0,NULL}", "[1,null]"], &["{1}"], &["{{1},NULL}"]],
            ),
            (ColumnType::Other, &[&["a"], &["A"]]),
        ];
        for (ty, groups) in groups {
            for (n, group) in groups.iter().enumerate() {
                for a in *group {
                    assert_ne!(of(&ty, a), 0);
                    for (m, other) in groups.iter().enumerate() {
                        for b in *other {
                            assert_eq!(of(&ty, a) == of(&ty, b), n == m, "{ty:?}: {a} and {b}");
                        }
                    }
                    // As the scan has it, where it can tell.
                    for b in group.iter().filter(|b| !b.starts_with('[')) {
                        let kind = if a.starts_with('[') {
                            LogKind::Json
                        } else {
                            LogKind::Text
                        };
                        assert_ne!(
                            same(&ty, &LogValue::new(kind, *a), Some(b)),
                            Same::No,
                            "{ty:?}: {a} and {b}"
                        );
                    }
                }
            }
        }
        assert_eq!(
            fingerprint(&FixedState::default(), 3, &ColumnType::Text, LogKind::Null, ""),
            0
        );
    }
}
