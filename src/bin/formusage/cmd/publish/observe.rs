//! How the run stands, put together from where each count is kept.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use form_usage_events::circuit_breaker::CircuitBreaker;
use form_usage_events::clock::Clock;
use form_usage_events::metrics::{BreakerObservation, Observation, SpoolObservation};
use form_usage_events::publish::{Delivery, Progress, Report};
use form_usage_events::spool::SpoolFile;

use super::monitor::Observe;

/// A progress that keeps the pipeline's counts for other threads, and passes them on.
pub(super) struct Counted {
    inner: Box<dyn Progress>,
    counts: Arc<Mutex<Observation>>,
}

impl Counted {
    pub(super) fn new(inner: Box<dyn Progress>) -> Self {
        Self { inner, counts: Arc::default() }
    }
}

impl Progress for Counted {
    fn update(&mut self, report: &Report) {
        let settled = report.delivered + report.dead + report.refused;
        let counts = Observation {
            read: report.read,
            taken: report.read.saturating_sub(report.refused),
            delivered: report.delivered + report.resumed.delivered,
            duplicates: report.duplicates + report.resumed.duplicates,
            waiting: report.read.saturating_sub(settled),
            dead: report.dead + report.resumed.dead,
            refused: report.refused,
            violations: report.violations,
            ..Observation::default()
        };
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        self.inner.update(report);
    }
}

/// The spool that is watched.
pub(super) struct WatchedSpool {
    pub(super) path: PathBuf,
    /// The destination as the spool knows it.
    pub(super) url: String,
    /// `--spool-max-bytes`.
    pub(super) limit_bytes: u64,
}

impl WatchedSpool {
    /// `None` where it can't be read now; the run itself says what is wrong with it.
    fn look(&self, now: i64) -> Option<SpoolObservation> {
        let status = SpoolFile::open(&self.path).and_then(|file| file.map(|file| file.status()).transpose());
        match status {
            Ok(status) => status.map(|status| SpoolObservation::of(&status, &self.url, self.limit_bytes, now)),
            Err(error) => {
                tracing::debug!(%error, "no figures of the spool");
                None
            }
        }
    }
}

/// Puts an observation together whenever it is called; it reads the spool's file.
pub(super) fn observer(
    progress: &Counted,
    delivery: &Delivery,
    breaker: Option<CircuitBreaker>,
    spool: Option<WatchedSpool>,
    clock: Arc<dyn Clock>,
) -> Observe {
    let (counts, delivery) = (progress.counts.clone(), delivery.clone());
    Arc::new(move || {
        let mut now = counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        now.at = clock.monotonic();
        now.add(delivery.stats(), delivery.latency());
        now.breaker = breaker.as_ref().map(BreakerObservation::of);
        now.spool = spool.as_ref().and_then(|spool| spool.look(clock.unix_seconds()));
        now
    })
}
