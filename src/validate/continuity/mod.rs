//! Whether the periods of each instance follow one another: what was not metered, and what was metered twice.
//!
//! Pure, and made for streams of any length: [`Continuity`] takes one event after the other, as an instance, a period
//! and two digests, and keeps about 80 bytes for an instance, however many events it has.
//!
//! - A period that starts where the one before ended is in order.
//! - A *gap* waits for a few further events of its instance before it is told, so that an event that comes a little late
//!   is *out of order* and not a gap and an overlap. Gaps are remembered behind that too: what comes still later and
//!   fits is out of order as well.
//! - The latest events are remembered by their metering key and digest: the same event again is a *repeat*, another one
//!   with the same key a *conflict*. What was forgotten by then is an overlap.
//! - Where memory of gaps runs out ([`MAX_GAPS`]), an event that comes late by more than that is taken for out of
//!   order: what is not known is not called an overlap.
//!
//! A new chain after a reboot can't be told from a loss: a gap is a gap.

mod gaps;
mod growth;
mod history;
mod incident;
mod instances;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

pub use gaps::MAX_GAPS;
pub(super) use growth::Growth;
pub use growth::{Counters, MAX_GROWTH};
pub(super) use history::AsItIs;
pub use history::REMEMBERED_EVENTS;
pub(super) use incident::running_total;
pub use incident::{Incident, IncidentKind};

use gaps::{Gap, Gaps};
use history::History;
use instances::{Instance, Instances};

/// So many further events of its instance a gap waits for a late one, unless set otherwise.
pub const DEFAULT_REORDER_WINDOW: u32 = 16;

/// What of an event matters here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metered<'a> {
    /// The instance, by its name.
    pub instance_id: &'a str,
    /// The period, Unix seconds, half open; one that does not end after its start is passed over.
    pub start: i64,
    /// The end of the period.
    pub end: i64,
    /// [`digest`] of the event's text.
    pub digest: u64,
    /// The metrics that count something.
    pub counters: Counters,
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Here<'a> {
    /// The file, as [`Continuity::file`] numbered it.
    pub file: u32,
    /// Counted from 1.
    pub line: u64,
    /// Counted from 1.
    pub column: u64,
    /// The JSON pointer of the event within its document; empty for a line.
    pub pointer: &'a str,
}

/// A file and a line, in eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct At(u64);

impl At {
    const LINE_BITS: u32 = 40;

    fn of(here: &Here<'_>) -> Self {
        let line = here.line.min((1 << Self::LINE_BITS) - 1);
        Self(u64::from(here.file) << Self::LINE_BITS | line)
    }

    fn file(self) -> u32 {
        u32::try_from(self.0 >> Self::LINE_BITS).unwrap_or(u32::MAX)
    }

    const fn line(self) -> u64 {
        self.0 & ((1 << Self::LINE_BITS) - 1)
    }
}

/// What a stream comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContinuityTotals {
    /// Instances seen.
    pub instances: u64,
    /// Events whose period counts: all but those without a sound period.
    pub events: u64,
    /// Seconds that are metered once at least, over all instances.
    pub covered_seconds: u64,
    /// Seconds between the first and the last period of an instance that no period covers, over all instances.
    pub gap_seconds: u64,
    /// Seconds that are metered again by another event; repeats of the same event do not count.
    pub overlap_seconds: u64,
    /// Gaps that were told.
    pub gaps: u64,
    /// Events that overlap others, conflicts included.
    pub overlaps: u64,
    /// Events that are there again.
    pub repeats: u64,
    /// Different events with one metering key.
    pub conflicts: u64,
    /// Events that come behind later ones of their instance.
    pub out_of_order: u64,
}

/// The continuity of a stream of events.
///
/// ```
/// use form_usage_events::validate::continuity::{Continuity, Counters, Here, IncidentKind, Metered};
///
/// let mut continuity = Continuity::new(0);
/// let file = continuity.file("events.ndjson");
/// let mut kinds = Vec::new();
/// for (line, start) in [(1, 0), (2, 30), (3, 90)] {
///     let metered = Metered { instance_id: "a", start, end: start + 30, digest: line, counters: Counters::default() };
///     continuity.observe(&metered, &Here { file, line, column: 1, pointer: "" }, &mut |incident| kinds.push(incident.kind));
/// }
/// continuity.finish(&mut |incident| kinds.push(incident.kind));
/// assert_eq!(kinds, [IncidentKind::Gap]);
/// assert_eq!(continuity.totals().gap_seconds, 30);
/// ```
#[derive(Debug)]
pub struct Continuity {
    window: u32,
    files: Vec<Box<str>>,
    instances: Instances,
    gaps: Gaps,
    history: History,
    totals: ContinuityTotals,
}

/// Takes what is found.
pub type Tell<'t> = &'t mut dyn FnMut(Incident);

impl Continuity {
    /// Nothing seen yet. A gap waits for `window` further events of its instance before it is told
    /// ([`DEFAULT_REORDER_WINDOW`] is a good choice; 0 tells it at once).
    #[must_use]
    pub fn new(window: u32) -> Self {
        Self {
            window,
            files: Vec::new(),
            instances: Instances::default(),
            gaps: Gaps::default(),
            history: History::default(),
            totals: ContinuityTotals::default(),
        }
    }

    /// The number of a file from which events come now.
    pub fn file(&mut self, name: &str) -> u32 {
        self.files.push(name.into());
        u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX)
    }

    /// The name of the file with this number.
    #[must_use]
    pub fn file_name(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |name| name)
    }

    /// What the events so far come to; final behind [`Continuity::finish`].
    #[must_use]
    pub const fn totals(&self) -> &ContinuityTotals {
        &self.totals
    }

    /// Takes the next event. What it brings to light, here or at an earlier place, goes to `tell`.
    pub fn observe(&mut self, metered: &Metered<'_>, here: &Here<'_>, tell: Tell<'_>) {
        let Metered { start, end, .. } = *metered;
        if start >= end || start < 0 {
            return;
        }
        self.totals.events += 1;
        let key = instance_key(metered.instance_id);
        let history_key = history::key(key, start, end);
        let at = At::of(here);
        let length = seconds(start, end);
        let (index, instance) = match self.instances.find(key) {
            Ok((index, instance)) => (index, instance),
            Err(vacant) => {
                self.totals.instances += 1;
                self.totals.covered_seconds += length;
                self.instances.insert(vacant, Instance::new(key, start, end, at, &metered.counters));
                self.history.insert(history_key, metered.digest, at);
                return;
            }
        };
        instance.events = instance.events.saturating_add(1);
        let told = |kind, other| Incident::new(kind, metered, here, other);
        if start >= instance.end {
            let last = Some(instance.last);
            instance.growth.observe(&metered.counters, |grown| tell(told(IncidentKind::OnlyGrows(grown), last)));
            if start > instance.end {
                let gap =
                    Gap::new(instance.end, start, instance.events, metered.instance_id, here, Some(instance.last));
                instance.extend(start, end, at);
                self.open(index, gap, tell);
            } else {
                instance.extend(start, end, at);
            }
            self.totals.covered_seconds += length;
        } else {
            match self.history.get(history_key) {
                Some((digest, first)) if digest == metered.digest => {
                    self.totals.repeats += 1;
                    return tell(told(IncidentKind::Repeat, Some(first)));
                }
                Some((_, first)) => {
                    self.totals.conflicts += 1;
                    self.totals.overlaps += 1;
                    self.totals.overlap_seconds += length;
                    return tell(told(IncidentKind::Conflict, Some(first)));
                }
                None => self.late(index, metered, here, tell),
            }
        }
        self.history.insert(history_key, metered.digest, at);
        self.tell_waiting(index, tell);
    }

    /// An event that starts before the end of what its instance has: it fills a gap, or overlaps, or both.
    fn late(&mut self, index: u32, metered: &Metered<'_>, here: &Here<'_>, tell: Tell<'_>) {
        let Metered { start, end, .. } = *metered;
        let Some(instance) = self.instances.get(index) else {
            return;
        };
        let last = instance.last;
        let last_start = instance.last_start();
        let filled = self.gaps.fill(index, start, end);
        instance.waiting = instance.waiting.saturating_sub(filled.waiting_closed).saturating_add(filled.waiting_opened);
        self.totals.gap_seconds = self.totals.gap_seconds.saturating_sub(filled.told_seconds);
        let mut fresh = filled.seconds;
        let mut gap = None;
        if start < instance.since {
            fresh += seconds(start, end.min(instance.since));
            // Behind what was forgotten nothing is known, not even that there is a gap.
            if !instance.forgot {
                if end < instance.since {
                    let (from, to) = (end, instance.since);
                    gap = Some(Gap::new(from, to, instance.events, metered.instance_id, here, None));
                }
                instance.since = start;
            }
        }
        if end > instance.end {
            fresh += seconds(instance.end, end);
            instance.extend(start, end, At::of(here));
        }
        self.totals.covered_seconds += fresh;
        let overlap = seconds(start, end).saturating_sub(fresh);
        let kind = if overlap == 0 {
            self.totals.out_of_order += 1;
            IncidentKind::OutOfOrder
        } else {
            self.totals.overlaps += 1;
            self.totals.overlap_seconds += overlap;
            IncidentKind::Overlap { seconds: overlap, with_latest: end > last_start }
        };
        tell(Incident::new(kind, metered, here, Some(last)));
        if let Some(gap) = gap {
            self.open(index, gap, tell);
        }
    }

    /// Notes a gap; makes room for it by telling and forgetting the oldest.
    fn open(&mut self, index: u32, gap: Gap, tell: Tell<'_>) {
        if let Some(instance) = self.instances.get(index) {
            instance.waiting = instance.waiting.saturating_add(1);
        }
        self.gaps.insert(index, gap);
        while let Some((index, forgotten)) = self.gaps.evict() {
            for mut gap in forgotten {
                self.forget(index, &gap);
                self.tell_gap(index, &mut gap, tell);
            }
        }
        self.tell_waiting(index, tell);
    }

    fn forget(&mut self, index: u32, gap: &Gap) {
        if let Some(instance) = self.instances.get(index) {
            instance.forgot = true;
            instance.since = instance.since.max(gap.end);
        }
    }

    /// Tells the gaps of an instance that have waited long enough.
    fn tell_waiting(&mut self, index: u32, tell: Tell<'_>) {
        let Some(instance) = self.instances.get(index) else {
            return;
        };
        if instance.waiting == 0 {
            return;
        }
        let events = instance.events;
        for mut gap in self.gaps.due(index, events, self.window) {
            self.tell_gap(index, &mut gap, tell);
        }
    }

    fn tell_gap(&mut self, index: u32, gap: &mut Gap, tell: Tell<'_>) {
        let Some(incident) = gap.tell() else {
            return;
        };
        if let Some(instance) = self.instances.get(index) {
            instance.waiting = instance.waiting.saturating_sub(1);
        }
        self.totals.gaps += 1;
        self.totals.gap_seconds += seconds(gap.start, gap.end);
        tell(incident);
    }

    /// Tells the gaps that still wait: no event follows. They come in the order of their places.
    pub fn finish(&mut self, tell: Tell<'_>) {
        let mut waiting = self.gaps.take_waiting();
        waiting.sort_by(|(_, one), (_, other)| one.place().cmp(&other.place()));
        for (index, gap) in &mut waiting {
            self.tell_gap(*index, gap, tell);
        }
    }
}

/// How long a period is; what can't be is 0.
fn seconds(start: i64, end: i64) -> u64 {
    u64::try_from(end.saturating_sub(start)).unwrap_or(0)
}

/// An instance in 128 bits: names are not kept.
fn instance_key(id: &str) -> [u64; 2] {
    [0u8, 1].map(|half| {
        let mut hasher = DefaultHasher::new();
        (half, id).hash(&mut hasher);
        hasher.finish()
    })
}

/// The digest of an event's text, the same for any whitespace between its tokens; `text` begins with the event, and may
/// go on behind it.
#[must_use]
pub fn digest(text: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Events are mostly compact and one a line.
    if memchr::memchr3(b' ', b'\t', b'\n', text).is_none() && !text.contains(&b'\r') && text.ends_with(b"}") {
        hasher.write(text);
        return hasher.finish();
    }
    let mut compact = Vec::with_capacity(text.len().min(1 << 10));
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            _ => {}
        }
        compact.push(byte);
        if depth == 0 {
            break;
        }
    }
    hasher.write(&compact);
    hasher.finish()
}

#[cfg(test)]
mod tests;
