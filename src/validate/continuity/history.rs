//! The latest events by their metering keys, bounded: what comes again is known, and where it stood.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash as _, Hasher};

use super::At;

/// At least so many of the latest events are remembered, and at most twice as many.
pub const REMEMBERED_EVENTS: usize = 7 << 16;

/// Keys are digests already.
#[derive(Debug, Default)]
pub(in crate::validate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

type Generation = HashMap<u64, (u64, At), BuildHasherDefault<AsItIs>>;

/// Two generations: when the newer is full, the older is forgotten.
#[derive(Debug, Default)]
pub(super) struct History {
    newer: Generation,
    older: Generation,
}

/// A metering key in 64 bits.
pub(super) fn key(instance: [u64; 2], start: i64, end: i64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (instance, start, end).hash(&mut hasher);
    hasher.finish()
}

impl History {
    /// The digest and the place of the event with this key.
    pub(super) fn get(&self, key: u64) -> Option<(u64, At)> {
        self.newer.get(&key).or_else(|| self.older.get(&key)).copied()
    }

    pub(super) fn insert(&mut self, key: u64, digest: u64, at: At) {
        if self.newer.len() >= REMEMBERED_EVENTS {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
        }
        self.newer.insert(key, (digest, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_and_the_first_forgotten() {
        let mut history = History::default();
        let count = 3 * REMEMBERED_EVENTS as u64;
        (0..count).for_each(|n| history.insert(key([n, 0], 0, 1), n, At(n)));
        let get = |n: u64| history.get(key([n, 0], 0, 1));
        assert_eq!(get(count - 1), Some((count - 1, At(count - 1))));
        assert!(get(count - REMEMBERED_EVENTS as u64).is_some());
        assert_eq!(get(0), None);
        assert!(history.newer.len() + history.older.len() <= 2 * REMEMBERED_EVENTS);
    }
}
