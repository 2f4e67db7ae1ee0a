//! Instances of which a run could not decide whether a threshold fires, because their events came in the wrong order.
//!
//! The states of such an instance are past its events, so that the same events in their right order would be passed
//! over as known. Beside them stands how the run found the instance. A later run that begins with the earliest of
//! these events goes back there and checks all of them; one that brings newer events goes on from where the states are.

use std::collections::HashMap;

use super::machine::{Alert, Phase};
use super::order::OrderWatch;
use super::seen::{InstanceKey, PackedPeriod, Seen};
use super::states::{AlertStates, Instance};
use crate::events::UsagePeriod;

/// How a run found an instance that it could not decide on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Undecided {
    pub(super) instance: Box<str>,
    /// The last period before the run; `None` where the instance was new.
    pub(super) before: Option<PackedPeriod>,
    /// The earliest period of the run.
    pub(super) first: PackedPeriod,
    /// Its alerts before the run.
    pub(super) alerts: Vec<Alert>,
}

/// What the run has read, against how it began.
#[derive(Debug, Clone)]
pub(super) struct RunOrder {
    pub(super) watch: OrderWatch,
    /// The last periods before the run.
    pub(super) seen: Seen,
    /// The alerts before the run.
    alerts: HashMap<Box<str>, Vec<Alert>>,
}

impl AlertStates {
    /// From now on looks whether events that come in the wrong order may hide what would have fired. What an earlier run
    /// saw may be read again, in its order.
    pub fn watch_order(&mut self) {
        let mut seen = self.seen.clone();
        let with_alerts = self.instances.iter().map(|(name, instance)| (name.clone(), alerts_to_keep(instance)));
        let mut alerts: HashMap<_, _> = with_alerts.filter(|(_, alerts)| !alerts.is_empty()).collect();
        for (key, undecided) in &self.undecided {
            seen.set_back(*key, undecided.before);
            alerts.insert(undecided.instance.clone(), undecided.alerts.clone());
        }
        self.seen.note_first_periods();
        self.order = Some(RunOrder { watch: OrderWatch::default(), seen, alerts });
    }

    /// Before an event is taken in: of an instance that an earlier run could not decide on, goes back to before that run
    /// where the event is the earliest of that run, and leaves the doubt behind where it is newer than all of them.
    pub(super) fn revisit_undecided(&mut self, key: InstanceKey, period: UsagePeriod) {
        if self.undecided.is_empty() {
            return;
        }
        let period = PackedPeriod::of(period);
        let Some(undecided) = self.undecided.get(&key) else { return };
        let last = self.seen.last(key);
        // Late events that came before the earliest one keep the order wrong.
        let is_replay =
            period == undecided.first && self.order.as_ref().is_none_or(|it| !it.watch.has_late(&undecided.instance));
        if !is_replay && last.is_some_and(|last| !period.ends_after(last)) {
            return;
        }
        let Some(Undecided { instance, before, alerts, .. }) = self.undecided.remove(&key) else { return };
        if is_replay {
            self.seen.set_back(key, before);
            self.instances.remove(&instance);
            if !alerts.is_empty() {
                self.concerned.insert(key);
                self.instances.insert(instance, Instance { alerts, watched: None });
            }
        } else if let Some(order) = &mut self.order {
            order.seen.set_back(key, last);
            order.alerts.remove(&instance);
            let alerts = self.instances.get(&instance).map(alerts_to_keep).unwrap_or_default();
            order.alerts.insert(instance, alerts);
        }
    }

    /// The instances that this run, or an earlier one, could not decide on, by name.
    pub(super) fn undecided(&self) -> Vec<Undecided> {
        let mut all: Vec<_> = self.undecided.values().cloned().collect();
        if let Some(order) = &self.order {
            for name in order.watch.in_doubt().iter().map(|it| it.instance) {
                let key = self.seen.keys().of(name);
                if let Some(first) = self.seen.first(key).filter(|_| !self.undecided.contains_key(&key)) {
                    let alerts = order.alerts.get(name).cloned().unwrap_or_default();
                    all.push(Undecided { instance: name.into(), before: order.seen.last(key), first, alerts });
                }
            }
        }
        all.sort_by(|a, b| a.instance.cmp(&b.instance));
        all
    }
}

/// Those that an event does not make anew.
fn alerts_to_keep(instance: &Instance) -> Vec<Alert> {
    instance.alerts.iter().filter(|alert| alert.phase != Phase::Watched).cloned().collect()
}
