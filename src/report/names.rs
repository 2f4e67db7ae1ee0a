//! Names by number, each kept once: a report holds millions of them.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

/// Names in the order in which they were first seen; a name takes its bytes and about 20 more.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// All names, one behind the other.
    text: String,
    /// Where each name ends in `text`, by its number.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Names {
    /// The number of `name`, which is a new one where the name was not seen before.
    pub(super) fn number(&mut self, name: &str) -> u32 {
        let Self { text, ends, numbers, hasher } = self;
        let hash = hasher.hash_one(name);
        if let Some(number) = numbers.find(hash, |number| slice(text, ends, *number) == name) {
            return *number;
        }
        let number = u32::try_from(ends.len()).unwrap_or(u32::MAX);
        text.push_str(name);
        ends.push(text.len());
        numbers.insert_unique(hash, number, |number| hasher.hash_one(slice(text, ends, *number)));
        number
    }

    /// The name with this number; empty where there is none.
    pub(super) fn name(&self, number: u32) -> &str {
        slice(&self.text, &self.ends, number)
    }

    /// How many different names there are.
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// The place of each name, by its number, in the order of the alphabet.
    pub(super) fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..u32::try_from(self.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by_key(|number| self.name(*number));
        let mut ranks = vec![0; order.len()];
        for (rank, number) in (0..).zip(order) {
            if let Some(place) = ranks.get_mut(number as usize) {
                *place = rank;
            }
        }
        ranks
    }
}

fn slice<'t>(text: &'t str, ends: &[usize], number: u32) -> &'t str {
    let number = number as usize;
    let start = number.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    ends.get(number).and_then(|end| text.get(start..*end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers_and_have_ranks() {
        let mut names = Names::default();
        let all: Vec<String> = (0..1000).map(|n| format!("web-{}", (n * 7) % 1000)).collect();
        for (number, name) in (0..).zip(&all) {
            assert_eq!(names.number(name), number);
        }
        for (number, name) in (0..).zip(&all) {
            assert_eq!((names.number(name), names.name(number)), (number, &**name));
        }
        assert_eq!((names.len(), names.name(1000)), (1000, ""));
        let ranks = names.ranks();
        let mut sorted: Vec<usize> = (0..1000).collect();
        sorted.sort_by_key(|number| ranks[*number]);
        assert!(sorted.is_sorted_by(|a, b| all[*a] < all[*b]));
    }
}
