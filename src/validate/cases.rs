//! A file with tests of thresholds in a text: each fault with its place.
//!
//! An unknown field is an error, as in a threshold: it would be an expectation that nobody holds anything against.
//! Thresholds that stand in the file itself are validated too; those of other files are not looked at here.

use std::collections::HashMap;

use super::json::{Value, quote};
use super::names::nearest;
use super::shape::{Context, Field, Fields, Spot, not_null, optional, required, text};
use super::states::{one_of, span};
use super::{Code, EventRules, Finding, event, threshold};
use crate::threshold::cases::check_series;
use crate::threshold::{AlertKind, AlertState};

const FILE: &[Field] = &[required("cases"), optional("threshold_files"), optional("thresholds")];
const CASE: &[Field] = &[
    required("name"),
    optional("start"),
    optional("series"),
    optional("events"),
    optional("until"),
    optional("violations"),
    optional("alerts"),
    optional("states"),
];
const VIOLATION: &[Field] =
    &[required("threshold"), required("instance"), required("at"), optional("to"), optional("value")];
const ALERT: &[Field] =
    &[required("threshold"), required("instance"), required("at"), required("kind"), optional("value")];
const STATE: &[Field] = &[required("threshold"), required("instance"), required("at"), required("state")];

/// A series, for messages.
const SERIES: &str = "\"instance web-1: cpu_percent_avg 50x10 95x20, every 1m\"";

/// What a state can do; what has no states stands among the violations.
const KINDS: [AlertKind; 5] =
    [AlertKind::Pending, AlertKind::Firing, AlertKind::Repeat, AlertKind::Resolved, AlertKind::NoData];

/// Whether an object with these keys was meant to be a file of cases.
pub(super) fn looks_like_cases(node: &super::json::Node<'_>) -> bool {
    let Value::Object(members) = &node.value else { return false };
    members.iter().any(|member| ["cases", "threshold_files"].contains(&&*member.key))
}

/// Reports every fault of the file of cases that `spot` is taken to be. How many cases it has.
pub(super) fn check(spot: &Spot<'_>, file: &str, context: &mut Context<'_, '_>) -> u64 {
    let Value::Object(members) = &spot.node.value else {
        context.wrong_type(spot, "a file of cases", "an object with `cases`");
        return 0;
    };
    let text = context.text;
    let report = &mut |finding: Finding| (context.report)(finding.with_unknown_fields_as_errors());
    let context = &mut Context { text, report };
    let fields = Fields::of(spot.clone(), members, "", FILE, context);
    if let Some(spot) = fields.get(1) {
        for name in items(spot, "threshold_files", "an array of files or folders", context) {
            self::text(Some(&name), "threshold_files", context);
        }
    }
    // Ids of their own: the same may well stand in the file that is in force.
    let mut run = threshold::Run::default();
    if let Some(spot) = fields.get(2) {
        for item in items(spot, "thresholds", "an array of thresholds", context) {
            threshold::check(&item, &mut run, file, context);
        }
    }
    let from_files =
        fields.get(1).is_some_and(|spot| !matches!(&spot.node.value, Value::Array(list) if list.is_empty()));
    let known: Option<Vec<&str>> =
        (!from_files).then(|| fields.get(2).map(ids)).flatten().filter(|ids| !ids.is_empty());
    let mut count = 0;
    if let Some(spot) = fields.get(0) {
        let cases = items(spot, "cases", "an array of cases", context);
        if cases.is_empty() && matches!(spot.node.value, Value::Array(_)) {
            let finding =
                Finding::error(Code::EmptyList, "`cases` holds no case").help("a file without one tests nothing");
            context.report(spot.node.start, &spot.pointer, finding);
        }
        let mut names = HashMap::new();
        for item in &cases {
            count += 1;
            case(item, known.as_deref(), &mut names, context);
        }
    }
    fields.report_rest(context, |_| None);
    count
}

/// The ids of the thresholds that stand in the file.
fn ids<'n>(thresholds: &Spot<'n>) -> Vec<&'n str> {
    let Value::Array(list) = &thresholds.node.value else { return Vec::new() };
    let id = |node: &'n super::json::Node<'n>| match &node.value {
        Value::Object(members) => members.iter().find_map(|member| match &member.node.value {
            Value::String(id) if member.key == "id" => Some(&**id),
            _ => None,
        }),
        _ => None,
    };
    list.iter().filter_map(id).collect()
}

/// The items of an array; none, and a finding, where it is something else.
fn items<'n>(spot: &Spot<'n>, name: &str, expected: &str, context: &mut Context<'_, '_>) -> Vec<Spot<'n>> {
    match &spot.node.value {
        Value::Array(list) => list.iter().enumerate().map(|(index, node)| spot.item(index, node)).collect(),
        _ => {
            context.wrong_type(spot, name, expected);
            Vec::new()
        }
    }
}

fn case<'n>(spot: &Spot<'n>, known: Option<&[&str]>, names: &mut HashMap<&'n str, u64>, context: &mut Context<'_, '_>) {
    let Value::Object(members) = &spot.node.value else {
        return context.wrong_type(spot, "a case", "an object with a `name`, events and what is expected of them");
    };
    let fields = Fields::of(spot.clone(), members, "", CASE, context);
    if let Some(name) = fields.get(0)
        && text(Some(name), "name", context).is_some()
        && let Value::String(written) = &name.node.value
    {
        let line = context.text.place(name.node.start, "").line;
        match names.get(&**written) {
            Some(first) => {
                let finding =
                    Finding::error(Code::DuplicateId, format!("another case is called {} too", quote(written)))
                        .found(format!("the same name at line {first}"))
                        .help("give each a name of its own, by which its failures are known");
                context.report(name.node.start, &name.pointer, finding);
            }
            None => {
                names.insert(written, line);
            }
        }
    }
    let mut start = 0;
    if let Some(spot) = not_null(fields.get(1)) {
        match spot.node.value {
            Value::Number(text) if text.parse::<i64>().is_ok() => start = text.parse().unwrap_or_default(),
            _ => context.wrong_type(spot, "start", "a Unix time in whole seconds"),
        }
    }
    if let Some(spot) = fields.get(2) {
        for item in items(spot, "series", "an array of texts", context) {
            series(&item, start, context);
        }
    }
    if let Some(spot) = fields.get(3) {
        // Whenever it is: a case has a clock of its own.
        let rules = EventRules::at(i64::MAX / 2);
        for item in items(spot, "events", "an array of events", context) {
            event::check(&item, &rules, context);
        }
    }
    if let Some(spot) = not_null(fields.get(4)) {
        span(spot, "until", context);
    }
    let lists: [(usize, &str, &[Field]); 3] =
        [(5, "violations", VIOLATION), (6, "alerts", ALERT), (7, "states", STATE)];
    let mut expects = false;
    for (index, name, known_fields) in lists {
        let spot = fields.get(index);
        let Some(spot) = (if name == "states" { spot } else { not_null(spot) }) else { continue };
        let expected = items(spot, name, "an array of objects", context);
        expects |= name != "states" || !expected.is_empty();
        for item in expected {
            expectation(&item, name, known_fields, known, context);
        }
    }
    if !expects {
        let finding = Finding::warning(Code::EmptyList, "the case expects nothing, and so it always passes").help(
            "add `violations`, `alerts` or `states`; an empty list of the first two expects that nothing happens",
        );
        context.report(spot.node.start, &spot.pointer, finding);
    }
    fields.report_rest(context, |_| None);
}

fn series(spot: &Spot<'_>, start: i64, context: &mut Context<'_, '_>) {
    let Value::String(written) = &spot.node.value else {
        return context.wrong_type(spot, "series", &format!("a text like {SERIES}"));
    };
    if let Err(why) = check_series(written, start) {
        let finding = Finding::error(Code::InvalidSeries, why);
        context.report(spot.node.start, &spot.pointer, finding.help(format!("write it as in {SERIES}")));
    }
}

/// One violation, alert or state that is expected.
fn expectation(
    spot: &Spot<'_>,
    list: &str,
    known_fields: &'static [Field],
    known: Option<&[&str]>,
    context: &mut Context<'_, '_>,
) {
    let Value::Object(members) = &spot.node.value else {
        return context.wrong_type(spot, list, "an object with `threshold`, `instance` and `at`");
    };
    let fields = Fields::of(spot.clone(), members, "", known_fields, context);
    if let Some(spot) = fields.get(0)
        && let Some(id) = text(Some(spot), "threshold", context)
        && let Some(known) = known.filter(|known| !known.contains(&id))
    {
        let finding = Finding::error(Code::UnknownVariant, format!("there is no threshold {}", quote(id)))
            .expected(format!("one of {}", known.join(", ")));
        let finding = match nearest(id, known.iter().copied()) {
            Some(near) => finding.help(format!("did you mean \"{near}\"?")),
            None => finding,
        };
        context.report(spot.node.start, &spot.pointer, finding);
    }
    text(fields.get(1), "instance", context);
    if let Some(spot) = fields.get(2) {
        span(spot, "at", context);
    }
    match (list, fields.get(3)) {
        ("violations", Some(spot)) => {
            if let Some(spot) = not_null(Some(spot)) {
                span(spot, "to", context);
            }
        }
        ("alerts", Some(spot)) => one_of(spot, "kind", &KINDS.map(AlertKind::name), context),
        (_, Some(spot)) => one_of(spot, "state", &AlertState::ALL.map(AlertState::name), context),
        (_, None) => {}
    }
    if let Some(spot) = not_null(fields.get(4)).filter(|spot| !matches!(spot.node.value, Value::Number(_))) {
        context.wrong_type(spot, "value", "a number, in the unit of the threshold");
    }
    fields.report_rest(context, |_| None);
}
