//! Heuristics: figures that are possible in JSON and in no machine, and what they probably are. All are warnings.

use super::id_characters::{IdOddity, id_oddity};
use super::implausible::Implausible;
use super::rules::{Field, MILLISECONDS_FROM, Seconds, Values, number};
use super::{Code, Finding, Place};
use crate::events::UsagePeriod;
use crate::units::rfc3339;

/// Above this number of CPUs in one instance, something other than the CPU seconds of the period was counted. Both the
/// CPUs that were busy and those that there must be, going by `cpu_percent_avg`, are held against it.
const MAX_CPUS: f64 = 1024.0;
/// CPU time below this is never judged by the percentage: rounding would tell.
const LEAST_JUDGED_SECONDS: u64 = 1000;
/// What a percentage that is smaller may have been before it was rounded.
const LEAST_PERCENT: f64 = 0.1;
const MAX_GPUS: f64 = 64.0;
const MAX_MEMORY_GB: f64 = 1e6;
const MAX_STORAGE_GB: f64 = 1e9;
/// 1 Tbit/s.
const MAX_MB_A_SECOND: f64 = 125_000.0;
/// The longest plausible period. `collect --state` writes one event for the time in which it did not run, and that may
/// well be days; a month of downtime is rarer than a clock or a `start` that is wrong.
const MAX_PERIOD_SECONDS: u64 = 31 * 86_400;
/// 2000-01-01T00:00:00Z, in Unix seconds. What begins before it comes from a clock that was never set, or a default of 0.
const EARLIEST_START: i64 = 946_684_800;

/// Something odd about a figure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Oddity {
    pub(super) field: Field,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// CPU or GPU time that would take this many processors; `percent` is the share of them that was busy.
    Time { value: u64, processors: f64, what: &'static str, percent: Option<f64> },
    /// Larger than there is.
    Size { value: f64, unit: &'static str, bytes: f64 },
    /// A period that is too long, or begins too early.
    Period(UsagePeriod),
    /// An id that people can't read or tell from another one.
    Id(IdOddity),
}

/// Whether `period` is longer than 31 days or begins before the year 2000: its start or its clock is probably wrong.
/// Periods that do not end after their start, or begin before 1970, are errors of their own.
pub(crate) const fn is_period_implausible(period: UsagePeriod) -> bool {
    period.end > period.start
        && period.start >= 0
        && (period.start < EARLIEST_START || period.end.abs_diff(period.start) > MAX_PERIOD_SECONDS)
}

/// Tells `report` what is odd about `values`.
#[allow(clippy::cast_precision_loss)] // more or less is all that is asked
pub(super) fn oddities(values: &Values<'_>, mut report: impl FnMut(Oddity)) {
    let ids = [(Field::InstanceId, values.instance_id), (Field::UserId, values.user_id), (Field::OrgId, values.org_id)];
    for (field, id) in ids {
        if let Some(oddity) = id.and_then(id_oddity) {
            report(Oddity { field, kind: Kind::Id(oddity) });
        }
    }
    let sizes =
        [(Field::MemoryGb, values.memory_gb, MAX_MEMORY_GB), (Field::StorageGb, values.storage_gb, MAX_STORAGE_GB)];
    for (field, value, most) in sizes {
        if let Some(value) = value.filter(|value| *value > most && value.is_finite()) {
            report(Oddity { field, kind: Kind::Size { value, unit: "GB", bytes: 1_073_741_824.0 } });
        }
    }
    let (Some(start), Some(end)) = (values.start, values.end) else {
        return;
    };
    if start >= end || start < 0 {
        return;
    }
    // Times in milliseconds have findings of their own.
    if end < MILLISECONDS_FROM && is_period_implausible(UsagePeriod { start, end }) {
        report(Oddity { field: Field::Start, kind: Kind::Period(UsagePeriod { start, end }) });
    }
    let seconds = end.saturating_sub(start) as f64;
    for (field, value) in
        [(Field::NetworkEgressMb, values.network_egress_mb), (Field::NetworkIngressMb, values.network_ingress_mb)]
    {
        if let Some(value) = value.filter(|value| *value > MAX_MB_A_SECOND * seconds && value.is_finite()) {
            report(Oddity { field, kind: Kind::Size { value, unit: "MB", bytes: 1_048_576.0 } });
        }
    }
    if let Some(value) = values.cpu_seconds {
        let cpus = value as f64 / seconds;
        let by_percentage = values
            .cpu_percent_avg
            .filter(|percent| (0.0..=100.0).contains(percent) && value >= LEAST_JUDGED_SECONDS)
            .map(|percent| (cpus * 100.0 / percent.max(LEAST_PERCENT), Some(percent)));
        let beyond = [Some((cpus, None)), by_percentage].into_iter().flatten().find(|(cpus, _)| *cpus > MAX_CPUS);
        if let Some((processors, percent)) = beyond {
            report(Oddity { field: Field::CpuSeconds, kind: Kind::Time { value, processors, what: "CPUs", percent } });
        }
    }
    if let Some(value) = values.gpu_seconds {
        let processors = value as f64 / seconds;
        if processors > MAX_GPUS {
            report(Oddity {
                field: Field::GpuSeconds,
                kind: Kind::Time { value, processors, what: "GPUs", percent: None },
            });
        }
    }
}

/// Whether [`oddities`] has certainly nothing to say about the period and the figures, going by whole figures alone: what
/// stands in front of the points. `start` is not negative and `seconds` is more than 0.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // constants that are whole and small
pub(super) const fn certainly_plausible(
    start: i64,
    seconds: u64,
    [cpu_seconds, cpu_percent, gpu_seconds]: [u64; 3],
    [memory_gb, storage_gb, egress_mb, ingress_mb]: [u64; 4],
) -> bool {
    let room = (MAX_CPUS as u64).saturating_mul(seconds).saturating_mul(cpu_percent);
    start >= EARLIEST_START
        && seconds <= MAX_PERIOD_SECONDS
        && (cpu_seconds < LEAST_JUDGED_SECONDS || cpu_seconds.saturating_mul(100) <= room)
        && gpu_seconds <= MAX_GPUS as u64
        && memory_gb < MAX_MEMORY_GB as u64
        && storage_gb < MAX_STORAGE_GB as u64
        && egress_mb < MAX_MB_A_SECOND as u64
        && ingress_mb < MAX_MB_A_SECOND as u64
}

impl Oddity {
    /// What it is, without words.
    pub(super) const fn implausible(&self) -> Implausible {
        Implausible::field(self.field)
    }

    /// The finding, with a place that has only the pointer.
    pub(super) fn into_finding(self) -> Finding {
        let name = self.field.name();
        let finding = match self.kind {
            Kind::Time { value, processors, what, percent } => {
                let at = percent.map(|percent| format!(" at {} %", number(percent))).unwrap_or_default();
                let message = format!("`{name}` would take {} {what}{at}", processors.ceil());
                Finding::warning(Code::ImplausibleTime, message).found(value.to_string()).help(format!(
                    "it looks like milliseconds ({value} ms are {} s) or a total since boot; send the seconds of this period",
                    value / 1000
                ))
            }
            Kind::Size { value, unit, bytes } => {
                let message = format!("`{name}` is more than there is");
                Finding::warning(Code::ImplausibleSize, message).found(number(value)).help(format!(
                    "it looks like bytes: {} bytes are {} {unit}",
                    number(value),
                    (value / bytes * 100.0).round() / 100.0
                ))
            }
            Kind::Period(period) => period_finding(period),
            Kind::Id(oddity) => oddity.finding(name),
        };
        finding.at(Place::pointer(self.field.pointer()))
    }
}

fn period_finding(UsagePeriod { start, end }: UsagePeriod) -> Finding {
    let time = |seconds: i64| rfc3339(seconds).unwrap_or_else(|| seconds.to_string());
    let length = Seconds(end.saturating_sub(start));
    let (message, expected) = if start < EARLIEST_START {
        (format!("the period begins before the year 2000 and is {length} long"), "the start of what was metered")
    } else {
        // Days alone would not tell it from the most that there may be.
        let seconds = end.saturating_sub(start);
        (format!("the period is {length} ({seconds} s) long"), "at most 31 days (2678400 s)")
    };
    Finding::warning(Code::ImplausiblePeriod, message)
        .found(format!("{start} to {end} ({} to {})", time(start), time(end)))
        .expected(expected)
        .help("check the clock of the meter, and that `start` is where the period before ended")
}
