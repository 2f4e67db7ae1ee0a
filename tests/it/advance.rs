//! Runs that advance, however slowly, and those that only seem not to: what is settled is booked at once.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::event_service::{Service, TAKEN, data, holds};
use crate::form_queue::{FormQueue, Request};
use crate::support::{SpawnGuarded as _, formusage_process, line, lines, signal};

/// A time that an answer takes, well below the patience of a run.
const LAG: Duration = Duration::from_millis(250);

const PATIENCE: Duration = Duration::from_secs(30);

fn events_in(request: &Request) -> usize {
    serde_json::from_slice::<Vec<Value>>(&request.body).unwrap().len()
}

#[test]
fn a_batch_in_halves_advances_with_each_of_them() {
    let service = Service::start(|request, _| {
        std::thread::park_timeout(LAG);
        if events_in(request) > 1 { (413, "", "one at a time") } else { TAKEN }
    });
    // Three times as long as without any advance.
    service
        .publish(&["--drain-timeout", "2s"])
        .write_stdin(lines("a", 16))
        .assert()
        .code(0)
        .stdout(contains("\"delivered\":16").and(contains("\"undelivered\":0")));
    let taken: Vec<Value> = service.taken().iter().map(data).collect();
    let sent: Vec<Value> = lines("a", 16).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(taken, sent, "once, and in order");
}

#[test]
fn what_a_service_took_of_a_batch_in_halves_is_delivered_whatever_becomes_of_the_rest() {
    let (sender, silent) = mpsc::channel();
    let service = Service::start(move |request, _| {
        if events_in(request) > 1 {
            (413, "", "one at a time")
        } else if (3..10).any(|n| holds(request, &line("a", n))) {
            sender.send(()).unwrap();
            (0, "", "")
        } else {
            TAKEN
        }
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines("a", 10)).unwrap();
    let mut child = formusage_process()
        .args(["publish", "--report", "json", "--no-spool", "--to", &service.url()])
        .arg(file.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn_guarded();
    silent.recv_timeout(PATIENCE).unwrap();
    signal(&child, "INT");
    signal(&child, "TERM");
    let kept = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let kept: Vec<String> = kept.filter(|it| it.contains("\"instance_id\"")).collect();
    assert_eq!(kept, lines("a", 10).lines().skip(3).collect::<Vec<_>>());
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["delivered"], &report["undelivered"]), (&3.into(), &7.into()), "{report}");
}

#[test]
fn dead_letters_are_an_advance() {
    let service = Service::start(|_, _| {
        std::thread::park_timeout(LAG);
        (400, "", "bad")
    });
    service
        .publish(&["--cloudevents-mode", "binary", "--drain-timeout", "2s", "--dead-letter", "/dev/null"])
        .write_stdin(lines("a", 16))
        .assert()
        .code(1)
        .stdout(contains("\"dead\":16").and(contains("\"undelivered\":0")));
}

/// More of one instance than a run holds waits behind an event that is refused by name: others are read all the same.
fn poison_in_front_of_many(options: &[&str]) {
    let queue = FormQueue::start();
    queue.refuse("\"start\":1626350400");
    let mut child = formusage_process()
        .args(["publish", "--to", &queue.url(), "--poison-after", "3", "--no-circuit-breaker", "--max-retries", "0"])
        .args(["--initial-backoff", "1ms", "--max-backoff", "2ms"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn_guarded();
    let mut input = child.stdin.take().unwrap();
    let (sender, written) = mpsc::channel();
    std::thread::spawn(move || {
        input.write_all(lines("poison", 5_000).as_bytes()).unwrap();
        sender.send(input)
    });
    queue.wait_for_refusals(1);
    let mut input = written.recv_timeout(PATIENCE).expect("all of it is read");
    let words = BufReader::new(child.stderr.take().unwrap()).lines();
    let (sender, said) = mpsc::channel();
    std::thread::spawn(move || {
        let told = |line: &String| line.contains("refused 3 times while other events went through");
        words.map_while(Result::ok).filter(told).try_for_each(|line| sender.send(line))
    });
    // Others go through, one after another, until that has been said.
    let mut others = 1..1_000;
    while said.recv_timeout(Duration::from_millis(20)).is_err() {
        let n = others.next().expect("it is a dead letter in the end");
        writeln!(input, "{}", line("fine", n)).unwrap();
        queue.wait_for_messages(usize::try_from(n).unwrap());
    }
    // What waited behind it comes in its order.
    queue.wait_for_messages(usize::try_from(others.start).unwrap() + 10);
    let events = queue.events();
    let came: Vec<&String> = events.iter().filter(|event| event.contains("\"poison\"")).collect();
    assert!(came.iter().zip(1..).all(|(event, n)| **event == line("poison", n)), "{came:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn an_event_that_is_refused_by_name_holds_up_its_instance_alone_however_much_of_it_waits() {
    poison_in_front_of_many(&["--no-spool"]);
}

#[test]
fn so_it_is_through_a_spool() {
    poison_in_front_of_many(&[]);
}
