//! Warnings about dead letters: the first ones of each minute are logged one by one, the others are counted. Otherwise an
//! input that is garbage fills the disk of the log.

use std::time::Duration;

use form_usage_events::clock::Monotonic;

use crate::output::counted;

/// This many dead letters are logged one by one in each window.
const MOST_TOLD: u64 = 100;
const WINDOW: Duration = Duration::from_secs(60);

/// Decides which dead letters are logged and which are counted.
#[derive(Debug, Default)]
pub(super) struct RefusalLog {
    window_start: Option<Monotonic>,
    told: u64,
    left_out: u64,
}

impl RefusalLog {
    /// Says `words`, or counts them.
    pub(super) fn warn(&mut self, now: Monotonic, words: std::fmt::Arguments<'_>) {
        if let Some(before) = self.turn(now) {
            tracing::warn!("{before}");
        }
        if self.told <= MOST_TOLD {
            tracing::warn!("{words}");
        }
    }

    /// The message about dead letters that were counted and not logged; `None` where there are none.
    pub(super) fn rest(&mut self) -> Option<String> {
        let left_out = std::mem::take(&mut self.left_out);
        (left_out > 0).then(|| {
            let more = counted(left_out, "more dead letter", "more dead letters");
            format!(
                "{more} within a minute, not named here; with a spool, formusage dlq list names those that it keeps"
            )
        })
    }

    /// Counts one; the words on those that the window before left out.
    fn turn(&mut self, now: Monotonic) -> Option<String> {
        let start = *self.window_start.get_or_insert(now);
        let mut before = None;
        if now.saturating_sub(start) >= WINDOW {
            before = self.rest();
            (self.window_start, self.told) = (Some(now), 0);
        }
        self.told += 1;
        self.left_out += u64::from(self.told > MOST_TOLD);
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_flood_each_minute_names_a_few_and_counts_the_others() {
        let mut log = RefusalLog::default();
        let at = |seconds: u64| Monotonic::default() + Duration::from_secs(seconds);
        for _ in 0..1_000 {
            assert_eq!(log.turn(at(0)), None);
        }
        assert!(log.told > MOST_TOLD);
        assert!(log.turn(at(60)).is_some_and(|words| words.starts_with("900 more dead letters")));
        assert_eq!((log.told, log.rest()), (1, None));
    }
}
