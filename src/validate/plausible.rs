//! Heuristics: figures that are possible in JSON and in no machine, and what they probably are. All are warnings.

use super::implausible::Implausible;
use super::rules::{Field, Values, number};
use super::{Code, Finding, Place};

/// Above so many CPUs at once, in one instance, something else was counted.
const MAX_CPUS: f64 = 4096.0;
/// The same, going by the percentage of its CPUs that an instance is said to have used.
const MAX_CPUS_BY_PERCENTAGE: f64 = 1536.0;
/// CPU time below this is never judged by the percentage: rounding would tell.
const LEAST_JUDGED_SECONDS: u64 = 1000;
const MAX_GPUS: f64 = 64.0;
const MAX_MEMORY_GB: f64 = 1e6;
const MAX_STORAGE_GB: f64 = 1e9;
/// 1 Tbit/s.
const MAX_MB_A_SECOND: f64 = 125_000.0;

/// Something odd about a figure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Oddity {
    pub(super) field: Field,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// More than so many of them could have consumed.
    Time { value: u64, processors: f64, what: &'static str },
    /// Larger than there is.
    Size { value: f64, unit: &'static str, bytes: f64 },
}

/// Tells `report` what is odd about `values`.
#[allow(clippy::cast_precision_loss)] // more or less is all that is asked
pub(super) fn oddities(values: &Values<'_>, mut report: impl FnMut(Oddity)) {
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
            .filter(|percent| (0.1..=100.0).contains(percent) && value >= LEAST_JUDGED_SECONDS)
            .map(|percent| cpus * 100.0 / percent);
        let processors = match by_percentage {
            _ if cpus > MAX_CPUS => Some(cpus),
            Some(cpus) if cpus > MAX_CPUS_BY_PERCENTAGE => Some(cpus),
            _ => None,
        };
        if let Some(processors) = processors {
            report(Oddity { field: Field::CpuSeconds, kind: Kind::Time { value, processors, what: "CPUs" } });
        }
    }
    if let Some(value) = values.gpu_seconds {
        let processors = value as f64 / seconds;
        if processors > MAX_GPUS {
            report(Oddity { field: Field::GpuSeconds, kind: Kind::Time { value, processors, what: "GPUs" } });
        }
    }
}

/// Whether [`oddities`] has certainly nothing to say, going by whole figures alone: what stands in front of the points.
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // constants that are whole and small
pub(super) const fn certainly_plausible(
    seconds: u64,
    [cpu_seconds, cpu_percent, gpu_seconds]: [u64; 3],
    [memory_gb, storage_gb, egress_mb, ingress_mb]: [u64; 4],
) -> bool {
    let room = (MAX_CPUS_BY_PERCENTAGE as u64).saturating_mul(seconds).saturating_mul(cpu_percent);
    (cpu_seconds < LEAST_JUDGED_SECONDS || cpu_seconds.saturating_mul(100) <= room)
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
            Kind::Time { value, processors, what } => {
                let message = format!("`{name}` would take {} {what}", processors.round());
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
        };
        finding.at(Place::pointer(self.field.pointer()))
    }
}
