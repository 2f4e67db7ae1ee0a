//! A log that can't be written stops nothing: every command behaves and exits as with a good one.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::Value;

use crate::form_queue::FormQueue;
use crate::support::{formusage_process, line, lines, signal};

/// Where standard error leads.
#[derive(Debug, Clone, Copy)]
enum Log {
    Good,
    /// No room is left on its disk.
    Full,
    /// Whoever read it is gone.
    Unread,
    /// Whoever reads it stands still, and the pipe is full.
    Stuck,
}

impl Log {
    fn stdio(self) -> Stdio {
        match self {
            Self::Good => Stdio::null(),
            Self::Full => File::options().write(true).open("/dev/full").unwrap().into(),
            Self::Unread => std::io::pipe().map(|(_, writer)| writer).unwrap().into(),
            Self::Stuck => full_pipe().into(),
        }
    }
}

/// A pipe that takes nothing more; it has a reader for as long as this process runs.
fn full_pipe() -> PipeWriter {
    static READERS: Mutex<Vec<PipeReader>> = Mutex::new(Vec::new());
    let (reader, mut writer) = std::io::pipe().unwrap();
    READERS.lock().unwrap().push(reader);
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    fcntl_setfl(&writer, flags).unwrap();
    writer
}

/// Runs a command in `folder`; gives its exit code and what it wrote to standard output.
fn run(folder: &Path, log: Log, words: &[&str], input: &str) -> (Option<i32>, String) {
    let mut command = formusage_process();
    command.args(words).current_dir(folder).env("FORMUSAGE_STATE_DIR", folder.join("state"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log.stdio());
    let mut child = command.spawn().unwrap();
    // A usage error ends it before it reads.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Does the same with each kind of log; all give what a good one gives, which is returned.
fn same_with_each<T: PartialEq + std::fmt::Debug>(work: impl Fn(&Path, Log) -> T) -> T {
    same_with(&[Log::Full, Log::Unread, Log::Stuck], work)
}

/// What `--tee` reports, and lines that are kept nowhere else, are data, which waits for its reader.
fn logs_for(words: &[&str]) -> &'static [Log] {
    let has_data = ["--tee", "--no-spool", "--dry-run", "-"].iter().any(|word| words.contains(word));
    if has_data { &[Log::Full, Log::Unread] } else { &[Log::Full, Log::Unread, Log::Stuck] }
}

fn same_with<T: PartialEq + std::fmt::Debug>(logs: &[Log], work: impl Fn(&Path, Log) -> T) -> T {
    let with = |log| work(tempfile::tempdir().unwrap().path(), log);
    let good = with(Log::Good);
    for &log in logs {
        assert_eq!(with(log), good, "{log:?}");
    }
    good
}

/// A line that is no event, and three events.
fn input() -> String {
    format!("not json\n{}", lines("a", 3))
}

/// Every event exceeds it.
const THRESHOLD: &str = r#"{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":5}},"action":"Log","user_id":"*","clear_value":1}"#;

#[test]
fn publish_delivers_and_keeps_dead_letters_without_a_log() {
    for options in [&[][..], &["--no-spool"], &["--thresholds", "t.json"], &["--dead-letter", "letters"]] {
        let (code, report, events, letters) = same_with(logs_for(options), |folder, log| {
            let queue = FormQueue::start();
            std::fs::write(folder.join("t.json"), THRESHOLD).unwrap();
            let words = ["-vv", "publish", "--report", "json", "--to", &queue.url()];
            let (code, report) = run(folder, log, &[&words[..], options].concat(), &input());
            let report: Value = serde_json::from_str(&report).unwrap();
            let counts = ["read", "delivered", "refused"].map(|name| report[name].as_u64());
            let (_, letters) = run(folder, Log::Good, &["dlq", "export"], "");
            (code, counts, queue.events(), letters)
        });
        assert_eq!((code, report), (Some(1), [Some(4), Some(3), Some(1)]), "{options:?}");
        assert_eq!(events.len(), 3);
        assert_eq!(letters, if options == ["--no-spool"] { "" } else { "not json\n" });
    }
}

#[test]
fn commands_that_judge_events_do_so_without_a_log() {
    for (words, expected) in [
        (&["check", "t.json"][..], 2),
        (&["check", "t.json", "--tee"], 2),
        (&["check", "t.json", "--state", "s.json"], 2),
        (&["validate", "--continuity"], 1),
        (&["report"], 2),
        (&["publish", "--to", "-"], 1),
        (&["publish", "--dry-run"], 1),
        // Usage errors too.
        (&["publish", "--concurrency", "many"], 2),
    ] {
        let (code, printed) = same_with(logs_for(words), |folder, log| {
            std::fs::write(folder.join("t.json"), THRESHOLD).unwrap();
            run(folder, log, &[&["-vv"], words].concat(), &input())
        });
        assert_eq!(code, Some(expected), "{words:?}");
        assert_eq!(printed.is_empty(), words.contains(&"many"), "{words:?}: {printed}");
    }
}

#[test]
fn read_follows_without_a_log() {
    let (code, printed) = same_with_each(|folder, log| {
        std::fs::write(folder.join("events"), input()).unwrap();
        run(folder, log, &["-vv", "read", "--follow", "--from", "file:events", "--limit", "4"], "")
    });
    assert_eq!((code, printed), (Some(0), input()));
}

#[test]
fn collect_meters_without_a_log() {
    let (code, events) = same_with_each(|folder, log| {
        let words = ["-vv", "collect", "--count", "1", "--interval", "1s", "--no-align"];
        let (code, events) = run(folder, log, &words, "");
        (code, events.lines().count())
    });
    assert_eq!((code, events), (Some(0), 1));
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn queue_serves_without_a_log() {
    let code = same_with_each(|folder, log| {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command: Command = formusage_process();
        command.args(["-vv", "queue", "--db", "q.db", "--listen", &address]).current_dir(folder);
        let mut child = Killed(command.stderr(log.stdio()).spawn().unwrap());
        while TcpStream::connect(&address).is_err() {
            assert!(child.0.try_wait().unwrap().is_none(), "{log:?}");
            std::thread::yield_now();
        }
        let to = format!("form://{address}/usage_events");
        assert_eq!(run(folder, Log::Good, &["publish", "--to", &to], &(line("a", 0) + "\n")).0, Some(0));
        signal(&child.0, "TERM");
        child.0.wait().unwrap().code()
    });
    assert_eq!(code, Some(0));
}
