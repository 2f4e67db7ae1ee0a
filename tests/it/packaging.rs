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

#[test]
fn systemd_accepts_the_units() {
    let Some(mut analyze) = systemd_analyze() else { return };
    let place = installed();
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
    let place = installed();
    for service in UNITS.iter().filter(|name| name.ends_with(".service")) {
        let mut analyze = Command::new("systemd-analyze");
        analyze.args(["security", "--offline=true", "--threshold=20", "--no-pager"]).arg(place.path().join(service));
        let output = analyze.output().unwrap();
        assert!(output.status.success(), "{service}: {}", String::from_utf8_lossy(&output.stdout));
    }
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
