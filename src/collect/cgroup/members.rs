//! The processes of a control group and of those below it.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Dir, FileType, Mode, OFlags, openat};

use crate::clock::Monotonic;
use crate::collect::kernel_file::{KernelFile, is_gone, read_in};
use crate::collect::namespace::Threads;

/// Groups below a container's are made when it starts.
const REFRESHED: Duration = Duration::from_secs(10);
/// Groups and threads that are listed of one instance; who has more of them is metered through these, and flagged.
const MAX_GROUPS: usize = 1 << 16;
const MAX_THREADS: usize = 1 << 18;

/// Knows the groups below one, and lists the processes of all.
#[derive(Debug, Default)]
pub(super) struct Members {
    folders: Vec<PathBuf>,
    listed: Option<Monotonic>,
    processes: Vec<u32>,
    lacks_groups: bool,
    lacks_processes: bool,
}

impl Members {
    /// Whether there were more groups or processes at the last look, or some that have no number here.
    pub(super) const fn is_partial(&self) -> bool {
        self.lacks_groups || self.lacks_processes
    }

    /// The processes as of now. Those of another PID namespace have no number here, and are left out.
    pub(super) fn processes(&mut self, folder: &Path, at: Monotonic, buffer: &mut Vec<u8>) -> &[u32] {
        if self.listed.is_none_or(|when| at >= when.saturating_add(REFRESHED)) {
            self.folders.clear();
            self.lacks_groups = !list(folder.to_owned(), &mut self.folders);
            self.listed = Some(at);
        }
        self.processes.clear();
        for folder in &self.folders {
            // A group that is no more has none; a threaded one has those of its root.
            let mut file = KernelFile::reopened(folder.join("cgroup.procs"));
            let text = file.read(buffer).unwrap_or_default();
            self.processes.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
        let listed = self.processes.len();
        self.processes.retain(|number| *number > 0);
        self.lacks_processes = self.processes.len() < listed || listed > MAX_THREADS;
        self.processes.truncate(MAX_THREADS);
        &self.processes
    }
}

/// The folders below one, each behind those above it. What lies deeper than a path can say is left out. `false` where
/// there are too many.
fn list(folder: PathBuf, found: &mut Vec<PathBuf>) -> bool {
    let mut waiting = vec![folder];
    while let Some(folder) = waiting.pop() {
        if found.len() >= MAX_GROUPS {
            return false;
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(folders.map(|entry| entry.path()));
        found.push(folder);
    }
    true
}

/// All threads of the group in `folder` and of those below it, however deep they lie: one descriptor at a time, since
/// whoever owns the group decides on its depth. Threads of another PID namespace have no number here: then, and where there are too many, the list
/// is partial.
///
/// Not processes: each thread may be in a namespace of its own, the first one of a process may have ended, after which
/// nothing can be asked of the process, and a threaded group names no processes.
pub(super) fn all_threads(folder: &Path) -> io::Result<Threads> {
    let mut found = Threads::default();
    let none_if_gone = |error: io::Error| if is_gone(&error) { Ok(()) } else { Err(error) };
    if let Err(error) = descend(folder, MAX_GROUPS, &mut found) {
        none_if_gone(error)?;
    }
    // The first one is mostly the one that made the others.
    found.numbers.sort_unstable();
    found.numbers.dedup();
    Ok(found)
}

fn descend(folder: &Path, most: usize, found: &mut Threads) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut current = rustix::fs::open(folder, flags, Mode::empty())?;
    if has_no_folder(&current) {
        return add_threads(&current, found);
    }
    if read_in(&current, "cgroup.events")
        .is_ok_and(|text| text.split(|byte| *byte == b'\n').any(|it| it == b"populated 0"))
    {
        return Ok(());
    }
    let (mut levels, mut groups) = (vec![visit(&current, found)?], 0);
    while let Some(level) = levels.last_mut() {
        match level.pop() {
            Some(_) if groups >= most || found.numbers.len() >= MAX_THREADS => {
                found.is_partial = true;
                return Ok(());
            }
            Some(name) => {
                groups += 1;
                // One that is no more has no threads.
                if let Ok(below) = openat(&current, name, flags, Mode::empty()) {
                    levels.push(visit(&below, found).unwrap_or_default());
                    current = below;
                }
            }
            None => {
                levels.pop();
                if !levels.is_empty() {
                    current = openat(&current, "..", flags, Mode::empty())?;
                }
            }
        }
    }
    Ok(())
}

/// Adds the threads of a group, and gives the names of those below it.
fn visit(group: &OwnedFd, found: &mut Threads) -> io::Result<Vec<CString>> {
    add_threads(group, found)?;
    if has_no_folder(group) {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in Dir::read_from(group)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Whether there is surely no folder in a folder: the kernel counts them as links. Listing the thirty files of each group
/// costs more than all else that is asked of it.
fn has_no_folder(folder: &OwnedFd) -> bool {
    // Where folders are not counted, the number is 1.
    rustix::fs::fstat(folder).is_ok_and(|status| status.st_nlink == 2)
}

fn add_threads(group: &OwnedFd, found: &mut Threads) -> io::Result<()> {
    match read_in(group, "cgroup.threads") {
        Ok(text) => {
            for number in text.split(|byte| *byte == b'\n').filter_map(number) {
                if number > 0 {
                    found.numbers.push(number);
                } else {
                    found.is_partial = true;
                }
            }
        }
        Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::Unsupported => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn number(line: &[u8]) -> Option<u32> {
    std::str::from_utf8(line).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_threads_deeper_than_a_path_can_say_with_one_descriptor() {
        let root = tempfile::tempdir().unwrap();
        let (name, deep) = ("d".repeat(200), 64);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut current = rustix::fs::open(root.path(), flags, Mode::empty()).unwrap();
        for level in 0..deep {
            rustix::fs::mkdirat(&current, &name, Mode::RWXU).unwrap();
            current = openat(&current, &name, flags, Mode::empty()).unwrap();
            let file = openat(&current, "cgroup.threads", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
            rustix::io::write(&file, format!("{}\n0\n", 100 + level).as_bytes()).unwrap();
        }
        fs::create_dir(root.path().join("beside")).unwrap();
        fs::write(root.path().join("beside/cgroup.threads"), "7\n").unwrap();
        let mut expected: Vec<u32> = (100..100 + deep).collect();
        expected.insert(0, 7);
        let found = all_threads(root.path()).unwrap();
        assert_eq!(found.numbers, expected);
        assert!(found.is_partial, "some have no number here");
        let mut found = Threads::default();
        descend(root.path(), 1, &mut found).unwrap();
        assert!(found.is_partial && found.numbers.len() <= 1, "there are more groups");
        let found = all_threads(&root.path().join("none")).unwrap();
        assert!(found.numbers.is_empty() && !found.is_partial);
        let found = all_threads(&root.path().join("beside")).unwrap();
        assert!(found.numbers == [7] && !found.is_partial);
    }
}
