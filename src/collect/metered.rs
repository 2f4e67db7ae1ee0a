//! What metering gives: an event, and what its bill says beside.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::events::{MetricSet, UsageEvent, to_compact_json};

/// What an event says beside its figures: names and values of the operator's own.
pub type Labels = BTreeMap<String, String>;

/// Who is billed for the instances of a scope, where no template of the scope says so, and what their events say beside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// The `user_id`.
    pub user: String,
    /// The `org_id`.
    pub org: Option<String>,
    /// The `labels`.
    pub labels: Arc<Labels>,
}

/// An event and its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Metered {
    /// The event.
    pub event: UsageEvent,
    /// Written behind the event's own fields, where there are any.
    pub labels: Arc<Labels>,
    /// Metrics that could not be measured, in whole or for a part of the period: what the event has of them is a lower
    /// bound. Written behind the labels, where there are any.
    pub not_metered: MetricSet,
}

impl Metered {
    /// The event as compact JSON, without a line end; behind `period`, where there are any, the object
    /// `labels` and the array `not_metered`.
    ///
    /// # Errors
    /// When a figure is infinite or not a number, which JSON has no way to say. The meter gives none.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        let mut line = to_compact_json(&self.event)?;
        if !self.labels.is_empty() {
            line.pop();
            line.push_str(",\"labels\":");
            line.push_str(&serde_json::to_string(&*self.labels)?);
            line.push('}');
        }
        if !self.not_metered.is_empty() {
            let names: Vec<&str> = self.not_metered.names().collect();
            line.pop();
            line.push_str(",\"not_metered\":");
            line.push_str(&serde_json::to_string(&names)?);
            line.push('}');
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EncodedEvent;
    use crate::events::tests::sample;

    #[test]
    fn labels_stand_behind_the_period_and_ride_along() {
        let labels = Labels::from([("tier".into(), "gold \"1\"".into()), ("region".into(), "eu".into())]);
        let metered = Metered { event: sample(), labels: Arc::new(labels), not_metered: MetricSet::NONE };
        let line = metered.to_line().unwrap();
        assert!(line.ends_with(r#""end":1626350430},"labels":{"region":"eu","tier":"gold \"1\""}}"#), "{line}");
        let read = EncodedEvent::decode(line.as_bytes()).unwrap();
        assert_eq!((read.event(), read.body()), (&sample(), line.as_bytes()));
        let unknown = MetricSet::STORAGE.union(MetricSet::NETWORK);
        let partly = Metered { not_metered: unknown, ..metered.clone() }.to_line().unwrap();
        let tail = r#","not_metered":["storage_gb","network_egress_mb","network_ingress_mb"]}"#;
        assert_eq!(partly, format!("{}{tail}", line.strip_suffix('}').unwrap()));
        assert_eq!(EncodedEvent::decode(partly.as_bytes()).unwrap().event(), &sample());
        let bare = Metered { labels: Arc::default(), ..metered };
        assert_eq!(bare.to_line().unwrap(), to_compact_json(&sample()).unwrap());
    }
}
