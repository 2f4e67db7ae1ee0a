//! `publish` as those see it who watch it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use predicates::prelude::*;

use crate::support::{RunningProcess, SpawnGuarded as _, formusage, formusage_process, line, lines, signal};

/// `formusage publish` on a pipe; killed when dropped.
struct Publisher {
    process: RunningProcess,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Publisher {
    fn start(options: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = formusage_process();
        command.arg("publish").args(options).envs(variables.iter().copied());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn_guarded();
        let stderr = BufReader::new(process.stderr.take().unwrap());
        Self { process, stderr }
    }

    fn said(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn figures(address: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut reply = String::new();
    connection.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn the_figures_follow_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let to = format!("file:{}", folder.path().join("out.ndjson").display());
    let mut publisher = Publisher::start(&["--to", &to, "--metrics-listen", "127.0.0.1:0"], &[]);
    let said = publisher.said();
    let address = said.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    assert!(figures(&address).contains("formusage_publish_events_delivered_total 0\n"));
    let stdin = publisher.process.stdin.as_mut().unwrap();
    stdin.write_all((lines("a", 3) + "no event\n").as_bytes()).unwrap();
    let is_there = |reply: &String| {
        reply.contains("formusage_publish_events_delivered_total 3\n")
            && reply.contains("formusage_publish_events_refused_total 1\n")
    };
    let reply = (0..2_000).map(|_| figures(&address)).find(is_there).expect("all is delivered in the end");
    assert!(reply.contains("formusage_publish_breaker_state{state=\"closed\"} 1\n"), "{reply}");
    assert!(reply.contains(&format!("formusage_publish_destination_info{{url=\"{to}\"}} 1\n")), "{reply}");
    signal(&publisher.process, "TERM");
    publisher.process.wait().unwrap();
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn an_address_that_is_taken_stops_the_run_before_it_reads() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.ndjson");
    let to = format!("file:{}", out.display());
    formusage()
        .args(["publish", "--to", &to, "--metrics-listen", &address])
        .write_stdin(line("a", 0))
        .assert()
        .code(2)
        .stderr(predicate::str::contains("--metrics-listen"));
    assert_eq!(std::fs::read_to_string(out).unwrap_or_default(), "");
}

#[test]
fn figures_are_logged_without_asking_for_more_and_a_last_time_at_the_end() {
    let publish = |options: &[&str]| {
        let mut command = formusage();
        command.args(["publish", "--to", "-", "--stats-interval", "1h"]).args(options).write_stdin(lines("a", 3));
        let output = command.assert().success().get_output().clone();
        String::from_utf8(output.stderr).unwrap()
    };
    let said = publish(&["--log-format", "json"]);
    let figures: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!((&figures["message"], &figures["delivered"]), (&"figures".into(), &3.into()), "{said}");
    assert_eq!(publish(&["--quiet"]), "");
    assert_eq!(publish(&["--log", "warn"]), "");
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_is_told() {
    use std::os::unix::net::UnixDatagram;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let publisher = Publisher::start(&["--to", "-"], &variables);
    let mut seen = Vec::new();
    let mut until = |wanted: &str| {
        while seen.last().is_none_or(|last: &String| !last.starts_with(wanted)) {
            let mut buffer = [0; 256];
            let length = systemd.recv(&mut buffer).unwrap();
            seen.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        std::mem::take(&mut seen)
    };
    assert_eq!(until("READY=1"), ["READY=1"]);
    until("STATUS=0 delivered, 0 waiting");
    until("WATCHDOG=1");
    signal(&publisher.process, "TERM");
    until("STOPPING=1");
}
