//! JSON and arrays: equal when their contents are, whatever the key order, spacing or spelling of numbers.

use super::decimal;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Deeper nesting than this is left to the server.
const DEPTH: usize = 120;

/// A canonical spelling of a JSON text: keys sorted, the last of equal keys counts, numbers by value. `None` where it is
/// not JSON.
pub fn canonical_json(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    write_json(text, &mut out, 0)?;
    Some(out)
}

fn write_json(text: &str, out: &mut String, depth: usize) -> Option<()> {
    let text = text.trim();
    match text.as_bytes().first()? {
        b'{' if depth < DEPTH => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            out.push('{');
            for (name, value) in members {
                let _ = write!(out, "{name:?}:");
                write_json(value.get(), out, depth + 1)?;
                out.push(',');
            }
            out.push('}');
        }
        b'[' if depth < DEPTH => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            out.push('[');
            for item in items {
                write_json(item.get(), out, depth + 1)?;
                out.push(',');
            }
            out.push(']');
        }
        b'"' => {
            let string: String = serde_json::from_str(text).ok()?;
            let _ = write!(out, "{string:?}");
        }
        b'-' | b'0'..=b'9' => {
            let number: &RawValue = serde_json::from_str(text).ok()?;
            out.push_str(&decimal::canonical(number.get())?);
        }
        _ if matches!(text, "true" | "false" | "null") => out.push_str(text),
        _ => return None,
    }
    Some(())
}

/// An element of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// SQL null.
    Null,
    /// A scalar's text.
    Text(String),
    /// An inner array.
    Array(Vec<Element>),
}

/// Reads PostgreSQL's array output (`{1,"a b",NULL,{…}}`). `None` for other bounds than 1 and for what is no array.
pub fn pg_array(text: &str) -> Option<Vec<Element>> {
    let mut chars = text.trim().chars().peekable();
    if chars.next()? != '{' {
        return None;
    }
    let items = pg_items(&mut chars, 0)?;
    chars.next().is_none().then_some(items)
}

fn pg_items(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, depth: usize) -> Option<Vec<Element>> {
    let mut items = Vec::new();
    let skip = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
    };
    loop {
        skip(chars);
        match chars.peek()? {
            '}' if items.is_empty() => {
                chars.next();
                return Some(items);
            }
            '{' if depth < DEPTH => {
                chars.next();
                items.push(Element::Array(pg_items(chars, depth + 1)?));
            }
            '"' => {
                chars.next();
                let mut text = String::new();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => text.push(chars.next()?),
                        c => text.push(c),
                    }
                }
                items.push(Element::Text(text));
            }
            _ => {
                let mut text = String::new();
                while let Some(c) = chars.next_if(|c| !matches!(c, ',' | '}')) {
                    text.push(if c == '\\' { chars.next()? } else { c });
                }
                let text = text.trim_end();
                if text.is_empty() {
                    return None;
                }
                items.push(if text.eq_ignore_ascii_case("null") {
                    Element::Null
                } else {
                    Element::Text(text.to_owned())
                });
            }
        }
        skip(chars);
        match chars.next()? {
            ',' => {}
            '}' => return Some(items),
            _ => return None,
        }
    }
}

/// Reads a JSON array; objects inside stay JSON text.
pub fn json_array(text: &str) -> Option<Vec<Element>> {
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    items
        .into_iter()
        .map(|item| {
            let raw = item.get();
            Some(match raw.as_bytes().first()? {
                b'[' => Element::Array(json_array(raw)?),
                b'"' => Element::Text(serde_json::from_str(raw).ok()?),
                b'n' => Element::Null,
                _ => Element::Text(raw.to_owned()),
            })
        })
        .collect()
}

/// Writes an array the way PostgreSQL's array input reads it, every scalar quoted.
pub fn pg_array_text(items: &[Element]) -> String {
    let mut out = String::from("{");
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        match item {
            Element::Null => out.push_str("NULL"),
            Element::Array(inner) => out.push_str(&pg_array_text(inner)),
            Element::Text(text) => {
                out.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_by_content() {
        let a = canonical_json(r#"{"b": [1, 2.50, "x"], "a": {"k": null, "n": 9007199254740993}}"#);
        assert!(a.is_some());
        assert_eq!(
            a,
            canonical_json(r#"{"a":{"n":9007199254740993,"k":null},"b":[1.0,2.5,"\u0078"]}"#)
        );
        assert_ne!(
            a,
            canonical_json(r#"{"a":{"n":9007199254740992,"k":null},"b":[1.0,2.5,"x"]}"#)
        );
        assert_ne!(canonical_json(r#"["1"]"#), canonical_json("[1]"));
        assert_ne!(canonical_json("[1,2]"), canonical_json("[2,1]"));
        assert_eq!(canonical_json("nonsense"), None);
        assert_eq!(canonical_json("[1"), None);
    }

    #[test]
    fn arrays_both_ways() {
        let items = pg_array(r#"{1,"a \"b\"",NULL,"NULL",{x,y},{}}"#);
        assert_eq!(items, json_array(r#"["1","a \"b\"",null,"NULL",["x","y"],[]]"#));
        let items = items.unwrap();
        assert_eq!(pg_array(&pg_array_text(&items)), Some(items));
        assert_eq!(pg_array("{}"), Some(vec![]));
        for bad in ["[0:1]={1,2}", "{1,}", "{", "1", "{1}x", "{,1}"] {
            assert_eq!(pg_array(bad), None, "{bad}");
        }
    }
}
