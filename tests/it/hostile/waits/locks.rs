//! Files of ours that another program keeps locked: a signal ends who waits, and with a mere reader nobody waits.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::channel;

use rusqlite::Connection;
use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};

use super::{BEGIN_AGAIN, BY_SIGNAL, CHECKED, Case, DELIVERED, End, NOTHING_READ, Promise};
use crate::support::{formusage, line};

/// What another program does with the file.
const WRITES: &str = "BEGIN IMMEDIATE";
const READS: &str = "BEGIN; SELECT count(*) FROM sqlite_schema";
/// Keeps readers out too.
const OWNS: &str = "PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; CREATE TABLE other (a)";

/// Nothing was delivered of what came in, and that is said.
const SHOWN: Promise = Promise { ends: &[End::Code(1)], said: "not delivered", waiting: 0 };
/// Before it listens there is nothing to finish.
const SERVED: Promise = Promise { ends: &[End::Code(0), End::BySignal], said: "", waiting: 0 };
/// The wait for the file is longer than the time that a reader may take to finish.
const NOTHING_READ_BY_FORCE: Promise = Promise { ends: &[End::Code(0), End::Code(2)], ..NOTHING_READ };

/// Tells of the next time that somebody opens the file.
fn next_opening(path: &Path) -> OwnedFd {
    let watch = init(CreateFlags::CLOEXEC).unwrap();
    add_watch(&watch, path, WatchFlags::OPEN).unwrap();
    watch
}

/// `words` on a folder whose files hold something, while another program does `other` with the file.
fn locked(words: &str, file: &'static str, other: &str, promise: Promise) -> Case {
    let (sender, engaged) = channel();
    let nobody = ([127, 0, 0, 1], 9).into();
    let case = Case::at(words, "is no server: another program holds the file", nobody, engaged, promise);
    let folder = case.folder.path();
    std::fs::write(folder.join("store.json"), r#"{"channels":{"ops":{"queue":{"to":"sqlite:d.db"}}}}"#).unwrap();
    for words in [
        "publish events --to sqlite:d.db",
        "publish bad --to file:out",
        "publish events --to file:out --thresholds t.json --channels store.json",
    ] {
        std::fs::write(folder.join("bad"), "no event\n").unwrap();
        let mut command = formusage();
        let _ = command.current_dir(folder).env("FORMUSAGE_STATE_DIR", folder).args(words.split(' ')).assert();
    }
    // What makes the spool.
    let mut command = formusage();
    command.args(["publish", "--drain-timeout", "0s", "--to", "form://127.0.0.1:9"]).write_stdin("no event\n");
    command.env("FORMUSAGE_STATE_DIR", folder).assert().code(1);
    let connection = Connection::open(folder.join(file)).unwrap();
    connection.execute_batch(other).unwrap();
    // Where nobody else may have it open, there is no index of the log.
    let index = folder.join(format!("{file}-shm"));
    let opening = next_opening(&if other == OWNS { folder.join(file) } else { index });
    std::thread::spawn(move || {
        let mut events = [0; 1024];
        let _ = rustix::io::read(&opening, &mut events);
        let _ = sender.send(());
        std::thread::park();
        drop(connection);
    });
    // It may be told to end as soon as it has opened the file, before it takes anything.
    Case { or_else: words.starts_with("publish").then_some(BEGIN_AGAIN), ..case }
}

#[test]
fn signal_ends_every_command_that_waits_for_a_locked_file() {
    let publish = |rest: &str| format!("publish --drain-timeout 3s {rest}");
    let mut cases = vec![
        locked(&publish("--to sqlite:d.db"), "d.db", WRITES, SHOWN),
        locked(&publish("--to sqlite:d.db"), "d.db", READS, DELIVERED),
        locked(&publish("--to form://ADDRESS"), "spool.db", WRITES, BEGIN_AGAIN),
        locked(&publish("--to file:out --thresholds t.json --channels store.json"), "alerts.db", WRITES, BEGIN_AGAIN),
        locked("queue --listen 127.0.0.1:0 --db d.db", "d.db", READS, SERVED),
        locked("read --follow --from sqlite:d.db", "d.db", OWNS, NOTHING_READ_BY_FORCE),
        locked("report --from sqlite:d.db", "d.db", OWNS, BY_SIGNAL),
        locked("check t.json events --channels store.json", "alerts.db", WRITES, CHECKED),
        locked("channels test ops --channels store.json", "d.db", WRITES, BY_SIGNAL),
    ];
    for words in ["dlq replay --all", "dlq purge --all --yes"] {
        cases.push(locked(words, "spool.db", WRITES, BY_SIGNAL));
    }
    super::walk(cases);
}

#[test]
fn spool_that_is_locked_at_work_keeps_what_it_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = crate::support::formusage_process();
    command.args(["publish", "--drain-timeout", "3s", "--to", "form://127.0.0.1:9"]);
    command.env("FORMUSAGE_STATE_DIR", folder.path()).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut publisher = crate::support::SpawnGuarded::spawn_guarded(&mut command);
    let mut input = publisher.stdin.take().unwrap();
    writeln!(input, "{}", line("web-1", 0)).unwrap();
    let spool = folder.path().join("spool.db");
    while super::waiting_in(folder.path()) == 0 {
        assert!(publisher.try_wait().unwrap().is_none());
    }
    let other = Connection::open(&spool).unwrap();
    other.busy_timeout(super::START_TIME).unwrap();
    other.execute_batch(WRITES).unwrap();
    writeln!(input, "{}", line("web-2", 0)).unwrap();
    crate::support::signal(&publisher, "TERM");
    let output = super::ended_within(publisher, super::END_TIME).expect("it ends in time");
    drop(other);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{output:?}");
    let waiting = super::waiting_in(folder.path());
    let said = String::from_utf8_lossy(&output.stderr);
    let names_where_to_go_on =
        said.contains("1 line that was read is not in the spool; publish again from <stdin>:2 on");
    assert!(waiting == 2 || (waiting == 1 && names_where_to_go_on), "{waiting} wait: {said}");
}
