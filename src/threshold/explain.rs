//! Why a threshold did or did not fire.

use std::fmt;

use super::config::ThresholdConfig;
use super::evaluate::Compiled;
use super::measured::MeasuredEvent;
use crate::events::UsageEvent;
use crate::units::figure;

/// What one threshold made of one event. Displayed as a clause for people: `cpu_percent_avg is 95 %, over 80 %`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Explanation<'a> {
    /// The threshold.
    pub config: &'a ThresholdConfig,
    /// The event.
    pub event: &'a UsageEvent,
    /// The metric that it is compared with, as events name it.
    pub metric: &'static str,
    /// What came out.
    pub reason: Reason,
}

/// Why a threshold did or did not fire. Values are in the threshold's own unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// It fires.
    Exceeded {
        /// What the event says.
        current: f64,
        /// How far over the limit, in percent of it; [`f64::MAX`] over a limit of 0.
        percentage: f64,
    },
    /// It applies, and the event is not over the limit.
    Within {
        /// What the event says.
        current: f64,
    },
    /// It applies, and the metric that it is on was not metered: it neither fires nor ends.
    NotMetered,
    /// It is for another user.
    OtherUser,
    /// It is for this user or all, and for another instance.
    OtherInstance,
    /// It is not enabled.
    Disabled,
}

impl Reason {
    /// A stable name: `exceeded`, `within`, `not_metered`, `other_user`, `other_instance`, `disabled`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exceeded { .. } => "exceeded",
            Self::Within { .. } => "within",
            Self::NotMetered => "not_metered",
            Self::OtherUser => "other_user",
            Self::OtherInstance => "other_instance",
            Self::Disabled => "disabled",
        }
    }

    /// Whether the threshold is for the event's user and instance.
    #[must_use]
    pub const fn applies(self) -> bool {
        matches!(self, Self::Exceeded { .. } | Self::Within { .. } | Self::NotMetered)
    }
}

impl<'a> Explanation<'a> {
    pub(super) fn new(threshold: &'a Compiled, event: MeasuredEvent<'a>) -> Self {
        let config = &threshold.config;
        let reason = if !config.enabled {
            Reason::Disabled
        } else if config.only_user().is_some_and(|user| user != event.user_id) {
            Reason::OtherUser
        } else if config.only_instance().is_some_and(|instance| instance != event.instance_id) {
            Reason::OtherInstance
        } else if threshold.exceeded(event) {
            Reason::Exceeded { current: threshold.current(event), percentage: threshold.percent_over(event) }
        } else {
            threshold.known(event).map_or(Reason::NotMetered, |current| Reason::Within { current })
        };
        Self { config, event: event.event(), metric: threshold.measure.name(), reason }
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, event, metric, reason } = self;
        let unit = config.threshold_type.unit();
        let limit = &config.threshold_type;
        match reason {
            Reason::Exceeded { current, .. } => write!(f, "{metric} is {} {unit}, over {limit}", figure(*current)),
            Reason::Within { current } => write!(f, "{metric} is {} {unit}, not over {limit}", figure(*current)),
            Reason::NotMetered => {
                write!(f, "{metric} was not metered, so that nobody knows whether it is over {limit}")
            }
            Reason::OtherUser => {
                write!(f, "applies to user `{}`, the event is of `{}`", config.user_id, event.user_id)
            }
            Reason::OtherInstance => write!(
                f,
                "applies to instance `{}`, the event is of `{}`",
                config.only_instance().unwrap_or_default(),
                event.instance_id
            ),
            Reason::Disabled => f.write_str("is not enabled"),
        }
    }
}
