//! Implausible events: delivered, checked and summed up with a warning, and dead letters only with --strict.

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::form_queue::FormQueue;
use crate::support::{formusage, line, lines};

/// As the agents on the queue send it: 12.5 % as 1250.
fn times_100(instance: &str, n: i64) -> String {
    line(instance, n).replace("\"cpu_percent_avg\":12.5", "\"cpu_percent_avg\":1250")
}

/// Its times with three more digits.
fn in_milliseconds(instance: &str, n: i64) -> String {
    let mut event: Value = serde_json::from_str(&line(instance, n)).unwrap();
    for pointer in ["/timestamp", "/period/start", "/period/end"] {
        let time = event.pointer_mut(pointer).unwrap();
        *time = (time.as_i64().unwrap() * 1000).into();
    }
    event.to_string()
}

/// Stamped, and metered, in the year 2200.
fn in_the_future(instance: &str) -> String {
    line(instance, 0).replace("16263504", "72580608")
}

fn growing(n: i64) -> String {
    line("a", n).replace("\"cpu_seconds\":30", &format!("\"cpu_seconds\":{}", 100 + n))
}

#[test]
fn publish_delivers_implausible_events_and_warns_once() {
    let queue = FormQueue::start();
    let early = line("c", 0).replace("\"timestamp\":1626350430", "\"timestamp\":1626350429");
    let events =
        [times_100("a", 0), times_100("a", 1), times_100("b", 0), in_milliseconds("a", 2), early, in_the_future("d")];
    let output = formusage()
        .args(["publish", "--to", &queue.url(), "--report", "json"])
        .write_stdin(events.join("\n"))
        .assert()
        .code(0)
        .stdout(contains("\"read\":6,\"delivered\":6").and(contains("\"refused\":0")));
    let (mut sent, mut arrived) = (events.to_vec(), queue.events());
    sent.sort();
    arrived.sort();
    assert_eq!(arrived, sent, "byte for byte");
    let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    for (code, times) in
        [("percentage-times-100", 2), ("not-seconds", 3), ("stamped-early", 1), ("future-timestamp", 1)]
    {
        assert_eq!(said.matches(code).count(), times, "{code}: {said}");
    }
    assert!(said.contains("<stdin>:1") && said.contains("delivered as it is"), "{said}");
}

#[test]
fn publish_strict_makes_dead_letters_of_them_which_replay_delivers() {
    let queue = FormQueue::start();
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let mut command = formusage();
        command.env("FORMUSAGE_STATE_DIR", folder.path()).args(words);
        command
    };
    let odd = [times_100("a", 0), in_milliseconds("a", 1), in_the_future("b")];
    run(&["publish", "--strict", "--to", &queue.url(), "--report", "json"])
        .write_stdin(odd.join("\n") + "\n" + &line("c", 0))
        .assert()
        .code(1)
        .stdout(contains("\"delivered\":1").and(contains("\"refused\":3")));
    run(&["dlq", "list"]).assert().code(0).stdout(contains("percentage-times-100").and(contains("not-seconds")));
    run(&["dlq", "replay", "--all"]).assert().code(0);
    run(&["publish", "--to", &queue.url()]).write_stdin("").assert().code(0);
    assert_eq!(queue.events().len(), 4);
    run(&["dlq", "list"]).assert().code(0).stdout("");
}

#[test]
fn publish_refuses_what_is_no_event() {
    let queue = FormQueue::start();
    let sound = line("a", 0);
    let faulty = [
        sound.replace("12.5", "-12.5"),
        sound.replace("12.5", "\"12.5\""),
        sound.replace("\"user_123456\"", "\"\""),
        sound.replace("\"start\":1626350400", "\"start\":1626350430"),
        sound.replace("\"start\":1626350400", "\"start\":1626350400000"),
        sound.replace("\"1.0\"", "\"2.0\""),
        sound.replace("\"gpu_seconds\":0", "\"gpu_secs\":0"),
    ];
    let publish = formusage()
        .args(["publish", "--to", &queue.url(), "--report", "json"])
        .write_stdin(faulty.join("\n") + "\n" + &sound)
        .assert()
        .code(1);
    publish.stdout(contains("\"delivered\":1").and(contains("\"refused\":7")));
    assert_eq!(queue.events(), [sound]);
}

#[test]
fn publish_warns_of_a_counter_that_is_never_reset_once() {
    let queue = FormQueue::start();
    let input: String = (0..50).map(|n| growing(n) + "\n").collect();
    let publish = |words: &[&str]| {
        let mut command = formusage();
        command.args(["publish", "--to", &queue.url(), "--report", "json"]).args(words);
        command.write_stdin(input.clone()).assert()
    };
    let output = publish(&[]).code(0).stdout(contains("\"delivered\":50"));
    let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert_eq!(said.matches("running-total").count(), 1, "{said}");
    // The 32nd growth is the first that shows what it is, at the line that `validate --continuity` names too.
    assert!(said.contains("<stdin>:33"), "{said}");
    publish(&["--strict"]).code(1).stdout(contains("\"refused\":18"));
}

#[test]
fn check_takes_implausible_events_for_events() {
    let folder = tempfile::tempdir().unwrap();
    let thresholds = folder.path().join("t.json");
    let threshold = r#"[{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":50}},"action":"Log","user_id":"*"},
        {"id":"mem","resource_type":"Memory","threshold_type":{"Percentage":{"value":50}},"action":"Log","user_id":"*"}]"#;
    std::fs::write(&thresholds, threshold).unwrap();
    let input = [times_100("a", 0), times_100("a", 1), in_milliseconds("b", 0)].join("\n");
    let checked = formusage().arg("check").arg(&thresholds).write_stdin(input).assert().code(1);
    let said = String::from_utf8(checked.get_output().stderr.clone()).unwrap();
    assert_eq!(said.matches("percentage-times-100").count(), 1, "{said}");
    let rows = String::from_utf8(checked.get_output().stdout.clone()).unwrap();
    assert_eq!((rows.matches("\"cpu\"").count(), rows.matches("\"mem\"").count()), (2, 3), "{rows}");
    assert_eq!(rows.matches("\"timestamp\":1626350430,").count(), 3, "in seconds: {rows}");
}

/// One clock that is ahead must not make every later event late.
#[test]
fn an_event_from_the_future_changes_no_state() {
    let folder = tempfile::tempdir().unwrap();
    let thresholds = folder.path().join("t.json");
    let threshold = r#"{"id":"mem","resource_type":"Memory","threshold_type":{"Percentage":{"value":50}},"action":"Log","user_id":"*","for":"1m"}"#;
    std::fs::write(&thresholds, threshold).unwrap();
    let input = in_the_future("a") + "\n" + &lines("a", 5);
    let checked = formusage().arg("check").arg(&thresholds).write_stdin(input).assert().code(1);
    checked.stdout(contains("firing")).stderr(contains("future-timestamp"));
}

#[test]
fn report_sums_implausible_events_up_on_their_days() {
    let input = [times_100("a", 0), in_milliseconds("a", 1), in_the_future("a")].join("\n");
    let report = formusage().args(["report", "--by", "none"]).write_stdin(input.clone()).assert().code(0);
    report
        .stdout(contains("\"events\":3").and(contains("\"cpu_seconds\":90")))
        .stderr(contains("percentage-times-100"));
    let report = formusage().args(["report", "--by", "day"]).write_stdin(input).assert().code(0);
    let rows = String::from_utf8(report.get_output().stdout.clone()).unwrap();
    assert!(rows.contains("\"day\":\"2021-07-15\",\"events\":2"), "{rows}");
    assert!(rows.lines().count() < 10, "no row for each day until then: {} rows", rows.lines().count());
}
