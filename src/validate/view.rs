//! An event where it stands: what evaluates millions of them needs no text of its own.

use super::glance::{self, Glance};
use super::scan::{self, Scanned};
use super::{EventRules, line_findings};
use crate::events::{MetricSet, Sieve, UsageMetrics, UsagePeriod, Verdict};

/// What thresholds and continuity ask of a valid event, in borrowed text.
///
/// ```
/// use form_usage_events::validate::{EventRules, EventView};
///
/// let line = include_bytes!("../../tests/fixtures/event.json");
/// let (view, length) = EventView::at_start(line, &EventRules::at(1_800_000_000)).ok_or("not clean")?;
/// assert_eq!((view.user_id, view.metrics.cpu_percent_avg), ("user_123456", 12.5));
/// assert_eq!(length, line.len());
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EventView<'a> {
    /// When it was stamped, in Unix seconds.
    pub timestamp: i64,
    /// The instance.
    pub instance_id: &'a str,
    /// Its user.
    pub user_id: &'a str,
    /// The figures, with the values that [`crate::events::UsageEvent`] reads.
    pub metrics: UsageMetrics,
    /// When it was consumed.
    pub period: UsagePeriod,
    /// The metrics that were not metered, in whole or in part.
    pub not_metered: MetricSet,
}

impl<'a> EventView<'a> {
    /// The event in the line that `text` starts with, and the line's length with its end (`\n`, `\r\n` or the end of
    /// `text`), where the line stands as most do and [`line_findings`] would have nothing to say. `None` says nothing.
    #[must_use]
    pub fn at_start(text: &'a [u8], rules: &EventRules) -> Option<(Self, usize)> {
        let Scanned { timestamp, instance_id, user_id, org_id: _, metrics, period, not_metered, length } =
            scan::event(text, rules)?;
        let [instance_id, user_id] = [std::str::from_utf8(instance_id).ok()?, std::str::from_utf8(user_id).ok()?];
        Some((Self { timestamp, instance_id, user_id, metrics, period, not_metered }, length))
    }
}

/// Lets the lines through that [`line_findings`] would have nothing to say of, and holds the others.
#[derive(Debug, Clone, Copy)]
pub struct EventSieve {
    rules: EventRules,
}

impl EventSieve {
    /// With the rules for events.
    #[must_use]
    pub const fn new(rules: EventRules) -> Self {
        Self { rules }
    }
}

impl Sieve for EventSieve {
    type Note = ();

    #[inline]
    fn start(&self, text: &[u8]) -> Option<(usize, Verdict<()>)> {
        Some((scan::length(text, &self.rules)?, Verdict::Pass))
    }

    fn line(&self, line: &[u8]) -> Verdict<()> {
        if glance::is_clean(line, &self.rules) { Verdict::Pass } else { Verdict::Hold }
    }
}

/// Whether the scanner, the quick look and the exact reader agree on the line at the start of `text`: what either of the
/// first two passes has no finding, and all read the same values from it. For tests and fuzzers.
#[doc(hidden)]
#[must_use]
pub fn agrees(text: &[u8], rules: &EventRules) -> bool {
    let end = memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1);
    let line = text.get(..end).unwrap_or_default();
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let sound = super::exact_findings(line, 1, rules).is_empty();
    let same_findings = line_findings(line, 1, rules).is_empty() == sound;
    let quick = !glance::is_clean(line, rules) || sound;
    let read = serde_json::from_slice::<Glance<'_>>(line).ok();
    let as_read = |scanned: Option<Glance<'_>>| read.as_ref().is_some_and(|read| scanned.as_ref() == Some(read));
    let scanned = scan::event(text, rules);
    let same = match &scanned {
        Some(seen) => sound && seen.length == end && as_read(Glance::scanned(seen.clone())),
        None => true,
    };
    // The verdict alone may pass what has more digits than values are made of, but nothing else differs.
    let verdict = match scan::length(text, rules) {
        Some(length) => sound && length == end && scanned.is_some(),
        None => scanned.is_none(),
    };
    same_findings && quick && same && verdict
}
