//! The states of thresholds in `check`: what changes, what is kept between runs, thresholds that change meanwhile.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use form_usage_events::clock::{Clock, Monotonic, SystemClock};
use form_usage_events::events::UsagePeriod;
use form_usage_events::threshold::{
    AlertCounts, AlertFile, AlertFileError, AlertKind, AlertRecord, AlertSeverity, AlertState, AlertStates,
    AlertStatus, InstanceKey, InstanceKeys, Kept, MeasuredEvent, Notifier, OutOfOrder, ThresholdAlert,
    ThresholdManager, ThresholdSet, watch,
};
use form_usage_events::transport::ConnectOptions;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::table::time;
use crate::output::{complain, printable, say};

impl AlertTotals {
    /// Whether anything fired at any time of the run.
    pub(super) const fn fires(&self) -> bool {
        self.firing_before + self.fired + self.silent + self.now.firing + self.now.no_data > 0
    }
}

/// How often the states of an endless input are saved.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// How long a file of states is waited for that another process has, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(10);
const TRY_EVERY: Duration = Duration::from_millis(50);

/// What became of thresholds with states.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct AlertTotals {
    /// What fired before the run began.
    pub(super) firing_before: u64,
    pub(super) fired: u64,
    /// Alerts that were told again while they fire. [`AlertCounts::repeated`] counts events.
    #[serde(rename = "repeated_alerts")]
    pub(super) repeated: u64,
    pub(super) resolved: u64,
    pub(super) silent: u64,
    /// How it stands at the end.
    #[serde(flatten)]
    pub(super) now: AlertCounts,
}

/// The states, and the file that keeps them.
pub(super) struct States {
    states: AlertStates,
    file: Option<AlertFile>,
    saved_at: Monotonic,
    totals: AlertTotals,
    /// What came late or again in the runs before.
    unheard_before: [u64; 2],
}

/// So many of those that fire are named; the others are counted.
pub(super) const NAMED: usize = 10;

/// A threshold that fires on an instance, or has heard nothing of it for too long.
#[derive(Debug)]
pub(super) struct Firing {
    pub(super) critical: bool,
    /// `cpu-high fires on web-1 since 2021-07-15T12:00:30Z`.
    words: String,
}

/// The first `most` in words, and how many there are more.
pub(super) fn in_words_at_most(firing: &[Firing], most: usize) -> Vec<String> {
    let mut words: Vec<_> = firing.iter().take(most).map(|it| it.words.clone()).collect();
    if firing.len() > most {
        words.push(format!("… and {} more", firing.len() - most));
    }
    words
}

impl States {
    /// Goes on from what `path` keeps; gives what the thresholds that changed since have ended.
    pub(super) fn open(path: Option<&Path>, set: &ThresholdSet) -> anyhow::Result<(Self, Vec<ThresholdAlert>)> {
        let saved_at = SystemClock.monotonic();
        let mut states = Self {
            states: AlertStates::new(fastrand()),
            file: None,
            saved_at,
            totals: AlertTotals::default(),
            unheard_before: [0; 2],
        };
        let mut alerts = Vec::new();
        if let Some(path) = path {
            AlertFile::refuse_others(path)?;
            let (file, kept) = open_in_turn(path)?;
            kept.put_aside.iter().for_each(|message| say(message));
            states.file = Some(file);
            alerts = kept.untold;
            if let Some((kept, old)) = kept.states {
                states.states = kept;
                let counts = states.states.counts();
                states.totals.firing_before = counts.firing;
                states.unheard_before = [counts.late, counts.repeated];
                alerts.extend(states.reload(&old, set));
            }
        }
        states.states.watch_order();
        Ok((states, alerts))
    }

    /// Whether the states outlive the run.
    pub(super) const fn are_kept(&self) -> bool {
        self.file.is_some()
    }

    /// The instances whose events came in an order that leaves in doubt whether a threshold would have fired, and how
    /// many events that were over a limit.
    pub(super) fn out_of_order(&self) -> Vec<OutOfOrder<'_>> {
        self.states.out_of_order()
    }

    /// How many events over a limit came behind newer ones so far.
    pub(super) fn late_over_limit(&self) -> u64 {
        self.states.late_over_limit()
    }

    /// What an event changes, unless it ends more than `max_skew` seconds in the future.
    pub(super) fn observe(
        &mut self,
        set: &ThresholdSet,
        event: MeasuredEvent<'_>,
        max_skew: i64,
    ) -> Vec<ThresholdAlert> {
        if set.has_states() && event.period.end > SystemClock.unix_seconds().saturating_add(max_skew) {
            self.states.count_late();
            return Vec::new();
        }
        let alerts = self.states.observe(set, event);
        self.count(&alerts);
        alerts
    }

    /// What makes the keys that [`States::pass`] takes.
    pub(super) const fn keys(&self) -> InstanceKeys {
        self.states.keys()
    }

    /// Takes in an event that exceeds nothing; `None` where it has to be looked at in full.
    pub(super) fn pass(
        &mut self,
        set: &ThresholdSet,
        (instance, period): (InstanceKey, UsagePeriod),
    ) -> Option<Vec<ThresholdAlert>> {
        let alerts = self.states.pass(set, instance, period)?;
        self.count(&alerts);
        Some(alerts)
    }

    pub(super) fn reload(&mut self, old: &ThresholdSet, new: &ThresholdSet) -> Vec<ThresholdAlert> {
        let alerts = self.states.reload(old, new);
        self.count(&alerts);
        alerts
    }

    /// At the end of the input: what the clock says of instances that an earlier run knew and this one did not hear.
    pub(super) fn conclude(&mut self, set: &ThresholdSet) -> Vec<ThresholdAlert> {
        let alerts = self.states.conclude(set, SystemClock.unix_seconds());
        self.count(&alerts);
        alerts
    }

    /// How many instances that were heard are found silent by the next run, unless it hears of them; none where the states
    /// are not kept for it.
    pub(super) fn quiet(&self, set: &ThresholdSet) -> u64 {
        if self.are_kept() { self.states.quiet(set, SystemClock.unix_seconds()) } else { 0 }
    }

    fn count(&mut self, alerts: &[ThresholdAlert]) {
        for alert in alerts {
            match alert.kind {
                AlertKind::Firing => self.totals.fired += 1,
                AlertKind::Repeat => self.totals.repeated += 1,
                AlertKind::Resolved => self.totals.resolved += 1,
                AlertKind::NoData => self.totals.silent += 1,
                _ => {}
            }
        }
    }

    pub(super) fn status(&self, threshold: &str, instance: &str) -> Option<AlertStatus> {
        self.states.status(threshold, instance)
    }

    /// Totals, and how it stands now.
    pub(super) fn totals(&self) -> AlertTotals {
        let [late, repeated] = self.unheard_before;
        let mut now = self.states.counts();
        now.late = now.late.saturating_sub(late);
        now.repeated = now.repeated.saturating_sub(repeated);
        AlertTotals { now, ..self.totals }
    }

    /// What fires or is silent at the end, by instance and threshold.
    pub(super) fn firing(&self, set: &ThresholdSet) -> Vec<Firing> {
        let counts = self.states.counts();
        if counts.firing + counts.no_data == 0 {
            return Vec::new();
        }
        let critical: HashSet<&str> =
            set.configs().filter(|it| it.severity == Some(AlertSeverity::Critical)).map(|it| &*it.id).collect();
        let firing = self.states.active().into_iter().filter_map(|(threshold, instance, status)| {
            let verb = match status.state {
                AlertState::Firing => "fires on",
                AlertState::NoData => "hears nothing of",
                AlertState::Ok | AlertState::Pending => return None,
            };
            let words = format!("{threshold} {verb} {instance} since {}", time(status.since));
            Some(Firing { critical: critical.contains(threshold), words: printable(&words).into_owned() })
        });
        firing.collect()
    }

    /// Whether it is time to save them again.
    pub(super) fn is_save_due(&self) -> bool {
        self.file.is_some() && SystemClock.monotonic().saturating_sub(self.saved_at) >= SAVE_EVERY
    }

    /// Saves them, and what is still to be told. What led to them must have been reported and told before.
    pub(super) fn save(&mut self, set: &ThresholdSet, untold: Vec<ThresholdAlert>) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.save(&AlertRecord::of(&self.states, set, untold))?;
        self.saved_at = SystemClock.monotonic();
        Ok(())
    }
}

/// Opens the file of states. Jobs that overlap have it one after the other: one that another job is done with soon is
/// waited for.
fn open_in_turn(path: &Path) -> anyhow::Result<(AlertFile, Kept)> {
    let clock = SystemClock;
    let until = clock.monotonic() + PATIENCE;
    loop {
        match AlertFile::open(path, clock.unix_seconds()) {
            Err(AlertFileError::InUse(_)) if clock.monotonic() < until => {
                crate::setup::runtime()?.block_on(clock.sleep(TRY_EVERY));
            }
            opened => return Ok(opened?),
        }
    }
}

/// A number that others can't guess: the hash keys of this process are random.
fn fastrand() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}

/// Thresholds that are kept up to date on a thread of their own, since the main thread waits for events. Until the
/// source was read again they are those of `set`. With a `notifier`, those that it objects to do not come in force.
pub(super) fn follow(
    source: &str,
    access: ConnectOptions,
    set: &ThresholdSet,
    notifier: Option<Arc<dyn Notifier>>,
) -> anyhow::Result<Arc<ThresholdManager>> {
    let manager = ThresholdManager::new(source.to_owned()).with_source_options(access);
    let objecting = notifier.clone();
    let manager = match notifier {
        Some(notifier) => manager.with_notifier(notifier),
        None => manager,
    };
    let manager = Arc::new(manager);
    manager.put_in_force(set.clone());
    let followed = manager.clone();
    let runtime = crate::setup::runtime()?;
    let follow = move || {
        let result: anyhow::Result<()> = runtime.block_on(async {
            let reload = crate::setup::hangups()?;
            let Some(mut reader) = followed.reader()? else { return Ok(()) };
            // The first look finds what was loaded a moment ago, or what has changed since.
            match reader.poll().await {
                Ok(loaded) => {
                    let set = ThresholdSet::new(loaded.unwrap_or_default().configs)?;
                    let objections = objecting.map_or_else(Vec::new, |notifier| notifier.objections(&set));
                    if !objections.is_empty() {
                        complain(&format!("{}\nthe thresholds from before stay in force", objections.join("\n")));
                    } else if !set.configs().eq(followed.thresholds().configs()) {
                        followed.put_in_force(set);
                    }
                }
                Err(error) => complain(&format!("{error}\nthe thresholds from before stay in force")),
            }
            watch(&followed, reader, &reload, &SystemClock, &CancellationToken::new()).await;
            Ok(())
        });
        if let Err(error) = result {
            complain(&format!("changes of the thresholds are not noticed: {error:#}"));
        }
    };
    std::thread::Builder::new().name("thresholds".into()).spawn(follow).context("could not watch the thresholds")?;
    Ok(manager)
}
