//! What several tests use.

use form_usage_events::events::{UsageEvent, UsageMetrics, UsagePeriod};

/// The binary under test, with none of the caller's settings.
pub(crate) fn formusage() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_formusage"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FORMUSAGE_")) {
        command.env_remove(name);
    }
    command.timeout(std::time::Duration::from_secs(60));
    command
}

/// The same, to be started and spoken to while it runs.
pub(crate) fn formusage_process() -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_formusage"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FORMUSAGE_")) {
        command.env_remove(name);
    }
    command
}

/// The `n`th event of an instance: periods of 30 s, each behind the one before.
pub(crate) fn event(instance: &str, n: i64) -> UsageEvent {
    let period = UsagePeriod { start: 1_626_350_400 + 30 * n, end: 1_626_350_430 + 30 * n };
    UsageEvent {
        event_type: "resource_usage".into(),
        version: "1.0".into(),
        timestamp: period.end,
        instance_id: instance.into(),
        user_id: "user_123456".into(),
        org_id: Some("org_789012".into()),
        metrics: UsageMetrics {
            cpu_seconds: 30,
            cpu_percent_avg: 12.5,
            memory_gb: 4.2,
            memory_percent: 52.5,
            storage_gb: 25.7,
            network_egress_mb: 15.2,
            network_ingress_mb: 8.7,
            gpu_seconds: 0,
        },
        period,
    }
}

/// The same as a line of NDJSON, without its end.
pub(crate) fn line(instance: &str, n: i64) -> String {
    serde_json::to_string(&event(instance, n)).unwrap()
}

/// So many events of one instance as NDJSON.
pub(crate) fn lines(instance: &str, count: i64) -> String {
    (0..count).map(|n| line(instance, n) + "\n").collect()
}
