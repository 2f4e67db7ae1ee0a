//! Jobs that overlap on one spool, as cron starts them when one takes longer than its minute.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::channels::{Bench, PATIENCE, SECRET, receiver, webhook};
use crate::form_queue::FormQueue;
use crate::support::{ServedQueue, formusage, formusage_process, line};

const JOBS: i64 = 12;
const INSTANCES: [&str; 4] = ["a", "b", "c", "d"];

/// A job at work; killed when dropped.
struct Job(Option<Child>);

impl Job {
    fn start(state: &Path, folder: &Path, words: &[&str]) -> Self {
        let mut command = formusage_process();
        command.arg("publish").args(words).current_dir(folder);
        command.env("FORMUSAGE_STATE_DIR", state).env("HOOK_SECRET", SECRET);
        Self(Some(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    fn write(&mut self, text: &str) {
        self.0.as_mut().unwrap().stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Ends its input and waits for it; gives its exit code and its words.
    fn end(mut self) -> (Option<i32>, String) {
        let output = self.0.take().unwrap().wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn overlapping_jobs_end_well_and_deliver_everything_once() {
    let folder = tempfile::tempdir().unwrap();
    let queue = ServedQueue::start(&folder.path().join("q.db"), &[], None);
    let mut sent = Vec::new();
    for round in 0..3 {
        let number = |job: i64| round * JOBS + job;
        let mut jobs: Vec<_> = (0..JOBS)
            .map(|_| Job::start(&folder.path().join("state"), folder.path(), &["--to", &queue.url()]))
            .collect();
        for (job, n) in jobs.iter_mut().zip(0..) {
            let events: Vec<String> = INSTANCES.iter().map(|instance| line(instance, number(n))).collect();
            job.write(&format!("{}\n", events.join("\n")));
            sent.extend(events);
        }
        // Each ends by itself, while others are at work.
        for job in &mut jobs {
            drop(job.0.as_mut().unwrap().stdin.take());
        }
        for job in jobs {
            assert_eq!(job.end(), (Some(0), String::new()));
        }
    }
    let read = formusage().args(["read", "--from", &queue.url()]).assert().code(0).stderr("");
    let mut arrived: Vec<_> =
        String::from_utf8(read.get_output().stdout.clone()).unwrap().lines().map(str::to_owned).collect();
    arrived.sort();
    sent.sort();
    assert_eq!(arrived, sent);
}

#[test]
fn what_fires_is_notified_once_though_jobs_overlap() {
    let (port, received) = receiver(0);
    let bench = Bench::new(r#""Notify""#, &webhook(port));
    let threshold = std::fs::read_to_string(bench.path("thresholds.json")).unwrap();
    bench.file("thresholds.json", &threshold.replace(r#""user_id""#, r#""clear_value":1,"user_id""#));
    let queue = FormQueue::start();
    let url = queue.url();
    let words =
        ["--to", &url, "--thresholds", "thresholds.json", "--channels", "channels.json", "--drain-timeout", "60s"];
    let start = || Job::start(&bench.path("state"), &bench.path(""), &words);

    let mut first = start();
    first.write(&format!("{}\n", line("i", 0)));
    let told: Value = serde_json::from_str(&received.recv_timeout(PATIENCE).unwrap().body).unwrap();
    assert!(told.to_string().contains("firing"), "{told}");
    // The next jobs know nothing of the beginning, and the first one is still at work.
    let mut others = [start(), start()];
    for (job, n) in others.iter_mut().zip(1..) {
        job.write(&format!("{}\n", line("i", n)));
        drop(job.0.as_mut().unwrap().stdin.take());
    }
    queue.wait_for_messages(3);
    assert_eq!(first.end(), (Some(0), String::new()));
    for job in others {
        assert_eq!(job.end(), (Some(0), String::new()));
    }
    assert!(received.try_recv().is_err(), "it was told again, under another beginning");
}
