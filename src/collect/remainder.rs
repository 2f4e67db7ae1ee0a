//! What short-lived instances leave: one event of their scope, where an event for each would be without end. Pure.
//!
//! Whoever may make control groups makes and removes thousands a second, and an event for each would fill the meter's
//! memory while nobody takes events, and everybody's spool afterwards. So:
//!
//! - of the instances of a scope that begin and end within one period, the first [`MAX_SHORT_LIVED`] have an event of
//!   their own, fewer where those of other scopes do: [`MAX_SHORT_LIVED_IN_ALL`]. What the others used is added up in one event of the scope for each who is billed;
//! - an instance that had an event before is never among them, however many there are;
//! - what rounding to whole seconds left over of an instance that ended goes into the same sum with the end of the
//!   period, so that a thousand groups that use half a second each are billed.
//!
//! The sum is an instance of its own, with a stable id and contiguous seconds; it has no event for a period in which
//! nothing was added. Its labels say of which scope it is, and of how many instances.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fleet::ScopeId;
use super::metered::{Labels, Metered};
use super::{Chain, Identity, Meter, Reading};
use crate::events::EventId;

/// Instances of one scope that begin and end within one period and have an event of their own.
pub(super) const MAX_SHORT_LIVED: usize = 1000;
/// The same of all scopes together, beside [`LEAST_SHORT_LIVED`] of each: more would fill the meter's memory while nobody
/// takes events.
const MAX_SHORT_LIVED_IN_ALL: usize = 10_000;
const LEAST_SHORT_LIVED: usize = 10;
/// Sums of one scope, each for another user or organization. Beyond that, who is billed is the scope's own sum.
const MAX_SUMS: usize = 100;
/// What ids of sums end with.
const SUFFIX: &str = "short-lived";
/// The labels that say of how many instances a sum is, and of which scope.
const COUNT_LABEL: &str = "short_lived_instances";
const SCOPE_LABEL: &str = "scope";

/// The sum of a scope for who is billed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Remainder {
    scope: String,
    identity: Identity,
    labels: Arc<Labels>,
    chain: Chain,
    /// Instances that were added since the last event.
    instances: u64,
}

/// The sums of all scopes.
#[derive(Debug, Default)]
pub(super) struct Remainders {
    /// By instance id.
    sums: BTreeMap<String, Remainder>,
    /// What the ids of a scope's sums begin with, by the scope's name.
    prefixes: HashMap<Arc<str>, Option<String>>,
    /// Short-lived instances that ended in the open period.
    ended: HashMap<ScopeId, usize>,
    /// Those of all scopes that have events of their own.
    own_events: usize,
    /// Scopes of which more ended than have events of their own, which was logged.
    logged: HashSet<Arc<str>>,
    /// Where the open periods began.
    opened: i64,
}

impl Remainders {
    /// Goes on with the sums of another process.
    pub(super) fn resume(sums: BTreeMap<String, Remainder>) -> Self {
        Self { sums, ..Self::default() }
    }

    pub(super) const fn sums(&self) -> &BTreeMap<String, Remainder> {
        &self.sums
    }

    /// Learns what the ids of a scope's sums begin with. Scopes that have nothing to begin with have no sums.
    pub(super) fn know(&mut self, scope: &Arc<str>, prefix: Option<String>) {
        self.prefixes.insert(Arc::clone(scope), prefix);
    }

    /// Whether that is known.
    pub(super) fn knows(&self, scope: &Arc<str>) -> bool {
        self.prefixes.contains_key(scope)
    }

    /// Counts a short-lived instance that ended. `false` where it is to be added to the sum of its scope.
    pub(super) fn has_own_event(&mut self, scope: ScopeId, name: &Arc<str>) -> bool {
        if !matches!(self.prefixes.get(name), Some(Some(_))) {
            return true;
        }
        let ended = self.ended.entry(scope).or_default();
        *ended += 1;
        let has_room = *ended <= MAX_SHORT_LIVED && self.own_events < MAX_SHORT_LIVED_IN_ALL;
        if has_room || *ended <= LEAST_SHORT_LIVED {
            self.own_events += 1;
            return true;
        }
        if self.logged.insert(Arc::clone(name)) {
            tracing::warn!(
                scope = &**name,
                "more than {MAX_SHORT_LIVED} instances of the scope, or {MAX_SHORT_LIVED_IN_ALL} of all, began and ended within \
                 one period: what further ones used is in one event of the scope, whose id ends with {SUFFIX}"
            );
        }
        false
    }

    /// Takes over what a chain has in no event yet, into the sum of its scope; where the scope has none, nothing happens.
    pub(super) fn add(&mut self, scope: &str, identity: &Identity, labels: &Arc<Labels>, chain: &mut Chain) {
        if !chain.is_owed() {
            return;
        }
        let Some(Some(prefix)) = self.prefixes.get(scope) else { return };
        let id_of = |owner: &str| format!("{prefix}+{owner}{SUFFIX}");
        let (user, org) = (identity.user_id(), identity.org_id());
        let owner = EventId::of(format!("{user}\n{}", org.unwrap_or_default()).as_bytes()).to_string();
        // The whole digest: of a part of it, a tenant finds a name that has the same as another one's.
        let mut id = id_of(&format!("{owner}-"));
        let mut billed = Identity::new(id.clone(), user.to_owned(), org.map(str::to_owned));
        if !self.sums.contains_key(&id) {
            let sums = self.sums.range(prefix.clone()..).take_while(|(other, _)| other.starts_with(prefix.as_str()));
            if sums.take(MAX_SUMS).count() == MAX_SUMS {
                id = id_of("");
                billed = Identity::new(id.clone(), id.clone(), None);
            }
        }
        // A scope whose ids can't be an event's has no instances.
        let Ok(identity) = billed else { return };
        let sum = self.sums.entry(id).or_insert_with(|| {
            let (identity, chain) = Meter::new(identity, self.opened, Reading::default()).into_parts();
            Remainder { scope: scope.to_owned(), identity, labels: Arc::clone(labels), chain, instances: 0 }
        });
        sum.labels = Arc::clone(labels);
        sum.instances += u64::from(chain.has_seen());
        sum.chain.absorb(chain);
    }

    /// Closes the sums to which something was added, at the second `end`.
    pub(super) fn close(&mut self, end: i64, events: &mut Vec<Metered>) {
        for sum in self.sums.values_mut() {
            sum.close(self.opened, end, events);
        }
        self.sums.retain(|_, sum| sum.chain.is_owed());
        self.ended.clear();
        self.own_events = 0;
        self.opened = end;
    }

    /// Begins the open periods at `second`, where that is later.
    pub(super) fn skip_to(&mut self, second: i64) {
        self.opened = self.opened.max(second);
        self.sums.values_mut().for_each(|sum| sum.chain.skip_to(second));
    }
}

impl Remainder {
    fn close(&mut self, opened: i64, end: i64, events: &mut Vec<Metered>) {
        if !self.chain.has_seen() && !self.chain.has_whole_seconds() {
            return;
        }
        self.chain.skip_to(opened.min(end - 1));
        self.chain.spread_gauges(end);
        let not_metered = self.chain.not_metered();
        if let Some(event) = self.chain.close_for(&self.identity, end) {
            let mut labels = Labels::clone(&self.labels);
            labels.insert(SCOPE_LABEL.to_owned(), self.scope.clone());
            if self.instances > 0 {
                labels.insert(COUNT_LABEL.to_owned(), std::mem::take(&mut self.instances).to_string());
            }
            events.push(Metered { event, labels: Arc::new(labels), not_metered });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lived_instances_of_all_scopes_have_so_many_events() {
        let mut remainders = Remainders::default();
        let mut own_events = |scope: u64| {
            let name: Arc<str> = format!("s{scope}").into();
            remainders.know(&name, Some(format!("h/{scope}")));
            (0..2 * MAX_SHORT_LIVED).filter(|_| remainders.has_own_event(ScopeId(scope), &name)).count()
        };
        let counts: Vec<usize> = (0..100).map(&mut own_events).collect();
        assert_eq!(counts[..10], [MAX_SHORT_LIVED; 10]);
        assert_eq!(counts[10..], [LEAST_SHORT_LIVED; 90]);
        remainders.close(30, &mut Vec::new());
        assert!(remainders.has_own_event(ScopeId(50), &"s50".into()), "the next period has as many");
    }
}
