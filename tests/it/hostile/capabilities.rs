//! What each figure needs, as `docs/explanation/capabilities.md` has it: with the capabilities of a drop-in of the
//! service the figure is right, without one of them it is named as not metered, and never passes for 0.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use form_usage_events::clock::{Clock as _, SystemClock};
use serde_json::Value;

use crate::control_group::ControlGroup;
use crate::packaging::capabilities;
use crate::scope_network::{Container, MEGABYTES};
use crate::support::{SpawnGuarded as _, not_run, signal};

/// An ordinary user: `nobody`.
const USER: &str = "65534";
const NETWORK: [&str; 2] = ["network_egress_mb", "network_ingress_mb"];

/// The words that run a program as an ordinary user with these capabilities alone.
pub(super) fn with_capabilities(capabilities: &[String]) -> Vec<String> {
    let names = capabilities.iter().map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    let set = format!("-all{}", names.collect::<String>());
    let words = ["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "--no-new-privs"];
    let sets = ["--inh-caps", "--ambient-caps", "--bounding-set"].map(|option| format!("{option}={set}"));
    words.into_iter().map(str::to_owned).chain(sets).collect()
}

/// Whether the binary can be run so; every folder above it has to be open to all.
pub(super) fn can_run() -> bool {
    let words = with_capabilities(&[]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args([env!("CARGO_BIN_EXE_formusage"), "--version"]).stdout(Stdio::null());
    let can = command.status().is_ok_and(|status| status.success());
    if !can {
        not_run("the binary can't be run as another user with capabilities of its own; that takes root, and setpriv");
    }
    can
}

/// Every set that lacks one capability of `all`, with the one that it lacks.
fn each_without_one(all: &[String]) -> Vec<(Vec<String>, &str)> {
    let without =
        |at: usize| all.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, it)| it.clone()).collect();
    all.iter().enumerate().map(|(at, lacking)| (without(at), lacking.as_str())).collect()
}

/// The events and the words of a collector of three samples with these capabilities; `before` is a shell's command that
/// prepares a mount namespace for it, in which it is then run.
fn collect(capabilities: &[String], before: &str, arguments: &[&str]) -> Option<(Vec<Value>, String)> {
    let script = format!("{before} && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, "sh"]).args(with_capabilities(capabilities));
    command.args([env!("CARGO_BIN_EXE_formusage"), "collect", "--no-state", "--interval", "1s", "--count", "2"]);
    let output = command.args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("unshare:") || said.contains("mount:") {
        not_run(said);
        return None;
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
    Some((lines.map(|line| serde_json::from_str(line).unwrap()).collect(), said))
}

pub(super) fn is_not_metered(event: &Value, metric: &str) -> bool {
    event["not_metered"].as_array().is_some_and(|names| names.iter().any(|name| name == metric))
}

fn figure(events: &[Value], metric: &str) -> f64 {
    events.iter().map(|event| event["metrics"][metric].as_f64().unwrap()).sum()
}

#[test]
fn cpu_time_of_tenants_needs_no_capability() {
    let Some(group) = ControlGroup::new("plain") else { return };
    if !can_run() {
        return;
    }
    let mut burner = group.run("while :; do :; done");
    let scopes = [format!("cgroup:{}", group.path()), format!("pid:{}", burner.id())];
    for scope in &scopes {
        let Some((events, said)) = collect(&[], "true", &["--scope", scope]) else { return };
        assert!(figure(&events, "cpu_percent_avg") > 1.0, "{scope}: {events:?} {said}");
        assert!(events.iter().all(|event| !is_not_metered(event, "cpu_seconds")), "{events:?}");
    }
    burner.kill().unwrap();
}

#[test]
fn network_of_tenants_needs_what_its_drop_in_gives() {
    let Some(group) = ControlGroup::new("capable") else { return };
    if !can_run() {
        return;
    }
    let Some(mut container) = Container::start(&group) else { return };
    let scope = format!("cgroup:{}", group.path());
    let needed = capabilities("formusage-collect.service.d/tenants-network.conf");
    let words = with_capabilities(&needed);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).args([env!("CARGO_BIN_EXE_formusage"), "collect", "--no-state", "--interval", "1s"]);
    command.args(["--scope", &scope]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut meter = command.spawn_guarded();
    let mut lines = BufReader::new(meter.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    next();
    if let Err(why) = container.plug() {
        return not_run(format!("no virtual cable can be laid: {why}"));
    }
    container.send();
    #[allow(clippy::cast_precision_loss)]
    let (expected, began) = (MEGABYTES as f64, SystemClock.monotonic());
    let mut sent = 0.0;
    while sent < expected {
        let event = next();
        assert!(!is_not_metered(&event, NETWORK[0]), "{event}");
        sent += figure(&[event], NETWORK[0]);
        assert!(SystemClock.monotonic() < began + std::time::Duration::from_secs(60), "{sent} MB");
    }
    assert!(sent < expected * 1.02, "{sent} MB");
    signal(&meter, "TERM");
    meter.wait().unwrap();

    for (some, lacking) in each_without_one(&needed) {
        let Some((events, said)) = collect(&some, "true", &["--scope", &scope]) else { return };
        for metric in NETWORK {
            assert!(events.iter().all(|event| is_not_metered(event, metric)), "without {lacking}: {events:?}");
        }
        assert!(figure(&events, NETWORK[0]) < 1e-9, "without {lacking}: {events:?}");
        assert_eq!(said.matches("tenants-network.conf").count(), 1, "without {lacking}: {said}");
        assert!(said.contains(lacking) && said.contains("NOT metered"), "without {lacking}: {said}");
    }
}

#[test]
fn storage_below_a_private_folder_needs_what_its_drop_in_gives() {
    if !can_run() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("private");
    std::fs::create_dir_all(place.join("disk")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(folder.path(), mode(0o700)).unwrap();
    let disk = place.join("disk").display().to_string();
    let before = format!("mount -t tmpfs none {disk} && head -c 20000000 /dev/zero >{disk}/file");
    let needed = capabilities("formusage-collect.service.d/private-mounts.conf");
    let Some((events, said)) = collect(&needed, &before, &["--mount", &disk]) else { return };
    let megabytes = events[1]["metrics"]["storage_gb"].as_f64().unwrap() * 1024.0;
    assert!((19.0..20.0).contains(&megabytes), "{megabytes} MB: {said}");
    assert!(events.iter().all(|event| !is_not_metered(event, "storage_gb")), "{events:?}");

    let Some((events, said)) = collect(&[], &before, &["--mount", &disk]) else { return };
    assert!(events.iter().all(|event| is_not_metered(event, "storage_gb")), "{events:?}");
    assert!(events.iter().all(|event| !is_not_metered(event, "cpu_seconds")), "{events:?}");
    assert_eq!(said.matches("CAP_DAC_READ_SEARCH (systemd: private-mounts.conf)").count(), 1, "{said}");
}

#[test]
fn gpu_time_of_tenants_needs_what_its_drop_in_gives() {
    let Some(group) = ControlGroup::new("gpu") else { return };
    if !can_run() {
        return;
    }
    if !Path::new("/sys/class/drm").is_dir() && !Path::new("/sys/class").is_dir() {
        return not_run("there is no sysfs");
    }
    let mut tenant = group.run("exec sleep 600");
    let scope = format!("cgroup:{}", group.path());
    // A GPU, as far as the kernel's list of them goes.
    let before = "mount -t tmpfs none /sys/class && mkdir -p /sys/class/drm/card0";
    let needed = capabilities("formusage-collect.service.d/tenants-gpu.conf");
    let Some((events, said)) = collect(&needed, before, &["--scope", &scope]) else { return };
    assert!(events.iter().all(|event| !is_not_metered(event, "gpu_seconds")), "{events:?} {said}");
    for (some, lacking) in each_without_one(&needed) {
        let Some((events, said)) = collect(&some, before, &["--scope", &scope]) else { return };
        assert!(events.iter().all(|event| is_not_metered(event, "gpu_seconds")), "without {lacking}: {events:?}");
        assert_eq!(said.matches("tenants-gpu.conf").count(), 1, "without {lacking}: {said}");
        assert!(said.contains(lacking), "without {lacking}: {said}");
    }
    tenant.kill().unwrap();
}
