//! `spool` and `dlq` on a terminal: tables as wide as it is, which nothing that others wrote can act upon.

use std::path::Path;

use crate::support::{formusage, line};

/// What a terminal so wide is shown; `script` gives the command one.
fn on_terminal(state: &Path, columns: u16, words: &str) -> String {
    let command = format!("stty cols {columns}; exec {} {words}", env!("CARGO_BIN_EXE_formusage"));
    let mut terminal = assert_cmd::Command::new("script");
    terminal.env("FORMUSAGE_STATE_DIR", state).args(["-qec", &command, "/dev/null"]);
    let run = terminal.timeout(std::time::Duration::from_secs(60)).assert().code(0);
    String::from_utf8(run.get_output().stdout.clone()).unwrap().replace('\r', "")
}

fn in_pipe(state: &Path, words: &str) -> String {
    let mut command = formusage();
    let run = command.env("FORMUSAGE_STATE_DIR", state).args(words.split(' ')).assert().code(0);
    String::from_utf8(run.get_output().stdout.clone()).unwrap()
}

/// A spool with an event that waits and a dead letter, both from a file whose name would colour a terminal.
fn spool(state: &Path) {
    let evil = state.join("evil\u{1b}[31m-and-a-name-that-is-longer-than-a-line.ndjson");
    std::fs::write(&evil, format!("{}\ngarbage{{\n", line("web-1", 0))).unwrap();
    let mut publish = formusage();
    publish.env("FORMUSAGE_STATE_DIR", state);
    publish.args(["publish", "--to", "form://127.0.0.1:1/usage", "--drain-timeout", "10ms"]).arg(&evil);
    publish.assert().code(1);
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_gets_a_table_of_its_width() {
    let folder = tempfile::tempdir().unwrap();
    spool(folder.path());
    for (words, heading, cells) in [
        ("spool list", ["taken", "instance", "period", "from"], ["web-1", "2021-07-15 12:00:00 +30s"]),
        ("spool status", ["destination", "waiting", "oldest", "breaker"], ["127.0.0.1:1/usage", " in use"]),
        ("dlq list", ["last", "kind", "from", "reason"], ["1", "invalid-json"]),
    ] {
        let wide = on_terminal(folder.path(), 400, words);
        for word in heading.iter().chain(&cells) {
            assert!(wide.contains(word), "{words}, {word}: {wide}");
        }
        let narrow = on_terminal(folder.path(), 72, words);
        // The line below the table of destinations names the file, whose name is as long as it is.
        let table = narrow.lines().filter(|line| !line.contains(" in use"));
        for line in table {
            assert!(line.chars().count() <= 72, "{words}: {narrow}");
        }
        // What runs in a container has a terminal that does not know its width.
        let unknown = on_terminal(folder.path(), 0, words);
        assert!(cells.iter().all(|cell| unknown.contains(cell)), "{words}: {unknown}");
        assert!(!wide.contains(char::from(27)) && !narrow.contains(char::from(27)), "{words}: {narrow:?}");
    }
}

#[test]
fn a_pipe_gets_a_json_object_a_line() {
    let folder = tempfile::tempdir().unwrap();
    spool(folder.path());
    for (words, field, value) in [
        ("spool list", "/event/instance_id", "web-1"),
        ("spool status", "/destinations/0/waiting", "1"),
        ("dlq list", "/raw", "garbage{"),
    ] {
        let said = in_pipe(folder.path(), words);
        assert_eq!(said.lines().count(), 1, "{words}: {said}");
        let record: serde_json::Value = serde_json::from_str(&said).unwrap();
        let found = record.pointer(field).unwrap_or_else(|| panic!("{words}: {said}"));
        assert_eq!(found.to_string().trim_matches('"'), value, "{words}: {said}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_list_of_several_blocks_has_one_heading() {
    let folder = tempfile::tempdir().unwrap();
    let events: String = (0..450).map(|n| line("web-1", n) + "\n").collect();
    let mut publish = formusage();
    publish.env("FORMUSAGE_STATE_DIR", folder.path());
    publish.args(["publish", "--to", "form://127.0.0.1:1/t", "--drain-timeout", "10ms"]).write_stdin(events);
    publish.assert().code(1);
    let shown = on_terminal(folder.path(), 200, "spool list");
    assert_eq!((shown.matches("instance").count(), shown.matches("web-1").count()), (1, 450), "{shown}");
    let column = |line: &str| line.find("web-1");
    let rows: Vec<_> = shown.lines().filter_map(column).collect();
    assert!(rows.iter().all(|at| *at == rows[0]), "{shown}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_is_asked_before_what_waits_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    spool(folder.path());
    let answer = |words: &str, answer: &str| {
        let command = format!("exec {} {words}", env!("CARGO_BIN_EXE_formusage"));
        let mut terminal = assert_cmd::Command::new("script");
        terminal.env("FORMUSAGE_STATE_DIR", folder.path()).args(["-qec", &command, "/dev/null"]);
        terminal.write_stdin(format!("{answer}\n")).timeout(std::time::Duration::from_secs(60));
        let output = terminal.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    for (words, what, export) in [
        ("spool purge --waiting", "1 event that was not delivered waits", "formusage spool export"),
        ("dlq purge --all", "1 dead letter holds", "formusage dlq export"),
    ] {
        let (code, said) = answer(words, "no");
        assert!(code == Some(2) && said.contains(what) && said.contains(export), "{said}");
        assert!(said.contains("nothing was thrown away"), "{said}");
        let (code, said) = answer(words, "yes");
        assert!(code == Some(0) && said.contains("thrown away"), "{said}");
    }
    assert_eq!(in_pipe(folder.path(), "spool export"), "");
    assert_eq!(in_pipe(folder.path(), "dlq export"), "");
}
