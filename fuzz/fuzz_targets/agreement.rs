//! The fast path and the exact one: the same verdicts, values and findings, whatever the bytes.

#![no_main]

use std::io;
use std::sync::LazyLock;

use form_usage_events::events::MetricSet;
use form_usage_events::threshold::{MeasuredEvent, ThresholdConfig, ThresholdSet};
use form_usage_events::validate::continuity::Continuity;
use form_usage_events::validate::{
    Code, ContentOptions, ContentValidator, EventRules, EventView, Finding, agrees, clean_event,
};
use libfuzzer_sys::fuzz_target;

const RULES: EventRules = EventRules::at(4_000_000_000);

/// Codes that only a look at the stream gives.
const OF_STREAMS: [Code; 6] = [
    Code::PeriodGap,
    Code::PeriodOverlap,
    Code::RepeatedEvent,
    Code::ConflictingEvents,
    Code::OutOfOrder,
    Code::RunningTotal,
];

static SET: LazyLock<ThresholdSet> = LazyLock::new(|| {
    let configs: Vec<ThresholdConfig> = serde_json::from_str(
        r#"[{"id":"a","resource_type":"Cpu","threshold_type":{"Percentage":{"value":12}},"action":"Log","user_id":"*"},
            {"id":"b","resource_type":"Memory","threshold_type":{"Absolute":{"value":4,"unit":"GB"}},"action":"Log","user_id":"user_123456"},
            {"id":"c","resource_type":"Gpu","threshold_type":{"Absolute":{"value":1,"unit":"min"}},"action":"Log","user_id":"*","instance_id":"instance-abc123"},
            {"id":"d","resource_type":"NetworkEgress","threshold_type":{"Absolute":{"value":1,"unit":"B"}},"action":"Log","user_id":"u","for":"5m"}]"#,
    )
    .expect("thresholds");
    ThresholdSet::new(configs).expect("a set")
});

fuzz_target!(|data: &[u8]| {
    assert!(agrees(data, &RULES), "the scanner, the quick look and the exact reader differ");
    if let Some((view, length)) = EventView::at_start(data, &RULES) {
        let line = data[..length].trim_ascii_end();
        let event = clean_event(line, &RULES).expect("what the scanner passes is clean");
        assert_eq!((view.instance_id, view.user_id), (&*event.instance_id, &*event.user_id));
        assert_eq!((view.timestamp, view.period), (event.timestamp, event.period));
        assert_eq!(view.metrics, event.metrics);
        let not_metered = MetricSet::not_metered_in(line);
        assert_eq!(view.not_metered, not_metered);
        let over = !SET.violations(MeasuredEvent::new(&event, not_metered)).is_empty();
        let lacks = !SET.not_evaluated(view.user_id, view.instance_id, not_metered).is_empty();
        assert_eq!(SET.concerns_any(view.user_id, view.instance_id, &view.metrics, not_metered), over || lacks);
    }
    // The same bytes as a whole input: with the stream looked at, every line goes the slower way.
    let slow = findings(data, Some(Continuity::new(0)));
    assert_eq!(findings(data, None), slow);
});

fn findings(data: &[u8], continuity: Option<Continuity>) -> (u64, Vec<Finding>) {
    let options = ContentOptions { rules: RULES, strict: false, max_line_bytes: 512, max_findings: u64::MAX };
    let mut validator = ContentValidator::new(options);
    if let Some(continuity) = continuity {
        validator = validator.with_continuity(continuity);
    }
    let mut findings = Vec::new();
    let mut take = |located: form_usage_events::validate::Located<'_>| {
        if !OF_STREAMS.contains(&located.finding.code) {
            findings.push(located.finding.clone());
        }
        Ok::<_, io::Error>(())
    };
    let tally = validator.validate("input", data, &mut take).expect("reading memory does not fail");
    let _ = validator.finish(&mut take).expect("nothing to fail");
    (tally.events, findings)
}
