//! The validation of NDJSON against typed serde_json, in one run: what naming every fault costs those that have none.
//!
//! `cargo bench --bench validate`. Read the throughputs as a ratio; they differ from machine to machine. The cases over
//! 20,000 events use every processor once the input has proved to be large; `line by line` is one thread's share. Then the
//! program itself reads files, next to other tools that do: see `yardstick`.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::io;

use criterion::{Criterion, Throughput, criterion_group};
use form_usage_events::events::UsageEvent;
use form_usage_events::validate::{ContentOptions, ContentValidator, EventRules, line_findings};

use yardstick::{compare, events, formusage, others, seconds, typed};

mod yardstick;

const THRESHOLD: &str = r#"{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},"action":"Notify","user_id":"*","notification_channels":["email"]}"#;
const EVENT: &str = include_str!("../tests/fixtures/event.json");
const EVENTS: usize = 20_000;
const RULES: EventRules = EventRules::at(1_800_000_000);

/// Events that differ, and in which every `faulty`th one has a fault.
fn input(faulty: Option<usize>) -> Vec<u8> {
    (0..EVENTS)
        .map(|index| {
            let event = EVENT.replace("instance-abc123", &format!("instance-{index}"));
            match faulty {
                Some(nth) if index % nth == 0 => event.replace("12.5", "1250"),
                _ => event,
            }
        })
        .collect::<String>()
        .into_bytes()
}

fn validate(input: &[u8]) -> u64 {
    let options = ContentOptions { rules: RULES, strict: false, max_line_bytes: 1 << 20, max_findings: 100 };
    let tally = ContentValidator::new(options).validate::<io::Error>("bench", input, &mut |located| {
        black_box(located);
        Ok(())
    });
    tally.unwrap().errors
}

fn cases(criterion: &mut Criterion) {
    let sound = input(None);
    let some_faults = input(Some(1000));
    let all_faults = input(Some(1));
    let mut group = criterion.benchmark_group("validate");
    group.throughput(Throughput::Bytes(sound.len() as u64)).sample_size(20);
    group.bench_function("typed serde_json alone", |bencher| {
        bencher.iter(|| {
            for line in sound.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                black_box(serde_json::from_slice::<UsageEvent>(line).unwrap());
            }
        });
    });
    group.bench_function("counting lines", |bencher| {
        bencher.iter(|| assert_eq!(memchr::memchr_iter(b'\n', black_box(&sound)).count(), EVENTS));
    });
    group.bench_function("sound, line by line on one thread", |bencher| {
        bencher.iter(|| {
            for line in sound.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                assert!(line_findings(black_box(line), 1, &RULES).is_empty());
            }
        });
    });
    group.bench_function("sound", |bencher| bencher.iter(|| assert_eq!(validate(&sound), 0)));
    group.bench_function("one fault in a thousand lines", |bencher| {
        bencher.iter(|| assert_eq!(validate(&some_faults), EVENTS as u64 / 1000));
    });
    group.bench_function("a fault in every line", |bencher| {
        bencher.iter(|| assert_eq!(validate(&all_faults), EVENTS as u64));
    });
    group.bench_function("a fault in every line, each named", |bencher| {
        bencher.iter(|| {
            for line in all_faults.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                assert_eq!(line_findings(black_box(line), 1, &RULES).len(), 1);
            }
        });
    });
    group.finish();
}

fn programs() {
    let folder = tempfile::tempdir().unwrap();
    let (sound, faulty) = (events(folder.path(), None), events(folder.path(), Some(1000)));
    let (sound_name, faulty_name) = (sound.display().to_string(), faulty.display().to_string());
    let mut ways = vec![
        formusage("validate", &sound, &["validate", &sound_name]),
        formusage("validate, a fault in a thousand lines", &faulty, &["validate", &faulty_name]),
        formusage("validate --continuity", &sound, &["validate", "--continuity", &sound_name]),
        typed(&sound),
    ];
    ways.extend(others(&sound));
    compare("validate", &ways, "typed serde_json, one core");

    let thresholds = folder.path().join("thresholds");
    std::fs::create_dir(&thresholds).unwrap();
    for number in 0..10_000 {
        let text =
            THRESHOLD.replace("cpu-high", &format!("cpu-high-{number}")).replace("80.0", &format!("{}", number % 99));
        std::fs::write(thresholds.join(format!("{number}.json")), text).unwrap();
    }
    let channels = folder.path().join("channels.json");
    std::fs::write(&channels, r#"{"channels":{"email":{"slack":{"url":{"env":"CHAT_URL"}}}}}"#).unwrap();
    let [thresholds, channels] = [thresholds, channels].map(|path| path.display().to_string());
    let ways =
        [formusage("validate, 10,000 threshold files", &sound, &["validate", &thresholds, "--channels", &channels])];
    seconds(&ways);
}

fn main() {
    benches();
    // The programs are measured only when asked for benchmarks, and no case by its name.
    if std::env::args().any(|argument| argument == "--bench") && std::env::args().count() == 2 {
        programs();
    }
}

criterion_group!(benches, cases);
