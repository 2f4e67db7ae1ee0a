//! What a threshold says, as it stands in a file, and what its violation says.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::states::{AlertSeverity, NoData};
use crate::units::{BYTE_UNITS, TIME_UNITS, TimeSpan, figure};

/// A description has so many bytes at most: alerts carry it.
pub const MAX_DESCRIPTION_BYTES: usize = 4096;

/// A threshold names so many channels at most.
pub const MAX_CHANNELS: usize = 64;

/// What `user_id` and `instance_id` say when they mean all of them.
pub const ANY: &str = "*";

/// A limit on one resource, for one user or all, on one instance or all, and what follows when it is exceeded.
///
/// A field that this type does not know is refused: a misspelt one would otherwise be a limit that nobody watches.
///
/// ```
/// use form_usage_events::threshold::{ActionType, ThresholdConfig};
///
/// let config: ThresholdConfig = serde_json::from_str(
///     r#"{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},
///         "action":"Notify","user_id":"*","notification_channels":["email"]}"#,
/// )?;
/// assert_eq!(config.action, ActionType::Notify);
/// assert_eq!(config.instance_id, None);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ThresholdConfig {
    /// Its name, unique among all thresholds of a source, not empty.
    pub id: String,
    /// What is limited.
    pub resource_type: ResourceType,
    /// The limit; it is exceeded by what is strictly greater.
    pub threshold_type: ThresholdType,
    /// What follows when it is exceeded.
    pub action: ActionType,
    /// The user that it applies to; [`ANY`] (`*`) is every user. It can't be left out, so that nobody sets a limit for
    /// everyone by forgetting a field.
    pub user_id: String,
    /// The instance that it applies to; every instance when absent, `null` or [`ANY`] (`*`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// Where [`ActionType::Notify`] sends to, by name; none when absent.
    #[serde(default)]
    pub notification_channels: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// How long it must be exceeded, over contiguous events, before it fires; at once when absent. `for` in a file.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<TimeSpan>,
    /// Once it fires it goes on until the value is at or below this, in the unit of the limit and not above it; the
    /// limit itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clear_value: Option<f64>,
    /// How often it is told again while it fires; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_interval: Option<TimeSpan>,
    /// How bad it is; `warning` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<AlertSeverity>,
    /// Whether it is in force; it is when absent.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[cfg_attr(feature = "schema", schemars(default = "yes"))]
    pub enabled: bool,
    /// What follows when the instance falls silent; `keep` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoData>,
    /// How long nothing may be heard of an instance before it counts as silent, from the end of its last period. When
    /// absent, three of its periods and five minutes at least. For instances that send events rarely or unevenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_data_after: Option<TimeSpan>,
}

const fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde calls
const fn is_yes(enabled: &bool) -> bool {
    *enabled
}

impl Default for ThresholdConfig {
    /// A threshold to be filled in: on all users and instances, logged, with all that is optional left out. Its `id` is
    /// empty, which no set of thresholds takes.
    ///
    /// ```
    /// use form_usage_events::threshold::{ActionType, ResourceType, ThresholdConfig, ThresholdType};
    ///
    /// let config = ThresholdConfig {
    ///     id: "cpu-high".to_string(),
    ///     resource_type: ResourceType::Cpu,
    ///     threshold_type: ThresholdType::Percentage { value: 80.0 },
    ///     action: ActionType::Notify,
    ///     user_id: "*".to_string(),
    ///     instance_id: None,
    ///     notification_channels: vec!["email".to_string()],
    ///     description: None,
    ///     ..Default::default()
    /// };
    /// assert!(config.enabled && !config.has_states());
    /// ```
    fn default() -> Self {
        Self::new("", ResourceType::Cpu, ThresholdType::Percentage { value: 100.0 }, ActionType::Log, ANY)
    }
}

impl ThresholdConfig {
    /// A threshold with all that is optional left out: on every instance of `user_id` ([`ANY`] for all users), told to
    /// no channel.
    ///
    /// ```
    /// use form_usage_events::threshold::{ANY, ActionType, ResourceType, ThresholdConfig, ThresholdType};
    ///
    /// let limit = ThresholdType::Percentage { value: 80.0 };
    /// let config = ThresholdConfig {
    ///     hold: Some("5m".parse()?),
    ///     ..ThresholdConfig::new("cpu-high", ResourceType::Cpu, limit, ActionType::Log, ANY)
    /// };
    /// assert!(config.has_states());
    /// # Ok::<(), form_usage_events::units::ParseSpanError>(())
    /// ```
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        resource_type: ResourceType,
        threshold_type: ThresholdType,
        action: ActionType,
        user_id: impl Into<String>,
    ) -> Self {
        Self {
            id: id.into(),
            resource_type,
            threshold_type,
            action,
            user_id: user_id.into(),
            instance_id: None,
            notification_channels: Vec::new(),
            description: None,
            hold: None,
            clear_value: None,
            repeat_interval: None,
            severity: None,
            enabled: true,
            no_data: None,
            no_data_after: None,
        }
    }

    /// Whether its violations have states (pending, firing, resolved), so that only their changes are told. They have
    /// when `for`, `clear_value`, `repeat_interval` or `no_data` is set; otherwise every violation is told.
    #[must_use]
    pub const fn has_states(&self) -> bool {
        self.hold.is_some() || self.clear_value.is_some() || self.repeat_interval.is_some() || self.no_data.is_some()
    }

    /// How bad it is: as set, or [`AlertSeverity::Warning`].
    #[must_use]
    pub fn severity(&self) -> AlertSeverity {
        self.severity.unwrap_or_default()
    }

    /// Whether it is for an instance of a user.
    #[must_use]
    pub fn applies_to(&self, user: &str, instance: &str) -> bool {
        self.only_user().is_none_or(|only| only == user) && self.only_instance().is_none_or(|only| only == instance)
    }

    /// The one user that it applies to; `None` for all.
    #[must_use]
    pub fn only_user(&self) -> Option<&str> {
        Some(self.user_id.as_str()).filter(|user| *user != ANY)
    }

    /// The one instance that it applies to; `None` for all.
    #[must_use]
    pub fn only_instance(&self) -> Option<&str> {
        self.instance_id.as_deref().filter(|instance| *instance != ANY)
    }
}

/// What a threshold limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ResourceType {
    /// CPU: `cpu_percent_avg`, or `cpu_seconds` against a time.
    Cpu,
    /// Memory: `memory_percent`, or `memory_gb` against a size.
    Memory,
    /// Storage: `storage_gb` against a size. Events carry no capacity, so that it has no percentage.
    Storage,
    /// Bytes sent: `network_egress_mb` against a size.
    NetworkEgress,
    /// Bytes received: `network_ingress_mb` against a size.
    NetworkIngress,
    /// GPU: `gpu_seconds` against a time.
    Gpu,
}

impl ResourceType {
    /// Every resource.
    pub const ALL: [Self; 6] =
        [Self::Cpu, Self::Memory, Self::Storage, Self::NetworkEgress, Self::NetworkIngress, Self::Gpu];

    /// Its name, as files write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "Cpu",
            Self::Memory => "Memory",
            Self::Storage => "Storage",
            Self::NetworkEgress => "NetworkEgress",
            Self::NetworkIngress => "NetworkIngress",
            Self::Gpu => "Gpu",
        }
    }

    /// The metric that an absolute limit is compared with.
    #[must_use]
    pub const fn metric(self) -> &'static str {
        match self {
            Self::Cpu => "cpu_seconds",
            Self::Memory => "memory_gb",
            Self::Storage => "storage_gb",
            Self::NetworkEgress => "network_egress_mb",
            Self::NetworkIngress => "network_ingress_mb",
            Self::Gpu => "gpu_seconds",
        }
    }

    /// The metric that a percentage is compared with; `None` where events carry nothing to compare.
    #[must_use]
    pub const fn percent_metric(self) -> Option<&'static str> {
        match self {
            Self::Cpu => Some("cpu_percent_avg"),
            Self::Memory => Some("memory_percent"),
            Self::Storage | Self::NetworkEgress | Self::NetworkIngress | Self::Gpu => None,
        }
    }

    /// The names of the units that an absolute limit may be written in.
    #[must_use]
    pub const fn units(self) -> &'static [&'static str] {
        match self {
            Self::Cpu | Self::Gpu => TIME_UNITS,
            Self::Memory | Self::Storage | Self::NetworkEgress | Self::NetworkIngress => BYTE_UNITS,
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub enum ThresholdType {
    /// An amount in one period, of [`ResourceType::metric`].
    Absolute {
        /// Finite, not negative.
        value: f64,
        /// One of [`ResourceType::units`].
        unit: String,
    },
    /// A percentage of what the instance may use, of [`ResourceType::percent_metric`].
    Percentage {
        /// 0 to 100.
        value: f64,
    },
}

impl ThresholdType {
    /// The number, in [`ThresholdType::unit`].
    #[must_use]
    pub const fn value(&self) -> f64 {
        match self {
            Self::Absolute { value, .. } | Self::Percentage { value } => *value,
        }
    }

    /// The unit of the number; `%` for a percentage.
    #[must_use]
    pub fn unit(&self) -> &str {
        match self {
            Self::Absolute { unit, .. } => unit,
            Self::Percentage { .. } => "%",
        }
    }
}

impl fmt::Display for ThresholdType {
    /// As people write it: `80 %`, `4 GB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", figure(self.value()), self.unit())
    }
}

/// What follows when a threshold is exceeded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ActionType {
    /// A structured log line.
    Log,
    /// A message to each of the notification channels.
    Notify,
    /// What this name is bound to.
    Action(String),
}

impl fmt::Display for ActionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log => f.write_str("Log"),
            Self::Notify => f.write_str("Notify"),
            Self::Action(name) => write!(f, "Action({name})"),
        }
    }
}

/// A threshold that an event exceeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ThresholdViolation {
    /// The threshold.
    pub config: Arc<ThresholdConfig>,
    /// What the event says, in the threshold's own unit ([`ThresholdType::unit`]).
    pub current_value: f64,
    /// The limit, in the same unit.
    pub threshold_value: f64,
    /// How far over the threshold, in percent of it: 95 against a limit of 80 is 18.75. It is always finite: over a
    /// limit of 0, where no percentage exists, it is the largest number there is ([`f64::MAX`]), so that it still sorts
    /// above every other.
    pub percentage: f64,
    /// The event's own time, in Unix seconds.
    pub timestamp: i64,
    /// The instance that the event is of.
    pub instance_id: String,
    /// The user that the event is of.
    pub user_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{"id":"cpu-high","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80.0}},"action":"Notify","user_id":"*","notification_channels":["email"]}"#;

    #[test]
    fn reads_and_writes_the_documented_form() {
        let config: ThresholdConfig = serde_json::from_str(EXAMPLE).unwrap();
        assert_eq!(config.threshold_type, ThresholdType::Percentage { value: 80.0 });
        assert_eq!((config.only_user(), config.only_instance()), (None, None));
        assert_eq!(serde_json::to_string(&config).unwrap(), EXAMPLE);
    }

    #[test]
    fn reads_every_optional_field_and_every_variant() {
        let config: ThresholdConfig = serde_json::from_str(
            r#"{"id":"x","resource_type":"Gpu","threshold_type":{"Absolute":{"value":2,"unit":"h"}},
                "action":{"Action":"scale-down"},"user_id":"u","instance_id":"i","description":"two hours"}"#,
        )
        .unwrap();
        assert_eq!(config.action, ActionType::Action("scale-down".into()));
        assert_eq!((config.only_user(), config.only_instance()), (Some("u"), Some("i")));
        assert!(config.notification_channels.is_empty());
        assert_eq!(config.threshold_type.to_string(), "2 h");
    }

    #[test]
    fn a_star_is_every_instance() {
        let text = EXAMPLE.replace(r#""user_id""#, r#""instance_id":"*","user_id""#);
        let config: ThresholdConfig = serde_json::from_str(&text).unwrap();
        assert_eq!(config.only_instance(), None);
    }

    #[test]
    fn refuses_unknown_fields_and_a_missing_user() {
        for (from, to) in [
            (r#""id""#, r#""ids":1,"id""#),
            (r#""value":80.0"#, r#""value":80.0,"unit":"%""#),
            (r#""user_id":"*","#, ""),
            ("Percentage", "Percent"),
        ] {
            let text = EXAMPLE.replace(from, to);
            assert!(serde_json::from_str::<ThresholdConfig>(&text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_resource_is_written_by_its_name() {
        for resource in ResourceType::ALL {
            assert_eq!(serde_json::to_value(resource).unwrap(), resource.name());
        }
    }
}
