//! How long attempts take: counts in fixed buckets, so that they cost a few bytes however many there are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// The upper bounds of the buckets, in seconds; one more bucket takes what is longer. From a server beside us to the
/// default time limit of an attempt.
pub const LATENCY_BOUNDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

const BUCKETS: usize = LATENCY_BOUNDS.len() + 1;

/// Where attempts are counted by how long they took.
#[derive(Debug, Default)]
pub struct LatencyHistogram {
    counts: [AtomicU64; BUCKETS],
    /// Enough for 584 years of waiting.
    nanos: AtomicU64,
}

impl LatencyHistogram {
    /// Counts one attempt.
    pub fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = LATENCY_BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The counts so far.
    #[must_use]
    pub fn latency(&self) -> Latency {
        Latency {
            counts: self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
            sum: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

/// A look at a [`LatencyHistogram`]. As JSON: `count`, `sum_seconds`, and the bounds below which half and 99 % of the
/// attempts stayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// Attempts in each bucket, the last one being for what exceeds all [`LATENCY_BOUNDS`].
    pub counts: [u64; BUCKETS],
    /// What all of them took together.
    pub sum: Duration,
}

impl Latency {
    /// Attempts.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The average; `None` where there was no attempt.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        // A duration by an integer of 64 bits is not to be had.
        (self.count() > 0).then(|| Duration::from_secs_f64(self.sum.as_secs_f64() / self.count() as f64))
    }

    /// The bound in seconds that this share of the attempts (0 to 1) did not exceed: the upper one of a bucket, so at
    /// most 2.5 times too large; infinity above the last one. `None` where there was no attempt.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * share).ceil().max(1.0);
        let mut seen = 0;
        self.buckets().find_map(|(bound, count)| {
            seen += count;
            (seen as f64 >= wanted).then_some(bound)
        })
    }

    /// What came after `before`, an earlier look at the same histogram.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut counts = self.counts;
        for (count, before) in counts.iter_mut().zip(before.counts) {
            *count = count.saturating_sub(before);
        }
        Self { counts, sum: self.sum.saturating_sub(before.sum) }
    }

    /// Upper bounds in seconds and the attempts in each bucket (not summed up); the last bound is infinity.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        LATENCY_BOUNDS.into_iter().chain([f64::INFINITY]).zip(self.counts)
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Latency", 4)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("sum_seconds", &self.sum.as_secs_f64())?;
        // JSON has no infinity: above the last bound is null.
        fields.serialize_field("p50_seconds", &self.quantile(0.5))?;
        fields.serialize_field("p99_seconds", &self.quantile(0.99))?;
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_in_the_bucket_of_the_next_bound() {
        let histogram = LatencyHistogram::default();
        for millis in [1, 2, 2, 700, 100_000] {
            histogram.record(Duration::from_millis(millis));
        }
        let latency = histogram.latency();
        let counted: Vec<_> = latency.buckets().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(0.001, 1), (0.0025, 2), (1.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(latency.sum, Duration::from_millis(100_705));
        assert_eq!(latency.mean(), Some(Duration::from_millis(20_141)));
    }

    #[test]
    fn quantiles_are_upper_bounds() {
        let histogram = LatencyHistogram::default();
        assert_eq!(histogram.latency().quantile(0.5), None);
        for _ in 0..98 {
            histogram.record(Duration::from_millis(3));
        }
        let before = histogram.latency();
        histogram.record(Duration::from_secs(7));
        histogram.record(Duration::from_secs(90));
        let latency = histogram.latency();
        assert_eq!(latency.quantile(0.5), Some(0.005));
        assert_eq!(latency.quantile(0.99), Some(10.0));
        assert_eq!(latency.quantile(1.0), Some(f64::INFINITY));
        let since = latency.since(&before);
        assert_eq!((since.count(), since.sum), (2, Duration::from_secs(97)));
        let json = serde_json::to_value(latency).unwrap();
        assert_eq!((&json["count"], &json["p99_seconds"]), (&100.into(), &10.0.into()));
    }
}
