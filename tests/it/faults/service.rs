//! A queue that misbehaves in every way that it knows, and one that is away for a while.

use std::net::TcpListener;

use super::{State, assert_complete, events, random, text};
use crate::form_queue::{Answer, FormQueue};
use crate::support::{ServedQueue, SpawnGuarded as _, signal};

/// Short waits, so that a storm of failures is over soon.
const QUICK: [&str; 8] =
    ["--initial-backoff", "1ms", "--max-backoff", "5ms", "--timeout", "300ms", "--reset-timeout", "20ms"];

fn bad_answer(random: &mut fastrand::Rng) -> Answer {
    match random.u8(0..11) {
        0 => Answer::Reset { taken: true },
        1 => Answer::Reset { taken: false },
        2 => Answer::status(503),
        3 => Answer::status(500),
        4 => Answer::Status(429, "retry-after: 0\r\n", "slowly"),
        5 => Answer::Half,
        6 => Answer::Fail(None),
        7 => Answer::Fail(Some("not now")),
        8 => Answer::AfterTheNext,
        9 => Answer::Raw(b"HTTP/1.1 200 OK\r\ncontent-le"),
        _ => Answer::Take,
    }
}

#[test]
fn whatever_the_queue_does_everything_arrives_in_order_and_the_books_balance() {
    for spool in [&[][..], &["--no-spool"]] {
        let (state, queue) = (State::new(), FormQueue::start());
        let mut random = random("a faulty queue");
        let sent = events(300);
        let mut script: Vec<Answer> = (0..400).map(|_| bad_answer(&mut random)).collect();
        script.insert(random.usize(0..400), Answer::Silence);
        script.insert(random.usize(0..400), Answer::Status(429, "retry-after: 1\r\n", "slowly"));
        queue.script(script);
        let mut publisher = state.publish(&queue.url(), &[&QUICK[..], spool].concat());
        publisher.write(&sent);
        let ended = publisher.end().all_delivered();
        assert_eq!((ended.count("read"), ended.count("delivered"), ended.count("dead")), (300, 300, 0));
        assert!(ended.count("retries") > 0 && ended.count("unknown") > 0, "{}", ended.report);
        assert_complete(&queue.events(), &sent);
    }
}

#[test]
fn events_of_a_run_that_gave_up_are_counted_apart_in_the_next() {
    let (state, queue) = (State::new(), FormQueue::start());
    let sent = events(60);
    queue.script((0..20).map(|_| Answer::Take));
    queue.always(Answer::status(503));
    let mut first = state.publish(&queue.url(), &[&QUICK[..], &["--drain-timeout", "300ms"]].concat());
    first.write(&sent[..40]);
    let first = first.end().balanced();
    assert_eq!((first.code, first.count("delivered"), first.count("undelivered")), (Some(1), 20, 20));
    queue.always(Answer::Take);
    let mut second = state.publish(&queue.url(), &QUICK);
    second.write(&sent[40..]);
    let second = second.end().all_delivered();
    assert_eq!((second.count("read"), second.count("delivered"), second.resumed()), (20, 20, 20));
    assert_complete(&queue.events(), &sent);
}

#[test]
fn a_stream_goes_on_when_the_queue_comes_back() {
    let state = State::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let to = format!("form://{address}/usage_events");
    let sent = events(90);
    let mut publisher = state.publish(&to, &QUICK);
    publisher.write(&sent[..60]);
    state.wait_for_waiting(60);
    let queue = ServedQueue::start_at(&address, &state.path("q.db"));
    state.wait_for_waiting(0);
    publisher.write(&sent[60..]);
    state.wait_for_events(&to, 90);
    // The pipe stays open: the stream has no end of its own.
    signal(publisher.child(), "TERM");
    let ended = publisher.wait().all_delivered();
    assert_eq!(ended.count("read"), 90);
    assert_complete(&state.lines(&["read", "--from", &queue.url()]), &sent);
}

#[test]
fn a_destination_that_is_dead_holds_up_no_other_in_the_same_spool() {
    let (state, good, dead) = (State::new(), FormQueue::start(), FormQueue::start());
    dead.always(Answer::status(503));
    let sent = events(60);
    let mut one = state.publish(&dead.url(), &QUICK);
    let mut two = state.publish(&good.url(), &QUICK);
    one.write(&sent);
    two.write(&sent);
    two.end().all_delivered();
    assert_complete(&good.events(), &sent);
    signal(one.child(), "INT");
    signal(one.child(), "TERM");
    let one = one.wait().balanced();
    assert_eq!((one.code, one.count("undelivered")), (Some(1), 60), "{}", one.stderr);
    dead.always(Answer::Take);
    state.publish(&dead.url(), &QUICK).end().all_delivered();
    assert_complete(&dead.events(), &sent);
}

#[test]
fn secrets_are_sent_and_never_shown() {
    let (state, queue) = (State::new(), FormQueue::start());
    queue.script([Answer::status(503), Answer::Reset { taken: false }, Answer::Fail(Some("no"))]);
    queue.always(Answer::status(401));
    let secret = "hunter2-of-the-token";
    let mut command = state.command(&["-vvv", "publish", "--report", "json", "--to", &queue.url()]);
    let mut child = command.args(QUICK).env("FORMUSAGE_TOKEN", secret).spawn_guarded();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, text(&events(1)).as_bytes()).unwrap();
    queue.wait_for_requests(4);
    if cfg!(target_os = "linux") {
        let words = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
        assert!(!String::from_utf8_lossy(&words).contains(secret));
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(queue.requests().iter().all(|it| it.headers.contains(secret)), "the secret is sent");
    let shown = [output.stdout, output.stderr, state.run(&["spool", "status"]).stdout].concat();
    assert!(!String::from_utf8_lossy(&shown).contains(secret));
    for suffix in ["", "-wal"] {
        let bytes = std::fs::read(state.path(&format!("spool.db{suffix}"))).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|it| it == secret.as_bytes()), "it is in the spool");
    }
}
