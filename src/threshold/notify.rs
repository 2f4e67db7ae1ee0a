//! What carries a violation to those whom it concerns.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use super::alert::{AlertKind, ThresholdAlert};
use super::config::{ActionType, ThresholdViolation};
use super::evaluate::ThresholdSet;
use crate::clock::{Clock as _, Monotonic, SystemClock};
use crate::errors::UsageEventError;
use crate::log_limit::LogLimit;

/// What [`Notifier::notify`] returns.
pub type Notified<'a> = Pin<Box<dyn Future<Output = Result<(), UsageEventError>> + Send + 'a>>;

/// What [`Notifier::notify_alerts`] returns: how each went, in the order in which they were handed over.
pub type AlertsNotified<'a> = Pin<Box<dyn Future<Output = Vec<Result<(), UsageEventError>>> + Send + 'a>>;

/// Takes what follows from thresholds whose action is [`ActionType::Notify`] or [`ActionType::Action`].
pub trait Notifier: Send + Sync + fmt::Debug {
    /// Sends `violation` to its channels, or runs what its action is bound to.
    ///
    /// # Errors
    /// When it could not be handed over; the message says to which channel and why.
    fn notify<'a>(&'a self, violation: &'a ThresholdViolation) -> Notified<'a>;

    /// Takes alerts of the same moment: violations, and changes of states with their [`AlertKind`]. This is what the
    /// manager calls; one message may tell of many of them.
    ///
    /// An alert that could not be handed over is handed over again later under the same id, so that its
    /// [`id`](ThresholdAlert::id) tells repeats apart; a violation without states is not. Who delivers later, or
    /// elsewhere, answers as soon as it has the alert on disk.
    ///
    /// Unless implemented, violations and what fires go to [`Notifier::notify`] one by one, and the rest, which is no
    /// violation, is logged.
    fn notify_alerts<'a>(&'a self, alerts: &'a [ThresholdAlert]) -> AlertsNotified<'a> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(alerts.len());
            for alert in alerts {
                outcomes.push(match alert.kind {
                    AlertKind::Violation | AlertKind::Firing | AlertKind::Repeat => self.notify(&alert.violation).await,
                    AlertKind::Pending | AlertKind::Resolved | AlertKind::NoData => {
                        log(alert);
                        Ok(())
                    }
                });
            }
            outcomes
        })
    }

    /// Why `thresholds` must not come in force with this notifier, a line each: names that nothing is bound to. The
    /// manager asks whenever it reads thresholds, so that a name is missed when it is written and not when it matters.
    ///
    /// Unless implemented, there is never a reason.
    fn objections(&self, thresholds: &ThresholdSet) -> Vec<String> {
        let _ = thresholds;
        Vec::new()
    }
}

/// Logs alerts with their channels or their action named: what there is until channels are bound. A hundred violations
/// and a hundred changes of states a minute are logged one by one, the others are counted.
#[derive(Debug, Default)]
pub struct LogNotifier(Mutex<AlertLog>);

impl LogNotifier {
    fn log(&self, alerts: &[ThresholdAlert]) {
        let (mut log, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), SystemClock.monotonic());
        alerts.iter().for_each(|alert| log.log(alert, now));
    }
}

impl Notifier for LogNotifier {
    fn notify<'a>(&'a self, violation: &'a ThresholdViolation) -> Notified<'a> {
        self.log(&[ThresholdAlert::of_violation(violation.clone())]);
        Box::pin(std::future::ready(Ok(())))
    }

    fn notify_alerts<'a>(&'a self, alerts: &'a [ThresholdAlert]) -> AlertsNotified<'a> {
        self.log(alerts);
        Box::pin(std::future::ready(alerts.iter().map(|_| Ok(())).collect()))
    }
}

/// Logs alerts, as many as [`LogLimit`] admits: thresholds come from elsewhere, and an event may exceed all of them.
#[derive(Debug, Default)]
pub(super) struct AlertLog {
    violations: LogLimit,
    /// Of changes of states, which a flood of violations must not hide.
    states: LogLimit,
    /// Of alerts that were lost.
    pub(super) lost: LogLimit,
}

impl AlertLog {
    /// Logs an alert, or counts it.
    pub(super) fn log(&mut self, alert: &ThresholdAlert, now: Monotonic) {
        let is_violation = alert.kind == AlertKind::Violation;
        let limit = if is_violation { &mut self.violations } else { &mut self.states };
        let admission = limit.admit(now);
        log_left_out(admission.left_out_before, is_violation);
        if admission.is_logged {
            log(alert);
        }
    }

    /// Lets the first alerts of new thresholds into the log.
    pub(super) fn thresholds_changed(&mut self) {
        self.violations.allow_some_more();
        self.states.allow_some_more();
    }

    /// How many violations, and how many changes of states, were counted and not logged since that was last said.
    #[cfg(test)]
    pub(super) const fn left_out(&self) -> (u64, u64) {
        (self.violations.left_out(), self.states.left_out())
    }

    /// Logs how many were counted and not logged; for the end of a run.
    pub(super) fn finish(&mut self) {
        log_left_out(self.violations.take_left_out(), true);
        log_left_out(self.states.take_left_out(), false);
    }
}

impl Drop for AlertLog {
    fn drop(&mut self) {
        self.finish();
    }
}

fn log_left_out(count: u64, is_violation: bool) {
    if count > 0 {
        let what = if is_violation { "violations of thresholds" } else { "changes of alerts' states" };
        tracing::warn!(
            count,
            "{count} more {what} within a minute, not logged one by one; formusage check lists what events exceed"
        );
    }
}

/// One structured log line. `current`, `limit` and `peak` are in `unit`, times are the events' own.
fn log(alert: &ThresholdAlert) {
    let violation = &alert.violation;
    let config = &violation.config;
    let follows = match &config.action {
        ActionType::Log => None,
        ActionType::Notify => Some(format!("notify: {}", config.notification_channels.join(", "))),
        ActionType::Action(name) => Some(format!("action: {name}")),
    };
    if alert.kind == AlertKind::Violation {
        tracing::warn!(
            threshold = %config.id,
            severity = config.severity.map(|severity| severity.name()),
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
        return;
    }
    let words = match alert.kind {
        AlertKind::Violation | AlertKind::Pending => "threshold exceeded, pending",
        AlertKind::Firing => "threshold exceeded, firing",
        AlertKind::Repeat => "threshold still firing",
        AlertKind::Resolved => "threshold resolved",
        AlertKind::NoData => "no data of an instance",
    };
    tracing::warn!(
        threshold = %config.id,
        state = %alert.kind,
        severity = %config.severity(),
        resource = %config.resource_type,
        current = violation.current_value,
        limit = violation.threshold_value,
        peak = alert.peak,
        unit = %config.threshold_type.unit(),
        instance = %violation.instance_id,
        user = %violation.user_id,
        since = alert.since,
        time = alert.at,
        reason = alert.reason.map(tracing::field::display),
        id = %alert.id,
        follows,
        "{words}"
    );
}
