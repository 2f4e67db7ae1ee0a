//! `formusage publish` as operators run it.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::form_queue::{Answer, FormQueue};
use crate::support::{RunningProcess, SpawnGuarded as _, formusage, formusage_process, line, lines, signal};

fn publish(queue: &FormQueue) -> assert_cmd::Command {
    let mut command = formusage();
    command.args(["publish", "--to", &queue.url()]);
    command
}

fn report(output: &[u8]) -> Value {
    serde_json::from_slice(output).unwrap()
}

/// The same without the spool: what is not delivered goes to standard error or a file.
fn publish_unspooled(queue: &FormQueue) -> assert_cmd::Command {
    let mut command = publish(queue);
    command.arg("--no-spool");
    command
}

/// A publisher whose input stays open.
fn running(queue: &FormQueue, options: &[&str]) -> RunningProcess {
    let mut command = formusage_process();
    command.args(["publish", "--to", &queue.url()]).args(options);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded()
}

#[test]
fn everything_arrives_in_order_and_byte_for_byte() {
    let queue = FormQueue::start();
    publish(&queue).write_stdin(lines("a", 20)).assert().code(0).stdout("").stderr("");
    assert_eq!(queue.events(), lines("a", 20).lines().collect::<Vec<_>>());
}

#[test]
fn crlf_a_byte_order_mark_blank_lines_and_a_missing_last_end_are_no_matter() {
    let queue = FormQueue::start();
    let input = format!("\u{feff}{}\r\n\r\n{}", line("a", 0), line("a", 1));
    publish(&queue).write_stdin(input).assert().code(0);
    assert_eq!(queue.events(), [line("a", 0), line("a", 1)]);
}

#[test]
fn what_was_read_is_sent_with_its_digits_and_unknown_fields() {
    let queue = FormQueue::start();
    let odd = line("a", 0).replace("12.5", "12.500").replacen('{', "{ \"rack\" : [1, 2],", 1);
    publish(&queue).write_stdin(odd.clone()).assert().code(0);
    assert_eq!(queue.events(), [odd.replacen("{ \"rack\" : [1, 2],", "{\"rack\":[1,2],", 1)]);
}

#[test]
fn files_and_a_single_event() {
    let queue = FormQueue::start();
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.ndjson"), folder.path().join("two.ndjson"));
    std::fs::write(&one, lines("a", 2)).unwrap();
    std::fs::write(&two, lines("b", 1)).unwrap();
    publish(&queue).args([&one, &two]).assert().code(0);
    publish(&queue).args(["--event", &line("c", 0)]).assert().code(0);
    assert_eq!(queue.events().len(), 4);
}

#[test]
fn an_invalid_line_is_named_kept_and_stops_no_other() {
    let queue = FormQueue::start();
    let bad = line("a", 1).replace("cpu_seconds", "cpu_secnds");
    let input = format!("{}\n{bad}\n{}\n", line("a", 0), line("a", 2));
    publish_unspooled(&queue).write_stdin(input).assert().code(1).stderr(
        contains("<stdin>:2: column ").and(contains("did you mean `cpu_seconds`?")).and(contains(bad.as_str())),
    );
    assert_eq!(queue.events(), [line("a", 0), line("a", 2)]);
}

#[test]
fn the_dead_letter_file_holds_reason_place_and_raw_bytes() {
    let queue = FormQueue::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut input = b"not json\n\xff\xfe\n".to_vec();
    input.extend_from_slice(lines("a", 1).as_bytes());
    publish(&queue).arg("--dead-letter").arg(file.path()).write_stdin(input).assert().code(1);
    let records: Vec<Value> =
        std::fs::read_to_string(file.path()).unwrap().lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    assert_eq!(records.len(), 2);
    assert_eq!(
        (&records[0]["raw"], &records[0]["line"], &records[0]["kind"]),
        (&"not json".into(), &1.into(), &"invalid".into())
    );
    assert!(records[0]["reason"].as_str().unwrap().contains("invalid-json"), "{}", records[0]);
    assert_eq!(records[1]["raw_base64"], "//4=");
    assert_eq!(queue.events().len(), 1);
}

#[test]
fn a_line_longer_than_the_limit_is_kept_whole_in_pieces() {
    let queue = FormQueue::start();
    let file = tempfile::NamedTempFile::new().unwrap();
    let long = "x".repeat(2_500);
    publish(&queue)
        .args(["--max-line-bytes", "1000", "--report", "json", "--dead-letter"])
        .arg(file.path())
        .write_stdin(format!("{long}\n{}", lines("a", 1)))
        .assert()
        .code(1)
        .stdout(predicate::function(|it: &str| {
            let report = report(it.as_bytes());
            report["read"] == 2 && report["refused"] == 1 && report["delivered"] == 1
        }));
    let raw: String = std::fs::read_to_string(file.path())
        .unwrap()
        .lines()
        .map(|it| serde_json::from_str::<Value>(it).unwrap()["raw"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(raw, long);
}

#[test]
fn an_event_that_the_queue_rejects_is_a_dead_letter_and_the_rest_goes_on() {
    let queue = FormQueue::start();
    queue.script([Answer::Take, Answer::status(422)]);
    publish_unspooled(&queue)
        .args(["--report", "json"])
        .write_stdin(lines("a", 3))
        .assert()
        .code(1)
        .stdout(predicate::function(|it: &str| {
            let report = report(it.as_bytes());
            report["delivered"] == 2 && report["dead"] == 1 && report["read"] == 3
        }))
        .stderr(contains("422").and(contains(line("a", 1))));
}

#[test]
fn one_event_refused_by_name_again_and_again_is_a_dead_letter_once_others_went_through() {
    let queue = FormQueue::start();
    queue.refuse("poison");
    let options = ["--report", "json", "--max-retries", "0", "--initial-backoff", "1ms", "--max-backoff", "2ms"];
    let mut child =
        running(&queue, &[&options[..], &["--poison-after", "3", "--no-circuit-breaker", "--no-spool"]].concat());
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", line("poison", 0)).unwrap();
    queue.wait_for_refusals(3);
    // Refusals alone are the service's fault. Only those that come while others go through count.
    for n in 0..3 {
        let before = queue.refusals();
        writeln!(input, "{}", line("fine", n)).unwrap();
        queue.wait_for_messages(usize::try_from(n).unwrap() + 1);
        if n < 2 {
            queue.wait_for_refusals(before + 2);
        }
    }
    let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(words.any(|it| it.unwrap().contains("refused 3 times while other events went through")));
    drop(input);
    let kept: Vec<String> = words.map_while(Result::ok).collect();
    assert!(kept.contains(&line("poison", 0)), "{kept:?}");
    let output = child.wait_with_output().unwrap();
    let report = report(&output.stdout);
    assert_eq!(
        (output.status.code(), &report["delivered"], &report["dead"]),
        (Some(1), &3.into(), &1.into()),
        "{report}"
    );
}

#[test]
fn a_dead_queue_leaves_a_finite_run_with_everything_kept() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let to = format!("form://127.0.0.1:{port}/usage_events");
    formusage()
        .args(["publish", "--no-spool", "--report", "json", "--drain-timeout", "100ms", "--to", &to])
        .write_stdin(lines("a", 3))
        .assert()
        .code(1)
        .stdout(predicate::function(|it: &str| {
            let report = report(it.as_bytes());
            report["undelivered"] == 3 && report["read"] == 3 && report["delivered"] == 0
        }))
        .stderr(
            contains("the destination took nothing")
                .and(contains("Connection refused"))
                .and(contains(line("a", 0)))
                .and(contains(line("a", 2))),
        );
}

#[test]
fn a_file_is_not_read_on_while_nothing_goes_out() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines("a", 6_000)).unwrap();
    formusage()
        .args(["publish", "--no-spool", "--dead-letter", "/dev/null", "--drain-timeout", "2s"])
        .args(["--to", &format!("form://127.0.0.1:{port}/usage_events")])
        .arg(file.path())
        .assert()
        .code(2)
        .stderr(contains("not read to the end: ").and(contains("publish again from")));
}

#[test]
fn a_long_run_holds_on_while_the_queue_is_down_and_delivers_when_it_is_back() {
    let queue = FormQueue::start();
    queue.script(vec![Answer::status(503); 30]);
    let mut child =
        running(&queue, &["--initial-backoff", "1ms", "--max-backoff", "5ms", "--reset-timeout", "5ms", "-v"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines("a", 3).as_bytes()).unwrap();
    queue.wait_for_messages(3);
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(queue.events(), lines("a", 3).lines().collect::<Vec<_>>());
}

#[test]
fn a_wrong_address_is_no_ones_dead_letter() {
    for answer in [Answer::status(404), Answer::status(401), Answer::Status(200, "", "<html>")] {
        let queue = FormQueue::start();
        queue.always(answer);
        publish(&queue)
            .args(["--report", "json"])
            .write_stdin(lines("a", 2))
            .assert()
            .code(2)
            .stdout(predicate::function(|it: &str| {
                let report = report(it.as_bytes());
                report["undelivered"] == 2 && report["dead"] == 0
            }))
            .stderr(contains("check"));
    }
}

#[test]
fn a_long_run_holds_on_while_the_address_is_wrong() {
    let queue = FormQueue::start();
    // It counts how long it will be gone.
    let gone = |words| Answer::Status(404, "", words);
    queue.script([gone("back in 29 s (7f3a)"), gone("back in 28 s (9b01)"), gone("back in 27.5 s (11)")]);
    let mut child = running(&queue, &["--initial-backoff", "1ms", "--max-backoff", "5ms"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines("a", 1).as_bytes()).unwrap();
    queue.wait_for_messages(1);
    drop(input);
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert_eq!(words.matches("set up wrong").count(), 1, "said once: {words}");
}

#[test]
fn a_resent_event_is_the_same_event() {
    let queue = FormQueue::start();
    queue.script([Answer::Reset { taken: true }, Answer::Half, Answer::Reset { taken: false }]);
    publish(&queue).args(["--initial-backoff", "1ms"]).write_stdin(lines("a", 3)).assert().code(0);
    assert_eq!(queue.events(), lines("a", 3).lines().collect::<Vec<_>>());
}

#[test]
fn a_signal_drains_and_ends() {
    let queue = FormQueue::start();
    let mut child = running(&queue, &["--report", "json"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines("a", 2).as_bytes()).unwrap();
    queue.wait_for_messages(2);
    signal(&child, "TERM");
    // Who writes into the pipe was asked to end too, and has a last event to say.
    input.write_all((line("a", 2) + "\n").as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(report(&output.stdout)["delivered"], 3);
}

#[test]
fn a_second_signal_ends_at_once_and_keeps_what_is_left() {
    let queue = FormQueue::start();
    queue.always(Answer::Silence);
    let mut child = running(&queue, &["--no-spool", "--report", "json"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines("a", 2).as_bytes()).unwrap();
    queue.wait_for_requests(1);
    signal(&child, "INT");
    signal(&child, "TERM");
    let mut words = BufReader::new(child.stderr.take().unwrap()).lines();
    let kept = words.find(|it| it.as_ref().is_ok_and(|it| it.contains("\"instance_id\""))).unwrap().unwrap();
    assert_eq!(kept, line("a", 0));
    // To its end: a pipe that closes early would keep the rest from being kept.
    assert_eq!(words.filter(|it| it.as_ref().is_ok_and(|it| it.contains("\"instance_id\""))).count(), 1);
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report(&output.stdout)["undelivered"], 2);
}

#[test]
fn a_dry_run_sends_nothing_and_prints_what_it_would_send() {
    let queue = FormQueue::start();
    let spaced = line("a", 0).replace(',', " , ");
    publish(&queue).arg("--dry-run").write_stdin(spaced).assert().code(0).stdout(line("a", 0) + "\n");
    assert!(queue.requests().is_empty());
}

#[test]
fn thresholds_are_logged_and_hold_nothing_up() {
    let queue = FormQueue::start();
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    let config = r#"{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":10.0}},"action":"Log","user_id":"*"}"#;
    std::fs::write(file.path(), config).unwrap();
    publish(&queue)
        .arg("--thresholds")
        .arg(file.path())
        .write_stdin(lines("a", 1))
        .assert()
        .code(0)
        .stderr(contains("cpu-high"));
    assert_eq!(queue.events().len(), 1);
}

#[test]
fn a_token_is_sent_and_never_shown() {
    let queue = FormQueue::start();
    queue.always(Answer::status(403));
    let output =
        publish(&queue).env("FORMUSAGE_TOKEN", "hunter2").arg("-vvv").write_stdin(lines("a", 1)).output().unwrap();
    assert!(queue.requests()[0].headers.contains("Bearer hunter2"));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"));
    let help = formusage().env("FORMUSAGE_TOKEN", "hunter2").args(["publish", "--help"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&help.stdout).contains("hunter2"));
}

#[test]
fn a_token_that_the_other_side_repeats_is_not_shown() {
    for answer in [
        Answer::Status(200, "", "{\"headers\":{\"authorization\":\"Bearer hunter2\"}}"),
        Answer::Status(200, "", "{\"Failure\":{\"reason\":\"no: Bearer hunter2\"}}"),
        Answer::Status(403, "", "no: Bearer hunter2"),
    ] {
        let queue = FormQueue::start();
        queue.always(answer.clone());
        let mut command = publish_unspooled(&queue);
        command.args(["--max-retries", "0", "--drain-timeout", "1s"]).env("FORMUSAGE_TOKEN", "hunter2");
        let run = command.write_stdin(line("a", 0)).assert().failure();
        let said = String::from_utf8(run.get_output().stderr.clone()).unwrap();
        assert!(said.contains("(secret)") && !said.contains("hunter2"), "{answer:?}: {said}");
    }
}

/// Publishes two events, takes the destination away by `away`, publishes a third; what is read back then.
fn with_the_destination_gone(scheme: &str, name: &str, away: impl FnOnce(&std::path::Path)) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{scheme}:{}", folder.path().join(name).display());
    let read = || {
        let output = formusage_process().args(["read", "--from", &url]).output().unwrap();
        output.stdout.iter().filter(|byte| **byte == b'\n').count()
    };
    let mut command = formusage_process();
    command.args(["publish", "--to", &url]).stdin(std::process::Stdio::piped());
    let mut child = command.stderr(std::process::Stdio::null()).spawn_guarded();
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{}\n{}\n", line("a", 0), line("a", 1)).as_bytes()).unwrap();
    assert!((0..1_000).any(|_| read() == 2));
    away(&folder.path().join(name));
    input.write_all(format!("{}\n", line("a", 2)).as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    read()
}

#[test]
#[cfg(unix)]
fn what_is_delivered_stands_in_the_file_that_has_the_name() {
    let remove = |path: &std::path::Path| {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
        }
    };
    let rotate = |path: &std::path::Path| std::fs::rename(path, path.with_extension("old")).unwrap();
    assert_eq!(with_the_destination_gone("sqlite", "q.db", remove), 1);
    assert_eq!(with_the_destination_gone("file", "q.ndjson", remove), 1);
    // As logs are rotated.
    assert_eq!(with_the_destination_gone("file", "q.ndjson", rotate), 1);
}

#[test]
fn what_cannot_run_says_so_in_one_line_and_sends_nothing() {
    let queue = FormQueue::start();
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("binary");
    std::fs::write(&binary, b"\x7fELF\0\0").unwrap();
    let good = folder.path().join("good.ndjson");
    std::fs::write(&good, lines("a", 1)).unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&["/no/such/file"], "/no/such/file"),
        (&[folder.path().to_str().unwrap()], "is a directory"),
        (&[good.to_str().unwrap(), binary.to_str().unwrap()], "is a binary file"),
        (&["--jitter-factor", "2", good.to_str().unwrap()], "--jitter-factor is 2"),
        (&["--backoff-multiplier", "0.5", good.to_str().unwrap()], "--backoff-multiplier is 0.5"),
        (&["--failure-threshold", "0", good.to_str().unwrap()], "--failure-threshold is 0"),
        (&["--thresholds", "/no/such/file.json", good.to_str().unwrap()], "/no/such/file.json"),
        (&["--token-file", "/no/such/token", good.to_str().unwrap()], "/no/such/token"),
    ];
    for (options, expected) in cases {
        publish(&queue).args(options).assert().code(2).stdout("").stderr(contains(expected));
    }
    formusage().args(["publish", "--to", "fomr://x/y"]).assert().code(2).stderr(contains("did you mean"));
    assert!(queue.requests().is_empty());
}

#[test]
fn an_unresolvable_name_is_one_clear_line_and_nothing_is_lost() {
    formusage()
        .args(["publish", "--no-spool", "--to", "form://no-such-host.invalid/usage_events"])
        .write_stdin(lines("a", 1))
        .assert()
        .code(2)
        .stderr(contains("error: the name \"no-such-host.invalid\" does not resolve").and(contains(line("a", 0))));
}

#[test]
fn an_empty_input_is_a_success() {
    let queue = FormQueue::start();
    publish(&queue).args(["--report", "json"]).write_stdin("").assert().code(0).stdout(contains("\"read\":0"));
}

#[test]
fn what_validate_refuses_is_not_sent() {
    let queue = FormQueue::start();
    let odd = ["\"foo\":1,\"foo\":2", "\"foo\":1e999", "\"foo\":\"\\ud800\"", "\"foo\":{\"a\":1,\"a\":2}"];
    let input: String = odd.iter().map(|it| line("a", 0).replacen('{', &format!("{{{it},"), 1) + "\n").collect();
    let published = publish(&queue).args(["--report", "json"]).write_stdin(input.clone()).assert().code(1);
    assert_eq!(report(&published.get_output().stdout)["refused"], 4);
    assert!(queue.requests().is_empty());
    formusage().arg("validate").write_stdin(input).assert().code(1);
}
