//! A threshold in a text: its shape, its types, its units, each fault with its place.
//!
//! A field that a threshold does not know is an error, not a warning as in an event: it would be a limit, or a
//! condition on one, that nobody watches.

use super::content::ThresholdIds;
use super::finding::NOTHING;
use super::id_characters::{id_oddity, refused_in_id};
use super::json::{Member, Node, Value, quote};
use super::names::nearest;
use super::shape::{Context, Field, Fields, Spot, optional, required};
use super::{Bindings, Code, Finding, Place, Severity, states};
use crate::events::MAX_ID_BYTES;
use crate::threshold::{MAX_CHANNELS, MAX_DESCRIPTION_BYTES, ResourceType, ThresholdConfig};
use crate::units::{BYTE_UNITS, TIME_UNITS, bytes_per, seconds_per};

const FIELDS: &[Field] = &[
    required("id"),
    required("resource_type"),
    required("threshold_type"),
    required("action"),
    required("user_id"),
    optional("instance_id"),
    optional("notification_channels"),
    optional("description"),
    states::FIELDS[0],
    states::FIELDS[1],
    states::FIELDS[2],
    states::FIELDS[3],
    states::FIELDS[4],
    states::FIELDS[5],
    states::FIELDS[6],
];

/// Where [`states::FIELDS`] begin.
const STATES: usize = 8;

const ABSOLUTE_FIELDS: &[Field] = &[required("value"), required("unit")];
const PERCENTAGE_FIELDS: &[Field] = &[required("value")];

const ANSWER: &str = "{\"Percentage\":{\"value\":80.0}} or {\"Absolute\":{\"value\":4.0,\"unit\":\"GB\"}}";

/// The most memory that one machine may have, in bytes: 128 TiB.
const MOST_MEMORY: f64 = 140_737_488_355_328.0;
/// The most of any other size: 1 EiB.
const MOST_BYTES: f64 = 1_152_921_504_606_846_976.0;
/// The most CPU or GPU time of a period, in seconds: a million hours.
const MOST_SECONDS: f64 = 3.6e9;

/// Behind so many faulty thresholds of a file no further one is looked at.
const MAX_FAULTY: u64 = 10_000;

/// What thresholds are held against, beyond themselves.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// Thresholds that had an error so far.
    faulty: u64,
    pub(super) ids: ThresholdIds,
    /// What channels and actions are bound; `None` where that is not known.
    pub(super) bindings: Option<Bindings>,
    /// The period of events in seconds; 0 where it is not known.
    pub(super) period: i64,
}

/// Reports every fault of a file: one threshold or an array of them. `file` is what it is called where an id stands
/// twice.
pub(super) fn check_file(root: &Node<'_>, run: &mut Run, file: &str, context: &mut Context<'_, '_>) {
    let root = Spot::root(root);
    match &root.node.value {
        Value::Array(items) => {
            if items.is_empty() {
                context.report(
                    root.node.start,
                    "",
                    Finding::warning(Code::Empty, "the array holds no threshold").help(NOTHING),
                );
            }
            for (index, item) in items.iter().enumerate() {
                if run.faulty >= MAX_FAULTY {
                    let message =
                        format!("{MAX_FAULTY} thresholds before this one are faulty: from here on none is looked at");
                    return context.report(item.start, "", Finding::error(Code::TooLong, message));
                }
                let _ = check(&root.item(index, item), run, file, context);
            }
        }
        Value::Object(_) => {
            let _ = check(&root, run, file, context);
        }
        _ => context.wrong_type(&root, "the file", "a threshold or an array of thresholds"),
    }
}

/// Reports every fault of the threshold that `spot` is taken to be. Gives it, and its place, where it has no error.
pub(super) fn check(
    spot: &Spot<'_>,
    run: &mut Run,
    file: &str,
    context: &mut Context<'_, '_>,
) -> Option<(ThresholdConfig, Place)> {
    let Value::Object(members) = &spot.node.value else {
        context.wrong_type(spot, "a threshold", "an object");
        run.faulty += 1;
        return None;
    };
    let mut errors = false;
    let text = context.text;
    let report = &mut |finding: Finding| {
        let finding = finding.with_unknown_fields_as_errors();
        errors |= finding.severity == Severity::Error;
        (context.report)(finding);
    };
    check_fields(spot, members, run, file, &mut Context { text, report });
    if errors {
        run.faulty += 1;
        return None;
    }
    let own = text.as_str().get(spot.node.start..)?;
    let config =
        <ThresholdConfig as serde::Deserialize>::deserialize(&mut serde_json::Deserializer::from_str(own)).ok()?;
    Some((config, text.place(spot.node.start, &*spot.pointer)))
}

fn check_fields(spot: &Spot<'_>, members: &[Member<'_>], run: &mut Run, file: &str, context: &mut Context<'_, '_>) {
    let fields = Fields::of(spot.clone(), members, "", FIELDS, context);
    if let Some((spot, id)) = id(fields.get(0), "id", context) {
        let place = context.text.place(spot.node.start, "");
        if let Some(first) = run.ids.insert(id, file, place.line) {
            let finding = Finding::error(Code::DuplicateId, format!("the id {} is taken", quote(id)))
                .found(format!("the same id at {first}"))
                .help("every threshold needs an id of its own");
            context.report(spot.node.start, &spot.pointer, finding);
        }
    }
    let resource = fields.get(1).and_then(|spot| resource(spot, context));
    let limit = fields.get(2).and_then(|spot| limit(spot, resource, context));
    let notify = fields.get(3).is_some_and(|spot| action(spot, run.bindings.as_ref(), context));
    id(fields.get(4), "user_id", context);
    if let Some(spot) = fields.get(5).filter(|spot| !matches!(spot.node.value, Value::Null)) {
        id(Some(spot), "instance_id", context);
    }
    let channels = fields.get(6).map(|spot| (spot, channels(spot, run.bindings.as_ref(), context)));
    if notify {
        let finding = Finding::error(Code::NoChannels, "`Notify` has nowhere to go")
            .expected("at least one channel")
            .help("name channels in `notification_channels`, or use the action \"Log\"");
        match channels {
            Some((spot, Some(0))) => context.report(spot.node.start, &spot.pointer, finding),
            None => {
                if let Some(action) = fields.get(3) {
                    context.report(action.node.start, &action.pointer, finding);
                }
            }
            Some(_) => {}
        }
    }
    if let Some(spot) = fields.get(7) {
        match &spot.node.value {
            Value::Null => {}
            Value::String(text) => {
                if let Some(finding) = too_long("`description`", text, Code::TooLong, MAX_DESCRIPTION_BYTES) {
                    context.report(spot.node.start, &spot.pointer, finding);
                }
            }
            _ => context.wrong_type(spot, "description", "a string or null"),
        }
    }
    states::check(|index| fields.get(STATES + index), limit, run.period, context);
    fields.report_rest(context, |_| None);
}

/// A text that is longer than `most` bytes: every alert carries it.
fn too_long(name: &str, text: &str, code: Code, most: usize) -> Option<Finding> {
    let finding = |bytes: usize| {
        Finding::error(code, format!("{name} is too long"))
            .found(format!("{bytes} bytes"))
            .expected(format!("at most {most}"))
    };
    (text.len() > most).then(|| finding(text.len()))
}

/// What keeps a text from being an id, or a name that thresholds go by.
fn refused_as_id(name: &str, text: &str) -> Option<Finding> {
    too_long(name, text, Code::IdTooLong, MAX_ID_BYTES).or_else(|| refused_in_id(name, text))
}

/// A string that is not empty and holds what an id may hold.
fn id<'s, 'n>(
    spot: Option<&'s Spot<'n>>,
    name: &str,
    context: &mut Context<'_, '_>,
) -> Option<(&'s Spot<'n>, &'n str)> {
    let spot = spot?;
    match &spot.node.value {
        Value::String(text) if text.is_empty() => {
            let finding = Finding::error(Code::EmptyId, format!("`{name}` is empty")).help("name it");
            let finding = if name == "id" { finding } else { finding.help("write \"*\" for all of them") };
            context.report(spot.node.start, &spot.pointer, finding);
            None
        }
        Value::String(text) => {
            if let Some(finding) = refused_as_id(&format!("`{name}`"), text) {
                context.report(spot.node.start, &spot.pointer, finding);
            } else if let Some(oddity) = id_oddity(text) {
                context.report(spot.node.start, &spot.pointer, oddity.finding(name));
            }
            Some((spot, text))
        }
        _ => {
            context.wrong_type(spot, name, "a string");
            None
        }
    }
}

fn resource(spot: &Spot<'_>, context: &mut Context<'_, '_>) -> Option<ResourceType> {
    let names = ResourceType::ALL.map(ResourceType::name);
    let Value::String(text) = &spot.node.value else {
        context.wrong_type(spot, "resource_type", &one_of(&names));
        return None;
    };
    let found = ResourceType::ALL.into_iter().find(|resource| resource.name() == text);
    if found.is_none() {
        context.report(spot.node.start, &spot.pointer, unknown_variant("resource_type", text, &names));
    }
    found
}

/// The limit: an object with one member, the kind of limit. Its number, where there is one.
fn limit(spot: &Spot<'_>, resource: Option<ResourceType>, context: &mut Context<'_, '_>) -> Option<f64> {
    const KINDS: [&str; 2] = ["Absolute", "Percentage"];
    let Value::Object(members) = &spot.node.value else {
        context.wrong_type(spot, "threshold_type", ANSWER);
        return None;
    };
    let [member] = members.as_slice() else {
        let finding = Finding::error(Code::WrongType, "`threshold_type` does not have exactly one limit")
            .found(format!("{} members", members.len()))
            .expected(ANSWER);
        context.report(spot.node.start, &spot.pointer, finding);
        return None;
    };
    let inner = spot.member(member);
    let absolute = match &*member.key {
        "Absolute" => true,
        "Percentage" => false,
        other => {
            let finding = unknown_variant("threshold_type", other, &KINDS);
            context.report(member.start, &inner.pointer, finding);
            nearest(other, KINDS)? == "Absolute"
        }
    };
    let (prefix, known) = if absolute { ("Absolute.", ABSOLUTE_FIELDS) } else { ("Percentage.", PERCENTAGE_FIELDS) };
    if let (false, Some(resource)) = (absolute, resource)
        && resource.percent_metric().is_none()
    {
        let finding = Finding::error(Code::NoPercentage, format!("{resource} has no percentage: events carry none"))
            .expected(format!("Absolute, in one of {}", resource.units().join(", ")))
            .help(format!("write {{\"Absolute\":{{\"value\":…,\"unit\":\"{}\"}}}}", usual_unit(resource)));
        context.report(member.start, &inner.pointer, finding);
    }
    let Value::Object(members) = &inner.node.value else {
        context.wrong_type(&inner, prefix.trim_end_matches('.'), ANSWER);
        return None;
    };
    let fields = Fields::of(inner.clone(), members, prefix, known, context);
    let value = fields.get(0).and_then(|spot| value(spot, absolute, context));
    let scale = match fields.get(1) {
        Some(spot) if absolute => unit(spot, resource, context),
        Some(spot) => {
            unit(spot, resource, context);
            None
        }
        None => None,
    };
    if let (Some(spot), Some(resource), Some(value)) = (fields.get(0), resource, value) {
        possible(spot, resource, value, if absolute { scale } else { Some(0.0) }, context);
    }
    fields.report_rest(context, |name| (!absolute && name == "unit").then(|| "a percentage has no `unit`".to_owned()));
    value
}

/// The number of a limit, where it can be one.
fn value(spot: &Spot<'_>, absolute: bool, context: &mut Context<'_, '_>) -> Option<f64> {
    let Value::Number(text) = spot.node.value else {
        context.wrong_type(spot, "value", "a number");
        return None;
    };
    let value = serde_json::from_str::<f64>(text).ok()?;
    let finding = if value < 0.0 {
        Finding::error(Code::OutOfRange, "`value` is negative").expected("at least 0")
    } else if !absolute && value > 100.0 {
        Finding::error(Code::OutOfRange, "`value` is over 100 percent, which nothing can exceed").expected("0 to 100")
    } else {
        return Some(value);
    };
    context.report(spot.node.start, &spot.pointer, finding.found(spot.node.describe()));
    None
}

/// Warns of a limit that nothing or everything exceeds; `scale` is 0 for a percentage.
fn possible(spot: &Spot<'_>, resource: ResourceType, value: f64, scale: Option<f64>, context: &mut Context<'_, '_>) {
    let Some(scale) = scale else {
        return;
    };
    let gauge = matches!(resource, ResourceType::Memory | ResourceType::Storage);
    let most = match resource {
        ResourceType::Cpu | ResourceType::Gpu => MOST_SECONDS,
        ResourceType::Memory => MOST_MEMORY,
        ResourceType::Storage | ResourceType::NetworkEgress | ResourceType::NetworkIngress => MOST_BYTES,
    };
    let finding = if scale <= 0.0 && value >= 100.0 {
        Finding::warning(Code::NeverExceeded, "nothing is over 100 percent, and exceeded means strictly greater")
            .expected("less than 100")
    } else if value * scale > most {
        Finding::warning(Code::NeverExceeded, format!("no event has as much {resource} as this limit"))
            .help("look at the unit: it is larger than what was counted in")
    } else if value <= 0.0 && gauge {
        Finding::warning(Code::AlwaysExceeded, format!("every event has more {resource} than this limit"))
            .expected("more than 0")
    } else {
        return;
    };
    context.report(spot.node.start, &spot.pointer, finding.found(spot.node.describe()));
}

/// Checks the unit; how many bytes or seconds it has.
#[allow(clippy::cast_precision_loss)] // at most 2^40
fn unit(spot: &Spot<'_>, resource: Option<ResourceType>, context: &mut Context<'_, '_>) -> Option<f64> {
    let Value::String(text) = &spot.node.value else {
        context.wrong_type(spot, "unit", "a string");
        return None;
    };
    let text = &**text;
    let known = |units: &[&str]| units.contains(&text);
    let all: Vec<&str> = BYTE_UNITS.iter().chain(TIME_UNITS).copied().collect();
    let fitting: &[&str] = match resource {
        Some(resource) => resource.units(),
        None => &all,
    };
    let finding = if known(fitting) {
        return bytes_per(text).or_else(|| seconds_per(text)).map(|scale| scale as f64);
    } else if let (true, Some(resource)) = (known(&all), resource) {
        let measured = if resource.units() == TIME_UNITS { "time" } else { "size" };
        Finding::error(Code::UnitMismatch, format!("{} is no unit of {resource}, which is a {measured}", quote(text)))
            .expected(one_of(fitting))
    } else {
        let finding =
            Finding::error(Code::UnknownUnit, format!("unknown unit {}", quote(text))).expected(one_of(fitting));
        // A unit of something else would only be the next mistake.
        let meant = nearest_unit(text).filter(|unit| fitting.contains(unit));
        match meant.or_else(|| nearest(text, fitting.iter().copied())) {
            Some(unit) => finding.help(format!("did you mean \"{unit}\"?")),
            None if text == "%" => finding.help("write a percentage as {\"Percentage\":{\"value\":80.0}}"),
            None => finding,
        }
    };
    context.report(spot.node.start, &spot.pointer, finding);
    None
}

/// The unit that people mean by a word.
fn nearest_unit(text: &str) -> Option<&'static str> {
    let unit = match text.trim().to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => "B",
        "k" | "kb" | "kilobyte" | "kilobytes" => "KB",
        "mb" | "megabyte" | "megabytes" => "MB",
        "g" | "gb" | "gigabyte" | "gigabytes" => "GB",
        "t" | "tb" | "terabyte" | "terabytes" => "TB",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "min",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        _ => return None,
    };
    Some(unit)
}

const fn usual_unit(resource: ResourceType) -> &'static str {
    match resource {
        ResourceType::Cpu | ResourceType::Gpu => "min",
        ResourceType::Memory | ResourceType::Storage => "GB",
        ResourceType::NetworkEgress | ResourceType::NetworkIngress => "MB",
    }
}

/// Checks the action; true when it is `Notify`.
fn action(spot: &Spot<'_>, bindings: Option<&Bindings>, context: &mut Context<'_, '_>) -> bool {
    const ANSWER: &str = "\"Log\", \"Notify\" or {\"Action\":\"NAME\"}";
    match &spot.node.value {
        Value::String(text) => match &**text {
            "Log" => {}
            "Notify" => return true,
            "Action" => {
                let finding = Finding::error(Code::WrongType, "`action` lacks the name of what to run")
                    .found("\"Action\"")
                    .expected("{\"Action\":\"NAME\"}");
                context.report(spot.node.start, &spot.pointer, finding);
            }
            other => {
                let finding = unknown_variant("action", other, &["Log", "Notify", "Action"]).expected(ANSWER);
                context.report(spot.node.start, &spot.pointer, finding);
            }
        },
        Value::Object(members) => match members.as_slice() {
            [member] if member.key == "Action" => {
                let inner = spot.member(member);
                match &inner.node.value {
                    Value::String(name) if name.trim().is_empty() => {
                        let finding = Finding::error(Code::EmptyId, "the name of the action is empty").help("name it");
                        context.report(inner.node.start, &inner.pointer, finding);
                    }
                    Value::String(name) => {
                        if let Some(finding) = refused_as_id("the name of the action", name) {
                            context.report(inner.node.start, &inner.pointer, finding);
                        } else if let Some(bindings) = bindings.filter(|bindings| !bindings.actions.contains(&**name)) {
                            let known = bindings.actions.iter().map(String::as_str);
                            let finding = unbound(Code::UnboundAction, "action", name, known.collect());
                            context.report(inner.node.start, &inner.pointer, finding);
                        }
                    }
                    _ => context.wrong_type(&inner, "Action", "a string, the name of what to run"),
                }
            }
            [member] => {
                let finding = unknown_variant("action", &member.key, &["Action"]).expected(ANSWER);
                context.report(member.start, &spot.member(member).pointer, finding);
            }
            _ => context.wrong_type(spot, "action", ANSWER),
        },
        _ => context.wrong_type(spot, "action", ANSWER),
    }
    false
}

/// Checks the channels; how many there are, where they are a list.
fn channels(spot: &Spot<'_>, bindings: Option<&Bindings>, context: &mut Context<'_, '_>) -> Option<usize> {
    let Value::Array(items) = &spot.node.value else {
        context.wrong_type(spot, "notification_channels", "an array of names");
        return None;
    };
    if items.len() > MAX_CHANNELS {
        let finding = Finding::error(Code::OutOfRange, "`notification_channels` names too many channels")
            .found(items.len().to_string())
            .expected(format!("at most {MAX_CHANNELS}"));
        context.report(spot.node.start, &spot.pointer, finding);
        return None;
    }
    for (index, item) in items.iter().enumerate() {
        let item = spot.item(index, item);
        match &item.node.value {
            Value::String(name) if name.trim().is_empty() => {
                let finding = Finding::error(Code::EmptyId, "the name of a channel is empty").help("name it");
                context.report(item.node.start, &item.pointer, finding);
            }
            Value::String(name) => {
                if let Some(finding) = refused_as_id("the name of a channel", name) {
                    context.report(item.node.start, &item.pointer, finding);
                } else if let Some(bindings) = bindings.filter(|bindings| !bindings.channels.contains(&**name)) {
                    let known = bindings.channels.iter().map(String::as_str);
                    let finding = unbound(Code::UnboundChannel, "channel", name, known.collect());
                    context.report(item.node.start, &item.pointer, finding);
                }
            }
            _ => context.wrong_type(&item, "notification_channels", "names"),
        }
    }
    Some(items.len())
}

/// So many bound names are shown.
const NAMES_SHOWN: usize = 10;

fn unbound(code: Code, what: &str, name: &str, known: Vec<&str>) -> Finding {
    let finding = Finding::error(code, format!("the {what} {} is not bound in the channels file", quote(name)));
    match nearest(name, known.iter().copied()) {
        Some(near) => finding.help(format!("did you mean \"{near}\"?")),
        None if known.is_empty() => finding.help(format!("the channels file binds no {what}")),
        None => {
            let more = known.len().saturating_sub(NAMES_SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let names: Vec<_> = known.into_iter().take(NAMES_SHOWN).collect();
            finding.help(format!("it binds {}{more}", names.join(", ")))
        }
    }
}

fn unknown_variant(field: &str, found: &str, known: &[&str]) -> Finding {
    let finding =
        Finding::error(Code::UnknownVariant, format!("`{field}` has no {}", quote(found))).expected(one_of(known));
    match nearest(found, known.iter().copied()) {
        Some(name) => finding.help(format!("did you mean \"{name}\"?")),
        None => finding,
    }
}

fn one_of(names: &[&str]) -> String {
    format!("one of {}", names.join(", "))
}

/// Whether an object with these keys was meant to be a threshold.
pub(super) fn looks_like_threshold(node: &Node<'_>) -> bool {
    let Value::Object(members) = &node.value else {
        return false;
    };
    let has = |name: &str| members.iter().any(|member| member.key == name);
    has("threshold_type") || has("resource_type") || has("notification_channels")
}
