//! A disk that fills up, and a spool that is away, in the way or not ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{State, assert_complete, assert_order, events, exists, text, wait_for_line};
use crate::form_queue::{Answer, FormQueue};
use crate::support::not_run;

const QUICK: [&str; 8] =
    ["--initial-backoff", "1ms", "--max-backoff", "5ms", "--timeout", "2s", "--reset-timeout", "20ms"];

/// A small file system of its own; `None`, with a word, where none can be mounted.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let options = format!("size={size},mode=700");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            other => {
                not_run(format!("a tmpfs can't be mounted, which takes root: {other:?}"));
                None
            }
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_fills_up_stops_the_reading_and_loses_nothing() {
    let (state, queue) = (State::new(), FormQueue::start());
    let Some(disk) = Tmpfs::mount(&state.path("disk"), "2m") else { return };
    queue.always(Answer::status(503));
    let sent = events(4_500);
    let spool = disk.0.join("spool.db").display().to_string();
    let mut publisher = state.publish(&queue.url(), &[&QUICK[..], &["--spool", &spool, "--retain", "0s"]].concat());
    let mut stderr = publisher.stderr();
    let ended = std::thread::scope(|scope| {
        let (mut input, sent) = (publisher.input.take().unwrap(), &sent);
        scope.spawn(move || {
            let _ = std::io::Write::write_all(&mut input, text(sent).as_bytes());
        });
        wait_for_line(&mut stderr, "nothing more is read until");
        // It gets worse: somebody else takes what was left for acknowledgements.
        let filler = disk.0.join("filler");
        let filled = std::fs::write(&filler, vec![0; 2 << 20]);
        assert!(filled.is_err(), "the disk was to be full");
        queue.always(Answer::Take);
        // What waits goes out, and is noted in what was set aside for that, on a disk where nobody else finds a byte. (Where
        // a claim has needed it already, the filler has it now, and what goes out is noted when there is room again.)
        if std::fs::metadata(disk.0.join("spool.db-reserve")).is_ok_and(|reserve| reserve.len() > 0) {
            state.wait_for_waiting_in(&spool, 0);
        }
        std::fs::remove_file(&filler).unwrap();
        wait_for_line(&mut stderr, "reading goes on");
        let rest = scope.spawn(move || {
            let mut rest = String::new();
            std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
            rest
        });
        let ended = publisher.wait();
        let rest = rest.join().unwrap();
        assert_eq!(ended.code, Some(0), "{rest}");
        ended.all_delivered()
    });
    assert_eq!(ended.count("read"), 4_500);
    assert_complete(&queue.events(), &sent);
    assert!(exists(&disk.0.join("spool.db-reserve")), "the reserve was not made again");
    assert_eq!(state.run(&["spool", "verify", "--spool", &spool]).status.code(), Some(0));
}

#[test]
fn file_on_a_full_disk_holds_whole_lines_of_delivered_events_alone() {
    let state = State::new();
    let Some(disk) = Tmpfs::mount(&state.path("disk"), "64k") else { return };
    let (file, sent) = (disk.0.join("out.ndjson"), events(600));
    let to = format!("file:{}", file.display());
    let mut publisher = state.publish(&to, &[&QUICK[..], &["--drain-timeout", "50ms"]].concat());
    let kept_out = std::thread::scope(|scope| {
        let mut input = publisher.input.take().unwrap();
        let lines = text(&sent);
        scope.spawn(move || {
            let _ = std::io::Write::write_all(&mut input, lines.as_bytes());
        });
        publisher.wait().balanced()
    });
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.is_empty() || written.ends_with('\n'), "a line is torn");
    assert!(kept_out.count("delivered") < 600, "the disk was to be full");
    assert_eq!(written.lines().count() as u64, kept_out.count("delivered"));
}

#[test]
fn a_spool_that_is_removed_under_a_publisher_loses_nothing() {
    let (state, queue) = (State::new(), FormQueue::start());
    queue.always(Answer::status(503));
    let sent = events(90);
    let mut publisher = state.publish(&queue.url(), &QUICK);
    publisher.write(&sent[..60]);
    state.wait_for_waiting(60);
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(state.path(&format!("spool.db{suffix}"))).unwrap();
    }
    publisher.write(&sent[60..]);
    state.wait_for_waiting(90);
    queue.always(Answer::Take);
    let ended = publisher.end().all_delivered();
    assert!(ended.stderr.contains("was removed under a running publisher"), "{}", ended.stderr);
    assert_eq!(ended.count("read"), 90);
    assert_complete(&queue.events(), &sent);
    assert_eq!(state.run(&["spool", "verify"]).status.code(), Some(0));
}

#[test]
fn what_waits_goes_over_into_a_spool_that_is_put_in_the_place_of_a_running_publishers() {
    let (state, other, queue) = (State::new(), State::new(), FormQueue::start());
    queue.always(Answer::status(503));
    let sent = events(60);
    let mut foreign = other.publish(&queue.url(), &[&QUICK[..], &["--drain-timeout", "50ms"]].concat());
    foreign.write(&sent[..20]);
    foreign.end().balanced();
    let mut publisher = state.publish(&queue.url(), &QUICK);
    publisher.write(&sent[20..40]);
    state.wait_for_waiting(20);
    std::fs::rename(state.path("spool.db"), state.path("before.db")).unwrap();
    for suffix in ["-wal", "-shm"] {
        let name = |stem: &str| state.path(&format!("{stem}.db{suffix}"));
        std::fs::rename(name("spool"), name("before")).unwrap();
    }
    std::fs::rename(other.path("spool.db"), state.path("spool.db")).unwrap();
    queue.always(Answer::Take);
    publisher.write(&sent[40..]);
    let ended = publisher.end();
    assert!(ended.stderr.contains("was replaced under a running publisher"), "{}", ended.stderr);
    assert_eq!((ended.code, ended.count("read")), (Some(0), 40), "{}", ended.stderr);
    ended.balanced();
    // Those of the file that stands there now too, and each once.
    assert_complete_after(&queue.events(), &sent);
    let before = state.path("before.db").display().to_string();
    assert_eq!(state.lines(&["spool", "list", "--spool", &before]), Vec::<String>::new());
    assert_eq!(state.run(&["spool", "verify"]).status.code(), Some(0));
}

/// Everything is there; between the two spools there is no order.
fn assert_complete_after(arrived: &[String], sent: &[String]) {
    assert!(sent.iter().all(|it| arrived.contains(it)) && arrived.len() == sent.len());
    assert_order(&arrived.iter().filter(|it| sent[20..].contains(it)).cloned().collect::<Vec<_>>(), sent);
}

#[test]
fn a_place_where_no_spool_can_be_is_said_before_anything_is_read() {
    let (state, queue) = (State::new(), FormQueue::start());
    std::fs::write(state.path("file"), "in the way").unwrap();
    let spool = state.path("file").join("spool.db").display().to_string();
    let output = state.run(&["publish", "--to", &queue.url(), "--spool", &spool]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(2), 1), "{stderr}");
    assert!(stderr.contains("--no-spool") && stderr.contains("file"), "{stderr}");
    assert_eq!(std::fs::read(state.path("file")).unwrap(), b"in the way");
}

#[test]
fn a_spool_of_a_later_version_is_left_as_it_is() {
    let (state, queue) = (State::new(), FormQueue::start());
    queue.always(Answer::status(503));
    let sent = events(3);
    let mut publisher = state.publish(&queue.url(), &[&QUICK[..], &["--drain-timeout", "50ms"]].concat());
    publisher.write(&sent);
    publisher.end().balanced();
    queue.always(Answer::Take);
    let set = |version: i32| {
        let connection = rusqlite::Connection::open(state.path("spool.db")).unwrap();
        let before: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        before
    };
    let now = set(99);
    let before = std::fs::read(state.path("spool.db")).unwrap();
    let refused = state.publish(&queue.url(), &QUICK).end();
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("schema 99"), "{}", refused.stderr);
    assert!(std::fs::read(state.path("spool.db")).unwrap() == before, "the file was changed");
    assert_eq!(state.put_aside(), Vec::<PathBuf>::new());
    set(now);
    state.publish(&queue.url(), &QUICK).end().all_delivered();
    assert_complete(&queue.events(), &sent);
}
