//! What this publisher holds, and how far it has looked. Pure.
//!
//! Numbers grow in the order of commits, so every event up to the last look was either handed out, skipped because
//! another publisher held its instance, or settled. An instance that was skipped once is left alone until the next look
//! from the start: a later event of it may not overtake the one that was skipped.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// More skipped instances than this are not remembered: the look goes no further until it starts anew.
const MAX_SKIPPED: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Events that were handed out and are not settled, and their instances.
    out: HashMap<u64, Arc<str>>,
    /// How many of them each instance has.
    instances: HashMap<Arc<str>, usize>,
    skipped: HashSet<Box<str>>,
    looked_at: u64,
}

impl Claims {
    /// The number behind which the next look starts.
    pub(super) const fn looked_at(&self) -> u64 {
        self.looked_at
    }

    pub(super) const fn advance(&mut self, seq: u64) {
        self.looked_at = seq;
    }

    pub(super) fn start_anew(&mut self) {
        self.looked_at = 0;
        self.skipped.clear();
    }

    pub(super) fn has_skipped(&self) -> bool {
        !self.skipped.is_empty()
    }

    pub(super) fn is_out(&self, seq: u64) -> bool {
        self.out.contains_key(&seq)
    }

    pub(super) fn holds(&self, instance: &str) -> bool {
        self.instances.contains_key(instance)
    }

    pub(super) fn is_skipped(&self, instance: &str) -> bool {
        self.skipped.contains(instance)
    }

    /// The instances of which something is held.
    pub(super) fn instances(&self) -> impl Iterator<Item = &str> {
        self.instances.keys().map(|instance| &**instance)
    }

    /// Remembers that another publisher holds `instance`; whether the look may go on.
    pub(super) fn skip(&mut self, instance: &str) -> bool {
        self.skipped.insert(instance.into());
        self.skipped.len() < MAX_SKIPPED
    }

    pub(super) fn hand_out(&mut self, seq: u64, instance: &str) {
        let instance = match self.instances.get_key_value(instance) {
            Some((known, _)) => known.clone(),
            None => instance.into(),
        };
        *self.instances.entry(instance.clone()).or_default() += 1;
        self.out.insert(seq, instance);
    }

    /// The held events have other numbers from now on; one without a new number is held no more.
    pub(super) fn renumber(&mut self, new_number: impl Fn(u64) -> Option<u64>) {
        let held = std::mem::take(self);
        for (seq, instance) in held.out {
            if let Some(seq) = new_number(seq) {
                self.hand_out(seq, &instance);
            }
        }
    }

    /// The instances that nothing is held of once all of `settled` are.
    pub(super) fn freed_by(&self, settled: &[u64]) -> Vec<Arc<str>> {
        let mut counts: HashMap<&Arc<str>, usize> = HashMap::new();
        for instance in settled.iter().filter_map(|seq| self.out.get(seq)) {
            *counts.entry(instance).or_default() += 1;
        }
        let all = |(instance, count): &(&Arc<str>, usize)| self.instances.get(*instance) == Some(count);
        counts.into_iter().filter(all).map(|(instance, _)| instance.clone()).collect()
    }

    /// Forgets a settled event.
    pub(super) fn settle(&mut self, seq: u64) {
        let Some(instance) = self.out.remove(&seq) else { return };
        if let Some(count) = self.instances.get_mut(&instance) {
            *count -= 1;
            if *count == 0 {
                self.instances.remove(&instance);
            }
        }
    }
}
