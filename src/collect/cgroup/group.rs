//! One control group, with its files.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::huge_pages::HugePages;
use super::limits::{Limits, is_fresh};
use super::members::Members;
use super::no_memory;
use super::shared::Readers;
use crate::clock::Monotonic;
use crate::collect::drm::DrmClients;
use crate::collect::kernel_file::{KernelFile, is_gone};
use crate::collect::namespace::{NamespaceReading, NamespaceTraffic};
use crate::collect::nvidia::share_of;
use crate::collect::open_files::KeptFiles;
use crate::collect::template::Names;
use crate::collect::{GpuTime, Observed, Place, Reading, not_counted};
use crate::events::MetricSet;

/// Files of a group that are kept open.
const FILES: u64 = 3;

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) inode: u64,
    pub(super) folder: PathBuf,
    cpu: KernelFile,
    /// Without the memory controller there are none.
    memory: Option<(KernelFile, KernelFile)>,
    huge_pages: HugePages,
    traffic: NamespaceTraffic,
    members: Members,
    clients: DrmClients,
    limits: Option<(Monotonic, Limits)>,
    /// Whether no process was in it when it was last looked at, so that nothing was used since.
    pub(super) empty: bool,
    /// CPU time at the last look at all groups.
    used: Option<Duration>,
    /// What was seen at the last look.
    pub(super) last: Observed,
    _kept: Option<KeptFiles>,
}

impl Group {
    /// `born`: it was made after the scope's last look. Its files stay open where so many may be.
    pub(super) fn new(folder: PathBuf, place: Place, inode: u64, names: Names, life: String, born: bool) -> Self {
        let kept = KeptFiles::reserve(FILES);
        let file = |name| match kept {
            Some(_) => KernelFile::kept(folder.join(name)),
            None => KernelFile::reopened(folder.join(name)),
        };
        let Names { instance, user, org, .. } = names;
        Self {
            inode,
            cpu: file("cpu.stat"),
            memory: Some((file("memory.current"), file("memory.stat"))),
            huge_pages: HugePages::default(),
            traffic: NamespaceTraffic::default(),
            members: Members::default(),
            clients: DrmClients::default(),
            limits: None,
            empty: false,
            used: None,
            last: Observed { instance, life, born, user, org, place, reading: Reading::default() },
            folder,
            _kept: kept,
        }
    }

    pub(super) fn instance(&self) -> &str {
        &self.last.instance
    }

    /// Its processes are gone, whose network namespaces may go on.
    pub(super) const fn ask_threads_again(&mut self) {
        self.traffic.ask_again();
    }

    /// CPU time between the last look at all groups and the last one at it.
    pub(super) fn used_since_look(&self) -> Duration {
        // One that was made since began at zero.
        self.last.reading.cpu.unwrap_or_default().saturating_sub(self.used.unwrap_or_default())
    }

    /// A look at all groups is over.
    pub(super) const fn settle(&mut self) {
        self.used = self.last.reading.cpu;
    }

    /// Whether it was never looked at.
    pub(super) const fn is_new(&self) -> bool {
        self.limits.is_none()
    }

    /// Looks. `false` where the group is no more; then [`Group::last`] is what it was.
    pub(super) fn look(&mut self, at: Monotonic, shared: &mut Readers) -> bool {
        let cpu = self.cpu.read_at_once(&mut shared.buffer).and_then(cpu_used);
        let cpu = match cpu {
            Err(error) if is_gone(&error) => return false,
            cpu => shared.once.part(&self.last.instance, "CPU time", cpu),
        };
        if self.limits.is_none_or(|(when, _)| !is_fresh(when, at)) {
            // A controller may have been switched on in the meantime.
            let limits = shared.limits.of(&self.folder, &shared.root, &mut shared.machine, at);
            if self.memory.is_none() {
                let file = |name| KernelFile::reopened(self.folder.join(name));
                self.memory = Some((file("memory.current"), file("memory.stat")));
            }
            self.huge_pages.find(&self.folder, at, &mut self.members, shared);
            self.limits = Some((at, limits));
        }
        let limits = self.limits.map_or(Limits { cpus: 0.0, memory: 0 }, |(_, limits)| limits);
        not_counted::log_storage();
        let (gpus_busy, gpu) = self.gpus(at, shared);
        let network = self.network(at, shared);
        let (network, began, namespaces, left_namespaces) =
            network.map_or_else(Default::default, |it| (Some(it.traffic), it.began, it.namespaces, it.left));
        let lacks_gpus = self.clients.is_partial() || self.members.is_partial() || shared.is_nvidia_stuck;
        let not_metered = MetricSet::NETWORK
            .only_if(self.traffic.is_partial())
            .union(MetricSet::GPU.only_if(lacks_gpus))
            .union(MetricSet::MEMORY.only_if(self.huge_pages.is_partial()));
        let reading = Reading {
            at,
            cpu,
            cpus: limits.cpus,
            network,
            began,
            namespaces,
            left_namespaces,
            memory_used: self.memory(shared),
            memory_total: limits.memory,
            // The kernel counts no files by group.
            storage_used: None,
            gpus_busy,
            gpu,
            not_metered,
        };
        self.last.reading = reading;
        true
    }

    /// `memory.current` less the file pages that were not used lately, as the tools for containers show it, and huge pages.
    fn memory(&mut self, shared: &mut Readers) -> Option<u64> {
        let (current, stat) = self.memory.as_mut()?;
        let used = current.read_at_once(&mut shared.buffer).and_then(number);
        let used = match used {
            Err(error) if is_gone(&error) => {
                self.memory = None;
                if let Some(why) = no_memory::once(&self.folder, &shared.root, shared.old_memory.as_deref()) {
                    tracing::warn!("{why}");
                }
                return None;
            }
            used => shared.once.part(&self.last.instance, "memory", used)?,
        };
        let inactive = stat.read_at_once(&mut shared.buffer).and_then(|text| field(text, "inactive_file"));
        let inactive = shared.once.part(&self.last.instance, "inactive file pages", inactive)?;
        Some(used.saturating_sub(inactive).saturating_add(self.huge_pages.bytes(&mut shared.buffer)))
    }

    /// The share of time of GPUs that tell no more, and the counters of the others.
    fn gpus(&mut self, at: Monotonic, shared: &mut Readers) -> (f64, Option<BTreeMap<String, GpuTime>>) {
        let counted = shared.drm.is_present(at);
        if !counted && shared.shares.is_none() {
            return (0.0, None);
        }
        let processes = self.members.processes(&self.folder, at, &mut shared.buffer);
        let before = shared.looked.filter(|_| self.last.born);
        let clients = counted.then(|| self.clients.read(&mut shared.drm, at, before, processes, &mut shared.buffer));
        (share_of(shared.shares.as_ref(), processes), clients)
    }

    fn network(&mut self, at: Monotonic, shared: &mut Readers) -> Option<NamespaceReading> {
        let (folder, inode, subtrees) = (&self.folder, self.inode, &mut shared.subtrees);
        let threads = || subtrees.threads(folder, inode);
        let network = self.traffic.read(&mut shared.namespaces, at, threads, &mut shared.buffer);
        shared.once.part(&self.last.instance, "network", network)
    }
}

/// `cpu.stat`: `usage_usec`, which is user and system time of all that ever ran in the group and below it.
pub(super) fn cpu_used(text: &str) -> io::Result<Duration> {
    field(text, "usage_usec").map(Duration::from_micros)
}

/// The value of a line `NAME VALUE`.
fn field(text: &str, name: &str) -> io::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.map_or_else(|| Err(io::Error::other(format!("there is no {name}"))), number)
}

fn number(text: &str) -> io::Result<u64> {
    text.trim().parse().map_err(|_| io::Error::other(format!("{:?} is no number", text.trim())))
}

/// Reads `text` as the files of a group that hold lines of a name and a number, or one number.
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(in crate::collect) fn fuzz_files(text: &str) {
    let _ = (cpu_used(text), number(text));
}
