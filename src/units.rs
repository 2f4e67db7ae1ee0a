//! Units: those of the figures in an event, and those that a threshold may be written in.
//!
//! A size counts in powers of 1024 whatever it is called: `GB` and `GiB` are both 2^30 bytes, because the producers
//! already on the queue count that way. Names are case-sensitive: `gb` is no unit, and neither is `Min`.

use std::fmt;

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
}
