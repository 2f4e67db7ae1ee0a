//! The documents that are generated from definitions and kept in the repository are current.

use std::path::Path;

use assert_cmd::Command;
use form_usage_events::validate::{EventRules, Severity, line_findings, threshold_findings};
use serde_json::{Value, json};

/// Compares a kept document with what it should hold. With `FORMUSAGE_REWRITE` set, writes it.
pub(crate) fn assert_current(path: &str, contents: &str) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("FORMUSAGE_REWRITE").is_some() {
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        return std::fs::write(full, contents).unwrap();
    }
    let kept = std::fs::read_to_string(full).unwrap_or_default();
    assert!(
        kept == contents,
        "{path} is not current; this rewrites it:\n\n    FORMUSAGE_REWRITE=1 cargo test --test it documents\n"
    );
}

fn printed(args: &[&str]) -> String {
    let output = Command::cargo_bin("formusage").unwrap().args(args).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn schemas_are_current() {
    assert_current("schemas/event.schema.json", &printed(&["schema", "event"]));
    assert_current("schemas/channels.schema.json", &printed(&["schema", "channels"]));
    assert_current("schemas/thresholds.schema.json", &printed(&["schema", "thresholds"]));
    assert_current("schemas/cases.schema.json", &printed(&["schema", "cases"]));
}

#[test]
fn man_pages_and_completions_are_current() {
    let page = printed(&["man"]);
    assert_current("man/formusage.1", &page);
    // All that it refers to.
    let commands: Vec<&str> = page
        .split("formusage\\-")
        .skip(1)
        .filter_map(|rest| rest.split_once("(1)"))
        .map(|(command, _)| command)
        .collect();
    assert!(
        ["collect", "spool", "dlq", "thresholds", "channels"].iter().all(|it| commands.contains(it)),
        "{commands:?}"
    );
    for command in commands {
        assert_current(&format!("man/formusage-{command}.1"), &printed(&["man", command]));
    }
    let shells = [
        ("bash", "formusage.bash"),
        ("zsh", "_formusage"),
        ("fish", "formusage.fish"),
        ("powershell", "_formusage.ps1"),
    ];
    for (shell, file) in shells {
        assert_current(&format!("completions/{file}"), &printed(&["completions", shell]));
    }
}

#[test]
fn the_exit_codes_of_the_readme_are_current() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for command in ["collect", "publish", "check", "validate", "queue", "read", "report", "ping"] {
        let help = printed(&[command, "--help"]);
        let (_, codes) = help.split_once("Exit codes:\n").unwrap();
        for line in codes.lines().filter(|line| !line.trim().is_empty()) {
            let (code, meaning) = line.trim().split_once("  ").unwrap();
            let row = format!("| `{command}` | {code} | {meaning} |");
            assert!(readme.contains(&row), "README.md lacks this row of its table of exit codes:\n\n{row}\n");
        }
    }
}

#[test]
fn a_man_page_of_no_command_is_refused() {
    let output = Command::cargo_bin("formusage").unwrap().args(["man", "publsh"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean \"publish\"?"));
}

/// bash sources the script without a word and offers what fits.
#[test]
fn the_bash_completion_works_in_a_real_shell() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/completions/formusage.bash");
    let ask = format!(
        "set -eu; source {script}; COMP_WORDS=(formusage publish --dr); COMP_CWORD=2; _formusage formusage --dr publish; echo \"${{COMPREPLY[@]}}\""
    );
    let output = std::process::Command::new("bash").args(["--norc", "-c", &ask]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "--dry-run --drain-timeout",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

const EVENT: &str = include_str!("../fixtures/event.json");

/// An event with the value at `pointer` replaced.
fn event_with(pointer: &str, value: Value) -> Value {
    let mut event: Value = serde_json::from_str(EVENT).unwrap();
    *event.pointer_mut(pointer).unwrap() = value;
    event
}

fn event_without(object: &str, key: &str) -> Value {
    let mut event: Value = serde_json::from_str(EVENT).unwrap();
    event.pointer_mut(object).unwrap().as_object_mut().unwrap().remove(key).unwrap();
    event
}

fn validator(schema: &str) -> jsonschema::Validator {
    jsonschema::validator_for(&serde_json::from_str(&printed(&["schema", schema])).unwrap()).unwrap()
}

/// Whether the event validator finds no error, at a time when everything here is past.
fn event_is_valid(event: &Value) -> bool {
    let findings = line_findings(event.to_string().as_bytes(), 1, &EventRules::at(200_000_000_000));
    findings.iter().all(|finding| finding.severity < Severity::Error)
}

#[test]
fn schema_and_validator_agree_on_events() {
    let schema = validator("event");
    let mut events = vec![json!({}), json!([]), json!(null), json!("x"), serde_json::from_str(EVENT).unwrap()];
    events.push({
        let mut event = event_with("/org_id", json!(null));
        event["note"] = json!({"deep": [1, 2]});
        event
    });
    let values = [
        json!(null),
        json!(true),
        json!(""),
        json!("x"),
        json!("1.0"),
        json!("1.27"),
        json!("1."),
        json!("2.0"),
        json!("resource_usage"),
        json!("a\u{7}b"),
        json!("é".repeat(20)),
        json!("x".repeat(256)),
        json!("x".repeat(257)),
        json!(0),
        json!(-1),
        json!(12.5),
        json!(100),
        json!(100.5),
        json!(1250),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(-0.5),
        json!(1_626_350_430_000_i64),
        json!([]),
        json!({}),
    ];
    for (object, keys) in [
        ("", &["event_type", "version", "instance_id", "user_id", "org_id", "metrics", "period"][..]),
        (
            "/metrics",
            &[
                "cpu_seconds",
                "cpu_percent_avg",
                "memory_gb",
                "memory_percent",
                "storage_gb",
                "network_egress_mb",
                "network_ingress_mb",
                "gpu_seconds",
            ],
        ),
        // What times have to do with each other is beyond a schema; what they are is not.
        ("/period", &[]),
    ] {
        for key in keys {
            events.push(event_without(object, key));
            events.extend(values.iter().map(|value| event_with(&format!("{object}/{key}"), value.clone())));
        }
    }
    for time in ["/timestamp", "/period/start", "/period/end"] {
        let bad = [json!(null), json!("1626350430"), json!(30.5), json!(-1), json!(1_626_350_430_000_i64)];
        events.extend(bad.map(|value| event_with(time, value)));
    }
    assert!(events.len() > 400);
    for event in &events {
        assert_eq!(schema.is_valid(event), event_is_valid(event), "{event}");
    }
}

#[test]
fn the_differences_between_schema_and_validator_are_these() {
    let schema = validator("event");
    for (why, event) in [
        (
            "a schema takes 30.0 for a whole number; readers of the format do not",
            event_with("/metrics/cpu_seconds", json!(30.0)),
        ),
        ("a schema counts characters, the format bytes", event_with("/user_id", json!("é".repeat(200)))),
        ("a schema can't compare the period's ends", event_with("/period/start", json!(1_626_350_430))),
        ("nor the timestamp with the period", event_with("/timestamp", json!(1_626_350_400))),
        ("nor the timestamp with a clock", event_with("/timestamp", json!(99_999_999_999_i64))),
    ] {
        assert!(schema.is_valid(&event), "{why}");
        let findings = line_findings(event.to_string().as_bytes(), 1, &EventRules::at(1_626_350_500));
        assert_eq!(findings.len(), 1, "{why}");
    }
}

#[test]
fn schema_and_validator_agree_on_thresholds() {
    let schema = validator("thresholds");
    let sound = json!({"id": "a", "resource_type": "Cpu", "threshold_type": {"Percentage": {"value": 80.0}},
        "action": "Notify", "user_id": "*", "notification_channels": ["email"]});
    let mut files = vec![sound.clone(), json!([sound]), json!([]), json!({}), json!(1), json!([1])];
    for (key, values) in [
        ("id", vec![json!(""), json!(1), json!(null)]),
        ("resource_type", vec![json!("Cpuu"), json!("Storage"), json!("Memory"), json!("Gpu"), json!(1)]),
        (
            "threshold_type",
            vec![
                json!({"Absolute": {"value": 1, "unit": "min"}}),
                json!({"Absolute": {"value": 1, "unit": "GB"}}),
                json!({"Absolute": {"value": 1, "unit": "gb"}}),
                json!({"Absolute": {"value": -1, "unit": "s"}}),
                json!({"Absolute": {"value": 1}}),
                json!({"Percentage": {"value": 100.5}}),
                json!({"Percentage": {"value": 0}}),
                json!({"Percentage": {"value": "80"}}),
                json!({"Percentage": {"value": 80, "unit": "%"}}),
                json!({"Percentage": {"value": 80}, "Absolute": {"value": 1, "unit": "s"}}),
                json!({"Percent": {"value": 80}}),
                json!({}),
                json!("Percentage"),
            ],
        ),
        (
            "action",
            vec![
                json!("Log"),
                json!("log"),
                json!({"Action": "x"}),
                json!({"Action": " "}),
                json!("Action"),
                json!({}),
            ],
        ),
        ("user_id", vec![json!(""), json!("u"), json!(null)]),
        ("instance_id", vec![json!(""), json!("i"), json!(null), json!(1)]),
        ("notification_channels", vec![json!([]), json!([""]), json!([1]), json!("email"), json!(null)]),
        ("description", vec![json!(""), json!(null), json!(1)]),
        (
            "for",
            vec![
                json!("5m"),
                json!(""),
                json!(" "),
                json!("1h 30m"),
                json!("30m1h"),
                json!("5ms"),
                json!(5),
                json!(null),
            ],
        ),
        ("clear_value", vec![json!(70), json!(-1), json!("70"), json!(null)]),
        ("repeat_interval", vec![json!("0s"), json!("1234567890s"), json!("5"), json!(null)]),
        ("severity", vec![json!("critical"), json!("bad"), json!(null)]),
        ("enabled", vec![json!(false), json!("no"), json!(null)]),
        ("no_data", vec![json!("resolve"), json!("ok"), json!(null)]),
        ("no_data_after", vec![json!("25m"), json!("25"), json!(25), json!(null)]),
    ] {
        for value in values {
            let mut file = sound.clone();
            file[key] = value;
            files.push(file);
        }
        let mut file = sound.clone();
        file.as_object_mut().unwrap().remove(key);
        files.push(file);
    }
    for file in &files {
        let findings = threshold_findings(file.to_string().as_bytes());
        let valid = findings.iter().all(|finding| finding.severity < Severity::Error);
        assert_eq!(schema.is_valid(file), valid, "{file}: {findings:?}");
    }
}

/// The words of a document in back quotes that are names of tests, without the modules before them.
fn named_tests(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split('`').skip(1).step_by(2).filter_map(|word| word.rsplit("::").next());
    words.filter(|word| {
        word.matches('_').count() > 2 && word.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    })
}

fn add_functions(folder: &Path, found: &mut std::collections::HashSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            add_functions(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(path).unwrap();
            let names = text.lines().filter_map(|line| line.split_once("fn ")?.1.split('(').next());
            found.extend(names.map(str::to_owned));
        }
    }
}

#[test]
fn tests_that_explanations_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut functions = std::collections::HashSet::new();
    for folder in ["src", "tests"] {
        add_functions(&root.join(folder), &mut functions);
    }
    let mut named = 0;
    for document in ["accuracy", "capabilities", "metering", "security"] {
        let text = std::fs::read_to_string(root.join(format!("docs/explanation/{document}.md"))).unwrap();
        let missing: Vec<&str> = named_tests(&text).filter(|name| !functions.contains(*name)).collect();
        assert!(missing.is_empty(), "{document}.md: {missing:?}");
        named += named_tests(&text).count();
    }
    assert!(named > 100, "{named}");
}
