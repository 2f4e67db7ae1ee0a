//! What follows when an instance falls silent.

use std::sync::Arc;

use super::machine::{Alert, Phase, length, no_data};
use super::seen::FORGET_AFTER;
use super::states::AlertStates;
use super::{AlertKind, AlertReason, ThresholdAlert};
use crate::events::UsagePeriod;
use crate::threshold::config::ThresholdConfig;
use crate::threshold::evaluate::ThresholdSet;
use crate::threshold::states::NoData;

/// An instance is silent after so many of its periods,
const SILENT_PERIODS: i64 = 3;
/// and not before so many seconds: what is late by a spool or a slow queue is not silent.
pub(in crate::threshold) const LEAST_SILENCE: i64 = 300;

/// The number of seconds after the end of the period `last` from which on an instance counts as silent for a threshold.
pub(super) fn silence_of(config: &ThresholdConfig, last: UsagePeriod) -> i64 {
    match config.no_data_after {
        Some(span) => span.seconds(),
        None => length(last).saturating_mul(SILENT_PERIODS).max(LEAST_SILENCE),
    }
}

impl AlertStates {
    /// Ends a run that was no stream: `now`, in Unix seconds, finds the instances silent that an earlier run knew
    /// ([`AlertRecord::restore`](super::AlertRecord::restore)), that this one heard nothing of, and whose last period
    /// ended long enough ago. No event of others is needed. To be called when all input was read, once.
    ///
    /// What this run heard is left to the events' own time: the next run asks the clock about it. Where the newest event
    /// of this run is older than seven days, it reads an archive, of which the clock says nothing. With no event that is
    /// new, nothing tells an archive from a job that stood still for so long: then `no_data: alert` is told, which asks
    /// for it, and all else stays as it is.
    ///
    /// Sorted by instance and threshold id.
    pub fn conclude(&mut self, set: &ThresholdSet, now: i64) -> Vec<ThresholdAlert> {
        let mut out = Vec::new();
        let archive = self.newest_here.is_some_and(|newest| now.saturating_sub(newest) >= FORGET_AFTER);
        if !set.has_states() || archive {
            return out;
        }
        let asks = |alert: &Alert| set.find(&alert.threshold).is_some_and(|it| no_data(&it.config) == NoData::Alert);
        let silence = |alert: &Alert| match now.saturating_sub(alert.last.end) {
            silence if alert.restored && (silence < FORGET_AFTER || asks(alert)) => silence,
            _ => 0,
        };
        self.sweep_by(set, silence, &mut out);
        out
    }

    /// How many instances this run heard of whose last period ended so long before `now` (Unix seconds) that the next run
    /// finds them silent, unless it hears of them: those with `no_data: alert`.
    #[must_use]
    pub fn quiet(&self, set: &ThresholdSet, now: i64) -> u64 {
        let is_quiet = |alert: &Alert| {
            let config = set.find(&alert.threshold).map(|compiled| &compiled.config);
            !alert.restored
                && !matches!(alert.phase, Phase::Silent | Phase::FiringSilent)
                && config.is_some_and(|config| {
                    no_data(config) == NoData::Alert
                        && now.saturating_sub(alert.last.end) > silence_of(config, alert.last)
                })
        };
        self.instances.values().filter(|state| state.alerts.iter().any(is_quiet)).count() as u64
    }
}

impl Alert {
    /// Nothing was heard for `silence` seconds, which is longer than [`silence_of`] the last period.
    pub(super) fn fall_silent(
        &mut self,
        config: &Arc<ThresholdConfig>,
        instance: &str,
        silence: i64,
        out: &mut Vec<ThresholdAlert>,
    ) {
        let at = self.last.end.saturating_add(silence);
        match (no_data(config), self.phase) {
            (_, Phase::Over) => {}
            (NoData::Resolve, Phase::Firing | Phase::FiringSilent | Phase::Silent) => {
                self.tell_at(config, instance, AlertKind::Resolved, Some(AlertReason::Silent), at, out);
                self.phase = Phase::Over;
            }
            (NoData::Resolve, Phase::Pending | Phase::Watched) => self.phase = Phase::Over,
            (NoData::Alert, Phase::Watched | Phase::Pending | Phase::Firing) => {
                self.silent_since = self.last.end;
                self.tell_at(config, instance, AlertKind::NoData, None, at, out);
                self.phase = if self.phase == Phase::Firing { Phase::FiringSilent } else { Phase::Silent };
            }
            (NoData::Keep, Phase::Pending | Phase::Watched) if silence < FORGET_AFTER => {}
            (NoData::Keep, Phase::Pending | Phase::Watched) => self.phase = Phase::Over,
            (NoData::Alert, Phase::Silent | Phase::FiringSilent)
            | (NoData::Keep, Phase::Firing | Phase::Silent | Phase::FiringSilent) => {
                if silence >= FORGET_AFTER {
                    self.tell_at(config, instance, AlertKind::Resolved, Some(AlertReason::Forgotten), at, out);
                    self.phase = Phase::Over;
                } else if self.repeat_is_due(config, at) {
                    self.tell_at(config, instance, AlertKind::Repeat, Some(AlertReason::Silent), at, out);
                }
            }
        }
    }
}
