//! Each fault of an event.

use super::{RULES, rows, sample_text, with};
use crate::events::MetricSet;
use crate::events::tests::sample;
use crate::validate::{Code, EventView, agrees, event_findings, line_findings};

#[test]
fn what_could_not_be_measured_is_a_field_of_the_format() {
    let named = with("1626350430}}", "1626350430},\"labels\":{},\"not_metered\":[\"storage_gb\",\"gpu_seconds\"]}");
    assert!(rows(&named).is_empty(), "{:?}", rows(&named));
}

#[test]
fn the_scanner_reads_which_metrics_were_not_metered() {
    let scanned = |behind: &str| {
        let line = sample_text().replacen("1626350430}}", &format!("1626350430}}{behind}}}"), 1);
        assert!(agrees(line.as_bytes(), &RULES), "{line}");
        EventView::at_start(line.as_bytes(), &RULES).map(|(view, _)| view.not_metered)
    };
    assert_eq!(scanned(""), Some(MetricSet::NONE));
    assert_eq!(scanned(",\"not_metered\":[\"storage_gb\"]"), Some(MetricSet::STORAGE));
    let two = MetricSet::CPU.union(MetricSet::GPU);
    assert_eq!(scanned(",\"not_metered\":[\"cpu_seconds\",\"cpu_percent_avg\",\"gpu_seconds\"]"), Some(two));
    for other in
        ["[]", "[\"gpu_seconds\",\"storage_gb\"]", "[\"storage_gb\",\"storage_gb\"]", "[\"storage\"]", "[1]", "null"]
    {
        assert_eq!(scanned(&format!(",\"not_metered\":{other}")), None, "{other}");
    }
    assert_eq!(scanned(",\"labels\":{}"), None);
}

#[test]
fn each_fault_of_an_event_is_one_finding() {
    let long = format!("\"{}\"", "x".repeat(257));
    for (from, to, code, pointer) in [
        ("\"cpu_seconds\"", "\"cpu_secnds\"", "misspelt-field", "/metrics/cpu_secnds"),
        ("\"instance_id\"", "\"instanceId\"", "misspelt-field", "/instanceId"),
        ("\"metrics\"", "\"metric\"", "misspelt-field", "/metric"),
        ("\"org_id\"", "\"orgid\"", "unknown-field", "/orgid"),
        ("\"period\"", "\"region\":\"eu\",\"period\"", "unknown-field", "/region"),
        ("\"user_id\":\"user_123456\",", "", "missing-field", ""),
        ("\"cpu_seconds\":30,", "", "missing-field", "/metrics"),
        ("1626350430,", "\"1626350430\",", "wrong-type", "/timestamp"),
        (":30,", ":30.5,", "wrong-type", "/metrics/cpu_seconds"),
        (":30,", ":30.0,", "wrong-type", "/metrics/cpu_seconds"),
        (":30,", ":-0,", "wrong-type", "/metrics/cpu_seconds"),
        (":30,", ":-30,", "out-of-range", "/metrics/cpu_seconds"),
        (":30,", ":18446744073709551616,", "out-of-range", "/metrics/cpu_seconds"),
        (":30,", ":null,", "wrong-type", "/metrics/cpu_seconds"),
        ("4.2", "-4.2", "out-of-range", "/metrics/memory_gb"),
        ("4.2", "\"4.2\"", "wrong-type", "/metrics/memory_gb"),
        ("4.2", "1e999", "number-too-large", "/metrics/memory_gb"),
        ("12.5", "1250", "percentage-times-100", "/metrics/cpu_percent_avg"),
        ("12.5", "100.5", "out-of-range", "/metrics/cpu_percent_avg"),
        ("4.2", "1e300", "implausible-size", "/metrics/memory_gb"),
        ("25.7", "27595164876", "implausible-size", "/metrics/storage_gb"),
        ("15.2", "15938355", "implausible-size", "/metrics/network_egress_mb"),
        (":30,", ":18446744073709551615,", "implausible-time", "/metrics/cpu_seconds"),
        (":30,", ":3841,", "implausible-time", "/metrics/cpu_seconds"),
        (":30,\"cpu_percent_avg\":12.5", ":30721,\"cpu_percent_avg\":100", "implausible-time", "/metrics/cpu_seconds"),
        (":30,\"cpu_percent_avg\":12.5", ":3000,\"cpu_percent_avg\":0.0", "implausible-time", "/metrics/cpu_seconds"),
        ("1626350400", "0", "implausible-period", "/period/start"),
        ("1626350400", "1623672029", "implausible-period", "/period/start"),
        ("\"user_123456\"", "\" \"", "unreadable-id", "/user_id"),
        ("instance-abc123", "instance\\u200b", "unreadable-id", "/instance_id"),
        ("org_789012", "\u{202e}org", "control-character", "/org_id"),
        ("\"gpu_seconds\":0", "\"gpu_seconds\":30000", "implausible-time", "/metrics/gpu_seconds"),
        ("52.5", "52500", "out-of-range", "/metrics/memory_percent"),
        ("1626350430,\"inst", "1626350430000,\"inst", "not-seconds", "/timestamp"),
        ("1626350400", "1626350400000000", "not-seconds", "/period/start"),
        ("1626350400", "-1", "out-of-range", "/period/start"),
        ("1626350400", "1626350430", "period-order", "/period/end"),
        ("1626350430,\"inst", "1626350429,\"inst", "stamped-early", "/timestamp"),
        ("1626350430,\"inst", "5000000301,\"inst", "future-timestamp", "/timestamp"),
        ("\"1.0\"", "\"2.0\"", "unsupported-version", "/version"),
        ("\"1.0\"", "\"1\"", "unsupported-version", "/version"),
        ("\"resource_usage\"", "\"threshold_violation\"", "event-type", "/event_type"),
        ("\"org_789012\"", "\"\"", "empty-id", "/org_id"),
        ("\"user_123456\"", "\"a\\u0000b\"", "control-character", "/user_id"),
        ("\"user_123456\"", &long, "id-too-long", "/user_id"),
        ("\"user_123456\"", "12", "wrong-type", "/user_id"),
        ("{\"start\":1626350400,\"end\":1626350430}", "[1626350400,1626350430]", "wrong-type", "/period"),
        ("\"period\":{", "\"period\":{\"start\":1626350401,", "duplicate-key", "/period/start"),
        ("\"period\"", "\"not_metered\":\"storage_gb\",\"period\"", "wrong-type", "/not_metered"),
        ("\"period\"", "\"not_metered\":[\"cpu_seconds\",\"storage\"],\"period\"", "wrong-type", "/not_metered/1"),
        ("{\"event_type\"", "{\"a\":{\"b\":1,\"b\":2},\"event_type\"", "unknown-field", "/a"),
    ] {
        let found = rows(&with(from, to));
        assert!(found[0].1 == 3 && found[0].0 == code && found[0].3 == pointer, "{to}: {found:?}");
        let and_a_duplicate = to.contains("\"b\":2") || code == "duplicate-key";
        assert!(found.len() == 1 || and_a_duplicate, "{to}: {found:?}");
    }
}

#[test]
fn what_just_is_valid_has_no_finding() {
    let long = format!("\"{}\"", "x".repeat(256));
    for (from, to) in [
        ("12.5", "100"),
        ("12.5", "-0.0"),
        ("4.2", "1e6"),
        (":30,", ":3840,"),
        ("\"1.0\"", "\"1.27\""),
        ("1626350430,\"inst", "5000000300,\"inst"),
        ("1626350400", "1623672030"),
        ("1626350400", "1626350429"),
        ("\"org_789012\"", "null"),
        ("\"org_id\":\"org_789012\",", ""),
        ("\"user_123456\"", &long),
        ("\"user_123456\"", "\"é [x] \\\" \\ud83d\\ude00\""),
        ("{\"event_type\"", " { \"event_type\" "),
    ] {
        assert_eq!(with(from, to), [], "{to}");
    }
}

#[test]
fn a_misspelt_field_is_named_with_line_column_and_the_right_name() {
    let found = with("\"cpu_seconds\"", "\"cpu_secnds\"");
    let column = sample_text().find("\"cpu_seconds\"").unwrap() + 1;
    assert_eq!(
        found[0].to_string(),
        format!(
            "3:{column}: error[misspelt-field]: unknown field \"cpu_secnds\", and `metrics.cpu_seconds` is missing: found \
             \"cpu_secnds\", expected \"cpu_seconds\"; did you mean `cpu_seconds`?"
        )
    );
    // Its value is checked as that of the right one.
    assert_eq!(with("\"cpu_seconds\":30", "\"cpu_secnds\":-30").len(), 2);
}

#[test]
fn a_field_in_the_wrong_object_is_told_where_it_belongs() {
    let found = with("\"metrics\":{\"cpu_seconds\":30,", "\"cpu_seconds\":30,\"metrics\":{");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, Code::MisplacedField);
    assert_eq!(found[0].help.as_deref(), Some("move it into `metrics`"));
}

#[test]
fn all_faults_of_a_line_come_at_once_and_in_order() {
    let text = sample_text().replace("12.5", "1250").replace("\"1.0\"", "2,").replace("\"gpu_seconds\":0", "\"x\":-1");
    let found = line_findings(text.as_bytes(), 1, &RULES);
    let codes: Vec<_> = found.iter().map(|finding| finding.code.as_str()).collect();
    let expected = ["wrong-type", "invalid-json", "missing-field", "percentage-times-100", "unknown-field"];
    assert_eq!(codes, expected, "{found:?}");
    assert!(found.is_sorted_by(|a, b| a.place <= b.place));
}

#[test]
fn faults_in_memory_have_pointers_alone() {
    let mut event = sample();
    event.metrics.storage_gb = f64::NAN;
    event.metrics.cpu_percent_avg = f64::INFINITY;
    let found = event_findings(&event, &RULES);
    assert_eq!(
        rows(&found),
        [("not-finite", 0, 0, "/metrics/cpu_percent_avg".into()), ("not-finite", 0, 0, "/metrics/storage_gb".into())]
    );
}

#[test]
fn each_fault_of_an_event_has_its_advice() {
    for (from, to) in [
        ("\"user_id\":\"user_123456\",", ""),
        ("\"cpu_seconds\":30,", ""),
        ("\"version\"", "\"x\":1,\"version\""),
        ("\"version\"", "\"cpu_seconds\":30,\"version\""),
        ("1626350430}}", "1626350430}"),
        ("\"user_123456\"", "\"user_12"),
        ("1626350430}}", "1626350430]}"),
        ("\"start\":1626350400", "\"start\":1626350430"),
        ("\"timestamp\":1626350430", "\"timestamp\":1626350429"),
        (":30,", ":-30,"),
        (":30,", ":99999999999999999999,"),
        ("4.2", "-4.2"),
        ("\"start\":1626350400", "\"start\":-1"),
        ("user_123456", "user\\u0000"),
        ("\"resource_usage\"", "\"x\""),
        ("\"instance-abc123\"", "\"\""),
        ("\"1.0\"", "\"x\""),
    ] {
        let found = with(from, to);
        assert!(!found.is_empty() && found.iter().all(|it| it.help.is_some()), "{to}: {found:?}");
    }
}

#[test]
fn a_flat_event_is_told_about_its_objects() {
    let found = line_findings(
        br#"{"event_type":"resource_usage","cpu_seconds":1,"timestamp":"2021-07-15T12:00:30Z"}"#,
        1,
        &RULES,
    );
    let said: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|line| line.contains("`cpu_seconds` is a field of `metrics`")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("`metrics` is missing")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("date +%s")), "{said:?}");
}
