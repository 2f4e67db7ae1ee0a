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

/// The shortest pause before a trial; the pause grows to [`SHARE_OF_OUTAGE`] of the outage so far.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// A trial waits for the outage so far divided by this. The service is found again within a quarter of the time that it
/// was away, a dead one gets about 36 trials before the pause is 30 s, and a service that fails at random gets enough of
/// them not to look dead.
const SHARE_OF_OUTAGE: u32 = 4;

#[derive(Debug)]
enum State {
    Closed {
        failures: usize,
        /// A call has succeeded since the process began.
        has_worked: bool,
    },
    Open {
        until: Monotonic,
        /// How long it stays open in all.
        pause: Duration,
        outage: Outage,
    },
    HalfOpen {
        under_way: usize,
        successes: usize,
        outage: Outage,
    },
}

/// How long the service has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    /// It worked until this time, when the breaker opened.
    Since(Monotonic),
    /// No call has succeeded in this process.
    Unknown,
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
        Self { config, state: State::Closed { failures: 0, has_worked: false }, spell: 0, opened: 0 }
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
            State::Open { until, .. } if now >= until => CircuitState::HalfOpen,
            _ => self.stored_state(),
        }
    }

    /// The failures in a row, and until when it is open. Half-open counts as open up to now: nobody knows yet.
    pub(super) const fn record(&self, now: Monotonic) -> (usize, Option<Monotonic>) {
        match self.state {
            State::Closed { failures, .. } => (failures, None),
            State::Open { until, .. } => (0, Some(until)),
            State::HalfOpen { .. } => (0, Some(now)),
        }
    }

    /// Goes on where a machine of an earlier time stood.
    pub(super) fn resume(&mut self, failures: usize, open_until: Option<Monotonic>, now: Monotonic) {
        self.state = match open_until {
            // A clock that was set back makes nobody wait for longer than an opening lasts.
            Some(until) => {
                let pause = self.config.reset_timeout;
                State::Open { until: until.min(now.saturating_add(pause)), pause, outage: Outage::Unknown }
            }
            None => {
                let failures = failures.min(self.config.failure_threshold.saturating_sub(1));
                State::Closed { failures, has_worked: false }
            }
        };
    }

    pub(super) fn try_now(&mut self, now: Monotonic) {
        if let State::Open { until, .. } = &mut self.state {
            *until = now.min(*until);
        }
    }

    /// Whether this opening is worth a warning: the service is left alone for a second, or for `reset_timeout`.
    pub(super) fn is_open_for_long(&self) -> bool {
        let long = self.config.reset_timeout.min(Duration::from_secs(1));
        matches!(self.state, State::Open { pause, .. } if pause >= long)
    }

    pub(super) const fn times_opened(&self) -> u64 {
        self.opened
    }

    pub(super) const fn transitions(&self) -> u64 {
        self.spell
    }

    pub(super) fn refusal(&self, now: Monotonic) -> Option<Refusal> {
        match self.state {
            State::Open { until, .. } if now < until => Some(Refusal::Until(until - now)),
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
            &mut State::Open { outage, .. } => self.enter(State::HalfOpen { under_way: 1, successes: 0, outage }),
            State::HalfOpen { under_way, .. } => *under_way += 1,
        }
        Ok(Admission { spell: self.spell })
    }

    pub(super) fn succeeded(&mut self, admission: Admission) {
        if admission.spell != self.spell {
            return;
        }
        match &mut self.state {
            State::Closed { failures, has_worked } => (*failures, *has_worked) = (0, true),
            State::Open { .. } => {}
            State::HalfOpen { under_way, successes, .. } => {
                *under_way = under_way.saturating_sub(1);
                *successes += 1;
                if *successes >= self.config.half_open_allowed_calls {
                    self.enter(State::Closed { failures: 0, has_worked: true });
                }
            }
        }
    }

    pub(super) fn failed(&mut self, admission: Admission, now: Monotonic) {
        if admission.spell != self.spell {
            return;
        }
        let outage = match &mut self.state {
            State::Closed { failures, has_worked } => {
                *failures += 1;
                if *failures < self.config.failure_threshold {
                    return;
                }
                if *has_worked { Outage::Since(now) } else { Outage::Unknown }
            }
            State::Open { .. } => return,
            State::HalfOpen { outage, .. } => *outage,
        };
        self.opened += 1;
        let pause = self.pause(outage, now);
        self.enter(State::Open { until: now.saturating_add(pause), pause, outage });
    }

    /// How long to leave the service alone. Failures in a row happen by chance too, where the service fails now and then:
    /// if it worked before, the first trials come soon. `reset_timeout` is the longest pause.
    fn pause(&self, outage: Outage, now: Monotonic) -> Duration {
        let pause = match outage {
            Outage::Since(began) => (now.saturating_sub(began) / SHARE_OF_OUTAGE).max(SHORTEST_PAUSE),
            Outage::Unknown => Duration::MAX,
        };
        pause.min(self.config.reset_timeout)
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

    /// Lets a trial through as soon as one may be made, and has it fail; gives the pause before it.
    fn failed_trial(machine: &mut Machine, now: &mut Monotonic) -> Duration {
        let Err(Refusal::Until(pause)) = machine.admit(*now) else { panic!("not open") };
        *now += pause;
        let admission = machine.admit(*now).unwrap();
        assert_eq!(machine.admit(*now), Err(Refusal::Busy));
        machine.failed(admission, *now);
        pause
    }

    fn fail_in_a_row(machine: &mut Machine, now: Monotonic) {
        for _ in 0..5 {
            let admission = machine.admit(now).unwrap();
            machine.failed(admission, now);
        }
        assert_eq!(machine.stored_state(), CircuitState::Open);
    }

    #[test]
    fn pauses_are_short_after_a_success_and_grow_to_reset_timeout() {
        let mut machine = Machine::new(CircuitBreakerConfig::default());
        let mut now = Duration::from_secs(7);
        let admission = machine.admit(now).unwrap();
        machine.succeeded(admission);
        fail_in_a_row(&mut machine, now);
        let pauses: Vec<Duration> = (0..50).map(|_| failed_trial(&mut machine, &mut now)).collect();
        assert_eq!(pauses[0], Duration::from_millis(10));
        assert!(pauses.is_sorted());
        let within = |time| {
            pauses
                .iter()
                .scan(Duration::ZERO, |sum, it| {
                    *sum += *it;
                    Some(*sum)
                })
                .filter(|it| *it < time)
                .count()
        };
        assert_eq!((within(Duration::from_secs(1)), within(Duration::from_secs(10))), (18, 28));
        assert_eq!(pauses[49], Duration::from_secs(30));
        // It works again: the next outage begins anew.
        now += Duration::from_secs(30);
        let admission = machine.admit(now).unwrap();
        machine.succeeded(admission);
        fail_in_a_row(&mut machine, now);
        assert_eq!(failed_trial(&mut machine, &mut now), Duration::from_millis(10));
    }

    #[test]
    fn pauses_are_reset_timeout_while_nothing_has_succeeded() {
        let mut machine = Machine::new(CircuitBreakerConfig::default());
        let mut now = Duration::ZERO;
        fail_in_a_row(&mut machine, now);
        for _ in 0..3 {
            assert_eq!(failed_trial(&mut machine, &mut now), Duration::from_secs(30));
        }
        let mut later = Machine::new(CircuitBreakerConfig::default());
        later.resume(0, machine.record(now).1, now);
        assert_eq!(failed_trial(&mut later, &mut now), Duration::from_secs(30));
        assert_eq!(failed_trial(&mut later, &mut now), Duration::from_secs(30));
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
            let (mut trial_at, mut outage_since, mut has_worked) = (None, None, false);
            let mut under_way: Vec<Admission> = Vec::new();
            for step in steps {
                let before = machine.stored_state();
                match step {
                    Step::Wait(seconds) => now += Duration::from_secs(seconds),
                    Step::Admit => match machine.admit(now) {
                        Ok(admission) => under_way.push(admission),
                        Err(Refusal::Until(left)) => prop_assert_eq!(Some(now + left), trial_at),
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
                has_worked |= after == Closed && (before == HalfOpen || matches!(machine.state, State::Closed { has_worked: true, .. }));
                if before == Closed && after == Open {
                    outage_since = has_worked.then_some(now);
                }
                if before != Open && after == Open {
                    let whole = Duration::from_secs(30);
                    let pause = outage_since.map_or(whole, |since| ((now - since) / 4).clamp(Duration::from_millis(10), whole));
                    trial_at = Some(now + pause);
                }
                if after == HalfOpen {
                    let current = under_way.iter().filter(|admission| admission.spell == machine.spell).count();
                    prop_assert!(current <= allowed);
                    prop_assert!(trial_at.is_some_and(|at| now >= at));
                }
            }
        }
    }
}
