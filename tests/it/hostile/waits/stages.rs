//! Waits at other stages than the first: at a reload, as the first process of a container, for a name server.

use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use form_usage_events::clock::{Clock as _, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

use super::servers::{MISBEHAVIOURS, serve, take_request, wait_for_client_to_leave};
use super::{END_TIME, START_TIME, ended_within};
use crate::support::{RunningProcess, SpawnGuarded as _, formusage_process, line, lines, not_run, signal};

const THRESHOLD: &str =
    r#"{"id":"a","resource_type":"Cpu","threshold_type":{"Percentage":{"value":99}},"action":"Log","user_id":"*"}"#;

/// What `unshare` needs on this machine to make such namespaces; `None` where it can make none.
fn unshare(namespaces: &[&'static str]) -> Option<Command> {
    let options = [&[][..], &["--user", "--map-root-user"]].map(|more| [namespaces, more].concat());
    let works = |options: &&Vec<&str>| {
        Command::new("unshare").args(*options).arg("true").output().is_ok_and(|it| it.status.success())
    };
    let options = options.iter().find(works)?;
    let mut command = Command::new("unshare");
    command.args(options);
    Some(command)
}

/// A publisher whose thresholds server answered once, and hangs since it was asked to read them again.
struct HungReload {
    folder: tempfile::TempDir,
    publisher: RunningProcess,
    input: ChildStdin,
}

impl HungReload {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let answered = Arc::new(AtomicBool::new(false));
        let (address, engaged) = serve(move |client, engaged| {
            take_request(client);
            if answered.swap(true, Ordering::Relaxed) {
                engaged();
                return wait_for_client_to_leave(client);
            }
            let _ = write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{THRESHOLD}", THRESHOLD.len());
        });
        let socket = folder.path().join("notify");
        let notified = UnixDatagram::bind(&socket).unwrap();
        notified.set_read_timeout(Some(START_TIME)).unwrap();
        let mut command = formusage_process();
        command.args(["publish", "--to", "file:out", "--thresholds", &format!("http://{address}/t")]);
        command.current_dir(folder.path()).env("NOTIFY_SOCKET", &socket);
        let mut publisher = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
        let mut input = publisher.stdin.take().unwrap();
        writeln!(input, "{}", line("web-1", 0)).unwrap();
        let mut message = [0; 64];
        let length = notified.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"READY=1");
        signal(&publisher, "HUP");
        engaged.recv_timeout(START_TIME).unwrap();
        Self { folder, publisher, input }
    }

    /// It ends in time, and has delivered so many events.
    fn ends_with(publisher: RunningProcess, folder: &tempfile::TempDir, events: i64) {
        let output = ended_within(publisher, END_TIME).expect("it ends in time");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap(), lines("web-1", events));
    }
}

#[test]
fn thresholds_server_that_hangs_at_a_reload_does_not_hold_up_a_signal() {
    let HungReload { folder, publisher, input } = HungReload::start();
    signal(&publisher, "TERM");
    HungReload::ends_with(publisher, &folder, 1);
    drop(input);
}

#[test]
fn thresholds_server_that_hangs_at_a_reload_does_not_hold_up_the_end_of_input() {
    let HungReload { folder, publisher, mut input } = HungReload::start();
    writeln!(input, "{}", line("web-1", 1)).unwrap();
    drop(input);
    HungReload::ends_with(publisher, &folder, 2);
}

#[test]
fn signal_ends_the_first_process_of_a_container() {
    // The kernel gives no default to signals for such a process.
    for words in
        ["thresholds list --thresholds http://ADDRESS/t", "report --from form://ADDRESS", "read --from form://ADDRESS"]
    {
        let Some(mut command) = unshare(&["--pid", "--fork", "--kill-child"]) else {
            return not_run("no process namespace can be made (unshare --pid)");
        };
        let (address, engaged) = serve(MISBEHAVIOURS[0].1);
        let words = words.replace("ADDRESS", &address.to_string());
        command
            .arg(env!("CARGO_BIN_EXE_formusage"))
            .args(words.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let container = command.spawn_guarded();
        engaged.recv_timeout(START_TIME).unwrap();
        kill_process(only_child_of(&container), Signal::TERM).unwrap();
        let output = ended_within(container, END_TIME).unwrap_or_else(|it| panic!("{words}: had to be killed: {it:?}"));
        let expected = if words.starts_with("read") { 0 } else { 128 + Signal::TERM.as_raw() };
        assert_eq!(output.status.code(), Some(expected), "{words}: {output:?}");
    }
}

fn only_child_of(process: &Child) -> Pid {
    let id = process.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap()).unwrap()
}

#[test]
fn signal_ends_every_command_that_waits_for_a_name_server() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("resolv.conf"), "nameserver 192.0.2.1\noptions timeout:30 attempts:5\n").unwrap();
    // A network that takes every packet and answers none.
    let script = r#"mount --bind resolv.conf /etc/resolv.conf && ip link add d0 type veth peer name d1 &&
        ip link set d1 up && ip link set d0 up && ip address add 192.0.2.2/24 dev d0 &&
        ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev d0 && exec "$0" "$@""#;
    for (words, code) in [
        ("publish --drain-timeout 1s --to form://queue.example", Some(1)),
        ("publish --drain-timeout 1s --to nats://queue.example/s", Some(1)),
        ("publish --to file:out --thresholds https://limits.example/t", Some(2)),
        ("read --from form://queue.example", Some(0)),
        ("ping --to form://queue.example", Some(2)),
        ("check https://limits.example/t", None),
    ] {
        let Some(mut command) = unshare(&["--net", "--mount"]) else {
            return not_run("no network namespace can be made (unshare --net)");
        };
        command.args(["sh", "-c", script, env!("CARGO_BIN_EXE_formusage")]).args(words.split(' '));
        command.current_dir(folder.path()).env("FORMUSAGE_STATE_DIR", folder.path().join("state"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
        let mut input = process.stdin.take().unwrap();
        writeln!(input, "{}", line("web-1", 0)).unwrap();
        let sockets = format!("/proc/{}/net/udp", process.id());
        let asks = || {
            let sockets = std::fs::read_to_string(&sockets).unwrap_or_default();
            // 192.0.2.1, port 53.
            sockets.contains("010200C0:0035")
        };
        let began = SystemClock.monotonic();
        while !asks() {
            if process.try_wait().unwrap().is_some() || SystemClock.monotonic() > began + START_TIME {
                let output = ended_within(process, END_TIME);
                return not_run(format!("no name server can be asked here that does not answer: {output:?}"));
            }
            std::thread::yield_now();
        }
        signal(&process, "TERM");
        let output = ended_within(process, END_TIME).unwrap_or_else(|it| panic!("{words}: had to be killed: {it:?}"));
        assert_eq!(output.status.code(), code, "{words}: {output:?}");
    }
}
