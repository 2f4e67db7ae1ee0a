//! Which events were shown already.

use std::collections::{HashSet, VecDeque};

use form_usage_events::events::EventId;

/// So many events back a repeat is known: what is sent again comes soon after the first time, and memory is bounded
/// (about 5 MB).
const REMEMBERED: usize = 100_000;

/// The ids of the last events.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    known: HashSet<EventId>,
    order: VecDeque<EventId>,
}

impl Repeats {
    /// Remembers `id`; whether it was not known.
    pub(super) fn is_new(&mut self, id: EventId) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_the_oldest_and_nothing_else() {
        let mut repeats = Repeats::default();
        let id = |n: usize| EventId::of(&n.to_le_bytes());
        for n in 0..=REMEMBERED {
            assert!(repeats.is_new(id(n)));
        }
        assert!(!repeats.is_new(id(1)));
        assert!(repeats.is_new(id(0)));
        assert_eq!(repeats.known.len(), REMEMBERED);
    }
}
