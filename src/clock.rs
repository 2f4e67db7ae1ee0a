//! The one place that reads clocks and sleeps.
//!
//! Policy (retry, breaker, metering, thresholds) takes times as arguments. What needs a clock at the edge takes a
//! [`Clock`]: [`SystemClock`] in earnest, [`ManualClock`] in tests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point on the monotonic clock: the time since an origin that stays fixed while the process runs.
///
/// On Linux the origin is the boot of the machine and time spent in suspend counts, so that two processes of one boot
/// may compare their values. Elsewhere the origin is the first look at the clock.
pub type Monotonic = Duration;

/// What a [`Clock::sleep`] returns.
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Time as the edge of the library sees it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The monotonic clock; it never goes back.
    fn monotonic(&self) -> Monotonic;

    /// The wall clock; it may be set, forwards and backwards.
    fn wall(&self) -> SystemTime;

    /// Waits for `duration`. Dropping the future ends the wait.
    fn sleep(&self, duration: Duration) -> Sleep<'_>;

    /// The wall clock in whole Unix seconds, rounded down.
    fn unix_seconds(&self) -> i64 {
        unix_seconds(self.wall())
    }
}

/// `time` in whole Unix seconds, rounded down; negative before 1970.
#[must_use]
pub fn unix_seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            -whole - i64::from(before.subsec_nanos() > 0)
        }
    }
}

/// `time` in whole Unix milliseconds; negative before 1970.
#[must_use]
pub fn unix_millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[allow(clippy::disallowed_methods)] // here and nowhere else
impl Clock for SystemClock {
    #[cfg(target_os = "linux")]
    fn monotonic(&self) -> Monotonic {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    #[cfg(not(target_os = "linux"))]
    fn monotonic(&self) -> Monotonic {
        static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        ORIGIN.get_or_init(std::time::Instant::now).elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Blocks this thread for `duration`, where nothing else runs on it.
#[cfg(feature = "sqlite")]
#[allow(clippy::disallowed_methods)] // here and nowhere else
pub(crate) fn block(duration: Duration) {
    std::thread::sleep(duration);
}

/// A clock for tests: it stands still until it is told to move, and a sleep moves it at once and is remembered.
///
/// ```
/// use form_usage_events::clock::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::at_unix(1_626_350_430);
/// clock.advance(Duration::from_secs(2));
/// assert_eq!(clock.unix_seconds(), 1_626_350_432);
/// ```
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualState>,
}

#[derive(Debug)]
struct ManualState {
    monotonic: Monotonic,
    wall: SystemTime,
    sleeps: Vec<Duration>,
}

impl ManualClock {
    /// A clock whose wall shows `seconds` since 1970 and whose monotonic side shows zero.
    #[must_use]
    pub fn at_unix(seconds: u64) -> Self {
        Self {
            state: Mutex::new(ManualState {
                monotonic: Duration::ZERO,
                wall: UNIX_EPOCH + Duration::from_secs(seconds),
                sleeps: Vec::new(),
            }),
        }
    }

    /// Moves both sides forward.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        state.monotonic += by;
        state.wall += by;
    }

    /// Sets the wall side alone, as an administrator or a time server does.
    pub fn set_wall(&self, to: SystemTime) {
        self.lock().wall = to;
    }

    /// The sleeps that were asked for so far, in order.
    #[must_use]
    pub fn sleeps(&self) -> Vec<Duration> {
        self.lock().sleeps.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ManualState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn monotonic(&self) -> Monotonic {
        self.lock().monotonic
    }

    fn wall(&self) -> SystemTime {
        self.lock().wall
    }

    fn sleep(&self, duration: Duration) -> Sleep<'_> {
        Box::pin(async move {
            self.lock().sleeps.push(duration);
            self.advance(duration);
            tokio::task::yield_now().await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_before_1970_round_down() {
        assert_eq!(unix_seconds(UNIX_EPOCH - Duration::from_millis(500)), -1);
        assert_eq!(unix_seconds(UNIX_EPOCH - Duration::from_secs(2)), -2);
        assert_eq!(unix_seconds(UNIX_EPOCH + Duration::from_millis(1999)), 1);
    }

    #[tokio::test]
    async fn a_manual_sleep_moves_both_sides_and_is_remembered() {
        let clock = ManualClock::at_unix(100);
        clock.sleep(Duration::from_secs(3)).await;
        assert_eq!(clock.monotonic(), Duration::from_secs(3));
        assert_eq!(clock.unix_seconds(), 103);
        assert_eq!(clock.sleeps(), [Duration::from_secs(3)]);
    }

    #[test]
    fn the_system_clock_does_not_go_back() {
        let first = SystemClock.monotonic();
        assert!(SystemClock.monotonic() >= first);
    }
}
