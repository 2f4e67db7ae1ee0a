//! The promise, tested against a list, against a second publisher, and against damage.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::circuit_breaker::{BreakerOpening, BreakerRecord};
use crate::clock::ManualClock;
use crate::events::EventId;
use crate::events::tests::sample;
use crate::transport::BatchLimits;

const URL: &str = "form://127.0.0.1:3003/usage_events?sub_topic=0";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn open(path: &Path) -> Spool {
    open_with(path, SpoolOptions::default())
}

fn open_with(path: &Path, options: SpoolOptions) -> Spool {
    Spool::open(path, URL, options, Arc::new(ManualClock::at_unix(1_626_350_430))).unwrap()
}

fn event(instance: &str, n: i64) -> NewItem {
    let mut event = sample();
    event.instance_id = instance.to_owned();
    event.period.start = n;
    NewItem::Event(NewEvent { encoded: EncodedEvent::encode(event).unwrap(), source: "test".into(), line: None })
}

fn starts(fetched: &Fetched) -> Vec<i64> {
    fetched.events.iter().map(|it| it.encoded.event().period.start).collect()
}

/// The file as a publisher leaves it that is killed at this moment, in a folder of its own.
fn killed(path: &Path) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("spool.db");
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(name(path), name(&copy)).unwrap();
    }
    (folder, copy)
}

const ALL: BatchLimits = BatchLimits { events: usize::MAX, bytes: usize::MAX };

async fn take(spool: &Spool, instance: &str, numbers: std::ops::Range<i64>) {
    spool.take(numbers.map(|n| event(instance, n)).collect()).await.unwrap();
}

fn acknowledge(spool: &Spool, fetched: &Fetched) {
    fetched.events.iter().for_each(|it| spool.delivered(it.seq, it.encoded.id()));
}

#[test]
fn what_was_taken_is_there_after_a_restart_and_goes_when_it_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/spool.db");
    runtime().block_on(async {
        let spool = open(&path);
        take(&spool, "a", 0..3).await;
        let (_folder, path) = killed(&path);
        let spool = open(&path);
        let fetched = spool.fetch(ALL).await.unwrap();
        assert_eq!(starts(&fetched), [0, 1, 2]);
        assert!(fetched.events.iter().all(|it| !it.own));
        spool.delivered(fetched.events[0].seq, fetched.events[0].encoded.id());
        spool.end().await.unwrap();
        let spool = open(&path);
        assert_eq!(starts(&spool.fetch(ALL).await.unwrap()), [1, 2]);
        assert_eq!(spool.tally().await.unwrap().other_waiting, 2);
        spool.end().await.unwrap();
        let leftovers = std::fs::read_dir(path.parent().unwrap()).unwrap();
        let locks = leftovers.flatten().filter(|it| it.file_name().to_string_lossy().contains("-run-")).count();
        assert_eq!(locks, 0, "lock files are left");
    });
}

#[test]
fn two_publishers_share_the_work_and_keep_the_order_of_each_instance() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (one, two) = (open(&path), open(&path));
        take(&one, "a", 0..2).await;
        take(&two, "b", 10..12).await;
        let first = one.fetch(BatchLimits { events: 1, bytes: usize::MAX }).await.unwrap();
        assert_eq!(starts(&first), [0]);
        // `a` is the first publisher's, down to its later events.
        let second = two.fetch(ALL).await.unwrap();
        assert_eq!((starts(&second), second.held_elsewhere), (vec![10, 11], true));
        let third = one.fetch(ALL).await.unwrap();
        assert_eq!((starts(&third), third.held_elsewhere), (vec![1], true));
        acknowledge(&one, &first);
        // It dies with an event in hand; the other takes over, in order.
        drop(one);
        let rest = loop {
            let rest = two.fetch(ALL).await.unwrap();
            if !rest.events.is_empty() {
                break rest;
            }
        };
        assert_eq!(starts(&rest), [1]);
        acknowledge(&two, &second);
        acknowledge(&two, &rest);
        let tally = two.tally().await.unwrap();
        assert_eq!((tally.own_waiting, tally.other_waiting), (0, 0));
    });
}

#[test]
fn events_of_publishers_at_work_are_not_left_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let dead = open(&path);
        take(&dead, "a", 0..2).await;
        take(&dead, "b", 0..3).await;
        let other = |tally: Tally| (tally.own_waiting, tally.other_waiting);
        let (_folder, path) = killed(&path);
        let (one, two) = (open(&path), open(&path));
        assert_eq!(other(one.tally().await.unwrap()), (0, 5), "nobody looks after them");
        let held = two.fetch(BatchLimits { events: 2, bytes: usize::MAX }).await.unwrap();
        assert_eq!(starts(&held), [0, 1]);
        take(&two, "c", 0..4).await;
        assert_eq!(other(one.tally().await.unwrap()), (0, 3), "who holds `a` and took `c` is at work");
        take(&one, "a", 5..6).await;
        assert_eq!(other(one.tally().await.unwrap()), (1, 3), "one of ours waits, whoever holds its instance");
        // Without a word of farewell, as a killed process.
        drop(two);
        let left = loop {
            let tally = one.tally().await.unwrap();
            if tally.other_waiting > 3 {
                break tally;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(other(left), (1, 9));
    });
}

#[test]
fn an_event_that_another_publisher_delivers_is_counted_for_who_took_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (one, two) = (open(&path), open(&path));
        take(&one, "a", 0..2).await;
        let fetched = two.fetch(ALL).await.unwrap();
        two.delivered(fetched.events[0].seq, fetched.events[0].encoded.id());
        two.dead(fetched.events[1].seq, fetched.events[1].encoded.id(), "no".into(), 1);
        two.flush().await.unwrap();
        let expected = Tally { delivered_elsewhere: 1, dead_elsewhere: 1, ..Tally::default() };
        assert_eq!(one.tally().await.unwrap(), expected);
    });
}

#[test]
fn a_full_spool_drops_what_was_delivered_first_and_then_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let options = SpoolOptions { max_bytes: 256 << 10, ..SpoolOptions::default() };
    runtime().block_on(async {
        let spool = open_with(&path, options);
        take(&spool, "a", 0..200).await;
        acknowledge(&spool, &spool.fetch(ALL).await.unwrap());
        // Room for these is made by letting go of retained ones.
        take(&spool, "a", 200..400).await;
        let (error, items) = spool.take((400..800).map(|n| event("a", n)).collect()).await.unwrap_err();
        assert!(error.is_full() && error.to_string().contains("--spool-max-bytes"), "{error}");
        assert_eq!(items.len(), 400);
        let fetched = spool.fetch(ALL).await.unwrap();
        assert_eq!(starts(&fetched), (200..400).collect::<Vec<_>>());
        acknowledge(&spool, &fetched);
        spool.take(items.into_iter().take(200).collect()).await.unwrap();
    });
}

#[test]
fn garbage_keeps_no_event_out_and_its_newest_lines_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let options = SpoolOptions { max_bytes: 1 << 20, ..SpoolOptions::default() };
    runtime().block_on(async {
        let spool = open_with(&path, options);
        let garbage = |n: u64| {
            let raw = format!("{n} {}", "x".repeat(500)).into_bytes();
            NewItem::Letter(NewLetter {
                reason: "no JSON".into(),
                source: "test".into(),
                line: Some(n),
                piece: None,
                raw,
            })
        };
        for n in 0..100 {
            spool.take((0..100).map(|m| garbage(100 * n + m)).collect()).await.unwrap();
        }
        take(&spool, "a", 0..1_000).await;
        drop(spool);
    });
    let file = SpoolFile::open(&path).unwrap().unwrap();
    let (mut lines, mut after) = (Vec::new(), 0);
    while let Some(last) = file.letters(after).unwrap().last().map(|it| it.id) {
        lines.extend(file.letters(after).unwrap().iter().filter_map(|it| it.line));
        after = last;
    }
    assert!((300..500).contains(&lines.len()), "{}", lines.len());
    assert_eq!(lines.last(), Some(&9_999));
}

#[test]
fn dead_letters_outlive_replays_that_fail_and_go_with_one_that_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let judge = |raw: &[u8]| EncodedEvent::decode(raw).map_err(|error| error.to_string());
    runtime().block_on(async {
        let spool = open(&path);
        let raw = b"not json".to_vec();
        let letter = NewLetter { reason: "bad".into(), source: "test".into(), line: Some(7), piece: None, raw };
        spool.take(vec![NewItem::Letter(letter), event("a", 0)]).await.unwrap();
        let fetched = spool.fetch(ALL).await.unwrap();
        spool.dead(fetched.events[0].seq, fetched.events[0].encoded.id(), "too odd".into(), 1);
        spool.flush().await.unwrap();
        let mut file = SpoolFile::open(&path).unwrap().unwrap();
        let letters = file.letters(0).unwrap();
        assert_eq!(
            letters.iter().map(|it| (it.kind, it.reason.as_str(), it.tries)).collect::<Vec<_>>(),
            [(LetterKind::Invalid, "bad", 0), (LetterKind::Dead, "too odd", 1)]
        );
        assert!(matches!(file.replay(1, None, 8, &judge).unwrap(), Replayed::Invalid(_)));
        assert_eq!(file.replay(9, None, 8, &judge).unwrap(), Replayed::Unknown);
        for tries in 2..4 {
            assert_eq!(file.replay(2, None, 8, &judge).unwrap(), Replayed::Waiting);
            assert_eq!(file.replay(2, None, 8, &judge).unwrap(), Replayed::Already);
            assert!(!file.purge_letter(2).unwrap(), "it waits for its replay");
            let again = spool.fetch(ALL).await.unwrap();
            spool.dead(again.events[0].seq, again.events[0].encoded.id(), "still".into(), 1);
            spool.flush().await.unwrap();
            let letter = file.letter(2).unwrap().unwrap();
            assert_eq!((letter.reason.as_str(), letter.tries, letter.replaying), ("still", tries, false));
        }
        file.replay(2, None, 8, &judge).unwrap();
        acknowledge(&spool, &spool.fetch(ALL).await.unwrap());
        spool.flush().await.unwrap();
        assert_eq!(file.letters(0).unwrap().len(), 1);
        assert_eq!(file.verify().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_spool_serves_several_destinations_and_hands_each_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let clock = Arc::new(ManualClock::at_unix(0));
    runtime().block_on(async {
        take(&open(&path), "a", 0..2).await;
        let other = Spool::open(&path, "nats://h/s", SpoolOptions::default(), clock).unwrap();
        take(&other, "a", 5..6).await;
        other.save_breaker(BreakerRecord { failures: 3, ..BreakerRecord::default() });
        assert_eq!(starts(&other.fetch(ALL).await.unwrap()), [5]);
        other.end().await.unwrap();
        assert_eq!(open(&path).breaker(), &BreakerRecord::default());
        let status = SpoolFile::open(&path).unwrap().unwrap().status().unwrap();
        let waiting: Vec<_> = status.destinations.iter().map(|it| (it.waiting, it.breaker_failures)).collect();
        assert_eq!(waiting, [(2, 0), (1, 3)]);
    });
}

#[test]
fn a_damaged_file_is_put_aside_and_what_can_be_read_is_carried_over() {
    for (name, first_page) in [("head", 0), ("middle", 40)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.db");
        runtime().block_on(async {
            let spool = open(&path);
            take(&spool, "a", 0..500).await;
            spool.end().await.unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            let at = first_page * 4096;
            bytes[at..at + 4096].fill(0x55);
            std::fs::write(&path, &bytes).unwrap();
            let spool = open(&path);
            let mut found = Vec::new();
            loop {
                let fetched = spool.fetch(BatchLimits { events: 64, bytes: usize::MAX }).await.unwrap();
                if fetched.events.is_empty() {
                    break;
                }
                acknowledge(&spool, &fetched);
                found.extend(starts(&fetched));
            }
            spool.flush().await.unwrap();
            let damages = spool.damages();
            assert_eq!(damages.len(), 1, "{name}");
            assert_eq!(std::fs::read(&damages[0].put_aside).unwrap().len(), bytes.len(), "{name}: the file is kept");
            assert!(damages[0].to_string().contains("put aside"), "{name}");
            found.sort_unstable();
            found.dedup();
            if name == "middle" {
                assert!(found.len() > 400 && !damages[0].complete, "{name}: {} of 500", found.len());
            }
            // The fresh one works.
            take(&spool, "b", 0..1).await;
            assert_eq!(starts(&spool.fetch(ALL).await.unwrap()), [0]);
        });
    }
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    let before = std::fs::read(&path).unwrap();
    let clock = Arc::new(ManualClock::at_unix(0));
    let error = Spool::open(&path, URL, SpoolOptions::default(), clock).unwrap_err().to_string();
    assert!(error.contains("another program"), "{error}");
    assert!(std::fs::read(&path).unwrap() == before);
}

/// What is done to the spool and to the list that it is compared with.
#[derive(Debug, Clone)]
enum Step {
    Take(u8, u8),
    Fetch(u8),
    Deliver(u8),
    Bury(u8),
    Reopen { killed: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0u8..3, 1u8..5).prop_map(|(instance, count)| Step::Take(instance, count)),
        3 => (1u8..6).prop_map(Step::Fetch),
        4 => any::<u8>().prop_map(Step::Deliver),
        1 => any::<u8>().prop_map(Step::Bury),
        1 => any::<bool>().prop_map(|killed| Step::Reopen { killed }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever happens in whatever order, over restarts and deaths: what was taken and not settled waits, in order.
    #[test]
    fn agrees_with_a_list(steps in proptest::collection::vec(step(), 1..40)) {
        let mut folder = tempfile::tempdir().unwrap();
        let mut path = folder.path().join("spool.db");
        runtime().block_on(async {
            let mut spool = open(&path);
            let mut next = 0;
            let mut waiting: VecDeque<i64> = VecDeque::new();
            let mut out: Vec<(u64, EventId, i64)> = Vec::new();
            let mut dead = 0u64;
            for step in steps {
                match step {
                    Step::Take(instance, count) => {
                        let numbers = next..next + i64::from(count);
                        waiting.extend(numbers.clone());
                        next = numbers.end;
                        take(&spool, &instance.to_string(), numbers).await;
                    }
                    Step::Fetch(count) => {
                        let fetched = spool.fetch(BatchLimits { events: count.into(), bytes: usize::MAX }).await.unwrap();
                        let known = out.len();
                        for (event, start) in fetched.events.iter().zip(starts(&fetched)) {
                            out.push((event.seq, event.encoded.id(), start));
                        }
                        let mut expected: Vec<i64> = waiting.iter().copied().filter(|n| !out[..known].iter().any(|it| it.2 == *n)).collect();
                        expected.truncate(count.into());
                        prop_assert_eq!(starts(&fetched), expected);
                    }
                    Step::Deliver(choice) | Step::Bury(choice) => {
                        if out.is_empty() {
                            continue;
                        }
                        let (seq, id, start) = out.swap_remove(usize::from(choice) % out.len());
                        waiting.retain(|n| *n != start);
                        if matches!(step, Step::Bury(_)) {
                            spool.dead(seq, id, "dead".into(), 1);
                            dead += 1;
                        } else {
                            spool.delivered(seq, id);
                        }
                    }
                    Step::Reopen { killed } => {
                        spool.flush().await.unwrap();
                        if killed {
                            (folder, path) = self::killed(&path);
                        } else {
                            spool.end().await.unwrap();
                        }
                        out.clear();
                        spool = open(&path);
                    }
                }
            }
            spool.flush().await.unwrap();
            let file = SpoolFile::open(&path).unwrap().unwrap();
            let status = file.status().unwrap();
            prop_assert_eq!((status.destinations[0].waiting, status.dead_letters), (waiting.len() as u64, dead));
            prop_assert_eq!(file.verify().unwrap(), Vec::<String>::new());
            Ok(())
        })?;
    }
}

#[test]
fn a_file_of_the_first_schema_is_looked_at_as_it_is_and_brought_up_to_date_by_a_publisher() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let made = rusqlite::Connection::open(&path).unwrap();
    made.execute_batch(include_str!("../../tests/fixtures/spool-version-1.sql")).unwrap();
    let version = || made.pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0)).unwrap();
    let status = || SpoolFile::open(&path).unwrap().unwrap().status().unwrap();
    let before = status();
    assert_eq!((version(), before.dead_letters, before.destinations[0].waiting), (1, 1, 3));
    assert!(before.destinations[0].breaker_open_until_ms.is_some() && before.destinations[0].breaker_cause.is_none());

    runtime().block_on(async {
        let url = &before.destinations[0].destination;
        let clock = Arc::new(ManualClock::at_unix(1_626_350_430));
        let spool = Spool::open(&path, url, SpoolOptions::default(), clock).unwrap();
        assert_eq!((version(), status()), (3, Status { publishers: 1, bytes: status().bytes, ..before.clone() }));
        assert_eq!(spool.breaker().open_until_ms, before.destinations[0].breaker_open_until_ms);
        let opening = BreakerOpening { at: 7, cause: "refused".to_owned() };
        spool.save_breaker(BreakerRecord { failures: 0, open_until_ms: Some(9), opening: Some(opening.clone()) });
        let held = spool.fetch(ALL).await.unwrap();
        assert_eq!(starts(&held), [1_626_350_400, 1_626_350_430, 1_626_350_460]);
        held.events.iter().for_each(|it| spool.delivered(it.seq, it.encoded.id()));
        spool.end().await.unwrap();
        let after = status();
        assert_eq!((after.dead_letters, after.destinations[0].waiting, after.destinations[0].retained), (1, 0, 3));
        assert_eq!(after.destinations[0].breaker_cause.as_deref(), Some("refused"));
        let clock = Arc::new(ManualClock::at_unix(1_626_350_430));
        let again = Spool::open(&path, url, SpoolOptions::default(), clock).unwrap();
        assert_eq!(again.breaker().opening, Some(opening));
    });
    assert_eq!(SpoolFile::open(&path).unwrap().unwrap().verify().unwrap(), Vec::<String>::new());
}

#[test]
fn row_that_is_too_large_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    drop(open(&path));
    let made = rusqlite::Connection::open(&path).unwrap();
    let insert = "INSERT INTO dead_letters (destination, kind, reason, first_at, last_at, tries, source, raw)
                  VALUES (1, 'dead', '', 0, 0, 0, '', zeroblob(?1))";
    for size in [5 << 20, 5 << 20, 5 << 20, 65 << 20] {
        made.execute(insert, [size]).unwrap();
    }
    let file = SpoolFile::open(&path).unwrap().unwrap();
    assert_eq!(file.letters(0).unwrap().len(), 2, "no more than some megabytes at a time");
    let error = file.letters(2).unwrap_err();
    assert!(!error.is_damage() && error.to_string().contains("larger than 64 MiB"), "{error}");
}
