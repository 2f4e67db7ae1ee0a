//! What thresholds cost an event, next to reading it.
//!
//! `cargo bench --bench check` reports events a second, and in the end each case as a ratio to decoding alone, measured
//! in the same run. 10,000 thresholds that are each for one user and instance should cost about as much as one.
//! Then the program itself reads files, next to other tools that do: see `yardstick`.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)]

mod yardstick;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::{UsageEvent, UsageMetrics, UsagePeriod, to_compact_json};
use form_usage_events::threshold::{ActionType, ResourceType, ThresholdConfig, ThresholdSet, ThresholdType};
use form_usage_events::units::TimeSpan;

use yardstick::{compare, events, formusage, others, typed};

const EVENTS: u32 = 1000;

fn event(number: u32) -> UsageEvent {
    let metrics = UsageMetrics {
        cpu_seconds: 30,
        cpu_percent_avg: f64::from(number % 90),
        memory_gb: 4.2,
        memory_percent: 52.5,
        storage_gb: 25.7,
        network_egress_mb: 15.2,
        network_ingress_mb: 8.7,
        gpu_seconds: 0,
    };
    let period = UsagePeriod { start: 1_626_350_400, end: 1_626_350_430 };
    let (instance, user) = (format!("instance-{}", number % 500), format!("user_{}", number % 100));
    let mut event = UsageEvent::new(instance, user, Some("org_789012".into()), metrics, period);
    event.timestamp = 1_626_350_430;
    event
}

fn threshold(number: u32, bound: bool) -> ThresholdConfig {
    let resource_type = ResourceType::ALL[number as usize % ResourceType::ALL.len()];
    let unit = resource_type.units().last().copied().unwrap_or_default();
    // Never exceeded: the case that every healthy event is.
    let limit = ThresholdType::Absolute { value: f64::from(1000 + number), unit: unit.into() };
    let user = if bound { format!("user_{}", number % 100) } else { "*".into() };
    ThresholdConfig {
        instance_id: bound.then(|| format!("instance-{}", number % 500)),
        ..ThresholdConfig::new(format!("threshold-{number}"), resource_type, limit, ActionType::Log, user)
    }
}

fn set(count: u32, bound: bool) -> ThresholdSet {
    ThresholdSet::new((0..count).map(|number| threshold(number, bound)).collect()).unwrap()
}

fn cases() -> Vec<(String, Option<ThresholdSet>)> {
    let mut cases = vec![("decode alone".to_owned(), None)];
    for count in [1, 100, 10_000] {
        cases.push((format!("{count} for everybody"), Some(set(count, false))));
        cases.push((format!("{count} for one user and instance each"), Some(set(count, true))));
    }
    cases
}

fn pass(lines: &[String], thresholds: Option<&ThresholdSet>) -> usize {
    let mut violations = 0;
    for line in lines {
        let event: UsageEvent = serde_json::from_str(line).unwrap();
        match thresholds {
            Some(thresholds) => violations += thresholds.violations(&event).len(),
            None => drop(black_box(event)),
        }
    }
    violations
}

/// The fastest of many passes of each case. The cases take turns, so that a slow moment of the machine meets all.
fn fastest(lines: &[String], cases: &[(String, Option<ThresholdSet>)]) -> Vec<Duration> {
    let mut fastest = vec![Duration::MAX; cases.len()];
    for _ in 0..500 {
        for (best, (_, thresholds)) in fastest.iter_mut().zip(cases) {
            let start = SystemClock.monotonic();
            black_box(pass(lines, thresholds.as_ref()));
            *best = (*best).min(SystemClock.monotonic() - start);
        }
    }
    fastest
}

fn main() {
    let lines: Vec<String> = (0..EVENTS).map(|number| to_compact_json(&event(number)).unwrap()).collect();
    let cases = cases();

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("check");
    group.throughput(Throughput::Elements(EVENTS.into()));
    for (name, thresholds) in &cases {
        group.bench_function(name, |bencher| bencher.iter(|| pass(&lines, thresholds.as_ref())));
    }
    group.finish();

    let sample: Vec<UsageEvent> = (0..EVENTS).map(event).collect();
    let mut group = criterion.benchmark_group("evaluate alone");
    group.throughput(Throughput::Elements(EVENTS.into()));
    for (name, thresholds) in &cases {
        let Some(thresholds) = thresholds else { continue };
        group.bench_function(name, |bencher| {
            bencher.iter(|| sample.iter().map(|event| thresholds.violations(event).len()).sum::<usize>());
        });
    }
    group.finish();
    criterion.final_summary();

    if std::env::args().any(|argument| argument == "--bench") {
        let fastest = fastest(&lines, &cases);
        for ((name, _), time) in cases.iter().zip(&fastest) {
            eprintln!("{name:<40} {:.3} × decode alone", time.as_secs_f64() / fastest[0].as_secs_f64());
        }
        if std::env::args().count() == 2 {
            programs();
        }
    }
}

/// The program with sets of thresholds that healthy events do not exceed.
fn programs() {
    let folder = tempfile::tempdir().unwrap();
    let file = events(folder.path(), None);
    let name = file.display().to_string();
    let write = |name: &str, count: u32, change: &dyn Fn(u32, ThresholdConfig) -> ThresholdConfig| {
        let configs: Vec<_> = (0..count).map(|number| change(number, threshold(number, false))).collect();
        let path = folder.path().join(name).display().to_string();
        std::fs::write(&path, serde_json::to_vec(&configs).unwrap()).unwrap();
        path
    };
    let bound = |number: u32, config: ThresholdConfig| ThresholdConfig {
        user_id: if number.is_multiple_of(2) { "user_123456".into() } else { format!("user_{number}") },
        instance_id: Some(format!("instance-{:08}", number % 1_000)),
        ..config
    };
    let stated = |config: ThresholdConfig| ThresholdConfig { hold: Some(TimeSpan::from_seconds(300)), ..config };
    let hundred = write("100.json", 100, &|_, config| config);
    let many = write("10000.json", 10_000, &bound);
    let states = write("states.json", 100, &|_, config| stated(config));
    let many_states = write("10000-states.json", 10_000, &|number, config| stated(bound(number, config)));
    let way = |title: &str, set: &str, more: &[&str]| formusage(title, &file, &[&["check", set, &name], more].concat());
    let mut ways = vec![
        way("100 thresholds", &hundred, &[]),
        way("10,000 thresholds, each for one instance", &many, &[]),
        way("100 thresholds with states", &states, &[]),
        way("10,000 thresholds with states, each for one instance", &many_states, &[]),
        way("100 thresholds with states, line by line (--tee)", &states, &["--tee"]),
        typed(&file),
    ];
    ways.extend(others(&file));
    compare("check", &ways, "typed serde_json, one core");
}
