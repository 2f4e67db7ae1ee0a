//! Metering: from the kernel's counters to usage events.
//!
//! ```text
//! Scope::read ─► Observed, one an instance: Reading (cumulative counters, gauges, a stamp) ─► Meter ─► UsageEvent, one a period
//! ```
//!
//! - [`Scope`] is what is metered; [`host`] (feature `collect`) reads this machine;
//! - [`Meter`] is the arithmetic: pure, every time comes in with a reading;
//! - [`Schedule`] says where periods end, [`Timeline`] which second it is whatever the wall clock does.

#[cfg(feature = "collect")]
pub mod host;
mod meter;
mod schedule;
mod timeline;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use meter::{Identity, IdentityError, Meter};
pub use schedule::Schedule;
pub use timeline::{ClockStep, Timeline};

use crate::clock::Monotonic;

/// Bytes that passed an interface since some fixed time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes received.
    pub received: u64,
}

/// One look at what an instance has consumed so far and holds now.
///
/// Counters are cumulative, as the kernel keeps them; the meter takes differences. What could not be read is `None`
/// and leaves its part of the meter where it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// When it was taken.
    pub at: Monotonic,
    /// CPU time used, summed over all CPUs.
    pub cpu: Option<Duration>,
    /// How many CPUs the instance may use.
    pub cpus: f64,
    /// Bytes by interface.
    pub network: Option<BTreeMap<String, Traffic>>,
    /// Memory in use, in bytes.
    pub memory_used: Option<u64>,
    /// Memory that the instance may use, in bytes.
    pub memory_total: u64,
    /// Storage in use, in bytes.
    pub storage_used: Option<u64>,
    /// How many GPUs are busy: 0.5 for one at half load, 2 for two at full load.
    pub gpus_busy: f64,
}

/// One instance as a scope sees it at one look.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The instance's id, as its events will carry it; unique within a look.
    pub instance: String,
    /// Which life of the instance this is: the boot of a host, a container's or a process's start. Counters of two lives
    /// are never subtracted from one another, since one may have grown past the other by the next look.
    pub life: String,
    /// What it has consumed so far and holds now.
    pub reading: Reading,
}

/// What is metered: a host, a container, a process, or all containers that a pattern names. Stays on one thread, as the
/// handles of GPU drivers have to.
pub trait Scope: fmt::Debug {
    /// Looks at every instance that there is now, stamped with `at`. An instance that is missing from a look has ended.
    ///
    /// # Errors
    /// When nothing can be read at all. A part that fails is `None` in the reading and is logged once.
    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError>;

    /// A descriptor that becomes readable when a look should be taken before the next tick: an instance is about to go,
    /// and what it has consumed can be read for a moment longer. A look makes it unreadable again. `None` where there is
    /// no such sign.
    #[cfg(unix)]
    fn urgency(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

/// Why nothing could be metered.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CollectError(pub(crate) String);
