//! How much memory of a host is used.
//!
//! Used is what is neither free nor given up when somebody asks for it: `MemTotal` less `MemAvailable` of `/proc/meminfo`
//! (proc(5)), and less two things that the kernel does not call available:
//!
//! - huge pages that were set aside and that nobody has taken (`HugePages_Free`; of the sizes that are not the default
//!   one, `/sys/kernel/mm/hugepages/hugepages-*/free_hugepages`);
//! - the cache of ZFS (`size` in `/proc/spl/kstat/zfs/arcstats`), as the cache of other file systems.

use std::io;
use std::path::{Path, PathBuf};

use crate::collect::kernel_file::KernelFile;
use crate::collect::machine::pools_of_huge_pages;

/// What a host has and uses, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) used: u64,
    pub(super) total: u64,
}

/// The files that say it.
#[derive(Debug)]
pub(super) struct MemoryFiles {
    meminfo: KernelFile,
    arc: KernelFile,
    huge_pages: PathBuf,
}

impl MemoryFiles {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            meminfo: KernelFile::kept(root.join("proc/meminfo")),
            arc: KernelFile::kept(root.join("proc/spl/kstat/zfs/arcstats")),
            huge_pages: root.join("sys/kernel/mm/hugepages"),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<Memory> {
        let known = meminfo(self.meminfo.read_at_once(buffer)?)?;
        let mut idle = known.idle_huge_pages;
        if known.has_other_huge_pages {
            idle = idle.saturating_add(self.idle_huge_pages(known.huge_page));
        }
        // Where there is no ZFS there is no such file.
        let cache = self.arc.read(buffer).ok().and_then(arc_size).unwrap_or(0);
        Ok(Memory { used: known.used.saturating_sub(idle).saturating_sub(cache), total: known.total })
    }

    /// Bytes of huge pages of other sizes than `default` that nobody has taken.
    fn idle_huge_pages(&self, default: u64) -> u64 {
        let pools = pools_of_huge_pages(&self.huge_pages, "free_hugepages");
        let others = pools.map(|(size, free)| (size.saturating_mul(1024), free)).filter(|(size, _)| *size != default);
        others.fold(0, |idle: u64, (size, free)| idle.saturating_add(size.saturating_mul(free)))
    }
}

/// What `/proc/meminfo` says, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Meminfo {
    total: u64,
    /// Total less available.
    used: u64,
    /// The default size of a huge page.
    huge_page: u64,
    /// Huge pages of the default size that nobody has taken.
    idle_huge_pages: u64,
    has_other_huge_pages: bool,
}

fn meminfo(text: &str) -> io::Result<Meminfo> {
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let value = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
        value.ok_or_else(|| io::Error::other(format!("{name} is missing or no number")))
    };
    let bytes = |name: &str| number(name).map(|kilobytes| kilobytes.saturating_mul(1024));
    let total = bytes("MemTotal")?;
    // Kernels before 3.14 have no MemAvailable.
    let available = match bytes("MemAvailable") {
        Ok(available) => available,
        Err(_) => bytes("MemFree")?.saturating_add(bytes("Cached")?).saturating_add(bytes("Buffers")?),
    };
    // Kernels that know no huge pages say nothing of them.
    let huge_page = bytes("Hugepagesize").unwrap_or(0);
    let pool = number("HugePages_Total").unwrap_or(0).saturating_mul(huge_page);
    Ok(Meminfo {
        total,
        used: total.saturating_sub(available),
        huge_page,
        idle_huge_pages: number("HugePages_Free").unwrap_or(0).saturating_mul(huge_page),
        has_other_huge_pages: bytes("Hugetlb").unwrap_or(0) > pool,
    })
}

/// Lines of a name, a kind and a number.
fn arc_size(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("size "))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Reads `text` as each of the files.
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) fn fuzz_files(text: &str) {
    assert!(meminfo(text).is_ok_and(|memory| memory.used <= memory.total) || meminfo(text).is_err());
    let _ = arc_size(text);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn idle_huge_pages_and_the_cache_of_zfs_are_not_used() {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let mut files = MemoryFiles::new(root.path());
        let mut used = || files.read(&mut Vec::new()).unwrap().used >> 20;
        // 8 GiB, of which 5 are used: 2 in huge pages of 2 MiB, of which 512 MiB were taken, 1 in one of 1 GiB.
        let meminfo = "MemTotal: 8388608 kB\nMemAvailable: 3145728 kB\nHugePages_Total: 1024\nHugePages_Free: 768\n\
                       Hugepagesize: 2048 kB\n";
        file("proc/meminfo", &format!("{meminfo}Hugetlb: 2097152 kB\n"));
        assert_eq!(used(), 5 * 1024 - 1536);
        file("proc/meminfo", &format!("{meminfo}Hugetlb: 3145728 kB\n"));
        file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "768\n");
        file("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n");
        assert_eq!(used(), 4 * 1024 - 1536);
        file("proc/spl/kstat/zfs/arcstats", "9 1 0x01 3 816 1 2\nname type data\nhits 4 7\nsize 4 1073741824\n");
        assert_eq!(used(), 3 * 1024 - 1536);
    }
}
