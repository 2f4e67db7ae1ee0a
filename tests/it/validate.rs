//! `formusage validate` as its users meet it.

use std::path::{Path, PathBuf};

use crate::support::SpawnGuarded as _;
use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

const EVENT: &str = include_str!("../fixtures/event.json");
const THRESHOLD: &str = r#"{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},"action":"Notify","user_id":"*","notification_channels":["email"]}"#;

fn validate() -> Command {
    let mut command = Command::cargo_bin("formusage").unwrap();
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FORMUSAGE_")) {
        command.env_remove(name);
    }
    command.env_remove("COLUMNS").arg("validate");
    command
}

/// A folder with one file of this content.
fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

/// The findings on standard output, one a line.
fn rows(command: &mut Command) -> Vec<Value> {
    let output = command.output().unwrap();
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn a_sound_file_is_valid() {
    let (_folder, path) = file("events.ndjson", EVENT.repeat(3));
    validate().arg(&path).assert().code(0).stdout("").stderr(format!("{}: 3 events: valid\n", path.display()));
}

#[test]
fn a_misspelt_field_is_named_at_its_line_and_column() {
    let (_folder, path) = file("events.ndjson", format!("{EVENT}\r\n{}", EVENT.replace("cpu_seconds", "cpu_secnds")));
    let found = rows(validate().arg(&path));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["file"], path.to_str().unwrap());
    assert_eq!(found[0]["code"], "misspelt-field");
    assert_eq!(found[0]["place"]["line"], 3);
    assert_eq!(found[0]["place"]["column"], EVENT.find("\"cpu_seconds\"").unwrap() + 1);
    assert_eq!(found[0]["place"]["pointer"], "/metrics/cpu_secnds");
    assert_eq!(found[0]["help"], "did you mean `cpu_seconds`?");
    validate().arg(&path).assert().code(1).stderr(contains("2 events: 1 error"));
}

#[test]
fn the_table_shows_the_line_with_a_marker() {
    let text = "[\n  {\"id\": \"a\", \"resource_type\": \"Cpuu\",\n   \"threshold_type\": {\"Percentage\": {\"value\": 180}},\n   \"action\": \"Log\", \"user_id\": \"*\"},\n]\n";
    validate().args(["--format", "table", "-"]).write_stdin(text).assert().code(1).stdout(
        r#"error[unknown-variant]: `resource_type` has no "Cpuu"
 --> <stdin>:2:32
  |
2 |   {"id": "a", "resource_type": "Cpuu",
  |                                ^^^^^^ expected one of Cpu, Memory, Storage, NetworkEgress, NetworkIngress, Gpu
  |
  = help: did you mean "Cpu"?

error[out-of-range]: `value` is over 100 percent, which nothing can exceed
 --> <stdin>:3:47
  |
3 |    "threshold_type": {"Percentage": {"value": 180}},
  |                                               ^^^ expected 0 to 100
  |
  = note: found 180

error[trailing-comma]: nothing follows this comma
 --> <stdin>:4:36
  |
4 |    "action": "Log", "user_id": "*"},
  |                                    ^
  |
  = help: JSON has no trailing commas; remove it

"#,
    );
}

#[test]
fn json_is_one_document_with_findings_and_files() {
    let (_folder, path) = file("t.json", THRESHOLD.replace("80.0", "-1"));
    let output = validate().args(["--format", "json"]).arg(&path).arg("missing.json").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["findings"].as_array().unwrap().len(), 1);
    assert_eq!(document["findings"][0]["code"], "out-of-range");
    assert_eq!(document["left_out"], 0);
    assert_eq!(document["files"][0]["kind"], "thresholds");
    assert_eq!(document["files"][0]["errors"], 1);
    assert!(document["files"][1]["failure"].as_str().unwrap().contains("missing.json"));
    let output = validate().args(["--format", "json"]).write_stdin(EVENT).output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["findings"], Value::Array(Vec::new()));
    assert_eq!(document["files"][0]["kind"], "events");
}

#[test]
fn warnings_alone_are_valid_unless_strict() {
    let event = EVENT.replace("\"period\"", "\"region\":\"eu\",\"period\"");
    validate()
        .write_stdin(event.clone())
        .assert()
        .code(0)
        .stdout(contains("unknown-field"))
        .stderr(contains("valid, 1 warning"));
    validate().arg("--strict").write_stdin(event.clone()).assert().code(1).stdout(contains("\"severity\":\"error\""));
    validate().env("FORMUSAGE_STRICT", "true").write_stdin(event).assert().code(1);
    validate().write_stdin("").assert().code(0).stdout(contains("\"code\":\"empty\""));
    validate().arg("--strict").write_stdin("").assert().code(1);
}

#[test]
fn the_skew_can_be_set() {
    let event = EVENT.replace("1626350430,\"inst", "4102444800,\"inst");
    validate().write_stdin(event.clone()).assert().code(1).stdout(contains("future-timestamp"));
    validate().args(["--max-skew", "100y"]).write_stdin(event).assert().code(0).stdout("");
    validate().args(["--max-skew", "5"]).write_stdin("").assert().code(2).stderr(contains("--max-skew"));
}

#[test]
fn files_of_both_kinds_in_one_run() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    write("a.ndjson", EVENT);
    write("b.json", THRESHOLD);
    write("c.json", &format!("[{THRESHOLD}]"));
    validate()
        .current_dir(folder.path())
        .args(["a.ndjson", "b.json", "c.json"])
        .assert()
        .code(1)
        .stdout(contains("duplicate-id").and(contains("the same id at b.json:1")))
        .stderr(
            "a.ndjson: 1 event: valid\nb.json: 1 threshold: valid\nc.json: 1 threshold: 1 error\n1 event and 2 thresholds \
             in 3 files: 1 error in 1 of 3 files\n",
        );
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_what_is_wrong_with_the_others() {
    let (folder, path) = file("events.ndjson", EVENT.replace("12.5", "1250"));
    let binary = folder.path().join("binary");
    std::fs::write(&binary, b"\x7fELF\0\0").unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    validate()
        .args([Path::new("missing.json"), &empty, &binary, &path])
        .assert()
        .code(2)
        .stdout(contains("percentage-times-100"))
        .stderr(
            contains("can't open missing.json")
                .and(contains("empty holds no *.json"))
                .and(contains("is a binary file"))
                .and(contains("3 files not validated")),
        );
}

#[test]
fn odd_inputs_are_findings() {
    for (input, code) in [
        ("[".repeat(10_000).into_bytes(), "too-deep"),
        (EVENT.replace("user_123456", "user\u{fffd}").replace('\u{fffd}', "\u{1}").into_bytes(), "control-character"),
        (EVENT.replace("user_123456", "a\\ud800").into_bytes(), "lone-surrogate"),
        ([EVENT.as_bytes(), b"{\"a\":\"\xff\xfe\"}"].concat(), "invalid-utf8"),
        ([EVENT.as_bytes(), b"\0\n"].concat(), "control-character"),
        (b"hello\n".to_vec(), "invalid-json"),
        (EVENT.replace("12.5", "1e999").into_bytes(), "number-too-large"),
        (EVENT.replace(":30,", ":18446744073709551616,").into_bytes(), "out-of-range"),
        (EVENT.replace("\"version\"", "\"version\":1,\"version\"").into_bytes(), "duplicate-key"),
        (format!("{EVENT}{THRESHOLD}\n").into_bytes(), "mixed"),
    ] {
        // Behind the first block, so that it is not taken for a binary file from the start.
        let input = if code == "control-character" { [EVENT.repeat(20).as_bytes(), &input].concat() } else { input };
        let found = rows(validate().write_stdin(input));
        assert!(found.iter().any(|row| row["code"] == code), "{found:?}");
    }
}

#[test]
fn a_line_of_50_megabytes_is_one_finding() {
    let input = [EVENT.as_bytes(), "x".repeat(50 << 20).as_bytes(), b"\n", EVENT.as_bytes()].concat();
    let (_folder, path) = file("events.ndjson", input);
    let found = rows(validate().arg(&path));
    assert_eq!((found.len(), &found[0]["code"], &found[0]["place"]["line"]), (1, &"too-long".into(), &2.into()));
    validate().arg(&path).assert().code(1).stderr(contains("2 events"));
}

#[test]
fn findings_are_bounded_and_the_rest_is_counted() {
    let input = EVENT.replace("12.5", "1250").repeat(150);
    assert_eq!(rows(validate().write_stdin(input.clone())).len(), 100);
    assert_eq!(rows(validate().args(["--max-findings", "0"]).write_stdin(input.clone())).len(), 150);
    validate()
        .args(["--max-findings", "3"])
        .write_stdin(input)
        .assert()
        .code(1)
        .stderr(contains("150 errors").and(contains("147 more findings are not shown")));
}

#[test]
fn byte_order_mark_carriage_returns_and_a_missing_last_newline_are_fine() {
    let event = EVENT.trim_end();
    validate()
        .write_stdin(format!("\u{feff}{event}\r\n\r\n{event}"))
        .assert()
        .code(0)
        .stdout("")
        .stderr(contains("2 events"));
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let (_folder, path) = file("events.ndjson", EVENT.replace("12.5", "1250").repeat(20_000));
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("formusage"))
        .args(["validate", "--max-findings", "0"])
        .arg(&path)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn_guarded();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn help_says_what_the_exit_codes_mean() {
    validate()
        .arg("--help")
        .assert()
        .code(0)
        .stdout(contains("Exit codes:").and(contains("1  something is not valid")));
}

/// The codes of the findings.
fn codes(found: &[Value]) -> Vec<&str> {
    found.iter().map(|row| row["code"].as_str().unwrap()).collect()
}

#[test]
fn a_period_of_half_a_century_is_a_warning_also_among_many_lines() {
    let from_zero = EVENT.replace("\"start\":1626350400", "\"start\":0");
    let input = EVENT.repeat(500) + &from_zero + &EVENT.repeat(500);
    let found = rows(validate().write_stdin(input.clone()));
    assert_eq!(codes(&found), ["implausible-period"]);
    assert_eq!((&found[0]["place"]["line"], &found[0]["severity"]), (&501.into(), &"warning".into()));
    validate().write_stdin(input.clone()).assert().code(0);
    validate().arg("--strict").write_stdin(input).assert().code(1);
    // Days in which the meter did not run are one event.
    let outage = EVENT.replace("\"start\":1626350400", &format!("\"start\":{}", 1_626_350_430 - 31 * 86_400));
    validate().write_stdin(outage).assert().code(0).stdout("");
}

#[test]
fn ids_that_nobody_can_read_are_warnings() {
    for id in [" ", "\u{200b}", "us\u{200d}er", "user ", "\u{a0}"] {
        let found = rows(validate().write_stdin(EVENT.replace("user_123456", id)));
        assert_eq!(codes(&found), ["unreadable-id"], "{id:?}");
        assert_eq!(found[0]["place"]["pointer"], "/user_id");
    }
    let found = rows(validate().write_stdin(THRESHOLD.replace("\"*\"", "\"user\u{200b}\"")));
    assert_eq!(codes(&found), ["unreadable-id"]);
}

#[test]
fn cpu_time_beyond_1024_cpus_is_a_warning() {
    for (cpu, percent, found) in [("30720", "100", 0), ("30721", "100", 1), ("3840", "12.5", 0), ("3841", "12.5", 1)] {
        let input = EVENT.replace("\"cpu_seconds\":30", &format!("\"cpu_seconds\":{cpu}")).replace("12.5", percent);
        assert_eq!(codes(&rows(validate().write_stdin(input))), vec!["implausible-time"; found], "{cpu}");
    }
}

#[test]
fn a_folder_names_what_it_passes_over_and_strict_fails_on_it() {
    let (folder, _) = file("a.json", THRESHOLD);
    let put = |name: &str, content: &str| std::fs::write(folder.path().join(name), content).unwrap();
    put("README.md", "# thresholds\n");
    put("B.JSON", &THRESHOLD.replace("cpu-high", "b").replace("\"Cpu\"", "\"Memory\""));
    validate().arg("--strict").arg(folder.path()).assert().code(0).stderr(contains("2 thresholds in 2 files"));
    put("c.yaml", "id: c\n");
    put("d.toml", "id = 1\n");
    put("e.txt", &THRESHOLD.replace("cpu-high", "e"));
    put("f.ndjson.gz", "x");
    let named = || {
        contains("4 files of folders not validated: ")
            .and(contains("c.yaml (YAML), "))
            .and(contains("d.toml (TOML), "))
            .and(contains("e.txt (JSON under another name), "))
            .and(contains("f.ndjson.gz (compressed)"))
            .and(contains("README").not())
    };
    validate().arg(folder.path()).assert().code(0).stderr(named());
    validate().arg("--strict").arg(folder.path()).assert().code(1).stderr(named());
    for format in ["json", "junit", "sarif", "github"] {
        let report = |strict: &[&str]| {
            let output = validate().args(["--format", format]).args(strict).arg(folder.path()).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert!(report(&["--strict"]).contains("not validated: YAML"), "{format}");
        assert!(!report(&[]).contains("c.yaml"), "{format}: without --strict nothing fails");
    }
}

#[test]
fn nul_bytes_at_the_start_hide_no_event_of_the_file() {
    for count in [1, 100, 5000] {
        let input = [&vec![0; count][..], b"\n", EVENT.as_bytes(), EVENT.as_bytes()].concat();
        let output = validate().write_stdin(input).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{count}");
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(words.contains("2 events: 1 error"), "{count}: {words}");
    }
    validate().write_stdin(vec![0; 100]).assert().code(1);
}

#[test]
fn a_configuration_of_collect_is_called_that() {
    for content in ["interval = \"30s\"\n[[scope]]\nscope = \"host\"\n", "# ours\n\n[[scope]]\nscope = \"host\"\n"] {
        let (_folder, path) = file("collect.toml", content);
        let found = rows(validate().arg(&path));
        assert_eq!(codes(&found), ["invalid-json"], "{found:?}");
        assert!(found[0]["help"].as_str().unwrap().contains("formusage collect --config"), "{found:?}");
    }
}
