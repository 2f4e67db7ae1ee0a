//! Measuring throughput at one limit.

use std::time::Duration;

use crate::clock::Monotonic;

/// Below this share of the limit in use (time-averaged) the input, not the destination, set the pace.
const BUSY: f64 = 0.6;

/// A pause between attempts that is taken for our own work rather than for a lack of it.
const OWN_WORK: Duration = Duration::from_millis(1);

/// A window that takes longer than this ends with fewer attempts.
const LONG: (Duration, u32) = (Duration::from_secs(1), 100);
const VERY_LONG: (Duration, u32) = (Duration::from_secs(5), 16);

/// While answers come within this time, up to this limit: a further attempt then keeps nobody waiting, and replies that
/// come together cost both sides less work each than replies that come one by one. It need not bring more, as long as it
/// does not bring less by more than this share.
const NEAR: Duration = Duration::from_millis(2);
const TOGETHER: usize = 64;
const MAY_COST: f64 = 0.03;

/// How long a window lasts: both, unless it takes too long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) attempts: u32,
    pub(super) time: Duration,
}

/// Attempts that ended while the limit stood still.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    /// Only attempts that began after this show the limit's effect.
    since: Monotonic,
    /// When the first of them ended; counting begins there.
    begun: Option<Monotonic>,
    attempts: u32,
    at_limit: u32,
    answered: u32,
    events: usize,
    latencies: Duration,
}

/// What a window showed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub(super) limit: usize,
    /// Events a second.
    pub(super) rate: f64,
    answered: u32,
    /// The share of attempts that failed, 0 to 1.
    pub(super) failed: f64,
    /// Mean time to an answer.
    latency: Duration,
    /// The destination was kept as busy as the limit allows.
    pub(super) busy: bool,
    /// It was so all the time, and not in bursts of input.
    steady: bool,
}

impl Window {
    pub(super) fn new(since: Monotonic) -> Self {
        Self { since, ..Self::default() }
    }

    /// Adds an attempt that answered for `events` (0: it failed). `last_end` is when one last ended before it.
    pub(super) fn add(
        &mut self,
        now: Monotonic,
        latency: Duration,
        events: usize,
        in_flight: usize,
        limit: usize,
        last_end: Monotonic,
    ) {
        let start = now.saturating_sub(latency);
        if in_flight <= 1 && start.saturating_sub(last_end) > latency.max(OWN_WORK) {
            // There was nothing to do. What was counted up to then is not continued by what comes now.
            *self = Self::new(start.max(self.since));
        }
        if self.begun.is_none() {
            self.begun = (start >= self.since).then_some(now);
            return;
        }
        self.attempts = self.attempts.saturating_add(1);
        self.at_limit += u32::from(in_flight >= limit);
        self.answered += u32::from(events > 0);
        self.events = self.events.saturating_add(events);
        self.latencies = self.latencies.saturating_add(latency);
    }

    /// The result, once there is enough of it.
    pub(super) fn measured(&self, now: Monotonic, limit: usize, extent: Extent) -> Option<Measured> {
        let elapsed = now.saturating_sub(self.begun?);
        let full = self.attempts >= extent.attempts && elapsed >= extent.time;
        let late = |(time, attempts)| self.attempts >= attempts && elapsed >= time;
        if !(full || late(LONG) || late(VERY_LONG)) {
            return None;
        }
        let elapsed = elapsed.as_secs_f64();
        let latency = self.latencies / self.attempts.max(1);
        let in_use = self.latencies.as_secs_f64() / elapsed / limit as f64;
        let steady = in_use >= BUSY;
        let busy = steady || self.at_limit >= self.attempts / 2;
        let rate = self.events as f64 / elapsed;
        let failed = f64::from(self.failed()) / f64::from(self.attempts.max(1));
        Some(Measured { limit, rate, answered: self.answered, failed, latency, busy, steady })
    }

    const fn failed(&self) -> u32 {
        self.attempts.saturating_sub(self.answered)
    }

    /// Whether so far more than `share` of at least `fewest` attempts failed.
    pub(super) fn has_failed(&self, share: f64, fewest: u32) -> bool {
        f64::from(self.failed()) > share * f64::from(self.attempts.max(fewest))
    }
}

/// Whether more attempts at a time bring more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gain {
    /// They do.
    Pays,
    /// They do not.
    Idle,
    /// It may be chance either way.
    Unclear,
}

impl Measured {
    /// How far the rate may be off by chance, relative to it, if events end independently of each other.
    pub(super) fn chance(&self) -> f64 {
        1.0 / f64::from(self.answered.max(1)).sqrt()
    }

    /// Compares with the rate at a `lower` limit. More pays if it brings at least `elasticity` of what it would if each
    /// attempt brought its share; while answers are [`NEAR`], if it costs hardly anything. It is unclear within `doubt` times
    /// what may be chance.
    pub(super) fn gain(&self, lower: &Self, elasticity: f64, doubt: f64) -> Gain {
        let is_cheap = self.steady && self.limit <= TOGETHER && self.latency <= NEAR;
        let share = elasticity * (self.limit as f64 / lower.limit as f64).ln();
        let (wanted, doubt) = if is_cheap { (-MAY_COST, 0.0) } else { (share, doubt) };
        let found = (self.rate / lower.rate).ln();
        let doubt = doubt * self.chance().hypot(lower.chance());
        if found > wanted + doubt {
            Gain::Pays
        } else if found >= wanted - doubt {
            Gain::Unclear
        } else {
            // Not a number too: no event in either.
            Gain::Idle
        }
    }
}
