//! Dates, times and intervals in every representation that the connector's documentation lists under "Temporal types",
//! as PostgreSQL's text.

use crate::domain::value::instant::{date_text, time_text, timestamp_text};
use crate::domain::value::{ColumnType, LogKind, LogValue};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The unit of an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 1/1,000 s
    Milli,
    /// 1/1,000,000 s
    Micro,
    /// 1/1,000,000,000 s
    Nano,
}

impl Unit {
    /// Microseconds, rounded down; PostgreSQL's times have no finer ones.
    fn micros(self, n: i64) -> Option<i64> {
        match self {
            Self::Milli => n.checked_mul(1_000),
            Self::Micro => Some(n),
            Self::Nano => Some(n.div_euclid(1_000)),
        }
    }

    fn kind(self) -> LogKind {
        if self == Self::Milli {
            LogKind::Millis
        } else {
            LogKind::Text
        }
    }
}

/// What the connector makes of `infinity`, in microseconds: documented under "TIMESTAMP type".
const INFINITY: i64 = 9_223_372_036_825_200_000;
/// What it makes of `-infinity`.
const MINUS_INFINITY: i64 = -9_223_372_036_832_400_000;
/// A date's `infinity`: 2^31 - 1 days after 2000, wrapped around 32 bits (`POSITIVE_INFINITY_LOCAL_DATE`).
const INFINITY_DAYS: i64 = -2_147_472_692;
/// A date's `-infinity`: -2^31 days after 2000.
const MINUS_INFINITY_DAYS: i64 = -2_147_472_691;
/// The `isostring` spellings of the four.
const INFINITE_TEXTS: [(&str, &str); 4] = [
    ("+294247-01-10T04:00:25.2", "infinity"),
    ("-290308-12-21T19:59:27.6", "-infinity"),
    ("-5877611-06-21", "infinity"),
    ("-5877611-06-22", "-infinity"),
];

/// Days since 1970.
pub fn date(days: i64) -> Option<LogValue<'static>> {
    let text = match days {
        INFINITY_DAYS => "infinity".to_owned(),
        MINUS_INFINITY_DAYS => "-infinity".to_owned(),
        // PostgreSQL's dates end in 5874897 AD.
        _ if days.unsigned_abs() < 2_200_000_000 => date_text(days),
        _ => return None,
    };
    Some(LogValue::new(LogKind::Text, text))
}

/// What the connector makes of `infinity` and `-infinity` in this unit.
const fn infinities(unit: Unit) -> (i64, i64) {
    match unit {
        Unit::Milli => (INFINITY / 1_000, MINUS_INFINITY / 1_000),
        Unit::Micro => (INFINITY, MINUS_INFINITY),
        Unit::Nano => (i64::MAX, i64::MIN),
    }
}

/// Time since 1970.
pub fn instant(n: i64, unit: Unit, ty: &ColumnType) -> Option<LogValue<'static>> {
    let (infinity, minus) = infinities(unit);
    if n == infinity || n == minus {
        return Some(LogValue::new(
            LogKind::Text,
            if n > 0 { "infinity" } else { "-infinity" },
        ));
    }
    let text = timestamp_text(unit.micros(n)?, *ty == ColumnType::TimestampTz);
    Some(LogValue::new(unit.kind(), text))
}

/// Time since midnight, 24:00 included.
pub fn time_of_day(n: i64, unit: Unit) -> Option<LogValue<'static>> {
    let micros = unit.micros(n).filter(|m| (0..=86_400_000_000).contains(m))?;
    Some(LogValue::new(unit.kind(), time_text(micros)))
}

/// A span whose years and months the connector has turned into days, 365.25 / 12 of them a month.
pub fn duration(n: i64, unit: Unit) -> Option<LogValue<'static>> {
    let micros = unit.micros(n)?;
    let sign = if micros < 0 { "-" } else { "" };
    let (s, f) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    Some(LogValue::new(LogKind::Duration, format!("PT{sign}{s}.{f:06}S")))
}

/// The unit of an instant that comes without its schema.
///
/// A unit is possible where it gives a year from 1900 to 9999 that is not 1970, where every coarser unit's values fall when
/// read in a finer one. What only one unit makes possible is read so; 0 is the same in all. Doubtful values that are common,
/// the infinities and the last day of 9999, are told by their exact digits.
pub fn instant_unit(n: i64) -> Option<Unit> {
    const PER_SECOND: [(Unit, i64); 3] = [
        (Unit::Milli, 1_000),
        (Unit::Micro, 1_000_000),
        (Unit::Nano, 1_000_000_000),
    ];
    // 9999-12-31 at midnight and at its last second; the next second is the end of 9999.
    const LAST_DAY: [i64; 2] = [253_402_214_400, 253_402_300_799];
    if n == 0 {
        return Some(Unit::Micro);
    }
    for (unit, per) in PER_SECOND {
        let (infinity, minus) = infinities(unit);
        let last_tick = 253_402_300_800_i64.checked_mul(per).map(|end| end - 1);
        let last_day = LAST_DAY.iter().any(|s| s.checked_mul(per) == Some(n));
        if n == infinity || n == minus || last_day || last_tick == Some(n) {
            return Some(unit);
        }
    }
    let possible = |per: i64| {
        let s = n / per;
        (-2_208_988_800..253_402_300_800).contains(&s) && s.abs() >= 10_000_000
    };
    let mut units = PER_SECOND.iter().filter(|(_, per)| possible(*per));
    match (units.next(), units.next()) {
        (Some((unit, _)), None) => Some(*unit),
        _ => None,
    }
}

/// The unit of a time of day that comes without its schema; `digits` is the column's declared fraction.
///
/// Milliseconds are told from microseconds by size, except in the first 86.4 s of the day. There, a column that holds
/// milliseconds only is sent in milliseconds; for a finer one it cannot be told. Nanoseconds are told likewise.
pub fn time_unit(n: i64, digits: u32) -> Option<Unit> {
    match n {
        1..=86_400_000 if digits <= 3 => Some(Unit::Milli),
        0 | 86_400_001..=86_400_000_000 => Some(Unit::Micro),
        86_400_000_001..=86_400_000_000_000 => Some(Unit::Nano),
        _ => None,
    }
}

/// An ISO 8601 date, time or timestamp, as PostgreSQL reads it: `isostring` ends even a bare date in `Z`, and years
/// outside 1 to 9999 carry a sign.
pub fn iso<'a>(text: Cow<'a, str>, ty: &ColumnType) -> Cow<'a, str> {
    let zoned = matches!(ty, ColumnType::TimestampTz | ColumnType::TimeTz);
    let bare = text.strip_suffix('Z').unwrap_or(&text);
    if let Some((_, word)) = INFINITE_TEXTS.iter().find(|(t, _)| *t == bare) {
        return Cow::Borrowed(word);
    }
    let keep = if zoned { text.len() } else { bare.len() };
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'+') => (false, &text[1..keep]),
        Some(b'-') => (true, &text[1..keep]),
        _ if text.starts_with("0000-") => (false, &text[..keep]),
        _ => {
            return match text {
                Cow::Borrowed(t) => Cow::Borrowed(&t[..keep]),
                Cow::Owned(mut t) => {
                    t.truncate(keep);
                    Cow::Owned(t)
                }
            };
        }
    };
    let year = unsigned
        .split_once('-')
        .and_then(|(y, rest)| Some((y.parse::<u32>().ok()?, rest)));
    match year {
        Some((y, rest)) if negative || y == 0 => Cow::Owned(format!("{:04}-{rest} BC", u64::from(y) + 1)),
        Some(_) => Cow::Owned(unsigned.to_owned()),
        // `-infinity`, or no date at all: PostgreSQL says what it is.
        None => text,
    }
}

/// The structures of `time.precision.mode=structured`; a field that is not there is 0.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Structured<'a> {
    #[serde(borrow)]
    special_value: Option<Cow<'a, str>>,
    year: Option<i32>,
    month: Option<u8>,
    day: Option<u8>,
    hour: Option<u8>,
    minute: Option<u8>,
    second: Option<u8>,
    nanos: Option<i64>,
    offset_seconds: Option<i32>,
    years: Option<i64>,
    months: Option<i64>,
    days: Option<i64>,
    hours: Option<i64>,
    minutes: Option<i64>,
    seconds: Option<i64>,
}

/// Reads such a structure; what it is a structure of, the column says.
pub fn structured(raw: &RawValue, ty: &ColumnType) -> Option<LogValue<'static>> {
    let s: Structured<'_> = serde_json::from_str(raw.get()).ok()?;
    if let Some(word) = s.special_value.as_deref() {
        return match word {
            "POSITIVE_INFINITY" => Some(LogValue::new(LogKind::Text, "infinity")),
            "NEGATIVE_INFINITY" => Some(LogValue::new(LogKind::Text, "-infinity")),
            _ => None,
        };
    }
    let micros = s.nanos.unwrap_or(0) / 1_000;
    let clock = || {
        let fraction = if micros == 0 {
            String::new()
        } else {
            format!(".{micros:06}")
        };
        Some(format!(
            "{:02}:{:02}:{:02}{fraction}",
            s.hour?,
            s.minute.unwrap_or(0),
            s.second.unwrap_or(0)
        ))
    };
    let day = || {
        let (year, month, day) = (s.year?, s.month?, s.day?);
        Some(if year > 0 {
            (format!("{year:04}-{month:02}-{day:02}"), "")
        } else {
            (format!("{:04}-{month:02}-{day:02}", 1 - i64::from(year)), " BC")
        })
    };
    let zone = || {
        let offset = s.offset_seconds.unwrap_or(0);
        let (sign, east) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
        format!("{sign}{:02}:{:02}:{:02}", east / 3_600, east / 60 % 60, east % 60)
    };
    let text = match ty {
        ColumnType::Date => day().map(|(d, bc)| format!("{d}{bc}"))?,
        ColumnType::Time => clock()?,
        ColumnType::TimeTz => format!("{}{}", clock()?, zone()),
        ColumnType::Timestamp => day().and_then(|(d, bc)| Some(format!("{d} {}{bc}", clock()?)))?,
        ColumnType::TimestampTz => day().and_then(|(d, bc)| Some(format!("{d} {}{}{bc}", clock()?, zone())))?,
        ColumnType::Interval => {
            let n = |v: Option<i64>| v.unwrap_or(0);
            let total = n(s.seconds).checked_mul(1_000_000)?.checked_add(micros)?;
            let sign = if total < 0 { "-" } else { "" };
            format!(
                "P{}Y{}M{}DT{}H{}M{sign}{}.{:06}S",
                n(s.years),
                n(s.months),
                n(s.days),
                n(s.hours),
                n(s.minutes),
                total.unsigned_abs() / 1_000_000,
                total.unsigned_abs() % 1_000_000
            )
        }
        _ => return None,
    };
    Some(LogValue::new(LogKind::Text, text))
}
