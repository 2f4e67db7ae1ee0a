//! How long to wait before trying again: pure arithmetic.

use std::time::Duration;

use super::{RetryConfig, Verdict};

/// The longest that a destination's own wish (`Retry-After`) holds us back: ten minutes.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// The wait before retry `retry` (from 0): `min(initial · multiplier^retry, max)`, spread by ± `jitter_factor`.
///
/// `random` is uniform in 0 to 1; what lies outside is brought inside. The cap is spread too, so that many clients that
/// wait at the cap do not come back together. Never panics: what overflows is the cap.
#[must_use]
pub fn backoff(config: &RetryConfig, retry: u32, random: f64) -> Duration {
    let cap = config.max_backoff.as_secs_f64();
    let exponent = i32::try_from(retry).unwrap_or(i32::MAX);
    let raw = config.initial_backoff.as_secs_f64() * config.backoff_multiplier.powi(exponent);
    // A NaN (0 · infinity) is no wait at all: it comes from an initial backoff of zero.
    let base = if raw.is_nan() { 0.0 } else { raw.min(cap) };
    let random = if random.is_nan() { 0.5 } else { random.clamp(0.0, 1.0) };
    let jitter = if config.jitter_factor.is_nan() { 0.0 } else { config.jitter_factor.clamp(0.0, 1.0) };
    let spread = base * jitter.mul_add(2.0f64.mul_add(random, -1.0), 1.0);
    Duration::try_from_secs_f64(spread).unwrap_or(config.max_backoff)
}

/// The wait before the next attempt, or `None` when there shall be none.
///
/// `retries` is how many were made already. The destination's own wish counts where it is longer than the backoff, up
/// to [`MAX_RETRY_AFTER`].
#[must_use]
pub fn next_wait(config: &RetryConfig, verdict: Verdict, retries: u32, random: f64) -> Option<Duration> {
    match verdict {
        Verdict::Permanent => None,
        Verdict::Retry { .. } if retries >= config.max_retries => None,
        Verdict::Retry { after } => {
            let wished = after.unwrap_or_default().min(MAX_RETRY_AFTER);
            Some(backoff(config, retries, random).max(wished))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RETRY: Verdict = Verdict::Retry { after: None };

    #[test]
    fn doubles_up_to_the_cap() {
        let config = RetryConfig { jitter_factor: 0.0, ..RetryConfig::default() };
        let waits: Vec<_> = (0..9).map(|retry| backoff(&config, retry, 0.9).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    }

    #[test]
    fn is_spread_evenly_around_the_wait_at_the_cap_too() {
        let config = RetryConfig::default();
        for (retry, middle) in [(0, 0.1), (50, 10.0)] {
            for (random, factor) in [(0.0, 0.9), (0.5, 1.0), (1.0, 1.1)] {
                let wait = backoff(&config, retry, random).as_secs_f64();
                assert!((wait - middle * factor).abs() < 1e-9, "{retry} {random}: {wait}");
            }
        }
    }

    #[test]
    fn the_longer_of_wish_and_backoff_counts_up_to_ten_minutes() {
        let config = RetryConfig { jitter_factor: 0.0, ..RetryConfig::default() };
        let wait = |seconds| {
            let after = Some(Duration::from_secs(seconds));
            next_wait(&config, Verdict::Retry { after }, 1, 0.5)
        };
        assert_eq!(wait(0), Some(Duration::from_millis(200)));
        assert_eq!(wait(7), Some(Duration::from_secs(7)));
        assert_eq!(wait(100_000), Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn ends_with_the_retries_or_a_permanent_failure() {
        let config = RetryConfig::default();
        assert!(next_wait(&config, RETRY, 2, 0.5).is_some());
        assert_eq!(next_wait(&config, RETRY, 3, 0.5), None);
        assert_eq!(next_wait(&config, Verdict::Permanent, 0, 0.5), None);
    }

    proptest! {
        #[test]
        fn stays_in_bounds_for_any_valid_settings(
            initial in 0u64..100_000, more in 0u64..10_000_000, multiplier in 1.0f64..1e300, jitter in 0.0f64..=1.0,
            retry in any::<u32>(), random in 0.0f64..=1.0,
        ) {
            let initial_backoff = Duration::from_millis(initial);
            let max_backoff = initial_backoff + Duration::from_millis(more);
            let config = RetryConfig { max_retries: 3, initial_backoff, max_backoff, backoff_multiplier: multiplier, jitter_factor: jitter };
            let wait = backoff(&config, retry, random).as_secs_f64();
            prop_assert!(wait <= max_backoff.as_secs_f64() * (1.0 + jitter) + 1e-6);
            prop_assert!(wait >= initial_backoff.as_secs_f64() * (1.0 - jitter) - 1e-6);
        }

        #[test]
        fn no_input_makes_it_panic(initial in any::<Duration>(), max in any::<Duration>(), multiplier in any::<f64>(), jitter in any::<f64>(), retry in any::<u32>(), random in any::<f64>()) {
            let config = RetryConfig { max_retries: 3, initial_backoff: initial, max_backoff: max, backoff_multiplier: multiplier, jitter_factor: jitter };
            let _ = backoff(&config, retry, random);
        }
    }
}
