//! Documents and other formats where one event a line is read: one line says what to do, and nothing is sent.

use std::path::{Path, PathBuf};

use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

use crate::support::{event, formusage, line, lines};

const THRESHOLD: &str = r#"[{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},"action":"Log","user_id":"*"}]"#;

fn file(folder: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Runs `publish`, `check` and `report` on the file. Each has to refuse it with one line that has these words.
fn is_refused_by_all(folder: &TempDir, path: &Path, words: &[&str]) {
    let thresholds = file(folder, "limits.json", THRESHOLD);
    let db = folder.path().join("u.db");
    let to = format!("sqlite:{}", db.display());
    let commands: [Vec<&str>; 3] =
        [vec!["publish", "--to", &to], vec!["check", thresholds.to_str().unwrap()], vec!["report"]];
    for (command, words) in commands.iter().zip(words) {
        let output = formusage().args(command).arg(path).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(said.lines().filter(|line| line.contains("error")).count(), 1, "{said}");
    }
    assert!(!db.exists(), "nothing was sent");
}

#[test]
fn json_documents_are_refused_with_the_command_that_helps() {
    let folder = TempDir::new().unwrap();
    let pretty = serde_json::to_string_pretty(&event("a", 0)).unwrap();
    let array = file(&folder, "arr.json", &format!("[\n{pretty},\n{pretty}\n]\n"));
    let name = array.to_str().unwrap();
    // The command that was given goes on with all its arguments.
    let advice = format!("write: jq -c '.[]' {name} | and the same command, with - in place of {name}");
    is_refused_by_all(&folder, &array, &[&*advice; 3]);
    let one = file(&folder, "one.json", &pretty);
    is_refused_by_all(&folder, &one, &["write: jq -c . "; 3]);
}

#[test]
fn a_stray_bracket_before_events_is_one_faulty_line() {
    for stray in ["[", "{", "{\n}"] {
        let folder = TempDir::new().unwrap();
        let to = format!("file:{}", folder.path().join("out.ndjson").display());
        let input = format!("{stray}\n{}", lines("a", 5));
        formusage()
            .args(["publish", "--report", "json", "--to", &to])
            .write_stdin(input)
            .assert()
            .code(1)
            .stdout(contains("\"delivered\":5"));
    }
}

#[test]
fn other_formats_and_other_documents_are_called_what_they_are() {
    let folder = TempDir::new().unwrap();
    let csv = file(&folder, "usage.csv", "time,instance,cpu\n1,a,2\n2,b,3\n");
    is_refused_by_all(&folder, &csv, &["is CSV, not events in JSON"; 3]);
    let two_columns = file(&folder, "two.csv", "instance_id,cpu_seconds\na,2\nb,3\n");
    is_refused_by_all(&folder, &two_columns, &["is CSV, not events in JSON"; 3]);
    let output = formusage().args(["validate", "--format", "ndjson"]).arg(&two_columns).output().unwrap();
    let findings = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), findings.lines().count()), (Some(1), 1), "{findings}");
    assert!(findings.contains("CSV"), "{findings}");
    let config = file(&folder, "collect.toml", "[[scope]]\nscope = \"host\"\n");
    is_refused_by_all(&folder, &config, &["formusage collect --config"; 3]);
    let thresholds = file(&folder, "t.json", THRESHOLD);
    let use_it = format!("holds thresholds, not events; use --thresholds {}", thresholds.display());
    is_refused_by_all(&folder, &thresholds, &[&use_it, "they are named first", &use_it]);
}

#[test]
fn standard_input_is_told_the_same() {
    let pretty = serde_json::to_string_pretty(&event("a", 0)).unwrap();
    formusage()
        .args(["publish", "--to", "file:/dev/null"])
        .write_stdin(format!("[{pretty}]"))
        .assert()
        .code(2)
        .stderr(contains("pipe it through jq -c '.[]'"));
    formusage().arg("report").write_stdin(pretty).assert().code(2).stderr(contains("pipe it through jq -c ."));
    // Thresholds are read from a file alone.
    formusage()
        .args(["publish", "--to", "file:/dev/null"])
        .write_stdin(THRESHOLD)
        .assert()
        .code(2)
        .stderr(contains("use --thresholds FILE").and(contains("--thresholds -").not()));
}

#[test]
fn faulty_lines_at_the_start_keep_no_event_back() {
    for first in ["warning: late", "[2026-11-28 12:00] started", "[]", &line("a", 9)[..80]] {
        let input = format!("{first}\n{}", lines("a", 3));
        formusage()
            .args(["report", "--by", "none"])
            .write_stdin(input)
            .assert()
            .code(2)
            .stdout(contains("\"events\":3"))
            .stderr(contains("1 invalid line not in the sums").and(contains("reads one event a line").not()));
    }
}
