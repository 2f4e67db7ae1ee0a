//! What a signal does to `check` in a pipeline.
//!
//! Ctrl-C and a service's stop reach every process of a pipeline at once. The one in front then closes its period and
//! writes a last event; if `check` died of the same signal, that event would be metered and lost. So it reads on to
//! the end of its input, but not for ever.

use std::time::Duration;

use anyhow::Context as _;
use form_usage_events::clock::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::output::complain;
use crate::setup::{Shutdown, runtime};

/// How long the input may go on after the first signal.
const GRACE: Duration = Duration::from_secs(5);

/// The time between the beginning of the input and its end.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reading(CancellationToken);

impl Reading {
    /// The input has ended: signals no longer end the process, and are for others to listen to.
    pub(crate) fn ended(&self) {
        self.0.cancel();
    }
}

/// From now on the first SIGINT or SIGTERM lets the input come to its end within [`GRACE`]; the second ends at once.
///
/// `then` says what became of what had come until then, where the grace is over and the process ends.
pub(crate) fn outlive_the_first_signal(then: &'static str) -> anyhow::Result<Reading> {
    let ended = CancellationToken::new();
    let reading = Reading(ended.clone());
    let runtime = runtime()?;
    let within = runtime.enter();
    let shutdown = Shutdown::listen("reading on to the end of the input, for 5 s at most; once more to stop now")?;
    drop(within);
    // The main thread waits in a read that nothing can interrupt, so that the end has to come from another thread.
    let wait = move || {
        let stopped = async {
            shutdown.finish.cancelled().await;
            tokio::select! {
                () = shutdown.abort.cancelled() => {}
                () = SystemClock.sleep(GRACE) => {}
            }
        };
        if runtime.block_on(ended.run_until_cancelled(stopped)).is_none() {
            return;
        }
        complain(&format!("stopped by a signal before the input ended; {then}"));
        std::process::exit(i32::from(Exit::Error.code()));
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).context("could not listen for signals")?;
    Ok(reading)
}
