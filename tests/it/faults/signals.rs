//! Signals and ends of input at each stage.

use std::process::Stdio;

use super::{Ended, State, assert_complete, events};
use crate::form_queue::{Answer, FormQueue};
use crate::support::signal;

const QUICK: [&str; 8] =
    ["--initial-backoff", "1ms", "--max-backoff", "5ms", "--drain-timeout", "100ms", "--reset-timeout", "20ms"];

#[test]
fn a_signal_ends_a_publisher_at_each_stage_and_nothing_that_was_taken_is_lost() {
    for name in ["TERM", "INT"] {
        let (state, queue) = (State::new(), FormQueue::start());
        let sent = events(40);
        // After everything was delivered, while it waits for more.
        let mut publisher = state.publish(&queue.url(), &QUICK);
        publisher.write(&sent[..10]);
        queue.wait_for_messages(10);
        signal(publisher.child(), name);
        let ended = publisher.wait().all_delivered();
        assert_eq!(ended.count("delivered"), 10);
        // While the queue is down.
        queue.always(Answer::status(503));
        let before = queue.requests().len();
        let mut publisher = state.publish(&queue.url(), &QUICK);
        publisher.write(&sent[10..20]);
        queue.wait_for_requests(before + 1);
        signal(publisher.child(), name);
        let ended = publisher.wait().balanced();
        assert_eq!((ended.code, ended.count("undelivered")), (Some(1), 10), "{}", ended.stderr);
        // While an attempt is under way.
        queue.always(Answer::Silence);
        let before = queue.requests().len();
        let mut publisher = state.publish(&queue.url(), &QUICK);
        publisher.write(&sent[20..30]);
        queue.wait_for_requests(before + 1);
        signal(publisher.child(), name);
        let ended = publisher.wait().balanced();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        // And then it all arrives.
        queue.always(Answer::Take);
        let mut publisher = state.publish(&queue.url(), &QUICK);
        publisher.write(&sent[30..]);
        publisher.end().all_delivered();
        assert_complete(&queue.events(), &sent);
    }
}

#[test]
fn a_publisher_whose_spool_is_full_says_where_to_go_on() {
    let (state, queue) = (State::new(), FormQueue::start());
    queue.always(Answer::status(503));
    let sent = events(2_000);
    let options = [&QUICK[..], &["--spool-max-bytes", "200KB", "--retain", "0s"]].concat();
    let mut publisher = state.publish(&queue.url(), &options);
    let mut stderr = publisher.stderr();
    let ended = std::thread::scope(|scope| {
        let input = publisher.input.take();
        let writer = scope.spawn(|| {
            let _ = std::io::Write::write_all(&mut input.unwrap(), super::text(&sent).as_bytes());
        });
        super::wait_for_line(&mut stderr, "nothing more is read until");
        signal(publisher.child(), "TERM");
        let ended = publisher.wait().balanced();
        writer.join().unwrap();
        ended
    });
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
    assert_eq!(ended.code, Some(1), "{rest}");
    let taken = usize::try_from(ended.count("read")).unwrap();
    assert!(rest.contains(&format!("publish again from <stdin>:{} on", taken + 1)), "{taken} were taken: {rest}");
    queue.always(Answer::Take);
    let mut publisher = state.publish(&queue.url(), &options);
    publisher.write(&sent[taken..]);
    publisher.end().all_delivered();
    assert_complete(&queue.events(), &sent);
}

#[test]
fn a_signal_ends_a_publisher_whose_input_never_pauses() {
    let (state, queue) = (State::new(), FormQueue::start());
    queue.always(Answer::status(503));
    let options = [&QUICK[..], &["--spool-max-bytes", "900MB", "--spool-sync", "normal"]].concat();
    let mut publisher = state.publish(&queue.url(), &options);
    let mut input = publisher.input.take().unwrap();
    let block = super::text(&events(3_000));
    // Far more than is taken by the time that it ends.
    let writer =
        std::thread::spawn(move || (0..300).any(|_| std::io::Write::write_all(&mut input, block.as_bytes()).is_err()));
    state.look_until("events in the spool", || {
        let output = state.run(&["spool", "status"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["destinations"][0]["waiting"].as_u64().is_some_and(|waiting| waiting > 0)
    });
    signal(publisher.child(), "TERM");
    let ended = publisher.wait().balanced();
    assert!(writer.join().unwrap(), "it read to the end of its input");
    // What was read and not taken is said, to the line.
    let from = format!("publish again from <stdin>:{} on", ended.count("read") + 1);
    assert!(ended.stderr.contains(&from), "{from}: {}", ended.stderr);
}

#[test]
fn a_closed_standard_input_is_an_empty_one() {
    let (state, queue) = (State::new(), FormQueue::start());
    let binary = env!("CARGO_BIN_EXE_formusage");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("exec {binary} publish --report json --to '{}' <&-", queue.url())]);
    command.env("FORMUSAGE_STATE_DIR", state.0.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ended = Ended::of(&command.output().unwrap()).all_delivered();
    assert_eq!(ended.count("read"), 0);
}
