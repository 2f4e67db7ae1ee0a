//! The books of a run: what came in equals what went out and what was kept.

use std::path::PathBuf;

use serde::Serialize;

use super::delivery::DeliveryStats;

/// What became of everything that a run read.
///
/// `read = delivered + undelivered + dead + refused`, always: these are this run's own events. Events of earlier runs that
/// waited in the spool are counted apart, in [`Report::resumed`], and in none of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Where the events went.
    pub destination: String,
    /// Lines and events read.
    pub read: u64,
    /// Events of this run that the destination acknowledged, or said to hold already.
    pub delivered: u64,
    /// Of these, events that it held already.
    pub duplicates: u64,
    /// Events that could not be delivered in this run and were kept; with a spool, they wait there for the next run.
    pub undelivered: u64,
    /// Events that the destination will never take; kept as dead letters.
    pub dead: u64,
    /// Lines that are no valid events; kept as dead letters.
    pub refused: u64,
    /// Pieces of such lines beyond the first of each, where they were too long to be held whole; each is a dead letter in
    /// the spool.
    #[serde(skip)]
    pub further_pieces: u64,
    /// Events that an earlier run left in the spool, or that another publisher took.
    #[serde(skip_serializing_if = "Resumed::is_empty")]
    pub resumed: Resumed,
    /// The spool, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spool: Option<PathBuf>,
    /// Where the input was not read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_taken: Option<NotTaken>,
    /// Threshold violations seen.
    pub violations: u64,
    /// Attempts made.
    pub attempts: u64,
    /// Of these, those after a failed one.
    pub retries: u64,
    /// Requests whose reply never came. Each was sent again under the same ids, at once or as a retry, so that a
    /// destination that keeps repeats may hold the events of so many requests twice.
    pub unknown: u64,
    /// Of the delivered events of this run and of earlier ones, those that the destination is known to have dropped since
    /// (streams with `discard: old`). More may be: it is a lower bound.
    #[serde(skip_serializing_if = "is_zero")]
    pub no_longer_held: u64,
    /// How often the circuit breaker opened.
    pub breaker_opened: u64,
    /// Why events are left undelivered, where some are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The destination is set up wrong, or an input broke off: somebody has to look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

/// Lines that nobody took: the spool had no room for them, or the run was ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NotTaken {
    /// Where the first of them stands: `FILE:LINE`.
    pub from: String,
    /// How many there are, as far as they were read.
    pub lines: u64,
}

/// What became of events that this run found in the spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Resumed {
    /// Acknowledged in this run, or held by the destination already.
    pub delivered: u64,
    /// Of these, events that it held already.
    pub duplicates: u64,
    /// Dead letters since this run.
    pub dead: u64,
    /// Still waiting.
    pub waiting: u64,
}

impl Resumed {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Report {
    /// Whether everything that was read was delivered, and nothing is left of earlier runs.
    #[must_use]
    pub fn all_delivered(&self) -> bool {
        self.read == self.delivered && self.errors.is_empty() && self.waiting() + self.resumed.dead == 0
    }

    /// Events that wait for their delivery.
    #[must_use]
    pub const fn waiting(&self) -> u64 {
        self.undelivered + self.resumed.waiting
    }

    /// Whether the books balance.
    #[must_use]
    pub const fn balances(&self) -> bool {
        self.read == self.delivered + self.undelivered + self.dead + self.refused
    }

    pub(super) const fn add(&mut self, stats: DeliveryStats) {
        self.attempts = stats.attempts;
        self.retries = stats.retries;
        self.unknown = stats.unknown;
        self.breaker_opened = stats.breaker_opened;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_all_is_delivered_while_events_wait() {
        let report = Report { read: 4, delivered: 4, ..Report::default() };
        assert!(report.all_delivered());
        assert!(!Report { undelivered: 3, ..report.clone() }.all_delivered());
        let resumed = Resumed { waiting: 1, ..Resumed::default() };
        assert!(!Report { resumed, ..report }.all_delivered());
    }
}
