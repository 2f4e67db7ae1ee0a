//! Days: where they begin and end in a time zone, and times as people write them there.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

/// A time zone: UTC, a fixed offset, or a name of the tz database.
#[derive(Debug, Clone)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// A name that is no time zone, or a text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ZoneError(String);

/// A day of a zone's calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) code: DayCode,
    /// Its first second and the first one after it, in Unix seconds: 23 to 25 hours where clocks are changed.
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Year, month and day in one number that sorts as days do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct DayCode(i32);

impl DayCode {
    fn of(date: Date) -> Self {
        Self(i32::from(date.year()) * 10_000 + i32::from(date.month()) * 100 + i32::from(date.day()))
    }
}

impl fmt::Display for DayCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0 / 10_000, self.0 / 100 % 100, self.0 % 100)
    }
}

impl Default for Zone {
    /// UTC.
    fn default() -> Self {
        Self { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }
}

impl Zone {
    /// `UTC`, `local` (this machine's), an offset (`+02:00`, `-0530`), or a name of the tz database (`Europe/Berlin`),
    /// which is read from `/usr/share/zoneinfo` or `$TZDIR`.
    ///
    /// # Errors
    /// When there is no such zone, or no tz database on this machine.
    pub fn parse(text: &str) -> Result<Self, ZoneError> {
        if text.eq_ignore_ascii_case("utc") || text == "Z" {
            return Ok(Self::default());
        }
        if text.eq_ignore_ascii_case("local") {
            let zone = TimeZone::try_system()
                .map_err(|error| ZoneError(format!("this machine's time zone is not known: {error}; name one")))?;
            let name = zone.iana_name().unwrap_or("local").to_owned();
            return Ok(Self { name, zone });
        }
        if text.starts_with(['+', '-']) {
            let seconds = offset_seconds(text)
                .ok_or_else(|| ZoneError(format!("{text:?} is no offset from UTC; write +02:00 or -05:30")))?;
            let offset = Offset::from_seconds(seconds)
                .map_err(|_| ZoneError(format!("the offset {text:?} is more than a day from UTC")))?;
            return Ok(Self { name: text.to_owned(), zone: TimeZone::fixed(offset) });
        }
        match TimeZone::get(text) {
            Ok(zone) => Ok(Self { name: zone.iana_name().unwrap_or(text).to_owned(), zone }),
            Err(_) => Err(ZoneError(format!(
                "no time zone {text:?} in the tz database of this machine (/usr/share/zoneinfo; on Debian, the package \
                 tzdata); write UTC, local, an offset as in +02:00, or a name as in Europe/Berlin"
            ))),
        }
    }

    /// Its name, as reports show it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A point in time, in Unix seconds: those themselves, a date (its first second in this zone), a date and a time in
    /// this zone (`2026-11-22T08:00`), or RFC 3339 with its own offset (`2026-11-22T08:00:00Z`).
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse_time(&self, text: &str) -> Result<i64, ZoneError> {
        let text = text.trim();
        if let Ok(seconds) = text.parse::<i64>() {
            if seconds > 99_999_999_999 {
                return Err(ZoneError(format!("{text} can only be milliseconds; write seconds since 1970")));
            }
            return Ok(seconds);
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(at.as_second());
        }
        // A date alone is its midnight.
        let zoned = text.parse::<DateTime>().ok().and_then(|civil| self.zone.to_timestamp(civil).ok());
        zoned.map(Timestamp::as_second).ok_or_else(|| {
            ZoneError(format!(
                "{text:?} is no time; write a date (2026-11-22), a date and a time (2026-11-22T08:00, with Z or +02:00 \
                 for another zone than --tz), or seconds since 1970"
            ))
        })
    }

    /// The day after the one that `text` names, as a date, where `text` is a date alone (`2026-11-30`), which
    /// [`Zone::parse_time`] takes for the first second of that day.
    #[must_use]
    pub fn day_after(text: &str) -> Option<String> {
        let date = text.trim();
        let alone = date.len() == "2026-11-30".len() && !date.contains(['T', ':']);
        let next = date.parse::<Date>().ok().filter(|_| alone)?.tomorrow().ok()?;
        Some(next.to_string())
    }

    /// The day that holds the second `at`. Beyond the calendar there is one day without an end.
    pub(super) fn day(&self, at: i64) -> Day {
        let found = Timestamp::from_second(at).ok().and_then(|at| {
            let zoned = at.to_zoned_datetime(self.zone.clone());
            let start = zoned.start_of_day().ok()?;
            let end = start.tomorrow().ok()?.start_of_day().ok()?;
            let code = DayCode::of(zoned.date());
            Some(Day { code, start: start.timestamp().as_second(), end: end.timestamp().as_second() })
        });
        let beyond = if at < 0 { DayCode(0) } else { DayCode(99_991_231) };
        found.filter(|day| day.end > at).unwrap_or(Day { code: beyond, start: at, end: i64::MAX })
    }

    /// `at` as a date and a time in this zone, to the minute or the second: `2026-11-22 08:00`.
    pub(super) fn show(&self, at: i64, seconds: bool) -> String {
        self.format(at, if seconds && at % 60 != 0 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" })
    }

    /// `at` in this zone, in a `strftime` format.
    pub(super) fn format(&self, at: i64, format: &str) -> String {
        Timestamp::from_second(at)
            .map_or_else(|_| at.to_string(), |at| at.to_zoned_datetime(self.zone.clone()).strftime(format).to_string())
    }

    /// `at` as RFC 3339, with this zone's offset.
    #[must_use]
    pub fn rfc3339(&self, at: i64) -> String {
        let utc = self.format(at, "%:z") == "+00:00";
        self.format(at, if utc { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" })
    }

    /// Seconds to add to UTC for this zone's clocks at `at`.
    pub(super) fn offset(&self, at: i64) -> i64 {
        Timestamp::from_second(at).map_or(0, |at| self.zone.to_offset(at).seconds().into())
    }
}

/// `+2`, `+02`, `+0200`, `+02:00` in seconds.
fn offset_seconds(text: &str) -> Option<i32> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) if minutes.len() == 2 => (hours, minutes),
        Some(_) => return None,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let whole = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i32>().ok()).flatten();
    let (hours, minutes) = (whole(hours).filter(|it| *it <= 25)?, whole(minutes).filter(|it| *it < 60)?);
    Some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_zone_and_its_changes_of_clocks() {
        let utc = Zone::default().day(1_626_350_430);
        assert_eq!((utc.code.to_string().as_str(), utc.start, utc.end), ("2021-07-15", 1_626_307_200, 1_626_393_600));
        let east = Zone::parse("+02:00").unwrap();
        assert_eq!(east.day(1_626_307_200).code.to_string(), "2021-07-15");
        assert_eq!(east.day(1_626_307_200).start, 1_626_300_000);
        if let Ok(berlin) = Zone::parse("Europe/Berlin") {
            let long = berlin.day(1_635_638_400);
            assert_eq!((long.code.to_string().as_str(), long.end - long.start), ("2021-10-31", 25 * 3600));
        }
    }

    #[test]
    fn offsets_and_times_are_read_as_they_are_written() {
        for (text, seconds) in [("+2", 7200), ("+02", 7200), ("-0530", -19800), ("+05:45", 20700), ("-00:00", 0)] {
            assert_eq!(offset_seconds(text), Some(seconds), "{text}");
        }
        for wrong in ["+", "+2:0", "+aa", "+02:60", "+99", "2", "+-2", "+1é", "é"] {
            assert_eq!(offset_seconds(wrong), None, "{wrong}");
        }
        let east = Zone::parse("+02:00").unwrap();
        for (text, at) in [
            ("1626350430", 1_626_350_430),
            ("2021-07-15T12:00:30Z", 1_626_350_430),
            ("2021-07-15T14:00:30", 1_626_350_430),
            ("2021-07-15 14:00", 1_626_350_400),
            ("2021-07-15", 1_626_300_000),
        ] {
            assert_eq!(east.parse_time(text), Ok(at), "{text}");
        }
        for wrong in ["", "yesterday", "1626350430000", "2021-13-01"] {
            assert!(east.parse_time(wrong).is_err(), "{wrong}");
        }
        assert!(Zone::parse("Europe/Berlni").unwrap_err().to_string().contains("Europe/Berlin"));
        assert_eq!(east.rfc3339(1_626_350_430), "2021-07-15T14:00:30+02:00");
        assert_eq!(Zone::default().rfc3339(1_626_350_430), "2021-07-15T12:00:30Z");
    }

    #[test]
    fn beyond_the_calendar_nothing_breaks() {
        for at in [i64::MIN, -400_000_000_000, 400_000_000_000, i64::MAX - 1] {
            let day = Zone::default().day(at);
            assert!(day.start <= at && at < day.end, "{at}: {day:?}");
        }
    }
}
