//! What a look for waiting events finds behind those that another publisher holds, and behind damage.

use super::test_support::*;
use super::*;
use crate::transport::BatchLimits;

const ONE: BatchLimits = BatchLimits { events: 1, bytes: usize::MAX };

/// What is found within `looks` looks, as the feeder makes them while nothing is found.
async fn found_within(looks: usize, spool: &Spool, limits: BatchLimits) -> Vec<i64> {
    for _ in 0..looks {
        let fetched = spool.fetch(limits).await.unwrap();
        if !fetched.events.is_empty() {
            return starts(&fetched);
        }
        assert!(fetched.held_elsewhere, "a publisher that drains would end here");
    }
    Vec::new()
}

#[test]
fn a_long_stretch_that_another_publisher_holds_hides_nothing_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (big, small) = (open(&path), open(&path));
        take(&big, "big", 0..9_000).await;
        take(&small, "small", 50_000..50_003).await;
        let held = big.fetch(ONE).await.unwrap();
        assert_eq!(starts(&held), [0]);
        assert_eq!(found_within(5, &small, ALL).await, [50_000, 50_001, 50_002]);
        // New ones are found at once, wherever the look at what others hold stands.
        assert_eq!(found_within(1, &small, ALL).await, [0; 0]);
        take(&small, "later", 60_000..60_001).await;
        assert_eq!(found_within(1, &small, ALL).await, [60_000]);

        // What its holder lets go of is found from its beginning, in order.
        take(&small, "big", 9_000..9_001).await;
        assert_eq!(found_within(2, &small, ALL).await, [0; 0]);
        acknowledge(&big, &held);
        big.end().await.unwrap();
        let rest = small.fetch(ALL).await.unwrap();
        let rest = if rest.events.is_empty() { small.fetch(ALL).await.unwrap() } else { rest };
        assert_eq!(starts(&rest)[..3], [1, 2, 3]);
        let mut found = starts(&rest);
        loop {
            let more = small.fetch(ALL).await.unwrap();
            if more.events.is_empty() {
                assert!(!more.held_elsewhere);
                break;
            }
            found.extend(starts(&more));
        }
        assert_eq!(found, (1..9_001).collect::<Vec<_>>());
    });
}

#[test]
fn an_instance_that_becomes_free_amid_a_look_is_taken_from_its_first_event_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (one, two, three) = (open(&path), open(&path), open(&path));
        take(&one, "a", 0..2).await;
        take(&one, "b", 10..11).await;
        take(&three, "long", 100..9_100).await;
        take(&one, "b", 11..12).await;
        let a = one.fetch(ONE).await.unwrap();
        let b = three.fetch(ONE).await.unwrap();
        assert_eq!((starts(&a), starts(&b)), (vec![0], vec![10]));
        let long = three.fetch(ONE).await.unwrap();
        assert_eq!(starts(&long), [100]);
        assert_eq!(found_within(1, &two, ALL).await, [0; 0]);
        // While the look goes on behind them, `a` becomes free and gets another event.
        acknowledge(&one, &a);
        one.flush().await.unwrap();
        take(&two, "a", 2..3).await;
        assert_eq!(found_within(4, &two, ALL).await, [1]);
        assert_eq!(found_within(4, &two, ALL).await, [2]);
    });
}

#[test]
fn what_was_let_go_of_has_its_turn_beside_a_stream_of_new_events() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let (one, two) = (open(&path), open(&path));
        take(&one, "a", 0..4).await;
        assert_eq!(starts(&one.fetch(ONE).await.unwrap()), [0]);
        assert_eq!(found_within(1, &two, ONE).await, [0; 0]);
        one.end().await.unwrap();
        assert_eq!(found_within(1, &two, ONE).await, [0]);
        take(&two, "new", 10..13).await;
        let mut found = Vec::new();
        for _ in 0..6 {
            found.extend(starts(&two.fetch(ONE).await.unwrap()));
        }
        assert_eq!(found, [10, 1, 11, 2, 12, 3]);
    });
}

#[test]
fn more_damaged_events_than_one_look_takes_end_no_drain() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let spool = open(&path);
        take(&spool, "a", 0..9_000).await;
        take(&spool, "b", 10_000..10_001).await;
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute("UPDATE events SET body = zeroblob(length(body)) WHERE instance = 'a'", []).unwrap();
        assert_eq!(found_within(3, &spool, ALL).await, [10_000]);
    });
}

#[test]
fn a_replay_that_is_damaged_in_the_spool_gives_its_letter_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    let judge = |raw: &[u8]| EncodedEvent::decode(raw).map_err(|error| error.to_string());
    runtime().block_on(async {
        let spool = open(&path);
        take(&spool, "a", 0..1).await;
        let fetched = spool.fetch(ALL).await.unwrap();
        spool.dead(fetched.events[0].seq, fetched.events[0].encoded.id(), "too odd".into(), 1);
        spool.flush().await.unwrap();
        let mut file = SpoolFile::open(&path).unwrap().unwrap();
        let whole = file.letter(1).unwrap().unwrap().raw;
        assert_eq!(file.replay(1, None, 8, &judge).unwrap(), Replayed::Waiting);
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute("UPDATE events SET body = zeroblob(length(body))", []).unwrap();
        assert_eq!(starts(&spool.fetch(ALL).await.unwrap()), [0; 0]);
        let letters = file.letters(0).unwrap();
        assert_eq!(letters.len(), 1, "{letters:?}");
        assert!(!letters[0].replaying && letters[0].reason.contains("damaged in the spool"), "{:?}", letters[0]);
        assert_eq!((&letters[0].raw, letters[0].tries), (&whole, 1), "its own bytes are sound");
        assert_eq!(file.replay(1, None, 8, &judge).unwrap(), Replayed::Waiting);
        acknowledge(&spool, &spool.fetch(ALL).await.unwrap());
        spool.flush().await.unwrap();
        assert!(file.letters(0).unwrap().is_empty());
        assert_eq!(file.verify().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn what_is_put_back_is_found_by_a_publisher_that_has_looked_further() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let spool = open(&path);
        take(&spool, "a", 0..4).await;
        let held = spool.fetch(ALL).await.unwrap();
        acknowledge(&spool, &held);
        spool.flush().await.unwrap();
        let mut file = SpoolFile::open(&path).unwrap().unwrap();
        let seqs: Vec<u64> = [2, 0, 1, 1].map(|at| held.events[at].seq).into();
        assert_eq!(file.put_back(&seqs).unwrap(), 3);
        assert_eq!(file.put_back(&seqs).unwrap(), 0);
        let tally = spool.tally().await.unwrap();
        assert_eq!((tally.own_waiting, tally.other_waiting), (0, 3), "they were delivered once");
        let again = spool.fetch(ALL).await.unwrap();
        assert_eq!(starts(&again), [0, 1, 2]);
        assert!(again.events.iter().all(|it| !it.own));
        acknowledge(&spool, &again);
        spool.flush().await.unwrap();
        let status = file.status().unwrap();
        assert_eq!((status.destinations[0].waiting, status.destinations[0].retained), (0, 4));
        assert_eq!(file.verify().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn history_of_attempts_outlives_a_run_and_a_replaced_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("spool.db"), folder.path().join("other.db"));
    let history = |fetched: &Fetched| fetched.events.iter().map(|it| (it.refusals, it.unanswered)).collect::<Vec<_>>();
    runtime().block_on(async {
        let first = open(&path);
        take(&first, "a", 0..3).await;
        let fetched = first.fetch(ALL).await.unwrap();
        assert_eq!(history(&fetched), [(0, false); 3]);
        let [one, two, _] = &fetched.events[..] else { panic!("{fetched:?}") };
        first.remember(one.seq, one.encoded.id(), 7, false);
        first.remember(two.seq, two.encoded.id(), 0, true);
        // A number that another event has in this file.
        first.remember(two.seq, one.encoded.id(), 9, false);
        first.end().await.unwrap();

        let second = open(&path);
        open(&other).end().await.unwrap();
        for suffix in ["", "-wal", "-shm"] {
            let name = |stem: &str| folder.path().join(format!("{stem}.db{suffix}"));
            let _ = std::fs::rename(name("spool"), name("before"));
        }
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(history(&second.fetch(ALL).await.unwrap()), [(7, false), (0, true), (0, false)]);
    });
}
