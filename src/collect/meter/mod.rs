//! The meter: readings in, one event a period out. Pure.
//!
//! **Sums are exact.** CPU and GPU time are summed exactly; an event carries the whole seconds that are complete by its
//! end and were in no event before, so that what rounding leaves over goes into the next one. Over any run the summed
//! seconds differ from the true difference by less than one. Bytes become MB by a division by 2^20, which a float holds
//! exactly.
//!
//! **Counters** are differences of the kernel's cumulative ones. A counter that went backwards, and an interface that
//! was not there before, start anew: from the value they show now, since how much of it is new nobody knows, and a
//! wrong bill is worse than a missing moment.
//!
//! **Gauges** are time-weighted averages: between two readings the value is taken to run straight.

mod carry;
mod gauge;

use std::collections::BTreeMap;
use std::time::Duration;

use self::carry::Carry;
use self::gauge::Gauge;
use super::{Reading, Traffic};
use crate::events::{EVENT_TYPE, MAX_ID_BYTES, UsageEvent, UsageMetrics, UsagePeriod, VERSION};
use crate::units::{BYTES_PER_GB, BYTES_PER_MB};

/// Who is metered and who is billed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    instance_id: String,
    user_id: String,
    org_id: Option<String>,
}

/// An id that no event may carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {which} {found:?} can't be used: {why}")]
pub struct IdentityError {
    which: &'static str,
    found: String,
    why: String,
}

impl Identity {
    /// Ids have 1 to 256 bytes and no control characters.
    ///
    /// # Errors
    /// Names the id that does not.
    pub fn new(instance_id: String, user_id: String, org_id: Option<String>) -> Result<Self, IdentityError> {
        let given =
            [("instance id", Some(&instance_id)), ("user id", Some(&user_id)), ("organization id", org_id.as_ref())];
        for (which, id) in given.into_iter().filter_map(|(which, id)| id.map(|id| (which, id))) {
            let why = if id.is_empty() {
                "it is empty".to_owned()
            } else if id.len() > MAX_ID_BYTES {
                format!("it has {} bytes, at most {MAX_ID_BYTES} are allowed", id.len())
            } else if id.chars().any(char::is_control) {
                "it holds control characters".to_owned()
            } else {
                continue;
            };
            return Err(IdentityError { which, found: id.chars().take(64).collect(), why });
        }
        Ok(Self { instance_id, user_id, org_id })
    }
}

/// Turns readings of one instance into events with contiguous periods.
#[derive(Debug)]
pub struct Meter {
    identity: Identity,
    /// Where the open period started, in Unix seconds.
    start: i64,
    last: Reading,
    /// The last counters that could be read.
    cpu: Option<Duration>,
    network: BTreeMap<String, Traffic>,
    cpu_carry: Carry,
    gpu_carry: Carry,
    period: Sums,
}

/// What the open period has summed up so far.
#[derive(Debug, Default)]
struct Sums {
    cpu: Duration,
    /// CPU seconds that could have been used.
    capacity: f64,
    gpu: Duration,
    sent: u64,
    received: u64,
    memory: Gauge,
    memory_share: Gauge,
    storage: Gauge,
}

impl Meter {
    /// Starts metering with a first reading, taken at the second `start` (Unix seconds).
    #[must_use]
    pub fn new(identity: Identity, start: i64, first: Reading) -> Self {
        let mut meter = Self {
            identity,
            start,
            cpu: first.cpu,
            network: first.network.clone().unwrap_or_default(),
            cpu_carry: Carry::default(),
            gpu_carry: Carry::default(),
            period: Sums::default(),
            last: first,
        };
        meter.open();
        meter
    }

    /// Where the open period started, in Unix seconds.
    #[must_use]
    pub const fn start(&self) -> i64 {
        self.start
    }

    /// Adds what was consumed since the last reading. A reading that is older than that is passed over.
    pub fn add(&mut self, reading: Reading) {
        let Some(passed) = reading.at.checked_sub(self.last.at) else { return };
        let seconds = passed.as_secs_f64();
        if let Some(cpu) = reading.cpu {
            let used = self.cpu.and_then(|before| cpu.checked_sub(before)).unwrap_or_default();
            self.period.cpu = self.period.cpu.saturating_add(used);
            self.cpu = Some(cpu);
        }
        // The count may have changed at any time in between.
        self.period.capacity += (sane(self.last.cpus) + sane(reading.cpus)) / 2.0 * seconds;
        let busy = (sane(self.last.gpus_busy) + sane(reading.gpus_busy)) / 2.0 * seconds;
        self.period.gpu = self.period.gpu.saturating_add(Duration::try_from_secs_f64(busy).unwrap_or_default());
        if let Some(network) = &reading.network {
            self.add_traffic(network);
        }
        self.period.memory.add(self.last.memory_used.map(as_float), reading.memory_used.map(as_float), seconds);
        self.period.memory_share.add(memory_share(&self.last), memory_share(&reading), seconds);
        self.period.storage.add(self.last.storage_used.map(as_float), reading.storage_used.map(as_float), seconds);
        self.last = reading;
    }

    fn add_traffic(&mut self, network: &BTreeMap<String, Traffic>) {
        for (name, now) in network {
            if let Some(before) = self.network.get_mut(name) {
                self.period.sent = self.period.sent.saturating_add(now.sent.saturating_sub(before.sent));
                self.period.received =
                    self.period.received.saturating_add(now.received.saturating_sub(before.received));
                *before = *now;
            } else {
                self.network.insert(name.clone(), *now);
            }
        }
        self.network.retain(|name, _| network.contains_key(name));
    }

    /// Closes the open period at the second `end` (Unix seconds) and opens the next one there. Everything added so far
    /// belongs to the closed period.
    ///
    /// `None` where `end` is not after the period's start: nothing is closed then, and nothing is lost.
    pub fn close(&mut self, end: i64) -> Option<UsageEvent> {
        if end <= self.start {
            return None;
        }
        let period = UsagePeriod { start: self.start, end };
        let sums = std::mem::take(&mut self.period);
        self.start = end;
        self.open();
        Some(UsageEvent {
            event_type: EVENT_TYPE.to_owned(),
            version: VERSION.to_owned(),
            timestamp: end,
            instance_id: self.identity.instance_id.clone(),
            user_id: self.identity.user_id.clone(),
            org_id: self.identity.org_id.clone(),
            metrics: UsageMetrics {
                cpu_seconds: self.cpu_carry.whole_seconds(sums.cpu),
                cpu_percent_avg: percent(sums.cpu.as_secs_f64(), sums.capacity),
                memory_gb: sums.memory.average() / as_float(BYTES_PER_GB),
                memory_percent: (100.0 * sums.memory_share.average()).clamp(0.0, 100.0),
                storage_gb: sums.storage.average() / as_float(BYTES_PER_GB),
                network_egress_mb: as_float(sums.sent) / as_float(BYTES_PER_MB),
                network_ingress_mb: as_float(sums.received) / as_float(BYTES_PER_MB),
                gpu_seconds: self.gpu_carry.whole_seconds(sums.gpu),
            },
            period,
        })
    }

    /// Gives the gauges of a new period a value to stand for it until the next reading.
    fn open(&mut self) {
        self.period.memory.hold(self.last.memory_used.map(as_float));
        self.period.memory_share.hold(memory_share(&self.last));
        self.period.storage.hold(self.last.storage_used.map(as_float));
    }
}

fn memory_share(reading: &Reading) -> Option<f64> {
    let total = as_float(reading.memory_total.max(1));
    reading.memory_used.map(|used| (as_float(used) / total).min(1.0))
}

/// `part` of `whole` in percent, 0 to 100.
fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (100.0 * part / whole).clamp(0.0, 100.0) } else { 0.0 }
}

/// A count or a share that no arithmetic can be spoilt by.
fn sane(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// Exact up to 2^53: 8 PB, more than a period moves.
#[allow(clippy::cast_precision_loss)]
const fn as_float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;
