//! Alerts that a channel of which much waits has no room for: they give way, so that other channels get theirs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::spool::SpoolError;

/// Counts the alerts of one channel that were dropped.
#[derive(Debug, Default)]
pub(super) struct DroppedAlerts {
    count: AtomicU64,
    /// The log says that alerts are dropped.
    is_said: AtomicBool,
}

impl DroppedAlerts {
    /// How many were dropped.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// So many alerts of `channel` are dropped for `error`; logged once, until one is accepted again.
    pub(super) fn drop_for(&self, error: &SpoolError, channel: &str, alerts: usize) {
        self.count.fetch_add(alerts as u64, Ordering::Relaxed);
        if !self.is_said.swap(true, Ordering::Relaxed) {
            tracing::error!(
                %channel,
                "alerts are dropped, since too many wait for this channel; other channels get theirs: {error}"
            );
        }
    }

    /// An alert of `channel` was accepted.
    pub(super) fn accepted(&self, channel: &str) {
        if self.is_said.swap(false, Ordering::Relaxed) {
            tracing::warn!(%channel, dropped = self.count(), "alerts of this channel are accepted again");
        }
    }
}
