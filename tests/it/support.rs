//! What several tests use.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use crate::not_run::not_run;
use form_usage_events::events::{UsageEvent, UsageMetrics, UsagePeriod};
use rustix::process::{Pid, Signal, kill_process};

/// A state directory of its own, so that no test meets another's spool.
fn state_dir() -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("state-{number}"));
    let _ = std::fs::remove_dir_all(&path);
    path
}

/// The binary under test, with none of the caller's settings.
pub(crate) fn formusage() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_formusage"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FORMUSAGE_")) {
        command.env_remove(name);
    }
    command.env("FORMUSAGE_STATE_DIR", state_dir());
    command.timeout(std::time::Duration::from_secs(60));
    command
}

/// The same, to be started and spoken to while it runs.
pub(crate) fn formusage_process() -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_formusage"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FORMUSAGE_")) {
        command.env_remove(name);
    }
    command.env("FORMUSAGE_STATE_DIR", state_dir());
    command
}

/// The `n`th event of an instance: periods of 30 s, each behind the one before.
pub(crate) fn event(instance: &str, n: i64) -> UsageEvent {
    let period = UsagePeriod { start: 1_626_350_400 + 30 * n, end: 1_626_350_430 + 30 * n };
    UsageEvent {
        event_type: "resource_usage".into(),
        version: "1.0".into(),
        timestamp: period.end,
        instance_id: instance.into(),
        user_id: "user_123456".into(),
        org_id: Some("org_789012".into()),
        metrics: UsageMetrics {
            cpu_seconds: 30,
            cpu_percent_avg: 12.5,
            memory_gb: 4.2,
            memory_percent: 52.5,
            storage_gb: 25.7,
            network_egress_mb: 15.2,
            network_ingress_mb: 8.7,
            gpu_seconds: 0,
        },
        period,
    }
}

/// The same as a line of NDJSON, without its end.
pub(crate) fn line(instance: &str, n: i64) -> String {
    serde_json::to_string(&event(instance, n)).unwrap()
}

/// So many events of one instance as NDJSON.
pub(crate) fn lines(instance: &str, count: i64) -> String {
    (0..count).map(|n| line(instance, n) + "\n").collect()
}

/// A child process that does not outlive its test: it is killed when this is dropped, also where the test fails.
pub(crate) struct RunningProcess(Option<Child>);

impl RunningProcess {
    /// Waits for its end and returns what it wrote to the pipes that are still here.
    pub(crate) fn wait_with_output(mut self) -> std::io::Result<Output> {
        self.0.take().expect("the child is here until this is dropped").wait_with_output()
    }
}

impl std::ops::Deref for RunningProcess {
    type Target = Child;

    fn deref(&self) -> &Child {
        self.0.as_ref().expect("the child is here until this is dropped")
    }
}

impl std::ops::DerefMut for RunningProcess {
    fn deref_mut(&mut self) -> &mut Child {
        self.0.as_mut().expect("the child is here until this is dropped")
    }
}

impl Drop for RunningProcess {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts commands as a [`RunningProcess`].
pub(crate) trait SpawnGuarded {
    /// Starts the command; the test fails where it can't be started.
    fn spawn_guarded(&mut self) -> RunningProcess;
}

impl SpawnGuarded for Command {
    fn spawn_guarded(&mut self) -> RunningProcess {
        match self.spawn() {
            Ok(child) => RunningProcess(Some(child)),
            Err(error) => panic!("{} could not be started: {error}", self.get_program().display()),
        }
    }
}

/// Sends a signal by its name, from this process: the program `kill` is not on every machine.
pub(crate) fn signal(child: &Child, name: &str) {
    let signal = match name {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "TERM" => Signal::TERM,
        "KILL" => Signal::KILL,
        "STOP" => Signal::STOP,
        "CONT" => Signal::CONT,
        _ => panic!("no test sends SIG{name} yet; name it here"),
    };
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// `formusage queue` on a free port; killed when dropped.
pub(crate) struct ServedQueue {
    pub(crate) process: RunningProcess,
    pub(crate) address: String,
}

impl ServedQueue {
    pub(crate) fn start(db: &Path, options: &[&str], token: Option<&str>) -> Self {
        Self::listen("127.0.0.1:0", db, options, token)
    }

    /// On an address that is known before.
    pub(crate) fn start_at(address: &str, db: &Path) -> Self {
        Self::listen(address, db, &[], None)
    }

    fn listen(address: &str, db: &Path, options: &[&str], token: Option<&str>) -> Self {
        let mut command = formusage_process();
        command.args(["queue", "--listen", address, "--db"]).arg(db).args(options).stderr(Stdio::piped());
        if let Some(token) = token {
            command.env("FORMUSAGE_TOKEN", token);
        }
        Self::of(command)
    }

    /// The queue that `command` starts, whose standard error is a pipe.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut process = command.spawn_guarded();
        let mut line = String::new();
        BufReader::new(process.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().nth(4).unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { process, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("form://{}/usage_events", self.address)
    }

    /// Sends raw bytes of one request; gives the status and the body of the reply.
    pub(crate) fn ask(&self, request: &[u8]) -> (u16, String) {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        // A queue that keeps this out fails the test rather than hanging it.
        connection.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        // Where the server answers early and closes, the rest can't be written.
        let _ = connection.write_all(request);
        let mut reply = Vec::new();
        let _ = connection.read_to_end(&mut reply);
        let reply = String::from_utf8(reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{reply:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, if head.contains("chunked") { unchunked(body) } else { body.to_owned() })
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n").as_bytes())
    }

    pub(crate) fn post(&self, kind: &str, body: &[u8]) -> (u16, String) {
        let head = format!(
            "POST /queue/write_local HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{kind}content-length: {}\r\n\r\n",
            body.len()
        );
        self.ask(&[head.as_bytes(), body].concat())
    }
}

impl Drop for ServedQueue {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}
