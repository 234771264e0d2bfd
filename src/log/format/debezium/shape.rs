//! Values that the connector sends as structures, maps or bytes of their own make: geometry, `hstore`, vectors, bits.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// All members that such structures have, coordinates with every digit as written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Shape<'a> {
    #[serde(borrow)]
    x: Option<&'a RawValue>,
    #[serde(borrow)]
    y: Option<&'a RawValue>,
    #[serde(borrow)]
    center: Option<Point<'a>>,
    #[serde(borrow)]
    radius: Option<&'a RawValue>,
    #[serde(borrow)]
    a: Option<&'a RawValue>,
    #[serde(borrow)]
    b: Option<&'a RawValue>,
    #[serde(borrow)]
    c: Option<&'a RawValue>,
    #[serde(borrow)]
    wkb: Option<Cow<'a, str>>,
    srid: Option<i64>,
    extensions: Option<BTreeMap<String, Option<String>>>,
    scale: Option<i64>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    dimensions: Option<i64>,
    #[serde(borrow)]
    vector: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Point<'a> {
    #[serde(borrow)]
    x: Option<&'a RawValue>,
    #[serde(borrow)]
    y: Option<&'a RawValue>,
}

/// The text of a structure that says by its members what it is; `None` for any other.
pub fn structure(raw: &RawValue) -> Option<String> {
    let s: Shape<'_> = serde_json::from_str(raw.get()).ok()?;
    if let (Some(scale), Some(value)) = (s.scale, &s.value) {
        return super::decimal::text(&super::value::base64(value)?, scale);
    }
    if let (Some(x), Some(y)) = (s.x, s.y) {
        return Some(format!("({},{})", number(x), number(y)));
    }
    if let (Some(center), Some(radius)) = (s.center, s.radius) {
        return Some(format!(
            "<({},{}),{}>",
            number(center.x?),
            number(center.y?),
            number(radius)
        ));
    }
    if let (Some(a), Some(b), Some(c)) = (s.a, s.b, s.c) {
        return Some(format!("{{{},{},{}}}", number(a), number(b), number(c)));
    }
    if let (Some(dimensions), Some(vector)) = (s.dimensions, s.vector) {
        return sparse(vector).map(|items| format!("{{{items}}}/{dimensions}"));
    }
    let wkb = super::value::base64(s.wkb.as_deref()?)?;
    let extension = |name| s.extensions.as_ref()?.get(name)?.as_deref();
    match extension("type") {
        Some(native) => planar(native, extension("closed") == Some("true"), &points(&wkb)?),
        // PostGIS reads hexadecimal well-known binary, with the reference system before it.
        None => Some(
            s.srid
                .map_or_else(|| hex(&wkb), |srid| format!("SRID={srid};{}", hex(&wkb))),
        ),
    }
}

/// A number as written, or the word that stands for one that JSON lacks.
fn number(raw: &RawValue) -> &str {
    raw.get().trim_matches('"')
}

/// `1:0.5,3:2`, from an object or, as the JSON converter writes maps whose keys are no strings, from pairs.
fn sparse(raw: &RawValue) -> Option<String> {
    let mut items: Vec<(u32, &RawValue)> = match serde_json::from_str::<BTreeMap<&str, &RawValue>>(raw.get()) {
        Ok(map) => map
            .into_iter()
            .map(|(k, v)| Some((k.parse().ok()?, v)))
            .collect::<Option<_>>()?,
        Err(_) => serde_json::from_str(raw.get()).ok()?,
    };
    items.sort_unstable_by_key(|(at, _)| *at);
    let items: Vec<String> = items.iter().map(|(at, v)| format!("{at}:{}", number(v))).collect();
    Some(items.join(","))
}

/// `[1,2.5]`, the text of a pgvector `vector` or `halfvec`.
pub fn vector(raw: &RawValue) -> Option<String> {
    let items: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
    let items: Vec<&str> = items.into_iter().map(number).collect();
    Some(format!("[{}]", items.join(",")))
}

/// The coordinates of a well-known-binary line string, or of a polygon's first ring.
fn points(wkb: &[u8]) -> Option<Vec<(f64, f64)>> {
    let little = *wkb.first()? == 1;
    let word = |at: usize| -> Option<u32> {
        let bytes = wkb.get(at..at + 4)?.try_into().ok()?;
        Some(if little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    };
    let real = |at: usize| -> Option<f64> {
        let bytes = wkb.get(at..at + 8)?.try_into().ok()?;
        Some(if little {
            f64::from_le_bytes(bytes)
        } else {
            f64::from_be_bytes(bytes)
        })
    };
    let start = match word(1)? {
        2 => 5,
        3 if word(5)? == 1 => 9,
        _ => return None,
    };
    let count = usize::try_from(word(start)?).ok()?;
    if wkb.len() != start + 4 + count.checked_mul(16)? {
        return None;
    }
    (0..count)
        .map(|i| Some((real(start + 4 + i * 16)?, real(start + 12 + i * 16)?)))
        .collect()
}

/// PostgreSQL's own geometric types, from the coordinates that the connector has made of them.
fn planar(native: &str, closed: bool, points: &[(f64, f64)]) -> Option<String> {
    let list = |points: &[(f64, f64)]| {
        let texts: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("({},{})", real(*x), real(*y)))
            .collect();
        texts.join(",")
    };
    let corners = match (native, points) {
        // A box is a ring of its corners and back; the first and third are opposite.
        ("box", [a, _, b, _, _]) => return Some(list(&[*a, *b])),
        // The ring's last point repeats its first, unless the polygon is that one point.
        ("polygon", [corners @ .., end]) if corners.first() == Some(end) => corners,
        ("lseg" | "path" | "polygon", _) => points,
        _ => return None,
    };
    Some(if native == "lseg" || native == "path" && !closed {
        format!("[{}]", list(corners))
    } else {
        format!("({})", list(corners))
    })
}

fn real(f: f64) -> String {
    if f.is_infinite() {
        return if f > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    f.to_string()
}

/// `"key"=>"value", "other"=>NULL`, from a JSON object.
pub fn hstore(json: &str) -> Option<String> {
    let map: BTreeMap<String, Option<String>> = serde_json::from_str(json).ok()?;
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let items: Vec<String> = map
        .iter()
        .map(|(k, v)| {
            format!(
                "{}=>{}",
                quoted(k),
                v.as_deref().map_or_else(|| "NULL".to_owned(), quoted)
            )
        })
        .collect();
    Some(items.join(", "))
}

/// A bit string of this length, from bytes that begin with the last bits. Without a length, as for `bit varying`, it
/// begins at its first 1: leading zeros are not sent.
pub fn bits(bytes: &[u8], length: Option<usize>) -> String {
    let bit = |i: usize| bytes.get(i / 8).is_some_and(|b| b >> (i % 8) & 1 == 1);
    let length = length.unwrap_or_else(|| (0..bytes.len() * 8).rfind(|i| bit(*i)).map_or(0, |i| i + 1));
    (0..length).rev().map(|i| if bit(i) { '1' } else { '0' }).collect()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
