//! What is packaged around the binary.

use crate::support::not_run;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNITS: [&str; 6] = [
    "formusage.target",
    "formusage.socket",
    "formusage.service",
    "formusage-collect.service",
    "formusage-publish.service",
    "formusage-publish.timer",
];

/// What the meter may be given beside, each for a figure: drop-ins of formusage-collect.service.
const DROP_INS: [&str; 3] = ["private-mounts.conf", "tenants-gpu.conf", "tenants-network.conf"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd")
}

fn unit(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// Where there is no systemd, there is nobody to ask.
fn systemd_analyze() -> Option<Command> {
    let found = Command::new("systemd-analyze").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        not_run("systemd-analyze is not installed");
    }
    found.then(|| Command::new("systemd-analyze"))
}

/// The units and the drop-in for a token, for the binary under test.
fn installed() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for name in UNITS {
        let text = unit(name).replace("/usr/bin/formusage", env!("CARGO_BIN_EXE_formusage"));
        std::fs::write(place.path().join(name), text).unwrap();
    }
    for service in ["formusage.service", "formusage-publish.service"] {
        let drop_ins = place.path().join(format!("{service}.d"));
        std::fs::create_dir(&drop_ins).unwrap();
        std::fs::copy(folder().join("token.conf"), drop_ins.join("token.conf")).unwrap();
    }
    place
}

/// The same with all that the meter may be given.
fn installed_with_drop_ins() -> tempfile::TempDir {
    let place = installed();
    let drop_ins = place.path().join("formusage-collect.service.d");
    std::fs::create_dir(&drop_ins).unwrap();
    for name in DROP_INS {
        std::fs::copy(folder().join("formusage-collect.service.d").join(name), drop_ins.join(name)).unwrap();
    }
    place
}

/// What a setting has in all its lines of a unit or drop-in; an empty line takes back what stands before it.
fn values(text: &str, setting: &str) -> Vec<String> {
    let mut found = Vec::new();
    for value in text.lines().filter_map(|line| line.strip_prefix(setting)?.strip_prefix('=')) {
        if value.is_empty() {
            found.clear();
        }
        found.extend(value.split_whitespace().map(str::to_owned));
    }
    found
}

/// The capabilities that a unit or a drop-in of the meter gives, which are also those that it leaves.
pub(crate) fn capabilities(name: &str) -> Vec<String> {
    let text = unit(name);
    let given = values(&text, "AmbientCapabilities");
    assert_eq!(given, values(&text, "CapabilityBoundingSet"), "{name}");
    given
}

#[test]
fn the_meter_has_the_capabilities_of_the_documented_table_and_no_others() {
    let table = include_str!("../../docs/explanation/capabilities.md");
    assert_eq!(capabilities("formusage-collect.service"), [""; 0]);
    for name in DROP_INS {
        let row = table.lines().find(|line| line.starts_with('|') && line.contains(name)).unwrap();
        let needs = row.split('|').nth(3).unwrap();
        let documented: Vec<&str> = needs.split('`').filter(|word| word.starts_with("CAP_")).collect();
        let path = format!("formusage-collect.service.d/{name}");
        assert_eq!(capabilities(&path), documented, "{name}");
        assert_eq!(
            values(&unit(&path), "PrivateUsers"),
            ["no"],
            "{name}: in a namespace of its own they count for nothing"
        );
    }
    let in_folder = std::fs::read_dir(folder().join("formusage-collect.service.d")).unwrap().count();
    assert_eq!(in_folder, DROP_INS.len());
}

/// Entering a network namespace is `setns` with its type, and listing interfaces is a socket of netlink's.
#[test]
fn the_units_leave_what_the_meter_does_with_its_capabilities() {
    let (service, network) =
        (unit("formusage-collect.service"), unit("formusage-collect.service.d/tenants-network.conf"));
    assert_eq!(values(&network, "RestrictAddressFamilies"), ["AF_NETLINK"]);
    assert_eq!(values(&network, "RestrictNamespaces"), ["net"]);
    let refused: Vec<String> =
        values(&service, "SystemCallFilter").into_iter().filter(|it| it != "@system-service").collect();
    assert_eq!(refused, ["~@privileged", "@resources"]);
    let Some(mut analyze) = systemd_analyze() else { return };
    let output = analyze.args(["syscall-filter", "--no-pager", "@privileged", "@resources"]).output().unwrap();
    let calls = String::from_utf8(output.stdout).unwrap();
    assert!(
        calls.contains("@chown") && !calls.lines().any(|line| matches!(line.trim(), "setns" | "socket")),
        "{calls}"
    );
    for hidden in ["PrivateNetwork=yes", "ProcSubset=pid", "ProtectProc=invisible", "PrivateDevices=yes"] {
        assert!(!service.contains(hidden) && !network.contains(hidden), "{hidden} hides what is metered");
    }
}

#[test]
fn systemd_accepts_the_units() {
    let Some(mut analyze) = systemd_analyze() else { return };
    let place = installed_with_drop_ins();
    // The man pages are not installed where this runs.
    analyze.args(["verify", "--man=no"]).args(UNITS.map(|name| place.path().join(name)));
    let output = analyze.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}");
    // A misspelt setting is but a warning to systemd.
    assert!(!words.contains("formusage"), "{words}");
}

#[test]
fn the_services_are_shut_in() {
    let Some(_) = systemd_analyze() else { return };
    let is_shut_in = |service: &Path, most: u32| {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=true", "--no-pager"]).arg(format!("--threshold={most}")).arg(service);
        let output = analyze.output().unwrap();
        assert!(output.status.success(), "{}: {}", service.display(), String::from_utf8_lossy(&output.stdout));
    };
    let place = installed();
    for service in UNITS.iter().filter(|name| name.ends_with(".service")) {
        is_shut_in(&place.path().join(service), 20);
    }
    is_shut_in(&installed_with_drop_ins().path().join("formusage-collect.service"), 30);
}

/// Both streams of a service are its input unless it says otherwise, and its log goes where its output goes.
#[test]
fn logs_do_not_go_into_the_pipe_of_events() {
    for service in UNITS.iter().filter(|name| name.ends_with(".service")) {
        let text = unit(service);
        let is_piped = |setting| values(&text, setting).iter().any(|value| value.contains(':'));
        if is_piped("StandardInput") {
            assert_eq!(values(&text, "StandardOutput"), ["journal"], "{service}");
        }
        if is_piped("StandardInput") || is_piped("StandardOutput") {
            assert_eq!(values(&text, "StandardError"), ["journal"], "{service}");
        }
    }
}

/// No socket starts while its service still ends: a start right behind a stop would fail.
#[test]
fn a_stop_is_over_when_all_is_delivered() {
    let target = unit("formusage.target");
    assert_eq!(values(&target, "Before"), values(&target, "Wants"));
}

#[test]
fn a_machine_is_metered_once() {
    for name in ["formusage.service", "formusage-collect.service"] {
        assert!(unit(name).contains("\nConflicts=formusage-publish.timer formusage-publish.service\n"), "{name}");
    }
    for name in ["formusage-publish.service", "formusage-publish.timer"] {
        let text = unit(name);
        let conflicts = text.lines().find(|line| line.starts_with("Conflicts=")).unwrap();
        assert!(conflicts.contains("formusage.service formusage-collect.service formusage.socket"), "{name}");
    }
}

#[test]
fn what_the_units_call_exists() {
    for name in UNITS.iter().filter(|name| name.ends_with(".service")) {
        let text = unit(name);
        let command = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        for call in command.split("/usr/bin/formusage ").skip(1) {
            let mut words: Vec<&str> = call.split(['|', '\'']).next().unwrap().split_whitespace().collect();
            words.push("--help");
            super::support::formusage().args(words).assert().success();
        }
    }
}
