//! The scanner made for events: one pass over a line that stands as it is mostly written.
//!
//! The fields in the order of the format, of the optional ones `not_metered` alone, with no space between them or with the one that many JSON writers set behind
//! `:` and `,`; version 1.0; strings without escapes; numbers without sign and exponent. Such a line is compared with
//! what it has to be, piece by piece, and where only the verdict is asked for, no value is made of it. Any other line
//! is for the readers behind: this one may turn away a sound line, and never passes one that they would remark on.

mod cursor;

use self::cursor::Cursor;
use super::EventRules;
use super::plausible::certainly_plausible;
use super::rules::MILLISECONDS_FROM;
use crate::events::{MetricSet, UsageMetrics, UsagePeriod};

/// An event that nothing is to be remarked on, of version 1.0, with its text where it stood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scanned<'a> {
    pub(super) timestamp: i64,
    /// Valid UTF-8, as the other ids.
    pub(super) instance_id: &'a [u8],
    pub(super) user_id: &'a [u8],
    pub(super) org_id: Option<&'a [u8]>,
    pub(super) metrics: UsageMetrics,
    pub(super) period: UsagePeriod,
    pub(super) not_metered: MetricSet,
    /// The bytes of the line and of its end.
    pub(super) length: usize,
}

/// The length of the line at the start of `text`, its end included, where it is an event that nothing is to be remarked
/// on.
#[inline]
pub(super) fn length(text: &[u8], rules: &EventRules) -> Option<usize> {
    Some(line::<false>(text, rules)?.length)
}

/// The event in the line at the start of `text`, where nothing is to be remarked on.
#[inline]
pub(super) fn event<'a>(text: &'a [u8], rules: &EventRules) -> Option<Scanned<'a>> {
    line::<true>(text, rules)
}

/// Where the compact form has the `"` of the first value, the other has a space.
#[inline(always)]
fn line<'a, const VALUES: bool>(text: &'a [u8], rules: &EventRules) -> Option<Scanned<'a>> {
    match text.get(r#"{"event_type":"#.len()) {
        Some(b'"') => compact::<VALUES>(text, rules),
        Some(b' ') => spaced::<VALUES>(text, rules),
        _ => None,
    }
}

/// Makes the function that reads one form, from what stands behind `:` and `,` in it.
macro_rules! form {
    ($(#[$doc:meta])* $name:ident, $gap:literal) => {
        $(#[$doc])*
        #[inline(always)]
        fn $name<'a, const VALUES: bool>(text: &'a [u8], rules: &EventRules) -> Option<Scanned<'a>> {
            // A field behind another; the value follows.
            macro_rules! next {
                ($field:literal) => {
                    concat!(",", $gap, "\"", $field, "\":", $gap)
                };
            }
            // The first field of an object.
            macro_rules! first {
                ($field:literal) => {
                    concat!("{\"", $field, "\":", $gap)
                };
            }
            let mut at = Cursor::new(text);
            at.expect(concat!(first!("event_type"), "\"resource_usage\"", next!("version"), "\"1.0\"", next!("timestamp")))?;
            let timestamp = at.whole()?;
            at.expect(concat!(next!("instance_id"), "\""))?;
            let instance_id = at.id()?;
            at.expect(concat!(next!("user_id"), "\""))?;
            let user_id = at.id()?;
            let mut org_id = None;
            let before = at;
            if at.expect(next!("org_id")).is_none() {
                at = before;
            } else if at.peek() == Some(b'"') {
                at.expect("\"")?;
                org_id = Some(at.id()?);
            } else {
                at.expect("null")?;
            }
            at.expect(concat!(next!("metrics"), first!("cpu_seconds")))?;
            let cpu_seconds = at.whole()?;
            at.expect(next!("cpu_percent_avg"))?;
            let cpu_percent_avg = at.figure()?;
            at.expect(next!("memory_gb"))?;
            let memory_gb = at.figure()?;
            at.expect(next!("memory_percent"))?;
            let memory_percent = at.figure()?;
            at.expect(next!("storage_gb"))?;
            let storage_gb = at.figure()?;
            at.expect(next!("network_egress_mb"))?;
            let network_egress_mb = at.figure()?;
            at.expect(next!("network_ingress_mb"))?;
            let network_ingress_mb = at.figure()?;
            at.expect(next!("gpu_seconds"))?;
            let gpu_seconds = at.whole()?;
            at.expect(concat!("}", next!("period"), first!("start")))?;
            let start = at.whole()?;
            at.expect(next!("end"))?;
            let end = at.whole()?;
            at.expect("}")?;
            let mut not_metered = MetricSet::NONE;
            if at.peek() == Some(b',') {
                at.expect(concat!(next!("not_metered"), "["))?;
                not_metered = at.metrics(concat!(",", $gap))?;
            }
            at.expect("}")?;
            at.line_end()?;

            let [timestamp, start, end] = [timestamp, start, end].map(u64::cast_signed);
            // The rules; those for ids were met when they were read, and what has no sign is not negative.
            let sound = start < end
                && end <= timestamp
                && timestamp < MILLISECONDS_FROM
                && timestamp <= rules.now.saturating_add(rules.max_skew)
                && cpu_percent_avg.is_percentage()
                && memory_percent.is_percentage()
                && certainly_plausible(
                    start,
                    end.wrapping_sub(start).cast_unsigned(),
                    [cpu_seconds, cpu_percent_avg.whole(), gpu_seconds],
                    [memory_gb.whole(), storage_gb.whole(), network_egress_mb.whole(), network_ingress_mb.whole()],
                );
            if !sound {
                return None;
            }
            let mut metrics = UsageMetrics { cpu_seconds, gpu_seconds, ..NOTHING };
            if VALUES {
                metrics.cpu_percent_avg = cpu_percent_avg.value()?;
                metrics.memory_gb = memory_gb.value()?;
                metrics.memory_percent = memory_percent.value()?;
                metrics.storage_gb = storage_gb.value()?;
                metrics.network_egress_mb = network_egress_mb.value()?;
                metrics.network_ingress_mb = network_ingress_mb.value()?;
            }
            let length = text.len() - at.left();
            let period = UsagePeriod { start, end };
            Some(Scanned { timestamp, instance_id, user_id, org_id, metrics, period, not_metered, length })
        }
    };
}

const NOTHING: UsageMetrics = UsageMetrics {
    cpu_seconds: 0,
    cpu_percent_avg: 0.0,
    memory_gb: 0.0,
    memory_percent: 0.0,
    storage_gb: 0.0,
    network_egress_mb: 0.0,
    network_ingress_mb: 0.0,
    gpu_seconds: 0,
};

form! {
    /// No space anywhere: what this library and most others write.
    compact, ""
}
form! {
    /// A space behind `:` and `,`: what Python's `json.dumps` writes.
    spaced, " "
}
