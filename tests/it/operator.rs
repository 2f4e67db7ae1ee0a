//! What an operator sees of delivery, and what nobody but them may see.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use predicates::str::contains;
use serde_json::Value;

use crate::form_queue::{Answer, FormQueue};
use crate::nats_server::NatsServer;
use crate::support::{SpawnGuarded as _, formusage, formusage_process, line, lines};

/// The binary with its state in `folder`.
fn at(folder: &Path, words: &[&str]) -> assert_cmd::Command {
    let mut command = formusage();
    command.env("FORMUSAGE_STATE_DIR", folder).args(words);
    command
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn what_a_queue_replies_does_not_act_on_a_terminal() {
    let queue = FormQueue::start();
    let reply = r#"{"Failure":{"reason":"disk \u001b[31mred\u001b]0;title\u0007\u009b2J\nerror: forged"}}"#;
    queue.always(Answer::Status(200, "", reply));
    let folder = tempfile::tempdir().unwrap();
    let words = ["publish", "--to", &queue.url(), "--drain-timeout", "5s", "--max-retries", "0"];
    let run = at(folder.path(), &words).write_stdin(line("a", 0)).assert().code(1);
    let said = text(run.get_output().stderr.clone());
    assert!(said.contains("disk"), "{said}");
    assert!(!said.contains(|char: char| char.is_control() && char != '\n'), "{said:?}");
    assert!(!said.contains("\nerror: forged"), "{said:?}");
}

#[test]
fn the_log_says_why_the_breaker_opened() {
    let queue = FormQueue::start();
    queue.always(Answer::status(503));
    let folder = tempfile::tempdir().unwrap();
    let words = ["publish", "--to", &queue.url(), "--drain-timeout", "5s", "--failure-threshold", "1"];
    let run = at(folder.path(), &words).write_stdin(line("a", 0)).assert().code(1);
    let said = text(run.get_output().stderr.clone());
    let opened = said.lines().find(|line| line.contains("circuit breaker opened")).unwrap();
    assert!(opened.contains("503 Service Unavailable"), "{said}");
}

#[test]
fn a_later_run_says_why_the_breaker_is_open() {
    let queue = FormQueue::start();
    queue.always(Answer::status(503));
    let folder = tempfile::tempdir().unwrap();
    let words = ["publish", "--to", &queue.url(), "--drain-timeout", "5s", "--failure-threshold", "1"];
    at(folder.path(), &words).write_stdin(line("a", 0)).assert().code(1);
    let later = at(folder.path(), &words).write_stdin(line("a", 1)).assert().code(1);
    let said = text(later.get_output().stderr.clone());
    let why = said.lines().find(|line| line.contains("an earlier run opened the circuit breaker")).unwrap();
    assert!(why.contains("503 Service Unavailable") && why.contains("left alone for another"), "{said}");
    let status = at(folder.path(), &["spool", "status"]).assert().code(0);
    let status: Value = serde_json::from_slice(&status.get_output().stdout).unwrap();
    let cause = &status["destinations"][0]["breaker_cause"];
    assert!(cause.as_str().is_some_and(|cause| cause.contains("503")), "{status}");
    queue.always(Answer::Take);
    let words = ["publish", "--to", &queue.url()];
    at(folder.path(), &words).write_stdin("").assert().code(0);
    let status = at(folder.path(), &["spool", "status"]).assert().code(0);
    let status: Value = serde_json::from_slice(&status.get_output().stdout).unwrap();
    assert_eq!(status["destinations"][0]["breaker_cause"], Value::Null);
}

#[test]
fn a_publisher_without_an_end_says_at_once_that_an_earlier_run_left_the_breaker_open() {
    let queue = FormQueue::start();
    queue.always(Answer::status(503));
    let folder = tempfile::tempdir().unwrap();
    let words = ["publish", "--to", &queue.url(), "--drain-timeout", "5s", "--failure-threshold", "1"];
    at(folder.path(), &words).write_stdin(line("a", 0)).assert().code(1);
    let mut command = formusage_process();
    command.env("FORMUSAGE_STATE_DIR", folder.path()).args(words);
    // Nothing comes in through the pipe, and it stays open.
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn_guarded();
    let said = BufReader::new(child.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said.contains("an earlier run found") && said.contains("503"), "{said}");
}

#[test]
fn a_certificate_that_is_shown_to_nobody_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["publish", "--to", "form://127.0.0.1:1/t", "--drain-timeout", "10ms", "--client-cert", "meter.pem"];
    let run = at(folder.path(), &words).write_stdin("").assert();
    let said = text(run.get_output().stderr.clone());
    assert!(said.contains("without TLS") && said.contains("form+https://"), "{said}");
}

#[test]
fn who_was_told_that_the_breaker_opened_is_told_that_it_closed() {
    let queue = FormQueue::start();
    queue.script([Answer::status(503)]);
    let folder = tempfile::tempdir().unwrap();
    let words = ["publish", "--to", &queue.url(), "--failure-threshold", "1", "--reset-timeout", "50ms"];
    let run = at(folder.path(), &words).write_stdin(lines("a", 2)).assert().code(0);
    let said = text(run.get_output().stderr.clone());
    assert!(said.contains("circuit breaker opened") && said.contains("circuit breaker closed"), "{said}");
}

#[test]
fn a_key_in_a_url_that_is_refused_is_not_shown() {
    for url in ["form://127.0.0.1/t?token=hush", "nats://127.0.0.1/t?token=hush", "https:/u:hush@h/x", "u:hush@h:99"] {
        for words in [&["publish", "--to"][..], &["read", "--from"], &["spool", "list", "--to"], &["ping", "--to"]] {
            let run = formusage().args(words).arg(url).write_stdin("").assert().code(2);
            let said = text(run.get_output().stderr.clone());
            assert!(!said.contains("hush"), "{words:?}: {said}");
        }
    }
}

#[test]
fn a_spool_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["publish", "--to", "form://127.0.0.1:1/t", "--drain-timeout", "10ms"];
    at(folder.path(), &words).write_stdin(line("a", 0)).assert().code(1);
    let mode = folder.path().join("spool.db").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
}

#[test]
fn what_is_no_regular_file_is_no_spool() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo.db");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let words = ["publish", "--to", "form://127.0.0.1:1/t", "--spool", fifo.to_str().unwrap()];
    at(folder.path(), &words).write_stdin(line("a", 0)).assert().code(2).stderr(contains("is no regular file"));
    let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["fifo.db"]);
}

#[test]
fn a_spool_that_is_full_when_it_is_empty_is_refused() {
    let words = ["publish", "--to", "form://127.0.0.1:1/t", "--spool-max-bytes", "1KB"];
    formusage().args(words).write_stdin(line("a", 0)).assert().code(2).stderr(contains("at least 128KB"));
}

#[test]
fn a_listed_event_keeps_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let sent = line("a", 0).replace("12.5", "12.50000000000000000001").replace('}', r#","z":1,"a":2}"#);
    let words = ["publish", "--to", "form://127.0.0.1:1/t", "--drain-timeout", "10ms"];
    at(folder.path(), &words).write_stdin(sent.clone()).assert().code(1);
    at(folder.path(), &["spool", "list"]).assert().code(0).stdout(contains(format!(r#""event":{sent}"#)));
}

#[test]
fn the_report_holds_the_figures() {
    let queue = FormQueue::start();
    let folder = tempfile::tempdir().unwrap();
    let words = ["publish", "--to", &queue.url(), "--report", "json"];
    let run = at(folder.path(), &words).write_stdin(lines("a", 3)).assert().code(0);
    let report: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    let figures = &report["figures"];
    assert_eq!((&report["delivered"], &figures["taken"], &figures["deferred"]), (&3.into(), &3.into(), &0.into()));
    assert_eq!((&figures["breaker"]["state"], &figures["breaker"]["transitions"]), (&"closed".into(), &0.into()));
    assert_eq!((&figures["spool"]["waiting_events"], &figures["spool"]["retained_events"]), (&0.into(), &3.into()));
    assert!(figures["spool"]["used_bytes"].as_u64().unwrap() > 0);
    assert_eq!(figures["attempt_duration"]["count"], report["attempts"]);
}

#[test]
fn reconciling_with_a_server_that_asks_who_one_is() {
    let server = NatsServer::with(
        "jetstream { store_dir: STORE }\nauthorization { users: [ { user: meter, password: hush } ] }",
    );
    let folder = tempfile::tempdir().unwrap();
    let url = server.url("/usage_events?stream=USAGE");
    let with_user = |words: &[&str]| {
        let mut command = at(folder.path(), words);
        command.env("FORMUSAGE_NATS_USER", "meter").env("FORMUSAGE_NATS_PASSWORD", "hush");
        command
    };
    with_user(&["publish", "--to", &url, "--create-stream"]).write_stdin(lines("a", 3)).assert().code(0);
    let run = with_user(&["spool", "reconcile", "--log", "trace,async_nats=trace", "--to", &url])
        .assert()
        .code(0)
        .stderr(contains("0 are missing"));
    assert!(!text(run.get_output().stderr.clone()).contains("hush"));
}

#[test]
#[cfg(target_os = "linux")]
fn dead_letters_on_a_terminal_have_a_heading_and_do_not_act_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evil\u{1b}[31m.ndjson");
    std::fs::write(&file, "garbage{\n").unwrap();
    let words = ["publish", "--to", "form://127.0.0.1:1/t", "--drain-timeout", "10ms", file.to_str().unwrap()];
    at(folder.path(), &words).assert().code(1);
    for action in ["list", "show 1"] {
        // `script` gives the command a terminal.
        let command = format!("stty cols 300; exec {} dlq {action}", env!("CARGO_BIN_EXE_formusage"));
        let mut terminal = assert_cmd::Command::new("script");
        terminal.env("FORMUSAGE_STATE_DIR", folder.path()).args(["-qec", &command, "/dev/null"]);
        let run = terminal.timeout(std::time::Duration::from_secs(60)).assert().code(0);
        let shown = text(run.get_output().stdout.clone());
        assert!(shown.contains("reason") && shown.contains("evil"), "{shown:?}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
    }
}

#[test]
fn a_damaged_spool_says_that_the_next_publish_mends_it() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["publish", "--to", "form://127.0.0.1:1/t", "--drain-timeout", "10ms"];
    at(folder.path(), &words).write_stdin(lines("a", 50)).assert().code(1);
    let path = folder.path().join("spool.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // Behind the header: every table's first page.
    bytes[4096..].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let run = at(folder.path(), &["spool", "status"]).assert().code(2);
    let said = text(run.get_output().stderr.clone());
    assert!(said.contains("the next publish puts it aside") && !said.contains("start a new one"), "{said}");
}

#[test]
fn a_replay_says_how_to_try_now_and_no_letters_are_no_riddle() {
    let queue = FormQueue::start();
    queue.script([Answer::status(422)]);
    let folder = tempfile::tempdir().unwrap();
    at(folder.path(), &["publish", "--to", &queue.url()]).write_stdin(line("a", 0)).assert().code(1);
    let run = at(folder.path(), &["dlq", "replay", "--all"]).assert().code(0);
    let said = text(run.get_output().stderr.clone());
    assert!(said.contains(&format!("formusage publish --to '{}", queue.url())), "{said}");
    at(folder.path(), &["publish", "--to", &queue.url()]).write_stdin("").assert().code(0);
    let none = at(folder.path(), &["dlq", "replay", "--all"]).assert().code(0);
    none.stderr(contains("there are no dead letters"));
    at(folder.path(), &["dlq", "replay"]).assert().code(2).stderr(contains("--all"));
}
