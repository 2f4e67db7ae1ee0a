//! The figures of a report, as they are given out.

use serde::Serialize;

use crate::events::{MetricSet, UsageEvent};

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
    /// Metrics that some of the events name as not metered: the figures from them are lower bounds.
    #[serde(skip_serializing_if = "MetricSet::is_empty")]
    pub not_metered: MetricSet,
}

impl Figures {
    /// A figure as people read it: `shown`, or that it is unknown, where some of the events could not measure one of
    /// `metrics`.
    #[must_use]
    pub fn known(&self, metrics: MetricSet, shown: &str) -> String {
        let is_zero = !shown.contains(|char: char| matches!(char, '1'..='9'));
        match (self.not_metered.intersects(metrics), is_zero) {
            (false, _) => shown.to_owned(),
            (true, true) => "?".to_owned(),
            (true, false) => format!("\u{2265}{shown}"),
        }
    }

    /// What stands for a figure that no event metered: that it is unknown. `None` where none could lack it.
    #[must_use]
    pub const fn unknown(&self, metrics: MetricSet) -> Option<&'static str> {
        if self.not_metered.intersects(metrics) { Some("?") } else { None }
    }
}

/// The highest figures of single events; `None` where there is no event that metered it. Of equal ones the first.
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

/// The metrics that they come from.
const METRICS: [MetricSet; MEASURES] = [
    MetricSet::at(1),
    MetricSet::at(0),
    MetricSet::at(2),
    MetricSet::at(3),
    MetricSet::at(4),
    MetricSet::at(5),
    MetricSet::at(6),
    MetricSet::at(7),
];

/// Stands for a figure that was not metered at all.
pub(super) const UNKNOWN: f64 = f64::NEG_INFINITY;

/// `measured`, with [`UNKNOWN`] where the event could not measure it. What is more than 0 is a lower bound.
pub(super) fn known_measures(measured: &[f64; MEASURES], not_metered: MetricSet) -> [f64; MEASURES] {
    std::array::from_fn(|at| {
        let is_unknown = measured[at] == 0.0 && METRICS[at].intersects(not_metered);
        if is_unknown { UNKNOWN } else { measured[at] }
    })
}

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
