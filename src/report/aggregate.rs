//! Events in, one at a time; a report out.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use super::continuity::{Collector, Conflict, Found, Stretch, sweep};
use super::figures::{known_measures, measures};
use super::groups::{Groups, Key, NO_ORGANIZATION, Rows};
use super::html::Plots;
use super::names::Names;
use super::output::{Crossing, Dimension, ImplausiblePeriods, Place, Report};
use super::periods::{Known, Owned, Periods, Spot};
use super::series::Series;
use super::tally::Part;
use super::zone::{DayCode, Zone};
use crate::events::{MetricSet, UsageEvent, UsagePeriod};
use crate::threshold::{MeasuredEvent, ThresholdSet};
use crate::validate::is_period_implausible;

/// The most conflicts, and the most implausible periods, that are named; all are counted.
const NAMED: usize = 1000;

/// What is longer than 400 days within the time of the report is not taken apart into days, and is of its first day: each
/// event from 1970 until today would make 20,000 rows. The sums stay exact, and so do the days where `since` and `until`
/// leave no more than 400 days of it.
const LONGEST_IN_DAYS: i64 = 400 * 86_400;

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
    /// Whether each instance is expected to be metered from `since` to `until` (from the first event of all to the last,
    /// where they are not given), so that what lacks before its first and behind its last event is a gap. An instance
    /// without any event in that time is not known, and has no gap.
    pub expect_full: bool,
    /// The time of the report (Unix): nothing is missing after it where `until` lies later.
    pub now: Option<i64>,
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

/// Who is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Owner {
    user: u32,
    org: Option<u32>,
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
    /// By the instance's number.
    periods: Vec<Periods>,
    groups: Groups,
    series: Option<Series>,
    lengths: HashMap<i64, u64>,
    crossings: HashMap<String, Crossing>,
    span: Option<UsagePeriod>,
    repeats: u64,
    outside: u64,
    conflicts: u64,
    named_conflicts: Vec<Conflict>,
    implausible_periods: ImplausiblePeriods,
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
            groups: Groups::default(),
            lengths: HashMap::new(),
            span: None,
            repeats: 0,
            outside: 0,
            conflicts: 0,
            named_conflicts: Vec::new(),
            implausible_periods: ImplausiblePeriods::default(),
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
            self.periods.resize_with(index + 1, Periods::default);
        }
        let spot = Spot { input: input.0, line: u32::try_from(line).unwrap_or(u32::MAX) };
        let digest = self.hasher.hash_one(body);
        let known = self.periods[index].insert(period, owner, digest, spot);
        let added = match known {
            Known::Repeat(first) => {
                self.repeats += 1;
                return Added::Repeat(self.place(first));
            }
            Known::Conflict(first) => {
                let (first, second) = (self.place(first), self.place(spot));
                self.conflicts += 1;
                if self.named_conflicts.len() < NAMED {
                    let instance_id = event.instance_id.clone();
                    let (first, second) = (first.clone(), second.clone());
                    self.named_conflicts.push(Conflict { instance_id, period, first, second });
                }
                Added::Conflict { first, second }
            }
            Known::New => Added::Counted,
        };
        if is_period_implausible(period) {
            self.implausible_periods.count += 1;
            if self.implausible_periods.list.len() < NAMED {
                let instance_id = event.instance_id.clone();
                self.implausible_periods.list.push(Stretch { instance_id, start: period.start, end: period.end });
            }
        }
        let whole = Part { from, to };
        self.sum(event, MetricSet::not_metered_in(body), instance, owner, whole);
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

    fn sum(&mut self, event: &UsageEvent, not_metered: MetricSet, instance: u32, owner: u32, whole: Part) {
        let measured = measures(event).map(|value| if value.is_finite() { value } else { 0.0 });
        let known = known_measures(&measured, not_metered);
        let mut from = whole.from;
        while from < whole.to {
            let (day, to) = self.day(from, whole.to);
            let key = self.key(day, owner, instance);
            let tally = self.groups.tally(key);
            tally.add(event, Part { from, to });
            tally.note_not_metered(not_metered);
            if from == whole.from {
                tally.count(&known, event.period.start, instance, &self.instances);
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
            series.add(instance, &known, whole);
        }
        for violation in self.options.thresholds.violations(MeasuredEvent::new(event, not_metered)) {
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
                Dimension::Day => key.day = day.unwrap_or_default(),
                Dimension::Org => key.org = owner.and_then(|owner| owner.org).unwrap_or(NO_ORGANIZATION),
                Dimension::User => key.user = owner.map_or(0, |owner| owner.user),
                Dimension::Instance => key.instance = instance,
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
        let whole = self.expected_range();
        let expected = whole.filter(|_| self.options.expect_full);
        let (mut late_starts, mut early_ends, mut incomplete) = (0, 0, 0);
        for (instance, periods) in (0..).zip(&periods) {
            let covered = sweep(periods, &rank, expected, |found| {
                let (Found::Covered(owned) | Found::Overlap(owned) | Found::Gap(owned)) = found;
                let Some(period) = self.within(owned.period) else { return };
                match found {
                    Found::Covered(_) => {}
                    Found::Overlap(_) => overlaps.add(instance, period, &self.instances),
                    Found::Gap(_) => gaps.add(instance, period, &self.instances),
                }
                self.time(instance, &found, Owned { period, ..owned });
            });
            if let (Some(covered), Some(whole)) = (covered, whole) {
                let (late, early) = (covered.start > whole.start, covered.end < whole.end);
                late_starts += u64::from(late);
                early_ends += u64::from(early);
                incomplete += u64::from(late || early);
            }
        }
        let plots = self.series.take().map(|series| {
            let several = self.users.len() > 1;
            let user = |instance: u32| {
                let owner = periods.get(usize::try_from(instance).ok()?)?.only_owner()?;
                let user = self.owners.get(usize::try_from(owner).ok()?)?.user;
                several.then(|| self.users.name(user).to_owned())
            };
            Plots::new(series, &self.instances, user)
        });
        drop(periods);
        let usual = self.usual_length();
        let mut crossings: Vec<Crossing> = self.crossings.into_values().collect();
        crossings.sort_by(|a, b| a.config.id.cmp(&b.config.id));
        let Options { by, zone, since, until, expect_full, .. } = self.options;
        let mut implausible_periods = self.implausible_periods;
        implausible_periods
            .list
            .sort_by(|a, b| (&a.instance_id, a.start, a.end).cmp(&(&b.instance_id, b.start, b.end)));
        let range = |of: UsagePeriod| UsagePeriod { start: since.unwrap_or(of.start), end: until.unwrap_or(of.end) };
        let given = since.zip(until).map(|(start, end)| UsagePeriod { start, end });
        Report {
            span: self.span,
            range: self.span.map(range).or(given),
            since,
            until,
            instances: self.instances.len() as u64,
            users: self.users.len() as u64,
            organizations: self.orgs.len() as u64,
            repeats: self.repeats,
            outside: self.outside,
            total: self.groups.total(&self.instances),
            gaps: gaps.finish(&self.instances),
            overlaps: overlaps.finish(&self.instances),
            expect_full,
            late_starts,
            early_ends,
            incomplete,
            implausible_periods,
            conflicts: self.conflicts,
            named_conflicts: self.named_conflicts,
            thresholds: crossings,
            usual_period: usual,
            plots,
            zone,
            rows: Rows::new(self.groups, by.clone(), [self.instances, self.users, self.orgs]),
            by,
        }
    }

    /// The commonest length of a period, in seconds.
    fn usual_length(&self) -> Option<i64> {
        self.lengths.iter().max_by_key(|(length, count)| (**count, -**length)).map(|(length, _)| *length)
    }

    /// The time in which an instance is expected to be metered; `None` where there is no event.
    fn expected_range(&self) -> Option<UsagePeriod> {
        let span = self.span?;
        // What a meter that lives has not told yet is no gap: its newest period is told when it ends, and takes its way.
        let not_due = self.usual_length().unwrap_or_default().saturating_mul(2);
        let last = self.options.now.map_or(i64::MAX, |now| now.max(span.end).saturating_sub(not_due));
        let end = self.options.until.map_or(span.end, |until| until.min(last));
        Some(UsagePeriod { start: self.options.since.unwrap_or(span.start), end })
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
            let key = self.key(day, owned.owner, instance);
            let tally = self.groups.tally(key);
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
            let org = owner.org.map(|org| self.orgs.name(org));
            (self.users.name(owner.user), org)
        };
        let mut order: Vec<usize> = (0..self.owners.len()).collect();
        order.sort_by_key(|owner| self.owners.get(*owner).map(names));
        let mut ranks = vec![0; order.len()];
        for (rank, owner) in (0..).zip(order) {
            ranks[owner] = rank;
        }
        ranks
    }
}
