//! Control groups of version 2: containers, services, everything that systemd and container runtimes start.
//!
//! | figure | from | counted |
//! | --- | --- | --- |
//! | CPU time | `cpu.stat` | `usage_usec`: of all that ever ran in the group and below it |
//! | CPUs | `cpu.max`, `cpuset.cpus.effective` | the tightest limit of the group, of those above it, and of the machine |
//! | memory | `memory.current`, `memory.stat` | without `inactive_file`, as tools for containers count it |
//! | memory that may be used | `memory.max` | the tightest of the group, of those above it, and of the machine |
//! | network | `/proc/PID/net/dev` | of the network namespace of one of its processes; 0 where that is the host's |
//! | storage | | 0: the kernel counts none by group |
//! | GPU time | `/proc/PID/fdinfo`, NVML | of the GPUs' clients that its processes have open; for NVIDIA's driver by shares of time |
//!
//! A group under a group is metered for itself, and is in the figures of the one above. Groups that come and go under a
//! pattern are followed; `cgroup.events` tells when a group became empty, so that its counters are read once more before
//! it is removed. What a group consumes between the last look and its end can be lost only if it is removed within the
//! millisecond in which its last process ends, or while this process is not run; how much that is at most is said.

mod group;
mod hierarchy;
mod limits;
mod members;
mod names;
mod no_memory;
mod unit;
mod unread;
mod walk;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::BorrowedFd;

use self::group::{Group, Shared};
use self::hierarchy::Hierarchy;
pub(super) use self::limits::GroupLimits;
use self::limits::LimitCache;
use self::unread::Above;
use self::walk::{Found, Levels};
use self::watch::Watch;
use super::drm::Drm;
use super::machine::Machine;
use super::namespace::Namespaces;
use super::nvidia::NvidiaShares;
use super::once::Once;
use super::template::{Names, Naming};
use super::{Asked, CollectError, Observed, Place, Scope, ScopeOptions};
use crate::clock::Monotonic;

/// Files that a process may have open beside those of groups: sockets, the spool, the figures.
const OTHER_FILES: u64 = 256;
/// Files that a group keeps open.
const FILES_EACH: u64 = 4;

/// A control group, or all that a pattern names.
#[derive(Debug)]
pub struct Cgroups {
    levels: Levels,
    /// What was asked for, for people.
    asked: String,
    asked_in: Asked,
    naming: Naming,
    boot: String,
    shared: Shared,
    watch: Watch,
    /// By path from the root of the hierarchy.
    groups: BTreeMap<String, Group>,
    /// Groups that have another's id.
    clashing: BTreeSet<String>,
    nvidia: NvidiaShares,
    above: Above,
    /// Those that are gone, until it is told what was not read of them.
    gone: Vec<(String, Group)>,
    /// Groups whose files may stay open.
    keep_open: usize,
    looked: bool,
}

impl Cgroups {
    /// The group at `path`, or all that the pattern names, as [`super::ScopeSpec::Cgroup`] has it.
    ///
    /// # Errors
    /// Where there is no such group, no version 2 of control groups, or where two groups would have one id.
    pub fn open(path: &str, options: &ScopeOptions) -> Result<Self, CollectError> {
        let hierarchy = Hierarchy::find(&options.root)?;
        let levels = hierarchy.levels(path)?;
        let mut scope = Self::new(&hierarchy, Levels::new(&levels)?, path.to_owned(), options);
        let found = scope.walk();
        if let (Some(error), true) = (&found.failure, found.groups.is_empty()) {
            return Err(CollectError(format!(
                "can't meter control group {path:?}: {error}; run as root, or as its owner"
            )));
        }
        if found.groups.is_empty() {
            return Err(CollectError(missing(path, &levels, &hierarchy)));
        }
        scope.take(found)?;
        Ok(scope)
    }

    /// The group of a systemd unit, of the system or of a user.
    ///
    /// # Errors
    /// Where the unit does not run, or where there are several of that name.
    pub fn open_unit(name: &str, options: &ScopeOptions) -> Result<Self, CollectError> {
        let hierarchy = Hierarchy::find(&options.root)?;
        let path = unit::find(name, &hierarchy.folder)?;
        let levels: Vec<&str> = path.split('/').collect();
        let mut scope = Self::new(&hierarchy, Levels::literal(&levels), path.clone(), options);
        let found = scope.walk();
        scope.take(found)?;
        Ok(scope)
    }

    fn new(hierarchy: &Hierarchy, levels: Levels, asked: String, options: &ScopeOptions) -> Self {
        let root = &options.root;
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let keep_open = limit.saturating_sub(OTHER_FILES) / FILES_EACH;
        Self {
            levels,
            asked,
            asked_in: options.asked.clone(),
            naming: Naming::new(options, Machine::host(root)),
            boot: Machine::boot(root),
            shared: Shared {
                root: hierarchy.folder.clone(),
                old_memory: hierarchy.old_memory.clone(),
                machine: Machine::new(root),
                namespaces: Namespaces::new(root, &options.interfaces),
                limits: LimitCache::default(),
                drm: Drm::new(root),
                shares: None,
                looked: None,
                once: Once::default(),
                buffer: Vec::new(),
            },
            watch: Watch::new(),
            groups: BTreeMap::new(),
            clashing: BTreeSet::new(),
            nvidia: NvidiaShares::find(root),
            above: Above::default(),
            gone: Vec::new(),
            keep_open: usize::try_from(keep_open).unwrap_or(usize::MAX),
            looked: false,
        }
    }

    /// Takes what was heard, and the groups that came and went by it.
    fn hear(&mut self) -> Result<Vec<u64>, CollectError> {
        let heard = self.watch.take();
        let is_deaf = self.watch.descriptor().is_none();
        if is_deaf || !heard.groups.is_empty() {
            let changed = |group: &&mut Group| is_deaf || heard.groups.binary_search(&group.inode).is_ok();
            self.groups.values_mut().filter(changed).for_each(|group| group.empty = false);
        }
        if heard.folders {
            let found = self.walk();
            self.take(found)?;
        }
        Ok(heard.groups)
    }

    fn walk(&mut self) -> Found {
        let watch = &mut self.watch;
        self.levels.walk(&self.shared.root, &mut |folder| watch.folder(folder))
    }

    /// Takes over what a walk found: groups that came, groups that went.
    fn take(&mut self, found: Found) -> Result<(), CollectError> {
        let once = &mut self.shared.once;
        let complete = found.failure.is_none();
        once.part(&self.asked, "folders of control groups", found.failure.map_or(Ok(()), Err));
        // After a failure what is missing may be there all the same; the next look at its files tells.
        let goes =
            |path: &String, group: &mut Group| found.groups.get(path).map_or(complete, |inode| *inode != group.inode);
        for (path, group) in self.groups.extract_if(.., goes) {
            once.forget(group.instance());
            self.gone.push((path, group));
        }
        self.clashing.retain(|path| found.groups.contains_key(path));
        let own = |(path, group): (&String, &Group)| (group.instance().to_owned(), path.clone());
        let comes = found.groups.keys().any(|path| !self.groups.contains_key(path));
        let mut taken: HashMap<String, String> =
            if comes { self.groups.iter().map(own).collect() } else { HashMap::new() };
        for (path, inode) in found.groups {
            if self.groups.contains_key(&path) || self.clashing.contains(&path) {
                continue;
            }
            let names = self.names(&path);
            let instance = names.instance.as_str();
            if let Some(other) = taken.get(instance) {
                let clash = format!(
                    "the control groups {other:?} and {path:?} would both be called {instance:?}; \
                     tell them apart with {}",
                    self.asked_in.instance_id("{host}/{path}")
                );
                if !self.looked {
                    return Err(CollectError(clash));
                }
                self.shared.once.say(instance, "instance id", &format!("{clash}; the second is not metered"));
                self.clashing.insert(path);
                continue;
            }
            taken.insert(instance.to_owned(), path.clone());
            let folder = self.shared.root.join(&path);
            self.watch.group(&folder, inode);
            let keep = self.groups.len() < self.keep_open;
            let life = format!("{}:{inode}", self.boot);
            let group = Group::new(folder, Place::Group(path.as_str().into()), inode, names, life, self.looked, keep);
            self.groups.insert(path, group);
        }
        if let Some(error) = self.watch.take_problem() {
            tracing::warn!(%error, "can't watch control groups, and lists them at each look; raise fs.inotify.max_user_watches and max_user_instances with sysctl");
        }
        Ok(())
    }

    fn names(&self, path: &str) -> Names {
        let mut levels = path.rsplit('/').map(names::name);
        let (folder, parent) = (levels.next(), levels.next());
        // The root of the hierarchy is everything on the host.
        self.naming.of(folder.filter(|folder| !folder.is_empty()), path, parent)
    }

    /// Looks at all groups, or at those that are new and those that were `heard` of, by their inodes in order. Drops
    /// those that are no more.
    fn look(&mut self, at: Monotonic, all: bool, heard: &[u64]) -> Vec<Observed> {
        let shared = &mut self.shared;
        shared.shares = self.nvidia.look(at);
        if all {
            self.above.read(self.groups.values().map(|group| &*group.folder), &shared.root, &mut shared.buffer);
        }
        let mut seen = Vec::with_capacity(self.groups.len());
        let gone = self.groups.extract_if(.., |_, group| {
            let changed = group.is_new() || heard.binary_search(&group.inode).is_ok();
            if changed {
                // Before its counter is read, which then has all.
                group.empty = unread::is_empty(&group.folder, &mut shared.buffer);
            }
            if (all || changed) && !group.look(at, shared) {
                return true;
            }
            seen.push(group.last.clone());
            group.last.born = false;
            false
        });
        self.gone.extend(gone);
        self.tell_missed(at);
        if all {
            self.above.settle();
            self.groups.values_mut().for_each(Group::settle);
        }
        let shared = &mut self.shared;
        self.looked = true;
        shared.looked = Some(at);
        seen
    }
}

impl Cgroups {
    /// Says of those that are gone what was not read of them at most.
    fn tell_missed(&mut self, at: Monotonic) {
        for (path, gone) in self.gone.drain(..) {
            let shared = &mut self.shared;
            shared.once.forget(gone.instance());
            if let Some(most) = self.above.missed(&gone, self.groups.values(), at, shared) {
                let most_ms = most.as_millis();
                tracing::warn!(
                    group = path,
                    most_ms,
                    "it was removed before its last CPU time could be read; that is in no event"
                );
            }
        }
    }
}

impl Scope for Cgroups {
    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        let heard = self.hear()?;
        Ok(self.look(at, true, &heard))
    }

    fn glance(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        let heard = self.hear()?;
        Ok(self.look(at, false, &heard))
    }

    fn is_pattern(&self) -> bool {
        self.levels.is_pattern()
    }

    fn instances(&self) -> Vec<(String, Place)> {
        self.groups.values().map(|group| (group.instance().to_owned(), group.last.place.clone())).collect()
    }

    fn urgency(&self) -> Option<BorrowedFd<'_>> {
        self.watch.descriptor()
    }
}

/// What to say of a group that is not there: how far the path goes, and what is there instead.
fn missing(path: &str, levels: &[&str], hierarchy: &Hierarchy) -> String {
    let mut folder = hierarchy.folder.clone();
    let mut known = String::new();
    for level in levels {
        if super::pattern::is_glob(level) {
            break;
        }
        let next = folder.join(level);
        if !next.is_dir() {
            let there = folders(&folder);
            let near = crate::validate::names::nearest(level, there.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!("did you mean {known}{near}?"),
                None if there.is_empty() => "there is none below it".to_owned(),
                None => {
                    format!("there are {}", there.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", "))
                }
            };
            return format!("there is no control group {known}{level} under {}; {hint}", hierarchy.mount());
        }
        folder = next;
        known.push_str(level);
        known.push('/');
    }
    format!(
        "no control group matches {path:?} under {}; start one first, or look for the right pattern with: ls {}/{known}",
        hierarchy.mount(),
        hierarchy.mount()
    )
}

fn folders(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests;
