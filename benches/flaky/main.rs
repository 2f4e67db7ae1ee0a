//! What random failures cost: a publisher that finds its own level next to one with thirty attempts at a time, at a queue
//! that fails so many calls in a hundred, at once and after 20 ms. The queue is a process of its own, its failures come from
//! a seed.
//!
//! `cargo bench --bench flaky`; `cargo bench --bench flaky -- serve 127.0.0.1:3003 30 20` serves a queue that fails 30 % of
//! its calls, 20 ms after each. BENCH_EVENTS sets how many events go (3,000), BENCH_RATES the rates (5,10,20,30,50).
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "../sample/mod.rs"]
mod sample;

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use form_usage_events::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig};
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::EncodedEvent;
use form_usage_events::publish::{
    Concurrency, Delivery, Feed, IntakeReader, Keeper, Pipeline, PipelineOptions, RefusedLine, Report, Stop, Taken,
    publish_through,
};
use form_usage_events::retry::{Random, Retrier, RetryConfig};
use form_usage_events::spool::{Spool, SpoolOptions};
use form_usage_events::transport::{ConnectOptions, Destination, Failure, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const INSTANCES: i64 = 30;
const SEED: u64 = 11;
const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n\"OpSuccess\"";
const FAILED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

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

async fn serve(address: &str, percent: u8, latency: Duration) {
    let listener = TcpListener::bind(address).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(SEED)));
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.set_nodelay(true).unwrap();
        let random = random.clone();
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(16 << 10);
            while message(&mut connection, &mut buffer).await.is_some() {
                if !latency.is_zero() {
                    SystemClock.sleep(latency).await;
                }
                let fails = random.lock().unwrap().u8(0..100) < percent;
                if connection.write_all(if fails { FAILED } else { TAKEN }).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// A queue in a process of its own; killed when dropped.
struct Queue {
    process: Child,
    address: String,
}

impl Queue {
    fn start(percent: u8, latency_ms: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let words = ["serve", "127.0.0.1:0", &percent.to_string(), &latency_ms.to_string()].map(str::to_owned);
        let mut process = command.args(words).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process, address: address.trim().to_owned() }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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

async fn publish(address: &str, lines: &[u8], concurrency: Concurrency, spool: Option<&Spool>) -> Report {
    let destination: Destination = format!("form://{address}/usage_events").parse().unwrap();
    let sink = connect(&destination, &ConnectOptions::default()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let retrier = Retrier::with(RetryConfig::default(), clock.clone(), Random::default()).unwrap();
    let breaker = CircuitBreaker::new(CircuitBreakerConfig::default()).unwrap();
    let delivery = Delivery::new(sink.into(), retrier, Some(breaker.clone()), Duration::from_secs(30), clock)
        .with_concurrency(concurrency);
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

/// How long it takes to deliver `lines`, and how often the breaker opened meanwhile.
fn measure(percent: u8, latency_ms: u64, lines: &[u8], concurrency: Concurrency, with_spool: bool) -> (Duration, u64) {
    let queue = Queue::start(percent, latency_ms);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("form://{}/usage_events?sub_topic=0", queue.address);
    let path = folder.path().join("spool.db");
    let spool = with_spool.then(|| Spool::open(&path, &url, SpoolOptions::default(), Arc::new(SystemClock)).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let start = SystemClock.monotonic();
    let report = runtime.block_on(publish(&queue.address, lines, concurrency, spool.as_ref()));
    let time = SystemClock.monotonic() - start;
    assert_eq!((report.delivered, report.undelivered), (report.read, 0), "{report:?}");
    (time, report.breaker_opened)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|it| it == "serve") {
        let word = |n: usize, default: &str| arguments.get(at + n).map_or(default, String::as_str).to_owned();
        let latency = Duration::from_millis(word(3, "0").parse().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(serve(&word(1, "127.0.0.1:0"), word(2, "30").parse().unwrap(), latency));
    }
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let events: i64 = setting("BENCH_EVENTS", "3000").parse().unwrap();
    let rates: Vec<u8> = setting("BENCH_RATES", "5,10,20,30,50").split(',').map(|it| it.parse().unwrap()).collect();
    let line = |n| {
        let event = sample::event(&format!("instance-{}", n % INSTANCES), n / INSTANCES);
        [EncodedEvent::encode(event).unwrap().body(), b"\n"].concat()
    };
    let lines: Vec<u8> = (0..events).flat_map(line).collect();
    println!("{events} events of {INSTANCES} instances; times of auto as ratios to thirty at a time");
    for latency in [0, 20] {
        for &percent in &rates {
            let auto = || Concurrency::auto(Concurrency::DEFAULT_MAX);
            let (fixed, _) = measure(percent, latency, &lines, Concurrency::fixed(30), false);
            print!("{percent:>3} % fail, {latency:>2} ms: thirty {:>6.2} s", fixed.as_secs_f64());
            for (name, with_spool) in [("auto", false), ("auto with a spool", true)] {
                let (time, opened) = measure(percent, latency, &lines, auto(), with_spool);
                let (ratio, rate) = (time.as_secs_f64() / fixed.as_secs_f64(), events as f64 / time.as_secs_f64());
                print!("   {name} {ratio:.2} ({rate:.0} events/s, breaker opened {opened} times)");
            }
            println!();
        }
    }
}
