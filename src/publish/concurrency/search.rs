//! The search for the limit that suits the destination.

use std::time::Duration;

use super::Sample;
use super::window::{Extent, Gain, Measured, Window};
use crate::clock::Monotonic;

const START: usize = 4;

/// Probing goes no lower: while one attempt is served the next one is on its way. Cuts do.
const FLOOR: usize = 2;

/// Doubling is quick, so that a fast destination has its level within a second. It goes on where it brings a third of
/// what it could, and looks so many times, each time at more, where that is unclear.
const QUICK: Extent = Extent { attempts: 40, time: Duration::from_millis(20) };
const DOUBLING_PAYS: f64 = 0.35;
const LOOKS: u32 = 3;

/// Probing takes its time, and is content with less; what might be chance counts against the higher limit.
const PRECISE: Extent = Extent { attempts: 400, time: Duration::from_millis(50) };
const PROBE_PAYS: f64 = 0.08;
const PROBE_DOUBT: f64 = 0.4;

/// A rate that is uncertain by more than this needs a larger step for its effect to show.
const COARSE: f64 = 0.05;

/// Windows between probes that found nothing better: 1, 2, then this many.
const LONGEST_REST: u32 = 4;

/// A higher limit is given up for the one before when this share of its attempts fails beyond the share that failed there,
/// of so many attempts at least (or of one round).
const MORE_FAILURES: f64 = 0.25;
const FEWEST_JUDGED: u32 = 40;

/// A wish to be left alone has to do with the limit when it comes within so many answers, or within two rounds, since the
/// limit rose or since the wish before.
const SOON: usize = 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Doubling, with what the limit before showed.
    Doubling(Option<Measured>),
    /// Staying, for so many windows; the first of them is compared with what was known.
    Base { rest: u32, known: Option<Measured> },
    /// Trying another limit against what the base showed.
    Probe(Measured),
}

#[derive(Debug, Clone)]
pub(super) struct Search {
    max: usize,
    /// A latency that halves the limit.
    pub(super) too_slow: Duration,
    limit: usize,
    phase: Phase,
    window: Window,
    last_end: Monotonic,
    direction: Direction,
    /// Probes in a row that found something better in one direction, or nothing better.
    gains: u32,
    misses: u32,
    /// The base window before this one was at less than half the rate known.
    slump: bool,
    /// How often the running window of a doubling was looked at.
    looks: u32,
    /// Doubling ends here, after a cut.
    ceiling: usize,
    /// No window ended since the last cut.
    cut_in_a_row: bool,
    /// What was known before it.
    before_cut: Option<Measured>,
    /// Attempts that began before this ask for no further cut.
    cut_at: Monotonic,
    /// Answers since the limit rose, or since the destination last asked to be left alone.
    answers: usize,
}

impl Search {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            too_slow: Duration::from_secs(10),
            limit: START.min(max),
            phase: Phase::Doubling(None),
            window: Window::default(),
            last_end: Monotonic::ZERO,
            direction: Direction::Up,
            gains: 0,
            misses: 0,
            slump: false,
            looks: 0,
            ceiling: max,
            cut_in_a_row: false,
            before_cut: None,
            cut_at: Monotonic::ZERO,
            answers: 0,
        }
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn attempt_ended(&mut self, now: Monotonic, latency: Duration, sample: Sample, in_flight: usize) {
        let last_end = self.last_end;
        self.last_end = now.max(last_end);
        let began = now.saturating_sub(latency);
        if began >= self.cut_at && (self.is_overloaded(now, sample) || latency > self.too_slow) {
            self.cut(now);
            return;
        }
        let events = if let Sample::Answered { events } = sample { events.max(1) } else { 0 };
        self.window.add(now, latency, events, in_flight, self.limit, last_end);
        if events == 0 && self.give_up_where_failures_came_with_it(now) {
            return;
        }
        let extent = if matches!(self.phase, Phase::Doubling(_)) { QUICK } else { PRECISE };
        // Each of those under way is seen twice at least.
        let attempts = extent.attempts.max(u32::try_from(self.limit.saturating_mul(2)).unwrap_or(u32::MAX));
        let attempts = attempts.saturating_mul(self.looks + 1);
        if let Some(measured) = self.window.measured(now, self.limit, Extent { attempts, ..extent }) {
            self.advance(now, measured);
        }
    }

    fn is_overloaded(&mut self, now: Monotonic, sample: Sample) -> bool {
        match sample {
            Sample::Overloaded => true,
            Sample::AskedToWait => {
                let is_soon = self.answers < self.limit.saturating_mul(2).max(SOON);
                self.answers = 0;
                // Others that were under way with it say the same once more.
                self.cut_at = now;
                is_soon
            }
            Sample::Answered { .. } => {
                self.answers = self.answers.saturating_add(1);
                false
            }
            Sample::Failed => false,
        }
    }

    /// Goes back to the lower limit that this one is compared with, if more attempts fail by it.
    fn give_up_where_failures_came_with_it(&mut self, now: Monotonic) -> bool {
        let (Phase::Doubling(Some(lower)) | Phase::Probe(lower)) = self.phase else { return false };
        let round = FEWEST_JUDGED.max(u32::try_from(self.limit).unwrap_or(u32::MAX));
        if self.limit <= lower.limit || !self.window.has_failed(lower.failed + MORE_FAILURES, round) {
            return false;
        }
        if matches!(self.phase, Phase::Probe(_)) {
            self.step_back(now, lower)
        } else {
            self.settle(now, lower)
        }
        true
    }

    fn cut(&mut self, now: Monotonic) {
        if !self.cut_in_a_row {
            self.ceiling = (self.limit / 2).max(FLOOR).min(self.max);
        }
        if let Phase::Doubling(Some(known)) | Phase::Base { known: Some(known), .. } | Phase::Probe(known) = self.phase
        {
            self.before_cut = Some(known);
        }
        self.cut_in_a_row = true;
        self.cut_at = now;
        self.go(now, (self.limit / 2).max(1), Phase::Doubling(None));
    }

    fn go(&mut self, now: Monotonic, limit: usize, phase: Phase) {
        // What was under way at another limit is not counted; at the same one, counting goes on.
        let since = if limit == self.limit { Monotonic::ZERO } else { now };
        if limit > self.limit {
            self.answers = 0;
        }
        self.limit = limit.clamp(1, self.max);
        self.phase = phase;
        self.looks = 0;
        self.window = Window::new(since);
    }

    fn advance(&mut self, now: Monotonic, measured: Measured) {
        self.cut_in_a_row = false;
        match self.phase {
            // The input set the pace: the limit is not what matters now, and it does not rise.
            Phase::Probe(base) if !measured.busy => self.rest(now, base.limit, None),
            phase if !measured.busy => self.go(now, self.limit, phase),
            Phase::Doubling(before) => self.doubled(now, before, measured),
            Phase::Base { rest, known } => self.stayed(now, rest, known, measured),
            Phase::Probe(base) => self.probed(now, base, measured),
        }
    }

    fn doubled(&mut self, now: Monotonic, before: Option<Measured>, measured: Measured) {
        if let Some(known) = self.before_cut.take()
            && measured.limit > START
            && measured.rate / (measured.limit as f64) < known.rate / known.limit as f64 / 2.0
        {
            // The cut left it busy still: another destination, as it were.
            return self.go(now, START, Phase::Doubling(None));
        }
        let last_look = self.looks + 1 >= LOOKS;
        let doubt = if last_look { 0.0 } else { 1.5 };
        match before.map(|before| (before, measured.gain(&before, DOUBLING_PAYS, doubt))) {
            Some((_, Gain::Unclear)) if !last_look => self.looks += 1,
            Some((before, Gain::Unclear | Gain::Idle)) => self.settle(now, before),
            _ if measured.limit >= self.ceiling => self.settle(now, measured),
            _ => {
                let twice = measured.limit.saturating_mul(2).min(self.ceiling);
                self.go(now, twice, Phase::Doubling(Some(measured)));
            }
        }
    }

    /// Ends doubling: the best level is that of `best` or above, by less than double.
    fn settle(&mut self, now: Monotonic, best: Measured) {
        self.ceiling = self.max;
        self.direction = Direction::Up;
        (self.gains, self.misses) = (0, 0);
        self.rest(now, best.limit.max(FLOOR).min(self.max), Some(best));
    }

    fn rest(&mut self, now: Monotonic, limit: usize, known: Option<Measured>) {
        let rest = 1u32.checked_shl(self.misses).map_or(LONGEST_REST, |rest| rest.min(LONGEST_REST));
        self.go(now, limit, Phase::Base { rest, known });
    }

    fn stayed(&mut self, now: Monotonic, rest: u32, known: Option<Measured>, measured: Measured) {
        if let Some(known) = known {
            if measured.rate > known.rate * 2.0 {
                // Another destination, as it were.
                self.slump = false;
                return self.doubled(now, None, measured);
            }
            if measured.rate < known.rate / 2.0 {
                // Once is a hiccup. Twice, it is another destination too.
                if std::mem::replace(&mut self.slump, true) {
                    self.slump = false;
                    return self.go(now, self.limit.min(START), Phase::Doubling(None));
                }
                return self.go(now, self.limit, Phase::Base { rest, known: Some(known) });
            }
        }
        self.slump = false;
        if rest > 1 {
            return self.go(now, self.limit, Phase::Base { rest: rest - 1, known: Some(measured) });
        }
        self.probe(now, measured);
    }

    fn probe(&mut self, now: Monotonic, base: Measured) {
        let (more, less) = if base.chance() > COARSE { (2, 3) } else { (4, 5) };
        let less = if self.gains >= 2 { 2 } else { less };
        let step = |direction| match direction {
            Direction::Up => (base.limit + (base.limit / more).max(1)).min(self.max),
            Direction::Down => (base.limit - (base.limit / less).max(1)).max(FLOOR.min(self.max)),
        };
        let other = if self.direction == Direction::Up { Direction::Down } else { Direction::Up };
        for direction in [self.direction, other] {
            let limit = step(direction);
            if (direction == Direction::Up) == (limit > base.limit) && limit != base.limit {
                if std::mem::replace(&mut self.direction, direction) != direction {
                    self.gains = 0;
                }
                return self.go(now, limit, Phase::Probe(base));
            }
        }
        // There is nowhere to go.
        self.rest(now, base.limit, Some(base));
    }

    /// A probe found nothing better than `base`.
    fn step_back(&mut self, now: Monotonic, base: Measured) {
        self.gains = 0;
        self.misses = self.misses.saturating_add(1);
        self.direction = if self.direction == Direction::Up { Direction::Down } else { Direction::Up };
        self.rest(now, base.limit, Some(base));
    }

    fn probed(&mut self, now: Monotonic, base: Measured, measured: Measured) {
        let better = match self.direction {
            // In doubt, rather less than more.
            Direction::Up => measured.gain(&base, PROBE_PAYS, PROBE_DOUBT) == Gain::Pays,
            Direction::Down => base.gain(&measured, PROBE_PAYS, PROBE_DOUBT) != Gain::Pays,
        };
        if !better {
            return self.step_back(now, base);
        }
        self.misses = 0;
        self.gains = self.gains.saturating_add(1);
        if self.gains >= 2 && self.direction == Direction::Up {
            self.gains = 0;
            return self.doubled(now, None, measured);
        }
        // What was just measured is the base of the next probe.
        self.probe(now, measured);
    }
}
