//! Thresholds with states, as operators meet them: told once, over restarts too, and changed while they are in force.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use form_usage_events::clock::{Clock as _, SystemClock};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::support::{SpawnGuarded as _, event, formusage, formusage_process, signal};

const CPU: &str = r#"{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},"action":"Log","user_id":"*","for":"5m","repeat_interval":"30m","severity":"critical"}"#;

/// The hour of 30 s events in which the CPU is over the limit, and what comes behind it.
fn hour(periods: std::ops::Range<i64>) -> String {
    let mut text = String::new();
    for n in periods {
        let mut event = event("web-1", n);
        event.metrics.cpu_percent_avg = if n < 120 { 95.0 } else { 20.0 };
        writeln!(text, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }
    text
}

/// `formusage publish` with thresholds into a file; what it logged of them: state, time, id.
fn publish(folder: &Path, input: String) -> Vec<(String, i64, String)> {
    let mut command = formusage();
    command.args(["--log-format", "json", "publish", "--to", "file:out.ndjson", "--thresholds", "t.json"]);
    command.args(["--state", "alerts.json"]).current_dir(folder).write_stdin(input);
    let stderr = command.assert().code(0).get_output().stderr.clone();
    let lines = String::from_utf8(stderr).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    let of = |line: Value| {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        (text("state"), line["time"].as_i64().unwrap() - 1_626_350_400, text("id"))
    };
    // A file without thresholds has a warning of its own.
    lines.filter(|line| line["state"].is_string()).map(of).collect()
}

#[test]
fn an_hour_over_the_limit_is_told_once_repeated_once_and_resolved_over_a_restart_too() {
    let expected = [("firing", 300), ("repeat", 2_100), ("resolved", 3_630)];
    for parts in [vec![0, 124], vec![0, 4, 124], vec![0, 10, 71, 120, 124]] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.json"), CPU).unwrap();
        let mut told = Vec::new();
        for part in parts.windows(2) {
            told.extend(publish(folder.path(), hour(part[0]..part[1])));
            // What comes again changes nothing.
            told.extend(publish(folder.path(), hour(part[0]..part[1])));
        }
        let seen: Vec<_> = told.iter().map(|(state, time, _)| (state.as_str(), *time)).collect();
        assert_eq!(seen, expected, "{parts:?}");
    }
}

#[test]
fn a_threshold_that_went_away_is_resolved_and_a_damaged_file_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (thresholds, state) = (folder.path().join("t.json"), folder.path().join("alerts.json"));
    fs::write(&thresholds, CPU).unwrap();
    assert_eq!(publish(folder.path(), hour(0..12)).len(), 1);
    fs::write(&thresholds, "[]").unwrap();
    let told = publish(folder.path(), hour(12..13));
    assert_eq!(told.iter().map(|(state, ..)| state.as_str()).collect::<Vec<_>>(), ["resolved"]);

    fs::write(&thresholds, CPU).unwrap();
    fs::write(&state, "{\"format\":\"formusage-alerts\",\"vers").unwrap();
    let mut command = formusage();
    command.args(["check", "t.json", "--state", "alerts.json"]).current_dir(folder.path()).write_stdin(hour(0..12));
    command.assert().code(1).stderr(contains("damaged").and(contains("alerts.json.damaged-")));
    let names = fs::read_dir(folder.path()).unwrap().flatten().map(|it| it.file_name().into_string().unwrap());
    assert!(names.into_iter().any(|name| name.starts_with("alerts.json.damaged-")));
}

#[test]
fn check_reports_changes_and_keeps_states_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("t.json"), CPU).unwrap();
    let check = |args: &[&str], input: String| {
        let mut command = formusage();
        command.args(["check", "t.json"]).args(args).current_dir(folder.path()).write_stdin(input).assert()
    };
    let states = |stdout: &[u8]| -> Vec<(String, i64)> {
        let text = std::str::from_utf8(stdout).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let state = |it: Value| (it["state"].as_str().unwrap().to_owned(), it["at"].as_i64().unwrap() - 1_626_350_400);
        records.map(state).collect()
    };
    let whole = check(&[], hour(0..124)).code(1);
    let expected = [("pending", 30), ("firing", 300), ("repeat", 2_100), ("resolved", 3_630)];
    let expected: Vec<_> = expected.map(|(state, at)| (state.to_owned(), at)).into();
    assert_eq!(states(&whole.get_output().stdout), expected);

    let mut parts = Vec::new();
    for (from, to, code) in [(0, 9, 0), (9, 50, 1), (50, 60, 1), (60, 124, 1), (124, 130, 0)] {
        let part = check(&["--state", "alerts.json"], hour(from..to)).code(code);
        parts.extend(states(&part.get_output().stdout));
    }
    assert_eq!(parts, expected);

    let table = check(&["--format", "table"], hour(0..124)).code(1);
    let text = String::from_utf8(table.get_output().stdout.clone()).unwrap();
    assert!(text.lines().next().unwrap().ends_with("state") && text.contains("resolved after 1h30s"), "{text}");
    table.stderr(contains("1 alert fired, 1 resolved, 0 firing now, 0 pending"));
    let json = check(&["--format", "json"], hour(0..20)).code(1);
    let document: Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert_eq!(
        (&document["totals"]["alerts"]["firing"], &document["totals"]["alerts"]["fired"]),
        (&1.into(), &1.into())
    );
    check(&["--explain", "--format", "table"], hour(0..5)).code(0).stdout(contains("pending for 2m30s of 5m"));
    check(&["--explain"], hour(0..12)).code(1).stdout(contains(r#""state":"firing""#));
}

#[test]
fn editing_thresholds_takes_effect_within_a_second_and_a_broken_edit_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    let plain = CPU.replace(r#","for":"5m","repeat_interval":"30m""#, "");
    fs::write(&path, &plain).unwrap();
    let mut command = formusage_process();
    command.args(["publish", "--to", "file:out.ndjson", "--thresholds", "t.json"]).current_dir(folder.path());
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
    let mut stdin = child.stdin.take().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        line
    };
    let mut number = 0;
    let mut send = |cpu: f64| {
        let mut event = event("web-1", number);
        event.metrics.cpu_percent_avg = cpu;
        number += 1;
        writeln!(stdin, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    };
    send(81.0);
    let first = next();
    assert!(first.contains("threshold exceeded"), "{first}");

    // A limit that 61 exceeds and 60 does not: which one is in force shows in whether 61 is told.
    let edited = SystemClock.monotonic();
    fs::write(&path, plain.replace("80.0", "60.0").replace("cpu-high", "lower")).unwrap();
    let (line, told) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| (next(), SystemClock.monotonic()));
        while !reader.is_finished() {
            send(61.0);
            std::thread::park_timeout(Duration::from_millis(20));
        }
        reader.join().unwrap()
    });
    assert!(line.contains("lower"), "{line}");
    let waited = told - edited;
    // On an idle machine within a second; this one may be busy.
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    if waited > Duration::from_secs(1) {
        eprintln!("the edit took {waited:?} on this busy machine");
    }

    fs::write(&path, "[{\"id\":").unwrap();
    let line = loop {
        let line = next();
        if !line.contains("threshold exceeded") {
            break line;
        }
    };
    assert!(line.contains("ERROR") && line.contains("t.json") && line.contains("can't be used"), "{line}");
    let mut rest = String::new();
    while !rest.contains("stay in force") {
        rest += &next();
    }
    send(61.0);
    let line = next();
    assert!(line.contains("lower"), "{line}");

    // The same once more, and at once: after SIGHUP.
    signal(&child, "HUP");
    assert!(next().contains("can't be used"));
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

const CASES: &str = r#"{"thresholds":[THRESHOLD],"cases":[
 {"name":"fires after five minutes","series":["instance web-1: cpu_percent_avg 50x10 95x20, every 1m"],
  "alerts":[{"threshold":"cpu-high","instance":"web-1","kind":"pending","at":"11m"},
            {"threshold":"cpu-high","instance":"web-1","kind":"firing","at":"15m"}],
  "states":[{"threshold":"cpu-high","instance":"web-1","at":"12m","state":"pending"}]},
 {"name":"is <not> well","series":["instance web-1: cpu_percent_avg 95x20, every 1m"],
  "states":[{"threshold":"cpu-high","instance":"web-1","at":"12m","state":"ok"}]}]}"#;

#[test]
fn cases_pass_or_say_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let all = CASES.replace("THRESHOLD", CPU);
    fs::write(folder.path().join("cases.json"), &all).unwrap();
    fs::write(folder.path().join("t.json"), CPU).unwrap();
    let mut good: Value = serde_json::from_str(&all).unwrap();
    good["cases"].as_array_mut().unwrap().pop();
    good["thresholds"] = serde_json::json!([]);
    fs::write(folder.path().join("good.json"), good.to_string()).unwrap();
    good["threshold_files"] = serde_json::json!(["t.json"]);
    fs::create_dir(folder.path().join("sub")).unwrap();
    good["threshold_files"] = serde_json::json!(["../t.json"]);
    fs::write(folder.path().join("sub/named.json"), good.to_string()).unwrap();
    let run = |args: &[&str]| {
        let mut command = formusage();
        command.arg("check").args(args).current_dir(folder.path()).assert()
    };
    run(&["t.json", "--test", "good.json", "sub/named.json", "--format", "table"]).code(0).stderr("2 cases passed\n");
    run(&["--test", "good.json"]).code(2).stderr(contains("names no thresholds"));
    run(&["--test", "cases.json", "--format", "table"])
        .code(1)
        .stdout(contains("ok      fires after five minutes").and(contains("FAILED  is <not> well")))
        .stdout(contains("- cpu-high on web-1: ok at 12m").and(contains("+ cpu-high on web-1: firing since 0s at 12m")))
        .stderr("1 of 2 cases failed\n");
    let ndjson = run(&["--test", "cases.json"]).code(1);
    let last = ndjson.get_output().stdout.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap().to_vec();
    let last: Value = serde_json::from_slice(&last).unwrap();
    assert_eq!((&last["passed"], last["differences"].as_array().unwrap().len()), (&false.into(), 2));
    let junit = run(&["--test", "cases.json", "--format", "junit"]).code(1);
    let xml = String::from_utf8(junit.get_output().stdout.clone()).unwrap();
    assert!(
        xml.contains(r#"tests="2""#) && xml.contains(r#"failures="1""#) && xml.contains("is &lt;not&gt; well"),
        "{xml}"
    );
    fs::write(folder.path().join("bad.json"), "{\"cases\":[],\"case\":1}").unwrap();
    run(&["--test", "bad.json"])
        .code(2)
        .stderr(contains("bad.json:1:13: error[unknown-field]: unknown field \"case\"").and(contains("holds no case")));
    // Each of its cases, not the first alone.
    good["cases"] = serde_json::json!([
        {"name": "a", "alerts": [{"threshold": "cpu", "instance": "i", "kind": "firing", "at": "1m"}]},
        {"name": "b", "alerts": [{"threshold": "mem", "instance": "i", "kind": "firing", "at": "1m"}]}]);
    good["threshold_files"] = serde_json::json!(["t.json"]);
    fs::write(folder.path().join("absent.json"), good.to_string()).unwrap();
    run(&["--test", "absent.json"]).code(2).stderr(contains("\"cpu\"").and(contains("\"mem\"")));
    // A threshold without states fires never.
    let mut plain: Value = serde_json::from_str(CPU).unwrap();
    let plain_fields = plain.as_object_mut().unwrap();
    plain_fields.retain(|field, _| !["for", "clear_value", "repeat_interval", "no_data"].contains(&field.as_str()));
    fs::write(folder.path().join("plain.json"), all.replace(CPU, &plain.to_string())).unwrap();
    run(&["--test", "plain.json", "--format", "table"]).code(1).stdout(contains("hint: cpu-high has no states"));
    formusage()
        .args(["validate", "cases.json"])
        .current_dir(folder.path())
        .assert()
        .code(0)
        .stderr(contains("cases.json: 2 cases: valid"));
}

#[test]
fn the_schema_of_cases_takes_what_is_taken() {
    let output = formusage().args(["schema", "cases"]).output().unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&output.stdout).unwrap()).unwrap();
    let sound: Value = serde_json::from_str(&CASES.replace("THRESHOLD", CPU)).unwrap();
    assert!(schema.is_valid(&sound));
    for (pointer, value) in [
        ("/cases/0/states/0/at", serde_json::json!(720)),
        ("/cases/0/states/0/state", serde_json::json!("fired")),
        ("/cases/0/alerts/0/kind", serde_json::json!("boom")),
        ("/cases/0/series", serde_json::json!("x")),
    ] {
        let mut bad = sound.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        assert!(!schema.is_valid(&bad), "{pointer}");
        assert!(serde_json::from_value::<form_usage_events::threshold::cases::CaseFile>(bad).is_err(), "{pointer}");
    }
}
