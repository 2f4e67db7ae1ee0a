//! Channels files as people validate them: each fault with its place, in every format, and no secret in any.

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::formusage;

const FAULTY: &str = r#"{
  "channels": {
    "email": {"smtp": {"hots": "mail.example.org", "from": "meter@example.org", "to": ["ops at example.org"], "password": "hush-1"}},
    "pager": {"webhook": {"url": "htps://pager.example.org/in"}},
    "chat": {"slakc": {"url": "https://hooks.slack.com/services/hush-2"}}
  },
  "actions": {"down": {"exec": {"command": "scale down", "timeout": 5}}}
}
"#;

#[test]
fn every_fault_of_a_channels_file_is_named_in_one_run_and_no_secret() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("channels.json"), FAULTY).unwrap();
    let validate = |format: &str| {
        let mut command = formusage();
        command.current_dir(folder.path()).args(["validate", "--format", format, "channels.json"]).assert().code(1)
    };
    let rows = validate("ndjson").stderr(contains("channels.json: 4 channels: "));
    let rows = String::from_utf8(rows.get_output().stdout.clone()).unwrap();
    let mut found: Vec<(u64, String, String)> = rows
        .lines()
        .map(|row| {
            let row: Value = serde_json::from_str(row).unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (row["place"]["line"].as_u64().unwrap(), text(&row["code"]), text(&row["place"]["pointer"]))
        })
        .collect();
    found.sort();
    let expected = [
        (3, "invalid-address", "/channels/email/smtp/to/0"),
        (3, "missing-field", "/channels/email/smtp/password"),
        (3, "misspelt-field", "/channels/email/smtp/hots"),
        (3, "plain-secret", "/channels/email/smtp/password"),
        (4, "invalid-url", "/channels/pager/webhook/url"),
        (4, "missing-field", "/channels/pager/webhook"),
        (5, "plain-secret", "/channels/chat/slakc/url"),
        (5, "unknown-variant", "/channels/chat/slakc"),
        (7, "unknown-field", "/actions/down/exec/timeout"),
        (7, "wrong-type", "/actions/down/exec/command"),
    ];
    let expected: Vec<_> = expected.map(|(line, code, at)| (line, code.to_owned(), at.to_owned())).into();
    assert_eq!(found, expected);
    for format in ["table", "json", "ndjson", "github", "sarif", "junit"] {
        let said = validate(format).stdout(contains("plain-secret").and(contains("hush").not()));
        said.stderr(contains("hush").not());
    }
    validate("table").stdout(contains("channels.json:4:").and(contains("did you mean `timeout_seconds`?")));
    validate("json").stdout(contains(r#""kind":"channels""#).and(contains(r#""channels":4"#)));
    let explain = formusage().args(["validate", "--explain", "plain-secret"]).assert();
    explain.code(0).stdout(contains("Why it matters:"));
}

#[test]
fn a_file_that_the_schema_takes_is_valid_and_the_other_way_round() {
    let schema = formusage().args(["schema", "channels"]).output().unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_slice(&schema.stdout).unwrap()).unwrap();
    let folder = TempDir::new().unwrap();
    let validate = |file: &Value, valid: bool| {
        let path = folder.path().join("c.json");
        std::fs::write(&path, file.to_string()).unwrap();
        assert_eq!(schema.is_valid(file), valid, "the schema on {file}");
        formusage().arg("validate").arg(path).assert().code(i32::from(!valid));
    };
    let sound = serde_json::json!({
        "channels": {
            "email": {"smtp": {"host": "h", "from": "a@b.c", "to": ["d@e.f"], "user": null}},
            "pager": {"webhook": {"url": "https://h/x", "secret": {"env": "S"}}},
        },
        "actions": {"down": {"exec": {"command": ["true"]}}},
    });
    validate(&sound, true);
    for (pointer, value) in [
        ("/channels", serde_json::json!([])),
        ("/channels/email", serde_json::json!({"fax": {}})),
        ("/channels/email/smtp/to", serde_json::json!("d@e.f")),
        ("/channels/email/smtp/user", serde_json::json!(1)),
        ("/channels/pager/webhook/secret", serde_json::json!("whsec_x")),
        ("/channels/pager/webhook", serde_json::json!({"url": "https://h/x"})),
        ("/actions/down/exec/command", serde_json::json!("true")),
        ("/actions/down/exec", serde_json::json!({"command": ["true"], "timeout_seconds": -1})),
        ("/actions/down/exec", serde_json::json!({"command": ["true"], "shell": true})),
    ] {
        let mut bad = sound.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        validate(&bad, false);
    }
}
