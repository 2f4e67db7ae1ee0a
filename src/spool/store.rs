//! The spool's file as one publisher works with it. Blocks; lives on the thread of [`super::handle`].

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::claims::Claims;
use super::damage::{self, Damage};
use super::lease::{self, Lease};
use super::replaced::{self, Publisher};
use super::{Fetched, KIND, SpoolError, SpoolOptions, Sync, Tally, Waiting, reserve};
use crate::circuit_breaker::{BreakerOpening, BreakerRecord};
pub(super) use crate::database::identity;
use crate::database::{self, StoreError};
use crate::events::{EncodedEvent, EventId};
use crate::transport::BatchLimits;

/// So many rows are looked at in one go, so that a long stretch that another publisher holds costs little.
const MAX_LOOKS: usize = 8_192;

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
    /// Events of other runs that were found damaged.
    other_dead: u64,
    /// What is sent may have been handed out of another file, which this one replaced: its numbers there, and here.
    pub(super) numbers: HashMap<(u64, EventId), u64>,
    lease: Lease,
    /// Which file the connection has open: it may be put aside or removed under us.
    identity: Option<(u64, u64)>,
}

impl Store {
    /// Opens the spool and begins a run that publishes to `url`.
    pub(super) fn open(path: &Path, url: &str, options: SpoolOptions, now: i64) -> Result<Self, SpoolError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make_folder(folder).map_err(|error| SpoolError::Io { path: folder.to_owned(), error })?;
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
            other_dead: 0,
            numbers: HashMap::new(),
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
        self.recover()
    }

    /// Drops the claims of publishers that died.
    pub(super) fn recover(&mut self) -> Result<(), SpoolError> {
        let others = (|| {
            let mut statement = self.connection.prepare_cached("SELECT id, lock FROM runs WHERE id <> ?1")?;
            let rows = statement.query_map([self.run], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()
        })();
        for (run, lock) in others.map_err(|error| self.refuse(error))? {
            if !lease::is_dead(&self.path, &lock) {
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
        Ok(())
    }

    /// The next events that wait and that no other publisher holds. They count as held until they are settled.
    pub(super) fn fetch(&mut self, limits: BatchLimits, now: i64) -> Result<Fetched, SpoolError> {
        // Claims need not outlive a power cut, which their holder does not either: no sync for them.
        let set_sync = |store: &Self, mode| store.connection.pragma_update(None, "synchronous", mode);
        set_sync(self, "normal").map_err(|error| self.refuse(error))?;
        let found = self.look(limits);
        if self.options.sync == Sync::Full {
            set_sync(self, "full").map_err(|error| self.refuse(error))?;
        }
        let found = found.map_err(|error| self.refuse(error))?;
        if !found.broken.is_empty() {
            self.bury_broken(&found.broken, now).map_err(|error| self.refuse(error))?;
            let count = found.broken.len();
            tracing::error!(spool = %self.path.display(), "{count} events in the spool are damaged; they are kept as dead letters");
            self.other_dead += found.broken_of_others;
        }
        for (waiting, instance) in found.events.iter().zip(&found.instances) {
            self.claims.hand_out(waiting.seq, instance);
        }
        self.claims.advance(found.looked_at);
        let held_elsewhere = self.claims.has_skipped();
        if found.events.is_empty() && held_elsewhere {
            // Perhaps their holder has died; the next look starts from the first event that waits.
            self.recover()?;
            self.claims.start_anew();
        }
        let waiting = if found.events.is_empty() && held_elsewhere {
            let sql = "SELECT waiting_events FROM destinations WHERE id = ?1";
            let count = self.connection.query_row(sql, [self.destination], |row| row.get(0));
            Some(count.map_err(|error| self.refuse(error))?)
        } else {
            None
        };
        Ok(Fetched { events: found.events, held_elsewhere, waiting })
    }

    fn look(&mut self, limits: BatchLimits) -> rusqlite::Result<Found> {
        let mut found = Found { looked_at: self.claims.looked_at(), ..Found::default() };
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut waiting = transaction.prepare_cached(
                "SELECT seq, run, instance, body, source, line, id FROM events
                 WHERE destination = ?1 AND delivered_at IS NULL AND seq > ?2 ORDER BY seq",
            )?;
            // A claim of our own may be there already.
            let mut claim = transaction.prepare_cached(
                "INSERT INTO claims (destination, instance, run) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET run = run WHERE run = excluded.run",
            )?;
            let mut claimed: HashSet<String> = HashSet::new();
            let from = i64::try_from(self.claims.looked_at()).unwrap_or(i64::MAX);
            let mut rows = waiting.query(params![self.destination, from])?;
            let mut bytes = 0usize;
            let mut looks = 0;
            while found.events.len() < limits.events && bytes < limits.bytes && looks < MAX_LOOKS {
                let Some(row) = rows.next()? else { break };
                looks += 1;
                let seq: u64 = row.get(0)?;
                let instance: String = row.get(2)?;
                found.looked_at = seq;
                if self.claims.is_out(seq) {
                    continue;
                }
                if !self.claims.holds(&instance) && !claimed.contains(&instance) {
                    if self.claims.is_skipped(&instance) {
                        continue;
                    }
                    if claim.execute(params![self.destination, instance, self.run])? == 0 {
                        if self.claims.skip(&instance) {
                            continue;
                        }
                        break;
                    }
                    claimed.insert(instance.clone());
                }
                let run: i64 = row.get(1)?;
                let body: Vec<u8> = row.get(3)?;
                bytes += body.len();
                let id: Vec<u8> = row.get(6)?;
                let broken = found.broken.len();
                match EncodedEvent::decode_stored(&body) {
                    // Bytes that are still an event may be another one.
                    Ok(encoded) if encoded.id().as_bytes()[..] != id[..] => {
                        found.broken.push((seq, "its bytes are not those that were taken".to_owned()));
                    }
                    Ok(encoded) => {
                        found.instances.push(instance);
                        let source: Arc<str> = row.get::<_, String>(4)?.into();
                        let own = run == self.run;
                        found.events.push(Waiting { seq, own, encoded, source, line: row.get(5)? });
                    }
                    Err(error) => found.broken.push((seq, error.to_string())),
                }
                found.broken_of_others += u64::from(found.broken.len() > broken && run != self.run);
            }
        }
        transaction.commit()?;
        Ok(found)
    }

    /// What can't be read any more is kept as a dead letter.
    fn bury_broken(&mut self, broken: &[(u64, String)], now: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (seq, error) in broken {
            let reason = format!("damaged in the spool: {error}");
            transaction.execute(
                "INSERT INTO dead_letters (destination, kind, reason, first_at, last_at, tries, source, line, raw)
                 SELECT destination, 'dead', ?2, taken_at, ?3, 0, source, line, body FROM events WHERE seq = ?1",
                params![seq, reason, now],
            )?;
            transaction.execute(
                "UPDATE destinations SET waiting_events = waiting_events - 1,
                     waiting_bytes = waiting_bytes - (SELECT length(body) FROM events WHERE seq = ?1)
                 WHERE id = (SELECT destination FROM events WHERE seq = ?1)",
                [seq],
            )?;
            // The books of whoever took it.
            transaction.execute(
                "UPDATE runs SET dead_elsewhere = dead_elsewhere + 1 WHERE id = (SELECT run FROM events WHERE seq = ?1)",
                [seq],
            )?;
            transaction.execute("DELETE FROM events WHERE seq = ?1", [seq])?;
        }
        transaction.commit()
    }

    /// How the run stands.
    pub(super) fn tally(&self) -> Result<Tally, SpoolError> {
        let read = || {
            let own_waiting = self.connection.query_row(
                "SELECT count(*) FROM events WHERE destination = ?1 AND delivered_at IS NULL AND run = ?2",
                params![self.destination, self.run],
                |row| row.get(0),
            )?;
            let elsewhere = self
                .connection
                .query_row("SELECT delivered_elsewhere, dead_elsewhere FROM runs WHERE id = ?1", [self.run], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let all: u64 = self.connection.query_row(
                "SELECT waiting_events FROM destinations WHERE id = ?1",
                [self.destination],
                |row| row.get(0),
            )?;
            let (delivered_elsewhere, dead_elsewhere) = elsewhere.unwrap_or_default();
            let other_waiting = all.saturating_sub(own_waiting);
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
            self.connection.execute("DELETE FROM claims WHERE run = ?1", [self.run])?;
            self.connection.execute("DELETE FROM runs WHERE id = ?1", [self.run])?;
            // Folding the log in is a courtesy to whoever copies the file; a lock that others hold is no fault.
            let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            Ok(())
        })();
        ended.map_err(|error| self.refuse(error))
    }
}

#[derive(Debug, Default)]
struct Found {
    events: Vec<Waiting>,
    /// Whose they are, as the claims name it.
    instances: Vec<String>,
    looked_at: u64,
    broken: Vec<(u64, String)>,
    /// How many of the broken ones this run did not take.
    broken_of_others: u64,
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

/// Makes a file that is not there yet, for its owner alone: it holds what tenants are billed for, and the keys in
/// destinations' URLs. SQLite gives its log the same mode. What fails here fails again when the file is opened, and is
/// said there.
fn make_private(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _ = options.open(path);
}

pub(super) fn connect(path: &Path, sync: Sync) -> Result<Connection, SpoolError> {
    make_private(path);
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

/// The folder of the spool is for its owner alone: events say who used what.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
