//! Huge pages of a control group, which are in none of its other figures (hugetlb in the kernel's cgroup-v2 document).
//!
//! Where the controller is on for the group, `hugetlb.SIZE.current` says what it has of each size. Service managers switch
//! it on for nobody. Then `/proc/PID/status` tells what each process has: with one that has any, that is what the group
//! has; with several, which of them share theirs is not known, and the group has at least what the one with most has.

use std::path::{Path, PathBuf};

use super::members::Members;
use super::shared::Readers;
use crate::clock::Monotonic;
use crate::collect::kernel_file::{KernelFile, read_text_once};
use crate::collect::process::stat::huge_pages;

/// What a group has, and where that stands.
#[derive(Debug, Default)]
pub(super) struct HugePages {
    files: Vec<PathBuf>,
    of_processes: u64,
    is_partial: bool,
}

impl HugePages {
    /// Finds out where it stands. Without files, this is a look at all processes.
    pub(super) fn find(&mut self, folder: &Path, at: Monotonic, members: &mut Members, shared: &mut Readers) {
        *self = Self::default();
        if shared.counts_huge_pages || !shared.machine.look(at).has_huge_pages {
            return;
        }
        let sizes = shared.machine.huge_page_sizes();
        self.files = sizes.iter().map(|size| folder.join(format!("hugetlb.{size}.current"))).collect();
        self.files.retain(|file| file.exists());
        if !self.files.is_empty() {
            return;
        }
        let mut several = 0u32;
        for number in members.processes(folder, at, &mut shared.buffer) {
            let status = read_text_once(shared.proc.join(number.to_string()).join("status")).unwrap_or_default();
            let own = huge_pages(&status).unwrap_or(0);
            several = several.saturating_add(u32::from(own > 0));
            self.of_processes = self.of_processes.max(own);
        }
        self.is_partial = several > 1 || members.is_partial();
        if several > 1 && !std::mem::replace(&mut shared.told_of_huge_pages, true) {
            tracing::warn!(
                "huge pages of the control group {} are counted for the process that has most of them, and its memory is \
                 named as not metered: the hugetlb controller is off for it; switch it on with: echo +hugetlb > \
                 cgroup.subtree_control, in each folder above",
                folder.strip_prefix(&shared.root).unwrap_or(folder).display()
            );
        }
    }

    /// Bytes as of now, as far as they are known.
    pub(super) fn bytes(&self, buffer: &mut Vec<u8>) -> u64 {
        let now = self.files.iter().filter_map(|file| {
            KernelFile::reopened(file.clone()).read_at_once(buffer).ok()?.trim().parse::<u64>().ok()
        });
        now.fold(self.of_processes, u64::saturating_add)
    }

    /// Whether there may be more.
    pub(super) const fn is_partial(&self) -> bool {
        self.is_partial
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use crate::collect::cgroup::{Cgroups, GroupHosts};
    use crate::collect::{Scope as _, ScopeOptions};
    use crate::events::MetricSet;

    const MOUNT: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";

    struct Root(tempfile::TempDir);

    impl Root {
        fn file(&self, path: &str, text: &str) {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        /// Memory of the group `vm` in MiB, and whether that is all.
        fn memory(&self) -> (u64, bool) {
            let options = ScopeOptions { root: self.0.path().to_owned(), ..ScopeOptions::default() };
            let mut scope = Cgroups::open("vm", &options, &mut GroupHosts::default()).unwrap();
            let reading = scope.read(Duration::ZERO).unwrap().remove(0).reading;
            (reading.memory_used.unwrap() >> 20, !reading.not_metered.intersects(MetricSet::MEMORY))
        }
    }

    #[test]
    fn huge_pages_are_memory_of_the_group() {
        let root = Root(tempfile::tempdir().unwrap());
        root.file("proc/self/mountinfo", MOUNT);
        root.file("proc/meminfo", "MemTotal: 1000000 kB\nHugetlb: 262144 kB\n");
        root.file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "128\n");
        root.file("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0\n");
        root.file("sys/fs/cgroup/vm/cpu.stat", "usage_usec 1\n");
        root.file("sys/fs/cgroup/vm/memory.current", "10485760\n");
        root.file("sys/fs/cgroup/vm/memory.stat", "inactive_file 0\n");
        root.file("sys/fs/cgroup/vm/cgroup.procs", "7\n8\n");
        assert_eq!(root.memory(), (10, true));
        // As one of its processes has them, or as both have the same.
        root.file("proc/7/status", "Name:\tqemu\nHugetlbPages:\t  122880 kB\n");
        assert_eq!(root.memory(), (130, true));
        root.file("proc/8/status", "Name:\tqemu\nHugetlbPages:\t  122880 kB\n");
        assert_eq!(root.memory(), (130, false));
        // As the controller has them.
        root.file("sys/fs/cgroup/vm/hugetlb.2MB.current", "251658240\n");
        assert_eq!(root.memory(), (250, true));
        // As the memory controller has them already.
        root.file("proc/self/mountinfo", &format!("{MOUNT},memory_hugetlb_accounting"));
        assert_eq!(root.memory(), (10, true));
    }
}
