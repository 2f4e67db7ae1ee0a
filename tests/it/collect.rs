//! `formusage collect` on this machine.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use form_usage_events::events::UsageEvent;
use form_usage_events::validate::{EventRules, is_valid};
use predicates::str::contains;

use crate::form_queue::FormQueue;
use crate::support::{RunningProcess, SpawnGuarded as _, formusage, formusage_process, signal};

fn events(output: &[u8]) -> Vec<UsageEvent> {
    output
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

fn collect(options: &[&str]) -> Vec<UsageEvent> {
    let output = formusage().arg("collect").args(options).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    events(&output.stdout)
}

fn running(options: &[&str]) -> RunningProcess {
    let mut command = formusage_process();
    command.arg("collect").args(options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded()
}

/// Kernel's view of the CPU time used, in seconds, read independently of the library.
pub(crate) fn cpu_seconds_used() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap();
    let fields: Vec<f64> =
        text.lines().next().unwrap().split_whitespace().skip(1).map(|it| it.parse().unwrap()).collect();
    (fields[0] + fields[1] + fields[2] + fields[5] + fields[6]) / 100.0
}

#[test]
fn periods_are_contiguous_aligned_and_valid() {
    let events =
        collect(&["--interval", "1s", "--count", "3", "--instance-id", "i", "--user-id", "u", "--org-id", "o"]);
    assert_eq!(events.len(), 3);
    for pair in events.windows(2) {
        assert_eq!(pair[0].period.end, pair[1].period.start);
    }
    // In a container or a chroot there may be no disk to see, or parts of one alone.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_whole_disk = |line: &str| {
        let source = line.split(" - ").nth(1).and_then(|it| it.split(' ').nth(1)).unwrap_or_default();
        line.split(' ').nth(3) == Some("/") && source.starts_with("/dev/")
    };
    let disk_is_mounted = mounts.lines().any(is_whole_disk);
    for event in &events {
        assert!(event.metrics.storage_gb > 0.0 || !disk_is_mounted, "{event:?}");
        assert_eq!(
            (event.instance_id.as_str(), event.user_id.as_str(), event.org_id.as_deref()),
            ("i", "u", Some("o"))
        );
        assert_eq!(event.period.end - event.period.start, 1);
        assert!(is_valid(event, &EventRules::at(event.timestamp)), "{event:?}");
        assert!(event.metrics.memory_gb > 0.0, "{event:?}");
    }
}

#[test]
fn edges_stand_at_multiples_of_the_interval() {
    let events = collect(&["--interval", "2s", "--count", "2"]);
    assert!(events.iter().all(|event| event.period.end % 2 == 0), "{events:?}");
    let event = &events[0];
    assert!(!event.instance_id.is_empty() && !event.user_id.is_empty());
    assert_eq!(event.org_id, None);
}

#[test]
fn without_alignment_every_period_is_whole() {
    let events = collect(&["--interval", "2s", "--count", "1", "--no-align"]);
    assert_eq!(events[0].period.end - events[0].period.start, 2);
}

#[test]
fn a_duration_ends_in_the_middle_of_a_period() {
    let events = collect(&["--interval", "1h", "--no-align", "--duration", "1s"]);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].period.end - events[0].period.start, 1);
}

#[test]
fn the_seconds_are_those_of_the_kernel() {
    let before = cpu_seconds_used();
    // A load that the figures must show.
    let mut load = Command::new("sh").args(["-c", "while :; do :; done"]).spawn_guarded();
    let events = collect(&["--interval", "1s", "--count", "4"]);
    let after = cpu_seconds_used();
    load.kill().unwrap();
    load.wait().unwrap();
    #[allow(clippy::cast_precision_loss)]
    let metered = events.iter().map(|event| event.metrics.cpu_seconds).sum::<u64>() as f64;
    assert!(metered >= 2.0, "{metered}");
    // The kernel was asked before the first and after the last look; up to two seconds on every CPU lie between.
    assert!(metered <= after - before + 0.01, "{metered} of {}", after - before);
}

#[test]
fn a_signal_closes_the_period() {
    for name in ["TERM", "INT"] {
        let mut child = running(&["--interval", "1h", "--no-align", "--sample-interval", "100ms", "-vv"]);
        // The first event needs a second at most to have a period; a line of an aligned second shows that one passed.
        let mut stdout = child.stdout.take().unwrap();
        let second = running(&["--interval", "1s", "--count", "2"]).wait_with_output().unwrap();
        assert_eq!(events(&second.stdout).len(), 2);
        signal(&child, name);
        let mut output = Vec::new();
        stdout.read_to_end(&mut output).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        let found = events(&output);
        assert_eq!(found.len(), 1, "{name}");
        assert!(found[0].period.end > found[0].period.start);
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly_though_the_interval_is_long() {
    let mut child = running(&["--interval", "1h", "--no-align", "--sample-interval", "50ms"]);
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    assert_eq!((status.code(), words.as_str()), (Some(0), ""));
}

#[test]
fn a_pipeline_of_two_processes_delivers_every_event() {
    let queue = FormQueue::start();
    let mut collect = running(&["--interval", "1s", "--count", "3"]);
    let mut publish = formusage_process();
    publish.args(["publish", "--to", &queue.url()]).stdin(collect.stdout.take().unwrap());
    assert_eq!(publish.status().unwrap().code(), Some(0));
    assert_eq!(collect.wait().unwrap().code(), Some(0));
    assert_eq!(queue.events().len(), 3);
}

#[test]
fn a_pipeline_that_is_interrupted_loses_no_event() {
    let queue = FormQueue::start();
    let mut collect = running(&["--interval", "1s"]);
    let mut publish = formusage_process();
    let mut publish =
        publish.args(["publish", "--to", &queue.url()]).stdin(collect.stdout.take().unwrap()).spawn_guarded();
    queue.wait_for_messages(2);
    // As a terminal does it: both at once.
    signal(&collect, "INT");
    signal(&publish, "INT");
    assert_eq!(collect.wait().unwrap().code(), Some(0));
    assert_eq!(publish.wait().unwrap().code(), Some(0));
    let delivered: Vec<UsageEvent> = queue.events().iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    assert!(delivered.len() >= 2);
    assert!(delivered.windows(2).all(|pair| pair[0].period.end == pair[1].period.start));
}

#[test]
fn the_first_event_comes_at_its_time_and_not_at_the_end() {
    let mut child = running(&["--interval", "1s"]);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("{\"event_type\":\"resource_usage\""));
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn senseless_options_are_refused() {
    let long = "x".repeat(257);
    let cases: [(&[&str], &str); 12] = [
        (&["--interval", "0s"], "at least 1s"),
        (&["--interval", "1500ms"], "whole seconds"),
        (&["--interval", "soon"], "write 30s"),
        (&["--sample-interval", "1ms"], "at least 10ms"),
        (&["--interval", "-5s"], "a time can't be negative; write 30s"),
        (&["--duration", "-5"], "a time can't be negative"),
        (&["--sample-interval", "-1.5s"], "a time can't be negative"),
        (&["--interval", "--align"], "that is an option, and a time is needed before it"),
        (&["--count", "-3"], "at least 1"),
        (&["--count", "0"], "--count"),
        (&["--user-id", ""], "the user id \"\" can't be used: it is empty"),
        (&["--instance-id", &long], "257 bytes"),
    ];
    for (options, expected) in cases {
        formusage().arg("collect").args(options).assert().code(2).stdout("").stderr(contains(expected));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_kernel_counts_for_no_tenant_is_logged_once() {
    let own = format!("pid:{}", std::process::id());
    let first = Command::new("sleep").arg("987").spawn_guarded();
    let second = format!("pid:{}", first.id());
    let options = ["--interval", "1s", "--count", "2", "--no-state", "--scope", &own, "--scope", &second];
    let output = formusage().arg("collect").args(options).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    let storage =
        words.lines().filter(|line| line.contains("storage_gb of control groups and processes is not metered"));
    assert_eq!(storage.map(|line| line.contains("WARN")).collect::<Vec<_>>(), [true], "{words}");
}
