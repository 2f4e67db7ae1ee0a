//! Publishing: from an event to its acknowledgement.
//!
//! [`EventPublisher`] is for services: one call, one event, its result. [`Pipeline`] is for streams: intake, order per
//! instance, parallel delivery, holding on while the destination is down, and books that balance. Both deliver through
//! a [`Delivery`]: retries around a breaker around a time limit around a sink.

mod delivery;
mod intake;
mod lanes;
mod latency;
mod pipeline;
mod publisher;
mod report;
mod worker;

pub use delivery::{Deferral, Delivery, DeliveryStats, Ending};
pub use intake::{Intake, IntakeRules, Origin, RefusedLine, Taken, judge, read_lines};
pub use latency::{LATENCY_BOUNDS, Latency, LatencyHistogram};
pub use pipeline::{Keeper, Pipeline, PipelineError, PipelineOptions, Progress, Stop};
pub use publisher::EventPublisher;
pub use report::Report;
