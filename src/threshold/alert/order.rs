//! Whether events that came in the wrong order keep a verdict from being right.
//!
//! An event behind a newer one of its instance changes no state (`late`). Where it is over a limit, that may hide what
//! would have fired: so the spans over each limit are kept as they would stand had every event come in its order, and
//! compared with what did fire. A late event does no harm where its time is in a span already (it came again), or where
//! the span that it makes longer is shorter than `for`. Spans may be taken for longer than they are, by late events below
//! the limit that are not looked at; then a doubt is reported without need, and never a verdict that is wrong.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::seen::{InstanceKey, InstanceKeys};
use crate::events::{UsageEvent, UsagePeriod};
use crate::threshold::evaluate::Compiled;

/// So many spans of a threshold on an instance are kept. Of what is older than those only the newest end is known.
const MOST_SPANS: usize = 32;
/// So many thresholds on instances have spans; then all are dropped.
const MOST_TRACKED: usize = 100_000;
/// So many instances are counted and named.
const MOST_NAMED: usize = 10_000;

/// Events that came behind newer ones of their instance and might have made a threshold fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfOrder<'a> {
    /// The instance.
    pub instance: &'a str,
    /// How many of its events came out of order and were over a limit.
    pub events: u64,
}

/// The spans over the limits of thresholds with states.
#[derive(Debug, Clone, Default)]
pub(super) struct OrderWatch {
    spans: HashMap<(InstanceKey, InstanceKey), Spans>,
    late: BTreeMap<Box<str>, LateInstance>,
    /// Spans that began before this were dropped.
    forgotten_before: i64,
    /// Events that are counted in `late`, of all instances.
    late_events: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct LateInstance {
    events: u64,
    /// One of its thresholds might have fired, in a span that is not kept any more.
    is_in_doubt: bool,
    /// The event that was counted last.
    last: Option<UsagePeriod>,
}

/// The spans of one threshold on one instance, in rising order, none touching another.
#[derive(Debug, Clone, Default)]
struct Spans {
    list: Vec<Span>,
    /// For how long the limit has to be exceeded before the threshold fires, in seconds.
    hold: i64,
    /// Under which name its late events are counted; `None` where none came.
    late_name: Option<Box<str>>,
    /// The end of the newest span that is not kept any more.
    dropped_until: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: i64,
    end: i64,
    /// The longest period in it: a gap no longer than that does not end it, as for the states.
    longest: i64,
    /// The threshold fired in it.
    has_fired: bool,
    /// An event that came late is in it.
    has_late: bool,
}

impl Span {
    /// The seconds between this span and another one; negative where they overlap.
    fn gap_to(&self, other: &Self) -> i64 {
        other.start.saturating_sub(self.end).max(self.start.saturating_sub(other.end))
    }

    /// Whether the threshold would have fired in it and did not.
    const fn is_in_doubt(&self, hold: i64) -> bool {
        self.has_late && !self.has_fired && self.end.saturating_sub(self.start) >= hold
    }

    fn join(&mut self, other: Self) {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.longest = self.longest.max(other.longest);
        self.has_fired |= other.has_fired;
        self.has_late |= other.has_late;
    }
}

impl OrderWatch {
    /// Takes in an event that came in its order and is over the limit: since `since` the limit was exceeded without end.
    pub(super) fn in_order(
        &mut self,
        keys: InstanceKeys,
        compiled: &Compiled,
        event: &UsageEvent,
        since: i64,
        fired: bool,
    ) {
        let UsagePeriod { start, end } = event.period;
        let span = Span { start: since.min(start), end, longest: end - start, has_fired: fired, has_late: false };
        // What the states took for an end of the span before is one.
        self.insert(keys, compiled, event, span, |gap, _| gap < 0);
    }

    /// Takes in an event that came behind a newer one of its instance and is over the limit.
    pub(super) fn late(&mut self, keys: InstanceKeys, compiled: &Compiled, event: &UsageEvent) {
        let UsagePeriod { start, end } = event.period;
        let known = self.spans.get(&key(keys, compiled, event));
        if known.is_some_and(|spans| spans.list.iter().any(|span| span.start <= start && end <= span.end)) {
            return;
        }
        let is_forgotten = start < self.forgotten_before
            || known.and_then(|spans| spans.dropped_until).is_some_and(|dropped| start <= dropped);
        let name = self.count(event);
        if let Some(late) = self.late.get_mut(&name).filter(|_| is_forgotten) {
            late.is_in_doubt = true;
            return;
        }
        let span = Span { start, end, longest: end - start, has_fired: false, has_late: true };
        self.insert(keys, compiled, event, span, |gap, longest| gap <= longest).late_name = Some(name);
    }

    /// The instances whose events came in an order that leaves in doubt whether a threshold would have fired, sorted.
    pub(super) fn in_doubt(&self) -> Vec<OutOfOrder<'_>> {
        let by_spans: HashSet<&str> = self.spans.values().filter_map(Spans::name_in_doubt).collect();
        let in_doubt = self.late.iter().filter(|(name, late)| late.is_in_doubt || by_spans.contains(&***name));
        in_doubt.map(|(instance, late)| OutOfOrder { instance, events: late.events }).collect()
    }

    /// Whether events of an instance that were over a limit came out of order so far.
    pub(super) fn has_late(&self, instance: &str) -> bool {
        self.late.contains_key(instance)
    }

    /// How many events over a limit came out of order so far.
    pub(super) const fn late_events(&self) -> u64 {
        self.late_events
    }

    fn insert(
        &mut self,
        keys: InstanceKeys,
        compiled: &Compiled,
        event: &UsageEvent,
        span: Span,
        joins: fn(i64, i64) -> bool,
    ) -> &mut Spans {
        if self.spans.len() >= MOST_TRACKED {
            self.forget_spans(span.end);
        }
        let spans = self.spans.entry(key(keys, compiled, event)).or_default();
        spans.hold = compiled.config.hold.unwrap_or_default().seconds();
        let dropped_in_doubt = spans.insert(span, joins);
        if let Some(late) = spans.late_name.as_ref().filter(|_| dropped_in_doubt).and_then(|it| self.late.get_mut(it)) {
            late.is_in_doubt = true;
        }
        spans
    }

    /// Makes room: what is in doubt by the spans stays so.
    fn forget_spans(&mut self, now: i64) {
        for name in self.spans.values().filter_map(Spans::name_in_doubt) {
            if let Some(late) = self.late.get_mut(name) {
                late.is_in_doubt = true;
            }
        }
        self.spans.clear();
        self.forgotten_before = self.forgotten_before.max(now);
    }

    /// Counts a late event. The name under which it is counted: that of its instance, unless there are too many.
    fn count(&mut self, event: &UsageEvent) -> Box<str> {
        let is_full = self.late.len() >= MOST_NAMED && !self.late.contains_key(&*event.instance_id);
        let name: Box<str> = if is_full { "(others)".into() } else { event.instance_id.as_str().into() };
        let late = self.late.entry(name.clone()).or_default();
        // Several thresholds may be exceeded by one event.
        if late.last != Some(event.period) {
            late.events += 1;
            late.last = Some(event.period);
            self.late_events += 1;
        }
        name
    }
}

impl Spans {
    /// The name of its late events where the threshold might have fired with them and did not.
    fn name_in_doubt(&self) -> Option<&str> {
        self.late_name.as_deref().filter(|_| self.list.iter().any(|span| span.is_in_doubt(self.hold)))
    }

    /// Adds `span`, joined with those of which `joins` says so by the gap to it and the longer period of the two. Whether
    /// a span was dropped for it in which the threshold might have fired.
    fn insert(&mut self, span: Span, joins: fn(i64, i64) -> bool) -> bool {
        let (alone, mut span) = (span, span);
        self.list.retain(|other| {
            let is_joined = joins(alone.gap_to(other), alone.longest.max(other.longest));
            if is_joined {
                span.join(*other);
            }
            !is_joined
        });
        let at = self.list.partition_point(|other| other.start < span.start);
        self.list.insert(at, span);
        if self.list.len() <= MOST_SPANS {
            return false;
        }
        let dropped = self.list.remove(0);
        self.dropped_until = self.dropped_until.max(Some(dropped.end));
        dropped.is_in_doubt(self.hold)
    }
}

fn key(keys: InstanceKeys, compiled: &Compiled, event: &UsageEvent) -> (InstanceKey, InstanceKey) {
    (keys.of(&compiled.config.id), keys.of(&event.instance_id))
}
