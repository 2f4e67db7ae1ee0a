//! The sums of one row while it grows, in little memory: a report may have millions of rows.

use super::exact::ExactSums;
use super::figures::{Figures, MEASURES, Peak, Peaks, UNKNOWN};
use super::names::Names;
use crate::events::{MetricSet, UsageEvent, UsagePeriod};
use crate::units::BYTES_PER_MB;

/// The numbers of the sums that are no whole numbers; memory and storage are GB times seconds.
const MEMORY: usize = 0;
const STORAGE: usize = 1;
const EGRESS: usize = 2;
const INGRESS: usize = 3;

/// The sums of a group while it grows.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) covered: u64,
    pub(super) gap: u64,
    pub(super) overlap: u64,
    cpu: WholeSeconds,
    gpu: WholeSeconds,
    sums: ExactSums<4>,
    /// What some of the events could not measure.
    not_metered: MetricSet,
    /// Of `events`, where there is one.
    tops: Tops,
}

/// A sum of whole seconds, in 96 bits, where it stays at its end.
#[derive(Debug, Clone, Copy, Default)]
struct WholeSeconds([u32; 3]);

impl WholeSeconds {
    fn value(self) -> u128 {
        self.0.iter().rev().fold(0, |value, digits| value << 32 | u128::from(*digits))
    }

    #[allow(clippy::cast_possible_truncation)] // taken apart on purpose
    fn add(&mut self, seconds: u128) {
        let sum = self.value().saturating_add(seconds).min((1 << 96) - 1);
        self.0 = [sum as u32, (sum >> 32) as u32, (sum >> 64) as u32];
    }
}

/// The highest figures of a group that has an event.
#[derive(Debug, Clone, Default)]
struct Tops {
    values: [f64; MEASURES],
    /// When the period of each began.
    times: [Time; MEASURES],
    /// Whose they are, where `instances` does not say.
    instance: u32,
    /// Whose each is, where they are of several instances.
    instances: Option<Box<[u32; MEASURES]>>,
}

/// Unix seconds in 40 bits: the years 1970 to 36812.
#[derive(Debug, Clone, Copy, Default)]
struct Time([u8; 5]);

impl Time {
    fn of(seconds: i64) -> Self {
        let [one, two, three, four, five, ..] = seconds.clamp(0, (1 << 40) - 1).to_le_bytes();
        Self([one, two, three, four, five])
    }

    fn seconds(self) -> i64 {
        let [one, two, three, four, five] = self.0;
        i64::from_le_bytes([one, two, three, four, five, 0, 0, 0])
    }
}

#[derive(Debug, Clone, Copy)]
struct Top {
    value: f64,
    at: i64,
    instance: u32,
}

impl Tops {
    fn get(&self, measure: usize) -> Top {
        let instance = self.instances.as_ref().map_or(self.instance, |instances| instances[measure]);
        Top { value: self.values[measure], at: self.times[measure].seconds(), instance }
    }

    fn set(&mut self, measure: usize, top: Top) {
        self.values[measure] = top.value;
        self.times[measure] = Time::of(top.at);
        if let Some(instances) = &mut self.instances {
            instances[measure] = top.instance;
        } else if top.instance != self.instance {
            let mut instances = Box::new([self.instance; MEASURES]);
            instances[measure] = top.instance;
            self.instances = Some(instances);
        }
    }

    /// Keeps the higher of two, the earlier of two equal ones, the first by name of two at one time: whatever came first.
    fn raise(&mut self, measure: usize, top: Top, names: &Names) {
        let old = self.get(measure);
        let order = |it: Top| (it.at, names.name(it.instance));
        if top.value > old.value || (top.value == old.value && order(top) < order(old)) {
            self.set(measure, top);
        }
    }
}

/// The part of an event's period that falls into a group: `[from, to)` within it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Tally {
    /// Adds what an event consumed in a part of its period. What several parts have of it adds up to the whole, to the
    /// last second and byte: each part gets what is due by its end less what was due by its start.
    pub(super) fn add(&mut self, event: &UsageEvent, part: Part) {
        let share = Share { period: event.period, part };
        let metrics = &event.metrics;
        self.cpu.add(share.whole(metrics.cpu_seconds));
        self.gpu.add(share.whole(metrics.gpu_seconds));
        let seconds = part.to.abs_diff(part.from);
        self.sums.add_product(MEMORY, metrics.memory_gb, seconds);
        self.sums.add_product(STORAGE, metrics.storage_gb, seconds);
        share.bytes(metrics.network_egress_mb, &mut self.sums, EGRESS);
        share.bytes(metrics.network_ingress_mb, &mut self.sums, INGRESS);
    }

    /// Notes what an event could not measure.
    pub(super) const fn note_not_metered(&mut self, metrics: MetricSet) {
        self.not_metered = self.not_metered.union(metrics);
    }

    /// Counts an event and its peaks; what is [`UNKNOWN`] is none.
    pub(super) fn count(&mut self, measured: &[f64; MEASURES], at: i64, instance: u32, names: &Names) {
        if self.events == 0 {
            self.tops = Tops { values: *measured, times: [Time::of(at); MEASURES], instance, instances: None };
        } else {
            for (measure, value) in measured.iter().enumerate() {
                self.tops.raise(measure, Top { value: *value, at, instance }, names);
            }
        }
        self.events += 1;
    }

    /// Adds another group.
    pub(super) fn merge(&mut self, other: &Self, names: &Names) {
        self.covered = self.covered.saturating_add(other.covered);
        self.gap = self.gap.saturating_add(other.gap);
        self.overlap = self.overlap.saturating_add(other.overlap);
        self.cpu.add(other.cpu.value());
        self.gpu.add(other.gpu.value());
        self.sums.merge(&other.sums);
        self.note_not_metered(other.not_metered);
        if self.events == 0 {
            self.tops = other.tops.clone();
        } else if other.events > 0 {
            (0..MEASURES).for_each(|measure| self.tops.raise(measure, other.tops.get(measure), names));
        }
        self.events += other.events;
    }

    pub(super) fn figures(&self, names: &Names) -> Figures {
        let peak = |measure: usize| {
            let top = self.tops.get(measure);
            (self.events > 0 && top.value > UNKNOWN).then(|| Peak {
                value: top.value,
                at: top.at,
                instance_id: names.name(top.instance).to_owned(),
            })
        };
        Figures {
            events: self.events,
            covered_seconds: self.covered,
            gap_seconds: self.gap,
            overlap_seconds: self.overlap,
            cpu_seconds: self.cpu.value(),
            gpu_seconds: self.gpu.value(),
            memory_gb_hours: self.sums.value(MEMORY) / 3600.0,
            storage_gb_hours: self.sums.value(STORAGE) / 3600.0,
            network_egress_mb: self.sums.value(EGRESS),
            network_ingress_mb: self.sums.value(INGRESS),
            peaks: Peaks {
                cpu_percent: peak(0),
                cpus: peak(1),
                memory_gb: peak(2),
                memory_percent: peak(3),
                storage_gb: peak(4),
                network_egress_mb_per_second: peak(5),
                network_ingress_mb_per_second: peak(6),
                gpus: peak(7),
            },
            not_metered: self.not_metered,
        }
    }
}

/// How much of an event falls into a part of its period.
struct Share {
    period: UsagePeriod,
    part: Part,
}

impl Share {
    /// Whole units: what is due by the part's end, rounded down, less what is due by its start.
    fn whole(&self, amount: u64) -> u128 {
        let length = u128::from(self.period.end.abs_diff(self.period.start)).max(1);
        let due = |at: i64| u128::from(amount) * u128::from(at.abs_diff(self.period.start)) / length;
        due(self.part.to) - due(self.part.from)
    }

    /// The same for MB, in whole bytes; what there is beyond a whole byte goes with the last part.
    fn bytes(&self, amount: f64, sums: &mut ExactSums<4>, sum: usize) {
        sums.add(sum, self.due(amount, self.part.to));
        sums.add(sum, -self.due(amount, self.part.from));
    }

    #[allow(clippy::cast_precision_loss)]
    fn due(&self, amount: f64, at: i64) -> f64 {
        let length = self.period.end.abs_diff(self.period.start);
        let passed = at.abs_diff(self.period.start);
        if passed == 0 || !amount.is_finite() {
            0.0
        } else if passed >= length {
            amount
        } else {
            let mb = BYTES_PER_MB as f64;
            let due = amount * (passed as f64 / length as f64);
            // Beyond 2^53 bytes a float has no fractions of them.
            if due < 8e9 { (due * mb).floor() / mb } else { due }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::any_event;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(event in any_event(), cuts in proptest::collection::vec(0.0..1.0f64, 0..6)) {
            let UsagePeriod { start, end } = event.period;
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
            let mut edges: Vec<i64> = cuts.iter().map(|cut| start + ((end - start) as f64 * cut) as i64).collect();
            edges.extend([start, end]);
            edges.sort_unstable();
            let (mut whole, mut parts) = (Tally::default(), Tally::default());
            whole.add(&event, Part { from: start, to: end });
            for pair in edges.windows(2).filter(|pair| pair[0] < pair[1]) {
                let mut part = Tally::default();
                part.add(&event, Part { from: pair[0], to: pair[1] });
                prop_assert!(part.figures(&Names::default()).network_egress_mb >= 0.0);
                parts.merge(&part, &Names::default());
            }
            prop_assert_eq!(parts.figures(&Names::default()), whole.figures(&Names::default()));
        }
    }

    #[test]
    fn whole_seconds_beyond_64_bits_are_exact() {
        let mut seconds = WholeSeconds::default();
        seconds.add(u128::from(u64::MAX));
        seconds.add(u128::from(u64::MAX));
        assert_eq!(seconds.value(), 2 * u128::from(u64::MAX));
        seconds.add(u128::MAX);
        assert_eq!(seconds.value(), (1 << 96) - 1);
    }

    #[test]
    fn a_peak_keeps_its_time_and_its_instance() {
        let mut names = Names::default();
        let numbers = ["b", "a"].map(|name| names.number(name));
        let (mut first, mut second) = (Tally::default(), Tally::default());
        first.count(&[1.0; MEASURES], 5_000_000_000, numbers[0], &names);
        let mut higher = [1.0; MEASURES];
        higher[2] = 2.0;
        second.count(&higher, 5_000_000_000, numbers[1], &names);
        first.merge(&second, &names);
        let peaks = first.figures(&names).peaks;
        let peak = |value, instance: &str| Some(Peak { value, at: 5_000_000_000, instance_id: instance.into() });
        assert_eq!(peaks.memory_gb, peak(2.0, "a"));
        assert_eq!(peaks.gpus, peak(1.0, "a"), "of two at one time the first by name");
        second.merge(&Tally::default(), &names);
        assert_eq!(second.figures(&names).peaks.gpus, peak(1.0, "a"));
        let mut unknown = Tally::default();
        unknown.count(&[UNKNOWN; MEASURES], 0, numbers[0], &names);
        assert_eq!(unknown.figures(&names).peaks, Peaks::default());
        unknown.merge(&second, &names);
        assert_eq!(unknown.figures(&names).peaks.gpus, peak(1.0, "a"));
    }
}
