//! How big this machine is.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kernel_file::{KernelFile, read_text_once};
use crate::clock::Monotonic;

/// CPUs and memory are plugged in and out, but not every second.
const REFRESHED: Duration = Duration::from_secs(10);

/// What the machine has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Whole {
    /// CPUs online.
    pub(super) cpus: f64,
    /// Bytes of memory; 0 where that is not known.
    pub(super) memory: u64,
    /// Some of it was set aside as huge pages.
    pub(super) has_huge_pages: bool,
}

/// Knows it, and looks again from time to time.
#[derive(Debug)]
pub(super) struct Machine {
    online: KernelFile,
    meminfo: KernelFile,
    huge_pages: PathBuf,
    buffer: Vec<u8>,
    known: Option<(Monotonic, Whole)>,
}

impl Machine {
    /// The one whose `/proc` and `/sys` stand under `root`.
    pub(super) fn new(root: &Path) -> Self {
        let file = |path| KernelFile::reopened(root.join(path));
        Self {
            online: file("sys/devices/system/cpu/online"),
            meminfo: file("proc/meminfo"),
            huge_pages: root.join("sys/kernel/mm/hugepages"),
            buffer: Vec::new(),
            known: None,
        }
    }

    pub(super) fn look(&mut self, at: Monotonic) -> Whole {
        match self.known {
            Some((when, whole)) if at < when.saturating_add(REFRESHED) => whole,
            _ => {
                // What can't be read now was not plugged out.
                let unknown = Whole { cpus: 1.0, memory: 0, has_huge_pages: false };
                let before = self.known.map_or(unknown, |(_, whole)| whole);
                let cpus = self.cpus().unwrap_or(before.cpus);
                let (memory, has_huge_pages) = self.memory().unwrap_or((before.memory, before.has_huge_pages));
                let whole = Whole { cpus, memory, has_huge_pages };
                self.known = Some((at, whole));
                whole
            }
        }
    }

    fn cpus(&mut self) -> Option<f64> {
        // /proc/stat says it too, after counting every interrupt.
        count_of(self.online.read(&mut self.buffer).ok()?)
    }

    fn memory(&mut self) -> Option<(u64, bool)> {
        let text = self.meminfo.read(&mut self.buffer).ok()?;
        let kilobytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        // The sum over all sizes of huge pages, which kernels before 4.19 do not tell.
        let has_huge_pages = kilobytes("Hugetlb:").or_else(|| kilobytes("HugePages_Total:")).is_some_and(|it| it > 0);
        Some((kilobytes("MemTotal:")?.checked_mul(1024)?, has_huge_pages))
    }

    /// The sizes in which there are huge pages, as files of control groups name them: `2MB`.
    pub(super) fn huge_page_sizes(&self) -> Vec<String> {
        let sizes = pools_of_huge_pages(&self.huge_pages, "nr_hugepages").filter(|(_, pages)| *pages > 0);
        let spelled = |(kilobytes, _)| match kilobytes {
            1_048_576.. => format!("{}GB", kilobytes >> 20),
            1024.. => format!("{}MB", kilobytes >> 10),
            _ => format!("{kilobytes}KB"),
        };
        sizes.map(spelled).collect()
    }

    /// The host's name.
    pub(super) fn host(root: &Path) -> String {
        line(root, "proc/sys/kernel/hostname")
    }

    /// Which boot this is.
    pub(super) fn boot(root: &Path) -> String {
        line(root, "proc/sys/kernel/random/boot_id")
    }
}

/// The sizes of huge pages in kilobytes, each with the number that the file `name` has of it; `folder` is
/// `/sys/kernel/mm/hugepages`.
pub(super) fn pools_of_huge_pages<'n>(folder: &Path, name: &'n str) -> impl Iterator<Item = (u64, u64)> + use<'n> {
    let pools = fs::read_dir(folder).into_iter().flatten().flatten();
    pools.filter_map(move |pool| {
        let size = pool.file_name();
        let kilobytes = size.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        Some((kilobytes, read_text_once(pool.path().join(name)).ok()?.trim().parse().ok()?))
    })
}

fn line(root: &Path, path: &str) -> String {
    read_text_once(root.join(path)).unwrap_or_default().trim().to_owned()
}

/// How many a list such as `0-3,8` names; `None` where it names none.
pub(super) fn count_of(list: &str) -> Option<f64> {
    let mut count = 0u32;
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count = count.saturating_add(last.checked_sub(first)?.saturating_add(1));
    }
    Some(f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_counted() {
        for (list, count) in [("0-3,8\n", Some(5.0)), ("0", Some(1.0)), ("\n", None), ("3-1", None), ("x", None)] {
            assert_eq!(count_of(list), count, "{list:?}");
        }
    }
}
