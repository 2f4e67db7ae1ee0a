//! Usage events that people bill by: metering, delivery, thresholds, validation. The library under `formusage`.
//!
//! ```text
//! collect: Scope ─► Reading ─► Meter ─► UsageEvent
//!                                           │
//! validate ◄────────────────────────────────┤
//! threshold ◄───────────────────────────────┤
//!                                           ▼
//! publish: lanes ─► Delivery (retry ─► breaker ─► time limit) ─► Sink ─► form:, https:, sqlite:, file:
//! ```
//!
//! **What it promises.** Every attempt to deliver an event sends the identical bytes under the identical id. An event
//! that was not acknowledged is reported as such, with whose failure it was. No call prints, exits, panics on input,
//! installs a handler or a global logger; what is worth knowing goes to `tracing`. Policy (metering, retry, breaker,
//! thresholds, validation) is pure: time and randomness are arguments.
//!
//! ```no_run
//! use form_usage_events::events::{UsageEvent, UsageMetrics, UsagePeriod};
//! use form_usage_events::publish::EventPublisher;
//!
//! # async fn example(metrics: UsageMetrics) -> Result<(), form_usage_events::errors::UsageEventError> {
//! let publisher = EventPublisher::new().with_default_circuit_breaker();
//! let period = UsagePeriod { start: 1_626_350_400, end: 1_626_350_430 };
//! publisher.publish(UsageEvent::new("instance-abc123".into(), "user_123456".into(), None, metrics, period)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! - [`events`]: the event, its id, its bytes; NDJSON as a stream
//! - [`publish`]: [`EventPublisher`] for services, [`publish::Pipeline`] for streams
//! - [`retry`], [`circuit_breaker`]: when to try again, when to leave a destination alone
//! - [`threshold`]: what is too much, and who is told
//! - [`validate`]: every fault of an event or a threshold file, with its place and its fix
//! - [`collect`]: from the kernel's counters to events
//! - [`transport`]: destinations and sources
#![cfg_attr(feature = "server", doc = "- [`queue`]: the embedded queue, served with the Form protocol")]
#![cfg_attr(
    feature = "sqlite",
    doc = "- [`spool`]: what was taken and waits for its acknowledgement, and dead letters"
)]
#![cfg_attr(feature = "metrics", doc = "- [`metrics`]: the figures of a publisher, as OpenMetrics and as a log line")]
#![cfg_attr(feature = "channels", doc = "- [`channels`]: mails, webhooks, chats, programs and queues for alerts")]
#![cfg_attr(feature = "ping", doc = "- [`ping`]: connectivity, step by step")]
#![cfg_attr(feature = "report", doc = "- [`report`]: what many events add up to, as rows and as a page with plots")]
//! - [`clock`], [`units`], [`errors`], [`files`], [`limited_read`]: what all of them share
//!
//! # Features
//!
//! `default` has everything that the binary needs. `default-features = false` gives events, validation, thresholds,
//! retry, breaker, the meter and the publisher over HTTP; `tls`, `sqlite`, `server`, `collect`, `schema` and `ping` add theirs.
//! With `tls`, which `default` has, a service that builds a `reqwest::Client` of its own installs a crypto provider of
//! rustls first, or that panics: the library brings one for its own connections alone.

#![warn(missing_docs)]

#[cfg(feature = "channels")]
pub mod channels;
pub mod circuit_breaker;
pub mod clock;
pub mod collect;
#[cfg(feature = "sqlite")]
mod database;
pub mod errors;
pub mod events;
pub mod files;
mod first_few;
#[cfg(any(fuzzing, all(test, feature = "cli")))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(any(feature = "metrics", feature = "server"))]
mod http_server;
pub mod limited_read;
pub mod log_limit;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "ping")]
pub mod ping;
pub mod plain_text;
pub mod publish;
#[cfg(feature = "server")]
pub mod queue;
#[cfg(feature = "report")]
pub mod report;
pub mod retry;
#[cfg(feature = "sqlite")]
pub mod spool;
pub mod threshold;
pub mod transport;
pub mod units;
pub mod validate;

pub use circuit_breaker::{CircuitBreaker, CircuitBreakerConfig, CircuitState};
pub use errors::UsageEventError;
pub use events::{EventId, UsageEvent, UsageMetrics, UsagePeriod};
pub use publish::EventPublisher;
pub use retry::{RetryConfig, with_retry};
pub use threshold::{ThresholdConfig, ThresholdManager, ThresholdViolation};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
