//! What this publisher holds, and how far it has looked. Pure.
//!
//! Numbers grow in the order of commits, so every event up to the last look was either handed out, skipped because
//! another publisher held its instance, or settled. An instance that was skipped once is left alone: a later event of it
//! may not overtake the one that was skipped.
//!
//! What was skipped is looked at again from the start, in steps, up to where the look ahead stands. That one goes on
//! meanwhile, so that new events are found at once, however many there are that others hold. When the second look has
//! come to the end, what it skipped is what is left alone from then on: each of the events before was seen by it.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::sync::Arc;

/// More skipped instances than this are not remembered (18 bytes each at most): the look goes no further until some of
/// them are free.
const MAX_SKIPPED: usize = 1 << 18;

/// Which of the two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// At what was not seen yet.
    Ahead,
    /// At what was skipped.
    Again,
}

#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Events that were handed out and are not settled, and their instances.
    out: HashMap<u64, Arc<str>>,
    /// How many of them each instance has.
    instances: HashMap<Arc<str>, usize>,
    ahead: Stretch,
    again: Stretch,
    /// The last events were found ahead.
    found_ahead: bool,
}

/// What one look has seen.
#[derive(Debug, Default)]
struct Stretch {
    looked_at: u64,
    /// Hashes of the instances, by keys of this stretch's own: two that share one cost a wait until the next time.
    skipped: HashSet<u64>,
    keys: RandomState,
}

impl Claims {
    /// The number behind which the look goes on, and the last one that it looks at.
    pub(super) const fn stretch(&self, look: Look) -> (u64, u64) {
        match look {
            Look::Ahead => (self.ahead.looked_at, u64::MAX),
            Look::Again => (self.again.looked_at, self.ahead.looked_at),
        }
    }

    const fn of(&mut self, look: Look) -> &mut Stretch {
        match look {
            Look::Ahead => &mut self.ahead,
            Look::Again => &mut self.again,
        }
    }

    pub(super) const fn advance(&mut self, look: Look, seq: u64) {
        self.of(look).looked_at = seq;
    }

    /// The look at what was skipped has seen all of it.
    pub(super) fn has_looked_again(&mut self) {
        let again = std::mem::take(&mut self.again);
        (self.ahead.skipped, self.ahead.keys) = (again.skipped, again.keys);
    }

    /// The look at what was skipped starts from the first event: some of it may be free.
    pub(super) fn look_again(&mut self) {
        self.again = Stretch::default();
    }

    /// Whether a look at what was skipped that has begun is to go on first: a stream of new events does not keep what
    /// was let go of waiting.
    pub(super) const fn is_agains_turn(&self) -> bool {
        self.found_ahead && self.again.looked_at > 0
    }

    /// Something was found by this look.
    pub(super) fn has_found(&mut self, look: Look) {
        self.found_ahead = look == Look::Ahead;
    }

    pub(super) fn start_anew(&mut self) {
        (self.ahead, self.again) = (Stretch::default(), Stretch::default());
    }

    pub(super) fn has_skipped(&self) -> bool {
        !self.ahead.skipped.is_empty()
    }

    pub(super) fn is_out(&self, seq: u64) -> bool {
        self.out.contains_key(&seq)
    }

    pub(super) fn holds(&self, instance: &str) -> bool {
        self.instances.contains_key(instance)
    }

    pub(super) fn is_skipped(&self, look: Look, instance: &str) -> bool {
        let stretch = match look {
            Look::Ahead => &self.ahead,
            Look::Again => &self.again,
        };
        !stretch.skipped.is_empty() && stretch.skipped.contains(&stretch.keys.hash_one(instance))
    }

    /// The instances of which something is held.
    pub(super) fn instances(&self) -> impl Iterator<Item = &str> {
        self.instances.keys().map(|instance| &**instance)
    }

    /// Remembers that another publisher holds `instance`; where there is no room for it, the look may not pass it.
    pub(super) fn skip(&mut self, look: Look, instance: &str) -> bool {
        let stretch = self.of(look);
        let room = stretch.skipped.len() < MAX_SKIPPED;
        if room {
            stretch.skipped.insert(stretch.keys.hash_one(instance));
        }
        room
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_is_bounded_and_seen_again() {
        let mut claims = Claims::default();
        for n in 0..MAX_SKIPPED {
            assert!(claims.skip(Look::Ahead, &n.to_string()));
        }
        assert!(!claims.skip(Look::Ahead, "one more") && !claims.is_skipped(Look::Ahead, "one more"));
        claims.advance(Look::Ahead, 7);
        assert_eq!((claims.stretch(Look::Ahead), claims.stretch(Look::Again)), ((7, u64::MAX), (0, 7)));
        // All but one of them are free by now.
        assert!(claims.skip(Look::Again, "5"));
        claims.has_looked_again();
        assert!(claims.is_skipped(Look::Ahead, "5") && !claims.is_skipped(Look::Ahead, "6"));
        assert!(claims.skip(Look::Ahead, "one more"));
        claims.has_looked_again();
        assert!(!claims.has_skipped());
        assert_eq!(claims.stretch(Look::Again), (0, 7));
    }
}
