//! Quantities as people write them: `30m`, `10GB`, `1%`.

use std::time::Duration;

/// Reads a span such as `250ms`, `90s`, `30m`, `12h`, `7d`, or several in a row: `1h30m`.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut micros: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" | "min" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        micros = micros.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[end..];
    }
    // Longer than a century is a slip of the finger, and would overflow sums of instants.
    (micros <= 100 * 366 * 86_400_000_000).then(|| Duration::from_micros(micros))
}

/// Reads a size such as `500MB`, `10GB`, `1.5GiB`, or plain bytes.
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let unit: u64 = match text[end..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = text[..end].split_once('.').unwrap_or((&text[..end], ""));
    let mut bytes = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    if !fraction.is_empty() {
        let digits = u32::try_from(fraction.len()).ok()?;
        let part = fraction.parse::<u64>().ok()?.checked_mul(unit)?;
        bytes = bytes.checked_add(part / 10_u64.checked_pow(digits)?)?;
    }
    Some(bytes)
}

/// Reads a share such as `1%` or `0.01`; 0 to 1.
pub fn share(text: &str) -> Option<f64> {
    let text = text.trim();
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        assert_eq!(duration("30m"), Some(Duration::from_mins(30)));
        assert_eq!(duration("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("7d"), Some(Duration::from_hours(168)));
        for wrong in [
            "",
            "30",
            "m",
            "30 minutes",
            "-5m",
            "1.5h",
            "99999999999999999999d",
            "9999999d",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn reads_sizes() {
        assert_eq!(size("10GB"), Some(10_000_000_000));
        assert_eq!(size("1.5GiB"), Some(1_610_612_736));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("20 MB"), Some(20_000_000));
        for wrong in ["", "GB", "10XB", "-1GB", "99999999999TB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn reads_shares() {
        assert_eq!(share("1%"), Some(0.01));
        assert_eq!(share("0.01"), Some(0.01));
        assert_eq!(share("100%"), Some(1.0));
        for wrong in ["", "%", "101%", "-1%", "NaN", "one"] {
            assert_eq!(share(wrong), None, "{wrong}");
        }
    }
}
