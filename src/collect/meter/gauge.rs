//! Time-weighted averages.

use serde::{Deserialize, Serialize};

/// The average of a value over time, straight between readings (the trapezoidal rule).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Gauge {
    weighted: f64,
    seconds: f64,
    /// What stands for the period while no time has passed in it.
    held: f64,
}

impl Gauge {
    /// Holds `value` until time has passed.
    pub(super) fn hold(&mut self, value: Option<f64>) {
        self.held = value.unwrap_or(self.held);
    }

    /// Adds a span of time from one reading to the next; where one of them lacks the value, the other one's stands.
    pub(super) fn add(&mut self, before: Option<f64>, now: Option<f64>, seconds: f64) {
        if let (Some(before), Some(now)) = (before.or(now), now.or(before)) {
            self.weighted += (before + now) / 2.0 * seconds;
            self.seconds += seconds;
            self.held = now;
        }
    }

    /// Adds what another one saw in the same period.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.weighted += other.weighted;
        self.seconds += other.seconds;
    }

    /// Makes the average one over `seconds` in place of the time in which there was a value.
    pub(super) const fn spread(&mut self, seconds: f64) {
        self.seconds = seconds;
    }

    /// The same, where that is longer.
    pub(super) const fn widen(&mut self, seconds: f64) {
        if seconds > self.seconds {
            self.seconds = seconds;
        }
    }

    pub(super) fn average(&self) -> f64 {
        if self.seconds > 0.0 { self.weighted / self.seconds } else { self.held }
    }
}
