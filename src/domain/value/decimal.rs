//! Decimals of any length as text: equal when the numbers are, whatever the scale or exponent.

use std::fmt::Write as _;

/// A canonical spelling: sign, digits without leading or trailing zeros, and the power of ten they are worth. `NaN` and
/// the infinities, which PostgreSQL's `numeric` knows, spell themselves. `None` where the text is no number.
pub fn canonical(text: &str) -> Option<String> {
    let text = text.trim();
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return match rest.to_ascii_lowercase().as_str() {
            "nan" => Some("NaN".to_owned()),
            "infinity" | "inf" => Some(if negative { "-Infinity" } else { "Infinity" }.to_owned()),
            _ => None,
        };
    }
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], rest[at + 1..].parse::<i64>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    // One string, made in place: a preview comes here for every number of the log.
    let mut out = String::with_capacity(text.len() + 8);
    if negative {
        out.push('-');
    }
    let sign = out.len();
    let whole = whole.trim_start_matches('0');
    out.push_str(whole);
    out.push_str(if whole.is_empty() {
        fraction.trim_start_matches('0')
    } else {
        fraction
    });
    if out.len() == sign {
        return Some("0".to_owned());
    }
    let digits = out.len();
    out.truncate(out.trim_end_matches('0').len());
    let exponent = exponent - i64::try_from(fraction.len()).ok()? + i64::try_from(digits - out.len()).ok()?;
    write!(out, "e{exponent}").ok()?;
    Some(out)
}

/// The text that PostgreSQL's `numeric` writes for this input: no exponent, no leading zeros, the scale as given.
pub fn plain(text: &str) -> Option<String> {
    let text = text.trim();
    canonical(text)?;
    let negative = text.starts_with('-');
    let rest = text.trim_start_matches(['-', '+']);
    if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return canonical(text);
    }
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (
            &rest[..at],
            rest[at + 1..].parse::<i32>().ok().filter(|e| e.abs() < 5_000)?,
        ),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut whole = whole.to_owned();
    let mut fraction = fraction.to_owned();
    for _ in 0..exponent.max(0) {
        whole.push(if fraction.is_empty() { '0' } else { fraction.remove(0) });
    }
    for _ in 0..(-exponent).max(0) {
        fraction.insert(0, whole.pop().unwrap_or('0'));
    }
    let whole = whole.trim_start_matches('0');
    let sign = if negative && !(whole.is_empty() && fraction.bytes().all(|b| b == b'0')) {
        "-"
    } else {
        ""
    };
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{fraction}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_and_exponent_do_not_count() {
        for (a, b) in [
            ("1.50", "1.5"),
            ("150e-2", "1.5"),
            ("-0.0", "0"),
            ("+007", "7"),
            ("12345678901234567890.1", "12345678901234567890.100"),
        ] {
            assert_eq!(canonical(a), canonical(b), "{a} {b}");
        }
        assert_ne!(canonical("1.5"), canonical("15"));
        assert_ne!(canonical("9007199254740993"), canonical("9007199254740992"));
        for bad in ["", "-", "1.2.3", "1e", "abc", "0x1F", "."] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }

    #[test]
    fn plain_text_keeps_the_scale() {
        for (given, wanted) in [
            ("1.50", "1.50"),
            ("007", "7"),
            ("1.5e3", "1500"),
            ("15e-3", "0.015"),
            ("-0.00", "0.00"),
            ("nan", "NaN"),
        ] {
            assert_eq!(plain(given).as_deref(), Some(wanted), "{given}");
        }
    }
}
