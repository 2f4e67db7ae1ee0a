//! Counters that are never reset: a metric that only grows is a total since boot, and not what a period consumed.

/// So many times in a row a metric grows, without ever shrinking, before it is told. What is consumed in a period goes up
/// and down.
pub const MAX_GROWTH: u8 = 32;

/// The metrics of a period that count something.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counters {
    /// `cpu_seconds`.
    pub cpu_seconds: u64,
    /// `gpu_seconds`.
    pub gpu_seconds: u64,
    /// `network_egress_mb`.
    pub network_egress_mb: f64,
    /// `network_ingress_mb`.
    pub network_ingress_mb: f64,
}

const NAMES: [&str; 4] = ["cpu_seconds", "gpu_seconds", "network_egress_mb", "network_ingress_mb"];

impl Counters {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // more or less is all that is asked
    const fn values(&self) -> [f32; 4] {
        [
            self.cpu_seconds as f32,
            self.gpu_seconds as f32,
            self.network_egress_mb as f32,
            self.network_ingress_mb as f32,
        ]
    }
}

/// What the counters of one instance have done so far.
#[derive(Debug)]
pub(in crate::validate) struct Growth {
    last: [f32; 4],
    /// How many times in a row each has grown. Staying equal, as when idle, says nothing.
    grown: [u8; 4],
}

impl Growth {
    pub(in crate::validate) const fn new(counters: &Counters) -> Self {
        Self { last: counters.values(), grown: [0; 4] }
    }

    /// Which metrics grew now and as often in a row as no consumption does, in the order of [`Counters`]. Not to be mixed
    /// with [`Growth::observe`], which tells each once.
    pub(in crate::validate) fn running_totals(&mut self, counters: &Counters) -> [bool; 4] {
        let values = counters.values();
        let mut running = [false; 4];
        for (((last, grown), value), running) in self.last.iter_mut().zip(&mut self.grown).zip(values).zip(&mut running)
        {
            if value > *last {
                *grown = grown.saturating_add(1).min(MAX_GROWTH);
                *running = *grown == MAX_GROWTH;
            } else if value < *last {
                *grown = 0;
            }
            *last = value;
        }
        running
    }

    /// Gives `report` each metric that has now grown too often; each is reported once.
    pub(super) fn observe(&mut self, counters: &Counters, mut report: impl FnMut(&'static str)) {
        let values = counters.values();
        for (((last, grown), value), name) in self.last.iter_mut().zip(&mut self.grown).zip(values).zip(NAMES) {
            if value > *last {
                *grown = grown.saturating_add(1).min(MAX_GROWTH + 1);
                if *grown == MAX_GROWTH {
                    report(name);
                }
            } else if value < *last && *grown <= MAX_GROWTH {
                *grown = 0;
            }
            *last = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(values: impl Iterator<Item = u64>) -> Vec<&'static str> {
        let mut growth = Growth::new(&Counters::default());
        let mut reported = Vec::new();
        for cpu_seconds in values {
            growth.observe(&Counters { cpu_seconds, ..Counters::default() }, |name| reported.push(name));
        }
        reported
    }

    #[test]
    fn each_metric_that_only_grows_is_named() {
        let mut growth = Growth::new(&Counters::default());
        let mut reported = Vec::new();
        for n in 1..100u32 {
            let mb = f64::from(n);
            let counters = Counters { network_egress_mb: mb, network_ingress_mb: mb * 2.0, ..Counters::default() };
            growth.observe(&counters, |name| reported.push(name));
        }
        assert_eq!(reported, ["network_egress_mb", "network_ingress_mb"]);
    }

    #[test]
    fn what_only_grows_is_told_once() {
        assert_eq!(told(1000..1000 + u64::from(MAX_GROWTH)), ["cpu_seconds"]);
        assert_eq!(told(1000..1100), ["cpu_seconds"]);
        assert!(told(1000..999 + u64::from(MAX_GROWTH)).is_empty());
        assert!(told((0..1000).map(|n| n % 31)).is_empty());
        assert!(told(std::iter::repeat_n(30, 1000)).is_empty());
    }

    #[test]
    fn a_running_total_is_one_with_every_event_that_grows() {
        let mut growth = Growth::new(&Counters::default());
        let mut running = |cpu_seconds| growth.running_totals(&Counters { cpu_seconds, ..Counters::default() })[0];
        assert!((1..u64::from(MAX_GROWTH)).all(|n| !running(n)));
        assert!((32..40).all(&mut running));
        assert!(!running(39), "idle");
        assert!(running(40));
        assert!(!running(3) && !running(4), "it shrank");
    }
}
