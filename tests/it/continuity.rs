//! `formusage validate --continuity`: gaps, overlaps and repeats between the periods of an instance, over several files.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{event, formusage, line, lines};

/// Runs over files of these contents; gives the code, what it printed and what it said.
fn run(files: &[(&str, String)], options: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let folder = TempDir::new().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let names = files.iter().map(|(name, _)| Path::new(name));
    let mut command = formusage();
    let output = command.current_dir(folder.path()).args(["validate", "--continuity"]).args(options).args(names);
    let output = output.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let rows = stdout.lines().filter(|_| !options.contains(&"json")).map(|row| serde_json::from_str(row).unwrap());
    (output.status.code(), rows.collect(), String::from_utf8(output.stderr).unwrap())
}

fn chain(instance: &str, periods: impl IntoIterator<Item = i64>) -> String {
    periods.into_iter().map(|n| line(instance, n) + "\n").collect()
}

#[test]
fn a_sound_stream_over_two_files_is_valid_and_summed_up() {
    let first = lines("a", 10) + &lines("b", 10);
    let second = chain("a", 10..20) + &chain("b", 10..20);
    let (code, rows, said) = run(&[("1.ndjson", first), ("2.ndjson", second)], &[]);
    assert_eq!((code, rows), (Some(0), Vec::new()));
    assert!(said.contains("continuity: 2 instances, 1200 s covered, 0 s of gaps, 0 s of overlaps\n"), "{said}");
}

#[test]
fn a_gap_between_two_files_is_an_error_with_both_places() {
    let (code, rows, said) = run(&[("1.ndjson", lines("a", 3)), ("2.ndjson", chain("a", 5..30))], &[]);
    assert_eq!((code, rows.len()), (Some(1), 1));
    assert_eq!((&rows[0]["code"], &rows[0]["file"]), (&"period-gap".into(), &"2.ndjson".into()));
    assert_eq!((&rows[0]["place"]["line"], &rows[0]["place"]["pointer"]), (&1.into(), &"/period".into()));
    let expected = rows[0]["expected"].as_str().unwrap();
    assert!(expected.contains("starts at 1626350490") && expected.contains("(1.ndjson:3)"), "{expected}");
    assert!(said.contains("60 s of gaps, 0 s of overlaps (1 gap)"), "{said}");
    assert!(said.contains("2.ndjson: 25 events: 1 error\n"), "{said}");
}

/// What is known only when another file has been read still counts for its own.
#[test]
fn a_gap_that_waits_beyond_the_end_of_its_file_counts_for_that_file() {
    let files = [("1.ndjson", chain("a", [0, 2])), ("2.ndjson", chain("a", 3..4)), ("3.ndjson", chain("a", 4..40))];
    let (_, rows, said) = run(&files, &[]);
    assert_eq!((rows.len(), &rows[0]["file"], &rows[0]["place"]["line"]), (1, &"1.ndjson".into(), &2.into()));
    assert!(said.contains("1.ndjson: 2 events: 1 error\n2.ndjson: 1 event: valid\n"), "{said}");
    let (code, rows, _) = run(&[files[0].clone(), files[1].clone()], &["--strict"]);
    assert_eq!((code, rows.len(), &rows[0]["file"]), (Some(1), 1, &"1.ndjson".into()));
}

#[test]
fn late_events_are_out_of_order_and_neither_gap_nor_overlap() {
    let stream = chain("a", [0, 2, 3, 1, 4]);
    let (code, rows, said) = run(&[("a.ndjson", stream.clone())], &[]);
    assert_eq!((code, rows.len(), &rows[0]["code"]), (Some(0), 1, &"out-of-order".into()));
    assert_eq!((&rows[0]["severity"], &rows[0]["place"]["line"]), (&"warning".into(), &4.into()));
    assert!(said.contains("0 s of gaps, 0 s of overlaps (1 out of order)"), "{said}");
    let (code, rows, _) = run(&[("a.ndjson", stream)], &["--reorder-window", "0"]);
    assert_eq!((code, rows.len(), &rows[0]["code"]), (Some(1), 2, &"period-gap".into()));
}

#[test]
fn repeats_are_warned_of_and_conflicts_are_errors() {
    let spaced = serde_json::to_string_pretty(&vec![event("a", 1)]).unwrap();
    let other = line("a", 0).replace("12.5", "13.5") + "\n";
    let files = [("a.ndjson", lines("a", 3)), ("b.json", spaced), ("c.ndjson", other)];
    let (code, rows, said) = run(&files, &["--ignore", "event-document"]);
    let found: Vec<_> = rows.iter().map(|row| (row["code"].as_str().unwrap(), row["file"].as_str().unwrap())).collect();
    assert_eq!((code, found), (Some(1), vec![("repeated-event", "b.json"), ("conflicting-events", "c.ndjson")]));
    assert_eq!(rows[0]["found"], "the same at a.ndjson:2");
    assert_eq!((&rows[0]["place"]["line"], &rows[0]["place"]["pointer"]), (&2.into(), &"/0/period".into()));
    assert!(rows[1]["found"].as_str().unwrap().ends_with("the other at a.ndjson:1"), "{}", rows[1]);
    assert!(said.contains("90 s covered, 0 s of gaps, 30 s of overlaps (1 conflict, 1 repeat)"), "{said}");
}

#[test]
fn overlaps_name_how_much_is_metered_twice() {
    let shifted = line("a", 1).replace("\"start\":1626350430", "\"start\":1626350420") + "\n";
    let (code, rows, said) = run(&[("a.ndjson", lines("a", 1) + &shifted)], &[]);
    assert_eq!((code, rows.len(), &rows[0]["code"]), (Some(1), 1, &"period-overlap".into()));
    assert!(rows[0]["message"].as_str().unwrap().contains("twice for 10 s"), "{}", rows[0]);
    assert!(said.contains("60 s covered, 0 s of gaps, 10 s of overlaps (1 overlap)"), "{said}");
}

/// A wrong figure does not make a gap: the period was metered.
#[test]
fn an_event_with_another_fault_still_covers_its_period() {
    let (code, rows, said) = run(&[("a.ndjson", lines("a", 3).replacen("12.5", "1250", 2))], &[]);
    assert_eq!((code, rows.len()), (Some(1), 2));
    assert!(said.contains("90 s covered, 0 s of gaps"), "{said}");
}

#[test]
fn a_counter_that_only_grows_is_named_once() {
    let growing = (0..100).map(|n| line("a", n).replace("\"cpu_seconds\":30", &format!("\"cpu_seconds\":{}", 10 + n)));
    let (code, rows, _) = run(&[("a.ndjson", growing.map(|line| line + "\n").collect())], &[]);
    assert_eq!((code, rows.len(), &rows[0]["code"]), (Some(0), 1, &"running-total".into()));
    assert_eq!(rows[0]["place"]["pointer"], "/metrics/cpu_seconds");
}

#[test]
fn each_counter_that_only_grows_is_named() {
    let growing = (0..100).map(|n| {
        line("a", n)
            .replace("\"network_egress_mb\":15.2", &format!("\"network_egress_mb\":{}", 10 + n))
            .replace("\"network_ingress_mb\":8.7", &format!("\"network_ingress_mb\":{}", 20 + n))
    });
    let (code, rows, _) = run(&[("a.ndjson", growing.map(|line| line + "\n").collect())], &[]);
    let pointers: Vec<_> = rows.iter().map(|row| row["place"]["pointer"].as_str().unwrap()).collect();
    assert_eq!((code, pointers), (Some(0), vec!["/metrics/network_egress_mb", "/metrics/network_ingress_mb"]));
}

#[test]
fn the_table_and_the_document_have_them_too() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("a.ndjson"), chain("a", [0, 2])).unwrap();
    let mut command = formusage();
    let output = command.current_dir(folder.path()).args(["validate", "--continuity", "--format", "table", "a.ndjson"]);
    let table = String::from_utf8(output.output().unwrap().stdout).unwrap();
    assert!(table.starts_with("error[period-gap]: \"a\" was not metered for 30 s\n--> a.ndjson:2:1\n"), "{table}");
    assert!(
        table.contains("expected a period that starts at 1626350430, where the one before ended (line 1)"),
        "{table}"
    );
    let mut command = formusage();
    let output = command.current_dir(folder.path()).args(["validate", "--continuity", "--format", "json", "a.ndjson"]);
    let document: Value = serde_json::from_slice(&output.output().unwrap().stdout).unwrap();
    assert_eq!((&document["files"][0]["errors"], &document["findings"][0]["code"]), (&1.into(), &"period-gap".into()));
}
