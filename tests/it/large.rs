//! Inputs that are large enough to be read on several threads: the same findings as ever, in order, with their places.

use std::fmt::Write as _;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{formusage, line};

const LINES: i64 = 12_000;

/// 4 MB of events; every thousandth line, from the 500th on, is what `odd` makes of it, and the next one is blank.
fn events(odd: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    for n in 1..=LINES {
        let line = line("web-1", n);
        match n % 1000 {
            500 => writeln!(text, "{}", odd(&line)).unwrap(),
            501 => text.push_str("\r\n"),
            _ => writeln!(text, "{line}").unwrap(),
        }
    }
    text
}

fn over_100_percent(line: &str) -> String {
    line.replace("\"cpu_percent_avg\":12.5", "\"cpu_percent_avg\":1250.0")
}

fn rows(output: &[u8]) -> Vec<Value> {
    output
        .split(|byte| *byte == b'\n')
        .filter(|row| !row.is_empty())
        .map(|row| serde_json::from_slice(row).unwrap())
        .collect()
}

fn odd_lines() -> Vec<i64> {
    (0..LINES / 1000).map(|k| k * 1000 + 500).collect()
}

#[test]
fn findings_stand_in_order_with_their_lines() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events.ndjson");
    let text = events(over_100_percent);
    assert!(text.len() > 3 << 20, "threads start later");
    std::fs::write(&file, &text).unwrap();

    let output = formusage().arg("validate").arg(&file).output().unwrap();
    let rows = rows(&output.stdout);
    let places: Vec<_> = rows.iter().map(|row| row["place"]["line"].as_i64().unwrap()).collect();
    assert_eq!(places, odd_lines());
    assert!(rows.iter().all(|row| row["code"] == "percentage-times-100"), "{rows:?}");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("{} events: 12 errors", LINES - LINES / 1000)), "{said}");

    let some = formusage().args(["validate", "--max-findings", "3"]).arg(&file).output().unwrap();
    assert_eq!(self::rows(&some.stdout), rows[..3]);
    assert!(String::from_utf8(some.stderr).unwrap().contains("9 more findings"));
}

#[test]
fn lines_beyond_the_limit_are_named_and_skipped_wherever_blocks_end() {
    let long = "x".repeat(700 << 10);
    let text = events(|line| line.replace("user_123456", &long));
    let output = formusage().args(["validate", "--max-line-bytes", "2000", "-"]).write_stdin(text).output().unwrap();
    let rows = rows(&output.stdout);
    let places: Vec<_> =
        rows.iter().map(|row| (row["code"].as_str().unwrap(), row["place"]["line"].as_i64().unwrap())).collect();
    assert_eq!(places, odd_lines().into_iter().map(|line| ("too-long", line)).collect::<Vec<_>>());
}

#[test]
fn check_finds_violations_and_invalid_lines_in_order() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events.ndjson");
    let thresholds = folder.path().join("thresholds.json");
    let threshold = r#"{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":50.0}},"action":"Log","user_id":"*"}"#;
    std::fs::write(&thresholds, threshold).unwrap();
    let check = |text: String| {
        std::fs::write(&file, text).unwrap();
        formusage().arg("check").arg(&thresholds).arg(&file).output().unwrap()
    };

    let output = check(events(|line| line.replace("\"cpu_percent_avg\":12.5", "\"cpu_percent_avg\":75.5")));
    let rows = rows(&output.stdout);
    let stamps: Vec<_> = rows.iter().map(|row| row["timestamp"].as_i64().unwrap()).collect();
    assert_eq!((stamps.len(), stamps.is_sorted(), output.status.code()), (12, true, Some(1)));

    let output = check(events(|line| line.replace("\"cpu_percent_avg\":12.5", "\"cpu_percent_avg\":-12.5")));
    let said = String::from_utf8(output.stderr).unwrap();
    let named: Vec<_> = said.lines().filter(|line| line.contains("out-of-range")).collect();
    assert_eq!((named.len(), output.status.code()), (12, Some(2)), "{said}");
    for (named, line) in named.iter().zip(odd_lines()) {
        assert!(named.contains(&format!("events.ndjson:{line}:")), "{named}");
    }
}

#[test]
fn states_are_the_same_on_several_threads_and_line_by_line() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events.ndjson");
    let thresholds = folder.path().join("thresholds.json");
    let threshold = r#"[{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":50.0}},"action":"Log","user_id":"*","for":"2m","clear_value":20,"no_data":"resolve"},
        {"id":"plain","resource_type":"Cpu","threshold_type":{"Percentage":{"value":98.0}},"action":"Log","user_id":"*"}]"#;
    std::fs::write(&thresholds, threshold).unwrap();
    let mut text = String::new();
    for n in 0..LINES {
        // Eight instances in turn; one of them falls silent while it fires, and one comes late.
        let (instance, period) = (n % 8, n / 8);
        if instance == 3 && (400..600).contains(&period) {
            continue;
        }
        let at = if instance == 5 && period % 90 == 0 { (period - 3).max(0) } else { period };
        let mut event = crate::support::event(&format!("web-{instance}"), at);
        event.metrics.cpu_percent_avg = match (period + 40 * instance) % 100 {
            0..20 => 75.0,
            20..25 => 30.0,
            60..62 => 60.0,
            99 => 99.0,
            _ => 12.5,
        };
        writeln!(text, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }
    std::fs::write(&file, &text).unwrap();
    let check = |options: &[&str], state: &str| {
        let state = folder.path().join(state);
        let mut command = formusage();
        command.arg("check").arg(&thresholds).arg(&file).arg("--state").arg(&state).args(options);
        let output = command.output().unwrap();
        // Without what is random in it: the salt, and the keys that it makes.
        let mut kept: Value = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
        ["salt", "probe", "seen"].iter().for_each(|key| drop(kept.as_object_mut().unwrap().remove(*key)));
        (output, kept)
    };
    let (quick, quick_kept) = check(&[], "quick.json");
    let (slow, slow_kept) = check(&["--tee"], "slow.json");
    assert_eq!(String::from_utf8(quick.stdout).unwrap(), String::from_utf8(slow.stderr.clone()).unwrap());
    assert_eq!((quick_kept, quick.status.code()), (slow_kept, slow.status.code()));
    let told = rows(&slow.stderr);
    let of = |state: &str| told.iter().filter(|row| row["state"] == state).count();
    assert!(of("firing") > 50 && of("pending") > 50 && of("resolved") > 50, "{}", told.len());
    assert!(told.iter().any(|row| row["reason"] == "silent") && told.iter().any(|row| row["state"].is_null()));
}
