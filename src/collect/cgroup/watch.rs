//! Hears when groups come, go, and become empty: inotify(7) on folders and on each group's `cgroup.events`.
//!
//! The kernel gives a user few instances (128 by default) and many watches, so that all scopes of an agent share one
//! instance. Each scope is a listener: it gets what concerns the names that it waits for, and no more, since a hundred
//! thousand patterns may wait in one folder.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::listing::Listing;
use crate::clock::Monotonic;
use crate::collect::spelling::spelled;

/// Events that are read in one go: who makes groups faster than they are read holds up no sample.
const MAX_EVENTS: usize = 1 << 15;
/// Where more names changed in a folder, all who listen to it list it again.
const MAX_NAMES: usize = 16;
/// Names that are remembered of listed folders.
const MAX_LISTED: usize = 1 << 17;

/// A scope that listens.
pub(super) type Listener = u64;

/// What a scope heard since the last time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Groups may have come or gone.
    pub(super) folders: bool,
    /// Groups whose `cgroup.events` changed, by the inode of their folder, in order.
    pub(super) groups: Vec<u64>,
}

/// The names in a folder that a scope waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Names<'n> {
    Any,
    Matching(&'n Rc<glob::Pattern>),
    Named(&'n OsStr),
}

/// Who waits for which names in a folder.
#[derive(Debug, Default)]
struct FolderListeners {
    any: HashSet<Listener>,
    matching: HashMap<Listener, Vec<Rc<glob::Pattern>>>,
    named: HashMap<OsString, HashSet<Listener>>,
}

/// The watches. Where they can't be had, folders are listed at each sample.
#[derive(Debug)]
pub(super) struct GroupWatch {
    inotify: Option<Rc<OwnedFd>>,
    folders: HashMap<i32, FolderListeners>,
    /// Who listens to the `cgroup.events` of a group, and the inode of its folder.
    groups: HashMap<i32, Vec<(Listener, u64)>>,
    /// The watches of each listener, with the names that it waits for one by one.
    watches: HashMap<Listener, HashMap<i32, Vec<OsString>>>,
    heard: HashMap<Listener, Heard>,
    /// Those who wait in a folder that this user may not watch: it is listed at each sample.
    unheard: HashSet<Listener>,
    last_listener: Listener,
    /// When events were last read.
    read_at: Option<Monotonic>,
    /// Folders as they were listed since events were last read.
    listings: HashMap<PathBuf, Rc<Listing>>,
    listed: usize,
    problem: Option<io::Error>,
}

impl GroupWatch {
    pub(super) fn new() -> Self {
        let (inotify, problem) = match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
            Ok(inotify) => (Some(Rc::new(inotify)), None),
            Err(error) => (None, Some(error.into())),
        };
        Self {
            inotify,
            folders: HashMap::new(),
            groups: HashMap::new(),
            watches: HashMap::new(),
            heard: HashMap::new(),
            unheard: HashSet::new(),
            last_listener: 0,
            read_at: None,
            listings: HashMap::new(),
            listed: 0,
            problem,
        }
    }

    /// Another scope.
    pub(super) const fn listener(&mut self) -> Listener {
        self.last_listener += 1;
        self.last_listener
    }

    /// Readable while something was heard; `None` where nothing can be watched.
    pub(super) fn descriptor(&self) -> Option<Rc<OwnedFd>> {
        self.inotify.clone()
    }

    /// Whether nothing can be watched, so that folders have to be listed at each sample.
    pub(super) const fn is_deaf(&self) -> bool {
        self.inotify.is_none()
    }

    /// A failure to watch that was not told before.
    pub(super) const fn take_problem(&mut self) -> Option<io::Error> {
        self.problem.take()
    }

    /// Listens to groups of these names that come and go in `folder`.
    pub(super) fn folder(&mut self, listener: Listener, folder: &Path, names: Names<'_>) {
        let flags = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        let Some(watch) = self.add(listener, folder, flags) else { return };
        let listeners = self.folders.entry(watch).or_default();
        match names {
            Names::Any => {
                listeners.any.insert(listener);
            }
            Names::Matching(pattern) => {
                let patterns = listeners.matching.entry(listener).or_default();
                if !patterns.contains(pattern) {
                    patterns.push(Rc::clone(pattern));
                }
            }
            Names::Named(name) => {
                let is_new = match listeners.named.get_mut(name) {
                    Some(others) => others.insert(listener),
                    None => listeners.named.insert(name.to_owned(), HashSet::from([listener])).is_none(),
                };
                if is_new && let Some(names) = self.watches.get_mut(&listener).and_then(|it| it.get_mut(&watch)) {
                    names.push(name.to_owned());
                }
            }
        }
    }

    /// Listens to the group in `folder` becoming empty.
    pub(super) fn group(&mut self, listener: Listener, folder: &Path, inode: u64) {
        if let Some(watch) = self.add(listener, &folder.join("cgroup.events"), WatchFlags::MODIFY) {
            let listeners = self.groups.entry(watch).or_default();
            if !listeners.contains(&(listener, inode)) {
                listeners.push((listener, inode));
            }
        }
    }

    fn add(&mut self, listener: Listener, path: &Path, flags: WatchFlags) -> Option<i32> {
        match inotify::add_watch(self.inotify.as_ref()?, path, flags) {
            Ok(watch) => {
                self.watches.entry(listener).or_default().entry(watch).or_default();
                Some(watch)
            }
            Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR | Errno::NAMETOOLONG) => None,
            // Whoever owns the folder denies it, and nobody else is to be heard less for that.
            Err(Errno::ACCESS | Errno::PERM) => {
                self.unheard.insert(listener);
                None
            }
            Err(error) => {
                // Half a watch is worse than none: what it does not hear of would be missed.
                self.inotify = None;
                self.folders.clear();
                self.groups.clear();
                self.watches.clear();
                self.heard.clear();
                self.problem = Some(error.into());
                None
            }
        }
    }

    /// A scope is no more.
    pub(super) fn forget(&mut self, listener: Listener) {
        self.heard.remove(&listener);
        self.unheard.remove(&listener);
        for (watch, names) in self.watches.remove(&listener).unwrap_or_default() {
            if let Some(folder) = self.folders.get_mut(&watch) {
                folder.forget(listener, &names);
            }
            if let Some(group) = self.groups.get_mut(&watch) {
                group.retain(|(other, _)| *other != listener);
            }
            let is_heard = self.folders.get(&watch).is_some_and(|folder| !folder.is_empty())
                || self.groups.get(&watch).is_some_and(|group| !group.is_empty());
            if !is_heard {
                self.folders.remove(&watch);
                self.groups.remove(&watch);
                if let Some(inotify) = &self.inotify {
                    // It may be gone with what it was of.
                    let _ = inotify::remove_watch(inotify, watch);
                }
            }
        }
    }

    /// What is in `folder`, as it was listed lately where nothing was heard of it since.
    pub(super) fn list(&mut self, folder: &Path) -> Rc<Listing> {
        if let Some(known) = self.listings.get(folder) {
            return Rc::clone(known);
        }
        let listing = Rc::new(Listing::of(folder));
        self.listed = self.listed.saturating_add(listing.len());
        if self.listed > MAX_LISTED {
            self.forget_listings();
            self.listed = listing.len();
        }
        if self.listed <= MAX_LISTED && listing.failure().is_none() {
            self.listings.insert(folder.to_owned(), Rc::clone(&listing));
        }
        listing
    }

    fn forget_listings(&mut self) {
        (self.listings, self.listed) = (HashMap::new(), 0);
    }

    /// Whether something was heard that concerns the scope, as of the sample at `at`. Where nothing can be watched, samples
    /// look at everything, and nothing else does.
    pub(super) fn concerns(&mut self, listener: Listener, at: Monotonic) -> bool {
        self.read(at);
        self.heard.contains_key(&listener)
    }

    /// Takes what the scope heard, as of the sample at `at`.
    pub(super) fn take(&mut self, listener: Listener, at: Monotonic) -> Heard {
        self.read(at);
        if self.is_deaf() {
            return Heard { folders: true, groups: Vec::new() };
        }
        let mut heard = self.heard.remove(&listener).unwrap_or_default();
        // The walk that follows finds out whether it may be watched by now.
        heard.folders |= self.unheard.remove(&listener);
        heard.groups.sort_unstable();
        heard.groups.dedup();
        heard
    }

    /// Reads the events once for all scopes of a sample.
    fn read(&mut self, at: Monotonic) {
        if self.read_at.replace(at) == Some(at) {
            return;
        }
        // What is listed from here on is at least as new as the events.
        self.forget_listings();
        let Some(inotify) = self.inotify.clone() else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&*inotify, &mut buffer);
        let mut changed: HashMap<i32, HashSet<OsString>> = HashMap::new();
        for _ in 0..MAX_EVENTS {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => self.wake_all(),
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => {
                    let folder = self.folders.remove(&event.wd()).unwrap_or_default();
                    let group = self.groups.remove(&event.wd()).unwrap_or_default();
                    for listener in folder.all().chain(group.iter().map(|(listener, _)| *listener)) {
                        if let Some(watches) = self.watches.get_mut(&listener) {
                            watches.remove(&event.wd());
                        }
                    }
                }
                Ok(event) => match (self.groups.get(&event.wd()), event.file_name()) {
                    (Some(listeners), _) => {
                        for (listener, inode) in listeners {
                            self.heard.entry(*listener).or_default().groups.push(*inode);
                        }
                    }
                    // Files of a control group are made and removed with its folder, and are no groups.
                    (None, Some(name)) if event.events().contains(ReadFlags::ISDIR) => {
                        let names = changed.entry(event.wd()).or_default();
                        if names.len() <= MAX_NAMES {
                            names.insert(OsStr::from_bytes(name.to_bytes()).to_owned());
                        }
                    }
                    _ => {}
                },
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        for (watch, names) in changed {
            if let Some(folder) = self.folders.get(&watch) {
                folder.concerned(&names, |listener| self.heard.entry(listener).or_default().folders = true);
            }
        }
    }

    /// Events were lost: everybody looks at everything.
    fn wake_all(&mut self) {
        for listener in self.watches.keys() {
            self.heard.entry(*listener).or_default().folders = true;
        }
        for (listener, inode) in self.groups.values().flatten() {
            self.heard.entry(*listener).or_default().groups.push(*inode);
        }
    }
}

impl FolderListeners {
    fn is_empty(&self) -> bool {
        self.any.is_empty() && self.matching.is_empty() && self.named.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = Listener> {
        self.any.iter().chain(self.matching.keys()).chain(self.named.values().flatten()).copied()
    }

    fn forget(&mut self, listener: Listener, names: &[OsString]) {
        self.any.remove(&listener);
        self.matching.remove(&listener);
        for name in names {
            if let Some(others) = self.named.get_mut(name) {
                others.remove(&listener);
                if others.is_empty() {
                    self.named.remove(name);
                }
            }
        }
    }

    /// Names those who wait for one of `names`; all where there are too many.
    fn concerned(&self, names: &HashSet<OsString>, mut wake: impl FnMut(Listener)) {
        if names.len() > MAX_NAMES {
            return self.all().for_each(wake);
        }
        self.any.iter().for_each(|listener| wake(*listener));
        let spelled: Vec<_> = names.iter().map(|name| spelled(name.as_bytes())).collect();
        for (listener, patterns) in &self.matching {
            if patterns.iter().any(|pattern| spelled.iter().any(|name| pattern.matches(name))) {
                wake(*listener);
            }
        }
        names.iter().filter_map(|name| self.named.get(name)).flatten().for_each(|listener| wake(*listener));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    fn folders() -> Heard {
        Heard { folders: true, groups: vec![] }
    }

    #[test]
    fn hears_of_folders_and_of_groups() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a");
        fs::create_dir(&group).unwrap();
        fs::write(group.join("cgroup.events"), "populated 1\n").unwrap();
        let mut watch = GroupWatch::new();
        let listener = watch.listener();
        let mut second = 0;
        let mut take = |watch: &mut GroupWatch| {
            second += 1;
            watch.take(listener, Duration::from_secs(second))
        };
        watch.folder(listener, root.path(), Names::Any);
        watch.group(listener, &group, 7);
        assert_eq!(take(&mut watch), Heard::default());
        fs::write(root.path().join("file"), "").unwrap();
        assert_eq!(take(&mut watch), Heard::default(), "a file is no group");
        fs::create_dir(root.path().join("b")).unwrap();
        fs::write(group.join("cgroup.events"), "populated 0\n").unwrap();
        assert_eq!(take(&mut watch), Heard { folders: true, groups: vec![7] });
        fs::remove_dir_all(&group).unwrap();
        assert!(take(&mut watch).folders && watch.groups.is_empty());
        watch.group(listener, &group, 7);
        assert!(watch.take_problem().is_none() && !watch.is_deaf(), "what is gone is no problem");
    }

    #[test]
    fn a_listener_hears_of_the_names_that_it_waits_for() {
        let root = tempfile::tempdir().unwrap();
        let mut watch = GroupWatch::new();
        let [any, matching, named] = [(); 3].map(|()| watch.listener());
        let pattern = Rc::new(glob::Pattern::new("b*").unwrap());
        watch.folder(any, root.path(), Names::Any);
        watch.folder(matching, root.path(), Names::Matching(&pattern));
        watch.folder(named, root.path(), Names::Named(OsStr::new("c")));
        let mut second = 0;
        let mut heard = |watch: &mut GroupWatch| {
            second += 1;
            [any, matching, named].map(|listener| watch.take(listener, Duration::from_secs(second)) == folders())
        };
        fs::create_dir(root.path().join("c")).unwrap();
        assert_eq!(heard(&mut watch), [true, false, true]);
        fs::create_dir(root.path().join("b1")).unwrap();
        assert_eq!(heard(&mut watch), [true, true, false]);
        for number in 0..=MAX_NAMES {
            fs::create_dir(root.path().join(format!("d{number}"))).unwrap();
        }
        assert_eq!(heard(&mut watch), [true; 3], "too many to look at one by one");
        assert_eq!(heard(&mut watch), [false; 3]);
        [any, matching, named].into_iter().for_each(|listener| watch.forget(listener));
        assert!(watch.folders.is_empty() && watch.watches.is_empty(), "{watch:?}");
    }

    #[test]
    fn a_folder_is_listed_again_after_a_change() {
        let root = tempfile::tempdir().unwrap();
        let mut watch = GroupWatch::new();
        let listener = watch.listener();
        watch.folder(listener, root.path(), Names::Any);
        assert_eq!(watch.list(root.path()).len(), 0);
        fs::create_dir(root.path().join("a")).unwrap();
        assert!(watch.concerns(listener, Duration::from_secs(1)));
        assert_eq!(watch.list(root.path()).len(), 1);
    }
}
