//! What the sink for NATS JetStream costs next to a bare client that keeps the same promise: a thousand events published,
//! each under its id, and each acknowledged. Needs `nats-server`.
//!
//! `cargo bench --bench nats`; against a cluster of three that keeps three replicas: `FORMUSAGE_BENCH_NODES=3 cargo
//! bench --bench nats`. Both sides of the ratio run against the same servers.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

mod sample;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use form_usage_events::events::EncodedEvent;
use form_usage_events::transport::{ConnectOptions, Destination, NatsOptions, StreamOptions, connect};

const EVENTS: usize = 1_000;
/// As `publish` goes: four attempts under way, of 250 events each.
const ATTEMPT: usize = EVENTS / 4;

fn event(n: usize) -> EncodedEvent {
    EncodedEvent::encode(sample::event("instance-abc123", i64::try_from(n).unwrap())).unwrap()
}

/// How many servers there are, and how many hold each event.
fn nodes() -> usize {
    std::env::var("FORMUSAGE_BENCH_NODES").map_or(1, |text| text.parse().unwrap())
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Server {
    process: Child,
    port: u16,
    _store: tempfile::TempDir,
}

impl Server {
    /// So many servers, as one cluster where there are several.
    fn start(nodes: usize) -> Option<Vec<Self>> {
        let routes: Vec<u16> = (0..nodes).map(|_| free_port()).collect();
        let list: Vec<_> = routes.iter().map(|port| format!("nats-route://127.0.0.1:{port}")).collect();
        let list = list.join(",");
        let cluster = |(n, port): (usize, &u16)| {
            let listen = format!("nats://127.0.0.1:{port}");
            let name = format!("n{n}");
            let words = ["-n", &name, "-cluster_name", "bench", "-cluster", &listen, "-routes", &list];
            Self::launch(if nodes > 1 { &words } else { &[] })
        };
        routes.iter().enumerate().map(cluster).collect()
    }

    fn launch(options: &[&str]) -> Option<Self> {
        let port = free_port();
        let store = tempfile::tempdir().unwrap();
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-js", "-p", &port.to_string()]).args(options).arg("-sd").arg(store.path());
        let mut process = command.stderr(Stdio::piped()).spawn().ok()?;
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("Server is ready") {
            assert_ne!(log.read_line(&mut said).unwrap(), 0, "{said}");
        }
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Some(Self { process, port, _store: store })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn acknowledged(criterion: &mut Criterion) {
    let nodes = nodes();
    let Some(servers) = Server::start(nodes) else {
        eprintln!("nats-server is not installed: nothing to measure against");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group(format!("a thousand events, acknowledged by JetStream on {nodes} nodes"));
    group.throughput(Throughput::Elements(EVENTS as u64)).sample_size(20);
    let mut next = 0;
    let mut batch = || {
        next += EVENTS;
        (next..next + EVENTS).map(event).collect::<Vec<_>>()
    };
    let url = format!("nats://127.0.0.1:{}", servers[0].port);

    let context = runtime.block_on(async {
        let context = jetstream::new(async_nats::connect(&url).await.unwrap());
        let day = StreamOptions::default().duplicate_window;
        let config = jetstream::stream::Config {
            name: "bare".into(),
            duplicate_window: day,
            num_replicas: nodes,
            ..jetstream::stream::Config::default()
        };
        // A cluster takes a moment to choose its leader; until then it refuses or does not answer.
        while let Err(error) = context.create_stream(config.clone()).await {
            eprintln!("waiting for the cluster: {error}");
        }
        context
    });
    group.bench_function("bare client, a thousand under way", |bencher| {
        let publish = |events: Vec<EncodedEvent>| {
            runtime.block_on(async {
                let mut acknowledgements = Vec::with_capacity(EVENTS);
                for event in &events {
                    let message = PublishMessage::build()
                        .payload(event.body().to_vec().into())
                        .message_id(event.id().to_string());
                    acknowledgements.push(context.send_publish("bare", message).await.unwrap());
                }
                for acknowledgement in acknowledgements {
                    acknowledgement.await.unwrap();
                }
            });
        };
        bencher.iter_batched(&mut batch, publish, BatchSize::PerIteration);
    });

    let destination: Destination = format!("{url}/usage_events").parse().unwrap();
    let stream = StreamOptions { replicas: nodes, ..StreamOptions::default() };
    let nats = NatsOptions { create_stream: Some(stream), ..NatsOptions::default() };
    let sink = connect(&destination, &ConnectOptions { nats, ..ConnectOptions::default() }).unwrap();
    group.bench_function("nats: sink, four attempts", |bencher| {
        let publish = |events: Vec<EncodedEvent>| {
            let (one, rest) = events.split_at(ATTEMPT);
            let (two, rest) = rest.split_at(ATTEMPT);
            let (three, four) = rest.split_at(ATTEMPT);
            runtime.block_on(async {
                let sent = tokio::join!(sink.send(one), sink.send(two), sink.send(three), sink.send(four));
                for outcomes in [sent.0, sent.1, sent.2, sent.3] {
                    assert_eq!(outcomes.unwrap().len(), ATTEMPT);
                }
            });
        };
        bencher.iter_batched(&mut batch, publish, BatchSize::PerIteration);
    });
    group.finish();
}

criterion_group!(benches, acknowledged);
criterion_main!(benches);
