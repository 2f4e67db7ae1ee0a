//! What `publish` has read from a pipe is in the spool, or still in the pipe: nobody else has it.
#![cfg(unix)]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::{RunningProcess, SpawnGuarded as _, formusage_process, lines, signal};

const NOWHERE: &str = "form://127.0.0.1:1/usage_events";

/// A pipe with a writer that waits for room, and a spool that is smaller than what it writes.
struct Bench {
    folder: tempfile::TempDir,
    /// Keeps what nobody read.
    pipe: PipeReader,
    written: Arc<AtomicUsize>,
    lines: Arc<Vec<String>>,
}

impl Bench {
    fn new() -> Self {
        let (pipe, mut writer) = std::io::pipe().unwrap();
        let lines: Arc<Vec<String>> = Arc::new(lines("a", 5_000).split_inclusive('\n').map(str::to_owned).collect());
        let (written, to_write) = (Arc::new(AtomicUsize::new(0)), lines.clone());
        let count = written.clone();
        std::thread::spawn(move || {
            for line in &*to_write {
                if writer.write_all(line.as_bytes()).is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { folder: tempfile::tempdir().unwrap(), pipe, written, lines }
    }

    fn publisher(&self) -> std::process::Command {
        let mut command = formusage_process();
        command
            .env("FORMUSAGE_STATE_DIR", self.folder.path())
            .args(["publish", "--to", NOWHERE, "--drain-timeout", "1s"])
            .stdin(self.pipe.try_clone().unwrap())
            .stdout(Stdio::null());
        command
    }

    /// A publisher that reads the pipe; its spool is full when this returns.
    fn publish_until_full(&self) -> RunningProcess {
        fills_its_spool(self.publisher(), "200KB")
    }

    fn spooled(&self) -> String {
        spooled_in(self.folder.path())
    }

    /// Returns when what was written is in the spool or in the pipe. It is to be so for as long as the spool is full.
    fn wait_until_all_is_somewhere(&self) {
        let length = |lines: &[String]| lines.iter().map(String::len).sum::<usize>();
        loop {
            let written = self.written.load(Ordering::SeqCst);
            let in_pipe = rustix::io::ioctl_fionread(&self.pipe).unwrap();
            let places = self.spooled().len() as u64 + in_pipe;
            if places == length(&self.lines[..written]) as u64 && self.written.load(Ordering::SeqCst) == written {
                return;
            }
        }
    }

    fn nothing_is_lost(mut self) {
        let spooled = self.spooled();
        assert!(spooled.lines().count() > 100);
        let mut rest = String::new();
        self.pipe.read_to_string(&mut rest).unwrap();
        let all: String = self.lines.concat();
        assert!(spooled + &rest == all, "what was written is in the spool or in the pipe, once and in order");
    }
}

/// Runs `publisher` with a spool of this size until that is full.
fn fills_its_spool(mut publisher: std::process::Command, limit: &str) -> RunningProcess {
    let mut publisher = publisher.args(["--spool-max-bytes", limit]).stderr(Stdio::piped()).spawn_guarded();
    let mut log = BufReader::new(publisher.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("nothing more is read until the spool takes it") {
        said.clear();
        assert_ne!(log.read_line(&mut said).unwrap(), 0, "the publisher has ended");
    }
    std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
    publisher
}

fn spooled_in(state: &Path) -> String {
    let mut command = formusage_process();
    command.env("FORMUSAGE_STATE_DIR", state).args(["spool", "export"]);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_signal_while_the_spool_is_full_loses_nothing() {
    let bench = Bench::new();
    let publisher = bench.publish_until_full();
    signal(&publisher, "TERM");
    publisher.wait_with_output().unwrap();
    bench.nothing_is_lost();
}

#[test]
fn a_kill_while_the_spool_is_full_loses_nothing() {
    let bench = Bench::new();
    let publisher = bench.publish_until_full();
    bench.wait_until_all_is_somewhere();
    signal(&publisher, "KILL");
    publisher.wait_with_output().unwrap();
    bench.nothing_is_lost();
}

#[test]
fn a_writer_hears_at_once_that_a_publisher_which_was_asked_to_end_reads_no_more() {
    // It takes connections and never answers, so that the publisher waits to its last second.
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (folder, (pipe, mut writer)) = (tempfile::tempdir().unwrap(), std::io::pipe().unwrap());
    let mut command = formusage_process();
    command.args(["publish", "--drain-timeout", "20s", "--to", &format!("form://{}", hung.local_addr().unwrap())]);
    command.env("FORMUSAGE_STATE_DIR", folder.path()).stdin(pipe).stdout(Stdio::null()).stderr(Stdio::null());
    let mut publisher = command.spawn_guarded();
    // It holds the reading end still.
    drop(command);
    let write_end = writer.try_clone().unwrap();
    let mut written = String::new();
    let mut write = |n| {
        let line = crate::support::line("a", n) + "\n";
        writer.write_all(line.as_bytes()).map(|()| written.push_str(&line))
    };
    write(0).unwrap();
    let is_read = || rustix::io::ioctl_fionread(&write_end).unwrap() == 0;
    let has_reader = || {
        let mut polled = [PollFd::new(&write_end, PollFlags::OUT)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
        !polled[0].revents().contains(PollFlags::ERR)
    };
    while !is_read() {}
    signal(&publisher, "TERM");
    write(1).unwrap();
    while !is_read() {}
    while has_reader() {
        assert!(publisher.try_wait().unwrap().is_none(), "it ended with the pipe open");
    }
    assert_eq!(write(2).unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    signal(&publisher, "TERM");
    publisher.wait_with_output().unwrap();
    assert_eq!(spooled_in(folder.path()), written);
}

#[test]
fn publishers_that_follow_each_other_on_a_fifo_lose_nothing() {
    // As systemd does, the test holds the pipe open while its reader is restarted.
    let bench = Bench::new();
    for _ in 0..3 {
        let before = bench.written.load(Ordering::SeqCst);
        let publisher = bench.publisher().stderr(Stdio::null()).spawn_guarded();
        while before < bench.lines.len() && bench.written.load(Ordering::SeqCst) == before {
            std::thread::yield_now();
        }
        signal(&publisher, "TERM");
        publisher.wait_with_output().unwrap();
    }
    bench.nothing_is_lost();
}

#[test]
fn fifo_of_the_units_loses_nothing_over_restarts_of_either_side() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("events");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // As systemd's socket unit has it: open for both, whoever else comes and goes.
    let held = OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    let all: Arc<Vec<String>> = Arc::new(lines("a", 5_000).split_inclusive('\n').map(str::to_owned).collect());
    let writer = std::thread::spawn({
        let (all, fifo) = (all.clone(), fifo.clone());
        move || {
            // A meter that is started again for every forty lines.
            for some in all.chunks(40) {
                let mut meter = OpenOptions::new().write(true).open(&fifo).unwrap();
                some.iter().for_each(|line| meter.write_all(line.as_bytes()).unwrap());
            }
        }
    });
    // The destination is down for so long that each publisher fills its spool before it is started again.
    for limit in ["200KB", "300KB", "400KB"] {
        let mut command = formusage_process();
        command.args(["publish", "--to", NOWHERE, "--drain-timeout", "1s"]).stdin(held.try_clone().unwrap());
        command.env("FORMUSAGE_STATE_DIR", folder.path()).stdout(Stdio::null());
        let publisher = fills_its_spool(command, limit);
        signal(&publisher, "TERM");
        publisher.wait_with_output().unwrap();
    }
    let mut pipe = File::open(&fifo).unwrap();
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        pipe.read_to_string(&mut rest).unwrap();
        rest
    });
    writer.join().unwrap();
    drop(held);
    let spooled = spooled_in(folder.path());
    let found = spooled.clone() + &rest.join().unwrap();
    assert!(spooled.lines().count() > 300, "{} lines are in the spool", spooled.lines().count());
    assert!(found == all.concat(), "what was written is in the spool or in the pipe, once and in order");
}
