//! `formusage collect` over control groups: what a tenant is billed is what the kernel counted for it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Stdio};
use std::time::Duration;

use form_usage_events::events::UsageEvent;
use form_usage_events::validate::{EventRules, is_valid};

use crate::control_group::ControlGroup;
use crate::support::{RunningProcess, SpawnGuarded as _, formusage_process, signal};

/// A collector that runs; what it wrote so far, and the CPU seconds of each instance in it.
struct Running {
    child: RunningProcess,
    stdout: BufReader<ChildStdout>,
    events: Vec<UsageEvent>,
}

impl Running {
    fn start(scopes: &[&str]) -> Self {
        let mut command = formusage_process();
        command.args(["collect", "--no-state", "--interval", "1s", "--sample-interval", "100ms"]);
        command.args(scopes.iter().flat_map(|scope| ["--scope", scope])).args(["--instance-id", "{name}"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn_guarded();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout, events: Vec::new() }
    }

    fn take(&mut self, line: &str) -> UsageEvent {
        let event: UsageEvent = serde_json::from_str(line).unwrap();
        assert!(is_valid(&event, &EventRules::at(event.timestamp)), "{line}");
        self.events.push(event.clone());
        event
    }

    /// Reads on to the first event of which this is true; it comes soon or never.
    fn until(&mut self, is_it: impl Fn(&UsageEvent) -> bool) -> UsageEvent {
        for _ in 0..300 {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended: {:#?}", self.events);
            let event = self.take(&line);
            if is_it(&event) {
                return event;
            }
        }
        panic!("it did not come: {:#?}", self.events);
    }

    /// Asks it to end, and reads the rest.
    fn end(mut self) -> Vec<UsageEvent> {
        signal(&self.child, "TERM");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest.lines().for_each(|line| {
            self.take(line);
        });
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        std::mem::take(&mut self.events)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The CPU seconds of each instance, whose periods have to join.
fn sums(events: &[UsageEvent]) -> BTreeMap<String, u64> {
    let (mut sums, mut ends) = (BTreeMap::new(), BTreeMap::new());
    for event in events {
        *sums.entry(event.instance_id.clone()).or_insert(0) += event.metrics.cpu_seconds;
        let before = ends.insert(event.instance_id.clone(), event.period.end);
        assert!(before.is_none_or(|end| end == event.period.start), "{event:?} after {before:?}");
    }
    sums
}

/// Burns CPU until it is ended.
const BURN: &str = "while :; do :; done";

/// Kills what runs in a group, so that the group can be removed and its counter no longer moves.
fn stop(children: &mut [RunningProcess]) {
    for child in children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn is_billed(used: Duration, billed: u64, who: &str) {
    let billed = Duration::from_secs(billed);
    assert!(used.abs_diff(billed) <= Duration::from_secs(1), "{who} used {used:?}, billed {billed:?}");
}

#[test]
fn groups_are_billed_what_the_kernel_counted_until_they_are_removed() {
    let Some(parent) = ControlGroup::new("bill") else { return };
    let (one, two) = (parent.child("fu_test_one"), parent.child("fu_test_two"));
    let other = parent.child("other");
    let mut run = Running::start(&[&format!("cgroup:{}/fu_test_*", parent.path())]);
    run.until(|event| event.instance_id == "fu_test_one");
    let mut of_one = [one.run(BURN)];
    let mut of_two = [two.run(BURN), two.run(BURN), two.run(BURN)];
    let mut of_other = [other.run("exit 0")];
    // Until it has burned some seconds in several periods.
    let mut seconds = 0;
    while seconds < 3 {
        seconds += run.until(|event| event.instance_id == "fu_test_two").metrics.cpu_seconds;
    }
    stop(&mut of_one);
    stop(&mut of_two);
    of_other[0].wait().unwrap();
    let used = [("fu_test_one", one.used()), ("fu_test_two", two.used())];
    two.remove().unwrap();
    // The other one's events show that periods pass; one alone makes no other's events.
    let last = run.until(|event| event.instance_id == "fu_test_one");
    run.until(|event| event.instance_id == "fu_test_one" && event.period.start > last.period.start);
    one.remove().unwrap();
    // A new group under the pattern shows that looks go on when both are gone.
    let three = parent.child("fu_test_three");
    run.until(|event| event.instance_id == "fu_test_three");
    // What rounding left over of them may come in the sum of the scope.
    let own = |events: &[UsageEvent]| events.iter().filter(|it| !it.instance_id.ends_with("short-lived")).count();
    let (seen, of_instances) = (run.events.len(), own(&run.events));
    run.until(|event| event.instance_id == "fu_test_three");
    assert_eq!(own(&run.events), of_instances + 1, "nothing comes of those that are gone: {:#?}", &run.events[seen..]);
    let events = run.end();

    let sums = sums(&events);
    let instances = sums.keys().filter(|name| !name.ends_with("short-lived"));
    assert_eq!(instances.collect::<Vec<_>>(), ["fu_test_one", "fu_test_three", "fu_test_two"]);
    for (name, used) in used {
        is_billed(used, sums[name], name);
    }
    assert!(used[0].1 > Duration::from_millis(300), "{used:?}");
    assert_eq!(sums["fu_test_three"], 0);
    drop(three);
}

/// It comes and goes between two edges: born, billed and gone.
#[test]
fn a_group_that_is_born_and_removed_is_billed_in_full() {
    let Some(parent) = ControlGroup::new("born") else { return };
    let stays = parent.child("fu_test_stays");
    let mut run = Running::start(&[&format!("cgroup:{}/fu_test_*", parent.path())]);
    run.until(|event| event.instance_id == "fu_test_stays");
    let comes = parent.child("fu_test_comes");
    let mut burners = [comes.run(BURN), comes.run(BURN)];
    let mut seconds = 0;
    while seconds < 2 {
        seconds += run.until(|event| event.instance_id == "fu_test_comes").metrics.cpu_seconds;
    }
    stop(&mut burners);
    let used = comes.used();
    comes.remove().unwrap();
    let now = run.until(|event| event.instance_id == "fu_test_stays").period.end;
    run.until(|event| event.instance_id == "fu_test_stays" && event.period.start > now);
    let sums = sums(&run.end());
    is_billed(used, sums["fu_test_comes"], "fu_test_comes");
    drop(stays);
}

#[test]
fn the_host_and_its_groups_are_metered_at_once() {
    let Some(parent) = ControlGroup::new("both") else { return };
    let group = parent.child("fu_test_both");
    let mut run = Running::start(&["host", &format!("cgroup:{}/fu_test_*", parent.path())]);
    let first = run.until(|event| event.instance_id == "fu_test_both");
    let mut burners = [group.run(BURN)];
    let mut seconds = 0;
    while seconds < 2 {
        seconds += run.until(|event| event.instance_id == "fu_test_both").metrics.cpu_seconds;
    }
    stop(&mut burners);
    let used = group.used();
    let events = run.end();
    let sums = sums(&events);
    assert_eq!(sums.len(), 2, "{sums:?}");
    let host = sums.keys().find(|name| *name != "fu_test_both").unwrap().clone();
    is_billed(used, sums["fu_test_both"], "the group");
    assert!(sums[&host] + 1 >= sums["fu_test_both"], "the host has what its group has: {sums:?}");
    // One time line: each edge is an edge of both.
    let edges = |name: &str| -> Vec<(i64, i64)> {
        let of_it = events.iter().filter(|event| event.instance_id == name);
        of_it.map(|event| (event.period.start, event.period.end)).collect()
    };
    assert_eq!(edges(&host), edges("fu_test_both"));
    assert_eq!(edges(&host)[0].0, first.period.start);
}

#[test]
fn a_group_within_another_is_said_once_and_metered() {
    let Some(parent) = ControlGroup::new("within") else { return };
    let (one, two) = (parent.child("one"), parent.child("two"));
    let mut inside = one.command("read go").stdin(Stdio::piped()).spawn_guarded();
    let scopes = [format!("cgroup:{}/**", parent.path()), format!("pid:{}", inside.id())];
    let mut command = formusage_process();
    command.args(["collect", "--no-state", "--interval", "1s", "--count", "2"]);
    // It is in its group when it reads.
    while std::fs::read_to_string(format!("/proc/{}/cgroup", inside.id())).is_ok_and(|text| !text.contains(one.path()))
    {
        std::thread::yield_now();
    }
    command.args(scopes.iter().flat_map(|scope| ["--scope", scope])).stdin(Stdio::null());
    let output = command.output().unwrap();
    inside.kill().unwrap();
    inside.wait().unwrap();
    let (events, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(events.lines().count(), 8, "{events}");
    let lines: Vec<&str> = said.lines().filter(|line| line.contains("whose figures contain its own")).collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].contains(&format!("the control group {}", one.path())), "{said}");
    assert!(lines[1].contains(&format!("the process {}", inside.id())), "{said}");
    drop(two);
}

#[test]
fn what_was_not_read_of_a_group_that_is_removed_is_said_with_its_bound() {
    let Some(parent) = ControlGroup::new("unread") else { return };
    let above = parent.child("above");
    let (burned, idle, read) = (above.child("burned"), above.child("idle"), above.child("read"));
    let mut command = formusage_process();
    command.args(["collect", "--no-state", "--interval", "1s", "--instance-id", "{name}", "--scope"]);
    // Other groups may be beside them, so that it can not be billed.
    command.arg(format!("cgroup:{}/[bir]*", above.path())).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    // The first look, and a period in which one of them used something that was read at once.
    while !line.contains("\"read\"") {
        assert!(stdout.read_line(&mut line).unwrap() > 0);
    }
    let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    stop(&mut [read.run(burn)]);
    for _ in 0..6 {
        assert!(stdout.read_line(&mut line).unwrap() > 0);
    }
    read.remove().unwrap();
    for _ in 0..4 {
        assert!(stdout.read_line(&mut line).unwrap() > 0);
    }
    // While the collector does not run, one group burns, and all are removed.
    signal(&child, "STOP");
    assert!(burned.run(burn).wait().unwrap().success());
    let used = burned.used();
    burned.remove().unwrap();
    idle.remove().unwrap();
    signal(&child, "CONT");
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("removed before its last CPU time could be read") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
    }
    signal(&child, "TERM");
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let told: Vec<&str> = said.lines().filter(|line| line.contains("could be read")).collect();
    assert!(told.len() == 1 && told[0].contains(burned.path()), "{said}");
    let most: u128 = told[0].split("most_ms=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!((used.as_millis()..used.as_millis() + 50).contains(&most), "{most} ms of {used:?}");
}
