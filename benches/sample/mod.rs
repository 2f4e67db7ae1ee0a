//! The event that benchmarks deliver.

use form_usage_events::events::{UsageEvent, UsageMetrics, UsagePeriod};

/// The `n`th event of `instance`: periods of 30 s, each behind the one before.
pub(crate) fn event(instance: &str, n: i64) -> UsageEvent {
    let metrics = UsageMetrics {
        cpu_seconds: 30,
        cpu_percent_avg: 12.5,
        memory_gb: 4.2,
        memory_percent: 52.5,
        storage_gb: 25.7,
        network_egress_mb: 15.2,
        network_ingress_mb: 8.7,
        gpu_seconds: 0,
    };
    let period = UsagePeriod { start: 30 * n, end: 30 * n + 30 };
    UsageEvent::new(instance.into(), "user_123456".into(), Some("org_789012".into()), metrics, period)
}
