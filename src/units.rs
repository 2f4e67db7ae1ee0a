//! Units: those of the figures in an event, and those that a threshold may be written in.
//!
//! A size counts in powers of 1024 whatever it is called: `GB` and `GiB` are both 2^30 bytes, because the producers
//! already on the queue count that way. Names are case-sensitive: `gb` is no unit, and neither is `Min`.

mod span;

use std::fmt;

pub use span::{ParseSpanError, SPAN_PATTERN, TimeSpan};

/// Bytes in a GB, as every `*_gb` field counts: 2^30.
pub const BYTES_PER_GB: u64 = 1 << 30;

/// Bytes in an MB, as every `*_mb` field counts: 2^20.
pub const BYTES_PER_MB: u64 = 1 << 20;

/// The names of the units of size, for messages; [`bytes_per`] knows each of them.
pub const BYTE_UNITS: &[&str] = &["B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB"];

/// The names of the units of time, for messages; [`seconds_per`] knows each of them.
pub const TIME_UNITS: &[&str] = &["s", "min", "h"];

/// How many bytes one `unit` is; `None` for a name that is not in [`BYTE_UNITS`].
///
/// ```
/// use form_usage_events::units::bytes_per;
///
/// assert_eq!(bytes_per("GB"), Some(1 << 30));
/// assert_eq!(bytes_per("GiB"), Some(1 << 30));
/// assert_eq!(bytes_per("gb"), None);
/// ```
#[must_use]
pub fn bytes_per(unit: &str) -> Option<u64> {
    match unit {
        "B" => Some(1),
        "KB" | "KiB" => Some(1 << 10),
        "MB" | "MiB" => Some(BYTES_PER_MB),
        "GB" | "GiB" => Some(BYTES_PER_GB),
        "TB" | "TiB" => Some(1 << 40),
        _ => None,
    }
}

/// How many seconds one `unit` is; `None` for a name that is not in [`TIME_UNITS`].
#[must_use]
pub fn seconds_per(unit: &str) -> Option<u64> {
    match unit {
        "s" => Some(1),
        "min" => Some(60),
        "h" => Some(3600),
        _ => None,
    }
}

/// `value` for people: as short as it reads back, with a power of ten where it would take a line of zeros.
///
/// ```
/// use form_usage_events::units::figure;
///
/// assert_eq!(figure(80.0).to_string(), "80");
/// assert_eq!(figure(12.5).to_string(), "12.5");
/// assert_eq!(figure(1.7e308).to_string(), "1.7e308");
/// ```
pub fn figure(value: f64) -> impl fmt::Display {
    Figure(value)
}

struct Figure(f64);

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0.0 || (1e-4..1e15).contains(&self.0.abs()) {
            write!(f, "{}", self.0)
        } else {
            write!(f, "{:e}", self.0)
        }
    }
}

/// `seconds` since 1970 as a date and a time in UTC; `None` outside the years 1970 to 9999, which RFC 3339 or a meter
/// has no use for.
///
/// ```
/// use form_usage_events::units::rfc3339;
///
/// assert_eq!(rfc3339(1_626_350_430).as_deref(), Some("2021-07-15T12:00:30Z"));
/// assert_eq!(rfc3339(1_626_350_430_000), None);
/// ```
#[must_use]
pub fn rfc3339(seconds: i64) -> Option<String> {
    const LAST: i64 = 253_402_300_799;
    if !(0..=LAST).contains(&seconds) {
        return None;
    }
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from the first of March of the year 0: leap days then end their year, and the months' lengths
    // follow one rule. 146,097 days are 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (400 * era + year + month / 10, (month + 2) % 12 + 1);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_messages_list_is_known_and_no_other() {
        assert!(BYTE_UNITS.iter().all(|unit| bytes_per(unit).is_some() && seconds_per(unit).is_none()));
        assert!(TIME_UNITS.iter().all(|unit| seconds_per(unit).is_some() && bytes_per(unit).is_none()));
        for unknown in ["", "gb", "Gb", "PB", "H", "m", "sec", "GB ", "%"] {
            assert_eq!((bytes_per(unknown), seconds_per(unknown)), (None, None), "{unknown:?}");
        }
    }

    #[test]
    fn both_families_of_names_are_the_same_powers_of_1024() {
        for (power, (plain, binary)) in (1..).zip([("KB", "KiB"), ("MB", "MiB"), ("GB", "GiB"), ("TB", "TiB")]) {
            assert_eq!(bytes_per(plain), Some(1024u64.pow(power)));
            assert_eq!(bytes_per(plain), bytes_per(binary));
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds).as_deref(), Some(text));
        }
        assert_eq!((rfc3339(-1), rfc3339(253_402_300_800)), (None, None));
    }

    /// Against another implementation, every day of a thousand years.
    #[cfg(feature = "cli")]
    #[test]
    fn times_are_those_of_another_calendar() {
        for day in 0..365_250_u32 {
            let seconds = i64::from(day) * 86_400 + i64::from(day % 86_400);
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.unsigned_abs());
            assert_eq!(rfc3339(seconds), Some(humantime::format_rfc3339_seconds(time).to_string()));
        }
    }
}
