//! Thresholds: limits on what events say.

mod config;

pub use config::{ANY, ActionType, ResourceType, ThresholdConfig, ThresholdType, ThresholdViolation};
