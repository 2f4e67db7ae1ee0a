//! One threshold on one instance: its state, and what an event makes of it.

use std::sync::Arc;

use super::silence::silence_of;
use super::{AlertKind, AlertReason, ThresholdAlert, alert_id};
use crate::events::UsagePeriod;
use crate::threshold::config::{ThresholdConfig, ThresholdViolation};
use crate::threshold::evaluate::Compiled;
use crate::threshold::measured::MeasuredEvent;
use crate::threshold::states::NoData;

/// Where it stands. The end of all is no state at all: what is well needs none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// All is well, and the silence of the instance would be told.
    Watched,
    Pending,
    Firing,
    /// Silent, after all was well or pending.
    Silent,
    /// Silent, while it fired.
    FiringSilent,
    /// To be dropped.
    Over,
}

/// The state of one threshold on one instance.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Alert {
    pub(super) threshold: Box<str>,
    pub(super) user: Box<str>,
    pub(super) phase: Phase,
    /// Where the first period over the limit started.
    pub(super) since: i64,
    /// Where the last silence began.
    pub(super) silent_since: i64,
    /// The period that was heard last.
    pub(super) last: UsagePeriod,
    /// Its value, in the threshold's unit.
    pub(super) value: f64,
    /// Its event's own time.
    pub(super) timestamp: i64,
    pub(super) peak: f64,
    /// When it was told last.
    pub(super) told_at: i64,
    /// How many times it was told since it began to fire.
    pub(super) told: u64,
    /// The stream's clock when it was heard last.
    pub(super) heard: i64,
    /// The wall clock's, likewise.
    pub(super) heard_wall: i64,
    /// It was read from a record, and nothing was heard since.
    pub(super) restored: bool,
}

impl Alert {
    /// All is well with `event`; no event came before.
    pub(super) fn new(compiled: &Compiled, event: MeasuredEvent<'_>) -> Self {
        Self {
            threshold: compiled.config.id.as_str().into(),
            user: event.user_id.as_str().into(),
            phase: Phase::Watched,
            since: event.period.start,
            silent_since: event.period.end,
            last: event.period,
            value: compiled.current(event),
            timestamp: event.timestamp,
            peak: 0.0,
            told_at: 0,
            told: 0,
            heard: 0,
            heard_wall: 0,
            restored: false,
        }
    }

    /// Takes in an event that the threshold applies to and that is newer than those before it. One of which the metric was
    /// not metered tells that the instance is not silent, and nothing else.
    pub(super) fn hear(&mut self, compiled: &Compiled, event: MeasuredEvent<'_>, out: &mut Vec<ThresholdAlert>) {
        let config = &compiled.config;
        let gap = event.period.start.saturating_sub(self.last.end);
        if gap > silence_of(config, self.last) && no_data(config) != NoData::Keep {
            self.fall_silent(config, &event.instance_id, gap, out);
        }
        let contiguous = gap <= length(self.last).max(length(event.period));
        self.user = event.user_id.as_str().into();
        self.last = event.period;
        let known = compiled.known(event);
        if let Some(value) = known {
            (self.value, self.timestamp) = (value, event.timestamp);
        }
        let over = compiled.exceeded(event);
        if matches!(self.phase, Phase::Firing | Phase::FiringSilent) {
            self.go_on(compiled, event, out);
            return;
        }
        if self.phase == Phase::Silent {
            self.tell(config, &event.instance_id, AlertKind::Resolved, Some(AlertReason::DataBack), out);
            self.end(config);
        }
        if known.is_none() {
            return;
        }
        if !over {
            self.end(config);
            return;
        }
        let began = self.phase == Phase::Pending && contiguous;
        if !began {
            (self.since, self.peak, self.told) = (event.period.start, self.value, 0);
        }
        self.peak = self.peak.max(self.value);
        let hold = config.hold.unwrap_or_default().seconds();
        if event.period.end.saturating_sub(self.since) >= hold {
            self.phase = Phase::Firing;
            self.tell(config, &event.instance_id, AlertKind::Firing, None, out);
        } else {
            self.phase = Phase::Pending;
            if !began {
                self.tell(config, &event.instance_id, AlertKind::Pending, None, out);
            }
        }
    }

    /// What fires, with another event: it is over, or told again, or simply goes on.
    fn go_on(&mut self, compiled: &Compiled, event: MeasuredEvent<'_>, out: &mut Vec<ThresholdAlert>) {
        let (config, instance) = (&compiled.config, &*event.instance_id);
        let back = (self.phase == Phase::FiringSilent).then_some(AlertReason::DataBack);
        self.phase = Phase::Firing;
        if compiled.cleared(event) {
            self.tell(config, instance, AlertKind::Resolved, back, out);
            self.end(config);
            return;
        }
        self.peak = self.peak.max(self.value);
        if back.is_some() || self.repeat_is_due(config, event.period.end) {
            self.tell(config, instance, AlertKind::Repeat, back, out);
        }
    }

    pub(super) fn repeat_is_due(&self, config: &ThresholdConfig, now: i64) -> bool {
        config.repeat_interval.is_some_and(|every| now.saturating_sub(self.told_at) >= every.seconds())
    }

    /// Back to where all is well.
    pub(super) fn end(&mut self, config: &ThresholdConfig) {
        self.phase = if no_data(config) == NoData::Alert { Phase::Watched } else { Phase::Over };
    }

    /// Tells of a change at the end of the period that was heard last.
    fn tell(
        &mut self,
        config: &Arc<ThresholdConfig>,
        instance: &str,
        kind: AlertKind,
        reason: Option<AlertReason>,
        out: &mut Vec<ThresholdAlert>,
    ) {
        self.tell_at(config, instance, kind, reason, self.last.end, out);
    }

    /// Tells of a change at `at`.
    pub(super) fn tell_at(
        &mut self,
        config: &Arc<ThresholdConfig>,
        instance: &str,
        kind: AlertKind,
        reason: Option<AlertReason>,
        at: i64,
        out: &mut Vec<ThresholdAlert>,
    ) {
        // What is told of a silence is about the silence, not about what came before it.
        let silent = kind == AlertKind::NoData || self.phase == Phase::Silent;
        let since = if silent { self.silent_since } else { self.since };
        let limit = config.threshold_type.value();
        out.push(ThresholdAlert {
            id: alert_id(&config.id, instance, kind, since, self.told),
            kind,
            since,
            at,
            peak: self.peak,
            number: self.told,
            reason,
            violation: ThresholdViolation {
                config: Arc::clone(config),
                current_value: self.value,
                threshold_value: limit,
                percentage: percent_over(self.value, limit),
                timestamp: self.timestamp,
                instance_id: instance.to_owned(),
                user_id: self.user.to_string(),
            },
        });
        if kind.is_told() {
            self.told_at = at;
            self.told += 1;
        }
    }
}

pub(super) fn no_data(config: &ThresholdConfig) -> NoData {
    config.no_data.unwrap_or_default()
}

pub(super) const fn length(period: UsagePeriod) -> i64 {
    period.end.saturating_sub(period.start)
}

/// How far over, in percent; negative below the limit, finite always: 0 where a value of 0 meets a limit of 0.
fn percent_over(value: f64, limit: f64) -> f64 {
    let percentage = (value - limit) / limit * 100.0;
    if percentage.is_nan() { 0.0 } else { percentage.clamp(f64::MIN, f64::MAX) }
}
