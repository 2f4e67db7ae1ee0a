//! Implausible events: what they say can hardly be, and they are delivered all the same. A transport that drops somebody's
//! usage because a percentage looks odd loses the bill.
//!
//! To `validate` most of what is implausible is an error. What delivers, checks or sums up events refuses only what is no
//! event, and warns of the rest once for each instance and kind.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, RandomState};

use super::continuity::{AsItIs, Counters, Growth, running_total};
use super::plausible::oddities;
use super::rules::{Field, MILLISECONDS_FROM, Values, faults, subsecond_unit};
use super::{Code, EventRules, Finding, Place, Severity, exact_findings_with, glance};
use crate::events::UsageEvent;

/// So many instances are watched at a time, in about 2 MB.
const MAX_INSTANCES: usize = 32_768;

const COUNTERS: [Field; 4] = [Field::CpuSeconds, Field::GpuSeconds, Field::NetworkEgressMb, Field::NetworkIngressMb];

/// What is implausible about an event: a set of kinds, each of one field. Empty by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Implausible(u32);

impl Implausible {
    pub(super) const STAMPED_EARLY: Self = Self(1 << 16);
    pub(super) const FUTURE: Self = Self(1 << 17);
    /// Of the first of [`COUNTERS`]; the others follow.
    const RUNNING_TOTAL: u32 = 1 << 18;

    /// What is implausible about a field by itself: over 100 percent, not in seconds, more than there is.
    pub(super) const fn field(field: Field) -> Self {
        Self(1 << field as u32)
    }

    /// Whether nothing is.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in this set or in the other.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What is implausible about `values`; `None` where a fault stands against taking them for an event.
pub(super) fn implausible_of(values: &Values<'_>, rules: &EventRules) -> Option<Implausible> {
    let mut found = Some(Implausible::default());
    faults(values, rules, |fault| {
        found = found.zip(fault.implausible()).map(|(found, more)| found.union(more));
    });
    oddities(values, |oddity| found = found.map(|found| found.union(oddity.implausible())));
    found
}

/// What is implausible about `event`, without allocating. `None` where it is no event and can't be delivered:
/// a figure is negative or not finite, an id can't be used, the period does not start before its end, or the type or
/// the major version is another.
#[must_use]
pub fn event_implausible(event: &UsageEvent, rules: &EventRules) -> Option<Implausible> {
    implausible_of(&event.into(), rules)
}

/// The event in one line of NDJSON, and what is implausible about it; `line` is its number, from 1. As fast as reading the
/// event alone where [`super::line_findings`] would have nothing to say.
///
/// # Errors
/// Where the line is no event that can be delivered: every reason.
pub fn deliverable_event(
    text: &[u8],
    line: u64,
    rules: &EventRules,
) -> Result<(UsageEvent, Implausible), Vec<Finding>> {
    if let Some((event, implausible)) = glance::deliverable(text, rules) {
        return Ok((event.into(), implausible));
    }
    let mut findings = exact_findings_with(text, line, rules, Severity::Warning);
    findings.retain(|finding| finding.severity == Severity::Error);
    if !findings.is_empty() {
        return Err(findings);
    }
    let unreadable = |message: String| vec![Finding::error(Code::InvalidJson, message)];
    let event: UsageEvent = serde_json::from_slice(text).map_err(|error| unreadable(error.to_string()))?;
    match event_implausible(&event, rules) {
        Some(implausible) => Ok((event, implausible)),
        None => Err(event_faults(&event, rules)),
    }
}

/// Why `event` can't be delivered. Places have only a pointer: there is no text.
pub(crate) fn event_faults(event: &UsageEvent, rules: &EventRules) -> Vec<Finding> {
    let mut findings = Vec::new();
    faults(&event.into(), rules, |fault| findings.push(fault.finding(Severity::Warning)));
    findings.retain(|finding| finding.severity == Severity::Error);
    findings
}

/// The findings on what of `kinds` is implausible about `event`, as warnings.
pub(crate) fn implausible_findings(event: &UsageEvent, kinds: Implausible, rules: &EventRules) -> Vec<Finding> {
    let mut findings = Vec::new();
    let values = Values::from(event);
    faults(&values, rules, |fault| {
        if fault.implausible().is_some_and(|kind| kinds.intersects(kind)) {
            findings.push(fault.finding(Severity::Warning));
        }
    });
    oddities(&values, |oddity| {
        if kinds.intersects(oddity.implausible()) {
            findings.push(oddity.into_finding());
        }
    });
    for (field, kind) in COUNTERS.into_iter().zip((0..).map(|n| Implausible(Implausible::RUNNING_TOTAL << n))) {
        if kinds.intersects(kind) {
            let metric = field.name().trim_start_matches("metrics.");
            findings.push(running_total(metric, &event.instance_id).at(Place::pointer(field.pointer())));
        }
    }
    findings
}

/// `event` with its times in seconds, for who computes with them: a time that can only be milliseconds, microseconds or
/// nanoseconds is divided, and a period never becomes empty by it. Any other event is given back as it is.
#[must_use]
pub fn in_seconds(event: &UsageEvent) -> Cow<'_, UsageEvent> {
    let times = [event.timestamp, event.period.start, event.period.end];
    if times.iter().all(|time| *time < MILLISECONDS_FROM) {
        return Cow::Borrowed(event);
    }
    let unit = |time: i64| if time < MILLISECONDS_FROM { 1 } else { subsecond_unit(time).1 };
    let rounded_up = |time: i64| time / unit(time) + i64::from(time % unit(time) > 0);
    let mut event = event.clone();
    event.timestamp = rounded_up(event.timestamp);
    event.period.start /= unit(event.period.start);
    event.period.end = rounded_up(event.period.end).max(event.period.start.saturating_add(1));
    Cow::Owned(event)
}

/// Remembers which instances were reported for what, so that a warning comes once for each instance and kind, and follows
/// their counters, of which some are never reset. Memory is bounded.
///
/// ```
/// use form_usage_events::events::{UsageEvent, UsageMetrics, UsagePeriod};
/// use form_usage_events::validate::{Code, EventRules, ImplausibleWatch, event_implausible};
///
/// let metrics = UsageMetrics { cpu_percent_avg: 1250.0, ..UsageMetrics::default() };
/// let period = UsagePeriod { start: 1_626_350_400, end: 1_626_350_430 };
/// let event = UsageEvent::new("instance-abc123".into(), "user_123456".into(), None, metrics, period);
///
/// let rules = EventRules::at(event.timestamp);
/// let found = event_implausible(&event, &rules).ok_or("no event")?;
/// let mut watch = ImplausibleWatch::default();
/// assert_eq!(watch.unreported(&event, found, &rules)[0].code, Code::PercentageTimes100);
/// assert!(watch.unreported(&event, found, &rules).is_empty());
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Default)]
pub struct ImplausibleWatch {
    /// By a salted hash of the instance.
    instances: HashMap<u64, Watched, BuildHasherDefault<AsItIs>>,
    hasher: RandomState,
    /// There is no room for another instance.
    full: bool,
    full_reported: bool,
}

#[derive(Debug)]
struct Watched {
    reported: Implausible,
    growth: Growth,
}

impl ImplausibleWatch {
    /// The counters of `event` that only grew for the last 32 events of its instance and more, as those do that are never
    /// reset. To be called with every event.
    pub fn running_totals(&mut self, event: &UsageEvent) -> Implausible {
        let counters = counters_of(event);
        let Some(watched) = self.watched(event, &counters) else { return Implausible::default() };
        let running = watched.growth.running_totals(&counters);
        let bits = (0..).zip(running).map(|(n, running)| u32::from(running) * (Implausible::RUNNING_TOTAL << n));
        Implausible(bits.sum())
    }

    /// The findings on what is implausible about `event` and was not reported of its instance yet. All are warnings; places
    /// have only a pointer.
    pub fn unreported(&mut self, event: &UsageEvent, found: Implausible, rules: &EventRules) -> Vec<Finding> {
        if found.is_empty() {
            return Vec::new();
        }
        let Some(watched) = self.watched(event, &counters_of(event)) else {
            if std::mem::replace(&mut self.full_reported, true) {
                return Vec::new();
            }
            let mut findings = implausible_findings(event, found, rules);
            findings.truncate(1);
            for finding in &mut findings {
                finding.message += " (as do so many instances that further ones are not reported)";
            }
            return findings;
        };
        let unreported = found.without(watched.reported);
        watched.reported = watched.reported.union(found);
        if unreported.is_empty() { Vec::new() } else { implausible_findings(event, unreported, rules) }
    }

    /// What is known of the event's instance; `None` where there is no room for it.
    fn watched(&mut self, event: &UsageEvent, counters: &Counters) -> Option<&mut Watched> {
        let key = self.hasher.hash_one(&*event.instance_id);
        if self.instances.len() >= MAX_INSTANCES && !self.full && !self.instances.contains_key(&key) {
            // Those of which nothing was reported are the ones to be forgotten.
            let reported = self.instances.values().filter(|it| !it.reported.is_empty()).count();
            self.full = reported > MAX_INSTANCES / 2;
            if !self.full {
                self.instances.retain(|_, it| !it.reported.is_empty());
            }
        }
        if self.full {
            return self.instances.get_mut(&key);
        }
        // Counted from the first event of the instance, as `validate` does: it is no growth.
        let new = || Watched { reported: Implausible::default(), growth: Growth::new(counters) };
        Some(self.instances.entry(key).or_insert_with(new))
    }
}

const fn counters_of(event: &UsageEvent) -> Counters {
    Counters {
        cpu_seconds: event.metrics.cpu_seconds,
        gpu_seconds: event.metrics.gpu_seconds,
        network_egress_mb: event.metrics.network_egress_mb,
        network_ingress_mb: event.metrics.network_ingress_mb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::sample;
    use crate::events::{UsagePeriod, to_compact_json};
    use crate::validate::continuity::MAX_GROWTH;

    const RULES: EventRules = EventRules { now: 1_700_000_000, max_skew: 300 };

    fn read(from: &str, to: &str) -> Result<(UsageEvent, Implausible), Vec<Finding>> {
        let text = to_compact_json(&sample()).unwrap();
        assert!(text.contains(from), "{from}");
        deliverable_event(text.replacen(from, to, 1).as_bytes(), 1, &RULES)
    }

    fn codes(findings: &[Finding]) -> Vec<&'static str> {
        findings.iter().map(|finding| finding.code.as_str()).collect()
    }

    #[test]
    fn what_is_implausible_is_an_event_and_what_is_none_is_not() {
        for (from, to, code) in [
            ("12.5", "1250", "percentage-times-100"),
            ("12.5", "100.5", "out-of-range"),
            ("52.5", "52500", "out-of-range"),
            (":1626350430,\"inst", ":1626350429,\"inst", "stamped-early"),
            (":1626350430,\"inst", ":1626350430000,\"inst", "not-seconds"),
            (":1626350430,\"inst", ":1700000301,\"inst", "future-timestamp"),
            ("\"end\":1626350430", "\"end\":1626350430000", "not-seconds"),
            (":30,", ":18446744073709551615,", "implausible-time"),
            ("4.2", "4509715660", "implausible-size"),
        ] {
            // Both ways to read it: alone, and with a field that is not known.
            for extra in ["\"version\"", "\"x\":[1],\"version\""] {
                let text = to_compact_json(&sample()).unwrap().replacen(from, to, 1).replace("\"version\"", extra);
                let (event, found) =
                    deliverable_event(text.as_bytes(), 1, &RULES).unwrap_or_else(|e| panic!("{to}: {e:?}"));
                assert_eq!(codes(&implausible_findings(&event, found, &RULES)), [code], "{to}");
                assert!(implausible_findings(&event, found, &RULES).iter().all(|it| it.severity == Severity::Warning));
                assert_eq!(event_implausible(&event, &RULES), Some(found), "{to}");
            }
        }
        for (from, to, code) in [
            ("12.5", "-12.5", "out-of-range"),
            ("4.2", "1e999", "number-too-large"),
            ("\"user_123456\"", "\"\"", "empty-id"),
            ("\"user_123456\"", "\"a\\u0000b\"", "control-character"),
            ("\"1.0\"", "\"2.0\"", "unsupported-version"),
            ("\"resource_usage\"", "\"other\"", "event-type"),
            ("1626350400", "1626350430", "period-order"),
            ("1626350400", "-1", "out-of-range"),
            // As the numbers stand, this period does not start before its end.
            ("1626350400", "1626350400000", "not-seconds"),
            (":30,", ":30.5,", "wrong-type"),
        ] {
            let refused = read(from, to).map_err(|findings| codes(&findings));
            assert_eq!(refused, Err(vec![code]), "{to}");
        }
        assert!(read("12.5", "12.5").is_ok_and(|(_, found)| found.is_empty()));
    }

    #[test]
    fn each_instance_is_reported_once_for_each_kind() {
        let mut watch = ImplausibleWatch::default();
        let mut report = |instance: &str, cpu: f64, timestamp: i64| {
            let mut event = UsageEvent { instance_id: instance.into(), timestamp, ..sample() };
            event.metrics.cpu_percent_avg = cpu;
            let found = event_implausible(&event, &RULES).unwrap();
            codes(&watch.unreported(&event, found, &RULES))
        };
        assert_eq!(report("a", 1250.0, 1_626_350_430), ["percentage-times-100"]);
        assert!(report("a", 1300.0, 1_626_350_430).is_empty());
        assert_eq!(report("b", 1250.0, 1_626_350_430), ["percentage-times-100"]);
        assert_eq!(report("a", 1250.0, 1_626_350_000), ["stamped-early"]);
        assert!(report("c", 12.5, 1_626_350_430).is_empty());
    }

    #[test]
    fn a_counter_that_is_never_reset_is_reported_once() {
        let mut watch = ImplausibleWatch::default();
        let mut reported = Vec::new();
        let mut events_at_report = 0;
        for n in 0..100 {
            let mut event = sample();
            event.metrics.cpu_seconds = 1000 + n;
            let found = watch.running_totals(&event);
            reported.extend(watch.unreported(&event, found, &RULES).iter().map(ToString::to_string));
            events_at_report += u64::from(reported.is_empty());
        }
        assert_eq!(
            (reported.len(), events_at_report),
            (1, u64::from(MAX_GROWTH)),
            "after 32 that grew, as in validate"
        );
        assert!(reported[0].contains("running-total") && reported[0].contains("metrics.cpu_seconds"), "{reported:?}");
    }

    #[test]
    fn memory_is_bounded_whoever_sends() {
        let mut watch = ImplausibleWatch::default();
        let mut reports = 0;
        for n in 0..200_000 {
            let mut event = UsageEvent { instance_id: n.to_string(), ..sample() };
            event.metrics.cpu_percent_avg = if n % 2 == 0 { 1250.0 } else { 12.5 };
            watch.running_totals(&event);
            let found = event_implausible(&event, &RULES).unwrap();
            reports += watch.unreported(&event, found, &RULES).len();
        }
        assert!(watch.instances.len() <= MAX_INSTANCES);
        assert!((MAX_INSTANCES / 2..=MAX_INSTANCES).contains(&reports), "{reports}");
    }

    #[test]
    fn times_that_can_only_be_finer_than_seconds_are_read_as_seconds() {
        let mut event = sample();
        assert!(matches!(in_seconds(&event), Cow::Borrowed(_)));
        event.timestamp = 1_626_350_430_001;
        event.period = UsagePeriod { start: 1_626_350_400_100, end: 1_626_350_400_600 };
        let read = in_seconds(&event);
        assert_eq!(read.timestamp, 1_626_350_431);
        assert_eq!(read.period, UsagePeriod { start: 1_626_350_400, end: 1_626_350_401 });
        event.period = UsagePeriod { start: i64::MAX - 1, end: i64::MAX };
        assert!(in_seconds(&event).period.end < MILLISECONDS_FROM);
    }
}
