//! The first look of `check` at many events: those that are valid, exceed nothing and lack nothing are only counted, or where
//! thresholds have states, noted by their instance and period.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::{MetricSet, Sieve, UsageEvent, UsageMetrics, UsagePeriod, Verdict};
use form_usage_events::threshold::{InstanceKey, InstanceKeys, ThresholdManager, ThresholdSet};
use form_usage_events::validate::{EventRules, EventView, clean_event};

use super::nagios::Peaks;

/// Passes events that there is nothing to say about.
pub(super) struct Unremarkable {
    /// Where states want to know of what passes.
    keys: Option<InstanceKeys>,
    /// Where the report shows the values of events that exceed nothing.
    peaks: Option<Arc<Peaks>>,
    thresholds: Arc<ThresholdSet>,
    followed: Option<Arc<ThresholdManager>>,
    /// Others are in force by now: every event is held, and looked at with those.
    hold: AtomicBool,
    max_skew: i64,
    /// Read for each block. Where it lags, an event that was just stamped is held, and looked at by the right time.
    now: AtomicI64,
}

impl Unremarkable {
    /// Passes by `thresholds` for as long as those that are `followed` are the same; `keys` are those of the states.
    pub(super) fn new(
        thresholds: Arc<ThresholdSet>,
        followed: Option<Arc<ThresholdManager>>,
        keys: InstanceKeys,
        peaks: Option<Arc<Peaks>>,
        max_skew: i64,
    ) -> Self {
        let keys = thresholds.has_states().then_some(keys);
        let (hold, now) = (AtomicBool::new(false), AtomicI64::new(SystemClock.unix_seconds()));
        Self { keys, peaks, thresholds, followed, hold, max_skew, now }
    }

    /// Whether it judges by these.
    pub(super) fn is_by(&self, thresholds: &Arc<ThresholdSet>) -> bool {
        Arc::ptr_eq(&self.thresholds, thresholds)
    }

    /// The verdict on an event that exceeds nothing.
    fn passed(
        &self,
        user_id: &str,
        instance_id: &str,
        metrics: &UsageMetrics,
        not_metered: MetricSet,
        period: UsagePeriod,
    ) -> Verdict<(InstanceKey, UsagePeriod)> {
        if let Some(peaks) = &self.peaks {
            peaks.observe(user_id, instance_id, metrics, not_metered);
        }
        self.keys.map_or(Verdict::Pass, |keys| Verdict::Note((keys.of(instance_id), period)))
    }

    fn rules(&self) -> EventRules {
        EventRules { now: self.now.load(Ordering::Relaxed), max_skew: self.max_skew }
    }
}

impl Sieve for Unremarkable {
    type Note = (InstanceKey, UsagePeriod);

    fn begin(&self) {
        self.now.store(SystemClock.unix_seconds(), Ordering::Relaxed);
        let changed = |followed: &Arc<ThresholdManager>| !Arc::ptr_eq(&followed.thresholds(), &self.thresholds);
        if self.followed.as_ref().is_some_and(changed) {
            self.hold.store(true, Ordering::Relaxed);
        }
    }

    fn start(&self, text: &[u8]) -> Option<(usize, Verdict<Self::Note>)> {
        let (event, length) = EventView::at_start(text, &self.rules())?;
        let EventView { user_id, instance_id, metrics, period, not_metered, .. } = event;
        let concerns = self.hold.load(Ordering::Relaxed)
            || self.thresholds.concerns_any(user_id, instance_id, &metrics, not_metered);
        let verdict =
            if concerns { Verdict::Hold } else { self.passed(user_id, instance_id, &metrics, not_metered, period) };
        Some((length, verdict))
    }

    fn line(&self, line: &[u8]) -> Verdict<Self::Note> {
        if self.hold.load(Ordering::Relaxed) {
            return Verdict::Hold;
        }
        let Some(UsageEvent { user_id, instance_id, metrics, period, .. }) = clean_event(line, &self.rules()) else {
            return Verdict::Hold;
        };
        let not_metered = MetricSet::not_metered_in(line);
        if self.thresholds.concerns_any(&user_id, &instance_id, &metrics, not_metered) {
            return Verdict::Hold;
        }
        self.passed(&user_id, &instance_id, &metrics, not_metered, period)
    }
}
