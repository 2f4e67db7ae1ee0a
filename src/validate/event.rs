//! An event in a text: its shape, its types and the rules, each fault with its place.

use super::continuity::Metered;
use super::json::{Node, Value, quote};
use super::plausible::oddities;
use super::rules::{Field as Name, Values, faults};
use super::shape::{Context, Field, Fields, Spot, optional, required};
use super::{Code, EventRules, Finding, Severity};
use crate::events::MetricSet;

/// The fields of an event, in the order in which they are written.
pub(super) const EVENT_FIELDS: &[Field] = &[
    required("event_type"),
    required("version"),
    required("timestamp"),
    required("instance_id"),
    required("user_id"),
    optional("org_id"),
    required("metrics"),
    required("period"),
    optional("labels"),
    optional("not_metered"),
];

const METRICS_FIELDS: &[Field] = &[
    required("cpu_seconds"),
    required("cpu_percent_avg"),
    required("memory_gb"),
    required("memory_percent"),
    required("storage_gb"),
    required("network_egress_mb"),
    required("network_ingress_mb"),
    required("gpu_seconds"),
];

const PERIOD_FIELDS: &[Field] = &[required("start"), required("end")];

/// Reports every fault of the event that `spot` is taken to be. Gives what continuity is judged by, the digest excepted,
/// where the event has as much.
pub(super) fn check<'n>(spot: &Spot<'n>, rules: &EventRules, context: &mut Context<'_, '_>) -> Option<Metered<'n>> {
    check_with(spot, rules, Severity::Error, context)
}

/// The same, where `implausible` is the severity of what is delivered all the same.
pub(super) fn check_with<'n>(
    spot: &Spot<'n>,
    rules: &EventRules,
    implausible: Severity,
    context: &mut Context<'_, '_>,
) -> Option<Metered<'n>> {
    let Value::Object(members) = &spot.node.value else {
        context.wrong_type(spot, "the event", "an object");
        return None;
    };
    let mut event = Fields::of(spot.clone(), members, "", EVENT_FIELDS, context);
    let mut metrics = inner(event.get(6), "metrics", "metrics.", METRICS_FIELDS, context);
    let mut period = inner(event.get(7), "period", "period.", PERIOD_FIELDS, context);
    for object in [&mut metrics, &mut period].into_iter().flatten() {
        event.take_misplaced(object, context);
    }

    if let Some(labels) = event.get(8) {
        check_labels(labels, context);
    }
    if let Some(names) = event.get(9) {
        check_not_metered(names, context);
    }

    let mut reader = Reader { context, spots: Vec::new() };
    let mut values = Values {
        event_type: reader.string(event.get(0), Name::EventType),
        version: reader.string(event.get(1), Name::Version),
        timestamp: reader.seconds(event.get(2), Name::Timestamp),
        instance_id: reader.string(event.get(3), Name::InstanceId),
        user_id: reader.string(event.get(4), Name::UserId),
        org_id: reader.string_or_null(event.get(5), Name::OrgId),
        ..Values::default()
    };
    if let Some(metrics) = &metrics {
        values.cpu_seconds = reader.counter(metrics.get(0), Name::CpuSeconds);
        values.cpu_percent_avg = reader.figure(metrics.get(1), Name::CpuPercentAvg);
        values.memory_gb = reader.figure(metrics.get(2), Name::MemoryGb);
        values.memory_percent = reader.figure(metrics.get(3), Name::MemoryPercent);
        values.storage_gb = reader.figure(metrics.get(4), Name::StorageGb);
        values.network_egress_mb = reader.figure(metrics.get(5), Name::NetworkEgressMb);
        values.network_ingress_mb = reader.figure(metrics.get(6), Name::NetworkIngressMb);
        values.gpu_seconds = reader.counter(metrics.get(7), Name::GpuSeconds);
    }
    if let Some(period) = &period {
        values.start = reader.seconds(period.get(0), Name::Start);
        values.end = reader.seconds(period.get(1), Name::End);
    }

    let Reader { context, spots } = reader;
    let mut at_its_field = |name: Name, finding: Finding| match spots.iter().find(|(field, _)| *field == name) {
        Some((_, spot)) => context.report(spot.node.start, &spot.pointer, finding),
        None => (context.report)(finding),
    };
    faults(&values, rules, |fault| at_its_field(fault.field, fault.finding(implausible)));
    oddities(&values, |oddity| at_its_field(oddity.field, oddity.into_finding()));
    event.report_rest(context, |name| {
        let inside = |fields: &[Field]| fields.iter().any(|field| field.name == name);
        let object = if inside(METRICS_FIELDS) { "metrics" } else { inside(PERIOD_FIELDS).then_some("period")? };
        Some(format!("`{name}` is a field of `{object}`, not of the event itself"))
    });
    for object in [metrics, period].into_iter().flatten() {
        object.report_rest(context, |_| None);
    }
    values.metered()
}

/// The object inside the event that `spot` is; `None` where it is absent or no object.
fn inner<'n>(
    spot: Option<&Spot<'n>>,
    name: &str,
    prefix: &'static str,
    known: &'static [Field],
    context: &mut Context<'_, '_>,
) -> Option<Fields<'n>> {
    let spot = spot?;
    match &spot.node.value {
        Value::Object(members) => Some(Fields::of(spot.clone(), members, prefix, known, context)),
        _ => {
            context.wrong_type(spot, name, "an object");
            None
        }
    }
}

/// What the event says beside: names with strings.
fn check_labels(spot: &Spot<'_>, context: &mut Context<'_, '_>) {
    let Value::Object(members) = &spot.node.value else {
        return context.wrong_type(spot, "labels", "an object of strings");
    };
    for member in members {
        if !matches!(member.node.value, Value::String(_) | Value::Broken) {
            let help = matches!(member.node.value, Value::Number(_)).then(|| "put it in quotes".to_owned());
            let finding =
                Finding::error(Code::WrongType, format!("the label {} has the wrong type", quote(&member.key)))
                    .found(member.node.describe())
                    .expected("a string");
            context.report(member.node.start, &spot.member(member).pointer, Finding { help, ..finding });
        }
    }
}

/// Which metrics could not be measured: an array of their names.
fn check_not_metered(spot: &Spot<'_>, context: &mut Context<'_, '_>) {
    let Value::Array(items) = &spot.node.value else {
        return context.wrong_type(spot, "not_metered", "an array of names of metrics");
    };
    for (index, item) in items.iter().enumerate() {
        let name = if let Value::String(name) = &item.value { name.as_ref() } else { "" };
        if MetricSet::all_names().contains(&name) || matches!(item.value, Value::Broken) {
            continue;
        }
        let near = super::names::nearest(name, MetricSet::all_names().iter().copied());
        let help = near.map(|near| format!("did you mean {}?", quote(near)));
        let finding = Finding::error(Code::WrongType, "`not_metered` names something that is no metric".to_owned())
            .found(item.describe())
            .expected("a metric of the event");
        context.report(item.start, &spot.item(index, item).pointer, Finding { help, ..finding });
    }
}

/// Reads values by their types, and remembers where they stand.
struct Reader<'r, 'c, 't, 'n> {
    context: &'r mut Context<'c, 't>,
    spots: Vec<(Name, Spot<'n>)>,
}

impl<'n> Reader<'_, '_, '_, 'n> {
    fn string(&mut self, spot: Option<&Spot<'n>>, field: Name) -> Option<&'n str> {
        let spot = self.note(spot?, field);
        match &spot.node.value {
            Value::String(text) => Some(text),
            Value::Number(_) => self.wrong(&spot, field, "a string", Some("put it in quotes".into())),
            _ => self.wrong(&spot, field, "a string", None),
        }
    }

    fn string_or_null(&mut self, spot: Option<&Spot<'n>>, field: Name) -> Option<&'n str> {
        let spot = self.note(spot?, field);
        match &spot.node.value {
            Value::String(text) => Some(text),
            Value::Null => None,
            _ => self.wrong(&spot, field, "a string or null", None),
        }
    }

    fn figure(&mut self, spot: Option<&Spot<'n>>, field: Name) -> Option<f64> {
        let spot = self.note(spot?, field);
        match &spot.node.value {
            Value::Number(text) => serde_json::from_str(text).ok(),
            Value::String(text) if serde_json::from_str::<f64>(text).is_ok() => {
                self.wrong(&spot, field, "a number", Some("remove the quotes".into()))
            }
            _ => self.wrong(&spot, field, "a number", None),
        }
    }

    /// A point in time: `i64`.
    fn seconds(&mut self, spot: Option<&Spot<'n>>, field: Name) -> Option<i64> {
        self.integer(spot, field, "whole Unix seconds")
    }

    /// A counter: `u64`.
    fn counter(&mut self, spot: Option<&Spot<'n>>, field: Name) -> Option<u64> {
        self.integer(spot, field, "whole seconds, at least 0")
    }

    fn integer<T: serde::de::DeserializeOwned>(
        &mut self,
        spot: Option<&Spot<'n>>,
        field: Name,
        expected: &str,
    ) -> Option<T> {
        let spot = self.note(spot?, field);
        let text = match &spot.node.value {
            Value::Number(text) => *text,
            Value::String(text) if serde_json::from_str::<i64>(text).is_ok() => {
                return self.wrong(&spot, field, expected, Some("remove the quotes".into()));
            }
            Value::String(_) if matches!(field, Name::Timestamp | Name::Start | Name::End) => {
                return self.wrong(&spot, field, expected, Some("write it as `date +%s` does".into()));
            }
            _ => return self.wrong(&spot, field, expected, None),
        };
        if let Ok(value) = serde_json::from_str(text) {
            return Some(value);
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.bytes().all(|byte| byte.is_ascii_digit()) && digits != "0" {
            let wrong = if text.len() > digits.len() { "is negative" } else { "is past what 64 bits hold" };
            let finding = Finding::error(Code::OutOfRange, format!("`{}` {wrong}", field.name()))
                .found(spot.node.describe())
                .expected(expected)
                .help(super::rules::COMPUTED);
            self.context.report(spot.node.start, &spot.pointer, finding);
            return None;
        }
        // Up to 2^53 a float holds every whole number.
        let whole = serde_json::from_str::<f64>(text).ok().filter(|value| value.fract() == 0.0 && value.abs() < 9e15);
        let help = match whole {
            Some(value) => format!("write {}", value.abs()),
            None => "round it; what is left over belongs into the next period".into(),
        };
        self.wrong(&spot, field, expected, Some(help))
    }

    fn note(&mut self, spot: &Spot<'n>, field: Name) -> Spot<'n> {
        self.spots.push((field, spot.clone()));
        spot.clone()
    }

    fn wrong<T>(&mut self, spot: &Spot<'_>, field: Name, expected: &str, help: Option<String>) -> Option<T> {
        if !matches!(spot.node.value, Value::Broken) {
            let finding = Finding::error(Code::WrongType, format!("`{}` has the wrong type", field.name()))
                .found(spot.node.describe())
                .expected(expected);
            self.context.report(spot.node.start, &spot.pointer, Finding { help, ..finding });
        }
        None
    }
}

/// Whether an object with these keys was meant to be an event.
pub(super) fn looks_like_event(node: &Node<'_>) -> bool {
    let Value::Object(members) = &node.value else {
        return false;
    };
    let has = |name: &str| members.iter().any(|member| member.key == name);
    let known = EVENT_FIELDS.iter().filter(|field| has(field.name)).count();
    has("event_type") || has("metrics") || has("period") || known >= 3
}
