//! What the kernel counts for no tenant. That is a fact of the kernel, and no scope's: it is logged once in a process,
//! however many groups and processes are metered and however often the configuration is read again.

use std::sync::Once;

/// Logs that control groups and processes have no storage.
pub(super) fn log_storage() {
    static LOGGED: Once = Once::new();
    LOGGED.call_once(|| {
        tracing::warn!(
            "storage_gb of control groups and processes is not metered: the kernel counts no files by group or process; \
             meter the file systems of the host with --scope host"
        );
    });
}

/// Logs that an instance in the host's network namespace has no network.
pub(super) fn log_shared_network() {
    static LOGGED: Once = Once::new();
    LOGGED.call_once(|| {
        tracing::warn!(
            "network_egress_mb and network_ingress_mb of control groups and processes in the host's network namespace are \
             not metered: the kernel counts that traffic for the host alone; give a tenant a network namespace of its own, \
             as containers have one, or meter the host with --scope host"
        );
    });
}
