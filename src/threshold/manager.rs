//! The thresholds in force, and what follows when one is exceeded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::config::{ActionType, ThresholdConfig, ThresholdViolation};
use super::evaluate::ThresholdSet;
use super::notify::{self, LogNotifier, Notifier};
use super::source::{Loaded, SourceError, ThresholdReader, ThresholdSource};
use crate::errors::UsageEventError;
use crate::events::UsageEvent;
use crate::transport::ConnectOptions;

/// Holds the thresholds in force, checks events against them and hands on what exceeds them.
///
/// A set of thresholds is swapped as a whole: an event meets the old set or the new one, never a mixture.
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
    /// Nothing was loaded yet, and nobody was told.
    unloaded: AtomicBool,
}

impl ThresholdManager {
    /// A manager of the thresholds in `source`: a JSON file, a folder of `*.json` files, `http(s)://…`, `sqlite:PATH`, or
    /// a NATS key-value bucket `nats://HOST/BUCKET`.
    ///
    /// Reads nothing yet: until [`ThresholdManager::load_configs`] has succeeded no threshold is in force.
    #[must_use]
    pub fn new(source: impl Into<String>) -> Self {
        Self::with(Some(source.into()), ThresholdSet::default())
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
            notifier: Arc::new(LogNotifier),
        }
    }

    /// The same with another taker of `Notify` and `Action`; [`LogNotifier`] by default.
    #[must_use]
    pub fn with_notifier(self, notifier: Arc<dyn Notifier>) -> Self {
        Self { notifier, ..self }
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
        let Some(source) = self.source.clone() else {
            return Ok(());
        };
        let loaded = load(&source, self.options.clone()).await;
        let (set, warnings) = loaded.map_err(|faults| {
            UsageEventError::Other(format!(
                "the thresholds of {source} can't be used, none of them is loaded:\n{faults}"
            ))
        })?;
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        tracing::info!(%source, thresholds = set.len(), "thresholds are in force");
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        self.unloaded.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The thresholds in force now. The set that is handed out does not change any more.
    #[must_use]
    pub fn thresholds(&self) -> Arc<ThresholdSet> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What `event` exceeds, sorted by threshold id. Nothing follows from it.
    #[must_use]
    pub fn check_thresholds(&self, event: &UsageEvent) -> Vec<ThresholdViolation> {
        if self.unloaded.load(Ordering::Relaxed) && self.unloaded.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                source = self.source.as_deref(),
                "events are checked before thresholds are loaded, and exceed none; call load_configs first"
            );
        }
        self.thresholds().violations(event)
    }

    /// Does what follows from `violations`: `Log` writes a structured log line, `Notify` and `Action` go to the
    /// notifier, one after the other.
    ///
    /// # Errors
    /// [`UsageEventError::Other`] naming each notification that failed; all the others were made.
    pub async fn process_violations(&self, violations: &[ThresholdViolation]) -> Result<(), UsageEventError> {
        let mut failed = Vec::new();
        for violation in violations {
            match violation.config.action {
                ActionType::Log => notify::log(violation),
                ActionType::Notify | ActionType::Action(_) => {
                    if let Err(error) = self.notifier.notify(violation).await {
                        failed.push(format!("threshold `{}`: {error}", violation.config.id));
                    }
                }
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        let (count, of) = (failed.len(), violations.len());
        Err(UsageEventError::Other(format!("{count} of {of} violations could not be handed on: {}", failed.join("; "))))
    }

    /// Checks `event` and does what follows.
    ///
    /// # Errors
    /// As [`ThresholdManager::process_violations`]. Who needs the violations even then makes the two calls.
    pub async fn check_event(&self, event: &UsageEvent) -> Result<Vec<ThresholdViolation>, UsageEventError> {
        let violations = self.check_thresholds(event);
        self.process_violations(&violations).await?;
        Ok(violations)
    }
}

async fn load(source: &str, options: ConnectOptions) -> Result<(ThresholdSet, Vec<String>), String> {
    let loaded = async { ThresholdReader::new(ThresholdSource::parse(source)?, options)?.poll().await };
    let Loaded { configs, warnings } =
        loaded.await.map_err(|error: SourceError| error.to_string())?.unwrap_or_default();
    let set = ThresholdSet::new(configs).map_err(|error| format!("{source}: {error}"))?;
    Ok((set, warnings))
}
