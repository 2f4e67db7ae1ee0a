//! How long a client kept its GPU busy: its engines added up. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fdinfo;
use crate::clock::Monotonic;
use crate::collect::GpuTime;

/// One client's time.
#[derive(Debug)]
pub(super) struct Account {
    engines: BTreeMap<String, Engine>,
    /// Whether what it did before its first look counts.
    from_zero: bool,
    /// What it had used before it came to the instance.
    before: Duration,
    /// When it was last seen.
    pub(super) seen: Monotonic,
}

#[derive(Debug, Default)]
struct Engine {
    /// Nanoseconds of the whole kind: with two engines of it, a second of one is half a second.
    busy: u64,
    cycles: Option<Cycles>,
}

/// Where a count of cycles began.
#[derive(Debug, Clone, Copy)]
struct Cycles {
    at: Monotonic,
    total: u64,
    own: u64,
}

impl Account {
    /// `from_zero`: the client was opened since the look before, so that all it shows is new.
    pub(super) const fn new(from_zero: bool) -> Self {
        Self { engines: BTreeMap::new(), from_zero, before: Duration::ZERO, seen: Duration::ZERO }
    }

    /// Takes in what the kernel says at `at`.
    pub(super) fn look(&mut self, client: &fdinfo::Client<'_>, at: Monotonic) {
        self.seen = at;
        for (name, said) in &client.engines {
            if !self.engines.contains_key(*name) {
                self.engines.insert((*name).to_owned(), Engine::default());
            }
            let Some(engine) = self.engines.get_mut(*name) else { continue };
            let busy = match (said.busy, said.cycles, said.total_cycles) {
                (Some(busy), _, _) => busy,
                (None, Some(cycles), Some(total)) => {
                    let own = if self.from_zero { 0 } else { cycles };
                    engine.cycles.get_or_insert(Cycles { at, total, own }).busy(cycles, total, at)
                }
                _ => continue,
            };
            // A driver may be behind what it said before; what it said stays until it has caught up.
            engine.busy = engine.busy.max(busy / said.capacity());
        }
    }

    /// What it shows now was consumed elsewhere.
    pub(super) fn came_with(&mut self) {
        self.before = self.used();
    }

    pub(super) fn time(&self) -> GpuTime {
        GpuTime { used: self.used(), before: self.before }
    }

    fn used(&self) -> Duration {
        let nanos = self.engines.values().fold(0u64, |sum, engine| sum.saturating_add(engine.busy));
        Duration::from_nanos(nanos)
    }
}

impl Cycles {
    /// Nanoseconds of the client's cycles since this one. The GPU's clock runs evenly, at a rate that the two clocks
    /// give together, the better the longer both have run.
    fn busy(&self, own: u64, total: u64, at: Monotonic) -> u64 {
        let (Some(passed), Some(ticks)) = (at.checked_sub(self.at), total.checked_sub(self.total)) else { return 0 };
        if ticks == 0 {
            return 0;
        }
        let nanos = u128::from(own.saturating_sub(self.own)) * passed.as_nanos() / u128::from(ticks);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(account: &mut Account, seconds: u64, text: &str) -> u128 {
        let text = format!("drm-client-id: 1\n{text}");
        account.look(&fdinfo::client(&text).unwrap(), Duration::from_secs(seconds));
        account.time().used.as_millis()
    }

    #[test]
    fn engines_add_up_each_by_its_capacity() {
        let mut account = Account::new(true);
        let text = "drm-engine-render: 3000000000 ns\ndrm-engine-video: 1000000000 ns\ndrm-engine-capacity-video: 4";
        assert_eq!(look(&mut account, 1, text), 3250);
    }

    #[test]
    fn a_driver_that_lags_takes_nothing_back() {
        let mut account = Account::new(true);
        assert_eq!(look(&mut account, 1, "drm-engine-gfx: 5000000000 ns"), 5000);
        assert_eq!(look(&mut account, 2, "drm-engine-gfx: 4000000000 ns"), 5000);
        assert_eq!(look(&mut account, 3, "drm-engine-gfx: 6000000000 ns"), 6000);
    }

    #[test]
    fn cycles_are_time_by_the_clock_of_the_gpu() {
        let text = |own: u64, total: u64| format!("drm-cycles-rcs: {own}\ndrm-total-cycles-rcs: {total}");
        // A clock of 20 MHz: half busy for ten seconds.
        let mut old = Account::new(false);
        assert_eq!(look(&mut old, 10, &text(40_000_000, 1_000_000_000)), 0);
        assert_eq!(look(&mut old, 20, &text(140_000_000, 1_200_000_000)), 5000);
        let mut new = Account::new(true);
        assert_eq!(look(&mut new, 10, &text(40_000_000, 1_000_000_000)), 0, "the rate is not known yet");
        assert_eq!(look(&mut new, 20, &text(140_000_000, 1_200_000_000)), 7000);
        assert_eq!(look(&mut new, 30, &text(140_000_000, 1_400_000_000)), 7000);
    }
}
