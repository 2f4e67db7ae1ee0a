//! How far the input of a run is in its spool, for whoever has to say where to go on when the run is cut short.

use std::sync::{Arc, Mutex, PoisonError};

use super::intake::Origin;

/// Counts the lines of the input that are in the spool. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct AcceptedLines(Arc<Mutex<Accepted>>);

/// The lines of the input that are in the spool, refused ones among them.
#[derive(Debug, Clone, Default)]
pub struct Accepted {
    /// How many they are.
    pub lines: u64,
    /// The last of them.
    pub last: Option<Origin>,
}

impl AcceptedLines {
    /// What is in the spool by now.
    #[must_use]
    pub fn now(&self) -> Accepted {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// So many more lines are in the spool, down to the one at `last`.
    #[cfg(feature = "sqlite")]
    pub(super) fn add(&self, lines: u64, last: Option<Origin>) {
        let mut accepted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.lines += lines;
        accepted.last = last.or(accepted.last.take());
    }
}
