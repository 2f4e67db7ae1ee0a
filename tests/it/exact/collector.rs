//! A collector that is read, killed, and started again.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdout, Command, Stdio};

use form_usage_events::events::UsageEvent;

use crate::support::{RunningProcess, SpawnGuarded as _, formusage_process, signal};

/// One that runs; killed when dropped.
pub(super) struct Collector {
    child: RunningProcess,
    stdout: BufReader<ChildStdout>,
}

/// What several collectors wrote, one after another.
#[derive(Default)]
pub(super) struct Written {
    pub(super) text: String,
}

impl Collector {
    /// `prefix` is what it is started by, such as `ip netns exec NAME`.
    pub(super) fn start(prefix: &[&str], options: &[&str]) -> Self {
        let own = formusage_process();
        let mut command = match prefix.split_first() {
            None => formusage_process(),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(own.get_program());
                for (name, value) in own.get_envs() {
                    match value {
                        Some(value) => command.env(name, value),
                        None => command.env_remove(name),
                    };
                }
                command
            }
        };
        command.arg("collect").args(options).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn_guarded();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Reads on to the first event of which `is_it` is true.
    pub(super) fn until(&mut self, written: &mut Written, is_it: impl Fn(&UsageEvent) -> bool) -> UsageEvent {
        loop {
            let mut line = String::new();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "it ended: {}", written.text);
            written.text += &line;
            let event: UsageEvent = serde_json::from_str(&line).unwrap();
            if is_it(&event) {
                return event;
            }
        }
    }

    /// Sends a signal that ends it, and takes what it wrote.
    pub(super) fn end(mut self, name: &str, written: &mut Written) {
        signal(&self.child, name);
        self.stdout.read_to_string(&mut written.text).unwrap();
        let status = self.child.wait().unwrap();
        assert!(name == "KILL" || status.code() == Some(0), "{status}");
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Written {
    /// The events of an instance; one that was written twice counts once, as its id says.
    pub(super) fn of(&self, instance: &str) -> Vec<UsageEvent> {
        let mut seen = BTreeSet::new();
        let lines = self.text.lines().filter(|line| seen.insert(*line));
        let events = lines.map(|line| serde_json::from_str::<UsageEvent>(line).unwrap());
        events.filter(|event| event.instance_id == instance).collect()
    }
}

/// What events add up to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sum {
    pub(super) cpu: u64,
    /// CPU seconds as the percentages have them, with their fractions, for an instance of so many CPUs.
    pub(super) shares: f64,
    pub(super) sent_mb: f64,
    pub(super) received_mb: f64,
    pub(super) seconds: i64,
}

/// Adds up `events` of an instance that may use `cpus`, whose periods have to join.
pub(super) fn sum(events: &[UsageEvent], cpus: f64) -> Sum {
    let mut sum = Sum::default();
    let mut end = None;
    for event in events {
        assert!(end.is_none_or(|end| end == event.period.start), "after {end:?}: {event:?}");
        end = Some(event.period.end);
        let seconds = event.period.end - event.period.start;
        sum.cpu += event.metrics.cpu_seconds;
        #[allow(clippy::cast_precision_loss)]
        let used = event.metrics.cpu_percent_avg / 100.0 * cpus * seconds as f64;
        sum.shares += used;
        sum.sent_mb += event.metrics.network_egress_mb;
        sum.received_mb += event.metrics.network_ingress_mb;
        sum.seconds += seconds;
    }
    sum
}
