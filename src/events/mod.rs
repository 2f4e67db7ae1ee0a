//! The usage event: what one instance consumed in one period.
//!
//! - [`UsageEvent`], [`UsageMetrics`], [`UsagePeriod`]: the types, with the units of every field;
//! - [`EventId`]: the idempotency key, computed from the bytes that are sent;
//! - [`EncodedEvent`]: an event together with exactly those bytes;
//! - [`MetricSet`]: which metrics of an event could not be measured;
//! - [`LineReader`]: NDJSON as a stream, in flat memory;
//! - [`sift()`]: the lines of a stream that need a closer look, found on several threads.

mod id;
pub(crate) mod metric_set;
mod ndjson;
mod sift;
mod wire;

pub use id::{EventId, ParseEventIdError};
pub use metric_set::MetricSet;
pub use ndjson::{DEFAULT_MAX_LINE_BYTES, Line, LinePart, LineReader};
pub use sift::{Sieve, Sifted, Sifting, Verdict, sift};
pub(crate) use wire::MAX_DEPTH;
pub use wire::{EncodedEvent, compact, to_compact_json};

use serde::{Deserialize, Serialize};

use crate::clock::{Clock, SystemClock};

/// The `event_type` of every usage event.
pub const EVENT_TYPE: &str = "resource_usage";

/// The `version` that this library writes. It reads every `1.x`.
pub const VERSION: &str = "1.0";

/// The longest `instance_id`, `user_id` or `org_id`, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// What an id looks like in the JSON Schema, as [`is_refused_in_id`] has it. (Its length counts characters there, and bytes
/// here.)
#[cfg(feature = "schema")]
const NO_CONTROL_CHARACTERS: &str =
    "^[^\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]*$";

/// Whether no id may hold `char`: of an instance, a user, an organization, a threshold, a channel. These are the control
/// characters, and Unicode's controls of direction (`Bidi_Control`), with which one id is shown as another.
pub(crate) fn is_refused_in_id(char: char) -> bool {
    char.is_control() || turns_direction(char)
}

/// Whether `char` is a control of direction.
pub(crate) const fn turns_direction(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What one instance consumed in one period.
///
/// The fields stand in the order in which they are written. To [`crate::validate`] an event is valid when its ids are neither empty, nor
/// longer than [`MAX_ID_BYTES`], nor hold control characters or controls of direction; its figures are finite and not negative; its percentages
/// are at most 100; its period has a start before its end; and it was stamped at or after that end.
/// [`crate::validate::event_findings`] checks all of it. What is only implausible among this (a percentage over 100, a time
/// that can only be milliseconds, or is too early or too late) is delivered with a warning all the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageEvent {
    /// [`EVENT_TYPE`], `resource_usage`.
    #[cfg_attr(feature = "schema", schemars(extend("const" = EVENT_TYPE)))]
    pub event_type: String,
    /// The version of the format, `MAJOR.MINOR`; [`VERSION`], `1.0`, when written here.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^1\\.[0-9]+$")))]
    pub version: String,
    /// When the event was made, in Unix seconds.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 99_999_999_999i64)))]
    pub timestamp: i64,
    /// What was metered: a host, a container, a process.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_ID_BYTES), extend("pattern" = NO_CONTROL_CHARACTERS)))]
    pub instance_id: String,
    /// Who is billed.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_ID_BYTES), extend("pattern" = NO_CONTROL_CHARACTERS)))]
    pub user_id: String,
    /// The organization that the user belongs to; absent or `null` when there is none, written as `null`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_ID_BYTES), extend("pattern" = NO_CONTROL_CHARACTERS)))]
    pub org_id: Option<String>,
    /// What was consumed.
    #[serde(deserialize_with = "object")]
    pub metrics: UsageMetrics,
    /// When it was consumed.
    #[serde(deserialize_with = "object")]
    pub period: UsagePeriod,
}

/// The figures of one period. 1 GB is 2^30 bytes, 1 MB is 2^20 bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageMetrics {
    /// CPU time used, in whole seconds, summed over all CPUs.
    #[cfg_attr(feature = "schema", schemars(range(max = u64::MAX)))]
    pub cpu_seconds: u64,
    /// CPU time used, in percent of what the instance may use, 0 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 100.0)))]
    pub cpu_percent_avg: f64,
    /// Memory in use, time-weighted average, in GB.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub memory_gb: f64,
    /// Memory in use, time-weighted average, in percent of what the instance may use, 0 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 100.0)))]
    pub memory_percent: f64,
    /// Storage in use, time-weighted average, in GB.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub storage_gb: f64,
    /// Bytes sent, in MB.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub network_egress_mb: f64,
    /// Bytes received, in MB.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub network_ingress_mb: f64,
    /// GPU busy time, in whole seconds, summed over all GPUs.
    #[cfg_attr(feature = "schema", schemars(range(max = u64::MAX)))]
    pub gpu_seconds: u64,
}

/// A half-open span of time, `[start, end)`, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsagePeriod {
    /// The first second that belongs to the period.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 99_999_999_999i64)))]
    pub start: i64,
    /// The first second after the period.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 99_999_999_999i64)))]
    pub end: i64,
}

/// Reads `T` from an object alone: serde's derived readers take an array of the fields too, and the format does not.
fn object<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Object<T>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(serde::de::value::MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Object(std::marker::PhantomData))
}

impl UsageEvent {
    /// An event of this library's type and version, stamped with the current time.
    ///
    /// ```
    /// use form_usage_events::events::{UsageEvent, UsageMetrics, UsagePeriod};
    ///
    /// let metrics = UsageMetrics {
    ///     cpu_seconds: 30,
    ///     cpu_percent_avg: 12.5,
    ///     memory_gb: 4.2,
    ///     memory_percent: 52.5,
    ///     storage_gb: 25.7,
    ///     network_egress_mb: 15.2,
    ///     network_ingress_mb: 8.7,
    ///     gpu_seconds: 0,
    /// };
    /// let period = UsagePeriod { start: 1_626_350_400, end: 1_626_350_430 };
    /// let event = UsageEvent::new("instance-abc123".into(), "user_123456".into(), None, metrics, period);
    /// assert_eq!(event.event_type, "resource_usage");
    /// ```
    #[must_use]
    pub fn new(
        instance_id: String,
        user_id: String,
        org_id: Option<String>,
        metrics: UsageMetrics,
        period: UsagePeriod,
    ) -> Self {
        Self {
            event_type: EVENT_TYPE.to_owned(),
            version: VERSION.to_owned(),
            timestamp: SystemClock.unix_seconds(),
            instance_id,
            user_id,
            org_id,
            metrics,
            period,
        }
    }

    /// The metering key: two different events that share it are a conflict.
    #[must_use]
    pub fn metering_key(&self) -> (&str, UsagePeriod) {
        (&self.instance_id, self.period)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The event of the format's documentation.
    pub(crate) fn sample() -> UsageEvent {
        UsageEvent {
            event_type: EVENT_TYPE.into(),
            version: VERSION.into(),
            timestamp: 1_626_350_430,
            instance_id: "instance-abc123".into(),
            user_id: "user_123456".into(),
            org_id: Some("org_789012".into()),
            metrics: UsageMetrics {
                cpu_seconds: 30,
                cpu_percent_avg: 12.5,
                memory_gb: 4.2,
                memory_percent: 52.5,
                storage_gb: 25.7,
                network_egress_mb: 15.2,
                network_ingress_mb: 8.7,
                gpu_seconds: 0,
            },
            period: UsagePeriod { start: 1_626_350_400, end: 1_626_350_430 },
        }
    }

    /// Valid events.
    pub(crate) fn any_event() -> impl Strategy<Value = UsageEvent> {
        let figures = (
            any::<u64>(),
            0.0..=100.0f64,
            0.0..1e6f64,
            0.0..=100.0f64,
            0.0..1e9f64,
            0.0..1e9f64,
            0.0..1e9f64,
            any::<u64>(),
        );
        let ids = ("\\PC{1,40}", "\\PC{1,40}", proptest::option::of("\\PC{1,40}"));
        (ids, figures, 0..4_000_000_000i64, 1..86_400i64, 0..1_000i64).prop_map(
            |(ids, figures, start, length, late)| UsageEvent {
                event_type: EVENT_TYPE.into(),
                version: VERSION.into(),
                timestamp: start + length + late,
                instance_id: ids.0,
                user_id: ids.1,
                org_id: ids.2,
                metrics: UsageMetrics {
                    cpu_seconds: figures.0,
                    cpu_percent_avg: figures.1,
                    memory_gb: figures.2,
                    memory_percent: figures.3,
                    storage_gb: figures.4,
                    network_egress_mb: figures.5,
                    network_ingress_mb: figures.6,
                    gpu_seconds: figures.7,
                },
                period: UsagePeriod { start, end: start + length },
            },
        )
    }
}
