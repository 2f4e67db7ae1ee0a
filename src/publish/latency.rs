//! How long attempts took: counts in fixed buckets, cheap to add to and to read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in milliseconds, each inclusive; one more bucket holds what took longer.
const BOUNDS: [u64; 16] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000];
const BUCKETS: usize = BOUNDS.len() + 1;

/// Where latencies are counted.
#[derive(Debug, Default)]
pub(super) struct LatencyRecorder {
    counts: [AtomicU64; BUCKETS],
    microseconds: AtomicU64,
}

impl LatencyRecorder {
    pub(super) fn record(&self, latency: Duration) {
        let bucket = BOUNDS.partition_point(|&bound| Duration::from_millis(bound) < latency);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.microseconds.fetch_add(microseconds, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Latencies {
        Latencies {
            counts: std::array::from_fn(|at| self.counts.get(at).map_or(0, |count| count.load(Ordering::Relaxed))),
            sum: Duration::from_micros(self.microseconds.load(Ordering::Relaxed)),
        }
    }
}

/// How long attempts took, as of one look: a histogram with buckets from 1 ms to 60 s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latencies {
    counts: [u64; BUCKETS],
    sum: Duration,
}

impl Latencies {
    /// Each bucket's upper bound, inclusive, and how many attempts are in it (not in those below); the last one, of
    /// what took longer than 60 s, has no bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let bounds = BOUNDS.iter().map(|&bound| Some(Duration::from_millis(bound))).chain([None]);
        bounds.zip(self.counts)
    }

    /// How many attempts ended.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they took together, to the microsecond.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// The upper bound of the bucket below whose end `share` (0 to 1) of the attempts lie: 0.99 gives the latency that
    /// one in a hundred exceeded at most. 60 s where it was longer; `None` where no attempt ended.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let wanted = (self.count() as f64 * share.clamp(0.0, 1.0)).ceil().max(1.0);
        let mut below = 0;
        let at = self.counts.iter().position(|count| {
            below += count;
            below as f64 >= wanted
        })?;
        BOUNDS.get(at).or(BOUNDS.last()).map(|&bound| Duration::from_millis(bound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_latency_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let recorder = LatencyRecorder::default();
        for micros in [0, 1_000, 1_001, 30_000_000, 60_000_000, 60_000_001] {
            recorder.record(Duration::from_micros(micros));
        }
        let latencies = recorder.read();
        let found: Vec<_> = latencies
            .buckets()
            .filter(|(_, count)| *count > 0)
            .map(|(bound, count)| (bound.map(|bound| bound.as_millis()), count))
            .collect();
        assert_eq!(found, [(Some(1), 2), (Some(2), 1), (Some(30_000), 1), (Some(60_000), 1), (None, 1)]);
        assert_eq!((latencies.count(), latencies.sum()), (6, Duration::from_micros(150_002_002)));
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        assert_eq!(Latencies::default().quantile(0.5), None);
        let recorder = LatencyRecorder::default();
        (0..99).for_each(|_| recorder.record(Duration::from_millis(3)));
        recorder.record(Duration::from_secs(90));
        let quantile = |share| recorder.read().quantile(share).unwrap();
        assert_eq!((quantile(0.0), quantile(0.99)), (Duration::from_millis(5), Duration::from_millis(5)));
        assert_eq!((quantile(1.0), quantile(f64::INFINITY)), (Duration::from_secs(60), Duration::from_secs(60)));
    }
}
