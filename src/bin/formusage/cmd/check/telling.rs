//! The channels of `check`: alerts go into their spool while events are read, and are delivered before it ends.
//!
//! An alert counts as told when it is in the spool, and before that no state says so: whatever dies in between, the next
//! run tells it again, under the same id. What a channel does not take in time waits in the spool for the next run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::threshold::{ActionType, AlertKind, Notifier, ThresholdAlert, ThresholdSet};
use tokio::runtime::Runtime;

use crate::channels::{self, Channels};
use crate::cli::ChannelsFileArgs;
use crate::output::{complain, say};
use crate::setup::EVENT_INTERVAL;
use crate::signals::{Ending, Shutdown};

/// So many alerts are handed over together, in one commit for each channel.
const GROUP: usize = 1_000;

/// So many may wait for a spool that takes none.
const MOST_WAITING: usize = 10_000;

/// Alerts on their way to channels.
pub(super) struct Telling {
    /// Delivers on a thread of its own, since the main one waits for events.
    runtime: Runtime,
    channels: Channels,
    waiting: Vec<ThresholdAlert>,
    /// From so many on, those that wait are handed over without a pause of the input.
    full_at: usize,
    /// What will never be told.
    lost: u64,
    /// People know that the spool takes no alerts. The reason counts bytes, and is no other one each time.
    reported_failing: bool,
}

impl Telling {
    /// Opens the channels, where a file names them; at the end, what waits is tried for `patience`.
    pub(super) fn start(args: &ChannelsFileArgs, patience: Duration) -> anyhow::Result<Option<Self>> {
        if args.channels.is_none() {
            channels::say_what_waits(args);
            return Ok(None);
        }
        crate::open_files::check()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .event_interval(EVENT_INTERVAL)
            .build();
        let runtime = runtime.context("could not start the runtime")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let started = {
            let _inside = runtime.enter();
            channels::start(args, patience, &clock)?
        };
        let telling = |channels| Self {
            runtime,
            channels,
            waiting: Vec::new(),
            full_at: GROUP,
            lost: 0,
            reported_failing: false,
        };
        Ok(started.map(telling))
    }

    /// A name in `thresholds` that nothing is bound to is an error now and no silence later.
    pub(super) fn bind(&self, thresholds: &ThresholdSet) -> anyhow::Result<()> {
        self.channels.bind(thresholds)?;
        self.channels.say_what_is_amiss();
        Ok(())
    }

    pub(super) fn notifier(&self) -> Arc<dyn Notifier> {
        self.channels.notifier()
    }

    /// Puts what is to be told behind the rest. What is only to be logged stands in the report.
    pub(super) fn queue(&mut self, alerts: impl IntoIterator<Item = ThresholdAlert>) {
        let told = |alert: &ThresholdAlert| alert.kind.is_told() && alert.violation.config.action != ActionType::Log;
        self.waiting.extend(alerts.into_iter().filter(told));
        if self.waiting.len() >= self.full_at {
            self.hand_over();
        }
    }

    /// Puts all that waits into the spool of its channels; whether anything got there.
    pub(super) fn hand_over(&mut self) -> bool {
        let mut any = false;
        let mut left = Vec::new();
        let waiting = std::mem::take(&mut self.waiting);
        for group in waiting.chunks(GROUP) {
            let outcomes = self.runtime.block_on(self.channels.notifier().notify_alerts(group));
            let mut outcomes = outcomes.into_iter();
            for alert in group {
                match outcomes.next() {
                    Some(Ok(())) => any = true,
                    Some(Err(error)) => {
                        if !std::mem::replace(&mut self.reported_failing, true) {
                            complain(&format!("an alert could not be put into the spool of its channels: {error}"));
                        }
                        left.push(alert.clone());
                    }
                    None => left.push(alert.clone()),
                }
            }
        }
        self.reported_failing &= !left.is_empty();
        if left.len() > MOST_WAITING {
            let surplus = left.len() - MOST_WAITING;
            left.drain(..surplus);
            self.lost += surplus as u64;
        }
        self.waiting = left;
        self.full_at = self.waiting.len() + GROUP;
        any
    }

    /// What could not be handed over and may be by the next run: changes of states.
    pub(super) fn untold(&self) -> Vec<ThresholdAlert> {
        self.waiting.iter().filter(|alert| alert.kind != AlertKind::Violation).cloned().collect()
    }

    /// How many alerts could not be handed over.
    pub(super) fn not_told(&self) -> u64 {
        self.waiting.len() as u64 + self.lost
    }

    /// How many alerts are lost, since too many waited for their channel.
    pub(super) fn dropped(&self) -> u64 {
        self.channels.dropped()
    }

    /// Delivers what is in the spool, and says what waits there for the next run. A signal ends the wait: the verdict on
    /// the events stands by then, and so does the exit code.
    pub(super) fn end(self, keeps_states: bool) {
        // A signal that came before was about the input.
        let listening = Shutdown::listen(Ending {
            announcement: "no longer waiting for channels; what was not delivered waits in its spool",
            ..Ending::quiet("ended by force, since channels held up the end: what was not delivered waits in its spool")
        });
        if self.lost > 0 {
            say(&format!("{} alerts were not told, and are lost: their spool took none", self.lost));
        }
        if !self.waiting.is_empty() {
            let changes = self.untold().len();
            let kept = if keeps_states { "; the next run with this --state tells changes of states" } else { "" };
            say(&format!("{} alerts were not told, {changes} of them changes of states{kept}", self.waiting.len()));
        }
        let cut = async {
            match listening {
                Ok(shutdown) => shutdown.finish.cancelled().await,
                Err(_) => std::future::pending().await,
            }
        };
        self.runtime.block_on(self.channels.end(cut));
        // A name server that does not answer holds nobody up.
        self.runtime.shutdown_background();
    }
}
