//! A process that may open few files: it makes do with fewer connections, or says what it lacks.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;

use crate::channels::{SECRET, webhook};
use crate::form_queue::FormQueue;
use crate::support::{formusage, line, lines};

/// `formusage` that may open `files` files at most.
fn with_files(files: u32, folder: &tempfile::TempDir) -> Command {
    let mut command = Command::new("sh");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FORMUSAGE_")) {
        command.env_remove(name);
    }
    command.env("FORMUSAGE_STATE_DIR", folder.path()).timeout(std::time::Duration::from_secs(60));
    command.args(["-c", &format!("ulimit -n {files}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_formusage")]);
    command
}

fn many_instances() -> String {
    (0..30).flat_map(|instance| (0..20).map(move |n| line(&format!("i-{instance}"), n) + "\n")).collect()
}

#[test]
fn publish_delivers_all_with_few_files() {
    for (files, options) in
        [(256, &[][..]), (64, &[]), (256, &["--concurrency", "300"]), (64, &["--concurrency", "300"])]
    {
        let (folder, queue) = (tempfile::tempdir().unwrap(), FormQueue::start());
        with_files(files, &folder)
            .args(["publish", "--report", "json", "--to", &queue.url()])
            .args(options)
            .write_stdin(many_instances())
            .assert()
            .code(0)
            .stderr(contains("panicked").not())
            .stdout(contains("\"delivered\":600").and(contains("\"breaker_opened\":0")));
        assert_eq!(queue.events().len(), 600, "{files} {options:?}");
    }
}

#[test]
fn publish_says_what_it_lacks_and_loses_nothing() {
    let (folder, queue) = (tempfile::tempdir().unwrap(), FormQueue::start());
    // What waits in the spool before is there afterwards.
    queue.always(crate::form_queue::Answer::status(503));
    let publish = ["publish", "--max-retries", "0", "--drain-timeout", "100ms", "--to", &queue.url()];
    with_files(256, &folder).args(publish).write_stdin(lines("a", 3)).assert().code(1);
    for files in [12, 16, 20, 24] {
        let output = with_files(files, &folder).args(publish).write_stdin(lines("b", 3)).output().unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!words.contains("panicked"), "{files}: {words}");
        assert!(output.status.code() == Some(1) || words.contains("ulimit -n"), "{files}: {words}");
    }
    queue.always(crate::form_queue::Answer::Take);
    formusage()
        .env("FORMUSAGE_STATE_DIR", folder.path())
        .args(["publish", "--to", &queue.url()])
        .write_stdin("")
        .env("FORMUSAGE_DRAIN_TIMEOUT", "30s")
        .assert()
        .code(0);
    assert!(lines("a", 3).lines().all(|line| queue.events().iter().any(|event| event == line)));
}

#[test]
fn no_command_panics_with_few_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let queue = FormQueue::start();
    queue.hold([[&[0], line("a", 0).as_bytes()].concat()]);
    let thresholds = file(
        "t.json",
        r#"{"id":"c","resource_type":"Cpu","threshold_type":{"Percentage":{"value":1}},"action":"Notify","user_id":"*","notification_channels":["ops"]}"#,
    );
    let (events, channels) = (file("e.ndjson", &lines("a", 2)), file("c.json", &webhook(9)));
    let url = queue.url();
    for files in [12, 16, 20, 24, 28, 32] {
        for command in [
            &["read", "--from", &url][..],
            &["ping", "--to", &url],
            &["queue", "--listen", "127.0.0.1:no-port"],
            &["check", &thresholds, &events, "--channels", &channels, "--drain-timeout", "100ms"],
        ] {
            let output = with_files(files, &folder).args(command).env("HOOK_SECRET", SECRET).output().unwrap();
            let words = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.code().is_some_and(|code| code <= 2), "{files} {command:?}: {words}");
            assert!(!words.contains("panicked"), "{files} {command:?}: {words}");
            assert!(files > 12 || words.contains("ulimit -n"), "{files} {command:?}: {words}");
        }
    }
}

#[test]
fn a_soft_limit_is_raised() {
    let (folder, queue) = (tempfile::tempdir().unwrap(), FormQueue::start());
    let mut command = Command::new("sh");
    command.env("FORMUSAGE_STATE_DIR", folder.path()).timeout(std::time::Duration::from_secs(60));
    command.args(["-c", "ulimit -Sn 12; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_formusage")]);
    command.args(["publish", "--to", &queue.url()]).write_stdin(lines("a", 2)).assert().code(0);
    assert_eq!(queue.events().len(), 2);
}
