//! Validation: every fault of an event, a stream of events or a threshold file, each with its place and its fix.
//!
//! - [`Finding`], [`Code`], [`Severity`], [`Place`]: what is said about a fault;
//! - [`is_valid`], [`event_findings`]: the rules for an event in memory;
//! - [`line_findings`]: one line of NDJSON, with exact places, whatever the line holds;
//! - [`threshold_findings`]: a threshold file.
//!
//! All of it is pure: the time of day comes in through [`EventRules`].

mod finding;

pub use finding::{Code, Finding, Place, Severity};

use crate::events::UsageEvent;

/// How far in the future a timestamp may lie unless set otherwise, in seconds: clocks of hosts differ a little.
pub const DEFAULT_MAX_SKEW_SECONDS: i64 = 300;

/// What the rules for events depend on beside the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRules {
    /// The time of validation, in Unix seconds.
    pub now: i64,
    /// How far behind `now` a timestamp may lie, in seconds; [`DEFAULT_MAX_SKEW_SECONDS`] is a good choice.
    pub max_skew: i64,
}

impl EventRules {
    /// The rules at `now` (Unix seconds), with [`DEFAULT_MAX_SKEW_SECONDS`].
    #[must_use]
    pub const fn at(now: i64) -> Self {
        Self { now, max_skew: DEFAULT_MAX_SKEW_SECONDS }
    }
}

/// Every fault of `event`. Places have only a pointer: there is no text.
#[must_use]
pub fn event_findings(_event: &UsageEvent, _rules: &EventRules) -> Vec<Finding> {
    Vec::new()
}

/// Whether [`event_findings`] finds no error, without allocating.
#[must_use]
pub fn is_valid(_event: &UsageEvent, _rules: &EventRules) -> bool {
    true
}

/// Every fault and every oddity of one line of NDJSON; `line` is its number, from 1.
#[must_use]
pub fn line_findings(_text: &[u8], _line: u64, _rules: &EventRules) -> Vec<Finding> {
    Vec::new()
}

/// Every fault and every oddity of a threshold file: one threshold or an array of them.
#[must_use]
pub fn threshold_findings(_text: &[u8]) -> Vec<Finding> {
    Vec::new()
}
