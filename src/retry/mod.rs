//! Trying again: how often, how long to wait, and whether at all.
//!
//! [`RetryConfig`] holds the settings, [`backoff`] is the pure arithmetic, [`Verdict`] says what a failure allows, and
//! [`Retrier`] (or [`with_retry`], for a single use) drives an operation with them. The clock and the random source
//! come from outside, so that a test knows every wait to the nanosecond.

mod backoff;
mod config;
mod retrier;
mod verdict;

pub use backoff::{MAX_RETRY_AFTER, backoff, next_wait};
pub use config::RetryConfig;
pub use retrier::{Random, Retrier, with_retry};
pub use verdict::{Retryable, Verdict};
