//! The processes of a control group and of those below it.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Dir, FileType, Mode, OFlags, openat};

use crate::clock::Monotonic;
use crate::collect::kernel_file::{KernelFile, is_gone, read_in};

/// Groups below a container's are made when it starts.
const REFRESHED: Duration = Duration::from_secs(10);
/// Groups and threads that are listed of one instance; who has more of them is metered through these, and what needs the
/// list is named as not metered.
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
            self.lacks_groups = !list(folder.to_owned(), MAX_GROUPS, &mut self.folders);
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
/// there are more than `most`.
fn list(folder: PathBuf, most: usize, found: &mut Vec<PathBuf>) -> bool {
    let mut waiting = vec![folder];
    while let Some(folder) = waiting.pop() {
        if found.len() >= most {
            return false;
        }
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(folders.map(|entry| entry.path()));
        found.push(folder);
    }
    true
}

/// Adds all threads of the group in `folder` and of those below it, however deep they lie: one descriptor at a time, since
/// whoever owns the group decides on its depth. Threads of another PID namespace have no number here and are listed as 0, and so is what is left out
/// where there are too many. Of each group with
/// others below it, `subtrees` gets where its threads and theirs stand, by the inode of its folder.
pub(super) fn add_threads_below(
    folder: &Path,
    found: &mut Vec<u32>,
    subtrees: &mut HashMap<u64, Range<usize>>,
) -> io::Result<()> {
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
    let first = found.len();
    let mut begun = vec![(inode(&current), first)];
    let (mut levels, mut groups) = (vec![visit(&current, found)?], 0);
    while let Some(level) = levels.last_mut() {
        match level.pop() {
            Some(_) if groups >= MAX_GROUPS || found.len() - first >= MAX_THREADS => {
                found.push(0);
                break;
            }
            Some(name) => {
                groups += 1;
                // One that is no more has no threads.
                if let Ok(below) = openat(&current, name, flags, Mode::empty()) {
                    begun.push((inode(&below), found.len()));
                    levels.push(visit(&below, found).unwrap_or_default());
                    current = below;
                }
            }
            None => {
                levels.pop();
                if let Some((inode, start)) = begun.pop() {
                    subtrees.insert(inode, start..found.len());
                }
                if !levels.is_empty() {
                    current = openat(&current, "..", flags, Mode::empty())?;
                }
            }
        }
    }
    // Where there were too many.
    subtrees.extend(begun.into_iter().map(|(inode, start)| (inode, start..found.len())));
    Ok(())
}

fn inode(folder: &OwnedFd) -> u64 {
    rustix::fs::fstat(folder).map_or(0, |status| status.st_ino)
}

/// Adds the threads of a group, and gives the names of those below it.
fn visit(group: &OwnedFd, found: &mut Vec<u32>) -> io::Result<Vec<CString>> {
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

fn add_threads(group: &OwnedFd, found: &mut Vec<u32>) -> io::Result<()> {
    match read_in(group, "cgroup.threads") {
        Ok(text) => {
            let lines = text.split(|byte| *byte == b'\n');
            found.extend(lines.filter_map(|line| std::str::from_utf8(line).ok()?.parse::<u32>().ok()));
        }
        Err(error) if is_gone(&error) || error.kind() == io::ErrorKind::Unsupported => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_groups_are_told_from_all() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("one")).unwrap();
        for (most, is_whole) in [(1, false), (2, true)] {
            assert_eq!(list(root.path().to_owned(), most, &mut Vec::new()), is_whole);
        }
    }

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
        let (mut found, mut groups) = (Vec::new(), HashMap::new());
        add_threads_below(root.path(), &mut found, &mut groups).unwrap();
        found.sort_unstable();
        assert_eq!(found.split_off(deep as usize), expected, "behind one without a number for each");
        assert!(is_gone(&add_threads_below(&root.path().join("none"), &mut found, &mut groups).unwrap_err()));
    }
}
