//! The breaker's state machine: pure, time is an argument.

use std::fmt;
use std::time::Duration;

use super::CircuitBreakerConfig;
use crate::clock::Monotonic;

/// What a call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CircuitState {
    /// Calls go through.
    Closed,
    /// No call goes through.
    Open,
    /// A few calls go through, to see whether the service is back.
    HalfOpen,
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        })
    }
}

/// Why no call may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Open; a call may be tried once this much time has passed.
    #[error("the circuit breaker is open; the next call is tried in {:.1} s", .0.as_secs_f64())]
    Until(Duration),
    /// Half-open, and as many calls as allowed are under way; one of them will tell.
    #[error("the circuit breaker is half-open and its trial call is under way")]
    Busy,
}

/// A call that was let through, and in which spell of the machine: a result that arrives after the machine has moved
/// on says nothing about the spell that it arrives in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admission {
    spell: u64,
}

#[derive(Debug)]
enum State {
    Closed { failures: usize },
    Open { until: Monotonic },
    HalfOpen { under_way: usize, successes: usize },
}

#[derive(Debug)]
pub(super) struct Machine {
    config: CircuitBreakerConfig,
    state: State,
    /// Grows with each transition.
    spell: u64,
    opened: u64,
}

impl Machine {
    pub(super) const fn new(config: CircuitBreakerConfig) -> Self {
        Self { config, state: State::Closed { failures: 0 }, spell: 0, opened: 0 }
    }

    /// The state as of the last call: an open machine turns half-open when a call is admitted, not by itself.
    pub(super) const fn stored_state(&self) -> CircuitState {
        match self.state {
            State::Closed { .. } => CircuitState::Closed,
            State::Open { .. } => CircuitState::Open,
            State::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    pub(super) fn state(&self, now: Monotonic) -> CircuitState {
        match self.state {
            State::Open { until } if now >= until => CircuitState::HalfOpen,
            _ => self.stored_state(),
        }
    }

    /// The failures in a row, and until when it is open. Half-open counts as open up to now: nobody knows yet.
    pub(super) const fn record(&self, now: Monotonic) -> (usize, Option<Monotonic>) {
        match self.state {
            State::Closed { failures } => (failures, None),
            State::Open { until } => (0, Some(until)),
            State::HalfOpen { .. } => (0, Some(now)),
        }
    }

    /// Goes on where a machine of an earlier time stood.
    pub(super) fn resume(&mut self, failures: usize, open_until: Option<Monotonic>, now: Monotonic) {
        self.state = match open_until {
            // A clock that was set back makes nobody wait for longer than an opening lasts.
            Some(until) => State::Open { until: until.min(now.saturating_add(self.config.reset_timeout)) },
            None => State::Closed { failures: failures.min(self.config.failure_threshold.saturating_sub(1)) },
        };
    }

    pub(super) fn try_now(&mut self, now: Monotonic) {
        if let State::Open { until } = &mut self.state {
            *until = now.min(*until);
        }
    }

    pub(super) const fn times_opened(&self) -> u64 {
        self.opened
    }

    pub(super) const fn transitions(&self) -> u64 {
        self.spell
    }

    pub(super) fn refusal(&self, now: Monotonic) -> Option<Refusal> {
        match self.state {
            State::Open { until } if now < until => Some(Refusal::Until(until - now)),
            State::HalfOpen { under_way, .. } if under_way >= self.config.half_open_allowed_calls => {
                Some(Refusal::Busy)
            }
            _ => None,
        }
    }

    pub(super) fn admit(&mut self, now: Monotonic) -> Result<Admission, Refusal> {
        if let Some(refusal) = self.refusal(now) {
            return Err(refusal);
        }
        match &mut self.state {
            State::Closed { .. } => {}
            State::Open { .. } => self.enter(State::HalfOpen { under_way: 1, successes: 0 }),
            State::HalfOpen { under_way, .. } => *under_way += 1,
        }
        Ok(Admission { spell: self.spell })
    }

    pub(super) fn succeeded(&mut self, admission: Admission) {
        if admission.spell != self.spell {
            return;
        }
        match &mut self.state {
            State::Closed { failures } => *failures = 0,
            State::Open { .. } => {}
            State::HalfOpen { under_way, successes } => {
                *under_way = under_way.saturating_sub(1);
                *successes += 1;
                if *successes >= self.config.half_open_allowed_calls {
                    self.enter(State::Closed { failures: 0 });
                }
            }
        }
    }

    pub(super) fn failed(&mut self, admission: Admission, now: Monotonic) {
        if admission.spell != self.spell {
            return;
        }
        let opens = match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                *failures >= self.config.failure_threshold
            }
            State::Open { .. } => false,
            State::HalfOpen { .. } => true,
        };
        if opens {
            self.opened += 1;
            self.enter(State::Open { until: now.saturating_add(self.config.reset_timeout) });
        }
    }

    pub(super) fn released(&mut self, admission: Admission) {
        if let (true, State::HalfOpen { under_way, .. }) = (admission.spell == self.spell, &mut self.state) {
            *under_way = under_way.saturating_sub(1);
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.spell += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Admit,
        Succeed(usize),
        Fail(usize),
        Release(usize),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Admit),
            1 => any::<usize>().prop_map(Step::Succeed),
            1 => any::<usize>().prop_map(Step::Fail),
            1 => any::<usize>().prop_map(Step::Release),
            1 => (0u64..40).prop_map(Step::Wait),
        ]
    }

    proptest! {
        /// Only the transitions of the drawing in the module's documentation happen, whatever the order of events, and
        /// half-open never has more calls under way than allowed.
        #[test]
        fn only_listed_transitions_and_never_too_many_calls(
            threshold in 1usize..4, allowed in 1usize..4, steps in proptest::collection::vec(step(), 1..120),
        ) {
            let config = CircuitBreakerConfig {
                failure_threshold: threshold,
                reset_timeout: Duration::from_secs(30),
                half_open_allowed_calls: allowed,
            };
            let mut machine = Machine::new(config);
            let mut now = Duration::ZERO;
            let mut opened_at = None;
            let mut under_way: Vec<Admission> = Vec::new();
            for step in steps {
                let before = machine.stored_state();
                match step {
                    Step::Wait(seconds) => now += Duration::from_secs(seconds),
                    Step::Admit => match machine.admit(now) {
                        Ok(admission) => under_way.push(admission),
                        Err(Refusal::Until(left)) => prop_assert_eq!(Some(now + left), opened_at.map(|at: Duration| at + Duration::from_secs(30))),
                        Err(Refusal::Busy) => {}
                    },
                    Step::Succeed(n) | Step::Fail(n) | Step::Release(n) if !under_way.is_empty() => {
                        let admission = under_way.swap_remove(n % under_way.len());
                        match step {
                            Step::Succeed(_) => machine.succeeded(admission),
                            Step::Fail(_) => machine.failed(admission, now),
                            _ => machine.released(admission),
                        }
                    }
                    _ => {}
                }
                let after = machine.stored_state();
                use CircuitState::{Closed, HalfOpen, Open};
                prop_assert!(before == after || matches!((before, after), (Closed, Open) | (Open, HalfOpen) | (HalfOpen, Closed | Open)));
                if before != Open && after == Open {
                    opened_at = Some(now);
                }
                if after == HalfOpen {
                    let current = under_way.iter().filter(|admission| admission.spell == machine.spell).count();
                    prop_assert!(current <= allowed);
                    prop_assert!(opened_at.is_some_and(|at| now >= at + Duration::from_secs(30)));
                }
            }
        }
    }
}
