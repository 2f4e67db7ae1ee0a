//! The states of all thresholds on all instances.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::machine::{Alert, Phase, length};
use super::order::OutOfOrder;
use super::passing::Concerned;
use super::seen::{Order, Seen};
use super::silence::silence_of;
use super::undecided::{RunOrder, Undecided};
use super::{AlertKind, AlertReason, InstanceKey, ThresholdAlert};
use crate::events::UsagePeriod;
use crate::threshold::config::ThresholdConfig;
use crate::threshold::evaluate::{Compiled, ThresholdSet};
use crate::threshold::measured::MeasuredEvent;
use crate::threshold::states::NoData;

/// Silence is looked for when the stream's time has advanced by so many seconds.
const SWEEP_EVERY: i64 = 30;

/// The most by which one tick advances the wall clock's side, in seconds: a machine that was suspended was no silence
/// of the instances.
const LONGEST_TICK: i64 = 60;

/// What a threshold is on an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// All is well.
    Ok,
    /// The limit is exceeded, and not yet for as long as `for` says.
    Pending,
    /// It fires.
    Firing,
    /// The instance is silent, which is told (`no_data: alert`).
    NoData,
}

impl AlertState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Pending, Self::Firing, Self::NoData];

    /// Its name, as records write it: `ok`, `pending`, `firing`, `no_data`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::NoData => "no_data",
        }
    }
}

impl fmt::Display for AlertState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A state, and since when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlertStatus {
    /// The state.
    pub state: AlertState,
    /// Where the first period over the limit started, or where the silence began. Unix seconds.
    pub since: i64,
    /// The end of the period that was heard last. Unix seconds.
    pub until: i64,
    /// The largest value since it began, in the threshold's unit.
    pub peak: f64,
}

/// How many thresholds stand where, and what changed no state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AlertCounts {
    /// Pending.
    pub pending: u64,
    /// Firing.
    pub firing: u64,
    /// Silent, with the silence told.
    pub no_data: u64,
    /// Events that came behind a newer one of their instance, or that lie in the future, and changed no state.
    pub late: u64,
    /// Events whose period was the last one of their instance already, and changed no state.
    pub repeated: u64,
}

/// The states of all thresholds on all instances.
///
/// Memory is taken by what is not well, and by 16 bytes for each instance of the last seven days. (Thresholds with
/// `no_data: alert` look after the instances where all is well too.)
#[derive(Debug, Clone)]
pub struct AlertStates {
    pub(super) instances: HashMap<Box<str>, Instance>,
    /// The keys of these, and perhaps of some that were.
    pub(super) concerned: Concerned,
    pub(super) seen: Seen,
    /// The latest end of a period; `None` before the first event.
    pub(super) watermark: Option<i64>,
    /// How far the stream's time has come: as the watermark, but an event advances it by no more than its own
    /// length, so that after a pause of the whole stream nobody is silent before they could speak.
    pub(super) clock: i64,
    pub(super) swept: i64,
    pub(super) late: u64,
    pub(super) repeated: u64,
    /// The last tick, and the time that ticks have counted.
    wall: Option<i64>,
    wall_clock: i64,
    /// How many times the thresholds changed.
    generation: u64,
    /// The latest end of a period that was heard here, since these states were made or restored.
    pub(super) newest_here: Option<i64>,
    /// What came in the wrong order, and how the run began; `None` unless [`AlertStates::watch_order`] was called.
    pub(super) order: Option<RunOrder>,
    /// How earlier runs found the instances that they could not decide on.
    pub(super) undecided: HashMap<InstanceKey, Undecided>,
}

/// What is known of an instance.
#[derive(Debug, Clone, Default)]
pub(super) struct Instance {
    pub(super) alerts: Vec<Alert>,
    /// For which generation of the thresholds, and for which user, the watchers were set.
    pub(super) watched: Option<(u64, Box<str>)>,
}

impl AlertStates {
    /// No states. `salt` is any number that others can't guess; see [`AlertRecord`](super::AlertRecord), which keeps it.
    #[must_use]
    pub fn new(salt: u64) -> Self {
        Self {
            instances: HashMap::new(),
            concerned: Concerned::default(),
            seen: Seen::new(salt),
            watermark: None,
            clock: 0,
            swept: 0,
            late: 0,
            repeated: 0,
            wall: None,
            wall_clock: 0,
            generation: 0,
            newest_here: None,
            order: None,
            undecided: HashMap::new(),
        }
    }

    /// Counts an event as late that is to change no state, such as one from the future: after it every event of its
    /// instance would be late that comes by the right time.
    pub const fn count_late(&mut self) {
        self.late += 1;
    }

    /// What `event` changes, sorted by threshold id; then what the advance of the stream's time changes on other
    /// instances, sorted by instance and threshold id.
    pub fn observe<'e>(&mut self, set: &ThresholdSet, event: impl Into<MeasuredEvent<'e>>) -> Vec<ThresholdAlert> {
        let event = event.into();
        if set.has_states() { self.observe_exceeded(set, event, &set.exceeded(event)) } else { Vec::new() }
    }

    /// The same where the places of the thresholds that `event` exceeds are known.
    pub(in crate::threshold) fn observe_exceeded(
        &mut self,
        set: &ThresholdSet,
        event: MeasuredEvent<'_>,
        exceeded: &[usize],
    ) -> Vec<ThresholdAlert> {
        let mut out = Vec::new();
        let (key, late) = (self.seen.keys().of(&event.instance_id), self.late);
        if self.is_new(key, event.period) {
            self.hear(set, event, exceeded, &mut out);
            self.sweep_now_and_then(set, &mut out);
        } else if self.late > late {
            self.note_late(set, event, key, exceeded);
        }
        out
    }

    /// The instances of which events came behind newer ones, over a limit and in such a way that a threshold might have
    /// fired with them and did not; sorted. None unless [`AlertStates::watch_order`] was called.
    #[must_use]
    pub fn out_of_order(&self) -> Vec<OutOfOrder<'_>> {
        self.order.as_ref().map_or_else(Vec::new, |order| order.watch.in_doubt())
    }

    /// How many events over a limit came behind newer ones of their instance and were not known before, whether that
    /// matters or not; 0 unless [`AlertStates::watch_order`] was called.
    #[must_use]
    pub fn late_over_limit(&self) -> u64 {
        self.order.as_ref().map_or(0, |order| order.watch.late_events())
    }

    fn note_late(&mut self, set: &ThresholdSet, event: MeasuredEvent<'_>, key: InstanceKey, exceeded: &[usize]) {
        let Some(RunOrder { watch, seen, .. }) = &mut self.order else { return };
        if seen.last_end(key).is_some_and(|end| event.period.end <= end) {
            return;
        }
        for compiled in exceeded.iter().filter_map(|at| set.get(*at)).filter(|it| it.clear.is_some()) {
            watch.late(self.seen.keys(), compiled, event.event());
        }
    }

    /// Notes a period of an instance, and with a new one the stream's time advances.
    pub(super) fn is_new(&mut self, instance: InstanceKey, period: UsagePeriod) -> bool {
        self.revisit_undecided(instance, period);
        let before = self.watermark.unwrap_or(period.end);
        match self.seen.note(instance, period, before) {
            Order::New => {}
            Order::Late => {
                self.late += 1;
                return false;
            }
            Order::Repeated => {
                self.repeated += 1;
                return false;
            }
        }
        self.clock += period.end.saturating_sub(before).clamp(0, length(period).max(1));
        self.watermark = Some(before.max(period.end));
        self.newest_here = self.newest_here.max(Some(period.end));
        true
    }

    /// Looks for silent instances when the stream's time has advanced by enough.
    pub(super) fn sweep_now_and_then(&mut self, set: &ThresholdSet, out: &mut Vec<ThresholdAlert>) {
        if self.clock >= self.swept + SWEEP_EVERY {
            self.swept = self.clock;
            self.sweep(set, out);
        }
    }

    fn hear(
        &mut self,
        set: &ThresholdSet,
        event: MeasuredEvent<'_>,
        exceeded: &[usize],
        out: &mut Vec<ThresholdAlert>,
    ) {
        let concerns = |compiled: &&Compiled| compiled.clear.is_some();
        let mut began = exceeded.iter().filter_map(|index| set.get(*index)).filter(concerns).peekable();
        let mut watchers = set.watchers().peekable();
        if began.peek().is_none() && watchers.peek().is_none() && !self.instances.contains_key(&*event.instance_id) {
            return;
        }
        self.concerned.insert(self.seen.keys().of(&event.instance_id));
        let instance = self.instances.entry(event.instance_id.as_str().into()).or_default();
        let has =
            |alerts: &[Alert], compiled: &Compiled| alerts.iter().any(|alert| *alert.threshold == *compiled.config.id);
        let current = instance
            .watched
            .as_ref()
            .is_some_and(|(generation, user)| *generation == self.generation && **user == *event.user_id);
        if watchers.peek().is_some() && !current {
            instance.watched = Some((self.generation, event.user_id.as_str().into()));
            for compiled in watchers.filter(|compiled| compiled.applies(event)) {
                if !has(&instance.alerts, compiled) {
                    instance.alerts.push(Alert::new(compiled, event));
                }
            }
        }
        for compiled in began {
            if !has(&instance.alerts, compiled) {
                instance.alerts.push(Alert::new(compiled, event));
            }
        }
        instance.alerts.sort_unstable_by(|a, b| a.threshold.cmp(&b.threshold));
        for alert in &mut instance.alerts {
            let Some(compiled) = set.find(&alert.threshold).filter(|compiled| compiled.applies(event)) else {
                continue;
            };
            (alert.heard, alert.heard_wall, alert.restored) = (self.clock, self.wall_clock, false);
            alert.hear(compiled, event, out);
            if let Some(RunOrder { watch, .. }) = &mut self.order
                && compiled.exceeded(event)
            {
                watch.in_order(self.seen.keys(), compiled, event.event(), alert.since, alert.phase == Phase::Firing);
            }
        }
        instance.alerts.retain(|alert| alert.phase != Phase::Over);
        if instance.alerts.is_empty() && instance.watched.is_none() {
            self.instances.remove(&*event.instance_id);
        }
    }

    /// Brings the wall clock, in Unix seconds: instances of which nothing was heard meanwhile are silent though no
    /// event of others says so. For streams that are live; a second or so between two calls is right.
    pub fn tick(&mut self, set: &ThresholdSet, now: i64) -> Vec<ThresholdAlert> {
        let passed = self.wall.map_or(0, |before| now.saturating_sub(before).clamp(0, LONGEST_TICK));
        self.wall = Some(now);
        self.wall_clock += passed;
        let mut out = Vec::new();
        if passed > 0 {
            self.sweep(set, &mut out);
        }
        out
    }

    /// Looks for silent instances.
    fn sweep(&mut self, set: &ThresholdSet, out: &mut Vec<ThresholdAlert>) {
        let (clock, wall_clock) = (self.clock, self.wall_clock);
        self.sweep_by(set, |alert| (clock - alert.heard).max(wall_clock - alert.heard_wall), out);
    }

    /// Looks for silent instances, of which nothing was heard for as many seconds as `silence` says.
    pub(super) fn sweep_by(
        &mut self,
        set: &ThresholdSet,
        silence: impl Fn(&Alert) -> i64,
        out: &mut Vec<ThresholdAlert>,
    ) {
        let from = out.len();
        self.instances.retain(|instance, state| {
            for alert in &mut state.alerts {
                let silence = silence(alert);
                // Looking up the threshold costs more than this, and most instances are heard all the time.
                if silence > set.shortest_silence()
                    && let Some(compiled) = set.find(&alert.threshold)
                    && silence > silence_of(&compiled.config, alert.last)
                {
                    alert.fall_silent(&compiled.config, instance, silence, out);
                }
            }
            let before = state.alerts.len();
            state.alerts.retain(|alert| alert.phase != Phase::Over);
            if state.alerts.len() < before {
                // Should it be heard again, it is looked after again.
                state.watched = None;
            }
            !state.alerts.is_empty()
        });
        self.concerned.prune(&self.instances, self.seen.keys());
        if let Some(found) = out.get_mut(from..) {
            found.sort_by(|a, b| by_place(a).cmp(&by_place(b)));
        }
    }

    /// Goes on with other thresholds. States of those that mean the same are kept; what fired of the others is resolved,
    /// with the reason. `old` are those that held until now. Sorted by instance and threshold id.
    pub fn reload(&mut self, old: &ThresholdSet, new: &ThresholdSet) -> Vec<ThresholdAlert> {
        let at = self.watermark.unwrap_or_default();
        self.generation += 1;
        let mut out = Vec::new();
        self.instances.retain(|instance, state| {
            for alert in &mut state.alerts {
                let was = old.find(&alert.threshold).map(|compiled| &compiled.config);
                let is = new.find(&alert.threshold).map(|compiled| &compiled.config);
                alert.reload(was, is, instance, at, &mut out);
            }
            state.alerts.retain(|alert| alert.phase != Phase::Over);
            state.watched = None;
            !state.alerts.is_empty()
        });
        for Undecided { instance, alerts, .. } in self.undecided.values_mut() {
            alerts.retain_mut(|alert| {
                let was = old.find(&alert.threshold).map(|compiled| &compiled.config);
                let is = new.find(&alert.threshold).map(|compiled| &compiled.config);
                // What ends is told by the states above, if it was ever told.
                alert.reload(was, is, instance, at, &mut Vec::new());
                alert.phase != Phase::Over
            });
        }
        out.sort_by(|a, b| by_place(a).cmp(&by_place(b)));
        out
    }

    /// Where the alert's threshold fires on its instance in `elsewhere` too, goes on from the beginning that is known there,
    /// under whose id it was told; whether it does.
    pub(in crate::threshold) fn go_on_from(&mut self, elsewhere: &Self, alert: &ThresholdAlert) -> bool {
        let (threshold, instance) = (&*alert.violation.config.id, &*alert.violation.instance_id);
        let theirs =
            elsewhere.instances.get(instance).and_then(|it| it.alerts.iter().find(|it| *it.threshold == *threshold));
        let ours = self.instances.get_mut(instance);
        let ours = ours.and_then(|it| it.alerts.iter_mut().find(|it| *it.threshold == *threshold));
        match (theirs, ours) {
            (Some(theirs), Some(ours)) if theirs.phase == Phase::Firing => {
                (ours.since, ours.told, ours.told_at) = (theirs.since, theirs.told, theirs.told_at);
                ours.peak = ours.peak.max(theirs.peak);
                true
            }
            _ => false,
        }
    }

    /// Where a threshold stands on an instance; `None` where all is well.
    #[must_use]
    pub fn status(&self, threshold: &str, instance: &str) -> Option<AlertStatus> {
        let alerts = &self.instances.get(instance)?.alerts;
        alerts.iter().find(|alert| *alert.threshold == *threshold).and_then(Alert::status)
    }

    /// All that is not well: threshold id, instance, and where it stands; sorted by instance and threshold id.
    #[must_use]
    pub fn active(&self) -> Vec<(&str, &str, AlertStatus)> {
        let sorted: BTreeMap<&str, &Instance> = self.instances.iter().map(|(name, it)| (&**name, it)).collect();
        let mut active = Vec::new();
        for (instance, state) in sorted {
            for alert in &state.alerts {
                if let Some(status) = alert.status() {
                    active.push((&*alert.threshold, instance, status));
                }
            }
        }
        active
    }

    /// How many there are of each state.
    #[must_use]
    pub fn counts(&self) -> AlertCounts {
        let mut counts = AlertCounts { late: self.late, repeated: self.repeated, ..AlertCounts::default() };
        for status in self.instances.values().flat_map(|state| &state.alerts).filter_map(Alert::status) {
            match status.state {
                AlertState::Ok => {}
                AlertState::Pending => counts.pending += 1,
                AlertState::Firing => counts.firing += 1,
                AlertState::NoData => counts.no_data += 1,
            }
        }
        counts
    }
}

fn by_place(alert: &ThresholdAlert) -> (&str, &str) {
    (&alert.violation.instance_id, &alert.violation.config.id)
}

impl Alert {
    fn status(&self) -> Option<AlertStatus> {
        let (state, since) = match self.phase {
            Phase::Watched | Phase::Over => return None,
            Phase::Pending => (AlertState::Pending, self.since),
            Phase::Firing => (AlertState::Firing, self.since),
            Phase::Silent | Phase::FiringSilent => (AlertState::NoData, self.silent_since),
        };
        Some(AlertStatus { state, since, until: self.last.end, peak: self.peak })
    }

    /// Goes on under another configuration, or ends with the reason.
    fn reload(
        &mut self,
        was: Option<&Arc<ThresholdConfig>>,
        is: Option<&Arc<ThresholdConfig>>,
        instance: &str,
        at: i64,
        out: &mut Vec<ThresholdAlert>,
    ) {
        let reason = match is {
            None => AlertReason::ThresholdRemoved,
            Some(is) if !is.enabled => AlertReason::ThresholdDisabled,
            Some(is) if !is.has_states() || !is.applies_to(&self.user, instance) => AlertReason::ThresholdChanged,
            Some(is) => {
                let same = was.is_none_or(|was| {
                    was.resource_type == is.resource_type && was.threshold_type.unit() == is.threshold_type.unit()
                });
                let silent = matches!(self.phase, Phase::Watched | Phase::Silent | Phase::FiringSilent);
                if same && (!silent || is.no_data == Some(NoData::Alert)) {
                    return;
                }
                if same && self.phase == Phase::FiringSilent {
                    self.phase = Phase::Firing;
                    return;
                }
                AlertReason::ThresholdChanged
            }
        };
        let told = matches!(self.phase, Phase::Firing | Phase::Silent | Phase::FiringSilent);
        if let Some(config) = was.or(is).filter(|_| told) {
            self.tell_at(config, instance, AlertKind::Resolved, Some(reason), at, out);
        }
        self.phase = Phase::Over;
    }
}
