//! `collect --watch` on a terminal: `script` of util-linux is one, and says what was drawn.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use form_usage_events::events::UsageEvent;
use predicates::str::contains;

use crate::support::{SpawnGuarded as _, formusage};

/// Reads until `wanted` was drawn.
fn read_until(terminal: &mut impl Read, drawn: &mut Vec<u8>, wanted: &str) {
    let mut bytes = [0; 4096];
    while !String::from_utf8_lossy(drawn).contains(wanted) {
        let read = terminal.read(&mut bytes).unwrap();
        assert!(read > 0, "{wanted} was not drawn: {}", String::from_utf8_lossy(drawn));
        drawn.extend_from_slice(&bytes[..read]);
    }
}

#[test]
fn draws_a_table_writes_events_and_gives_the_terminal_back() {
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("events.ndjson");
    // A terminal of `script` has no size of its own where standard input is none.
    let line = format!(
        "stty cols 120 rows 20; timeout --foreground 60 '{}' collect --watch --no-state --interval 1h --instance-id watched \
         --user-id alice > '{}'; echo code $?; stty -a",
        env!("CARGO_BIN_EXE_formusage"),
        written.display()
    );
    let mut command = Command::new("script");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FORMUSAGE_")) {
        command.env_remove(name);
    }
    command.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
    let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn_guarded();
    let mut keys = script.stdin.take().unwrap();
    let mut terminal = script.stdout.take().unwrap();

    let mut drawn = Vec::new();
    read_until(&mut terminal, &mut drawn, "watched");
    keys.write_all(b"q").unwrap();
    terminal.read_to_end(&mut drawn).unwrap();
    assert!(script.wait().unwrap().success());

    let drawn = String::from_utf8_lossy(&drawn).into_owned();
    let (before, rest) = drawn.split_once("\x1b[?1049h").unwrap_or_else(|| panic!("{drawn}"));
    let (table, after) = rest.split_once("\x1b[?1049l").unwrap_or_else(|| panic!("{drawn}"));
    assert_eq!(before, "");
    for shown in ["formusage", "instance", "CPU", "mem", "q end", "alice"] {
        assert!(table.contains(shown), "{shown}: {table}");
    }
    // What standard output carries is not on the terminal.
    assert!(!drawn.contains("event_type"), "{drawn}");
    assert!(after.contains("\x1b[?25h") && after.contains("code 0"), "{after}");
    assert!(after.contains(" icanon") && after.contains(" echo "), "{after}");
    // The open period was closed.
    let written = std::fs::read_to_string(&written).unwrap();
    let events: Vec<UsageEvent> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 1, "{written}");
    assert_eq!((events[0].instance_id.as_str(), events[0].user_id.as_str()), ("watched", "alice"));
}

#[test]
fn says_so_where_there_is_no_terminal() {
    formusage()
        .args(["collect", "--watch", "--count", "1"])
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("--watch draws on a terminal, and neither standard error nor standard output is one"));
}
