//! One destination that hangs, or that refuses all it gets, keeps no other one out of the spool.

use std::path::Path;
use std::sync::Arc;

use super::test_support::{ALL, acknowledge, event, runtime, starts};
use super::*;
use crate::clock::ManualClock;

const MAX: u64 = 512 << 10;

fn open(path: &Path, url: &str) -> Spool {
    open_within(path, url, MAX)
}

fn open_within(path: &Path, url: &str, max_bytes: u64) -> Spool {
    let options = SpoolOptions { max_bytes, sync: Sync::Normal, ..SpoolOptions::default() };
    Spool::open(path, url, options, Arc::new(ManualClock::at_unix(1_626_350_430))).unwrap()
}

/// Takes events until the spool refuses; how many it took, and why no more.
async fn fill(spool: &Spool) -> (i64, SpoolError) {
    for n in 0.. {
        if let Err((error, _)) = spool.take(vec![event("customer-7/web-1", n)]).await {
            return (n, error);
        }
    }
    unreachable!()
}

/// Takes events as if they had been read ahead, until the spool refuses these too.
async fn fill_with_what_was_read_ahead(spool: &Spool) {
    for n in 0.. {
        if spool.take_read_ahead(vec![event("customer-7/web-1", n)]).await.is_err() {
            return;
        }
    }
}

/// So many events are taken and delivered, one by one.
async fn is_fed(spool: &Spool, count: i64) {
    for n in 0..count {
        spool.take(vec![event("b", n)]).await.unwrap();
        let fetched = spool.fetch(ALL).await.unwrap();
        assert_eq!(starts(&fetched), [n]);
        acknowledge(spool, &fetched);
    }
}

fn used(path: &Path) -> u64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    store::usage(&connection).unwrap().0
}

#[test]
fn destination_that_hangs_leaves_room_for_one_that_delivers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (hanging, delivering) = (open(&path, "form://a/t"), open(&path, "form://b/t"));
        let (_, error) = fill(&hanging).await;
        assert!(error.is_full() && error.to_string().contains("is full for form://a/t"), "{error}");
        is_fed(&delivering, 1_000).await;
        assert!(!hanging.has_room().await && delivering.has_room().await);
    });
    assert!(used(&path) <= MAX, "{}", used(&path));
}

#[test]
fn destination_that_comes_later_is_fed_in_a_spool_of_any_size() {
    for max in [128 << 10, 200 << 10, MAX, 1 << 20] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.db");
        runtime().block_on(async {
            let hanging = open_within(&path, "form://a/t", max);
            let (taken, error) = fill(&hanging).await;
            assert!(taken > 50 && matches!(error, SpoolError::ShareReached { .. }), "{taken} of {max}: {error}");
            fill_with_what_was_read_ahead(&hanging).await;
            is_fed(&open_within(&path, "form://b/t", max), 100).await;
        });
        assert!(used(&path) <= max, "{} of {max}", used(&path));
    }
}

#[test]
fn what_is_read_ahead_fits_into_a_full_spool() {
    for max in [128 << 10, 200 << 10, MAX] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.db");
        runtime().block_on(async {
            let spool = open_within(&path, "form://a/t", max);
            fill(&spool).await;
            let (mut bytes, mut items) = (0, Vec::new());
            while bytes < spool.read_ahead_bytes() {
                let item = event("a", bytes as i64);
                if let NewItem::Event(event) = &item {
                    bytes += event.encoded.body().len();
                }
                items.push(item);
            }
            spool.take_read_ahead(items).await.unwrap();
        });
    }
}

#[test]
fn waiting_events_that_are_refused_leave_room_for_a_destination_that_comes_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let refusing = open(&path, "form://a/t");
        fill(&refusing).await;
        for it in refusing.fetch(ALL).await.unwrap().events {
            refusing.dead(it.seq, it.encoded.id(), "no such customer, ".repeat(20), 1);
        }
        refusing.flush().await.unwrap();
        let error = refusing.check_room().await.unwrap_err();
        assert!(error.to_string().contains("formusage dlq purge"), "{error}");
        is_fed(&open(&path, "form://b/t"), 1_000).await;
    });
    assert!(used(&path) <= MAX, "{}", used(&path));
}

#[test]
fn refused_and_waiting_events_of_a_destination_count_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        fill(&open(&path, "form://a/t")).await;
        let refusing = open(&path, "form://b/t");
        while refusing.take((0..10).map(|n| event("b", n)).collect()).await.is_ok() {
            for it in refusing.fetch(ALL).await.unwrap().events {
                refusing.dead(it.seq, it.encoded.id(), "no such customer".into(), 1);
            }
            refusing.flush().await.unwrap();
        }
        assert!(used(&path) <= MAX - MAX / 32, "{} of {MAX}", used(&path));
        is_fed(&open(&path, "form://c/t"), 100).await;
        // Who threw the refused ones away has room again.
        rusqlite::Connection::open(&path).unwrap().execute("DELETE FROM dead_letters", []).unwrap();
        refusing.take((0..10).map(|n| event("b", n)).collect()).await.unwrap();
    });
}

#[test]
fn refused_events_keep_nobody_else_out_and_none_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let mut refused = 0;
    runtime().block_on(async {
        let (refusing, other) = (open(&path, "form://a/t"), open(&path, "form://b/t"));
        let error = loop {
            if let Err((error, _)) = refusing.take((0..50).map(|n| event("a", n)).collect()).await {
                break error;
            }
            for it in refusing.fetch(ALL).await.unwrap().events {
                refusing.dead(it.seq, it.encoded.id(), "no such customer".into(), 1);
                refused += 1;
            }
            refusing.flush().await.unwrap();
        };
        assert!(error.is_full() && error.to_string().contains("formusage dlq purge"), "{error}");
        assert!(!refusing.has_room().await);
        // What was read of a pipe already is kept all the same.
        refusing.take_read_ahead(vec![event("a", 0)]).await.unwrap();
        other.take((0..200).map(|n| event("b", n)).collect()).await.unwrap();
        let file = SpoolFile::open(&path).unwrap().unwrap();
        let (mut count, mut after) = (0, 0);
        while let Some(last) = file.letters(after).unwrap().last().map(|it| it.id) {
            count += file.letters(after).unwrap().len();
            after = last;
        }
        assert_eq!(count, refused);
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute("DELETE FROM dead_letters", []).unwrap();
        refusing.take(vec![event("a", 1)]).await.unwrap();
    });
}

#[test]
fn full_spool_all_of_which_is_refused_stays_within_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let spool = open(&path, "form://a/t");
        fill(&spool).await;
        for it in spool.fetch(ALL).await.unwrap().events {
            spool.dead(it.seq, it.encoded.id(), "the service refused it for reasons of its own, ".repeat(10), 1);
        }
        spool.flush().await.unwrap();
    });
    assert!(used(&path) <= MAX + MAX / 32, "{} of {MAX}", used(&path));
}
