//! `formusage read`, and the destinations that are files.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::form_queue::FormQueue;
use crate::support::{RunningProcess, SpawnGuarded as _, formusage, formusage_process, line, lines, signal};

fn read(from: &str) -> assert_cmd::Command {
    let mut command = formusage();
    command.args(["read", "--from", from]);
    command
}

fn following(from: &str) -> RunningProcess {
    let mut command = formusage_process();
    command.args(["read", "--follow", "--poll-interval", "10ms", "--from", from]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded()
}

fn publish(to: &str, events: &str) {
    formusage().args(["publish", "--to", to]).write_stdin(events).assert().code(0);
}

#[test]
fn sqlite_takes_each_event_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("u.db").display());
    publish(&url, &lines("a", 3));
    formusage()
        .args(["publish", "--report", "json", "--to", &url])
        .write_stdin(lines("a", 4))
        .assert()
        .code(0)
        .stdout(contains("\"delivered\":4").and(contains("\"duplicates\":3")));
    read(&url).assert().code(0).stdout(lines("a", 4)).stderr("");
    read(&url)
        .args(["--start", "1", "--limit", "2"])
        .assert()
        .code(0)
        .stdout(line("a", 1) + "\n" + &line("a", 2) + "\n");
}

#[test]
fn a_file_is_appended_to_and_a_torn_line_stays_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("u.ndjson");
    let url = format!("file:{}", path.display());
    std::fs::write(&path, "{\"torn").unwrap();
    publish(&url, &lines("a", 2));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{{\"torn\n{}", lines("a", 2)));
    read(&url).assert().code(0).stdout(contains("{\"torn\n")).stderr(contains("no usage event"));
}

#[test]
fn the_last_line_needs_no_end_and_repeats_are_left_out() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{0}\n{1}\n{0}\n{1}", line("a", 0), line("a", 1))).unwrap();
    let url = format!("file:{}", file.path().display());
    read(&url).assert().code(0).stdout(lines("a", 2)).stderr(contains("2 repeats"));
}

#[test]
fn standard_output_and_input_are_destinations_too() {
    formusage().args(["publish", "--to", "-"]).write_stdin(lines("a", 2)).assert().code(0).stdout(lines("a", 2));
    read("-").write_stdin(lines("a", 2)).assert().code(0).stdout(lines("a", 2));
}

#[test]
fn formats_for_tools_and_people() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines("a", 2) + "no event\n").unwrap();
    let url = format!("file:{}", file.path().display());
    let json = read(&url).args(["--format", "json"]).output().unwrap().stdout;
    let array: Vec<Value> = serde_json::from_slice(&json).unwrap();
    assert_eq!((array.len(), &array[1]["instance_id"], &array[2]), (3, &"a".into(), &"no event".into()));
    read(&url)
        .args(["--format", "table"])
        .assert()
        .code(0)
        .stdout(contains("2021-07-15 12:00:00 +30s").and(contains("no event")));
    let empty = tempfile::NamedTempFile::new().unwrap();
    let none = read(&format!("file:{}", empty.path().display())).args(["--format", "json"]).output().unwrap();
    assert_eq!((none.status.code(), serde_json::from_slice(&none.stdout).ok()), (Some(0), Some(serde_json::json!([]))));
}

#[test]
fn what_is_not_there_is_one_clear_line() {
    let folder = tempfile::tempdir().unwrap();
    for (scheme, name) in [("sqlite", "no.db"), ("file", "no.ndjson")] {
        let path = folder.path().join(name);
        read(&format!("{scheme}:{}", path.display()))
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains("does not exist yet"));
        assert!(!path.exists(), "a reader makes no file");
    }
    read(&format!("file:{}", folder.path().display())).assert().code(2).stderr(contains("is a directory"));
    read(&FormQueue::start().url()).assert().code(2).stderr(contains("holds no topic"));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    read(&format!("form://127.0.0.1:{port}/usage_events")).assert().code(2).stderr(contains("Connection refused"));
    read("form://no-such-host.invalid").assert().code(2).stderr(contains("does not resolve"));
}

#[test]
#[cfg(target_os = "linux")]
fn follow_reads_a_log_before_it_is_cut_again_however_seldom_it_polls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("u.log");
    std::fs::write(&path, "").unwrap();
    let mut command = formusage_process();
    command.args(["read", "--follow", "--poll-interval", "1h", "--from", &format!("file:{}", path.display())]);
    let mut child = command.stdout(Stdio::piped()).spawn_guarded();
    let output = BufReader::new(child.stdout.take().unwrap());
    let (sender, shown) = std::sync::mpsc::channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let mut log = std::fs::File::options().append(true).open(&path).unwrap();
    for n in 0..10 {
        writeln!(log, "{}", line("i", n)).unwrap();
        let next = shown.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        assert_eq!(next, line("i", n));
        // One copy is kept, so that what was not read by now would be gone.
        std::fs::copy(&path, folder.path().join("u.log.1")).unwrap();
        log.set_len(0).unwrap();
    }
}

#[test]
fn follow_waits_for_what_is_not_there_yet_and_ends_with_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    for scheme in ["sqlite", "file"] {
        let url = format!("{scheme}:{}", folder.path().join(scheme).display());
        let mut child = following(&url);
        let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(words.next().unwrap().unwrap().starts_with("waiting: "));
        let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
        for n in 0..3 {
            publish(&url, &(line("a", n) + "\n"));
            assert_eq!(shown.next().unwrap().unwrap(), line("a", n), "{scheme}");
        }
        signal(&child, if scheme == "file" { "TERM" } else { "INT" });
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_line_that_is_being_written_is_shown_when_it_is_whole() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut child = following(&format!("file:{}", file.path().display()));
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    let (one, two) = (line("a", 0), line("a", 1));
    let (head, tail) = one.split_at(40);
    write!(file, "{two}\n{head}").unwrap();
    assert_eq!(shown.next().unwrap().unwrap(), two);
    writeln!(file, "{tail}").unwrap();
    assert_eq!(shown.next().unwrap().unwrap(), one);
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines("a", 5_000)).unwrap();
    let mut command = formusage_process();
    command.args(["read", "--from", &format!("file:{}", file.path().display())]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_queue_is_followed_over_its_restart() {
    let queue = FormQueue::start();
    queue.hold([[&[0], line("a", 0).as_bytes()].concat()]);
    let mut child = following(&queue.url());
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(shown.next().unwrap().unwrap(), line("a", 0));
    queue.restart();
    queue.hold([[&[0], line("a", 1).as_bytes()].concat()]);
    assert_eq!(shown.next().unwrap().unwrap(), line("a", 1));
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Milliseconds in place of seconds lie thousands of years behind the last date that has a form.
#[test]
fn a_time_that_no_calendar_holds_is_shown_as_it_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), line("a", 0).replace("\"start\":1626350400", "\"start\":1626350400000")).unwrap();
    let from = format!("file:{}", file.path().display());
    read(&from).args(["--format", "table"]).assert().code(0).stdout(contains("1626350400000 +"));
}

/// Twenty lines, rotated after every fifth, as logrotate does it in either way.
#[test]
fn every_line_of_a_rotated_file_is_shown() {
    for copies in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u.ndjson");
        let append = |n: i64| {
            let mut file = std::fs::File::options().append(true).create(true).open(&path).unwrap();
            writeln!(file, "{}", line("a", n)).unwrap();
        };
        append(0);
        let mut child = following(&format!("file:{}", path.display()));
        let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(shown.next().unwrap().unwrap(), line("a", 0));
        for n in 1..20 {
            append(n);
            if n % 5 == 0 {
                let rotated = |n: usize| folder.path().join(format!("u.ndjson.{n}"));
                for n in (1..4).rev() {
                    let _ = std::fs::rename(rotated(n), rotated(n + 1));
                }
                if copies {
                    std::fs::copy(&path, rotated(1)).unwrap();
                    std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
                } else {
                    std::fs::rename(&path, rotated(1)).unwrap();
                }
            }
        }
        for n in 1..20 {
            assert_eq!(shown.next().unwrap().unwrap(), line("a", n), "copies: {copies}");
        }
        signal(&child, "TERM");
        let output = child.wait_with_output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), words.contains("copying and truncating")), (Some(0), copies), "{words}");
    }
}

#[test]
fn lines_that_a_truncation_took_are_said_to_be_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("u.ndjson");
    std::fs::write(&path, lines("a", 3)).unwrap();
    let mut child = following(&format!("file:{}", path.display()));
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
    for n in 0..3 {
        assert_eq!(shown.next().unwrap().unwrap(), line("a", n));
    }
    std::fs::write(&path, line("b", 0) + "\n").unwrap();
    assert_eq!(shown.next().unwrap().unwrap(), line("b", 0));
    assert!(words.next().unwrap().unwrap().contains("are NOT shown"));
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
