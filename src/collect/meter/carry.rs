//! Carried rounding: whole seconds whose sum is the whole.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What earlier periods left over: less than a second, until others' is added.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Carry {
    left: Duration,
}

impl Carry {
    /// Takes over what another one has left.
    pub(super) fn absorb(&mut self, other: &mut Self) {
        self.left = self.left.saturating_add(std::mem::take(&mut other.left));
    }

    /// What is left.
    pub(super) const fn left(&self) -> Duration {
        self.left
    }

    /// The whole seconds that are complete with `used`; what is left over goes into the next period.
    pub(super) fn whole_seconds(&mut self, used: Duration) -> u64 {
        let total = self.left.saturating_add(used);
        self.left = Duration::from_nanos(u64::from(total.subsec_nanos()));
        total.as_secs()
    }
}
