//! `formusage collect --state`: over kills, stops, reloads and closed pipes the periods join, and the sum is the kernel's.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use form_usage_events::clock::{Clock as _, SystemClock};
use form_usage_events::collect::{Agent, Now, Origin, Periods, Saved};
use form_usage_events::events::UsageEvent;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use tempfile::TempDir;

use crate::collect::cpu_seconds_used;
use crate::support::{RunningProcess, SpawnGuarded as _, formusage, formusage_process, not_run, signal};

/// A collector that runs, and is killed when dropped.
struct Running {
    child: RunningProcess,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    fn start(options: &[&str]) -> Self {
        let mut command = formusage_process();
        command.arg("collect").args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn_guarded();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// The next event as it was written.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "{line:?}, and on stderr: {}", self.words());
        line
    }

    fn lines(&mut self, count: usize) -> String {
        (0..count).map(|_| self.line()).collect()
    }

    /// What is still to be read once it has ended.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }

    fn words(&mut self) -> String {
        let mut words = String::new();
        self.stderr.read_to_string(&mut words).unwrap();
        words
    }

    /// Sends a signal that ends it; gives what it wrote that was not read yet.
    fn end(mut self, name: &str) -> (String, ExitStatus) {
        signal(&self.child, name);
        (self.rest(), self.child.wait().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A shell that does nothing, as fast as it can.
struct Load(RunningProcess);

impl Load {
    fn start() -> Self {
        Self(Command::new("sh").args(["-c", "while :; do :; done"]).spawn_guarded())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn state(folder: &TempDir) -> String {
    folder.path().join("s.json").display().to_string()
}

/// The events in order, where one that was written twice counts once, as its id says.
fn events(output: &str) -> Vec<UsageEvent> {
    let mut seen = BTreeSet::new();
    output.lines().filter(|line| seen.insert(*line)).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Lets the validator look for gaps and overlaps.
fn is_continuous(folder: &TempDir, output: &str) {
    let file = folder.path().join("events.ndjson");
    std::fs::write(&file, output).unwrap();
    let mut validate = formusage();
    validate
        .args(["validate", "--continuity"])
        .arg(&file)
        .assert()
        .code(0)
        .stderr(contains(" 0 s of gaps, 0 s of overlaps"));
}

/// Waits for so many seconds, by what another meter writes.
fn wait_for_periods(count: &str) {
    formusage().args(["collect", "--no-state", "--interval", "1s", "--count", count]).assert().code(0);
}

#[test]
fn kills_lose_and_double_nothing() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder);
    let options = ["--interval", "1s", "--sample-interval", "100ms", "--instance-id", "i", "--state", &state];
    let _load = Load::start();
    let before = cpu_seconds_used();
    let mut run = Running::start(&options);
    let mut output = run.line();
    let early = cpu_seconds_used();
    output += &run.line();
    // Right behind a line, when the state may not say yet that it was written.
    output += &run.end("KILL").0;
    // At any moment, perhaps before the first look.
    output += &Running::start(&options).end("KILL").0;
    let mut run = Running::start(&options);
    output += &run.lines(3);
    output += &run.end("KILL").0;
    let mut run = Running::start(&options);
    output += &run.lines(2);
    let late = cpu_seconds_used();
    let (rest, status) = run.end("TERM");
    let after = cpu_seconds_used();
    assert_eq!(status.code(), Some(0));
    output += &rest;

    is_continuous(&folder, &output);
    let events = events(&output);
    #[allow(clippy::cast_precision_loss)]
    let sum = |events: &[UsageEvent]| events.iter().map(|event| event.metrics.cpu_seconds).sum::<u64>() as f64;
    let (all, first) = (sum(&events), sum(&events[..1]));
    // What the kernel counted between looks that are known to have been in this order. Less than a second is carried
    // over at either edge.
    assert!(all <= after - before + 0.05, "{all} of {}", after - before);
    assert!(all - first >= late - early - 1.05, "{} of {}", all - first, late - early);
    assert!(late - early >= 4.0, "there was load: {}", late - early);
}

/// With a long period nothing is written for long, and what was used is known all the same.
#[test]
fn a_kill_before_the_first_event_loses_nothing() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder);
    let _load = Load::start();
    let run = Running::start(&["--interval", "1h", "--no-align", "--instance-id", "i", "--state", &state]);
    // The first look is at a whole second.
    wait_for_periods("2");
    let early = cpu_seconds_used();
    wait_for_periods("3");
    let late = cpu_seconds_used();
    assert_eq!(run.end("KILL").0, "", "no event was written");
    let mut run = Running::start(&["--interval", "1s", "--instance-id", "i", "--state", &state]);
    let gap = &events(&run.line())[0];
    #[allow(clippy::cast_precision_loss)]
    let metered = gap.metrics.cpu_seconds as f64;
    assert!(metered >= late - early - 1.0, "{metered} of {}", late - early);
    assert!(gap.period.end - gap.period.start >= 3, "{gap:?}");
}

#[test]
fn a_stopped_process_yields_one_longer_period() {
    let folder = TempDir::new().unwrap();
    let mut run = Running::start(&["--interval", "1s", "--instance-id", "i", "--state", &state(&folder)]);
    let mut output = run.lines(2);
    signal(&run.child, "STOP");
    wait_for_periods("3");
    signal(&run.child, "CONT");
    output += &run.lines(3);
    let (rest, status) = run.end("TERM");
    assert_eq!(status.code(), Some(0));
    output += &rest;
    is_continuous(&folder, &output);
    let events = events(&output);
    let long = events.iter().filter(|event| event.period.end - event.period.start >= 3).count();
    assert_eq!(long, 1, "{events:?}");
}

/// A configuration with one scope whose events have this label.
fn configured(path: &Path, tier: &str) {
    let text = format!(
        "interval = \"1s\"\n\n[[scope]]\nscope = \"host\"\ninstance_id = \"i\"\nlabels = {{ tier = \"{tier}\" }}\n"
    );
    std::fs::write(path, text).unwrap();
}

fn config(folder: &TempDir) -> PathBuf {
    folder.path().join("collect.toml")
}

#[test]
fn a_changed_configuration_is_taken_over_without_a_gap_and_a_wrong_one_is_not() {
    let folder = TempDir::new().unwrap();
    let (file, state) = (config(&folder), state(&folder));
    configured(&file, "silver");
    let mut run = Running::start(&["--config", &file.display().to_string(), "--state", &state]);
    let mut output = run.lines(2);
    assert!(output.lines().all(|line| line.contains("\"tier\":\"silver\"")), "{output}");

    configured(&file, "gold");
    signal(&run.child, "HUP");
    let mut until_gold = 0;
    while !output.ends_with("\"gold\"}}\n") {
        output += &run.line();
        until_gold += 1;
        assert!(until_gold < 20, "{output}");
    }

    std::fs::write(&file, "interval = \"1s\"\n\n[[scope]]\nscope = \"host\"\nlable = {}\n").unwrap();
    signal(&run.child, "HUP");
    let mut words = String::new();
    while !words.contains("the old one stays in force") {
        assert!(run.stderr.read_line(&mut words).unwrap() > 0, "{words}");
    }
    let place = format!("{}:5:1", file.display());
    assert!(words.contains(&place) && words.contains("did you mean labels?"), "{words}");
    let later = run.lines(2);
    assert!(later.lines().all(|line| line.contains("\"tier\":\"gold\"")), "{later}");
    output += &later;
    let (rest, status) = run.end("TERM");
    assert_eq!(status.code(), Some(0));
    is_continuous(&folder, &(output + &rest));
}

#[test]
fn a_closed_pipe_ends_it_and_the_next_run_goes_on() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder);
    let options = ["--interval", "2s", "--sample-interval", "100ms", "--instance-id", "i", "--state", &state];
    let mut run = Running::start(&options);
    let mut output = run.line();
    let Running { child, stdout, stderr } = &mut run;
    output += std::str::from_utf8(stdout.buffer()).unwrap();
    // As `head -1` leaves.
    *stdout = BufReader::new(Command::new("true").stdout(Stdio::piped()).spawn_guarded().stdout.take().unwrap());
    let mut words = String::new();
    stderr.read_to_string(&mut words).unwrap();
    assert_eq!((child.wait().unwrap().code(), words.as_str()), (Some(0), ""));

    let mut run = Running::start(&options);
    output += &run.lines(2);
    let (rest, status) = run.end("TERM");
    assert_eq!(status.code(), Some(0));
    is_continuous(&folder, &(output + &rest));
}

#[test]
fn what_could_not_be_written_is_written_by_the_next_run_as_it_is() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder);
    let options = ["collect", "--interval", "1s", "--count", "1", "--instance-id", "i", "--state", &state];
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let failed = formusage_process().args(options).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(failed.status.code(), Some(2), "{}", String::from_utf8_lossy(&failed.stderr));
    let kept = std::fs::read_to_string(&state).unwrap();
    let kept: serde_json::Value = serde_json::from_str(kept.lines().nth(1).unwrap()).unwrap();
    let closing = kept["closing"][0].as_str().unwrap();
    let written = formusage().args(options).output().unwrap();
    let output = String::from_utf8(written.stdout).unwrap();
    assert_eq!(output.lines().next(), Some(closing));
    is_continuous(&folder, &output);
    assert!(events(&output).len() >= 3, "that one, the gap, and a period: {output}");
}

#[test]
fn a_second_collector_on_the_same_state_is_refused() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder);
    let mut first = Running::start(&["--interval", "1s", "--state", &state]);
    first.line();
    let mut second = formusage();
    let refused = second.args(["collect", "--interval", "1s", "--count", "1", "--state", &state]).assert();
    refused
        .code(2)
        .stdout("")
        .stderr(contains("another collector uses the state").and(contains("--state")).and(contains("--no-state")));
    // The first one does not notice.
    first.line();
}

#[test]
fn two_scopes_with_one_id_are_refused_with_both_places_and_the_key_that_tells_them_apart() {
    let folder = TempDir::new().unwrap();
    let file = config(&folder);
    let text = format!(
        "[[scope]]\nscope = \"host\"\ninstance_id = \"i\"\n[[scope]]\nscope = \"pid:{}\"\ninstance_id = \"i\"\n",
        std::process::id()
    );
    std::fs::write(&file, text).unwrap();
    let refused = formusage().args(["collect", "--no-state", "--config"]).arg(&file).assert();
    let place = |line: u32| contains(format!("({}:{line}:1)", file.display()));
    refused.code(2).stdout("").stderr(
        place(1).and(place(4)).and(contains("instance_id = \"{host}/{path}\"")).and(contains("--instance-id").not()),
    );
}

#[test]
fn a_lock_that_is_removed_lets_no_second_collector_in() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder);
    let mut first = Running::start(&["--interval", "1s", "--state", &state]);
    first.lines(2);
    std::fs::remove_file(format!("{state}.lock")).unwrap();
    let mut second = formusage();
    let refused = second.args(["collect", "--interval", "1s", "--count", "1", "--state", &state]).assert();
    refused.code(2).stdout("").stderr(contains("another collector uses the state"));
    first.lines(2);
    let name = format!("{state}.lock");
    assert_eq!(first.end("TERM").1.code(), Some(0));
    assert!(Path::new(&name).exists());
}

#[test]
fn after_a_boot_with_a_clock_that_is_behind_it_is_said_by_how_much() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder);
    let hour = Duration::from_secs(3600);
    let ahead = Now { monotonic: hour, wall: SystemClock.wall() + hour };
    let interval = Duration::from_secs(1);
    let periods = Periods { interval, align: true, sample_interval: interval };
    let origin = Origin { boot: Some("before".into()), ..Origin::here() };
    let kept = Saved::encode(&origin, &[], &Agent::new(Vec::new(), periods, ahead).snapshot()).unwrap();
    std::fs::write(&state, kept).unwrap();
    let run = formusage().args(["collect", "--interval", "1s", "--count", "1", "--state", &state]).output().unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(said.contains("the wall clock stands before the end of the last period"), "{said}");
    assert!(said.contains("behind=59m") || said.contains("behind=1h"), "{said}");
    let event = &events(std::str::from_utf8(&run.stdout).unwrap())[0];
    assert!(UNIX_EPOCH + Duration::from_secs(event.period.start.cast_unsigned()) >= ahead.wall - interval, "{event:?}");
}

#[test]
fn a_wrong_configuration_is_refused_with_all_that_is_wrong() {
    let folder = TempDir::new().unwrap();
    let file = config(&folder);
    let text = "intervall = \"1s\"\n\n[[scope]]\nscope = \"hots\"\ninstance_id = \"{nmae}\"\n";
    std::fs::write(&file, text).unwrap();
    let refused = formusage().args(["collect", "--no-state", "--config"]).arg(&file).assert();
    let at = |place: &str| contains(format!("{}:{place}: ", file.display()));
    refused.code(2).stdout("").stderr(at("1:1").and(contains("did you mean interval?")).and(at("4:9")).and(at("5:15")));
    let missing = folder.path().join("none.toml");
    let refused = formusage().args(["collect", "--no-state", "--config"]).arg(&missing).assert();
    refused.code(2).stdout("").stderr(contains("can't read the configuration").and(contains("check the path")));
}

#[test]
fn a_damaged_state_is_put_aside_and_metering_starts_anew() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder);
    std::fs::write(&state, "half of a st").unwrap();
    let mut run = formusage();
    let run = run.args(["collect", "--interval", "1s", "--count", "1", "--state", &state]).assert().code(0);
    let said = contains("the state was put aside").and(contains("damaged")).and(contains("hard link").not());
    run.stderr(said);
    let aside: Vec<PathBuf> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.display().to_string().contains(".aside-"))
        .collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(std::fs::read_to_string(&aside[0]).unwrap(), "half of a st");
}

/// Whoever has no privilege, and is another than root.
#[cfg(unix)]
const NOBODY: u32 = 65534;

#[cfg(unix)]
#[test]
fn a_state_that_can_be_locked_and_not_replaced_is_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let folder = TempDir::new().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    let is_root = closed.metadata().unwrap().uid() == 0;
    let state = closed.join("s");
    let interval = Duration::from_secs(1);
    let periods = Periods { interval, align: true, sample_interval: interval };
    let agent = Agent::new(Vec::new(), periods, Now::of(&SystemClock));
    let kept = Saved::encode(&Origin::here(), &[], &agent.snapshot()).unwrap();
    for (name, bytes) in [("s", &*kept), ("s.lock", &[])] {
        std::fs::write(closed.join(name), bytes).unwrap();
        if is_root {
            chown(closed.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    mode(folder.path(), 0o755);
    mode(&closed, 0o555);
    let mut command = formusage_process();
    command.args(["collect", "--interval", "1s", "--count", "1", "--user-id", "u", "--state"]).arg(&state);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if is_root {
        std::os::unix::process::CommandExt::uid(&mut command, NOBODY);
    }
    let started = command.spawn();
    if is_root && started.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
        not_run(format!("user {NOBODY} may not start the binary under test"));
        return;
    }
    let output = started.unwrap().wait_with_output().unwrap();
    mode(&closed, 0o755);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(output.stdout.is_empty() && said.contains("can't replace the state"), "{said}");
    assert!(said.contains(&state.display().to_string()) && said.contains("--state"), "{said}");
    assert!(!said.contains("was put aside"), "{said}");
}
