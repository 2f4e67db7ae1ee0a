//! Which instance is billed for a network namespace that several are in. Pure.
//!
//! A namespace is billed to the first instance that is in it. The others have none of its traffic, but for those that
//! contain the one that is billed, or are within it: figures of a group are in those of the group above it.
//!
//! When the owner is gone, another instance that is in the namespace is billed from where the counters stood for the owner,
//! whether it was in it before or comes later. So nothing that passes a namespace is billed twice or left out while an
//! instance is in it, whatever the order in which instances come and go.
//!
//! An owner of which no thread is in the namespace, but perhaps a socket, gives way to an instance that has a thread in it.
//!
//! Numbers of namespaces are given anew: what began after the last owner was in it is another namespace.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::overlap::Place;
use super::{Reading, Traffic};
use crate::clock::Monotonic;

/// A namespace that began so soon after an owner left may be the same: when it began is not known better.
const SAME_WITHIN: Duration = Duration::from_secs(1);
/// Interfaces of one namespace of which it is remembered up to where they are billed: whoever owns it may make thousands.
const MOST_INTERFACES: usize = 1024;

/// The namespaces that instances are billed for, or were a while ago.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct NamespaceOwners {
    /// By inode.
    namespaces: BTreeMap<u64, Namespace>,
    /// Owners of namespaces that began before may have been forgotten.
    #[serde(default)]
    forgotten: Monotonic,
    /// An instance that had to leave a namespace to its owner in this sample: the namespace, the instance, the owner.
    #[serde(skip)]
    refused: Option<(u64, String, String)>,
}

/// A network namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Namespace {
    /// The instances that are billed for it, each with what it is; one, or several of which each contains the next.
    owners: BTreeMap<String, Place>,
    /// Up to where it is billed to owners that left, by interface.
    billed: BTreeMap<String, Traffic>,
    /// When the last of them was in it.
    left: Option<Monotonic>,
    /// Another instance has a thread in it: an owner without one gives way.
    #[serde(skip)]
    is_wanted: bool,
}

impl Namespace {
    /// Where counters of the `reading` of an instance that becomes an owner stand: where an owner before it left them. No
    /// counter is taken to have begun at zero that may have been an owner's; owners are known from `forgotten` on.
    fn starts(&self, inode: u64, forgotten: Monotonic, reading: &mut Reading) -> BTreeMap<String, Traffic> {
        let known = self.left.map_or(forgotten, |left| left.saturating_add(SAME_WITHIN));
        let Reading { network, began, .. } = reading;
        began.retain(|name, began| *began > known || namespace_of(name) != Some(inode));
        let is_there = |name: &str| network.as_ref().is_some_and(|network| network.contains_key(name));
        let same = self.billed.iter().filter(|(name, _)| is_there(name) && !began.contains_key(*name));
        same.map(|(name, traffic)| (name.clone(), *traffic)).collect()
    }
}

impl NamespaceOwners {
    pub(super) fn is_empty(&self) -> bool {
        self.namespaces.is_empty() && self.forgotten.is_zero()
    }

    /// Makes the instance at `place` an owner of the namespaces of its `reading`, as far as no other one is, and takes the
    /// rest out of the reading. Gives where counters of interfaces stand that others were billed for.
    pub(super) fn claim(&mut self, instance: &str, place: &Place, reading: &mut Reading) -> BTreeMap<String, Traffic> {
        let (mut starts, mut refused) = (BTreeMap::new(), Vec::new());
        let mut inodes = std::mem::take(&mut reading.namespaces);
        inodes.retain(|inode| {
            let namespace = self.namespaces.entry(*inode).or_default();
            let has_left = reading.left_namespaces.contains(inode);
            if namespace.owners.contains_key(instance) {
                let gives_way = has_left && namespace.is_wanted;
                if gives_way {
                    refused.push(*inode);
                }
                return !gives_way;
            }
            if let Some((owner, _)) = namespace.owners.iter().find(|(_, other)| !other.is_nested_with(place)) {
                namespace.is_wanted |= !has_left;
                self.refused.get_or_insert_with(|| (*inode, instance.to_owned(), owner.clone()));
                refused.push(*inode);
                return false;
            }
            starts.append(&mut namespace.starts(*inode, self.forgotten, reading));
            namespace.owners.insert(instance.to_owned(), place.clone());
            true
        });
        reading.namespaces = inodes;
        if !refused.is_empty() {
            let is_own = |name: &str| namespace_of(name).is_none_or(|inode| !refused.contains(&inode));
            reading.began.retain(|name, _| is_own(name));
            if let Some(network) = &mut reading.network {
                network.retain(|name, _| is_own(name));
            }
        }
        starts
    }

    /// Whether an instance is billed for the namespace.
    pub(super) fn has_owner(&self, inode: u64) -> bool {
        self.namespaces.get(&inode).is_some_and(|namespace| !namespace.owners.is_empty())
    }

    /// An instance that was refused since this was asked last: the namespace, the instance, the owner.
    pub(super) const fn take_refused(&mut self) -> Option<(u64, String, String)> {
        self.refused.take()
    }

    /// The instance is in the namespace no more. It was billed up to its `counters`, and was last in it at `at`.
    pub(super) fn leave(&mut self, inode: u64, instance: &str, counters: &BTreeMap<String, Traffic>, at: Monotonic) {
        let Some(namespace) = self.namespaces.get_mut(&inode) else { return };
        if namespace.owners.remove(instance).is_none() {
            return;
        }
        // Counters that went back since an owner left are those of another namespace that has the number now.
        let is_later = namespace.left.is_none_or(|left| at > left);
        let own = || counters.iter().filter(|(name, _)| namespace_of(name) == Some(inode));
        if is_later && own().next().is_some() {
            // Those that are there no more are billed.
            namespace.billed.retain(|name, _| counters.contains_key(name));
        }
        for (name, now) in own() {
            let billed = namespace.billed.entry(name.clone()).or_default();
            if is_later || now.sent >= billed.sent && now.received >= billed.received {
                *billed = *now;
            }
        }
        while namespace.billed.len() > MOST_INTERFACES {
            namespace.billed.pop_last();
        }
        namespace.left = namespace.left.max(Some(at));
        namespace.is_wanted = false;
    }

    /// Forgets the namespaces that have no owner since `last`, and the longest left where there are more than `most`.
    pub(super) fn forget(&mut self, mut last: Option<Monotonic>, most: usize) {
        // A quarter more, so that not every sample sorts them.
        if self.namespaces.len() > most + most / 4 {
            let orphans = self.namespaces.values().filter(|namespace| namespace.owners.is_empty());
            let mut ends: Vec<Monotonic> = orphans.filter_map(|namespace| namespace.left).collect();
            ends.sort_unstable();
            last = last.max(ends.len().checked_sub(most + 1).and_then(|at| ends.get(at).copied()));
        }
        let Some(last) = last else { return };
        let goes =
            |namespace: &Namespace| namespace.owners.is_empty() && namespace.left.is_none_or(|left| left <= last);
        for (_, gone) in self.namespaces.extract_if(.., |_, namespace| goes(namespace)) {
            self.forgotten = self.forgotten.max(gone.left.unwrap_or_default());
        }
    }
}

/// The namespace of an interface, by its name.
fn namespace_of(interface: &str) -> Option<u64> {
    interface.rsplit_once('@')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_that_are_gone_or_too_many_are_forgotten_when_the_owner_leaves() {
        let traffic = Traffic { sent: 5, received: 5 };
        let mut owners = NamespaceOwners::default();
        for round in 0..20u64 {
            let names = (0..2_000).map(|n| format!("{}@7", round * 2_000 + n));
            let counters: BTreeMap<String, Traffic> = names.map(|name| (name, traffic)).collect();
            let (network, namespaces) = (Some(counters.clone()), vec![7]);
            let mut reading = Reading { network, namespaces, ..Reading::default() };
            let starts = owners.claim("a", &Place::Unknown, &mut reading);
            assert!(starts.is_empty(), "{round}");
            owners.leave(7, "a", &counters, Duration::from_secs(round));
            assert_eq!(owners.namespaces[&7].billed.len(), MOST_INTERFACES, "{round}");
        }
        // What could not be read says nothing of what is there.
        let kept: BTreeMap<String, Traffic> = [("3@7".to_owned(), traffic)].into();
        let mut reading = Reading { network: Some(kept.clone()), namespaces: vec![7], ..Reading::default() };
        owners.claim("a", &Place::Unknown, &mut reading);
        owners.leave(7, "a", &kept, Duration::from_secs(30));
        let mut reading = Reading { network: None, namespaces: vec![7], ..Reading::default() };
        owners.claim("a", &Place::Unknown, &mut reading);
        owners.leave(7, "a", &BTreeMap::new(), Duration::from_secs(31));
        let mut reading = Reading { network: Some(kept.clone()), namespaces: vec![7], ..Reading::default() };
        assert_eq!(owners.claim("b", &Place::Unknown, &mut reading), kept);
    }
}
