//! Taking over the states that another process still keeps.
//!
//! Jobs that overlap keep their states in one file, and one of them has it at a time. If the next job began with states
//! of its own, it would notify of what fires already, and under another id, since it knows another beginning. So its
//! events are put by until the file is free and evaluated then, in their order. That waits for the job before, and never
//! longer than the patience that was asked for: then the states of the other process are no more than looked into, so that
//! what fires there is not told again under another id.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::alert::AlertStates;
use super::alert_file::{AlertFile, AlertFileError};
use super::manager::ThresholdManager;
use super::measured::MeasuredEvent;
use crate::clock::Monotonic;
use crate::events::{MetricSet, UsageEvent};

/// When so many events are put by, they wait no longer: memory is bounded.
const MOST_EVENTS: usize = 10_000;
/// How often to try whether the file is free.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// A file of states that another process keeps, and the events that wait for it.
#[derive(Debug)]
pub(super) struct AwaitedStates {
    path: PathBuf,
    until: Monotonic,
    try_at: Monotonic,
    /// Each with what was not metered of it.
    pub(super) events: Vec<(UsageEvent, MetricSet)>,
}

/// The states of a process that did not let go of them in time. It saves what it told of at once.
#[derive(Debug)]
pub(super) struct StatesElsewhere {
    path: PathBuf,
    /// When the file that was read had been written, and its length.
    version: Option<(SystemTime, u64)>,
    states: Option<AlertStates>,
}

impl StatesElsewhere {
    /// The states as they were saved last. The file is read when it has changed.
    pub(super) fn read(&mut self) -> Option<&AlertStates> {
        let metadata = self.path.metadata().ok();
        let version = metadata.and_then(|it| Some((it.modified().ok()?, it.len())));
        if version != self.version {
            (self.version, self.states) = (version, AlertFile::peek(&self.path));
        }
        self.states.as_ref()
    }
}

impl ThresholdManager {
    /// As [`ThresholdManager::keep_states`], but where another process has the file, it is waited for, up to `patience`:
    /// events that are observed meanwhile change states when this process has taken it over, which
    /// [`ThresholdManager::tick`] and [`ThresholdManager::hand_over_news`] try. When nobody lets go of it in time, that is
    /// logged, and the states live as long as this manager; what fires in the file is still not told again.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn keep_states_within(&self, path: PathBuf, patience: Duration) -> Result<Option<String>, AlertFileError> {
        match self.keep_states(path.clone()) {
            Err(AlertFileError::InUse(_)) => {
                let now = self.clock.monotonic();
                tracing::info!(path = %path.display(), "another process keeps the states of thresholds: waiting for it");
                let awaited = AwaitedStates { path, until: now + patience, try_at: now, events: Vec::new() };
                self.alerting.lock().awaited = Some(awaited);
                Ok(None)
            }
            result => result,
        }
    }

    /// Waits until the states are taken over, or as long as [`ThresholdManager::keep_states_within`] was told to; at once
    /// where nothing is waited for. To be called before [`ThresholdManager::finish`], which does not wait.
    pub async fn await_states(&self) {
        loop {
            self.take_states_over(false);
            let Some(at) = self.alerting.lock().awaited.as_ref().map(|awaited| awaited.try_at) else { return };
            self.clock.sleep(at.saturating_sub(self.clock.monotonic())).await;
        }
    }

    /// Lets go of the file of states, so that another process may take it over. What changes from now on is not kept.
    pub fn release_states(&self) {
        self.alerting.lock().release_file();
    }

    /// Takes the awaited states over where the file is free by now, and evaluates what was put by; without the file where
    /// it is out of patience, or not to wait any longer.
    pub(super) fn take_states_over(&self, last_try: bool) {
        let now = self.clock.monotonic();
        let mut alerting = self.alerting.lock();
        let Some(awaited) = alerting.awaited.take_if(|awaited| last_try || awaited.try_at <= now) else { return };
        let set = self.thresholds();
        match self.keep_in(&mut alerting, &set, &awaited.path) {
            Err(AlertFileError::InUse(_)) if !last_try && now < awaited.until && awaited.events.len() < MOST_EVENTS => {
                alerting.awaited = Some(AwaitedStates { try_at: now + TRY_EVERY, ..awaited });
                return;
            }
            Ok(put_aside) => put_aside.iter().for_each(|message| tracing::warn!("{message}")),
            Err(error) => {
                tracing::warn!("{error}; until then a restart forgets what fires");
                alerting.elsewhere = Some(StatesElsewhere { path: awaited.path, version: None, states: None });
            }
        }
        for (event, not_metered) in &awaited.events {
            let alerts = alerting.states.observe(&set, MeasuredEvent::new(event, *not_metered));
            let alerts = alerting.without_known(alerts);
            alerting.queue(alerts);
            alerting.heard();
        }
    }
}
