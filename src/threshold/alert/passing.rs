//! Events of which it is known that they exceed nothing: of a million hardly one is about an instance with a state, and
//! the others only move the stream's time.

use std::collections::{HashMap, HashSet};

use super::ThresholdAlert;
use super::seen::{InstanceKey, InstanceKeys};
use super::states::{AlertStates, Instance};
use crate::events::UsagePeriod;
use crate::threshold::evaluate::ThresholdSet;

/// More keys than this and twice the instances are cleared of those that were.
const SPARE: usize = 64;

/// The keys of the instances that something is known of. Some may be left of those that were: an event of such an
/// instance is looked at in full, which is right for any.
#[derive(Debug, Clone, Default)]
pub(super) struct Concerned(HashSet<InstanceKey>);

impl Concerned {
    pub(super) fn insert(&mut self, key: InstanceKey) {
        self.0.insert(key);
    }

    pub(super) fn prune(&mut self, instances: &HashMap<Box<str>, Instance>, keys: InstanceKeys) {
        if self.0.len() > 2 * instances.len() + SPARE {
            self.0 = instances.keys().map(|instance| keys.of(instance)).collect();
        }
    }
}

impl AlertStates {
    /// What makes the keys that [`AlertStates::pass`] takes. They are of no use to other states.
    #[must_use]
    pub const fn keys(&self) -> InstanceKeys {
        self.seen.keys()
    }

    /// Takes in an event that exceeds none of `set`, by the key of its instance and its period: what
    /// [`AlertStates::observe`] does with it, for who reads millions of events and makes none of them.
    ///
    /// `None`, and nothing is done, where more of the event may be needed than that: the instance has a state, or
    /// thresholds look after all instances (`no_data: alert`).
    pub fn pass(
        &mut self,
        set: &ThresholdSet,
        instance: InstanceKey,
        period: UsagePeriod,
    ) -> Option<Vec<ThresholdAlert>> {
        let mut out = Vec::new();
        if !set.has_states() {
            return Some(out);
        }
        let is_undecided = !self.undecided.is_empty() && self.undecided.contains_key(&instance);
        if set.watchers().next().is_some() || is_undecided || self.concerned.0.contains(&instance) {
            return None;
        }
        if self.is_new(instance, period) {
            self.sweep_now_and_then(set, &mut out);
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::events::MetricSet;
    use crate::events::tests::sample;
    use crate::threshold::alert::AlertRecord;
    use crate::threshold::{ANY, ActionType, NoData, ResourceType, ThresholdConfig, ThresholdType};
    use crate::units::TimeSpan;

    fn config(id: &str, limit: f64, hold: u32, no_data: Option<NoData>) -> ThresholdConfig {
        let limit = ThresholdType::Percentage { value: limit };
        let config = ThresholdConfig::new(id, ResourceType::Cpu, limit, ActionType::Log, ANY);
        ThresholdConfig { hold: Some(TimeSpan::from_seconds(hold)), no_data, ..config }
    }

    proptest! {
        /// The short way and the long one tell the same and remember the same, whatever comes, late, again or never.
        #[test]
        fn passing_is_observing(
            events in proptest::collection::vec((0..6u8, 0..40i64, 0..3u8), 0..120),
            jumps in proptest::collection::vec((0..120usize, 0..9_000i64), 0..3),
            hold in 0..4u32,
            no_data in proptest::sample::select(vec![None, Some(NoData::Keep), Some(NoData::Resolve), Some(NoData::Alert)]),
        ) {
            let configs = vec![config("a", 80.0, 30 * hold, no_data), config("b", 50.0, 30, Some(NoData::Keep))];
            let set = ThresholdSet::new(configs).unwrap();
            let (mut long, mut short) = (AlertStates::new(7), AlertStates::new(7));
            let mut passed = 0;
            for (at, (instance, n, level)) in events.into_iter().enumerate() {
                let jumped: i64 = jumps.iter().filter(|(from, _)| at >= *from).map(|(_, by)| by).sum();
                let mut event = sample();
                event.instance_id = format!("instance-{instance}");
                event.metrics.cpu_percent_avg = f64::from(level) * 45.0;
                let start = 1_626_350_400 + 30 * (n + at as i64 / 4 + jumped);
                event.period = UsagePeriod { start, end: start + 30 };
                event.timestamp = event.period.end;
                let told = long.observe(&set, &event);
                let over = set.concerns_any(&event.user_id, &event.instance_id, &event.metrics, MetricSet::NONE);
                let quick = if over { None } else { short.pass(&set, short.keys().of(&event.instance_id), event.period) };
                passed += usize::from(quick.is_some());
                let quick = quick.unwrap_or_else(|| short.observe(&set, &event));
                prop_assert_eq!(told, quick);
                prop_assert_eq!(long.counts(), short.counts());
            }
            prop_assert!(no_data != Some(NoData::Alert) || passed == 0);
            let record = |states| serde_json::to_string(&AlertRecord::of(states, &set, Vec::new())).unwrap();
            prop_assert_eq!(record(&long), record(&short));
        }
    }
}
