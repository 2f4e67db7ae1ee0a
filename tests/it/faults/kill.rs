//! `kill -9` at random points.

use std::collections::HashSet;

use super::{State, assert_complete, assert_order, events, exists, random, rounds};
use crate::form_queue::FormQueue;
use crate::support::ServedQueue;

/// What was taken, from what the destination and the spool hold, must be a beginning of the input: its length.
fn beginning(taken: &HashSet<String>, sent: &[String]) -> usize {
    let whole: HashSet<String> = sent.iter().take(taken.len()).cloned().collect();
    assert!(whole == *taken, "what was taken is no beginning of the input");
    taken.len()
}

#[test]
fn a_publisher_that_is_killed_again_and_again_loses_nothing_that_it_took() {
    let (state, queue, rounds) = (State::new(), FormQueue::start(), rounds());
    let mut random = random("killed over a queue");
    let sent = events(rounds * 120);
    let spool = state.path("spool.db");
    let mut taken = 0;
    for _ in 0..rounds {
        let mut publisher = state.publish(&queue.url(), &[]);
        let more = random.usize(0..200).min(sent.len() - taken);
        publisher.write(&sent[taken..taken + more]);
        if random.bool() {
            // Later than at once: so many more writes at the queue.
            queue.wait_for_requests((queue.requests().len() + random.usize(0..40)).min(taken + more / 2));
        }
        publisher.kill();
        let arrived = queue.events();
        let kept = if exists(&spool) {
            let waiting = state.lines(&["spool", "export"]);
            assert_order(&waiting, &sent);
            [waiting, state.lines(&["spool", "export", "--delivered"])].concat()
        } else {
            Vec::new()
        };
        let kept: HashSet<String> = kept.into_iter().collect();
        assert!(arrived.iter().all(|it| kept.contains(it)), "something was sent before it was taken");
        let now = beginning(&kept, &sent);
        assert!(now >= taken, "{} events that were taken are lost", taken - now);
        taken = now;
    }
    let mut last = state.publish(&queue.url(), &[]);
    last.write(&sent[taken..]);
    let ended = last.end().all_delivered();
    assert_eq!(ended.count("read") as usize, sent.len() - taken);
    assert_complete(&queue.events(), &sent);
    assert_eq!(state.run(&["spool", "verify"]).status.code(), Some(0));
    let leftovers = std::fs::read_dir(state.0.path()).unwrap().flatten();
    let locks = leftovers.filter(|it| it.file_name().to_string_lossy().contains("-run-")).count();
    assert!(locks <= rounds / 4, "{locks} lock files of the dead are left");
}

#[test]
fn the_same_into_the_embedded_queue() {
    let state = State::new();
    let queue = ServedQueue::start(&state.path("q.db"), &[], None);
    let mut random = random("killed over the embedded queue");
    let sent = events(1_200);
    let mut taken = 0;
    for _ in 0..5 {
        let mut publisher = state.publish(&queue.url(), &[]);
        publisher.write(&sent[taken..(taken + random.usize(0..400)).min(sent.len())]);
        publisher.kill();
        if exists(&state.path("spool.db")) {
            let lists = [state.lines(&["spool", "export"]), state.lines(&["spool", "export", "--delivered"])];
            taken = beginning(&lists.concat().into_iter().collect(), &sent);
        }
    }
    let mut last = state.publish(&queue.url(), &[]);
    last.write(&sent[taken..]);
    last.end().all_delivered();
    assert_complete(&state.lines(&["read", "--from", &queue.url()]), &sent);
}

#[test]
fn into_a_local_store_each_event_goes_once_and_the_input_resumes_behind_the_last_one() {
    for spool in [None, Some("s.db")] {
        let (state, rounds) = (State::new(), rounds().div_ceil(3));
        let mut random = random("killed over sqlite:");
        let sent = events(rounds * 400);
        let (store, to) = (state.path("q.db"), format!("sqlite:{}", state.path("q.db").display()));
        let spool = spool.map(|name| state.path(name));
        let shown = spool.as_ref().map(|it| it.display().to_string());
        let options: Vec<&str> = shown.iter().flat_map(|it| ["--spool", it]).collect();
        let mut taken = 0;
        for _ in 0..rounds {
            let mut publisher = state.publish(&to, &options);
            publisher.write(&sent[taken..(taken + random.usize(0..900)).min(sent.len())]);
            publisher.kill();
            let stored = if exists(&store) { state.lines(&["read", "--from", &to]) } else { Vec::new() };
            let unique: HashSet<String> = stored.iter().cloned().collect();
            assert_eq!(unique.len(), stored.len(), "doubled");
            let waiting = match &shown {
                Some(path) if exists(path.as_ref()) => state.lines(&["spool", "export", "--spool", path]),
                _ => Vec::new(),
            };
            taken = beginning(&unique.into_iter().chain(waiting).collect(), &sent);
        }
        let mut last = state.publish(&to, &options);
        last.write(&sent[taken..]);
        last.end().all_delivered();
        assert_complete(&state.lines(&["read", "--from", &to]), &sent);
    }
}

#[test]
fn of_two_publishers_on_one_spool_one_is_killed() {
    let (state, queue) = (State::new(), FormQueue::start());
    let mut random = random("one of two is killed");
    let sent = events(600);
    let (left, right) = sent.split_at(300);
    let mut one = state.publish(&queue.url(), &[]);
    let mut two = state.publish(&queue.url(), &[]);
    one.write(left);
    two.write(right);
    queue.wait_for_messages(random.usize(1..200));
    one.kill();
    let first = two.end().balanced();
    // What the dead one had not taken is published again; what it had taken goes too, whoever sends it.
    let kept = [state.lines(&["spool", "export"]), state.lines(&["spool", "export", "--delivered"])].concat();
    let kept: HashSet<String> = kept.into_iter().collect();
    let mut last = state.publish(&queue.url(), &[]);
    last.write(&left.iter().filter(|it| !kept.contains(*it)).cloned().collect::<Vec<_>>());
    let last = last.end().all_delivered();
    assert_eq!(first.count("read"), 300);
    assert_eq!(last.report["resumed"]["waiting"].as_u64().unwrap_or(0), 0);
    assert_complete_sets(&queue.events(), &sent);
    // A write more than once is one that was under way when its sender died, and no more were: with the identical bytes.
    let writes = queue.writes();
    let unique: HashSet<&Vec<u8>> = writes.iter().collect();
    assert_eq!(unique.len(), sent.len());
}

#[test]
fn two_publishers_on_one_spool_double_nothing() {
    let (state, queue) = (State::new(), FormQueue::start());
    let sent: Vec<String> = events(900);
    // Events of the same instances come in on both sides.
    let (left, right) = sent.split_at(450);
    let mut one = state.publish(&queue.url(), &[]);
    let mut two = state.publish(&queue.url(), &[]);
    std::thread::scope(|scope| {
        scope.spawn(|| one.write(left));
        scope.spawn(|| two.write(right));
    });
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| one.end().balanced());
        let two = scope.spawn(|| two.end().balanced());
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!((one.count("read"), two.count("read")), (450, 450));
    assert_eq!((one.count("delivered") + two.count("delivered")) as usize, sent.len());
    assert_eq!(queue.writes().len(), sent.len(), "a queue that counts every write");
    assert_complete_sets(&queue.events(), &sent);
}

/// All of `sent`, each once; two inputs have no order between them.
fn assert_complete_sets(arrived: &[String], sent: &[String]) {
    let (one, other): (HashSet<&String>, HashSet<&String>) = (arrived.iter().collect(), sent.iter().collect());
    assert!(one == other && arrived.len() == sent.len(), "{} of {}", arrived.len(), sent.len());
}
