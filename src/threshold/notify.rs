//! What carries a violation to those whom it concerns.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::config::{ActionType, ThresholdViolation};
use crate::errors::UsageEventError;

/// What [`Notifier::notify`] returns.
pub type Notified<'a> = Pin<Box<dyn Future<Output = Result<(), UsageEventError>> + Send + 'a>>;

/// Takes the violations whose action is [`ActionType::Notify`] or [`ActionType::Action`].
pub trait Notifier: Send + Sync + fmt::Debug {
    /// Sends `violation` to its channels, or runs what its action is bound to.
    ///
    /// # Errors
    /// When it could not be handed over; the message says to which channel and why.
    fn notify<'a>(&'a self, violation: &'a ThresholdViolation) -> Notified<'a>;
}

/// Logs violations with their channels or their action named: what there is until channels are bound.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogNotifier;

impl Notifier for LogNotifier {
    fn notify<'a>(&'a self, violation: &'a ThresholdViolation) -> Notified<'a> {
        log(violation);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// One structured log line. `current` and `limit` are in `unit`, `time` is the event's own.
pub(super) fn log(violation: &ThresholdViolation) {
    let config = &violation.config;
    let follows = match &config.action {
        ActionType::Log => None,
        ActionType::Notify => Some(format!("notify: {}", config.notification_channels.join(", "))),
        ActionType::Action(name) => Some(format!("action: {name}")),
    };
    tracing::warn!(
        threshold = %config.id,
        resource = %config.resource_type,
        current = violation.current_value,
        limit = violation.threshold_value,
        unit = %config.threshold_type.unit(),
        percent_over = violation.percentage,
        instance = %violation.instance_id,
        user = %violation.user_id,
        time = violation.timestamp,
        follows,
        "threshold exceeded"
    );
}
