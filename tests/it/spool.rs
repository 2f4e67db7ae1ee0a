//! `publish` through its spool, and `spool` and `dlq` beside it, as operators run them.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

use crate::form_queue::{Answer, FormQueue};
use crate::support::{ServedQueue, SpawnGuarded as _, formusage, formusage_process, line, lines, signal};

/// A state directory that several runs share.
struct State(TempDir);

impl State {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn run(&self, words: &[&str]) -> assert_cmd::Command {
        let mut command = formusage();
        command.env("FORMUSAGE_STATE_DIR", self.0.path()).args(words);
        command
    }

    fn spool(&self) -> std::path::PathBuf {
        self.0.path().join("spool.db")
    }

    fn status(&self) -> Value {
        let output = self.run(&["spool", "status"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// The address of a port that nobody listens on.
fn nowhere() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("form://127.0.0.1:{port}/usage_events")
}

fn records(output: &[u8]) -> Vec<Value> {
    String::from_utf8_lossy(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_a_dead_queue_did_not_take_waits_and_goes_out_with_the_next_run() {
    let state = State::new();
    let folder = tempfile::tempdir().unwrap();
    let to = nowhere();
    let address = to.trim_start_matches("form://").split('/').next().unwrap().to_owned();
    state
        .run(&["publish", "--to", &to, "--drain-timeout", "2s"])
        .write_stdin(lines("a", 3))
        .assert()
        .code(1)
        .stderr(contains("3 events wait in the spool").and(contains("Connection refused")));
    assert_eq!(state.status()["destinations"][0]["waiting"], 3);
    state.run(&["spool", "export"]).assert().code(0).stdout(lines("a", 3));

    let _queue = ServedQueue::start_at(&address, &folder.path().join("q.db"));
    // The run before left the breaker open; one without input asks at once.
    state.run(&["publish", "--to", &to]).write_stdin("").assert().code(0).stderr("");
    state.run(&["read", "--from", &to]).assert().code(0).stdout(lines("a", 3));
    assert_eq!(state.status()["destinations"][0]["waiting"], 0);
}

#[test]
fn a_job_that_finds_the_breaker_open_does_not_call_and_says_until_when() {
    let state = State::new();
    let queue = FormQueue::start();
    queue.always(Answer::status(503));
    let to = queue.url();
    let options = ["publish", "--to", &to, "--drain-timeout", "1s", "--initial-backoff", "1ms", "--max-backoff", "2ms"];
    state.run(&options).write_stdin(lines("a", 1)).assert().code(1);
    let before = queue.requests().len();
    assert!(before >= 5, "{before}");
    state
        .run(&options)
        .write_stdin(lines("a", 1))
        .assert()
        .code(1)
        .stderr(contains("2 events wait in the spool").and(contains("left alone for another")));
    assert_eq!(queue.requests().len(), before, "the open breaker was not heeded");
    assert!(state.status()["destinations"][0]["breaker_open_until_ms"].is_i64());
}

#[test]
fn dead_letters_are_listed_shown_replayed_and_purged() {
    let state = State::new();
    let queue = FormQueue::start();
    let to = queue.url();
    queue.script([Answer::Take, Answer::status(422)]);
    let input = format!("not json\n{}", lines("a", 3));
    state
        .run(&["publish", "--to", &to, "--report", "json"])
        .write_stdin(input)
        .assert()
        .code(1)
        .stderr(contains("2 dead letters in the spool").and(contains("formusage dlq list")))
        .stdout(predicate::function(|it: &str| {
            let report: Value = serde_json::from_str(it).unwrap();
            (&report["read"], &report["delivered"], &report["dead"], &report["refused"])
                == (&4.into(), &2.into(), &1.into(), &1.into())
        }));
    let letters = records(&state.run(&["dlq", "list"]).output().unwrap().stdout);
    assert_eq!(
        (&letters[0]["kind"], &letters[0]["raw"], &letters[0]["line"]),
        (&"invalid".into(), &"not json".into(), &1.into())
    );
    assert_eq!((&letters[1]["kind"], &letters[1]["raw"]), (&"dead".into(), &line("a", 1).into()));
    assert!(letters[1]["reason"].as_str().unwrap().contains("422"));
    let id = letters[1]["id"].to_string();
    state.run(&["dlq", "show", &id]).assert().code(0).stdout(contains("422"));
    state.run(&["dlq", "export"]).assert().code(0).stdout(format!("not json\n{}\n", line("a", 1)));
    state.run(&["dlq", "show", "99"]).assert().code(1).stderr(contains("no dead letter 99"));

    // A replay that fails leaves the letter; one that succeeds takes it away.
    queue.script([Answer::status(422)]);
    state.run(&["dlq", "replay", &id]).assert().code(0);
    state.run(&["publish", "--to", &to]).write_stdin("").assert().code(1);
    let again = records(&state.run(&["dlq", "show", &id]).output().unwrap().stdout);
    assert_eq!((&again[0]["tries"], &again[0]["replaying"]), (&2.into(), &false.into()));
    state.run(&["dlq", "replay", &id]).assert().code(0);
    state.run(&["publish", "--to", &to]).write_stdin("").assert().code(0);
    assert_eq!(queue.events().last(), Some(&line("a", 1)));
    state.run(&["dlq", "replay", "--all"]).assert().code(1).stderr(contains("still no valid event"));
    let refusal = contains("dead letter holds what was never delivered").and(contains("formusage dlq export > "));
    state.run(&["dlq", "purge", "--all"]).assert().code(2).stderr(refusal);
    state.run(&["dlq", "export"]).assert().code(0).stdout("not json\n");
    state.run(&["dlq", "purge", "--all", "--yes"]).assert().code(0);
    state.run(&["dlq", "list"]).assert().code(0).stdout("");
    state.run(&["spool", "verify"]).assert().code(0).stderr(contains("is sound"));
}

#[test]
fn a_queue_that_was_restarted_empty_gets_its_events_back() {
    let state = State::new();
    let folder = tempfile::tempdir().unwrap();
    let queue = ServedQueue::start(&folder.path().join("one.db"), &[], None);
    let to = queue.url();
    state.run(&["publish", "--to", &to]).write_stdin(lines("a", 5)).assert().code(0);
    state.run(&["spool", "reconcile", "--to", &to]).assert().code(0).stderr(contains("0 are missing"));
    let address = queue.address.clone();
    drop(queue);
    let queue = ServedQueue::start_at(&address, &folder.path().join("two.db"));
    assert_eq!(queue.url(), to);
    state.run(&["publish", "--to", &to]).write_stdin(line("b", 0)).assert().code(0);
    state.run(&["spool", "reconcile", "--to", &to, "--dry-run"]).assert().code(1).stderr(contains("5 are missing"));
    state
        .run(&["spool", "reconcile", "--to", &to])
        // That `publish` is to do without a spool does not keep the spool from being delivered.
        .env("FORMUSAGE_NO_SPOOL", "true")
        .assert()
        .code(0)
        .stderr(contains("holds 1 messages").and(contains("5 events are back in the spool, to be sent again")));
    state.run(&["read", "--from", &to]).assert().code(0).stdout(format!("{}\n{}", line("b", 0), lines("a", 5)));
}

#[test]
fn a_second_signal_ends_at_once_and_the_spool_has_the_rest() {
    let state = State::new();
    let queue = FormQueue::start();
    queue.always(Answer::Silence);
    let mut command = formusage_process();
    command.env("FORMUSAGE_STATE_DIR", state.0.path()).args(["publish", "--report", "json", "--to", &queue.url()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines("a", 2).as_bytes()).unwrap();
    queue.wait_for_requests(1);
    signal(&child, "INT");
    // Different signals, so that the second is not merged into the first.
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["read"], &report["undelivered"]), (&2.into(), &2.into()));
    state.run(&["spool", "export"]).assert().stdout(lines("a", 2));
}

#[test]
fn a_name_that_does_not_resolve_loses_nothing() {
    let state = State::new();
    let to = "form://no-such-host.invalid/usage_events";
    state
        .run(&["publish", "--to", to])
        .write_stdin(lines("a", 1))
        .assert()
        .code(2)
        .stderr(contains("does not resolve").and(contains("1 event waits in the spool")));
    // Nobody can be asked here.
    let refusal = contains("1 event that was not delivered waits").and(contains("formusage spool export > "));
    // Whose they are is said, and a variable that was set for `publish` picks none of them.
    let said = refusal
        .and(contains("--yes"))
        .and(contains("(1 for form://no-such-host.invalid"))
        .and(contains("has no effect here"));
    state.run(&["spool", "purge", "--waiting"]).env("FORMUSAGE_TO", "form://other/t").assert().code(2).stderr(said);
    state.run(&["spool", "export"]).assert().code(0).stdout(lines("a", 1));
    state
        .run(&["spool", "purge", "--waiting", "--yes"])
        .assert()
        .code(0)
        .stderr(contains("1 event that waited was thrown away"));
    state.run(&["spool", "list"]).assert().code(0).stdout("");
}

#[test]
fn a_full_spool_stops_reading_and_takes_nothing_twice() {
    let state = State::new();
    let folder = tempfile::tempdir().unwrap();
    let queue = ServedQueue::start(&folder.path().join("q.db"), &[], None);
    let options = ["--spool-max-bytes", "200KB", "--retain", "0s"];
    // More than fits waits for nobody: what is delivered makes room, and everything arrives in order.
    state.run(&["publish", "--to", &queue.url()]).args(options).write_stdin(lines("a", 1_500)).assert().code(0);
    state.run(&["read", "--from", &queue.url()]).assert().code(0).stdout(lines("a", 1_500));
}

#[test]
fn what_is_no_spool_is_refused_in_one_line() {
    let state = State::new();
    rusqlite_like(&state.spool());
    state
        .run(&["publish", "--to", &nowhere()])
        .write_stdin(lines("a", 1))
        .assert()
        .code(2)
        .stderr(contains("--no-spool"));
    state.run(&["spool", "status"]).assert().code(2);
}

/// A store of events is an SQLite file of ours, and no spool.
fn rusqlite_like(path: &Path) {
    let to = format!("sqlite:{}", path.display());
    formusage().args(["publish", "--to", &to]).write_stdin(lines("a", 1)).assert().code(0);
}

#[test]
fn an_event_larger_than_the_spool_holds_up_nobody() {
    let (state, queue) = (State::new(), FormQueue::start());
    let note = format!(r#""note":"{}","user_id""#, "x".repeat(150_000));
    let large = line("large", 0).replace(r#""user_id""#, &note);
    let input = format!("{}{large}\n{}\n", lines("a", 2), line("b", 0));
    let letters = state.0.path().join("letters");
    let run = state
        .run(&["publish", "--report", "json", "--spool-max-bytes", "128KB", "--to", &queue.url(), "--dead-letter"])
        .arg(&letters)
        .write_stdin(input)
        .assert()
        .code(1)
        .stderr(
            contains("<stdin>:3:").and(contains("larger than the spool may be")).and(contains("--spool-max-bytes")),
        );
    let report: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert_eq!((&report["read"], &report["delivered"], &report["refused"]), (&4.into(), &3.into(), &1.into()));
    assert_eq!(queue.events().len(), 3);
    // The spool holds how it begins, with its place; the file has all of it.
    let kept = records(&state.run(&["dlq", "list"]).output().unwrap().stdout);
    assert_eq!((kept.len(), &kept[0]["line"]), (1, &3.into()));
    assert!(large.starts_with(kept[0]["raw"].as_str().unwrap()));
    assert!(kept[0]["reason"].as_str().unwrap().contains("only the first 4096 are kept"), "{}", kept[0]);
    let file = records(&std::fs::read(&letters).unwrap());
    assert_eq!(file[0]["raw"], large);
}

#[test]
fn a_spool_that_was_named_must_be_there_and_stands_in_hints() {
    let state = State::new();
    let nothing = state.0.path().join("no.db");
    let nothing = nothing.to_str().unwrap();
    for words in [
        &["spool", "status"][..],
        &["spool", "list"],
        &["spool", "export"],
        &["spool", "purge"],
        &["spool", "verify"],
        &["spool", "reconcile", "--to", "form://127.0.0.1:1/t"],
        &["dlq", "list"],
        &["dlq", "show", "1"],
        &["dlq", "export"],
        &["dlq", "replay", "1"],
        &["dlq", "purge", "1"],
    ] {
        let named = state.run(&[words, &["--spool", nothing]].concat()).assert();
        named.code(2).stdout("").stderr(contains(format!("there is no spool at {nothing}")).and(contains("--spool")));
    }
    // The default one may not be there yet.
    state.run(&["spool", "status"]).assert().code(0).stderr(contains("there is no spool at"));

    let spool = state.0.path().join("my spool.db");
    let publish = ["publish", "--to", "form://no-such-host.invalid/t", "--spool", spool.to_str().unwrap()];
    state.run(&publish).write_stdin(format!("{}garbage\n", lines("a", 1))).assert().code(2);
    let at = |words: &[&str]| state.run(&[words, &["--spool", spool.to_str().unwrap()]].concat());
    let named = format!("--spool '{}'", spool.display());
    at(&["dlq", "show", "9"]).assert().code(1).stderr(contains(format!("formusage dlq list {named}")));
    at(&["dlq", "replay", "--all"]).assert().code(1).stderr(contains(format!("formusage dlq export {named}")));
    at(&["dlq", "purge", "--all"]).assert().code(2).stderr(contains(format!("formusage dlq export {named}")));
    at(&["spool", "purge", "--waiting", "--to", "form://no-such-host.invalid/t"])
        .assert()
        .code(2)
        .stderr(contains(format!("formusage spool export {named} --to")));
}

#[test]
fn a_variable_neither_selects_nor_redirects_nor_throws_away() {
    let (state, queue) = (State::new(), FormQueue::start());
    let to = nowhere();
    state.run(&["publish", "--to", &to, "--drain-timeout", "10ms"]).write_stdin("garbage\n").assert().code(1);
    state.run(&["publish", "--to", &to, "--drain-timeout", "10ms"]).write_stdin(lines("a", 1)).assert().code(1);
    let with = |words: &[&str]| {
        let mut command = state.run(words);
        for name in ["ALL", "WAITING", "DELIVERED", "REPLACE", "YES"] {
            command.env(format!("FORMUSAGE_{name}"), "true");
        }
        command.env("FORMUSAGE_TO", queue.url());
        command
    };
    with(&["dlq", "purge"]).assert().code(2);
    with(&["dlq", "replay"]).assert().code(2);
    with(&["spool", "purge"]).assert().code(0).stderr(contains("0 delivered events"));
    with(&["spool", "export"]).assert().code(0).stdout(lines("a", 1));
    // The spool's own destination, and not the one in the environment.
    with(&["spool", "reconcile"]).assert().code(2).stderr(contains(to.split('/').nth(2).unwrap()));
    with(&["spool", "purge", "--waiting"]).assert().code(2);
    assert_eq!(state.status()["dead_letters"], 1);
    assert_eq!(state.status()["destinations"][0]["waiting"], 1);

    // A dead letter goes where it was to go.
    let kept = state.0.path().join("events");
    std::fs::write(&kept, lines("a", 1)).unwrap();
    let refusing = FormQueue::start();
    refusing.script([Answer::status(422)]);
    state.run(&["publish", "--to", &refusing.url()]).write_stdin(lines("b", 1)).assert().code(1);
    with(&["dlq", "replay", "2"]).assert().code(0).stderr(contains(refusing.url()));
    state.run(&["publish", "--to", &refusing.url()]).write_stdin("").assert().code(0);
    assert_eq!(refusing.events(), [line("b", 0)]);
    assert!(queue.events().is_empty());
}

#[test]
fn old_dead_letters_are_dropped_unless_they_are_events() {
    let (state, queue) = (State::new(), FormQueue::start());
    queue.script([Answer::status(422)]);
    let to = queue.url();
    state.run(&["publish", "--to", &to]).write_stdin(format!("garbage\n{}", lines("a", 1))).assert().code(1);
    let hundred_days = "UPDATE dead_letters SET first_at = first_at - 8640000, last_at = last_at - 8640000";
    rusqlite::Connection::open(state.spool()).unwrap().execute(hundred_days, []).unwrap();
    let oldest = state.status()["oldest_dead_letter_at"].as_i64().unwrap();
    let listed = || records(&state.run(&["dlq", "list"]).output().unwrap().stdout);
    assert_eq!(listed()[0]["first_at"], oldest);

    let old = state.run(&["publish", "--to", &to, "--dead-letter-age", "101days"]).write_stdin("").assert().code(0);
    old.stderr(contains("older than").not());
    assert_eq!(listed().len(), 2);

    let words = contains("older than 90 days (--dead-letter-age): 1, the oldest from 20")
        .and(contains("refused by their destination more than 90 days ago and still dead letters: 1,"))
        .and(contains("formusage dlq replay"));
    state.run(&["publish", "--to", &to]).write_stdin("").assert().code(0).stderr(words);
    let [left] = &listed()[..] else { panic!("{:?}", listed()) };
    assert_eq!((&left["kind"], &left["raw"]), (&"dead".into(), &line("a", 0).into()));

    state
        .run(&["publish", "--dead-letter-age", "0s"])
        .write_stdin("")
        .assert()
        .code(2)
        .stderr(contains("such as 90days"));
}

#[test]
fn each_piece_of_a_line_that_is_too_long_is_a_dead_letter() {
    let (state, queue) = (State::new(), FormQueue::start());
    state
        .run(&["publish", "--max-line-bytes", "1000", "--report", "json", "--to", &queue.url()])
        .write_stdin(format!("{}\n{}", "x".repeat(2_500), lines("a", 1)))
        .assert()
        .code(1)
        .stdout(contains("\"refused\":1"))
        .stderr(contains("3 dead letters (a line longer than --max-line-bytes is one for each of its pieces)"));
    assert_eq!(records(&state.run(&["dlq", "list"]).output().unwrap().stdout).len(), 3);
}
