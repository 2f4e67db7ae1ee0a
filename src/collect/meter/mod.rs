//! The meter: readings in, one event a period out. Pure.
//!
//! **Sums are exact.** CPU and GPU time are summed exactly; an event carries the whole seconds that are complete by its
//! end and were in no event before, so that what rounding leaves over goes into the next one. Over any run the summed
//! seconds differ from the true difference by less than one. Bytes become MB by a division by 2^20, which a float holds
//! exactly.
//!
//! **Counters** are differences of the kernel's cumulative ones. A counter that went backwards, and an interface that
//! was not there before, start anew: from the value they show now, since how much of it is new nobody knows, and a
//! wrong bill is worse than a missing moment. Where a reading comes with another life of the instance, its CPU time
//! began at zero with that life, and all of it counts.
//!
//! **GPU time** is the difference of the drivers' counters where there are any, and what the share of busy GPUs comes to
//! between two looks where there are none.
//!
//! **Gauges** are time-weighted averages: between two readings the value is taken to run straight.

mod carry;
mod gauge;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::carry::Carry;
use self::gauge::Gauge;
use super::{GpuTime, Reading, Traffic};
use crate::clock::Monotonic;
use crate::events::{
    EVENT_TYPE, MAX_ID_BYTES, MetricSet, UsageEvent, UsageMetrics, UsagePeriod, VERSION, is_refused_in_id,
};
use crate::units::{BYTES_PER_GB, BYTES_PER_MB};

/// Who is metered and who is billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
            check_id(id).map_err(|why| IdentityError { which, found: id.chars().take(64).collect(), why })?;
        }
        Ok(Self { instance_id, user_id, org_id })
    }

    /// What is metered.
    #[must_use]
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// Who is billed.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The organization of who is billed.
    #[must_use]
    pub fn org_id(&self) -> Option<&str> {
        self.org_id.as_deref()
    }
}

/// Why no event may carry the id: it has 1 to 256 bytes and no control characters.
pub(in crate::collect) fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() {
        Err("it is empty".to_owned())
    } else if id.len() > MAX_ID_BYTES {
        Err(format!("it has {} bytes, at most {MAX_ID_BYTES} are allowed", id.len()))
    } else if id.chars().any(is_refused_in_id) {
        Err("it holds control characters, or such that turn the direction of text".to_owned())
    } else {
        Ok(())
    }
}

/// What an interface has passed when it is made.
const NOTHING: Traffic = Traffic { sent: 0, received: 0 };

/// Turns readings of one instance into events with contiguous periods.
#[derive(Debug)]
pub struct Meter {
    identity: Identity,
    chain: Chain,
}

/// What a meter knows beside whom it is for: enough to go on in another process of the same boot, in the middle of a
/// period too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// Where the open period started, in Unix seconds.
    start: i64,
    /// The last reading, without what stands below.
    last: Reading,
    /// The last counters that could be read.
    cpu: Option<Duration>,
    network: BTreeMap<String, Traffic>,
    /// Nothing that an interface passed before is the instance's.
    #[serde(default)]
    since: Option<Monotonic>,
    /// By client; `None` before the first look at them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gpu: Option<BTreeMap<String, GpuTime>>,
    cpu_carry: Carry,
    gpu_carry: Carry,
    period: Sums,
    /// Whether a reading was added since the period was opened.
    seen: bool,
}

/// What the open period has summed up so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// What could not be measured for all of the period.
    #[serde(default, skip_serializing_if = "MetricSet::is_empty")]
    not_metered: MetricSet,
}

impl Sums {
    fn absorb(&mut self, other: &Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.capacity += other.capacity;
        self.gpu = self.gpu.saturating_add(other.gpu);
        self.sent = self.sent.saturating_add(other.sent);
        self.received = self.received.saturating_add(other.received);
        self.memory.absorb(&other.memory);
        self.memory_share.absorb(&other.memory_share);
        self.storage.absorb(&other.storage);
        self.not_metered = self.not_metered.union(other.not_metered);
    }
}

impl Meter {
    /// Starts metering with a first reading, taken at the second `start` (Unix seconds). What its counters show was
    /// consumed before.
    #[must_use]
    pub fn new(identity: Identity, start: i64, first: Reading) -> Self {
        let mut last = tidy(first);
        let mut chain = Chain {
            start,
            cpu: last.cpu,
            network: last.network.take().unwrap_or_default(),
            since: Some(last.at),
            gpu: last.gpu.take(),
            last,
            cpu_carry: Carry::default(),
            gpu_carry: Carry::default(),
            period: Sums::default(),
            seen: false,
        };
        chain.open();
        Self { identity, chain }
    }

    /// Starts metering what began after `since`, where it was not there yet: the CPU time that the first reading shows
    /// is all of this period, and so is what passed interfaces that [began](Reading::began) since then.
    #[must_use]
    pub fn from_birth(identity: Identity, start: i64, since: Monotonic, first: Reading) -> Self {
        Self::from_birth_in(identity, start, since, BTreeMap::new(), first)
    }

    /// The same where some interfaces stood at `starts` when they became the instance's.
    pub(super) fn from_birth_in(
        identity: Identity,
        start: i64,
        since: Monotonic,
        starts: BTreeMap<String, Traffic>,
        first: Reading,
    ) -> Self {
        let before = Reading {
            at: since.min(first.at),
            cpu: Some(Duration::ZERO),
            cpus: first.cpus,
            network: Some(starts),
            gpu: first.gpu.as_ref().map(|_| BTreeMap::new()),
            memory_total: first.memory_total,
            ..Reading::default()
        };
        let mut meter = Self::new(identity, start, before);
        meter.add(first);
        meter
    }

    /// Goes on where another meter stood.
    #[must_use]
    pub const fn resume(identity: Identity, chain: Chain) -> Self {
        Self { identity, chain }
    }

    /// What another meter needs to go on from here.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Begins the open period at `second`, where that is later.
    pub(super) const fn skip_to(&mut self, second: i64) {
        self.chain.skip_to(second);
    }

    pub(super) fn into_parts(self) -> (Identity, Chain) {
        (self.identity, self.chain)
    }

    /// Starts with what another chain of the same instance has in no event yet: its open period, and what rounding left
    /// over.
    pub(super) fn inherit(&mut self, ended: &Chain) {
        self.chain.cpu_carry = ended.cpu_carry.clone();
        self.chain.gpu_carry = ended.gpu_carry.clone();
        if ended.seen {
            self.chain.period.absorb(&ended.period);
            self.chain.seen = true;
        }
    }

    /// Has interfaces begin where they stood when they became the instance's: what passed before is billed.
    pub(super) fn start_interfaces_at(&mut self, starts: BTreeMap<String, Traffic>) {
        for (name, start) in starts {
            let known = self.chain.network.entry(name).or_default();
            known.sent = known.sent.max(start.sent);
            known.received = known.received.max(start.received);
        }
    }

    /// Who is metered and who is billed.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where the open period started, in Unix seconds.
    #[must_use]
    pub const fn start(&self) -> i64 {
        self.chain.start
    }

    /// Adds what was consumed since the last reading. A reading that is not newer is passed over.
    pub fn add(&mut self, reading: Reading) {
        self.chain.add(reading);
    }

    /// Adds the first reading of another life of the instance, which began after the last reading: its CPU time is all
    /// new, and no counter is compared with those of the life before, but for those of namespaces, which may go on.
    pub fn add_of_new_life(&mut self, reading: Reading) {
        self.chain.forget_counters(&reading);
        self.chain.add(reading);
    }

    /// Closes the open period at the second `end` (Unix seconds) and opens the next one there. Everything added so far
    /// belongs to the closed period.
    ///
    /// `None` where `end` is not after the period's start: nothing is closed then, and nothing is lost.
    pub fn close(&mut self, end: i64) -> Option<UsageEvent> {
        self.chain.close_for(&self.identity, end)
    }

    /// The metrics of the open period that could not be measured for all of it: what [`Meter::close`] gives of them is a
    /// lower bound.
    #[must_use]
    pub const fn not_metered(&self) -> MetricSet {
        self.chain.not_metered()
    }

    /// The event that [`Meter::close`] would give, while the period stays open.
    #[must_use]
    pub fn peek(&self, end: i64) -> Option<UsageEvent> {
        self.chain.clone().close_for(&self.identity, end)
    }
}

impl Chain {
    /// Where the open period started, in Unix seconds.
    #[must_use]
    pub const fn start(&self) -> i64 {
        self.start
    }

    /// When the last reading was taken.
    #[must_use]
    pub const fn last_look(&self) -> Monotonic {
        self.last.at
    }

    /// Whether a reading was added since the period was opened.
    #[must_use]
    pub const fn has_seen(&self) -> bool {
        self.seen
    }

    /// What its interfaces showed last.
    pub(super) const fn network(&self) -> &BTreeMap<String, Traffic> {
        &self.network
    }

    pub(super) const fn not_metered(&self) -> MetricSet {
        self.period.not_metered
    }

    /// Takes over what another chain has in no event yet: its open period, and what rounding left over.
    pub(super) fn absorb(&mut self, other: &mut Self) {
        self.cpu_carry.absorb(&mut other.cpu_carry);
        self.gpu_carry.absorb(&mut other.gpu_carry);
        if std::mem::take(&mut other.seen) {
            self.period.absorb(&std::mem::take(&mut other.period));
            self.seen = true;
            other.open();
        }
    }

    /// Whether something is in no event yet.
    pub(super) const fn is_owed(&self) -> bool {
        self.seen || !self.cpu_carry.left().is_zero() || !self.gpu_carry.left().is_zero()
    }

    /// Whether what rounding left over is a second by now.
    pub(super) const fn has_whole_seconds(&self) -> bool {
        self.cpu_carry.left().as_secs() > 0 || self.gpu_carry.left().as_secs() > 0
    }

    /// Begins the open period at `second`, where that is later.
    pub(super) const fn skip_to(&mut self, second: i64) {
        if second > self.start {
            self.start = second;
        }
    }

    /// Makes averages of a period that ends at `end` those of the whole period: what was there for a part of it counts by
    /// that part.
    #[allow(clippy::cast_precision_loss)]
    pub(super) const fn spread_gauges(&mut self, end: i64) {
        let seconds = end.saturating_sub(self.start) as f64;
        self.period.memory.spread(seconds);
        self.period.storage.spread(seconds);
    }

    /// Makes averages of a period that ends at `end` those of the whole period, where it is longer than what was seen of
    /// it: a job of a third of a second holds memory for no whole one.
    #[allow(clippy::cast_precision_loss)]
    pub(super) const fn widen_gauges(&mut self, end: i64) {
        let seconds = end.saturating_sub(self.start) as f64;
        self.period.memory.widen(seconds);
        self.period.storage.widen(seconds);
    }

    fn forget_counters(&mut self, reading: &Reading) {
        self.cpu = Some(Duration::ZERO);
        self.network.retain(|name, _| is_numbered(name));
        self.since = Some(self.last.at);
        self.gpu = reading.gpu.as_ref().map(|_| BTreeMap::new());
    }

    fn add(&mut self, reading: Reading) {
        let Some(passed) = reading.at.checked_sub(self.last.at).filter(|passed| !passed.is_zero()) else { return };
        let mut reading = tidy(reading);
        let seconds = passed.as_secs_f64();
        let period = &mut self.period;
        period.not_metered = period.not_metered.union(reading.missing());
        if let Some(cpu) = reading.cpu {
            let used = self.cpu.and_then(|before| cpu.checked_sub(before)).unwrap_or_default();
            period.cpu = period.cpu.saturating_add(used);
            self.cpu = Some(cpu);
        }
        // The count may have changed at any time in between.
        period.capacity += (self.last.cpus + reading.cpus) / 2.0 * seconds;
        let busy = (self.last.gpus_busy + reading.gpus_busy) / 2.0 * seconds;
        period.gpu = period.gpu.saturating_add(Duration::try_from_secs_f64(busy).unwrap_or_default());
        if let Some(network) = reading.network.take() {
            for (name, now) in &network {
                // An interface of which one counter went backwards is another one under the same name.
                let since = self.since.unwrap_or(self.last.at);
                let new = reading.began.get(name).filter(|began| **began >= since).map(|_| &NOTHING);
                let before = self.network.get(name).or(new);
                let anew = before.is_none_or(|before| now.sent < before.sent || now.received < before.received);
                if let (Some(before), false) = (before, anew) {
                    period.sent = period.sent.saturating_add(now.sent - before.sent);
                    period.received = period.received.saturating_add(now.received - before.received);
                }
            }
            self.network = network;
        }
        (reading.began, reading.namespaces, reading.left_namespaces) = Default::default();
        if let Some(gpu) = reading.gpu.take() {
            for (client, now) in
                self.gpu.iter().flat_map(|known| gpu.iter().map(move |(name, now)| (known.get(name), now)))
            {
                let before = client.map_or(now.before, |known| known.used);
                period.gpu = period.gpu.saturating_add(now.used.saturating_sub(before));
            }
            self.gpu = Some(gpu);
        }
        period.memory.add(self.last.memory_used.map(as_float), reading.memory_used.map(as_float), seconds);
        period.memory_share.add(memory_share(&self.last), memory_share(&reading), seconds);
        period.storage.add(self.last.storage_used.map(as_float), reading.storage_used.map(as_float), seconds);
        self.last = reading;
        self.seen = true;
    }

    /// [`Meter::close`].
    pub(super) fn close_for(&mut self, identity: &Identity, end: i64) -> Option<UsageEvent> {
        let period = UsagePeriod { start: self.start, end };
        (end > self.start).then(|| UsageEvent {
            event_type: EVENT_TYPE.to_owned(),
            version: VERSION.to_owned(),
            timestamp: end,
            instance_id: identity.instance_id.clone(),
            user_id: identity.user_id.clone(),
            org_id: identity.org_id.clone(),
            metrics: self.close(end),
            period,
        })
    }

    fn close(&mut self, end: i64) -> UsageMetrics {
        let sums = std::mem::take(&mut self.period);
        self.start = end;
        self.seen = false;
        self.open();
        UsageMetrics {
            cpu_seconds: self.cpu_carry.whole_seconds(sums.cpu),
            cpu_percent_avg: percent(sums.cpu.as_secs_f64(), sums.capacity),
            memory_gb: sums.memory.average() / as_float(BYTES_PER_GB),
            memory_percent: (100.0 * sums.memory_share.average()).clamp(0.0, 100.0),
            storage_gb: sums.storage.average() / as_float(BYTES_PER_GB),
            network_egress_mb: as_float(sums.sent) / as_float(BYTES_PER_MB),
            network_ingress_mb: as_float(sums.received) / as_float(BYTES_PER_MB),
            gpu_seconds: self.gpu_carry.whole_seconds(sums.gpu),
        }
    }

    /// Gives the gauges of a new period a value to stand for it until the next reading.
    fn open(&mut self) {
        self.period.memory.hold(self.last.memory_used.map(as_float));
        self.period.memory_share.hold(memory_share(&self.last));
        self.period.storage.hold(self.last.storage_used.map(as_float));
    }
}

/// Whether a name of an interface holds its number, so that it is not another one's in the same namespace.
fn is_numbered(name: &str) -> bool {
    name.starts_with('/')
}

/// A reading that no arithmetic can be spoilt by.
fn tidy(reading: Reading) -> Reading {
    Reading { cpus: sane(reading.cpus), gpus_busy: sane(reading.gpus_busy), ..reading }
}

fn memory_share(reading: &Reading) -> Option<f64> {
    let total = as_float(reading.memory_total);
    reading.memory_used.filter(|_| total > 0.0).map(|used| (as_float(used) / total).min(1.0))
}

/// `part` of `whole` in percent, 0 to 100.
fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (100.0 * part / whole).clamp(0.0, 100.0) } else { 0.0 }
}

fn sane(value: f64) -> f64 {
    if value.is_finite() { value.clamp(0.0, 1e9) } else { 0.0 }
}

/// Exact up to 2^53: 8 PB, more than a period moves.
#[allow(clippy::cast_precision_loss)]
const fn as_float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;
