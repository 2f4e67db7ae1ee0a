//! Everything that goes wrong on the way of an event: killed processes, a queue that misbehaves, full and damaged disks,
//! signals. Nothing that was taken is lost, nothing is invented, and the books balance.

mod damage;
mod disk;
mod kill;
mod service;
mod signals;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdin, Command, Output, Stdio};

use serde_json::Value;

use crate::support::{RunningProcess, SpawnGuarded as _, formusage_process, line};

/// Rounds of a random test: few by default, as many as `FORMUSAGE_TEST_ROUNDS` asks for.
fn rounds() -> usize {
    std::env::var("FORMUSAGE_TEST_ROUNDS").map_or(20, |it| it.parse().unwrap())
}

/// Random numbers that a failure can be repeated with: the seed is printed, and `FORMUSAGE_TEST_SEED` sets it.
fn random(name: &str) -> fastrand::Rng {
    let seed = std::env::var("FORMUSAGE_TEST_SEED").map_or_else(|_| fastrand::u64(..), |it| it.parse().unwrap());
    eprintln!("{name}: FORMUSAGE_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// So many events, in turns of a few instances.
fn events(count: usize) -> Vec<String> {
    (0..count).map(|n| line(["a", "b", "c"][n % 3], i64::try_from(n / 3).unwrap())).collect()
}

fn text(events: &[String]) -> String {
    events.iter().map(|it| format!("{it}\n")).collect()
}

/// A folder with a spool, for several runs.
struct State(tempfile::TempDir);

impl State {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = formusage_process();
        command.env("FORMUSAGE_STATE_DIR", self.0.path()).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A publisher that reads a pipe.
    fn publish(&self, to: &str, options: &[&str]) -> Publisher {
        let mut command = self.command(&["publish", "--report", "json", "--to", to]);
        let mut child = command.args(options).spawn_guarded();
        Publisher { input: child.stdin.take(), child: Some(child) }
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).stdin(Stdio::null()).output().unwrap()
    }

    /// The events that a command prints.
    fn lines(&self, words: &[&str]) -> Vec<String> {
        let output = self.run(words);
        // A writer that was killed early leaves a store that nothing was written to.
        if String::from_utf8_lossy(&output.stderr).contains("no usage events yet") {
            return Vec::new();
        }
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits until so many events wait in the spool, by looking again and again.
    fn wait_for_waiting(&self, count: u64) {
        self.wait_for_waiting_in(&self.path("spool.db").display().to_string(), count);
    }

    /// The same of a spool elsewhere.
    fn wait_for_waiting_in(&self, spool: &str, count: u64) {
        self.look_until(&format!("{count} waiting"), || {
            let output = self.run(&["spool", "status", "--spool", spool]);
            let status: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            let all = status["destinations"].as_array().map_or(&[][..], Vec::as_slice);
            !all.is_empty() && all.iter().filter_map(|it| it["waiting"].as_u64()).sum::<u64>() == count
        });
    }

    /// Waits until a destination holds so many events.
    fn wait_for_events(&self, from: &str, count: usize) {
        self.look_until(&format!("{count} events"), || self.lines(&["read", "--from", from]).len() >= count);
    }

    fn look_until(&self, what: &str, mut there: impl FnMut() -> bool) {
        // Each look is a process, which takes its time.
        assert!((0..1_000).any(|_| there()), "looked in vain for {what} in {}", self.0.path().display());
    }

    fn put_aside(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.path()).unwrap().flatten().map(|it| it.path());
        entries
            .filter(|it| {
                let name = it.file_name().unwrap().to_string_lossy().into_owned();
                name.contains(".damaged-") && !name.ends_with("-wal") && !name.ends_with("-shm")
            })
            .collect()
    }
}

/// A publisher at work; killed when dropped.
struct Publisher {
    child: Option<RunningProcess>,
    input: Option<ChildStdin>,
}

impl Publisher {
    /// Writes events into its pipe, as many as it reads; it may be killed meanwhile.
    fn write(&mut self, events: &[String]) {
        let _ = self.input.as_mut().unwrap().write_all(text(events).as_bytes());
    }

    fn child(&self) -> &RunningProcess {
        self.child.as_ref().unwrap()
    }

    /// Its standard error, to be read while it runs.
    fn stderr(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.child.as_mut().unwrap().stderr.take().unwrap())
    }

    fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Closes its pipe and waits for its end.
    fn end(mut self) -> Ended {
        drop(self.input.take());
        self.wait()
    }

    /// Waits for its end, with its pipe open.
    fn wait(mut self) -> Ended {
        let input = self.input.take();
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        drop(input);
        Ended::of(&output)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How a publisher ended.
struct Ended {
    code: Option<i32>,
    stderr: String,
    report: Value,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!stderr.contains("panicked"), "{stderr}");
        let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Self { code: output.status.code(), stderr, report }
    }

    fn count(&self, name: &str) -> u64 {
        self.report[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}: {}", self.report, self.stderr))
    }

    fn resumed(&self) -> u64 {
        self.report["resumed"]["delivered"].as_u64().unwrap_or(0)
    }

    /// Checks the books.
    fn balanced(self) -> Self {
        let [read, delivered, undelivered, dead, refused] =
            ["read", "delivered", "undelivered", "dead", "refused"].map(|it| self.count(it));
        assert_eq!(read, delivered + undelivered + dead + refused, "{}: {}", self.report, self.stderr);
        self
    }

    fn all_delivered(self) -> Self {
        assert_eq!(self.code, Some(0), "{}: {}", self.report, self.stderr);
        self.balanced()
    }
}

/// Checks that `arrived` is all of `sent`, each once, and those of an instance in their order.
fn assert_complete(arrived: &[String], sent: &[String]) {
    let unique: HashSet<&String> = arrived.iter().collect();
    assert_eq!(unique.len(), arrived.len(), "doubled");
    let all: HashSet<&String> = sent.iter().collect();
    let missing = all.difference(&unique).count();
    let invented: Vec<_> = unique.difference(&all).collect();
    assert!(missing == 0 && invented.is_empty(), "{missing} missing, invented: {invented:?}");
    assert_order(arrived, sent);
}

/// Checks that the events of each instance in `arrived` stand in the order of `sent`.
fn assert_order(arrived: &[String], sent: &[String]) {
    let numbers: BTreeMap<&String, usize> = sent.iter().zip(0..).collect();
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    for event in arrived {
        let Some(&number) = numbers.get(event) else { continue };
        let value: Value = serde_json::from_str(event).unwrap();
        let before = last.insert(value["instance_id"].to_string(), number);
        assert!(before.is_none_or(|before| before < number), "{event} came behind a later one");
    }
}

/// Whether a file is there.
fn exists(path: &Path) -> bool {
    path.try_exists().unwrap()
}

/// Reads lines until one has `text` in it.
fn wait_for_line(lines: &mut impl BufRead, text: &str) {
    let (mut line, mut seen) = (String::new(), String::new());
    while !line.contains(text) {
        seen.push_str(&line);
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the end, and no {text:?} in:\n{seen}");
    }
}
