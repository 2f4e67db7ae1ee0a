//! A file that was put in the place of the one that a publisher has open: what waits in the one before goes over.
//!
//! The numbers in the two files have nothing to do with each other, so rows get new ones. What another publisher holds is
//! left to that one, which will notice too: it knows what it is sending. A row leaves the file before once it is committed
//! in the other, so that whoever puts that file back one day sends nothing twice.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::claims::Claims;
use super::store::destination_id;
use crate::events::EventId;

/// Events that may go over: those that no other publisher holds. `?1` is our run.
const MOVABLE: &str = "delivered_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM claims WHERE claims.destination = events.destination AND claims.instance = events.instance
        AND claims.run <> ?1)";

/// Letters that go over: those that do not wait for a replay that stays behind.
const MOVABLE_LETTER: &str = "replaying = 0 OR id IN (SELECT letter FROM events WHERE letter IS NOT NULL AND ";

/// A publisher, as one of the files knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Publisher {
    pub(super) run: i64,
    pub(super) destination: i64,
}

/// What went over.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) events: u64,
    pub(super) letters: u64,
    /// New numbers of the events that the publisher holds, by their old ones.
    pub(super) numbers: HashMap<(u64, EventId), u64>,
}

/// The numbers of the rows of one table: in the file before, and in the other.
type Numbers = HashMap<i64, i64>;

/// Moves what waits in `before` into `there`, where the same publisher goes by `new`. All of it or nothing is in `there`
/// afterwards.
pub(super) fn move_over(
    before: &Connection,
    there: &Connection,
    old: Publisher,
    new: Publisher,
    claims: &Claims,
) -> rusqlite::Result<Moved> {
    let leaving = Transaction::new_unchecked(before, TransactionBehavior::Immediate)?;
    let entering = Transaction::new_unchecked(there, TransactionBehavior::Immediate)?;
    let destinations = destinations(&leaving, &entering)?;
    let runs = runs(&leaving, &entering, old, new)?;
    let letters = letters(&leaving, &entering, old, &destinations)?;
    let mut moved = Moved { letters: letters.len() as u64, ..Moved::default() };
    events(&leaving, &entering, old, (&destinations, &runs, &letters), claims, &mut moved)?;
    for instance in claims.instances() {
        entering.execute(
            "INSERT INTO claims (destination, instance, run) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![new.destination, instance, new.run],
        )?;
    }
    entering.commit()?;
    if let Err(error) = leave(&leaving, old).and_then(|()| leaving.commit()) {
        tracing::warn!(%error, "what was carried over could not be taken out of the spool before: should that file be put back, it is sent again, under the same ids");
    }
    Ok(moved)
}

fn destinations(leaving: &Connection, entering: &Connection) -> rusqlite::Result<Numbers> {
    let mut statement = leaving.prepare("SELECT id, url FROM destinations")?;
    let mut rows = statement.query([])?;
    let mut numbers = Numbers::new();
    while let Some(row) = rows.next()? {
        numbers.insert(row.get(0)?, destination_id(entering, &row.get::<_, String>(1)?)?);
    }
    Ok(numbers)
}

/// Publishers at work are known by their locks. What others did with our events so far goes over too.
fn runs(leaving: &Connection, entering: &Connection, old: Publisher, new: Publisher) -> rusqlite::Result<Numbers> {
    let mut statement =
        leaving.prepare("SELECT id, lock, started_at, delivered_elsewhere, dead_elsewhere FROM runs")?;
    let mut rows = statement.query([])?;
    let mut numbers = Numbers::from([(old.run, new.run)]);
    while let Some(row) = rows.next()? {
        let (run, lock): (i64, String) = (row.get(0)?, row.get(1)?);
        let sql = "SELECT id FROM runs WHERE lock = ?1";
        let there = match entering.query_row(sql, [&lock], |row| row.get::<_, i64>(0)).optional()? {
            Some(there) => there,
            None => entering.query_row(
                "INSERT INTO runs (lock, started_at) VALUES (?1, ?2) RETURNING id",
                params![lock, row.get::<_, i64>(2)?],
                |row| row.get(0),
            )?,
        };
        if run == old.run {
            entering.execute(
                "UPDATE runs SET delivered_elsewhere = delivered_elsewhere + ?2, dead_elsewhere = dead_elsewhere + ?3
                 WHERE id = ?1",
                params![new.run, row.get::<_, i64>(3)?, row.get::<_, i64>(4)?],
            )?;
        } else {
            numbers.insert(run, there);
        }
    }
    Ok(numbers)
}

fn letters(
    leaving: &Connection,
    entering: &Connection,
    old: Publisher,
    destinations: &Numbers,
) -> rusqlite::Result<Numbers> {
    let mut statement = leaving.prepare(&format!(
        "SELECT id, destination, kind, reason, first_at, last_at, tries, source, line, piece, raw, replaying
         FROM dead_letters WHERE {MOVABLE_LETTER}{MOVABLE}) ORDER BY id"
    ))?;
    let mut insert = entering.prepare(
        "INSERT INTO dead_letters (destination, kind, reason, first_at, last_at, tries, source, line, piece, raw, replaying)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING id",
    )?;
    let mut rows = statement.query([old.run])?;
    let mut numbers = Numbers::new();
    while let Some(row) = rows.next()? {
        let destination = destinations.get(&row.get(1)?).copied();
        let text = |at| row.get::<_, String>(at);
        let number = |at| row.get::<_, Option<i64>>(at);
        let there = insert.query_row(
            params![
                destination,
                text(2)?,
                text(3)?,
                number(4)?,
                number(5)?,
                number(6)?,
                text(7)?,
                number(8)?,
                number(9)?,
                row.get::<_, Vec<u8>>(10)?,
                number(11)?
            ],
            |row| row.get(0),
        )?;
        numbers.insert(row.get(0)?, there);
    }
    Ok(numbers)
}

fn events(
    leaving: &Connection,
    entering: &Connection,
    old: Publisher,
    (destinations, runs, letters): (&Numbers, &Numbers, &Numbers),
    claims: &Claims,
    moved: &mut Moved,
) -> rusqlite::Result<()> {
    let mut statement = leaving.prepare(&format!(
        "SELECT seq, destination, run, id, instance, body, source, line, taken_at, letter, refusals, unanswered
         FROM events WHERE {MOVABLE} ORDER BY seq"
    ))?;
    let mut insert = entering.prepare(
        "INSERT INTO events (destination, run, id, instance, body, source, line, taken_at, letter, refusals, unanswered)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING seq",
    )?;
    let mut rows = statement.query([old.run])?;
    let mut totals: HashMap<i64, (i64, i64)> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (seq, from): (u64, i64) = (row.get(0)?, row.get(1)?);
        let destination = destinations.get(&from).copied();
        // Runs that are over have no row; 0 is nobody's.
        let run = runs.get(&row.get(2)?).copied().unwrap_or(0);
        let letter = row.get::<_, Option<i64>>(9)?.and_then(|letter| letters.get(&letter).copied());
        let (id, body): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(5)?);
        let number = insert.query_row(
            params![
                destination,
                run,
                id,
                row.get::<_, String>(4)?,
                body,
                row.get::<_, String>(6)?,
                row.get::<_, Option<i64>>(7)?,
                row.get::<_, i64>(8)?,
                letter,
                row.get::<_, u32>(10)?,
                row.get::<_, bool>(11)?
            ],
            |row| row.get::<_, u64>(0),
        )?;
        if from == old.destination && claims.is_out(seq) {
            moved.numbers.insert((seq, EventId::of(&body)), number);
        }
        let total = totals.entry(destination.unwrap_or_default()).or_default();
        *total = (total.0 + 1, total.1 + i64::try_from(body.len()).unwrap_or(i64::MAX));
        moved.events += 1;
    }
    for (destination, (count, bytes)) in totals {
        entering.execute(
            "UPDATE destinations SET waiting_events = waiting_events + ?2, waiting_bytes = waiting_bytes + ?3
             WHERE id = ?1",
            [destination, count, bytes],
        )?;
    }
    Ok(())
}

/// Takes out what went over. The publisher's own row stays: those who follow find its events' new owner by it.
fn leave(leaving: &Connection, old: Publisher) -> rusqlite::Result<()> {
    leaving.execute(&format!("DELETE FROM dead_letters WHERE {MOVABLE_LETTER}{MOVABLE})"), [old.run])?;
    leaving.execute(&format!("DELETE FROM events WHERE {MOVABLE}"), [old.run])?;
    leaving.execute(
        "UPDATE destinations SET
             waiting_events = (SELECT count(*) FROM events WHERE destination = destinations.id AND delivered_at IS NULL),
             waiting_bytes = (SELECT coalesce(sum(length(body)), 0) FROM events
                              WHERE destination = destinations.id AND delivered_at IS NULL)",
        [],
    )?;
    leaving.execute("DELETE FROM claims WHERE run = ?1", [old.run])?;
    Ok(())
}
