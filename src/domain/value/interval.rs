//! Intervals for logs that carry only a number of microseconds, in which years and months were counted as days.

/// Days a month has on average (Debezium's `MicroDuration`).
const DAYS_A_MONTH: f64 = 365.25 / 12.0;

/// The microseconds of an interval, its months averaged: of `PT-1.500000S`, and of what PostgreSQL writes in its own style
/// (`1 year 2 mons -3 days +04:05:06.78`). `None` for other spellings.
pub fn averaged(text: &str) -> Option<f64> {
    if let Some(seconds) = text.strip_prefix("PT").and_then(|t| t.strip_suffix('S')) {
        return seconds.parse::<f64>().ok().map(|s| s * 1e6);
    }
    let (mut months, mut days, mut seconds) = (0.0, 0.0, 0.0);
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        if word.contains(':') {
            seconds += clock(word)?;
            continue;
        }
        let n: f64 = word.parse().ok()?;
        match words.next()? {
            "year" | "years" => months += n * 12.0,
            "mon" | "mons" => months += n,
            "day" | "days" => days += n,
            _ => return None,
        }
    }
    Some(((months * DAYS_A_MONTH + days) * 86_400.0 + seconds) * 1e6)
}

/// Seconds of `-04:05:06.78`; the sign is that of all three.
fn clock(text: &str) -> Option<f64> {
    let bare = text.trim_start_matches(['-', '+']);
    let mut parts = bare.splitn(3, ':').map(str::parse::<f64>);
    let mut part = || parts.next()?.ok();
    let total = (part()? * 60.0 + part()?) * 60.0 + part()?;
    Some(if text.starts_with('-') { -total } else { total })
}

/// Whether two are the same, give or take the microsecond that computing in doubles may cost.
pub fn about(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1.5_f64.max(a.abs() * 1e-15)
}
