//! Damage, file by file: what is left of it is found, told and delivered as it was taken.

use std::path::Path;

use rusqlite::Connection;

use super::test_support::*;
use super::*;
use crate::transport::BatchLimits;

/// Changes the file as a bad disk does, behind the back of its schema.
fn tamper(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(&format!("PRAGMA ignore_check_constraints = on; {sql}")).unwrap();
}

#[test]
fn an_event_whose_bytes_have_changed_is_a_dead_letter_and_not_sent_as_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let spool = open(&path);
        take(&spool, "a", 0..1).await;
        // Still an event, of 99 CPU seconds.
        tamper(&path, r#"UPDATE events SET body = CAST(replace(CAST(body AS TEXT), '"cpu_seconds":30', '"cpu_seconds":99') AS BLOB)"#);
        assert_eq!(starts(&spool.fetch(ALL).await.unwrap()), [0; 0]);
        // Nor does it stand in the way of the later ones of its instance.
        take(&spool, "a", 1..3).await;
        let rest = spool.fetch(ALL).await.unwrap();
        assert_eq!((starts(&rest), rest.held_elsewhere), (vec![1, 2], false));
        acknowledge(&spool, &rest);
        let tally = spool.tally().await.unwrap();
        assert_eq!((tally.own_waiting, tally.dead_elsewhere), (0, 1), "the books");
        let file = SpoolFile::open(&path).unwrap().unwrap();
        let letters = file.letters(0).unwrap();
        assert!(letters[0].reason.contains("not those that were taken"), "{:?}", letters[0]);
        assert_eq!(file.verify().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn every_row_beside_a_damaged_page_is_carried_over() {
    for (name, pages) in
        [("one", vec![40]), ("two with an island between", vec![40, 42]), ("five", vec![40, 41, 42, 43, 44])]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.db");
        runtime().block_on(async {
            let spool = open(&path);
            take(&spool, "a", 0..500).await;
            spool.end().await.unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            let first = path.with_extension("whole");
            std::fs::copy(&path, &first).unwrap();
            let mut hidden: Vec<i64> = Vec::new();
            for page in &pages {
                bytes[page * 4096..(page + 1) * 4096].fill(0x55);
            }
            std::fs::write(&path, &bytes).unwrap();
            // Which rows can be found at all, asked one by one.
            let damaged = Connection::open(&path).unwrap();
            for seq in 1..=500 {
                let sql = "SELECT length(body) FROM events WHERE seq = ?1";
                if damaged.query_row(sql, [seq], |row| row.get::<_, i64>(0)).is_err() {
                    hidden.push(seq - 1);
                }
            }
            drop(damaged);
            let spool = open(&path);
            let found = starts(&spool.fetch(ALL).await.unwrap());
            let expected: Vec<i64> = (0..500).filter(|n| !hidden.contains(n)).collect();
            assert!(!hidden.is_empty() && hidden.len() < 100, "{name}: {hidden:?}");
            assert_eq!(found, expected, "{name}");
        });
    }
}

#[test]
fn a_value_that_is_no_text_any_more_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let spool = open(&path);
        take(&spool, "a", 0..3).await;
        tamper(&path, "UPDATE events SET instance = CAST(x'ff61' AS TEXT) WHERE seq = 2");
        let found = spool.fetch(ALL).await.unwrap();
        assert_eq!(starts(&found), [0, 1, 2]);
        assert_eq!(spool.damages().len(), 1);
        assert!(spool.damages()[0].complete && found.events.iter().all(|it| it.own));
    });
}

#[test]
fn two_publishers_on_a_damaged_file_put_it_aside_once_and_keep_what_they_hold() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        // Left over from a run that is gone, whose number a fresh file could give out again.
        let before = open(&path);
        take(&before, "old", 0..1).await;
        before.end().await.unwrap();
        let (one, two) = (open(&path), open(&path));
        take(&one, "a", 10..13).await;
        take(&two, "b", 20..23).await;
        let few = BatchLimits { events: 3, bytes: usize::MAX };
        let held = one.fetch(few).await.unwrap();
        assert_eq!(starts(&held), [0, 10, 11]);
        tamper(&path, "UPDATE events SET source = CAST(x'ff' AS TEXT) WHERE instance = 'b'");
        let second = two.fetch(ALL).await.unwrap();
        assert_eq!(starts(&second), [20, 21, 22], "`a` and `old` are the first one's");
        assert!(second.events.iter().all(|it| it.own));
        let rest = one.fetch(ALL).await.unwrap();
        assert_eq!(starts(&rest), [12], "what it holds is not handed out again");
        assert!(rest.events[0].own);
        assert_eq!((one.damages().len(), two.damages().len()), (0, 1));
        for (spool, events) in [(&one, &held), (&one, &rest), (&two, &second)] {
            acknowledge(spool, events);
        }
        let tally = two.tally().await.unwrap();
        assert_eq!((tally.own_waiting, tally.delivered_elsewhere), (0, 0));
        let tally = one.tally().await.unwrap();
        assert_eq!((tally.own_waiting, tally.other_waiting), (0, 0));
        let aside = std::fs::read_dir(folder.path()).unwrap().flatten();
        let aside = aside.filter(|it| it.file_name().to_string_lossy().ends_with("1626350430")).count();
        assert_eq!(aside, 1);
        assert_eq!(SpoolFile::open(&path).unwrap().unwrap().verify().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_file_that_is_removed_under_a_publisher_is_made_anew_with_what_waited() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool.db");
    runtime().block_on(async {
        let spool = open(&path);
        take(&spool, "a", 0..5).await;
        let held = spool.fetch(BatchLimits { events: 2, bytes: usize::MAX }).await.unwrap();
        for suffix in ["", "-wal", "-shm"] {
            std::fs::remove_file(format!("{}{suffix}", path.display())).unwrap();
        }
        take(&spool, "a", 5..6).await;
        acknowledge(&spool, &held);
        let rest = spool.fetch(ALL).await.unwrap();
        assert_eq!(starts(&rest), [2, 3, 4, 5]);
        assert!(rest.events.iter().all(|it| it.own));
        assert_eq!(spool.tally().await.unwrap(), Tally { own_waiting: 4, ..Tally::default() });
        assert_eq!(SpoolFile::open(&path).unwrap().unwrap().verify().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn what_waits_goes_over_into_a_spool_that_is_put_in_the_place_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("spool.db"), folder.path().join("other.db"));
    runtime().block_on(async {
        // A sound spool with events of its own, whose numbers are those of the other file's.
        let foreign = open(&other);
        take(&foreign, "f", 0..4).await;
        foreign.end().await.unwrap();

        let (one, two) = (open(&path), open(&path));
        take(&one, "a", 10..13).await;
        take(&two, "b", 20..22).await;
        take(&two, "c", 30..32).await;
        let invalid =
            NewLetter { source: "test".into(), line: None, piece: None, raw: b"x".to_vec(), reason: "no".into() };
        one.take(vec![NewItem::Letter(invalid)]).await.unwrap();
        let few = BatchLimits { events: 2, bytes: usize::MAX };
        let held = one.fetch(few).await.unwrap();
        assert_eq!(starts(&held), [10, 11]);
        let theirs = two.fetch(BatchLimits { events: 1, bytes: usize::MAX }).await.unwrap();
        assert_eq!(starts(&theirs), [20]);
        for suffix in ["", "-wal", "-shm"] {
            let name = |stem: &str| folder.path().join(format!("{stem}.db{suffix}"));
            std::fs::rename(name("spool"), name("before")).unwrap();
        }
        std::fs::rename(&other, &path).unwrap();

        // What is settled behind the change was handed out before it; nothing is handed out twice.
        spool_settles(&one, &held, 1);
        let more = one.fetch(ALL).await.unwrap();
        assert_eq!(starts(&more), [0, 1, 2, 3, 12, 30, 31], "`b` is the second one's");
        assert_eq!(
            more.events.iter().map(|it| it.own).collect::<Vec<_>>(),
            [false, false, false, false, true, false, false]
        );
        let rest = two.fetch(ALL).await.unwrap();
        assert_eq!(starts(&rest), [21]);
        acknowledge(&one, &held);
        acknowledge(&one, &more);
        acknowledge(&two, &theirs);
        acknowledge(&two, &rest);
        two.flush().await.unwrap();
        one.flush().await.unwrap();
        assert_eq!(one.tally().await.unwrap(), Tally::default());
        assert_eq!(two.tally().await.unwrap(), Tally { delivered_elsewhere: 2, ..Tally::default() });
        for file in ["spool.db", "before.db"] {
            let file = SpoolFile::open(&folder.path().join(file)).unwrap().unwrap();
            assert_eq!(file.verify().unwrap(), Vec::<String>::new());
            assert_eq!(file.status().unwrap().destinations[0].waiting, 0);
        }
        let letters =
            |file: &str| SpoolFile::open(&folder.path().join(file)).unwrap().unwrap().letters(0).unwrap().len();
        assert_eq!((letters("spool.db"), letters("before.db")), (1, 0));
    });
}

/// Acknowledges the first events alone.
fn spool_settles(spool: &Spool, fetched: &Fetched, count: usize) {
    fetched.events.iter().take(count).for_each(|it| spool.delivered(it.seq, it.encoded.id()));
}

#[cfg(target_os = "linux")]
#[path = "../../tests/it/not_run.rs"]
mod not_run;

/// A small file system of its own, unmounted when dropped; `None`, with a word, where none can be mounted.
#[cfg(target_os = "linux")]
struct Tmpfs(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=700");
        let mut command = std::process::Command::new("mount");
        let mounted = command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        not_run::not_run(format!("a tmpfs can't be mounted, which takes root: {mounted:?}"));
        None
    }
}

#[cfg(target_os = "linux")]
impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_disk_without_a_free_byte_what_was_delivered_is_noted_from_the_reserve() {
    let Some(disk) = Tmpfs::mount("2m") else { return };
    let path = disk.0.path().join("spool.db");
    let reserve = disk.0.path().join("spool.db-reserve");
    runtime().block_on(async {
        let spool = open(&path);
        take(&spool, "a", 0..1_000).await;
        assert!(reserve.exists());
        let held = spool.fetch(ALL).await.unwrap();
        assert_eq!(held.events.len(), 1_000);
        // Nobody has a byte left, not even the log.
        let other = Connection::open(&path).unwrap();
        other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        drop(other);
        let filler = disk.0.path().join("filler");
        std::fs::write(&filler, vec![0; 2 << 20]).unwrap_err();
        acknowledge(&spool, &held);
        spool.flush().await.unwrap();
        assert!(!reserve.exists(), "the reserve was not needed: the test shows nothing");
        assert_eq!(spool.tally().await.unwrap(), Tally::default());
        let (error, back) = spool.take(vec![event("a", 1_000)]).await.unwrap_err();
        assert!(error.is_full() && back.len() == 1, "without its reserve nothing is taken: {error}");
        std::fs::remove_file(&filler).unwrap();
        take(&spool, "a", 1_000..1_001).await;
        assert!(reserve.exists(), "made again");
        assert_eq!(starts(&spool.fetch(ALL).await.unwrap()), [1_000]);
        assert_eq!(SpoolFile::open(&path).unwrap().unwrap().verify().unwrap(), Vec::<String>::new());
    });
}
