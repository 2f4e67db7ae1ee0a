//! What the control groups of all scopes take of the meter's memory: bounded for the agent, and no scope has it all.
//!
//! A scope may have [`SHARE`] times what is left for all. So one whose groups are made without end takes most of the memory
//! and leaves some; the more of them there are, the less each has. [`OWN_BYTES`] are every scope's in any case, and are not
//! counted: scopes are the operator's, who knows how many there are.

use std::cell::Cell;

/// What all scopes may take, about: the unit of systemd gives the meter 128 MB.
const MAX_BYTES: usize = 96 << 20;
/// What each scope may take beside that: some 64 groups.
const OWN_BYTES: usize = 600_000;
/// How many times what is left for all a scope may have.
const SHARE: usize = 8;

/// What a group takes, with its instance, and with its path some times.
const GROUP_BYTES: usize = 9_000;
const PATH_COPIES: usize = 12;

/// What a group at `path` takes of the meter's memory, about.
pub(super) const fn bytes_of(path: &str) -> usize {
    GROUP_BYTES + PATH_COPIES * path.len()
}

/// The memory that the scopes of an agent have for their groups.
#[derive(Debug)]
pub(super) struct GroupMemory {
    /// What scopes have taken beyond their own.
    taken: Cell<usize>,
    max: usize,
    own: usize,
}

impl Default for GroupMemory {
    fn default() -> Self {
        Self::of(MAX_BYTES, OWN_BYTES)
    }
}

impl GroupMemory {
    /// `max` for all scopes, and `own` for each beside that.
    pub(super) const fn of(max: usize, own: usize) -> Self {
        Self { taken: Cell::new(0), max, own }
    }

    /// Takes `bytes` more for a scope that `has` some already; whether there is room for them.
    pub(super) fn take(&self, has: &mut usize, bytes: usize) -> bool {
        let (before, after) = (has.saturating_sub(self.own), has.saturating_add(bytes).saturating_sub(self.own));
        let taken = self.taken.get().saturating_add(after - before);
        let left = self.max.saturating_sub(taken);
        if after > 0 && after > left.saturating_mul(SHARE) {
            return false;
        }
        self.taken.set(taken);
        *has = has.saturating_add(bytes);
        true
    }

    /// Gives back `bytes` of what a scope `has`.
    pub(super) fn give_back(&self, has: &mut usize, bytes: usize) {
        let before = has.saturating_sub(self.own);
        *has = has.saturating_sub(bytes);
        self.taken.set(self.taken.get().saturating_sub(before - has.saturating_sub(self.own)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: usize = 10_000;

    /// Takes groups for a scope until there is no room.
    fn fill(memory: &GroupMemory, has: &mut usize) -> usize {
        (0..1_000_000).take_while(|_| memory.take(has, GROUP)).count()
    }

    #[test]
    fn scopes_together_stay_within_the_memory_of_the_agent() {
        let memory = GroupMemory::default();
        let mut scopes = [0; 100];
        let groups: Vec<usize> = scopes.iter_mut().map(|has| fill(&memory, has)).collect();
        assert!(groups[0] > 8_000, "a scope alone has nearly all: {groups:?}");
        assert!(groups[1] > 500, "what one has taken leaves room for another: {groups:?}");
        assert!(groups.iter().all(|count| *count >= OWN_BYTES / GROUP), "{groups:?}");
        let all: usize = scopes.iter().sum();
        assert!(all <= MAX_BYTES + scopes.len() * OWN_BYTES, "{all}");
        assert!(memory.taken.get() <= MAX_BYTES);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let memory = GroupMemory::default();
        let (mut one, mut other) = (0, 0);
        let groups = fill(&memory, &mut one);
        assert!(fill(&memory, &mut other) < groups / 2);
        (0..groups).for_each(|_| memory.give_back(&mut one, GROUP));
        let others = other;
        memory.give_back(&mut other, others);
        assert_eq!((one, other, memory.taken.get()), (0, 0, 0));
        assert_eq!(fill(&memory, &mut other), groups);
    }
}
