//! The figures: read back by a check of their own, asked for by well-behaved and other clients.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use form_usage_events::circuit_breaker::CircuitState;
use form_usage_events::metrics::{
    BreakerObservation, CONTENT_TYPE, Observation, PublishMetrics, SpoolObservation, serve, stats_line,
};
use form_usage_events::publish::LatencyHistogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// A request of a scraper that reads OpenMetrics.
const GET: &str = "GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept: application/openmetrics-text\r\n\r\n";

const DESTINATION: &str = "file:/tmp/a \"quoted\"\\name";

fn observation() -> Observation {
    let latency = LatencyHistogram::default();
    for millis in [1, 4, 4, 30, 99_000] {
        latency.record(Duration::from_millis(millis));
    }
    Observation {
        at: Duration::from_secs(100),
        read: 120,
        taken: 115,
        delivered: 100,
        duplicates: 3,
        deferred: 7,
        waiting: 14,
        dead: 1,
        refused: 5,
        violations: 2,
        attempts: 110,
        retries: 8,
        unknown: 1,
        latency: latency.latency(),
        breaker: Some(BreakerObservation { state: CircuitState::Open, opened: 2, transitions: 3 }),
        spool: Some(SpoolObservation {
            used_bytes: 40_960,
            limit_bytes: 1 << 30,
            waiting: 14,
            waiting_bytes: 5_768,
            oldest_age: Some(Duration::from_secs(3_600)),
            retained: 100,
            retained_bytes: 41_200,
            dead_letters: 6,
        }),
    }
}

/// A metric family as the text says it.
#[derive(Debug, Default)]
struct FamilyText {
    kind: String,
    unit: Option<String>,
    /// Name with labels, and value.
    samples: Vec<(String, String, f64)>,
}

/// Reads OpenMetrics text by its rules: descriptors before samples, families in one piece, suffixes by type, units as
/// suffixes, escaped labels, one `# EOF` at the end.
fn parse(text: &str) -> BTreeMap<String, FamilyText> {
    let mut families: BTreeMap<String, FamilyText> = BTreeMap::new();
    let mut current = String::new();
    let body = text.strip_suffix("# EOF\n").expect("the end is marked");
    assert!(!body.contains("# EOF"));
    for line in body.lines() {
        if let Some(descriptor) = line.strip_prefix("# ") {
            let [what, name, value] = descriptor.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            if current != name {
                assert!(!families.contains_key(name), "{name} comes twice");
                name.clone_into(&mut current);
            }
            let family = families.entry(name.to_owned()).or_default();
            assert!(family.samples.is_empty(), "{line} comes late");
            match what {
                "TYPE" => value.clone_into(&mut family.kind),
                "UNIT" => family.unit = Some(value.to_owned()),
                "HELP" => assert!(!value.is_empty()),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = match sample.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
            None => (sample, ""),
        };
        let family = families.get_mut(&current).unwrap_or_else(|| panic!("{line} has no family"));
        let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{line} is not of {current}"));
        let allowed: &[&str] = match family.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            other => panic!("type {other}"),
        };
        assert!(allowed.contains(&suffix), "{line}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        family.samples.push((suffix.to_owned(), labels.to_owned(), value.parse().unwrap()));
    }
    for (name, family) in &families {
        assert!(!family.samples.is_empty(), "{name} is empty");
        if let Some(unit) = &family.unit {
            assert!(name.ends_with(&format!("_{unit}")), "{name} in {unit}");
        }
        let unique: BTreeSet<_> = family.samples.iter().map(|(suffix, labels, _)| (suffix, labels)).collect();
        assert_eq!(unique.len(), family.samples.len(), "{name}");
    }
    families
}

#[test]
fn the_text_is_open_metrics_and_says_what_was_observed() {
    let metrics = PublishMetrics::new(DESTINATION);
    metrics.observe(&observation());
    let families = parse(&metrics.encode());
    let value = |name: &str| match &families[name].samples[..] {
        [(_, labels, value)] if labels.is_empty() => *value,
        other => panic!("{name}: {other:?}"),
    };
    for (name, expected) in [
        ("formusage_publish_events_read", 120.0),
        ("formusage_publish_events_taken", 115.0),
        ("formusage_publish_events_delivered", 100.0),
        ("formusage_publish_events_duplicate", 3.0),
        ("formusage_publish_events_deferred", 7.0),
        ("formusage_publish_events_dead", 1.0),
        ("formusage_publish_events_refused", 5.0),
        ("formusage_publish_events_waiting", 14.0),
        ("formusage_publish_threshold_violations", 2.0),
        ("formusage_publish_attempts", 110.0),
        ("formusage_publish_retries", 8.0),
        ("formusage_publish_replies_unknown", 1.0),
        ("formusage_publish_breaker_opened", 2.0),
        ("formusage_publish_breaker_transitions", 3.0),
        ("formusage_spool_used_bytes", 40_960.0),
        ("formusage_spool_limit_bytes", 1_073_741_824.0),
        ("formusage_spool_waiting_events", 14.0),
        ("formusage_spool_waiting_bytes", 5_768.0),
        ("formusage_spool_oldest_waiting_age_seconds", 3_600.0),
        ("formusage_spool_retained_events", 100.0),
        ("formusage_spool_retained_bytes", 41_200.0),
        ("formusage_spool_dead_letters", 6.0),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    let states: Vec<_> =
        families["formusage_publish_breaker_state"].samples.iter().map(|(_, labels, v)| (&labels[..], *v)).collect();
    assert_eq!(states, [("state=\"closed\"", 0.0), ("state=\"open\"", 1.0), ("state=\"half-open\"", 0.0)]);
    let url = &families["formusage_publish_destination"].samples[0].1;
    assert_eq!(url, r#"url="file:/tmp/a \"quoted\"\\name""#);
    assert_eq!(families["formusage_build"].samples[0].1, format!("version=\"{}\"", env!("CARGO_PKG_VERSION")));

    let latency = &families["formusage_publish_attempt_duration_seconds"];
    assert_eq!((latency.kind.as_str(), latency.unit.as_deref()), ("histogram", Some("seconds")));
    let of = |suffix: &'static str| latency.samples.iter().filter(move |(it, ..)| it == suffix);
    assert_eq!(of("_count").next().unwrap().2, 5.0);
    assert!((of("_sum").next().unwrap().2 - 99.039).abs() < 1e-9);
    let buckets: Vec<(f64, f64)> = of("_bucket")
        .map(|(_, labels, count)| {
            let bound = labels.strip_prefix("le=\"").unwrap().strip_suffix('"').unwrap();
            (bound.replace("+Inf", "inf").parse().unwrap(), *count)
        })
        .collect();
    assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{buckets:?}");
    assert_eq!(*buckets.last().unwrap(), (f64::INFINITY, 5.0));
    assert!(buckets.contains(&(0.005, 3.0)) && buckets.contains(&(60.0, 4.0)), "{buckets:?}");
}

#[test]
fn a_publisher_without_spool_and_breaker_is_open_metrics_too() {
    let families = parse(&PublishMetrics::new("-").encode());
    assert!(families.keys().all(|name| !name.starts_with("formusage_spool")));
}

struct Served {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<io::Result<()>>,
}

impl Served {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let metrics = Arc::new(PublishMetrics::new("-"));
        metrics.observe(&observation());
        let task = tokio::spawn(serve(listener, metrics, stop.clone().cancelled_owned()));
        Self { address, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The reply to `request`, read until the server closes.
    async fn ask(&self, request: &str) -> String {
        let mut connection = self.connect().await;
        connection.write_all(request.as_bytes()).await.unwrap();
        rest(&mut connection).await
    }
}

/// What arrives until the other side closes, in whatever way.
async fn rest(connection: &mut TcpStream) -> String {
    let mut reply = Vec::new();
    let _ = connection.read_to_end(&mut reply).await;
    String::from_utf8(reply).unwrap()
}

#[tokio::test]
async fn the_figures_are_served_and_nothing_else() {
    let served = Served::start().await;
    let reply = served.ask(GET).await;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains(&format!("content-type: {CONTENT_TYPE}\r\n")), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    parse(body);
    for (request, status) in [
        ("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
        ("GET /metrics/ HTTP/1.1\r\nhost: localhost\r\n\r\n", 404),
        ("GET /metrics?x=1 HTTP/1.0\r\nhost: 127.0.0.1\r\n\r\n", 200),
        ("HEAD /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n", 200),
        ("POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi", 405),
        ("DELETE /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n", 405),
        ("nonsense\r\n\r\n", 400),
    ] {
        let reply = served.ask(request).await;
        let expected = [format!("HTTP/1.1 {status} "), format!("HTTP/1.0 {status} ")];
        assert!(expected.iter().any(|start| reply.starts_with(start)), "{request:?}: {reply}");
    }
    served.stop.cancel();
    served.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn scrapers_of_prometheus_text_get_that_format() {
    let served = Served::start().await;
    let open_metrics = served.ask(GET).await;
    let (_, open_metrics) = open_metrics.split_once("\r\n\r\n").unwrap();
    for accept in ["", "accept: */*\r\n", "accept: text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n"] {
        let reply = served.ask(&format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{accept}\r\n")).await;
        let (head, text) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        assert!(head.contains("vary: accept\r\n"), "{head}");
        let samples =
            |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(samples(text), samples(open_metrics));
        let mut family = "";
        for line in text.lines() {
            if let Some(description) = line.strip_prefix("# ") {
                let [what, name, value] = description.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
                assert!(what == "HELP" || ["counter", "gauge", "histogram"].contains(&value), "{line}");
                family = name;
                continue;
            }
            let name = line.split(['{', ' ']).next().unwrap();
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
            assert!(["", "_bucket", "_sum", "_count"].contains(&suffix), "{line} is not of {family}");
        }
        assert!(text.contains("# TYPE formusage_publish_events_read_total counter\n"), "{text}");
    }
}

#[tokio::test]
async fn a_request_is_not_endless() {
    let served = Served::start().await;
    for start in ["GET /metrics HTTP/1.1\r\nx: ", "POST /metrics HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n"] {
        let mut connection = served.connect().await;
        connection.write_all(start.as_bytes()).await.unwrap();
        let mut sent = 0;
        while sent < 64 << 20 && connection.write_all(&[b'a'; 8192]).await.is_ok() {
            sent += 8192;
        }
        // What the system's buffers hold can be written; not all of it is read.
        assert!(sent < 64 << 20, "{start:?}");
    }
    assert!(served.ask(GET).await.contains("# EOF"));
}

#[tokio::test(start_paused = true)]
async fn slow_and_many_clients_do_not_keep_others_out() {
    let served = Served::start().await;
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut connection = served.connect().await;
        connection.write_all(b"GET /metrics HTT").await.unwrap();
        slow.push(connection);
    }
    // Time moves on while everybody waits, so that the slow ones are cut off, one lot after the other.
    assert!(served.ask(GET).await.ends_with("# EOF\n"));
    assert!(!rest(&mut slow[0]).await.contains("# EOF"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_does_not_hold_up_the_end() {
    let served = Served::start().await;
    let mut silent = served.connect().await;
    silent.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    assert!(served.ask(GET).await.contains("# EOF"));
    served.stop.cancel();
    served.task.await.unwrap().unwrap();
}

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_of_figures_says_what_happened_since_the_last_one() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).finish();
    let now = observation();
    let before = Observation { at: Duration::from_secs(90), delivered: 60, taken: 100, ..Observation::default() };
    tracing::subscriber::with_default(subscriber, || {
        stats_line(&now, &before);
        stats_line(&before, &before);
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [first, second] = &lines[..] else { panic!("{text}") };
    for (field, value) in [
        ("target", "formusage::stats".into()),
        ("level", "INFO".into()),
        ("message", "figures".into()),
        ("seconds", 10.0.into()),
        ("delivered", 40.into()),
        ("taken", 15.into()),
        ("waiting", 14.into()),
        ("breaker", "open".into()),
        ("spool_bytes", 40_960.into()),
        ("spool_oldest_seconds", 3_600.into()),
        ("latency_mean", 19.8078.into()),
    ] as [(&str, serde_json::Value); 11]
    {
        assert_eq!(first[field], value, "{field}: {first}");
    }
    assert_eq!(second["delivered"], 0);
    assert!(second.get("spool_bytes").is_none() && second.get("latency_mean").is_none(), "{second}");
}
