//! A program of the operator's: an argv, no shell, the alerts as JSON on its standard input.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStderr, Command};

use super::config::ExecConfig;
use super::message::ViolationEvent;
use crate::events::EncodedEvent;
use crate::transport::cause::shortage;
use crate::transport::{BatchLimits, BoxFuture, Failure, Outcome, Reach, Sink};

/// `EX_DATAERR` of sysexits.h: what was given is wrong.
const DATA_ERROR: i32 = 65;
/// How much of what a program says an error shows.
const EXCERPT: usize = 300;
/// How much of a program's standard error is kept to take the excerpt from; the rest is read and dropped, so that the
/// program is not held up.
const KEPT_BYTES: u64 = 8 << 10;
/// How long a program's standard error is read on after its end, where something that it started holds it open.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Runs a program for each group of alerts.
#[derive(Debug)]
pub(super) struct ExecSink {
    command: Vec<String>,
    timeout: Duration,
    /// Environment variables that the program does not get.
    hidden: Vec<String>,
}

impl ExecSink {
    pub(super) fn new(config: &ExecConfig, hidden: Vec<String>) -> Self {
        let timeout = Duration::from_secs(config.timeout_seconds.into());
        Self { command: config.command.clone(), timeout, hidden }
    }

    async fn run(&self, events: &[EncodedEvent]) -> Result<(), Failure> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Failure::destination("the command of the channel is empty"));
        };
        let events: Vec<_> = super::alerts(events)?.iter().map(ViolationEvent::of).collect();
        let input = serde_json::to_vec(&events).map_err(|error| Failure::event(error.to_string()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        // What we know is not for it to know.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FORMUSAGE_")) {
            command.env_remove(name);
        }
        for name in &self.hidden {
            command.env_remove(name);
        }
        // What it starts ends with it when its time is over.
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| {
            if let Some(advice) = shortage(&error) {
                return Failure::local(format!("the program {program:?} can't be started: {error}; {advice}"));
            }
            Failure::destination(format!(
                "the program {program:?} can't be started: {error}; check `command` of the channel"
            ))
            .reached(Reach::Unreached)
        })?;
        #[cfg(target_os = "linux")]
        let group = Group(child.id());
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let talk = async {
            if let Some(mut stdin) = stdin {
                // A program need not read; its exit code says how it went.
                let _ = stdin.write_all(&input).await;
                let _ = stdin.shutdown().await;
            }
        };
        let mut said = Vec::new();
        let run = async {
            let mut hear = std::pin::pin!(async {
                match stderr {
                    Some(stderr) => excerpt_and_drain(stderr, &mut said).await,
                    None => Ok(()),
                }
            });
            let mut end = std::pin::pin!(async { tokio::join!(talk, child.wait()).1 });
            tokio::select! {
                status = &mut end => {
                    // What it said is in the pipe by now. Whatever it started and left running keeps the pipe open.
                    let _ = tokio::time::timeout(LAST_WORDS, hear).await;
                    status
                }
                heard = &mut hear => {
                    heard?;
                    end.await
                }
            }
        };
        let status = match tokio::time::timeout(self.timeout, run).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(error)) => return Err(Failure::service(format!("the program {program:?} was lost: {error}"))),
            Err(_) => {
                let message = format!("the program {program:?} did not end within {:?} and was killed", self.timeout);
                return Err(Failure::service(message).reached(Reach::Unknown));
            }
        };
        #[cfg(target_os = "linux")]
        group.let_go();
        if status.success() {
            return Ok(());
        }
        let said: String = String::from_utf8_lossy(&said).trim().chars().take(EXCERPT).collect();
        let said = if said.is_empty() { said } else { format!(": {said}") };
        let message = format!("the program {program:?} ended with {status}{said}");
        Err(if status.code() == Some(DATA_ERROR) { Failure::event(message) } else { Failure::service(message) })
    }
}

/// The first bytes of `stderr`, which is read to its end.
async fn excerpt_and_drain(mut stderr: ChildStderr, kept: &mut Vec<u8>) -> std::io::Result<()> {
    (&mut stderr).take(KEPT_BYTES).read_to_end(kept).await?;
    tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
    Ok(())
}

/// The program and what it started, which are killed when this is dropped.
#[cfg(target_os = "linux")]
struct Group(Option<u32>);

#[cfg(target_os = "linux")]
impl Group {
    /// It has ended by itself; what it left running on purpose goes on.
    fn let_go(mut self) {
        self.0 = None;
    }
}

#[cfg(target_os = "linux")]
impl Drop for Group {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        // Its leader was not waited for, so that the number is still its own.
        if let Some(group) = self.0.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Sink for ExecSink {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: 100, bytes: 256 << 10 }
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        Box::pin(async move {
            self.run(events).await?;
            Ok(vec![Outcome::Delivered; events.len()])
        })
    }
}
