//! What is said about a stream: the findings, in words.

use super::{At, Here, MAX_GROWTH, Metered};
use crate::units::rfc3339;
use crate::validate::json::quote;
use crate::validate::{Code, Finding, Place};

/// What was found about an event and those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncidentKind {
    /// Time between two periods that none covers.
    Gap,
    /// A period that covers time which others cover.
    Overlap {
        /// How much of it.
        seconds: u64,
        /// Whether the event that ends last is among the others.
        with_latest: bool,
    },
    /// The same event again.
    Repeat,
    /// Another event with the same metering key.
    Conflict,
    /// A period that comes behind a later one, and overlaps none.
    OutOfOrder,
    /// A metric that only grows.
    OnlyGrows(&'static str),
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// What it is.
    pub kind: IncidentKind,
    /// The instance.
    pub instance_id: String,
    /// The gap, or the period of the event.
    pub start: i64,
    /// Its end.
    pub end: i64,
    /// The file of the event, by its number.
    pub file: u32,
    /// Where the event stands; for a gap, the event behind it.
    pub place: Place,
    /// The file and the line of the other event: the one before, or the one that was there first.
    pub other: Option<(u32, u64)>,
}

/// The place of an event's period.
pub(super) fn place(here: &Here<'_>) -> Place {
    Place { line: here.line, column: here.column, pointer: format!("{}/period", here.pointer) }
}

impl Incident {
    pub(super) fn new(kind: IncidentKind, metered: &Metered<'_>, here: &Here<'_>, other: Option<At>) -> Self {
        let place = match kind {
            IncidentKind::OnlyGrows(name) => {
                Place { pointer: format!("{}/metrics/{name}", here.pointer), ..place(here) }
            }
            _ => place(here),
        };
        Self {
            kind,
            instance_id: metered.instance_id.to_owned(),
            start: metered.start,
            end: metered.end,
            file: here.file,
            place,
            other: other.map(|at| (at.file(), at.line())),
        }
    }

    /// The finding. `name` gives the names of files by their numbers.
    #[must_use]
    pub fn finding<'f>(&self, name: impl Fn(u32) -> &'f str) -> Finding {
        let instance = quote(&self.instance_id);
        let other = match self.other {
            Some((file, line)) if file == self.file => format!("line {line}"),
            Some((file, line)) => format!("{}:{line}", name(file)),
            None => "a later event".to_owned(),
        };
        let (start, end) = (self.start, self.end);
        let length = end.saturating_sub(start);
        let found = format!("{start} to {end}{}", in_words(start));
        let finding = match self.kind {
            IncidentKind::Gap => Finding::error(Code::PeriodGap, format!("{instance} was not metered for {length} s"))
                .found(format!("nothing for {found}"))
                .expected(if self.other.is_some() {
                    format!("a period that starts at {start}, where the one before ended ({other})")
                } else {
                    format!("a period that starts at {start}, where this one ends")
                })
                .help(
                    "look for events that were not delivered (formusage spool, formusage dlq); collect --state keeps \
                       metering over its own restarts",
                ),
            IncidentKind::Overlap { seconds, with_latest } => {
                let message = match with_latest {
                    true => {
                        format!("{instance} is metered twice for {seconds} s: this period overlaps that at {other}")
                    }
                    false => {
                        format!("{instance} is metered twice for {seconds} s: its events go beyond this, up to {other}")
                    }
                };
                Finding::error(Code::PeriodOverlap, message)
                    .found(found)
                    .expected("a period that starts where the one before ended")
                    .help("look for a second meter of the same instance, or for a clock that was set back")
            }
            IncidentKind::Repeat => {
                Finding::warning(Code::RepeatedEvent, format!("this event of {instance} was there before"))
                    .found(format!("the same at {other}"))
                    .help("deliveries may repeat: count events by their id, as formusage read does")
            }
            IncidentKind::Conflict => Finding::error(
                Code::ConflictingEvents,
                format!("two different events of {instance} have the same period"),
            )
            .found(format!("{found}; the other at {other}"))
            .expected("one event for one instance and period")
            .help("find out which one is right: nothing merges them, and both would be billed"),
            IncidentKind::OutOfOrder => {
                Finding::warning(Code::OutOfOrder, format!("this event of {instance} comes behind a later one"))
                    .found(format!("{found}; the later one at {other}"))
                    .expected("the events of an instance in the order of their periods")
                    .help("sort them by `period.start`, or make sure that one publisher delivers an instance")
            }
            IncidentKind::OnlyGrows(metric) => running_total(metric, &self.instance_id),
        };
        finding.at(self.place.clone())
    }
}

/// The finding on a metric that only grows, without a place.
pub(in crate::validate) fn running_total(metric: &str, instance_id: &str) -> Finding {
    let instance = quote(instance_id);
    let message = format!("`metrics.{metric}` of {instance} only grows: {MAX_GROWTH} times in a row");
    Finding::warning(Code::RunningTotal, message)
        .expected("what was consumed in the period")
        .help("it looks like a total since boot; send the difference to the reading before")
}

/// A time as people read it.
fn in_words(seconds: i64) -> String {
    rfc3339(seconds).map(|time| format!(" (from {time})")).unwrap_or_default()
}
