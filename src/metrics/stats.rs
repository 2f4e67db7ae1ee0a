//! One log line of figures.

use super::observation::Observation;

/// The target of the log line, for filters: `formusage::stats`, at the level `info`.
pub const STATS_TARGET: &str = "formusage::stats";

/// Logs what happened between `before` and `now`, and how things stand now.
///
/// Counts are those of the time between, `seconds` long; `waiting`, `breaker` and what starts with `spool` are as of
/// now; `latency_p99` is an upper bound in seconds. Fields without a value (no spool, no attempt) are left out.
pub fn stats_line(now: &Observation, before: &Observation) {
    let grown = |total: fn(&Observation) -> u64| total(now).saturating_sub(total(before));
    let seconds = now.at.saturating_sub(before.at).as_secs_f64();
    let latency = now.latency.since(&before.latency);
    let spool = now.spool.as_ref();
    let opened = |it: &Observation| it.breaker.map_or(0, |breaker| breaker.opened);
    tracing::info!(
        target: STATS_TARGET,
        seconds = round(seconds),
        taken = grown(|it| it.taken),
        delivered = grown(|it| it.delivered),
        duplicates = grown(|it| it.duplicates),
        deferred = grown(|it| it.deferred),
        dead = grown(|it| it.dead),
        refused = grown(|it| it.refused),
        attempts = grown(|it| it.attempts),
        retries = grown(|it| it.retries),
        unknown = grown(|it| it.unknown),
        latency_mean = latency.mean().map(|mean| round(mean.as_secs_f64())),
        latency_p99 = latency.quantile(0.99),
        breaker = now.breaker.map(|breaker| tracing::field::display(breaker.state)),
        breaker_opened = now.breaker.map(|_| opened(now).saturating_sub(opened(before))),
        waiting = now.waiting,
        spool_waiting = spool.map(|spool| spool.waiting),
        spool_bytes = spool.map(|spool| spool.used_bytes),
        spool_oldest_seconds = spool.and_then(|spool| spool.oldest_age).map(|age| age.as_secs()),
        spool_retained = spool.map(|spool| spool.retained),
        "figures"
    );
}

/// Four digits behind the point are all that a person reads.
fn round(seconds: f64) -> f64 {
    (seconds * 10_000.0).round() / 10_000.0
}
