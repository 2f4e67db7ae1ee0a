//! Thresholds that change while they are in force.
//!
//! A [`ThresholdReader`](super::ThresholdReader) says when its source is worth another look, and whether it has changed;
//! [`watch`] puts what has changed in force. A version that can't be used leaves the old one in force and is reported
//! once.

use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::manager::ThresholdManager;
use super::source::ThresholdReader;
use crate::clock::Clock;
use crate::errors::UsageEventError;
use crate::transport::without_numbers;

/// How often the states of thresholds look at the clock.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// What can't be used is looked at again after this, before it is reported: it may be in the middle of being written.
const SETTLE: Duration = Duration::from_millis(150);

/// Keeps `manager` up to date until `stop`: puts in force what `reader` finds to have changed, reads all of it when
/// `reload` says so (a SIGHUP), and lets the states of thresholds look at the clock every second.
///
/// What fails is logged as an error, once for each version, and the version before stays in force.
pub async fn watch(
    manager: &ThresholdManager,
    mut reader: ThresholdReader,
    reload: &Notify,
    clock: &dyn Clock,
    stop: &CancellationToken,
) {
    let mut tick_at = clock.monotonic() + TICK_EVERY;
    // What was reported last, so that a server that is down is reported once.
    let mut reported: Option<String> = None;
    loop {
        let asked = {
            // One wait, however often the clock is looked at meanwhile.
            let mut changed = std::pin::pin!(reader.changed(clock));
            loop {
                let left = tick_at.saturating_sub(clock.monotonic());
                tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    () = reload.notified() => break true,
                    // Not where the clock is to be looked at: a source that changes all the time must not hold that up.
                    () = &mut changed, if !left.is_zero() => break false,
                    () = clock.sleep(left) => {
                        tick_at = clock.monotonic() + TICK_EVERY;
                        told(manager.tick().await);
                    }
                }
            }
        };
        // A server that does not answer does not hold up the end.
        let loading = async {
            if asked { manager.load_configs().await.map(|()| true) } else { look(manager, &mut reader, clock).await }
        };
        let loaded = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            loaded = loading => loaded,
        };
        if asked {
            reported = None;
        }
        match loaded {
            // Nothing new, which is no word on whether it can be used.
            Ok(false) => {}
            Ok(true) => {
                if reported.take().is_some() {
                    tracing::warn!("the thresholds can be used again, and are in force");
                }
                told(manager.hand_over_news().await);
            }
            Err(error) => {
                let error = error.to_string();
                // A server's refusal may count the seconds until it is back.
                let is_known = reported.as_ref().is_some_and(|known| without_numbers(known) == without_numbers(&error));
                if !is_known {
                    tracing::error!("{error}\nthe thresholds from before stay in force");
                    reported = Some(error);
                }
            }
        }
    }
}

/// Puts in force what has changed; looks twice before it calls something a fault.
async fn look(
    manager: &ThresholdManager,
    reader: &mut ThresholdReader,
    clock: &dyn Clock,
) -> Result<bool, UsageEventError> {
    let error = match manager.load_changes(reader).await {
        Ok(changed) => return Ok(changed),
        Err(error) => error,
    };
    clock.sleep(SETTLE).await;
    match manager.load_changes(reader).await {
        Ok(false) => Err(error),
        settled => settled,
    }
}

fn told(result: Result<(), UsageEventError>) {
    if let Err(error) = result {
        tracing::error!(%error, "a threshold's notification failed");
    }
}
