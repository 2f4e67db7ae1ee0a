//! What one destination may fill of the spool, so that one that hangs or refuses keeps no other one out.
//!
//! - **What waits**: where the spool knows several destinations, its last quarter is for those of which little waits.
//! - **Refused events** may fill a quarter for each destination. They are never dropped; nothing more is taken for that
//!   destination until somebody replays or purges them. Before they could fill the rest, whoever bills has been told.

use rusqlite::{Connection, params};

use super::SpoolError;
use super::group::Settlement;
use super::letters::ROW_BYTES;
use super::store::{Store, usage};

/// The part that is kept for destinations of which little waits, as a divisor.
const KEPT_SHARE: u64 = 4;
/// Little waits of a destination that has less than this part of the spool, as a divisor.
const LITTLE_SHARE: u64 = 8;
/// The part that the refused events of one destination may fill, as a divisor.
const REFUSED_EVENTS_SHARE: u64 = 4;
/// So much is kept of the reason of a refusal where the spool has no room for more: about what the row of an event takes
/// more than that of a dead letter.
const SHORT_REASON_BYTES: usize = 24;

impl Store {
    /// Refuses where events that the destination refused fill their share. The count is made anew then: somebody may have
    /// replayed or purged them.
    pub(super) fn check_refused_events(&mut self) -> Result<(), SpoolError> {
        let share = self.options.max_bytes / REFUSED_EVENTS_SHARE;
        let bytes = match self.refused_event_bytes {
            Some(bytes) if bytes <= share => return Ok(()),
            _ => refused_event_bytes(&self.connection, self.destination).map_err(|error| self.refuse(error))?,
        };
        self.refused_event_bytes = Some(bytes);
        if bytes <= share {
            return Ok(());
        }
        Err(SpoolError::RefusedEvents { path: self.path.clone(), destination: self.url.clone(), used: bytes, share })
    }

    /// Whether the spool would hold more than it may with the whole reasons of those that were refused.
    pub(super) fn reasons_exceed_room(&self, settled: &[Settlement]) -> rusqlite::Result<bool> {
        let reasons = settled.iter().filter_map(|it| it.dead.as_ref()).map(String::len).sum::<usize>() as u64;
        if reasons == 0 {
            return Ok(false);
        }
        let (used, _) = usage(&self.connection)?;
        Ok(used.saturating_add(reasons) > self.options.max_bytes)
    }
}

/// How many of `max` bytes may be in use when `coming` bytes are taken for `destination`.
pub(super) fn limit_of(connection: &Connection, destination: i64, coming: u64, max: u64) -> rusqlite::Result<u64> {
    let sql = "SELECT waiting_bytes, (SELECT count(*) FROM destinations) FROM destinations WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let (waiting, destinations): (i64, u64) =
        statement.query_row([destination], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let has_little = u64::try_from(waiting).unwrap_or(0).saturating_add(coming) <= max / LITTLE_SHARE;
    Ok(if destinations <= 1 || has_little { max } else { max - max / KEPT_SHARE })
}

/// Bytes of the events that `destination` refused.
fn refused_event_bytes(connection: &Connection, destination: i64) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(sum(length(raw) + length(reason) + ?2), 0) FROM dead_letters
               WHERE kind = 'dead' AND destination = ?1";
    connection.query_row(sql, params![destination, ROW_BYTES], |row| row.get(0))
}

/// As much of `reason` as is kept where the spool is full.
pub(super) fn shortened(reason: &str) -> String {
    if reason.len() <= SHORT_REASON_BYTES {
        return reason.to_owned();
    }
    format!("{}…", reason.get(..reason.floor_char_boundary(SHORT_REASON_BYTES)).unwrap_or_default())
}
