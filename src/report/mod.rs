//! Reports: what many events add up to, per user, organization, instance and day.
//!
//! ```text
//! UsageEvent, one at a time ─► Aggregator (sums, known periods, steps for plots) ─► Report ─► rows, findings, a page
//! ```
//!
//! **Sums are exact.** Seconds are integers; floats are added without rounding and rounded once in the end, so that
//! neither the order of the input nor its division shows in a total. A period that crosses midnight is divided in
//! proportion between the days; what the days have of it adds up to the whole, to the second and the byte.
//!
//! **Each event counts once.** A repeat, the same bytes under the same metering key, is counted as such and not added.
//! Two different events with one key are a conflict: both are in the sums, as in any overlap, and both are named.
//!
//! **No event is kept**, but what is needed to tell repeats from conflicts: 16 bytes for each, where periods are
//! contiguous. A row takes about 300 bytes, and is made into text when it is written. Plots are drawn from steps whose
//! number is bounded.
//!
//! Pure: no clock, no I/O.

mod aggregate;
mod continuity;
mod exact;
mod figures;
mod groups;
mod html;
mod names;
mod output;
mod periods;
mod series;
mod tally;
#[cfg(test)]
mod tests;
mod zone;

pub use aggregate::{Added, Aggregator, InputId, Options};
pub use continuity::{Conflict, Findings, Stretch};
pub use figures::{Figures, Peak, Peaks};
pub use html::PlotError;
pub use output::{Crossing, Dimension, ImplausiblePeriods, Place, Report, Row};
pub use zone::{Zone, ZoneError};
