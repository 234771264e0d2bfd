//! Instants: microseconds since 1970 UTC, read and written as RFC 3339.

use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Reads RFC 3339 with any offset and up to nine fractional digits; microseconds since 1970, rounded down.
pub fn parse(text: &str) -> Option<i64> {
    let t: Timestamp = text.trim().parse().ok()?;
    let floor = i64::from(t.as_nanosecond() < 0 && t.as_nanosecond() % 1000 != 0);
    Some(t.as_microsecond() - floor)
}

/// Writes RFC 3339 in UTC with `Z`; fractional digits only where there are any.
pub fn format(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| format!("{micros}us"), |t| t.to_string())
}

/// `14:05:09Z`, for screens where the date is today's.
pub fn clock(micros: i64) -> String {
    Timestamp::from_microsecond(micros).map_or_else(|_| "??:??:??Z".to_owned(), |t| t.strftime("%H:%M:%SZ").to_string())
}

/// `2s`, `4m`, `3h`, `2d`: an age or a span, for screens.
pub fn age(micros: i64) -> String {
    let s = SignedDuration::from_micros(micros.max(0)).as_secs();
    match s {
        0..=99 => format!("{s}s"),
        100..=5_999 => format!("{}m", s / 60),
        6_000..=172_799 => format!("{}h", s / 3_600),
        _ => format!("{}d", s / 86_400),
    }
}

/// `30m`, `7d`, `90s`, `250ms`: a span as the configuration writes it.
pub fn span(micros: i64) -> String {
    let units = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
    ];
    let whole = units
        .into_iter()
        .find(|(_, unit)| micros >= *unit && micros % unit == 0);
    whole.map_or_else(
        || format!("{}ms", micros / 1_000),
        |(name, unit)| format!("{}{name}", micros / unit),
    )
}

/// The wall clock. Only commands, runtimes and the ledger may ask; pure code is told.
pub fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

/// Where a runtime gets the time from: the system, or a made-up night.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> i64 + Send + Sync>);

impl Clock {
    /// A clock of its own.
    pub fn new(now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Shows `micros` now and runs on at the pace of the world.
    pub fn running_from(micros: i64) -> Self {
        let begun = Instant::now();
        Self::new(move || micros + i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX / 2))
    }

    /// Shows `micros` for ever.
    pub fn stopped(micros: i64) -> Self {
        Self::new(move || micros)
    }

    /// Microseconds since 1970.
    pub fn now(&self) -> i64 {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", format(self.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_the_configuration_does() {
        assert_eq!(span(1_800_000_000), "30m");
        assert_eq!(span(90_000_000), "90s");
        assert_eq!(span(250_000), "250ms");
        assert_eq!(span(7 * 86_400_000_000), "7d");
    }

    #[test]
    fn reads_any_offset_and_nine_digits() {
        assert_eq!(parse("2026-11-22T14:05:00Z"), Some(1_795_356_300_000_000));
        assert_eq!(
            parse("2026-11-22T15:05:00.123456789+01:00"),
            Some(1_795_356_300_123_456)
        );
        assert_eq!(parse("yesterday"), None);
        assert_eq!(format(1_795_356_300_123_000), "2026-11-22T14:05:00.123Z");
        assert_eq!(format(1_795_356_300_000_000), "2026-11-22T14:05:00Z");
    }
}
