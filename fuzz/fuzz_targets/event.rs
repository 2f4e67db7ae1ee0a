//! The event reader: whatever a line holds, no panic; the quick look, the exact reader and serde agree.

#![no_main]

use std::io;

use form_usage_events::events::EncodedEvent;
use form_usage_events::validate::continuity::Continuity;
use form_usage_events::validate::{
    ContentOptions, ContentValidator, EventRules, Severity, clean_event, is_valid, line_findings,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let rules = EventRules::at(4_000_000_000);
    let findings = line_findings(data, 1, &rules);
    let sound = findings.iter().all(|finding| finding.severity < Severity::Error);
    if let Some(event) = clean_event(data, &rules) {
        assert!(findings.is_empty() && is_valid(&event, &rules));
    }
    if sound {
        let read = EncodedEvent::decode(data).expect("what has no error can be read");
        assert!(is_valid(read.event(), &rules));
        let again = EncodedEvent::decode(read.body()).expect("what was read can be read again");
        assert_eq!(again.id(), read.id());
    }
    // The same bytes as a whole input, whatever it turns out to be.
    let options = ContentOptions { rules, strict: false, max_line_bytes: 512, max_findings: u64::MAX };
    let mut validator = ContentValidator::new(options).with_continuity(Continuity::new(2));
    let mut take = |_: form_usage_events::validate::Located<'_>| Ok::<_, io::Error>(());
    let _ = validator.validate("input", data, &mut take).expect("reading memory does not fail");
    let _ = validator.finish(&mut take).expect("nothing to fail");
});
