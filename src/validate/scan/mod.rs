//! The scanner made for events: one pass over a line that stands as it is mostly written.
//!
//! Version 1.0; strings without escapes; numbers without sign and exponent. Where the fields stand in the order of the
//! format, with no space between them or with the one that many JSON writers set behind `:` and `,`, the line is
//! compared with what it has to be, piece by piece, of the optional fields `not_metered` alone; otherwise its fields are looked at one by one. Where only the verdict
//! is asked for, no value is made of it. Any other line is for the readers behind: this one may turn away a sound line,
//! and never passes one that they would remark on.

mod any_order;
mod cursor;

use self::cursor::{Cursor, Figure};
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
    let in_order = match text.get(r#"{"event_type":"#.len()) {
        Some(b'"') => compact(text),
        Some(b' ') => spaced(text),
        _ => None,
    };
    in_order.or_else(|| any_order::read(text))?.judged::<VALUES>(rules)
}

/// What stands in a line.
#[derive(Debug, Default)]
struct Fields<'a> {
    timestamp: u64,
    instance_id: &'a [u8],
    user_id: &'a [u8],
    org_id: Option<&'a [u8]>,
    cpu_seconds: u64,
    cpu_percent_avg: Figure<'a>,
    memory_gb: Figure<'a>,
    memory_percent: Figure<'a>,
    storage_gb: Figure<'a>,
    network_egress_mb: Figure<'a>,
    network_ingress_mb: Figure<'a>,
    gpu_seconds: u64,
    start: u64,
    end: u64,
    not_metered: MetricSet,
    length: usize,
}

impl<'a> Fields<'a> {
    /// The event, where the rules have nothing to say; those for ids were met when they were read, and what has no sign
    /// is not negative.
    #[inline(always)]
    fn judged<const VALUES: bool>(self, rules: &EventRules) -> Option<Scanned<'a>> {
        let [timestamp, start, end] = [self.timestamp, self.start, self.end].map(u64::cast_signed);
        let Self { memory_gb, storage_gb, network_egress_mb, network_ingress_mb, .. } = self;
        let sound = start < end
            && end <= timestamp
            && timestamp < MILLISECONDS_FROM
            && timestamp <= rules.now.saturating_add(rules.max_skew)
            && self.cpu_percent_avg.is_percentage()
            && self.memory_percent.is_percentage()
            && certainly_plausible(
                start,
                end.wrapping_sub(start).cast_unsigned(),
                [self.cpu_seconds, self.cpu_percent_avg.whole(), self.gpu_seconds],
                [memory_gb, storage_gb, network_egress_mb, network_ingress_mb].map(|figure| figure.whole()),
            );
        if !sound {
            return None;
        }
        let mut metrics = UsageMetrics { cpu_seconds: self.cpu_seconds, gpu_seconds: self.gpu_seconds, ..NOTHING };
        if VALUES {
            metrics.cpu_percent_avg = self.cpu_percent_avg.value()?;
            metrics.memory_gb = memory_gb.value()?;
            metrics.memory_percent = self.memory_percent.value()?;
            metrics.storage_gb = storage_gb.value()?;
            metrics.network_egress_mb = network_egress_mb.value()?;
            metrics.network_ingress_mb = network_ingress_mb.value()?;
        }
        let Self { instance_id, user_id, org_id, not_metered, length, .. } = self;
        let period = UsagePeriod { start, end };
        Some(Scanned { timestamp, instance_id, user_id, org_id, metrics, period, not_metered, length })
    }
}

/// Makes the function that reads one form, from what stands behind `:` and `,` in it.
macro_rules! form {
    ($(#[$doc:meta])* $name:ident, $gap:literal) => {
        $(#[$doc])*
        #[inline(always)]
        fn $name(text: &[u8]) -> Option<Fields<'_>> {
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
            let length = text.len() - at.left();
            Some(Fields {
                timestamp,
                instance_id,
                user_id,
                org_id,
                cpu_seconds,
                cpu_percent_avg,
                memory_gb,
                memory_percent,
                storage_gb,
                network_egress_mb,
                network_ingress_mb,
                gpu_seconds,
                start,
                end,
                not_metered,
                length,
            })
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
