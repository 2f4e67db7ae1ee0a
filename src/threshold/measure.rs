//! What a threshold is compared with: the table of resources, metrics and units, as code.

use super::config::ResourceType;
use super::measured::MeasuredEvent;
use crate::events::{MetricSet, UsageMetrics};
use crate::units::{BYTES_PER_GB, BYTES_PER_MB, bytes_per, seconds_per};

/// A figure of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    CpuPercent,
    CpuSeconds,
    MemoryPercent,
    MemoryGb,
    StorageGb,
    EgressMb,
    IngressMb,
    GpuSeconds,
}

impl Measure {
    /// What a percentage of `resource` is compared with; `None` where events carry nothing.
    pub(super) const fn percentage(resource: ResourceType) -> Option<Self> {
        match resource {
            ResourceType::Cpu => Some(Self::CpuPercent),
            ResourceType::Memory => Some(Self::MemoryPercent),
            ResourceType::Storage | ResourceType::NetworkEgress | ResourceType::NetworkIngress | ResourceType::Gpu => {
                None
            }
        }
    }

    /// What an amount of `resource` in `unit` is compared with, and how many of the metric's units one `unit` is;
    /// `None` for a unit that does not measure the resource.
    pub(super) fn absolute(resource: ResourceType, unit: &str) -> Option<(Self, f64)> {
        #[allow(clippy::cast_precision_loss)] // powers of two are exact, and so are 60 and 3600
        let ratio = |of: u64, to: u64| of as f64 / to as f64;
        let seconds = || seconds_per(unit).map(|seconds| ratio(seconds, 1));
        let gb = || bytes_per(unit).map(|bytes| ratio(bytes, BYTES_PER_GB));
        let mb = || bytes_per(unit).map(|bytes| ratio(bytes, BYTES_PER_MB));
        match resource {
            ResourceType::Cpu => Some((Self::CpuSeconds, seconds()?)),
            ResourceType::Gpu => Some((Self::GpuSeconds, seconds()?)),
            ResourceType::Memory => Some((Self::MemoryGb, gb()?)),
            ResourceType::Storage => Some((Self::StorageGb, gb()?)),
            ResourceType::NetworkEgress => Some((Self::EgressMb, mb()?)),
            ResourceType::NetworkIngress => Some((Self::IngressMb, mb()?)),
        }
    }

    /// The figure itself; `None` where it was not metered.
    pub(super) const fn of(self, event: MeasuredEvent<'_>) -> Option<f64> {
        if event.not_metered().intersects(self.metric()) { None } else { Some(self.of_metrics(&event.event().metrics)) }
    }

    /// The metric that it is.
    pub(super) const fn metric(self) -> MetricSet {
        MetricSet::at(match self {
            Self::CpuSeconds => 0,
            Self::CpuPercent => 1,
            Self::MemoryGb => 2,
            Self::MemoryPercent => 3,
            Self::StorageGb => 4,
            Self::EgressMb => 5,
            Self::IngressMb => 6,
            Self::GpuSeconds => 7,
        })
    }

    /// The figure of an event with these metrics. Seconds are exact up to 2^53 of them.
    #[allow(clippy::cast_precision_loss)]
    pub(super) const fn of_metrics(self, metrics: &UsageMetrics) -> f64 {
        match self {
            Self::CpuPercent => metrics.cpu_percent_avg,
            Self::CpuSeconds => metrics.cpu_seconds as f64,
            Self::MemoryPercent => metrics.memory_percent,
            Self::MemoryGb => metrics.memory_gb,
            Self::StorageGb => metrics.storage_gb,
            Self::EgressMb => metrics.network_egress_mb,
            Self::IngressMb => metrics.network_ingress_mb,
            Self::GpuSeconds => metrics.gpu_seconds as f64,
        }
    }

    /// The field's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CpuPercent => "cpu_percent_avg",
            Self::CpuSeconds => "cpu_seconds",
            Self::MemoryPercent => "memory_percent",
            Self::MemoryGb => "memory_gb",
            Self::StorageGb => "storage_gb",
            Self::EgressMb => "network_egress_mb",
            Self::IngressMb => "network_ingress_mb",
            Self::GpuSeconds => "gpu_seconds",
        }
    }

    /// The largest figure that does not exceed `value`, where one unit of `value` is `scale` units of the metric.
    ///
    /// A figure exceeds when `figure / scale > value`. Sizes scale by powers of two, which is exact either way. Times
    /// are whole seconds, and `value * scale` may come out a little beside the whole number that is meant, so that the
    /// quotient decides on the numbers next to it.
    pub(super) fn limit(self, value: f64, scale: f64) -> f64 {
        let product = value * scale;
        if !matches!(self, Self::CpuSeconds | Self::GpuSeconds) {
            return product;
        }
        let whole = product.floor();
        if (whole + 1.0) / scale <= value {
            whole + 1.0
        } else if whole / scale > value {
            whole - 1.0
        } else {
            whole
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_in_hours_is_met_by_the_very_second() {
        for (value, scale, seconds) in [
            (2.3, 3600.0, 8280.0),
            (1.1, 3600.0, 3960.0),
            (0.7, 60.0, 42.0),
            (0.1, 3600.0, 360.0),
            (4.1, 3600.0, 14760.0),
            (0.0, 60.0, 0.0),
            (0.5, 1.0, 0.0),
            (30.0, 1.0, 30.0),
        ] {
            assert_eq!(Measure::CpuSeconds.limit(value, scale), seconds, "{value} × {scale}");
        }
        // Every hundredth of an hour is a whole number of seconds.
        for hundredths in 0..100_000u32 {
            let limit = Measure::GpuSeconds.limit(f64::from(hundredths) / 100.0, 3600.0);
            assert_eq!(limit, f64::from(hundredths) * 36.0);
        }
    }

    #[test]
    fn a_measure_is_the_metric_of_its_name() {
        for measure in [
            Measure::CpuPercent,
            Measure::CpuSeconds,
            Measure::MemoryPercent,
            Measure::MemoryGb,
            Measure::StorageGb,
            Measure::EgressMb,
            Measure::IngressMb,
            Measure::GpuSeconds,
        ] {
            assert_eq!(measure.metric().names().collect::<Vec<_>>(), [measure.name()]);
        }
    }

    #[test]
    fn sizes_are_exact_in_every_unit() {
        for (unit, gb) in [("B", 1.0 / (1u64 << 30) as f64), ("MiB", 1.0 / 1024.0), ("GB", 1.0), ("TiB", 1024.0)] {
            assert_eq!(Measure::absolute(ResourceType::Memory, unit), Some((Measure::MemoryGb, gb)), "{unit}");
        }
        assert_eq!(Measure::absolute(ResourceType::NetworkEgress, "GB"), Some((Measure::EgressMb, 1024.0)));
        assert_eq!(Measure::absolute(ResourceType::Memory, "h"), None);
        assert_eq!(Measure::absolute(ResourceType::Gpu, "GB"), None);
    }

    #[test]
    fn huge_limits_stay_numbers() {
        assert_eq!(Measure::MemoryGb.limit(f64::MAX, 1024.0), f64::INFINITY);
        assert!(Measure::CpuSeconds.limit(f64::MAX, 3600.0) > 1e300);
    }
}
