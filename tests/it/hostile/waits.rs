//! Servers that keep their clients waiting: every wait has a limit, and a signal ends every command in time.

mod locks;
pub(super) mod servers;
mod stages;

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use form_usage_events::threshold::{ThresholdReader, ThresholdSource};
use form_usage_events::transport::ConnectOptions;
use rustix::process::{Pid, Signal, kill_process};

use self::servers::{MISBEHAVIOURS, Misbehaviour, NATS, SMTP, STARTTLS, begin_starttls, serve};
use crate::ping::servers::{issue, tls_config};
use crate::support::{RunningProcess, SpawnGuarded as _, formusage, formusage_process, line, signal};

/// How long a command may take to end after a signal.
const END_TIME: Duration = Duration::from_secs(10);
/// How long a process may take to reach its server on a busy machine.
const START_TIME: Duration = Duration::from_secs(60);

/// How a command ends that got SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Code(i32),
    /// By the signal, as programs do that have nothing to put in order.
    BySignal,
}

/// What holds for a command that was told to end while it waited.
#[derive(Debug, Clone, Copy)]
struct Promise {
    ends: &'static [End],
    /// What standard error says.
    said: &'static str,
    /// Events that wait in the spool.
    waiting: usize,
}

const KEPT: Promise = Promise { ends: &[End::Code(1)], said: "", waiting: 1 };
const BEGIN_AGAIN: Promise =
    Promise { ends: &[End::Code(2)], said: "publish the input again from its beginning", waiting: 0 };
const DELIVERED: Promise = Promise { ends: &[End::Code(0)], said: "", waiting: 0 };
const NOTHING_READ: Promise = Promise { ends: &[End::Code(0)], said: "", waiting: 0 };
const NO_ROUND: Promise =
    Promise { ends: &[End::Code(2)], said: "ended before the first round was through", waiting: 0 };
/// The channel may be waited for before the verdict is said, or after.
const CHECKED: Promise = Promise { ends: &[End::Code(1), End::BySignal], said: "", waiting: 0 };
const BY_SIGNAL: Promise = Promise { ends: &[End::BySignal], said: "", waiting: 0 };

/// A command in a folder of its own, with what it may need there, and what it promises.
struct Case {
    name: String,
    folder: tempfile::TempDir,
    command: Command,
    engaged: Receiver<()>,
    promise: Promise,
    /// What is as good.
    or_else: Option<Promise>,
}

impl Case {
    /// `words` is a command line; ADDRESS in it and in the channels file stands for the server's.
    fn new(words: &str, (manner, misbehaviour): (&str, Misbehaviour), promise: Promise) -> Self {
        let (address, engaged) = serve(misbehaviour);
        Self::at(words, manner, address, engaged, promise)
    }

    fn at(words: &str, manner: &str, address: SocketAddr, engaged: Receiver<()>, promise: Promise) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        file("events", &(line("web-1", 0) + "\n"));
        file(
            "t.json",
            r#"{"id":"a","resource_type":"Cpu","threshold_type":{"Percentage":{"value":5}},"action":"Notify","user_id":"*","notification_channels":["ops"]}"#,
        );
        for (kind, channel) in [
            ("webhook", r#"{"webhook":{"url":"http://ADDRESS/hook","secret":{"env":"HOOK_SECRET"}}}"#.to_owned()),
            ("slack", r#"{"slack":{"url":{"env":"SLACK_URL"}}}"#.to_owned()),
            (
                "smtp",
                format!(
                    r#"{{"smtp":{{"host":"127.0.0.1","port":{},"tls":"none","from":"m@example.org","to":["o@example.org"]}}}}"#,
                    address.port()
                ),
            ),
            (
                "smtps",
                format!(
                    r#"{{"smtp":{{"host":"127.0.0.1","port":{},"tls":"implicit","from":"m@example.org","to":["o@example.org"]}}}}"#,
                    address.port()
                ),
            ),
            (
                "starttls",
                format!(
                    r#"{{"smtp":{{"host":"127.0.0.1","port":{},"tls":"starttls","from":"m@example.org","to":["o@example.org"]}}}}"#,
                    address.port()
                ),
            ),
            ("exec", r#"{"exec":{"command":["/bin/sh","-c","echo >fifo; exec cat fifo"]}}"#.to_owned()),
            ("queue", r#"{"queue":{"to":"form://ADDRESS/alerts"}}"#.to_owned()),
            ("nats", r#"{"queue":{"to":"nats://ADDRESS/alerts"}}"#.to_owned()),
        ] {
            let channel = channel.replace("ADDRESS", &address.to_string());
            file(&format!("{kind}.json"), &format!(r#"{{"channels":{{"ops":{channel}}}}}"#));
        }
        let mut command = formusage_process();
        let words = words.replace("ADDRESS", &address.to_string());
        command.args(words.split(' ')).current_dir(folder.path());
        command.env("FORMUSAGE_STATE_DIR", folder.path()).env("HOOK_SECRET", crate::channels::SECRET);
        command.env("SLACK_URL", format!("http://{address}/services/x"));
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            command.env_remove(name).env_remove(name.to_lowercase());
        }
        Self { name: format!("{words}, where the server {manner}"), folder, command, engaged, promise, or_else: None }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Its channel for STARTTLS trusts this authority.
    fn trusting(self, root_pem: &str) -> Self {
        std::fs::write(self.folder.path().join("root.pem"), root_pem).unwrap();
        let path = self.folder.path().join("starttls.json");
        let channels = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, channels.replace(r#""tls":"starttls""#, r#""tls":"starttls","ca_file":"root.pem""#))
            .unwrap();
        self
    }

    /// Sends SIGTERM when the command waits for its server; `Err` is what it did not promise.
    fn run(mut self) -> Result<(), String> {
        let mut process =
            self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
        // Standard input stays open, as a pipe from a meter does.
        let mut input = process.stdin.take().unwrap();
        let _ = input.write_all((line("web-1", 0) + "\n").as_bytes());
        if self.engaged.recv_timeout(START_TIME).is_err() {
            let output = ended_within(process, Duration::ZERO).unwrap_or_else(|output| output);
            return Err(format!("{}: never came to its server: {output:?}", self.name));
        }
        signal(&process, "TERM");
        let output =
            ended_within(process, END_TIME).map_err(|output| format!("{}: had to be killed: {output:?}", self.name))?;
        drop(input);
        let end = output.status.code().map_or(End::BySignal, End::Code);
        let is_by_term = output.status.signal().is_none_or(|number| number == Signal::TERM.as_raw());
        let said = String::from_utf8_lossy(&output.stderr);
        let waiting = waiting_in(self.folder.path());
        let keeps = |promise: &Promise| {
            promise.ends.contains(&end) && waiting == promise.waiting && said.contains(promise.said)
        };
        if is_by_term && [Some(&self.promise), self.or_else.as_ref()].into_iter().flatten().any(keeps) {
            return Ok(());
        }
        Err(format!(
            "{}: {end:?} with {waiting} events in the spool; promised was {:?}; {said}",
            self.name, self.promise
        ))
    }
}

fn waiting_in(state: &Path) -> usize {
    let output = formusage().args(["spool", "list"]).env("FORMUSAGE_STATE_DIR", state).output().unwrap();
    output.stdout.iter().filter(|byte| **byte == b'\n').count()
}

/// What the process wrote, once it has ended; `Err` where it had to be killed.
fn ended_within(process: RunningProcess, limit: Duration) -> Result<Output, Output> {
    let pid = Pid::from_child(&process);
    let (sender, ended) = channel();
    let wait = std::thread::spawn(move || {
        let output = process.wait_with_output().unwrap();
        let _ = sender.send(());
        output
    });
    let in_time = ended.recv_timeout(limit).is_ok();
    if !in_time {
        // It was not waited for, so that the number is its own.
        let _ = kill_process(pid, Signal::KILL);
    }
    let output = wait.join().unwrap();
    if in_time { Ok(output) } else { Err(output) }
}

/// Runs all of them side by side, and fails with what was not kept.
fn walk(cases: Vec<Case>) {
    let broken: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = cases.into_iter().map(|case| scope.spawn(|| case.run())).collect();
        running.into_iter().filter_map(|case| case.join().unwrap().err()).collect()
    });
    assert!(broken.is_empty(), "{} broken promises:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn signal_ends_every_command_that_waits_for_a_server() {
    let publish = |rest: &str| format!("publish --drain-timeout 3s {rest}");
    let mut cases = Vec::new();
    for (at, manner) in MISBEHAVIOURS.into_iter().enumerate() {
        cases.push(Case::new(&publish("--to form://ADDRESS"), manner, KEPT));
        cases.push(Case::new(&publish("--to http://ADDRESS/in"), manner, if at == 2 { DELIVERED } else { KEPT }));
        cases.push(Case::new(&publish("--to file:out --thresholds http://ADDRESS/t"), manner, BEGIN_AGAIN));
        for channel in ["webhook", "slack", "queue"] {
            let words = publish(&format!("--to file:out --thresholds t.json --channels {channel}.json"));
            cases.push(Case::new(&words, manner, DELIVERED));
        }
        cases.push(Case::new("check http://ADDRESS/t", manner, BY_SIGNAL));
        cases.push(Case::new("check t.json events --channels webhook.json", manner, CHECKED));
        cases.push(Case::new("report events --thresholds http://ADDRESS/t", manner, BY_SIGNAL));
        cases.push(Case::new("thresholds list --thresholds http://ADDRESS/t", manner, BY_SIGNAL));
        cases.push(Case::new("channels test ops --channels webhook.json", manner, BY_SIGNAL));
        cases.push(Case::new("read --from form://ADDRESS", manner, NOTHING_READ));
        cases.push(Case::new("read --follow --from form://ADDRESS", manner, NOTHING_READ));
        cases.push(Case::new("report --from form://ADDRESS", manner, BY_SIGNAL));
        cases.push(Case::new("ping --to form://ADDRESS", manner, NO_ROUND));
    }
    let silent = MISBEHAVIOURS[0];
    cases.push(Case::new("publish --to form://ADDRESS", silent, KEPT));
    cases.push(Case::new(&publish("--to form+https://ADDRESS"), silent, KEPT));
    cases.push(Case::new("read --from form+https://ADDRESS", silent, NOTHING_READ));
    cases.push(Case::new("ping --to https://ADDRESS/in", silent, NO_ROUND));
    cases.push(Case::new(&publish("--to file:out --thresholds https://ADDRESS/t"), silent, BEGIN_AGAIN));
    walk(cases);
}

#[test]
fn signal_ends_every_command_that_waits_for_a_proxy() {
    let silent = MISBEHAVIOURS[0];
    let mut cases = Vec::new();
    for (variable, scheme) in [("HTTP_PROXY", "form"), ("HTTPS_PROXY", "form+https")] {
        let through_proxy = |words: &str, promise: Promise| {
            let (address, engaged) = serve(silent.1);
            let words = words.replace("QUEUE", &format!("{scheme}://queue.example"));
            Case::at(&words, silent.0, address, engaged, promise).env(variable, &format!("http://{address}"))
        };
        cases.push(through_proxy("publish --drain-timeout 3s --to QUEUE", KEPT));
        cases.push(through_proxy("read --from QUEUE", NOTHING_READ));
        cases.push(through_proxy("report --from QUEUE", BY_SIGNAL));
    }
    walk(cases);
}

#[test]
fn signal_ends_every_command_that_waits_for_nats_or_mail() {
    let mut cases = Vec::new();
    for manner in NATS {
        cases.push(Case::new("publish --drain-timeout 3s --to nats://ADDRESS/s", manner, KEPT));
        let bucket = "publish --drain-timeout 3s --to file:out --thresholds nats://ADDRESS/limits";
        cases.push(Case::new(bucket, manner, BEGIN_AGAIN));
        cases.push(Case::new("check nats://ADDRESS/limits", manner, BY_SIGNAL));
        cases.push(Case::new("channels test ops --channels nats.json", manner, BY_SIGNAL));
        cases.push(Case::new("read --from nats://ADDRESS/s", manner, NOTHING_READ));
        cases.push(Case::new("read --follow --consumer c --from nats://ADDRESS/s", manner, NOTHING_READ));
        cases.push(Case::new("report --from nats://ADDRESS/s", manner, BY_SIGNAL));
        // It asks for nothing that the third one does not answer.
        if manner.0 != "answers no request" {
            cases.push(Case::new("ping --to nats://ADDRESS/s", manner, NO_ROUND));
        }
    }
    for manner in SMTP {
        let words = "publish --drain-timeout 3s --to file:out --thresholds t.json --channels smtp.json";
        cases.push(Case::new(words, manner, DELIVERED));
        cases.push(Case::new("channels test ops --channels smtp.json", manner, BY_SIGNAL));
        cases.push(Case::new("check t.json events --channels smtp.json", manner, CHECKED));
    }
    let of_starttls = [
        ("publish --drain-timeout 3s --to file:out --thresholds t.json --channels starttls.json", DELIVERED),
        ("channels test ops --channels starttls.json", BY_SIGNAL),
        ("check t.json events --channels starttls.json", CHECKED),
    ];
    let issued = issue("127.0.0.1", 2020, 2090);
    for (words, promise) in of_starttls {
        cases.extend(STARTTLS.map(|manner| Case::new(words, manner, promise)));
        let config = tls_config(&issued);
        let (address, engaged) = serve(move |client, engaged| {
            begin_starttls(client, b"");
            let tls = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut client = rustls::StreamOwned::new(tls, client.try_clone().unwrap());
            let _ = client.read(&mut [0; 512]);
            engaged();
            while client.write_all(b"2").and_then(|()| client.flush()).is_ok() {
                let _ = client.sock.set_read_timeout(Some(Duration::from_millis(50)));
                if matches!(client.read(&mut [0]), Ok(0)) {
                    return;
                }
            }
        });
        cases.push(Case::at(words, "drips behind TLS", address, engaged, promise).trusting(&issued.root_pem));
    }
    let words = "publish --drain-timeout 3s --to file:out --thresholds t.json --channels smtps.json";
    cases.push(Case::new(words, MISBEHAVIOURS[0], DELIVERED));
    walk(cases);
}

#[test]
fn signal_ends_every_command_that_waits_for_a_file() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    let of_fifo = |words: &str, promise: Promise| {
        let (sender, engaged) = channel();
        let case = Case::at(words, "is a FIFO that nobody uses", nobody, engaged, promise);
        let fifo = case.folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let is_read_here = words.contains("exec.json");
        std::thread::spawn(move || {
            // Opening it waits for the command, or its program, to open the other end, which then waits for bytes.
            let opened = OpenOptions::new().read(is_read_here).write(!is_read_here).open(&fifo).unwrap();
            let _ = sender.send(());
            std::thread::park();
            drop(opened);
        });
        case
    };
    walk(vec![
        of_fifo("publish fifo --to form://ADDRESS", BEGIN_AGAIN),
        of_fifo(
            "publish --drain-timeout 3s --to file:out --thresholds t.json --channels exec.json --allow-exec",
            DELIVERED,
        ),
        of_fifo("check t.json fifo", BY_SIGNAL),
        of_fifo("report fifo", BY_SIGNAL),
        of_fifo("validate fifo", BY_SIGNAL),
        of_fifo("thresholds add fifo", BY_SIGNAL),
    ]);
}

#[test]
fn thresholds_server_is_waited_for_as_long_as_its_limit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, misbehaviour) in MISBEHAVIOURS {
        let (address, _engaged) = serve(misbehaviour);
        let source = ThresholdSource::parse(&format!("http://{address}/t.json")).unwrap();
        let options = ConnectOptions { timeout: Duration::from_millis(300), ..ConnectOptions::default() };
        let polled = runtime.block_on(async {
            let mut reader = ThresholdReader::new(source, options).unwrap();
            tokio::time::timeout(Duration::from_secs(10), reader.poll()).await
        });
        let error = polled.unwrap_or_else(|_| panic!("a server that {name} is waited for")).unwrap_err();
        assert!(error.to_string().contains("thresholds can't be read from http://"), "{name}: {error}");
    }
}
