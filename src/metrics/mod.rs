//! The figures of a publisher: as OpenMetrics or Prometheus text over HTTP, and as a log line.
//!
//! An [`Observation`] is a plain look at the totals of a run. [`PublishMetrics`] turns the latest one into OpenMetrics
//! text in a registry of its own (nothing is global), [`serve`] answers `GET /metrics` with it, [`stats_line`] logs
//! what happened between two of them.
//!
//! ```
//! use form_usage_events::metrics::{Observation, PublishMetrics};
//!
//! let metrics = PublishMetrics::new("form://127.0.0.1:3003/usage_events?sub_topic=0");
//! metrics.observe(&Observation { taken: 12, delivered: 10, ..Observation::default() });
//! assert!(metrics.encode().contains("formusage_publish_events_delivered_total 10\n"));
//! ```

mod negotiate;
mod observation;
mod prometheus_text;
mod publish;
mod serve;
mod stats;

pub use observation::{BreakerObservation, Observation, SpoolObservation};
pub use publish::PublishMetrics;
pub use serve::{CONTENT_TYPE, serve};
pub use stats::{STATS_TARGET, stats_line};
