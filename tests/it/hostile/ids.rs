//! Ids that are formulas to a spreadsheet, or that read as another id.

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use serde_json::json;

use crate::support::{event, formusage, line};

/// One of each range: control characters, and controls of direction.
const REFUSED: [char; 10] =
    ['\0', '\t', '\u{7f}', '\u{85}', '\u{61c}', '\u{200e}', '\u{200f}', '\u{202e}', '\u{2066}', '\u{2069}'];

fn escaped(char: char) -> String {
    format!("\\u{:04x}", u32::from(char))
}

#[test]
fn ids_in_csv_are_no_formulas() {
    let ids = ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", " =1", "web-1", "'=1"];
    let mut events = String::new();
    for id in ids {
        let mut event = event(id, 0);
        (event.user_id, event.org_id) = (id.to_owned(), Some(id.to_owned()));
        event.metrics.cpu_percent_avg = 50.0;
        events += &(serde_json::to_string(&event).unwrap() + "\n");
    }
    let report =
        formusage().args(["report", "--format", "csv", "--by", "org,user,instance"]).write_stdin(events).assert();
    let text = String::from_utf8(report.get_output().stdout.clone()).unwrap();
    let cells =
        text.lines().skip(1).flat_map(|row| row.split(',')).map(|cell| cell.trim_matches('"')).collect::<Vec<_>>();
    for cell in &cells {
        let is_formula = cell.trim_start().starts_with(['=', '+', '-', '@']) && cell.parse::<f64>().is_err();
        assert!(!is_formula, "{cell:?} in {text}");
    }
    for cell in ["'=cmd|' /C calc'!A0", "'+1", "'-2+3", "'@SUM(A1)", "' =1", "web-1", "''=1", "30"] {
        assert!(cells.contains(&cell), "{cell:?} in {text}");
    }
}

#[test]
fn events_whose_ids_read_as_others_are_dead_letters_and_the_rest_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    let mut refused = 0;
    for char in REFUSED {
        for (id, with) in [("hostile", 'h'), ("user_123456", 'u'), ("org_789012", 'o')] {
            lines += &(line("hostile", 0).replace(id, &format!("{with}{}", escaped(char))) + "\n");
            refused += 1;
        }
    }
    lines += &(line("honest", 0) + "\n");
    let publish = formusage()
        .current_dir(folder.path())
        .args(["publish", "--to", "file:out", "--spool", "spool.db", "--report", "json"])
        .write_stdin(lines.clone())
        .assert()
        .code(1);
    let report: serde_json::Value = serde_json::from_slice(&publish.get_output().stdout).unwrap();
    assert_eq!((&report["delivered"], &report["refused"]), (&1.into(), &refused.into()), "{report}");
    assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap(), line("honest", 0) + "\n");
    let letters = formusage().current_dir(folder.path()).args(["dlq", "list", "--spool", "spool.db"]).assert().code(0);
    let letters = String::from_utf8(letters.get_output().stdout.clone()).unwrap();
    assert_eq!(letters.lines().filter(|line| line.contains("control-character")).count(), refused, "{letters}");
    let validate = formusage().args(["validate", "--format", "ndjson"]).write_stdin(lines).assert().code(1);
    let found = String::from_utf8(validate.get_output().stdout.clone()).unwrap();
    assert_eq!(found.matches("\"control-character\"").count(), refused, "{found}");
}

#[test]
fn thresholds_channels_and_scopes_have_no_ids_that_read_as_others() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    file("events", &(line("i", 0) + "\n"));
    file("good.json", r#"{"channels":{"ops":{"exec":{"command":["true"]}}}}"#);
    let run = |command: &[&str]| formusage().current_dir(folder.path()).args(command).assert();
    let said = || contains("control-character").or(contains("control characters"));
    for char in REFUSED {
        let id = format!("a{char}b");
        let threshold = |field: &str| {
            let mut threshold = json!({ "id": "t", "resource_type": "Cpu", "threshold_type": { "Percentage": { "value": 5 } },
                "action": "Notify", "user_id": "*", "instance_id": "*", "notification_channels": ["ops"] });
            threshold[field] = match field {
                "notification_channels" => json!([id]),
                "action" => json!({ "Action": id }),
                _ => json!(id),
            };
            threshold.to_string()
        };
        for field in ["id", "user_id", "instance_id", "notification_channels", "action"] {
            file("t.json", &threshold(field));
            run(&["validate", "--format", "ndjson", "t.json"]).code(1).stdout(said());
            run(&["check", "t.json", "events"]).code(2).stderr(said());
        }
        file("c.json", &json!({ "channels": { &id: { "exec": { "command": ["true"] } } } }).to_string());
        run(&["channels", "list", "--channels", "c.json"]).code(2).stderr(said());
        file("scopes.toml", &format!("[[scope]]\nscope = \"host\"\ninstance_id = \"a{}b\"\n", escaped(char)));
        run(&["collect", "--config", "scopes.toml", "--count", "1"]).code(2).stderr(said());
    }
}
