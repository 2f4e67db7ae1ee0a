//! Services that know events by their ids and lose replies: a repeat that they refuse counts as delivered.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cloudevents::AttributesReader as _;
use form_usage_events::clock::{Clock as _, SystemClock};
use serde_json::Value;

use crate::event_service::{CLOSED, Reply, Service, TAKEN, events_of};
use crate::form_queue::{Answer, FormQueue, read_request};
use crate::support::{SpawnGuarded as _, formusage, line, lines};

/// A service that takes each event once: it refuses a request with `status` that holds one it knows. It answers every
/// third request that it takes with `lost`.
struct Deduping {
    service: Service,
    taken: Arc<Mutex<Vec<(String, String)>>>,
}

impl Deduping {
    fn start(status: u16, lost: Reply) -> Self {
        let taken: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (held, mut requests) = (taken.clone(), 0);
        let count = Mutex::new(move || {
            requests += 1;
            requests
        });
        let service = Service::start(move |request, _| {
            let events = events_of(request);
            let mut held = held.lock().unwrap();
            let ids: HashSet<&str> = events.iter().map(|event| event.id()).collect();
            if held.iter().any(|(id, _)| ids.contains(id.as_str())) {
                return (status, "", "I know that one");
            }
            held.extend(events.iter().map(|event| (event.id().to_owned(), event.subject().unwrap().to_owned())));
            let number = (count.lock().unwrap())();
            if number % 3 == 1 { lost } else { TAKEN }
        });
        Self { service, taken }
    }

    /// The ids of what was taken, by instance, in the order of arrival.
    fn taken(&self) -> BTreeMap<String, Vec<String>> {
        let mut by_instance: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, instance) in self.taken.lock().unwrap().iter() {
            by_instance.entry(instance.clone()).or_default().push(id.clone());
        }
        by_instance
    }
}

fn sent(instances: usize, each: i64) -> (String, BTreeMap<String, Vec<String>>) {
    let (mut text, mut ids) = (String::new(), BTreeMap::<String, Vec<String>>::new());
    for n in 0..each {
        for instance in (0..instances).map(|n| format!("vm-{n}")) {
            let line = line(&instance, n);
            ids.entry(instance).or_default().push(form_usage_events::events::EventId::of(line.as_bytes()).to_string());
            text.push_str(&line);
            text.push('\n');
        }
    }
    (text, ids)
}

fn report(stdout: &[u8]) -> Value {
    serde_json::from_slice(stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(stdout)))
}

#[test]
fn refused_repeat_of_a_lost_reply_is_delivered_once() {
    let quick = ["--initial-backoff", "1ms", "--max-backoff", "5ms", "--no-circuit-breaker", "--timeout", "500ms"];
    let silence = (0, "", "");
    for status in [409, 422] {
        for (mode, concurrency, lost) in [
            ("binary", "1", CLOSED),
            ("structured", "8", CLOSED),
            ("batched", "1", CLOSED),
            ("batched", "8", CLOSED),
            ("structured", "20", silence),
            ("batched", "1", silence),
        ] {
            let receiver = Deduping::start(status, lost);
            let (text, ids) = sent(7, 9);
            let mut publish = receiver.service.publish(&quick);
            publish.args(["--cloudevents-mode", mode, "--concurrency", concurrency]);
            let output = publish.write_stdin(text).output().unwrap();
            let report = report(&output.stdout);
            let shown =
                format!("{status} {mode} {concurrency} {lost:?}: {report} {}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.status.code(), Some(0), "{shown}");
            assert_eq!((&report["delivered"], &report["dead"]), (&63.into(), &0.into()), "{shown}");
            let duplicates = report["duplicates"].as_u64().unwrap();
            assert!((1..=63).contains(&duplicates), "{shown}");
            assert_eq!(receiver.taken(), ids, "{shown}");
        }
    }
}

/// Services that speak the Form queue's protocol may know events by their ids too; the queue acknowledges repeats.
#[test]
fn conflict_of_one_event_at_a_form_service_is_a_duplicate() {
    let (queue, state) = (FormQueue::start(), tempfile::tempdir().unwrap());
    queue.script([Answer::status(409)]);
    let mut publish = formusage();
    publish.args(["publish", "--report", "json", "--to", &queue.url()]).env("FORMUSAGE_STATE_DIR", state.path());
    let output = publish.write_stdin(lines("a", 3)).output().unwrap();
    let report = report(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{report} {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((&report["delivered"], &report["duplicates"]), (&3.into(), &1.into()), "{report}");
}

fn publish_into(state: &Path, service: &Service, lines: &str) -> (Option<i32>, Value, String) {
    let mut publish = service.publish(&["--max-retries", "0", "--no-circuit-breaker", "--drain-timeout", "500ms"]);
    let output = publish.env("FORMUSAGE_STATE_DIR", state).write_stdin(lines).output().unwrap();
    (output.status.code(), report(&output.stdout), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A service that answers as in the first of `replies` until it is told to go on to the second.
fn in_two_parts(replies: [Reply; 2]) -> (Service, Arc<AtomicUsize>) {
    let part = Arc::new(AtomicUsize::new(0));
    let at = part.clone();
    (Service::start(move |_, _| replies[at.load(Ordering::Relaxed)]), part)
}

#[test]
fn later_run_knows_that_a_reply_was_lost() {
    let state = tempfile::tempdir().unwrap();
    let (service, part) = in_two_parts([(0, "", ""), (422, "", "I know that one")]);
    // Given up while it waits for the reply.
    let (code, _, stderr) = publish_into(state.path(), &service, &line("a", 0));
    assert_eq!(code, Some(1), "{stderr}");
    part.store(1, Ordering::Relaxed);
    let (code, report, stderr) = publish_into(state.path(), &service, "");
    assert_eq!(code, Some(0), "{report} {stderr}");
    assert_eq!(report["resumed"], serde_json::json!({"delivered": 1, "duplicates": 1, "dead": 0, "waiting": 0}));
    assert_eq!((&report["read"], &report["delivered"], &report["duplicates"]), (&0.into(), &0.into(), &0.into()));
}

#[test]
fn refused_event_whose_attempts_were_all_answered_is_a_dead_letter() {
    let state = tempfile::tempdir().unwrap();
    let (service, part) = in_two_parts([(503, "", "later"), (422, "", "no")]);
    let (code, _, stderr) = publish_into(state.path(), &service, &line("a", 0));
    assert_eq!(code, Some(1), "{stderr}");
    part.store(1, Ordering::Relaxed);
    let (code, report, stderr) = publish_into(state.path(), &service, "");
    assert_eq!((code, &report["resumed"]["dead"]), (Some(1), &1.into()), "{report} {stderr}");
}

/// How a server ends a kept connection under its second request.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It reads the request and closes.
    Close,
    /// It leaves the request unread, which makes the system reset the connection.
    Reset,
}

/// A server that answers one request on each connection, and ends it under the next one; how many it ended so.
fn one_reply_a_connection(reply: &'static str, end: End) -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let cut = Arc::new(AtomicU64::new(0));
    let counted = cut.clone();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let cut = cut.clone();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(connection.try_clone().unwrap());
                if read_request(&mut reader).is_none() || connection.write_all(reply.as_bytes()).is_err() {
                    return;
                }
                let came = match end {
                    End::Close => read_request(&mut reader).is_some(),
                    End::Reset => connection.peek(&mut [0]).is_ok_and(|count| count > 0),
                };
                cut.fetch_add(u64::from(came), Ordering::Relaxed);
            });
        }
    });
    (address, counted)
}

#[test]
fn kept_connection_that_ends_under_a_request_costs_no_attempt() {
    let form = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n\"OpSuccess\"";
    let events = "HTTP/1.1 204 OK\r\n\r\n";
    for end in [End::Close, End::Reset] {
        for (scheme, path, reply) in [("form", "usage_events", form), ("http", "events", events)] {
            let (address, cut) = one_reply_a_connection(reply, end);
            let to = format!("{scheme}://{address}/{path}");
            let (text, _) = sent(5, 6);
            let mut publish = formusage();
            publish.args(["publish", "--report", "json", "--to", &to, "--cloudevents-mode", "binary"]);
            publish.args(["--concurrency", "2", "--max-retries", "0", "--failure-threshold", "1"]);
            let output = publish.write_stdin(text).output().unwrap();
            let report = report(&output.stdout);
            let shown = format!("{scheme} {end:?}: {report} {}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.status.code(), Some(0), "{shown}");
            for (figure, value) in [("delivered", 30), ("attempts", 30), ("retries", 0)] {
                assert_eq!(report[figure], value, "{figure} of {shown}");
            }
            // What the server read and never answered may be there twice.
            assert_eq!(report["unknown"], cut.load(Ordering::Relaxed), "unknown of {shown}");
            assert_ne!(report["unknown"], 0, "{shown}");
        }
    }
}

/// A server that answers everything with `head` and a text that is no text.
fn compressing(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            while read_request(&mut reader).is_some() {
                let reply = format!("HTTP/1.1 {head}\r\ncontent-encoding: gzip\r\ncontent-length: 6\r\n\r\n");
                connection.write_all(&[reply.as_bytes(), b"\x1f\x8b\x08\x00\x01\x02"].concat()).unwrap();
            }
        }
    });
    address
}

#[test]
fn compressed_reply_is_called_that() {
    let check = |words: &[&str], code: i32, says: &str| {
        let output = formusage().args(words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        assert!(stderr.contains(says) && !stderr.contains('\u{1f}'), "{words:?}: {stderr}");
    };
    let event = line("a", 0);
    let queue = format!("form://{}/usage_events", compressing("200 OK"));
    check(&["publish", "--to", &queue, "--event", &event], 2, "to a write is gzip-compressed, which was not asked for");
    check(&["read", "--from", &queue], 2, "to a read is gzip-compressed");
    let refusing = format!("http://{}/events", compressing("403 Forbidden"));
    check(&["publish", "--to", &refusing, "--event", &event], 2, "403 Forbidden (its text is gzip-compressed");
    // The status alone says that these were taken.
    let taking = format!("http://{}/events", compressing("200 OK"));
    check(&["publish", "--to", &taking, "--event", &event], 0, "");
}

#[test]
fn signal_ends_a_publisher_whose_queue_hangs_within_the_time_that_it_has() {
    let state = tempfile::tempdir().unwrap();
    let queue = FormQueue::start();
    queue.always(crate::form_queue::Answer::Silence);
    let mut command = crate::support::formusage_process();
    command.args(["publish", "--report", "json", "--to", &queue.url()]).env("FORMUSAGE_STATE_DIR", state.path());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn_guarded();
    let (text, _) = sent(30, 2);
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    queue.wait_for_requests(2);
    let asked = SystemClock.monotonic();
    crate::support::signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    let took = SystemClock.monotonic().saturating_sub(asked);
    drop(input);
    let report = report(&output.stdout);
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
    assert_eq!((output.status.code(), &report["read"], &report["undelivered"]), (Some(1), &60.into(), &60.into()));
    let mut list = formusage();
    list.env("FORMUSAGE_STATE_DIR", state.path()).args(["spool", "list"]);
    assert_eq!(String::from_utf8(list.output().unwrap().stdout).unwrap().lines().count(), 60, "all are in the spool");
}
