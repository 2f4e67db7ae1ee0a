//! The gaps of all instances: those that wait for a late event, and those that were told and may still be filled.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::incident::{Incident, IncidentKind};
use super::{At, Here, seconds};
use crate::validate::Place;

/// So many gaps are remembered over all instances.
pub const MAX_GAPS: usize = 1 << 16;

/// A time that no period of its instance covers, between two that do.
#[derive(Debug, Clone)]
pub(super) struct Gap {
    pub(super) start: i64,
    pub(super) end: i64,
    /// How many events its instance had when it was found.
    found_at: u32,
    /// What is to be said about it; `None` once it has been said.
    waiting: Option<Box<Waiting>>,
}

#[derive(Debug, Clone)]
struct Waiting {
    instance_id: Box<str>,
    file: u32,
    place: Place,
    other: Option<At>,
}

impl Gap {
    pub(super) fn new(
        start: i64,
        end: i64,
        found_at: u32,
        instance_id: &str,
        here: &Here<'_>,
        other: Option<At>,
    ) -> Self {
        let place = super::incident::place(here);
        let waiting = Waiting { instance_id: instance_id.into(), file: here.file, place, other };
        Self { start, end, found_at, waiting: Some(Box::new(waiting)) }
    }

    /// File, line and column, for putting gaps in order.
    pub(super) fn place(&self) -> Option<(u32, &Place)> {
        self.waiting.as_ref().map(|waiting| (waiting.file, &waiting.place))
    }

    /// What there is to say; nothing where it was said.
    pub(super) fn tell(&mut self) -> Option<Incident> {
        let waiting = *self.waiting.take()?;
        Some(Incident {
            kind: IncidentKind::Gap,
            instance_id: waiting.instance_id.into(),
            start: self.start,
            end: self.end,
            file: waiting.file,
            place: waiting.place,
            other: waiting.other.map(|at| (at.file(), at.line())),
        })
    }
}

/// What an event filled.
#[derive(Debug, Default)]
pub(super) struct Filled {
    pub(super) seconds: u64,
    /// Those of them in gaps that were told.
    pub(super) told_seconds: u64,
    /// Gaps that waited and are closed.
    pub(super) waiting_closed: u16,
    /// Gaps that wait and came of splitting one.
    pub(super) waiting_opened: u16,
}

#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// By instance and start.
    map: BTreeMap<(u32, i64), Gap>,
    /// The keys of those that wait, so that an instance of many gaps costs no more than others.
    waiting: BTreeSet<(u32, i64)>,
    /// The keys as they came; those that are no longer in the map are passed over.
    order: VecDeque<(u32, i64)>,
}

impl Gaps {
    pub(super) fn insert(&mut self, index: u32, gap: Gap) {
        let key = (index, gap.start);
        if gap.waiting.is_some() {
            self.waiting.insert(key);
        }
        self.map.insert(key, gap);
        if self.order.len() >= 2 * MAX_GAPS {
            let map = &self.map;
            self.order.retain(|key| map.contains_key(key));
        }
        self.order.push_back(key);
    }

    /// Where there are more than [`MAX_GAPS`], takes out the oldest, with the earlier ones of its instance.
    pub(super) fn evict(&mut self) -> Option<(u32, Vec<Gap>)> {
        if self.map.len() <= MAX_GAPS {
            return None;
        }
        loop {
            let key = self.order.pop_front()?;
            if self.map.contains_key(&key) {
                let keys: Vec<_> = self.map.range((key.0, i64::MIN)..=key).map(|(key, _)| *key).collect();
                return Some((key.0, keys.iter().filter_map(|key| self.remove(key)).collect()));
            }
        }
    }

    /// Takes the time from `start` to `end` out of the gaps of an instance.
    pub(super) fn fill(&mut self, index: u32, start: i64, end: i64) -> Filled {
        let mut filled = Filled::default();
        // Gaps of an instance do not overlap, so that only one can begin before `start` and end behind it.
        let before = self.map.range((index, i64::MIN)..(index, start)).next_back().map(|(key, _)| *key);
        let within = self.map.range((index, start)..(index, end)).map(|(key, _)| *key);
        for key in before.into_iter().chain(within).collect::<Vec<_>>() {
            if self.map.get(&key).is_none_or(|gap| gap.end <= start) {
                continue;
            }
            let Some(gap) = self.remove(&key) else {
                continue;
            };
            let waits = gap.waiting.is_some();
            let taken = seconds(gap.start.max(start), gap.end.min(end));
            filled.seconds += taken;
            filled.told_seconds += if waits { 0 } else { taken };
            filled.waiting_closed += u16::from(waits);
            for (from, to) in [(gap.start, start), (end, gap.end)] {
                if from < to {
                    filled.waiting_opened += u16::from(waits);
                    self.insert(index, Gap { start: from, end: to, ..gap.clone() });
                }
            }
        }
        filled
    }

    fn remove(&mut self, key: &(u32, i64)) -> Option<Gap> {
        self.waiting.remove(key);
        self.map.remove(key)
    }

    /// The gaps of an instance that were found `window` or more of its events ago and still wait, to be told now.
    pub(super) fn due(&mut self, index: u32, events: u32, window: u32) -> Vec<Gap> {
        let waiting: Vec<_> = self.waiting.range((index, i64::MIN)..=(index, i64::MAX)).copied().collect();
        let is_due = |gap: &Gap| events.saturating_sub(gap.found_at) >= window;
        let due: Vec<_> = waiting.into_iter().filter(|key| self.map.get(key).is_some_and(is_due)).collect();
        due.into_iter().filter_map(|key| self.take(key)).collect()
    }

    /// Every gap that still waits.
    pub(super) fn take_waiting(&mut self) -> Vec<(u32, Gap)> {
        let waiting: Vec<_> = self.waiting.iter().copied().collect();
        waiting.into_iter().filter_map(|key| Some((key.0, self.take(key)?))).collect()
    }

    /// A gap with what is to be said about it; here it stays as one that was told.
    fn take(&mut self, key: (u32, i64)) -> Option<Gap> {
        self.waiting.remove(&key);
        let gap = self.map.get_mut(&key)?;
        Some(Gap { waiting: gap.waiting.take(), ..*gap })
    }
}
