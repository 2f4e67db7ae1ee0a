//! Every code of events, thresholds and whole inputs, and the ways that must agree: typed, quick and exact.

use std::io;

use proptest::prelude::*;

use super::*;
use crate::events::tests::{any_event, sample};
use crate::events::{EncodedEvent, to_compact_json};

/// Behind every timestamp that the tests hold to be past.
const RULES: EventRules = EventRules { now: 5_000_000_000, max_skew: 300 };

/// Code, line, column and pointer.
type Row = (&'static str, u64, u64, String);

fn rows(findings: &[Finding]) -> Vec<Row> {
    let row = |finding: &Finding| {
        let place = finding.place.clone().unwrap();
        (finding.code.as_str(), place.line, place.column, place.pointer)
    };
    findings.iter().map(row).collect()
}

fn sample_text() -> String {
    to_compact_json(&sample()).unwrap()
}

/// The findings of the sample event with `from` replaced, which must be in it.
fn with(from: &str, to: &str) -> Vec<Finding> {
    let text = sample_text();
    assert!(text.contains(from), "{from}");
    line_findings(text.replacen(from, to, 1).as_bytes(), 3, &RULES)
}

/// The exact reader's findings, whatever the quick look says.
fn exact(text: &[u8]) -> Vec<Finding> {
    collect(|report| {
        let text = json::Text::new(text, 1, report);
        if let Some(root) = json::read(&text, report) {
            event::check(&Spot::root(&root), &RULES, &mut Context { text: &text, report });
        }
    })
}

#[test]
fn the_sample_is_clean() {
    assert_eq!(line_findings(sample_text().as_bytes(), 1, &RULES), []);
    assert_eq!(exact(sample_text().as_bytes()), []);
    assert!(glance::is_clean(sample_text().as_bytes(), &RULES));
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
        ("\"period\":{", "\"period\":{\"start\":1,", "duplicate-key", "/period/start"),
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
        ("4.2", "1e300"),
        (":30,", ":18446744073709551615,"),
        ("\"1.0\"", "\"1.27\""),
        ("1626350430,\"inst", "5000000300,\"inst"),
        ("1626350400", "0"),
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

/// Events with odd values here and there.
fn odd_event() -> impl Strategy<Value = UsageEvent> {
    let oddity = (0..12u8, proptest::sample::select(&[-1.0, -0.0, 100.0, 100.5, 1250.0, 1e300, f64::NAN][..]));
    let time =
        proptest::sample::select(&[-1, 0, 1, 5_000_000_300, 5_000_000_301, 99_999_999_999, i64::MAX, i64::MIN][..]);
    let id = proptest::sample::select(&["", "\u{7f}", "[", "é", "\u{85}", "\"\\"][..]);
    let oddities = proptest::collection::vec((oddity, time, id), 0..4);
    (any_event(), oddities).prop_map(|(mut event, oddities)| {
        for ((which, figure), time, id) in oddities {
            match which {
                0 => event.timestamp = time,
                1 => event.period.start = time,
                2 => event.period.end = time,
                3 => event.metrics.cpu_percent_avg = figure,
                4 => event.metrics.memory_gb = figure,
                5 => event.metrics.memory_percent = figure,
                6 => event.metrics.network_egress_mb = figure,
                7 => event.instance_id = id.into(),
                8 => event.org_id = Some(id.into()),
                9 => event.user_id = id.repeat(200),
                10 => event.version = "1.7".into(),
                _ => event.version = "3.0".into(),
            }
        }
        event
    })
}

/// The sample with pieces of its text replaced.
fn odd_text() -> impl Strategy<Value = String> {
    let from = [
        "30",
        "12.5",
        "4.2",
        "0}",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "null",
        "1626350430",
        "1626350400",
        "\"1.0\"",
        "\"cpu_seconds\"",
        "\"start\"",
        "\"user_id\"",
        "user_123456",
        "\"org_789012\"",
    ];
    let to = [
        "30",
        "30.0",
        "-0",
        "-1",
        "1e2",
        "1250",
        "1e999",
        "18446744073709551616",
        "9223372036854775808",
        "null",
        "true",
        "\"x\"",
        "{}",
        "[1]",
        "",
        " ",
        ",",
        "\"start\"",
        "\"a\":1,",
        "\\u0000",
        "\\ud800",
        "é",
        "[",
        "1626350430000",
    ];
    let swap = (proptest::sample::select(from.to_vec()), proptest::sample::select(to.to_vec()), 0..4usize);
    proptest::collection::vec(swap, 1..4).prop_map(|swaps| {
        let mut text = sample_text();
        for (from, to, nth) in swaps {
            let at = text.match_indices(from).nth(nth).map(|(at, _)| at);
            if let Some(at) = at {
                text.replace_range(at..at + from.len(), to);
            }
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_verdict_is_that_there_are_no_findings(event in odd_event()) {
        prop_assert_eq!(is_valid(&event, &RULES), event_findings(&event, &RULES).is_empty());
    }

    #[test]
    fn an_event_in_memory_and_its_text_have_the_same_faults(event in odd_event()) {
        let mut event = event;
        for figure in [&mut event.metrics.cpu_percent_avg, &mut event.metrics.memory_gb,
            &mut event.metrics.memory_percent, &mut event.metrics.network_egress_mb] {
            *figure = if figure.is_finite() { *figure } else { 0.0 };
        }
        let text = to_compact_json(&event).unwrap();
        let pointers = |findings: Vec<Finding>| {
            let mut rows: Vec<_> = rows(&findings).into_iter().map(|(code, _, _, pointer)| (code, pointer)).collect();
            rows.sort();
            rows
        };
        prop_assert_eq!(pointers(exact(text.as_bytes())), pointers(event_findings(&event, &RULES)));
        prop_assert_eq!(pointers(line_findings(text.as_bytes(), 1, &RULES)), pointers(event_findings(&event, &RULES)));
    }

    #[test]
    fn the_quick_look_and_the_exact_reader_agree(text in odd_text()) {
        let found = exact(text.as_bytes());
        prop_assert_eq!(line_findings(text.as_bytes(), 1, &RULES), found.clone());
        // Passing a fault would be wrong; turning away what is clean is slow, and happens for the sake of `[` alone.
        prop_assert_eq!(glance::is_clean(text.as_bytes(), &RULES), found.is_empty() && !text.contains('['), "{:?}", found);
    }

    #[test]
    fn what_has_no_error_is_what_is_read_and_valid(text in odd_text()) {
        let valid = exact(text.as_bytes()).iter().all(|finding| finding.severity < Severity::Error);
        let read = EncodedEvent::decode(text.as_bytes());
        if valid {
            prop_assert!(read.is_ok_and(|event| is_valid(event.event(), &RULES)));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!line_findings(&bytes, 1, &RULES).is_empty());
        let _ = threshold_findings(&bytes);
    }
}

const THRESHOLD: &str = r#"{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},"action":"Notify","user_id":"*","notification_channels":["email"]}"#;

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
        ("\"action\"", "\"for\":\"5m\",\"action\"", "unknown-field", "/for", "not supported"),
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
        ("80.0", "100"),
        ("\"Percentage\":{\"value\":80.0}", "\"Absolute\":{\"value\":0.5,\"unit\":\"h\"}"),
        ("\"action\"", "\"instance_id\":null,\"description\":null,\"action\""),
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

/// What validating `inputs`, one after the other, gives.
fn contents(inputs: &[&str], strict: bool, max_findings: u64) -> Vec<(Tally, Vec<Row>)> {
    let options = ContentOptions { rules: RULES, strict, max_line_bytes: 2000, max_findings };
    let mut validator = ContentValidator::new(options);
    let validate = |(index, input): (usize, &&str)| {
        let mut found = Vec::new();
        let tally = validator.validate(&format!("file-{index}"), input.as_bytes(), &mut |located| {
            found.push(located.finding.clone());
            Ok::<_, io::Error>(())
        });
        (tally.unwrap(), rows(&found))
    };
    inputs.iter().enumerate().map(validate).collect()
}

#[test]
fn what_an_input_holds_is_told_by_its_content() {
    let event = sample_text();
    let pretty = serde_json::to_string_pretty(&sample()).unwrap();
    let pretty_threshold =
        serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(THRESHOLD).unwrap()).unwrap();
    for (input, kind, events, thresholds) in [
        (event.clone(), Kind::Events, 1, 0),
        (format!("\u{feff}\r\n{event}\r\n\r\n{event}"), Kind::Events, 2, 0),
        (pretty.clone(), Kind::Events, 1, 0),
        (format!("[\n{pretty},\n{event}]"), Kind::Events, 2, 0),
        (THRESHOLD.into(), Kind::Thresholds, 0, 1),
        (pretty_threshold.replace('\n', "\r\n"), Kind::Thresholds, 0, 1),
        (format!("[{THRESHOLD}]\n"), Kind::Thresholds, 0, 1),
        (format!("[{}]", vec![event.as_str(); 40].join(",")), Kind::Events, 40, 0),
    ] {
        let found = contents(&[&input], true, 10);
        let expected = Tally { kind: Some(kind), events, thresholds, errors: 0, warnings: 0 };
        assert_eq!(found, [(expected, Vec::new())], "{input}");
    }
}

#[test]
fn places_in_documents_count_blank_lines_and_carriage_returns() {
    let pretty = serde_json::to_string_pretty(&sample()).unwrap().replace("\"cpu_seconds\"", "\"cpu_secnds\"");
    let input = format!("\n\n{}", pretty.replacen('\n', "\r\n\r\n", 1).replace("12.5", "\r\n12.5"));
    let (_, found) = contents(&[&input], false, 10).remove(0);
    assert_eq!(found, [("misspelt-field", 12, 5, "/metrics/cpu_secnds".into())]);
}

#[test]
fn inputs_that_hold_something_else_are_told_so() {
    let event = sample_text();
    let long = format!("{{\"a\":\"{}\"}}\n{event}", "x".repeat(5000));
    for (input, kind, code, line) in [
        ("", None, "empty", 1),
        ("\n \r\n", None, "empty", 1),
        ("[]", None, "empty", 1),
        ("{}", None, "unrecognized", 1),
        ("3", None, "unrecognized", 1),
        ("[[1]]", None, "unrecognized", 1),
        ("time,instance,cpu\n", None, "invalid-json", 1),
        (&format!("{event}\n{THRESHOLD}\n{event}"), Some(Kind::Events), "mixed", 2),
        (&format!("[{THRESHOLD},\n{event}]"), Some(Kind::Thresholds), "mixed", 2),
        (&format!("{THRESHOLD}\n{THRESHOLD}"), Some(Kind::Thresholds), "trailing-text", 2),
        // A line that was cut is the fault of that line alone.
        (&format!("{}\n{event}", &event[..200]), Some(Kind::Events), "unclosed", 1),
        (&format!("{event}\n{}", &event[..200]), Some(Kind::Events), "unclosed", 2),
        (&long, Some(Kind::Events), "too-long", 1),
        (&format!("// events\n{event}"), Some(Kind::Events), "comment", 1),
    ] {
        let (tally, found) = contents(&[input], false, 10).remove(0);
        assert_eq!((tally.kind, found.len()), (kind, 1), "{input}: {found:?}");
        assert_eq!((found[0].0, found[0].1), (code, line), "{input}");
    }
}

#[test]
fn ids_that_stand_in_two_files_are_found() {
    let found = contents(&[THRESHOLD, &format!("\n{THRESHOLD}")], false, 10);
    assert_eq!(found[0].1, []);
    assert_eq!(found[1].1, [("duplicate-id", 2, 7, "/id".into())]);
}

#[test]
fn strict_makes_errors_of_warnings() {
    let input = sample_text().replace("\"period\"", "\"region\":1,\"period\"");
    let counts = |strict| {
        let (tally, _) = contents(&[&input], strict, 10).remove(0);
        (tally.errors, tally.warnings)
    };
    assert_eq!((counts(false), counts(true)), ((0, 1), (1, 0)));
}

#[test]
fn findings_beyond_the_limit_are_counted_and_warnings_do_not_hide_errors() {
    let warned = sample_text().replace("\"period\"", "\"region\":1,\"period\"");
    let wrong = sample_text().replace("12.5", "1250");
    let input = format!("{}{}", format!("{warned}\n").repeat(5), format!("{wrong}\n").repeat(5));
    let (tally, found) = contents(&[&input], false, 2).remove(0);
    assert_eq!((tally.events, tally.errors, tally.warnings), (10, 5, 5));
    let lines: Vec<_> = found.iter().map(|(_, line, ..)| *line).collect();
    assert_eq!(lines, [1, 2, 6, 7]);
}
