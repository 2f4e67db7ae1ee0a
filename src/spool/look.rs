//! The spool as people look at it: what waits, what was delivered, what failed. Works while publishers run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use serde::Serialize;

use super::store::usage;
use super::{DeadLetter, KIND, Replayed, SpoolError, letters};
use crate::database::{self, StoreError};
use crate::events::{EncodedEvent, EventId};

/// Rows are read in pieces of so many, so that memory stays flat and no lock lasts long.
const PIECE: usize = 512;
/// So many bytes at a time, and the last row.
pub(super) const PIECE_BYTES: usize = 8 << 20;

/// A spool's file, opened to look at it and to mend it by hand.
#[derive(Debug)]
pub struct SpoolFile {
    path: PathBuf,
    connection: Connection,
}

/// How a spool stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The file.
    pub spool: PathBuf,
    /// Bytes of it that are in use.
    pub bytes: u64,
    /// Publishers at work on it.
    pub publishers: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// When the oldest of them became one, in Unix seconds.
    pub oldest_dead_letter_at: Option<i64>,
    /// By destination.
    pub destinations: Vec<DestinationStatus>,
}

/// What a spool holds for one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DestinationStatus {
    /// The destination.
    pub destination: String,
    /// Events that wait.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the oldest of them was taken, in Unix seconds.
    pub oldest_taken_at: Option<i64>,
    /// Delivered events that are kept.
    pub retained: u64,
    /// Their bytes.
    pub retained_bytes: u64,
    /// Failures in a row, as the circuit breaker counts.
    pub breaker_failures: u32,
    /// The circuit breaker is open until then, in Unix milliseconds.
    pub breaker_open_until_ms: Option<i64>,
    /// When it opened last, in Unix seconds; `None` where nobody knows why.
    pub breaker_opened_at: Option<i64>,
    /// The failure that opened it.
    pub breaker_cause: Option<String>,
}

/// Which events to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFilter {
    /// Those that wait.
    Waiting,
    /// Those that were delivered and are kept.
    Delivered,
}

/// An event in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spooled {
    /// Its number, in the order of taking.
    pub seq: u64,
    /// Where it goes.
    pub destination: String,
    /// Its JSON.
    pub body: Vec<u8>,
    /// The input that it came from.
    pub source: String,
    /// Its line there.
    pub line: Option<u64>,
    /// When it was taken, in Unix seconds.
    pub taken_at: i64,
    /// When it was delivered.
    pub delivered_at: Option<i64>,
}

/// Hands out rows in pieces.
#[derive(Debug)]
pub struct Lister<'a> {
    file: &'a SpoolFile,
    filter: StatusFilter,
    destination: Option<&'a str>,
    after: u64,
}

/// The first of `rows`: no more once they have [`PIECE_BYTES`] by `size`.
pub(super) fn up_to_bytes<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    size: impl Fn(&T) -> usize,
) -> rusqlite::Result<Vec<T>> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = row?;
        bytes += size(&row);
        found.push(row);
        if bytes >= PIECE_BYTES {
            break;
        }
    }
    Ok(found)
}

impl Lister<'_> {
    /// The next piece; empty at the end.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn next_piece(&mut self) -> Result<Vec<Spooled>, SpoolError> {
        let condition = match self.filter {
            StatusFilter::Waiting => "IS NULL",
            StatusFilter::Delivered => "IS NOT NULL",
        };
        let sql = format!(
            "SELECT seq, url, body, source, line, taken_at, delivered_at
             FROM events JOIN destinations ON destinations.id = destination
             WHERE delivered_at {condition} AND seq > ?1 AND (?2 IS NULL OR url = ?2) ORDER BY seq LIMIT ?3"
        );
        let read = |row: &Row<'_>| {
            Ok(Spooled {
                seq: row.get(0)?,
                destination: row.get(1)?,
                body: row.get(2)?,
                source: row.get(3)?,
                line: row.get(4)?,
                taken_at: row.get(5)?,
                delivered_at: row.get(6)?,
            })
        };
        let rows = (|| {
            let mut statement = self.file.connection.prepare_cached(&sql)?;
            let rows = statement.query_map(params![self.after, self.destination, PIECE as i64], read)?;
            up_to_bytes(rows, |event| event.body.len() + event.source.len() + event.destination.len())
        })();
        let rows = rows.map_err(|error| self.file.refuse(error))?;
        if let Some(last) = rows.last() {
            self.after = last.seq;
        }
        Ok(rows)
    }
}

impl SpoolFile {
    /// Opens the spool at `path`; `None` where there is none yet.
    ///
    /// # Errors
    /// When it can't be opened or is no spool.
    pub fn open(path: &Path) -> Result<Option<Self>, SpoolError> {
        let connection = database::open_existing(path, &KIND)?;
        Ok(connection.map(|connection| Self { path: path.to_owned(), connection }))
    }

    fn refuse(&self, error: rusqlite::Error) -> SpoolError {
        StoreError::of(&self.path, error).into()
    }

    /// How it stands.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn status(&self) -> Result<Status, SpoolError> {
        let read = || {
            let count = |sql| self.connection.query_row(sql, [], |row| row.get(0));
            // To look at a file does not change it.
            let version: i32 = self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            let cause =
                if version < super::WITH_BREAKER_CAUSE { "NULL, NULL" } else { "breaker_opened_at, breaker_cause" };
            let mut statement = self.connection.prepare(&format!(
                "SELECT url, waiting_events, waiting_bytes,
                        (SELECT taken_at FROM events WHERE destination = destinations.id AND delivered_at IS NULL
                         ORDER BY seq LIMIT 1),
                        retained_events, retained_bytes, breaker_failures, breaker_open_until_ms, {cause}
                 FROM destinations ORDER BY url"
            ))?;
            let rows = statement.query_map([], |row| {
                Ok(DestinationStatus {
                    destination: row.get(0)?,
                    waiting: row.get(1)?,
                    waiting_bytes: row.get(2)?,
                    oldest_taken_at: row.get(3)?,
                    retained: row.get(4)?,
                    retained_bytes: row.get(5)?,
                    breaker_failures: row.get(6)?,
                    breaker_open_until_ms: row.get(7)?,
                    breaker_opened_at: row.get(8)?,
                    breaker_cause: row.get(9)?,
                })
            })?;
            Ok(Status {
                spool: self.path.clone(),
                bytes: usage(&self.connection)?.0,
                publishers: count("SELECT count(*) FROM runs")?,
                dead_letters: count("SELECT count(*) FROM dead_letters")?,
                oldest_dead_letter_at: self
                    .connection
                    .query_row("SELECT first_at FROM dead_letters ORDER BY id LIMIT 1", [], |row| row.get(0))
                    .optional()?,
                destinations: rows.collect::<rusqlite::Result<_>>()?,
            })
        };
        read().map_err(|error| self.refuse(error))
    }

    /// Goes through the events, of one destination or of all, in the order of taking.
    #[must_use]
    pub const fn list<'a>(&'a self, filter: StatusFilter, destination: Option<&'a str>) -> Lister<'a> {
        Lister { file: self, filter, destination, after: 0 }
    }

    /// The ids of the delivered events that are kept for a destination, with their numbers: the same bytes may have
    /// been delivered more than once.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn retained_ids(&self, destination: &str) -> Result<HashMap<EventId, Vec<u64>>, SpoolError> {
        let read = (|| {
            let mut statement = self.connection.prepare(
                "SELECT seq, id FROM events WHERE delivered_at IS NOT NULL
                 AND destination = (SELECT id FROM destinations WHERE url = ?1) ORDER BY seq",
            )?;
            let mut rows = statement.query([destination])?;
            let mut ids: HashMap<EventId, Vec<u64>> = HashMap::new();
            while let Some(row) = rows.next()? {
                ids.entry(EventId::from_bytes(row.get(1)?)).or_default().push(row.get(0)?);
            }
            Ok(ids)
        })();
        read.map_err(|error| self.refuse(error))
    }

    /// Makes delivered events wait again, to be sent once more under the same ids; how many of them are still kept. They
    /// get new numbers, in the order of their old ones, behind what waits already: publishers at work look behind the last
    /// number that they have seen. They count as nobody's, since who took them has delivered them once.
    ///
    /// # Errors
    /// What SQLite said. Nothing was changed then.
    pub fn put_back(&mut self, numbers: &[u64]) -> Result<u64, SpoolError> {
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        let done = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut count = 0;
            {
                let mut put = transaction.prepare(
                    "INSERT INTO events (destination, run, id, instance, body, source, line, taken_at)
                     SELECT destination, 0, id, instance, body, source, line, taken_at FROM events
                     WHERE seq = ?1 AND delivered_at IS NOT NULL RETURNING destination, length(body)",
                )?;
                let mut remove = transaction.prepare("DELETE FROM events WHERE seq = ?1")?;
                let mut total = transaction.prepare(
                    "UPDATE destinations SET waiting_events = waiting_events + 1, waiting_bytes = waiting_bytes + ?2,
                         retained_events = retained_events - 1, retained_bytes = retained_bytes - ?2 WHERE id = ?1",
                )?;
                for number in numbers {
                    let found: Option<(i64, i64)> =
                        put.query_row([number], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                    if let Some((destination, bytes)) = found {
                        remove.execute([number])?;
                        total.execute([destination, bytes])?;
                        count += 1;
                    }
                }
            }
            transaction.commit()?;
            Ok(count)
        })();
        done.map_err(|error| self.refuse(error))
    }

    /// Removes delivered events that were kept, of one destination or of all; how many.
    ///
    /// # Errors
    /// What SQLite said. Nothing was removed then.
    pub fn purge_delivered(&mut self, destination: Option<&str>) -> Result<u64, SpoolError> {
        self.purge("delivered_at IS NOT NULL", "retained", destination)
    }

    /// Removes events that wait and no publisher holds, of one destination or of all; how many. They are lost.
    ///
    /// # Errors
    /// What SQLite said. Nothing was removed then.
    pub fn purge_waiting(&mut self, destination: Option<&str>) -> Result<u64, SpoolError> {
        let free = "delivered_at IS NULL AND NOT EXISTS (SELECT 1 FROM claims
             WHERE claims.destination = events.destination AND claims.instance = events.instance)";
        self.purge(free, "waiting", destination)
    }

    fn purge(&mut self, condition: &str, totals: &str, destination: Option<&str>) -> Result<u64, SpoolError> {
        let mine =
            format!("{condition} AND (?1 IS NULL OR destination = (SELECT id FROM destinations WHERE url = ?1))");
        let purged = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute(
                &format!("UPDATE dead_letters SET replaying = 0 WHERE id IN (SELECT letter FROM events WHERE {mine})"),
                [destination],
            )?;
            transaction.execute(
                &format!(
                    "UPDATE destinations SET ({totals}_events, {totals}_bytes) =
                         (SELECT {totals}_events - count(*), {totals}_bytes - coalesce(sum(length(body)), 0)
                          FROM events WHERE events.destination = destinations.id AND {mine})"
                ),
                [destination],
            )?;
            let count = transaction.execute(&format!("DELETE FROM events WHERE {mine}"), [destination])?;
            transaction.commit()?;
            Ok(count as u64)
        })();
        purged.map_err(|error| self.refuse(error))
    }

    /// Dead letters with numbers above `after`, a bounded number of them; empty at the end.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn letters(&self, after: u64) -> Result<Vec<DeadLetter>, SpoolError> {
        letters::list(&self.connection, after, PIECE).map_err(|error| self.refuse(error))
    }

    /// The dead letter of this number.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn letter(&self, id: u64) -> Result<Option<DeadLetter>, SpoolError> {
        letters::find(&self.connection, id).map_err(|error| self.refuse(error))
    }

    /// Puts a dead letter back among the events that wait, for `destination` or for where it was to go. It remains a
    /// dead letter until its event is acknowledged. `judge` reads a line that was no event.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn replay(
        &mut self,
        id: u64,
        destination: Option<&str>,
        now: i64,
        judge: &dyn Fn(&[u8]) -> Result<EncodedEvent, String>,
    ) -> Result<Replayed, SpoolError> {
        let replayed = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let replayed = letters::replay(&transaction, id, destination, now, judge)?;
            transaction.commit()?;
            Ok(replayed)
        })();
        replayed.map_err(|error| self.refuse(error))
    }

    /// Removes a dead letter that does not wait for its replay; whether there was one.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn purge_letter(&mut self, id: u64) -> Result<bool, SpoolError> {
        letters::purge(&self.connection, id).map_err(|error| self.refuse(error))
    }

    /// Checks every page and every index, and the totals against what they are totals of; what is wrong, a line each.
    ///
    /// # Errors
    /// When the file can't be read at all.
    pub fn verify(&self) -> Result<Vec<String>, SpoolError> {
        let mut faults = Vec::new();
        let check = (|| {
            let mut statement = self.connection.prepare("PRAGMA integrity_check(100)")?;
            let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })();
        match check {
            Ok(lines) => faults.extend(lines.into_iter().filter(|line| line != "ok")),
            Err(error) => faults.push(error.to_string()),
        }
        if !faults.is_empty() {
            return Ok(faults);
        }
        let totals = (|| {
            let mut statement = self.connection.prepare(
                "SELECT url, waiting_events, waiting_bytes, retained_events, retained_bytes,
                     (SELECT count(*) FROM events WHERE destination = d.id AND delivered_at IS NULL),
                     (SELECT coalesce(sum(length(body)), 0) FROM events WHERE destination = d.id AND delivered_at IS NULL),
                     (SELECT count(*) FROM events WHERE destination = d.id AND delivered_at IS NOT NULL),
                     (SELECT coalesce(sum(length(body)), 0) FROM events WHERE destination = d.id AND delivered_at IS NOT NULL)
                 FROM destinations d",
            )?;
            let rows = statement.query_map([], |row| {
                let url: String = row.get(0)?;
                let four =
                    |from: usize| (from..from + 4).map(|at| row.get::<_, i64>(at)).collect::<Result<Vec<_>, _>>();
                Ok((url, four(1)?, four(5)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })();
        for (url, said, counted) in totals.map_err(|error| self.refuse(error))? {
            if said != counted {
                faults.push(format!("the totals of {url} are {said:?} and a count gives {counted:?}"));
            }
        }
        for piece in self.broken_events()? {
            faults.push(piece);
        }
        Ok(faults)
    }

    /// Events whose bytes are not those that their id stands for.
    fn broken_events(&self) -> Result<Vec<String>, SpoolError> {
        let found = (|| {
            let mut statement = self.connection.prepare("SELECT seq, id, body FROM events")?;
            let mut rows = statement.query([])?;
            let mut faults = Vec::new();
            while let Some(row) = rows.next()? {
                let (seq, id, body): (u64, Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
                if crate::events::EventId::of(&body).as_bytes()[..] != id[..] {
                    faults.push(format!("event {seq}: its bytes are not those that were taken"));
                }
            }
            Ok(faults)
        })();
        found.map_err(|error| self.refuse(error))
    }
}
