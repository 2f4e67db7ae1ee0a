//! What a terminal gets of text that others wrote, whatever command and format shows it.

use std::path::Path;

use form_usage_events::plain_text::is_unprintable;

use crate::support::{formusage, line};

/// A C1 control that begins a sequence, a turn of direction, a character without width.
const HOSTILE: &str = "\u{9b}2J\u{202e}\u{200b}";

/// How JSON and XML hold the turn of direction.
const IN_JSON: &str = "\\u202e";
const IN_XML: &str = "&#x202e;";

/// Each command with what stands in place of a character that a terminal is not to get, where its text shows one. `LOG` is a file with such ones in
/// its name and in what it holds.
const COMMANDS: [(&str, &str); 33] = [
    ("check t.json LOG --format table", "\u{fffd}"),
    ("check t.json LOG --format json", IN_JSON),
    ("check t.json LOG --format ndjson", IN_JSON),
    ("check t.json LOG --format github", "\u{fffd}"),
    ("check t.json LOG --format sarif", IN_JSON),
    ("check t.json LOG --format junit", IN_XML),
    ("check t.json LOG --format nagios", ""),
    ("check t.json LOG --format junit --tee >/dev/null", IN_XML),
    ("check t.json LOG --tee 2>/dev/null", IN_JSON),
    ("check t.json LOG --explain --format table", "\u{fffd}"),
    ("check t.json LOG --explain --format json", IN_JSON),
    ("validate LOG --format table", "\u{fffd}"),
    ("validate LOG --format json", IN_JSON),
    ("validate LOG --format ndjson", IN_JSON),
    ("validate LOG --format github", "\u{fffd}"),
    ("validate LOG --format sarif", ""),
    ("validate LOG --format junit", IN_XML),
    ("report LOG --by user,instance --format table", "\u{fffd}"),
    ("report LOG --by user,instance --format json", "\\u200b"),
    ("report LOG --by user,instance --format ndjson", "\\u200b"),
    ("report LOG --by user,instance --format csv", "\u{fffd}"),
    ("report LOG --by user,instance --format html", "&#x200b;"),
    ("report LOG --by user,instance --html /dev/tty", "&#x200b;"),
    ("read --from file:LOG --format table", "\u{fffd}"),
    ("read --from file:LOG --format json", IN_JSON),
    ("read --from file:LOG --format ndjson", IN_JSON),
    ("publish --to - LOG", IN_JSON),
    ("publish --dry-run LOG", IN_JSON),
    ("publish --to file:/dev/tty --dead-letter /dev/null LOG 2>/dev/null", IN_JSON),
    ("publish --to file:/dev/null --dead-letter /dev/tty LOG 2>/dev/null", IN_JSON),
    ("spool list --spool s.db", "\u{fffd}"),
    ("spool export --spool s.db", IN_JSON),
    ("dlq export --spool s.db", IN_JSON),
];

fn log_name() -> String {
    format!("log{HOSTILE}.ndjson")
}

/// An event over the limit whose user has a character that nobody sees, with labels of all kinds, and a line that is none.
fn text() -> String {
    let event = line("web-1", 0).replace("user_1", "user\u{200b}_1");
    let labelled = event.strip_suffix('}').unwrap().to_owned();
    format!("{labelled},\"labels\":{{\"a\":\"{HOSTILE}\"}}}}\n{{\"{HOSTILE}\u{1b}[2J\n")
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let threshold = format!(
        r#"{{"id":"cpu","resource_type":"Cpu","threshold_type":{{"Percentage":{{"value":5}}}},"action":"Log","user_id":"*","description":"{HOSTILE}"}}"#
    );
    std::fs::write(folder.path().join("t.json"), threshold).unwrap();
    std::fs::write(folder.path().join(log_name()), text()).unwrap();
    let words = ["publish", "--to", "form://127.0.0.1:1/u", "--spool", "s.db", "--drain-timeout", "10ms", &log_name()];
    formusage().current_dir(folder.path()).args(words).assert().code(1);
    folder
}

/// What a terminal is shown of a command.
fn on_terminal(folder: &Path, words: &str) -> String {
    let command = format!("{} {}", env!("CARGO_BIN_EXE_formusage"), words.replace("LOG", &log_name()));
    let mut terminal = assert_cmd::Command::new("script");
    terminal.current_dir(folder).env("NO_COLOR", "1").args(["-qec", &command, "/dev/null"]);
    let run = terminal.timeout(std::time::Duration::from_secs(60)).output().unwrap();
    String::from_utf8(run.stdout).unwrap_or_else(|error| panic!("{words}: {error}"))
}

#[test]
fn terminal_gets_no_character_that_it_acts_upon_or_nobody_sees() {
    let folder = folder();
    let mut faults = Vec::new();
    for (words, in_its_place) in COMMANDS {
        let shown = on_terminal(folder.path(), words);
        let raw = shown.chars().find(|char| is_unprintable(*char) && !matches!(char, '\r' | '\n' | '\t'));
        if raw.is_some() || shown.is_empty() || !shown.contains(in_its_place) {
            faults.push(format!("{words}: {raw:?} in {:?}", shown.chars().take(2_000).collect::<String>()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pipe_gets_events_as_they_are() {
    let folder = folder();
    let event = text().lines().next().unwrap().to_owned();
    for words in ["read --from file:LOG --format ndjson", "publish --to - LOG", "spool export --spool s.db"] {
        let words = words.replace("LOG", &log_name());
        let run = formusage().current_dir(folder.path()).args(words.split(' ')).output().unwrap();
        let text = String::from_utf8_lossy(&run.stdout).into_owned();
        assert!(text.lines().any(|line| line == event), "{words}: {text:?}");
    }
}

#[test]
fn arguments_in_errors_are_shown_without_what_a_terminal_acts_upon() {
    for arguments in
        [vec!["validate", "--x\u{202e}\u{9b}31m"], vec!["\u{202e}\u{9b}31m"], vec!["report", "--by", "\u{202e}"]]
    {
        let output = formusage().args(&arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains('\u{fffd}') && !said.contains(['\u{202e}', '\u{9b}']), "{said:?}");
    }
}
