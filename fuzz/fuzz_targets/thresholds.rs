//! The threshold reader: whatever a file holds, no panic; what has no error is what a set of thresholds takes.

#![no_main]

use form_usage_events::threshold::{ThresholdConfig, ThresholdSet};
use form_usage_events::validate::{Severity, threshold_findings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let findings = threshold_findings(data);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return;
    }
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let configs: Vec<ThresholdConfig> = match text.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice(text).expect("what has no error can be read"),
        Some(_) => vec![serde_json::from_slice(text).expect("what has no error can be read")],
        None => return,
    };
    ThresholdSet::new(configs).expect("what has no error is a set");
});
