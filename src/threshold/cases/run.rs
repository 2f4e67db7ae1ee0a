//! Runs a case and compares.

use std::fmt;

use serde::Serialize;

use super::{Case, ExpectedAlert, ExpectedState, ExpectedViolation, series};
use crate::events::UsageEvent;
use crate::threshold::alert::{AlertState, AlertStates, ThresholdAlert};
use crate::threshold::config::ThresholdViolation;
use crate::threshold::evaluate::ThresholdSet;
use crate::units::{TimeSpan, figure};

/// The steps in which the clock runs on behind the last event, in seconds.
const TICK: i64 = 30;

/// Why a case can't be run, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseError(String);

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CaseError {}

/// Which side has what the other lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Expected, and it did not happen.
    Expected,
    /// It happened, and was not expected.
    Found,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Whose it is.
    pub side: Side,
    /// `violations`, `alerts` or `states`.
    pub list: &'static str,
    /// When, in seconds from the start of the case.
    pub at: i64,
    /// What, for people: `cpu-high on web-1: firing at 5m`.
    pub what: String,
}

/// What came of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseResult {
    /// The case's name.
    pub name: String,
    /// How many events it had.
    pub events: usize,
    /// All differences, by list and time; none where the case holds.
    pub differences: Vec<Difference>,
    /// What may explain them, for people: a threshold that alerts or states are expected of, and that has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl CaseResult {
    /// Whether everything is as expected.
    #[must_use]
    pub const fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

impl Case {
    /// Runs the case against `set`.
    ///
    /// # Errors
    /// When it can't be run: a series that makes no sense, a threshold that is not there, a time behind another.
    pub fn run(&self, set: &ThresholdSet) -> Result<CaseResult, CaseError> {
        let refuse = |why: String| CaseError(format!("case {:?}: {why}", self.name));
        let start = self.start.or_else(|| self.events.iter().map(|event| event.period.start).min()).unwrap_or(0);
        for (list, id) in self.named() {
            if set.find(id).is_none() {
                let ids: Vec<&str> = set.configs().map(|config| config.id.as_str()).take(10).collect();
                return Err(refuse(format!("{list}: there is no threshold {id:?}; there are {}", ids.join(", "))));
            }
        }
        let mut events: Vec<UsageEvent> = Vec::new();
        for text in &self.series {
            events.extend(series::events(text, start).map_err(refuse)?);
        }
        events.sort_by_key(|event| event.period.end);
        events.extend(self.events.iter().cloned());
        let mut run = Run { case: self, set, start, differences: Vec::new(), told: Vec::new(), violations: Vec::new() };
        run.replay(&events);
        run.compare_violations(&events);
        run.compare_alerts();
        let mut differences = run.differences;
        differences.sort_by(|a, b| (a.list, a.at, a.side as u8).cmp(&(b.list, b.at, b.side as u8)));
        let hints = if differences.is_empty() { Vec::new() } else { self.hints(set) };
        Ok(CaseResult { name: self.name.clone(), events: events.len(), differences, hints })
    }

    /// Why some of what is expected can never be, whatever the events are.
    fn hints(&self, set: &ThresholdSet) -> Vec<String> {
        let mut hints = Vec::new();
        for (list, id) in self.named() {
            let Some(threshold) = set.find(id).map(|compiled| &*compiled.config) else { continue };
            let hint = if !threshold.enabled {
                format!("{id} is not enabled, so nothing comes of it")
            } else if list != "violations" && !threshold.has_states() {
                format!(
                    "{id} has no states, so each violation is told by itself: expect it in `violations`, or give the threshold a `for`, `clear_value`, `repeat_interval` or `no_data`"
                )
            } else {
                continue;
            };
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints
    }

    /// The ids of the thresholds that something is expected of.
    fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let violations = self.violations.iter().flatten().map(|it| ("violations", it.threshold.as_str()));
        let alerts = self.alerts.iter().flatten().map(|it| ("alerts", it.threshold.as_str()));
        violations.chain(alerts).chain(self.states.iter().map(|it| ("states", it.threshold.as_str())))
    }
}

struct Run<'a> {
    case: &'a Case,
    set: &'a ThresholdSet,
    start: i64,
    differences: Vec<Difference>,
    told: Vec<ThresholdAlert>,
    /// Each with the end of its event's period.
    violations: Vec<(i64, ThresholdViolation)>,
}

impl Run<'_> {
    fn replay(&mut self, events: &[UsageEvent]) {
        let mut states = AlertStates::new(0);
        let mut wanted: Vec<&ExpectedState> = self.case.states.iter().collect();
        wanted.sort_by_key(|it| std::cmp::Reverse(it.at));
        for event in events {
            self.look(&states, &mut wanted, event.period.end - self.start);
            self.violations.extend(self.set.violations(event).into_iter().map(|it| (event.period.end, it)));
            self.told.extend(states.observe(self.set, event));
        }
        let end = events.iter().map(|event| event.period.end).max().unwrap_or(self.start) - self.start;
        let mut now = end;
        states.tick(self.set, now);
        while let Some(until) = self.case.until.filter(|until| now < until.seconds()) {
            self.look(&states, &mut wanted, now);
            now = (now + TICK).min(until.seconds());
            self.told.extend(states.tick(self.set, now));
        }
        self.look(&states, &mut wanted, i64::MAX);
    }

    /// Compares the states that are wanted before `now`.
    fn look(&mut self, states: &AlertStates, wanted: &mut Vec<&ExpectedState>, now: i64) {
        while let Some(it) = wanted.pop_if(|it| it.at.seconds() < now) {
            let status = states.status(&it.threshold, &it.instance);
            let found = status.map_or(AlertState::Ok, |status| status.state);
            if found == it.state {
                continue;
            }
            let place = format!("{} on {}", it.threshold, it.instance);
            let since = status.map_or_else(String::new, |status| format!(" since {}", span(status.since - self.start)));
            self.differ("states", Side::Expected, it.at.seconds(), format!("{place}: {} at {}", it.state, it.at));
            self.differ("states", Side::Found, it.at.seconds(), format!("{place}: {found}{since} at {}", it.at));
        }
    }

    fn differ(&mut self, list: &'static str, side: Side, at: i64, what: String) {
        self.differences.push(Difference { side, list, at, what });
    }

    fn compare_violations(&mut self, events: &[UsageEvent]) {
        let Some(expected) = &self.case.violations else { return };
        let mut found = std::mem::take(&mut self.violations);
        for it in expected {
            let ends = self.ends_of(it, events);
            if ends.is_empty() {
                self.differ(
                    "violations",
                    Side::Expected,
                    it.at.seconds(),
                    format!("{}, no event", describe(it, it.at.seconds())),
                );
            }
            for end in ends {
                let fits = |(at, violation): &(i64, ThresholdViolation)| {
                    *at == end
                        && violation.config.id == it.threshold
                        && violation.instance_id == it.instance
                        && it.value.is_none_or(|value| is_near(value, violation.current_value))
                };
                match found.iter().position(fits) {
                    Some(index) => {
                        found.remove(index);
                    }
                    None => {
                        let at = end - self.start;
                        self.differ("violations", Side::Expected, at, describe(it, at));
                    }
                }
            }
        }
        for (end, violation) in found {
            let at = end - self.start;
            let what = format!(
                "{} on {}: {} {} at {}",
                violation.config.id,
                violation.instance_id,
                figure(violation.current_value),
                violation.config.threshold_type.unit(),
                span(at)
            );
            self.differ("violations", Side::Found, at, what);
        }
    }

    /// The ends of the periods that an expectation is about.
    fn ends_of(&self, it: &ExpectedViolation, events: &[UsageEvent]) -> Vec<i64> {
        let Some(to) = it.to else { return vec![self.start + it.at.seconds()] };
        let within = self.start + it.at.seconds()..=self.start + to.seconds();
        let of_it = events.iter().filter(|event| event.instance_id == it.instance);
        of_it.map(|event| event.period.end).filter(|end| within.contains(end)).collect()
    }

    fn compare_alerts(&mut self) {
        let Some(expected) = &self.case.alerts else { return };
        let mut found = std::mem::take(&mut self.told);
        for it in expected {
            let fits = |alert: &ThresholdAlert| {
                alert.kind == it.kind
                    && alert.at - self.start == it.at.seconds()
                    && alert.violation.config.id == it.threshold
                    && alert.violation.instance_id == it.instance
                    && it.value.is_none_or(|value| is_near(value, alert.violation.current_value))
            };
            match found.iter().position(fits) {
                Some(index) => {
                    found.remove(index);
                }
                None => {
                    let ExpectedAlert { threshold, instance, kind, at, .. } = it;
                    let value = it.value.map_or_else(String::new, |value| format!(" with {}", figure(value)));
                    let what = format!("{threshold} on {instance}: {kind} at {at}{value}");
                    self.differ("alerts", Side::Expected, at.seconds(), what);
                }
            }
        }
        for alert in found {
            let (violation, at) = (&alert.violation, alert.at - self.start);
            let reason = alert.reason.map_or_else(String::new, |reason| format!(", {reason}"));
            let what = format!(
                "{} on {}: {} at {} with {} {}{reason}",
                violation.config.id,
                violation.instance_id,
                alert.kind,
                span(at),
                figure(violation.current_value),
                violation.config.threshold_type.unit(),
            );
            self.differ("alerts", Side::Found, at, what);
        }
    }
}

fn describe(it: &ExpectedViolation, at: i64) -> String {
    let value = it.value.map_or_else(String::new, |value| format!("{} ", figure(value)));
    format!("{} on {}: {value}at {}", it.threshold, it.instance, span(at))
}

/// Equal but for what a step such as `0+0.1x10` adds up.
fn is_near(expected: f64, found: f64) -> bool {
    (expected - found).abs() <= 1e-9 * expected.abs().max(1.0)
}

fn span(seconds: i64) -> String {
    match u32::try_from(seconds) {
        Ok(seconds) => TimeSpan::from_seconds(seconds).to_string(),
        Err(_) => format!("{seconds}s"),
    }
}
