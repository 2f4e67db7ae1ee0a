//! Spans of time as threshold files write them: `90s`, `5m`, `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a span of time looks like, as a regular expression: the one that the JSON Schema has.
pub const SPAN_PATTERN: &str =
    "^ *([0-9]{1,9} *w *)?([0-9]{1,9} *d *)?([0-9]{1,9} *h *)?([0-9]{1,9} *(m|min) *)?([0-9]{1,9} *s *)?$";

/// The units, the largest first: name, seconds.
const UNITS: [(&str, i64); 6] = [("w", 604_800), ("d", 86_400), ("h", 3_600), ("min", 60), ("m", 60), ("s", 1)];

/// A span of time in whole seconds, as events count time.
///
/// Written as numbers with the units `w`, `d`, `h`, `m` (or `min`) and `s`, each at most once and the largest first;
/// spaces between them count for nothing. A number without a unit is no span: nobody could tell whether it is of
/// seconds or of milliseconds.
///
/// ```
/// use form_usage_events::units::TimeSpan;
///
/// let span: TimeSpan = "1h 30m".parse()?;
/// assert_eq!(span.seconds(), 5_400);
/// assert_eq!(span.to_string(), "1h30m");
/// # Ok::<(), form_usage_events::units::ParseSpanError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TimeSpan(i64);

impl TimeSpan {
    /// So many seconds.
    #[must_use]
    pub const fn from_seconds(seconds: u32) -> Self {
        Self(seconds as i64)
    }

    /// How many seconds it is; never negative.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        Self::from_secs(span.0.unsigned_abs())
    }
}

impl fmt::Display for TimeSpan {
    /// In the largest units that it has: `1h30m`; `0s` for none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        if left == 0 {
            return f.write_str("0s");
        }
        for (name, seconds) in UNITS.into_iter().filter(|(name, _)| *name != "min") {
            if left >= seconds {
                write!(f, "{}{name}", left / seconds)?;
                left %= seconds;
            }
        }
        Ok(())
    }
}

/// Text that is no span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseSpanError {
    found: String,
    meant: Option<TimeSpan>,
}

impl ParseSpanError {
    /// What was probably meant: `300s` for `300`, `5m` for `5 minutes`.
    #[must_use]
    pub const fn meant(&self) -> Option<TimeSpan> {
        self.meant
    }
}

impl fmt::Display for ParseSpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no span of time, expected one like 30s, 5m or 1h30m", self.found)?;
        self.meant.map_or(Ok(()), |meant| write!(f, "; did you mean {meant}?"))
    }
}

impl std::error::Error for ParseSpanError {}

impl FromStr for TimeSpan {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read(text, false).ok_or_else(|| ParseSpanError {
            found: text.chars().take(64).collect(),
            meant: read(&text.to_ascii_lowercase(), true),
        })
    }
}

/// The span in `text`. A lenient look takes other names of the units, and seconds for what has none.
fn read(text: &str, lenient: bool) -> Option<TimeSpan> {
    let mut rest = text.trim_matches(' ');
    let mut total = 0i64;
    let mut smallest = i64::MAX;
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        if digits > 9 {
            return None;
        }
        let number: i64 = number.parse().ok()?;
        let behind = behind.trim_start_matches(' ');
        let letters = behind.find(|char: char| !char.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (name, behind) = behind.split_at(letters);
        let seconds = UNITS.into_iter().find(|(unit, _)| *unit == name).map(|(_, seconds)| seconds);
        let seconds = if lenient { seconds.or_else(|| of_other_name(name)) } else { seconds }?;
        if seconds >= smallest && !lenient {
            return None;
        }
        smallest = seconds;
        total = total.checked_add(number.checked_mul(seconds)?)?;
        rest = behind.trim_start_matches(' ');
    }
    (smallest != i64::MAX).then_some(TimeSpan(total))
}

fn of_other_name(name: &str) -> Option<i64> {
    match name {
        "" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "mins" | "minute" | "minutes" => Some(60),
        "hr" | "hrs" | "hour" | "hours" => Some(3_600),
        "day" | "days" => Some(86_400),
        "week" | "weeks" => Some(604_800),
        _ => None,
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = TimeSpan;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span of time like \"30s\", \"5m\" or \"1h30m\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TimeSpan, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<TimeSpan, E> {
                Err(E::invalid_type(Unexpected::Unsigned(number), &self))
            }
        }

        deserializer.deserialize_any(Text).map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for TimeSpan {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A span of time in whole seconds, with the units w, d, h, m (or min) and s: 30s, 5m, 1h30m.",
            "type": "string",
            "pattern": SPAN_PATTERN,
            // The pattern alone takes a text without any number.
            "allOf": [{"pattern": "[0-9]"}],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("5m", 300),
            ("5min", 300),
            ("1h30m", 5_400),
            (" 1 h  30 min ", 5_400),
            ("2w3d", 1_468_800),
            ("999999999w", 604_799_999_395_200),
        ] {
            assert_eq!(text.parse::<TimeSpan>().unwrap().seconds(), seconds, "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_and_says_what_was_meant() {
        for (text, meant) in [
            ("", None),
            (" ", None),
            ("300", Some("5m")),
            ("5 minutes", Some("5m")),
            ("5M", Some("5m")),
            ("1 hour 5 secs", Some("1h5s")),
            ("30m1h", Some("1h30m")),
            ("5m5m", Some("10m")),
            ("500ms", None),
            ("1.5h", None),
            ("-5m", None),
            ("PT5M", None),
            ("1234567890s", None),
            ("5µs", None),
        ] {
            let error = text.parse::<TimeSpan>().unwrap_err();
            assert_eq!(error.meant().map(|span| span.to_string()).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for seconds in [0, 1, 59, 60, 61, 3_599, 3_600, 90_061, 604_800, 694_861, u32::MAX] {
            let span = TimeSpan::from_seconds(seconds);
            assert_eq!(span.to_string().parse(), Ok(span));
            let text = serde_json::to_string(&span).unwrap();
            assert_eq!(serde_json::from_str::<TimeSpan>(&text).unwrap(), span);
        }
        assert!(serde_json::from_str::<TimeSpan>("300").unwrap_err().to_string().contains("1h30m"));
    }
}
