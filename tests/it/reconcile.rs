//! `spool reconcile` beside a publisher that goes on.

use std::io::Write;
use std::process::{Command, Stdio};

use predicates::str::contains;
use serde_json::Value;

use crate::form_queue::{Answer, FormQueue};
use crate::support::{SpawnGuarded as _, formusage, formusage_process, line, lines};

/// Failures are found out quickly, and a queue that is back soon after.
const QUICK: [(&str, &str); 4] = [
    ("FORMUSAGE_DRAIN_TIMEOUT", "500ms"),
    ("FORMUSAGE_INITIAL_BACKOFF", "1ms"),
    ("FORMUSAGE_MAX_BACKOFF", "10ms"),
    ("FORMUSAGE_RESET_TIMEOUT", "1s"),
];

#[test]
fn a_running_publisher_sends_what_is_put_back_and_counts_it_as_resumed() {
    let queue = FormQueue::start();
    let folder = tempfile::tempdir().unwrap();
    let mut command: Command = formusage_process();
    command.envs(QUICK).env("FORMUSAGE_STATE_DIR", folder.path());
    command.args(["publish", "--report", "json", "--to", &queue.url()]);
    let mut running = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
    let mut input = running.stdin.take().unwrap();
    input.write_all(lines("a", 3).as_bytes()).unwrap();
    queue.wait_for_messages(3);

    // It comes back empty, and takes nothing yet.
    queue.always(Answer::status(503));
    queue.restart();
    let mut reconcile = formusage();
    reconcile.envs(QUICK).env("FORMUSAGE_STATE_DIR", folder.path()).args(["spool", "reconcile", "--to", &queue.url()]);
    // Acknowledgements are written a moment after they came.
    let written = (0..500).any(|_| {
        let mut look = formusage();
        look.env("FORMUSAGE_STATE_DIR", folder.path()).args(["spool", "status"]);
        let status: Value = serde_json::from_slice(&look.output().unwrap().stdout).unwrap();
        status["destinations"][0]["retained"] == 3
    });
    assert!(written);
    // Which of the two holds them by now decides which of them calls them its own.
    reconcile
        .assert()
        .code(predicates::ord::le(1))
        .stderr(contains("3 events are back in the spool, to be sent again"));
    assert!(queue.events().is_empty());

    queue.always(Answer::Take);
    queue.wait_for_messages(3);
    input.write_all(format!("{}\n", line("a", 3)).as_bytes()).unwrap();
    queue.wait_for_messages(4);
    drop(input);
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let events: Vec<String> = (0..4).map(|n| line("a", n)).collect();
    assert_eq!(queue.events(), events, "in order");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["read"], &report["delivered"], &report["undelivered"]), (&4.into(), &4.into(), &0.into()));
    assert_eq!(report["resumed"]["delivered"], 3, "{report}");
}
