//! What delivery to a Form queue costs: the publisher, without and with its durable spool, next to a bare client that
//! sends bytes made beforehand over 64 connections. The queue is a minimal one in a process of its own that answers
//! `"OpSuccess"` at once.
//!
//! `cargo bench --bench delivery`; `cargo bench --bench delivery -- serve 127.0.0.1:3003` serves that queue alone, for
//! load generators such as wrk.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod sample;

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use form_usage_events::circuit_breaker::CircuitBreaker;
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::EncodedEvent;
use form_usage_events::publish::{
    Delivery, Feed, IntakeReader, Keeper, Pipeline, PipelineOptions, RefusedLine, Report, Stop, Taken, publish_through,
};
use form_usage_events::retry::{Random, Retrier, RetryConfig};
use form_usage_events::spool::{Spool, SpoolOptions};
use form_usage_events::transport::{ConnectOptions, Destination, Failure, connect, form};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const EVENTS: u64 = 100_000;
const CONNECTIONS: u64 = 64;
const REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n\"OpSuccess\"";

fn event(n: u64) -> EncodedEvent {
    let event = sample::event(&format!("instance-{}", n % 1_000), i64::try_from(n).unwrap());
    EncodedEvent::encode(event).unwrap()
}

/// Reads one message: the head, and as many bytes as it says. `None` at the end of the connection.
async fn message(connection: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    loop {
        if let Some(end) = buffer.windows(4).position(|it| it == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end]).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|it| it.strip_prefix("content-length:")).unwrap().trim();
            let whole = end + 4 + length.parse::<usize>().unwrap();
            if buffer.len() >= whole {
                buffer.drain(..whole);
                return Some(());
            }
        }
        if connection.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

async fn serve(address: &str) {
    let listener = TcpListener::bind(address).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(16 << 10);
            while message(&mut connection, &mut buffer).await.is_some() {
                if connection.write_all(REPLY).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The floor: requests made beforehand, no reading of replies beyond their length.
async fn bare(address: &str) {
    let body = format!(
        "{{\"Write\":{{\"content\":{:?},\"topic\":\"{}\"}}}}",
        [&[0], event(1).body()].concat(),
        form::topic_hash("usage_events")
    )
    .replace(", ", ",");
    let request: Arc<[u8]> = format!(
        "POST /queue/write_local HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
    .into();
    let left = Arc::new(AtomicU64::new(EVENTS));
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let (request, left, address) = (request.clone(), left.clone(), address.to_owned());
        tasks.push(tokio::spawn(async move {
            let mut connection = TcpStream::connect(address).await.unwrap();
            connection.set_nodelay(true).unwrap();
            let mut buffer = Vec::with_capacity(4 << 10);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |it| it.checked_sub(1)).is_ok() {
                connection.write_all(&request).await.unwrap();
                message(&mut connection, &mut buffer).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// The CPU time of this process so far, all threads; what a rate says on a busy machine depends on the others.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|it| it.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

struct Nothing;

impl Keeper for Nothing {
    fn refused(&mut self, _: &RefusedLine) -> std::io::Result<()> {
        Ok(())
    }

    fn dead(&mut self, _: &Taken, _: &Failure, _: u64) -> std::io::Result<()> {
        Ok(())
    }

    fn undelivered(&mut self, _: &Taken, _: &str) -> std::io::Result<()> {
        Ok(())
    }
}

async fn publish(address: &str, lines: &[u8], spool: Option<&Spool>) -> Report {
    let destination: Destination = format!("form://{address}/usage_events").parse().unwrap();
    let sink = connect(&destination, &ConnectOptions::default()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let retrier = Retrier::with(RetryConfig::default(), clock.clone(), Random::default()).unwrap();
    let breaker = CircuitBreaker::new(form_usage_events::circuit_breaker::CircuitBreakerConfig::default()).unwrap();
    let delivery = Delivery::new(sink.into(), retrier, Some(breaker.clone()), Duration::from_secs(30), clock);
    let options = PipelineOptions { spooled: spool.is_some(), ..PipelineOptions::default() };
    let pipeline = Pipeline::new(delivery, None, options);
    let (feed, receiver) = Feed::channel();
    let lines = lines.to_vec();
    std::thread::spawn(move || {
        let give = |group| feed.put(group).map_or(ControlFlow::Break(()), ControlFlow::Continue);
        IntakeReader::default().read_lines("bench", &*lines, &SystemClock, give)
    });
    let (mut keeper, mut progress, stop) = (Nothing, (), Stop::default());
    let report = match spool {
        Some(spool) => {
            publish_through(spool, &pipeline, Some(&breaker), receiver, &mut keeper, &mut progress, stop).await
        }
        None => pipeline.run(receiver, &mut keeper, &mut progress, stop).await,
    };
    report.unwrap()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|it| it == "serve") {
        return runtime.block_on(serve(arguments.get(at + 1).map_or("127.0.0.1:0", String::as_str)));
    }
    let mut queue = Command::new(std::env::current_exe().unwrap());
    let mut queue = queue.args(["serve", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(queue.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let address = address.trim();

    let lines: Vec<u8> = (0..EVENTS).flat_map(|n| [event(n).body(), b"\n"].concat()).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut floor = 0.0;
    let mut measure = |name: &str, work: &mut dyn FnMut()| {
        let (start, busy) = (SystemClock.monotonic(), busy());
        work();
        let rate = EVENTS as f64 / (SystemClock.monotonic() - start).as_secs_f64();
        if floor == 0.0 {
            floor = rate;
        }
        let micros = (self::busy() - busy).as_secs_f64() * 1e6 / EVENTS as f64;
        println!("{name:<44} {rate:>9.0} events/s   {:.2}   {micros:>5.1} µs of CPU an event", rate / floor);
    };
    measure("bare client, 64 connections, ready bytes", &mut || runtime.block_on(bare(address)));
    measure("publisher without a spool", &mut || {
        assert_eq!(runtime.block_on(publish(address, &lines, None)).delivered, EVENTS);
    });
    measure("publisher with a durable spool", &mut || {
        let url = format!("form://{address}/usage_events?sub_topic=0");
        let path = folder.path().join("spool.db");
        let spool = Spool::open(&path, &url, SpoolOptions::default(), Arc::new(SystemClock)).unwrap();
        assert_eq!(runtime.block_on(publish(address, &lines, Some(&spool))).delivered, EVENTS);
    });
    queue.kill().unwrap();
    queue.wait().unwrap();
}
