//! Codes: what they mean, how bad they are held to be; and thresholds held against each other.

use predicates::prelude::*;
use predicates::str::{contains, starts_with};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::formusage;

const EVENT: &str = include_str!("../fixtures/event.json");

fn threshold(id: &str, rest: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"resource_type\":\"Cpu\",\"threshold_type\":{{\"Percentage\":{{\"value\":80.0}}}},\"action\":\"Log\",\
         \"user_id\":\"*\"{rest}}}"
    )
}

fn codes(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, Vec<(String, String, u64)>) {
    let output = formusage().current_dir(folder.path()).arg("validate").args(arguments).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let row = |row: &str| {
        let row: Value = serde_json::from_str(row).unwrap();
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("file"), text("code"), row["place"]["line"].as_u64().unwrap())
    };
    (output.status.code(), stdout.lines().map(row).collect())
}

#[test]
fn explain_says_what_a_code_means() {
    let explain = |arguments: &[&str]| formusage().args(["validate", "--explain"]).args(arguments).assert();
    explain(&["period-gap"]).code(0).stdout(
        starts_with("error[period-gap]\n")
            .and(contains("Why it matters:"))
            .and(contains("Gives it:        periods 0–30 s"))
            .and(contains("Just does not:")),
    );
    explain(&[]).code(0).stdout(contains("\nperiod-gap ").and(contains("\nhidden-threshold ")));
    explain(&["list", "--format", "ndjson"]).code(0).stdout(contains("\"code\":\"empty\""));
    explain(&["period-gaps"]).code(2).stderr(contains("did you mean \"period-gap\"?"));
}

#[test]
fn severities_can_be_set() {
    let folder = TempDir::new().unwrap();
    let faulty = EVENT.replace("12.5", "1250").replace("\"period\"", "\"region\":1,\"period\"");
    std::fs::write(folder.path().join("e"), faulty).unwrap();
    let run = |arguments: &[&str]| {
        let (code, rows) = codes(&folder, &[arguments, &["e"]].concat());
        (code.unwrap(), rows.len())
    };
    assert_eq!(run(&[]), (1, 2));
    assert_eq!(run(&["--warn", "percentage-times-100"]), (0, 2));
    assert_eq!(run(&["--ignore", "percentage-times-100"]), (0, 1));
    assert_eq!(run(&["--ignore", "percentage-times-100,unknown-field"]), (0, 0));
    assert_eq!(run(&["--ignore", "percentage-times-100", "--error", "unknown-field"]), (1, 1));
    assert_eq!(run(&["--strict", "--warn", "percentage-times-100,unknown-field"]), (0, 2));
    formusage()
        .args(["validate", "--warn", "percentage-times-10"])
        .assert()
        .code(2)
        .stderr(contains("percentage-times-100"));
}

#[test]
fn a_folder_stands_for_its_files() {
    let folder = TempDir::new().unwrap();
    let below = folder.path().join("t/deep");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(folder.path().join("t/b.json"), threshold("x", "")).unwrap();
    std::fs::write(below.join("a.json"), threshold("x", "")).unwrap();
    std::fs::write(below.join(".hidden.json"), "no JSON").unwrap();
    std::fs::write(below.join("README.md"), "no JSON").unwrap();
    let (code, rows) = codes(&folder, &["t"]);
    assert_eq!(code, Some(1));
    assert_eq!(rows[0], ("t/deep/a.json".into(), "duplicate-id".into(), 1));
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    formusage()
        .current_dir(folder.path())
        .args(["validate", "empty"])
        .assert()
        .code(2)
        .stderr(contains("holds no *.json"));
}

#[test]
fn a_broader_threshold_that_hides_another_is_found_whichever_comes_first() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("a.json", &threshold("one", ",\"instance_id\":\"i\""));
    write("b.json", &format!("[\n{}]", threshold("all", "")));
    write("c.json", &threshold("other", ",\"instance_id\":\"i\",\"severity\":\"critical\""));
    write("d.json", &threshold("lower", ",\"instance_id\":\"i\"").replace("80.0", "70.0"));
    write("e.json", &threshold("off", ",\"instance_id\":\"i\",\"enabled\":false"));
    let (code, rows) = codes(&folder, &["a.json", "b.json", "c.json", "d.json", "e.json"]);
    assert_eq!((code, rows), (Some(0), vec![("a.json".into(), "hidden-threshold".into(), 1)]));
    let mut command = formusage();
    command.current_dir(folder.path()).args(["validate", "--strict", "--format", "table", "a.json", "b.json"]);
    command
        .assert()
        .code(1)
        .stdout(contains("the other at b.json:2"))
        .stderr(contains("a.json: 1 threshold: 1 error\n"));
}

#[test]
fn channels_and_actions_that_nothing_binds_are_errors() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let notify = threshold("a", ",\"notification_channels\":[\"mail\",\"ops\"]").replace("\"Log\"", "\"Notify\"");
    let action = threshold("b", ",\"instance_id\":\"i\"").replace("\"Log\"", "{\"Action\":\"scale\"}");
    write("t.json", &format!("[{notify},\n{action}]"));
    write("c.json", "{\"channels\":{\"mail\":{\"type\":\"smtp\"}}}");
    let (code, rows) = codes(&folder, &["--channels", "c.json", "t.json"]);
    let row = |code: &str, line| ("t.json".to_owned(), code.to_owned(), line);
    assert_eq!((code, rows), (Some(1), vec![row("unbound-channel", 1), row("unbound-action", 2)]));
    write("c.json", "{\"channels\":{\"mail\":{},\"ops\":{}},\"actions\":{\"scale\":{}}}");
    assert_eq!(codes(&folder, &["--channels", "c.json", "t.json"]), (Some(0), Vec::new()));
    write("c.json", "[]");
    let mut command = formusage();
    command.current_dir(folder.path()).args(["validate", "--channels", "c.json", "t.json"]);
    command.assert().code(2).stderr(contains("c.json is no channels file"));
}

#[test]
fn the_period_says_which_spans_make_sense() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("t.json"), threshold("a", ",\"for\":\"90s\"")).unwrap();
    assert_eq!(codes(&folder, &["t.json"]), (Some(0), Vec::new()));
    let (code, rows) = codes(&folder, &["--period", "1m", "t.json"]);
    assert_eq!((code, rows[0].1.as_str()), (Some(0), "hold-between-periods"));
}

#[test]
fn other_formats_are_named_as_what_they_are() {
    for (text, expected) in [
        ("- id: cpu-high\n  resource_type: Cpu\n", "this is YAML, not JSON"),
        ("# thresholds\nid: cpu-high\n", "this is YAML, not JSON"),
        ("time,instance,cpu\n1,a,2\n", "this is CSV, not JSON"),
        ("{'id': 'a'}", "single quotes"),
        ("{\"value\": NaN}", "`NaN` is no number in JSON"),
        ("// why\n{}", "JSON has no comments"),
    ] {
        formusage().args(["validate", "-"]).write_stdin(text).assert().code(1).stdout(contains(expected));
    }
}
