//! The states of a manager's thresholds, what is still to be told, and the file that keeps both.
//!
//! An alert is told before the state that it led to is saved as told, so that a crash between the two tells it again
//! under the same id and never forgets it. What could not be handed over is kept beside the states, also over a
//! restart, and tried again after a pause that grows.

use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::alert::{AlertKind, AlertRecord, AlertStates, ThresholdAlert};
use super::alert_file::{AlertFile, AlertFileError};
use super::config::ActionType;
use super::evaluate::ThresholdSet;
use super::notify::{AlertLog, Notifier};
use super::takeover::{AwaitedStates, StatesElsewhere};
use crate::clock::Monotonic;
use crate::errors::UsageEventError;

/// So many alerts may wait to be told; then the oldest is lost, loudly.
const MOST_UNTOLD: usize = 10_000;
/// One call of the notifier takes so many.
const GROUP: usize = 1_000;
/// The first and the longest pause after a notifier that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How soon changed states are saved where nobody was told,
const SAVE_AFTER: Duration = Duration::from_secs(1);
/// how soon what was heard is, which is less than the usual period, so that a crash is bridged like a missing event,
const SAVE_HEARD_AFTER: Duration = Duration::from_secs(10);
/// and what they may cost: a save that took a second is followed by none for so many.
const SAVE_REST: u32 = 20;

/// Shared by all who use the manager.
#[derive(Debug)]
pub(super) struct Alerting {
    inner: Mutex<Inner>,
    /// One at a time hands over, so that nothing is told twice.
    handing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) states: AlertStates,
    untold: VecDeque<ThresholdAlert>,
    file: Option<Arc<AlertFile>>,
    /// Where to keep the states when there are any.
    later: Option<PathBuf>,
    /// The file that is to be taken over from another process.
    pub(super) awaited: Option<AwaitedStates>,
    /// The file that another process did not let go of.
    pub(super) elsewhere: Option<StatesElsewhere>,
    /// States or what is untold differ from what the file has.
    changed: bool,
    /// Somebody was told since.
    told: bool,
    /// Events were heard since.
    heard: bool,
    /// Something new is to be told.
    news: bool,
    last_save: Monotonic,
    no_save_before: Monotonic,
    pause: Duration,
    retry_at: Option<Monotonic>,
    pub(super) log: AlertLog,
    /// How many alerts were lost since that was last considered for the log, and the first of them.
    lost: u64,
    first_lost: Option<ThresholdAlert>,
    /// How many alerts were lost in all.
    all_lost: u64,
}

impl Inner {
    /// Puts what is to be told behind the rest.
    pub(super) fn queue(&mut self, alerts: impl IntoIterator<Item = ThresholdAlert>) {
        for alert in alerts {
            self.changed = true;
            if !alert.kind.is_told() {
                tracing::debug!(threshold = %alert.violation.config.id, instance = %alert.violation.instance_id, "pending");
                continue;
            }
            if self.untold.len() >= MOST_UNTOLD
                && let Some(lost) = self.untold.pop_front()
            {
                self.lost += 1;
                self.all_lost += 1;
                self.first_lost.get_or_insert(lost);
            }
            self.untold.push_back(alert);
            self.news = true;
        }
    }

    /// `alerts` without those that another process has told of already.
    pub(super) fn without_known(&mut self, mut alerts: Vec<ThresholdAlert>) -> Vec<ThresholdAlert> {
        let begins = |alert: &ThresholdAlert| alert.kind == AlertKind::Firing;
        if let Some(elsewhere) = &mut self.elsewhere
            && alerts.iter().any(begins)
            && let Some(theirs) = elsewhere.read()
        {
            alerts.retain(|alert| !(begins(alert) && self.states.go_on_from(theirs, alert)));
        }
        alerts
    }

    /// Logs that alerts were lost, with the first of them.
    fn log_lost(&mut self, now: Monotonic) {
        let Some(first) = self.first_lost.take() else { return };
        let lost = std::mem::take(&mut self.lost);
        if self.log.lost.admit(now).is_logged {
            tracing::error!(
                lost,
                "alerts are lost, since {MOST_UNTOLD} others wait to be told behind them; the first:"
            );
            self.log.log(&first, now);
        }
    }

    /// How many alerts are lost; those that still wait to be told are where no file keeps them.
    pub(super) fn count_lost(&self) -> u64 {
        self.all_lost + if self.file.is_none() { self.untold.len() as u64 } else { 0 }
    }

    pub(super) const fn heard(&mut self) {
        self.heard = true;
    }

    /// Remembers where to keep the states when there are any.
    pub(super) fn keep_later(&mut self, path: PathBuf) {
        self.later = Some(path);
    }

    pub(super) const fn take_later(&mut self) -> Option<PathBuf> {
        self.later.take()
    }

    pub(super) fn release_file(&mut self) {
        (self.file, self.later) = (None, None);
    }

    /// Goes on from what a file keeps.
    pub(super) fn keep_in(&mut self, file: AlertFile, untold: Vec<ThresholdAlert>) {
        self.file = Some(Arc::new(file));
        // What was told last before the restart comes first.
        let own = std::mem::take(&mut self.untold);
        self.untold = untold.into();
        self.queue(own);
        self.changed = true;
    }
}

impl Alerting {
    pub(super) fn new(salt: u64) -> Self {
        Self {
            inner: Mutex::new(Inner {
                states: AlertStates::new(salt),
                untold: VecDeque::new(),
                file: None,
                later: None,
                awaited: None,
                elsewhere: None,
                changed: false,
                told: false,
                heard: false,
                news: false,
                last_save: Monotonic::ZERO,
                no_save_before: Monotonic::ZERO,
                pause: FIRST_PAUSE,
                retry_at: None,
                log: AlertLog::default(),
                lost: 0,
                first_lost: None,
                all_lost: 0,
            }),
            handing: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is to be told: something new, or what failed, when its pause is over.
    pub(super) fn is_due(&self, now: Monotonic) -> bool {
        let inner = self.lock();
        !inner.untold.is_empty() && (inner.news || inner.retry_at.is_none_or(|at| at <= now))
    }

    /// Hands over all that is to be told.
    ///
    /// # Errors
    /// Names what could not be handed over. Violations without states are not tried again, the rest is.
    pub(super) async fn hand_over(&self, notifier: &dyn Notifier, now: Monotonic) -> Result<(), UsageEventError> {
        let _alone = self.handing.lock().await;
        let (mut failures, mut of) = (Vec::new(), 0);
        self.lock().log_lost(now);
        loop {
            let group: Vec<ThresholdAlert> = {
                let mut inner = self.lock();
                inner.news = false;
                inner.untold.iter().take(GROUP).cloned().collect()
            };
            if group.is_empty() {
                break;
            }
            of += group.len();
            let outcomes = self.send(notifier, &group, now).await;
            let (mut kept, mut lost) = (false, 0);
            let mut settled: HashSet<&str> = HashSet::new();
            for (alert, outcome) in group.iter().zip(outcomes) {
                match outcome {
                    Err(error) => {
                        failures.push(format!("threshold `{}`: {error}", alert.violation.config.id));
                        if alert.kind == AlertKind::Violation {
                            lost += 1;
                            settled.insert(&alert.id);
                        } else {
                            kept = true;
                        }
                    }
                    Ok(()) => {
                        settled.insert(&alert.id);
                    }
                }
            }
            let mut inner = self.lock();
            let inner = &mut *inner;
            inner.all_lost += lost;
            inner.untold.retain(|alert| !settled.contains(&*alert.id));
            inner.told |= group.iter().any(|alert| alert.kind != AlertKind::Violation);
            inner.changed |= inner.told;
            if kept {
                inner.retry_at = Some(now + inner.pause);
                inner.pause = (inner.pause * 2).min(LONGEST_PAUSE);
                break;
            }
            (inner.retry_at, inner.pause) = (None, FIRST_PAUSE);
        }
        if failures.is_empty() {
            return Ok(());
        }
        Err(not_handed_on(&failures, of))
    }

    /// Logs what is to be logged and hands the rest to the notifier, in one call. How each went, in order.
    pub(super) async fn send(
        &self,
        notifier: &dyn Notifier,
        group: &[ThresholdAlert],
        now: Monotonic,
    ) -> Vec<Result<(), UsageEventError>> {
        let is_log = |alert: &&ThresholdAlert| alert.violation.config.action == ActionType::Log;
        {
            let log = &mut self.lock().log;
            group.iter().filter(is_log).for_each(|alert| log.log(alert, now));
        }
        let others: Vec<ThresholdAlert> = group.iter().filter(|alert| !is_log(alert)).cloned().collect();
        let outcomes = if others.is_empty() { Vec::new() } else { notifier.notify_alerts(&others).await };
        let mut outcomes = outcomes.into_iter();
        let lacking = || Err(UsageEventError::Other("the notifier did not say what became of it".to_owned()));
        group
            .iter()
            .map(|alert| if is_log(&alert) { Ok(()) } else { outcomes.next().unwrap_or_else(lacking) })
            .collect()
    }

    /// What is to be saved now, and where; `None` where it has time. `at_once` saves whatever has changed.
    pub(super) fn to_save(
        &self,
        set: impl FnOnce() -> Arc<ThresholdSet>,
        now: Monotonic,
        at_once: bool,
    ) -> Option<(Arc<AlertFile>, AlertRecord)> {
        let mut inner = self.lock();
        let file = inner.file.clone()?;
        let passed = now.saturating_sub(inner.last_save);
        let due = inner.told || inner.changed && passed >= SAVE_AFTER || inner.heard && passed >= SAVE_HEARD_AFTER;
        let wanted = if at_once { inner.changed || inner.heard } else { due && now >= inner.no_save_before };
        if !wanted {
            return None;
        }
        (inner.changed, inner.told, inner.heard) = (false, false, false);
        // Violations without states are not told again.
        let untold = inner.untold.iter().filter(|alert| alert.kind != AlertKind::Violation).cloned().collect();
        Some((file, AlertRecord::of(&inner.states, &set(), untold)))
    }

    /// Notes how a save went that began at `began`.
    pub(super) fn saved(&self, result: Result<(), AlertFileError>, began: Monotonic, now: Monotonic) {
        let mut inner = self.lock();
        inner.last_save = now;
        inner.no_save_before = now + now.saturating_sub(began) * SAVE_REST;
        if let Err(error) = result {
            inner.changed = true;
            inner.no_save_before = inner.no_save_before.max(now + LONGEST_PAUSE);
            tracing::error!("{error}; a restart would forget what fires");
        }
    }
}

/// So many failed notifications a message names at most; all are counted.
const NAMED_FAILURES: usize = 10;

/// The error for `failures`, one message each, of so many that were to be handed on.
pub(super) fn not_handed_on(failures: &[String], of: usize) -> UsageEventError {
    let (count, named) = (failures.len(), failures.iter().take(NAMED_FAILURES).map(String::as_str));
    let named = named.collect::<Vec<_>>().join("; ");
    let more = count.saturating_sub(NAMED_FAILURES);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    UsageEventError::Other(format!("{count} of {of} violations could not be handed on: {named}{more}"))
}
