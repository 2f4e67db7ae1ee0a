//! Events in short: `instance web-1 user alice: cpu_percent_avg 50x10 95x20, every 1m, from 5m`.
//!
//! `95` is one event, `95x20` are twenty, `10+5x4` are 10, 15, 20, 25, and `_` or `_x3` are events that never came.
//! Several metrics stand behind each other with commas, each with as many values; what is not named is 0. Periods are
//! 30 s long, contiguous, and begin at the start of the case, unless `every` and `from` say otherwise.

use crate::events::metric_set::METRIC_NAMES;
use crate::events::{EVENT_TYPE, UsageEvent, UsageMetrics, UsagePeriod, VERSION};
use crate::units::TimeSpan;

/// The most events of one series.
const MOST: usize = 1_000_000;

/// Whose events they are where the series does not say.
const USER: &str = "user";

/// What is wrong with a series that starts at `start`, if anything.
pub(crate) fn check(text: &str, start: i64) -> Result<(), String> {
    events(text, start).map(drop)
}

/// The events of a series that starts at `start`; the message says what is wrong with it.
pub(super) fn events(text: &str, start: i64) -> Result<Vec<UsageEvent>, String> {
    const FORM: &str = "expected one like \"instance web-1: cpu_percent_avg 50x10 95x20, every 1m\"";
    let refuse = |why: &str| format!("series {text:?}: {why}");
    let (head, body) = text.rsplit_once(": ").ok_or_else(|| refuse(FORM))?;
    let (instance, user) = match head.split_whitespace().collect::<Vec<_>>()[..] {
        ["instance", instance] => (instance, USER),
        ["instance", instance, "user", user] => (instance, user),
        _ => return Err(refuse(FORM)),
    };
    let (mut every, mut from) = (30, 0);
    let mut metrics: Vec<(usize, Vec<Option<f64>>)> = Vec::new();
    for part in body.split(',') {
        let mut words = part.split_whitespace();
        let name = words.next().unwrap_or_default();
        let rest: Vec<&str> = words.collect();
        if matches!(name, "every" | "from") {
            let span: TimeSpan = rest.join(" ").parse().map_err(|error| refuse(&format!("{name}: {error}")))?;
            match name {
                "every" if span.seconds() == 0 => return Err(refuse("every: a period can't be empty")),
                "every" => every = span.seconds(),
                _ => from = span.seconds(),
            }
            continue;
        }
        let Some(metric) = METRIC_NAMES.iter().position(|metric| *metric == name) else {
            let meant = METRIC_NAMES.into_iter().min_by_key(|metric| strsim::damerau_levenshtein(metric, name));
            return Err(refuse(&format!(
                "unknown metric {name:?}; did you mean `{}`? There are {}, and the words `every` and `from`",
                meant.unwrap_or_default(),
                METRIC_NAMES.join(", ")
            )));
        };
        metrics.push((metric, values(&rest, metric).map_err(|why| refuse(&why))?));
    }
    let [(_, first), others @ ..] = &metrics[..] else { return Err(refuse("it names no metric")) };
    if let Some((metric, values)) = others.iter().find(|(_, values)| values.len() != first.len()) {
        let name = METRIC_NAMES.get(*metric).copied().unwrap_or_default();
        return Err(refuse(&format!("`{name}` has {} values, the first metric {}", values.len(), first.len())));
    }
    let mut events = Vec::with_capacity(first.len());
    for (n, index) in (0i64..).zip(0..first.len()) {
        let at = |values: &[Option<f64>]| values.get(index).copied().flatten();
        let figures: Option<Vec<(usize, f64)>> = metrics.iter().map(|(it, values)| Some((*it, at(values)?))).collect();
        let Some(figures) = figures else { continue };
        let begin = n.checked_mul(every).and_then(|passed| start.checked_add(from)?.checked_add(passed));
        let Some((begin, end)) = begin.and_then(|begin| Some((begin, begin.checked_add(every)?))) else {
            return Err(refuse("it reaches beyond the end of time"));
        };
        events.push(event(instance, user, UsagePeriod { start: begin, end }, &figures));
    }
    Ok(events)
}

fn values(words: &[&str], metric: usize) -> Result<Vec<Option<f64>>, String> {
    let mut values = Vec::new();
    let whole = matches!(METRIC_NAMES.get(metric), Some(&("cpu_seconds" | "gpu_seconds")));
    for word in words {
        let bad = || format!("{word:?} is no value; expected one like 95, 95x20, 10+5x4 or _x3");
        let (figure, times) = match word.split_once('x') {
            Some((figure, times)) => (figure, times.parse::<usize>().map_err(|_| bad())?),
            None => (*word, 1),
        };
        if values.len().saturating_add(times) > MOST {
            return Err(format!("{word:?}: more than {MOST} events"));
        }
        let (first, step) = match figure.split_once('+') {
            Some((first, step)) => (first, step.parse::<f64>().map_err(|_| bad())?),
            None => (figure, 0.0),
        };
        let first = if first == "_" { None } else { Some(first.parse::<f64>().map_err(|_| bad())?) };
        for n in 0..times {
            #[allow(clippy::cast_precision_loss)] // a million at most
            let value = first.map(|first| first + step * n as f64);
            if value.is_some_and(|value| !value.is_finite() || value < 0.0 || (whole && value.fract() != 0.0)) {
                let kind = if whole { "a whole number" } else { "a number" };
                return Err(format!("{word:?}: expected {kind} of at least 0"));
            }
            values.push(value);
        }
    }
    if values.is_empty() { Err("a metric has no values".to_owned()) } else { Ok(values) }
}

fn event(instance: &str, user: &str, period: UsagePeriod, figures: &[(usize, f64)]) -> UsageEvent {
    let figure = |metric: usize| figures.iter().rev().find(|(it, _)| *it == metric).map_or(0.0, |(_, value)| *value);
    // Whole and not negative, as was checked; what is beyond u64 saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = |metric: usize| figure(metric) as u64;
    UsageEvent {
        event_type: EVENT_TYPE.to_owned(),
        version: VERSION.to_owned(),
        timestamp: period.end,
        instance_id: instance.to_owned(),
        user_id: user.to_owned(),
        org_id: None,
        metrics: UsageMetrics {
            cpu_seconds: whole(0),
            cpu_percent_avg: figure(1),
            memory_gb: figure(2),
            memory_percent: figure(3),
            storage_gb: figure(4),
            network_egress_mb: figure(5),
            network_ingress_mb: figure(6),
            gpu_seconds: whole(7),
        },
        period,
    }
}
