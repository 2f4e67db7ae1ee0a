//! Violations with states: pending → firing → resolved, for each threshold and instance, by the events' own times.
//!
//! - [`ThresholdAlert`]: a change of state that somebody may have to be told of, under an id of its own;
//! - [`AlertStates`]: the states, changed by events ([`AlertStates::observe`]), by time
//!   ([`AlertStates::tick`]) and by new thresholds ([`AlertStates::reload`]); pure;
//! - [`AlertRecord`]: the states as they are kept over a restart.
//!
//! **Pending** begins with the first event over the limit. It becomes **firing** when the limit was exceeded for as
//! long as `for` says, from the start of the first period to the end of the last; one event that is not over the limit
//! ends it without a word. Events are contiguous when between two of them no more than one is missing; over a longer
//! gap, `for` begins anew.
//!
//! **Firing** goes on until a value is at or below `clear_value` (the limit where there is none), and is told again
//! every `repeat_interval`. Then it is **resolved**.
//!
//! An instance is **silent** when nothing was heard of it for three of its periods, and for five minutes at least, or for
//! longer than `no_data_after` of the threshold: by the
//! stream's time, which is that of the events of all instances, or by the wall clock where [`AlertStates::tick`] or
//! [`AlertStates::conclude`] brings it. Data that are back end the silence, and are told: as [`AlertKind::Repeat`] where it
//! still fires, whatever `repeat_interval` says, since those who read of the silence wait for its end. What follows says [`NoData`](super::NoData). After seven days of silence it is forgotten, and what
//! fired until then is resolved with that reason.
//!
//! An event whose period ends no later than one that was seen of its instance changes nothing and is counted. Whether that
//! may hide what would have fired, [`AlertStates::out_of_order`] knows, where it was asked for.

mod machine;
mod order;
mod passing;
mod record;
mod seen;
mod silence;
mod states;
#[cfg(test)]
mod tests;
mod undecided;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::config::ThresholdViolation;
use crate::events::EventId;

pub(crate) use seen::FORGET_AFTER;
pub(super) use silence::LEAST_SILENCE;

pub use order::OutOfOrder;
pub use record::{ALERTS_FORMAT, ALERTS_VERSION, AlertRecord, RecordError};
pub use seen::{InstanceKey, InstanceKeys};
pub use states::{AlertCounts, AlertState, AlertStates, AlertStatus};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertKind {
    /// An event exceeds a threshold without states.
    Violation,
    /// The limit is exceeded, and not yet for as long as `for` says. Nobody is told.
    Pending,
    /// It fires.
    Firing,
    /// It still fires, `repeat_interval` after it was told last; or data are back and it fires as before.
    Repeat,
    /// It is over.
    Resolved,
    /// The instance fell silent.
    NoData,
}

impl AlertKind {
    /// Its name, as records write it: `violation`, `pending`, `firing`, `repeat`, `resolved`, `no_data`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Violation => "violation",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Repeat => "repeat",
            Self::Resolved => "resolved",
            Self::NoData => "no_data",
        }
    }

    /// Whether somebody is told of it.
    #[must_use]
    pub const fn is_told(self) -> bool {
        !matches!(self, Self::Pending)
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a state changed, where it was not the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AlertReason {
    /// The instance is silent.
    Silent,
    /// The instance, silent before, is heard again.
    DataBack,
    /// The instance was silent for seven days and is no longer looked after.
    Forgotten,
    /// The threshold is gone.
    ThresholdRemoved,
    /// The threshold is not enabled any more.
    ThresholdDisabled,
    /// The threshold means something else now: another resource or unit, other instances, or no states.
    ThresholdChanged,
}

impl fmt::Display for AlertReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Silent => "the instance is silent",
            Self::DataBack => "data are back",
            Self::Forgotten => "silent for seven days",
            Self::ThresholdRemoved => "threshold removed",
            Self::ThresholdDisabled => "threshold disabled",
            Self::ThresholdChanged => "threshold changed",
        })
    }
}

/// A change of state, or a violation of a threshold without states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdAlert {
    /// The idempotency key, 32 hex digits: a digest of the threshold's id, the instance, the kind, `since` and `number`.
    /// What is told twice, over a crash or a retry, has the same id.
    pub id: String,
    /// What happened.
    pub kind: AlertKind,
    /// Where the first period over the limit started; where the silence began for [`AlertKind::NoData`]; when the event
    /// was made for [`AlertKind::Violation`]. Unix seconds.
    pub since: i64,
    /// When it happened, by the events' time. Unix seconds.
    pub at: i64,
    /// The largest value since it began, in the threshold's unit.
    pub peak: f64,
    /// How many times it was told before.
    pub number: u64,
    /// Why, where it was not the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<AlertReason>,
    /// The threshold, and the value now: the last known one where nothing is heard.
    pub violation: ThresholdViolation,
}

impl ThresholdAlert {
    /// A violation of a threshold without states.
    #[must_use]
    pub fn of_violation(violation: ThresholdViolation) -> Self {
        let (peak, at, kind) = (violation.current_value, violation.timestamp, AlertKind::Violation);
        let id = alert_id(&violation.config.id, &violation.instance_id, kind, at, 0);
        Self { id, kind, since: at, at, peak, number: 0, reason: None, violation }
    }
}

/// The digest that [`ThresholdAlert::id`] is.
fn alert_id(threshold: &str, instance: &str, kind: AlertKind, since: i64, number: u64) -> String {
    // Ids hold no NUL, so that no two lists of parts make one text.
    let text = format!("{threshold}\0{instance}\0{kind}\0{since}\0{number}");
    EventId::of(text.as_bytes()).to_string()
}
