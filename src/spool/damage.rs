//! A spool whose file is damaged: put aside, carried over, never deleted.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::store::connect;
use super::{SpoolError, Sync};

/// What was done about a damaged spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where the damaged file is now.
    pub put_aside: PathBuf,
    /// Events that waited and were carried over into the fresh spool.
    pub events: u64,
    /// Dead letters that were carried over.
    pub letters: u64,
    /// Whether every row could be read.
    pub complete: bool,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let aside = self.put_aside.display();
        write!(
            f,
            "the spool was damaged and put aside as {aside}; {} waiting events and {} dead letters were carried over into a fresh one",
            self.events, self.letters
        )?;
        if self.complete {
            return f.write_str(", which is all of them");
        }
        write!(
            f,
            ". Some could not be read: keep {aside}, look at it with `sqlite3 {aside} .recover`, and check the disk"
        )
    }
}

/// Whether the file's first bytes are no longer those of an SQLite file, though its name says that it is a spool.
pub(super) fn has_lost_its_head(path: &Path) -> bool {
    // Anything but a regular file was never a spool, and opening a FIFO waits for ever.
    if path.extension().is_none_or(|extension| extension != "db") || !path.is_file() {
        return false;
    }
    let mut head = [0; 16];
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(_) => return false,
    };
    file.read_exact(&mut head).is_ok() && &head != b"SQLite format 3\0"
}

/// Puts the file at `path` aside under a name with the time in it, and carries over what can be read.
pub(super) fn put_aside(path: &Path, sync: Sync, now: i64) -> Result<Damage, SpoolError> {
    let aside = free_name(path, now);
    let rename = |from: &Path, to: &Path| {
        std::fs::rename(from, to).map_err(|error| SpoolError::Io { path: from.to_owned(), error })
    };
    rename(path, &aside)?;
    // The log belongs to the file: without it the last commits would be missing.
    for suffix in ["-wal", "-shm"] {
        let (from, to) = (with_suffix(path, suffix), with_suffix(&aside, suffix));
        if from.exists() {
            rename(&from, &to)?;
        }
    }
    let fresh = connect(path, sync)?;
    let mut damage = Damage { put_aside: aside.clone(), events: 0, letters: 0, complete: true };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match Connection::open_with_flags(&aside, flags) {
        Ok(old) => carry_over(&old, &fresh, &mut damage),
        Err(_) => damage.complete = false,
    }
    Ok(damage)
}

fn carry_over(old: &Connection, fresh: &Connection, damage: &mut Damage) {
    let (destinations, all) = copy(old, fresh, "destinations", "id", "1");
    damage.complete &= all && destinations > 0;
    let (events, all) = copy(old, fresh, "events", "seq", "delivered_at IS NULL");
    damage.complete &= all;
    let (letters, all) = copy(old, fresh, "dead_letters", "id", "1");
    damage.complete &= all;
    (damage.events, damage.letters) = (events, letters);
    // Without their destination's row events would wait for nobody; the totals are counted anew.
    let mended = fresh.execute_batch(
        "INSERT INTO destinations (id, url)
             SELECT DISTINCT destination, 'lost:' || destination FROM events WHERE true ON CONFLICT DO NOTHING;
         UPDATE destinations SET retained_events = 0, retained_bytes = 0,
             waiting_events = (SELECT count(*) FROM events WHERE destination = destinations.id),
             waiting_bytes = (SELECT coalesce(sum(length(body)), 0) FROM events WHERE destination = destinations.id);
         UPDATE dead_letters SET replaying = 0 WHERE id NOT IN (SELECT letter FROM events WHERE letter IS NOT NULL);",
    );
    damage.complete &= mended.is_ok();
}

/// Copies the rows of a table that can be read, in pieces around those that can't; how many, and whether all.
fn copy(old: &Connection, fresh: &Connection, table: &str, key: &str, filter: &str) -> (u64, bool) {
    let (mut copied, mut complete, mut after) = (0u64, true, 0i64);
    // A damaged page hides the rows on it: the look goes on behind it in growing steps, so that it ends.
    let mut step = 1i64;
    loop {
        match copy_from(old, fresh, table, key, filter, &mut after) {
            Ok((count, true)) => return (copied + count, complete),
            Ok((count, false)) | Err(count) => {
                complete = false;
                copied += count;
                step = if count > 0 { 1 } else { step.saturating_mul(2) };
                match after.checked_add(step) {
                    Some(next) => after = next,
                    None => return (copied, false),
                }
            }
        }
    }
}

/// Copies rows with keys above `after`, in the order of their keys, until the end (true) or a row that can't be read.
fn copy_from(
    old: &Connection,
    fresh: &Connection,
    table: &str,
    key: &str,
    filter: &str,
    after: &mut i64,
) -> Result<(u64, bool), u64> {
    // By key alone: the indexes of a damaged file are not to be trusted.
    let sql = format!("SELECT * FROM {table} NOT INDEXED WHERE {key} > ?1 AND {filter} ORDER BY {key}");
    let mut copied = 0;
    let mut read = || -> rusqlite::Result<bool> {
        let mut statement = old.prepare(&sql)?;
        let columns = statement.column_count();
        let names = statement.column_names().collect::<Vec<_>>().join(", ");
        let marks = vec!["?"; columns].join(", ");
        let mut insert =
            fresh.prepare(&format!("INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"))?;
        let transaction = fresh.unchecked_transaction()?;
        let mut rows = statement.query([*after])?;
        let ended = loop {
            match rows.next() {
                Ok(None) => break true,
                Err(_) => break false,
                Ok(Some(row)) => {
                    *after = row.get(0)?;
                    let values: rusqlite::Result<Vec<Value>> = (0..columns).map(|at| row.get(at)).collect();
                    // A row whose values no longer fit the schema is one that can't be read.
                    match values.and_then(|values| insert.execute(params_from_iter(values))) {
                        Ok(count) => copied += count as u64,
                        Err(_) => break false,
                    }
                }
            }
        };
        transaction.commit()?;
        Ok(ended)
    };
    match read() {
        Ok(ended) => Ok((copied, ended)),
        Err(_) => Err(0),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn free_name(path: &Path, now: i64) -> PathBuf {
    (0..)
        .map(|n| if n == 0 { format!(".damaged-{now}") } else { format!(".damaged-{now}-{n}") })
        .map(|suffix| with_suffix(path, &suffix))
        .find(|name| !name.exists())
        .unwrap_or_else(|| with_suffix(path, ".damaged"))
}
