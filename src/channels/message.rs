//! What is told: an alert on its way, and its words.

use serde::{Deserialize, Serialize};

use crate::events::EncodedEvent;
use crate::threshold::{AlertKind, ThresholdAlert};
use crate::units::figure;

/// What notices of alerts call themselves.
pub const NOTICE_TYPE: &str = "threshold_violation";

/// A notice as it is spooled and published: a `threshold_violation` event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViolationEvent {
    /// [`NOTICE_TYPE`].
    pub event_type: String,
    /// `1.0`.
    pub version: String,
    /// When it happened, by the events' time. Unix seconds.
    pub timestamp: i64,
    /// The instance that it is of.
    pub instance_id: String,
    /// The user that it is of.
    pub user_id: String,
    /// What happened.
    pub alert: ThresholdAlert,
}

impl ViolationEvent {
    /// The event that tells of `alert`.
    #[must_use]
    pub fn of(alert: &ThresholdAlert) -> Self {
        Self {
            event_type: NOTICE_TYPE.to_owned(),
            version: crate::events::VERSION.to_owned(),
            timestamp: alert.at,
            instance_id: alert.violation.instance_id.clone(),
            user_id: alert.violation.user_id.clone(),
            alert: alert.clone(),
        }
    }

    pub(super) fn encode(&self) -> Result<EncodedEvent, serde_json::Error> {
        EncodedEvent::notice(serde_json::to_vec(self)?)
    }

    pub(super) fn decode(encoded: &EncodedEvent) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(encoded.body())
    }
}

/// One line that says what happened: `cpu-high fires: Cpu of i-1 is 95 %, over 80 %`.
#[must_use]
pub fn headline(alert: &ThresholdAlert) -> String {
    let violation = &alert.violation;
    let config = &violation.config;
    let unit = config.threshold_type.unit();
    let value = format!("{} {unit}", figure(violation.current_value));
    let limit = format!("{} {unit}", figure(violation.threshold_value));
    let (what, of) = (format!("{} of {}", config.resource_type, violation.instance_id), &config.id);
    let why = alert.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    match alert.kind {
        AlertKind::Violation => format!("{of} is exceeded: {what} is {value}, over {limit}"),
        AlertKind::Pending => format!("{of} is pending: {what} is {value}, over {limit}"),
        AlertKind::Firing => format!("{of} fires: {what} is {value}, over {limit}{why}"),
        AlertKind::Repeat => format!("{of} still fires: {what} is {value}, over {limit}{why}"),
        AlertKind::Resolved => {
            let (begin, end) = (time(alert.since), time(alert.at));
            format!("{of} is resolved: {what} is {value}, limit {limit}{why}; it lasted from {begin} to {end}")
        }
        AlertKind::NoData => {
            format!("{of} has no data: nothing is heard of {}; {what} was {value}{why}", violation.instance_id)
        }
    }
}

/// One line that stands for all of `alerts`.
pub(super) fn subject(alerts: &[ThresholdAlert]) -> String {
    match alerts {
        [alert] => headline(alert),
        alerts => {
            let firing = alerts.iter().filter(|alert| alert.kind != AlertKind::Resolved).count();
            let first = alerts.first().map(headline).unwrap_or_default();
            format!("{} alerts, {} resolved; first: {first}", firing, alerts.len() - firing)
        }
    }
}

/// All that people want to know, in plain text.
pub(super) fn text(alerts: &[ThresholdAlert]) -> String {
    alerts.iter().map(paragraph).collect::<Vec<_>>().join("\n")
}

fn paragraph(alert: &ThresholdAlert) -> String {
    let violation = &alert.violation;
    let config = &violation.config;
    let unit = config.threshold_type.unit();
    let mut lines = vec![headline(alert)];
    let mut line = |name: &str, value: String| lines.push(format!("  {name:<10} {value}"));
    if let Some(description) = &config.description {
        line("about", description.clone());
    }
    line("severity", config.severity().to_string());
    line("instance", violation.instance_id.clone());
    line("user", violation.user_id.clone());
    line("threshold", format!("{} {} over {}", config.id, config.resource_type, config.threshold_type));
    line("value", format!("{} {unit}, at most {} {unit}", figure(violation.current_value), figure(alert.peak)));
    line("since", time(alert.since));
    line("time", time(alert.at));
    line("id", alert.id.clone());
    lines.push(String::new());
    lines.join("\n")
}

/// RFC 3339 in UTC; the number itself where that has no words for it.
pub(super) fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |at| at.to_string())
}
