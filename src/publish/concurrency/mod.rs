//! How many attempts may be under way at a time: a number, or what suits the destination. Pure: time and measurements
//! are arguments.
//!
//! More attempts at a time help while the destination answers them side by side, and only wait for each other once it
//! is busy. The two are told apart by throughput, not by latency alone: where it grows with the limit, so does the
//! limit; where it does not, latency grows instead, and the limit steps back. Where latency stays within two milliseconds
//! all the same, a limit of up to 64 does no harm, and saves both sides wake-ups.
//!
//! - **Doubling**, from the start on, for as long as it pays. Then back to where it last did.
//! - **Base**: staying for a while, then **Probe**: another limit, half or a quarter above or a third or a fifth below
//!   (the smaller step where the rate is well known). It is kept where more pays, or where less costs nothing; two steps
//!   up in a row double again.
//! - A rate that is half or double of what it was means another destination, as it were: doubling again, from low on
//!   where it is slower.
//! - **Cut**: no answer in time, or one that took a third of the time limit, halves the limit, once a round trip. So does
//!   a destination that asks to be left alone for a while, if it does so soon after the limit rose or after it asked last: one
//!   that takes so many requests a minute, however many come at a time, has no use for a lower limit. Doubling then goes
//!   as far as half of where it stood.
//! - **Failures** lower the limit only where they came with it: a higher limit that brings a quarter more of them is given
//!   up for the one before. Failures that do not depend on the load count as what they are, attempts that brought nothing.

mod search;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod window;

use std::time::Duration;

use crate::clock::Monotonic;
use search::Search;

/// What an attempt says about the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// The destination worked: it took or judged so many events.
    Answered {
        /// Events of the attempt, at least 1.
        events: usize,
    },
    /// The service failed. That says nothing about the load, unless more attempts fail since there are more at a time.
    Failed,
    /// The service failed and asked to be left alone for a while, which the caller does.
    AskedToWait,
    /// Too much: no answer within the time limit, or this machine had no descriptor or port left for the attempt.
    Overloaded,
}

/// How many attempts may be under way at a time.
///
/// ```
/// use form_usage_events::publish::{Concurrency, Sample};
/// use std::time::Duration;
///
/// let mut concurrency = Concurrency::auto(Concurrency::DEFAULT_MAX);
/// assert_eq!(concurrency.limit(), 4);
/// concurrency.attempt_ended(Duration::from_secs(1), Duration::from_millis(40), Sample::Overloaded, 4);
/// assert_eq!(concurrency.limit(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct Concurrency {
    policy: Policy,
}

#[derive(Debug, Clone)]
enum Policy {
    Fixed(usize),
    Auto(Box<Search>),
}

impl Default for Concurrency {
    /// [`Concurrency::auto`] up to [`Concurrency::DEFAULT_MAX`].
    fn default() -> Self {
        Self::auto(Self::DEFAULT_MAX)
    }
}

impl Concurrency {
    /// The usual bound of [`Concurrency::auto`].
    pub const DEFAULT_MAX: usize = 256;

    /// Always `limit`, at least 1.
    #[must_use]
    pub const fn fixed(limit: usize) -> Self {
        Self { policy: Policy::Fixed(if limit == 0 { 1 } else { limit }) }
    }

    /// Finds its own level between 1 and `max` (at least 1), from 4 on.
    #[must_use]
    pub fn auto(max: usize) -> Self {
        Self { policy: Policy::Auto(Box::new(Search::new(max.max(1)))) }
    }

    /// Tells how long an attempt may take; 30 s by default. An answer that took more than a third of it halves the
    /// limit: attempts that wait for each other must not run into the time limit and open the breaker. Changes nothing
    /// where the limit is fixed.
    #[must_use]
    pub fn with_time_limit(mut self, time_limit: Duration) -> Self {
        if let Policy::Auto(search) = &mut self.policy {
            search.too_slow = time_limit / 3;
        }
        self
    }

    /// How many attempts may be under way now; at least 1. Those above it may end in peace.
    #[must_use]
    pub fn limit(&self) -> usize {
        match &self.policy {
            Policy::Fixed(limit) => *limit,
            Policy::Auto(search) => search.limit(),
        }
    }

    /// Learns from an attempt that ended at `now` and took `latency`. `in_flight_at_start` is how many were under way
    /// when it began, with itself: what a quiet input leaves unused says nothing about the destination.
    ///
    /// An attempt that was given up, or that says nothing about the service, is not told.
    pub fn attempt_ended(&mut self, now: Monotonic, latency: Duration, sample: Sample, in_flight_at_start: usize) {
        if let Policy::Auto(search) = &mut self.policy {
            search.attempt_ended(now, latency, sample, in_flight_at_start);
        }
    }
}
