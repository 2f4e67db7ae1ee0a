//! The thresholds in force, and what follows when one is exceeded.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::alert::{AlertCounts, ThresholdAlert};
use super::alert_file::{AlertFile, AlertFileError, Kept};
use super::alerting::{Alerting, Inner, not_handed_on};
use super::config::{ThresholdConfig, ThresholdViolation};
use super::evaluate::ThresholdSet;
use super::measured::MeasuredEvent;
use super::notify::{LogNotifier, Notifier};
use super::source::{Loaded, ThresholdReader, ThresholdSource};
use crate::clock::{Clock, SystemClock};
use crate::errors::UsageEventError;
use crate::events::{UsageEvent, UsageMetrics, UsagePeriod};
use crate::transport::ConnectOptions;
use crate::validate::{DEFAULT_MAX_SKEW_SECONDS, in_seconds};

/// Holds the thresholds in force, checks events against them and hands on what exceeds them.
///
/// A set of thresholds is swapped as a whole: an event meets the old set or the new one, never a mixture.
///
/// Every violation of a threshold without states is acted on. Of one with states
/// ([`ThresholdConfig::has_states`]) only the changes are: it fires, still fires, is resolved, or nothing is heard.
/// Who runs for long calls [`ThresholdManager::tick`] every second or so, and [`ThresholdManager::finish`] at the end;
/// [`ThresholdManager::keep_states`] makes them outlive a restart.
///
/// ```
/// use form_usage_events::threshold::{ThresholdConfig, ThresholdManager};
///
/// let configs: Vec<ThresholdConfig> = serde_json::from_str(
///     r#"[{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},
///          "action":"Log","user_id":"*"}]"#,
/// )?;
/// let manager = ThresholdManager::from_configs(configs)?;
/// assert_eq!(manager.thresholds().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ThresholdManager {
    /// `None` where the thresholds came from code.
    source: Option<String>,
    /// What it takes to reach the source, where that is a service.
    options: ConnectOptions,
    set: RwLock<Arc<ThresholdSet>>,
    notifier: Arc<dyn Notifier>,
    pub(super) alerting: Alerting,
    pub(super) clock: Arc<dyn Clock>,
    /// How far in the future a period may end that changes states, in seconds.
    max_skew: i64,
    /// Nothing was loaded yet, and nobody was told.
    unloaded: AtomicBool,
}

impl ThresholdManager {
    /// A manager of the thresholds in `source`: a JSON file, a folder of `*.json` files, `http(s)://…`, `sqlite:PATH`, or
    /// a NATS key-value bucket `nats://HOST/BUCKET`.
    ///
    /// Reads nothing yet: until [`ThresholdManager::load_configs`] has succeeded no threshold is in force.
    #[must_use]
    pub fn new(source: String) -> Self {
        Self::with(Some(source), ThresholdSet::default())
    }

    /// A manager of `configs`, in force at once.
    ///
    /// # Errors
    /// [`UsageEventError::Other`] with all that is wrong, as [`ThresholdSet::new`] says it.
    pub fn from_configs(configs: Vec<ThresholdConfig>) -> Result<Self, UsageEventError> {
        let set = ThresholdSet::new(configs).map_err(|error| UsageEventError::Other(error.to_string()))?;
        Ok(Self::with(None, set))
    }

    fn with(source: Option<String>, set: ThresholdSet) -> Self {
        Self {
            unloaded: AtomicBool::new(source.is_some()),
            source,
            options: ConnectOptions::default(),
            set: RwLock::new(Arc::new(set)),
            notifier: Arc::new(LogNotifier::default()),
            alerting: Alerting::new(fastrand::u64(..)),
            clock: Arc::new(SystemClock),
            max_skew: DEFAULT_MAX_SKEW_SECONDS,
        }
    }

    /// The same with another taker of `Notify` and `Action`; [`LogNotifier`] by default.
    #[must_use]
    pub fn with_notifier(self, notifier: Arc<dyn Notifier>) -> Self {
        Self { notifier, ..self }
    }

    /// The same on another clock, for tests.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The same with another limit for how far in the future, in seconds, the period of an event may end; what ends later
    /// changes no state. [`DEFAULT_MAX_SKEW_SECONDS`] by default.
    #[must_use]
    pub fn with_max_skew(self, max_skew: i64) -> Self {
        Self { max_skew, ..self }
    }

    /// The same with the time limit, token, roots and NATS credentials that reaching the source takes.
    #[must_use]
    pub fn with_source_options(self, options: ConnectOptions) -> Self {
        Self { options, ..self }
    }

    /// Reads the source and puts what it holds in force, all at once. Warnings about it are logged. For thresholds
    /// that came from code there is nothing to read, and they stay.
    ///
    /// Files are read on the runtime's blocking threads; without a runtime, on the calling one.
    ///
    /// # Errors
    /// [`UsageEventError::Other`] with everything that is wrong, one fault a line with file, line and column. The
    /// thresholds that were in force stay in force.
    pub async fn load_configs(&self) -> Result<(), UsageEventError> {
        match self.reader()? {
            Some(mut reader) => self.load_changes(&mut reader).await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// A reader of the source, which has seen nothing yet; `None` for thresholds that came from code.
    ///
    /// # Errors
    /// When there can't be one: the source is no source, or a credential can't be used.
    pub fn reader(&self) -> Result<Option<ThresholdReader>, UsageEventError> {
        let Some(source) = &self.source else { return Ok(None) };
        let reader = ThresholdSource::parse(source)
            .and_then(|parsed| ThresholdReader::new(parsed, self.options.clone()))
            .map_err(|error| unusable(source, &error))?;
        Ok(Some(reader))
    }

    /// Puts in force what `reader` finds to have changed since it last looked; whether something had.
    ///
    /// # Errors
    /// As [`ThresholdManager::load_configs`].
    pub async fn load_changes(&self, reader: &mut ThresholdReader) -> Result<bool, UsageEventError> {
        let source = reader.source().to_string();
        let Some(Loaded { configs, warnings }) = reader.poll().await.map_err(|error| unusable(&source, &error))? else {
            return Ok(false);
        };
        let set = ThresholdSet::new(configs).map_err(|error| unusable(&source, &format!("{source}: {error}")))?;
        let objections = self.notifier.objections(&set);
        if !objections.is_empty() {
            return Err(unusable(&source, &objections.join("\n")));
        }
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        tracing::info!(%source, thresholds = set.len(), "thresholds are in force");
        self.put_in_force(set);
        Ok(true)
    }

    /// Puts `set` in force in the place of what was. States of thresholds that mean the same are kept; what fires of the
    /// others is resolved, which is told with the next [`ThresholdManager::hand_over`].
    pub fn put_in_force(&self, set: ThresholdSet) {
        let set = Arc::new(set);
        // The states change with the set, so that no event meets one without the other.
        let mut alerting = self.alerting.lock();
        let old = std::mem::replace(&mut *self.set.write().unwrap_or_else(PoisonError::into_inner), set.clone());
        alerting.log.thresholds_changed();
        let alerts = alerting.states.reload(&old, &set);
        alerting.queue(alerts);
        if set.has_states()
            && let Some(path) = alerting.take_later()
        {
            match self.keep_in(&mut alerting, &set, &path) {
                Ok(put_aside) => put_aside.iter().for_each(|message| tracing::warn!("{message}")),
                Err(error) => tracing::error!("{error}; a restart would forget what fires"),
            }
        }
        self.unloaded.store(false, Ordering::Relaxed);
    }

    /// Keeps the states of thresholds in the file at `path` from now on, and goes on from what is in it: what fires is
    /// not told again, and what no threshold stands for any more is resolved. To be called once the thresholds are
    /// loaded. Blocks while the file is read. As long as no threshold has states, no file is made.
    ///
    /// What was in the file and can't be used is put aside; the message that is returned says where and why.
    ///
    /// # Errors
    /// When another process holds the file, or it can't be read. The states then live as long as this manager.
    pub fn keep_states(&self, path: PathBuf) -> Result<Option<String>, AlertFileError> {
        let mut alerting = self.alerting.lock();
        let set = self.thresholds();
        if !set.has_states() && !path.exists() {
            alerting.keep_later(path);
            return Ok(None);
        }
        self.keep_in(&mut alerting, &set, &path)
    }

    pub(super) fn keep_in(
        &self,
        alerting: &mut Inner,
        set: &ThresholdSet,
        path: &Path,
    ) -> Result<Option<String>, AlertFileError> {
        let (file, kept) = AlertFile::open(path, self.clock.unix_seconds())?;
        let Kept { states, untold, put_aside } = kept;
        alerting.keep_in(file, untold);
        if let Some((states, old)) = states {
            alerting.states = states;
            let alerts = alerting.states.reload(&old, set);
            alerting.queue(alerts);
        }
        Ok(put_aside)
    }

    /// The thresholds in force now. The set that is handed out does not change any more.
    #[must_use]
    pub fn thresholds(&self) -> Arc<ThresholdSet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The thresholds that `metrics` of an instance and its user exceed now, sorted by threshold id. Nothing follows
    /// from it: [`ThresholdManager::process_violations`] acts on them.
    ///
    /// Metrics alone have no time; violations are stamped with the current one.
    ///
    /// ```
    /// # use form_usage_events::threshold::{ANY, ActionType, ResourceType, ThresholdConfig, ThresholdManager, ThresholdType};
    /// # use form_usage_events::events::UsageMetrics;
    /// # async fn example() -> Result<(), form_usage_events::errors::UsageEventError> {
    /// let limit = ThresholdType::Percentage { value: 80.0 };
    /// let config = ThresholdConfig::new("cpu-high", ResourceType::Cpu, limit, ActionType::Log, ANY);
    /// let manager = ThresholdManager::from_configs(vec![config])?;
    /// let metrics = UsageMetrics { cpu_percent_avg: 95.0, ..UsageMetrics::default() };
    /// let violations = manager.check_thresholds(&metrics, "instance-abc123", "user_123456").await?;
    /// manager.process_violations(violations).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// None at present. Where nothing was loaded yet, nothing is exceeded, and a warning is logged.
    #[allow(clippy::unused_async)] // the documented form; a source that is asked for each check would wait here
    pub async fn check_thresholds(
        &self,
        metrics: &UsageMetrics,
        instance_id: &str,
        user_id: &str,
    ) -> Result<Vec<ThresholdViolation>, UsageEventError> {
        let now = self.clock.unix_seconds();
        let period = UsagePeriod { start: now, end: now };
        let event = UsageEvent::new(instance_id.to_owned(), user_id.to_owned(), None, metrics.clone(), period);
        Ok(self.event_violations(&UsageEvent { timestamp: now, ..event }))
    }

    /// The thresholds that `event` exceeds, sorted by threshold id. Nothing follows from it, and no state changes.
    #[must_use]
    pub fn event_violations<'e>(&self, event: impl Into<MeasuredEvent<'e>>) -> Vec<ThresholdViolation> {
        if self.unloaded.load(Ordering::Relaxed) && self.unloaded.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                source = self.source.as_deref(),
                "events are checked before thresholds are loaded, and exceed none; call load_configs first"
            );
        }
        self.thresholds().violations(event)
    }

    /// Does what follows from `violations`: `Log` writes a structured log line, `Notify` and `Action` go to the
    /// notifier, in one call. Violations of thresholds with states are left out, since only their changes are acted on:
    /// [`ThresholdManager::check_event`] knows them.
    ///
    /// # Errors
    /// [`UsageEventError::Other`] naming each notification that failed; all the others were made.
    pub async fn process_violations(&self, violations: Vec<ThresholdViolation>) -> Result<(), UsageEventError> {
        let of = violations.len();
        let plain = violations.into_iter().filter(|violation| !violation.config.has_states());
        let group: Vec<_> = plain.map(ThresholdAlert::of_violation).collect();
        let outcomes = self.alerting.send(&*self.notifier, &group, self.clock.monotonic()).await;
        let failed = group.iter().zip(outcomes).filter_map(|(alert, outcome)| {
            outcome.err().map(|error| format!("threshold `{}`: {error}", alert.violation.config.id))
        });
        let failed: Vec<_> = failed.collect();
        if failed.is_empty() {
            return Ok(());
        }
        Err(not_handed_on(&failed, of))
    }

    /// Checks `event` and does what follows.
    ///
    /// # Errors
    /// As [`ThresholdManager::hand_over`]. Who needs the violations even then calls [`ThresholdManager::observe`] and
    /// that.
    pub async fn check_event(&self, event: &UsageEvent) -> Result<Vec<ThresholdViolation>, UsageEventError> {
        let violations = self.observe(event);
        self.hand_over_news().await?;
        Ok(violations)
    }

    /// What `event` exceeds, sorted by threshold id. It changes the states, and what follows is done by the next
    /// [`ThresholdManager::hand_over_news`]: several events of the same moment may be told in one message.
    #[must_use]
    pub fn observe<'e>(&self, event: impl Into<MeasuredEvent<'e>>) -> Vec<ThresholdViolation> {
        let event = event.into();
        let (in_seconds, not_metered) = (in_seconds(event.event()), event.not_metered());
        let event = MeasuredEvent::new(&in_seconds, not_metered);
        if !self.thresholds().has_states() {
            let violations = self.event_violations(event);
            if !violations.is_empty() {
                self.alerting.lock().queue(violations.iter().cloned().map(ThresholdAlert::of_violation));
            }
            return violations;
        }
        let latest = self.clock.unix_seconds().saturating_add(self.max_skew);
        let mut alerting = self.alerting.lock();
        let set = self.thresholds();
        let exceeded = set.exceeded(event);
        let mut alerts = if event.period.end > latest {
            alerting.states.count_late();
            Vec::new()
        } else if let Some(awaited) = &mut alerting.awaited {
            awaited.events.push((event.event().clone(), not_metered));
            Vec::new()
        } else {
            let alerts = alerting.states.observe_exceeded(&set, event, &exceeded);
            alerting.without_known(alerts)
        };
        let violations: Vec<_> = exceeded.iter().filter_map(|at| set.get(*at)).map(|it| it.violation(event)).collect();
        let plain = violations.iter().filter(|violation| !violation.config.has_states());
        alerts.extend(plain.cloned().map(ThresholdAlert::of_violation));
        alerting.queue(alerts);
        alerting.heard();
        violations
    }

    /// Does all that is to be done: `Log` writes a structured log line, the rest goes to the notifier in one call, and
    /// the states are saved where they are kept.
    ///
    /// # Errors
    /// [`UsageEventError::Other`] naming what could not be handed over. Changes of states stay and are tried again by
    /// [`ThresholdManager::tick`], over a restart too where states are kept; plain violations are not.
    pub async fn hand_over(&self) -> Result<(), UsageEventError> {
        let result = self.alerting.hand_over(&*self.notifier, self.clock.monotonic()).await;
        self.save(false).await;
        result
    }

    /// Looks at the clock: who is silent, what is to be told again after a failure, whether the states are to be saved.
    ///
    /// # Errors
    /// As [`ThresholdManager::hand_over`].
    pub async fn tick(&self) -> Result<(), UsageEventError> {
        {
            let mut alerting = self.alerting.lock();
            let set = self.thresholds();
            let alerts = alerting.states.tick(&set, self.clock.unix_seconds());
            alerting.queue(alerts);
        }
        self.hand_over_news().await
    }

    /// [`ThresholdManager::hand_over`] where there is something new, or the pause after a failure is over; otherwise
    /// nothing. For each event of a stream.
    ///
    /// # Errors
    /// As that.
    pub async fn hand_over_news(&self) -> Result<(), UsageEventError> {
        self.take_states_over(false);
        if self.alerting.is_due(self.clock.monotonic()) {
            return self.hand_over().await;
        }
        self.save(false).await;
        Ok(())
    }

    /// Does what is still to be done and saves the states: to be called at the end of a run.
    ///
    /// # Errors
    /// As [`ThresholdManager::hand_over`].
    pub async fn finish(&self) -> Result<(), UsageEventError> {
        self.take_states_over(true);
        let result = self.alerting.hand_over(&*self.notifier, self.clock.monotonic()).await;
        self.save(true).await;
        self.alerting.lock().log.finish();
        result
    }

    /// How many thresholds fire, are pending or hear nothing, and how many events came late or twice.
    #[must_use]
    pub fn alert_counts(&self) -> AlertCounts {
        self.alerting.lock().states.counts()
    }

    /// How many alerts are lost so far: those that too many others waited behind, and violations without states that could
    /// not be handed over. Where no states are kept, what is still to be told counts too, since it is lost with the manager.
    #[must_use]
    pub fn lost_alerts(&self) -> u64 {
        self.alerting.lock().count_lost()
    }

    async fn save(&self, at_once: bool) {
        let began = self.clock.monotonic();
        let Some((file, record)) = self.alerting.to_save(|| self.thresholds(), began, at_once) else { return };
        let result = match tokio::runtime::Handle::try_current() {
            Ok(runtime) => match runtime.spawn_blocking(move || file.save(&record)).await {
                Ok(result) => result,
                // The runtime ends; so does what would be saved.
                Err(_) => return,
            },
            Err(_) => file.save(&record),
        };
        self.alerting.saved(result, began, self.clock.monotonic());
    }
}

fn unusable(source: &str, faults: &dyn std::fmt::Display) -> UsageEventError {
    UsageEventError::Other(format!("the thresholds of {source} can't be used, none of them is loaded:\n{faults}"))
}
