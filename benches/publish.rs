//! What delivery costs: making an event's bytes and id, and the embedded queue next to a bare SQLite loop that keeps
//! the same promise (one synced transaction for a batch).
//!
//! `cargo bench --bench publish`
#![allow(missing_docs, clippy::unwrap_used)]

mod sample;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use form_usage_events::events::{EncodedEvent, UsageEvent};
use form_usage_events::transport::{ConnectOptions, Destination, connect};

const BATCH: i64 = 1_000;

fn event(n: i64) -> UsageEvent {
    sample::event("instance-abc123", n)
}

fn bytes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bytes");
    let line = EncodedEvent::encode(event(1)).unwrap().body().to_vec();
    group.throughput(Throughput::Bytes(line.len() as u64));
    group.bench_function("typed serde_json alone", |bencher| {
        bencher.iter(|| black_box(serde_json::from_slice::<UsageEvent>(&line).unwrap()));
    });
    group.bench_function("decode: checked, compact, with its id", |bencher| {
        bencher.iter(|| black_box(EncodedEvent::decode(&line).unwrap()));
    });
}

fn embedded_queue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a thousand events, durable");
    group.throughput(Throughput::Elements(BATCH.unsigned_abs())).sample_size(20);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut next = 0;
    let mut batch = || {
        next += BATCH;
        (next..next + BATCH).map(|n| EncodedEvent::encode(event(n)).unwrap()).collect::<Vec<_>>()
    };

    let bare = rusqlite::Connection::open(folder.path().join("bare.db")).unwrap();
    bare.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = full; CREATE TABLE m (id BLOB PRIMARY KEY, body BLOB)",
    )
    .unwrap();
    group.bench_function("bare inserts", |bencher| {
        let insert = |events: Vec<EncodedEvent>| {
            bare.execute_batch("BEGIN").unwrap();
            let mut statement = bare.prepare_cached("INSERT INTO m VALUES (?1, ?2)").unwrap();
            for event in &events {
                statement.execute((&event.id().as_bytes()[..], event.body())).unwrap();
            }
            bare.execute_batch("COMMIT").unwrap();
        };
        bencher.iter_batched(&mut batch, insert, BatchSize::PerIteration);
    });

    let destination = Destination::Sqlite(folder.path().join("queue.db"));
    let sink = connect(&destination, &ConnectOptions::default()).unwrap();
    group.bench_function("sqlite:", |bencher| {
        bencher.iter_batched(
            &mut batch,
            |events| runtime.block_on(sink.send(&events)).unwrap(),
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(benches, bytes, embedded_queue);
criterion_main!(benches);
