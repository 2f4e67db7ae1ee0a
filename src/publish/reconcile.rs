//! Reconciliation: what the destination should hold against what it holds.
//!
//! The Form queue's acknowledgement does not survive its restart. The spool keeps delivered events for a while, so that
//! what is gone there can be sent again, under the same ids.

use crate::events::EventId;
use crate::spool::{SpoolError, SpoolFile};
use crate::transport::{Failure, Polled, Source};

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Delivered events that the spool keeps for the destination.
    pub retained: u64,
    /// Messages that the destination holds, whoever sent them.
    pub held: u64,
    /// Numbers, in the spool, of events that the destination acknowledged and no longer holds; in order.
    pub missing: Vec<u64>,
}

/// Why nothing could be compared. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The destination could not be read to its end.
    #[error(transparent)]
    Source(#[from] Failure),
}

/// Compares, by id, the delivered events that `spool` keeps for `destination` with what `source` gives back, read in
/// pieces. Memory grows with the number of retained events (some 40 bytes each), not with what the destination holds.
///
/// # Errors
/// When either can't be read.
pub async fn reconcile(
    spool: &SpoolFile,
    destination: &str,
    source: &mut dyn Source,
) -> Result<Reconciliation, ReconcileError> {
    // The ids first: what is delivered while the destination is read is no concern of this look.
    let mut expected = spool.retained_ids(destination)?;
    let mut found = Reconciliation { retained: expected.len() as u64, ..Reconciliation::default() };
    loop {
        let polled = match source.poll().await? {
            Polled::UpToDate => source.rest().await?,
            polled => polled,
        };
        match polled {
            Polled::Messages(messages) => {
                found.held += messages.len() as u64;
                for message in messages {
                    expected.remove(&EventId::of(&message.body));
                }
            }
            Polled::UpToDate | Polled::Absent(_) => break,
        }
    }
    found.missing = expected.into_values().flatten().collect();
    found.missing.sort_unstable();
    Ok(found)
}
