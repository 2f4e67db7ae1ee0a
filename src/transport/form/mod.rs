//! The Form queue over HTTP: both directions.
//!
//! ```text
//! POST /queue/write_local             {"Write":{"content":[0,123,…],"topic":"ed54…aa72"}}   → "OpSuccess"
//! GET  /queue/NAME/INDEX/get_after                                                      → {"List":[[0,123,…],…]}
//! ```
//!
//! `topic` is the lowercase hex SHA3-256 of the topic's name; `content` is the sub-topic byte, then the event's compact
//! JSON. Success is in the body, not in the status: a 200 may hold a `Failure`. The queue dedupes by `content`, so that
//! sending the identical bytes again is safe, and a write whose reply never came may be sent again. Its
//! acknowledgement is not durable: it holds its topics in memory.

mod client;
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) mod fuzzing;
mod list;
mod sink;
mod source;
pub(crate) mod wire;

#[cfg(feature = "ping")]
pub(crate) use super::destination::percent_encoded;
pub use sink::FormSink;
pub use source::FormSource;
pub use wire::{MAX_REQUEST_BYTES, topic_hash};
