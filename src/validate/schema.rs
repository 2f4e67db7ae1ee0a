//! JSON Schemas (draft 2020-12) of events and threshold files, made from the types.
//!
//! For editors and for validators in other languages. A schema can't say all of the rules: that a period ends after
//! its start, that a timestamp is not in the future, that ids count in bytes and differ. And it takes `30.0` for a
//! whole number, which readers of the format do not.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use crate::events::{MetricSet, UsageEvent};
use crate::threshold::{ResourceType, ThresholdConfig};
use crate::units::{BYTE_UNITS, TIME_UNITS};

/// The schema of a usage event.
#[must_use]
pub fn event() -> Value {
    let mut schema = generate::<UsageEvent>();
    let labels = json!({
        "description": "What the operator says of the instance: names with strings.",
        "type": "object",
        "additionalProperties": {"type": "string"},
    });
    set(&mut schema, "/properties", "labels", labels);
    let not_metered = json!({
        "description": "Metrics that could not be measured, in whole or for a part of the period: what the event has of \
                        them is a lower bound, which is 0 where nothing was measured.",
        "type": "array",
        "items": {"enum": MetricSet::all_names()},
    });
    set(&mut schema, "/properties", "not_metered", not_metered);
    describe(
        &mut schema,
        "urn:formusage:schema:event:1",
        "Usage event",
        "What one instance consumed in one period. 1 GB is 2^30 bytes, 1 MB is 2^20 bytes; times are Unix seconds. Fields \
         beyond these are allowed and ride along.",
    );
    schema
}

/// The schema of a channels file.
#[cfg(feature = "channels")]
#[must_use]
pub fn channels() -> Value {
    let mut schema = generate::<crate::channels::ChannelsConfig>();
    describe(
        &mut schema,
        "urn:formusage:schema:channels:1",
        "Channels",
        "What the channels and actions of thresholds stand for. Secrets stand in environment variables or files that it \
         names.",
    );
    schema
}

/// The schema of a threshold file: one threshold or an array of them.
#[must_use]
pub fn thresholds() -> Value {
    let mut threshold = generate::<ThresholdConfig>();
    let definitions = threshold.as_object_mut().and_then(|schema| {
        schema.remove("$schema");
        schema.remove("title");
        schema.remove("$defs")
    });
    let mut definitions = definitions.unwrap_or_else(|| json!({}));
    set(&mut threshold, "/properties/id", "minLength", json!(1));
    set(&mut threshold, "/properties/user_id", "minLength", json!(1));
    set(&mut threshold, "/properties/instance_id", "minLength", json!(1));
    set(&mut threshold, "/properties/notification_channels/items", "pattern", json!("\\S"));
    set(&mut threshold, "/properties/clear_value", "minimum", json!(0));
    set(&mut threshold, "", "allOf", Value::Array(conditions()));
    for (limit, maximum) in [("Absolute", None), ("Percentage", Some(100))] {
        for variant in
            definitions.pointer_mut("/ThresholdType/oneOf").and_then(Value::as_array_mut).into_iter().flatten()
        {
            let value = format!("/properties/{limit}/properties/value");
            set(variant, &value, "minimum", json!(0));
            if let Some(maximum) = maximum {
                set(variant, &value, "maximum", json!(maximum));
            }
        }
    }
    for variant in definitions.pointer_mut("/ThresholdType/oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        let units = format!("{} of time; {} of size, powers of 1024", TIME_UNITS.join(", "), BYTE_UNITS.join(", "));
        set(variant, "/properties/Absolute/properties/unit", "description", json!(units));
    }
    for variant in definitions.pointer_mut("/ActionType/oneOf").and_then(Value::as_array_mut).into_iter().flatten() {
        set(variant, "/properties/Action", "pattern", json!("\\S"));
    }
    if let Some(definitions) = definitions.as_object_mut() {
        definitions.insert("ThresholdConfig".into(), threshold);
    }
    let one = json!({"$ref": "#/$defs/ThresholdConfig"});
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "anyOf": [one, {"type": "array", "items": one}],
        "$defs": definitions,
    });
    describe(
        &mut schema,
        "urn:formusage:schema:thresholds:1",
        "Thresholds",
        "One threshold or an array of them. Their ids differ, also between files that are used together.",
    );
    schema
}

/// The schema of a file of cases: tests of thresholds.
#[must_use]
pub fn cases() -> Value {
    let mut schema = generate::<crate::threshold::cases::CaseFile>();
    describe(
        &mut schema,
        "urn:formusage:schema:cases:1",
        "Cases",
        "Tests of thresholds: events, and the violations, alerts and states that are expected of them. Times are spans \
         from the start of the case.",
    );
    schema
}

/// What depends on more than one field of a threshold.
fn conditions() -> Vec<Value> {
    let mut conditions = vec![json!({
        "if": {"properties": {"action": {"const": "Notify"}}, "required": ["action"]},
        "then": {"properties": {"notification_channels": {"minItems": 1}}, "required": ["notification_channels"]},
    })];
    let names = |keep: &dyn Fn(ResourceType) -> bool| -> Vec<&str> {
        ResourceType::ALL.into_iter().filter(|resource| keep(*resource)).map(ResourceType::name).collect()
    };
    let mut when = |resources: Vec<&str>, limit: Value| {
        conditions.push(json!({
            "if": {"properties": {"resource_type": {"enum": resources}}, "required": ["resource_type"]},
            "then": {"properties": {"threshold_type": limit}},
        }));
    };
    for units in [TIME_UNITS, BYTE_UNITS] {
        let limit = json!({"properties": {"Absolute": {"properties": {"unit": {"enum": units}}}}});
        when(names(&|resource| resource.units() == units), limit);
    }
    when(names(&|resource| resource.percent_metric().is_none()), json!({"required": ["Absolute"]}));
    conditions
}

fn generate<T: JsonSchema>() -> Value {
    let mut schema = SchemaGenerator::new(SchemaSettings::draft2020_12()).into_root_schema_for::<T>().to_value();
    plain_descriptions(&mut schema);
    schema
}

/// Makes plain text of descriptions that were written as documentation of Rust: their first paragraph, without links.
fn plain_descriptions(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if key == "description" => {
                        let first = text.split("\n\n").next().unwrap_or_default();
                        *text = first.replace("[`", "`").replace("`]", "`").replace('\n', " ");
                    }
                    other => plain_descriptions(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain_descriptions),
        _ => {}
    }
}

fn describe(schema: &mut Value, id: &str, title: &str, description: &str) {
    set(schema, "", "$id", json!(id));
    set(schema, "", "title", json!(title));
    set(schema, "", "description", json!(description));
}

/// Sets `key` of the object at `pointer`, where there is one.
fn set(schema: &mut Value, pointer: &str, key: &str, value: Value) {
    if let Some(object) = schema.pointer_mut(pointer).and_then(Value::as_object_mut) {
        object.insert(key.into(), value);
    }
}
