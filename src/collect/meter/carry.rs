//! Carried rounding: whole seconds whose sum is the whole.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What earlier periods left over, less than a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Carry {
    left: Duration,
}

impl Carry {
    /// The whole seconds that are complete with `used`; what is left over goes into the next period.
    pub(super) fn whole_seconds(&mut self, used: Duration) -> u64 {
        let total = self.left.saturating_add(used);
        self.left = Duration::from_nanos(u64::from(total.subsec_nanos()));
        total.as_secs()
    }
}
