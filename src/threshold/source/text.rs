//! From the texts of a source to thresholds: validation, and one id once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::Deserialize;

use super::{Loaded, SourceError};
use crate::threshold::ThresholdConfig;
use crate::validate::{Place, Severity, threshold_findings};

/// Takes the texts of a source one by one; says all that is wrong in all of them, not only the first fault.
#[derive(Debug, Default)]
pub(super) struct Texts {
    loaded: Loaded,
    problems: Vec<String>,
    /// Which text an id stood in first.
    first: HashMap<String, String>,
}

impl Texts {
    /// Takes `text`, which people know by `name`.
    pub(super) fn add(&mut self, name: &str, text: &[u8]) {
        let configs = self.parse(name, text);
        for config in &configs {
            match self.first.entry(config.id.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(name.to_owned());
                }
                Entry::Occupied(entry) => self.problems.push(format!(
                    "{name}: threshold id `{}` is also in {}; an id may stand once in a source: rename one of them",
                    config.id,
                    entry.get()
                )),
            }
        }
        self.loaded.configs.extend(configs);
    }

    /// One of the texts can't be read.
    pub(super) fn unreadable(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// What the texts hold.
    pub(super) fn finish(self) -> Result<Loaded, SourceError> {
        if self.problems.is_empty() { Ok(self.loaded) } else { Err(SourceError { problems: self.problems }) }
    }

    /// The thresholds of a text without faults; adds the faults otherwise.
    fn parse(&mut self, name: &str, text: &[u8]) -> Vec<ThresholdConfig> {
        let findings = threshold_findings(text);
        // No threshold has this field, and every event begins with it.
        let events = |place: &Place| matches!(&*place.pointer, "/event_type" | "/0/event_type");
        if findings.iter().filter_map(|finding| finding.place.as_ref()).any(events) {
            self.problems
                .push(format!("{name} holds usage events where thresholds are expected; are the two swapped?"));
            return Vec::new();
        }
        let mut faulty = false;
        for finding in findings {
            faulty |= finding.severity == Severity::Error;
            let list = if finding.severity == Severity::Error { &mut self.problems } else { &mut self.loaded.warnings };
            list.push(format!("{name}:{finding}"));
        }
        if faulty {
            return Vec::new();
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let parsed = if text.trim_ascii_start().starts_with(b"[") {
            serde_json::from_slice::<Several>(text).map(|several| several.0)
        } else {
            serde_json::from_slice(text).map(|config| vec![config])
        };
        parsed.unwrap_or_else(|error| {
            // Validation should have said it already; a fault that it does not know is still one.
            self.problems.push(format!("{name}:{}:{}: error: {error}", error.line(), error.column()));
            Vec::new()
        })
    }
}

/// One threshold, or several.
#[derive(Deserialize)]
#[serde(transparent)]
struct Several(Vec<ThresholdConfig>);
