//! What is not there, or is closed by its owner, keeps nobody else from being metered.

use std::fs::{Permissions, set_permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::capabilities::{can_run, is_not_metered, with_capabilities};
use crate::control_group::ControlGroup;
use crate::support::{SpawnGuarded as _, formusage};

#[test]
fn units_and_processes_that_are_not_there_keep_nobody_from_being_metered() {
    let Some(group) = ControlGroup::new("present") else { return };
    let mut command = formusage();
    command.args(["collect", "--no-state", "--interval", "1s", "--count", "1", "--scope", "systemd:no-such-unit"]);
    command.args(["--scope", "pid:4194305", "--scope", &format!("cgroup:{}", group.path())]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), output.stdout.iter().filter(|byte| **byte == b'\n').count()),
        (Some(0), 1),
        "{said}"
    );
    assert!(said.contains("it is once it is there: the unit no-such-unit.service has no control group"), "{said}");
    assert!(said.contains("nothing is metered for it: can't meter pid:4194305"), "{said}");
}

#[test]
fn a_group_that_its_owner_closes_costs_its_own_figures_alone() {
    let Some(parent) = ControlGroup::new("closed") else { return };
    if !can_run() {
        return;
    }
    let (closed, open) = (parent.child("t"), parent.child("v"));
    set_permissions(closed.folder(), Permissions::from_mode(0o700)).unwrap();
    let words = with_capabilities(&[]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args([env!("CARGO_BIN_EXE_formusage"), "collect", "--no-state", "--interval", "1s"]);
    command.args(["--sample-interval", "600ms", "--instance-id", "{name}"]);
    for scope in ["*", "t/app", "t/b*"] {
        command.args(["--scope", &format!("cgroup:{}/{scope}", parent.path())]);
    }
    let mut meter = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn_guarded();
    let mut lines = BufReader::new(meter.stdout.take().unwrap()).lines();
    let mut until = |instance: &str| loop {
        let event: Value = serde_json::from_str(&lines.next().expect("it ended").unwrap()).unwrap();
        if event["instance_id"] == instance {
            return event;
        }
    };
    assert!(is_not_metered(&until("t"), "cpu_seconds"));
    assert!(!is_not_metered(&until("v"), "cpu_seconds"));
    // Others' groups are still heard of while they come and go between two samples.
    let inotify = std::fs::read_dir(format!("/proc/{}/fdinfo", meter.id())).unwrap().flatten();
    let watches: usize = inotify
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .map(|text| text.lines().filter(|line| line.starts_with("inotify wd:")).count())
        .sum();
    assert!(watches > 0, "nothing is watched");
    let below = [closed.child("app"), closed.child("b1")];
    set_permissions(closed.folder(), Permissions::from_mode(0o755)).unwrap();
    for name in ["app", "b1"] {
        assert!(!is_not_metered(&until(name), "cpu_seconds"));
    }
    drop((below, open));
}
