//! An axis of time whose marks are round times of a zone.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::super::zone::Zone;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Distances between marks that people count in.
const STEPS: [i64; 26] = [
    1,
    2,
    5,
    10,
    15,
    30,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    91 * DAY,
    182 * DAY,
    364 * DAY,
    3640 * DAY,
];

/// Unix seconds from left to right.
#[derive(Clone)]
pub(super) struct TimeAxis {
    start: i64,
    end: i64,
    zone: Zone,
    step: i64,
}

impl TimeAxis {
    /// With at most `marks` marks.
    pub(super) fn new(start: i64, end: i64, marks: i64, zone: Zone) -> Self {
        let span = end.saturating_sub(start);
        let step = STEPS.into_iter().find(|step| span / step <= marks).unwrap_or(36_400 * DAY);
        Self { start, end, zone, step }
    }

    /// Round times of the zone's clocks; from a day on, midnights.
    fn marks(&self) -> Vec<i64> {
        let mut marks = Vec::new();
        // Clocks are looked at once a mark, so that a change of them moves what follows.
        let mut local = (self.start + self.zone.offset(self.start)).div_euclid(self.step) * self.step;
        while marks.len() < 100 {
            let at = local - self.zone.offset(local - self.zone.offset(self.start));
            if at > self.end {
                break;
            }
            if at >= self.start {
                marks.push(at);
            }
            local += self.step;
        }
        marks
    }
}

impl Ranged for TimeAxis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // pixels
    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.start as f64) / (self.end - self.start).max(1) as f64;
        limit.0 + (share * f64::from(limit.1 - limit.0)).round() as i32
    }

    #[allow(clippy::cast_precision_loss)]
    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let marks = self.marks();
        let every = marks.len().div_ceil(hint.max_num_points().max(1)).max(1);
        marks.into_iter().step_by(every).map(|at| at as f64).collect()
    }

    #[allow(clippy::cast_precision_loss)]
    fn range(&self) -> Range<f64> {
        self.start as f64..self.end as f64
    }
}

impl ValueFormatter<f64> for TimeAxis {
    #[allow(clippy::cast_possible_truncation)]
    fn format(value: &f64) -> String {
        value.to_string()
    }

    #[allow(clippy::cast_possible_truncation)]
    fn format_ext(&self, value: &f64) -> String {
        let at = *value as i64;
        let midnight = (at + self.zone.offset(at)).rem_euclid(DAY) == 0;
        let format = match self.step {
            step if step >= 182 * DAY => "%b %Y",
            step if step >= DAY || midnight => "%-d %b",
            step if step < MINUTE => "%H:%M:%S",
            _ => "%H:%M",
        };
        self.zone.format(at, format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(start: i64, end: i64, zone: &str) -> Vec<String> {
        let axis = TimeAxis::new(start, end, 8, Zone::parse(zone).unwrap());
        #[allow(clippy::cast_precision_loss)]
        axis.marks().iter().map(|at| axis.format_ext(&(*at as f64))).collect()
    }

    #[test]
    fn marks_are_round_times_of_the_zone() {
        let midnight = 1_626_307_200;
        assert_eq!(
            labels(midnight, midnight + DAY, "UTC"),
            ["15 Jul", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00", "16 Jul"]
        );
        assert_eq!(labels(midnight + 90, midnight + 300, "+05:30").first().map(String::as_str), Some("05:31:30"));
        assert_eq!(labels(midnight, midnight + 7 * DAY, "UTC").len(), 8);
        assert_eq!(labels(midnight, midnight, "UTC"), ["15 Jul"]);
        assert!(labels(0, 99_999_999_999, "UTC").len() < 100);
    }
}
