//! The quick look: most lines are sound, and nothing more needs to be known of them.
//!
//! A line that passes here has no finding, not even a warning. Any other goes to the exact reader, which has the last
//! word: this look may turn away a sound line, and never passes a faulty one.
//!
//! The scanner comes first, for lines that stand as most do. Behind it the same is asked of serde, which takes escapes and
//! every form of number.

use std::borrow::Cow;

use serde::Deserialize;

use super::EventRules;
use super::continuity::{Counters, Metered, digest};
use super::implausible::{Implausible, implausible_of};
use super::plausible::oddities;
use super::rules::{Values, faults};
use super::scan::{self, Scanned};
use crate::events::{EVENT_TYPE, MetricSet, UsageEvent, UsageMetrics, UsagePeriod, VERSION};

/// [`crate::events::UsageEvent`] with borrowed text, and without room for fields that it does not know.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Glance<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    timestamp: i64,
    #[serde(borrow)]
    instance_id: Cow<'a, str>,
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow)]
    org_id: Option<Cow<'a, str>>,
    metrics: Metrics,
    period: Period,
    #[serde(default)]
    not_metered: MetricSet,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metrics {
    cpu_seconds: u64,
    cpu_percent_avg: f64,
    memory_gb: f64,
    memory_percent: f64,
    storage_gb: f64,
    network_egress_mb: f64,
    network_ingress_mb: f64,
    gpu_seconds: u64,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Period {
    start: i64,
    end: i64,
}

impl<'a> Glance<'a> {
    pub(super) fn scanned(seen: Scanned<'a>) -> Option<Self> {
        let text = |bytes| std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
        let UsageMetrics { cpu_seconds, cpu_percent_avg, memory_gb, memory_percent, .. } = seen.metrics;
        let UsageMetrics { storage_gb, network_egress_mb, network_ingress_mb, gpu_seconds, .. } = seen.metrics;
        Some(Self {
            event_type: EVENT_TYPE.into(),
            version: VERSION.into(),
            timestamp: seen.timestamp,
            instance_id: text(seen.instance_id)?,
            user_id: text(seen.user_id)?,
            org_id: match seen.org_id {
                Some(id) => Some(text(id)?),
                None => None,
            },
            metrics: Metrics {
                cpu_seconds,
                cpu_percent_avg,
                memory_gb,
                memory_percent,
                storage_gb,
                network_egress_mb,
                network_ingress_mb,
                gpu_seconds,
            },
            period: Period { start: seen.period.start, end: seen.period.end },
            not_metered: seen.not_metered,
        })
    }
}

/// Whether [`clean`] has an event, without making values of it where the scanner reads it.
pub(super) fn is_clean(line: &[u8], rules: &EventRules) -> bool {
    scan::length(line, rules) == Some(line.len()) || read(line, rules).is_some()
}

impl Glance<'_> {
    /// What continuity is judged by; `line` is the text of the event.
    pub(super) fn metered(&self, line: &[u8]) -> Metered<'_> {
        let counters = Counters {
            cpu_seconds: self.metrics.cpu_seconds,
            gpu_seconds: self.metrics.gpu_seconds,
            network_egress_mb: self.metrics.network_egress_mb,
            network_ingress_mb: self.metrics.network_ingress_mb,
        };
        let (start, end) = (self.period.start, self.period.end);
        Metered { instance_id: &self.instance_id, start, end, digest: digest(line), counters }
    }
}

/// The event in `line` where it is certainly valid and nothing is to be remarked on.
pub(super) fn clean<'a>(line: &'a [u8], rules: &EventRules) -> Option<Glance<'a>> {
    match scan::event(line, rules).filter(|seen| seen.length == line.len()) {
        Some(seen) => Glance::scanned(seen),
        None => read(line, rules),
    }
}

/// The event in `line` where it can certainly be delivered, and what is implausible of it.
pub(super) fn deliverable<'a>(line: &'a [u8], rules: &EventRules) -> Option<(Glance<'a>, Implausible)> {
    match scan::event(line, rules).filter(|seen| seen.length == line.len()) {
        Some(seen) => Some((Glance::scanned(seen)?, Implausible::default())),
        None => {
            let event = shape(line)?;
            let found = implausible_of(&event.values(), rules)?;
            Some((event, found))
        }
    }
}

/// What serde makes of a line that the scanner turned away.
fn read<'a>(line: &'a [u8], rules: &EventRules) -> Option<Glance<'a>> {
    let event = shape(line)?;
    let mut clean = true;
    faults(&event.values(), rules, |_| clean = false);
    oddities(&event.values(), |_| clean = false);
    clean.then_some(event)
}

/// An event with all of its fields, of the right types, and no others.
fn shape(line: &[u8]) -> Option<Glance<'_>> {
    // serde takes an array of the right values for an object; the format does not. The one array that an event may have is
    // read by the scanner.
    if memchr::memchr(b'[', line).is_some() {
        return None;
    }
    serde_json::from_slice::<Glance<'_>>(line).ok()
}

impl Glance<'_> {
    fn values(&self) -> Values<'_> {
        Values {
            event_type: Some(&self.event_type),
            version: Some(&self.version),
            timestamp: Some(self.timestamp),
            instance_id: Some(&self.instance_id),
            user_id: Some(&self.user_id),
            org_id: self.org_id.as_deref(),
            cpu_seconds: Some(self.metrics.cpu_seconds),
            gpu_seconds: Some(self.metrics.gpu_seconds),
            cpu_percent_avg: Some(self.metrics.cpu_percent_avg),
            memory_gb: Some(self.metrics.memory_gb),
            memory_percent: Some(self.metrics.memory_percent),
            storage_gb: Some(self.metrics.storage_gb),
            network_egress_mb: Some(self.metrics.network_egress_mb),
            network_ingress_mb: Some(self.metrics.network_ingress_mb),
            start: Some(self.period.start),
            end: Some(self.period.end),
        }
    }
}

impl From<Glance<'_>> for UsageEvent {
    fn from(seen: Glance<'_>) -> Self {
        let metrics = UsageMetrics {
            cpu_seconds: seen.metrics.cpu_seconds,
            cpu_percent_avg: seen.metrics.cpu_percent_avg,
            memory_gb: seen.metrics.memory_gb,
            memory_percent: seen.metrics.memory_percent,
            storage_gb: seen.metrics.storage_gb,
            network_egress_mb: seen.metrics.network_egress_mb,
            network_ingress_mb: seen.metrics.network_ingress_mb,
            gpu_seconds: seen.metrics.gpu_seconds,
        };
        Self {
            event_type: seen.event_type.into_owned(),
            version: seen.version.into_owned(),
            timestamp: seen.timestamp,
            instance_id: seen.instance_id.into_owned(),
            user_id: seen.user_id.into_owned(),
            org_id: seen.org_id.map(Cow::into_owned),
            metrics,
            period: UsagePeriod { start: seen.period.start, end: seen.period.end },
        }
    }
}
