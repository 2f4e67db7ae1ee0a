//! What the kernel counts for no tenant. That is a fact of the kernel, and no scope's: it is logged once in a process,
//! however many groups and processes are metered and however often the configuration is read again.

use std::path::Path;
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

/// Logs that an interface was removed with what passed it last, or came with what passed it elsewhere.
pub(super) fn log_removed_interface(process: &Path) {
    static LOGGED: Once = Once::new();
    LOGGED.call_once(|| {
        tracing::warn!(
            process = %process.display(),
            "an interface that leads out of a network namespace was removed, reset, or moved in from elsewhere between two \
             samples: what passed it since the last one is NOT metered, and the network of that period is named in \
             not_metered; further ones are not logged"
        );
    });
}

/// Logs that the names of interfaces that count leave out what leads out of a namespace.
pub(super) fn log_unnamed_interface(process: &Path) {
    static LOGGED: Once = Once::new();
    LOGGED.call_once(|| {
        tracing::warn!(
            process = %process.display(),
            "an interface that leads out of a network namespace has none of the names in --interface, and none that has one \
             surely leads out: its traffic is NOT metered, and the network of the instance is named in not_metered; name it, \
             or leave --interface away to have the kernel asked. Further ones are not logged"
        );
    });
}

/// Logs that more passed a tunnel than the interfaces that count.
pub(super) fn log_uncovered_tunnel(process: &Path) {
    static LOGGED: Once = Once::new();
    LOGGED.call_once(|| {
        tracing::warn!(
            process = %process.display(),
            "more passed a tunnel or a tap of a network namespace than the interfaces that count there: some of it left by a \
             way that is NOT metered, and the network of that period is named in not_metered; further ones are not logged"
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
