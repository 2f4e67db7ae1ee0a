//! What can't be read is said once, not at every look.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// What failed already and was said, and of whom.
#[derive(Debug, Default)]
pub(super) struct Once {
    failed: BTreeMap<&'static str, BTreeSet<String>>,
}

impl Once {
    /// `result`'s value. A failure is said the first time, and when it is over for all that it was of.
    pub(super) fn part<T>(&mut self, instance: &str, what: &'static str, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => {
                if !self.failed.is_empty() {
                    self.works(instance, what);
                }
                Some(value)
            }
            Err(error) => {
                let whose = self.failed.entry(what).or_default();
                if whose.is_empty() {
                    tracing::warn!(instance, "its {what} is NOT metered: {error}. The other figures are");
                }
                if !whose.contains(instance) {
                    whose.insert(instance.to_owned());
                }
                None
            }
        }
    }

    fn works(&mut self, instance: &str, what: &'static str) {
        if let Some(whose) = self.failed.get_mut(what)
            && whose.remove(instance)
            && whose.is_empty()
        {
            self.failed.remove(what);
            tracing::info!(instance, "its {what} is metered again");
        }
    }

    /// An instance is gone, and what was said of it may be forgotten.
    pub(super) fn forget(&mut self, instance: &str) {
        self.failed.retain(|_, whose| {
            whose.remove(instance);
            !whose.is_empty()
        });
    }
}
