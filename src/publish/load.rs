//! What the attempts of a delivery tell: how many are under way, and how many more would do good.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::concurrency::{Concurrency, Sample};
use crate::clock::Monotonic;

/// Shared by the clones of a delivery.
#[derive(Debug, Default)]
pub(super) struct Load {
    concurrency: Mutex<Concurrency>,
    in_flight: AtomicUsize,
}

impl Load {
    pub(super) fn new(concurrency: Concurrency) -> Self {
        Self { concurrency: Mutex::new(concurrency), ..Self::default() }
    }

    pub(super) fn limit(&self) -> usize {
        self.concurrency.lock().unwrap_or_else(PoisonError::into_inner).limit()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// An attempt begins.
    pub(super) fn begin(&self, now: Monotonic) -> UnderWay<'_> {
        UnderWay { load: self, start: now, in_flight: self.in_flight.fetch_add(1, Ordering::Relaxed) + 1 }
    }
}

/// An attempt under way. Dropping it (the attempt was given up) counts it as no more than that.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    load: &'a Load,
    start: Monotonic,
    in_flight: usize,
}

impl UnderWay<'_> {
    /// The attempt ended by itself; `sample` where that says something about the service.
    pub(super) fn ended(self, now: Monotonic, sample: Option<Sample>) {
        let latency = now.saturating_sub(self.start);
        if let Some(sample) = sample {
            let mut concurrency = self.load.concurrency.lock().unwrap_or_else(PoisonError::into_inner);
            concurrency.attempt_ended(now, latency, sample, self.in_flight);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn attempts_under_way_are_counted_and_those_given_up_say_nothing() {
        let load = Load::new(Concurrency::auto(64));
        let (one, two) = (load.begin(Duration::ZERO), load.begin(Duration::ZERO));
        assert_eq!(load.in_flight(), 2);
        drop(one);
        assert_eq!((load.in_flight(), load.limit()), (1, 4));
        two.ended(Duration::from_millis(7), Some(Sample::Overloaded));
        assert_eq!((load.in_flight(), load.limit()), (0, 2));
        load.begin(Duration::ZERO).ended(Duration::from_millis(9), None);
        assert_eq!((load.in_flight(), load.limit()), (0, 2));
    }
}
