//! CloudEvents over HTTP, against a server that records every request and answers as a test wants it. What was sent is
//! read back by an implementation of CloudEvents that is not ours.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex};

use cloudevents::binding::http::to_event;
use cloudevents::{AttributesReader, Data, Event};
use form_usage_events::clock::ManualClock;
use form_usage_events::errors::UsageEventError;
use form_usage_events::events::EventId;
use form_usage_events::publish::EventPublisher;
use form_usage_events::retry::Random;
use form_usage_events::transport::{CloudEventsMode, CloudEventsOptions, ConnectOptions, Destination};
use predicates::prelude::*;
use predicates::str::contains;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::form_queue::{Request, read_request};
use crate::support::{event, formusage, formusage_process, line, lines};

/// A reply: its status, headers (each with its line end), and its body. Status 0 is none at all.
type Reply = (u16, &'static str, &'static str);

const TAKEN: Reply = (204, "", "");

type Answer = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// The service; it ends with the test's process.
#[derive(Clone)]
struct Service {
    address: SocketAddr,
    answer: Arc<Answer>,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<(Request, u16)>,
    connections: usize,
}

impl Service {
    /// Answers each request by itself and its number, from 0.
    fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = Self { address, answer: Arc::new(answer), seen: Arc::default() };
        let server = service.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                server.seen.0.lock().unwrap().connections += 1;
                let server = server.clone();
                std::thread::spawn(move || server.serve(&connection));
            }
        });
        service
    }

    fn serve(&self, mut connection: &TcpStream) {
        let mut reader = BufReader::new(connection);
        while let Some(request) = read_request(&mut reader) {
            let (seen, changed) = &*self.seen;
            let (status, headers, body) = {
                let mut seen = seen.lock().unwrap();
                let reply = (self.answer)(&request, seen.requests.len());
                seen.requests.push((request, reply.0));
                reply
            };
            changed.notify_all();
            if status == 0 {
                continue;
            }
            let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
            if write!(connection, "HTTP/1.1 {status} X\r\n{headers}{length}\r\n{body}").is_err() {
                break;
            }
        }
        let _ = connection.shutdown(Shutdown::Both);
    }

    fn url(&self) -> String {
        format!("http://{}/api/v1/events?tenant=7", self.address)
    }

    fn requests(&self) -> Vec<Request> {
        self.seen.0.lock().unwrap().requests.iter().map(|(request, _)| request.clone()).collect()
    }

    /// The events of all requests that were answered with a success, in order of arrival.
    fn taken(&self) -> Vec<Event> {
        let seen = self.seen.0.lock().unwrap();
        let taken = seen.requests.iter().filter(|(_, status)| (200..300).contains(status));
        taken.flat_map(|(request, _)| events_of(request)).collect()
    }

    fn wait_for_requests(&self, count: usize) {
        let (seen, changed) = &*self.seen;
        let patience = std::time::Duration::from_secs(30);
        let seen = seen.lock().unwrap();
        let (seen, late) = changed.wait_timeout_while(seen, patience, |seen| seen.requests.len() < count).unwrap();
        drop(seen);
        assert!(!late.timed_out(), "waited in vain for {count} requests");
    }

    fn publish(&self, options: &[&str]) -> assert_cmd::Command {
        let mut command = formusage();
        command.args(["publish", "--report", "json", "--to", &self.url()]).args(options);
        command
    }

    /// A publisher whose waits take no time and are remembered by the clock.
    fn publisher(&self, mode: CloudEventsMode) -> (EventPublisher, Arc<ManualClock>) {
        let cloud_events = CloudEventsOptions { mode, ..CloudEventsOptions::default() };
        let options = ConnectOptions { cloud_events, ..ConnectOptions::default() };
        let clock = Arc::new(ManualClock::at_unix(1_700_000_000));
        let publisher = EventPublisher::to(self.url().parse().unwrap())
            .with_connect_options(options)
            .with_clock(clock.clone(), Random::new(|| 0.5));
        (publisher, clock)
    }
}

fn headers_of(request: &Request) -> HeaderMap {
    let lines = request.headers.lines().skip(1).filter_map(|line| line.split_once(':'));
    let header = |(name, value): (&str, &str)| {
        let name = HeaderName::try_from(name).unwrap();
        (name, HeaderValue::try_from(value.trim()).unwrap())
    };
    lines.map(header).collect()
}

/// The events of a request, as the other implementation reads them.
fn events_of(request: &Request) -> Vec<Event> {
    let headers = headers_of(request);
    if headers["content-type"] == "application/cloudevents-batch+json" {
        return serde_json::from_slice(&request.body).unwrap();
    }
    vec![to_event(&headers, request.body.clone()).unwrap()]
}

fn subjects(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.subject().unwrap()).collect()
}

fn data(event: &Event) -> Value {
    match event.data().unwrap() {
        Data::Json(value) => value.clone(),
        Data::Binary(bytes) => serde_json::from_slice(bytes).unwrap(),
        Data::String(text) => serde_json::from_str(text).unwrap(),
    }
}

fn holds(request: &Request, text: &str) -> bool {
    String::from_utf8_lossy(&request.body).contains(text)
}

#[test]
fn every_mode_is_read_back_by_another_implementation() {
    for (mode, kind, requests) in [
        ("binary", "application/json", 3),
        ("structured", "application/cloudevents+json", 3),
        ("batched", "application/cloudevents-batch+json", 1),
    ] {
        let service = Service::start(|_, _| TAKEN);
        // Digits and unknown fields ride along.
        let odd = line("a", 1).replace("12.5", "12.500").replacen('{', "{\"rack\":[1e2],", 1);
        let input = [line("a", 0), odd, line("a", 2)];
        service
            .publish(&["--cloudevents-mode", mode, "--cloudevents-source", "https://meter.example/eu"])
            .write_stdin(input.join("\n"))
            .assert()
            .code(0)
            .stdout(contains("\"delivered\":3"))
            .stderr("");
        let seen = service.requests();
        // How many events a batch finds waiting is a matter of time.
        assert!(if mode == "batched" { (requests..=3).contains(&seen.len()) } else { seen.len() == requests });
        for request in &seen {
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/v1/events?tenant=7"));
            assert_eq!(headers_of(request)["content-type"], kind);
        }
        let bodies: Vec<u8> = seen.iter().flat_map(|request| request.body.clone()).collect();
        let bodies = String::from_utf8(bodies).unwrap();
        let taken = service.taken();
        assert_eq!(taken.len(), 3);
        for (event, line) in taken.iter().zip(&input) {
            assert!(bodies.contains(line.as_str()), "{mode}: byte for byte");
            assert_eq!(data(event), serde_json::from_str::<Value>(line).unwrap(), "{mode}");
            assert_eq!(event.id(), EventId::of(line.as_bytes()).to_string(), "{mode}");
            assert_eq!(event.specversion().as_str(), "1.0");
            assert_eq!(event.source().as_str(), "https://meter.example/eu");
            assert_eq!(event.ty(), "formusage.resource_usage");
            assert_eq!(event.subject(), Some("a"));
            assert_eq!(event.datacontenttype(), Some("application/json"));
            let timestamp = data(event)["timestamp"].as_i64().unwrap();
            assert_eq!(event.time().unwrap().timestamp(), timestamp, "{mode}");
            assert_eq!(event.iter_extensions().count(), 0);
        }
    }
}

#[test]
fn one_event_alone_in_binary_mode_is_its_own_bytes() {
    let service = Service::start(|_, _| TAKEN);
    service.publish(&["--cloudevents-mode", "binary", "--event", &line("a", 0)]).assert().code(0);
    let request = &service.requests()[0];
    assert_eq!(request.body, line("a", 0).into_bytes());
    let headers = headers_of(request);
    assert_eq!(headers["ce-source"], "/formusage");
    assert_eq!(headers["ce-time"], "2021-07-15T12:00:30Z");
    assert!(!headers.contains_key("ce-datacontenttype"));
}

#[test]
fn instances_with_any_letters_fit_into_headers() {
    let service = Service::start(|_, _| TAKEN);
    let quoted = serde_json::to_string(&event("Zoë \"1\" 100%", 0)).unwrap();
    service.publish(&["--cloudevents-mode", "binary", "--event", &quoted]).assert().code(0);
    assert_eq!(headers_of(&service.requests()[0])["ce-subject"], "Zo%C3%AB%20%221%22%20100%25");
}

#[test]
fn one_event_too_large_is_found_in_its_batch_and_all_others_are_delivered() {
    for status in [413, 400, 422] {
        let service =
            Service::start(move |request, _| if holds(request, "culprit") { (status, "", "too much") } else { TAKEN });
        let input: String =
            (0..40).map(|n| line(if n == 23 { "culprit" } else { ["a", "b", "c"][n % 3] }, n as i64) + "\n").collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        service
            .publish(&["--concurrency", "1", "--dead-letter", file.path().to_str().unwrap()])
            .write_stdin(input.clone())
            .assert()
            .code(1)
            .stdout(contains("\"delivered\":39").and(contains("\"dead\":1")).and(contains("\"retries\":0")));
        let letters = std::fs::read_to_string(file.path()).unwrap();
        let letter: Value = serde_json::from_str(&letters).unwrap();
        assert_eq!(letter["raw"], line("culprit", 23), "{status}: the culprit alone");
        assert!(letter["reason"].as_str().unwrap().contains(&status.to_string()), "{letter}");
        let taken = service.taken();
        for instance in ["a", "b", "c"] {
            let sent = input.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let sent: Vec<Value> = sent.filter(|event| event["instance_id"] == instance).collect();
            let came = taken.iter().filter(|event| event.subject() == Some(instance)).map(data);
            assert_eq!(came.collect::<Vec<_>>(), sent, "{status}: once, and in order");
        }
    }
}

#[tokio::test]
async fn a_batch_of_the_library_goes_in_batches_and_is_reported_event_by_event() {
    let service = Service::start(|request, _| if holds(request, "culprit") { (413, "", "") } else { TAKEN });
    let (publisher, _) = service.publisher(CloudEventsMode::Batched);
    let mut senseless = event("b", 0);
    senseless.metrics.cpu_percent_avg = 1250.0;
    let mut events: Vec<_> = (0..250).map(|n| event("a", n)).collect();
    events.insert(120, senseless);
    let results = publisher.publish_batch(events.clone()).await;
    assert_eq!(service.requests().len(), 3, "of 100, 100 and 50 events");
    assert_eq!(service.taken().len(), 250);
    assert!(results.iter().enumerate().all(|(n, result)| result.is_ok() == (n != 120)));

    let mut events: Vec<_> = (0..5).map(|n| event("a", n)).collect();
    events.insert(3, event("culprit", 0));
    let results = publisher.publish_batch(events).await;
    let failed: Vec<usize> = (0..6).filter(|&n| results[n].is_err()).collect();
    assert_eq!(failed, [3]);
    assert!(matches!(&results[3], Err(UsageEventError::PublishError(why)) if why.contains("413")), "{results:?}");
    assert_eq!(service.taken().len(), 255);
}

#[tokio::test]
async fn what_a_failing_service_left_of_a_halved_batch_does_not_overtake() {
    // The batch is refused for its last event; then the service fails for the first half, and works again.
    let service = Service::start(|request, _| {
        if holds(request, "\"subject\":\"0\"") {
            (if holds(request, "culprit") { 413 } else { 503 }, "", "")
        } else {
            TAKEN
        }
    });
    let (publisher, _) = service.publisher(CloudEventsMode::Batched);
    let events = ["0", "a", "a", "culprit"].iter().zip(0..).map(|(instance, n)| event(instance, n));
    let results = publisher.publish_batch(events).await;
    assert!(results.iter().all(|result| matches!(result, Err(UsageEventError::PublishError(_)))), "{results:?}");
    assert!(service.taken().is_empty(), "{:?}", subjects(&service.taken()));
}

#[tokio::test]
async fn failures_of_the_service_are_tried_again_with_identical_bytes() {
    for (status, headers, waits) in [
        (429, "retry-after: 7\r\n", [7_000, 7_000]),
        (503, "", [100, 200]),
        (408, "", [100, 200]),
        (500, "", [100, 200]),
    ] {
        for mode in [CloudEventsMode::Binary, CloudEventsMode::Structured, CloudEventsMode::Batched] {
            let service = Service::start(move |_, n| if n < 2 { (status, headers, "later") } else { TAKEN });
            let (publisher, clock) = service.publisher(mode);
            publisher.publish(event("a", 0)).await.unwrap();
            let millis: Vec<_> = clock.sleeps().iter().map(std::time::Duration::as_millis).collect();
            assert_eq!(millis, waits, "{status} {mode:?}");
            let requests = service.requests();
            assert_eq!(requests.len(), 3);
            assert!(requests.iter().all(|it| (&it.body, &it.headers) == (&requests[0].body, &requests[0].headers)));
        }
    }
}

#[tokio::test]
async fn every_success_is_an_acknowledgement_whatever_its_text() {
    let endless: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    for reply in [(200, "", "{\"errors\":[1]}"), (201, "", ""), (202, "", "taken"), TAKEN, (200, "", endless)] {
        for mode in [CloudEventsMode::Binary, CloudEventsMode::Batched] {
            let service = Service::start(move |_, _| reply);
            service.publisher(mode).0.publish(event("a", 0)).await.unwrap();
            assert_eq!(service.requests().len(), 1);
        }
    }
}

/// The status has said it: what comes of the text, and when, is no matter.
#[tokio::test]
async fn a_success_whose_text_never_ends_is_one() {
    for end in ["", "close"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to: Destination = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (sender, served) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            read_request(&mut BufReader::new(&connection)).unwrap();
            connection.write_all(b"HTTP/1.1 202 X\r\ncontent-length: 100\r\n\r\n{").unwrap();
            if end == "close" {
                connection.shutdown(Shutdown::Both).unwrap();
            }
            // One request and no other, and the connection is held until the publisher is through.
            sender.send(connection).unwrap();
        });
        EventPublisher::to(to).publish(event("a", 0)).await.unwrap();
        drop(served.recv().unwrap());
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let service = Service::start(|_, _| (200, "content-type: application/json\r\n", "{\"accepted\":1}"));
    let options = ["--cloudevents-mode", "structured", "--concurrency", "1"];
    service.publish(&options).write_stdin(lines("a", 20)).assert().code(0);
    let seen = service.seen.0.lock().unwrap();
    assert_eq!((seen.requests.len(), seen.connections), (20, 1));
}

#[test]
fn what_is_set_up_wrong_is_no_ones_dead_letter_and_says_what_to_check() {
    for (mode, reply, says) in [
        ("batched", (401, "", "who are you"), "check the token (FORMUSAGE_TOKEN or --token-file) and the headers"),
        ("binary", (403, "", ""), "--header-file"),
        ("batched", (404, "", ""), "check host, port and path"),
        ("batched", (405, "", ""), "check host, port and path"),
        ("batched", (415, "", ""), "--cloudevents-mode binary"),
        ("structured", (415, "", ""), "try another --cloudevents-mode"),
        ("batched", (207, "", "[{\"status\":500}]"), "--cloudevents-mode structured"),
        ("batched", (308, "location: https://elsewhere/\r\n", ""), "to https://elsewhere/; it redirects"),
    ] {
        let service = Service::start(move |_, _| reply);
        service
            .publish(&["--cloudevents-mode", mode])
            .write_stdin(lines("a", 2))
            .assert()
            .code(2)
            .stdout(contains("\"undelivered\":2").and(contains("\"dead\":0")))
            .stderr(contains(says).and(contains("tenant=7").not()).and(contains(line("a", 1))));
    }
}

#[test]
fn a_refused_batch_tells_that_batches_may_be_the_reason() {
    let service = Service::start(|_, _| (400, "", "expected an object"));
    service
        .publish(&[])
        .write_stdin(lines("a", 1))
        .assert()
        .code(1)
        .stdout(contains("\"dead\":1"))
        .stderr(contains("expected an object").and(contains("takes no batches (--cloudevents-mode binary)")));
}

#[test]
fn secrets_are_sent_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let headers = folder.path().join("headers");
    std::fs::write(&headers, "# for the tests\r\nX-Api-Key:  s3cret-key \r\n\nX-Tenant: blue:green\n").unwrap();
    let headers = headers.to_str().unwrap();
    // A service that repeats in its refusal what it was given.
    for status in [401, 422, 503] {
        let service = Service::start(move |_, _| (status, "", "bad: Bearer hunter2, s3cret-key, blue:green"));
        let output = service
            .publish(&["-vvv", "--header-file", headers, "--drain-timeout", "100ms", "--max-retries", "0"])
            .env("FORMUSAGE_TOKEN", "hunter2")
            .write_stdin(lines("a", 1))
            .output()
            .unwrap();
        let sent = headers_of(&service.requests()[0]);
        assert_eq!(sent["authorization"], "Bearer hunter2");
        assert_eq!(
            (&sent["x-api-key"], &sent["x-tenant"]),
            (&"s3cret-key".parse().unwrap(), &"blue:green".parse().unwrap())
        );
        let shown = [output.stdout, output.stderr].concat();
        let shown = String::from_utf8_lossy(&shown);
        assert!(shown.contains("(secret)"), "{shown}");
        for secret in ["hunter2", "s3cret", "blue:green"] {
            assert!(!shown.contains(secret), "{status} {secret}: {shown}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn secrets_do_not_stand_in_the_process_list() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "X-Api-Key: s3cret-key\n").unwrap();
    let service = Service::start(|_, _| (0, "", ""));
    let mut command = formusage_process();
    command.args(["publish", "--to", &service.url(), "--event", &line("a", 0), "--header-file"]).arg(file.path());
    let mut child =
        command.env("FORMUSAGE_TOKEN", "hunter2").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    service.wait_for_requests(1);
    let list = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let list = String::from_utf8_lossy(&list);
    assert!(list.contains("--header-file") && !list.contains("s3cret") && !list.contains("hunter2"), "{list}");
    assert_eq!(headers_of(&service.requests()[0])["x-api-key"], "s3cret-key");
}

#[test]
fn what_cannot_be_sent_is_refused_before_anything_is() {
    let service = Service::start(|_, _| TAKEN);
    let file = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    };
    let cases = [
        (file("hunter2\n"), ":1: no header"),
        (file("\nX-Key hunter2: x\n"), ":2: no header"),
        (file("X-Key: \n"), ":1: no header"),
        (file("ce-id: hunter2\n"), "ce-id is written by formusage itself"),
        (file("X-Key: hunter2\u{1}\n"), "extra header x-key has a value"),
    ];
    for (file, says) in &cases {
        let output = service.publish(&["--header-file"]).arg(file.path()).write_stdin(lines("a", 1)).assert().code(2);
        output.stderr(contains(*says).and(contains("hunter2").not()));
    }
    let refused = service.publish(&["--cloudevents-source", "a b"]).write_stdin(lines("a", 1)).assert().code(2);
    refused.stderr(contains("\"a b\" is no URI reference"));
    let missing = service.publish(&["--header-file", "/no/such/file"]).write_stdin(lines("a", 1)).assert().code(2);
    missing.stderr(contains("/no/such/file"));
    let named = formusage().args(["publish", "--to", "https://joe:hunter2@h/x"]).assert().code(2);
    named.stderr(contains("FORMUSAGE_TOKEN").and(contains("--header-file")));
    assert!(service.requests().is_empty());
}

#[test]
fn nothing_is_read_back_from_there() {
    formusage()
        .args(["read", "--from", "https://billing.example/events?key=x"])
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("nothing can be read back from https://billing.example/events:").and(contains("sqlite:PATH")));
}

#[tokio::test]
async fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let to: Destination = format!("http://127.0.0.1:{port}/events?key=x").parse().unwrap();
    let publisher =
        EventPublisher::to(to).with_clock(Arc::new(ManualClock::at_unix(1_700_000_000)), Random::new(|| 0.5));
    let error = publisher.publish(event("a", 0)).await.unwrap_err();
    assert!(matches!(error, UsageEventError::ConnectionError(_)), "{error:?}");
    let words = error.to_string();
    assert!(words.contains("check that the service runs") && !words.contains("key=x"), "{words}");
}

/// A service behind TLS with a certificate of its own making, which only who is told trusts.
#[test]
fn over_tls_to_a_certificate_that_is_trusted_and_to_no_other() {
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(trusted.path(), pair.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = BufReader::new(rustls::StreamOwned::new(session, connection));
            while read_request(&mut stream).is_some() {
                let _ = stream.get_mut().write_all(b"HTTP/1.1 204 X\r\n\r\n");
            }
        }
    });
    let to = format!("https://localhost:{port}/events");
    let publish = || {
        let mut command = formusage();
        command.args(["publish", "--to", &to, "--event", &line("a", 0)]);
        command
    };
    publish().env("SSL_CERT_FILE", trusted.path()).assert().code(0).stderr("");
    publish().assert().code(2).stderr(contains("no trusted TLS connection to https://localhost"));
}
