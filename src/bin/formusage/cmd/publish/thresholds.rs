//! The thresholds of a publisher: loaded, kept up to date, their states kept over a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use form_usage_events::clock::Clock;
use form_usage_events::errors::UsageEventError;
use form_usage_events::threshold::{AlertFileError, ThresholdManager, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::channels::{self, Channels};
use crate::cli::PublishArgs;
use crate::output::{counted, say};
use crate::setup::hangups;
use crate::state_dir::state_dir;

/// Thresholds in force, and the task that keeps them so.
pub(super) struct Thresholds {
    manager: Arc<ThresholdManager>,
    channels: Option<Channels>,
    stop: CancellationToken,
    watcher: JoinHandle<()>,
}

impl Thresholds {
    /// Loads those that `args` name; `None` where they name none. Must be called within a runtime.
    pub(super) async fn start(
        args: &PublishArgs,
        spool: Option<&Path>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(source) = &args.thresholds else { return Ok(None) };
        let manager = ThresholdManager::new(source.clone()).with_clock(clock.clone());
        let manager = manager.with_max_skew(args.lines.max_skew());
        let manager = manager.with_source_options(crate::thresholds::access(&args.access)?);
        let channels = if args.dry_run { None } else { channels::start(&args.channels, args.drain_timeout, &clock)? };
        let manager = match &channels {
            Some(channels) => manager.with_notifier(channels.notifier()),
            None => manager,
        };
        let manager = Arc::new(manager);
        let loaded = async {
            let mut reader = manager.reader()?;
            if let Some(reader) = &mut reader {
                manager.load_changes(reader).await?;
            }
            Ok::<_, UsageEventError>(reader)
        };
        let reader = loaded.await.context("the thresholds can't be used")?;
        channels.iter().for_each(Channels::say_what_is_amiss);
        if !args.dry_run {
            keep_states(&manager, args.state.as_deref(), spool, args.drain_timeout)?;
        }
        let stop = CancellationToken::new();
        let reload = hangups()?;
        let (watched, until) = (manager.clone(), stop.clone());
        let watcher = tokio::spawn(async move {
            if let Some(reader) = reader {
                watch(&watched, reader, &reload, &*clock, &until).await;
            }
        });
        Ok(Some(Self { manager, channels, stop, watcher }))
    }

    pub(super) fn manager(&self) -> Arc<ThresholdManager> {
        self.manager.clone()
    }

    /// Tells what is still to be told and saves the states. When `cut` is over, channels are no longer waited for. Returns
    /// how many alerts are lost.
    pub(super) async fn end(self, cut: impl Future<Output = ()>) -> u64 {
        self.stop.cancel();
        let _ = self.watcher.await;
        let mut cut = std::pin::pin!(cut);
        tokio::select! {
            biased;
            () = &mut cut => {}
            () = self.manager.await_states() => {}
        }
        if let Err(error) = self.manager.finish().await {
            tracing::error!(%error, "a threshold's notification failed");
        }
        let untold = self.manager.lost_alerts();
        if untold > 0 {
            say(&format!(
                "{} lost: they could not be handed to their channels",
                counted(untold, "alert is", "alerts are")
            ));
        }
        // Channels may take their time; a job that waits for the states need not wait for them.
        self.manager.release_states();
        let dropped = match self.channels {
            Some(channels) => channels.end(cut).await,
            None => 0,
        };
        untold + dropped
    }
}

/// Keeps the states in the file that is named, or beside the spool; where another job still has it, that one is waited for.
/// Events are taken in any case: only a file that was named and can't be used at all is an error.
fn keep_states(
    manager: &ThresholdManager,
    named: Option<&Path>,
    spool: Option<&Path>,
    patience: Duration,
) -> anyhow::Result<()> {
    let Some(path) = named.map(Path::to_owned).or_else(|| default_path(spool)) else { return Ok(()) };
    match manager.keep_states_within(path, patience) {
        Ok(put_aside) => put_aside.iter().for_each(|message| say(message)),
        Err(error @ AlertFileError::Io(..)) if named.is_some() => return Err(error.into()),
        Err(error) => tracing::warn!("{error}; until then a restart forgets what fires"),
    }
    Ok(())
}

fn default_path(spool: Option<&Path>) -> Option<PathBuf> {
    match spool {
        Some(spool) => Some(spool.with_extension("alerts.json")),
        None => Some(state_dir()?.join("alerts.json")),
    }
}
