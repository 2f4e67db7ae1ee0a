//! Thresholds: limits on what events say, and what follows when one is exceeded.
//!
//! - [`ThresholdConfig`], [`ThresholdViolation`]: what stands in a file, and what comes out;
//! - [`ThresholdSet`]: thresholds compiled for evaluation, pure; [`Explanation`]: why one did or did not fire;
//! - [`AlertStates`], [`ThresholdAlert`]: violations with states (pending, firing, resolved), pure;
//! - [`ThresholdSource`], [`ThresholdReader`]: where they come from: files, servers, buckets, and `ThresholdStore`, which
//!   keeps their history;
//! - [`ThresholdManager`]: the set in force, swapped as a whole, and the actions;
//! - [`Notifier`]: what carries a violation to those whom it concerns.
//!
//! | resource | `Percentage` of | `Absolute` of | in |
//! | --- | --- | --- | --- |
//! | `Cpu` | `cpu_percent_avg` | `cpu_seconds` | `s`, `min`, `h` |
//! | `Memory` | `memory_percent` | `memory_gb` | `B`, `KB`, `MB`, `GB`, `TB`, `KiB`, `MiB`, `GiB`, `TiB` |
//! | `Storage` | | `storage_gb` | the same |
//! | `NetworkEgress` | | `network_egress_mb` | the same |
//! | `NetworkIngress` | | `network_ingress_mb` | the same |
//! | `Gpu` | | `gpu_seconds` | `s`, `min`, `h` |

mod alert;
mod alert_file;
mod alerting;
#[cfg(test)]
mod alerting_tests;
pub mod cases;
mod config;
mod evaluate;
mod explain;
mod manager;
mod measure;
mod measured;
mod notify;
mod source;
mod states;
#[cfg(feature = "sqlite")]
mod store;
mod takeover;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use alert::FORGET_AFTER;
pub use alert::{
    ALERTS_FORMAT, ALERTS_VERSION, AlertCounts, AlertKind, AlertReason, AlertRecord, AlertState, AlertStates,
    AlertStatus, InstanceKey, InstanceKeys, OutOfOrder, RecordError, ThresholdAlert,
};
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub use alert_file::fuzz_alert_file;
pub use alert_file::{AlertFile, AlertFileError, Kept};
pub use config::{
    ANY, ActionType, MAX_CHANNELS, MAX_DESCRIPTION_BYTES, ResourceType, ThresholdConfig, ThresholdType,
    ThresholdViolation,
};
pub use evaluate::{InvalidThresholds, ThresholdSet};
pub use explain::{Explanation, Reason};
pub use manager::ThresholdManager;
pub use measured::MeasuredEvent;
pub use notify::{AlertsNotified, LogNotifier, Notified, Notifier};
pub use source::{Loaded, MAX_FILE_BYTES, SourceError, ThresholdReader, ThresholdSource, parse_thresholds};
pub use states::{AlertSeverity, NoData};
#[cfg(feature = "sqlite")]
pub use store::{Change, Edit, EditError, ThresholdStore};
pub use watch::watch;
