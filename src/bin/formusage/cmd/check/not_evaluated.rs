//! Thresholds that events could not be held against, since the metric that they are on was not metered.

use std::collections::BTreeMap;

use crate::output::{counted, printable, say};

/// So many thresholds are named for people; the others are counted.
const NAMED: usize = 5;

/// By threshold.
#[derive(Debug, Default)]
pub(super) struct NotEvaluated {
    lacks: BTreeMap<String, Lack>,
}

/// What one threshold lacked.
#[derive(Debug)]
pub(super) struct Lack {
    metric: &'static str,
    events: u64,
    /// Where the first such event stands.
    pub(super) file: String,
    pub(super) line: u64,
}

impl NotEvaluated {
    /// Takes in that the event on this line lacks the metric of a threshold.
    pub(super) fn add(&mut self, file: &str, line: u64, threshold: &str, metric: &'static str) {
        if let Some(lack) = self.lacks.get_mut(threshold) {
            lack.events += 1;
        } else {
            self.lacks.insert(threshold.to_owned(), Lack { metric, events: 1, file: file.to_owned(), line });
        }
    }

    /// Each threshold, sorted by id.
    pub(super) fn each(&self) -> impl Iterator<Item = (&str, &Lack)> {
        self.lacks.iter().map(|(id, lack)| (&**id, lack))
    }

    /// Warns people, whatever the format: a threshold that can't fire looks like one that does not.
    pub(super) fn warn(&self) {
        for (id, lack) in self.each().take(NAMED) {
            say(&lack.words(id));
        }
        if self.lacks.len() > NAMED {
            say(&format!("{} more thresholds were not evaluated for the same reason", self.lacks.len() - NAMED));
        }
    }
}

impl Lack {
    /// What was not evaluated, why, and what to do.
    pub(super) fn words(&self, threshold: &str) -> String {
        format!(
            "threshold {} was not evaluated for {}, first on line {} of {}: {} was not metered; the log of formusage collect \
             says why",
            printable(threshold),
            counted(self.events, "event", "events"),
            self.line,
            printable(&self.file),
            self.metric
        )
    }
}
