//! Which periods of an instance were seen: what tells a repeat from a conflict, and where gaps and overlaps are.
//!
//! Periods that follow one another without a gap form a chain, and a period in it costs 16 bytes, whatever its length.
//! While an instance's events come in order, all of them are one chain: a gap, another input or another owner is a
//! separator in it, of 16 bytes too. Once one comes out of order, chains are taken apart at their separators. Chains
//! that do not overlap then form a layer. What overlaps goes into a layer above, so that a look at each layer's nearest
//! chain finds every period that shares a key. What overlaps more often than there may be layers goes into a map, which
//! costs more memory and little time. The order in which periods come does not matter. An instance with a
//! single event has no chain: reports of a million instances have many of those.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::events::UsagePeriod;

/// So many periods a chain holds at most: a full one has no room to spare.
const CHAIN: usize = 4096;

/// So many layers there are at most, since each is looked at for each period.
const MOST_LAYERS: usize = if cfg!(test) { 3 } else { 16 };

/// The line of an entry that is a separator.
const SEPARATOR: u32 = u32::MAX;

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
    /// A stream that came in order, with or without gaps.
    Chain(Box<Chain>),
    Layers(Box<Layers>),
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
pub(super) struct Layers {
    layers: Vec<BTreeMap<i64, Chain>>,
    /// What no layer has room for, by start and end.
    crowded: BTreeMap<(i64, i64), CrowdedPeriod>,
}

/// The events of one period, by digest.
#[derive(Debug)]
struct CrowdedPeriod {
    /// Where the event stands that came first.
    first: Spot,
    /// Whose each event is, and where it stands.
    events: BTreeMap<u64, (u32, Spot)>,
}

#[derive(Debug)]
pub(super) struct Chain {
    /// What the entries' starts are counted from.
    origin: i64,
    end: i64,
    /// Of the entries before the first separator.
    first: Source,
    /// Of the entries behind the last separator.
    last: Source,
    entries: VecDeque<Entry>,
}

/// Where periods came from, and who is billed for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    owner: u32,
    input: u32,
}

/// A period, or a separator: it ends where the next entry, or the chain, says.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Seconds from the chain's origin.
    start: i32,
    /// [`SEPARATOR`], or the line of the period's event.
    line: u32,
    /// Of the event; of a separator the source of the entries behind it.
    digest: u64,
}

impl Entry {
    fn new(start: i32, spot: Spot, digest: u64) -> Self {
        Self { start, line: spot.line.min(SEPARATOR - 1), digest }
    }

    fn separator(start: i32, source: Source) -> Self {
        Self { start, line: SEPARATOR, digest: u64::from(source.owner) << 32 | u64::from(source.input) }
    }

    /// The source of what is behind it; `None` where it is a period.
    #[allow(clippy::cast_possible_truncation)] // taken apart as it was put together
    fn source_behind(&self) -> Option<Source> {
        let source = Source { owner: (self.digest >> 32) as u32, input: self.digest as u32 };
        (self.line == SEPARATOR).then_some(source)
    }
}

/// A period and who is billed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) period: UsagePeriod,
    pub(super) owner: u32,
}

impl Chain {
    fn new(period: UsagePeriod, owner: u32, digest: u64, spot: Spot) -> Self {
        let source = Source { owner, input: spot.input };
        let entries = VecDeque::from([Entry::new(0, spot, digest)]);
        Self { origin: period.start, end: period.end, first: source, last: source, entries }
    }

    fn start(&self) -> i64 {
        self.entries.front().map_or(self.origin, |entry| self.start_of(entry))
    }

    /// Adds a period that begins where the chain ends, where it fits in; whether it did.
    fn push(&mut self, period: UsagePeriod, owner: u32, digest: u64, spot: Spot) -> bool {
        let fits = self.end == period.start && self.takes(owner, spot.input, 1);
        let Some(start) = self.offset(period.start).filter(|_| fits) else { return false };
        self.add(Entry::new(start, spot, digest));
        self.end = period.end;
        true
    }

    /// Adds a period that begins at or behind the chain's end, with a separator where it needs one; whether it fitted in.
    fn append(&mut self, period: UsagePeriod, owner: u32, digest: u64, spot: Spot) -> bool {
        if self.push(period, owner, digest, spot) {
            return true;
        }
        let fits = self.end <= period.start && self.entries.len() + 2 <= CHAIN;
        let offsets = self.offset(self.end).zip(self.offset(period.start)).filter(|_| fits);
        let Some((end, start)) = offsets else { return false };
        self.last = Source { owner, input: spot.input };
        self.add(Entry::separator(end, self.last));
        self.add(Entry::new(start, spot, digest));
        self.end = period.end;
        true
    }

    /// Adds an entry, with little room to spare: a report has one chain for each of a million instances.
    fn add(&mut self, entry: Entry) {
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact((self.entries.len() / 4).max(3));
        }
        self.entries.push_back(entry);
    }

    /// Where the event with this digest stands, if its period is one of the chain.
    fn repeated(&self, period: UsagePeriod, digest: u64) -> Option<Spot> {
        let (found, at) = self.entry(period.start).filter(|_| period.start < self.end)?;
        let entry = self.entries.get(at)?;
        let source = || self.entries.range(..at).rev().find_map(Entry::source_behind).unwrap_or(self.first);
        (found == period && entry.digest == digest).then(|| Spot { input: source().input, line: entry.line })
    }

    /// The period of the chain that holds the second `at`, which is no earlier than the chain's start, and its place.
    fn entry(&self, at: i64) -> Option<(UsagePeriod, usize)> {
        let after = self.entries.partition_point(|entry| self.start_of(entry) <= at);
        let place = after.checked_sub(1)?;
        let entry = self.entries.get(place).filter(|entry| entry.source_behind().is_none())?;
        let end = self.entries.get(after).map_or(self.end, |next| self.start_of(next));
        Some((UsagePeriod { start: self.start_of(entry), end }, place))
    }

    fn start_of(&self, entry: &Entry) -> i64 {
        self.origin + i64::from(entry.start)
    }

    fn offset(&self, start: i64) -> Option<i32> {
        i32::try_from(start.checked_sub(self.origin)?).ok()
    }

    fn takes(&self, owner: u32, input: u32, more: usize) -> bool {
        self.last == Source { owner, input } && self.entries.len() + more <= CHAIN
    }

    /// Its entries, each with its period (a separator's may be empty) and its source.
    fn entries(&self) -> impl Iterator<Item = (&Entry, UsagePeriod, Source)> {
        let ends = self.entries.iter().skip(1).map(|next| self.start_of(next)).chain([self.end]);
        let mut source = self.first;
        self.entries.iter().zip(ends).map(move |(entry, end)| {
            source = entry.source_behind().unwrap_or(source);
            (entry, UsagePeriod { start: self.start_of(entry), end }, source)
        })
    }

    fn periods(&self) -> impl Iterator<Item = Owned> {
        let periods = self.entries().filter(|(entry, ..)| entry.source_behind().is_none());
        periods.map(|(_, period, source)| Owned { period, owner: source.owner })
    }

    /// The chains between its separators, by their starts.
    fn taken_apart(self) -> BTreeMap<i64, Self> {
        if self.entries.iter().all(|entry| entry.source_behind().is_none()) {
            return BTreeMap::from([(self.start(), self)]);
        }
        let mut chains: BTreeMap<i64, Self> = BTreeMap::new();
        for (entry, period, Source { owner, input }) in self.entries() {
            if entry.source_behind().is_none() {
                put(&mut chains, period, owner, entry.digest, Spot { input, line: entry.line });
            }
        }
        chains
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
            Self::One(one) if one.owned().period == period && one.digest == digest => Known::Repeat(one.spot),
            Self::One(one) => {
                let chain = Box::new(Chain::new(one.owned().period, one.owner, one.digest, one.spot));
                *self = Self::Chain(chain);
                self.insert(period, owner, digest, spot)
            }
            Self::Chain(chain) => {
                if chain.append(period, owner, digest, spot) {
                    return Known::New;
                }
                if let Some(first) = chain.repeated(period, digest) {
                    return Known::Repeat(first);
                }
                let Self::Chain(chain) = std::mem::take(self) else { return Known::New };
                let mut layers = Box::new(Layers { layers: vec![chain.taken_apart()], crowded: BTreeMap::new() });
                let known = layers.insert(period, owner, digest, spot);
                *self = Self::Layers(layers);
                known
            }
            Self::Layers(layers) => layers.insert(period, owner, digest, spot),
        }
    }

    /// Every period, sorted by start, end and the owner's rank.
    pub(super) fn sorted<'a>(&'a self, rank: &'a [u32]) -> impl Iterator<Item = Owned> + 'a {
        let one = if let Self::One(one) = self { Some(one.owned()) } else { None };
        let chain = if let Self::Chain(chain) = self { Some(chain.periods()) } else { None };
        let layers = if let Self::Layers(layers) = self { Some(layers.sorted(rank)) } else { None };
        one.into_iter().chain(chain.into_iter().flatten()).chain(layers.into_iter().flatten())
    }

    /// The owner of all periods, where they have but one.
    pub(super) fn only_owner(&self) -> Option<u32> {
        match self {
            Self::Empty => None,
            Self::One(one) => Some(one.owner),
            Self::Chain(chain) => {
                let owner = chain.first.owner;
                let mut separators = chain.entries.iter().filter_map(Entry::source_behind);
                separators.all(|source| source.owner == owner).then_some(owner)
            }
            Self::Layers(layers) => {
                let crowded =
                    layers.crowded.values().flat_map(|period| period.events.values()).map(|(owner, _)| *owner);
                let chains = layers.layers.iter().flat_map(BTreeMap::values).map(|chain| chain.last.owner);
                let mut owners = chains.chain(crowded);
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
        for (index, layer) in self.layers.iter().enumerate() {
            let before = layer.range(..=start).next_back().map(|(_, chain)| chain).filter(|chain| chain.end > start);
            if let Some(chain) = before {
                let found = chain.entry(start).filter(|(found, _)| *found == period);
                if let Some(entry) = found.and_then(|(_, place)| chain.entries.get(place)) {
                    let first = Spot { input: chain.last.input, line: entry.line };
                    if entry.digest == digest {
                        return Known::Repeat(first);
                    }
                    if known == Known::New {
                        known = Known::Conflict(first);
                    }
                }
            } else if free.is_none() && layer.range(start..).next().is_none_or(|(next, _)| *next >= end) {
                free = Some(index);
            }
        }
        if let Some(same) = self.crowded.get(&(start, end)) {
            if let Some((_, first)) = same.events.get(&digest) {
                return Known::Repeat(*first);
            }
            if known == Known::New {
                known = Known::Conflict(same.first);
            }
        }
        if free.is_none() && self.layers.len() < MOST_LAYERS {
            self.layers.push(BTreeMap::new());
            free = Some(self.layers.len() - 1);
        }
        if let Some(layer) = free.and_then(|index| self.layers.get_mut(index)) {
            put(layer, period, owner, digest, spot);
        } else {
            let new = || CrowdedPeriod { first: spot, events: BTreeMap::new() };
            self.crowded.entry((start, end)).or_insert_with(new).events.insert(digest, (owner, spot));
        }
        known
    }

    fn sorted<'a>(&'a self, rank: &'a [u32]) -> impl Iterator<Item = Owned> + 'a {
        let key = move |owned: &Owned| {
            let rank = usize::try_from(owned.owner).ok().and_then(|owner| rank.get(owner)).copied();
            (owned.period, rank)
        };
        let crowded = self.crowded.iter().flat_map(|((start, end), same)| {
            let period = UsagePeriod { start: *start, end: *end };
            same.events.values().map(move |(owner, _)| Owned { period, owner: *owner })
        });
        let mut crowded: Vec<Owned> = crowded.collect();
        crowded.sort_by_key(key);
        let chains = self.layers.iter().map(|layer| {
            let periods: Box<dyn Iterator<Item = Owned> + 'a> = Box::new(layer.values().flat_map(Chain::periods));
            periods
        });
        let crowded: Box<dyn Iterator<Item = Owned> + 'a> = Box::new(crowded.into_iter());
        let mut layers: Vec<_> = chains.chain([crowded]).map(Iterator::peekable).collect();
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
    if let Some((_, chain)) = layer.range_mut(..start).next_back()
        && chain.push(period, owner, digest, spot)
    {
        let joins = layer.get(&end).is_some_and(|next| next.last == Source { owner, input: spot.input });
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
        chain.entries.push_front(Entry::new(offset, spot, digest));
        layer.insert(start, chain);
        return;
    }
    layer.insert(start, Chain::new(period, owner, digest, spot));
}

/// Appends the chain that starts at `at` to the one that ends there, where both fit into one.
fn join(layer: &mut BTreeMap<i64, Chain>, at: i64) {
    let Some(next) = layer.remove(&at) else { return };
    if let Some((_, chain)) = layer.range_mut(..at).next_back()
        && chain.takes(next.last.owner, next.last.input, next.entries.len())
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
            let Periods::Layers(layers) = &periods else { panic!("{periods:?}") };
            assert_eq!((layers.layers.len(), layers.layers[0].len()), (1, 1));
            assert_eq!(layers.layers[0][&0].entries.len(), 4000);
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

    #[test]
    fn a_stream_in_order_needs_no_tree() {
        let mut periods = Periods::default();
        for n in 0..4 {
            let period = UsagePeriod { start: n * 30, end: n * 30 + 30 };
            assert_eq!(periods.insert(period, 7, n.unsigned_abs(), spot(1)), Known::New);
        }
        let second = UsagePeriod { start: 30, end: 60 };
        assert_eq!(periods.insert(second, 7, 1, spot(9)), Known::Repeat(spot(1)));
        assert!(matches!(periods, Periods::Chain(_)));
        assert_eq!(periods.insert(second, 7, 5, spot(9)), Known::Conflict(spot(1)));
        assert_eq!(periods.sorted(&[]).count(), 5);
    }

    /// A period costs 16 bytes, what lacks between two periods 16 more, and another input or owner as much.
    #[test]
    fn gaps_inputs_and_owners_in_order_need_no_tree() {
        let mut periods = Periods::default();
        for n in 0..20i64 {
            let period = UsagePeriod { start: n * 100, end: n * 100 + if n % 3 == 0 { 100 } else { 30 } };
            let spot = Spot { input: (n / 10) as u32, line: 7 };
            assert_eq!(periods.insert(period, (n / 15) as u32, n.unsigned_abs(), spot), Known::New);
        }
        let Periods::Chain(chain) = &periods else { panic!("{periods:?}") };
        assert!(chain.entries.capacity() <= 42, "{}", chain.entries.capacity());
        let second = |n: i64| UsagePeriod { start: n * 100, end: n * 100 + 30 };
        assert_eq!(periods.insert(second(19), 1, 19, spot(9)), Known::Repeat(Spot { input: 1, line: 7 }));
        assert_eq!(periods.insert(second(1), 0, 1, spot(9)), Known::Repeat(Spot { input: 0, line: 7 }));
        assert_eq!(periods.only_owner(), None);
        assert_eq!(periods.sorted(&[0, 1]).count(), 20);
        // Into a gap, which takes the chain apart.
        assert_eq!(periods.insert(UsagePeriod { start: 140, end: 150 }, 0, 5, spot(9)), Known::New);
        assert_eq!(periods.insert(second(16), 1, 99, spot(9)), Known::Conflict(Spot { input: 1, line: 7 }));
        assert_eq!(periods.sorted(&[0, 1]).count(), 22);
    }

    /// Each of 40,000 periods was compared with all before it, for many minutes.
    #[test]
    fn nested_periods_and_conflicts_need_few_layers() {
        let mut periods = Periods::default();
        for n in 0..20_000i64 {
            let nested = UsagePeriod { start: n, end: 100_000 - n };
            assert_eq!(periods.insert(nested, 0, n.unsigned_abs(), spot(1)), Known::New);
        }
        let same = UsagePeriod { start: 19_999, end: 80_001 };
        for n in 20_000..40_000u64 {
            assert_eq!(periods.insert(same, 1, n, spot(2)), Known::Conflict(spot(1)));
        }
        assert_eq!(periods.insert(same, 1, 30_000, spot(3)), Known::Repeat(spot(2)));
        let Periods::Layers(layers) = &periods else { panic!("no layers") };
        assert_eq!(layers.layers.len(), MOST_LAYERS);
        assert_eq!(periods.only_owner(), None);
        let sorted: Vec<_> = periods.sorted(&[1, 0]).collect();
        assert_eq!((sorted.len(), sorted[0].period.start), (40_000, 0));
        assert!(sorted.is_sorted_by_key(|it| (it.period, 1 - it.owner)));
    }

    proptest! {
        #[test]
        fn agrees_with_a_map_of_all_keys(
            events in proptest::collection::vec((0i64..40, 1i64..6, 0u64..2, 0u32..2), 0..120),
            ordered in 0usize..120,
        ) {
            let mut events = events;
            let ordered = ordered.min(events.len());
            events[..ordered].sort_unstable();
            let mut periods = Periods::default();
            let mut naive: HashMap<(i64, i64), Vec<u64>> = HashMap::new();
            let mut distinct = Vec::new();
            for (line, (start, length, content, owner)) in (1..).zip(events) {
                let period = UsagePeriod { start, end: start + length };
                let digest = content * 2 + u64::from(owner);
                let seen = naive.entry((start, start + length)).or_default();
                let known = periods.insert(period, owner, digest, Spot { input: line / 16, line });
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
