//! From a threshold's alert to its channels, through a spool.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::config::{ChannelConfig, ChannelsConfig};
use super::dropped::DroppedAlerts;
use super::message::ViolationEvent;
use super::newest::{Backlog, NewestSink};
use super::{Target, targets, unbound_names};
use crate::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig};
use crate::clock::Clock;
use crate::errors::UsageEventError;
use crate::publish::{
    Concurrency, Delivery, Intake, Keeper, Pipeline, PipelineError, PipelineOptions, Progress, RefusedLine, Report,
    Stop, Taken, publish_through,
};
use crate::retry::{Random, Retrier, RetryConfig};
use crate::spool::{NewEvent, NewItem, Spool, SpoolError, SpoolOptions};
use crate::threshold::{AlertsNotified, Notified, Notifier, ThresholdAlert, ThresholdSet, ThresholdViolation};
use crate::transport::{Failure, Sink};

/// The longest that one message may take, a program's own limit aside.
const ATTEMPT: Duration = Duration::from_secs(60);
/// What alerts may fill of their spool; one channel alone may fill three quarters of it.
const SPOOL_BYTES: u64 = 64 << 20;

/// Delivers alerts to all channels of a file, behind one spool, until it is told to finish.
#[derive(Debug)]
pub struct AlertDelivery {
    notifier: Arc<ChannelNotifier>,
    runs: Vec<Run>,
    stop: Stop,
}

#[derive(Debug)]
struct Run {
    /// `channel:NAME`, `action:NAME`.
    name: String,
    /// `None` where every alert goes out.
    backlog: Option<Backlog>,
    dropped: Arc<DroppedAlerts>,
    /// While it lives, more may come.
    intake: mpsc::Sender<Intake>,
    task: JoinHandle<Result<Report, PipelineError>>,
}

/// What became of the alerts of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertReport {
    /// `channel:NAME`, `action:NAME`.
    pub name: String,
    /// Alerts that were delivered.
    pub delivered: u64,
    /// Alerts that waited while the channel was down and were not sent, since a newer state of the same threshold and
    /// instance was.
    pub superseded: u64,
    /// Alerts that were dropped, since too many waited in the spool for the channel.
    pub dropped: u64,
    /// Alerts that wait in the spool for the next run.
    pub waiting: u64,
    /// Alerts that became dead letters.
    pub dead: u64,
    /// What keeps those that wait, and what else went wrong.
    pub errors: Vec<String>,
}

/// Puts alerts into the spool of their channels.
pub struct ChannelNotifier {
    /// By list and name.
    channels: BTreeMap<(Target, String), Channel>,
    /// What the names are bound to.
    config: ChannelsConfig,
    allow_exec: bool,
    /// Those that could not be opened, and why.
    unusable: BTreeMap<(Target, String), String>,
}

/// Where the alerts of one channel go.
struct Channel {
    spool: Spool,
    backlog: Option<Backlog>,
    dropped: Arc<DroppedAlerts>,
}

impl fmt::Debug for ChannelNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.channels.keys()).finish()
    }
}

impl AlertDelivery {
    /// Opens every channel and action of `config`, and delivers what waits for them in the spool at `path`, which is made
    /// where there is none. Programs are left out unless `allow_exec`. At the end, what waits is tried for `patience`.
    ///
    /// A channel that can't be opened, for the lack of its secret for example, is left out ([`AlertDelivery::unusable`]),
    /// and the notifier objects to thresholds that name it.
    ///
    /// To be called on a runtime.
    ///
    /// # Errors
    /// [`UsageEventError::Other`] when the spool can't be used.
    pub fn start(
        config: &ChannelsConfig,
        allow_exec: bool,
        path: &Path,
        patience: Duration,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, UsageEventError> {
        Self::start_within(SPOOL_BYTES, config, allow_exec, path, patience, clock)
    }

    /// The same with a spool of at most `max_bytes`.
    pub(super) fn start_within(
        max_bytes: u64,
        config: &ChannelsConfig,
        allow_exec: bool,
        path: &Path,
        patience: Duration,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, UsageEventError> {
        let options = SpoolOptions { max_bytes, retain: Duration::ZERO, ..SpoolOptions::default() };
        let lists = [(Target::Channel, &config.channels), (Target::Action, &config.actions)];
        let all =
            lists.into_iter().flat_map(|(list, channels)| channels.iter().map(move |(name, it)| (list, name, it)));
        let allowed = all.filter(|(.., channel)| allow_exec || !matches!(channel, ChannelConfig::Exec(_)));
        let (mut channels, mut runs, mut faults) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut unusable = BTreeMap::new();
        let stop = Stop::default();
        for (list, name, channel) in allowed {
            let shown = format!("{}:{name}", list.name());
            let sink = match config.open(channel, clock.clone()) {
                Ok(sink) => sink,
                Err(failure) => {
                    unusable.insert((list, name.clone()), failure.message);
                    continue;
                }
            };
            // Programs that read a queue want the whole record.
            let newest_only = !matches!(channel, ChannelConfig::Queue(_));
            match begin(&shown, sink, newest_only, attempt_time(channel), path, &options, patience, &stop, clock) {
                Ok((spool, run)) => {
                    let (backlog, dropped) = (run.backlog.clone(), run.dropped.clone());
                    channels.insert((list, name.clone()), Channel { spool, backlog, dropped });
                    runs.push(run);
                }
                Err(why) => faults.push(format!("{shown}: {why}")),
            }
        }
        let notifier = Arc::new(ChannelNotifier { channels, config: config.clone(), allow_exec, unusable });
        let delivery = Self { notifier, runs, stop };
        if faults.is_empty() {
            return Ok(delivery);
        }
        delivery.stop.abort.cancel();
        Err(UsageEventError::Other(faults.join("\n")))
    }

    /// What a threshold manager hands its alerts to.
    #[must_use]
    pub fn notifier(&self) -> Arc<dyn Notifier> {
        self.notifier.clone()
    }

    /// Channels and actions that can't be used, and why: `channel:NAME`, `action:NAME`.
    pub fn unusable(&self) -> impl Iterator<Item = (String, &str)> {
        let shown = |((list, name), why): (&(Target, String), _)| (format!("{}:{name}", list.name()), why);
        self.notifier.unusable.iter().map(|(place, why)| (place, why.as_str())).map(shown)
    }

    /// Alerts that were dropped so far, since too many waited in the spool for their channel.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.runs.iter().map(|run| run.dropped.count()).sum()
    }

    /// Delivers what waits, for as long as was said at the start, and says what became of everything.
    pub async fn finish(self) -> Vec<AlertReport> {
        self.finish_until(std::future::pending()).await
    }

    /// The same, but when `cut` is over, nothing more is waited for: what was not delivered then waits in the spool.
    pub async fn finish_until(self, cut: impl Future<Output = ()>) -> Vec<AlertReport> {
        self.stop.finish.cancel();
        let abort = self.stop.abort.clone();
        let mut reports = std::pin::pin!(self.reports());
        tokio::select! {
            reports = &mut reports => return reports,
            () = cut => abort.cancel(),
        }
        reports.await
    }

    async fn reports(self) -> Vec<AlertReport> {
        let mut reports = Vec::new();
        for Run { name, backlog, dropped, intake, task } in self.runs {
            drop(intake);
            let ended = match task.await {
                Ok(ended) => ended.map_err(|error| error.to_string()),
                Err(error) => Err(format!("its delivery was cut short: {error}")),
            };
            let superseded = match backlog {
                Some(backlog) => backlog.superseded().await,
                None => 0,
            };
            let dropped = dropped.count();
            reports.push(match ended {
                Ok(report) => AlertReport {
                    name,
                    delivered: (report.delivered + report.resumed.delivered).saturating_sub(superseded),
                    superseded,
                    dropped,
                    waiting: report.waiting(),
                    dead: report.dead + report.resumed.dead,
                    errors: report.reason.into_iter().chain(report.errors).collect(),
                },
                Err(error) => {
                    AlertReport { name, delivered: 0, superseded, dropped, waiting: 0, dead: 0, errors: vec![error] }
                }
            });
        }
        reports
    }
}

/// The longest that one message may take.
pub(super) fn attempt_time(channel: &ChannelConfig) -> Duration {
    match channel {
        ChannelConfig::Exec(exec) => Duration::from_secs(u64::from(exec.timeout_seconds) + 1),
        _ => ATTEMPT,
    }
}

#[allow(clippy::too_many_arguments)] // one call
fn begin(
    name: &str,
    sink: Box<dyn Sink>,
    newest_only: bool,
    attempt: Duration,
    path: &Path,
    options: &SpoolOptions,
    patience: Duration,
    stop: &Stop,
    clock: &Arc<dyn Clock>,
) -> Result<(Spool, Run), String> {
    let spool = Spool::open(path, name, options.clone(), clock.clone()).map_err(|error| error.to_string())?;
    let backlog = if newest_only { Some(Backlog::read(path, name).map_err(|error| error.to_string())?) } else { None };
    let sink: Box<dyn Sink> = match &backlog {
        Some(backlog) => Box::new(NewestSink { channel: sink, backlog: backlog.clone() }),
        None => sink,
    };
    let breaker = CircuitBreaker::with_clock(CircuitBreakerConfig::default(), clock.clone());
    let breaker = breaker.map_err(|error| error.to_string())?;
    breaker.resume(spool.breaker().clone());
    let retrier = Retrier::with(RetryConfig::default(), clock.clone(), Random::default());
    let retrier = retrier.map_err(|error| error.to_string())?;
    let delivery = Delivery::new(sink.into(), retrier, Some(breaker.clone()), attempt, clock.clone())
        .with_concurrency(Concurrency::fixed(1));
    let options = PipelineOptions {
        spooled: true,
        // One after the other, in the order of their making, those of all instances in one message.
        in_order: true,
        max_workers: 1,
        drain_timeout: patience,
        ..PipelineOptions::default()
    };
    let pipeline = Pipeline::new(delivery, None, options);
    let (intake, receiver) = mpsc::channel(1);
    let stop = Stop { finish: stop.finish.clone(), abort: stop.abort.clone(), ..Stop::default() };
    let (own, deaths) = (spool.clone(), Deaths { channel: name.to_owned(), spool: path.to_owned() });
    let task = tokio::spawn(async move {
        let (mut keeper, mut progress) = (deaths, Quiet);
        publish_through(&own, &pipeline, Some(&breaker), receiver, &mut keeper, &mut progress, stop).await
    });
    Ok((spool, Run { name: name.to_owned(), backlog, dropped: Arc::default(), intake, task }))
}

impl ChannelNotifier {
    /// Puts `alerts` into the spool of each place they go to, those of one place in one commit; they are on disk when this
    /// returns.
    async fn hand_over(&self, alerts: &[ThresholdAlert]) -> Vec<Result<(), UsageEventError>> {
        let mut failures: Vec<Vec<String>> = vec![Vec::new(); alerts.len()];
        let mut groups: BTreeMap<(Target, String), Vec<(usize, NewItem)>> = BTreeMap::new();
        for (at, (alert, failures)) in alerts.iter().zip(&mut failures).enumerate() {
            let encoded = match ViolationEvent::of(alert).encode() {
                Ok(encoded) => encoded,
                Err(error) => {
                    failures.push(error.to_string());
                    continue;
                }
            };
            let config = &alert.violation.config;
            for (list, name) in targets(config) {
                let source: Arc<str> = format!("threshold {}", config.id).into();
                let item = NewItem::Event(NewEvent { encoded: encoded.clone(), source, line: None });
                groups.entry((list, name.to_owned())).or_default().push((at, item));
            }
        }
        for (place, group) in groups {
            let (indices, items): (Vec<usize>, Vec<NewItem>) = group.into_iter().unzip();
            let (list, name) = (place.0.name(), &place.1);
            let failure = match self.channels.get(&place) {
                Some(channel) => {
                    let waiting = indices.iter().filter_map(|at| alerts.get(*at));
                    let taken = take(&channel.spool, channel.backlog.as_ref(), items, waiting).await;
                    let shown = format!("{list}:{name}");
                    match taken {
                        Ok(()) => {
                            channel.dropped.accepted(&shown);
                            None
                        }
                        // Kept to be tried again, they would hold up what others are to be told.
                        Err(error) if error.is_out_of_share() => {
                            channel.dropped.drop_for(&error, &shown, indices.len());
                            None
                        }
                        Err(error) => Some(format!("{list} `{name}`: {error}")),
                    }
                }
                None => Some(match self.unusable.get(&place) {
                    Some(why) => format!("the {list} `{name}` can't be used: {why}"),
                    None => format!("nothing is bound to the {list} `{name}`"),
                }),
            };
            let Some(failure) = failure else { continue };
            for at in indices {
                if let Some(failures) = failures.get_mut(at) {
                    failures.push(failure.clone());
                }
            }
        }
        let outcome = |failures: Vec<String>| {
            if failures.is_empty() { Ok(()) } else { Err(UsageEventError::Other(failures.join("; "))) }
        };
        failures.into_iter().map(outcome).collect()
    }
}

/// Puts `items`, which tell of `alerts`, into the spool of a channel.
async fn take<'a>(
    spool: &Spool,
    backlog: Option<&Backlog>,
    items: Vec<NewItem>,
    alerts: impl Iterator<Item = &'a ThresholdAlert>,
) -> Result<(), SpoolError> {
    let Some(backlog) = backlog else { return spool.take(items).await.map_err(|(error, _)| error) };
    let mut newest = backlog.lock().await;
    spool.take(items).await.map_err(|(error, _)| error)?;
    alerts.for_each(|alert| backlog.note(&mut newest, alert));
    Ok(())
}

impl Notifier for ChannelNotifier {
    fn notify<'a>(&'a self, violation: &'a ThresholdViolation) -> Notified<'a> {
        Box::pin(async move {
            let alert = ThresholdAlert::of_violation(violation.clone());
            self.hand_over(std::slice::from_ref(&alert)).await.pop().unwrap_or(Ok(()))
        })
    }

    fn notify_alerts<'a>(&'a self, alerts: &'a [ThresholdAlert]) -> AlertsNotified<'a> {
        Box::pin(self.hand_over(alerts))
    }

    fn objections(&self, thresholds: &ThresholdSet) -> Vec<String> {
        let mut faults = unbound_names(&self.config, thresholds, self.allow_exec);
        for threshold in thresholds.configs() {
            for (list, name) in targets(threshold) {
                let Some(why) = self.unusable.get(&(list, name.to_owned())) else { continue };
                faults.push_with(|| {
                    format!("threshold `{}`: the {} `{name}` can't be used: {why}", threshold.id, list.name())
                });
            }
        }
        faults.into_list("faults")
    }
}

/// Says when an alert can never be delivered; the spool keeps it.
struct Deaths {
    channel: String,
    spool: PathBuf,
}

impl Keeper for Deaths {
    fn refused(&mut self, _: &RefusedLine) -> io::Result<()> {
        Ok(())
    }

    fn dead(&mut self, event: &Taken, failure: &Failure, _: u64) -> io::Result<()> {
        let spool = self.spool.display();
        tracing::error!(
            channel = %self.channel,
            instance = %event.encoded.event().instance_id,
            failure = %failure.message,
            "an alert can't be delivered, and is kept as a dead letter; see it with: formusage dlq list --spool {spool}"
        );
        Ok(())
    }

    fn undelivered(&mut self, _: &Taken, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Nobody watches.
struct Quiet;

impl Progress for Quiet {
    fn update(&mut self, _: &Report) {}
}

/// The default place of the alerts' spool, in the folder of the state.
#[must_use]
pub fn alerts_file(state: &Path) -> PathBuf {
    state.join("alerts.db")
}
