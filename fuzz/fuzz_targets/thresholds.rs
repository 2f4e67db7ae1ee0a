//! The threshold reader: whatever a file holds, no panic; what has no error is what a set of thresholds takes. The same
//! bytes as a whole input too, which may be a channels file, and as tests of thresholds.

#![no_main]

use std::io;

use form_usage_events::threshold::cases::CaseFile;
use form_usage_events::threshold::{ThresholdConfig, ThresholdSet};
use form_usage_events::validate::{
    Bindings, ContentOptions, ContentValidator, EventRules, Located, Severity, case_findings, threshold_findings,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let options = ContentOptions {
        rules: EventRules::at(4_000_000_000),
        strict: false,
        max_line_bytes: 4096,
        max_findings: u64::MAX,
    };
    let mut validator = ContentValidator::new(options).with_bindings(Bindings::default()).with_period(30);
    let mut take = |_: Located<'_>| Ok::<_, io::Error>(());
    let _ = validator.validate("input", data, &mut take).expect("reading memory does not fail");
    let _ = validator.finish(&mut take).expect("nothing to fail");

    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    if case_findings(data).iter().all(|finding| finding.severity != Severity::Error) {
        serde_json::from_slice::<CaseFile>(text).expect("what has no error can be read");
    }

    let findings = threshold_findings(data);
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return;
    }
    let configs: Vec<ThresholdConfig> = match text.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice(text).expect("what has no error can be read"),
        Some(_) => vec![serde_json::from_slice(text).expect("what has no error can be read")],
        None => return,
    };
    ThresholdSet::new(configs).expect("what has no error is a set");
});
