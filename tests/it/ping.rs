//! `formusage ping`: every way to fail is named by its step.

mod nats;
pub(crate) mod servers;
mod tls;

use std::io::{Read, Write};
use std::net::TcpListener;

use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use self::servers::{form, http, tcp};
use crate::support::{ServedQueue, formusage, lines};

/// What `ping --format json` says.
struct Pinged {
    code: i32,
    report: Value,
    stderr: String,
}

fn command(to: &str, options: &[&str]) -> assert_cmd::Command {
    let mut command = formusage();
    command.env("FORMUSAGE_TIMEOUT", "2s").args(["ping", "--to", to]).args(options);
    command
}

fn ping(to: &str, options: &[&str]) -> Pinged {
    pinged(command(to, options))
}

fn pinged(mut command: assert_cmd::Command) -> Pinged {
    let output = command.args(["--format", "json"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    Pinged { code: output.status.code().unwrap(), report, stderr }
}

impl Pinged {
    /// The step of this name at the first address.
    fn step(&self, name: &str) -> &Value {
        let steps = self.report["addresses"][0]["steps"].as_array().unwrap();
        steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {:#}", self.report))
    }

    fn names(&self) -> Vec<&str> {
        let steps = self.report["addresses"][0]["steps"].as_array().unwrap();
        steps.iter().map(|step| step["step"].as_str().unwrap()).collect()
    }

    /// The last step failed, it is this one, and says so with something to expect and something to do.
    #[track_caller]
    fn failed_at(&self, name: &str, found: &str) -> &Value {
        assert_eq!((self.code, &self.report["ok"]), (1, &Value::Bool(false)), "{:#}", self.report);
        assert_eq!(self.names().last(), Some(&name), "{:#}", self.report);
        let step = self.step(name);
        assert_eq!(step["status"], "failed", "{step}");
        for part in ["found", "expected", "fix"] {
            assert!(step[part].as_str().is_some_and(|text| !text.is_empty()), "{step}");
        }
        assert!(step["found"].as_str().unwrap().contains(found), "{step}");
        assert!(self.stderr.contains(&format!("{name} failed")), "{}", self.stderr);
        step
    }

    #[track_caller]
    fn fine(&self, names: &[&str]) {
        assert_eq!((self.code, self.stderr.as_str()), (0, ""), "{:#}", self.report);
        assert_eq!(self.names(), names);
    }
}

const FORM_STEPS: [&str; 8] = ["name", "tcp", "http", "health", "protocol", "permission", "clock", "write"];

#[test]
fn a_queue_that_is_fine() {
    let folder = tempfile::tempdir().unwrap();
    let queue = ServedQueue::start(&folder.path().join("q.db"), &[], None);
    let pinged = ping(&queue.url(), &[]);
    pinged.fine(&FORM_STEPS);
    assert_eq!(pinged.step("write")["status"], "skipped");
    assert!(pinged.step("write")["detail"].as_str().unwrap().contains("not tried"));
    assert!(pinged.step("clock")["clock_difference_seconds"].as_f64().unwrap().abs() < 3.0);
    assert_eq!(pinged.report["addresses"][0]["address"], queue.address.as_str());
    let timing = pinged.step("tcp");
    assert!(timing["min_ms"].as_f64().unwrap() >= 0.0 && timing["p99_ms"].is_f64(), "{timing}");
    assert_eq!(
        queue.get("/queue/usage_events/get").1,
        r#"{"Failure":{"reason":"there is no queue \"usage_events\""}}"#
    );
}

#[test]
fn a_probe_goes_into_a_topic_of_its_own_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let queue = ServedQueue::start(&folder.path().join("q.db"), &[], None);
    formusage().args(["publish", "--to", &queue.url()]).write_stdin(lines("a", 2)).assert().code(0);
    let before = queue.get("/queue/usage_events/get");
    let pinged = ping(&queue.url(), &["--write", "--count", "3"]);
    pinged.fine(&[&FORM_STEPS[..], &["read"]].concat());
    assert_eq!((&pinged.step("read")["status"], &pinged.step("read")["tried"]), (&"ok".into(), &3.into()));
    assert_eq!(queue.get("/queue/usage_events/get"), before);
    let probes: Value = serde_json::from_str(&queue.get("/queue/formusage_probe/get").1).unwrap();
    assert_eq!(probes["List"].as_array().unwrap().len(), 3, "each probe is new");
}

#[test]
fn formats_for_tools_and_people() {
    let folder = tempfile::tempdir().unwrap();
    let queue = ServedQueue::start(&folder.path().join("q.db"), &[], None);
    let output = command(&queue.url(), &[]).output().unwrap();
    let steps: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(steps.iter().map(|step| step["step"].as_str().unwrap()).collect::<Vec<_>>(), FORM_STEPS);
    assert!(steps.iter().all(|step| step["host"] == "127.0.0.1" && step["address"] == queue.address.as_str()));
    command(&queue.url(), &["--format", "table", "--count", "2"])
        .assert()
        .code(0)
        .stdout(contains("min/median/p99").and(contains("a Form queue")).and(contains("--write")));
    command("form://no-such-host.invalid", &["--format", "table"])
        .assert()
        .code(1)
        .stdout(contains("FAILED").and(contains("expected:")).and(contains("do:")));
}

#[test]
fn a_wrong_name_and_a_closed_port() {
    let pinged = ping("form://no-such-host.invalid/usage_events", &[]);
    pinged.failed_at("name", "does not resolve");
    assert_eq!(pinged.report["addresses"][0]["address"], Value::Null);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pinged = ping(&format!("form://127.0.0.1:{port}/usage_events"), &["--count", "2"]);
    let step = pinged.failed_at("tcp", "refused");
    assert_eq!((&step["tried"], &step["failed"]), (&2.into(), &2.into()));
}

#[test]
fn a_port_that_never_answers() {
    let silent = tcp(|mut connection| {
        let _ = connection.read_to_end(&mut Vec::new());
    });
    for (url, step) in [("form", "http"), ("form+https", "tls"), ("nats", "nats"), ("http", "http")] {
        ping(&format!("{url}://{silent}/usage_events"), &["--timeout", "300ms"]).failed_at(step, "within 300ms");
    }
}

#[test]
fn something_else_on_that_port() {
    let ssh = tcp(|mut connection| {
        let _ = connection.write_all(b"SSH-2.0-OpenSSH_9.6\r\n");
        let _ = connection.read_to_end(&mut Vec::new());
    });
    ping(&format!("form://{ssh}"), &[]).failed_at("http", "SSH");
    ping(&format!("form+https://{ssh}"), &[]).failed_at("tls", "SSH");
    ping(&format!("nats://{ssh}/s"), &[]).failed_at("nats", "SSH");
    let hangs_up = tcp(drop);
    ping(&format!("form://{hangs_up}"), &[]).failed_at("http", "closed without a reply");
    let web = http(|_, _, _| (200, "server: nginx\r\ncontent-type: text/html\r\n", "<html>welcome".into()));
    ping(&format!("form://{web}"), &[]).failed_at("protocol", "by nginx: <html>welcome");
    ping(&format!("nats://{web}/s"), &["--timeout", "500ms"]).failed_at("nats", "HTTP is spoken");
    // An echo must not show the token.
    let echo = tcp(|connection| {
        let _ = std::io::copy(&mut &connection, &mut &connection);
    });
    let mut command = command(&format!("form://{echo}"), &[]);
    command.env("FORMUSAGE_TOKEN", "hunter2");
    let pinged = pinged(command);
    pinged.failed_at("http", "GET /queue/health");
    assert!(!pinged.report.to_string().contains("hunter2") && !pinged.stderr.contains("hunter2"), "{}", pinged.stderr);
}

#[test]
fn refusals_by_status() {
    for (status, step) in
        [(401, "permission"), (403, "permission"), (404, "protocol"), (301, "protocol"), (503, "health")]
    {
        let server = http(move |_, _, _| (status, "location: http://other/\r\n", "no".into()));
        ping(&format!("form://{server}"), &[]).failed_at(step, &status.to_string());
        ping(&format!("http://{server}/in"), &[]).failed_at(step, &status.to_string());
    }
    let picky = http(
        |method, path, body| {
            if method == "POST" { (403, "", "read only".into()) } else { form(method, path, body, "") }
        },
    );
    ping(&format!("form://{picky}"), &[]).failed_at("permission", "POST /queue/write_local");
}

#[test]
fn tokens_are_sent_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let queue = ServedQueue::start(&folder.path().join("q.db"), &[], Some("sesame-1"));
    let with = |token: &str| {
        let mut command = command(&queue.url(), &["--write"]);
        command.env("FORMUSAGE_TOKEN", token);
        pinged(command)
    };
    let none = ping(&queue.url(), &[]);
    assert!(none.failed_at("permission", "401")["fix"].as_str().unwrap().contains("no token was sent"));
    let wrong = with("sesame-2");
    assert!(wrong.failed_at("permission", "401")["fix"].as_str().unwrap().contains("not accepted"));
    let right = with("sesame-1");
    right.fine(&[&FORM_STEPS[..], &["read"]].concat());
    for pinged in [wrong, right] {
        assert!(!pinged.report.to_string().contains("sesame") && !pinged.stderr.contains("sesame"));
    }
    // A service that says what it was sent.
    let tells = http(|_, _, _| (401, "", format!("{{\"unknown token\": \"sesame-1\"}}{}sesame-1", ".".repeat(86))));
    let mut command_told = command(&format!("form://{tells}"), &[]);
    command_told.env("FORMUSAGE_TOKEN", "sesame-1");
    let told = pinged(command_told);
    told.failed_at("permission", "(secret)");
    assert!(!told.report.to_string().contains("sesame") && !told.stderr.contains("sesame"), "{}", told.stderr);
    // A short one is masked where the service repeats it, and takes no letters out of other words.
    let repeats = http(|_, _, _| (401, "", "invalid in: \"in\"".into()));
    let mut command_short = command(&format!("form://{repeats}"), &[]);
    command_short.env("FORMUSAGE_TOKEN", "in");
    let short = pinged(command_short);
    let step = short.failed_at("permission", "401 Unauthorized: invalid (secret): \"(secret)\"");
    assert!(step["fix"].as_str().unwrap().starts_with("what was sent is not accepted"), "{step}");
    assert!(short.stderr.contains("was answered with 401"), "{}", short.stderr);
    command(&queue.url(), &[]).env("FORMUSAGE_TOKEN", "a\r\nb").assert().code(2).stderr(contains("header"));
}

#[test]
fn a_queue_that_is_healthy_and_fails_writes() {
    let full = http(|method, path, body| form(method, path, body, r#"{"Failure":{"reason":"disk full"}}"#));
    let without = ping(&format!("form://{full}"), &[]);
    without.fine(&FORM_STEPS);
    assert_eq!(without.step("write")["status"], "skipped");
    ping(&format!("form://{full}"), &["--write"]).failed_at("write", "disk full");
    let gives_up = tcp(|connection| {
        servers::answer_http(connection, &|method: &str, path: &str, body: &[u8]| {
            if method == "POST" {
                std::panic::resume_unwind(Box::new("as a handler does"))
            }
            form(method, path, body, "")
        });
    });
    let given_up = ping(&format!("form://{gives_up}"), &[]);
    assert_eq!((given_up.code, &given_up.step("permission")["status"]), (0, &"warning".into()));
    ping(&format!("form://{gives_up}"), &["--write"]).failed_at("write", "closed without a reply");
    let forgetful = http(|method, path, body| form(method, path, body, "\"OpSuccess\""));
    ping(&format!("form://{forgetful}"), &["--write"]).failed_at("read", "not in the topic");
}

#[test]
fn connections_that_end_after_each_reply() {
    for end in ["", "connection: close\r\n"] {
        let once = tcp(move |mut connection| {
            let (mut request, mut piece) = (Vec::new(), [0; 1_024]);
            // The requests of a probe come in one piece each.
            let read = connection.read(&mut piece).unwrap();
            request.extend_from_slice(&piece[..read]);
            let text = String::from_utf8(request).unwrap();
            let mut words = text.split(' ');
            let (method, path) = (words.next().unwrap(), words.next().unwrap());
            let body = text.split_once("\r\n\r\n").unwrap().1;
            let (status, _, body) = form(method, path, body.as_bytes(), "");
            let reply = format!("HTTP/1.1 {status} X\r\n{end}content-length: {}\r\n\r\n{body}", body.len());
            connection.write_all(reply.as_bytes()).unwrap();
        });
        ping(&format!("form://{once}"), &[]).fine(&FORM_STEPS);
    }
}

#[test]
fn replies_that_break_off_or_make_no_sense() {
    for (reply, found) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nOK", "after 2 of 5 bytes"),
        ("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\nOK", "no number"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nO", "middle of a chunk"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", "size of a chunk"),
        ("HTTP/1.1 OK\r\n\r\n", "first line"),
        ("HTTP/1.1 200 OK\r\ncontent-", "its head"),
        ("HTTP/2 200\r\n\r\n", "no HTTP"),
    ] {
        let server = tcp(move |mut connection| {
            let _ = connection.read(&mut [0; 1_024]);
            let _ = connection.write_all(reply.as_bytes());
        });
        ping(&format!("form://{server}"), &[]).failed_at("http", found);
    }
}

#[test]
fn clocks_that_differ_are_a_warning() {
    let late = http(|method, path, body| {
        let (status, _, body) = form(method, path, body, "");
        (status, "date: Thu, 15 Jul 2021 12:00:30 GMT\r\n", body)
    });
    let pinged = ping(&format!("form://{late}"), &[]);
    assert_eq!((pinged.code, &pinged.step("clock")["status"]), (0, &"warning".into()));
    assert!(pinged.step("clock")["clock_difference_seconds"].as_f64().unwrap() < -1e8);
    let none = http(|method, path, body| form(method, path, body, ""));
    assert_eq!(ping(&format!("form://{none}"), &[]).step("clock")["status"], "skipped");
}

#[test]
fn an_endpoint_for_cloud_events_gets_no_probe() {
    let endpoint = http(|method, _, _| {
        assert_eq!(method, "OPTIONS");
        (405, "allow: POST\r\n", String::new())
    });
    let pinged = ping(&format!("http://{endpoint}/in?key=hunter2"), &["--write"]);
    pinged.fine(&["name", "tcp", "http", "permission", "clock", "write"]);
    assert_eq!(pinged.step("write")["status"], "skipped");
    assert!(!pinged.report.to_string().contains("hunter2"));
    let repeats = http(|_, path, _| (403, "", format!("not for {path}")));
    let repeated = ping(&format!("http://{repeats}/in?key=hunter2"), &[]);
    repeated.failed_at("permission", "not for /in?");
    assert!(!repeated.report.to_string().contains("hunter2") && !repeated.stderr.contains("hunter2"));
    let pages = http(|_, _, _| (405, "allow: GET, HEAD\r\n", String::new()));
    ping(&format!("http://{pages}/"), &[]).failed_at("protocol", "405");
}

#[test]
fn files_are_looked_at_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    for scheme in ["sqlite", "file"] {
        let pinged = ping(&format!("{scheme}:{}", path("new")), &["--write"]);
        pinged.fine(&["file", "permission", "write"]);
        ping(&format!("{scheme}:{}", path("no/such")), &[]).failed_at("file", "does not exist");
        ping(&format!("{scheme}:{}", folder.path().display()), &[]).failed_at("file", "is a directory");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made");

    std::fs::write(path("text"), "no database, and longer than the header of one would be".repeat(4)).unwrap();
    ping(&format!("sqlite:{}", path("text")), &[]).failed_at("store", "no SQLite database");
    ping(&format!("file:{}", path("text")), &[]).fine(&["file", "permission", "write"]);
    let foreign = rusqlite::Connection::open(path("foreign")).unwrap();
    foreign.execute_batch("CREATE TABLE t (a)").unwrap();
    ping(&format!("sqlite:{}", path("foreign")), &[]).failed_at("store", "another program");

    let url = format!("sqlite:{}", path("u.db"));
    formusage().args(["publish", "--to", &url]).write_stdin(lines("a", 2)).assert().code(0);
    ping(&url, &[]).fine(&["file", "permission", "store", "write"]);
    let pinged = ping(&url, &["--write"]);
    pinged.fine(&["file", "permission", "store", "write", "read"]);
    formusage().args(["read", "--from", &url]).assert().code(0).stdout(lines("a", 2));
}

#[test]
fn what_can_not_be_run() {
    for (to, words) in [
        ("-", "standard output"),
        ("fomr://x", "did you mean"),
        ("nats://joe:hunter2@h/s", "FORMUSAGE_TOKEN"),
        ("form://joe:hunter2@h/s", "FORMUSAGE_TOKEN"),
    ] {
        command(to, &[]).assert().code(2).stdout("").stderr(contains(words).and(contains("hunter2").not()));
    }
    command("form://127.0.0.1", &["--count", "0"]).assert().code(2);
    command("form+https://127.0.0.1", &["--ca-file", "/no/such"]).assert().code(2).stderr(contains("/no/such"));
    command("form://127.0.0.1", &["--token-file", "/no/such"]).assert().code(2).stderr(contains("/no/such"));
}
