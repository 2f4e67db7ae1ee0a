//! `formusage check`, as its users meet it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{SpawnGuarded as _, signal};
use assert_cmd::prelude::*;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, is_match, starts_with};
use tempfile::TempDir;

const CPU_10: &str = r#"{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":10.0}},"action":"Log","user_id":"*"}"#;
const CPU_90: &str = r#"{"id":"cpu-very-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":90.0}},"action":"Log","user_id":"*"}"#;
const ALICE: &str = r#"{"id":"alice-memory","resource_type":"Memory","threshold_type":{"Absolute":{"value":1,"unit":"GB"}},"action":"Log","user_id":"alice"}"#;

fn event(cpu_percent: f64) -> String {
    format!(
        r#"{{"event_type":"resource_usage","version":"1.0","timestamp":1626350430,"instance_id":"web-1","user_id":"bob","org_id":null,"metrics":{{"cpu_seconds":30,"cpu_percent_avg":{cpu_percent:?},"memory_gb":4.2,"memory_percent":52.5,"storage_gb":25.7,"network_egress_mb":15.2,"network_ingress_mb":8.7,"gpu_seconds":0}},"period":{{"start":1626350400,"end":1626350430}}}}"#
    )
}

/// A folder of files for one test.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `formusage check`, run in the folder.
    fn check(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("formusage").unwrap();
        command.arg("check").args(args).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    /// The same with `input` on standard input.
    fn check_stdin(&self, args: &[&str], input: impl Into<Vec<u8>>) -> assert_cmd::assert::Assert {
        let mut command = assert_cmd::Command::cargo_bin("formusage").unwrap();
        command.arg("check").args(args).current_dir(self.path()).write_stdin(input).assert()
    }
}

fn json_lines(text: &[u8]) -> Vec<serde_json::Value> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn the_exit_code_says_whether_a_threshold_is_exceeded() {
    let bench = Bench::new();
    bench.file("t.json", format!("[{CPU_10},{CPU_90},{ALICE}]"));
    bench.file("low.ndjson", event(10.0));
    bench.file("high.ndjson", event(12.5));
    bench.check(&["t.json", "low.ndjson"]).assert().code(0).stdout(is_empty()).stderr(is_empty());
    let violation = bench.check(&["t.json", "low.ndjson", "high.ndjson"]).assert().code(1).stderr(is_empty());
    let found = json_lines(&violation.get_output().stdout);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["config"]["id"], "cpu-high");
    assert_eq!(found[0]["current_value"], 12.5);
    assert_eq!(found[0]["threshold_value"], 10.0);
    assert_eq!(found[0]["percentage"], 25.0);
    assert_eq!(found[0]["timestamp"], 1_626_350_430);
    assert_eq!((&found[0]["instance_id"], &found[0]["user_id"]), (&"web-1".into(), &"bob".into()));
}

#[test]
fn events_come_from_standard_input_too() {
    let bench = Bench::new();
    bench.file("t.json", CPU_10);
    bench.check_stdin(&["t.json"], event(50.0)).code(1).stdout(contains("cpu-high"));
    bench.check_stdin(&["t.json", "-"], format!("\u{feff}\r\n{}\r\n\r\n", event(50.0))).code(1).stderr(is_empty());
    bench.check_stdin(&["t.json"], "").code(0).stdout(is_empty());
}

#[test]
fn json_is_one_document_whatever_happens() {
    let bench = Bench::new();
    bench.file("t.json", CPU_10);
    let good = event(50.0);
    for (input, code, violations) in [
        (String::new(), 0, 0),
        (event(1.0), 0, 0),
        (format!("{good}\n{good}"), 1, 2),
        (format!("{good}\nnonsense\n{good}"), 2, 2),
        ("nonsense".to_owned(), 2, 0),
    ] {
        let assert = bench.check_stdin(&["t.json", "--format", "json", "-", "missing.ndjson"], input.clone());
        let document: serde_json::Value = serde_json::from_slice(&assert.code(2).get_output().stdout).unwrap();
        assert_eq!(document["totals"]["unreadable"], 1);
        let assert = bench.check_stdin(&["t.json", "--format", "json"], input);
        let document: serde_json::Value = serde_json::from_slice(&assert.code(code).get_output().stdout).unwrap();
        assert_eq!(document["violations"].as_array().unwrap().len(), violations);
        assert_eq!(document["totals"]["violations"], violations);
    }
}

#[test]
fn a_table_is_for_people() {
    let bench = Bench::new();
    bench.file("t.json", format!("[{CPU_10},{CPU_90}]"));
    bench
        .check_stdin(&["t.json", "--format", "table"], event(12.5))
        .code(1)
        .stdout(starts_with("time"))
        .stdout(is_match(r"2021-07-15T12:00:30Z +web-1 +bob +cpu-high +Cpu +12\.5 % +10 % +25 %\n").unwrap())
        .stderr("1 violation in 1 of 1 event\n");
    bench
        .check_stdin(&["t.json", "--format", "table"], event(1.0))
        .code(0)
        .stdout(is_empty())
        .stderr("no threshold is exceeded in 1 event\n");
    // Many rows are still one table.
    let many: String = (0..1200).map(|_| event(95.0) + "\n").collect();
    let assert = bench.check_stdin(&["t.json", "--format", "table"], many).code(1);
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 2401);
    assert_eq!(text.matches("threshold").count(), 1);
    let lengths: std::collections::BTreeSet<_> = text.lines().map(|line| line.rfind('%')).skip(1).collect();
    assert_eq!(lengths.len(), 1, "columns stand below each other");
}

#[test]
fn tee_passes_every_line_on_as_it_was() {
    let bench = Bench::new();
    bench.file("t.json", CPU_10);
    let odd = event(50.0).replace("\"org_id\":null", "\"org_id\" : null, \"note\": 1.50");
    let broken = event(50.0).replace("cpu_seconds", "cpu_secnds");
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(5000));
    let input = format!("{odd}\n{broken}\n\n{long}\n\u{1}\n{}", event(1.0));
    let assert = bench
        .check_stdin(&["t.json", "--tee", "--max-line-bytes", "1000"], input)
        .code(2)
        .stdout(format!("{odd}\n{broken}\n{long}\n\u{1}\n{}\n", event(1.0)))
        .stderr(contains("cpu-high").and(contains("<stdin>:4:1: error[too-long]")));
    let words = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(words.lines().next().unwrap().starts_with('{'), "in the order of the input: {words}");
    assert!(words.contains("<stdin>:2:") && words.contains("did you mean `cpu_seconds`"), "{words}");
    assert!(words.contains("<stdin>:5:1:"), "{words}");
}

#[test]
fn tee_passes_on_at_once() {
    let bench = Bench::new();
    bench.file("t.json", CPU_10);
    let mut child = bench
        .check(&["t.json", "--tee"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn_guarded();
    let mut stdin = child.stdin.take().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap());
    let mut violations = BufReader::new(child.stderr.take().unwrap());
    for cpu in [50.0, 60.0] {
        // A blank line behind it must not hold it back.
        stdin.write_all(format!("{}\n\n", event(cpu)).as_bytes()).unwrap();
        let (mut passed, mut violation) = (String::new(), String::new());
        events.read_line(&mut passed).unwrap();
        violations.read_line(&mut violation).unwrap();
        assert_eq!(passed.trim_end(), event(cpu));
        assert!(violation.contains(&format!("\"current_value\":{cpu:?}")), "{violation}");
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[cfg(unix)]
#[test]
fn a_signal_to_the_whole_pipeline_loses_no_event() {
    let bench = Bench::new();
    bench.file("t.json", CPU_90);
    for name in ["INT", "TERM"] {
        let mut child = bench.check(&["t.json", "--tee"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn_guarded();
        let mut stdin = child.stdin.take().unwrap();
        let mut events = BufReader::new(child.stdout.take().unwrap());
        for last in [false, true] {
            // The producer writes its last event after the signal.
            if last {
                signal(&child, name);
            }
            stdin.write_all(format!("{}\n", event(50.0)).as_bytes()).unwrap();
            let mut passed = String::new();
            events.read_line(&mut passed).unwrap();
            assert_eq!(passed.trim_end(), event(50.0));
        }
        drop(stdin);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_it_at_once() {
    let bench = Bench::new();
    bench.file("t.json", CPU_90);
    let mut command = bench.check(&["t.json", "--tee"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{}\n", event(50.0)).as_bytes()).unwrap();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    // Signals that arrive together count once, so that two may not be enough.
    while child.try_wait().unwrap().is_none() {
        signal(&child, "TERM");
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("stopped by a signal"));
}

#[test]
fn explain_says_why_for_each_threshold() {
    let bench = Bench::new();
    let elsewhere =
        CPU_90.replace("cpu-very-high", "elsewhere").replace(r#""user_id""#, r#""instance_id":"db-1","user_id""#);
    bench.file("t.json", format!("[{CPU_90},{CPU_10},{ALICE},{elsewhere}]"));
    bench
        .check_stdin(&["t.json", "--explain", "--format", "table"], event(12.5))
        .code(1)
        .stdout(starts_with("<stdin>:1: instance web-1, user bob, 2021-07-15T12:00:30Z\n"))
        .stdout(contains("cpu_percent_avg is 12.5 %, over 10 %, by 25 %"))
        .stdout(contains("cpu_percent_avg is 12.5 %, not over 90 %"))
        .stdout(contains("applies to user `alice`, the event is of `bob`"))
        .stdout(contains("applies to instance `db-1`, the event is of `web-1`"));
    let assert = bench.check_stdin(&["t.json", "--explain"], event(12.5)).code(1);
    let told: Vec<_> = json_lines(&assert.get_output().stdout)
        .iter()
        .map(|record| (record["threshold"].clone(), record["outcome"].clone()))
        .collect();
    let expected = [
        ("alice-memory", "other_user"),
        ("cpu-high", "exceeded"),
        ("cpu-very-high", "within"),
        ("elsewhere", "other_instance"),
    ];
    assert_eq!(told, expected.map(|(id, outcome)| (id.into(), outcome.into())));
}

#[test]
fn an_explanation_for_people_stays_readable_with_many_thresholds() {
    let bench = Bench::new();
    let many: Vec<String> = (0..1000)
        .map(|n| {
            if n % 2 == 0 {
                ALICE.replace("alice-memory", &format!("a{n}"))
            } else {
                CPU_90.replace("cpu-very-high", &format!("b{n}"))
            }
        })
        .collect();
    bench.file("t.json", format!("[{}]", many.join(",")));
    let assert = bench.check_stdin(&["t.json", "--explain", "--format", "table"], event(12.5)).code(0);
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    assert!(text.lines().count() < 50, "{text}");
    assert!(text.contains("480 more that apply to other users or instances"), "{text}");
    assert!(text.contains("480 more that apply and are not exceeded"), "{text}");
}

#[test]
fn a_broken_threshold_file_is_named_with_every_place() {
    let bench = Bench::new();
    bench.file(
        "t.json",
        format!("[\n{},\n{}\n]", CPU_10.replace("resource_type", "resorce_type"), ALICE.replace("\"GB\"", "\"gb\"")),
    );
    bench
        .check_stdin(&["t.json"], event(50.0))
        .code(2)
        .stdout(is_empty())
        .stderr(is_match(r"(?m)^t\.json:2:\d+: .*resource_type").unwrap())
        .stderr(is_match(r"(?m)^t\.json:3:\d+: .*GB").unwrap());
    for text in ["", "{", "null", "[1]", "\u{0}\u{1}", "{}"] {
        bench.file("t.json", text);
        bench.check_stdin(&["t.json"], event(50.0)).code(2).stdout(is_empty()).stderr(contains("t.json:1:"));
    }
}

#[test]
fn a_folder_is_all_its_json_files() {
    let bench = Bench::new();
    fs::create_dir(bench.path().join("thresholds")).unwrap();
    bench.check_stdin(&["thresholds"], event(50.0)).code(2).stderr(contains("no *.json file"));
    bench.file("thresholds/b.json", CPU_10);
    bench.file("thresholds/a.json", ALICE.replace("alice\"", "bob\""));
    bench.file("thresholds/README.txt", "not read");
    let assert = bench.check_stdin(&["thresholds"], event(50.0)).code(1);
    let ids: Vec<_> =
        json_lines(&assert.get_output().stdout).iter().map(|found| found["config"]["id"].clone()).collect();
    assert_eq!(ids, ["alice-memory", "cpu-high"]);
    bench.file("thresholds/c.json", CPU_10);
    bench
        .check_stdin(&["thresholds"], event(50.0))
        .code(2)
        .stderr(contains("`cpu-high`").and(contains("b.json")).and(contains("c.json")));
}

#[test]
fn what_cannot_be_read_is_one_clear_line() {
    let bench = Bench::new();
    bench.file("t.json", CPU_10);
    bench.file("e.ndjson", event(50.0));
    for (args, word) in [
        (&["missing.json", "e.ndjson"][..], "missing.json"),
        (&["s3://bucket/t.json", "e.ndjson"], "supported are"),
        (&["", "e.ndjson"], "no threshold source"),
        (&["-", "e.ndjson"], "standard input is for the events"),
        (&["e.ndjson", "t.json"], "are the two swapped?"),
        (&["t.json", "missing.ndjson"], "missing.ndjson"),
        (&["t.json", "."], "is a directory"),
    ] {
        bench.check(args).assert().code(2).stderr(starts_with("error: ").and(contains(word)).and(is_one_line()));
    }
    // The inputs that can be read still are.
    bench.check(&["t.json", "missing.ndjson", "e.ndjson"]).assert().code(2).stdout(contains("cpu-high"));
}

fn is_one_line() -> impl Predicate<str> {
    predicate::function(|text: &str| text.lines().count() == 1)
}

#[test]
fn a_flood_of_invalid_lines_does_not_flood_the_screen() {
    let bench = Bench::new();
    bench.file("t.json", CPU_10);
    let assert = bench.check_stdin(&["t.json", "--format", "json"], "x\n".repeat(5000)).code(2);
    let words = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert_eq!(words.lines().count(), 101);
    let document: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(document["totals"]["invalid_lines"], 5000);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let bench = Bench::new();
    bench.file("t.json", CPU_10);
    bench.file("e.ndjson", (event(50.0) + "\n").repeat(5000));
    for extra in [&[][..], &["--tee"], &["--format", "json"], &["--format", "table"], &["--explain"]] {
        let mut args = vec!["t.json", "e.ndjson"];
        args.extend(extra);
        let mut child = bench.check(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
        let mut first = [0];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{extra:?}");
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!words.contains("error") && !words.contains("panicked"), "{extra:?}: {words}");
    }
}

#[test]
fn the_same_input_gives_the_same_output() {
    let bench = Bench::new();
    let many: Vec<String> = (0..300)
        .map(|n| {
            let user = ["*", "bob", "alice"][n % 3];
            CPU_10.replace("cpu-high", &format!("t{:03}", (n * 7) % 300)).replace("\"*\"", &format!("\"{user}\""))
        })
        .collect();
    bench.file("t.json", format!("[{}]", many.join(",")));
    let input: String = (0..20).map(|n| event(f64::from(n)) + "\n").collect();
    for args in [&["t.json"][..], &["t.json", "--format", "table"], &["t.json", "--explain"], &["t.json", "--tee"]] {
        let runs: Vec<_> = (0..3)
            .map(|_| {
                let assert = bench.check_stdin(args, input.clone()).code(1);
                (assert.get_output().stdout.clone(), assert.get_output().stderr.clone())
            })
            .collect();
        assert!(runs.iter().all(|run| *run == runs[0]), "{args:?}");
    }
}

/// Events of an instance, by period and CPU.
fn events_of(instance: &str, events: impl IntoIterator<Item = (i64, f64)>) -> String {
    let event = |(n, cpu): (i64, f64)| {
        let (start, end) = (1_626_350_400 + 30 * n, 1_626_350_430 + 30 * n);
        let event =
            event(cpu).replace("web-1", instance).replace("\"timestamp\":1626350430", &format!("\"timestamp\":{end}"));
        event.replace("\"start\":1626350400,\"end\":1626350430", &format!("\"start\":{start},\"end\":{end}")) + "\n"
    };
    events.into_iter().map(event).collect()
}

fn held_for(span: &str) -> String {
    CPU_10.replace("\"user_id\"", &format!("\"for\":\"{span}\",\"user_id\""))
}

#[test]
fn events_in_the_wrong_order_are_no_all_clear() {
    let bench = Bench::new();
    bench.file("t.json", held_for("5m"));
    let over = |order: Vec<i64>| events_of("web-1", order.into_iter().map(|n| (n, 95.0)));
    bench.file("sorted", over((0..20).collect()));
    bench.file("reversed", over((0..20).rev().collect()) + &events_of("web-2", [(0, 5.0), (1, 5.0)]));
    // The later file first, as a shell sorts day-10 before day-9.
    bench.file("later", over((6..12).collect()));
    bench.file("earlier", over((0..6).collect()));
    bench.check(&["t.json", "sorted"]).assert().code(1);
    let in_doubt =
        contains("19 events over a limit came behind newer ones of 1 instance: web-1 (19)").and(contains("jq"));
    bench.check(&["t.json", "reversed"]).assert().code(2).stderr(in_doubt);
    bench.check(&["t.json", "earlier", "later"]).assert().code(1);
    bench
        .check(&["t.json", "later", "earlier"])
        .assert()
        .code(2)
        .stderr(contains("events over a limit came behind newer ones of 1 instance: web-1"));
    bench.check(&["t.json", "reversed", "--format", "nagios"]).assert().code(3).stdout(contains("UNKNOWN"));
    bench.check(&["t.json", "reversed", "--format", "json"]).assert().code(2).stdout(contains("\"out_of_order\":19"));
    let sarif = contains("\"executionSuccessful\":false").and(contains("came behind newer ones"));
    bench.check(&["t.json", "reversed", "--format", "sarif"]).assert().code(2).stdout(sarif);
    bench.check(&["t.json", "reversed", "--format", "junit"]).assert().code(2).stdout(contains("errors=\"1\""));
    // A violation that was found is one, whatever else may be hidden.
    bench.file("both.json", format!("[{},{}]", held_for("5m"), CPU_90));
    bench.check(&["both.json", "reversed"]).assert().code(1).stderr(contains("came behind newer ones"));
}

#[test]
fn an_order_that_does_not_matter_is_no_alarm() {
    let bench = Bench::new();
    bench.file("t.json", held_for("5m"));
    bench.file("plain.json", CPU_90);
    let quiet = || contains("came behind").not();
    let swapped = |n: i64| if n % 2 == 0 { n + 1 } else { n - 1 };
    // Nothing is over the limit.
    bench.file("below", events_of("web-1", (0..40).map(|n| (swapped(n), 5.0))));
    bench.check(&["t.json", "below"]).assert().code(0).stderr(quiet());
    // Over it for less than five minutes; then up and down, with neighbours swapped.
    bench.file("short", events_of("web-1", (0..9).map(|n| (if n < 8 { swapped(n) } else { n }, 95.0))));
    bench.check(&["t.json", "short"]).assert().code(0).stderr(quiet());
    let flapping = (0..60).map(|n| if [20, 21].contains(&n) { swapped(n) } else { n });
    bench.file("flapping", events_of("web-1", flapping.map(|n| (n, if n % 2 == 0 { 95.0 } else { 5.0 }))));
    bench.check(&["t.json", "flapping"]).assert().code(0).stderr(quiet());
    // What comes twice was looked at the first time.
    bench.file("again", events_of("web-1", (0..9).chain(2..9).map(|n| (n, 95.0))));
    bench.check(&["t.json", "again"]).assert().code(0).stderr(quiet());
    // It fires whether a late event counts or not.
    bench.file("fires", events_of("web-1", (0..30).map(|n| (swapped(n), 95.0))));
    bench.check(&["t.json", "fires"]).assert().code(1).stderr(quiet());
    // Thresholds without states look at each event by itself.
    bench.file("reversed", events_of("web-1", (0..20).rev().map(|n| (n, 50.0))));
    bench.check(&["plain.json", "reversed"]).assert().code(0).stderr(quiet());
    // The next run may read again what the one before has seen.
    bench.file("first", events_of("web-1", (0..20).map(|n| (n, 95.0)).chain([(20, 5.0)])));
    bench.file("both", events_of("web-1", (0..20).map(|n| (n, 95.0)).chain((20..24).map(|n| (n, 5.0)))));
    bench.check(&["t.json", "first", "--state", "alerts.json"]).assert().code(1);
    bench.check(&["t.json", "both", "--state", "alerts.json"]).assert().code(0).stderr(quiet());
}

#[test]
fn sorted_events_are_decided_after_an_undecided_run_with_state() {
    let bench = Bench::new();
    bench.file("t.json", held_for("5m"));
    let over = |order: Vec<i64>| events_of("web-1", order.into_iter().map(|n| (n, 95.0)));
    bench.file("earlier", events_of("web-1", [(-2, 5.0), (-1, 95.0)]));
    bench.file("reversed", over((0..20).rev().collect()) + &events_of("web-2", [(0, 5.0), (1, 5.0)]));
    bench.file("sorted", over((0..20).collect()));
    bench.file("newer", events_of("web-1", (20..22).map(|n| (n, 5.0))));
    let check = |file: &str| bench.check(&["t.json", file, "--state", "alerts.json"]).assert();
    check("earlier").code(0);
    check("reversed").code(2).stderr(contains("with the same --state"));
    // In the wrong order again it is as open as before.
    check("reversed").code(2);
    check("sorted").code(1).stdout(contains("fires").or(contains("firing")));
    // Decided: what fires goes on, and ends.
    check("newer").code(1).stdout(contains("resolved"));
    check("newer").code(0);
}

#[test]
fn newer_events_go_on_after_an_undecided_run_with_state() {
    let bench = Bench::new();
    bench.file("t.json", held_for("10m"));
    let over = |order: Vec<i64>| events_of("web-1", order.into_iter().map(|n| (n, 95.0)));
    // Pending by the states since the tenth period, for 5 minutes; in doubt, since with the others it would be 10.
    bench.file("swapped", over((10..20).chain(0..10).collect()));
    // One that came late once more is no new beginning.
    bench.file("newer", over([5].into_iter().chain(20..30).collect()));
    let check = |file: &str| bench.check(&["t.json", file, "--state", "alerts.json"]).assert();
    check("swapped").code(2);
    check("newer").code(1);
    // These were left behind.
    check("swapped").code(1);
}

/// A threshold on what was not metered neither fires nor passes, in every format.
#[test]
fn a_metric_that_was_not_metered_is_reported_as_unknown() {
    const STORAGE: &str = r#"{"id":"disk-full","resource_type":"Storage","threshold_type":{"Absolute":{"value":1,"unit":"GB"}},"action":"Log","user_id":"*"}"#;
    let bench = Bench::new();
    bench.file("t.json", STORAGE);
    let unknown = |event: String| event.replace("1626350430}}", "1626350430},\"not_metered\":[\"storage_gb\"]}");
    bench.file("events", format!("{}\n{}\n", unknown(event(5.0)), unknown(event(6.0)).replace("web-1", "web-2")));
    let said = || contains("disk-full was not evaluated for 2 events").and(contains("storage_gb was not metered"));
    for format in ["table", "json", "ndjson", "sarif", "junit", "github"] {
        let run = bench.check(&["t.json", "events", "--format", format]).assert().code(0).stderr(said());
        let stdout = String::from_utf8(run.get_output().stdout.clone()).unwrap();
        match format {
            "json" => {
                assert!(stdout.contains(r#""violations":[]"#) && stdout.contains(r#""not_metered":2"#), "{stdout}")
            }
            "sarif" => {
                assert!(stdout.contains("disk-full was not evaluated") && stdout.contains("warning"), "{stdout}")
            }
            "junit" => assert!(stdout.contains("<skipped") && !stdout.contains("<failure"), "{stdout}"),
            "github" => assert!(stdout.contains("::warning "), "{stdout}"),
            _ => assert!(!stdout.contains("disk-full"), "{stdout}"),
        }
    }
    bench
        .check(&["t.json", "events", "--format", "nagios"])
        .assert()
        .code(3)
        .stdout(contains("UNKNOWN").and(contains("'disk-full'=U")).and(contains("not evaluated in full")));
    let explained = bench.check(&["t.json", "events", "--explain", "--format", "ndjson"]).assert().code(0);
    let first = json_lines(&explained.get_output().stdout).remove(0);
    assert_eq!((&first["outcome"], &first["current_value"]), (&"not_metered".into(), &serde_json::Value::Null));
    // Without it, the same figures are a violation; and what is known still decides.
    bench.file("known", event(5.0));
    bench.check(&["t.json", "known"]).assert().code(1);
    bench.check(&["t.json", "known", "events", "--format", "nagios"]).assert().code(1).stdout(contains("WARNING"));
}

#[test]
fn descriptions_act_upon_no_terminal_also_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let thresholds = folder.path().join("t.json");
    let text = r#"[{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":5}},"action":"Log","user_id":"*","description":"d \u009b31m\u202e"}]"#;
    // As the characters themselves.
    std::fs::write(&thresholds, text.replace("\\u009b", "\u{9b}").replace("\\u202e", "\u{202e}")).unwrap();
    for format in ["json", "ndjson"] {
        let mut check = crate::support::formusage();
        check.arg("check").arg(&thresholds).args(["--format", format]).write_stdin(crate::support::lines("i", 1));
        let output = check.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(r"\u009b31m\u202e") && !said.contains(['\u{9b}', '\u{202e}']), "{format}: {said}");
    }
}
