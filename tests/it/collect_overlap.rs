//! `formusage collect` where two scopes have the same control group: it is billed once, and never by nobody.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdout, Command, Stdio};

use form_usage_events::events::UsageEvent;

use crate::control_group::ControlGroup;
use crate::support::{RunningProcess, SpawnGuarded as _, formusage_process, signal};

/// A configuration with a scope for each pattern, each billed to a user of its own.
fn scopes_of(patterns: &[&str]) -> String {
    let scope = |(number, pattern): (usize, &&str)| {
        format!(
            "[[scope]]\nscope = \"cgroup:{pattern}\"\ninstance_id = \"{number}-{{name}}\"\nuser_id = \"user-{number}\"\n"
        )
    };
    patterns.iter().enumerate().map(scope).collect::<Vec<_>>().concat()
}

/// A collector with a configuration of its own.
struct Configured {
    folder: tempfile::TempDir,
}

impl Configured {
    fn new(patterns: &[&str]) -> Self {
        let it = Self { folder: tempfile::TempDir::new().unwrap() };
        it.set(&scopes_of(patterns));
        it
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("c.toml")
    }

    fn set(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    fn command(&self, interval: &str) -> Command {
        let mut command = formusage_process();
        command
            .args(["collect", "--no-state", "--interval", interval, "--config"])
            .arg(self.file())
            .stdin(Stdio::null());
        command
    }

    fn start(&self, interval: &str) -> Running {
        let mut child = self.command(interval).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Running { child, stdout, stderr, events: Vec::new(), said: String::new() }
    }
}

/// One that runs, with what it wrote and said so far.
struct Running {
    child: RunningProcess,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    events: Vec<UsageEvent>,
    said: String,
}

impl Running {
    /// Reads on to the next event of the instance, which comes soon or never.
    fn until(&mut self, instance: &str) -> UsageEvent {
        for _ in 0..100 {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "{:#?}", self.events);
            let event: UsageEvent = serde_json::from_str(&line).unwrap();
            self.events.push(event.clone());
            if event.instance_id == instance {
                return event;
            }
        }
        panic!("nothing of {instance}: {:#?}", self.events);
    }

    /// Reads on to where it says this.
    fn until_said(&mut self, words: &str) {
        while !self.said.contains(words) {
            assert!(self.stderr.read_line(&mut self.said).unwrap() > 0, "{}", self.said);
        }
    }

    /// Asks it to end; gives all events, and all that was said.
    fn end(mut self) -> (Vec<UsageEvent>, String) {
        signal(&self.child, "TERM");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        self.events.extend(rest.lines().map(|line| serde_json::from_str::<UsageEvent>(line).unwrap()));
        self.stderr.read_to_string(&mut self.said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.said);
        (std::mem::take(&mut self.events), std::mem::take(&mut self.said))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn of<'e>(events: &'e [UsageEvent], instance: &str) -> Vec<&'e UsageEvent> {
    events.iter().filter(|event| event.instance_id == instance).collect()
}

fn places(file: &Path) -> [String; 2] {
    [1, 5].map(|line| format!("{}:{line}:1", file.display()))
}

#[test]
fn a_group_that_two_scopes_name_is_refused_at_start_and_at_a_reload() {
    let Some(parent) = ControlGroup::new("twice") else { return };
    let (one, two) = (parent.child("one"), parent.child("two"));
    let configured = Configured::new(&[two.path(), two.path()]);
    let refused = configured.command("1s").output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("the control group {} would be billed twice", two.path())), "{said}");
    let places = places(&configured.file());
    for (place, instance) in places.iter().zip(["0-two", "1-two"]) {
        assert!(said.contains(place) && said.contains(instance), "{said}");
    }

    configured.set(&scopes_of(&[one.path()]));
    let mut run = configured.start("1s");
    run.until("0-one");
    configured.set(&scopes_of(&[one.path(), one.path()]));
    signal(&run.child, "HUP");
    run.until_said("the old one stays in force");
    let (events, said) = run.end();
    assert!(said.contains("would be billed twice"), "{said}");
    assert!(of(&events, "1-one").is_empty(), "{events:?}");
}

/// Who may make a control group must not be able to keep a host from being metered.
#[test]
fn a_group_that_a_pattern_shares_is_of_the_first_scope_and_that_is_said() {
    let Some(parent) = ControlGroup::new("shared") else { return };
    let (one, two) = (parent.child("one"), parent.child("two"));
    let (all, some) = (format!("{}/*", parent.path()), format!("{}/t*", parent.path()));
    for patterns in [[&*some, &*all], [two.path(), &*all]] {
        let configured = Configured::new(&patterns);
        let output = configured.command("1s").args(["--count", "2"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        let lines: Vec<&str> = said.lines().filter(|line| line.contains("would be billed twice")).collect();
        assert_eq!(lines.len(), 1, "{said}");
        for words in [patterns[0], patterns[1], "alone, and from the next start on for the one that stands first"] {
            assert!(lines[0].contains(words), "{said}");
        }
        let text = String::from_utf8(output.stdout).unwrap();
        let events: Vec<UsageEvent> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let counts = ["0-two", "1-two", "1-one"].map(|instance| of(&events, instance).len());
        assert_eq!(counts, [2, 0, 2], "{text}");
    }
    drop(one);
}

#[test]
fn a_reload_that_ends_an_overlap_hands_the_group_on_without_a_gap() {
    let Some(parent) = ControlGroup::new("handed") else { return };
    let (one, two) = (parent.child("g-a"), parent.child("a-z"));
    let (first, second) = (format!("{}/g-*", parent.path()), format!("{}/*-z", parent.path()));
    let configured = Configured::new(&[&first, &second]);
    // Long enough for what comes with the next look to be told from what comes with the reload.
    configured.set(&format!("sample_interval = \"3s\"\n{}", scopes_of(&[&first, &second])));
    let mut run = configured.start("3s");
    run.until("0-g-a");
    let both = parent.child("g-z");
    run.until_said("would be billed twice");
    run.until("0-g-z");
    // The second scope alone, as it was.
    let scopes = scopes_of(&[&first, &second]);
    let second = scopes.split_inclusive("\"user-0\"\n").last().unwrap();
    configured.set(&format!("sample_interval = \"3s\"\n{second}"));
    signal(&run.child, "HUP");
    run.until("1-g-z");
    let (events, said) = run.end();
    let ended = of(&events, "0-g-z").last().unwrap().period.end;
    assert_eq!(of(&events, "1-g-z")[0].period.start, ended, "{events:#?} {said}");
    drop((one, two, both));
}

#[test]
fn an_instance_that_comes_back_as_another_scope_s_group_is_billed_once() {
    let Some(parent) = ControlGroup::new("moved") else { return };
    let (x, y) = (parent.child("x"), parent.child("y"));
    let (old, two) = (x.child("one"), y.child("two"));
    let (first, second) = (format!("{}/*/one", parent.path()), format!("{}/y/*", parent.path()));
    let configured = Configured::new(&[&first, &second]);
    let mut run = configured.start("1s");
    run.until("0-one");
    // Between two looks.
    signal(&run.child, "STOP");
    old.remove().unwrap();
    let new = y.child("one");
    signal(&run.child, "CONT");
    for _ in 0..5 {
        run.until("0-one");
    }
    let (events, said) = run.end();
    assert!(of(&events, "1-one").is_empty(), "{events:#?}");
    assert!(said.contains(&format!("the control group {} would", new.path())), "{said}");
    drop((two, new));
}
