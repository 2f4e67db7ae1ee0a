//! A tenant who is in no control group for long: it makes the next one, goes there and removes the one that it left.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use form_usage_events::events::UsageEvent;

use crate::control_group::ControlGroup;
use crate::support::{SpawnGuarded as _, formusage_process, signal};

const HOP: &str = r#"cd "$0" && while :; do
    mkdir h$((n+=1)) && echo $$ >h$n/cgroup.procs && rmdir h$((n-1)) 2>/dev/null
    i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done
done"#;

#[test]
fn who_hops_from_group_to_group_is_billed() {
    let Some(parent) = ControlGroup::new("hop") else { return };
    let long = parent.child("long");
    let mut command = formusage_process();
    command.args(["collect", "--no-state", "--interval", "1s", "--scope", &format!("cgroup:{}/*", parent.path())]);
    let mut meter = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn_guarded();
    let events = BufReader::new(meter.stdout.take().unwrap()).lines();
    let mut events = events.map(|line| serde_json::from_str::<UsageEvent>(&line.unwrap()).unwrap());
    let mut billed = events.next().unwrap().metrics.cpu_seconds;
    let mut tenant = Command::new("sh").args(["-c", HOP]).arg(parent.folder()).stdin(Stdio::null()).spawn_guarded();
    // The one that stays has an event each second.
    while parent.used() < Duration::from_secs(6) {
        billed += events.next().unwrap().metrics.cpu_seconds;
    }
    tenant.kill().unwrap();
    tenant.wait().unwrap();
    signal(&meter, "TERM");
    billed += events.map(|event| event.metrics.cpu_seconds).sum::<u64>();
    meter.wait().unwrap();
    let used = parent.used();
    for group in std::fs::read_dir(parent.folder()).unwrap().flatten() {
        let _ = std::fs::remove_dir(group.path());
    }
    drop(long);
    // What is read one after the other is proven less the time that this takes.
    assert!((4..=used.as_secs() + 1).contains(&billed), "{billed} s of {used:?}");
}
