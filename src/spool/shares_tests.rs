//! One destination that hangs, or that refuses all it gets, keeps no other one out of the spool.

use std::path::Path;
use std::sync::Arc;

use super::test_support::{ALL, acknowledge, event, runtime, starts};
use super::*;
use crate::clock::ManualClock;

const MAX: u64 = 512 << 10;

fn open(path: &Path, url: &str) -> Spool {
    let options = SpoolOptions { max_bytes: MAX, ..SpoolOptions::default() };
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
        for n in 0..1_000 {
            delivering.take(vec![event("b", n)]).await.unwrap();
            let fetched = delivering.fetch(ALL).await.unwrap();
            assert_eq!(starts(&fetched), [n]);
            acknowledge(&delivering, &fetched);
        }
        assert!(!hanging.has_room().await && delivering.has_room().await);
    });
    assert!(used(&path) <= MAX, "{}", used(&path));
}

#[test]
fn spool_with_one_destination_is_filled_to_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (_, error) = fill(&open(&path, "form://a/t")).await;
        assert!(matches!(error, SpoolError::LimitReached { .. }), "{error}");
    });
    assert!((MAX - (8 << 10)..=MAX).contains(&used(&path)), "{}", used(&path));
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
