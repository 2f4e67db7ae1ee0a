//! Whole inputs.

use std::io;

use super::{RULES, Row, THRESHOLD, rows, sample_text};
use crate::events::tests::sample;
use crate::validate::{ContentOptions, ContentValidator, Kind, Tally};

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
fn a_document_may_break_where_an_object_follows() {
    for text in [
        "{\"threshold_files\":[\"t.json\"],\"cases\":[\n{\"name\":\"n\",\"alerts\":[]}]}",
        "{\"channels\":\n{\"chat\":{\"slack\":{\"url\":{\"env\":\"S\"}}}}}",
    ] {
        let all = contents(&[text], false, u64::MAX);
        assert_eq!(all[0].1, [], "{text}");
    }
}

#[test]
fn what_an_input_holds_is_told_by_its_content() {
    let event = sample_text();
    let pretty_threshold =
        serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(THRESHOLD).unwrap()).unwrap();
    for (input, kind, events, thresholds) in [
        (event.clone(), Kind::Events, 1, 0),
        (format!("\u{feff}\r\n{event}\r\n\r\n{event}"), Kind::Events, 2, 0),
        (THRESHOLD.into(), Kind::Thresholds, 0, 1),
        (pretty_threshold.replace('\n', "\r\n"), Kind::Thresholds, 0, 1),
        (format!("[{THRESHOLD}]\n"), Kind::Thresholds, 0, 1),
    ] {
        let found = contents(&[&input], true, 10);
        let expected = Tally { kind: Some(kind), events, thresholds, ..Tally::default() };
        assert_eq!(found, [(expected, Vec::new())], "{input}");
    }
}

/// Commands that read events refuse such a file.
#[test]
fn events_in_a_document_are_valid_with_a_warning() {
    let event = sample_text();
    let pretty = serde_json::to_string_pretty(&sample()).unwrap();
    for (input, events) in [
        (pretty.clone(), 1),
        (format!("[\n{pretty},\n{event}]"), 2),
        (format!("[{}]", vec![event.as_str(); 40].join(",")), 40),
    ] {
        for strict in [false, true] {
            let (tally, found) = contents(&[&input], strict, 10).remove(0);
            assert_eq!((tally.kind, tally.events), (Some(Kind::Events), events), "{input}");
            assert_eq!((tally.errors, tally.warnings), (u64::from(strict), u64::from(!strict)), "{input}");
            assert_eq!(found, [("event-document", 1, 1, String::new())], "{input}");
        }
    }
}

#[test]
fn places_in_documents_count_blank_lines_and_carriage_returns() {
    let pretty = serde_json::to_string_pretty(&sample()).unwrap().replace("\"cpu_seconds\"", "\"cpu_secnds\"");
    let input = format!("\n\n{}", pretty.replacen('\n', "\r\n\r\n", 1).replace("12.5", "\r\n12.5"));
    let (_, found) = contents(&[&input], false, 10).remove(0);
    let document = ("event-document", 3, 1, String::new());
    assert_eq!(found, [document, ("misspelt-field", 12, 5, "/metrics/cpu_secnds".into())]);
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

/// Without a limit too, what is found in one text does not pile up.
#[test]
fn findings_of_a_document_are_handed_out_as_they_come() {
    let items = format!("[{}]", vec!["{}"; 30_000].join(",\n"));
    let (tally, found) = contents(&[&items], false, u64::MAX).remove(0);
    assert_eq!((tally.errors, found.len()), (30_000, 30_000));
    assert!(found.iter().map(|(_, line, ..)| *line).eq(1..=30_000), "in their order");

    let fields: Vec<_> = (0..30_000).map(|n| format!("\"field-{n}\":1")).collect();
    let one = format!("[{{\"threshold_type\":1,{}}}]", fields.join(","));
    let (tally, found) = contents(&[&one], false, u64::MAX).remove(0);
    assert!(tally.errors > 30_000 && found.len() == 20_000, "{} of {}", found.len(), tally.errors);
}
