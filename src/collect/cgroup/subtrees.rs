//! The threads of groups that lie in one another, listed once for all of them in a sample: a tenant who nests groups
//! decides on their depth, and each of them lists all that is below it.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::Path;

use super::members::add_threads_below;
use crate::collect::kernel_file::is_gone;
use crate::collect::namespace::Threads;

/// What was listed in one sample of one scope.
#[derive(Debug, Default)]
pub(super) struct Subtrees {
    /// The threads of one group behind another, each behind those of the groups above it.
    threads: Vec<u32>,
    /// Where those of a group and of the ones below it stand, by the inode of its folder.
    groups: HashMap<u64, Range<usize>>,
}

impl Subtrees {
    /// Another sample begins.
    pub(super) fn clear(&mut self) {
        self.threads.clear();
        self.groups.clear();
    }

    /// All threads of the group in `folder`, which has this inode, and of those below it, in order.
    ///
    /// Not processes: each thread may be in a namespace of its own, the first one of a process may have ended, after which
    /// nothing can be asked of the process, and a threaded group names no processes.
    pub(super) fn threads(&mut self, folder: &Path, inode: u64) -> io::Result<Threads> {
        let known = self.groups.get(&inode).and_then(|range| self.threads.get(range.clone()));
        let mut numbers = if let Some(known) = known {
            known.to_vec()
        } else {
            let start = self.threads.len();
            match add_threads_below(folder, &mut self.threads, &mut self.groups) {
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
            self.threads.get(start..).unwrap_or_default().to_vec()
        };
        // The first one is mostly the one that made the others.
        numbers.sort_unstable();
        numbers.dedup();
        let is_partial = numbers.first() == Some(&0);
        numbers.retain(|number| *number > 0);
        Ok(Threads { numbers, is_partial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn nested_groups_are_listed_once() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = root.path().to_owned();
        let mut folders = Vec::new();
        for number in 1..=40 {
            folder.push("d");
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("cgroup.threads"), format!("{number}\n")).unwrap();
            folders.push(folder.clone());
        }
        let mut subtrees = Subtrees::default();
        let mut listed = |folder: &Path| {
            let threads = subtrees.threads(folder, fs::metadata(folder).unwrap().ino()).unwrap();
            assert!(!threads.is_partial);
            (threads.numbers, subtrees.threads.len())
        };
        for (first, folder) in (1..).zip(&folders) {
            assert_eq!(listed(folder), ((first..=40).collect(), 40), "no list but the first");
        }
    }

    #[test]
    fn threads_without_a_number_make_the_list_partial() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.threads"), "0\n7\n0\n").unwrap();
        let threads = Subtrees::default().threads(root.path(), 1).unwrap();
        assert!(threads.numbers == [7] && threads.is_partial, "{threads:?}");
    }
}
