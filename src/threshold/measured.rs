//! An event as thresholds see it: what was not metered is unknown.

use std::ops::Deref;

use crate::events::{MetricSet, UsageEvent};

/// An event with those of its metrics that were not metered. Such a figure exceeds nothing and clears nothing.
///
/// An event alone stands for one of which all metrics were metered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeasuredEvent<'a> {
    event: &'a UsageEvent,
    not_metered: MetricSet,
}

impl<'a> MeasuredEvent<'a> {
    /// `not_metered` is what the event's JSON names so: [`MetricSet::not_metered_in`].
    #[must_use]
    pub const fn new(event: &'a UsageEvent, not_metered: MetricSet) -> Self {
        Self { event, not_metered }
    }

    /// The event.
    #[must_use]
    pub const fn event(self) -> &'a UsageEvent {
        self.event
    }

    /// The metrics that were not metered.
    #[must_use]
    pub const fn not_metered(self) -> MetricSet {
        self.not_metered
    }
}

impl<'a> From<&'a UsageEvent> for MeasuredEvent<'a> {
    fn from(event: &'a UsageEvent) -> Self {
        Self::new(event, MetricSet::NONE)
    }
}

impl Deref for MeasuredEvent<'_> {
    type Target = UsageEvent;

    fn deref(&self) -> &UsageEvent {
        self.event
    }
}
