//! The spool's file as one publisher works with it. Blocks; lives on the thread of [`super::handle`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::claims::Claims;
use super::damage::{self, Damage};
use super::lease::{self, Lease};
use super::replaced::{self, Publisher};
use super::{KIND, SpoolError, SpoolOptions, Sync, Tally, reserve};
use crate::circuit_breaker::{BreakerOpening, BreakerRecord};
pub(super) use crate::database::identity;
use crate::database::{self, StoreError};
use crate::events::EventId;

/// How many events of the destination ?1 wait that the run ?2 did not take and no other publisher at work looks after. A
/// run is at work as long as it stands in `runs`.
const ORPHANS: &str = "
    SELECT count(*) FROM events WHERE destination = ?1 AND delivered_at IS NULL AND run <> ?2
        AND run NOT IN (SELECT id FROM runs)
        AND NOT EXISTS (SELECT 1 FROM claims WHERE claims.destination = ?1 AND claims.instance = events.instance
                        AND claims.run <> ?2)";

/// The publisher's view of the file.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    pub(super) options: SpoolOptions,
    pub(super) destination: i64,
    pub(super) url: String,
    pub(super) run: i64,
    pub(super) claims: Claims,
    /// Publishers that were at work at the last look.
    others: Vec<i64>,
    /// Events of other runs that were found damaged.
    pub(super) other_dead: u64,
    /// What is sent may have been handed out of another file, which this one replaced: its numbers there, and here.
    pub(super) numbers: HashMap<(u64, EventId), u64>,
    /// Bytes of the lines that are no events; `None` before they were counted.
    pub(super) refused_bytes: Option<u64>,
    /// Bytes of the events that the destination refused, or more where replays failed; `None` before they were counted.
    pub(super) refused_event_bytes: Option<u64>,
    /// When old dead letters were last looked for, in Unix seconds; `None` before the first time.
    pub(super) letter_age_checked_at: Option<i64>,
    lease: Lease,
    /// Which file the connection has open: it may be put aside or removed under us.
    identity: Option<(u64, u64)>,
}

impl Store {
    /// Opens the spool and begins a run that publishes to `url`.
    pub(super) fn open(path: &Path, url: &str, options: SpoolOptions, now: i64) -> Result<Self, SpoolError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            crate::files::create_private_folder(folder)
                .map_err(|error| SpoolError::Io { path: folder.to_owned(), error })?;
        }
        let connection = connect(path, options.sync)?;
        let lease = Lease::new(path)?;
        let identity = identity(path);
        let refuse = |error| SpoolError::from(StoreError::of(path, error));
        let (destination, run) = begin(&connection, url, &lease.name(), now).map_err(refuse)?;
        let mut store = Self {
            path: path.to_owned(),
            connection,
            options,
            destination,
            url: url.to_owned(),
            run,
            claims: Claims::default(),
            others: Vec::new(),
            other_dead: 0,
            numbers: HashMap::new(),
            refused_bytes: None,
            refused_event_bytes: None,
            letter_age_checked_at: None,
            lease,
            identity,
        };
        store.recover()?;
        Ok(store)
    }

    pub(super) fn refuse(&self, error: rusqlite::Error) -> SpoolError {
        StoreError::of(&self.path, error).into()
    }

    /// Whether another file stands under the name, or none.
    pub(super) fn has_lost_its_name(&self) -> bool {
        self.identity.is_some() && identity(&self.path) != self.identity
    }

    /// Goes on with the file that stands under the name where it is not ours any more: what is written to ours nobody
    /// would find again. Whether it is so.
    ///
    /// A file that another publisher put aside was carried over by that one. One that somebody removed is still open
    /// here, and what waits in it is carried over now.
    pub(super) fn follow_the_name(&mut self, now: i64) -> Result<bool, SpoolError> {
        if !self.has_lost_its_name() {
            return Ok(false);
        }
        let spool = self.path.display();
        let carried = if damage::was_put_aside(&self.path, self.identity) {
            tracing::warn!(%spool, "another publisher has put the damaged spool aside; going on with the fresh one");
            true
        } else if self.path.try_exists().is_ok_and(|exists| !exists) {
            tracing::error!(%spool, "the spool was removed under a running publisher; what waits in it goes into a new one");
            // The index of the old log, which others may still use.
            let _ = std::fs::remove_file(damage::with_suffix(&self.path, "-shm"));
            let fresh = connect(&self.path, self.options.sync)?;
            let mut damage =
                Damage { put_aside: self.path.clone(), events: 0, letters: 0, retained: 0, complete: true };
            damage::carry_over(&self.connection, &fresh, &mut damage);
            if !damage.complete {
                tracing::error!(%spool, carried = damage.events, "some of what waited in the removed spool could not be read");
            }
            true
        } else {
            self.move_over(now)?
        };
        self.go_on(carried, now)?;
        Ok(true)
    }

    /// Another spool stands under the name; ours is still open, and what waits in it goes over. Whether it did.
    fn move_over(&mut self, now: i64) -> Result<bool, SpoolError> {
        let spool = self.path.display().to_string();
        let there = connect(&self.path, self.options.sync)?;
        // Whoever died holds nothing.
        let _ = self.recover();
        let old = Publisher { run: self.run, destination: self.destination };
        let moved = begin(&there, &self.url, &self.lease.name(), now).and_then(|(destination, run)| {
            let new = Publisher { run, destination };
            Ok((run, replaced::move_over(&self.connection, &there, old, new, &self.claims)?))
        });
        match moved.map_err(|error| self.refuse(error)) {
            Ok((run, moved)) => {
                let (events, letters) = (moved.events, moved.letters);
                tracing::error!(%spool, events, letters, "the spool was replaced under a running publisher; what waited in the one before was carried over into the file that stands there now");
                let by_number: HashMap<u64, u64> = moved.numbers.iter().map(|((old, _), new)| (*old, *new)).collect();
                self.claims.renumber(|seq| by_number.get(&seq).copied());
                self.numbers.extend(moved.numbers);
                self.run = run;
                Ok(true)
            }
            // Nothing has changed; it is tried again when there is room.
            Err(error) if error.may_pass() => Err(error),
            Err(error) => {
                tracing::error!(%spool, %error, "the spool was replaced under a running publisher; going on with the file that stands there now, and what waited in the one before waits there alone");
                Ok(false)
            }
        }
    }

    /// Goes on with the file that stands under the name now. Where the one before was carried over into it, what was
    /// taken by this run is still its own; what it holds stays held.
    pub(super) fn go_on(&mut self, carried: bool, now: i64) -> Result<(), SpoolError> {
        let connection = connect(&self.path, self.options.sync)?;
        let identity = identity(&self.path);
        let begun = (|| {
            let (destination, run) = begin(&connection, &self.url, &self.lease.name(), now)?;
            let transaction = connection.unchecked_transaction()?;
            if carried && run != self.run {
                transaction.execute("UPDATE events SET run = ?2 WHERE run = ?1", [self.run, run])?;
            }
            for instance in self.claims.instances() {
                transaction.execute(
                    "INSERT INTO claims (destination, instance, run) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                    params![destination, instance, run],
                )?;
            }
            transaction.commit()?;
            Ok((destination, run))
        })();
        let (destination, run) = begun.map_err(|error| self.refuse(error))?;
        (self.connection, self.identity, self.destination, self.run) = (connection, identity, destination, run);
        self.claims.start_anew();
        (self.refused_bytes, self.refused_event_bytes) = (None, None);
        self.recover()?;
        Ok(())
    }

    /// Drops the claims of publishers that died. Whether another has died or ended since this was asked before, so that
    /// what it held is free.
    pub(super) fn recover(&mut self) -> Result<bool, SpoolError> {
        let others = (|| {
            let mut statement = self.connection.prepare_cached("SELECT id, lock FROM runs WHERE id <> ?1")?;
            let rows = statement.query_map([self.run], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()
        })();
        let mut alive = Vec::new();
        for (run, lock) in others.map_err(|error| self.refuse(error))? {
            if !lease::is_dead(&self.path, &lock) {
                alive.push(run);
                continue;
            }
            let dropped = (|| {
                let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                transaction.execute("DELETE FROM claims WHERE run = ?1", [run])?;
                transaction.execute("DELETE FROM runs WHERE id = ?1", [run])?;
                transaction.commit()
            })();
            dropped.map_err(|error| self.refuse(error))?;
        }
        let before = std::mem::replace(&mut self.others, alive);
        Ok(before.iter().any(|run| !self.others.contains(run)))
    }

    /// How the run stands. Of the events of others, those count that nobody looks after: who took them is dead or has
    /// ended, and no other publisher at work holds their instance.
    pub(super) fn tally(&mut self) -> Result<Tally, SpoolError> {
        match self.recover() {
            // What it held is free, also in front of where the look stands.
            Ok(true) => self.claims.look_again(),
            Ok(false) => {}
            // On a full disk the claims of the dead stay a little longer.
            Err(error) if error.may_pass() => {}
            Err(error) => return Err(error),
        }
        let read = || {
            // One view of all figures: another publisher may deliver an event of ours between two of them.
            let view = self.connection.unchecked_transaction()?;
            let ours = params![self.destination, self.run];
            let own_waiting = view.query_row(
                "SELECT count(*) FROM events WHERE destination = ?1 AND delivered_at IS NULL AND run = ?2",
                ours,
                |row| row.get(0),
            )?;
            let elsewhere = view
                .query_row("SELECT delivered_elsewhere, dead_elsewhere FROM runs WHERE id = ?1", [self.run], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let all: u64 =
                view.query_row("SELECT waiting_events FROM destinations WHERE id = ?1", [self.destination], |row| {
                    row.get(0)
                })?;
            let other_waiting = if all > own_waiting { view.query_row(ORPHANS, ours, |row| row.get(0))? } else { 0 };
            let (delivered_elsewhere, dead_elsewhere) = elsewhere.unwrap_or_default();
            Ok(Tally { own_waiting, delivered_elsewhere, dead_elsewhere, other_waiting, other_dead: self.other_dead })
        };
        read().map_err(|error| self.refuse(error))
    }

    /// The state of the destination's circuit breaker as the last run left it.
    pub(super) fn breaker(&self) -> Result<BreakerRecord, SpoolError> {
        let sql = "SELECT breaker_failures, breaker_open_until_ms, breaker_opened_at, breaker_cause
                   FROM destinations WHERE id = ?1";
        let read = self.connection.query_row(sql, [self.destination], |row| {
            let (at, cause): (Option<i64>, Option<String>) = (row.get(2)?, row.get(3)?);
            let opening = at.zip(cause).map(|(at, cause)| BreakerOpening { at, cause });
            Ok(BreakerRecord { failures: row.get(0)?, open_until_ms: row.get(1)?, opening })
        });
        read.map_err(|error| self.refuse(error))
    }

    /// Folds the log into the file and gives its room back to the disk.
    pub(super) fn fold_the_log(&self) {
        // Others may be reading it; then the next time.
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Ends the run: what it held is free for others.
    pub(super) fn end(self) -> Result<(), SpoolError> {
        let ended = (|| {
            // At once, so that nobody counts what it took as looked after and what it held as left over.
            let transaction = self.connection.unchecked_transaction()?;
            transaction.execute("DELETE FROM claims WHERE run = ?1", [self.run])?;
            transaction.execute("DELETE FROM runs WHERE id = ?1", [self.run])?;
            transaction.commit()?;
            // Folding the log in is a courtesy to whoever copies the file; a lock that others hold is no fault.
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            Ok(())
        })();
        ended.map_err(|error| self.refuse(error))
    }
}

/// Makes the run known, or finds it again in a file that it was carried over into: the numbers of its destination and
/// of itself.
fn begin(connection: &Connection, url: &str, lock: &str, now: i64) -> rusqlite::Result<(i64, i64)> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let destination = destination_id(&transaction, url)?;
    let known = transaction.query_row("SELECT id FROM runs WHERE lock = ?1", [lock], |row| row.get(0)).optional()?;
    let run = match known {
        Some(run) => run,
        None => {
            let sql = "INSERT INTO runs (lock, started_at) VALUES (?1, ?2) RETURNING id";
            transaction.query_row(sql, params![lock, now], |row| row.get(0))?
        }
    };
    transaction.commit()?;
    Ok((destination, run))
}

pub(super) fn connect(path: &Path, sync: Sync) -> Result<Connection, SpoolError> {
    let connection = database::open(path, &KIND)?;
    let refuse = |error| SpoolError::from(StoreError::of(path, error));
    if sync == Sync::Normal {
        connection.pragma_update(None, "synchronous", "normal").map_err(refuse)?;
    }
    if let Some((total, _)) = reserve::disk(path) {
        connection
            .pragma_update_and_check(None, "wal_autocheckpoint", reserve::pages_of_the_log(total), |_| Ok(()))
            .map_err(refuse)?;
    }
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// The destination's number; made where the spool has not met it yet.
pub(super) fn destination_id(connection: &Connection, url: &str) -> rusqlite::Result<i64> {
    connection.execute("INSERT INTO destinations (url) VALUES (?1) ON CONFLICT DO NOTHING", [url])?;
    connection.query_row("SELECT id FROM destinations WHERE url = ?1", [url], |row| row.get(0))
}

/// Bytes of the file that are in use, and bytes that are free within it.
pub(super) fn usage(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
    let (pages, free, size) = (read("page_count")?, read("freelist_count")?, read("page_size")?);
    Ok((pages.saturating_sub(free).saturating_mul(size), free.saturating_mul(size)))
}
