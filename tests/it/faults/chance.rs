//! A queue that fails at random, and services with a quota: everything arrives, and nobody takes a service that works most
//! of the time for a dead one.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use form_usage_events::clock::{Clock as _, SystemClock};

use super::{State, assert_complete};
use crate::event_service::{Reply, Service, TAKEN, data};
use crate::form_queue::{Answer, FormQueue};
use crate::support::line;

/// So many events, in turns of thirty instances.
fn events(count: usize) -> Vec<String> {
    (0..count).map(|n| line(&format!("instance-{}", n % 30), i64::try_from(n / 30).unwrap())).collect()
}

/// Answers of a queue that fails so many calls in a hundred, in each way that is over at once.
fn answers(percent: u8, seed: u64) -> impl Iterator<Item = Answer> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(move || {
        if random.u8(0..100) >= percent {
            return Answer::Take;
        }
        match random.u8(0..6) {
            0 => Answer::Reset { taken: true },
            1 => Answer::Fail(None),
            2 => Answer::Status(503, "retry-after: 0\r\n", ""),
            3 => Answer::Status(429, "retry-after: 0\r\n", ""),
            _ => Answer::status(503),
        }
    })
}

/// Publishes through a queue that fails so many calls in a hundred, with all settings as they are by default.
fn publish_by_chance(percent: u8, options: &[&str]) {
    let (state, queue) = (State::new(), FormQueue::start());
    let sent = events(300);
    queue.script(answers(percent, 7 + u64::from(percent)).take(20 * sent.len()));
    let mut publisher = state.publish(&queue.url(), options);
    publisher.write(&sent);
    let ended = publisher.end().all_delivered();
    assert_eq!((ended.count("delivered"), ended.count("dead")), (300, 0), "{percent} %: {}", ended.report);
    assert_complete(&queue.events(), &sent);
}

#[test]
fn random_failures_cost_no_event_and_no_order() {
    for options in [&[][..], &["--no-spool"]] {
        std::thread::scope(|scope| {
            for percent in [5, 10, 20, 30, 50] {
                scope.spawn(move || publish_by_chance(percent, options));
            }
        });
    }
}

#[test]
fn waits_for_retries_hold_up_no_other_instance() {
    for options in [&[][..], &["--no-spool"]] {
        let (state, queue) = (State::new(), FormQueue::start());
        queue.script([Answer::status(503)]);
        // One attempt at a time, and a wait that outlasts the test.
        let slow = ["--concurrency", "1", "--initial-backoff", "10m", "--max-backoff", "10m"];
        let mut publisher = state.publish(&queue.url(), &[&slow[..], options].concat());
        publisher.write(&[line("first", 0)]);
        queue.wait_for_requests(1);
        publisher.write(&[line("second", 0), line("third", 0)]);
        queue.wait_for_messages(2);
        assert_eq!(queue.events(), [line("second", 0), line("third", 0)]);
        publisher.kill();
    }
}

#[test]
fn a_breaker_that_opened_by_chance_is_waited_for() {
    for options in [&[][..], &["--no-spool"]] {
        let (state, queue) = (State::new(), FormQueue::start());
        let sent = events(60);
        // Enough failures in a row to open it, and to make trials of it fail.
        let outage = std::iter::repeat_n(Answer::status(503), 18);
        queue.script(std::iter::repeat_n(Answer::Take, 20).chain(outage));
        let mut publisher = state.publish(&queue.url(), options);
        publisher.write(&sent);
        let ended = publisher.end().all_delivered();
        assert!(ended.count("breaker_opened") > 1, "{}", ended.report);
        assert_complete(&queue.events(), &sent);
    }
}

#[test]
fn a_run_heeds_the_breaker_that_an_outage_in_an_earlier_run_opened() {
    let (state, queue) = (State::new(), FormQueue::start());
    let sent = events(4);
    queue.script([Answer::Take]);
    queue.always(Answer::status(503));
    let publish = |n: usize| {
        let mut publisher = state.publish(&queue.url(), &["--drain-timeout", "1s"]);
        publisher.write(&sent[n..=n]);
        let ended = publisher.end().balanced();
        (ended.code, queue.requests().len())
    };
    assert_eq!(publish(0), (Some(0), 1));
    // Nothing has succeeded in these processes: the breaker stays open for its whole time.
    let mut requests = 1;
    while requests < 6 {
        let (code, made) = publish(1);
        assert!(code == Some(1) && made > requests, "{made}");
        requests = made;
    }
    assert_eq!(publish(2), (Some(1), requests), "the open breaker is heeded");
}

/// A service that takes so many events in each of its time spans and answers 429 to others; how many spans it took.
fn with_quota(quota: usize, span: Duration, refusal: Reply, count: usize) -> usize {
    let spans: Arc<Mutex<BTreeMap<u128, usize>>> = Arc::default();
    let seen = spans.clone();
    let service = Service::start(move |_, _| {
        let mut spans = seen.lock().unwrap();
        let taken = spans.entry(SystemClock.monotonic().as_nanos() / span.as_nanos()).or_default();
        if *taken == quota {
            return refusal;
        }
        *taken += 1;
        TAKEN
    });
    let sent = events(count);
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().write_all(super::text(&sent).as_bytes()).unwrap();
    let mut command = service.publish(&["--cloudevents-mode", "binary"]);
    let run = command.arg(file.path()).assert().code(0).stderr("");
    let report: serde_json::Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert_eq!((&report["delivered"], &report["dead"]), (&count.into(), &0.into()), "{report}");
    let taken: Vec<String> = service.taken().iter().map(|event| data(event).to_string()).collect();
    let sent: Vec<String> =
        sent.iter().map(|it| serde_json::from_str::<serde_json::Value>(it).unwrap().to_string()).collect();
    assert_complete(&taken, &sent);
    let spans = spans.lock().unwrap();
    let (first, last) = (spans.first_key_value().unwrap().0, spans.last_key_value().unwrap().0);
    usize::try_from(last - first).unwrap() + 1
}

#[test]
fn a_quota_is_used_up_and_waited_for_as_the_service_asks() {
    let spans = with_quota(60, Duration::from_secs(1), (429, "retry-after: 1\r\n", ""), 180);
    assert!(spans <= 6, "{spans} seconds for what takes three");
}

#[test]
fn a_quota_is_used_up_where_the_service_names_no_time() {
    let spans = with_quota(60, Duration::from_millis(500), (429, "", ""), 240);
    assert!(spans <= 10, "{spans} spans for what takes four");
}
