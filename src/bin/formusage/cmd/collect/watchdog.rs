//! Ends a collector that hangs, and says that it does.
//!
//! Samples are taken on the thread that also hears signals. Whatever a reader may wait for, a signal ends the process in
//! time: what was metered since the state was last saved is metered by the next one, as after a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use form_usage_events::clock::{Clock as _, SystemClock};

use crate::exit::Exit;
use crate::signals::Shutdown;
use crate::systemd::Notifier;

/// How often the collector's thread shows that it runs.
const BEAT: Duration = Duration::from_secs(1);
/// Beats that may fail to come before that is logged, and before the process is ended after a signal, and after a second.
const LOGGED_AFTER: u32 = 30;
const ENDED_AFTER: u32 = 8;
const ENDED_AFTER_SECOND: u32 = 2;
/// SIGINT and SIGTERM in a mask of signals.
const ENDING_SIGNALS: u64 = 1 << 1 | 1 << 14;

/// Watches the thread that calls it, which has to run a runtime; tells systemd of it.
pub(super) fn start(shutdown: Shutdown) -> anyhow::Result<()> {
    let beats = Arc::new(AtomicU64::new(0));
    let beating = Arc::clone(&beats);
    let notifier = Notifier::from_env();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    notifier.ready();
    let watch = move || runtime.block_on(watch(&beats, &shutdown));
    std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch).context("can't start the watchdog")?;
    tokio::spawn(async move {
        loop {
            beating.fetch_add(1, Ordering::Relaxed);
            notifier.alive();
            SystemClock.sleep(BEAT).await;
        }
    });
    Ok(())
}

async fn watch(beats: &AtomicU64, shutdown: &Shutdown) {
    let (mut seen, mut missed) = (0, 0);
    loop {
        SystemClock.sleep(BEAT).await;
        let now = beats.load(Ordering::Relaxed);
        missed = if now == seen { missed + 1 } else { 0 };
        seen = now;
        let patience = if shutdown.abort.is_cancelled() { ENDED_AFTER_SECOND } else { ENDED_AFTER };
        if missed >= patience && (shutdown.finish.is_cancelled() || ending_signal_is_pending()) {
            tracing::error!(
                "a sample has not returned: the meter ends without it; the next run goes on from the state, if that is kept"
            );
            std::process::exit(i32::from(Exit::Error.code()));
        }
        if missed == LOGGED_AFTER {
            tracing::error!(
                seconds = LOGGED_AFTER,
                "a sample has not returned: nothing is metered until it does; what is used meanwhile is metered then"
            );
        }
    }
}

/// Whether a signal waits for a thread that can't take it: the kernel gives it to the first one, even where that waits
/// for what nothing but SIGKILL interrupts.
fn ending_signal_is_pending() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & ENDING_SIGNALS != 0)
}
