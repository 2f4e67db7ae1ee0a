//! Each fault of a threshold.

use super::{THRESHOLD, rows};
use crate::validate::{Severity, threshold_findings};

#[test]
fn each_fault_of_a_threshold_is_one_finding() {
    for (from, to, code, pointer, hint) in [
        ("\"Cpu\"", "\"Cpuu\"", "unknown-variant", "/resource_type", "\"Cpu\"?"),
        ("\"Cpu\"", "\"Storage\"", "no-percentage", "/threshold_type/Percentage", "\"GB\""),
        ("\"Cpu\"", "\"Gpu\"", "no-percentage", "/threshold_type/Percentage", "\"min\""),
        ("\"Cpu\"", "null", "wrong-type", "/resource_type", "one of Cpu"),
        ("80.0", "180", "out-of-range", "/threshold_type/Percentage/value", "0 to 100"),
        ("80.0", "-0.5", "out-of-range", "/threshold_type/Percentage/value", "negative"),
        ("80.0", "\"80\"", "wrong-type", "/threshold_type/Percentage/value", "a number"),
        ("80.0", "80.0,\"unit\":\"%\"", "unknown-field", "/threshold_type/Percentage/unit", "no `unit`"),
        ("{\"value\":80.0}", "80", "wrong-type", "/threshold_type/Percentage", "{\"Percentage\":{"),
        ("\"Percentage\"", "\"percentage\"", "unknown-variant", "/threshold_type/percentage", "\"Percentage\"?"),
        ("{\"Percentage\":{\"value\":80.0}}", "\"Percentage\"", "wrong-type", "/threshold_type", "{\"Percentage\":{"),
        ("{\"Percentage\":{\"value\":80.0}}", "{}", "wrong-type", "/threshold_type", "exactly one"),
        (
            "\"Percentage\":{\"value\":80.0}",
            "\"Absolute\":{\"value\":1,\"unit\":\"GB\"}",
            "unit-mismatch",
            "/threshold_type/Absolute/unit",
            "s, min, h",
        ),
        (
            "\"Percentage\":{\"value\":80.0}",
            "\"Absolute\":{\"value\":1,\"unit\":\"minutes\"}",
            "unknown-unit",
            "/threshold_type/Absolute/unit",
            "\"min\"?",
        ),
        (
            "\"Percentage\":{\"value\":80.0}",
            "\"Absolute\":{\"value\":1}",
            "missing-field",
            "/threshold_type/Absolute",
            "unit",
        ),
        ("[\"email\"]", "[]", "no-channels", "/notification_channels", "\"Log\""),
        (",\"notification_channels\":[\"email\"]", "", "no-channels", "/action", "\"Log\""),
        ("[\"email\"]", "\"email\"", "wrong-type", "/notification_channels", "array"),
        ("[\"email\"]", "[\" \"]", "empty-id", "/notification_channels/0", "channel"),
        ("\"Notify\"", "\"notify\"", "unknown-variant", "/action", "\"Notify\"?"),
        ("\"Notify\"", "\"Action\"", "wrong-type", "/action", "{\"Action\":\"NAME\"}"),
        ("\"Notify\"", "{\"Action\":\"\"}", "empty-id", "/action/Action", "action"),
        ("\"cpu-high\"", "\"\"", "empty-id", "/id", "`id`"),
        ("\"user_id\":\"*\",", "", "missing-field", "", "`user_id`"),
        ("\"user_id\"", "\"userid\"", "misspelt-field", "/userid", "`user_id`?"),
        ("\"action\"", "\"descripton\":\"x\",\"action\"", "unknown-field", "/descripton", "`description`?"),
        ("\"action\"", "\"for\":300,\"action\"", "wrong-type", "/for", "did you mean \"5m\"?"),
        ("\"action\"", "\"for\":\"5 minutes\",\"action\"", "invalid-span", "/for", "did you mean \"5m\"?"),
        ("\"action\"", "\"repeat_interval\":\"often\",\"action\"", "invalid-span", "/repeat_interval", "1h30m"),
        ("\"action\"", "\"repeat_interval\":[],\"action\"", "wrong-type", "/repeat_interval", "1h30m"),
        ("\"action\"", "\"clear_value\":80.5,\"action\"", "out-of-range", "/clear_value", "at most 80"),
        ("\"action\"", "\"clear_value\":-1,\"action\"", "out-of-range", "/clear_value", "at least 0"),
        ("\"action\"", "\"clear_value\":\"70\",\"action\"", "wrong-type", "/clear_value", "a number"),
        ("\"action\"", "\"severity\":\"crit\",\"action\"", "unknown-variant", "/severity", "\"critical\"?"),
        ("\"action\"", "\"severity\":1,\"action\"", "wrong-type", "/severity", "info, warning"),
        ("\"action\"", "\"enabled\":null,\"action\"", "wrong-type", "/enabled", "true or false"),
        ("\"action\"", "\"no_data\":\"Keep\",\"action\"", "unknown-variant", "/no_data", "\"keep\"?"),
        ("\"action\"", "\"no_data_after\":1200,\"action\"", "wrong-type", "/no_data_after", "did you mean \"20m\"?"),
        ("\"action\"", "\"no_data_after\":\"0s\",\"action\"", "out-of-range", "/no_data_after", "at least 1s"),
        ("\"action\"", "\"no_data_after\":\"7d\",\"action\"", "out-of-range", "/no_data_after", "less than 7d"),
        ("\"action\"", "\"no_data_aftr\":\"1h\",\"action\"", "unknown-field", "/no_data_aftr", "`no_data_after`?"),
        (
            "\"action\"",
            "\"repeat_intervall\":\"1h\",\"action\"",
            "unknown-field",
            "/repeat_intervall",
            "`repeat_interval`?",
        ),
        ("\"action\"", "\"instance_id\":\"\",\"action\"", "empty-id", "/instance_id", "\"*\""),
        ("\"action\"", "\"description\":5,\"action\"", "wrong-type", "/description", "string"),
        ("{\"id\"", "[{\"id\"", "unclosed", "", "`[`"),
    ] {
        assert!(THRESHOLD.contains(from), "{from}");
        let found = threshold_findings(THRESHOLD.replacen(from, to, 1).as_bytes());
        assert_eq!(found.len(), 1, "{to}: {found:?}");
        assert_eq!((found[0].code.as_str(), rows(&found)[0].3.as_str()), (code, pointer), "{to}");
        assert_eq!(found[0].severity, Severity::Error, "{to}");
        assert!(found[0].to_string().contains(hint), "{}", found[0]);
    }
}

#[test]
fn a_threshold_without_a_fault_has_no_finding() {
    for (from, to) in [
        ("\"id\"", "\"id\""),
        ("80.0", "0"),
        ("80.0", "99.9"),
        ("\"Percentage\":{\"value\":80.0}", "\"Absolute\":{\"value\":0.5,\"unit\":\"h\"}"),
        ("\"action\"", "\"instance_id\":null,\"description\":null,\"action\""),
        ("\"action\"", "\"for\":null,\"clear_value\":null,\"repeat_interval\":null,\"severity\":null,\"action\""),
        ("\"action\"", "\"for\":\"1h 30min\",\"clear_value\":80.0,\"repeat_interval\":\"2h\",\"action\""),
        ("\"action\"", "\"severity\":\"critical\",\"enabled\":false,\"no_data\":\"alert\",\"action\""),
        ("\"action\"", "\"no_data\":\"alert\",\"no_data_after\":\"25m\",\"action\""),
        ("\"Notify\"", "{\"Action\":\"scale-down\"}"),
    ] {
        let text = THRESHOLD.replacen(from, to, 1);
        assert_eq!(threshold_findings(text.as_bytes()), [], "{text}");
        let bom = format!("\u{feff}[{text}]");
        assert_eq!(threshold_findings(bom.as_bytes()), [], "{text}");
    }
}

#[test]
fn what_has_no_finding_is_what_a_source_can_read() {
    for text in [THRESHOLD.to_owned(), THRESHOLD.replace("\"Notify\"", "\"Log\"")] {
        assert_eq!(threshold_findings(text.as_bytes()), []);
        assert!(serde_json::from_str::<crate::threshold::ThresholdConfig>(&text).is_ok());
    }
}

#[test]
fn ids_that_stand_twice_in_a_file_are_found() {
    let found = threshold_findings(format!("[{THRESHOLD},\n{THRESHOLD}]").as_bytes());
    assert_eq!(rows(&found), [("duplicate-id", 2, 7, "/1/id".into())]);
    assert!(found[0].to_string().contains("line 1"), "{}", found[0]);
    assert_eq!(rows(&threshold_findings(b"[]")), [("empty", 1, 1, String::new())]);
}

/// A server could name a description of 30 MB, which each violation carried.
#[test]
fn texts_of_a_threshold_are_limited() {
    let long = |bytes: usize| "x".repeat(bytes);
    let channels = |count: usize| format!("[{}\"y\"]", "\"x\",".repeat(count - 1));
    for (from, at_most, over, code) in [
        ("\"cpu-high\"", format!("\"{}\"", long(256)), format!("\"{}\"", long(257)), "id-too-long"),
        ("\"*\"", format!("\"{}\"", long(256)), format!("\"{}\"", long(257)), "id-too-long"),
        ("\"email\"", format!("\"{}\"", long(256)), format!("\"{}\"", long(257)), "id-too-long"),
        (
            "\"Notify\"",
            format!("{{\"Action\":\"{}\"}}", long(256)),
            format!("{{\"Action\":\"{}\"}}", long(257)),
            "id-too-long",
        ),
        ("[\"email\"]", channels(64), channels(65), "out-of-range"),
        (
            "\"user_id\"",
            format!("\"description\":\"{}\",\"user_id\"", long(4096)),
            format!("\"description\":\"{}\",\"user_id\"", long(4097)),
            "too-long",
        ),
    ] {
        let codes = |to: &str| -> Vec<&str> {
            let findings = threshold_findings(THRESHOLD.replacen(from, to, 1).as_bytes());
            findings.iter().filter(|it| it.severity == Severity::Error).map(|it| it.code.as_str()).collect()
        };
        assert_eq!(codes(&at_most), [""; 0], "{from}");
        assert_eq!(codes(&over), [code], "{from}");
    }
}
