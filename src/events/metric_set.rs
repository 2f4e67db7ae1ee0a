//! Sets of an event's metrics: which of them could not be measured.

use serde::{Deserialize, Serialize};

/// The names of the metrics, in the order in which an event has them.
pub(crate) const METRIC_NAMES: [&str; 8] = [
    "cpu_seconds",
    "cpu_percent_avg",
    "memory_gb",
    "memory_percent",
    "storage_gb",
    "network_egress_mb",
    "network_ingress_mb",
    "gpu_seconds",
];

/// Some of the metrics of an event. An event's `not_metered` names those that could not be measured, in whole or for a
/// part of the period: they hold what was measured, a lower bound, which is 0 where nothing was.
///
/// As JSON it is the array of the names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<&'static str>", from = "Vec<String>")]
pub struct MetricSet(u8);

impl From<MetricSet> for Vec<&'static str> {
    fn from(set: MetricSet) -> Self {
        set.names().collect()
    }
}

/// Names that are no metrics are passed over.
impl From<Vec<String>> for MetricSet {
    fn from(names: Vec<String>) -> Self {
        let bit = |name: &String| METRIC_NAMES.iter().position(|known| known == name).map_or(0, |bit| 1 << bit);
        Self(names.iter().map(bit).fold(0, |bits, bit| bits | bit))
    }
}

/// The only field of an event that is looked at.
#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    not_metered: MetricSet,
}

impl MetricSet {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// `cpu_seconds` and `cpu_percent_avg`.
    pub const CPU: Self = Self(0b11);
    /// `cpu_percent_avg` alone.
    pub const CPU_PERCENT: Self = Self(0b10);
    /// `memory_gb` and `memory_percent`.
    pub const MEMORY: Self = Self(0b1100);
    /// `memory_gb` alone.
    pub const MEMORY_GB: Self = Self(0b100);
    /// `memory_percent` alone.
    pub const MEMORY_PERCENT: Self = Self(0b1000);
    /// `storage_gb`.
    pub const STORAGE: Self = Self(0b1_0000);
    /// `network_egress_mb` and `network_ingress_mb`.
    pub const NETWORK: Self = Self(0b110_0000);
    /// `gpu_seconds`.
    pub const GPU: Self = Self(0b1000_0000);

    /// These metrics if `condition` holds, else none.
    #[must_use]
    pub const fn only_if(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }

    /// The metrics of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether some metric is in both sets.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The metrics that an event names in its `not_metered`; `text` is its JSON.
    #[must_use]
    pub fn not_metered_in(text: &[u8]) -> Self {
        // Most events have no such field, which is found out faster than the text is read.
        if memchr::memmem::find(text, b"\"not_metered\"").is_none() {
            return Self::NONE;
        }
        serde_json::from_slice(text).map_or(Self::NONE, |named: Named| named.not_metered)
    }

    /// The metric at a place of an event's metrics alone.
    pub(crate) const fn at(place: usize) -> Self {
        Self(1 << place)
    }

    /// Whether no metric is in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// The names of the metrics, in the order in which an event has them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        METRIC_NAMES.into_iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| name)
    }

    /// The names of all metrics of an event, in their order.
    #[must_use]
    pub const fn all_names() -> &'static [&'static str] {
        &METRIC_NAMES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::sample;

    #[test]
    fn names_are_those_of_an_event_in_its_order() {
        let text = serde_json::to_string(&sample().metrics).unwrap();
        let places: Vec<usize> = METRIC_NAMES.iter().map(|name| text.find(&format!("\"{name}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
        let both = MetricSet::GPU.union(MetricSet::STORAGE);
        assert_eq!(both.names().collect::<Vec<_>>(), ["storage_gb", "gpu_seconds"]);
        assert_eq!(serde_json::to_string(&both).unwrap(), r#"["storage_gb","gpu_seconds"]"#);
        let read = |text: &str| MetricSet::not_metered_in(text.as_bytes());
        assert_eq!(read(r#"{"period":{},"not_metered":["gpu_seconds","x","storage_gb"]}"#), both);
        assert!(["{}", r#"{"a":"not_metered"}"#, r#"{"not_metered":[1]}"#].iter().all(|text| read(text).is_empty()));
        assert!(both.intersects(MetricSet::GPU) && !both.intersects(MetricSet::CPU) && MetricSet::NONE.is_empty());
    }
}
