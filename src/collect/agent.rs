//! The agent: several scopes, one time line, one look at a time; events out. Reads no clock and writes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fleet::{Current, Fleet, Look, Moment, Past, PastRef, Problem, ScopeId};
use super::metered::{Labels, Metered, Owner};
use super::namespace_owners::NamespaceOwners;
use super::remainder::Remainder;
use super::timeline::is_possible_second;
use super::{CollectError, Now, Schedule, Scope, Timeline};
use crate::clock::Monotonic;

/// The label of an event behind which the wall clock was set ahead: by how many seconds the next period begins later.
const CLOCK_SET_LABEL: &str = "clock_set";

/// A scope to meter.
#[derive(Debug)]
pub struct Source {
    /// What the scope is called, in messages and in kept state: the same in every process that meters the same
    /// instances under the same ids, and another one for each scope of an agent.
    pub name: String,
    /// What is looked at.
    pub scope: Box<dyn Scope>,
    /// Who is billed.
    pub owner: Owner,
}

/// When to look, and where periods end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// How long a period is; whole seconds.
    pub interval: Duration,
    /// Whether periods end at multiples of the interval on the wall clock, or are counted from the first look.
    pub align: bool,
    /// How often to look in between; at most the interval.
    pub sample_interval: Duration,
}

/// What one step gave.
#[derive(Debug, Default, PartialEq)]
pub struct Tick {
    /// Events, by instance within each cause.
    pub events: Vec<Metered>,
    /// Whether a period of the schedule was closed.
    pub closed: bool,
}

/// What becomes of the scopes of an agent.
#[derive(Debug)]
pub enum Plan {
    /// One that is metered already goes on.
    Keep(ScopeId),
    /// One is new.
    Open(Source),
}

#[derive(Debug)]
struct Watched {
    id: ScopeId,
    name: Arc<str>,
    scope: Box<dyn Scope>,
    owner: Owner,
    /// Whether its last look failed, which was said.
    failing: bool,
    before: Option<Moment>,
    looked: bool,
    /// Whether its last look saw an instance.
    populated: bool,
}

/// Meters the instances of several scopes.
///
/// Whoever drives it waits for [`Agent::wait`], then calls [`Agent::tick`]; where a scope's
/// [`urgency`](Scope::urgency) becomes readable, [`Agent::glance`]; at the end [`Agent::finish`].
/// [`Agent::snapshot`] is all that another process of the same boot needs to go on without a gap.
#[derive(Debug)]
pub struct Agent {
    sources: Vec<Watched>,
    fleet: Fleet,
    line: Timeline,
    periods: Periods,
    schedule: Schedule,
    /// The second of the first look.
    begin: i64,
    begun: bool,
    /// The edge at which the open periods began, or before which they did.
    opened: i64,
    last: Option<i64>,
    /// When all scopes were last looked at.
    sampled: Monotonic,
    /// When the next sample in between is due, where the caller says so, and when the interval behind it begins.
    planned: Option<Monotonic>,
    next_interval: Monotonic,
    held: bool,
    /// The wall clock was set ahead since the last look: the second that the line would be at otherwise.
    jumped_from: Option<i64>,
    /// When scopes of the process before were last looked at.
    earlier: BTreeMap<String, Moment>,
    /// Events that come with the first look.
    unsaid: Vec<Metered>,
    scopes: u64,
}

/// What is kept of an agent, as it is read back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Snapshot {
    line: Timeline,
    scopes: BTreeMap<String, Moment>,
    instances: BTreeMap<String, Past>,
    #[serde(default)]
    remainders: BTreeMap<String, Remainder>,
    #[serde(default)]
    namespaces: NamespaceOwners,
    /// By which patterns scopes chose interfaces.
    #[serde(default)]
    interfaces: BTreeMap<String, Vec<String>>,
}

/// The same, as it is written.
#[derive(Debug, Serialize)]
pub struct SnapshotRef<'a> {
    line: &'a Timeline,
    scopes: BTreeMap<&'a str, Moment>,
    instances: BTreeMap<&'a str, PastRef<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    remainders: &'a BTreeMap<String, Remainder>,
    #[serde(skip_serializing_if = "NamespaceOwners::is_empty")]
    namespaces: &'a NamespaceOwners,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    interfaces: BTreeMap<&'a str, Vec<String>>,
}

impl Snapshot {
    /// The time line that was kept.
    #[must_use]
    pub const fn line(&self) -> &Timeline {
        &self.line
    }

    /// Whether clocks may have shown all its times.
    pub(super) fn is_possible(&self) -> bool {
        let is_possible = |it: &Moment| is_possible_second(it.second) && is_possible_second(it.settled);
        self.line.is_possible()
            && self.scopes.values().all(is_possible)
            && self.instances.values().all(Past::is_possible)
    }

    /// How many instances were metered when it was kept.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.instances.values().filter(|past| past.is_open()).count()
    }
}

impl Agent {
    /// An agent that looks first at the next whole second, since a period covers whole seconds.
    #[must_use]
    pub fn new(sources: Vec<Source>, periods: Periods, now: Now) -> Self {
        Self::start(sources, periods, Timeline::new(now))
    }

    /// An agent that goes on for another one of the same boot: what was consumed in between is metered in events of
    /// their own, from where the other's periods ended to the first look.
    #[must_use]
    pub fn resume(sources: Vec<Source>, periods: Periods, earlier: Snapshot, now: Now) -> Self {
        let mut agent = Self::start(sources, periods, earlier.line);
        agent.move_to(now);
        agent.begin = agent.line.ceiling();
        agent.fleet = Fleet::resume(earlier.instances, earlier.remainders, earlier.namespaces, now.monotonic);
        agent.fleet.remember_chosen(earlier.interfaces);
        for source in &mut agent.sources {
            source.before = earlier.scopes.get(&*source.name).copied();
        }
        agent.earlier = earlier.scopes;
        agent
    }

    /// An agent that meters anew in another boot. Its first period is not before the last one of `earlier`; what that
    /// one saw and had in no event yet comes in events with the first look.
    #[must_use]
    pub fn after_boot(sources: Vec<Source>, periods: Periods, earlier: Snapshot, now: Now) -> Self {
        let mut agent = Self::start(sources, periods, Timeline::after(&earlier.line, now));
        let none = NamespaceOwners::default();
        let mut fleet = Fleet::resume(earlier.instances, earlier.remainders, none, now.monotonic);
        fleet.settle(&mut agent.unsaid);
        fleet.close_remainders(earlier.line.ceiling(), &mut agent.unsaid);
        agent
    }

    fn start(sources: Vec<Source>, periods: Periods, line: Timeline) -> Self {
        let (begin, sampled) = (line.ceiling(), line.monotonic());
        let mut agent = Self {
            sources: Vec::new(),
            fleet: Fleet::default(),
            line,
            periods,
            schedule: Schedule::aligned(periods.interval),
            begin,
            begun: false,
            opened: begin,
            last: None,
            sampled,
            planned: None,
            next_interval: Monotonic::ZERO,
            held: false,
            jumped_from: None,
            earlier: BTreeMap::new(),
            unsaid: Vec::new(),
            scopes: 0,
        };
        for source in sources {
            let watched = agent.watched(source);
            agent.sources.push(watched);
        }
        agent
    }

    fn watched(&mut self, source: Source) -> Watched {
        self.scopes += 1;
        Watched {
            id: ScopeId(self.scopes),
            before: self.earlier.get(&source.name).copied(),
            name: source.name.into(),
            scope: source.scope,
            owner: source.owner,
            failing: false,
            looked: false,
            populated: false,
        }
    }

    /// Ends metering so long after the first look; see [`Agent::is_over`].
    pub fn end_after(&mut self, duration: Duration) {
        self.last = Some(self.begin.saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)));
    }

    /// Whether the time of [`Agent::end_after`] is over and all periods are closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.begun && self.last.is_some_and(|last| self.opened >= last)
    }

    /// Holds periods open over their edges, since nobody takes events now; they close at the first edge afterwards.
    pub const fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// How long to wait for the next [`Agent::tick`], as of the last look at the clocks.
    #[must_use]
    pub fn wait(&self) -> Duration {
        if !self.begun {
            return self.line.until(self.begin);
        }
        // Samples of single instances in between put none off.
        let now = self.line.monotonic();
        let next = match self.planned {
            Some(planned) => planned.saturating_sub(now),
            None => self.periods.sample_interval.saturating_sub(now.saturating_sub(self.sampled)),
        };
        if self.held { next } else { next.min(self.line.until(self.edge())) }
    }

    /// Plans the next sample in between, unless one is planned: at the part `random`, 0 to 1, of the next sample interval.
    /// Who knows when samples come holds memory in between alone. Without it they come at even distances; the ends of
    /// periods stay where they are.
    pub fn plan_sample(&mut self, random: f64) {
        let now = self.line.monotonic();
        if !self.begun || self.planned.is_some_and(|planned| planned > now) {
            return;
        }
        let interval = self.periods.sample_interval;
        let mut begin = self.next_interval;
        // Samples were missed, or another interval was set.
        if begin.saturating_add(interval) <= now || begin > now.saturating_add(interval) {
            begin = now;
        }
        let part = Duration::try_from_secs_f64(interval.as_secs_f64() * random.clamp(0.0, 1.0)).unwrap_or_default();
        self.planned = Some(begin.saturating_add(part));
        self.next_interval = begin.saturating_add(interval);
    }

    /// Whether the first look was taken.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// How long to wait for a whole second, where `passed` has passed since the last look: none of the seconds that
    /// began in between, but the next one.
    #[must_use]
    pub fn until_whole_second(&self, passed: Duration) -> Duration {
        let first = self.line.until(self.line.second() + 1);
        first.checked_sub(passed).unwrap_or_else(|| {
            let since = passed.saturating_sub(first).subsec_nanos();
            Duration::from_nanos(if since == 0 { 0 } else { 1_000_000_000 - u64::from(since) })
        })
    }

    /// The next edge of a period.
    fn edge(&self) -> i64 {
        self.schedule.edge_after(self.opened).min(self.last.unwrap_or(i64::MAX))
    }

    /// Looks at every scope, and closes the periods whose time is over. Where edges were missed (a stopped process, a
    /// suspended host), one period goes to the last of them.
    ///
    /// # Errors
    /// At the first look alone: when a scope can't be read, when two scopes have an instance of the same id or meter the
    /// same and neither is a [pattern](Scope::is_pattern). Later the other ones go on, and what failed is logged once.
    /// What two scopes have through a pattern is metered for one of them, at the start for the first, and logged.
    pub fn tick(&mut self, now: Now) -> Result<Tick, CollectError> {
        self.move_to(now);
        let mut tick = Tick::default();
        if !self.begun {
            if self.line.second() >= self.begin {
                self.begin(&mut tick.events)?;
            }
            return Ok(tick);
        }
        self.look(&mut tick.events);
        self.close_at_jump(&mut tick.events);
        let (edge, second) = (self.edge(), self.line.second());
        if second >= edge && !self.held {
            let end = self.schedule.edge_at_or_before(second).max(edge).min(self.last.unwrap_or(i64::MAX));
            self.close(end, &mut tick.events);
            tick.closed = true;
        }
        Ok(tick)
    }

    fn begin(&mut self, events: &mut Vec<Metered>) -> Result<(), CollectError> {
        events.append(&mut self.unsaid);
        self.begin = self.line.second();
        self.opened = self.begin;
        self.schedule = self.schedule();
        let (moment, mut problems) = (self.moment(), Vec::new());
        for source in &mut self.sources {
            source.look(&mut self.fleet, moment, false, events, &mut problems)?;
        }
        self.fleet.remember_chosen(BTreeMap::new());
        if let Some(problem) = problems.iter().find(|problem| problem.is_fault()) {
            return Err(CollectError(problem.to_string()));
        }
        say(&problems);
        self.fleet.release_namespaces();
        self.close_at_jump(events);
        // What was consumed while nobody looked is an event of its own.
        self.fleet.close(moment.second, |_| true, events);
        self.fleet.settle(events);
        self.sampled = moment.at;
        self.next_interval = moment.at;
        self.begun = true;
        Ok(())
    }

    fn schedule(&self) -> Schedule {
        if self.periods.align {
            Schedule::aligned(self.periods.interval)
        } else {
            Schedule::from_start(self.periods.interval, self.line.second())
        }
    }

    /// Looks at every scope; those that fail keep their periods open.
    fn look(&mut self, events: &mut Vec<Metered>) {
        let (moment, mut problems) = (self.moment(), Vec::new());
        self.sampled = moment.at;
        for source in &mut self.sources {
            source.look_on(&mut self.fleet, moment, false, events, &mut problems);
        }
        self.fleet.flush(moment.second, events);
        self.fleet.forget(moment.at);
        say(&problems);
    }

    fn close(&mut self, end: i64, events: &mut Vec<Metered>) {
        let failing: HashSet<ScopeId> =
            self.sources.iter().filter(|source| source.failing).map(|source| source.id).collect();
        self.fleet.close(end, |id| !failing.contains(&id), events);
        self.opened = end;
    }

    /// Where the wall clock was set ahead since the look before: ends the open periods at the second that it would show
    /// otherwise, and begins the next ones at the one that it shows. Periods hold the time that passed and no more, so
    /// that nobody pays for memory in hours that never were.
    fn close_at_jump(&mut self, events: &mut Vec<Metered>) {
        let Some(from) = self.jumped_from.take() else { return };
        let (others, second) = (events.len(), self.line.second());
        self.fleet.close(from, |_| true, events);
        self.fleet.settle(events);
        let skipped = second.saturating_sub(from);
        for metered in events.iter_mut().skip(others) {
            let mut labels = Labels::clone(&metered.labels);
            labels.insert(CLOCK_SET_LABEL.to_owned(), format!("+{skipped} s"));
            metered.labels = Arc::new(labels);
        }
        self.fleet.skip_to(second);
        for before in self.sources.iter_mut().filter_map(|source| source.before.as_mut()) {
            before.second = before.second.max(second);
            before.settled = before.settled.max(second);
        }
        self.opened = second;
        self.last = self.last.map(|last| last.saturating_add(skipped));
    }

    /// Takes the look that the [`urgency`](Scope::urgency) of `scopes`, in rising order, asks for: at those that it
    /// concerns. No period of the schedule is closed.
    pub fn glance(&mut self, scopes: &[ScopeId], now: Now) -> Tick {
        self.move_to(now);
        let (mut tick, moment, mut problems) = (Tick::default(), self.moment(), Vec::new());
        if self.begun && self.jumped_from.is_some() {
            self.look(&mut tick.events);
            self.close_at_jump(&mut tick.events);
        } else if self.begun {
            for source in &mut self.sources {
                if scopes.binary_search(&source.id).is_ok() && source.scope.is_urgent(moment.at) {
                    source.look_on(&mut self.fleet, moment, true, &mut tick.events, &mut problems);
                }
            }
            self.fleet.forget(moment.at);
        }
        say(&problems);
        tick
    }

    /// Takes over another set of scopes and other periods, at best at a whole second. Scopes that are kept go on with
    /// their instances, and so do instances that another scope has now; the rest get their last events.
    pub fn reconfigure(&mut self, plan: Vec<Plan>, periods: Periods, now: Now) -> Tick {
        self.move_to(now);
        let mut tick = Tick::default();
        if self.begun {
            self.look(&mut tick.events);
            self.close_at_jump(&mut tick.events);
        }
        let mut old: HashMap<ScopeId, Watched> =
            std::mem::take(&mut self.sources).into_iter().map(|source| (source.id, source)).collect();
        for step in plan {
            match step {
                Plan::Keep(id) => self.sources.extend(old.remove(&id)),
                Plan::Open(source) => {
                    let watched = self.watched(source);
                    self.sources.push(watched);
                }
            }
        }
        let (mut moment, dropped) = (self.moment(), !old.is_empty());
        let patterns = |source: &Watched| (source.name.to_string(), source.scope.interface_patterns());
        self.fleet.remember_chosen(old.values().map(patterns).collect());
        if dropped {
            // The same may be metered under another name now, which must not have the same second.
            let end = self.fleet.drop_scopes(&old.into_keys().collect(), moment, &mut tick.events);
            moment.second = moment.second.max(end.unwrap_or(i64::MIN).min(moment.ceiling));
        }
        if periods != self.periods {
            self.periods = periods;
            self.schedule = self.schedule();
            self.planned = None;
        }
        if self.begun {
            let mut problems = Vec::new();
            // What a dropped scope had, one that is kept may have as well. A second look at one moment adds nothing.
            for source in self.sources.iter_mut().filter(|source| dropped || !source.looked) {
                source.look_on(&mut self.fleet, moment, false, &mut tick.events, &mut problems);
            }
            self.fleet.remember_chosen(BTreeMap::new());
            say(&problems);
        }
        tick
    }

    /// Takes a last look and closes everything that is open. The last period is rounded up to the second that runs, so
    /// that all that was metered is covered.
    pub fn finish(&mut self, now: Now) -> Tick {
        self.move_to(now);
        let mut tick = Tick::default();
        if self.begun {
            self.look(&mut tick.events);
            self.close_at_jump(&mut tick.events);
            self.fleet.flush(self.line.ceiling(), &mut tick.events);
            self.close(self.line.ceiling(), &mut tick.events);
            self.fleet.close_seen(self.line.ceiling(), &mut tick.events);
        }
        tick
    }

    /// What is metered now, by instance id.
    pub fn current(&self) -> impl Iterator<Item = Current<'_>> {
        self.fleet.current()
    }

    /// The scopes, with what they are called.
    pub fn scopes(&self) -> impl Iterator<Item = (ScopeId, &dyn Scope, &str)> {
        self.sources.iter().map(|source| (source.id, &*source.scope, &*source.name))
    }

    /// The second that had begun at the last look, in Unix seconds.
    #[must_use]
    pub fn second(&self) -> i64 {
        self.line.second()
    }

    /// When the last look was, by the monotonic clock.
    #[must_use]
    pub const fn looked_at(&self) -> Monotonic {
        self.line.monotonic()
    }

    /// All that another process of the same boot needs to go on.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotRef<'_> {
        let looks = self.sources.iter().filter_map(|source| Some((&*source.name, source.before?)));
        SnapshotRef {
            line: &self.line,
            scopes: looks.collect(),
            instances: self.fleet.to_past(),
            remainders: self.fleet.remainders(),
            namespaces: self.fleet.namespaces(),
            interfaces: self.chosen_by(),
        }
    }

    /// By which patterns scopes choose interfaces, of those that do.
    fn chosen_by(&self) -> BTreeMap<&str, Vec<String>> {
        let patterns = self.sources.iter().map(|source| (&*source.name, source.scope.interface_patterns()));
        patterns.filter(|(_, patterns)| !patterns.is_empty()).collect()
    }

    fn moment(&self) -> Moment {
        let line = &self.line;
        Moment { at: line.monotonic(), second: line.second(), settled: line.settled(), ceiling: line.ceiling() }
    }

    fn move_to(&mut self, now: Now) {
        let Some(step) = self.line.advance(now) else { return };
        match step.jumped_from {
            Some(from) => {
                self.jumped_from.get_or_insert(from);
                tracing::warn!(
                    seconds = step.seconds,
                    "the wall clock was set ahead: open periods end at {from} (Unix seconds), the next ones begin at {}, and \
                     the gap between holds no time that passed; the last event before it has the label {CLOCK_SET_LABEL}",
                    self.line.second()
                );
            }
            None => tracing::warn!(
                seconds = step.seconds,
                "the wall clock was set; until it shows later seconds than events have, they are counted without it"
            ),
        }
    }
}

impl Watched {
    fn look(
        &mut self,
        fleet: &mut Fleet,
        now: Moment,
        glance: bool,
        events: &mut Vec<Metered>,
        problems: &mut Vec<Problem>,
    ) -> Result<(), CollectError> {
        let chosen = if self.looked { None } else { fleet.chosen_by(&self.name, &*self.scope) };
        if let Some((keys, at)) = &chosen {
            self.scope.choose_interfaces(keys, *at);
        }
        let observed = if glance { self.scope.glance(now.at) } else { self.scope.read(now.at) };
        if let Some((_, at)) = chosen {
            self.scope.choose_interfaces(&[], at);
        }
        let observed = observed?;
        if !observed.is_empty() {
            self.populated = true;
        } else if std::mem::take(&mut self.populated) {
            let later =
                if self.scope.is_over() { "nothing comes of it any more" } else { "what comes back is metered" };
            tracing::warn!(scope = &*self.name, "nothing is left of it: it has its last event; {later}");
        }
        let (before, first) = (self.before, !self.looked);
        let is_pattern = self.scope.is_pattern();
        let lost = self.scope.take_lost_cpu();
        let scope = &*self.scope;
        let substitute = &|place: &super::Place| scope.substitute_id(place);
        let (id, name, owner) = (self.id, &self.name, &self.owner);
        let look = Look { scope: id, name, owner, now, before, first, is_pattern, substitute };
        fleet.take(&look, observed, events, problems);
        fleet.take_lost(&look, lost);
        (self.before, self.looked) = (Some(now), true);
        Ok(())
    }

    /// The same, where a failure is said once.
    fn look_on(
        &mut self,
        fleet: &mut Fleet,
        now: Moment,
        glance: bool,
        events: &mut Vec<Metered>,
        problems: &mut Vec<Problem>,
    ) {
        let result = self.look(fleet, now, glance, events, problems);
        let was = std::mem::replace(&mut self.failing, result.is_err());
        match result {
            Err(error) if !was => {
                tracing::warn!(scope = &*self.name, %error, "can't be read; its periods go on until it can");
            }
            Ok(()) if was => tracing::warn!(scope = &*self.name, "can be read again"),
            _ => {}
        }
    }
}

fn say(problems: &[Problem]) {
    problems.iter().for_each(Problem::say);
}

#[cfg(test)]
mod tests;
