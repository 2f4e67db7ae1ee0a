//! Which periods of an instance were seen: what tells a repeat from a conflict, and where gaps and overlaps are.
//!
//! Periods that follow one another without a gap form a chain, and a period in it costs 16 bytes, whatever its length.
//! Chains that do not overlap form a layer; a sound stream has one. What overlaps goes into a layer above, so that a
//! look at each layer's nearest chain finds every period that shares a key. The order in which periods come does not
//! matter. An instance with a single event has no chain: reports of a million instances have many of those.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::events::UsagePeriod;

/// So many periods a chain holds at most: a full one has no room to spare.
const CHAIN: usize = 4096;

/// Where an event stood in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// The input's number.
    pub(super) input: u32,
    /// The line, counted from 1.
    pub(super) line: u32,
}

/// What was found under the key of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    New,
    /// The same event.
    Repeat(Spot),
    /// Another event.
    Conflict(Spot),
}

/// The periods of one instance.
#[derive(Debug, Default)]
pub(super) enum Periods {
    #[default]
    Empty,
    One(OnePeriod),
    Several(Box<Layers>),
}

/// The only period of an instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct OnePeriod {
    start: i64,
    end: i64,
    digest: u64,
    owner: u32,
    spot: Spot,
}

/// Chains in layers, each by its start; within a layer none overlaps.
#[derive(Debug, Default)]
pub(super) struct Layers(Vec<BTreeMap<i64, Chain>>);

#[derive(Debug)]
struct Chain {
    /// What the entries' starts are counted from.
    origin: i64,
    end: i64,
    owner: u32,
    input: u32,
    entries: VecDeque<Entry>,
}

/// A period: it ends where the next entry, or the chain, says.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Seconds from the chain's origin.
    start: i32,
    line: u32,
    digest: u64,
}

/// A period and who is billed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) period: UsagePeriod,
    pub(super) owner: u32,
}

impl Chain {
    /// The entry that holds the second `at`, which lies within the chain.
    fn entry(&self, at: i64) -> Option<(UsagePeriod, &Entry)> {
        let after = self.entries.partition_point(|entry| self.start_of(entry) <= at);
        let entry = self.entries.get(after.checked_sub(1)?)?;
        let end = self.entries.get(after).map_or(self.end, |next| self.start_of(next));
        Some((UsagePeriod { start: self.start_of(entry), end }, entry))
    }

    fn start_of(&self, entry: &Entry) -> i64 {
        self.origin + i64::from(entry.start)
    }

    fn offset(&self, start: i64) -> Option<i32> {
        i32::try_from(start.checked_sub(self.origin)?).ok()
    }

    fn takes(&self, owner: u32, input: u32, more: usize) -> bool {
        self.owner == owner && self.input == input && self.entries.len() + more <= CHAIN
    }

    fn periods(&self) -> impl Iterator<Item = Owned> {
        let ends = self.entries.iter().skip(1).map(|next| self.start_of(next)).chain([self.end]);
        self.entries
            .iter()
            .zip(ends)
            .map(|(entry, end)| Owned { period: UsagePeriod { start: self.start_of(entry), end }, owner: self.owner })
    }
}

impl OnePeriod {
    const fn owned(&self) -> Owned {
        Owned { period: UsagePeriod { start: self.start, end: self.end }, owner: self.owner }
    }
}

impl Periods {
    /// Remembers a period (not an empty one) with a digest of its event, unless the very event is known.
    pub(super) fn insert(&mut self, period: UsagePeriod, owner: u32, digest: u64, spot: Spot) -> Known {
        match self {
            Self::Empty => {
                *self = Self::One(OnePeriod { start: period.start, end: period.end, digest, owner, spot });
                Known::New
            }
            Self::One(one) => {
                let mut layers = Box::<Layers>::default();
                layers.insert(one.owned().period, one.owner, one.digest, one.spot);
                let known = layers.insert(period, owner, digest, spot);
                if !matches!(known, Known::Repeat(_)) {
                    *self = Self::Several(layers);
                }
                known
            }
            Self::Several(layers) => layers.insert(period, owner, digest, spot),
        }
    }

    /// Every period, sorted by start, end and the owner's rank.
    pub(super) fn sorted<'a>(&'a self, rank: &'a [u32]) -> impl Iterator<Item = Owned> + 'a {
        let one = if let Self::One(one) = self { Some(one.owned()) } else { None };
        let layers = if let Self::Several(layers) = self { Some(layers.sorted(rank)) } else { None };
        one.into_iter().chain(layers.into_iter().flatten())
    }

    /// The owner of all periods, where they have but one.
    pub(super) fn only_owner(&self) -> Option<u32> {
        match self {
            Self::Empty => None,
            Self::One(one) => Some(one.owner),
            Self::Several(layers) => {
                let mut owners = layers.0.iter().flat_map(BTreeMap::values).map(|chain| chain.owner);
                let first = owners.next()?;
                owners.all(|owner| owner == first).then_some(first)
            }
        }
    }
}

impl Layers {
    fn insert(&mut self, period: UsagePeriod, owner: u32, digest: u64, spot: Spot) -> Known {
        let UsagePeriod { start, end } = period;
        let mut known = Known::New;
        let mut free = None;
        for (index, layer) in self.0.iter().enumerate() {
            let before = layer.range(..=start).next_back().map(|(_, chain)| chain).filter(|chain| chain.end > start);
            if let Some(chain) = before {
                match chain.entry(start) {
                    Some((found, entry)) if found == period => {
                        let first = Spot { input: chain.input, line: entry.line };
                        if entry.digest == digest {
                            return Known::Repeat(first);
                        }
                        if known == Known::New {
                            known = Known::Conflict(first);
                        }
                    }
                    _ => {}
                }
            } else if free.is_none() && layer.range(start..).next().is_none_or(|(next, _)| *next >= end) {
                free = Some(index);
            }
        }
        let index = free.unwrap_or_else(|| {
            self.0.push(BTreeMap::new());
            self.0.len() - 1
        });
        if let Some(layer) = self.0.get_mut(index) {
            put(layer, period, owner, digest, spot);
        }
        known
    }

    fn sorted<'a>(&'a self, rank: &'a [u32]) -> impl Iterator<Item = Owned> + 'a {
        let mut layers: Vec<_> =
            self.0.iter().map(|layer| layer.values().flat_map(Chain::periods).peekable()).collect();
        let key = move |owned: &Owned| {
            let rank = usize::try_from(owned.owner).ok().and_then(|owner| rank.get(owner)).copied();
            (owned.period, rank)
        };
        let mut heads: BinaryHeap<_> = layers
            .iter_mut()
            .enumerate()
            .filter_map(|(index, layer)| Some(Reverse((key(layer.peek()?), index))))
            .collect();
        std::iter::from_fn(move || {
            let Reverse((_, index)) = heads.pop()?;
            let layer = layers.get_mut(index)?;
            let owned = layer.next()?;
            heads.extend(layer.peek().map(|next| Reverse((key(next), index))));
            Some(owned)
        })
    }
}

/// Puts a period into a layer that is free there: at an end of a chain where one fits.
fn put(layer: &mut BTreeMap<i64, Chain>, period: UsagePeriod, owner: u32, digest: u64, spot: Spot) {
    let UsagePeriod { start, end } = period;
    let entry = |offset| Entry { start: offset, line: spot.line, digest };
    if let Some((_, chain)) = layer.range_mut(..start).next_back()
        && chain.end == start
        && chain.takes(owner, spot.input, 1)
        && let Some(offset) = chain.offset(start)
    {
        chain.entries.push_back(entry(offset));
        chain.end = end;
        let joins = layer.get(&end).is_some_and(|next| next.owner == owner && next.input == spot.input);
        if joins {
            join(layer, end);
        }
        return;
    }
    if let Some(chain) = layer.get(&end)
        && chain.takes(owner, spot.input, 1)
        && let Some(offset) = chain.offset(start)
        && let Some(mut chain) = layer.remove(&end)
    {
        chain.entries.push_front(entry(offset));
        layer.insert(start, chain);
        return;
    }
    let entries = VecDeque::from([entry(0)]);
    layer.insert(start, Chain { origin: start, end, owner, input: spot.input, entries });
}

/// Appends the chain that starts at `at` to the one that ends there, where both fit into one.
fn join(layer: &mut BTreeMap<i64, Chain>, at: i64) {
    let Some(next) = layer.remove(&at) else { return };
    if let Some((_, chain)) = layer.range_mut(..at).next_back()
        && chain.takes(next.owner, next.input, next.entries.len())
    {
        let moved: Option<Vec<Entry>> = next
            .entries
            .iter()
            .map(|entry| Some(Entry { start: chain.offset(next.start_of(entry))?, ..*entry }))
            .collect();
        if let Some(moved) = moved {
            chain.entries.extend(moved);
            chain.end = next.end;
            return;
        }
    }
    layer.insert(at, next);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn spot(line: u32) -> Spot {
        Spot { input: 0, line }
    }

    #[test]
    fn a_stream_in_any_order_is_one_chain() {
        let mut order: Vec<u32> = (0..4000).collect();
        for seed in 0..3 {
            fastrand::Rng::with_seed(seed).shuffle(&mut order);
            let mut periods = Periods::default();
            for &n in &order {
                let start = i64::from(n) * 30;
                let known = periods.insert(UsagePeriod { start, end: start + 30 }, 0, n.into(), spot(n));
                assert_eq!(known, Known::New);
            }
            let Periods::Several(layers) = &periods else { panic!("{periods:?}") };
            assert_eq!((layers.0.len(), layers.0[0].len()), (1, 1));
            assert_eq!(layers.0[0][&0].entries.len(), 4000);
            assert_eq!(periods.only_owner(), Some(0));
        }
    }

    #[test]
    fn an_instance_with_one_event_takes_little_memory() {
        assert!(size_of::<Periods>() <= 48, "{}", size_of::<Periods>());
        let mut periods = Periods::default();
        let period = UsagePeriod { start: 0, end: 30 };
        assert_eq!(periods.insert(period, 7, 1, spot(1)), Known::New);
        assert_eq!(periods.insert(period, 7, 1, spot(2)), Known::Repeat(spot(1)));
        assert!(matches!(periods, Periods::One(_)));
        assert_eq!(periods.insert(period, 8, 2, spot(3)), Known::Conflict(spot(1)));
        assert_eq!(periods.only_owner(), None);
    }

    proptest! {
        #[test]
        fn agrees_with_a_map_of_all_keys(
            events in proptest::collection::vec((0i64..40, 1i64..6, 0u64..2, 0u32..2), 0..120)
        ) {
            let mut periods = Periods::default();
            let mut naive: HashMap<(i64, i64), Vec<u64>> = HashMap::new();
            let mut distinct = Vec::new();
            for (line, (start, length, content, owner)) in (1..).zip(events) {
                let period = UsagePeriod { start, end: start + length };
                let digest = content * 2 + u64::from(owner);
                let seen = naive.entry((start, start + length)).or_default();
                let known = periods.insert(period, owner, digest, spot(line));
                if seen.contains(&digest) {
                    prop_assert!(matches!(known, Known::Repeat(_)));
                    continue;
                }
                prop_assert_eq!(matches!(known, Known::Conflict(_)), !seen.is_empty());
                seen.push(digest);
                distinct.push((period, owner));
            }
            distinct.sort_unstable();
            let sorted: Vec<_> = periods.sorted(&[0, 1]).map(|owned| (owned.period, owned.owner)).collect();
            prop_assert_eq!(sorted, distinct);
        }
    }
}
