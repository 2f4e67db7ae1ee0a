//! Warnings about dead letters, as many as [`LogLimit`] admits. Otherwise an input that is garbage fills the disk of the
//! log.

use form_usage_events::clock::Monotonic;
use form_usage_events::log_limit::LogLimit;

use crate::output::counted;

/// Logs dead letters, and counts those that are too many.
#[derive(Debug, Default)]
pub(super) struct RefusalLog(LogLimit);

impl RefusalLog {
    /// Says `words`, or counts them.
    pub(super) fn warn(&mut self, now: Monotonic, words: std::fmt::Arguments<'_>) {
        let admission = self.0.admit(now);
        if let Some(before) = left_out(admission.left_out_before) {
            tracing::warn!("{before}");
        }
        if admission.is_logged {
            tracing::warn!("{words}");
        }
    }

    /// The message about dead letters that were counted and not logged; `None` where there are none.
    pub(super) fn rest(&mut self) -> Option<String> {
        left_out(self.0.take_left_out())
    }
}

fn left_out(count: u64) -> Option<String> {
    (count > 0).then(|| {
        let more = counted(count, "more dead letter", "more dead letters");
        format!("{more} within a minute, not named here; with a spool, formusage dlq list names those that it keeps")
    })
}
