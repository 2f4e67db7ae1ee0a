//! Control groups of version 2: containers, services, everything that systemd and container runtimes start.
//!
//! | figure | from | counted |
//! | --- | --- | --- |
//! | CPU time | `cpu.stat` | `usage_usec`: of all that ever ran in the group and below it |
//! | CPUs | `cpu.max`, `cpuset.cpus.effective` | the tightest limit of the group, of those above it, and of the machine |
//! | memory | `memory.current`, `memory.stat` | without `inactive_file`, as tools for containers count it |
//! | memory that may be used | `memory.max` | the tightest of the group, of those above it, and of the machine |
//! | network | `/proc/PID/net/dev` | of the network namespaces of its processes, each once; not metered where that is the host's |
//! | storage | | not metered: the kernel counts none by group |
//! | GPU time | `/proc/PID/fdinfo`, NVML | of the GPUs' clients that its processes have open; for NVIDIA's driver by shares of time |
//!
//! A group under a group is metered for itself, and is in the figures of the one above. Groups that come and go under a
//! pattern are followed; `cgroup.events` tells when a group became empty, so that its counters are read once more before
//! it is removed. What a group consumes between the last look and its end is not read if it is removed within the
//! millisecond in which its last process ends, or while this process is not run: `unread` says what becomes of it.

mod group;
mod hierarchy;
mod huge_pages;
mod limits;
mod listing;
mod members;
mod memory;
mod names;
mod no_memory;
mod shared;
mod subtrees;
mod unit;
mod unread;
mod walk;
mod watch;

#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) use self::group::fuzz_files;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::group::Group;
use self::hierarchy::Hierarchy;
pub(super) use self::limits::GroupLimits;
use self::memory::bytes_of;
pub(super) use self::shared::GroupHosts;
use self::shared::{Readers, SharedParts};
use self::unread::Above;
use self::walk::{Found, Levels, MAX_NESTED, WatchedFolders};
use self::watch::Listener;
use super::spelling::{spelled, unspelled};
use super::template::{Names, Naming};
use super::{Asked, CollectError, LostCpu, Observed, Place, Scope, ScopeOptions};
use crate::clock::Monotonic;

/// How often groups whose last CPU time was not read are logged.
const MISSED_LOGGED_EVERY: Duration = Duration::from_secs(10);
/// Groups whose id had to be replaced that are logged: whoever makes groups must not fill the log.
const MAX_RENAMED_LOGGED: usize = 32;
/// How often a systemd unit that does not run is looked for.
const UNIT_SEARCHED_EVERY: Duration = Duration::from_secs(2);
/// Entries of a folder that are looked at for a name that was meant.
const MAX_NAMES_COMPARED: usize = 4096;
/// So many of them are named where none is near.
const NAMES_SHOWN: usize = 8;
/// Whether it was logged that groups can't be watched.
static WATCH_PROBLEM_LOGGED: AtomicBool = AtomicBool::new(false);

/// A control group, or all that a pattern names.
#[derive(Debug)]
pub struct Cgroups {
    levels: Levels,
    /// What was asked for, for people.
    asked: String,
    asked_in: Asked,
    naming: Naming,
    /// What all scopes of the agent have in common.
    shared: SharedParts,
    /// Who this is to the watches, and their descriptor.
    listener: Listener,
    descriptor: Option<Rc<OwnedFd>>,
    /// By path from the root of the hierarchy.
    groups: BTreeMap<String, Group>,
    /// The path of the group that has an id.
    ids: HashMap<String, String>,
    /// How many groups have another id than they would have; the first of them are logged.
    renamed: usize,
    above: Above,
    /// Those that are gone, until it is told what was not read of them.
    gone: Vec<(String, Group)>,
    /// What those that are gone used beyond what was read of them, until it is taken.
    lost: Vec<LostCpu>,
    missed: Missed,
    /// When it was last sampled.
    looked: Option<Monotonic>,
    /// The unit whose group it is.
    unit: Option<UnitSearch>,
    /// Why groups may be missing, as of the last walk.
    failure: Option<String>,
    /// It was logged that groups lie too deep.
    too_deep: bool,
    /// What the groups take of the meter's memory, about.
    bytes: usize,
    /// There were groups that are not metered one by one, which was logged. What came of them is billed already, so that a
    /// group that is metered from here on starts from what it shows.
    is_crowded: bool,
}

/// A systemd unit, and when it is looked for again while it does not run.
#[derive(Debug)]
struct UnitSearch {
    name: String,
    next: Monotonic,
}

impl Cgroups {
    /// The group at `path`, or all that the pattern names, as [`super::ScopeSpec::Cgroup`] has it. There may be none yet;
    /// see [`Scope::is_absent`].
    ///
    /// # Errors
    /// Where there is no version 2 of control groups, and where the pattern can't be read.
    pub(super) fn open(path: &str, options: &ScopeOptions, hosts: &mut GroupHosts) -> Result<Self, CollectError> {
        let shared = hosts.parts(options)?;
        let levels = Levels::new(&shared.facts.hierarchy.levels(path)?)?;
        let mut scope = Self::new(shared, levels, path.to_owned(), options);
        let found = scope.walk();
        scope.take(found);
        Ok(scope)
    }

    /// The group of a systemd unit, of the system or of a user. A unit that does not run is waited for.
    ///
    /// # Errors
    /// Where there is no version 2 of control groups, and where that is no unit's name.
    pub(super) fn open_unit(name: &str, options: &ScopeOptions, hosts: &mut GroupHosts) -> Result<Self, CollectError> {
        let shared = hosts.parts(options)?;
        let unit = unit::full_name(name)?;
        let mut scope = Self::new(shared, Levels::literal(&[]), unit.clone(), options);
        scope.unit = Some(UnitSearch { name: unit, next: Monotonic::ZERO });
        let found = scope.walk();
        scope.take(found);
        Ok(scope)
    }

    fn new(shared: SharedParts, levels: Levels, asked: String, options: &ScopeOptions) -> Self {
        let mut watch = shared.watch.borrow_mut();
        let (listener, descriptor) = (watch.listener(), watch.descriptor());
        drop(watch);
        Self {
            levels,
            asked,
            asked_in: options.asked.clone(),
            naming: Naming::new(options, Rc::clone(&shared.facts.host)),
            shared,
            listener,
            descriptor,
            groups: BTreeMap::new(),
            ids: HashMap::new(),
            renamed: 0,
            above: Above::default(),
            gone: Vec::new(),
            lost: Vec::new(),
            missed: Missed::default(),
            looked: None,
            unit: None,
            failure: None,
            too_deep: false,
            bytes: 0,
            is_crowded: false,
        }
    }

    /// Takes what was heard, and the groups that came and went by it.
    fn hear(&mut self, at: Monotonic) -> Vec<u64> {
        let mut watch = self.shared.watch.borrow_mut();
        let (heard, is_deaf) = (watch.take(self.listener, at), watch.is_deaf());
        drop(watch);
        if is_deaf || !heard.groups.is_empty() {
            let changed = |group: &&mut Group| is_deaf || heard.groups.binary_search(&group.inode).is_ok();
            self.groups.values_mut().filter(changed).for_each(|group| group.empty = false);
        }
        let is_search_due = self.groups.is_empty() && self.unit.as_ref().is_some_and(|unit| at >= unit.next);
        if heard.folders || is_search_due {
            if let Some(unit) = self.unit.as_mut().filter(|_| is_search_due) {
                unit.next = at.saturating_add(UNIT_SEARCHED_EVERY);
            }
            let found = self.walk();
            self.take(found);
        }
        heard.groups
    }

    /// Looks for the groups. A unit that does not run is looked for anew, since it may come back in another slice.
    fn walk(&mut self) -> Found {
        if let Some(unit) = self.unit.as_ref().filter(|_| self.groups.is_empty()) {
            match unit::find(&unit.name, &self.shared.facts.hierarchy.folder) {
                Ok(path) => self.levels = Levels::literal(&path.split('/').collect::<Vec<_>>()),
                Err(_) => return Found::default(),
            }
        }
        let watch = &mut *self.shared.watch.borrow_mut();
        let mut folders = WatchedFolders { watch, listener: self.listener };
        self.levels.walk(&self.shared.facts.hierarchy.folder, &mut folders)
    }

    /// Takes over what a walk found: groups that came, groups that went.
    fn take(&mut self, found: Found) {
        let shared = self.shared.clone();
        let (mut readers, mut watch) = (shared.readers.borrow_mut(), shared.watch.borrow_mut());
        let once = &mut readers.once;
        let complete = found.failure.is_none();
        self.failure = found.failure.as_ref().map(ToString::to_string);
        if found.is_too_deep && !std::mem::replace(&mut self.too_deep, true) {
            tracing::warn!(
                scope = self.asked,
                "groups more than {MAX_NESTED} levels below what ** begins with have no events of their own: they are in the \
                 figures of those above them"
            );
        }
        once.part(&self.asked, "folders of control groups", found.failure.map_or(Ok(()), Err));
        // After a failure what is missing may be there all the same; the next look at its files tells.
        let goes =
            |path: &String, group: &mut Group| found.groups.get(path).map_or(complete, |inode| *inode != group.inode);
        for (path, group) in self.groups.extract_if(.., goes) {
            once.forget(group.instance());
            self.ids.remove(group.instance());
            shared.memory.give_back(&mut self.bytes, bytes_of(&path));
            self.gone.push((path, group));
        }
        // The older ones first: who makes a group later takes nobody's id, whatever the order in which they are found.
        let known = &self.groups;
        let mut coming: Vec<(u64, String)> = found
            .groups
            .into_iter()
            .filter(|(path, _)| !known.contains_key(path))
            .map(|(path, id)| (id, path))
            .collect();
        coming.sort_unstable();
        let mut crowded = BTreeMap::new();
        for (inode, path) in coming {
            if !shared.memory.take(&mut self.bytes, bytes_of(&path)) {
                if let Some((above, _)) = path.rsplit_once('/') {
                    crowded
                        .entry(readers.root.join(OsString::from_vec(unspelled(above))))
                        .or_insert_with(|| above.to_owned());
                }
                continue;
            }
            let names = self.usable_names(&path);
            self.ids.insert(names.instance.clone(), path.clone());
            let folder = readers.root.join(OsString::from_vec(unspelled(&path)));
            watch.group(self.listener, &folder, inode);
            let life = format!("{}:{inode}", shared.facts.boot);
            let (place, born) = (Place::Group(path.as_str().into()), self.looked.is_some() && !self.is_crowded);
            let group = Group::new(folder, place, inode, names, life, born);
            self.groups.insert(path, group);
        }
        if !crowded.is_empty() && !std::mem::replace(&mut self.is_crowded, true) {
            tracing::warn!(
                scope = self.asked,
                "it has more control groups than are metered one by one ({}); the CPU time of further ones is in the event \
                 of the scope whose id ends with short-lived where all groups beside them are the same user's and the \
                 pattern's, and is NOT metered elsewhere; split the scope, or remove groups",
                self.groups.len()
            );
        }
        self.above.set_crowded(crowded);
        // The limit is one of the user, and it is said once.
        if let Some(error) = watch.take_problem()
            && !WATCH_PROBLEM_LOGGED.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "can't watch control groups, and lists them at each sample, so that groups which end between two samples may lack their last CPU time; raise fs.inotify.max_user_watches and max_user_instances with sysctl, and restart");
        }
    }

    /// The names of the group at `path`, which no other group of the scope has. What had to be replaced is logged.
    fn usable_names(&mut self, path: &str) -> Names {
        let mut names = self.names(path);
        if let Some(other) = self.ids.get(&names.instance) {
            let digest = self.naming.digest(path);
            names.replaced.push(format!(
                "the instance id {digest:?} stands for {:?}, which the control group {other:?} has; tell them apart with {}",
                names.instance,
                self.asked_in.instance_id("{host}/{path}")
            ));
            names.instance = digest;
        }
        if !names.replaced.is_empty() {
            self.renamed = self.renamed.saturating_add(1);
        }
        match self.renamed {
            0..=MAX_RENAMED_LOGGED => {
                names
                    .replaced
                    .iter()
                    .for_each(|why| tracing::warn!(group = path, "it is metered under another id: {why}"));
            }
            _ => names
                .replaced
                .iter()
                .for_each(|why| tracing::debug!(group = path, "it is metered under another id: {why}")),
        }
        if self.renamed == MAX_RENAMED_LOGGED && !names.replaced.is_empty() {
            tracing::warn!("further groups that are metered under another id are logged with --verbose --verbose");
        }
        names
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
        if self.groups.is_empty() && self.gone.is_empty() && self.missed.groups == 0 && self.above.is_unknown() {
            self.looked = Some(at);
            return Vec::new();
        }
        let shared = Rc::clone(&self.shared.readers);
        let shared = &mut *shared.borrow_mut();
        shared.begin(at, self.looked);
        if all {
            self.above.read(self.groups.values().map(|group| &*group.folder), &shared.root, &mut shared.buffer);
        }
        let mut seen = Vec::with_capacity(self.groups.len());
        let gone = self.groups.extract_if(.., |_, group| {
            let changed = group.is_new() || heard.binary_search(&group.inode).is_ok();
            if changed {
                // Before its counter is read, which then has all.
                group.empty = unread::is_empty(&group.folder, &mut shared.buffer);
                if group.empty {
                    group.ask_threads_again();
                }
            }
            if (all || changed) && !group.look(at, shared) {
                return true;
            }
            seen.push(group.last.clone());
            group.last.born = false;
            false
        });
        for (path, group) in gone {
            self.ids.remove(group.instance());
            self.shared.memory.give_back(&mut self.bytes, bytes_of(&path));
            self.gone.push((path, group));
        }
        self.tell_missed(at, shared);
        if all {
            self.bill_lost(at, shared);
            self.groups.values_mut().for_each(Group::settle);
        }
        self.looked = Some(at);
        seen
    }

    /// Logs what was not read at most of those that are gone: the first at once, further ones together after a while, so
    /// that whoever makes and removes groups does not fill the log.
    fn tell_missed(&mut self, at: Monotonic, shared: &mut Readers) {
        for (path, gone) in std::mem::take(&mut self.gone) {
            shared.once.forget(gone.instance());
            let is_billed = self.levels.takes_all()
                && path.rsplit_once('/').is_some_and(|(above, _)| self.owner_below(above).is_some());
            if is_billed {
                self.above.note_gone(&path, &gone);
            } else if let Some(most) = self.above.missed(&gone, self.groups.values(), at, shared) {
                self.missed.add(path, most);
            }
        }
        self.missed.log(at);
    }

    /// Bills what groups that are gone have provably used beyond what was read of them.
    fn bill_lost(&mut self, at: Monotonic, shared: &mut Readers) {
        if !self.levels.takes_all() {
            return self.above.settle();
        }
        for (above, used) in self.above.proven(self.groups.values()) {
            if let Some((user, org)) = self.owner_below(&above) {
                tracing::debug!(group = above, ?used, "groups below it were removed before they were read");
                self.lost.push(LostCpu { user, org, used, cpus: shared.machine.look(at).cpus });
            }
        }
        self.above.settle_reading_again(&mut shared.buffer);
    }

    /// Who is billed for groups below the one at `above`, user and organization, where that is the same for all of them;
    /// nobody where that one is metered, whose figures have it all.
    fn owner_below(&self, above: &str) -> Option<(Option<String>, Option<String>)> {
        let owner = |name: &str| {
            let Names { user, org, .. } = self.names(&format!("{above}/{name}"));
            (user, org)
        };
        let one = owner("a");
        (!self.groups.contains_key(above) && one == owner("b")).then_some(one)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let bytes = self.bytes;
        self.shared.memory.give_back(&mut self.bytes, bytes);
        if let Ok(mut watch) = self.shared.watch.try_borrow_mut() {
            watch.forget(self.listener);
        }
    }
}

/// Groups that were removed before their last CPU time was read, of which nothing was logged yet.
#[derive(Debug, Default)]
struct Missed {
    groups: u64,
    most: Duration,
    /// The last one.
    path: String,
    logged: Option<Monotonic>,
}

impl Missed {
    fn add(&mut self, path: String, most: Duration) {
        (self.groups, self.path) = (self.groups.saturating_add(1), path);
        self.most = self.most.saturating_add(most);
    }

    fn log(&mut self, at: Monotonic) {
        if self.groups == 0 || self.logged.is_some_and(|when| at < when.saturating_add(MISSED_LOGGED_EVERY)) {
            return;
        }
        tracing::warn!(
            groups = self.groups,
            group = self.path,
            most_ms = self.most.as_millis(),
            "it was removed before its last CPU time could be read; that is in no event"
        );
        *self = Self { logged: Some(at), ..Self::default() };
    }
}

impl Scope for Cgroups {
    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        let heard = self.hear(at);
        Ok(self.look(at, true, &heard))
    }

    fn glance(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        let heard = self.hear(at);
        Ok(self.look(at, false, &heard))
    }

    fn is_pattern(&self) -> bool {
        self.levels.is_pattern()
    }

    fn substitute_id(&self, place: &Place) -> Option<String> {
        if let Place::Group(path) = place { Some(self.naming.digest(path)) } else { None }
    }

    fn take_lost_cpu(&mut self) -> Vec<LostCpu> {
        std::mem::take(&mut self.lost)
    }

    fn interface_patterns(&self) -> Vec<String> {
        self.shared.readers.borrow().namespaces.wanted()
    }

    fn choose_interfaces(&mut self, keys: &[String], at: Monotonic) {
        self.shared.readers.borrow_mut().namespaces.choose(keys, at);
    }

    fn instances(&self) -> Vec<(String, Place)> {
        self.groups.values().map(|group| (group.instance().to_owned(), group.last.place.clone())).collect()
    }

    fn is_absent(&self) -> bool {
        self.groups.is_empty()
    }

    fn absence(&self) -> String {
        let hierarchy = &self.shared.facts.hierarchy;
        if let Some(unit) = &self.unit
            && let Err(error) = unit::find(&unit.name, &hierarchy.folder)
        {
            return error.to_string();
        }
        if let Some(error) = &self.failure {
            return format!("can't list control groups for {:?}: {error}; run as root, or as their owner", self.asked);
        }
        hierarchy
            .levels(&self.asked)
            .map_or_else(|error| error.to_string(), |levels| missing(&self.asked, &levels, hierarchy))
    }

    fn urgency(&self) -> Option<BorrowedFd<'_>> {
        let is_deaf = self.shared.watch.try_borrow().is_ok_and(|watch| watch.is_deaf());
        self.descriptor.as_ref().filter(|_| !is_deaf).map(|descriptor| descriptor.as_fd())
    }

    fn is_urgent(&mut self, at: Monotonic) -> bool {
        self.shared.watch.borrow_mut().concerns(self.listener, at)
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
            let (there, is_all) = folders(&folder);
            let near = crate::validate::names::nearest(level, there.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!("did you mean {known}{near}?"),
                None if there.is_empty() => "there is none below it".to_owned(),
                None => format!("there are {}", some_of(&there, is_all)),
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

/// The first of `names`, and how many more there are: of a folder that was not listed to its end, so many at least.
fn some_of(names: &[String], is_all: bool) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match (names.len().saturating_sub(NAMES_SHOWN), is_all) {
        (0, true) => shown,
        (more, true) => format!("{shown} and {more} more"),
        (more, false) => format!("{shown} and more than {more} more"),
    }
}

/// The first names of folders in a folder, and whether that is all of them: they are compared with what was asked for, and
/// tenants make as many as they like.
fn folders(folder: &std::path::Path) -> (Vec<String>, bool) {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .by_ref()
        .take(MAX_NAMES_COMPARED)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| spelled(entry.file_name().as_bytes()).into_owned())
        .collect();
    names.sort_unstable();
    (names, entries.next().is_none())
}

#[cfg(test)]
mod tests;
