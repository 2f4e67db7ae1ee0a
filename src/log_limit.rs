//! A limit on warnings of one kind: the first ones of each minute are logged one by one, the others are counted. Otherwise
//! who sends garbage, or whose thresholds everything exceeds, fills the disk of the log.

use std::time::Duration;

use crate::clock::Monotonic;

/// This many are logged one by one in each window.
const MOST_LOGGED: u64 = 100;
/// After a change of what is warned of, so many more may be logged.
const MOST_AFTER_CHANGE: u64 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// Decides which warnings of a kind are logged, and counts the others. Pure: who asks does the logging.
#[derive(Debug, Clone, Default)]
pub struct LogLimit {
    window_start: Option<Monotonic>,
    seen: u64,
    left_out: u64,
}

/// What is to be logged of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// How many of the window before were counted and not logged; to be logged before this one.
    pub left_out_before: u64,
    /// Whether this one is logged.
    pub is_logged: bool,
}

impl LogLimit {
    /// Counts a warning at the time `now`.
    pub fn admit(&mut self, now: Monotonic) -> Admission {
        let start = *self.window_start.get_or_insert(now);
        let mut left_out_before = 0;
        if now.saturating_sub(start) >= WINDOW {
            left_out_before = self.take_left_out();
            (self.window_start, self.seen) = (Some(now), 0);
        }
        self.seen = self.seen.saturating_add(1);
        let is_logged = self.seen <= MOST_LOGGED;
        self.left_out += u64::from(!is_logged);
        Admission { left_out_before, is_logged }
    }

    /// Admits a few more in the present window, however many there were: what is warned of has changed, and who changed it
    /// looks for the effect.
    pub fn allow_some_more(&mut self) {
        self.seen = self.seen.min(MOST_LOGGED - MOST_AFTER_CHANGE);
    }

    /// How many were counted and not logged so far.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// How many were counted and not logged since this was last said; for the end of a run.
    pub fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_limit_admits_some_a_minute_and_counts_the_others() {
        let mut limit = LogLimit::default();
        let admitted = (0..1_000).filter(|_| limit.admit(Duration::ZERO).is_logged).count();
        assert_eq!(admitted, 100);
        let next = limit.admit(Duration::from_secs(60));
        assert_eq!(next, Admission { left_out_before: 900, is_logged: true });
        assert_eq!(limit.take_left_out(), 0);
        (0..1_000).for_each(|_| assert_eq!(limit.admit(Duration::from_secs(61)).left_out_before, 0));
        limit.allow_some_more();
        let admitted = (0..1_000).filter(|_| limit.admit(Duration::from_secs(62)).is_logged).count();
        assert_eq!(admitted, 10, "after a change");
    }
}
