//! A Linux host, from `/proc` and `/sys`.
//!
//! | figure | from | counted |
//! | --- | --- | --- |
//! | CPU time | `/proc/stat`, line `cpu` | user, nice, system, irq, softirq; guest time is in user already; idle, iowait and steal are not used by us |
//! | CPUs | `/proc/stat`, lines `cpuN` | those online |
//! | memory | `/proc/meminfo` | `MemTotal` less `MemAvailable` |
//! | network | `/proc/net/dev` | uplinks, see [`network`] |
//! | storage | `/proc/self/mountinfo`, `statvfs` | used bytes of file systems on local devices, each once, see [`storage`] |

mod network;
mod proc_file;
mod stat;
mod storage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use self::network::Uplinks;
use self::proc_file::ProcFile;
use super::gpu::GpuLoad;
use crate::clock::Monotonic;
use crate::collect::{CollectError, Observed, Reading, Scope};

/// A host whose kernel is Linux.
#[derive(Debug)]
pub struct LinuxHost {
    root: PathBuf,
    name: String,
    boot: String,
    stat: ProcFile,
    memory: ProcFile,
    network: ProcFile,
    mounts: ProcFile,
    uplinks: Uplinks,
    gpus: GpuLoad,
    /// What failed already and was said.
    failed: BTreeSet<&'static str>,
}

impl LinuxHost {
    /// The host whose `/proc` and `/sys` stand under `root`: `/`, unless a test has its own.
    ///
    /// # Errors
    /// When `/proc/stat` can't be opened.
    pub fn new(root: impl AsRef<Path>) -> Result<Self, CollectError> {
        let root = root.as_ref();
        let file = |path| ProcFile::new(root.join(path));
        let line = |path| std::fs::read_to_string(root.join(path)).map(|text| text.trim().to_owned());
        let mut host = Self {
            name: line("proc/sys/kernel/hostname").unwrap_or_default(),
            boot: line("proc/sys/kernel/random/boot_id").unwrap_or_default(),
            stat: file("proc/stat"),
            memory: file("proc/meminfo"),
            network: file("proc/net/dev"),
            mounts: file("proc/self/mountinfo"),
            uplinks: Uplinks::new(root.join("sys/class/net")),
            gpus: if root == Path::new("/") { GpuLoad::find() } else { GpuLoad::default() },
            failed: BTreeSet::new(),
            root: root.to_owned(),
        };
        match host.stat.read() {
            Ok(_) => Ok(host),
            Err(error) => Err(CollectError(format!("can't meter this host: {error}; is /proc mounted?"))),
        }
    }

    /// `result`'s value; a failure is said the first time and when it is over.
    fn part<T>(&mut self, what: &'static str, result: std::io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                if self.failed.remove(what) {
                    tracing::info!(what, "can be read again");
                }
                Some(value)
            }
            Err(error) => {
                if self.failed.insert(what) {
                    tracing::warn!(what, %error, "can't be read; the rest is metered on");
                }
                None
            }
        }
    }
}

impl Scope for LinuxHost {
    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        let ticks = rustix::param::clock_ticks_per_second();
        let cpu = self.stat.read().and_then(|text| stat::cpu(text, ticks));
        let cpu = self.part("CPU time", cpu);
        let memory = self.memory.read().and_then(stat::memory);
        let memory = self.part("memory", memory);
        let network = self.network.read().and_then(|text| self.uplinks.traffic(text));
        let network = self.part("network", network);
        let root = &self.root;
        let storage = self.mounts.read().and_then(|text| storage::used(text, root));
        let storage = self.part("storage", storage);
        let reading = Reading {
            at,
            cpu: cpu.map(|cpu| cpu.used),
            cpus: cpu.map_or(0.0, |cpu| cpu.count),
            network,
            memory_used: memory.map(|memory| memory.used),
            memory_total: memory.map_or(0, |memory| memory.total),
            storage_used: storage,
            gpus_busy: self.gpus.busy(),
        };
        Ok(vec![Observed { instance: self.name.clone(), life: self.boot.clone(), reading }])
    }
}

#[cfg(test)]
mod tests;
