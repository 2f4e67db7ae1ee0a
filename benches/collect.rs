//! What a reading of this host costs, next to reading `/proc/stat` as it is.
//!
//! `cargo bench --bench collect`
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use form_usage_events::collect::{Identity, Meter, Reading, host};

fn readings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("collect");
    group.bench_function("read /proc/stat and nothing else", |bencher| {
        bencher.iter(|| black_box(std::fs::read("/proc/stat").unwrap()));
    });
    let mut scope = host::this_host().unwrap();
    group.bench_function("a reading of the host", |bencher| {
        bencher.iter(|| black_box(scope.read(Duration::ZERO).unwrap()));
    });
    let identity = Identity::new("i".into(), "u".into(), None).unwrap();
    let mut meter = Meter::new(identity, 0, Reading::default());
    let (mut at, reading) = (Duration::ZERO, scope.read(Duration::ZERO).unwrap().remove(0).reading);
    group.bench_function("metering a reading", |bencher| {
        bencher.iter(|| {
            at += Duration::from_secs(1);
            meter.add(Reading { at, ..reading.clone() });
        });
    });
}

criterion_group!(benches, readings);
criterion_main!(benches);
