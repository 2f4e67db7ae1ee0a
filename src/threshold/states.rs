//! Words of a threshold whose violations have states.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad it is that a threshold is exceeded; the worse is the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum AlertSeverity {
    /// Good to know.
    Info,
    /// Somebody should look.
    #[default]
    Warning,
    /// Somebody has to act now.
    Critical,
}

impl AlertSeverity {
    /// Every severity.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    /// Its name, as files write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for AlertSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What follows when an instance falls silent. It is never taken for an all-clear without a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NoData {
    /// What fires goes on firing.
    #[default]
    Keep,
    /// What fires is resolved, and the reason is told.
    Resolve,
    /// The silence is told as an alert of its own, also of instances where all was well.
    Alert,
}

impl NoData {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Resolve, Self::Alert];

    /// Its name, as files write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Resolve => "resolve",
            Self::Alert => "alert",
        }
    }
}

impl fmt::Display for NoData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
