//! Which events the destination may hold although it never said so: the reply to an attempt did not come.
//!
//! A service that knows events by their ids may refuse the repeat of such an event, because it has it already. Memory is
//! bounded: of very many events the oldest are forgotten.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::events::{EncodedEvent, EventId};

/// So many ids are remembered at least, and at most twice as many.
const REMEMBERED: usize = if cfg!(test) { 64 } else { 32_768 };

/// Ids of events whose attempts were not answered.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    /// There are some: the usual way asks for no lock.
    any: AtomicBool,
    ids: Mutex<Ids>,
}

#[derive(Debug, Default)]
struct Ids {
    recent: HashSet<EventId>,
    older: HashSet<EventId>,
}

impl Unanswered {
    /// Remembers that an attempt to send `event` got no reply.
    pub(super) fn note(&self, event: &EncodedEvent) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.recent.len() >= REMEMBERED {
            ids.older = std::mem::take(&mut ids.recent);
        }
        ids.recent.insert(event.id());
        self.any.store(true, Ordering::Relaxed);
    }

    /// Whether an attempt to send `event` got no reply.
    pub(super) fn contains(&self, event: &EncodedEvent) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let id = event.id();
        ids.recent.contains(&id) || ids.older.contains(&id)
    }

    /// An attempt with `events` begins; it is unanswered unless [`UnderWay::ended`] is called.
    pub(super) const fn begin<'a>(&'a self, events: &'a [EncodedEvent]) -> UnderWay<'a> {
        UnderWay { unanswered: self, events }
    }
}

/// An attempt under way. Dropping it, because it was given up, leaves its events unanswered.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    unanswered: &'a Unanswered,
    events: &'a [EncodedEvent],
}

impl UnderWay<'_> {
    /// The attempt ended by itself; what it came to says whether it was answered.
    pub(super) fn ended(mut self) {
        self.events = &[];
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.events.iter().for_each(|event| self.unanswered.note(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::sample;

    fn event(n: u64) -> EncodedEvent {
        let mut event = sample();
        event.metrics.cpu_seconds = n;
        EncodedEvent::encode(event).unwrap()
    }

    #[test]
    fn attempt_that_was_given_up_leaves_its_events_unanswered() {
        let unanswered = Unanswered::default();
        let events = [event(1), event(2)];
        unanswered.begin(&events).ended();
        assert!(!unanswered.contains(&event(1)));
        drop(unanswered.begin(&events));
        assert!(unanswered.contains(&event(1)) && unanswered.contains(&event(2)) && !unanswered.contains(&event(3)));
    }

    #[test]
    fn memory_is_bounded_and_the_last_ids_are_kept() {
        let unanswered = Unanswered::default();
        let last = 2 * REMEMBERED as u64 + 10;
        (0..=last).for_each(|n| unanswered.note(&event(n)));
        let ids = unanswered.ids.lock().unwrap();
        assert!(ids.recent.len() + ids.older.len() <= 2 * REMEMBERED);
        drop(ids);
        assert!(unanswered.contains(&event(last)) && unanswered.contains(&event(last - REMEMBERED as u64)));
        assert!(!unanswered.contains(&event(0)));
    }
}
