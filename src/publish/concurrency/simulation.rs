//! A publisher and a queue in virtual time: events of a simulation in order, randomness from a seed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use super::{Concurrency, Sample};

/// A queue that serves attempts in their order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queue {
    /// Attempts that it serves side by side.
    pub(super) servers: usize,
    /// Seconds that serving one takes.
    pub(super) service: f64,
    /// Serving takes so many times longer for each further attempt that is there.
    pub(super) drag: f64,
    /// Times are spread exponentially rather than being the same.
    pub(super) random: bool,
    /// Seconds on the way there and back.
    pub(super) round_trip: f64,
    /// This share of attempts fails at once, by chance.
    pub(super) failing: f64,
    /// It serves all that wait together, as one commit for many writes; each adds so many seconds to it.
    pub(super) together: Option<f64>,
    /// It refuses attempts at once while so many are there.
    pub(super) most: usize,
    /// It takes so many attempts in each span of so many seconds, and refuses others at once.
    pub(super) quota: Option<(usize, f64)>,
    /// Whoever is refused is to stay away for so many seconds; `None`: it is a failure like others.
    pub(super) stay_away: Option<f64>,
}

impl Queue {
    pub(super) const fn new(servers: usize, service: f64, round_trip: f64) -> Self {
        Self {
            servers,
            service,
            drag: 0.0,
            random: true,
            round_trip,
            failing: 0.0,
            together: None,
            most: usize::MAX,
            quota: None,
            stay_away: None,
        }
    }
}

/// What comes in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Input {
    /// More than goes out.
    Endless,
    /// So many batches a second, at random.
    Random(f64),
    /// So many batches at a time, each so many seconds.
    Bursts(usize, f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Input,
    Arrive(usize),
    Served(usize),
    Failed(usize),
    Refused(usize),
    End(usize),
    /// Attempts may begin again.
    GoOn,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    start: f64,
    in_flight: usize,
}

/// An attempt that ended: when (seconds), how long it took, and the limit then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    pub(super) at: f64,
    pub(super) latency: f64,
    pub(super) limit: usize,
    pub(super) ok: bool,
}

pub(super) struct Simulation {
    pub(super) concurrency: Concurrency,
    input: Input,
    events_per_batch: usize,
    random: fastrand::Rng,
    /// Steps to come: nanoseconds, number, what.
    steps: BinaryHeap<Reverse<(u64, u64, Step)>>,
    number: u64,
    now: f64,
    attempts: Vec<Attempt>,
    waiting: VecDeque<usize>,
    being_served: usize,
    in_flight: usize,
    backlog: usize,
    /// The span of the quota, by its number, and what was taken in it.
    span: (u64, usize),
    /// No attempt before.
    stays_away_until: f64,
    pub(super) ended: Vec<Ended>,
}

impl Simulation {
    pub(super) fn new(concurrency: Concurrency, input: Input, events_per_batch: usize, seed: u64) -> Self {
        let mut it = Self {
            concurrency,
            input,
            events_per_batch,
            random: fastrand::Rng::with_seed(seed),
            steps: BinaryHeap::new(),
            number: 0,
            now: 0.0,
            attempts: Vec::new(),
            waiting: VecDeque::new(),
            being_served: 0,
            in_flight: 0,
            backlog: 0,
            span: (0, 0),
            stays_away_until: 0.0,
            ended: Vec::new(),
        };
        it.plan(0.0, Step::Input);
        it
    }

    fn plan(&mut self, after: f64, step: Step) {
        let at = ((self.now + after) * 1e9) as u64;
        self.number += 1;
        self.steps.push(Reverse((at, self.number, step)));
    }

    /// Goes on for `seconds` with `queue`, which may be another one than before.
    pub(super) fn run(&mut self, queue: Queue, seconds: f64) -> &mut Self {
        let end = self.now + seconds;
        self.start(queue);
        while let Some(&Reverse((at, _, step))) = self.steps.peek() {
            let at = at as f64 / 1e9;
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            self.steps.pop();
            self.step(queue, step);
        }
        self.now = end;
        self
    }

    fn step(&mut self, queue: Queue, step: Step) {
        match step {
            Step::Input => match self.input {
                Input::Endless => self.backlog = usize::MAX,
                Input::Random(rate) => {
                    self.backlog += 1;
                    let wait = -(1.0 - self.random.f64()).ln() / rate;
                    self.plan(wait, Step::Input);
                }
                Input::Bursts(batches, every) => {
                    self.backlog += batches;
                    self.plan(every, Step::Input);
                }
            },
            Step::Arrive(id) => {
                if queue.failing > 0.0 && self.random.f64() < queue.failing {
                    self.plan(queue.round_trip / 2.0, Step::Failed(id));
                } else if self.waiting.len() + self.being_served >= queue.most || !self.is_within(queue.quota) {
                    self.plan(queue.round_trip / 2.0, Step::Refused(id));
                } else {
                    self.waiting.push_back(id);
                }
            }
            Step::Served(id) => {
                self.being_served -= 1;
                self.plan(queue.round_trip / 2.0, Step::End(id));
            }
            Step::Failed(id) => self.end(id, Sample::Failed),
            Step::Refused(id) => match queue.stay_away {
                Some(seconds) => {
                    self.end(id, Sample::AskedToWait);
                    self.stays_away_until = self.stays_away_until.max(self.now + seconds);
                    self.plan(seconds + 1e-6, Step::GoOn);
                }
                None => self.end(id, Sample::Failed),
            },
            Step::GoOn => {}
            Step::End(id) => self.end(id, Sample::Answered { events: self.events_per_batch }),
        }
        self.start(queue);
    }

    /// Counts an attempt that arrives; whether the queue takes it.
    fn is_within(&mut self, quota: Option<(usize, f64)>) -> bool {
        let Some((most, seconds)) = quota else { return true };
        let span = (self.now / seconds) as u64;
        if self.span.0 != span {
            self.span = (span, 0);
        }
        self.span.1 += 1;
        self.span.1 <= most
    }

    /// Starts whatever may be served and sent now.
    fn start(&mut self, queue: Queue) {
        if let Some(each) = queue.together
            && self.being_served == 0
        {
            self.being_served = self.waiting.len();
            let time = each.mul_add(self.waiting.len() as f64, queue.service);
            for id in std::mem::take(&mut self.waiting) {
                self.plan(time, Step::Served(id));
            }
        }
        while queue.together.is_none()
            && self.being_served < queue.servers
            && let Some(id) = self.waiting.pop_front()
        {
            self.being_served += 1;
            let spread = if queue.random { -(1.0 - self.random.f64()).ln() } else { 1.0 };
            let drag = queue.drag.mul_add((self.waiting.len() + self.being_served - 1) as f64, 1.0);
            self.plan(queue.service * spread * drag, Step::Served(id));
        }
        let may_send = self.now >= self.stays_away_until;
        while may_send && self.in_flight < self.concurrency.limit() && self.backlog > 0 {
            self.backlog -= usize::from(self.backlog != usize::MAX);
            self.in_flight += 1;
            self.attempts.push(Attempt { start: self.now, in_flight: self.in_flight });
            self.plan(queue.round_trip / 2.0, Step::Arrive(self.attempts.len() - 1));
        }
    }

    fn end(&mut self, id: usize, sample: Sample) {
        let attempt = self.attempts[id];
        self.in_flight -= 1;
        let latency = self.now - attempt.start;
        let as_duration = |seconds: f64| Duration::from_nanos((seconds * 1e9).round() as u64);
        self.concurrency.attempt_ended(as_duration(self.now), as_duration(latency), sample, attempt.in_flight);
        let ok = matches!(sample, Sample::Answered { .. });
        self.ended.push(Ended { at: self.now, latency, limit: self.concurrency.limit(), ok });
    }

    fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Ended> {
        self.ended.iter().filter(move |ended| ended.at >= from && ended.at < to)
    }

    /// Attempts answered a second.
    pub(super) fn rate(&self, from: f64, to: f64) -> f64 {
        self.between(from, to).filter(|ended| ended.ok).count() as f64 / (to - from)
    }

    /// The latency, in seconds, that a `share` of the attempts did not exceed.
    pub(super) fn latency(&self, from: f64, to: f64, share: f64) -> f64 {
        let mut all: Vec<f64> = self.between(from, to).map(|ended| ended.latency).collect();
        all.sort_by(f64::total_cmp);
        all[((all.len() - 1) as f64 * share) as usize]
    }

    /// The lowest and the highest limit.
    pub(super) fn limits(&self, from: f64, to: f64) -> (usize, usize) {
        let limits = || self.between(from, to).map(|ended| ended.limit);
        (limits().min().unwrap(), limits().max().unwrap())
    }
}
