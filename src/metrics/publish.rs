//! The figures as OpenMetrics text.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::observation::Observation;
use crate::circuit_breaker::CircuitState;
use crate::publish::Latency;

/// Where a total stands in an observation.
type Total = fn(&Observation) -> u64;

/// Totals: the name without `formusage_` and `_total`, and the help.
const COUNTERS: [(&str, &str, Total); 13] = [
    ("publish_events_read", "Lines and events read", |it| it.read),
    ("publish_events_taken", "Events taken to be delivered; with a spool, they are on disk", |it| it.taken),
    ("publish_events_delivered", "Events that the destination acknowledged", |it| it.delivered),
    ("publish_events_duplicate", "Acknowledged events that the destination knew already", |it| it.duplicates),
    ("publish_events_deferred", "Times that the delivery of an event was put off", |it| it.deferred),
    ("publish_events_dead", "Events that became dead letters", |it| it.dead),
    ("publish_events_refused", "Lines that are no valid events", |it| it.refused),
    ("publish_threshold_violations", "Threshold violations seen", |it| it.violations),
    ("publish_attempts", "Attempts to deliver", |it| it.attempts),
    ("publish_retries", "Attempts after a failed one", |it| it.retries),
    ("publish_replies_unknown", "Requests whose reply never came", |it| it.unknown),
    ("publish_breaker_opened", "Times that the circuit breaker opened", |it| it.breaker.map_or(0, |b| b.opened)),
    ("publish_breaker_transitions", "Times that the circuit breaker went from one state to another", |it| {
        it.breaker.map_or(0, |b| b.transitions)
    }),
];

/// Where current totals come from.
type Source = Box<dyn Fn() -> Observation + Send + Sync>;

/// The figures of a publisher, in a registry of its own.
///
/// What a publisher does not have (a breaker, a spool) has no gauges.
pub struct PublishMetrics {
    registry: Registry,
    counters: Vec<(Counter, Total)>,
    latest: Arc<Latest>,
    source: Option<Source>,
}

impl fmt::Debug for PublishMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishMetrics").field("latest", &self.latest).finish_non_exhaustive()
    }
}

impl PublishMetrics {
    /// Figures of a publisher to `destination`, all zero. The name is shown as it is: it must hold no secret.
    #[must_use]
    pub fn new(destination: &str) -> Self {
        let mut registry = Registry::with_prefix("formusage");
        registry.register("build", "This program", Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]));
        let destination = Info::new(vec![("url", destination.to_owned())]);
        registry.register("publish_destination", "Where events go", destination);
        let mut counters = Vec::new();
        for (name, help, total) in COUNTERS {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counters.push((counter, total));
        }
        let latest = Arc::new(Latest::default());
        registry.register_collector(Box::new(latest.clone()));
        Self { registry, counters, latest, source: None }
    }

    /// The same, which asks `source` for the totals whenever it is encoded. `source` may block.
    #[must_use]
    pub fn with_source(mut self, source: impl Fn() -> Observation + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Takes over current totals. A total never goes back: a lower one than before is an older look.
    pub fn observe(&self, now: &Observation) {
        for (counter, total) in &self.counters {
            counter.inner().fetch_max(total(now), Ordering::Relaxed);
        }
        let mut latest = self.latest.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = latest.latency;
        *latest = now.clone();
        if known.count() > now.latency.count() {
            latest.latency = known;
        }
    }

    /// The figures as OpenMetrics text, version 1.0.0.
    #[must_use]
    pub fn encode(&self) -> String {
        if let Some(source) = &self.source {
            self.observe(&source());
        }
        let mut encoded = String::new();
        if text::encode(&mut encoded, &self.registry).is_err() {
            // What is cut must not pass for the whole: without its last line, `# EOF`, nobody takes it.
            tracing::error!("internal fault, please report it: the figures could not be encoded");
        }
        encoded
    }
}

/// What is no counter, from the latest look.
#[derive(Debug, Default)]
struct Latest(Mutex<Observation>);

impl Collector for Latest {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut gauge = |name: &str, help: &str, unit: Option<Unit>, value: u64| {
            let metric = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            // What exceeds 63 bits is no count of anything here.
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(metric)
        };
        gauge("publish_events_waiting", "Events of this run that wait", None, now.waiting)?;
        if let Some(spool) = now.spool {
            let age = spool.oldest_age.unwrap_or_default().as_secs();
            gauge("spool_used", "Bytes of the spool that are in use", Some(Unit::Bytes), spool.used_bytes)?;
            gauge("spool_limit", "Bytes of the spool that may be in use", Some(Unit::Bytes), spool.limit_bytes)?;
            gauge("spool_waiting_events", "Events that wait for this destination", None, spool.waiting)?;
            gauge("spool_waiting", "Bytes of the events that wait", Some(Unit::Bytes), spool.waiting_bytes)?;
            gauge("spool_oldest_waiting_age", "For how long the oldest event waits", Some(Unit::Seconds), age)?;
            gauge("spool_retained_events", "Delivered events that are kept", None, spool.retained)?;
            gauge("spool_retained", "Bytes of the delivered events", Some(Unit::Bytes), spool.retained_bytes)?;
            gauge("spool_dead_letters", "Dead letters, for all destinations", None, spool.dead_letters)?;
        }
        if let Some(breaker) = now.breaker {
            encode_state(&mut encoder, breaker.state)?;
        }
        encode_latency(&mut encoder, &now.latency)
    }
}

/// One sample for each state there is, as a state set has them.
fn encode_state(encoder: &mut DescriptorEncoder<'_>, current: CircuitState) -> fmt::Result {
    let help = "1 for the state that the circuit breaker is in";
    let mut metric = encoder.encode_descriptor("publish_breaker_state", help, None, MetricType::Gauge)?;
    for state in [CircuitState::Closed, CircuitState::Open, CircuitState::HalfOpen] {
        let labels = [("state", state.to_string())];
        ConstGauge::new(i64::from(state == current)).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_latency(encoder: &mut DescriptorEncoder<'_>, latency: &Latency) -> fmt::Result {
    let (name, unit) = ("publish_attempt_duration", Some(&Unit::Seconds));
    let mut metric = encoder.encode_descriptor(name, "How long attempts took", unit, MetricType::Histogram)?;
    let buckets: Vec<(f64, u64)> = latency.buckets().collect();
    let none: Option<&Exemplars> = None;
    metric.encode_histogram(latency.sum.as_secs_f64(), latency.count(), &buckets, none)
}

/// Examples beside a bucket; there are none.
type Exemplars = HashMap<usize, Exemplar<[(&'static str, &'static str); 0], f64>>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{BreakerObservation, SpoolObservation};

    #[test]
    fn totals_never_go_back() {
        let metrics = PublishMetrics::new("-");
        metrics.observe(&Observation { delivered: 7, waiting: 3, ..Observation::default() });
        metrics.observe(&Observation { delivered: 5, waiting: 1, ..Observation::default() });
        let text = metrics.encode();
        assert!(text.contains("formusage_publish_events_delivered_total 7\n"), "{text}");
        assert!(text.contains("formusage_publish_events_waiting 1\n"), "{text}");
    }

    #[test]
    fn what_is_not_there_has_no_gauges() {
        let metrics = PublishMetrics::new("-");
        let text = metrics.encode();
        assert!(!text.contains("formusage_spool_") && !text.contains("breaker_state"), "{text}");
        let breaker = BreakerObservation { state: CircuitState::HalfOpen, opened: 2, transitions: 4 };
        let spool = Some(SpoolObservation { waiting: 9, ..SpoolObservation::default() });
        metrics.observe(&Observation { breaker: Some(breaker), spool, ..Observation::default() });
        let text = metrics.encode();
        assert!(text.contains("formusage_spool_waiting_events 9\n"), "{text}");
        assert!(text.contains("formusage_publish_breaker_state{state=\"half-open\"} 1\n"), "{text}");
        assert!(text.contains("formusage_publish_breaker_state{state=\"open\"} 0\n"), "{text}");
        assert!(text.contains("formusage_publish_breaker_opened_total 2\n"), "{text}");
    }

    #[test]
    fn a_source_is_asked_at_every_encoding() {
        let looks = std::sync::atomic::AtomicU64::new(0);
        let look = move || Observation { read: looks.fetch_add(1, Ordering::Relaxed) + 1, ..Observation::default() };
        let metrics = PublishMetrics::new("-").with_source(look);
        assert!(metrics.encode().contains("formusage_publish_events_read_total 1\n"));
        assert!(metrics.encode().contains("formusage_publish_events_read_total 2\n"));
    }
}
