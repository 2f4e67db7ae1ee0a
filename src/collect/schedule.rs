//! Where periods end.

use std::time::Duration;

/// The edges of periods: every `interval` seconds, at multiples of it on the wall clock, or counted from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    interval: i64,
    /// An edge, from which the others are counted.
    origin: i64,
}

impl Schedule {
    /// Edges at multiples of `interval` since 1970: 30-second periods start at :00 and :30 on every host. At least one
    /// second.
    #[must_use]
    pub fn aligned(interval: Duration) -> Self {
        Self { interval: whole_seconds(interval), origin: 0 }
    }

    /// Edges every `interval` from the second `start` on. At least one second.
    #[must_use]
    pub fn from_start(interval: Duration, start: i64) -> Self {
        Self { interval: whole_seconds(interval), origin: start }
    }

    /// The first edge after `second`.
    #[must_use]
    pub fn edge_after(&self, second: i64) -> i64 {
        self.edge_at_or_before(second).saturating_add(self.interval)
    }

    /// The last edge that is not after `second`.
    #[must_use]
    pub fn edge_at_or_before(&self, second: i64) -> i64 {
        second - (second.saturating_sub(self.origin)).rem_euclid(self.interval)
    }
}

fn whole_seconds(interval: Duration) -> i64 {
    i64::try_from(interval.as_secs()).unwrap_or(i64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_at_multiples_and_from_a_start() {
        let aligned = Schedule::aligned(Duration::from_secs(30));
        assert_eq!((aligned.edge_after(59), aligned.edge_after(60), aligned.edge_at_or_before(60)), (60, 90, 60));
        let free = Schedule::from_start(Duration::from_secs(30), 7);
        assert_eq!((free.edge_after(7), free.edge_after(36), free.edge_at_or_before(36)), (37, 37, 7));
    }
}
