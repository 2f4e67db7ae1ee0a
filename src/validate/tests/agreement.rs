//! The ways that must agree: in memory, the quick look, the exact reader.

use proptest::prelude::*;

use super::{RULES, exact, rows, sample_text};
use crate::events::tests::{any_event, sample};
use crate::events::{EncodedEvent, UsageEvent, to_compact_json};
use crate::validate::{
    EventView, Finding, Severity, agrees, deliverable_event, event_findings, event_implausible, exact_findings_with,
    glance, is_valid, line_findings, threshold_findings,
};

/// Events with odd values here and there.
fn odd_event() -> impl Strategy<Value = UsageEvent> {
    let oddity = (0..12u8, proptest::sample::select(&[-1.0, -0.0, 100.0, 100.5, 1250.0, 1e300, f64::NAN][..]));
    let time =
        proptest::sample::select(&[-1, 0, 1, 5_000_000_300, 5_000_000_301, 99_999_999_999, i64::MAX, i64::MIN][..]);
    let id = proptest::sample::select(&["", "\u{7f}", "[", "é", "\u{85}", "a\u{202e}", "\"\\"][..]);
    let oddities = proptest::collection::vec((oddity, time, id), 0..4);
    (any_event(), oddities).prop_map(|(mut event, oddities)| {
        for ((which, figure), time, id) in oddities {
            match which {
                0 => event.timestamp = time,
                1 => event.period.start = time,
                2 => event.period.end = time,
                3 => event.metrics.cpu_percent_avg = figure,
                4 => event.metrics.memory_gb = figure,
                5 => event.metrics.memory_percent = figure,
                6 => event.metrics.network_egress_mb = figure,
                7 => event.instance_id = id.into(),
                8 => event.org_id = Some(id.into()),
                9 => event.user_id = id.repeat(200),
                10 => event.version = "1.7".into(),
                _ => event.version = "3.0".into(),
            }
        }
        event
    })
}

/// The sample with pieces of its text replaced.
fn odd_text() -> impl Strategy<Value = String> {
    let from = [
        "30",
        "12.5",
        "4.2",
        "0}",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "null",
        "1626350430",
        "1626350400",
        "\"1.0\"",
        "\"cpu_seconds\"",
        "\"start\"",
        "\"user_id\"",
        "user_123456",
        "\"org_789012\"",
    ];
    let to = [
        "30",
        "30.0",
        "-0",
        "-1",
        "1e2",
        "1250",
        "1e999",
        "18446744073709551616",
        "9223372036854775808",
        "null",
        "true",
        "\"x\"",
        "{}",
        "[1]",
        "",
        " ",
        ",",
        "\"start\"",
        "\"a\":1,",
        "\\u0000",
        "\\ud800",
        "é",
        "[",
        "1626350430000",
    ];
    let swap = (proptest::sample::select(from.to_vec()), proptest::sample::select(to.to_vec()), 0..4usize);
    proptest::collection::vec(swap, 1..4).prop_map(|swaps| {
        let mut text = sample_text();
        for (from, to, nth) in swaps {
            let at = text.match_indices(from).nth(nth).map(|(at, _)| at);
            if let Some(at) = at {
                text.replace_range(at..at + from.len(), to);
            }
        }
        text
    })
}

/// A space behind `:` and `,` outside of strings, as `json.dumps` writes it.
fn spaced(text: &str) -> String {
    let mut inside = false;
    let mut spaced = String::new();
    for char in text.chars() {
        inside ^= char == '"';
        spaced.push(char);
        if !inside && (char == ':' || char == ',') {
            spaced.push(' ');
        }
    }
    spaced
}

/// The fields in the order of the alphabet, where it can be read.
fn shuffled(text: &str) -> String {
    serde_json::from_str::<serde_json::Value>(text).map_or_else(|_| text.to_owned(), |value| value.to_string())
}

/// The object in `text` with its fields in the order of `picks`, where it can be read: one that is picked again stands
/// there again, and one that is never picked is missing.
fn in_order(text: &str, picks: &[usize], blank: &str) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(text) else { return text.to_owned() };
    let fields: Vec<_> = fields.iter().collect();
    let picked = picks.iter().filter_map(|pick| fields.get(*pick)).map(|(name, value)| {
        format!("{blank}\"{name}\"{blank}:{blank}{}{blank}", in_order(&value.to_string(), picks, blank))
    });
    format!("{{{}}}", picked.collect::<Vec<_>>().join(","))
}

/// Each of eight fields once in any order, or now and then something else.
fn picks() -> impl Strategy<Value = Vec<usize>> {
    let each = Just((0..8).collect::<Vec<usize>>()).prop_shuffle();
    prop_oneof![6 => each, 1 => proptest::collection::vec(0..9usize, 0..10)]
}

/// Numbers of every form, and what is none.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?",
        2 => "(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?",
        1 => "(99|100)(\\.[09]{0,20}[019])?",
        1 => "-?[0-9]{0,3}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,3})?",
        1 => (0f64..=100.0).prop_map(|figure| figure.to_string()),
        1 => any::<f64>().prop_map(|figure| figure.to_string()),
        1 => any::<u64>().prop_map(|whole| whole.to_string()),
    ]
}

/// An event with these in place of its numbers; where one is `1626350430`, say, mostly a sound one.
fn with_numbers(numbers: &[String]) -> String {
    let [cpu, cpu_percent, memory, memory_percent, storage, egress, ingress, gpu, start, end, stamp] = numbers else {
        return String::new();
    };
    // Times that are sound more often than not.
    let time =
        |number: &str, sound: i64| if number.len().is_multiple_of(3) { number.to_owned() } else { sound.to_string() };
    let (start, end, stamp) = (time(start, 1_626_350_400), time(end, 1_626_350_430), time(stamp, 1_626_350_430));
    format!(
        r#"{{"event_type":"resource_usage","version":"1.0","timestamp":{stamp},"instance_id":"i","user_id":"u","org_id":null,"metrics":{{"cpu_seconds":{cpu},"cpu_percent_avg":{cpu_percent},"memory_gb":{memory},"memory_percent":{memory_percent},"storage_gb":{storage},"network_egress_mb":{egress},"network_ingress_mb":{ingress},"gpu_seconds":{gpu}}},"period":{{"start":{start},"end":{end}}}}}"#
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_verdict_is_that_there_are_no_errors(event in odd_event()) {
        let sound = event_findings(&event, &RULES).iter().all(|finding| finding.severity < Severity::Error);
        prop_assert_eq!(is_valid(&event, &RULES), sound);
    }

    #[test]
    fn an_event_in_memory_and_its_text_have_the_same_faults(event in odd_event()) {
        let mut event = event;
        for figure in [&mut event.metrics.cpu_percent_avg, &mut event.metrics.memory_gb,
            &mut event.metrics.memory_percent, &mut event.metrics.network_egress_mb] {
            *figure = if figure.is_finite() { *figure } else { 0.0 };
        }
        let text = to_compact_json(&event).unwrap();
        let pointers = |findings: Vec<Finding>| {
            let mut rows: Vec<_> = rows(&findings).into_iter().map(|(code, _, _, pointer)| (code, pointer)).collect();
            rows.sort();
            rows
        };
        prop_assert_eq!(pointers(exact(text.as_bytes())), pointers(event_findings(&event, &RULES)));
        prop_assert_eq!(pointers(line_findings(text.as_bytes(), 1, &RULES)), pointers(event_findings(&event, &RULES)));
    }

    #[test]
    fn the_quick_look_and_the_exact_reader_agree(text in odd_text()) {
        let found = exact(text.as_bytes());
        prop_assert_eq!(line_findings(text.as_bytes(), 1, &RULES), found.clone());
        // Passing a fault would be wrong; turning away what is clean is slow, and happens for the sake of `[` alone.
        let passed = glance::clean(text.as_bytes(), &RULES).is_some();
        prop_assert!(if text.contains('[') { !passed || found.is_empty() } else { passed == found.is_empty() }, "{:?}", found);
    }

    /// Whichever reader comes to the verdict, it is that of the rules, and the event is the one that serde reads.
    #[test]
    fn what_is_delivered_has_no_fault_but_implausible_ones(text in odd_text()) {
        let exact = exact_findings_with(text.as_bytes(), 1, &RULES, Severity::Warning);
        let faults: Vec<_> = exact.into_iter().filter(|it| it.severity == Severity::Error).collect();
        match deliverable_event(text.as_bytes(), 1, &RULES) {
            Ok((event, implausible)) => {
                prop_assert_eq!(&faults, &[]);
                prop_assert_eq!(&serde_json::from_str::<UsageEvent>(&text).unwrap(), &event);
                prop_assert_eq!(event_implausible(&event, &RULES), Some(implausible));
                prop_assert!(event.period.start < event.period.end);
                prop_assert_eq!(is_valid(&event, &RULES) || !implausible.is_empty(), true);
            }
            Err(found) => prop_assert_eq!(found, faults),
        }
    }

    #[test]
    fn all_readers_agree_on_odd_texts(text in odd_text(), end in proptest::sample::select(&["", "\n", "\r\n", "\r", "\nx"][..])) {
        for text in [text.clone(), spaced(&text), shuffled(&text)] {
            prop_assert!(agrees(format!("{text}{end}").as_bytes(), &RULES), "{}", text);
        }
    }

    #[test]
    fn all_readers_agree_on_any_numbers(numbers in proptest::collection::vec(number(), 11)) {
        let text = with_numbers(&numbers);
        prop_assert!(agrees(text.as_bytes(), &RULES), "{}", text);
        prop_assert!(agrees(spaced(&text).as_bytes(), &RULES), "{}", text);
    }

    #[test]
    fn all_readers_agree_in_whatever_order_the_fields_stand(
        text in prop_oneof![odd_text(), odd_event().prop_map(|event| to_compact_json(&event).unwrap_or_else(|_| sample_text()))],
        picks in picks(),
        blank in proptest::sample::select(&["", "", " ", "\t ", "\r", "\u{a0}"][..]),
        end in proptest::sample::select(&["", "\n", "\r\n", " \n", ","][..]),
    ) {
        let text = format!("{}{end}", in_order(&text, &picks, blank));
        prop_assert!(agrees(text.as_bytes(), &RULES), "{}", text);
    }

    /// That the scanner reads such lines itself, and not only agrees by turning them away.
    #[test]
    fn sound_events_are_scanned_in_whatever_order_the_fields_stand(
        picks in Just((0..8).collect::<Vec<usize>>()).prop_shuffle(),
        blank in proptest::sample::select(&["", " ", "\t "][..]),
    ) {
        let text = in_order(&sample_text(), &picks, blank);
        let view = EventView::at_start(text.as_bytes(), &RULES).map(|(view, length)| (view.metrics, length));
        prop_assert_eq!(view, Some((sample().metrics, text.len())));
    }

    #[test]
    fn all_readers_agree_whatever_bytes_change(
        event in odd_event(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0..3u8), 0..3),
    ) {
        let mut text = to_compact_json(&event).unwrap_or_else(|_| sample_text()).into_bytes();
        for (at, byte, kind) in changes {
            let at = at.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        prop_assert!(agrees(&text, &RULES), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn what_has_no_error_is_what_is_read_and_valid(text in odd_text()) {
        let valid = exact(text.as_bytes()).iter().all(|finding| finding.severity < Severity::Error);
        let read = EncodedEvent::decode(text.as_bytes());
        if valid {
            prop_assert!(read.is_ok_and(|event| is_valid(event.event(), &RULES)));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!line_findings(&bytes, 1, &RULES).is_empty());
        let _ = threshold_findings(&bytes);
    }
}
