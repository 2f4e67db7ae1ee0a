//! Alerts on their way: mails into a real mailbox, signed webhooks, programs, chats, and channels that were down.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use predicates::prelude::PredicateBooleanExt as _;
use predicates::str::contains;
use serde_json::Value;

use crate::ping::servers::{https, issue};
use crate::support::{RunningProcess, SpawnGuarded as _, formusage, lines, not_run};

/// How long something may take that comes within a second on a machine at rest.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// `whsec_` and 32 bytes in base64.
pub(crate) const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// A request that was received: its head, its headers by lower-case names, its body.
pub(crate) struct Received {
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// Takes requests, answers the first ones with 503, and hands the others over.
pub(crate) fn receiver(refusals: usize) -> (u16, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for (n, connection) in listener.incoming().flatten().enumerate() {
            answer(connection, n < refusals, &sender);
        }
    });
    (port, received)
}

fn answer(connection: TcpStream, refuse: bool, sender: &Sender<Received>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.trim().split_once(": ") {
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    let mut received = Received { headers, body: String::new() };
    let length = received.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    received.body = String::from_utf8(body).unwrap();
    let status = if refuse { "503 Busy" } else { "200 OK" };
    let mut connection = connection;
    let _ = write!(connection, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    if !refuse {
        let _ = sender.send(received);
    }
}

/// A folder with thresholds, channels and events.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// One threshold that every event exceeds, whose action is `action`.
    pub(crate) fn new(action: &str, channels: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let threshold = format!(
            r#"{{"id":"cpu-high","resource_type":"Cpu","threshold_type":{{"Percentage":{{"value":5}}}},"action":{action},"user_id":"*","notification_channels":["ops"]}}"#
        );
        let bench = Self { folder };
        bench.file("thresholds.json", &threshold);
        bench.file("channels.json", channels);
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Publishes so many events, each of which exceeds the threshold.
    pub(crate) fn publish(&self, events: i64) -> assert_cmd::Command {
        let mut command = formusage();
        command
            .current_dir(self.folder.path())
            .env("FORMUSAGE_STATE_DIR", self.path("state"))
            .env("HOOK_SECRET", SECRET)
            .args(["publish", "--to", "file:out.ndjson", "--thresholds", "thresholds.json"])
            .args(["--channels", "channels.json"])
            .env("FORMUSAGE_DRAIN_TIMEOUT", "20s")
            .write_stdin(lines("i", events));
        command
    }

    pub(crate) fn channels(&self, words: &[&str]) -> assert_cmd::Command {
        let mut command = formusage();
        command.current_dir(self.folder.path()).env("HOOK_SECRET", SECRET).arg("channels").args(words);
        command.args(["--channels", "channels.json"]);
        command
    }
}

pub(crate) fn webhook(port: u16) -> String {
    format!(
        r#"{{"channels":{{"ops":{{"webhook":{{"url":"http://127.0.0.1:{port}/hook","secret":{{"env":"HOOK_SECRET"}}}}}}}}}}"#
    )
}

#[test]
fn a_webhook_is_signed_and_tells_of_all_that_waits_in_one_request() {
    let (port, received) = receiver(0);
    let bench = Bench::new(r#""Notify""#, &webhook(port));
    bench.publish(3).assert().code(0);
    let mut told = Vec::new();
    while told.len() < 3 {
        let request = received.recv_timeout(PATIENCE).unwrap();
        let mut headers = http::HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(name, request.header(name).parse().unwrap());
        }
        let verifier = standardwebhooks::Webhook::new(SECRET).unwrap();
        verifier.verify(request.body.as_bytes(), &headers).unwrap();
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!(body["type"], "threshold_violation");
        told.extend(
            body["data"]["events"].as_array().unwrap().iter().map(|event| event["alert"]["at"].as_i64().unwrap()),
        );
    }
    assert_eq!(told, [1_626_350_430, 1_626_350_460, 1_626_350_490]);
}

#[test]
fn what_a_channel_did_not_take_arrives_when_it_is_back() {
    let (port, received) = receiver(3);
    let bench = Bench::new(r#""Notify""#, &webhook(port));
    bench.publish(1).assert().code(0);
    assert!(received.recv_timeout(PATIENCE).unwrap().body.contains("cpu-high"));

    // Down for the whole of a run: the event goes out all the same, the alert with the next run.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bench = Bench::new(r#""Notify""#, &webhook(port));
    bench.publish(1).args(["--drain-timeout", "1s"]).assert().code(0).stderr(contains("channel:ops: 1 alert waits"));
    assert!(std::fs::read_to_string(bench.path("out.ndjson")).unwrap().contains("instance_id"));
    let (port, received) = receiver(0);
    bench.file("channels.json", &webhook(port));
    // The breaker that the first run left open is waited for.
    bench.publish(0).args(["--drain-timeout", "35s"]).assert().code(0);
    assert!(received.recv_timeout(PATIENCE).unwrap().body.contains("cpu-high"));
}

#[test]
fn an_alert_that_was_refused_for_good_is_replayed_to_its_channel_alone() {
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = refusing.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut connection in refusing.incoming().flatten() {
            let _ = connection.read(&mut [0; 4096]);
            let _ = write!(connection, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let bench = Bench::new(r#""Notify""#, &webhook(port));
    bench.publish(1).assert().code(0);
    let dlq = |words: &[&str]| {
        let mut command = formusage();
        command.current_dir(bench.folder.path()).arg("dlq").args(words).args(["--spool", "state/alerts.db"]);
        command.assert()
    };
    dlq(&["list"]).code(0).stdout(contains("400"));
    dlq(&["replay", "--all", "--to", "file:elsewhere"]).code(1).stderr(contains("an alert for channel:ops"));
    dlq(&["list"]).stdout(contains("400"));
    dlq(&["replay", "--all"]).code(0).stderr(contains("--channels"));
    let (port, received) = receiver(0);
    bench.file("channels.json", &webhook(port));
    bench.publish(0).assert().code(0);
    assert!(received.recv_timeout(PATIENCE).unwrap().body.contains("cpu-high"));
    dlq(&["list"]).code(0).stdout("");
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_takes_too_long_is_killed_with_what_it_started() {
    let exec = r#"{"channels":{"ops":{"exec":{"command":["sh","-c","sleep 987 & echo $! > child; wait"],"timeout_seconds":1}}}}"#;
    let bench = Bench::new(r#""Notify""#, exec);
    bench.publish(1).args(["--allow-exec", "--drain-timeout", "1s"]).assert().code(0);
    let child = std::fs::read_to_string(bench.path("child")).unwrap();
    // Its entry may be there for a moment until somebody has taken note of its death.
    let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

/// What a program starts and leaves running on purpose keeps its standard error open.
#[cfg(target_os = "linux")]
#[test]
fn a_program_that_leaves_a_child_running_has_done_its_work() {
    let exec = r#"{"channels":{"ops":{"exec":{"command":["sh","-c","cat > /dev/null; echo run >> runs; sleep 30 & echo $! > child; exit 0"],"timeout_seconds":2}}}}"#;
    let bench = Bench::new(r#""Notify""#, exec);
    bench.publish(1).args(["--allow-exec"]).assert().code(0).stderr(contains("did not end").not());
    assert_eq!(std::fs::read_to_string(bench.path("runs")).unwrap(), "run\n");
    let child = std::fs::read_to_string(bench.path("child")).unwrap().trim().parse().unwrap();
    let child = rustix::process::Pid::from_raw(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn a_name_that_nothing_is_bound_to_is_an_error_before_anything_is_sent() {
    let bench = Bench::new(r#""Notify""#, r#"{"channels":{"opps":{"exec":{"command":["true"]}}}}"#);
    let said = contains("nothing is bound to the channel `ops`").and(contains("did you mean `opps`?"));
    bench.publish(1).assert().code(2).stderr(said);
    let bench = Bench::new(r#"{"Action":"down"}"#, r#"{"actions":{"down":{"exec":{"command":["true"]}}}}"#);
    bench.publish(1).assert().code(2).stderr(contains("--allow-exec"));
    assert_eq!(std::fs::read_to_string(bench.path("out.ndjson")).unwrap_or_default(), "");
}

#[test]
fn a_program_gets_the_alerts_and_none_of_our_secrets() {
    let bench = Bench::new(r#"{"Action":"note"}"#, "");
    bench.file("note.sh", "#!/bin/sh\ncat >> \"$1\"; env | grep FORMUSAGE >> \"$1\"; exit 0\n");
    let out = bench.path("noted");
    let command = ["/bin/sh", bench.path("note.sh").to_str().unwrap(), out.to_str().unwrap()].map(str::to_owned);
    let channels = serde_json::json!({ "actions": { "note": { "exec": { "command": command } } } });
    bench.file("channels.json", &channels.to_string());
    bench.publish(1).arg("--allow-exec").env("FORMUSAGE_TOKEN", "hush").assert().code(0);
    let noted = std::fs::read_to_string(out).unwrap();
    assert!(noted.contains("\"threshold_violation\"") && !noted.contains("FORMUSAGE"), "{noted}");

    bench.file(
        "channels.json",
        r#"{"actions":{"note":{"exec":{"command":["/bin/sh","-c","echo no such group >&2; exit 3"]}}}}"#,
    );
    bench.channels(&["test", "note"]).assert().code(2).stderr(contains("--allow-exec"));
    bench
        .channels(&["test", "note", "--allow-exec"])
        .assert()
        .code(1)
        .stderr(contains("ended with exit status: 3: no such group"));
}

#[test]
fn a_chat_gets_lines_and_its_url_is_a_secret() {
    let (port, received) = receiver(0);
    let bench = Bench::new(r#""Notify""#, r#"{"channels":{"ops":{"slack":{"url":{"file":"url"}}}}}"#);
    bench.file("url", &format!("http://127.0.0.1:{port}/services/hush\n"));
    bench.publish(1).assert().code(0);
    let body: Value = serde_json::from_str(&received.recv_timeout(PATIENCE).unwrap().body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("cpu-high is exceeded: Cpu of i is 12.5 %, over 5 %"), "{text}");
    bench.file("url", "http://127.0.0.1:1/services/hush\n");
    bench.channels(&["test", "ops"]).assert().code(1).stderr(contains("127.0.0.1:1").and(contains("hush").not()));
}

#[test]
fn a_queue_gets_a_violation_as_an_event() {
    let bench = Bench::new(r#""Notify""#, r#"{"channels":{"ops":{"queue":{"to":"sqlite:alerts-queue.db"}}}}"#);
    bench.publish(2).assert().code(0);
    let read = formusage()
        .current_dir(bench.folder.path())
        .args(["read", "--from", "sqlite:alerts-queue.db"])
        .assert()
        .code(0);
    let text = String::from_utf8_lossy(&read.get_output().stdout).into_owned();
    assert_eq!(text.matches("\"event_type\":\"threshold_violation\"").count(), 2, "{text}");
}

/// A mail server with a mailbox, killed when dropped: Debian's python3-aiosmtpd.
pub(crate) struct MailServer {
    process: RunningProcess,
    pub(crate) port: u16,
    mailbox: PathBuf,
}

impl MailServer {
    /// `None` where it is not installed.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        let python = Path::new("/usr/bin/python3");
        let installed = Command::new(python).args(["-c", "import aiosmtpd"]).stderr(Stdio::null()).status();
        if !installed.is_ok_and(|status| status.success()) {
            not_run("python3-aiosmtpd is not installed");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mailbox = folder.join("mailbox");
        let process = Command::new(python)
            .args(["-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}"), "-c", "aiosmtpd.handlers.Mailbox"])
            .arg(&mailbox)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn_guarded();
        Some(Self { process, port, mailbox })
    }

    pub(crate) fn mails(&self) -> Vec<String> {
        let Ok(new) = self.mailbox.join("new").read_dir() else { return Vec::new() };
        new.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_mail_arrives_in_a_mailbox() {
    let bench = Bench::new(r#""Notify""#, "");
    let Some(server) = MailServer::start(bench.folder.path()) else { return };
    let channels = serde_json::json!({ "channels": { "ops": { "smtp": {
        "host": "127.0.0.1", "port": server.port, "tls": "none",
        "from": "formusage <meter@example.org>", "to": ["ops@example.org"],
    } } } });
    bench.file("channels.json", &channels.to_string());
    // The server may still be starting: the alert is tried until it is there.
    bench.publish(1).args(["--drain-timeout", "30s"]).assert().code(0);
    let mails = server.mails();
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    for part in [
        "Subject: cpu-high is exceeded",
        "To: ops@example.org",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "instance   i",
    ] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    bench.channels(&["test", "ops"]).assert().code(0).stderr(contains("taken after"));
    bench.channels(&["test", "ops"]).assert().code(0);
    let mails = server.mails();
    let ids: BTreeSet<_> =
        mails.iter().filter_map(|mail| mail.lines().find(|line| line.starts_with("Message-ID: "))).collect();
    assert_eq!((mails.len(), ids.len()), (3, 3), "{mails:?}");
    drop(server);
    bench.channels(&["test", "ops"]).assert().code(1).stderr(contains("mail server 127.0.0.1"));
}

#[test]
fn a_mail_server_whose_certificate_is_not_trusted_is_named() {
    // For another name than the one below: a bare machine resolves none, not even localhost.
    let issued = issue("mail.example", 2020, 2090);
    // It never comes to a word of SMTP: the handshake is what fails.
    let server = https(&issued, |_, _, _| (200, "", String::new()));
    let test = |ca_file: Option<&str>| {
        let smtp = serde_json::json!({ "host": "127.0.0.1", "port": server.port(), "tls": "implicit", "ca_file": ca_file,
            "from": "meter@example.org", "to": ["ops@example.org"] });
        let bench =
            Bench::new(r#""Notify""#, &serde_json::json!({ "channels": { "ops": { "smtp": smtp } } }).to_string());
        bench.file("root.pem", &issued.root_pem);
        bench.channels(&["test", "ops"]).assert().code(1)
    };
    let named = "the certificate of the mail server";
    test(None).stderr(contains(named).and(contains("is not trusted")).and(contains("`ca_file`")));
    test(Some("root.pem")).stderr(contains(named).and(contains("`host`")));
}

#[test]
fn each_trial_of_a_webhook_has_an_id_of_its_own() {
    let (port, received) = receiver(0);
    let bench = Bench::new(r#""Notify""#, &webhook(port));
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        bench.channels(&["test", "ops"]).assert().code(0);
        let request = received.recv_timeout(PATIENCE).unwrap();
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let id = body["data"]["events"][0]["alert"]["id"].as_str().unwrap().to_owned();
        assert_eq!((request.header("webhook-id"), id.len()), (id.as_str(), 32));
        ids.insert(id);
    }
    assert_eq!(ids.len(), 3, "{ids:?}");
}

#[test]
fn a_faulty_file_is_named_with_its_place() {
    let bench = Bench::new(r#""Notify""#, "{\n \"chanels\": {}}");
    bench
        .channels(&["list"])
        .assert()
        .code(2)
        .stderr(contains("channels.json:2:10").and(contains("did you mean `channels`?")));
    bench.file("channels.json", &webhook(1));
    bench.channels(&["test", "opps"]).assert().code(2).stderr(contains("it has: ops"));
    let list = bench.channels(&["list"]).env("HOOK_SECRET", "hush-hush").assert().code(1);
    let text = String::from_utf8_lossy(&list.get_output().stdout).into_owned();
    assert!(text.contains("openssl rand") && !text.contains("hush"), "{text}");
}

#[test]
fn the_list_shows_where_channels_lead_and_no_key() {
    let bench = Bench::new(r#""Notify""#, &webhook(1).replace("/hook", "/hunter2?sig=hunter2"));
    let listed = |format: &[&str]| {
        let list = bench.channels(&["list"]).args(format).assert().code(0);
        String::from_utf8_lossy(&list.get_output().stdout).into_owned()
    };
    let expected = serde_json::json!({
        "list": "channel", "name": "ops", "kind": "webhook", "address": "http://127.0.0.1:1/…", "fault": null,
    });
    assert_eq!(serde_json::from_str::<Value>(&listed(&[])).unwrap(), expected);
    assert_eq!(serde_json::from_str::<Value>(&listed(&["--format", "json"])).unwrap(), serde_json::json!([expected]));
    let table = listed(&["--format", "table"]);
    assert!(table.contains("http://127.0.0.1:1/…") && table.contains("can be used"), "{table}");
    assert!(!table.contains("hunter2"), "{table}");
}
