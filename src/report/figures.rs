//! The figures of a report: how they are summed up, and how they are given out.

use serde::Serialize;

use super::exact::ExactSum;
use crate::events::{UsageEvent, UsagePeriod};
use crate::units::BYTES_PER_MB;

/// What a group consumed. 1 GB is 2^30 bytes, 1 MB is 2^20 bytes.
///
/// Times of several instances add up: two that were metered for an hour have a `covered_seconds` of 7200.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Events, each counted where its period begins.
    pub events: u64,
    /// Time covered by at least one period of an instance.
    pub covered_seconds: u64,
    /// Time between two periods of an instance that no period covers: it was not metered.
    pub gap_seconds: u64,
    /// Time that further periods of an instance cover once more: it was metered twice.
    pub overlap_seconds: u64,
    /// CPU time.
    pub cpu_seconds: u128,
    /// GPU time.
    pub gpu_seconds: u128,
    /// Memory in use times the hours that it was in use.
    pub memory_gb_hours: f64,
    /// Storage in use times the hours that it was in use.
    pub storage_gb_hours: f64,
    /// Bytes sent, in MB.
    pub network_egress_mb: f64,
    /// Bytes received, in MB.
    pub network_ingress_mb: f64,
    /// The highest figures of single events.
    pub peaks: Peaks,
}

/// The highest figures of single events; `None` where there is no event. Of equal ones the first.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Peaks {
    /// `cpu_percent_avg`.
    pub cpu_percent: Option<Peak>,
    /// CPU seconds a second.
    pub cpus: Option<Peak>,
    /// `memory_gb`.
    pub memory_gb: Option<Peak>,
    /// `memory_percent`.
    pub memory_percent: Option<Peak>,
    /// `storage_gb`.
    pub storage_gb: Option<Peak>,
    /// MB sent a second.
    pub network_egress_mb_per_second: Option<Peak>,
    /// MB received a second.
    pub network_ingress_mb_per_second: Option<Peak>,
    /// GPU seconds a second.
    pub gpus: Option<Peak>,
}

/// The highest figure of a kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Peak {
    /// The figure: an average over the event's period.
    pub value: f64,
    /// When that period began, in Unix seconds.
    pub at: i64,
    /// Whose it is.
    pub instance_id: String,
}

/// How many figures have peaks and plots.
pub(super) const MEASURES: usize = 8;

/// The figures of an event that are averages or rates, in the order of the fields of [`Peaks`].
#[allow(clippy::cast_precision_loss)] // exact up to 2^53 seconds
pub(super) fn measures(event: &UsageEvent) -> [f64; MEASURES] {
    let metrics = &event.metrics;
    let seconds = event.period.end.saturating_sub(event.period.start).max(1) as f64;
    [
        metrics.cpu_percent_avg,
        metrics.cpu_seconds as f64 / seconds,
        metrics.memory_gb,
        metrics.memory_percent,
        metrics.storage_gb,
        metrics.network_egress_mb / seconds,
        metrics.network_ingress_mb / seconds,
        metrics.gpu_seconds as f64 / seconds,
    ]
}

/// The sums of a group while it grows.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) covered: u64,
    pub(super) gap: u64,
    pub(super) overlap: u64,
    cpu: u128,
    gpu: u128,
    /// GB times seconds.
    memory: ExactSum,
    storage: ExactSum,
    egress: ExactSum,
    ingress: ExactSum,
    peaks: [Option<Top>; MEASURES],
}

#[derive(Debug, Clone, Copy)]
struct Top {
    value: f64,
    at: i64,
    instance: u32,
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
        self.cpu = self.cpu.saturating_add(share.whole(metrics.cpu_seconds));
        self.gpu = self.gpu.saturating_add(share.whole(metrics.gpu_seconds));
        let seconds = part.to.abs_diff(part.from);
        self.memory.add_product(metrics.memory_gb, seconds);
        self.storage.add_product(metrics.storage_gb, seconds);
        share.bytes(metrics.network_egress_mb, &mut self.egress);
        share.bytes(metrics.network_ingress_mb, &mut self.ingress);
    }

    /// Counts an event and its peaks.
    pub(super) fn count(&mut self, measured: &[f64; MEASURES], at: i64, instance: u32, names: &[Box<str>]) {
        self.events += 1;
        for (peak, value) in self.peaks.iter_mut().zip(measured) {
            raise(peak, Top { value: *value, at, instance }, names);
        }
    }

    /// Adds another group.
    pub(super) fn merge(&mut self, other: &Self, names: &[Box<str>]) {
        self.events += other.events;
        self.covered = self.covered.saturating_add(other.covered);
        self.gap = self.gap.saturating_add(other.gap);
        self.overlap = self.overlap.saturating_add(other.overlap);
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.gpu = self.gpu.saturating_add(other.gpu);
        self.memory.merge(&other.memory);
        self.storage.merge(&other.storage);
        self.egress.merge(&other.egress);
        self.ingress.merge(&other.ingress);
        for (peak, top) in self.peaks.iter_mut().zip(other.peaks) {
            if let Some(top) = top {
                raise(peak, top, names);
            }
        }
    }

    pub(super) fn figures(&self, names: &[Box<str>]) -> Figures {
        let mut peaks = self.peaks.iter().map(|top| {
            top.map(|top| Peak { value: top.value, at: top.at, instance_id: name(names, top.instance).to_owned() })
        });
        let mut next = || peaks.next().flatten();
        Figures {
            events: self.events,
            covered_seconds: self.covered,
            gap_seconds: self.gap,
            overlap_seconds: self.overlap,
            cpu_seconds: self.cpu,
            gpu_seconds: self.gpu,
            memory_gb_hours: self.memory.value() / 3600.0,
            storage_gb_hours: self.storage.value() / 3600.0,
            network_egress_mb: self.egress.value(),
            network_ingress_mb: self.ingress.value(),
            peaks: Peaks {
                cpu_percent: next(),
                cpus: next(),
                memory_gb: next(),
                memory_percent: next(),
                storage_gb: next(),
                network_egress_mb_per_second: next(),
                network_ingress_mb_per_second: next(),
                gpus: next(),
            },
        }
    }
}

/// The name with this number.
pub(super) fn name(names: &[Box<str>], number: u32) -> &str {
    usize::try_from(number).ok().and_then(|number| names.get(number)).map_or("", |name| name)
}

/// The higher of two, the earlier of two equal ones, the first by name of two at one time: whatever came first.
fn raise(peak: &mut Option<Top>, top: Top, names: &[Box<str>]) {
    let higher = peak.is_none_or(|old| {
        top.value > old.value
            || (top.value == old.value && (top.at, name(names, top.instance)) < (old.at, name(names, old.instance)))
    });
    if higher {
        *peak = Some(top);
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
    fn bytes(&self, amount: f64, sum: &mut ExactSum) {
        sum.add(self.due(amount, self.part.to));
        sum.add(-self.due(amount, self.part.from));
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
                prop_assert!(part.figures(&[]).network_egress_mb >= 0.0);
                parts.merge(&part, &[]);
            }
            prop_assert_eq!(parts.figures(&[]), whole.figures(&[]));
        }
    }
}
