//! Tenants that share a network namespace, one after another or at once: what passes it is billed once.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use form_usage_events::clock::{Clock, SystemClock};
use tempfile::TempDir;

use super::collector::{Collector, Written, sum};
use super::wires::{Wires, accept, counters, listen, megabytes, turn_on};
use crate::control_group::ControlGroup;
use crate::support::{RunningProcess, SpawnGuarded as _, not_run};

/// A network namespace with a cable to this one.
struct Pod {
    wires: Wires,
    namespace: String,
}

impl Pod {
    /// `None`, with a word of it, where none can be made.
    fn new() -> Option<Self> {
        let mut wires = Wires::new();
        match Self::wire(&mut wires) {
            Ok(namespace) => Some(Self { wires, namespace }),
            Err(why) => {
                not_run(format!("no virtual cable can be laid: {why}"));
                None
            }
        }
    }

    fn wire(wires: &mut Wires) -> Result<String, String> {
        let namespace = wires.namespace('p')?;
        let here = format!("fu{}p", wires.id);
        wires.cable_from_here(&here, &namespace, "eth0")?;
        turn_on("", &here, Some(wires.address(0, 1)))?;
        turn_on(&format!("-n {namespace}"), "eth0", Some(wires.address(0, 2)))?;
        Ok(namespace)
    }

    /// Starts a process of the group in the namespace; it is there when this returns.
    fn start(&self, group: &ControlGroup) -> Container {
        let to = self.wires.address(0, 1);
        let script = format!(
            "exec ip netns exec {} bash -c 'echo ready
            while read bytes port; do head -c $bytes /dev/zero >/dev/tcp/{to}/$port; echo sent; done'",
            self.namespace
        );
        let mut child = group.command(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn_guarded();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut container = Container { child, stdin, stdout };
        container.hear("ready");
        container
    }

    /// Has the process send so many megabytes.
    fn send(&self, container: &mut Container, megabytes: u64) {
        let listener = listen(self.wires.address(0, 1));
        writeln!(container.stdin, "{} {}", megabytes << 20, listener.local_addr().unwrap().port()).unwrap();
        let mut stream = accept(&listener, Duration::from_secs(30));
        let received = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        assert_eq!(received, megabytes << 20);
        container.hear("sent");
    }

    /// Megabytes that left it.
    fn sent(&self) -> f64 {
        megabytes(counters(&self.namespace, "eth0").0)
    }
}

/// A process of a group.
struct Container {
    child: RunningProcess,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Container {
    fn hear(&mut self, expected: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected);
    }

    fn stop(mut self) {
        drop(self.stdin);
        self.child.wait().unwrap();
    }
}

/// A collector of all groups of one, with a group that stays.
struct Metered {
    parent: ControlGroup,
    _stays: ControlGroup,
    options: Vec<String>,
    _state: TempDir,
    run: Option<Collector>,
    written: Written,
}

impl Metered {
    fn start(name: &str) -> Option<Self> {
        let parent = ControlGroup::new(name)?;
        let (stays, state) = (parent.child("stays"), TempDir::new().unwrap());
        let scope = format!("cgroup:{}/*", parent.path());
        let path = state.path().join("s.json").display().to_string();
        let options = ["--interval", "1s", "--state", &path, "--instance-id", "{name}", "--scope", &scope];
        let options = options.map(str::to_owned).to_vec();
        let written = Written::default();
        let mut metered = Self { parent, _stays: stays, options, _state: state, run: None, written };
        metered.restart();
        Some(metered)
    }

    /// Kills the collector that runs, and starts another one.
    fn restart(&mut self) {
        if let Some(run) = self.run.take() {
            run.end("KILL", &mut self.written);
        }
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        self.run = Some(Collector::start(&[], &options));
        self.sampled();
    }

    /// Returns when all that passed until now is in events.
    fn sampled(&mut self) {
        let now = SystemClock.unix_seconds();
        let run = self.run.as_mut().unwrap();
        run.until(&mut self.written, |event| event.instance_id == "stays" && event.period.start > now);
    }

    /// Ends it; the megabytes that each of the groups was billed.
    fn end<const N: usize>(mut self, groups: [&str; N]) -> [f64; N] {
        self.run.take().unwrap().end("TERM", &mut self.written);
        groups.map(|group| sum(&self.written.of(group), 1.0).sent_mb)
    }
}

/// Few frames are of the network itself: neighbours are looked for, connections are closed.
fn is_about(billed: f64, expected: f64) -> bool {
    (billed - expected).abs() < 0.2
}

#[test]
fn a_container_that_restarts_in_its_pod_pays_what_it_sends_alone() {
    let (Some(mut metered), Some(pod)) = (Metered::start("pod"), Pod::new()) else { return };
    let (first, second) = (metered.parent.child("first"), metered.parent.child("second"));
    let mut container = pod.start(&first);
    pod.send(&mut container, 8);
    metered.sampled();
    container.stop();
    first.remove().unwrap();
    metered.sampled();
    let mut container = pod.start(&second);
    metered.sampled();
    metered.restart();
    pod.send(&mut container, 4);
    metered.sampled();
    let sent = pod.sent();
    container.stop();
    let [first, second] = metered.end(["first", "second"]);
    assert!(is_about(second, 4.0) && is_about(first + second, sent), "{first} + {second} MB of {sent}");
}

#[test]
fn containers_of_one_pod_are_billed_once_and_the_one_that_is_left_goes_on() {
    let (Some(mut metered), Some(pod)) = (Metered::start("pods"), Pod::new()) else { return };
    let (first, second) = (metered.parent.child("first"), metered.parent.child("second"));
    let owner = pod.start(&first);
    metered.sampled();
    let mut other = pod.start(&second);
    pod.send(&mut other, 8);
    metered.sampled();
    metered.restart();
    pod.send(&mut other, 4);
    metered.sampled();
    owner.stop();
    first.remove().unwrap();
    pod.send(&mut other, 16);
    metered.sampled();
    metered.sampled();
    let sent = pod.sent();
    other.stop();
    let [first, second] = metered.end(["first", "second"]);
    assert!(second > 15.0 && is_about(first + second, sent), "{first} + {second} MB of {sent}");
}

#[test]
fn an_older_namespace_that_nobody_metered_is_billed_from_its_first_sample_on() {
    let (Some(mut metered), Some(old)) = (Metered::start("older"), Pod::new()) else { return };
    let elsewhere = ControlGroup::new("unmetered").unwrap();
    let mut container = old.start(&elsewhere);
    old.send(&mut container, 8);
    metered.sampled();
    let (late, early) = (metered.parent.child("late"), metered.parent.child("early"));
    let mut container = old.start(&late);
    // A namespace of its own is all its own, from the first byte on.
    let Some(young) = Pod::new() else { return };
    let mut own = young.start(&early);
    young.send(&mut own, 2);
    metered.sampled();
    old.send(&mut container, 4);
    metered.sampled();
    let [late, early] = metered.end(["late", "early"]);
    assert!(is_about(late, 4.0) && is_about(early, 2.0), "{late} and {early} MB");
}

#[test]
fn a_process_that_moves_to_another_group_is_billed_to_each_for_its_time() {
    let (Some(mut metered), Some(pod)) = (Metered::start("moves"), Pod::new()) else { return };
    let (first, second) = (metered.parent.child("first"), metered.parent.child("second"));
    metered.sampled();
    let mut container = pod.start(&first);
    pod.send(&mut container, 8);
    metered.sampled();
    std::fs::write(second.folder().join("cgroup.procs"), container.child.id().to_string()).unwrap();
    metered.sampled();
    pod.send(&mut container, 4);
    metered.sampled();
    metered.sampled();
    let sent = pod.sent();
    container.stop();
    let [first, second] = metered.end(["first", "second"]);
    assert!(is_about(first + second, sent) && second > 3.0, "{first} + {second} MB of {sent}");
}
