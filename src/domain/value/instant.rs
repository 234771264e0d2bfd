//! Dates, times and instants as PostgreSQL writes them and as logs spell them.
//!
//! Only the ISO spellings are read here; whatever else PostgreSQL's input takes is left to the server.

use std::fmt::Write as _;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Days since 1970-01-01 in the proleptic Gregorian calendar; `year` is astronomical (1 BC is 0).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (
        yoe + era * 400 + i64::from(month <= 2),
        month,
        doy - (153 * mp + 2) / 5 + 1,
    )
}

fn number(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<i64> {
    (digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days since 1970 of `YYYY-MM-DD`, with more digits for far years and ` BC` behind. Infinities are the extremes.
pub fn date(text: &str) -> Option<i64> {
    let text = text.trim();
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let (text, bc) = match text.strip_suffix(" BC") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let mut parts = text.splitn(3, '-');
    let year = number(parts.next()?, 4..=7)?;
    let month = number(parts.next()?, 2..=2).filter(|m| (1..=12).contains(m))?;
    let day = number(parts.next()?, 2..=2).filter(|d| (1..=31).contains(d))?;
    let year = if bc { 1 - year } else { year };
    let days = days(year, month, day);
    (civil(days) == (year, month, day)).then_some(days)
}

/// Microseconds since midnight of `HH:MM[:SS[.ffffff]]`, rounded to the nearest microsecond as PostgreSQL does.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let hours = number(parts.next()?, 2..=2).filter(|h| *h <= 24)?;
    let minutes = number(parts.next()?, 2..=2).filter(|m| *m <= 59)?;
    let (seconds, micros) = match parts.next() {
        None => (0, 0),
        Some(rest) => {
            let (s, f) = rest.split_once('.').unwrap_or((rest, ""));
            let mut micros = 0;
            if !f.is_empty() {
                number(f, 1..=12)?;
                let padded = format!("{f:0<7}");
                micros = number(&padded[..6], 6..=6)? + i64::from(padded.as_bytes()[6] >= b'5');
            }
            (number(s, 2..=2).filter(|s| *s <= 60)?, micros)
        }
    };
    let total = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros;
    (total <= DAY).then_some(total)
}

/// Splits a zone off: `Z`, `+02`, `-0330`, `+05:30`, `+05:30:10`. Seconds east of UTC.
fn zone(text: &str) -> Option<(&str, i64)> {
    if let Some(rest) = text.strip_suffix(['Z', 'z']) {
        return Some((rest.trim_end(), 0));
    }
    let at = text.rfind(['+', '-'])?;
    let (rest, offset) = (text[..at].trim_end(), &text[at + 1..]);
    let digits: String = offset.chars().filter(|c| *c != ':').collect();
    let n = |range: std::ops::Range<usize>| digits.get(range).map_or(Some(0), |d| number(d, 2..=2));
    if !matches!(digits.len(), 2 | 4 | 6) {
        return None;
    }
    let seconds = n(0..2)? * 3_600
        + if digits.len() > 2 { n(2..4)? * 60 } else { 0 }
        + if digits.len() > 4 { n(4..6)? } else { 0 };
    Some((rest, if text.as_bytes()[at] == b'-' { -seconds } else { seconds }))
}

/// Microseconds since 1970 of a timestamp without a zone; a zone that stands there is ignored, as PostgreSQL does.
pub fn timestamp(text: &str) -> Option<i64> {
    read(text, false)
}

/// Microseconds since 1970 UTC of a timestamp with a zone; without one it is UTC, which is the session's zone.
pub fn timestamptz(text: &str) -> Option<i64> {
    read(text, true)
}

fn read(text: &str, apply_zone: bool) -> Option<i64> {
    let text = text.trim();
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let (text, bc) = match text.strip_suffix(" BC") {
        Some(rest) => (rest, " BC"),
        None => (text, ""),
    };
    let at = text.find(['T', 't', ' ']);
    let (day, rest) = match at {
        Some(at) => (&text[..at], text[at + 1..].trim_start()),
        None => (text, "00:00:00"),
    };
    let (rest, offset) = match zone(rest) {
        Some((rest, offset)) => (rest, offset),
        None => (rest, 0),
    };
    let days = date(&format!("{day}{bc}")).filter(|d| d.abs() < 200_000_000)?;
    Some(days * DAY + clock(rest)? - if apply_zone { offset * 1_000_000 } else { 0 })
}

/// Microseconds since midnight of a time of day.
pub fn time(text: &str) -> Option<i64> {
    clock(text.trim())
}

/// Microseconds since midnight UTC of a time of day with a zone; without one it is UTC.
pub fn timetz(text: &str) -> Option<i64> {
    let text = text.trim();
    let (rest, offset) = zone(text).unwrap_or((text, 0));
    Some(clock(rest)? - offset * 1_000_000)
}

/// `YYYY-MM-DD` as PostgreSQL's ISO style writes it.
pub fn date_text(days: i64) -> String {
    match days {
        i64::MAX => return "infinity".to_owned(),
        i64::MIN => return "-infinity".to_owned(),
        _ => {}
    }
    let (year, month, day) = civil(days);
    if year > 0 {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{:04}-{month:02}-{day:02} BC", 1 - year)
    }
}

/// `HH:MM:SS[.ffffff]`, trailing zeros of the fraction left out.
pub fn time_text(micros: i64) -> String {
    let (s, f) = (micros / 1_000_000, micros % 1_000_000);
    let mut text = format!("{:02}:{:02}:{:02}", s / 3_600, s / 60 % 60, s % 60);
    if f != 0 {
        let digits = format!("{f:06}");
        let _ = write!(text, ".{}", digits.trim_end_matches('0'));
    }
    text
}

/// A timestamp as PostgreSQL's ISO style writes it; with `+00` where it has a zone.
pub fn timestamp_text(micros: i64, with_zone: bool) -> String {
    if micros == i64::MAX || micros == i64::MIN {
        return date_text(micros);
    }
    let day = date_text(micros.div_euclid(DAY));
    let (day, bc) = day.strip_suffix(" BC").map_or((day.as_str(), ""), |d| (d, " BC"));
    format!(
        "{day} {}{}{bc}",
        time_text(micros.rem_euclid(DAY)),
        if with_zone { "+00" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_instant_in_any_spelling() {
        let t = timestamptz("2026-11-22 14:05:00.123456+00");
        assert_eq!(t, Some(1_795_356_300_123_456));
        for text in [
            "2026-11-22T14:05:00.123456Z",
            "2026-11-22 15:05:00.123456+01",
            "2026-11-22 19:35:00.123456+05:30",
            "2026-11-22T10:35:00.123456-0330",
            "2026-11-22 14:05:00.123456 +00:00",
        ] {
            assert_eq!(timestamptz(text), t, "{text}");
        }
        assert_eq!(timestamp("2026-11-22T14:05:00.123456+07"), t);
        assert_eq!(timestamp_text(1_795_356_300_120_000, true), "2026-11-22 14:05:00.12+00");
        assert_eq!(timestamptz("2026-11-22"), timestamptz("2026-11-22 00:00:00Z"));
    }

    #[test]
    fn dates_round_trip_and_bad_ones_are_none() {
        for text in [
            "0001-01-01",
            "1969-12-31",
            "2000-02-29",
            "2026-11-22",
            "0044-03-15 BC",
            "12026-01-01",
            "infinity",
        ] {
            assert_eq!(date(text).map(date_text).as_deref(), Some(text));
        }
        for text in ["2026-02-30", "2026-13-01", "26-01-01", "22/11/2026", ""] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn times_of_day() {
        assert_eq!(timetz("15:05:00+01"), time("14:05:00"));
        assert_eq!(time("24:00:00"), Some(DAY));
        assert_eq!(time("14:05:00.1234567"), Some(50_700_123_457));
        assert_eq!(time_text(50_700_123_450), "14:05:00.12345");
    }
}
