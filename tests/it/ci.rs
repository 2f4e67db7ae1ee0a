//! What continuous integration relies on: names and bytes from strangers, and files that are not what they seem.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::{formusage, line};

const CPU: &str = r#"[{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},"for":"5m","action":"Log","user_id":"*"}]"#;

fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = formusage().args(args).current_dir(folder).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_nul_is_a_finding_of_its_line_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    for before in [0, 1, 5000] {
        let mut text = "{\"event_type\":\"resource_usage\"}\n".repeat(before).into_bytes();
        text.extend_from_slice(b"{\"event_type\":\"re\0source_usage\"}\n{\"event_type\":1}\n");
        fs::write(folder.path().join("e.ndjson"), text).unwrap();
        let (code, stdout, stderr) =
            run(folder.path(), &["validate", "--format", "ndjson", "--max-findings", "0", "e.ndjson"]);
        let at = |line: usize, column: u64| {
            stdout.lines().any(|row| {
                let row: serde_json::Value = serde_json::from_str(row).unwrap();
                row["place"]["line"] == line && row["place"]["column"] == column
            })
        };
        assert!(code == 1 && at(before + 1, 18) && at(before + 2, 15), "{before}: {stdout} {stderr}");
    }
    fs::write(folder.path().join("e.ndjson"), b"\x7fELF\x02\x01\x01\0").unwrap();
    let (code, _, stderr) = run(folder.path(), &["validate", "e.ndjson"]);
    assert!(code == 2 && stderr.contains("binary"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_name_is_no_command_of_a_workflow_and_moves_no_cursor() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["a\n::error file=README.md::injected", "::stop-commands::pwn", "b\x1b[2J", "\n##[error]x"];
    for name in names {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join(format!("{}.json", name.replace('/', "_"))), "[{\"id\":").unwrap();
        fs::create_dir(folder.path().join(format!("{name} of nothing"))).unwrap();
    }
    let missing = names.map(|name| format!("{name} is missing"));
    let nothing = names.map(|name| format!("{name} of nothing"));
    let all: Vec<&str> =
        names.into_iter().chain(missing.iter().map(String::as_str)).chain(nothing.iter().map(String::as_str)).collect();
    fs::write(folder.path().join("t.json"), CPU).unwrap();
    for format in ["github", "table"] {
        for command in [&["validate"][..], &["check", "t.json"]] {
            let args: Vec<&str> =
                command.iter().copied().chain(["--format", format, "--"]).chain(all.clone()).collect();
            let (code, stdout, stderr) = run(folder.path(), &args);
            assert_eq!(code, 2, "{stderr}");
            for text in [&stdout, &stderr] {
                assert!(!text.contains(|char: char| char.is_control() && char != '\n'), "{args:?} {text}");
                assert!(!text.contains("##["), "{args:?} {text}");
                let commands = text.lines().filter(|line| line.trim_start().starts_with("::"));
                for line in commands {
                    let ours = format == "github" && std::ptr::eq(text, &raw const stdout);
                    let known =
                        line.starts_with("::error file=%3A%3Astop") || line.starts_with("::error file=a%0A%3A%3A");
                    let known =
                        known || line.starts_with("::error file=b%1B") || line.starts_with("::error file=%0A##%5B");
                    assert!(ours && (known || line.starts_with("::notice title=formusage::")), "{args:?} {line}");
                }
            }
        }
    }
}

#[test]
fn an_emptied_file_is_no_valid_one_and_an_empty_array_is_remarked_on() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, code, says) in [
        ("t.json", "", 1, "error"),
        ("t.json", " \n", 1, "error"),
        ("t.json", "[]", 0, "nothing is checked"),
        ("e.ndjson", "", 0, "warning"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
        let (got, stdout, stderr) = run(folder.path(), &["validate", name]);
        assert!(got == code && stdout.contains(says), "{name} {text:?}: {got} {stdout} {stderr}");
    }
}

#[test]
fn states_take_the_place_of_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("t.json"), CPU).unwrap();
    fs::write(path("e.ndjson"), "").unwrap();
    let check = |state: &str| run(folder.path(), &["check", "t.json", "--state", state, "e.ndjson"]);
    let before = || fs::read_dir(folder.path()).unwrap().count();
    let count = before();
    let (code, _, stderr) = check("t.json");
    assert!(code == 2 && stderr.contains("t.json") && stderr.contains("name a file of their own"), "{stderr}");
    assert_eq!(fs::read_to_string(path("t.json")).unwrap(), CPU);
    assert_eq!(before(), count);
    #[cfg(unix)]
    {
        assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        let (code, _, stderr) = check("pipe");
        assert!(code == 2 && stderr.contains("no regular file"), "{stderr}");
    }
    assert_eq!(check("new.json").0, 0);
    assert_eq!(check("new.json").0, 0);
}

#[test]
fn what_fires_is_named_and_what_is_over_no_more_is_over_by_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("t.json"), CPU).unwrap();
    let events = |periods: std::ops::Range<i64>, cpu: f64| -> String {
        let event = |index: i64| {
            let mut event: serde_json::Value = serde_json::from_str(&line("web-1", 0)).unwrap();
            let start = 1_626_350_400 + index * 30;
            event["period"] = serde_json::json!({"start": start, "end": start + 30});
            event["timestamp"] = (start + 30).into();
            event["metrics"]["cpu_percent_avg"] = cpu.into();
            event.to_string() + "\n"
        };
        periods.map(event).collect()
    };
    fs::write(path("high.ndjson"), events(0..20, 95.0)).unwrap();
    fs::write(path("none.ndjson"), "").unwrap();
    fs::write(path("low.ndjson"), events(20..22, 50.0)).unwrap();
    let check = |thresholds: &str, file: &str, format: &str| {
        run(folder.path(), &["check", thresholds, "--state", "alerts.json", "--format", format, file])
    };
    let fires = "cpu fires on web-1 since 2021-07-15T12:00:00Z";
    let (code, stdout, stderr) = check("t.json", "high.ndjson", "table");
    assert_eq!(code, 1, "{stdout} {stderr}");
    assert!(
        stderr.contains("thresholds are exceeded in 20 of 20 events; 1 alert fired") && stderr.contains(fires),
        "{stderr}"
    );
    let (code, stdout, stderr) = check("t.json", "none.ndjson", "table");
    assert!(code == 1 && stdout.is_empty() && stderr.contains(fires), "{stdout} {stderr}");
    let (_, _, stderr) = check("t.json", "high.ndjson", "table");
    assert!(stderr.contains("20 events late or again"), "{stderr}");
    let (code, stdout, _) = check("t.json", "none.ndjson", "nagios");
    assert!(code == 1 && stdout.starts_with(&format!("FORMUSAGE WARNING - {fires}; ")), "{stdout}");
    assert!(stdout.contains(" violations=1;0;;0 ") && stdout.contains(" firing=1;0;;0 "), "{stdout}");
    assert!(!stdout.contains("late or again"), "of this run alone: {stdout}");
    fs::copy(path("alerts.json"), path("kept.json")).unwrap();
    for (thresholds, text) in [("t.json", CPU), ("no.json", "[]")] {
        fs::copy(path("kept.json"), path("alerts.json")).unwrap();
        fs::write(path(thresholds), text).unwrap();
        let (_, stdout, stderr) = check(thresholds, "low.ndjson", "table");
        let head = stdout.lines().next().unwrap_or_default();
        assert!(head.ends_with("state") && stdout.contains("resolved after"), "{stdout} {stderr}");
        assert!(!stdout.contains("-37.5 %") && !stderr.contains("fires on"), "{stdout} {stderr}");
    }
}
