//! Publishing: from an event to its acknowledgement.
//!
//! [`EventPublisher`] is for services: one call, one event, its result. [`Pipeline`] is for streams: intake, order per
//! instance, parallel delivery, holding on while the destination is down, and books that balance. Both deliver through
//! a [`Delivery`]: retries around a breaker around a time limit around a sink.

mod accepted;
mod concurrency;
mod course;
mod delivery;
mod feed;
mod intake;
mod lanes;
mod latency;
mod load;
mod pipeline;
mod publisher;
mod read_ahead;
#[cfg(feature = "sqlite")]
mod reconcile;
mod report;
#[cfg(feature = "sqlite")]
mod spooled;
mod suspects;
mod unanswered;
mod worker;

pub use accepted::{Accepted, AcceptedLines};
pub use concurrency::{Concurrency, Sample};
pub use delivery::{Deferral, Delivery, DeliveryStats, Ending};
pub use feed::Feed;
pub use intake::{AttemptHistory, Intake, IntakeReader, IntakeRules, Origin, RefusedLine, Taken, Ticket};
pub use latency::{LATENCY_BOUNDS, Latency, LatencyHistogram};
pub use pipeline::{Keeper, Pipeline, PipelineError, PipelineOptions, Progress, Stop};
pub use publisher::EventPublisher;
pub use read_ahead::ReadAhead;
#[cfg(feature = "sqlite")]
pub use reconcile::{ReconcileError, Reconciliation, reconcile};
pub use report::{NotTaken, Report, Resumed};
#[cfg(feature = "sqlite")]
pub use spooled::publish_through;
