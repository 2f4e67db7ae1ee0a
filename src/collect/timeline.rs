//! Which second it is, whatever the wall clock does.

use std::time::Duration;

use crate::clock::Monotonic;

/// What the wall clock may differ by between two looks without being called a step: time servers slew by less.
const TOLERANCE_NANOS: i128 = 500_000_000;

/// The wall clock was set between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockStep {
    /// By how much, in seconds; negative for backwards.
    pub seconds: f64,
}

/// A time line that never goes back: the wall clock while that runs on, and the monotonic clock from where it stood
/// while the wall clock is behind.
///
/// A step forwards is followed, so that the period in which it happens is longer by it. A step backwards is waited out:
/// until the wall clock has caught up, seconds are counted by the monotonic clock. So periods never overlap, go
/// backwards or vanish.
#[derive(Debug, Clone)]
pub struct Timeline {
    monotonic: Monotonic,
    wall: i128,
    now: i128,
}

impl Timeline {
    /// Starts at the wall clock's `wall` (since 1970).
    #[must_use]
    pub fn new(monotonic: Monotonic, wall: Duration) -> Self {
        let wall = nanos(wall);
        Self { monotonic, wall, now: wall }
    }

    /// Moves to another look at both clocks, and tells whether the wall clock was set in between.
    pub fn advance(&mut self, monotonic: Monotonic, wall: Duration) -> Option<ClockStep> {
        let wall = nanos(wall);
        let passed = nanos(monotonic.saturating_sub(self.monotonic));
        let step = (wall - self.wall) - passed;
        let expected = self.now + passed;
        // A wall clock that is a little behind is slewed, and is waited for without a word.
        self.now = if wall >= expected - TOLERANCE_NANOS { wall.max(self.now) } else { expected };
        (self.monotonic, self.wall) = (monotonic.max(self.monotonic), wall);
        #[allow(clippy::cast_precision_loss)] // for people to read
        (step.abs() > TOLERANCE_NANOS).then_some(ClockStep { seconds: step as f64 / 1e9 })
    }

    /// The second that has begun, in Unix seconds.
    #[must_use]
    pub fn second(&self) -> i64 {
        i64::try_from(self.now.div_euclid(1_000_000_000)).unwrap_or(i64::MAX)
    }

    /// The first second that is not over, in Unix seconds: [`Timeline::second`], or the one after where some of it has
    /// passed.
    #[must_use]
    pub fn ceiling(&self) -> i64 {
        self.second() + i64::from(self.now.rem_euclid(1_000_000_000) != 0)
    }

    /// How long it takes to reach `second`, if the clocks run on evenly.
    #[must_use]
    pub fn until(&self, second: i64) -> Duration {
        let left = i128::from(second) * 1_000_000_000 - self.now;
        Duration::from_nanos(u64::try_from(left.max(0)).unwrap_or(u64::MAX))
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn follows_the_wall_clock_and_reports_steps() {
        let mut line = Timeline::new(millis(0), millis(10_000));
        assert_eq!(line.advance(millis(1_000), millis(11_020)), None, "slewed");
        assert_eq!((line.second(), line.ceiling()), (11, 12));
        assert_eq!(line.advance(millis(2_000), millis(3_612_000)).map(|step| step.seconds.round()), Some(3_600.0));
        assert_eq!(line.second(), 3_612);
    }

    #[test]
    fn a_step_backwards_is_reported_once_and_waited_out() {
        let mut line = Timeline::new(millis(0), millis(100_000));
        assert_eq!(line.advance(millis(1_000), millis(91_000)).map(|step| step.seconds), Some(-10.0));
        assert_eq!(line.second(), 101);
        assert_eq!(line.advance(millis(2_000), millis(92_000)), None);
        assert_eq!((line.second(), line.until(104)), (102, millis(2_000)));
        // Set right again: the line and the wall agree, and nothing jumps.
        assert!(line.advance(millis(3_000), millis(103_000)).is_some());
        assert_eq!(line.second(), 103);
    }

    proptest! {
        #[test]
        fn never_goes_back(looks in proptest::collection::vec((0u64..10_000, 0u64..10_000_000), 1..50)) {
            let mut monotonic = Duration::ZERO;
            let mut line = Timeline::new(monotonic, millis(5_000_000));
            for (passed, wall) in looks {
                let before = line.now;
                monotonic += millis(passed);
                line.advance(monotonic, millis(wall));
                prop_assert!(line.now >= before);
            }
        }
    }
}
