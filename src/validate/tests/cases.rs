//! Files with tests of thresholds: every fault with its place.

use std::io;

use super::RULES;
use crate::threshold::cases::CaseFile;
use crate::validate::{ContentOptions, ContentValidator, Kind, Severity, Tally, case_findings};

const SOUND: &str = r#"{"thresholds": [{"id": "cpu", "resource_type": "Cpu", "threshold_type": {"Percentage": {"value": 80}},
    "action": "Log", "user_id": "*", "for": "5m"}],
  "cases": [
    {"name": "one", "start": 0, "series": ["instance a: cpu_percent_avg 50x10 95x20, every 1m"], "until": "1h",
     "violations": [{"threshold": "cpu", "instance": "a", "at": "11m", "to": "30m", "value": 95}],
     "alerts": [{"threshold": "cpu", "instance": "a", "kind": "firing", "at": "15m", "value": null}],
     "states": [{"threshold": "cpu", "instance": "a", "at": "12m", "state": "pending"}]},
    {"name": "two", "events": [], "violations": null, "alerts": []}]}"#;

/// Code and pointer of every finding.
fn findings(text: &str) -> Vec<(&'static str, String)> {
    let found = case_findings(text.as_bytes());
    found.into_iter().map(|it| (it.code.as_str(), it.place.unwrap().pointer)).collect()
}

fn changed(from: &str, to: &str) -> Vec<(&'static str, String)> {
    assert!(SOUND.contains(from), "{from}");
    findings(&SOUND.replacen(from, to, 1))
}

#[test]
fn a_sound_file_has_no_finding_and_is_told_by_its_content() {
    assert_eq!(findings(SOUND), []);
    let options = ContentOptions { rules: RULES, strict: false, max_line_bytes: 1 << 16, max_findings: u64::MAX };
    for text in [SOUND.to_owned(), SOUND.replace('\n', "")] {
        let tally = ContentValidator::new(options)
            .validate("c.json", text.as_bytes(), &mut |_| Ok::<_, io::Error>(()))
            .unwrap();
        assert_eq!(tally, Tally { kind: Some(Kind::Cases), cases: 2, ..Tally::default() });
    }
}

#[test]
fn every_fault_has_its_place() {
    let one = |code, pointer: &str| vec![(code, pointer.to_owned())];
    assert_eq!(changed("\"alerts\": [{", "\"alets\": [{"), one("unknown-field", "/cases/0/alets"));
    assert_eq!(changed("\"name\": \"two\"", "\"name\": \"one\""), one("duplicate-id", "/cases/1/name"));
    assert_eq!(changed("\"name\": \"two\"", "\"name\": \"\""), one("empty-id", "/cases/1/name"));
    assert_eq!(changed("95x20", "95*20"), one("invalid-series", "/cases/0/series/0"));
    assert_eq!(changed("\"firing\"", "\"fring\""), one("unknown-variant", "/cases/0/alerts/0/kind"));
    assert_eq!(changed("\"firing\"", "\"violation\""), one("unknown-variant", "/cases/0/alerts/0/kind"));
    assert_eq!(changed("\"pending\"", "\"on\""), one("unknown-variant", "/cases/0/states/0/state"));
    assert_eq!(changed("\"15m\"", "\"15 parsecs\""), one("invalid-span", "/cases/0/alerts/0/at"));
    assert_eq!(changed("\"1h\"", "3600"), one("wrong-type", "/cases/0/until"));
    assert_eq!(changed("\"start\": 0", "\"start\": 0.5"), one("wrong-type", "/cases/0/start"));
    assert_eq!(changed("\"Cpu\"", "\"Cpus\""), one("unknown-variant", "/thresholds/0/resource_type"));
    assert_eq!(
        changed("\"kind\": \"firing\", \"at\": \"15m\"", "\"kind\": \"firing\""),
        one("missing-field", "/cases/0/alerts/0")
    );
    let id = "{\"threshold\": \"cpu\", \"instance\": \"a\", \"kind\"";
    assert_eq!(changed(id, &id.replace("cpu", "gpu")), one("unknown-variant", "/cases/0/alerts/0/threshold"));
    assert_eq!(
        findings("{\"cases\": [], \"threshold_files\": [\"\"]}"),
        [("empty-list", "/cases".to_owned()), ("empty-id", "/threshold_files/0".to_owned())]
    );
    assert_eq!(findings(" \n"), one("empty", ""));
    assert_eq!(changed("\"start\": 0", "\"start\": 9223372036854775807"), one("invalid-series", "/cases/0/series/0"));
    // All of them in one look.
    let all = SOUND.replacen("\"firing\"", "\"fring\"", 1).replacen("95x20", "95y20", 1).replacen("\"1h\"", "true", 1);
    assert_eq!(findings(&all).len(), 3);
}

#[test]
fn a_case_that_expects_nothing_is_a_warning() {
    let found = case_findings(br#"{"threshold_files":["t.json"],"cases":[{"name":"n","series":[]}]}"#);
    let told: Vec<_> = found.iter().map(|it| (it.severity, it.code.as_str())).collect();
    assert_eq!(told, [(Severity::Warning, "empty-list")]);
}

#[test]
fn what_has_no_error_can_be_read_and_what_cannot_be_read_has_one() {
    let sound: serde_json::Value = serde_json::from_str(SOUND).unwrap();
    let others = ["null", "true", "-1", "1.5", "70000000000", "\"\"", "\"x\"", "[]", "[\"x\"]", "{}", "\"5m\""];
    let (mut read, mut refused) = (0, 0);
    for pointer in super::channels::pointers(&sound, String::new()) {
        for other in others {
            let mut changed = sound.clone();
            *changed.pointer_mut(&pointer).unwrap() = serde_json::from_str(other).unwrap();
            let text = changed.to_string();
            let sound = case_findings(text.as_bytes()).iter().all(|it| it.severity != Severity::Error);
            match serde_json::from_str::<CaseFile>(&text) {
                Ok(_) => read += 1,
                Err(error) => {
                    refused += 1;
                    assert!(!sound, "{pointer} as {other}: {error}");
                }
            }
        }
    }
    assert!(read > 20 && refused > 200, "{read} {refused}");
}
