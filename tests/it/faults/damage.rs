//! A spool whose bytes are overwritten at random.

use std::collections::HashSet;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Ended, State, assert_order, events, random, rounds};
use crate::form_queue::{Answer, FormQueue};

const QUICK: [&str; 8] =
    ["--initial-backoff", "1ms", "--max-backoff", "5ms", "--timeout", "2s", "--reset-timeout", "20ms"];

/// Overwrites a few stretches of the file, as a bad disk or a stray writer does.
fn overwrite(path: &Path, random: &mut fastrand::Rng) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let size = file.metadata().unwrap().len();
    for _ in 0..random.usize(1..4) {
        let (at, length) = match random.u8(0..3) {
            // A page, a sector, a few bytes.
            0 => (random.u64(0..size) / 4096 * 4096, 4096),
            1 => (random.u64(0..size) / 512 * 512, 512),
            _ => (random.u64(0..size), random.u64(1..16)),
        };
        let length = length.min(size - at);
        let noise: Vec<u8> = match random.u8(0..3) {
            0 => vec![0; usize::try_from(length).unwrap()],
            1 => vec![0xff; usize::try_from(length).unwrap()],
            _ => (0..length).map(|_| random.u8(..)).collect(),
        };
        file.write_all_at(&noise, at).unwrap();
    }
}

/// Nothing invented, nothing out of order, and what is missing is not missing in silence.
fn check(state: &State, queue: &FormQueue, ended: &Ended, sent: &[String]) {
    let arrived = queue.events();
    let all: HashSet<&String> = sent.iter().collect();
    let invented: Vec<_> = arrived.iter().filter(|it| !all.contains(it)).collect();
    assert!(invented.is_empty(), "invented: {invented:?}");
    assert_order(&arrived, sent);
    let aside = state.put_aside();
    if !aside.is_empty() {
        assert!(ended.stderr.contains("put aside"), "{}", ended.stderr);
    }
    if arrived.len() < sent.len() {
        let missing = sent.len() - arrived.len();
        assert_ne!(ended.code, Some(0), "{missing} are missing: {}", ended.stderr);
        assert!(
            ended.stderr.contains("put aside")
                || ended.stderr.contains("dead letter")
                || ended.stderr.contains("wait in"),
            "{missing} are missing: {}",
            ended.stderr
        );
    }
}

#[test]
fn what_a_damaged_spool_kept_for_reconciling_is_said_to_stay_there() {
    let (state, queue) = (State::new(), FormQueue::start());
    let mut publisher = state.publish(&queue.url(), &QUICK);
    publisher.write(&events(20));
    assert_eq!(publisher.end().balanced().count("delivered"), 20);
    // An index; the rows themselves can still be read.
    let connection = rusqlite::Connection::open(state.path("spool.db")).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'waiting'";
    let page: u64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    let file = std::fs::OpenOptions::new().write(true).open(state.path("spool.db")).unwrap();
    file.write_all_at(&[0xff; 4096], (page - 1) * 4096).unwrap();
    let ended = state.publish(&queue.url(), &QUICK).end();
    assert!(ended.stderr.contains("20 delivered events, kept for reconciling, stay in"), "{}", ended.stderr);
}

#[test]
fn a_spool_whose_header_makes_no_sense_is_put_aside() {
    let (state, queue) = (State::new(), FormQueue::start());
    let mut publisher = state.publish(&queue.url(), &QUICK);
    publisher.write(&events(20));
    publisher.end();
    // The file's own mark, the size of a page, behind what every such file begins with, the number of pages, the first
    // page's kind: SQLite takes it for something else or reads nothing, and all the rest is whole.
    for (n, at) in [0, 16, 20, 28, 100].into_iter().enumerate() {
        queue.always(Answer::status(503));
        let sent: Vec<String> = (0..30).map(|event| crate::support::line(&format!("i{n}"), event)).collect();
        let mut publisher = state.publish(&queue.url(), &[&QUICK[..], &["--drain-timeout", "20ms"]].concat());
        publisher.write(&sent);
        assert_eq!(publisher.end().count("undelivered"), 30);
        let file = std::fs::OpenOptions::new().write(true).open(state.path("spool.db")).unwrap();
        file.write_all_at(&[0xff; 2], at).unwrap();
        let verified = state.run(&["spool", "verify"]);
        assert_eq!(verified.status.code(), Some(1), "{at}: {}", String::from_utf8_lossy(&verified.stderr));
        queue.always(Answer::Take);
        let ended = state.publish(&queue.url(), &QUICK).end();
        assert!(ended.stderr.contains("put aside"), "{at}: {}", ended.stderr);
        assert!(ended.stderr.contains("30 waiting events"), "{at}: {}", ended.stderr);
        assert!(sent.iter().all(|it| queue.events().contains(it)), "{at}: {}", ended.stderr);
        assert!(!state.path("spool.db.mending").exists());
    }
}

#[test]
fn a_spool_that_is_overwritten_while_nobody_runs() {
    let mut random = random("overwritten at rest");
    for _ in 0..rounds().div_ceil(5) {
        let (state, queue) = (State::new(), FormQueue::start());
        queue.always(Answer::status(503));
        let sent = events(400);
        let mut publisher = state.publish(&queue.url(), &[&QUICK[..], &["--drain-timeout", "20ms"]].concat());
        publisher.write(&sent);
        assert_eq!(publisher.end().balanced().count("undelivered"), 400);
        overwrite(&state.path("spool.db"), &mut random);
        queue.always(Answer::Take);
        let ended = state.publish(&queue.url(), &QUICK).end();
        check(&state, &queue, &ended, &sent);
        // Whatever it was: the next run finds a spool that works.
        let more: Vec<String> = (0..10).map(|n| crate::support::line("later", n)).collect();
        let mut publisher = state.publish(&queue.url(), &QUICK);
        publisher.write(&more);
        let ended = publisher.end();
        assert!(more.iter().all(|it| queue.events().contains(it)), "{:?} {}", ended.code, ended.stderr);
    }
}

#[test]
fn a_spool_that_is_overwritten_under_a_publisher() {
    let mut random = random("overwritten under a publisher");
    for _ in 0..rounds().div_ceil(5) {
        let (state, queue) = (State::new(), FormQueue::start());
        queue.always(Answer::status(503));
        let sent = events(900);
        let mut publisher = state.publish(&queue.url(), &QUICK);
        publisher.write(&sent[..600]);
        state.wait_for_waiting(600);
        // Into the file itself, what is in the log still.
        let connection = rusqlite::Connection::open(state.path("spool.db")).unwrap();
        let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        drop(connection);
        overwrite(&state.path("spool.db"), &mut random);
        queue.always(Answer::Take);
        publisher.write(&sent[600..]);
        let ended = publisher.end();
        check(&state, &queue, &ended, &sent);
    }
}
