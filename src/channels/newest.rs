//! After a channel was down, the newest state of each alert goes out, and not hours of what came before it.
//!
//! An alert is known by its threshold and its instance. Of those that wait because the channel could not be reached, or
//! since an earlier run, each one that a newer state supersedes is dropped and counted; nothing is dropped while the
//! channel works. What fired and was resolved meanwhile arrives as resolved alone, with its begin and end. A queue gets
//! every alert: programs that read it want the whole record.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, MutexGuard};

use super::message::ViolationEvent;
use crate::events::EncodedEvent;
use crate::spool::{SpoolError, SpoolFile, StatusFilter};
use crate::threshold::ThresholdAlert;
use crate::transport::{BatchLimits, BoxFuture, Failure, FailureKind, Outcome, Sink};

/// Threshold and instance.
type AlertKey = (String, String);

/// What waits for one channel, as far as it decides over what is superseded. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Backlog {
    newest: Arc<Mutex<NewestStates>>,
    /// The last attempt failed or was given up.
    is_down: Arc<AtomicBool>,
}

/// The newest alert that waits for each threshold and instance.
#[derive(Debug, Default)]
pub(super) struct NewestStates {
    by_key: HashMap<AlertKey, Newest>,
    superseded: u64,
}

#[derive(Debug)]
struct Newest {
    id: String,
    /// When it happened, by the events' time, and its number: a later state of one alert has a greater one.
    order: (i64, u64),
    /// It waits since an earlier run, or the channel was down while it waited.
    is_late: bool,
}

impl Backlog {
    /// The backlog of `channel` that earlier runs left in the spool at `path`.
    pub(super) fn read(path: &Path, channel: &str) -> Result<Self, SpoolError> {
        let mut newest = NewestStates::default();
        if let Some(file) = SpoolFile::open(path)? {
            let mut list = file.list(StatusFilter::Waiting, Some(channel));
            loop {
                let rows = list.next_piece()?;
                if rows.is_empty() {
                    break;
                }
                // What is no alert is for the delivery to complain about.
                let events = rows.iter().filter_map(|row| serde_json::from_slice::<ViolationEvent>(&row.body).ok());
                events.for_each(|event| newest.note(&event.alert, true));
            }
        }
        Ok(Self { newest: Arc::new(Mutex::new(newest)), is_down: Arc::default() })
    }

    /// To be held while alerts go into the spool, until they are noted: no attempt is made meanwhile, so that none of
    /// them is sent before it is known.
    pub(super) async fn lock(&self) -> MutexGuard<'_, NewestStates> {
        self.newest.lock().await
    }

    /// Notes an alert that is in the spool now.
    pub(super) fn note(&self, newest: &mut NewestStates, alert: &ThresholdAlert) {
        newest.note(alert, self.is_down.load(Ordering::Relaxed));
    }

    /// How many alerts were dropped because a newer state superseded them.
    pub(super) async fn superseded(&self) -> u64 {
        self.lock().await.superseded
    }

    fn mark_down(&self, newest: &mut NewestStates) {
        self.is_down.store(true, Ordering::Relaxed);
        newest.by_key.values_mut().for_each(|newest| newest.is_late = true);
    }
}

impl NewestStates {
    fn note(&mut self, alert: &ThresholdAlert, is_late: bool) {
        let newest = Newest { id: alert.id.clone(), order: order_of(alert), is_late };
        match self.by_key.entry(key_of(alert)) {
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(newest);
            }
            std::collections::hash_map::Entry::Occupied(mut known) => {
                let known = known.get_mut();
                let is_late = known.is_late || is_late;
                if newest.order >= known.order {
                    *known = newest;
                }
                known.is_late = is_late;
            }
        }
    }

    fn is_superseded(&self, alert: &ThresholdAlert) -> bool {
        let newest = self.by_key.get(&key_of(alert));
        newest.is_some_and(|newest| newest.is_late && newest.id != alert.id && order_of(alert) <= newest.order)
    }

    /// The newest state of its alert does not wait any more.
    fn settle(&mut self, alert: &ThresholdAlert) {
        let key = key_of(alert);
        if self.by_key.get(&key).is_some_and(|newest| newest.id == alert.id) {
            self.by_key.remove(&key);
        }
    }
}

fn key_of(alert: &ThresholdAlert) -> AlertKey {
    (alert.violation.config.id.clone(), alert.violation.instance_id.clone())
}

const fn order_of(alert: &ThresholdAlert) -> (i64, u64) {
    (alert.at, alert.number)
}

/// A channel that gets the newest states of its backlog alone.
#[derive(Debug)]
pub(super) struct NewestSink {
    pub(super) channel: Box<dyn Sink>,
    pub(super) backlog: Backlog,
}

impl NewestSink {
    async fn send_newest(&self, events: &[EncodedEvent]) -> Result<Vec<Outcome>, Failure> {
        let alerts = super::alerts(events)?;
        let is_superseded: Vec<bool> = {
            let mut newest = self.backlog.lock().await;
            // An attempt that was given up by the time limit could not say so itself.
            if self.backlog.is_down.load(Ordering::Relaxed) {
                self.backlog.mark_down(&mut newest);
            }
            alerts.iter().map(|alert| newest.is_superseded(alert)).collect()
        };
        let kept: Vec<EncodedEvent> = events
            .iter()
            .zip(&is_superseded)
            .filter(|(_, dropped)| !**dropped)
            .map(|(event, _)| event.clone())
            .collect();
        let outcomes = if kept.is_empty() { Vec::new() } else { self.attempt(&kept).await? };
        let mut newest = self.backlog.lock().await;
        let count = events.len() - kept.len();
        if count > 0 {
            newest.superseded += count as u64;
            tracing::info!(
                count,
                "alerts are dropped, since newer states of them superseded them while the channel was down"
            );
        }
        let mut outcomes = outcomes.into_iter();
        let outcome = |(alert, dropped): (&ThresholdAlert, bool)| {
            if dropped {
                return Outcome::Delivered;
            }
            newest.settle(alert);
            outcomes
                .next()
                .unwrap_or_else(|| Outcome::Failed(Failure::service("the channel said nothing of this alert")))
        };
        Ok(alerts.iter().zip(is_superseded).map(outcome).collect())
    }

    async fn attempt(&self, kept: &[EncodedEvent]) -> Result<Vec<Outcome>, Failure> {
        // Also where the time limit drops this future.
        let mut outage = OutageUnlessReached { is_down: &self.backlog.is_down, is_reached: false };
        let result = self.channel.send(kept).await;
        // An alert that is refused says that the channel is there.
        outage.is_reached = result.as_ref().map_or_else(|failure| failure.kind == FailureKind::Event, |_| true);
        let is_reached = outage.is_reached;
        drop(outage);
        if !is_reached {
            self.backlog.mark_down(&mut *self.backlog.lock().await);
        }
        result
    }
}

/// Notes how an attempt ended, whatever ended it.
struct OutageUnlessReached<'a> {
    is_down: &'a AtomicBool,
    is_reached: bool,
}

impl Drop for OutageUnlessReached<'_> {
    fn drop(&mut self) {
        self.is_down.store(!self.is_reached, Ordering::Relaxed);
    }
}

impl Sink for NewestSink {
    fn limits(&self) -> BatchLimits {
        self.channel.limits()
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        Box::pin(self.send_newest(events))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Failure>> {
        self.channel.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threshold::{
        ANY, ActionType, AlertKind, ResourceType, ThresholdConfig, ThresholdType, ThresholdViolation,
    };

    fn alert(instance: &str, kind: AlertKind, at: i64, number: u64) -> ThresholdAlert {
        let limit = ThresholdType::Percentage { value: 80.0 };
        let violation = ThresholdViolation {
            config: ThresholdConfig::new("cpu", ResourceType::Cpu, limit, ActionType::Notify, ANY).into(),
            current_value: 95.0,
            threshold_value: 80.0,
            percentage: 18.75,
            timestamp: at,
            instance_id: instance.to_owned(),
            user_id: "alice".to_owned(),
        };
        let id = format!("{instance}-{at}-{number}");
        ThresholdAlert { id, kind, at, number, ..ThresholdAlert::of_violation(violation) }
    }

    #[test]
    fn the_newest_state_supersedes_what_waits_once_the_channel_was_down() {
        let mut newest = NewestStates::default();
        let firing = alert("a", AlertKind::Firing, 100, 0);
        let repeat = alert("a", AlertKind::Repeat, 200, 1);
        let resolved = alert("a", AlertKind::Resolved, 200, 2);
        let other = alert("b", AlertKind::Firing, 50, 0);
        for alert in [&firing, &repeat, &other] {
            newest.note(alert, false);
        }
        assert!(!newest.is_superseded(&firing), "while the channel works, nothing is dropped");
        newest.note(&resolved, true);
        assert!(newest.is_superseded(&firing) && newest.is_superseded(&repeat));
        assert!(!newest.is_superseded(&resolved) && !newest.is_superseded(&other));
        // A dead letter of before that is replayed does not supersede what came later.
        newest.note(&firing, true);
        assert!(newest.is_superseded(&firing) && !newest.is_superseded(&resolved));
        newest.settle(&repeat);
        assert!(newest.is_superseded(&firing), "the newest one still waits");
        newest.settle(&resolved);
        assert!(!newest.is_superseded(&firing), "nothing newer waits");
    }
}
