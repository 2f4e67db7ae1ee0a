//! Skeleton.
#![cfg_attr(test, allow(clippy::unwrap_used))]
pub mod clock;
pub mod errors;
pub mod events;
pub mod threshold;
pub mod transport;
pub mod units;
pub mod validate;
