//! What one destination may fill of the spool, so that one that hangs or refuses keeps no other one out.
//!
//! - **The last quarter** is for destinations of which little is there, waiting and refused together: one that hangs
//!   leaves room for one that delivers, also for one that comes later.
//! - **What was read ahead** of a pipe goes a little further, in proportion to the spool, and half as much is read ahead.
//! - **Refused events** may fill a quarter for each destination. They are never dropped; nothing more is taken for that
//!   destination until somebody replays or purges them. Before they could fill the rest, whoever bills has been told.

use rusqlite::{Connection, params};

use super::group::{Room, Settlement};
use super::letters::ROW_BYTES;
use super::store::{Store, usage};
use super::{NewItem, SpoolError};
use crate::database::MAX_VALUE_BYTES;

/// What a spool that holds nothing has in use, at most.
const EMPTY_BYTES: u64 = 64 << 10;
/// What the row of an event takes beside its texts, about.
const EVENT_ROW_BYTES: u64 = 128;
/// The part that is kept for destinations of which little is there, as a divisor.
const KEPT_SHARE: u64 = 4;
/// Little is there of a destination that has less than this part of the spool, as a divisor.
const LITTLE_SHARE: u64 = 8;
/// The part that what was read ahead may take beyond the limit, as a divisor,
const READ_AHEAD_SHARE: u64 = 8;
/// and the most bytes of it.
const MOST_READ_AHEAD_BYTES: u64 = 4 << 20;
/// The part that the refused events of one destination may fill, as a divisor.
const REFUSED_EVENTS_SHARE: u64 = 4;
/// So much is kept of the reason of a refusal where the spool has no room for more: about what the row of an event takes
/// more than that of a dead letter.
const SHORT_REASON_BYTES: usize = 24;

/// The largest item that fits into an empty spool of `max` bytes, and that can be read again.
pub(super) fn largest_item(max: u64) -> u64 {
    max.saturating_sub(EMPTY_BYTES).min(MAX_VALUE_BYTES - (1 << 20))
}

/// How many bytes beyond the limit are for what was read ahead, in a spool of `max` bytes.
fn read_ahead_room(max: u64) -> u64 {
    (max.saturating_sub(EMPTY_BYTES) / READ_AHEAD_SHARE).min(MOST_READ_AHEAD_BYTES)
}

/// How many bytes of lines may be read ahead: in the spool they take up to twice as much.
pub(super) fn read_ahead_bytes(max: u64) -> u64 {
    read_ahead_room(max) / 2
}

/// What is to be taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Coming {
    pub(super) bytes: u64,
    pub(super) items: usize,
}

impl Coming {
    /// An event of a few bytes.
    pub(super) const LEAST: Self = Self { bytes: 1, items: 1 };

    pub(super) fn of(items: &[NewItem]) -> Self {
        let size = |item: &NewItem| match item {
            NewItem::Event(event) => {
                let encoded = &event.encoded;
                let texts = encoded.body().len() + encoded.event().instance_id.len() + event.source.len();
                texts as u64 + EVENT_ROW_BYTES
            }
            NewItem::Letter(letter) => {
                (letter.raw.len() + letter.reason.len() + letter.source.len()) as u64 + ROW_BYTES
            }
        };
        Self { bytes: items.iter().map(size).sum(), items: items.len() }
    }
}

impl Store {
    /// Refuses where events that the destination refused fill their share. The count is made anew then: somebody may have
    /// replayed or purged them.
    pub(super) fn check_refused_events(&mut self) -> Result<(), SpoolError> {
        let share = self.options.max_bytes / REFUSED_EVENTS_SHARE;
        let bytes = self.refused_events(share)?;
        if bytes <= share {
            return Ok(());
        }
        Err(SpoolError::RefusedEvents { path: self.path.clone(), destination: self.url.clone(), used: bytes, share })
    }

    /// Bytes of the events that the destination refused, counted anew where there were more than `most`.
    fn refused_events(&mut self, most: u64) -> Result<u64, SpoolError> {
        let bytes = match self.refused_event_bytes {
            Some(bytes) if bytes <= most => bytes,
            _ => refused_event_bytes(&self.connection, self.destination).map_err(|error| self.refuse(error))?,
        };
        self.refused_event_bytes = Some(bytes);
        Ok(bytes)
    }

    /// Which limit would be exceeded where `coming` were taken beside `used` bytes; `None` where it fits.
    pub(super) fn exceeded_limit(&mut self, coming: Coming, used: u64, room: Room) -> Result<Option<u64>, SpoolError> {
        let max = self.options.max_bytes;
        let beyond = if room == Room::ReadAhead { read_ahead_room(max) } else { 0 };
        let exceeds = |limit: u64| used.saturating_add(coming.bytes) > limit.saturating_add(beyond);
        let shared = without_kept(max);
        if !exceeds(shared) {
            return Ok(None);
        }
        let limit = if self.has_little(coming, max / LITTLE_SHARE + beyond)? { max } else { shared };
        Ok(exceeds(limit).then_some(limit))
    }

    /// Whether at most `most` bytes of the destination are there with what is `coming`, or a single event waits.
    fn has_little(&mut self, coming: Coming, most: u64) -> Result<bool, SpoolError> {
        let (events, bytes) = waiting(&self.connection, self.destination).map_err(|error| self.refuse(error))?;
        let waits = bytes.saturating_add(coming.bytes).saturating_add(events * EVENT_ROW_BYTES);
        if events == 0 && coming.items <= 1 {
            return Ok(true);
        }
        Ok(waits <= most && self.refused_events(most - waits)? <= most - waits)
    }

    /// Whether the spool would hold more than it may with the whole reasons of those that were refused.
    pub(super) fn reasons_exceed_room(&self, settled: &[Settlement]) -> rusqlite::Result<bool> {
        let reasons = settled.iter().filter_map(|it| it.dead.as_ref()).map(String::len).sum::<usize>() as u64;
        if reasons == 0 {
            return Ok(false);
        }
        let (used, _) = usage(&self.connection)?;
        let max = self.options.max_bytes;
        let (events, bytes) = waiting(&self.connection, self.destination)?;
        let there = bytes + events * EVENT_ROW_BYTES + self.refused_event_bytes.unwrap_or(0) + reasons;
        let limit = if there <= max / LITTLE_SHARE { max } else { without_kept(max) };
        Ok(used.saturating_add(reasons) > limit)
    }
}

/// How many of `max` bytes may be in use by destinations of which much is there.
const fn without_kept(max: u64) -> u64 {
    max - max.saturating_sub(EMPTY_BYTES) / KEPT_SHARE
}

/// How many events wait for `destination`, and their bytes.
fn waiting(connection: &Connection, destination: i64) -> rusqlite::Result<(u64, u64)> {
    let sql = "SELECT max(waiting_events, 0), max(waiting_bytes, 0) FROM destinations WHERE id = ?1";
    connection.prepare_cached(sql)?.query_row([destination], |row| Ok((row.get(0)?, row.get(1)?)))
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
