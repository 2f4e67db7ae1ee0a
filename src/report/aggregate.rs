//! Events in, one at a time; a report out.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::continuity::{Collector, Conflict, Found, sweep};
use super::figures::{Part, Tally, measures, name};
use super::html::Plots;
use super::output::{Crossing, Dimension, Place, Report, Row};
use super::periods::{Known, Owned, Periods, Spot};
use super::series::Series;
use super::zone::{DayCode, Zone};
use crate::events::{UsageEvent, UsagePeriod};
use crate::threshold::ThresholdSet;

/// So many conflicts are named; all are counted.
const NAMED_CONFLICTS: usize = 1000;

/// What is longer than a hundred years is not taken apart into days: a clock that is centuries ahead would make millions.
const LONGEST_IN_DAYS: i64 = 36_525 * 86_400;

/// So many different lengths of periods are told apart.
const LENGTHS: usize = 256;

/// What is reported.
#[derive(Debug, Default)]
pub struct Options {
    /// What rows are told apart by, and sorted by; none gives one row.
    pub by: Vec<Dimension>,
    /// Whose midnight ends a day; UTC by default.
    pub zone: Zone,
    /// What lies before this second (Unix) is left out; of a period across it, what is due before it.
    pub since: Option<i64>,
    /// What lies at or after this second (Unix) is left out.
    pub until: Option<i64>,
    /// Limits to count the events over, and to draw in.
    pub thresholds: ThresholdSet,
    /// Whether the report is to have plots, which take 20 MB at most while it is made.
    pub plots: bool,
}

/// An input of events, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputId(u32);

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    /// It is in the sums.
    Counted,
    /// It is in the sums, and so is a different event with the same metering key.
    Conflict {
        /// Where the other event stands.
        first: Place,
        /// Where this one stands.
        second: Place,
    },
    /// The very same event was counted before; it stands here.
    Repeat(Place),
    /// It lies outside of the time that is reported.
    Outside,
}

/// Names by number.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<Box<str>, u32>,
    pub(super) names: Vec<Box<str>>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.numbers.insert(name.into(), number);
        self.names.push(name.into());
        number
    }
}

/// Who is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Owner {
    user: u32,
    org: Option<u32>,
}

/// What a row is about; a dimension that rows are not told apart by is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Key {
    day: Option<DayCode>,
    org: Option<Option<u32>>,
    user: Option<u32>,
    instance: Option<u32>,
}

/// Adds events up.
#[derive(Debug)]
pub struct Aggregator {
    options: Options,
    by_day: bool,
    hasher: RandomState,
    inputs: Vec<String>,
    instances: Names,
    users: Names,
    orgs: Names,
    owners: Vec<Owner>,
    owner_numbers: HashMap<Owner, u32>,
    /// By the instance's number: its periods, and its owner where it has but one.
    periods: Vec<(Periods, Option<u32>)>,
    groups: HashMap<Key, Tally>,
    series: Option<Series>,
    lengths: HashMap<i64, u64>,
    crossings: HashMap<String, Crossing>,
    span: Option<UsagePeriod>,
    repeats: u64,
    outside: u64,
    conflicts: u64,
    named_conflicts: Vec<Conflict>,
}

impl Aggregator {
    /// Nothing added yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            by_day: options.by.contains(&Dimension::Day),
            series: options.plots.then(Series::default),
            crossings: options
                .thresholds
                .configs()
                .map(|config| (config.id.clone(), Crossing::none(config.clone())))
                .collect(),
            options,
            hasher: RandomState::new(),
            inputs: Vec::new(),
            instances: Names::default(),
            users: Names::default(),
            orgs: Names::default(),
            owners: Vec::new(),
            owner_numbers: HashMap::new(),
            periods: Vec::new(),
            groups: HashMap::new(),
            lengths: HashMap::new(),
            span: None,
            repeats: 0,
            outside: 0,
            conflicts: 0,
            named_conflicts: Vec::new(),
        }
    }

    /// A number for an input, whose name places are given with.
    pub fn input(&mut self, name: impl Into<String>) -> InputId {
        self.inputs.push(name.into());
        InputId(u32::try_from(self.inputs.len() - 1).unwrap_or(u32::MAX))
    }

    /// Adds an event with times in seconds ([`crate::validate::in_seconds`]): what is infinite is passed over, and an empty
    /// period lies outside. `body` is its compact JSON, which tells a repeat from a conflict; `line` is its place in
    /// the input, counted from 1.
    pub fn add(&mut self, event: &UsageEvent, body: &[u8], input: InputId, line: u64) -> Added {
        let period = event.period;
        let from = period.start.max(self.options.since.unwrap_or(i64::MIN));
        let to = period.end.min(self.options.until.unwrap_or(i64::MAX));
        if from >= to || period.end.checked_sub(period.start).is_none() {
            self.outside += 1;
            return Added::Outside;
        }
        let owner = self.owner(event);
        let instance = self.instances.number(&event.instance_id);
        let index = usize::try_from(instance).unwrap_or(usize::MAX);
        if self.periods.len() <= index {
            self.periods.resize_with(index + 1, || (Periods::default(), Some(owner)));
        }
        let spot = Spot { input: input.0, line: u32::try_from(line).unwrap_or(u32::MAX) };
        let digest = self.hasher.hash_one(body);
        let (periods, only) = &mut self.periods[index];
        let known = periods.insert(period, owner, digest, spot);
        *only = only.filter(|only| *only == owner);
        let added = match known {
            Known::Repeat(first) => {
                self.repeats += 1;
                return Added::Repeat(self.place(first));
            }
            Known::Conflict(first) => {
                let (first, second) = (self.place(first), self.place(spot));
                self.conflicts += 1;
                if self.named_conflicts.len() < NAMED_CONFLICTS {
                    let instance_id = event.instance_id.clone();
                    let (first, second) = (first.clone(), second.clone());
                    self.named_conflicts.push(Conflict { instance_id, period, first, second });
                }
                Added::Conflict { first, second }
            }
            Known::New => Added::Counted,
        };
        let whole = Part { from, to };
        self.sum(event, instance, owner, whole);
        added
    }

    fn owner(&mut self, event: &UsageEvent) -> u32 {
        let org = event.org_id.as_ref().map(|org| self.orgs.number(org));
        let owner = Owner { user: self.users.number(&event.user_id), org };
        let next = u32::try_from(self.owners.len()).unwrap_or(u32::MAX);
        *self.owner_numbers.entry(owner).or_insert_with(|| {
            self.owners.push(owner);
            next
        })
    }

    fn place(&self, spot: Spot) -> Place {
        let input = usize::try_from(spot.input).ok().and_then(|input| self.inputs.get(input));
        Place { input: input.cloned().unwrap_or_default(), line: spot.line.into() }
    }

    fn sum(&mut self, event: &UsageEvent, instance: u32, owner: u32, whole: Part) {
        let measured = measures(event).map(|value| if value.is_finite() { value } else { 0.0 });
        let mut from = whole.from;
        while from < whole.to {
            let (day, to) = self.day(from, whole.to);
            let tally = self.groups.entry(self.key(day, owner, instance)).or_default();
            tally.add(event, Part { from, to });
            if from == whole.from {
                tally.count(&measured, event.period.start, instance, &self.instances.names);
            }
            from = to;
        }
        let span = self.span.get_or_insert(UsagePeriod { start: whole.from, end: whole.to });
        (span.start, span.end) = (span.start.min(whole.from), span.end.max(whole.to));
        let length = event.period.end - event.period.start;
        if self.lengths.len() < LENGTHS || self.lengths.contains_key(&length) {
            *self.lengths.entry(length).or_default() += 1;
        }
        if let Some(series) = &mut self.series {
            series.add(instance, &measured, whole);
        }
        for violation in self.options.thresholds.violations(event) {
            if let Some(crossing) = self.crossings.get_mut(&violation.config.id) {
                crossing.add(&violation, event.period.start);
            }
        }
    }

    /// The day of `from`, where days are told apart, and how far it goes, at most to `to`.
    fn day(&self, from: i64, to: i64) -> (Option<DayCode>, i64) {
        if !self.by_day {
            return (None, to);
        }
        let day = self.options.zone.day(from);
        let is_taken_apart = to.saturating_sub(from) <= LONGEST_IN_DAYS;
        (Some(day.code), if is_taken_apart { day.end.min(to) } else { to })
    }

    fn key(&self, day: Option<DayCode>, owner: u32, instance: u32) -> Key {
        let mut key = Key::default();
        let owner = usize::try_from(owner).ok().and_then(|owner| self.owners.get(owner));
        for dimension in &self.options.by {
            match dimension {
                Dimension::Day => key.day = day,
                Dimension::Org => key.org = owner.map(|owner| owner.org),
                Dimension::User => key.user = owner.map(|owner| owner.user),
                Dimension::Instance => key.instance = Some(instance),
            }
        }
        key
    }

    /// Looks for gaps and overlaps, and gives out what everything adds up to.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let (mut gaps, mut overlaps) = (Collector::default(), Collector::default());
        let rank = self.ranks();
        let periods = std::mem::take(&mut self.periods);
        for (instance, (periods, _)) in (0..).zip(&periods) {
            sweep(periods, &rank, |found| {
                let (Found::Covered(owned) | Found::Overlap(owned) | Found::Gap(owned)) = found;
                let Some(period) = self.within(owned.period) else { return };
                match found {
                    Found::Covered(_) => {}
                    Found::Overlap(_) => overlaps.add(instance, period, &self.instances.names),
                    Found::Gap(_) => gaps.add(instance, period, &self.instances.names),
                }
                self.time(instance, &found, Owned { period, ..owned });
            });
        }
        let names = &self.instances.names;
        let mut total = Tally::default();
        self.groups.values().for_each(|tally| total.merge(tally, names));
        let mut rows: Vec<Row> = self.groups.iter().map(|(key, tally)| self.row(key, tally)).collect();
        rows.sort_by(|a, b| {
            let key = |row: &Row, dimension: &Dimension| row.value(*dimension).map(str::to_owned);
            self.options
                .by
                .iter()
                .map(|dimension| key(a, dimension).cmp(&key(b, dimension)))
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        let mut crossings: Vec<Crossing> = self.crossings.into_values().collect();
        crossings.sort_by(|a, b| a.config.id.cmp(&b.config.id));
        let usual = self.lengths.iter().max_by_key(|(length, count)| (**count, -**length)).map(|(length, _)| *length);
        let labels = |instance: u32| {
            let owner = periods.get(usize::try_from(instance).ok()?)?.1?;
            let user = self.owners.get(usize::try_from(owner).ok()?)?.user;
            (self.users.names.len() > 1).then(|| name(&self.users.names, user).to_owned())
        };
        Report {
            span: self.span,
            since: self.options.since,
            until: self.options.until,
            by: self.options.by,
            instances: self.instances.names.len() as u64,
            users: self.users.names.len() as u64,
            organizations: self.orgs.names.len() as u64,
            repeats: self.repeats,
            outside: self.outside,
            total: total.figures(names),
            rows,
            gaps: gaps.finish(names),
            overlaps: overlaps.finish(names),
            conflicts: self.conflicts,
            named_conflicts: self.named_conflicts,
            thresholds: crossings,
            usual_period: usual,
            plots: self.series.map(|series| Plots::new(series, names, labels)),
            zone: self.options.zone,
        }
    }

    /// What of a period is reported.
    fn within(&self, period: UsagePeriod) -> Option<UsagePeriod> {
        let start = period.start.max(self.options.since.unwrap_or(i64::MIN));
        let end = period.end.min(self.options.until.unwrap_or(i64::MAX));
        (start < end).then_some(UsagePeriod { start, end })
    }

    /// Adds time to the groups that it falls into.
    fn time(&mut self, instance: u32, found: &Found, owned: Owned) {
        let mut from = owned.period.start;
        while from < owned.period.end {
            let (day, to) = self.day(from, owned.period.end);
            let tally = self.groups.entry(self.key(day, owned.owner, instance)).or_default();
            let seconds = to.abs_diff(from);
            let sum = match found {
                Found::Covered(_) => &mut tally.covered,
                Found::Overlap(_) => &mut tally.overlap,
                Found::Gap(_) => &mut tally.gap,
            };
            *sum = sum.saturating_add(seconds);
            from = to;
        }
    }

    /// The owners' places in the order of their names.
    fn ranks(&self) -> Vec<u32> {
        let names = |owner: &Owner| {
            let org = owner.org.map(|org| name(&self.orgs.names, org));
            (name(&self.users.names, owner.user), org)
        };
        let mut order: Vec<usize> = (0..self.owners.len()).collect();
        order.sort_by_key(|owner| self.owners.get(*owner).map(names));
        let mut ranks = vec![0; order.len()];
        for (rank, owner) in (0..).zip(order) {
            ranks[owner] = rank;
        }
        ranks
    }

    fn row(&self, key: &Key, tally: &Tally) -> Row {
        let named = |names: &Names, number: u32| name(&names.names, number).to_owned();
        Row {
            day: key.day.map(|day| day.to_string()),
            org_id: key.org.map(|org| org.map(|org| named(&self.orgs, org))),
            user_id: key.user.map(|user| named(&self.users, user)),
            instance_id: key.instance.map(|instance| named(&self.instances, instance)),
            figures: tally.figures(&self.instances.names),
        }
    }
}
