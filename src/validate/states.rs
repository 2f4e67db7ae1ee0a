//! The fields of a threshold whose violations have states: how long, until when, how often, how bad.

use super::json::{Value, quote};
use super::names::nearest;
use super::shape::{Context, Field, Spot, optional};
use super::{Code, Finding};
use crate::threshold::{AlertSeverity, FORGET_AFTER, NoData};
use crate::units::TimeSpan;

/// They stand behind the others.
pub(super) const FIELDS: [Field; 7] = [
    optional("for"),
    optional("clear_value"),
    optional("repeat_interval"),
    optional("severity"),
    optional("enabled"),
    optional("no_data"),
    optional("no_data_after"),
];

/// Reports every fault of the fields that are there; `field` gives each by its place in [`FIELDS`], `limit` is the
/// threshold's, where it can be read; `period` is that of events in seconds, 0 where it is not known.
pub(super) fn check<'s, 'n: 's>(
    field: impl Fn(usize) -> Option<&'s Spot<'n>>,
    limit: Option<f64>,
    period: i64,
    context: &mut Context<'_, '_>,
) {
    // `enabled` takes no null: what it would mean is anybody's guess. For the others it is as good as nothing.
    if let Some(spot) = field(4).filter(|spot| !matches!(spot.node.value, Value::Bool(_))) {
        context.wrong_type(spot, "enabled", "true or false");
    }
    let field = |index| field(index).filter(|spot| !matches!(spot.node.value, Value::Null));
    for (index, name) in [(0, "for"), (2, "repeat_interval")] {
        if let Some(spot) = field(index) {
            let span = span(spot, name, context);
            if let Some(span) = span.filter(|span| name == "for" && period > 0 && span.seconds() % period != 0) {
                let (below, above) = (span.seconds() / period * period, (span.seconds() / period + 1) * period);
                let multiple = |seconds| u32::try_from(seconds).map(TimeSpan::from_seconds).unwrap_or_default();
                let finding =
                    Finding::warning(Code::HoldBetweenPeriods, "`for` is no multiple of the period of events")
                        .found(spot.node.describe())
                        .expected(match below {
                            0 => format!("\"{}\"", multiple(above)),
                            _ => format!("\"{}\" or \"{}\"", multiple(below), multiple(above)),
                        })
                        .help(format!("events come every {} (--period says otherwise)", multiple(period)));
                context.report(spot.node.start, &spot.pointer, finding);
            }
        }
    }
    if let Some(spot) = field(1) {
        clear_value(spot, limit, context);
    }
    if let Some(spot) = field(3) {
        one_of(spot, "severity", &AlertSeverity::ALL.map(AlertSeverity::name), context);
    }
    if let Some(spot) = field(5) {
        one_of(spot, "no_data", &NoData::ALL.map(NoData::name), context);
    }
    if let Some(spot) = field(6) {
        // A policy that is misspelt has its own finding.
        let is_kept = field(5).is_none_or(|spot| matches!(&spot.node.value, Value::String(text) if text == "keep"));
        no_data_after(spot, is_kept, period, context);
    }
}

fn no_data_after(spot: &Spot<'_>, is_kept: bool, period: i64, context: &mut Context<'_, '_>) {
    let Some(after) = span(spot, "no_data_after", context) else { return };
    let multiple = |count: i64| u32::try_from(period * count).map(TimeSpan::from_seconds).unwrap_or_default();
    let finding = if after.seconds() == 0 {
        Finding::error(Code::OutOfRange, "`no_data_after` is no time at all").expected("at least 1s")
    } else if after.seconds() >= FORGET_AFTER {
        Finding::error(Code::OutOfRange, "`no_data_after` is longer than an instance is remembered")
            .expected("less than 7d")
    } else if after.seconds() <= period {
        Finding::warning(Code::SilenceWithinPeriod, "`no_data_after` is no longer than the period of events")
            .expected(format!("more than one period, such as \"{}\"", multiple(3)))
            .help(format!("events come every {} (--period says otherwise)", multiple(1)))
    } else if is_kept {
        Finding::warning(Code::SilenceNotTold, "`no_data_after` is set, and nobody is told of a silence")
            .expected("`no_data` set to \"alert\" or \"resolve\"")
    } else {
        return;
    };
    context.report(spot.node.start, &spot.pointer, finding.found(spot.node.describe()));
}

pub(super) fn span(spot: &Spot<'_>, name: &str, context: &mut Context<'_, '_>) -> Option<TimeSpan> {
    const EXPECTED: &str = "a span of time like \"30s\", \"5m\" or \"1h30m\"";
    let text = match &spot.node.value {
        Value::String(text) => &**text,
        // Nobody could tell whether 300 means seconds or milliseconds.
        Value::Number(text) => text,
        _ => {
            context.wrong_type(spot, name, EXPECTED);
            return None;
        }
    };
    let is_text = matches!(spot.node.value, Value::String(_));
    let meant = match text.parse::<TimeSpan>() {
        Ok(span) if is_text => return Some(span),
        Ok(meant) => Some(meant),
        Err(error) => error.meant(),
    };
    let (code, message) = if is_text {
        (Code::InvalidSpan, format!("`{name}` is no span of time"))
    } else {
        (Code::WrongType, format!("`{name}` lacks a unit"))
    };
    let finding = Finding::error(code, message).found(spot.node.describe()).expected(EXPECTED);
    let finding = match meant {
        Some(meant) => finding.help(format!("did you mean \"{meant}\"?")),
        None => finding,
    };
    context.report(spot.node.start, &spot.pointer, finding);
    None
}

fn clear_value(spot: &Spot<'_>, limit: Option<f64>, context: &mut Context<'_, '_>) {
    let Value::Number(text) = spot.node.value else {
        return context.wrong_type(spot, "clear_value", "a number, in the unit of the limit");
    };
    let Ok(value) = serde_json::from_str::<f64>(text) else {
        return;
    };
    let finding = if value < 0.0 {
        Finding::error(Code::OutOfRange, "`clear_value` is negative").expected("at least 0")
    } else if let Some(limit) = limit.filter(|limit| value > *limit) {
        Finding::error(Code::OutOfRange, "`clear_value` is above the limit, so that what fires would be over at once")
            .expected(format!("at most {limit}, the limit"))
            .help("an alert ends when the value has fallen to `clear_value`; choose one below the limit")
    } else {
        return;
    };
    context.report(spot.node.start, &spot.pointer, finding.found(spot.node.describe()));
}

pub(super) fn one_of(spot: &Spot<'_>, name: &str, known: &[&str], context: &mut Context<'_, '_>) {
    let expected = format!("one of {}", known.join(", "));
    let Value::String(text) = &spot.node.value else {
        return context.wrong_type(spot, name, &expected);
    };
    if known.contains(&&**text) {
        return;
    }
    let finding = Finding::error(Code::UnknownVariant, format!("`{name}` has no {}", quote(text))).expected(expected);
    let finding = match nearest(text, known.iter().copied()) {
        Some(name) => finding.help(format!("did you mean \"{name}\"?")),
        None => finding,
    };
    context.report(spot.node.start, &spot.pointer, finding);
}
