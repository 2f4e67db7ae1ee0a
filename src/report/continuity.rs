//! Where the periods of an instance leave gaps, and where they overlap.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use serde::Serialize;

use super::names::Names;
use super::output::Place;
use super::periods::{Owned, Periods};
use crate::events::UsagePeriod;

/// So many findings of a kind are listed at most; all are counted.
const LISTED: usize = 1000;

/// A stretch of time of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// The instance.
    pub instance_id: String,
    /// Its first second, in Unix seconds.
    pub start: i64,
    /// The first second after it.
    pub end: i64,
}

/// Gaps, or overlaps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// How many there are.
    pub count: u64,
    /// How long they are together.
    pub seconds: u64,
    /// The longest of them, at most a thousand, by instance and time.
    pub list: Vec<Stretch>,
}

/// Two different events with one metering key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conflict {
    /// The instance.
    pub instance_id: String,
    /// The period.
    pub period: UsagePeriod,
    /// Where the first of the two stands.
    pub first: Place,
    /// Where the second one stands.
    pub second: Place,
}

/// What a sweep over an instance's periods finds, in order.
pub(super) enum Found {
    /// Covered for the first time.
    Covered(Owned),
    /// Covered once more.
    Overlap(Owned),
    /// Not covered; the owner is whose period ended before it.
    Gap(Owned),
}

/// Goes over the periods from the first to the last, and gives from where to where they go; `None` where there are none.
/// What of `expected` lies before the first or behind the last one is a gap too.
pub(super) fn sweep(
    periods: &Periods,
    rank: &[u32],
    expected: Option<UsagePeriod>,
    mut found: impl FnMut(Found),
) -> Option<UsagePeriod> {
    let of = |start, end, owner| Owned { period: UsagePeriod { start, end }, owner };
    let mut reach: Option<(i64, u32)> = None;
    let mut first = None;
    for Owned { period: UsagePeriod { start, end }, owner } in periods.sorted(rank) {
        let begun = *first.get_or_insert(start);
        let from = expected.map_or(begun, |expected| expected.start.min(begun));
        let (reached, last) = reach.unwrap_or((from, owner));
        if start > reached {
            found(Found::Gap(of(reached, start, last)));
        }
        if start < reached {
            found(Found::Overlap(of(start, end.min(reached), owner)));
        }
        if end > reached || reach.is_none() {
            found(Found::Covered(of(start.max(reached), end, owner)));
            reach = Some((end, owner));
        }
    }
    let (reached, last) = reach?;
    if let Some(expected) = expected.filter(|expected| expected.end > reached) {
        found(Found::Gap(of(reached, expected.end, last)));
    }
    Some(UsagePeriod { start: first?, end: reached })
}

/// Counts stretches and keeps the longest. Those that touch are one.
#[derive(Debug, Default)]
pub(super) struct Collector {
    count: u64,
    seconds: u64,
    open: Option<(u32, i64, i64)>,
    longest: BinaryHeap<Reverse<Ranked>>,
}

/// Longer is greater; of two as long the one that is later is less, whatever came first.
#[derive(Debug, PartialEq, Eq)]
struct Ranked {
    seconds: u64,
    instance: Box<str>,
    start: i64,
    end: i64,
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let place = |it: &Self| (it.start, it.instance.clone());
        self.seconds.cmp(&other.seconds).then_with(|| place(other).cmp(&place(self)))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Collector {
    /// Adds a stretch, which starts no earlier than those of the same instance before it.
    pub(super) fn add(&mut self, instance: u32, period: UsagePeriod, names: &Names) {
        self.seconds = self.seconds.saturating_add(period.end.abs_diff(period.start));
        match &mut self.open {
            Some((of, _, end)) if *of == instance && *end >= period.start => *end = (*end).max(period.end),
            _ => {
                self.close(names);
                self.open = Some((instance, period.start, period.end));
            }
        }
    }

    fn close(&mut self, names: &Names) {
        let Some((instance, start, end)) = self.open.take() else { return };
        self.count += 1;
        let instance = names.name(instance).into();
        self.longest.push(Reverse(Ranked { seconds: end.abs_diff(start), instance, start, end }));
        if self.longest.len() > LISTED {
            self.longest.pop();
        }
    }

    pub(super) fn finish(mut self, names: &Names) -> Findings {
        self.close(names);
        let mut list: Vec<Stretch> = self
            .longest
            .into_iter()
            .map(|Reverse(it)| Stretch { instance_id: it.instance.into(), start: it.start, end: it.end })
            .collect();
        list.sort_by(|a, b| (&a.instance_id, a.start).cmp(&(&b.instance_id, b.start)));
        Findings { count: self.count, seconds: self.seconds, list }
    }
}
