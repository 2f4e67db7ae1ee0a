use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::test_support::{ALL, event, runtime};
use super::*;
use crate::clock::ManualClock;

const START: u64 = 1_626_350_430;
const DAY: u64 = 86_400;

fn open_on(path: &Path, day: u64) -> (Spool, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_unix(START + day * DAY));
    (Spool::open(path, "form://h/t", SpoolOptions::default(), clock.clone()).unwrap(), clock)
}

fn line(raw: &[u8]) -> NewItem {
    let (reason, source) = ("no JSON".into(), "test".into());
    NewItem::Letter(NewLetter { reason, source, line: None, piece: None, raw: raw.to_vec() })
}

/// The bytes of all dead letters that are lines, and how many are refused events.
fn kept(path: &Path) -> (Vec<String>, usize) {
    let (lines, events): (Vec<_>, Vec<_>) = SpoolFile::open(path)
        .unwrap()
        .unwrap()
        .letters(0)
        .unwrap()
        .into_iter()
        .partition(|letter| letter.kind == LetterKind::Invalid);
    (lines.into_iter().map(|letter| String::from_utf8(letter.raw).unwrap()).collect(), events.len())
}

/// Takes an event and has it refused.
async fn refuse_event(spool: &Spool) {
    spool.take(vec![event("a", 0)]).await.unwrap();
    let fetched = spool.fetch(ALL).await.unwrap();
    spool.dead(fetched.events[0].seq, fetched.events[0].encoded.id(), "refused".into(), 1);
    spool.flush().await.unwrap();
}

#[test]
fn lines_are_dropped_by_age_and_refused_events_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (spool, clock) = open_on(&path, 0);
        spool.take(vec![line(b"old")]).await.unwrap();
        refuse_event(&spool).await;
        clock.advance(Duration::from_secs(5 * DAY));
        spool.take(vec![line(b"young")]).await.unwrap();
    });
    let (spool, _) = open_on(&path, 90);
    assert_eq!(kept(&path), (vec!["old".to_owned(), "young".to_owned()], 1), "after 90 days");
    drop(spool);
    let (spool, _) = open_on(&path, 91);
    assert_eq!(kept(&path), (vec!["young".to_owned()], 1), "after 91 days");
    drop(spool);
    let (_spool, _) = open_on(&path, 10_000);
    assert_eq!(kept(&path), (Vec::new(), 1), "after decades");
}

#[test]
fn running_publisher_drops_old_lines_once_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (spool, clock) = open_on(&path, 0);
        spool.take(vec![line(b"old")]).await.unwrap();
        for day in 1..=92 {
            clock.advance(Duration::from_secs(DAY));
            spool.take(vec![event("a", day)]).await.unwrap();
            assert_eq!(kept(&path).0.len(), usize::from(day <= 90), "day {day}");
        }
    });
}

#[test]
fn line_that_waits_for_its_replay_is_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (spool, _) = open_on(&path, 0);
        spool.take(vec![line(b"a"), line(b"b")]).await.unwrap();
    });
    let judge = |_: &[u8]| match event("a", 0) {
        NewItem::Event(event) => Ok(event.encoded),
        NewItem::Letter(_) => Err("none".to_owned()),
    };
    let mut file = SpoolFile::open(&path).unwrap().unwrap();
    assert_eq!(file.replay(1, None, 0, &judge).unwrap(), Replayed::Waiting);
    let (_spool, _) = open_on(&path, 100);
    assert_eq!(kept(&path).0, ["a"]);
}

#[test]
fn thousands_of_old_lines_are_dropped_and_the_share_is_counted_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (spool, _) = open_on(&path, 0);
        spool.take((0..3_000).map(|n: u32| line(n.to_string().as_bytes())).collect()).await.unwrap();
        drop(spool);
        let (spool, _) = open_on(&path, 100);
        spool.take(vec![line(b"new")]).await.unwrap();
        assert_eq!(kept(&path).0, ["new"]);
    });
}

#[test]
fn status_names_the_oldest_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let status = || SpoolFile::open(&path).unwrap().unwrap().status().unwrap().oldest_dead_letter_at;
    runtime().block_on(async {
        let (spool, clock) = open_on(&path, 0);
        assert_eq!(status(), None);
        spool.take(vec![line(b"old")]).await.unwrap();
        clock.advance(Duration::from_secs(DAY));
        spool.take(vec![line(b"young")]).await.unwrap();
    });
    assert_eq!(status(), i64::try_from(START).ok());
}

#[test]
fn warnings_say_how_many_since_when_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (spool, _) = open_on(&path, 0);
        spool.take(vec![line(b"a"), line(b"b")]).await.unwrap();
        refuse_event(&spool).await;
    });
    let connection = rusqlite::Connection::open(&path).unwrap();
    let age = Duration::from_secs(30 * DAY);
    let now = i64::try_from(START + 31 * DAY).unwrap();
    let old = letter_age::drop_old(&connection, now, age).unwrap();
    let [lines, events] = &old.warnings(age)[..] else { panic!("{old:?}") };
    assert!(
        lines.contains("older than 30 days (--dead-letter-age): 2, the oldest from 2021-07-15T12:00:30Z"),
        "{lines}"
    );
    assert!(
        events.contains("more than 30 days ago") && events.contains(": 1, the oldest") && events.contains("dlq replay")
    );
    assert_eq!(letter_age::drop_old(&connection, now, age).unwrap().warnings(age).len(), 1, "the event is still named");
}
