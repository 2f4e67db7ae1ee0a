//! Scopes of the machine that the tests run on, read through the library.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::collect::{Observed, Scope, ScopeOptions, ScopeSpec};

use crate::control_group::ControlGroup;
use crate::support::SpawnGuarded as _;

fn named() -> ScopeOptions {
    ScopeOptions { instance: Some("{name}".parse().unwrap()), ..ScopeOptions::default() }
}

fn open(scope: &str) -> Box<dyn Scope> {
    scope.parse::<ScopeSpec>().unwrap().open(&named()).unwrap()
}

fn read(scope: &mut dyn Scope) -> Vec<Observed> {
    scope.read(SystemClock.monotonic()).unwrap()
}

fn cpu(seen: &[Observed], instance: &str) -> Duration {
    seen.iter().find(|seen| seen.instance == instance).unwrap().reading.cpu.unwrap()
}

/// Waits until the scope asks for a look, at most so long.
fn is_urgent(scope: &dyn Scope, within: Duration) -> bool {
    let descriptor = scope.urgency().unwrap();
    let mut polled = [rustix::event::PollFd::new(&descriptor, rustix::event::PollFlags::IN)];
    let within = rustix::event::Timespec { tv_sec: within.as_secs().cast_signed(), tv_nsec: 0 };
    rustix::event::poll(&mut polled, Some(&within)).unwrap() > 0
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn groups_are_metered_as_the_kernel_counts_them_until_their_end() {
    let Some(parent) = ControlGroup::new("burn") else { return };
    let (one, two) = (parent.child("one"), parent.child("two"));
    let mut scope = open(&format!("cgroup:{}/*", parent.path()));
    let first = read(scope.as_mut());
    assert_eq!(first.iter().map(|seen| seen.instance.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(cpu(&first, "one"), Duration::ZERO);
    assert!(!is_urgent(scope.as_ref(), Duration::ZERO), "nothing happened");

    let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let mut children = vec![one.run(burn), two.run(burn), two.run(burn), two.run(burn)];
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    // The groups became empty, and what they used is read at once.
    assert!(is_urgent(scope.as_ref(), LONG));
    let last = scope.glance(SystemClock.monotonic()).unwrap();
    for (name, group) in [("one", &one), ("two", &two)] {
        // A process may be a few microseconds from its end when its parent hears of it.
        let missed = group.used().checked_sub(cpu(&last, name)).unwrap();
        assert!(missed < Duration::from_millis(5), "{name}: {missed:?}");
    }
    assert!(cpu(&last, "two") > 2 * cpu(&last, "one"), "{last:?}");
    assert!(cpu(&last, "one") > Duration::from_millis(10));

    one.remove().unwrap();
    assert!(is_urgent(scope.as_ref(), LONG), "its end is told");
    let rest = scope.glance(SystemClock.monotonic()).unwrap();
    assert_eq!(rest.iter().map(|seen| seen.instance.as_str()).collect::<Vec<_>>(), ["two"]);
    // One of the same name is another one, and new.
    let one = parent.child("one");
    assert!(is_urgent(scope.as_ref(), LONG));
    let again = scope.glance(SystemClock.monotonic()).unwrap();
    assert!(again[0].born && again[0].life != first[0].life && again[1].life == first[1].life);
    drop(one);
}

#[test]
fn what_runs_deeper_is_counted_in_the_group_above() {
    let Some(parent) = ControlGroup::new("deep") else { return };
    let (deep, mut scope) = (parent.child("deep"), open(&format!("cgroup:{}", parent.path())));
    read(scope.as_mut());
    let mut child = deep.run("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    child.wait().unwrap();
    let used = deep.used();
    deep.remove().unwrap();
    let name = parent.path();
    assert!(cpu(&read(scope.as_mut()), name) >= used && used > Duration::ZERO);
}

#[test]
fn a_process_is_metered_with_children_that_end() {
    let Some(group) = ControlGroup::new("tree") else { return };
    // Children of children, one that is waited for, and one that nobody waits for.
    let script = "burn() { i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; }
        echo ready; read go; (burn; (burn) ) & burn; wait; (burn; echo daemon) & echo done; read end";
    let mut child = group.command(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn_guarded();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    let mut scope = open(&format!("pid:{}", child.id()));
    let before = read(scope.as_mut());
    let kernel = group.used();
    assert_eq!(before[0].instance, "sh");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"go\n").unwrap();
    let mut said: Vec<String> = lines.by_ref().take(2).collect();
    said.sort();
    assert_eq!(said, ["daemon", "done"]);
    let after = read(scope.as_mut());
    let (used, kernel) = (cpu(&after, "sh") - cpu(&before, "sh"), group.used() - kernel);
    // The figures of processes are in ticks of 10 ms; two of each may be missing.
    assert!(kernel > Duration::from_millis(50), "{kernel:?}");
    assert!(used.abs_diff(kernel) < Duration::from_millis(60), "{used:?} of {kernel:?}");
    assert!(after[0].reading.memory_used.unwrap() > 0 && !is_urgent(scope.as_ref(), Duration::ZERO));
    assert!(after[0].reading.network.as_ref().unwrap().is_empty(), "it is in the host's namespace");

    drop(stdin);
    // Nobody has waited for it yet: what it consumed can be read.
    assert!(is_urgent(scope.as_ref(), LONG));
    assert!(cpu(&read(scope.as_mut()), "sh") >= cpu(&after, "sh"));
    // The daemon was seen, and goes on for a moment after the others.
    let deadline = SystemClock.monotonic() + LONG;
    while !read(scope.as_mut()).is_empty() {
        assert!(SystemClock.monotonic() < deadline, "it does not end");
        std::thread::yield_now();
    }
    assert!(scope.urgency().is_none());
    child.wait().unwrap();
}

#[test]
fn what_is_not_there_is_told_with_the_fix() {
    let refused = |scope: &str| scope.parse::<ScopeSpec>().unwrap().open(&named()).unwrap_err().to_string();
    assert!(refused("pid:4194305").contains("there is no such process"));
    if ControlGroup::new("probe").is_some() {
        assert!(refused("cgroup:no-such-group").contains("there is no control group no-such-group"));
        assert!(refused("systemd:no-such-unit").contains("the unit no-such-unit.service has no control group"));
    }
}
