//! Every code of events, thresholds and whole inputs, and the ways that must agree: typed, quick and exact.

mod agreement;
mod cases;
mod channels;
mod content;
mod event;
mod explain;
mod threshold;

use super::shape::{Context, Spot};
use super::{EventRules, Finding, collect, json, line_findings};
use crate::events::tests::sample;
use crate::events::to_compact_json;

/// Behind every timestamp that the tests hold to be past.
const RULES: EventRules = EventRules { now: 5_000_000_000, max_skew: 300 };

/// Code, line, column and pointer.
type Row = (&'static str, u64, u64, String);

fn rows(findings: &[Finding]) -> Vec<Row> {
    let row = |finding: &Finding| {
        let place = finding.place.clone().unwrap();
        (finding.code.as_str(), place.line, place.column, place.pointer)
    };
    findings.iter().map(row).collect()
}

fn sample_text() -> String {
    to_compact_json(&sample()).unwrap()
}

/// The findings of the sample event with `from` replaced, which must be in it.
fn with(from: &str, to: &str) -> Vec<Finding> {
    let text = sample_text();
    assert!(text.contains(from), "{from}");
    line_findings(text.replacen(from, to, 1).as_bytes(), 3, &RULES)
}

/// The exact reader's findings, whatever the quick look says.
fn exact(text: &[u8]) -> Vec<Finding> {
    collect(|report| {
        let text = json::Text::new(text, 1, report);
        if let Some(root) = json::read(&text, report) {
            let _ = super::event::check(&Spot::root(&root), &RULES, &mut Context { text: &text, report });
        }
    })
}

#[test]
fn the_sample_is_clean() {
    assert_eq!(line_findings(sample_text().as_bytes(), 1, &RULES), []);
    assert_eq!(exact(sample_text().as_bytes()), []);
    let read: crate::events::UsageEvent = serde_json::from_str(&sample_text()).unwrap();
    assert_eq!(super::clean_event(sample_text().as_bytes(), &RULES), Some(read));
}

const THRESHOLD: &str = r#"{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},"action":"Notify","user_id":"*","notification_channels":["email"]}"#;
