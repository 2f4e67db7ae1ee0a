//! Channels files: every fault with its place, and no secret in what is said of it.

use std::io;

use super::RULES;
use crate::validate::{ContentOptions, ContentValidator, Kind, Severity, Tally};

/// Code and pointer of every error, the words about them, and what the validator counted.
fn findings(text: &str) -> (Vec<(&'static str, String)>, String, Tally) {
    let options = ContentOptions { rules: RULES, strict: false, max_line_bytes: 1 << 16, max_findings: u64::MAX };
    let (mut found, mut words) = (Vec::new(), String::new());
    let mut take = |located: crate::validate::Located<'_>| {
        let finding = located.finding;
        if finding.severity == Severity::Error {
            found.push((finding.code.as_str(), finding.place.clone().unwrap().pointer));
        }
        words += &format!("{finding}\n{}\n", located.text);
        Ok::<_, io::Error>(())
    };
    let tally = ContentValidator::new(options).validate("c.json", text.as_bytes(), &mut take).unwrap();
    (found, words, tally)
}

const SOUND: &str = r#"{"channels": {
    "email": {"smtp": {"host": "h", "port": 2525, "tls": "starttls", "from": "Meter <a@b.c>", "to": ["d@e.f"], "user": "u", "password": {"env": "P"}}},
    "pager": {"webhook": {"url": "https://h/x", "secret": {"file": "/s"}, "token": null}},
    "chat": {"slack": {"url": {"env": "S"}}},
    "bus": {"queue": {"to": "nats://h/alerts", "nats_creds": "/c"}},
    "local": {"queue": {"to": "sqlite:alerts.db"}}},
  "actions": {"down": {"exec": {"command": ["true", ""], "timeout_seconds": 5}}}}"#;

#[test]
fn a_sound_file_has_no_finding() {
    let (found, words, tally) = findings(SOUND);
    assert_eq!((found.as_slice(), words.as_str()), (&[][..], ""));
    assert_eq!((tally.kind, tally.channels), (Some(Kind::Channels), 6));
    let one_line = SOUND.replace('\n', "");
    assert_eq!(findings(&one_line).2, tally);
    assert_eq!(findings(r#"{"channels":{}}"#).0, []);
}

/// Each with all of its errors.
const FAULTY: &[(&str, &[(&str, &str)])] = &[
    (r#"{"chanels":{"a":{"slack":{"url":{"env":"S"}}}}}"#, &[("unknown-field", "/chanels")]),
    (r#"{"channels":[],"actions":3}"#, &[("wrong-type", "/channels"), ("wrong-type", "/actions")]),
    (
        r#"{"channels":{"a":{},"":{"slack":{"url":{"env":"S"}}}}}"#,
        &[("wrong-type", "/channels/a"), ("empty-id", "/channels/")],
    ),
    (r#"{"channels":{"a":"https://h"}}"#, &[("wrong-type", "/channels/a")]),
    (
        r#"{"channels":{"a":{"smpt":{"host":"","from":"x","to":[]}}}}"#,
        &[
            ("unknown-variant", "/channels/a/smpt"),
            ("empty-id", "/channels/a/smpt/host"),
            ("invalid-address", "/channels/a/smpt/from"),
            ("empty-list", "/channels/a/smpt/to"),
        ],
    ),
    (
        r#"{"channels":{"a":{"smtp":{"hots":"h","from":"a@b","to":"a@b","port":0,"tls":"ssl","x":1}}}}"#,
        &[
            ("misspelt-field", "/channels/a/smtp/hots"),
            ("wrong-type", "/channels/a/smtp/to"),
            ("out-of-range", "/channels/a/smtp/port"),
            ("unknown-variant", "/channels/a/smtp/tls"),
            ("unknown-field", "/channels/a/smtp/x"),
        ],
    ),
    (
        r#"{"channels":{"a":{"smtp":{"host":"h","from":"a@b","to":["x@y"],"tls":"none","user":"u","password":{"env":"P"}}}}}"#,
        &[("cleartext-password", "/channels/a/smtp/password")],
    ),
    (
        r#"{"channels":{"a":{"smtp":{"host":"h","from":"a@b","to":["x@y","x,y"],"user":"u"}}}}"#,
        &[("invalid-address", "/channels/a/smtp/to/1"), ("missing-field", "/channels/a/smtp/user")],
    ),
    (
        r#"{"channels":{"a":{"webhook":{"url":"htps://h"}}}}"#,
        &[("missing-field", "/channels/a/webhook"), ("invalid-url", "/channels/a/webhook/url")],
    ),
    (
        r#"{"channels":{"a":{"webhook":{"url":{"env":"X"},"secret":{"env":"X","file":"Y"}}}}}"#,
        &[("wrong-type", "/channels/a/webhook/url"), ("wrong-type", "/channels/a/webhook/secret")],
    ),
    (
        r#"{"channels":{"a":{"webhook":{"url":"https://","secret":{}}}}}"#,
        &[("invalid-url", "/channels/a/webhook/url"), ("wrong-type", "/channels/a/webhook/secret")],
    ),
    (
        r#"{"actions":{"a":{"exec":{"command":"scale down --by 1"}},"b":{"exec":{"command":[""],"timeout_seconds":0}}}}"#,
        &[
            ("wrong-type", "/actions/a/exec/command"),
            ("empty-id", "/actions/b/exec/command/0"),
            ("out-of-range", "/actions/b/exec/timeout_seconds"),
        ],
    ),
    (
        r#"{"actions":{"a":{"exec":{"command":[]}},"b":{"queue":{"to":"natz://h"}},"c":{"queue":{"to":"sqlite:"}}}}"#,
        &[
            ("empty-list", "/actions/a/exec/command"),
            ("invalid-url", "/actions/b/queue/to"),
            ("invalid-url", "/actions/c/queue/to"),
        ],
    ),
];

#[test]
fn every_fault_is_named_with_its_place() {
    for (text, expected) in FAULTY {
        let (mut found, words, _) = findings(text);
        found.sort_by(|a, b| a.1.cmp(&b.1));
        let mut expected: Vec<_> = expected.iter().map(|(code, at)| (*code, (*at).to_owned())).collect();
        expected.sort_by(|a, b| a.1.cmp(&b.1));
        assert_eq!(found, expected, "{text}\n{words}");
    }
    let (_, words, _) = findings(r#"{"actions":{"a":{"exec":{"command":"scale down --by 1"}}}}"#);
    assert!(words.contains(r#"write ["scale", "down", "--by", "1"]"#), "{words}");
}

#[test]
fn a_secret_in_the_file_is_a_finding_that_does_not_repeat_it() {
    for (from, to, code) in [
        (r#"{"env": "P"}"#, r#""hush-1""#, "plain-secret"),
        (r#"{"file": "/s"}"#, r#""hush-1""#, "plain-secret"),
        (r#"{"env": "S"}"#, r#""https://hooks.slack.com/services/hush-1""#, "plain-secret"),
        (r#"{"slack": {"url": {"env": "S"}}}"#, r#"{"slack": "https://chat.example/hush-1"}"#, "wrong-type"),
        (r#"{"slack": {"url": {"env": "S"}}}"#, r#""https://hooks.slack.com/hush-1""#, "wrong-type"),
        (r#"{"env": "P"}"#, r#"{"value": "hush-1"}"#, "wrong-type"),
        ("\"password\"", "\"passwrd\": \"hush-1\", \"password\"", "unknown-field"),
        ("https://h/x", "https://me:hush-1@h/x", "plain-secret"),
        ("nats://h/alerts", "nats://me:hush-1@h/alerts", "plain-secret"),
        // Another fault on the same line.
        (r#""url": {"env": "S"}"#, r#""ulr": "hush-1""#, "misspelt-field"),
    ] {
        let (found, words, _) = findings(&SOUND.replace(from, to));
        assert!(found.iter().any(|(found, _)| *found == code), "{to}: {found:?}");
        assert!(!words.contains("hush"), "{to}: {words}");
    }
}

/// What the reader of channels files takes and what validation does: the one is to be sound by the other. Validation asks
/// for more where only the opening of a channel would.
#[cfg(feature = "channels")]
#[test]
fn what_has_no_error_can_be_read_and_what_cannot_be_read_has_one() {
    use crate::channels::ChannelsConfig;
    assert!(ChannelsConfig::parse("c", SOUND.as_bytes()).is_ok());
    for (text, _) in FAULTY {
        if let Err(error) = ChannelsConfig::parse("c", text.as_bytes()) {
            assert!(!findings(text).0.is_empty(), "{text}: {error}");
        }
    }
    // Every value of a sound file in turn becomes something else.
    let sound: serde_json::Value = serde_json::from_str(SOUND).unwrap();
    let others = [
        serde_json::json!(null),
        serde_json::json!(true),
        serde_json::json!(-1),
        serde_json::json!(1.5),
        serde_json::json!(70_000_000_000_i64),
        serde_json::json!(""),
        serde_json::json!("x"),
        serde_json::json!([]),
        serde_json::json!(["x"]),
        serde_json::json!({}),
        serde_json::json!({"env": "X"}),
    ];
    let (mut read, mut refused) = (0, 0);
    for pointer in pointers(&sound, String::new()) {
        for other in &others {
            let mut changed = sound.clone();
            *changed.pointer_mut(&pointer).unwrap() = other.clone();
            let text = changed.to_string();
            let errors = findings(&text).0;
            match ChannelsConfig::parse("c", text.as_bytes()) {
                Ok(_) => read += 1,
                Err(error) => {
                    refused += 1;
                    assert!(!errors.is_empty(), "{pointer} as {other}: {error}");
                }
            }
        }
    }
    assert!(read > 20 && refused > 200, "{read} {refused}");
}

pub(super) fn pointers(value: &serde_json::Value, at: String) -> Vec<String> {
    let mut all = Vec::new();
    let mut below = |key: &str, value: &serde_json::Value| all.extend(pointers(value, format!("{at}/{key}")));
    match value {
        serde_json::Value::Object(members) => members.iter().for_each(|(key, value)| below(key, value)),
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| below(&index.to_string(), value));
        }
        _ => {}
    }
    if !at.is_empty() {
        all.push(at);
    }
    all
}
