//! What a group that is gone may have used since it was last read: its counter goes with it.
//!
//! The group above keeps what the removed one used, but as one figure with all else below it: groups that nobody meters,
//! processes that came and went, and what was used while one counter after the other was read.
//!
//! - Where all groups below the one above are the scope's and the same user's, what that one used between two samples, less
//!   what is known of those below it, is what the removed ones used at least: its counter is read behind theirs at the
//!   first sample, and before theirs at the second. It is billed, or whoever goes from one group into the next and removes
//!   the one that was left would have CPU time for nothing.
//! - Elsewhere it can't be told from another tenant's use and is billed to nobody. It is at most what the group above used
//!   in that time, less what the metered groups under it are known to have used, and at most what the CPUs could give:
//!   that is logged, for people to know.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::group::{Group, cpu_used};
use super::shared::Readers;
use crate::clock::Monotonic;
use crate::collect::kernel_file::KernelFile;

/// Groups above that are read at each look. With more of them, the CPUs' bound is all there is.
const MOST_ABOVE: usize = 1024;
/// What is not worth a word.
const NEGLIGIBLE: Duration = Duration::from_millis(1);

/// What the groups above had used before the last whole look began.
#[derive(Debug, Default)]
pub(super) struct Above {
    used: BTreeMap<PathBuf, Duration>,
    fresh: BTreeMap<PathBuf, Duration>,
    /// What they had used after the last whole look.
    after: BTreeMap<PathBuf, Duration>,
    /// The groups that went since, by the folder above.
    gone: BTreeMap<PathBuf, Gone>,
    /// Folders with groups that are not read one by one, each with its path as it is spelled.
    crowded: BTreeMap<PathBuf, String>,
}

/// Groups under one that are gone.
#[derive(Debug)]
struct Gone {
    /// The path of the group above, as it is spelled.
    above: String,
    /// What they are known to have used since the last whole look.
    used: Duration,
    /// Whether one of them may have used more.
    unread: bool,
}

impl Gone {
    fn new(above: &str) -> Self {
        Self { above: above.to_owned(), used: Duration::ZERO, unread: false }
    }
}

impl Above {
    /// Whether no group is known above those of the scope.
    pub(super) fn is_unknown(&self) -> bool {
        self.after.is_empty() && self.gone.is_empty() && self.crowded.is_empty()
    }

    /// Takes over which folders have groups that are not read one by one.
    pub(super) fn set_crowded(&mut self, crowded: BTreeMap<PathBuf, String>) {
        self.crowded = crowded;
    }

    /// Reads them, before the groups are looked at. What was read before that is kept until [`Above::settle`].
    pub(super) fn read<'g>(&'g mut self, folders: impl Iterator<Item = &'g Path>, root: &Path, buffer: &mut Vec<u8>) {
        self.fresh.clear();
        // Those of which no group is left, too.
        self.after.retain(|folder, _| {
            let used = read(folder, buffer);
            if let Some(used) = used {
                self.fresh.insert(folder.clone(), used);
            }
            used.is_some()
        });
        let mut last: Option<&Path> = None;
        let folders = folders.filter_map(Path::parent).chain(self.crowded.keys().map(PathBuf::as_path));
        for folder in folders {
            // Groups come in the order of their paths. Paths are compared part by part, which costs more than bytes.
            if last.replace(folder).is_some_and(|last| last.as_os_str() == folder.as_os_str()) {
                continue;
            }
            // The root's figure comes from other counters.
            if folder == root || !folder.starts_with(root) || self.fresh.contains_key(folder) {
                continue;
            }
            if self.fresh.len() >= MOST_ABOVE {
                self.fresh.clear();
                self.after.clear();
                return;
            }
            if let Some(used) = read(folder, buffer) {
                self.fresh.insert(folder.to_owned(), used);
            }
        }
    }

    /// The look that began with [`Above::read`] is over.
    pub(super) fn settle(&mut self) {
        std::mem::swap(&mut self.used, &mut self.fresh);
    }

    /// The same, where what groups under them used and nobody read is to be [proven](Above::proven): reads them again.
    pub(super) fn settle_reading_again(&mut self, buffer: &mut Vec<u8>) {
        self.settle();
        self.after = self.used.keys().filter_map(|folder| Some((folder.clone(), read(folder, buffer)?))).collect();
    }

    /// Takes note of a group that is gone; `path` is its own, as it is spelled.
    pub(super) fn note_gone(&mut self, path: &str, group: &Group) {
        let (Some(parent), Some((above, _))) = (group.folder.parent(), path.rsplit_once('/')) else { return };
        let gone = self.gone.entry(parent.to_owned()).or_insert_with(|| Gone::new(above));
        gone.used = gone.used.saturating_add(group.used_since_look());
        gone.unread |= !group.empty;
    }

    /// What groups that went since the last whole look, and those that are not read one by one, used beyond what was read
    /// of them, at least: by the path of the
    /// group above them. `groups` are those that are left, each just read.
    pub(super) fn proven<'g>(&mut self, groups: impl Iterator<Item = &'g Group>) -> Vec<(String, Duration)> {
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|folder, gone| gone.unread || self.crowded.contains_key(folder));
        for (folder, above) in &self.crowded {
            gone.entry(folder.clone()).or_insert_with(|| Gone::new(above));
        }
        if gone.is_empty() {
            return Vec::new();
        }
        for group in groups {
            let Some(parent) = group.folder.parent() else { continue };
            match gone.get_mut(parent) {
                Some(gone) if group.last.reading.cpu.is_some() => gone.used += group.used_since_look(),
                // What it used is not known, so that nothing is proven.
                Some(_) => drop(gone.remove(parent)),
                None => {}
            }
        }
        let proven = gone.into_iter().filter_map(|(folder, gone)| {
            let used = self.fresh.get(&folder)?.checked_sub(*self.after.get(&folder)?)?;
            let lost = used.checked_sub(gone.used).filter(|lost| *lost >= NEGLIGIBLE)?;
            Some((gone.above, lost))
        });
        proven.collect()
    }

    /// What a group that is gone has used at most since it was last read; `None` where that is nothing to speak of.
    /// `groups` are those that are left, as they were last read.
    pub(super) fn missed<'g>(
        &self,
        gone: &Group,
        groups: impl Iterator<Item = &'g Group>,
        at: Monotonic,
        shared: &mut Readers,
    ) -> Option<Duration> {
        if gone.empty {
            return None;
        }
        let (read_at, cpus) = if gone.is_new() {
            (shared.looked?, shared.machine.look(at).cpus)
        } else {
            (gone.last.reading.at, gone.last.reading.cpus)
        };
        let could = Duration::try_from_secs_f64(at.saturating_sub(read_at).as_secs_f64() * cpus).ok()?;
        let above = gone.folder.parent().and_then(|parent| {
            let used = read(parent, &mut shared.buffer)?.checked_sub(*self.used.get(parent)?)?;
            let known = groups.filter(|group| group.folder.parent() == Some(parent)).map(Group::used_since_look);
            Some(used.saturating_sub(known.sum::<Duration>() + gone.used_since_look()))
        });
        let most = above.map_or(could, |above| above.min(could));
        (most >= NEGLIGIBLE).then_some(most)
    }
}

fn read(folder: &Path, buffer: &mut Vec<u8>) -> Option<Duration> {
    KernelFile::reopened(folder.join("cpu.stat")).read_at_once(buffer).and_then(cpu_used).ok()
}

/// Whether no process is in the group in `folder` or below it; `false` where that is not known.
pub(super) fn is_empty(folder: &Path, buffer: &mut Vec<u8>) -> bool {
    let mut file = KernelFile::reopened(folder.join("cgroup.events"));
    file.read_at_once(buffer).is_ok_and(|text| text.lines().any(|line| line == "populated 0"))
}
