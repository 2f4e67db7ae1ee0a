//! `formusage collect` and its standard output: files on full disks, half lines, outputs that are closed.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use tempfile::TempDir;

use crate::support::{SpawnGuarded as _, formusage, formusage_process, not_run};

const BINARY: &str = env!("CARGO_BIN_EXE_formusage");

/// One period of a second, onto the end of `file`; the exit code.
fn append(file: &Path, state: &Path) -> Option<i32> {
    let out = std::fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    let mut collect = formusage_process();
    collect.args(["collect", "--interval", "1s", "--count", "1", "--instance-id", "i", "--state"]).arg(state);
    collect.stdout(out).stderr(Stdio::null()).status().unwrap().code()
}

fn is_whole(file: &Path) {
    let checked = formusage().args(["validate", "--continuity"]).arg(file).assert();
    checked.code(0).stderr(contains(" 0 s of gaps, 0 s of overlaps"));
}

#[test]
fn a_disk_that_is_full_tears_no_line_and_the_next_run_writes_the_event() {
    let folder = TempDir::new().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"]).arg(&disk).output();
    if !mounted.is_ok_and(|it| it.status.success()) {
        not_run("a tmpfs can't be mounted, which takes root");
        return;
    }
    let (file, state) = (disk.join("events.ndjson"), folder.path().join("s.json"));
    assert_eq!(append(&file, &state), Some(0));
    // All but a part of an event's bytes, within the page that the file has.
    let length = std::fs::metadata(&file).unwrap().len();
    let line = length / std::fs::read_to_string(&file).unwrap().lines().count() as u64;
    let mut events = std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    let mut room = 4096 - length - line / 2;
    let sound = std::fs::read_to_string(&file).unwrap().lines().next().unwrap().len() as u64;
    assert!(room > sound + 1);
    // Blank lines count for nothing.
    while room > 0 {
        events.write_all(b"\n").unwrap();
        room -= 1;
    }
    let filler = disk.join("filler");
    assert!(std::fs::write(&filler, vec![0; 64 << 10]).is_err(), "the disk was to be full");
    let full = append(&file, &state);
    let after = std::fs::read(&file).unwrap();
    std::fs::remove_file(&filler).unwrap();
    let again = append(&file, &state);
    let checked = (full, after.ends_with(b"\n"), again);
    let output = formusage().args(["validate", "--continuity"]).arg(&file).output().unwrap();
    Command::new("umount").arg("-l").arg(&disk).status().unwrap();
    assert_eq!(checked, (Some(2), true, Some(0)));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn half_a_line_of_somebody_who_was_cut_off_spoils_no_other() {
    let folder = TempDir::new().unwrap();
    let (file, state) = (folder.path().join("events.ndjson"), folder.path().join("s.json"));
    assert_eq!(append(&file, &state), Some(0));
    let half = "{\"event_type\":\"resource_us";
    std::fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(half.as_bytes()).unwrap();
    assert_eq!(append(&file, &state), Some(0));
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().filter(|line| *line == half).count(), 1, "{text}");
    std::fs::write(&file, text.replace(&format!("{half}\n"), "")).unwrap();
    is_whole(&file);
}

#[test]
fn of_a_standard_output_that_is_closed_it_is_said_and_of_the_null_device_not() {
    let shell = |rest: &str| {
        let command = format!("exec '{BINARY}' collect --no-state --interval 1s --count 1 {rest}");
        Command::new("sh").args(["-c", &command]).output().unwrap()
    };
    let closed = shell(">&-");
    let words = String::from_utf8_lossy(&closed.stderr).into_owned();
    assert_eq!((closed.status.code(), words.contains("standard output is closed")), (Some(0), true), "{words}");
    let null = shell("> /dev/null");
    let words = String::from_utf8_lossy(&null.stderr).into_owned();
    assert_eq!((null.status.code(), words.contains("standard output")), (Some(0), false), "{words}");
}

#[cfg(unix)]
#[test]
fn two_names_of_one_state_are_one_state() {
    let folder = TempDir::new().unwrap();
    let (state, link) = (folder.path().join("a.json"), folder.path().join("b.json"));
    std::os::unix::fs::symlink("a.json", &link).unwrap();
    let out = folder.path().join("out");
    let mut first = formusage_process();
    first.args(["collect", "--interval", "1s", "--state"]).arg(&link).stdin(Stdio::null());
    let mut first = first.stdout(Stdio::piped()).stderr(Stdio::null()).spawn_guarded();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(first.stdout.as_mut().unwrap()), &mut line).unwrap();
    let refused = append(&out, &state);
    let is_link = link.symlink_metadata().unwrap().is_symlink();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!((refused, is_link, state.is_file()), (Some(2), true, true));
    assert_eq!(append(&out, &state), Some(0), "it goes on from the state behind the link");
}

#[test]
fn what_is_no_file_is_refused_as_a_state_and_nothing_is_left_beside_it() {
    let folder = TempDir::new().unwrap();
    let state = folder.path().join("folder");
    std::fs::create_dir(&state).unwrap();
    let mut collect = formusage();
    let refused = collect.args(["collect", "--interval", "1s", "--count", "1", "--state"]).arg(&state).assert();
    refused.code(2).stderr(contains("no regular file").and(contains("--no-state")));
    assert!(!folder.path().join("folder.lock").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn of_a_process_that_ended_it_is_said_once_and_the_run_goes_on_at_rest() {
    let mut sleeper = Command::new("sleep").arg("987").spawn_guarded();
    let mut collect = formusage_process();
    collect.args(["collect", "--no-state", "--interval", "1s", "--count", "4", "--scope"]);
    collect.arg(format!("pid:{}", sleeper.id())).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut collect = collect.spawn_guarded();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(collect.stdout.as_mut().unwrap()), &mut line).unwrap();
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let ended = collect.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!((ended.status.code(), words.matches("nothing is left of it").count()), (Some(0), 1), "{words}");
    assert!(words.contains("nothing comes of it any more"), "{words}");
}
