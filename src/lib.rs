//! Skeleton.
#![cfg_attr(test, allow(clippy::unwrap_used))]
pub mod circuit_breaker;
pub mod clock;
pub mod collect;
pub mod errors;
pub mod events;
pub mod publish;
#[cfg(feature = "server")]
pub mod queue;
pub mod retry;
pub mod threshold;
pub mod transport;
pub mod units;
pub mod validate;
