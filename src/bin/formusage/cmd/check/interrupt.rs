//! What a signal does to `check` in a pipeline.
//!
//! Ctrl-C and a service's stop reach every process of a pipeline at once. The one in front then closes its period and
//! writes a last event; if `check` died of the same signal, that event would be metered and lost. So it reads on to
//! the end of its input, but not for ever.

use std::time::Duration;

use crate::signals::{Ending, Shutdown};

/// How long the input may go on after the first signal.
const GRACE: Duration = Duration::from_secs(5);

/// From now on the first SIGINT or SIGTERM lets the input come to its end within [`GRACE`]; the second ends at once.
///
/// `overdue` is the message when the time to finish is over and the process is ended: it says what became of the events that
/// were read.
pub(crate) fn outlive_the_first_signal(overdue: &'static str) -> anyhow::Result<()> {
    Shutdown::listen(Ending {
        announcement: "reading on to the end of the input, for 5 s at most; once more to stop now",
        finish_time: GRACE,
        abort_time: Duration::ZERO,
        overdue: overdue.into(),
    })?;
    Ok(())
}
