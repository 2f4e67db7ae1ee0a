//! A service that takes CloudEvents over HTTP: it records every request, answers as a test wants it, and reads what it
//! got with an implementation of CloudEvents that is not ours.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use cloudevents::binding::http::to_event;
use cloudevents::{AttributesReader, Data, Event};
use form_usage_events::clock::ManualClock;
use form_usage_events::publish::EventPublisher;
use form_usage_events::retry::Random;
use form_usage_events::transport::{CloudEventsMode, CloudEventsOptions, ConnectOptions};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::form_queue::{Request, read_request};
use crate::support::formusage;

/// A reply: its status, headers (each with its line end), and its body. Status 0 is none at all.
pub(crate) type Reply = (u16, &'static str, &'static str);

pub(crate) const TAKEN: Reply = (204, "", "");

/// No reply, and the end of the connection.
pub(crate) const CLOSED: Reply = (1, "", "");

type Answer = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// The service; it ends with the test's process.
#[derive(Clone)]
pub(crate) struct Service {
    address: SocketAddr,
    answer: Arc<Answer>,
    /// How long a refusal takes.
    refusal_time: Duration,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

#[derive(Default)]
struct Seen {
    requests: Vec<(Request, u16)>,
    connections: usize,
}

impl Service {
    /// Answers each request by itself and its number, from 0.
    pub(crate) fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_slow(Duration::ZERO, answer)
    }

    /// The same, which takes so long for each refusal.
    pub(crate) fn start_slow(
        refusal_time: Duration,
        answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = Self { address, answer: Arc::new(answer), refusal_time, seen: Arc::default() };
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
            if status == CLOSED.0 {
                break;
            }
            if status >= 400 {
                let (_nobody, never) = channel::<()>();
                let _ = never.recv_timeout(self.refusal_time);
            }
            let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
            if write!(connection, "HTTP/1.1 {status} X\r\n{headers}{length}\r\n{body}").is_err() {
                break;
            }
        }
        let _ = connection.shutdown(Shutdown::Both);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/api/v1/events?tenant=7", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.0.lock().unwrap().requests.iter().map(|(request, _)| request.clone()).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.0.lock().unwrap().connections
    }

    /// The events of all requests that were answered with a success, in order of arrival.
    pub(crate) fn taken(&self) -> Vec<Event> {
        let seen = self.seen.0.lock().unwrap();
        let taken = seen.requests.iter().filter(|(_, status)| (200..300).contains(status));
        taken.flat_map(|(request, _)| events_of(request)).collect()
    }

    pub(crate) fn wait_for_requests(&self, count: usize) {
        let (seen, changed) = &*self.seen;
        let patience = Duration::from_secs(30);
        let seen = seen.lock().unwrap();
        let (seen, late) = changed.wait_timeout_while(seen, patience, |seen| seen.requests.len() < count).unwrap();
        drop(seen);
        assert!(!late.timed_out(), "waited in vain for {count} requests");
    }

    pub(crate) fn publish(&self, options: &[&str]) -> assert_cmd::Command {
        let mut command = formusage();
        command.args(["publish", "--report", "json", "--to", &self.url()]).args(options);
        command
    }

    /// A publisher whose waits take no time and are remembered by the clock.
    pub(crate) fn publisher(&self, mode: CloudEventsMode) -> (EventPublisher, Arc<ManualClock>) {
        let cloud_events = CloudEventsOptions { mode, ..CloudEventsOptions::default() };
        let options = ConnectOptions { cloud_events, ..ConnectOptions::default() };
        let clock = Arc::new(ManualClock::at_unix(1_700_000_000));
        let publisher = EventPublisher::to(self.url().parse().unwrap())
            .with_connect_options(options)
            .with_clock(clock.clone(), Random::new(|| 0.5));
        (publisher, clock)
    }
}

pub(crate) fn headers_of(request: &Request) -> HeaderMap {
    let lines = request.headers.lines().skip(1).filter_map(|line| line.split_once(':'));
    let header = |(name, value): (&str, &str)| {
        let name = HeaderName::try_from(name).unwrap();
        (name, HeaderValue::try_from(value.trim()).unwrap())
    };
    lines.map(header).collect()
}

/// The events of a request, as the other implementation reads them.
pub(crate) fn events_of(request: &Request) -> Vec<Event> {
    let headers = headers_of(request);
    if headers["content-type"] == "application/cloudevents-batch+json" {
        return serde_json::from_slice(&request.body).unwrap();
    }
    vec![to_event(&headers, request.body.clone()).unwrap()]
}

pub(crate) fn subjects(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.subject().unwrap()).collect()
}

pub(crate) fn data(event: &Event) -> Value {
    match event.data().unwrap() {
        Data::Json(value) => value.clone(),
        Data::Binary(bytes) => serde_json::from_slice(bytes).unwrap(),
        Data::String(text) => serde_json::from_str(text).unwrap(),
    }
}

pub(crate) fn holds(request: &Request, text: &str) -> bool {
    String::from_utf8_lossy(&request.body).contains(text)
}
