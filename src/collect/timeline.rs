//! Which second it is, whatever the wall clock does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, Monotonic};

/// What the wall clock may differ by between two looks without being called a step: time servers slew by less.
const TOLERANCE_NANOS: i128 = 500_000_000;
/// A look that is later than a whole second by less than this is taken for one at that second: timers are late.
const LATE_NANOS: i128 = 100_000_000;
const NANOS: i128 = 1_000_000_000;
/// A wall clock before 2020 was never set: machines without a battery start there.
const UNSET_BEFORE: i128 = 1_577_836_800 * NANOS;
/// A saved time that a wall clock is behind of by more than this is no time that has been.
const FUTURE_NANOS: i128 = 24 * 3600 * NANOS;
/// The last second that an event can carry: beyond it, readers take seconds for milliseconds.
const LAST: i128 = LAST_SECOND as i128 * NANOS;
const LAST_SECOND: i64 = 99_999_999_999;

/// Whether a meter may have kept `second`: a period may end some days behind the last second.
pub(super) const fn is_possible_second(second: i64) -> bool {
    second >= 0 && second <= LAST_SECOND + 7 * 86_400
}

/// One look at both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The clock that durations are measured by.
    pub monotonic: Monotonic,
    /// The clock that periods are named by.
    pub wall: SystemTime,
}

impl Now {
    /// What `clock` shows.
    #[must_use]
    pub fn of(clock: &dyn Clock) -> Self {
        Self { monotonic: clock.monotonic(), wall: clock.wall() }
    }
}

/// The wall clock was set between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockStep {
    /// By how much, in seconds; negative for backwards.
    pub seconds: f64,
    /// Where the line jumped ahead with it: the second that it would be at if it had run on evenly.
    pub jumped_from: Option<i64>,
}

/// A time line that never goes back: the wall clock while that runs on, and the monotonic clock from where it stood
/// while the wall clock is behind.
///
/// A step forwards is followed: the line jumps, and the seconds between are a gap that nothing was used in. A step
/// backwards is waited out: until the wall clock has caught up, seconds are counted by the monotonic clock. So periods never overlap, go
/// backwards or vanish. Before 1970 the line stands at 1970: events carry no earlier time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    monotonic: Monotonic,
    /// Nanoseconds since 1970, as the wall clock had it.
    wall: i128,
    /// Nanoseconds since 1970.
    now: i128,
}

impl Timeline {
    /// Starts where the wall clock stands.
    #[must_use]
    pub fn new(now: Now) -> Self {
        let wall = nanos(now.wall);
        Self { monotonic: now.monotonic, wall, now: wall.clamp(0, LAST) }
    }

    /// Starts where the wall clock stands, and not before `earlier` was: the line of a boot before this one, between
    /// which and now nobody knows how much time has passed.
    #[must_use]
    pub fn after(earlier: &Self, now: Now) -> Self {
        let line = Self::new(now);
        Self { now: line.now.max(earlier.now), ..line }
    }

    /// Whether the line was drawn by clocks that say that it has not been yet: a monotonic clock ahead of `now`'s in the
    /// same boot; in another boot, a wall clock more than a day ahead of one that was set.
    #[must_use]
    pub fn is_ahead_of(&self, now: Now, same_boot: bool) -> bool {
        let wall = nanos(now.wall);
        if same_boot {
            self.monotonic > now.monotonic
        } else {
            wall >= UNSET_BEFORE && self.now > wall.saturating_add(FUTURE_NANOS)
        }
    }

    /// Whether clocks may have shown these times. Computing with others overflows.
    pub(super) fn is_possible(&self) -> bool {
        (-LAST..=LAST).contains(&self.wall) && (0..=LAST).contains(&self.now)
    }

    /// Moves to another look at both clocks, and tells whether the wall clock was set in between.
    pub fn advance(&mut self, now: Now) -> Option<ClockStep> {
        let wall = nanos(now.wall);
        let passed = now.monotonic.saturating_sub(self.monotonic).as_nanos();
        let passed = i128::try_from(passed).unwrap_or(LAST);
        let step = (wall - self.wall) - passed;
        let expected = self.now + passed;
        // A wall clock that is a little behind is slewed, and is waited for without a word.
        let next = if wall >= expected - TOLERANCE_NANOS { wall.max(self.now) } else { expected };
        let last = LAST.max(self.now);
        let (before, expected) = (self.now, expected.clamp(0, last));
        self.now = next.clamp(0, last);
        (self.monotonic, self.wall) = (now.monotonic.max(self.monotonic), wall);
        let jumped_from = (self.now - expected > TOLERANCE_NANOS).then(|| second_of(expected.max(before)));
        #[allow(clippy::cast_precision_loss)] // for people to read
        (step.abs() > TOLERANCE_NANOS).then_some(ClockStep { seconds: step as f64 / 1e9, jumped_from })
    }

    /// When the last look was, by the monotonic clock.
    #[must_use]
    pub const fn monotonic(&self) -> Monotonic {
        self.monotonic
    }

    /// The second that has begun, in Unix seconds.
    #[must_use]
    pub fn second(&self) -> i64 {
        second_of(self.now)
    }

    /// The first second that is not over, in Unix seconds: [`Timeline::second`], or the one after where some of it has
    /// passed.
    #[must_use]
    pub fn ceiling(&self) -> i64 {
        self.second() + i64::from(self.now.rem_euclid(NANOS) != 0)
    }

    /// The same, where a look that is a little late for a second counts as one at that second.
    #[must_use]
    pub fn settled(&self) -> i64 {
        self.second() + i64::from(self.now.rem_euclid(NANOS) > LATE_NANOS)
    }

    /// How long it takes to reach `second`, if the clocks run on evenly.
    #[must_use]
    pub fn until(&self, second: i64) -> Duration {
        let left = i128::from(second) * NANOS - self.now;
        Duration::from_nanos(u64::try_from(left.max(0)).unwrap_or(u64::MAX))
    }
}

fn second_of(nanos: i128) -> i64 {
    i64::try_from(nanos.div_euclid(NANOS)).unwrap_or(i64::MAX)
}

/// Nanoseconds since 1970, negative before.
fn nanos(time: SystemTime) -> i128 {
    let of = |duration: Duration| i128::try_from(duration.as_nanos()).unwrap_or(LAST);
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -of(before.duration()), of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// Both clocks, in milliseconds.
    fn look(monotonic: u64, wall: i64) -> Now {
        let off = millis(wall.unsigned_abs());
        Now { monotonic: millis(monotonic), wall: if wall < 0 { UNIX_EPOCH - off } else { UNIX_EPOCH + off } }
    }

    #[test]
    fn follows_the_wall_clock_and_reports_steps() {
        let mut line = Timeline::new(look(0, 10_000));
        assert_eq!(line.advance(look(1_000, 11_020)), None, "slewed");
        assert_eq!((line.second(), line.ceiling(), line.settled()), (11, 12, 11));
        let step = line.advance(look(2_000, 3_612_200)).map(|step| (step.seconds.round(), step.jumped_from));
        assert_eq!(step, Some((3_600.0, Some(12))));
        assert_eq!((line.second(), line.settled()), (3_612, 3_613));
    }

    #[test]
    fn a_step_backwards_is_reported_once_and_waited_out() {
        let mut line = Timeline::new(look(0, 100_000));
        let step = line.advance(look(1_000, 91_000));
        assert_eq!(step, Some(ClockStep { seconds: -10.0, jumped_from: None }));
        assert_eq!(line.second(), 101);
        assert_eq!(line.advance(look(2_000, 92_000)), None);
        assert_eq!((line.second(), line.until(104)), (102, millis(2_000)));
        // Set right again: the line and the wall agree, and nothing jumps.
        assert_eq!(line.advance(look(3_000, 103_000)).map(|step| step.jumped_from), Some(None));
        assert_eq!(line.second(), 103);
    }

    #[test]
    fn across_1970_it_stands_and_goes_on() {
        let mut line = Timeline::new(look(0, -5_000));
        assert_eq!(line.second(), 0);
        assert_eq!(line.advance(look(1_000, -4_000)), None, "no step: both clocks moved by a second");
        assert_eq!(line.second(), 1, "time passes");
        assert!(line.advance(look(2_000, 1_626_350_400_000)).is_some());
        assert_eq!(line.second(), 1_626_350_400);
        assert!(line.advance(look(3_000, -1_000)).is_some());
        assert_eq!(line.second(), 1_626_350_401);
        assert_eq!(line.advance(look(4_000, 0)), None);
        assert_eq!(line.second(), 1_626_350_402);
    }

    #[test]
    fn after_a_boot_it_is_not_earlier_than_before() {
        let before = Timeline::new(look(900_000, 1_626_350_400_000));
        assert_eq!(Timeline::after(&before, look(10, 1_626_360_000_000)).second(), 1_626_360_000);
        assert_eq!(Timeline::after(&before, look(10, 0)).second(), 1_626_350_400, "a clock without a battery");
        let day = 86_400_000;
        assert!(!before.is_ahead_of(look(10, 1_626_350_400_000 - day), false));
        assert!(before.is_ahead_of(look(10, 1_626_350_399_000 - day), false));
        assert!(!before.is_ahead_of(look(10, 0), false), "that clock knows nothing");
        assert!(before.is_ahead_of(look(899_999, 1_700_000_000_000), true));
        assert!(!before.is_ahead_of(look(900_000, 0), true), "set back and waited out");
    }

    proptest! {
        #[test]
        fn never_goes_back_and_never_lags(looks in proptest::collection::vec((0u64..10_000, -10_000_000i64..10_000_000), 1..50)) {
            let mut monotonic = 0;
            let mut line = Timeline::new(look(monotonic, 5_000_000));
            for (passed, wall) in looks {
                let before = line.now;
                monotonic += passed;
                line.advance(look(monotonic, wall));
                prop_assert!(line.now >= before);
                prop_assert!(line.now + TOLERANCE_NANOS >= before + i128::from(passed) * 1_000_000);
                prop_assert!(line.settled() <= line.ceiling() && line.settled() >= line.second());
            }
        }
    }
}
