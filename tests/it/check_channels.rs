//! `check --channels` as a job that runs now and then: each alert is told once, and of its end, over runs and failures.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use form_usage_events::clock::{Clock as _, SystemClock};
use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use serde_json::Value;

use crate::channels::{MailServer, PATIENCE, Received, SECRET, receiver, webhook};
use crate::support::{SpawnGuarded as _, event, formusage, formusage_process};

/// Fires after two of the events below; tells again after ten minutes.
const STATED: &str = r#"{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80}},"action":"Notify","user_id":"*","notification_channels":["ops"],"for":"1m","repeat_interval":"10m"}"#;
/// Each event is told.
const PLAIN: &str = r#"{"id":"plain","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80}},"action":"Notify","user_id":"*","notification_channels":["ops"]}"#;

/// Events of 30 s: over the limit before the 30th, well from there on.
fn events(periods: std::ops::Range<i64>) -> String {
    let mut text = String::new();
    for n in periods {
        let mut event = event("web-1", n);
        event.metrics.cpu_percent_avg = if n < 30 { 95.0 } else { 20.0 };
        writeln!(text, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }
    text
}

/// A folder with thresholds and channels.
struct Job(tempfile::TempDir);

impl Job {
    fn new(thresholds: &str, channels: &str) -> Self {
        let job = Self(tempfile::tempdir().unwrap());
        job.file("thresholds.json", thresholds);
        job.file("channels.json", channels);
        job
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    /// `formusage check` over these events.
    fn check(&self, events: &str, options: &[&str]) -> assert_cmd::assert::Assert {
        self.file("events.ndjson", events);
        let mut command = formusage();
        command.current_dir(self.0.path()).env("HOOK_SECRET", SECRET);
        command.args(["check", "thresholds.json", "events.ndjson", "--channels", "channels.json"]);
        command.env("FORMUSAGE_ALERT_SPOOL", "alerts.db").env("FORMUSAGE_DRAIN_TIMEOUT", "30s").args(options).assert()
    }
}

/// What a receiver was told so far: kind, number of the repeat, id.
fn told(received: &Receiver<Received>, count: usize) -> Vec<(String, i64, String)> {
    let mut told = Vec::new();
    while told.len() < count {
        let request = received.recv_timeout(PATIENCE).unwrap();
        told.extend(told_in(&request));
    }
    assert!(received.try_recv().is_err(), "more was told than {told:?}");
    told
}

/// What one request tells of.
fn told_in(request: &Received) -> Vec<(String, i64, String)> {
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let alert = |event: &Value| {
        let alert = &event["alert"];
        let text = |key: &str| alert[key].as_str().unwrap().to_owned();
        (text("kind"), alert["at"].as_i64().unwrap() - 1_626_350_400, text("id"))
    };
    body["data"]["events"].as_array().unwrap().iter().map(alert).collect()
}

fn kinds(told: &[(String, i64, String)]) -> Vec<(&str, i64)> {
    told.iter().map(|(kind, at, _)| (kind.as_str(), *at)).collect()
}

#[test]
fn runs_in_a_row_tell_each_change_once() {
    let (port, received) = receiver(0);
    let job = Job::new(STATED, &webhook(port));
    let state = ["--state", "state.json"];
    // Each run sees what the one before saw, and a little more, as a job that looks at a growing file does.
    job.check(&events(0..1), &state).code(0);
    assert_eq!(told(&received, 0), []);
    job.check(&events(0..5), &state).code(1).stdout(contains(r#""state":"firing""#));
    assert_eq!(kinds(&told(&received, 1)), [("firing", 60)]);
    job.check(&events(0..5), &state).code(1);
    assert_eq!(told(&received, 0), []);
    job.check(&events(0..29), &state).code(1);
    assert_eq!(kinds(&told(&received, 1)), [("repeat", 660)]);
    job.check(&events(0..40), &state).code(1).stdout(contains(r#""state":"resolved""#));
    assert_eq!(kinds(&told(&received, 1)), [("resolved", 930)]);
    job.check(&events(0..41), &state).code(0);
    assert_eq!(told(&received, 0), []);

    // All at once, and without states that are kept: in the order of their making, and with a word about it.
    job.check(&events(0..40), &[]).code(1).stderr(contains("--state FILE keeps what was told"));
    assert_eq!(kinds(&told(&received, 3)), [("firing", 60), ("repeat", 660), ("resolved", 930)]);
}

/// A job whose input holds nothing of an instance that it knew is no silent all-clear.
#[test]
fn a_run_without_events_tells_of_the_silence() {
    let (port, received) = receiver(0);
    let thresholds = STATED.replace(r#""for":"1m","repeat_interval":"10m""#, r#""no_data":"alert""#);
    let job = Job::new(&thresholds, &webhook(port));
    let state = ["--state", "state.json"];
    let now = SystemClock.unix_seconds();
    let mut last = event("web-1", 0);
    last.metrics.cpu_percent_avg = 20.0;
    (last.period.start, last.period.end, last.timestamp) = (now - 3_630, now - 3_600, now - 3_600);
    let heard = format!("{}\n", serde_json::to_string(&last).unwrap());
    job.check(&heard, &state).code(0).stderr(contains("nothing came lately of 1 instance"));
    assert_eq!(told(&received, 0), []);
    // What can't be read may hold its events.
    job.check("", &["missing.ndjson", "--state", "state.json"]).code(2);
    assert_eq!(told(&received, 0), []);
    job.check("", &state).code(1).stdout(contains(r#""state":"no_data""#));
    let silence = told(&received, 1);
    assert_eq!(silence[0].0, "no_data");
    // What came before is no news, and neither is the silence.
    job.check(&heard, &state).code(1);
    assert_eq!(told(&received, 0), []);
    (last.period.start, last.period.end, last.timestamp) = (now - 60, now - 30, now - 30);
    job.check(&format!("{}\n", serde_json::to_string(&last).unwrap()), &state).code(0).stdout(contains("resolved"));
    assert_eq!(told(&received, 1)[0].0, "resolved");
    job.check("", &state).code(0);
}

#[test]
fn a_threshold_without_states_is_told_of_each_event_and_a_log_action_of_none() {
    let (port, received) = receiver(0);
    let log = PLAIN.replace("\"plain\"", "\"log\"").replace("\"Notify\"", "\"Log\"");
    let job = Job::new(&format!("[{PLAIN},{log}]"), &webhook(port));
    job.check(&events(28..32), &["--tee"]).code(1).stdout(events(28..32));
    assert_eq!(kinds(&told(&received, 2)), [("violation", 870), ("violation", 900)]);
}

#[test]
fn what_a_channel_does_not_take_in_time_waits_for_the_next_run() {
    // It refuses at first, and is back within the run.
    let (port, received) = receiver(2);
    let job = Job::new(STATED, &webhook(port));
    job.check(&events(0..5), &["--state", "state.json"]).code(1);
    assert_eq!(kinds(&told(&received, 1)), [("firing", 60)]);

    // It is down for the whole run: the verdict stands, the alert waits, and the next run delivers it, once.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let job = Job::new(STATED, &webhook(port));
    let state = ["--state", "state.json"];
    let down = job.check(&events(0..5), &["--state", "state.json", "--drain-timeout", "1s"]).code(1);
    down.stderr(contains("channel:ops: 1 alert waits for the next run"));
    let (port, received) = receiver(0);
    job.file("channels.json", &webhook(port));
    job.check(&events(0..6), &["--state", "state.json"]).code(1);
    assert_eq!(kinds(&told(&received, 1)), [("firing", 60)]);
    job.check(&events(0..6), &state).code(1);
    assert_eq!(told(&received, 0), []);
}

#[test]
fn a_name_that_nothing_is_bound_to_ends_the_run_before_it_begins() {
    let job = Job::new(STATED, r#"{"channels":{"opps":{"exec":{"command":["true"]}}}}"#);
    let said = contains("nothing is bound to the channel `ops`").and(contains("did you mean `opps`?"));
    job.check(&events(0..5), &["--state", "state.json"]).code(2).stdout("").stderr(said);
    job.file("channels.json", r#"{"channels":{"ops":{"exec":{"command":["true"]}}}}"#);
    job.check(&events(0..5), &["--format", "nagios"]).code(3).stdout(contains("UNKNOWN").and(contains("--allow-exec")));
    job.check(&events(0..5), &["--allow-exec", "--format", "nagios"]).code(1).stdout(contains("WARNING"));
    job.check(&events(0..5), &["--allow-exec", "--alert-spool", "channels.json/alerts.db"])
        .code(2)
        .stderr(contains("channels of channels.json can't be used"));
}

#[test]
fn a_reader_that_leaves_does_not_make_the_next_run_tell_again() {
    let (port, received) = receiver(0);
    let plain = STATED.replace(",\"for\":\"1m\",\"repeat_interval\":\"10m\"", ",\"clear_value\":30");
    let job = Job::new(&plain, &webhook(port));
    job.file("events.ndjson", &events(0..5));
    let script = r#""$0" check thresholds.json events.ndjson --channels channels.json --alert-spool alerts.db --state state.json --explain | true"#;
    let mut command = assert_cmd::Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_formusage")]).current_dir(job.0.path());
    command.env("HOOK_SECRET", SECRET).assert().code(0);
    job.check(&events(0..5), &["--state", "state.json"]).code(1);
    assert_eq!(kinds(&told(&received, 1)), [("firing", 30)]);
}

#[test]
fn in_a_pipeline_alerts_go_out_at_once_and_a_kill_makes_none_again() {
    let (port, received) = receiver(0);
    let job = Job::new(STATED, &webhook(port));
    let mut command = formusage_process();
    command.args(["check", "thresholds.json", "--channels", "channels.json", "--state", "state.json"]);
    command.env("HOOK_SECRET", SECRET).env("FORMUSAGE_ALERT_SPOOL", "alerts.db").current_dir(job.0.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn_guarded();
    // The input goes on: nothing ends, and the alert is told all the same.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(events(0..5).as_bytes()).unwrap();
    let first = told(&received, 1);
    assert_eq!(kinds(&first), [("firing", 60)]);
    // Saved as told, and acknowledged on disk: whoever is killed before that tells it again, under the same id.
    let saved = || std::fs::read_to_string(job.0.path().join("state.json")).is_ok_and(|text| text.contains("firing"));
    let nothing_waits = || {
        let output = formusage().args(["spool", "status", "--spool", "alerts.db"]).current_dir(job.0.path()).output();
        serde_json::from_slice::<Value>(&output.unwrap().stdout).is_ok_and(|status| {
            status["destinations"].as_array().is_some_and(|all| all.iter().all(|it| it["waiting"] == 0))
        })
    };
    let began = SystemClock.monotonic();
    while !(saved() && nothing_waits()) {
        assert!(SystemClock.monotonic() - began < PATIENCE);
        std::thread::park_timeout(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    job.check(&events(0..40), &["--state", "state.json"]).code(1);
    assert_eq!(kinds(&told(&received, 2)), [("repeat", 660), ("resolved", 930)]);
}

#[test]
fn a_mail_arrives_in_a_mailbox_and_another_at_the_end() {
    let job = Job::new(STATED, "");
    let Some(server) = MailServer::start(job.0.path()) else { return };
    let channels = serde_json::json!({ "channels": { "ops": { "smtp": {
        "host": "127.0.0.1", "port": server.port, "tls": "none",
        "from": "formusage <meter@example.org>", "to": ["ops@example.org"],
    } } } });
    job.file("channels.json", &channels.to_string());
    // The server may still be starting: the alert is tried until it is there.
    job.check(&events(0..5), &["--state", "state.json"]).code(1);
    assert_eq!(server.mails().len(), 1);
    job.check(&events(0..40), &["--state", "state.json"]).code(1);
    let mails = server.mails();
    assert!(mails.len() > 1 && mails.iter().any(|mail| mail.contains("resolved")), "{mails:?}");
}
