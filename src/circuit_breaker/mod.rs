//! The circuit breaker: a destination that fails again and again is left alone for a while.
//!
//! [`machine`](CircuitState) is the pure state machine: time is an argument. [`CircuitBreaker`] is the handle that
//! callers share; it reads a clock, logs transitions, and gives out [`Permit`]s.
//!
//! ```text
//!            failure_threshold failures in a row
//!   Closed ─────────────────────────────────────► Open ◄──────────┐
//!     ▲                                             │             │ one failure
//!     │ half_open_allowed_calls successes           │ its pause passed
//!     └─────────────────────────── HalfOpen ◄───────┘             │
//!                                     └───────────────────────────┘
//! ```
//!
//! No other transition exists. In half-open at most `half_open_allowed_calls` calls are under way at a time.
//!
//! It stays open for `reset_timeout`. Where calls succeeded before, it tries sooner: after 10 ms at first, then after a
//! quarter of the time since it opened, up to `reset_timeout`. A service that fails at random fails several times in a row
//! now and then, and is not left alone for long by that.

mod machine;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub use machine::{CircuitState, Refusal};

use crate::clock::{Clock, SystemClock, unix_millis, unix_seconds};
use crate::errors::InvalidConfig;
use machine::{Admission, Machine};

/// When the breaker opens, and how it closes again.
///
/// ```
/// use form_usage_events::circuit_breaker::CircuitBreakerConfig;
/// use std::time::Duration;
///
/// let wary = CircuitBreakerConfig { failure_threshold: 2, ..CircuitBreakerConfig::default() };
/// assert_eq!(wary.reset_timeout, Duration::from_secs(30));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitBreakerConfig {
    /// So many failures in a row open it; 5 by default, at least 1.
    pub failure_threshold: usize,
    /// How long it stays open at most before a call is let through to try; 30 s by default, more than zero. The first
    /// trials after a success come sooner (see the [module](self)).
    pub reset_timeout: Duration,
    /// So many calls at a time are let through to try, and so many successes close it; 1 by default, at least 1.
    pub half_open_allowed_calls: usize,
}

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        Self { failure_threshold: 5, reset_timeout: Duration::from_secs(30), half_open_allowed_calls: 1 }
    }
}

impl CircuitBreakerConfig {
    /// Checks that the settings make sense.
    ///
    /// # Errors
    /// Names the first setting that does not.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        if self.failure_threshold == 0 {
            return Err(InvalidConfig::new("failure_threshold", 0, "at least 1"));
        }
        if self.reset_timeout.is_zero() {
            return Err(InvalidConfig::new("reset_timeout", "0 s", "more than zero"));
        }
        if self.half_open_allowed_calls == 0 {
            return Err(InvalidConfig::new("half_open_allowed_calls", 0, "at least 1"));
        }
        Ok(())
    }
}

/// What a breaker knows, to be kept while no process runs: a job that starts every minute then does not begin by
/// hammering a queue that the one before found dead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BreakerRecord {
    /// Failures in a row.
    pub failures: u32,
    /// Open until this time, in Unix milliseconds; `None` while it is closed.
    pub open_until_ms: Option<i64>,
    /// Why it opened; `None` while it is closed, and where nobody knows.
    pub opening: Option<BreakerOpening>,
}

/// Why a breaker opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerOpening {
    /// When, in Unix seconds. Where a trial failed and it opened again, it is the last time.
    pub at: i64,
    /// The failure that opened it; without secrets.
    pub cause: String,
}

/// A breaker that callers share; clones are the same breaker.
///
/// ```
/// use form_usage_events::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig, CircuitState};
///
/// let breaker = CircuitBreaker::new(CircuitBreakerConfig { failure_threshold: 1, ..Default::default() })?;
/// breaker.try_acquire().expect("closed").failure();
/// assert_eq!(breaker.state(), CircuitState::Open);
/// assert!(breaker.try_acquire().is_err());
/// # Ok::<(), form_usage_events::errors::InvalidConfig>(())
/// ```
#[derive(Debug, Clone)]
pub struct CircuitBreaker {
    machine: Arc<Mutex<Machine>>,
    /// Why it is open, while it is not closed.
    opening: Arc<Mutex<Option<BreakerOpening>>>,
    /// The log has a warning that it opened, and none yet that it closed.
    is_warned_of: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
}

impl CircuitBreaker {
    /// A closed breaker on the system's monotonic clock.
    ///
    /// # Errors
    /// When `config` makes no sense.
    pub fn new(config: CircuitBreakerConfig) -> Result<Self, InvalidConfig> {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    /// A closed breaker on `clock`.
    ///
    /// # Errors
    /// When `config` makes no sense.
    pub fn with_clock(config: CircuitBreakerConfig, clock: Arc<dyn Clock>) -> Result<Self, InvalidConfig> {
        config.validate()?;
        let machine = Arc::new(Mutex::new(Machine::new(config)));
        Ok(Self { machine, opening: Arc::default(), is_warned_of: Arc::default(), clock })
    }

    /// What a call would meet now. An open breaker whose pause has passed shows as half-open.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        let now = self.clock.monotonic();
        self.locked(|machine| machine.state(now))
    }

    /// How often it has opened.
    #[must_use]
    pub fn times_opened(&self) -> u64 {
        self.locked(|machine| machine.times_opened())
    }

    /// How often it has gone from one state to another.
    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.locked(|machine| machine.transitions())
    }

    /// What to keep for a later process.
    #[must_use]
    pub fn record(&self) -> BreakerRecord {
        let (now, wall) = (self.clock.monotonic(), unix_millis(self.clock.wall()));
        let (failures, open_until) = self.locked(|machine| machine.record(now));
        let left = |until: Duration| i64::try_from(until.saturating_sub(now).as_millis()).unwrap_or(i64::MAX);
        let open_until_ms = open_until.map(|until| wall.saturating_add(left(until)));
        let failures = u32::try_from(failures).unwrap_or(u32::MAX);
        BreakerRecord { failures, open_until_ms, opening: open_until_ms.and_then(|_| self.opening()) }
    }

    /// Why it opened; `None` while it is closed, and where nobody said why.
    #[must_use]
    pub fn opening(&self) -> Option<BreakerOpening> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_opening(&self, opening: Option<BreakerOpening>) {
        *self.opening.lock().unwrap_or_else(PoisonError::into_inner) = opening;
    }

    /// Goes on where an earlier process left off. An opening lasts for `reset_timeout` at most, whatever the wall clock
    /// did meanwhile.
    pub fn resume(&self, record: BreakerRecord) {
        let (now, wall) = (self.clock.monotonic(), unix_millis(self.clock.wall()));
        let left = |until: i64| Duration::from_millis(u64::try_from(until.saturating_sub(wall)).unwrap_or(0));
        let open_until = record.open_until_ms.map(|until| now.saturating_add(left(until)));
        let failures = usize::try_from(record.failures).unwrap_or(usize::MAX);
        self.locked(|machine| machine.resume(failures, open_until, now));
        self.set_opening(record.opening.filter(|_| open_until.is_some()));
    }

    /// Somebody wants to know now: an open breaker lets its next trial through at once.
    pub fn try_now(&self) {
        let now = self.clock.monotonic();
        self.locked(|machine| machine.try_now(now));
    }

    /// Asks to make one call.
    ///
    /// # Errors
    /// When no call may be made now; says when one may.
    pub fn try_acquire(&self) -> Result<Permit, Refusal> {
        let admission = self.transition(None, |machine| {
            // While it is closed, whatever the time is.
            let is_closed = machine.stored_state() == CircuitState::Closed;
            machine.admit(if is_closed { Duration::ZERO } else { self.clock.monotonic() })
        })?;
        Ok(Permit { breaker: self.clone(), admission: Some(admission) })
    }

    /// Why a call would be refused now, if it would.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        self.outlook().err()
    }

    /// Whether a call is let through now, and whether it would be a trial.
    pub(crate) fn outlook(&self) -> Result<bool, Refusal> {
        self.locked(|machine| match machine.stored_state() {
            // Whatever the time is.
            CircuitState::Closed => Ok(false),
            CircuitState::Open | CircuitState::HalfOpen => {
                machine.refusal(self.clock.monotonic()).map_or(Ok(true), Err)
            }
        })
    }

    fn locked<T>(&self, look: impl FnOnce(&mut Machine) -> T) -> T {
        // The machine is whole between calls, so a panic elsewhere leaves nothing half done in it.
        look(&mut self.machine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Applies `change` and logs the transition, if it made one, with what brought it about.
    fn transition<T>(&self, cause: Option<&str>, change: impl FnOnce(&mut Machine) -> T) -> T {
        let (before, result, after) = self.locked(|machine| {
            let before = machine.stored_state();
            let result = change(machine);
            (before, result, machine.stored_state())
        });
        match after {
            CircuitState::Open if before != after => self.set_opening(
                cause.map(|cause| BreakerOpening { at: unix_seconds(self.clock.wall()), cause: cause.to_owned() }),
            ),
            CircuitState::Closed if before != after => self.set_opening(None),
            _ => {}
        }
        match (before, after) {
            (before, after) if before == after => {}
            // Openings that are over at once are many where a service fails at random.
            (_, CircuitState::Open) if self.locked(|machine| machine.is_open_for_long()) => {
                // One warning an outage: a day of it has thousands of failed trials.
                if self.is_warned_of.swap(true, Ordering::Relaxed) {
                    tracing::debug!(from = %before, to = %after, cause, "circuit breaker opened");
                } else {
                    tracing::warn!(from = %before, to = %after, cause, "circuit breaker opened");
                }
            }
            // Who was warned that it opened wants to know that it is over; an opening that an earlier process warned of is
            // none of this one's news.
            (_, CircuitState::Closed) if self.is_warned_of.swap(false, Ordering::Relaxed) => {
                tracing::warn!(from = %before, to = %after, "circuit breaker closed");
            }
            (..) => tracing::debug!(from = %before, to = %after, cause, "circuit breaker changed"),
        }
        result
    }
}

/// The leave to make one call. Its outcome is told with [`Permit::success`] or [`Permit::failure`]; dropping it (a call
/// that was cancelled, or says nothing about the service) gives it back.
#[derive(Debug)]
#[must_use = "a permit that is dropped says nothing about the call"]
pub struct Permit {
    breaker: CircuitBreaker,
    admission: Option<Admission>,
}

impl Permit {
    /// The service works.
    pub fn success(mut self) {
        if let Some(admission) = self.admission.take() {
            self.breaker.transition(None, |machine| machine.succeeded(admission));
        }
    }

    /// The service failed.
    pub fn failure(self) {
        self.failed(None);
    }

    /// The service failed, and why; the log says so where this opens the breaker.
    pub fn failure_because(self, cause: &str) {
        self.failed(Some(cause));
    }

    fn failed(mut self, cause: Option<&str>) {
        if let Some(admission) = self.admission.take() {
            let now = self.breaker.clock.monotonic();
            self.breaker.transition(cause, |machine| machine.failed(admission, now));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.breaker.locked(|machine| machine.released(admission));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn breaker(failure_threshold: usize, half_open_allowed_calls: usize) -> (CircuitBreaker, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at_unix(0));
        let config =
            CircuitBreakerConfig { failure_threshold, half_open_allowed_calls, ..CircuitBreakerConfig::default() };
        (CircuitBreaker::with_clock(config, clock.clone()).unwrap(), clock)
    }

    #[test]
    fn opens_waits_tries_and_closes() {
        let (breaker, clock) = breaker(2, 1);
        breaker.try_acquire().unwrap().failure();
        assert_eq!(breaker.state(), CircuitState::Closed);
        breaker.try_acquire().unwrap().failure();
        assert_eq!(breaker.state(), CircuitState::Open);
        clock.advance(Duration::from_secs(12));
        assert_eq!(breaker.try_acquire().unwrap_err(), Refusal::Until(Duration::from_secs(18)));
        clock.advance(Duration::from_secs(18));
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        let trial = breaker.try_acquire().unwrap();
        assert_eq!(breaker.try_acquire().unwrap_err(), Refusal::Busy);
        trial.success();
        assert_eq!(breaker.state(), CircuitState::Closed);
        assert_eq!(breaker.times_opened(), 1);
    }

    #[test]
    fn one_failure_in_half_open_opens_again_for_the_whole_time() {
        let (breaker, clock) = breaker(1, 2);
        breaker.try_acquire().unwrap().failure();
        clock.advance(Duration::from_secs(30));
        let (one, two) = (breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap());
        one.success();
        two.failure();
        assert_eq!(breaker.try_acquire().unwrap_err(), Refusal::Until(Duration::from_secs(30)));
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        let (breaker, _) = breaker(2, 1);
        breaker.try_acquire().unwrap().failure();
        breaker.try_acquire().unwrap().success();
        breaker.try_acquire().unwrap().failure();
        assert_eq!(breaker.state(), CircuitState::Closed);
    }

    #[test]
    fn a_dropped_permit_is_given_back_and_says_nothing() {
        let (breaker, clock) = breaker(1, 1);
        breaker.try_acquire().unwrap().failure();
        clock.advance(Duration::from_secs(30));
        drop(breaker.try_acquire().unwrap());
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        breaker.try_acquire().unwrap().success();
        assert_eq!(breaker.state(), CircuitState::Closed);
    }

    #[test]
    fn a_late_result_of_an_earlier_time_counts_for_nothing() {
        let (breaker, clock) = breaker(1, 1);
        let (late_success, late_failure) = (breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap());
        breaker.try_acquire().unwrap().failure();
        late_success.success();
        assert_eq!(breaker.state(), CircuitState::Open);
        clock.advance(Duration::from_secs(30));
        breaker.try_acquire().unwrap().success();
        late_failure.failure();
        assert_eq!(breaker.state(), CircuitState::Closed);
    }

    #[test]
    fn a_later_process_goes_on_where_the_one_before_stood() {
        let (first, clock) = breaker(2, 1);
        first.try_acquire().unwrap().failure();
        let again = || {
            CircuitBreaker::with_clock(
                CircuitBreakerConfig { failure_threshold: 2, ..Default::default() },
                clock.clone(),
            )
            .unwrap()
        };
        let second = again();
        second.resume(first.record());
        second.try_acquire().unwrap().failure();
        assert_eq!(second.state(), CircuitState::Open);
        clock.advance(Duration::from_secs(10));
        let third = again();
        third.resume(second.record());
        assert_eq!(third.refusal(), Some(Refusal::Until(Duration::from_secs(20))));
        // Who asks for a trial now gets one, and not two.
        let asked = again();
        asked.resume(second.record());
        asked.try_now();
        let trial = asked.try_acquire().unwrap();
        assert_eq!(asked.try_acquire().unwrap_err(), Refusal::Busy);
        trial.failure();
        assert_eq!(asked.refusal(), Some(Refusal::Until(Duration::from_secs(30))));
        // The wall clock was set back by a year: the wait is an opening's at most.
        let fourth = again();
        fourth.resume(BreakerRecord { open_until_ms: Some(i64::MAX), ..BreakerRecord::default() });
        assert_eq!(fourth.refusal(), Some(Refusal::Until(Duration::from_secs(30))));
        clock.advance(Duration::from_secs(30));
        fourth.try_acquire().unwrap().success();
        assert_eq!(fourth.record(), BreakerRecord::default());
    }

    #[test]
    fn why_it_opened_is_known_to_a_later_process_until_it_closes() {
        let (first, clock) = breaker(1, 1);
        first.try_acquire().unwrap().failure_because("503 from h");
        let opening = BreakerOpening { at: 0, cause: "503 from h".to_owned() };
        assert_eq!(first.record().opening, Some(opening.clone()));
        let (later, _) = breaker(1, 1);
        later.resume(first.record());
        assert_eq!(later.opening(), Some(opening));
        clock.advance(Duration::from_secs(30));
        first.try_acquire().unwrap().failure_because("refused");
        assert_eq!(first.opening(), Some(BreakerOpening { at: 30, cause: "refused".to_owned() }));
        clock.advance(Duration::from_secs(30));
        first.try_acquire().unwrap().success();
        assert_eq!((first.opening(), first.record()), (None, BreakerRecord::default()));
    }

    #[test]
    fn senseless_settings_are_refused() {
        let good = CircuitBreakerConfig::default();
        for config in [
            CircuitBreakerConfig { failure_threshold: 0, ..good.clone() },
            CircuitBreakerConfig { half_open_allowed_calls: 0, ..good.clone() },
            CircuitBreakerConfig { reset_timeout: Duration::ZERO, ..good },
        ] {
            assert!(CircuitBreaker::new(config).is_err());
        }
    }
}
