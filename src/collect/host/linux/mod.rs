//! A Linux host, from `/proc` and `/sys`.
//!
//! | figure | from | counted |
//! | --- | --- | --- |
//! | CPU time | `/proc/stat`, line `cpu` | user, nice, system, irq, softirq; guest time is in user already; idle, iowait and steal are not used by us |
//! | CPUs | `/proc/stat`, lines `cpuN` | those online |
//! | memory | `/proc/meminfo` | `MemTotal` less `MemAvailable`, huge pages that nobody has taken, and ZFS's cache, see [`memory`] |
//! | network | `/proc/net/dev` | uplinks, see [`network`] |
//! | storage | `/proc/self/mountinfo`, `statvfs` | used bytes of file systems on local devices, each once, see [`storage`] |

mod memory;
mod network;
mod stat;
mod storage;

use std::path::Path;

use self::memory::MemoryFiles;
use self::network::Uplinks;
use self::storage::Storage;
use crate::clock::Monotonic;
use crate::collect::gpu::GpuLoad;
use crate::collect::kernel_file::KernelFile;
use crate::collect::machine::Machine;
use crate::collect::once::Once;
use crate::collect::template::{Names, Naming};
use crate::collect::{CollectError, Observed, Place, Reading, Scope, ScopeOptions};
use crate::events::MetricSet;

/// A host whose kernel is Linux.
#[derive(Debug)]
pub struct LinuxHost {
    names: Names,
    substitute: String,
    boot: String,
    stat: KernelFile,
    memory: MemoryFiles,
    network: KernelFile,
    storage: Storage,
    uplinks: Uplinks,
    gpus: GpuLoad,
    once: Once,
    buffer: Vec<u8>,
}

impl LinuxHost {
    /// The host whose `/proc` and `/sys` stand under `root`: `/`, unless a test has its own.
    ///
    /// # Errors
    /// When `/proc/stat` can't be read.
    pub fn new(root: impl AsRef<Path>) -> Result<Self, CollectError> {
        Self::open(&ScopeOptions { root: root.as_ref().to_owned(), ..ScopeOptions::default() })
    }

    /// The host that `options` describe.
    ///
    /// # Errors
    /// When `/proc/stat` can't be read, or where there is no such interface, mount or device as `options` ask for.
    pub fn open(options: &ScopeOptions) -> Result<Self, CollectError> {
        let root = &options.root;
        let file = |path| KernelFile::kept(root.join(path));
        let naming = Naming::new(options, Machine::host(root).into());
        let mut host = Self {
            names: naming.of_host(),
            substitute: naming.digest("host"),
            boot: Machine::boot(root),
            stat: file("proc/stat"),
            memory: MemoryFiles::new(root),
            network: file("proc/net/dev"),
            storage: Storage::new(options),
            uplinks: Uplinks::new(root.join("sys/class/net"), &options.interfaces),
            gpus: GpuLoad::find(root == Path::new("/")),
            once: Once::default(),
            buffer: Vec::new(),
        };
        if let Err(error) = host.stat.read_at_once(&mut host.buffer) {
            return Err(CollectError(format!("can't meter this host: {error}; is /proc mounted?")));
        }
        host.storage.check(&mut host.buffer)?;
        if !options.interfaces.is_empty() {
            let text = host.network.read_bytes(&mut host.buffer);
            text.map_err(|error| CollectError(format!("can't meter the network: {error}")))
                .and_then(|text| host.uplinks.check(text))?;
        }
        Ok(host)
    }
}

impl Scope for LinuxHost {
    fn substitute_id(&self, place: &Place) -> Option<String> {
        (*place == Place::Host).then(|| self.substitute.clone())
    }

    fn instances(&self) -> Vec<(String, Place)> {
        vec![(self.names.instance.clone(), Place::Host)]
    }

    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        let ticks = rustix::param::clock_ticks_per_second();
        let cpu = self.stat.read_at_once(&mut self.buffer).and_then(|text| stat::cpu(text, ticks));
        let cpu = self.once.part(&self.names.instance, "CPU time", cpu);
        let memory = self.memory.read(&mut self.buffer);
        let memory = self.once.part(&self.names.instance, "memory", memory);
        let network = self.network.read_bytes(&mut self.buffer).and_then(|text| self.uplinks.traffic(text));
        let network = self.once.part(&self.names.instance, "network", network);
        let storage = self.storage.used(at, &self.names.instance, &mut self.once, &mut self.buffer);
        let storage = self.once.part(&self.names.instance, "storage", storage);
        let gpus_busy = self.gpus.busy(at);
        let is_partial = storage.as_ref().is_some_and(|storage| storage.is_partial);
        let reading = Reading {
            at,
            cpu: cpu.map(|cpu| cpu.used),
            cpus: cpu.map_or(0.0, |cpu| cpu.count),
            network,
            memory_used: memory.map(|memory| memory.used),
            memory_total: memory.map_or(0, |memory| memory.total),
            storage_used: storage.map(|storage| storage.used),
            gpus_busy,
            not_metered: MetricSet::STORAGE.only_if(is_partial).union(MetricSet::GPU.only_if(self.gpus.is_stuck())),
            ..Reading::default()
        };
        let Names { instance, user, org, .. } = self.names.clone();
        Ok(vec![Observed { instance, life: self.boot.clone(), born: false, user, org, place: Place::Host, reading }])
    }
}

/// Reads `text` as each of the files.
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(in crate::collect) fn fuzz_files(text: &str) {
    stat::fuzz_files(text);
    memory::fuzz_files(text);
}

#[cfg(test)]
mod tests;
