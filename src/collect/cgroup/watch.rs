//! Hears when groups come, go, and become empty: inotify(7) on folders and on each group's `cgroup.events`.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// What was heard since the last time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Groups may have come or gone.
    pub(super) folders: bool,
    /// Groups whose `cgroup.events` changed, by the inode of their folder.
    pub(super) groups: Vec<u64>,
}

/// The watches. Where they can't be had, everything is looked at each time.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Option<OwnedFd>,
    /// The group that a watch is of; folders are in none.
    groups: HashMap<i32, u64>,
    problem: Option<io::Error>,
}

impl Watch {
    pub(super) fn new() -> Self {
        let (inotify, problem) = match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
            Ok(inotify) => (Some(inotify), None),
            Err(error) => (None, Some(error.into())),
        };
        Self { inotify, groups: HashMap::new(), problem }
    }

    /// Readable while something was heard.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// A failure to watch that was not told before.
    pub(super) fn take_problem(&mut self) -> Option<io::Error> {
        self.problem.take()
    }

    /// Listens to groups that come and go in `folder`.
    pub(super) fn folder(&mut self, folder: &Path) {
        self.add(folder, WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::ONLYDIR);
    }

    /// Listens to the group in `folder` becoming empty.
    pub(super) fn group(&mut self, folder: &Path, inode: u64) {
        if let Some(watch) = self.add(&folder.join("cgroup.events"), WatchFlags::MODIFY) {
            self.groups.insert(watch, inode);
        }
    }

    fn add(&mut self, path: &Path, flags: WatchFlags) -> Option<i32> {
        match inotify::add_watch(self.inotify.as_ref()?, path, flags) {
            Ok(watch) => Some(watch),
            Err(Errno::NOENT | Errno::NODEV | Errno::NOTDIR) => None,
            Err(error) => {
                // Half a watch is worse than none: what it does not hear of would be missed.
                self.inotify = None;
                self.groups.clear();
                self.problem = Some(error.into());
                None
            }
        }
    }

    /// Takes what was heard.
    pub(super) fn take(&mut self) -> Heard {
        let mut heard = Heard::default();
        let Some(inotify) = &self.inotify else { return Heard { folders: true, groups: vec![] } };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    heard.folders = true;
                    heard.groups.extend(self.groups.values());
                }
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => {
                    self.groups.remove(&event.wd());
                }
                Ok(event) => match self.groups.get(&event.wd()) {
                    Some(inode) => heard.groups.push(*inode),
                    // Files of a control group are made and removed with its folder, and are no groups.
                    None => heard.folders |= event.events().contains(ReadFlags::ISDIR),
                },
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        heard.groups.sort_unstable();
        heard.groups.dedup();
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn hears_of_folders_and_of_groups() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a");
        fs::create_dir(&group).unwrap();
        fs::write(group.join("cgroup.events"), "populated 1\n").unwrap();
        let mut watch = Watch::new();
        watch.folder(root.path());
        watch.group(&group, 7);
        assert_eq!(watch.take(), Heard::default());
        fs::write(root.path().join("file"), "").unwrap();
        assert_eq!(watch.take(), Heard::default(), "a file is no group");
        fs::create_dir(root.path().join("b")).unwrap();
        fs::write(group.join("cgroup.events"), "populated 0\n").unwrap();
        assert_eq!(watch.take(), Heard { folders: true, groups: vec![7] });
        fs::remove_dir_all(&group).unwrap();
        assert!(watch.take().folders && watch.groups.is_empty());
        watch.group(&group, 7);
        assert!(watch.take_problem().is_none() && watch.descriptor().is_some(), "what is gone is no problem");
    }
}
