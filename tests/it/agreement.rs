//! The JSON Schema of events and the validator, held against each other by an independent judge on mutated events.
//!
//! The schema can't say all of the rules. What it passes and the validator refuses has one of the codes of
//! [`BEYOND_THE_SCHEMA`]; what it refuses, the validator refuses too.

use std::collections::BTreeMap;

use form_usage_events::validate::{Code, EventRules, Severity, line_findings, schema};

const EVENT: &str = include_str!("../fixtures/event.json");

/// Each with the reason why no schema says it.
const BEYOND_THE_SCHEMA: &[(Code, &str)] = &[
    (Code::PeriodOrder, "it compares two fields"),
    (Code::StampedEarly, "it compares two fields"),
    (Code::FutureTimestamp, "it depends on the time of day"),
    (Code::WrongType, "to a schema 30.0 is a whole number"),
    (Code::DuplicateKey, "to a schema the last of two counts"),
    (Code::IdTooLong, "a schema counts characters, the rule counts bytes"),
    (Code::TooDeep, "a schema says nothing of fields that it does not know"),
    (Code::LoneSurrogate, "readers replace it before a schema sees it"),
];

/// What is put in place of a value.
const VALUES: &[&str] = &[
    "0",
    "-0",
    "-0.0",
    "1",
    "30",
    "30.0",
    "30.5",
    "1e2",
    "1e-7",
    "-1",
    "100",
    "100.5",
    "1250",
    "1626350399",
    "1626350430",
    "1626350431",
    "1626350430000",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e309",
    "null",
    "true",
    "\"\"",
    "\"x\"",
    "\"30\"",
    "\"1.0\"",
    "\"1.7\"",
    "\"1.\"",
    "\"1.x\"",
    "\"2.0\"",
    "\"resource_usage\"",
    "\"\\u0000\"",
    "\"\\u007f\"",
    "\"\\u0085\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "[]",
    "{}",
    "[1]",
    "{\"start\":1,\"end\":2}",
];

/// The pieces of the event that are values, and those that are members.
fn pieces() -> (Vec<&'static str>, Vec<&'static str>) {
    let values = vec![
        "\"resource_usage\"",
        "\"1.0\"",
        "1626350430",
        "\"instance-abc123\"",
        "\"user_123456\"",
        "\"org_789012\"",
        ":30,",
        "12.5",
        "4.2",
        "52.5",
        "25.7",
        "15.2",
        "8.7",
        ":0}",
        "1626350400",
    ];
    let keys = vec![
        "\"event_type\"",
        "\"version\"",
        "\"timestamp\"",
        "\"instance_id\"",
        "\"user_id\"",
        "\"org_id\"",
        "\"metrics\"",
        "\"cpu_seconds\"",
        "\"memory_gb\"",
        "\"gpu_seconds\"",
        "\"period\"",
        "\"start\"",
        "\"end\"",
    ];
    (values, keys)
}

fn mutated(random: &mut fastrand::Rng) -> String {
    let (values, keys) = pieces();
    let mut text = EVENT.trim_end().to_owned();
    for _ in 0..random.usize(1..4) {
        match random.u8(0..10) {
            0..6 => {
                let from = values[random.usize(..values.len())];
                let to = VALUES[random.usize(..VALUES.len())];
                let to = match from {
                    ":30," => format!(":{to},"),
                    ":0}" => format!(":{to}}}"),
                    _ => to.to_owned(),
                };
                text = text.replacen(from, &to, 1);
            }
            6 => {
                let key = keys[random.usize(..keys.len())];
                text = text.replacen(key, ["\"x\"", "\"Version\"", "\"start\""][random.usize(..3)], 1);
            }
            7 => {
                let key = keys[random.usize(..keys.len())];
                text = text.replacen(key, &format!("{key}:{},{key}", VALUES[random.usize(..VALUES.len())]), 1);
            }
            8 => {
                let id = ["x", "é", "\\u00e9", "😀"][random.usize(..4)].repeat(random.usize(60..300));
                text = text.replacen(["instance-abc123", "user_123456", "org_789012"][random.usize(..3)], &id, 1);
            }
            _ => {
                let at = random.usize(..text.len());
                if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                    text.remove(at);
                }
            }
        }
    }
    text
}

/// 10,000 of them here; FORMUSAGE_MUTATIONS says how many else.
#[test]
fn the_schema_and_the_validator_agree_on_mutated_events() {
    let count = std::env::var("FORMUSAGE_MUTATIONS").map_or(10_000, |count| count.parse().unwrap());
    let judge = jsonschema::validator_for(&schema::event()).unwrap();
    let rules = EventRules::at(1_700_000_000);
    let mut random = fastrand::Rng::with_seed(12);
    let mut differences: BTreeMap<Code, u64> = BTreeMap::new();
    let (mut sound, mut refused) = (0u64, 0u64);
    for _ in 0..count {
        let text = mutated(&mut random);
        let errors: Vec<Code> = line_findings(text.as_bytes(), 1, &rules)
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| finding.code)
            .collect();
        let Ok(value) = serde_json::from_str(&text) else {
            assert!(!errors.is_empty(), "no JSON, and no error: {text}");
            continue;
        };
        match (judge.is_valid(&value), errors.as_slice()) {
            (true, []) => sound += 1,
            (false, []) => {
                let why: Vec<_> = judge.iter_errors(&value).map(|error| error.to_string()).collect();
                panic!("the schema alone refuses {text}: {why:?}");
            }
            (false, _) => refused += 1,
            // The first of two counts for what else is said, and a schema sees the last.
            (true, errors) if errors.contains(&Code::DuplicateKey) => {
                *differences.entry(Code::DuplicateKey).or_default() += 1;
            }
            (true, errors) => {
                for code in errors {
                    assert!(BEYOND_THE_SCHEMA.iter().any(|(known, _)| known == code), "only {code} refuses {text}");
                    *differences.entry(*code).or_default() += 1;
                }
            }
        }
    }
    assert!(sound > 0 && refused > 0, "{sound} {refused}");
    for (code, count) in &differences {
        let reason = BEYOND_THE_SCHEMA.iter().find(|(known, _)| known == code).unwrap().1;
        eprintln!("{count} times {code}, which the schema can't say: {reason}");
    }
}
