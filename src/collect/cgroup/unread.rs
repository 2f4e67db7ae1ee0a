//! What a group that is gone may have used since it was last read: its counter goes with it.
//!
//! The group above keeps what the removed one used, but as one figure with all else below it: groups that nobody meters,
//! processes that came and went, and what was used while one counter after the other was read. What can't be told from
//! another tenant's use is billed to nobody. So it bounds what was missed, for people to know, and no more:
//!
//! - it is at most what the group above used in that time, less what the metered groups under it are known to have used;
//! - it is at most what the CPUs could give.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::group::{Group, cpu_used};
use super::shared::Readers;
use crate::clock::Monotonic;
use crate::collect::kernel_file::KernelFile;

/// Groups above that are read at each look. With more of them, the CPUs' bound is all there is.
const MOST_ABOVE: usize = 16;
/// What is not worth a word.
const NEGLIGIBLE: Duration = Duration::from_millis(1);

/// What the groups above had used before the last whole look began.
#[derive(Debug, Default)]
pub(super) struct Above {
    used: BTreeMap<PathBuf, Duration>,
    fresh: BTreeMap<PathBuf, Duration>,
}

impl Above {
    /// Reads them, before the groups are looked at. What was read before that is kept until [`Above::settle`].
    pub(super) fn read<'g>(&mut self, folders: impl Iterator<Item = &'g Path>, root: &Path, buffer: &mut Vec<u8>) {
        self.fresh.clear();
        let mut last: Option<&Path> = None;
        for folder in folders.filter_map(Path::parent) {
            // Groups come in the order of their paths. Paths are compared part by part, which costs more than bytes.
            if last.replace(folder).is_some_and(|last| last.as_os_str() == folder.as_os_str()) {
                continue;
            }
            // The root's figure comes from other counters.
            if folder == root || !folder.starts_with(root) || self.fresh.contains_key(folder) {
                continue;
            }
            if self.fresh.len() == MOST_ABOVE {
                self.fresh.clear();
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
