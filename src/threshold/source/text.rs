//! From the texts of a source to thresholds: validation, and one id once.
//!
//! Of faults and warnings the first few are kept and the others counted: a text may have millions of them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::Deserialize;

use super::{Loaded, SourceError};
use crate::first_few::{FirstFew, KEPT_MESSAGES};
use crate::threshold::ThresholdConfig;
use crate::validate::{FirstFindings, Place, Severity, first_threshold_findings};

/// Takes the texts of a source one by one; says what is wrong in all of them, not only the first fault.
#[derive(Debug, Default)]
pub(super) struct Texts {
    configs: Vec<ThresholdConfig>,
    warnings: FirstFew,
    problems: FirstFew,
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
                Entry::Occupied(entry) => self.problems.push_with(|| {
                    let (id, other) = (&config.id, entry.get());
                    format!(
                        "{name}: threshold id `{id}` is also in {other}; an id may stand once in a source: rename one of them"
                    )
                }),
            }
        }
        self.configs.extend(configs);
    }

    /// One of the texts can't be read.
    pub(super) fn unreadable(&mut self, problem: String) {
        self.problems.push_with(|| problem);
    }

    /// What the texts hold.
    pub(super) fn finish(self) -> Result<Loaded, SourceError> {
        if self.problems.is_empty() {
            return Ok(Loaded { configs: self.configs, warnings: self.warnings.into_list("warnings") });
        }
        let (problems, left_out) = self.problems.into_parts();
        Err(SourceError { problems, left_out })
    }

    /// The thresholds of a text without faults; adds the faults otherwise.
    fn parse(&mut self, name: &str, text: &[u8]) -> Vec<ThresholdConfig> {
        let FirstFindings { findings, errors_left_out, warnings_left_out } =
            first_threshold_findings(text, KEPT_MESSAGES);
        // No threshold has this field, and every event begins with it.
        let events = |place: &Place| matches!(&*place.pointer, "/event_type" | "/0/event_type");
        if findings.iter().filter_map(|finding| finding.place.as_ref()).any(events) {
            let swapped = || format!("{name} holds usage events where thresholds are expected; are the two swapped?");
            self.problems.push_with(swapped);
            return Vec::new();
        }
        let mut faulty = false;
        for finding in findings {
            faulty |= finding.severity == Severity::Error;
            let list = if finding.severity == Severity::Error { &mut self.problems } else { &mut self.warnings };
            list.push_with(|| format!("{name}:{finding}"));
        }
        self.problems.leave_out(errors_left_out);
        self.warnings.leave_out(warnings_left_out);
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
            self.problems.push_with(|| format!("{name}:{}:{}: error: {error}", error.line(), error.column()));
            Vec::new()
        })
    }
}

/// One threshold, or several.
#[derive(Deserialize)]
#[serde(transparent)]
struct Several(Vec<ThresholdConfig>);

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Loaded, SourceError> {
        let mut texts = Texts::default();
        texts.add("t.json", text.as_bytes());
        texts.finish()
    }

    #[test]
    fn faults_and_warnings_beyond_a_few_are_counted() {
        let error = load(&format!("[{}]", vec!["{}"; 1_000].join(","))).unwrap_err();
        assert_eq!((error.problems().len(), error.left_out()), (KEPT_MESSAGES, 5_000 - KEPT_MESSAGES as u64));
        let said = error.to_string();
        assert!(said.len() < 4_000 && said.ends_with("and 4980 more faults, not named here"), "{said}");

        let threshold = |id: usize, unit: &str| {
            format!(
                r#"{{"id":"{id}","resource_type":"Memory","threshold_type":{{"Absolute":{{"value":0,"unit":"{unit}"}}}},"action":"Log","user_id":"*"}}"#
            )
        };
        let same: Vec<String> = (0..90).map(|_| threshold(1, "GB")).collect();
        assert_eq!(load(&format!("[{}]", same.join(","))).unwrap_err().left_out(), 89 - KEPT_MESSAGES as u64);
        let odd: Vec<String> = (0..90).map(|id| threshold(id, "GB")).collect();
        let loaded = load(&format!("[{}]", odd.join(","))).unwrap();
        assert_eq!((loaded.configs.len(), loaded.warnings.len()), (90, KEPT_MESSAGES + 1));
        assert_eq!(loaded.warnings[KEPT_MESSAGES], "and 70 more warnings, not named here");
    }

    #[test]
    fn a_text_of_too_many_values_or_faults_is_read_no_further() {
        let list = |item: &str, times: usize| format!("[{}1]", format!("{item},").repeat(times));
        for (text, named) in [(list("1", 4_000_001), "more than 4000000 values"), (list("", 100_000), "10000 faults")] {
            let error = load(&text).unwrap_err();
            assert!(error.left_out() <= 10_000, "{}", error.left_out());
            assert!(
                first_threshold_findings(text.as_bytes(), 20_000).findings.iter().any(|it| it.message.contains(named))
            );
        }
        // Faulty ones: what comes behind so many is not looked at.
        let error = load(&format!("[{}]", vec!["{}"; 20_000].join(","))).unwrap_err();
        assert!(error.left_out() < 60_000, "{}", error.left_out());
    }
}
