//! Dead letters: what can never be delivered as it is, with the reason and the raw bytes.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use serde::Serialize;

use super::NewItem;
use super::look::up_to_bytes;
use super::store::destination_id;
use crate::events::EncodedEvent;

/// Why something is a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LetterKind {
    /// The line is no valid event.
    Invalid,
    /// The destination will never take the event.
    Dead,
}

impl LetterKind {
    /// As it stands in the file and on the command line: `invalid`, `dead`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Dead => "dead",
        }
    }
}

/// A line that is no event, to be kept.
#[derive(Debug, Clone)]
pub struct NewLetter {
    /// What is wrong with it.
    pub reason: String,
    /// The input that it came from.
    pub source: Arc<str>,
    /// Its line there, from 1.
    pub line: Option<u64>,
    /// The number of a piece, from 1, where the line was too long to be held whole.
    pub piece: Option<u64>,
    /// The bytes as they were read.
    pub raw: Vec<u8>,
}

/// A dead letter as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number.
    pub id: u64,
    /// Why it is one.
    pub kind: LetterKind,
    /// Where it was to go.
    pub destination: String,
    /// What is wrong with it.
    pub reason: String,
    /// When it first became a dead letter, in Unix seconds.
    pub first_at: i64,
    /// When it last did: a replay may have failed.
    pub last_at: i64,
    /// How often it was tried, replays included; 0 for a line that is no event.
    pub tries: u64,
    /// The input that it came from.
    pub source: String,
    /// Its line there.
    pub line: Option<u64>,
    /// The number of a piece, from 1.
    pub piece: Option<u64>,
    /// The bytes as they were read.
    pub raw: Vec<u8>,
    /// It was put back and waits for its delivery.
    pub replaying: bool,
}

/// What became of a letter that was to be replayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// It waits in the spool again.
    Waiting,
    /// It waited there already.
    Already,
    /// It is still no valid event; the reason.
    Invalid(String),
    /// There is no such letter.
    Unknown,
}

const COLUMNS: &str =
    "dead_letters.id, kind, url, reason, first_at, last_at, tries, source, line, piece, raw, replaying";

fn read(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let kind: String = row.get(1)?;
    Ok(DeadLetter {
        id: row.get(0)?,
        kind: if kind == LetterKind::Dead.name() { LetterKind::Dead } else { LetterKind::Invalid },
        destination: row.get(2)?,
        reason: row.get(3)?,
        first_at: row.get(4)?,
        last_at: row.get(5)?,
        tries: row.get(6)?,
        source: row.get(7)?,
        line: row.get(8)?,
        piece: row.get(9)?,
        raw: row.get(10)?,
        replaying: row.get(11)?,
    })
}

/// Letters with numbers above `after`, in the order of their numbers: at most `most` of them, and no more once they have
/// [`PIECE_BYTES`](super::look::PIECE_BYTES).
pub(super) fn list(connection: &Connection, after: u64, most: usize) -> rusqlite::Result<Vec<DeadLetter>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM dead_letters JOIN destinations ON destinations.id = destination
         WHERE dead_letters.id > ?1 ORDER BY dead_letters.id LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![after, i64::try_from(most).unwrap_or(i64::MAX)], read)?;
    up_to_bytes(rows, |letter| letter.raw.len() + letter.reason.len() + letter.source.len() + letter.destination.len())
}

pub(super) fn find(connection: &Connection, id: u64) -> rusqlite::Result<Option<DeadLetter>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM dead_letters JOIN destinations ON destinations.id = destination
         WHERE dead_letters.id = ?1"
    );
    connection.query_row(&sql, [id], read).optional()
}

/// Keeps a line that is no event.
pub(super) fn keep(connection: &Connection, destination: i64, letter: &NewLetter, now: i64) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO dead_letters (destination, kind, reason, first_at, last_at, tries, source, line, piece, raw)
         VALUES (?1, 'invalid', ?2, ?3, ?3, 0, ?4, ?5, ?6, ?7)",
    )?;
    let values: [&dyn ToSql; 7] =
        [&destination, &letter.reason, &now, &&*letter.source, &letter.line, &letter.piece, &letter.raw];
    insert.execute(&values[..]).map(drop)
}

/// What a row takes beside its texts, about.
pub(super) const ROW_BYTES: u64 = 64;

/// What `item` takes of the share of lines that are no events.
pub(super) fn share_of(item: &NewItem) -> u64 {
    match item {
        NewItem::Event(_) => 0,
        NewItem::Letter(letter) => (letter.raw.len() + letter.reason.len()) as u64 + ROW_BYTES,
    }
}

/// Bytes of all lines that are no events.
pub(super) fn refused_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(sum(length(raw) + length(reason) + ?1), 0) FROM dead_letters WHERE kind = 'invalid'";
    connection.query_row(sql, [ROW_BYTES], |row| row.get(0))
}

/// Drops the oldest lines that are no events, but for those that are replayed, until they have at most `most` bytes. How
/// many bytes are left, and how many lines were dropped.
pub(super) fn drop_oldest(connection: &Connection, most: u64) -> rusqlite::Result<(u64, usize)> {
    let transaction = connection.unchecked_transaction()?;
    let mut bytes = refused_bytes(&transaction)?;
    let mut dropped = 0;
    while bytes > most {
        // About as many as are too many: sizes differ.
        let count: u64 =
            transaction.query_row("SELECT count(*) FROM dead_letters WHERE kind = 'invalid'", [], |row| row.get(0))?;
        let excess = (count * (bytes - most)).div_ceil(bytes);
        let gone = transaction.execute(
            "DELETE FROM dead_letters WHERE id IN
                 (SELECT id FROM dead_letters WHERE kind = 'invalid' AND NOT replaying ORDER BY id LIMIT ?1)",
            [excess],
        )?;
        if gone == 0 {
            break;
        }
        dropped += gone;
        bytes = refused_bytes(&transaction)?;
    }
    transaction.commit()?;
    Ok((bytes, dropped))
}

/// Puts a letter back among the events that wait, for `url` or for where it was to go. It stays a dead letter until
/// its event is acknowledged. `judge` says what is wrong with a line that was no event.
pub(super) fn replay(
    connection: &Connection,
    id: u64,
    url: Option<&str>,
    now: i64,
    judge: &dyn Fn(&[u8]) -> Result<EncodedEvent, String>,
) -> rusqlite::Result<Replayed> {
    let Some(letter) = find(connection, id)? else { return Ok(Replayed::Unknown) };
    if letter.replaying {
        return Ok(Replayed::Already);
    }
    let judged = match letter.piece {
        Some(_) => Err("it is a piece of a line that was too long to be an event".to_owned()),
        // What was in the spool before was sound: an event, or an alert, which `judge` knows nothing of.
        None if letter.kind == LetterKind::Dead => {
            EncodedEvent::decode_stored(&letter.raw).or_else(|_| judge(&letter.raw))
        }
        None => judge(&letter.raw),
    };
    let encoded = match judged {
        Ok(encoded) => encoded,
        Err(reason) => return Ok(Replayed::Invalid(reason)),
    };
    let destination = destination_id(connection, url.unwrap_or(&letter.destination))?;
    connection.execute(
        "INSERT INTO events (destination, run, id, instance, body, source, line, taken_at, letter)
         VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            destination,
            &encoded.id().as_bytes()[..],
            encoded.event().instance_id,
            encoded.body(),
            letter.source,
            letter.line,
            now,
            id
        ],
    )?;
    connection.execute(
        "UPDATE destinations SET waiting_events = waiting_events + 1, waiting_bytes = waiting_bytes + ?2 WHERE id = ?1",
        params![destination, encoded.body().len()],
    )?;
    connection.execute("UPDATE dead_letters SET replaying = 1 WHERE id = ?1", [id])?;
    Ok(Replayed::Waiting)
}

/// Removes a letter that is not being replayed; whether there was one.
pub(super) fn purge(connection: &Connection, id: u64) -> rusqlite::Result<bool> {
    Ok(connection.execute("DELETE FROM dead_letters WHERE id = ?1 AND replaying = 0", [id])? > 0)
}
