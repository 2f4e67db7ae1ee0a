//! Names that can't be resolved for a while.

use std::process::Command;

use predicates::str::contains;

use crate::support::{lines, not_run};

/// `formusage` on a machine without a network; `None` where none can be made.
fn without_network(folder: &tempfile::TempDir) -> Option<assert_cmd::Command> {
    let works = |options: &[&str]| {
        Command::new("unshare").args(options).arg("true").output().is_ok_and(|it| it.status.success())
    };
    let options = [&["--net"][..], &["--net", "--user", "--map-root-user"]].into_iter().find(|it| works(it))?;
    let mut command = assert_cmd::Command::new("unshare");
    command.args(options).arg(env!("CARGO_BIN_EXE_formusage")).env("FORMUSAGE_STATE_DIR", folder.path());
    command.timeout(std::time::Duration::from_secs(60));
    Some(command)
}

#[test]
#[cfg(target_os = "linux")]
fn a_name_server_that_is_away_holds_events_up_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut first) = without_network(&folder) else {
        return not_run("no network namespace can be made (unshare --net)");
    };
    // A resolver may take its time to give up.
    let publish = ["publish", "--max-retries", "0", "--drain-timeout", "20s", "--reset-timeout", "1h", "--to"];
    first.args(publish).arg("form://queue.example").args(["--failure-threshold", "1"]).write_stdin(lines("a", 2));
    first.assert().code(1).stderr(contains("\"queue.example\" can't be resolved at the moment"));
    for to in ["nats://queue.example", "https://queue.example/in"] {
        let mut other = without_network(&folder).unwrap();
        other.args(publish).arg(to).args(["--failure-threshold", "1"]).write_stdin(lines("a", 2));
        other.assert().code(1).stderr(contains("can't be resolved at the moment"));
    }
    let mut absent = without_network(&folder).unwrap();
    absent.args(publish).arg("form://queue.invalid").write_stdin(lines("a", 2));
    absent.assert().code(2).stderr(contains("does not resolve"));
    let mut ping = without_network(&folder).unwrap();
    ping.args(["ping", "--timeout", "20s", "--to", "form://queue.example"]);
    ping.assert().code(1).stderr(contains("the name server does not answer"));
}
