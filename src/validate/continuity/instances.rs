//! The instances by their keys, in little memory: a dense list and an index of four bytes a slot.

use super::At;
use super::growth::{Counters, Growth};

/// What is known of one instance. Its periods cover all from `since` to `end`, except for its gaps.
#[derive(Debug)]
pub(super) struct Instance {
    key: [u64; 2],
    pub(super) since: i64,
    pub(super) end: i64,
    /// The event that ends last.
    pub(super) last: At,
    last_length: u32,
    /// How many events it had.
    pub(super) events: u32,
    pub(super) growth: Growth,
    /// How many of its gaps are not told yet.
    pub(super) waiting: u16,
    /// Whether gaps before `since` are forgotten.
    pub(super) forgot: bool,
}

impl Instance {
    pub(super) fn new(key: [u64; 2], start: i64, end: i64, at: At, counters: &Counters) -> Self {
        let mut instance = Self {
            key,
            since: start,
            end,
            last: at,
            last_length: 0,
            events: 1,
            growth: Growth::new(counters),
            waiting: 0,
            forgot: false,
        };
        instance.extend(start, end, at);
        instance
    }

    /// Takes a period that ends behind all others.
    pub(super) fn extend(&mut self, start: i64, end: i64, at: At) {
        self.end = end;
        self.last = at;
        self.last_length = u32::try_from(end.saturating_sub(start)).unwrap_or(u32::MAX);
    }

    /// The start of the period that ends last.
    pub(super) fn last_start(&self) -> i64 {
        self.end.saturating_sub(i64::from(self.last_length))
    }
}

/// Where an absent key belongs: its slot in the index.
#[derive(Debug)]
pub(super) struct Vacant(usize);

/// Open addressing with linear probing over the list; keys are digests already.
#[derive(Debug, Default)]
pub(super) struct Instances {
    list: Vec<Instance>,
    /// Positions in the list plus one; 0 is free. A power of two in length, at most three quarters full.
    slots: Vec<u32>,
}

impl Instances {
    pub(super) fn find(&mut self, key: [u64; 2]) -> Result<(u32, &mut Instance), Vacant> {
        self.reserve();
        match self.probe(key) {
            (_, Some(position)) => match self.list.get_mut(position as usize) {
                Some(instance) => Ok((position, instance)),
                None => Err(Vacant(usize::MAX)),
            },
            (slot, None) => Err(Vacant(slot)),
        }
    }

    pub(super) fn get(&mut self, position: u32) -> Option<&mut Instance> {
        self.list.get_mut(position as usize)
    }

    pub(super) fn insert(&mut self, vacant: Vacant, instance: Instance) {
        self.list.push(instance);
        if let (Some(slot), Ok(position)) = (self.slots.get_mut(vacant.0), u32::try_from(self.list.len())) {
            *slot = position;
        }
    }

    /// The slot of `key`, and its position where it is there.
    fn probe(&self, key: [u64; 2]) -> (usize, Option<u32>) {
        let mask = self.slots.len() - 1;
        let mut slot = usize::try_from(key[0] & mask as u64).unwrap_or(0);
        loop {
            match self.slots.get(slot).copied() {
                None | Some(0) => return (slot, None),
                Some(position) => {
                    let position = position - 1;
                    if self.list.get(position as usize).is_some_and(|instance| instance.key == key) {
                        return (slot, Some(position));
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Makes room for one more.
    fn reserve(&mut self) {
        if (self.list.len() + 1) * 4 <= self.slots.len() * 3 {
            return;
        }
        let length = (self.slots.len() * 2).max(64);
        self.slots = Vec::new();
        self.slots.resize(length, 0);
        for position in 0..self.list.len() {
            if let Some(key) = self.list.get(position).map(|instance| instance.key) {
                let (slot, _) = self.probe(key);
                if let (Some(slot), Ok(position)) = (self.slots.get_mut(slot), u32::try_from(position + 1)) {
                    *slot = position;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_found_among_many_and_takes_little() {
        let mut instances = Instances::default();
        let keys: Vec<[u64; 2]> = (0..10_000).map(|n: u64| [n / 7 * 64, n]).collect();
        for (n, key) in (0..).zip(&keys) {
            let vacant = instances.find(*key).unwrap_err();
            instances.insert(vacant, Instance::new(*key, n, n + 1, At(0), &Counters::default()));
        }
        for (n, key) in (0..).zip(&keys) {
            let (position, instance) = instances.find(*key).unwrap();
            assert_eq!((i64::from(position), instance.since), (n, n));
        }
        assert!(size_of::<Instance>() <= 80, "{}", size_of::<Instance>());
    }
}
