//! How bad each code is held to be, where that is set otherwise.

use std::collections::BTreeMap;

use super::{Code, Finding, Severity};

/// What becomes of the findings of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// They are not told and not counted.
    Ignore,
    /// They are told, with this severity.
    At(Severity),
}

/// Overrides of severities; empty, every finding has its own.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    strict: bool,
    overrides: BTreeMap<Code, Level>,
}

impl Levels {
    /// Warnings count as errors, but for codes that have a level of their own.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        Self { strict, ..self }
    }

    /// Sets the level of a code; the last one counts.
    #[must_use]
    pub fn with(mut self, code: Code, level: Level) -> Self {
        self.overrides.insert(code, level);
        self
    }

    /// The finding with its severity; `None` where it is ignored.
    pub(super) fn apply(&self, mut finding: Finding) -> Option<Finding> {
        match self.overrides.get(&finding.code) {
            Some(Level::Ignore) => return None,
            Some(Level::At(severity)) => finding.severity = *severity,
            None if self.strict => finding.severity = Severity::Error,
            None => {}
        }
        Some(finding)
    }
}
