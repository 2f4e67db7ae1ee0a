//! The validation of NDJSON against typed serde_json, in one run: what naming every fault costs those that have none.
//!
//! `cargo bench --bench validate`. Read the throughputs as a ratio; they differ from machine to machine. The cases over
//! 20,000 events use every processor once the input has proved to be large; `line by line` is one thread's share.

#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::io;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use form_usage_events::events::UsageEvent;
use form_usage_events::validate::{ContentOptions, ContentValidator, EventRules, line_findings};

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

fn benches(criterion: &mut Criterion) {
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

criterion_group!(validation, benches);
criterion_main!(validation);
