//! Who belongs to a tree of processes.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ledger::{Entry, Id};
use super::stat::{Pages, Stat, huge_pages, pages, stat};
use crate::collect::kernel_file::{KernelFile, is_gone};

/// What a look saw of a tree.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) entries: HashMap<Id, Entry>,
    /// Private pages of all, and of shared ones the largest number that any has.
    pub(super) pages: Pages,
    /// Bytes of huge pages of the process that has most of them.
    pub(super) huge_pages: u64,
    /// The memory of a process that is there could not be read.
    pub(super) lacks_memory: bool,
    /// The process at the top goes on.
    pub(super) has_top: bool,
    /// One that goes on, the top where that does.
    pub(super) living: Option<Id>,
}

/// Looks at trees.
#[derive(Debug)]
pub(super) struct Walker {
    proc: PathBuf,
    /// Whether the kernel lists children (`CONFIG_PROC_CHILDREN`); else every process is asked for its parent.
    lists: bool,
    buffer: Vec<u8>,
}

impl Walker {
    pub(super) fn new(root: &Path) -> Self {
        let proc = root.join("proc");
        let own = proc.join("self/task").join(std::process::id().to_string()).join("children");
        Self { lists: own.exists(), proc, buffer: Vec::new() }
    }

    pub(super) fn folder(&self, number: u32) -> PathBuf {
        self.proc.join(number.to_string())
    }

    /// The process, where it is there.
    pub(super) fn stat(&mut self, number: u32) -> io::Result<Option<Stat>> {
        let mut file = KernelFile::reopened(self.folder(number).join("stat"));
        match file.read_bytes_at_once(&mut self.buffer).and_then(stat) {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks at the tree below `top`, at parents before their children, and at the `known` ones wherever they are now; also
    /// at their huge pages where there are such. `None` where none of them is there any more.
    pub(super) fn look(
        &mut self,
        top: Id,
        known: impl Iterator<Item = Id>,
        has_huge_pages: bool,
    ) -> io::Result<Option<Look>> {
        let mut look = Look::default();
        let by_parent = if self.lists { HashMap::new() } else { self.by_parent()? };
        let mut known: Vec<Id> = known.collect();
        // Numbers grow, mostly: an adopted parent before its children.
        known.sort_unstable_by_key(|(number, start)| (*start, *number));
        self.descend(top.0, Some(top.1), &by_parent, &mut look)?;
        look.has_top = look.living == Some(top);
        for id in known {
            if !look.entries.contains_key(&id) {
                self.descend(id.0, Some(id.1), &by_parent, &mut look)?;
            }
        }
        if has_huge_pages {
            self.look_for_huge_pages(&mut look);
        }
        Ok(Some(look).filter(|look| !look.entries.is_empty()))
    }

    fn descend(
        &mut self,
        from: u32,
        start: Option<u64>,
        by_parent: &HashMap<u32, Vec<u32>>,
        look: &mut Look,
    ) -> io::Result<()> {
        let mut waiting = vec![(from, start)];
        while let Some((number, start)) = waiting.pop() {
            let Some(stat) = self.stat(number)? else { continue };
            let id = (number, stat.start);
            if start.is_some_and(|start| start != stat.start) || look.entries.contains_key(&id) {
                continue;
            }
            if !stat.ended {
                look.living.get_or_insert(id);
            }
            look.entries.insert(id, Entry { parent: stat.parent, own: stat.own, waited: stat.waited });
            let own =
                KernelFile::reopened(self.folder(number).join("statm")).read_at_once(&mut self.buffer).and_then(pages);
            look.lacks_memory |= own.as_ref().is_err_and(|error| !is_gone(error));
            let mut own = own.unwrap_or_default();
            if own == Pages::default() && !stat.ended {
                // Where the first thread ended, only the others have the memory of the process.
                own = self.pages_of_threads(number);
            }
            look.pages.private += own.private;
            look.pages.shared = look.pages.shared.max(own.shared);
            if self.lists {
                self.children(number, |child| waiting.push((child, None)));
            } else {
                waiting.extend(by_parent.get(&number).into_iter().flatten().map(|child| (*child, None)));
            }
        }
        Ok(())
    }

    /// Those of the process that has most of them: forks and helpers have the same ones, which are counted once. (What is
    /// private could be told by `smaps_rollup`, which waits for a lock that a tenant can keep.)
    fn look_for_huge_pages(&mut self, look: &mut Look) {
        for id in look.entries.keys() {
            let mut file = KernelFile::reopened(self.folder(id.0).join("status"));
            let Ok(bytes) = file.read_bytes(&mut self.buffer) else { continue };
            look.huge_pages = look.huge_pages.max(huge_pages(&String::from_utf8_lossy(bytes)).unwrap_or(0));
        }
    }

    /// The memory of a process as its other threads have it.
    fn pages_of_threads(&mut self, number: u32) -> Pages {
        for thread in entries(&self.folder(number).join("task")) {
            let mut file = KernelFile::reopened(thread.path().join("statm"));
            match file.read_at_once(&mut self.buffer).and_then(pages) {
                Ok(found) if found != Pages::default() => return found,
                _ => {}
            }
        }
        Pages::default()
    }

    /// All threads of `processes`, by their numbers.
    pub(super) fn threads(&self, processes: &[u32]) -> Vec<u32> {
        let mut found = processes.to_vec();
        for number in processes {
            let threads = entries(&self.folder(*number).join("task"));
            let numbers = threads.filter_map(|thread| thread.file_name().to_str()?.parse::<u32>().ok());
            found.extend(numbers.filter(|thread| thread != number));
        }
        found
    }

    /// The children of every thread.
    fn children(&mut self, number: u32, mut found: impl FnMut(u32)) {
        // A process that ends meanwhile has none.
        for thread in entries(&self.folder(number).join("task")) {
            let mut file = KernelFile::reopened(thread.path().join("children"));
            let text = file.read(&mut self.buffer).unwrap_or_default();
            text.split_ascii_whitespace().filter_map(|child| child.parse().ok()).for_each(&mut found);
        }
    }

    fn by_parent(&mut self) -> io::Result<HashMap<u32, Vec<u32>>> {
        let mut found: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir(&self.proc)?.flatten() {
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Ok(Some(stat)) = self.stat(number) {
                found.entry(stat.parent).or_default().push(number);
            }
        }
        Ok(found)
    }
}

/// What is in a folder; nothing where it is gone.
fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}
