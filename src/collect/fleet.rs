//! The instances that are metered: a meter for each, from its first look to its last event. Pure.
//!
//! | an instance | its first period | its counters |
//! | --- | --- | --- |
//! | was there when its scope was first looked at | starts with that look | what they show was before us |
//! | appeared between two looks | starts with the look at which it was not there yet | began at zero: all is ours |
//! | came back, or another process metered it before, in the same life | goes on where the chain ended | go on |
//! | the same in another life | starts where it could have begun, never before the last one's end | began at zero |
//!
//! An instance that is missing from a look has ended: its last event covers what was seen of it, to its last look. Its
//! chain is remembered for a while, since a look may have missed what is there all the same. Its last event waits until
//! the second that it ends with is over: lives that follow within that second are of the same period, since each cannot
//! have a second of its own.
//!
//! Instances that begin and end within one period, thousands of them, share one event of their scope ([`remainder`]).
//!
//! [`remainder`]: super::remainder

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::metered::{Labels, Metered, Owner};
use super::namespace_owners::NamespaceOwners;
use super::overlap::{Place, Places, clash, contained, twice};
use super::remainder::{Remainder, Remainders};
use super::timeline::is_possible_second;
use super::{Chain, Identity, LostCpu, Meter, Observed, Reading, Scope};
use crate::clock::Monotonic;
use crate::events::MetricSet;

/// How long the chain of an instance that ended is remembered.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// When a look was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Moment {
    /// By the monotonic clock.
    pub(super) at: Monotonic,
    /// The second that had begun.
    pub(super) second: i64,
    /// The second up to which the look covers everything.
    pub(super) settled: i64,
    /// The end of the second that runs: nothing that was seen is later.
    #[serde(skip)]
    pub(super) ceiling: i64,
}

/// Ended instances whose chain is remembered at most. Whoever may make control groups makes ever new ones, and the
/// longest gone is forgotten first. A chain is worth less than a second to an instance that comes back.
const MAX_REMEMBERED: usize = 4096;
/// Instances of which something was logged that are remembered.
const MAX_LOGGED: usize = 4096;

/// One look at one scope.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) scope: ScopeId,
    /// The scope's name, the same in every process that meters the same.
    pub(super) name: &'a Arc<str>,
    pub(super) owner: &'a Owner,
    pub(super) now: Moment,
    /// The look before this one, in this process or in the one that it goes on for.
    pub(super) before: Option<Moment>,
    /// Whether it is the scope's first in this process.
    pub(super) first: bool,
    /// Whether a pattern says what the scope's instances are.
    pub(super) is_pattern: bool,
    /// Another id for what is at a place: [`Scope::substitute_id`](super::Scope::substitute_id).
    pub(super) substitute: &'a dyn Fn(&Place) -> Option<String>,
}

/// A scope of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(pub(super) u64);

/// What can be wrong with an instance that is metered no further for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// Its id is that of an instance of another scope; `substitute` is the one that it has in its place.
    Clash { instance: String, scope: Arc<str>, other: Arc<str>, substitute: Option<String> },
    /// Another scope meters the same under another id; `by_pattern` where one of them at least is a pattern.
    Twice { place: Place, instance: String, scope: Arc<str>, first: (String, Arc<str>), by_pattern: bool },
    /// It is in what another instance is metered for; both are metered.
    Within { place: Place, inner: (String, Arc<str>), outer: (String, Arc<str>) },
    /// Another instance is billed for the network namespace that it is in.
    Shared { inode: u64, instance: String, scope: Arc<str>, owner: String },
    /// It left the network namespace while another process metered it, but for a socket that may go on.
    Unreachable { inode: u64, instance: String, scope: Arc<str> },
    /// It can't be an event's.
    Refused { instance: String, scope: Arc<str>, why: String },
}

/// An instance that is metered.
#[derive(Debug)]
struct Member {
    scope: ScopeId,
    name: Arc<str>,
    life: String,
    labels: Arc<Labels>,
    place: Place,
    /// The network namespaces that it is billed for.
    namespaces: Vec<u64>,
    /// Those of them that it left, but for a socket.
    left: Vec<u64>,
    /// Those that it had left so when another process metered it: they may go on, and nobody can read them.
    unreachable: Vec<u64>,
    /// Whether it came under a pattern.
    is_pattern: bool,
    meter: Meter,
    /// Whether it had an event, so that it is not short-lived.
    has_event: bool,
    /// The number of the last look that saw it.
    looked: u64,
    /// The second up to which its last reading covers everything.
    seen: i64,
}

/// An instance that was metered, here or in an earlier process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Past {
    scope: String,
    life: String,
    identity: Identity,
    labels: Arc<Labels>,
    chain: Chain,
    /// The network namespaces that it is billed for.
    #[serde(default)]
    namespaces: Vec<u64>,
    /// Those that it left, but for a socket.
    #[serde(default)]
    left: Vec<u64>,
    seen: i64,
    /// When it ended; for one that was metered on when its process ended, nothing.
    ended: Option<Monotonic>,
}

/// The same, of a fleet that goes on.
#[derive(Debug, Serialize)]
pub(super) struct PastRef<'a> {
    scope: &'a str,
    life: &'a str,
    identity: &'a Identity,
    labels: &'a Labels,
    chain: &'a Chain,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    namespaces: &'a [u64],
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    left: Cow<'a, [u64]>,
    seen: i64,
    ended: Option<Monotonic>,
}

/// What is metered now, of one instance.
#[derive(Debug, Clone, Copy)]
pub struct Current<'a> {
    /// The scope that it belongs to.
    pub scope: &'a str,
    /// What its events say beside.
    pub labels: &'a Labels,
    /// Its meter, with the period that is open.
    pub meter: &'a Meter,
}

/// All instances.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    members: BTreeMap<String, Member>,
    past: BTreeMap<String, Past>,
    /// Those that ended and whose last event waits for its second to be over.
    waiting: BTreeSet<String>,
    /// What was said already: scope and instance.
    said: BTreeSet<(ScopeId, String)>,
    places: Places,
    /// Instances that have a substitute for their id.
    substituted: BTreeSet<String>,
    /// Scopes whose overlap was said already; the flag tells what is the same from what is within another.
    overlaps: BTreeSet<(ScopeId, ScopeId, bool)>,
    looks: u64,
    /// Scopes of which it was said that an instance shares a namespace.
    sharing: BTreeSet<ScopeId>,
    namespaces: NamespaceOwners,
    /// The interfaces that scopes chose by patterns, by the scopes' names: the patterns, the interfaces' keys, and when that
    /// was. Known while scopes are looked at for the first time.
    chosen: BTreeMap<String, (Vec<String>, Vec<String>, Monotonic)>,
    /// Scopes of which it was said that an instance has an unreachable namespace.
    unreachable: BTreeSet<ScopeId>,
    /// How many members each scope has.
    population: HashMap<ScopeId, usize>,
    remainders: Remainders,
}

impl Fleet {
    /// Goes on for a process that metered `past`.
    pub(super) fn resume(
        past: BTreeMap<String, Past>,
        sums: BTreeMap<String, Remainder>,
        namespaces: NamespaceOwners,
        now: Monotonic,
    ) -> Self {
        let past = past.into_iter().map(|(id, one)| (id, Past { ended: one.ended.or(Some(now)), ..one })).collect();
        Self { past, remainders: Remainders::resume(sums), namespaces, ..Self::default() }
    }

    /// Has the interfaces known that scopes of these names chose by these patterns, and forgets all others.
    pub(super) fn remember_chosen(&mut self, patterns: BTreeMap<String, Vec<String>>) {
        let scopes = patterns.into_iter().filter(|(_, patterns)| !patterns.is_empty());
        self.chosen = scopes.map(|(name, patterns)| (name, (patterns, Vec::new(), Monotonic::ZERO))).collect();
        if self.chosen.is_empty() {
            return;
        }
        let past = self.past.values().map(|past| (&*past.scope, &past.chain));
        let members = self.members.values().map(|member| (&*member.name, member.meter.chain()));
        for (scope, chain) in past.chain(members) {
            if let Some((_, keys, at)) = self.chosen.get_mut(scope) {
                keys.extend(chain.network().keys().cloned());
                *at = chain.last_look().max(*at);
            }
        }
    }

    /// The interfaces that a scope of this name chose by the patterns that it has now, and when.
    pub(super) fn chosen_by(&self, name: &str, scope: &dyn Scope) -> Option<(Vec<String>, Monotonic)> {
        let (patterns, keys, at) = self.chosen.get(name)?;
        (*patterns == scope.interface_patterns()).then(|| (keys.clone(), *at))
    }

    /// Takes in what a look at a scope saw, and gives the last events of those that it missed.
    pub(super) fn take(
        &mut self,
        look: &Look<'_>,
        observed: Vec<Observed>,
        events: &mut Vec<Metered>,
        problems: &mut Vec<Problem>,
    ) {
        self.looks += 1;
        let looked = self.looks;
        let may_leave_something = !observed.is_empty() || look.first && !self.past.is_empty();
        if may_leave_something {
            self.know_sums(look);
        }
        let mut present = 0;
        for mut seen in observed {
            // Most are what they were at the sample before: no other id and no other place has to be looked for.
            if self.substituted.is_empty()
                && let Some(member) = self.members.get_mut(&seen.instance)
                && member.scope == look.scope
                && member.place == seen.place
            {
                present += usize::from(member.renew(look, looked, seen, &mut self.namespaces));
                continue;
            }
            self.give_free_id(look, &mut seen, problems);
            if self.is_taken_elsewhere(look, &seen, problems) {
                // Missing from this look, as far as it goes: it ends.
                continue;
            }
            match self.members.get_mut(&seen.instance) {
                Some(member) if member.scope == look.scope => {
                    present += usize::from(member.renew(look, looked, seen, &mut self.namespaces));
                }
                Some(member) if member.place.is_same(&seen.place) && seen.place != Place::Host => {
                    let holder = seen.instance.clone();
                    self.tell_twice(look, &seen.place, seen.instance, &holder, problems);
                }
                Some(member) => {
                    let other = Arc::clone(&member.name);
                    if self.is_first_of(look.scope, &seen.instance) {
                        let (instance, scope) = (seen.instance, Arc::clone(look.name));
                        problems.push(Problem::Clash { instance, scope, other, substitute: None });
                    }
                }
                None => present += usize::from(self.admit(look, seen, events, problems)),
            }
        }
        if let Some((inode, instance, owner)) = self.namespaces.take_refused()
            && self.sharing.insert(look.scope)
        {
            problems.push(Problem::Shared { inode, instance, scope: Arc::clone(look.name), owner });
        }
        // Who looks at a hundred thousand scopes does not go through all members for each.
        if self.population.get(&look.scope).is_some_and(|members| *members != present) {
            let missing = |member: &Member| member.scope == look.scope && member.looked != looked;
            self.retire(missing, true, look.now, events);
        }
    }

    /// Adds CPU time of instances that were gone before it was read to the sum of their scope.
    pub(super) fn take_lost(&mut self, look: &Look<'_>, lost: Vec<LostCpu>) {
        for LostCpu { user, org, used, cpus } in lost {
            self.know_sums(look);
            let (user, org) = (user.unwrap_or_else(|| look.owner.user.clone()), org.or_else(|| look.owner.org.clone()));
            let latest = look.now.at.saturating_sub(Duration::from_nanos(1));
            let since = look.before.map_or(latest, |before| before.at.min(latest));
            let reading = Reading { at: look.now.at, cpu: Some(used), cpus, ..Reading::default() };
            // Ids that can't be an event's have no instances either.
            let Ok(identity) = Identity::new(look.name.to_string(), user, org) else { continue };
            let (identity, mut chain) = Meter::from_birth(identity, look.now.second, since, reading).into_parts();
            self.remainders.add(look.name, &identity, &look.owner.labels, &mut chain);
        }
    }

    /// Has the ids of the scope's sums known.
    fn know_sums(&mut self, look: &Look<'_>) {
        if !self.remainders.knows(look.name) {
            let place = Place::Group(format!("short-lived instances of {}", look.name).into());
            self.remainders.know(look.name, (look.substitute)(&place));
        }
    }

    /// Forgets what ended long ago, and the longest gone where more than [`MAX_REMEMBERED`] are remembered; those whose
    /// last event waits are kept. What rounding left over of them goes into the sum of their scope.
    pub(super) fn forget(&mut self, now: Monotonic) {
        let mut last = now.checked_sub(REMEMBERED);
        self.namespaces.forget(last, MAX_REMEMBERED);
        // A quarter more, so that not every sample sorts them.
        if self.past.len() > MAX_REMEMBERED + MAX_REMEMBERED / 4 {
            let mut ends: Vec<Monotonic> = self.past.values().filter_map(|past| past.ended).collect();
            ends.sort_unstable();
            let excess = self.past.len() - MAX_REMEMBERED;
            last = last.max(ends.get(excess.saturating_sub(1)).copied());
        }
        let Some(last) = last else { return };
        let goes = |past: &Past| !past.chain.has_seen() && past.ended.is_some_and(|ended| ended <= last);
        for (_, mut past) in self.past.extract_if(.., |_, past| goes(past)) {
            self.remainders.add(&past.scope, &past.identity, &past.labels, &mut past.chain);
        }
    }

    /// Whether nothing was logged of the scope's instance before; no more than [`MAX_LOGGED`] are.
    fn is_first_of(&mut self, scope: ScopeId, instance: &str) -> bool {
        self.said.len() < MAX_LOGGED && self.said.insert((scope, instance.to_owned()))
    }

    /// Where another scope has an instance of the same id that is something else, and a pattern found one of them: gives
    /// the later one a substitute, which it keeps.
    fn give_free_id(&mut self, look: &Look<'_>, seen: &mut Observed, problems: &mut Vec<Problem>) {
        if !self.substituted.is_empty()
            && let Some(holder) = self.places.holder(&seen.place).filter(|holder| self.substituted.contains(*holder))
            && self.members.get(holder).is_some_and(|member| member.scope == look.scope)
        {
            seen.instance = holder.to_owned();
            return;
        }
        let elsewhere = |member: &&Member| {
            member.scope != look.scope && (look.is_pattern || member.is_pattern) && !member.place.is_same(&seen.place)
        };
        let Some(member) = self.members.get(&seen.instance).filter(elsewhere) else { return };
        // What is metered already for another scope is told as that.
        if self.places.holder(&seen.place).is_some() {
            return;
        }
        let other = Arc::clone(&member.name);
        let Some(substitute) = (look.substitute)(&seen.place) else { return };
        let instance = std::mem::replace(&mut seen.instance, substitute.clone());
        self.substituted.insert(substitute.clone());
        if self.is_first_of(look.scope, &instance) {
            problems.push(Problem::Clash {
                instance,
                scope: Arc::clone(look.name),
                other,
                substitute: Some(substitute),
            });
        }
    }

    /// Begins to meter an instance; `false` where it is not metered.
    fn admit(
        &mut self,
        look: &Look<'_>,
        seen: Observed,
        events: &mut Vec<Metered>,
        problems: &mut Vec<Problem>,
    ) -> bool {
        let Observed { instance, life, born, user, org, place, mut reading } = seen;
        if let Some(holder) = self.places.holder(&place).map(str::to_owned) {
            self.tell_twice(look, &place, instance, &holder, problems);
            return false;
        }
        let owner = look.owner;
        let org = org.or_else(|| owner.org.clone());
        let identity = match Identity::new(instance.clone(), user.unwrap_or_else(|| owner.user.clone()), org) {
            Ok(identity) => identity,
            Err(error) => {
                if self.is_first_of(look.scope, &instance) {
                    let (scope, why) = (Arc::clone(look.name), error.to_string());
                    problems.push(Problem::Refused { instance, scope, why });
                }
                return false;
            }
        };
        let labels = Arc::clone(&owner.labels);
        let is_new_to_us = look.first && !self.past.values().any(|past| past.life == life);
        self.waiting.remove(&instance);
        let mut has_event = false;
        let mut before = self.past.remove(&instance);
        let mut namespaces = before.as_mut().map(|past| std::mem::take(&mut past.namespaces)).unwrap_or_default();
        let mut unreachable = Vec::new();
        if let Some(past) = &before {
            namespaces.retain(|inode| {
                let is_in = reading.network.is_none() || reading.namespaces.contains(inode);
                let stays = past.life == life && is_in;
                if past.life == life && !is_in {
                    // What passed it after the last look of the process before is not known.
                    reading.not_metered = reading.not_metered.union(MetricSet::NETWORK);
                }
                if !stays {
                    self.namespaces.leave(*inode, &instance, past.chain.network(), past.chain.last_look());
                }
                stays
            });
        }
        if let Some(past) = before.as_ref().filter(|past| past.life == life) {
            unreachable.clone_from(&past.left);
            unreachable.retain(|inode| !reading.namespaces.contains(inode) && !self.namespaces.has_owner(*inode));
        }
        let starts = self.namespaces.claim(&instance, &place, &mut reading);
        if reading.network.is_some() {
            namespaces.clone_from(&reading.namespaces);
        }
        let left = left_of(&reading, &namespaces, &self.namespaces);
        if let Some(inode) = unreachable.first() {
            reading.not_metered = reading.not_metered.union(MetricSet::NETWORK);
            if self.unreachable.insert(look.scope) {
                let (instance, scope) = (instance.clone(), Arc::clone(look.name));
                problems.push(Problem::Unreachable { inode: *inode, instance, scope });
            }
        }
        let meter = match before {
            Some(mut past) if past.life == life => {
                if past.identity != identity || past.labels != labels {
                    past.last_event(look.now.ceiling, events);
                }
                let mut meter = Meter::resume(identity, past.chain);
                meter.start_interfaces_at(starts);
                meter.add(reading);
                has_event = true;
                meter
            }
            mut past => {
                // What began between two looks is new; so is what another process did not see at its last one.
                let since = look.before.filter(|_| born || is_new_to_us);
                let start = since.map_or(look.now.second, |before| before.second);
                let floor = past.as_mut().map_or(i64::MIN, |past| {
                    let same = past.identity == identity && past.labels == labels;
                    past.last_event(if same { look.now.second } else { look.now.ceiling }, events);
                    past.chain.start()
                });
                // What is in no event yet is of the period that goes on.
                let open = past.as_ref().is_some_and(|past| past.chain.has_seen());
                let start = if open { floor } else { start.max(floor) };
                let mut meter = match since {
                    Some(before) => Meter::from_birth_in(identity, start, before.at, starts, reading),
                    None => {
                        reading.network.get_or_insert_default().extend(starts);
                        Meter::new(identity, start, reading)
                    }
                };
                if let Some(past) = &past {
                    meter.inherit(&past.chain);
                }
                meter
            }
        };
        self.tell_nesting(look, &instance, &place, problems);
        self.places.take(&place, &instance);
        let member = Member {
            scope: look.scope,
            name: Arc::clone(look.name),
            life,
            labels,
            place,
            namespaces,
            left,
            unreachable,
            is_pattern: look.is_pattern,
            meter,
            has_event,
            looked: self.looks,
            seen: look.now.settled,
        };
        self.members.insert(instance, member);
        *self.population.entry(look.scope).or_default() += 1;
        true
    }

    /// Where an instance of the scope has another place than at the look before, gives it that one. `true` where
    /// another instance has it already.
    fn is_taken_elsewhere(&mut self, look: &Look<'_>, seen: &Observed, problems: &mut Vec<Problem>) -> bool {
        let moved = |member: &&mut Member| member.scope == look.scope && member.place != seen.place;
        let Some(member) = self.members.get_mut(&seen.instance).filter(moved) else { return false };
        if let Some(holder) = self.places.holder(&seen.place).filter(|holder| *holder != seen.instance) {
            let holder = holder.to_owned();
            self.tell_twice(look, &seen.place, seen.instance.clone(), &holder, problems);
            return true;
        }
        let left = std::mem::replace(&mut member.place, seen.place.clone());
        self.places.leave(&left, &seen.instance);
        self.tell_nesting(look, &seen.instance, &seen.place, problems);
        self.places.take(&seen.place, &seen.instance);
        false
    }

    /// Tells that `holder` is metered for what the scope has as `instance`, once for two scopes.
    fn tell_twice(
        &mut self,
        look: &Look<'_>,
        place: &Place,
        instance: String,
        holder: &str,
        problems: &mut Vec<Problem>,
    ) {
        let Some(member) = self.members.get(holder) else { return };
        if self.overlaps.insert((look.scope, member.scope, true)) {
            problems.push(Problem::Twice {
                place: place.clone(),
                instance,
                scope: Arc::clone(look.name),
                first: (holder.to_owned(), Arc::clone(&member.name)),
                by_pattern: look.is_pattern || member.is_pattern,
            });
        }
    }

    /// Tells of what contains the instance, or is in it, once for two scopes.
    fn tell_nesting(&mut self, look: &Look<'_>, instance: &str, place: &Place, problems: &mut Vec<Problem>) {
        let own = || (instance.to_owned(), Arc::clone(look.name));
        let around = self.places.around(place).map(|other| (other, false));
        for (other, is_outer) in around.chain(self.places.within(place).map(|other| (other, true))) {
            let Some(member) = self.members.get(other) else { continue };
            if self.overlaps.insert((look.scope.min(member.scope), look.scope.max(member.scope), false)) {
                let it = (other.to_owned(), Arc::clone(&member.name));
                let (place, inner, outer) =
                    if is_outer { (member.place.clone(), it, own()) } else { (place.clone(), own(), it) };
                problems.push(Problem::Within { place, inner, outer });
            }
        }
    }

    /// Ends those that `which` picks, with their last events; short-lived ones beyond a number `share` an event.
    fn retire(&mut self, which: impl Fn(&Member) -> bool, share: bool, now: Moment, events: &mut Vec<Metered>) {
        for (instance, member) in self.members.extract_if(.., |_, member| which(member)) {
            self.places.leave(&member.place, &instance);
            self.substituted.remove(&instance);
            if let Some(members) = self.population.get_mut(&member.scope) {
                *members -= 1;
            }
            let shares = share && !member.has_event && !self.remainders.has_own_event(member.scope, &member.name);
            let mut past = member.into_past(Some(now.at));
            for inode in std::mem::take(&mut past.namespaces) {
                self.namespaces.leave(inode, &instance, past.chain.network(), past.chain.last_look());
            }
            if shares {
                self.remainders.add(&past.scope, &past.identity, &past.labels, &mut past.chain);
            }
            past.last_event(now.second, events);
            if past.chain.has_seen() {
                self.waiting.insert(instance.clone());
            }
            self.past.insert(instance, past);
        }
    }

    /// Gives the last events that waited and that end at the second `limit` at the latest.
    pub(super) fn flush(&mut self, limit: i64, events: &mut Vec<Metered>) {
        let past = &mut self.past;
        self.waiting.retain(|instance| {
            past.get_mut(instance).is_some_and(|past| {
                past.last_event(limit, events);
                past.chain.has_seen()
            })
        });
    }

    /// Ends all instances of scopes that are no longer metered, and gives the second where the last of their events
    /// ends: what is metered in their place starts there.
    pub(super) fn drop_scopes(
        &mut self,
        dropped: &HashSet<ScopeId>,
        now: Moment,
        events: &mut Vec<Metered>,
    ) -> Option<i64> {
        let end = self.members.values().filter(|member| dropped.contains(&member.scope)).map(Member::last_end).max();
        self.retire(|member| dropped.contains(&member.scope), false, now, events);
        self.said.retain(|(said, _)| !dropped.contains(said));
        self.overlaps.retain(|(one, other, _)| !dropped.contains(one) && !dropped.contains(other));
        self.population.retain(|scope, _| !dropped.contains(scope));
        self.sharing.retain(|scope| !dropped.contains(scope));
        self.unreachable.retain(|scope| !dropped.contains(scope));
        end
    }

    /// Lets go of the namespaces of those that are not there any more, after the first look of a fleet that goes on.
    pub(super) fn release_namespaces(&mut self) {
        for (instance, past) in &mut self.past {
            for inode in std::mem::take(&mut past.namespaces) {
                self.namespaces.leave(inode, instance, past.chain.network(), past.chain.last_look());
            }
        }
    }

    /// Gives the last events of those whose process ended while a period was open, and that are not there any more.
    pub(super) fn settle(&mut self, events: &mut Vec<Metered>) {
        self.past.values_mut().for_each(|past| past.last_event(i64::MAX, events));
    }

    /// Gives the events of what short-lived instances left, in periods up to `end`.
    pub(super) fn close_remainders(&mut self, end: i64, events: &mut Vec<Metered>) {
        // What rounding left over of those that ended is somebody's: many jobs of less than a second are whole seconds.
        for past in self.past.values_mut().filter(|past| !past.chain.has_seen()) {
            self.remainders.add(&past.scope, &past.identity, &past.labels, &mut past.chain);
        }
        self.remainders.close(end, events);
    }

    /// Closes the open periods of those that `which` picks by their scope.
    pub(super) fn close(&mut self, end: i64, which: impl Fn(ScopeId) -> bool, events: &mut Vec<Metered>) {
        for member in self.members.values_mut().filter(|member| which(member.scope)) {
            member.close(end, events);
        }
        self.close_remainders(end, events);
    }

    /// Begins all periods that hold nothing yet at `second`, where that is later.
    pub(super) fn skip_to(&mut self, second: i64) {
        self.members.values_mut().for_each(|member| member.meter.skip_to(second));
        self.past.values_mut().for_each(|past| past.chain.skip_to(second));
        self.remainders.skip_to(second);
    }

    /// Closes the open periods where something was seen in them, at the last look that saw it.
    /// None ends after the second `limit`.
    pub(super) fn close_seen(&mut self, limit: i64, events: &mut Vec<Metered>) {
        for member in self.members.values_mut().filter(|member| member.meter.chain().has_seen()) {
            member.close(member.last_end().min(limit), events);
        }
    }

    pub(super) fn current(&self) -> impl Iterator<Item = Current<'_>> {
        self.members.values().map(|member| Current {
            scope: &member.name,
            labels: &member.labels,
            meter: &member.meter,
        })
    }

    /// Who is billed for network namespaces.
    pub(super) const fn namespaces(&self) -> &NamespaceOwners {
        &self.namespaces
    }

    /// What short-lived instances left and is in no event yet, by instance id.
    pub(super) const fn remainders(&self) -> &BTreeMap<String, Remainder> {
        self.remainders.sums()
    }

    /// All that is worth keeping.
    pub(super) fn to_past(&self) -> BTreeMap<&str, PastRef<'_>> {
        let members = self.members.iter().map(|(id, member)| (id.as_str(), member.as_past()));
        let past = self.past.iter().map(|(id, past)| (id.as_str(), past.as_ref()));
        past.chain(members).collect()
    }
}

/// The namespaces that the instance of a reading, which is `billed` for some, left, but for a socket; less those that another
/// instance is billed for.
fn left_of(reading: &Reading, billed: &[u64], owners: &NamespaceOwners) -> Vec<u64> {
    let is_own = |inode: &&u64| billed.contains(inode) || !owners.has_owner(**inode);
    reading.left_namespaces.iter().filter(is_own).copied().collect()
}

impl Member {
    /// Takes in what the sample with the number `looked` saw of it; whether it is the first of that sample.
    fn renew(&mut self, look: &Look<'_>, looked: u64, mut seen: Observed, owners: &mut NamespaceOwners) -> bool {
        let is_fresh = seen.reading.at > self.meter.chain().last_look();
        if is_fresh && seen.reading.network.is_some() {
            self.settle_namespaces(&mut seen.reading, owners);
        }
        if self.life == seen.life {
            self.meter.add(seen.reading);
        } else {
            self.unreachable.clear();
            self.meter.add_of_new_life(seen.reading);
            self.life = seen.life;
        }
        if is_fresh {
            self.seen = look.now.settled;
        }
        std::mem::replace(&mut self.looked, looked) != looked
    }

    /// Leaves to others the namespaces that it is not in any more, and the traffic of those that others are billed for.
    fn settle_namespaces(&mut self, reading: &mut Reading, owners: &mut NamespaceOwners) {
        let instance = self.meter.identity().instance_id();
        let starts = owners.claim(instance, &self.place, reading);
        if self.namespaces != reading.namespaces {
            for inode in self.namespaces.iter().filter(|inode| reading.namespaces.binary_search(inode).is_err()) {
                owners.leave(*inode, instance, self.meter.chain().network(), self.meter.chain().last_look());
            }
            self.namespaces = std::mem::take(&mut reading.namespaces);
        }
        self.left = left_of(reading, &self.namespaces, owners);
        // A number that another instance's namespace has is none of one that goes on.
        self.unreachable.retain(|inode| !self.namespaces.contains(inode) && !owners.has_owner(*inode));
        if !self.unreachable.is_empty() {
            reading.not_metered = reading.not_metered.union(MetricSet::NETWORK);
        }
        self.meter.start_interfaces_at(starts);
    }

    /// Where its last event would end, if this was its last look.
    fn last_end(&self) -> i64 {
        let start = self.meter.start();
        if self.meter.chain().has_seen() { self.seen.max(start + 1) } else { start }
    }

    fn close(&mut self, end: i64, events: &mut Vec<Metered>) {
        let not_metered = self.meter.not_metered();
        if let Some(event) = self.meter.close(end) {
            self.has_event = true;
            events.push(Metered { event, labels: Arc::clone(&self.labels), not_metered });
        }
    }

    fn into_past(self, ended: Option<Monotonic>) -> Past {
        let left = self.all_left().into_owned();
        let (identity, chain) = self.meter.into_parts();
        let scope = self.name.as_ref().to_owned();
        let Self { life, labels, namespaces, seen, .. } = self;
        Past { scope, life, identity, labels, chain, namespaces, left, seen, ended }
    }

    /// The namespaces that it left, but for a socket.
    fn all_left(&self) -> Cow<'_, [u64]> {
        if self.unreachable.is_empty() {
            Cow::Borrowed(&self.left)
        } else {
            Cow::Owned([&self.left[..], &self.unreachable].concat())
        }
    }

    fn as_past(&self) -> PastRef<'_> {
        PastRef {
            scope: &self.name,
            life: &self.life,
            identity: self.meter.identity(),
            labels: &self.labels,
            chain: self.meter.chain(),
            namespaces: &self.namespaces,
            left: self.all_left(),
            seen: self.seen,
            ended: None,
        }
    }
}

impl Past {
    /// Whether it was metered on when it was kept.
    pub(super) const fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether clocks may have shown its times.
    pub(super) fn is_possible(&self) -> bool {
        is_possible_second(self.seen) && is_possible_second(self.chain.start())
    }

    fn as_ref(&self) -> PastRef<'_> {
        PastRef {
            scope: &self.scope,
            life: &self.life,
            identity: &self.identity,
            labels: &self.labels,
            chain: &self.chain,
            namespaces: &self.namespaces,
            left: Cow::Borrowed(&self.left),
            seen: self.seen,
            ended: self.ended,
        }
    }

    /// The event of the open period, where something was seen in it: to the last look, and a second at least.
    /// Nothing where it would end after the second `limit`; it stays open then.
    fn last_event(&mut self, limit: i64, events: &mut Vec<Metered>) {
        let end = self.seen.max(self.chain.start() + 1);
        let not_metered = self.chain.not_metered();
        if !self.chain.has_seen() || end > limit {
            return;
        }
        self.chain.widen_gauges(end);
        if let Some(event) = self.chain.close_for(&self.identity, end) {
            events.push(Metered { event, labels: Arc::clone(&self.labels), not_metered });
        }
    }
}

impl Problem {
    /// Says it while metering goes on.
    pub(super) fn say(&self) {
        match self {
            Self::Within { .. } | Self::Shared { .. } | Self::Unreachable { .. } => tracing::warn!("{self}"),
            Self::Twice { first, .. } => tracing::warn!(
                "{self}. Until then what both have is metered for {} alone, and from the next start on for the one that \
                 stands first",
                first.1
            ),
            Self::Clash { substitute: Some(substitute), .. } => {
                tracing::warn!("{self}. The later one is metered as {substitute:?}");
            }
            Self::Clash { .. } | Self::Refused { .. } => tracing::warn!("{self}; it is NOT metered"),
        }
    }

    /// Whether it refuses a start. What two scopes have through a pattern does not: whoever may make a control group
    /// could keep a host from being metered.
    pub(super) const fn is_fault(&self) -> bool {
        !matches!(
            self,
            Self::Within { .. }
                | Self::Shared { .. }
                | Self::Unreachable { .. }
                | Self::Twice { by_pattern: true, .. }
                | Self::Clash { substitute: Some(_), .. }
        )
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Clash { instance, scope, other, .. } => {
                f.write_str(&clash(instance, other, scope, "another instance id for one of them"))
            }
            Self::Twice { place, instance, scope, first, .. } => {
                f.write_str(&twice(place, (&first.0, &first.1), (instance, scope)))
            }
            Self::Within { place, inner, outer } => {
                f.write_str(&contained(place, (&inner.0, &inner.1), (&outer.0, &outer.1)))
            }
            Self::Shared { inode, instance, scope, owner } => write!(
                f,
                "{instance:?} of the scope {scope} shares the network namespace {inode} with {owner:?}, which is billed for all \
                 that passes it: network figures are 0 for the others in it. Further ones are not logged for this scope"
            ),
            Self::Unreachable { inode, instance, scope } => write!(
                f,
                "{instance:?} of the scope {scope} left the network namespace {inode} before this process began, but for a \
                 socket: what passes that is NOT metered, since no process is there to ask; its network is named in \
                 not_metered until it restarts. Further ones are not logged for this scope"
            ),
            Self::Refused { instance, scope, why } => {
                write!(f, "the scope {scope} has an instance called {instance:?}: {why}")
            }
        }
    }
}
