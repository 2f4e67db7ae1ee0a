//! Metering: from the kernel's counters to usage events.
//!
//! ```text
//! Scope::read ─► Observed, one an instance: Reading (cumulative counters, gauges, a stamp) ─► Meter ─► UsageEvent, one a period
//! ```
//!
//! - [`Scope`] is what is metered: `host`, control groups (`cgroup`), processes (`process`), all with feature `collect`;
//!   `ScopeSpec` names and opens one;
//! - [`Meter`] is the arithmetic: pure, every time comes in with a reading;
//! - [`Schedule`] says where periods end, [`Timeline`] which second it is whatever the wall clock does.

mod agent;
#[cfg(all(feature = "collect", target_os = "linux"))]
pub mod cgroup;
#[cfg(feature = "collect")]
mod config;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod drm;
mod fleet;
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(crate) mod fuzzing;
#[cfg(feature = "collect")]
mod gpu;
#[cfg(feature = "collect")]
mod guard;
#[cfg(feature = "collect")]
pub mod host;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod kernel_file;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod machine;
mod meter;
mod metered;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod mountinfo;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod namespace;
mod namespace_owners;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod net_dev;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod not_counted;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod nvidia;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod once;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod open_files;
mod overlap;
#[cfg(feature = "collect")]
mod pattern;
#[cfg(all(feature = "collect", target_os = "linux"))]
pub mod process;
mod remainder;
mod schedule;
#[cfg(feature = "collect")]
mod scope;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod spelling;
mod state;
#[cfg(feature = "collect")]
mod state_file;
#[cfg(feature = "collect")]
mod template;
#[cfg(all(feature = "collect", target_os = "linux"))]
mod timed_call;
mod timeline;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use agent::{Agent, Periods, Plan, Snapshot, SnapshotRef, Source, Tick};
#[cfg(feature = "collect")]
pub use config::{CollectConfig, ConfigError, ScopeConfig, log_absent};
pub use fleet::{Current, ScopeId};
pub use meter::{Chain, Identity, IdentityError, Meter};
pub use metered::{Labels, Metered, Owner};
pub use overlap::Place;
#[cfg(feature = "collect")]
pub use overlap::refuse_overlaps;
#[cfg(feature = "collect")]
pub use pattern::{NamePattern, NamePatternError};
pub use schedule::Schedule;
#[cfg(feature = "collect")]
pub use scope::{Asked, HostReaders, ScopeOptions, ScopeSpec, ScopeSpecError};
pub use state::{Continuation, Origin, Saved, StateFault};
#[cfg(feature = "collect")]
pub use state_file::{Opened, StateFile, StateFileError};
#[cfg(feature = "collect")]
pub use template::{InstanceTemplate, InstanceTemplateError};
pub use timeline::{ClockStep, Now, Timeline};

use crate::clock::Monotonic;
use crate::events::MetricSet;

/// Bytes that passed an interface since some fixed time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}

/// How long one client of a GPU's driver has kept the GPU busy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuTime {
    /// Since the client was made.
    pub used: Duration,
    /// What of it was before the client came to the instance, and is not the instance's.
    pub before: Duration,
}

/// One look at what an instance has consumed so far and holds now.
///
/// Counters are cumulative, as the kernel keeps them; the meter takes differences. What could not be read is `None`
/// and leaves its part of the meter where it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// When it was taken.
    pub at: Monotonic,
    /// CPU time used, summed over all CPUs.
    pub cpu: Option<Duration>,
    /// How many CPUs the instance may use.
    pub cpus: f64,
    /// Bytes by interface.
    pub network: Option<BTreeMap<String, Traffic>>,
    /// Interfaces whose counters began at zero, with a moment before which they had not: one that is new to an instance
    /// which is metered since then is all the instance's. Of others, what they show first was before.
    #[serde(skip)]
    pub began: BTreeMap<String, Monotonic>,
    /// The network namespaces with these interfaces, by their inodes in rising order. Names of interfaces that are in one
    /// end with `@INODE`. Who shares one with an instance that is billed for it has none of its traffic.
    #[serde(skip)]
    pub namespaces: Vec<u64>,
    /// Those of them that no thread of the instance is in any more, while a socket is that may be the instance's; and those
    /// where that is so and the instance has no thread at all, which are not metered.
    #[serde(skip)]
    pub left_namespaces: Vec<u64>,
    /// Memory in use, in bytes.
    pub memory_used: Option<u64>,
    /// Memory that the instance may use, in bytes.
    pub memory_total: u64,
    /// Storage in use, in bytes; of what could be asked for it, where `not_metered` has it.
    pub storage_used: Option<u64>,
    /// How many GPUs are busy: 0.5 for one at half load, 2 for two at full load. Of those whose time is counted, nothing.
    pub gpus_busy: f64,
    /// GPU time where the driver counts it, by its clients. One that comes after the first look is counted from zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<BTreeMap<String, GpuTime>>,
    /// Metrics of which only a part could be read, so that what stands here is a lower bound. Those that are `None`
    /// need not be named.
    #[serde(default, skip_serializing_if = "MetricSet::is_empty")]
    pub not_metered: MetricSet,
}

impl Reading {
    /// The metrics that this reading does not tell, in whole or in part.
    #[must_use]
    pub fn missing(&self) -> MetricSet {
        self.not_metered
            .union(MetricSet::CPU.only_if(self.cpu.is_none()))
            .union(MetricSet::MEMORY.only_if(self.memory_used.is_none()))
            .union(MetricSet::MEMORY_PERCENT.only_if(self.memory_total == 0))
            .union(MetricSet::STORAGE.only_if(self.storage_used.is_none()))
            .union(MetricSet::NETWORK.only_if(self.network.is_none()))
    }
}

/// One instance as a scope sees it at one look.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The instance's id, as its events will carry it; unique within a look.
    pub instance: String,
    /// Which life of the instance this is: the boot of a host, a container's or a process's start. Counters of two lives
    /// are never subtracted from one another, since one may have grown past the other by the next look.
    pub life: String,
    /// Whether this life began after the scope's look before this one, so that all that the counters show is new. Never
    /// at a scope's first look, which does not know.
    pub born: bool,
    /// Who is billed for it, where a template of the scope says so.
    pub user: Option<String>,
    /// The organization of who is billed, likewise.
    pub org: Option<String>,
    /// What of the machine it is.
    pub place: Place,
    /// What it has consumed so far and holds now.
    pub reading: Reading,
}

/// CPU time of instances that were gone before it was read, as the counter of what contained them proves it.
#[derive(Debug, Clone, PartialEq)]
pub struct LostCpu {
    /// Who is billed for it, where a template of the scope says so.
    pub user: Option<String>,
    /// The organization of who is billed, likewise.
    pub org: Option<String>,
    /// How much, at least.
    pub used: Duration,
    /// How many CPUs there are.
    pub cpus: f64,
}

/// What is metered: a host, a container, a process, or all containers that a pattern names. Stays on one thread, as the
/// handles of GPU drivers have to.
pub trait Scope: fmt::Debug {
    /// Looks at every instance that there is now, stamped with `at`. An instance that is missing from a look has ended.
    ///
    /// # Errors
    /// When nothing can be read at all. A part that fails is `None` in the reading and is logged once.
    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError>;

    /// Takes the CPU time that was lost with instances that are gone, as of the last sample. It is billed with what
    /// short-lived instances leave.
    fn take_lost_cpu(&mut self) -> Vec<LostCpu> {
        Vec::new()
    }

    /// Whether it has ended for good: nothing will be seen of it again.
    fn is_over(&self) -> bool {
        false
    }

    /// Whether a pattern says what its instances are, so that whoever makes an instance decides what it has.
    fn is_pattern(&self) -> bool {
        false
    }

    /// Another id for the instance that is at `place`, the same whenever it is asked for: for one whose own id another scope
    /// has. `None` where the scope has none to give.
    fn substitute_id(&self, _place: &Place) -> Option<String> {
        None
    }

    /// The patterns of names that say which interfaces of its instances' network namespaces count. None where all do that
    /// lead out.
    fn interface_patterns(&self) -> Vec<String> {
        Vec::new()
    }

    /// Has interfaces count at the next look, whatever they are called by now: those that a process with the same patterns
    /// had chosen at `at`, by their keys in [`Reading::network`].
    fn choose_interfaces(&mut self, _keys: &[String], _at: Monotonic) {}

    /// Whether there is nothing to meter yet, as of opening or of the last sample.
    fn is_absent(&self) -> bool {
        false
    }

    /// What to tell people of a scope of which [`Scope::is_absent`] holds: how far its name leads, and what is there.
    fn absence(&self) -> String {
        String::new()
    }

    /// The instances that there are as of opening or of the last look, each by its id, with what of the machine it is.
    /// None where a scope does not know before a look.
    fn instances(&self) -> Vec<(String, Place)> {
        Vec::new()
    }

    /// A descriptor that becomes readable when a look should be taken before the next tick: an instance is about to go,
    /// and what it has consumed can be read for a moment longer. A look makes it unreadable again. `None` where there is
    /// no such sign. Scopes may share one; [`Scope::is_urgent`] says which of them are meant.
    ///
    /// [`Scope::glance`] is the cheap way to take that look.
    #[cfg(unix)]
    fn urgency(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }

    /// Whether the descriptor of [`Scope::urgency`], which scopes may share, became readable on account of this one.
    fn is_urgent(&mut self, _at: Monotonic) -> bool {
        true
    }

    /// The look that [`Scope::urgency`] asks for: at the instances that gave the sign. The others come as they were
    /// last seen, with the time of that in their reading, so that what is made of a look is the same for all of them.
    ///
    /// # Errors
    /// As for [`Scope::read`].
    fn glance(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        self.read(at)
    }
}

/// Why nothing could be metered.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CollectError(pub(crate) String);
