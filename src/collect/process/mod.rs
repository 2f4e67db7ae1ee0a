//! A process with its children, also those that have ended.
//!
//! | figure | from | counted |
//! | --- | --- | --- |
//! | CPU time | `/proc/PID/stat` | user and system time of every process of the tree and of the children that it waited for, each once; in ticks of 10 ms |
//! | CPUs | `/proc/PID/status`, the control group | those that the process may run on, less what its control group allows |
//! | memory | `/proc/PID/statm` | private pages of each process, and shared ones of the process that has most of them; huge pages (`status`) of the one that has most |
//! | memory that may be used | `/proc/meminfo`, the control group | the tightest |
//! | network | `/proc/PID/net/dev` | of the network namespaces of its processes, each once; not metered where that is the host's |
//! | storage | | not metered |
//! | GPU time | `/proc/PID/fdinfo`, NVML | of the GPUs' clients that the processes have open; for NVIDIA's driver by shares of time |
//!
//! The tree is the process, its children, theirs, and all that was seen in it once, whoever adopts them. It is metered
//! until the last of them ended. What a process consumes is seen at looks; what can't be known:
//!
//! - the time between the last look and the end of a process that nobody waits for, or whose parent waited for it before
//!   the sign of its end (a pidfd) led to a look;
//! - children that leave the tree (daemons) and that no look met in it.
//!
//! A control group knows these to the microsecond: where there is one, meter that. Pages that were forked and not
//! written since count in each process; exact shares (`smaps_rollup`) cost milliseconds for each gigabyte, and wait for a lock that the
//! process can keep.

mod ledger;
pub(super) mod stat;
mod tree;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use self::ledger::{Id, Ledger};
use self::tree::{Look, Walker};
use super::cgroup::GroupLimits;
use super::drm::{Drm, DrmClients};
use super::kernel_file::read_text_once;
use super::machine::{Machine, count_of};
use super::namespace::{NamespaceTraffic, Namespaces, Threads};
use super::nvidia::{NvidiaShares, share_of};
use super::once::Once;
use super::spelling::spelled;
use super::template::{Names, Naming};
use super::{CollectError, Observed, Place, Reading, Scope, ScopeOptions};
use crate::clock::Monotonic;
use crate::events::MetricSet;

/// Affinity and limits change seldom.
const REFRESHED: Duration = Duration::from_secs(10);

/// A process and its descendants.
#[derive(Debug)]
pub struct ProcessTree {
    top: Id,
    names: Names,
    substitute: String,
    life: String,
    walker: Walker,
    ledger: Ledger,
    machine: Machine,
    group: Option<GroupLimits>,
    limits: Option<(Monotonic, f64, u64)>,
    namespaces: Namespaces,
    traffic: NamespaceTraffic,
    drm: Drm,
    clients: DrmClients,
    nvidia: NvidiaShares,
    /// Tells of the end of a process: of the one at the top, and of another one after that.
    end: Option<(Id, OwnedFd)>,
    /// Whether there are such processes, and not the files of a test.
    is_real: bool,
    over: bool,
    once: Once,
    buffer: Vec<u8>,
}

impl ProcessTree {
    /// The process `number` and all below it.
    ///
    /// # Errors
    /// Where there is no such process, or where it may not be seen.
    pub fn open(number: u32, options: &ScopeOptions) -> Result<Self, CollectError> {
        let root = &options.root;
        let mut walker = Walker::new(root);
        let found = walker.stat(number).map_err(|error| CollectError(format!("can't meter pid:{number}: {error}")))?;
        let found = found.filter(|stat| !stat.ended).ok_or_else(|| {
            CollectError(format!(
                "can't meter pid:{number}: there is no such process, or it is hidden from this user; \
                 look with: ps -p {number}, or meter a service with systemd:UNIT, which outlives its processes"
            ))
        })?;
        let status = read_text_once(walker.folder(number).join("status")).unwrap_or_default();
        if let Some(process) = stat::status(&status, "Tgid").filter(|process| *process != number.to_string()) {
            return Err(CollectError(format!(
                "can't meter pid:{number}: it is a thread of process {process}; meter pid:{process}"
            )));
        }
        let (naming, path) = (Naming::new(options, Machine::host(root).into()), format!("pid:{number}"));
        let names = naming.of(Some(&spelled(&found.name)), &path, None);
        names.replaced.iter().for_each(|why| tracing::warn!(process = number, "it is metered under another id: {why}"));
        let mut tree = Self {
            top: (number, found.start),
            names,
            substitute: naming.digest(&path),
            life: format!("{}:{number}:{}", Machine::boot(root), found.start),
            group: GroupLimits::of_process(root, &walker.folder(number)),
            walker,
            ledger: Ledger::default(),
            machine: Machine::new(root),
            limits: None,
            namespaces: Namespaces::new(root, &options.interfaces),
            traffic: NamespaceTraffic::default(),
            drm: Drm::new(root),
            clients: DrmClients::default(),
            nvidia: NvidiaShares::find(root),
            end: None,
            is_real: root == Path::new("/"),
            over: false,
            once: Once::default(),
            buffer: Vec::new(),
        };
        // What the tree is by now is known from here on.
        if let Some((look, _)) = tree.look(Monotonic::ZERO)? {
            tree.watch_end(look.living);
        }
        Ok(tree)
    }

    fn look(&mut self, at: Monotonic) -> Result<Option<(Look, u64)>, CollectError> {
        let known: Vec<Id> = self.ledger.ids().collect();
        let has_huge_pages = self.machine.look(at).has_huge_pages;
        let look = self.walker.look(self.top, known.into_iter(), has_huge_pages);
        let look = look.map_err(|error| CollectError(format!("can't read process {}: {error}", self.top.0)))?;
        Ok(look.map(|look| {
            let ticks = self.ledger.look(&look.entries);
            (look, ticks)
        }))
    }

    /// Has the end of `living` lead to a sample, unless another process is waited for that goes on.
    fn watch_end(&mut self, living: Option<Id>) {
        if self.end.as_ref().map(|(id, _)| *id) == living {
            return;
        }
        let number = living.filter(|_| self.is_real).and_then(|id| i32::try_from(id.0).ok());
        let end = number.and_then(Pid::from_raw).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        self.end = living.zip(end);
    }

    fn place(&self) -> Place {
        let group = self.group.as_ref().and_then(|group| group.path().map(|path| path.as_ref().into()));
        Place::Process { number: self.top.0, start: self.top.1, group }
    }

    /// CPUs and memory that the process may use.
    fn limits(&mut self, at: Monotonic, has_top: bool) -> (f64, u64) {
        // The number of a process that ended may be another one's.
        if let Some((when, cpus, memory)) = self.limits
            && (at < when.saturating_add(REFRESHED) || !has_top)
        {
            return (cpus, memory);
        }
        let whole = self.machine.look(at);
        let status = read_text_once(self.walker.folder(self.top.0).join("status")).unwrap_or_default();
        let allowed = stat::status(&status, "Cpus_allowed_list").and_then(count_of).unwrap_or(f64::INFINITY);
        let (cpus, memory) = match &mut self.group {
            Some(group) => group.look(&mut self.machine, at),
            None => (whole.cpus, whole.memory),
        };
        let cpus = cpus.min(allowed);
        self.limits = Some((at, cpus, memory));
        (cpus, memory)
    }
}

impl Scope for ProcessTree {
    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        if self.over {
            return Ok(Vec::new());
        }
        let Some((look, ticks)) = self.look(at)? else {
            self.over = true;
            self.end = None;
            return Ok(Vec::new());
        };
        // Where all have ended, this is the last there is to see of them.
        self.over = look.living.is_none();
        self.watch_end(look.living);
        let (cpus, memory_total) = self.limits(at, look.has_top);
        let mut processes: Vec<u32> = look.entries.keys().map(|id| id.0).collect();
        processes.sort_unstable();
        let threads = || Ok(Threads { numbers: self.walker.threads(&processes), is_partial: false });
        let network = self.traffic.read(&mut self.namespaces, at, threads, &mut self.buffer);
        let gpu =
            self.drm.is_present(at).then(|| self.clients.read(&mut self.drm, at, None, &processes, &mut self.buffer));
        let shares = self.nvidia.look(at);
        super::not_counted::log_storage();
        let not_metered = MetricSet::NETWORK
            .only_if(self.traffic.is_partial())
            .union(MetricSet::GPU.only_if(self.clients.is_partial() || self.nvidia.is_stuck()))
            .union(MetricSet::MEMORY.only_if(look.lacks_memory));
        let page = rustix::param::page_size() as u64;
        let per_second = u128::from(rustix::param::clock_ticks_per_second().max(1));
        let nanos = u128::from(ticks) * 1_000_000_000 / per_second;
        let network = self.once.part(&self.names.instance, "network", network);
        let (network, began, namespaces, left_namespaces) =
            network.map_or_else(Default::default, |it| (Some(it.traffic), it.began, it.namespaces, it.left));
        let reading = Reading {
            at,
            cpu: Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))),
            cpus,
            network,
            began,
            namespaces,
            left_namespaces,
            memory_used: Some(
                look.pages
                    .private
                    .saturating_add(look.pages.shared)
                    .saturating_mul(page)
                    .saturating_add(look.huge_pages),
            ),
            memory_total,
            // The kernel counts no files by process.
            storage_used: None,
            gpus_busy: share_of(shares.as_ref(), &processes),
            gpu,
            not_metered,
        };
        let Names { instance, user, org, .. } = self.names.clone();
        Ok(vec![Observed { instance, life: self.life.clone(), born: false, user, org, place: self.place(), reading }])
    }

    fn substitute_id(&self, place: &Place) -> Option<String> {
        matches!(place, Place::Process { .. }).then(|| self.substitute.clone())
    }

    fn is_over(&self) -> bool {
        self.over
    }

    fn interface_patterns(&self) -> Vec<String> {
        self.namespaces.wanted()
    }

    fn choose_interfaces(&mut self, keys: &[String], at: Monotonic) {
        self.namespaces.choose(keys, at);
    }

    fn instances(&self) -> Vec<(String, Place)> {
        if self.over { Vec::new() } else { vec![(self.names.instance.clone(), self.place())] }
    }

    fn urgency(&self) -> Option<BorrowedFd<'_>> {
        self.end.as_ref().map(|(_, end)| end.as_fd())
    }
}

#[cfg(test)]
mod tests;
