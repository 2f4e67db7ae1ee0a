//! Scopes of the machine that the tests run on, read through the library.

use std::time::Duration;

use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::collect::{Observed, Scope, ScopeOptions, ScopeSpec};

use crate::control_group::ControlGroup;

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
