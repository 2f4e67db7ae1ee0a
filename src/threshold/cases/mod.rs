//! Tests of thresholds: events in, and which violations, alerts and states are expected of them.
//!
//! - [`CaseFile`], [`Case`]: what stands in a file;
//! - [`Case::run`]: what came out, with every difference; pure.
//!
//! Times are spans from the start of the case. A list of violations or alerts that is given is the whole of what is
//! expected; one that is not given expects nothing in particular.

mod run;
mod series;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::alert::{AlertKind, AlertState};
use super::config::ThresholdConfig;
use crate::events::UsageEvent;
use crate::units::TimeSpan;

pub(crate) use series::check as check_series;

pub use run::{CaseError, CaseResult, Difference, Side};

/// A file of cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// Where the thresholds under test are: files or folders, relative to this file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub threshold_files: Vec<String>,
    /// Thresholds that stand here themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thresholds: Vec<ThresholdConfig>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case. It begins with no states.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// The Unix time that spans count from; when absent, the start of the first of `events`, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<i64>,
    /// Events in short, merged by their time: `instance web-1: cpu_percent_avg 50x10 95x20, every 1m`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<String>,
    /// Events in full, in the order in which they come, behind those of the series.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<UsageEvent>,
    /// How long the clock runs on, from the start, so that the silence of all is noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<TimeSpan>,
    /// All violations, of thresholds with states too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violations: Option<Vec<ExpectedViolation>>,
    /// All changes of states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Vec<ExpectedAlert>>,
    /// Some states at some times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<ExpectedState>,
}

/// A violation, or those of all events from one time to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExpectedViolation {
    /// The threshold's id.
    pub threshold: String,
    /// The instance.
    pub instance: String,
    /// The end of the event's period; the first of them where there is a `to`.
    pub at: TimeSpan,
    /// Every event of the instance whose period ends from `at` to this exceeds the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<TimeSpan>,
    /// The value, in the threshold's unit; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// A change of a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExpectedAlert {
    /// The threshold's id.
    pub threshold: String,
    /// The instance.
    pub instance: String,
    /// What happens.
    pub kind: AlertKind,
    /// When.
    pub at: TimeSpan,
    /// The value then, in the threshold's unit; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// A state at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExpectedState {
    /// The threshold's id.
    pub threshold: String,
    /// The instance.
    pub instance: String,
    /// When: behind all events whose periods have ended by then.
    pub at: TimeSpan,
    /// The state.
    pub state: AlertState,
}
