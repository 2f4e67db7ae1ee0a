//! A spool whose file is damaged: put aside, carried over, never deleted.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params_from_iter};

use super::store::{connect, identity};
use super::{SpoolError, Sync};
use crate::clock::block;
use crate::database;
pub(super) use crate::database::with_suffix;
use crate::events::EncodedEvent;
use crate::files;

/// Another publisher that puts the spool aside holds its lock for as long as it carries events over: 10 s at most are waited.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What was done about a damaged spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where the damaged file is now.
    pub put_aside: PathBuf,
    /// Events that waited and were carried over into the fresh spool.
    pub events: u64,
    /// Dead letters that were carried over.
    pub letters: u64,
    /// Delivered events that were kept for reconciling. They stay in the damaged file.
    pub retained: u64,
    /// Whether every row could be read.
    pub complete: bool,
}

impl Damage {
    const fn holds_nothing(&self) -> bool {
        self.events == 0 && self.letters == 0 && self.retained == 0
    }
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
            f.write_str(", which is all of them")?;
        } else {
            write!(
                f,
                ". Some could not be read: keep {aside}, look at it with `sqlite3 {aside} .recover`, and check the disk"
            )?;
        }
        if self.retained == 0 {
            return Ok(());
        }
        let retained = self.retained;
        write!(
            f,
            "; {retained} delivered events, kept for reconciling, stay in {aside} alone: should the queue lose what it acknowledged before now, they are found there"
        )
    }
}

/// Whether the file's name says that it is a spool, whatever its first bytes say. Anything but a regular file was never
/// one.
pub(super) fn has_a_spools_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "db") && path.is_file()
}

/// Whether the file's first bytes are no longer those of an SQLite file, though its name says that it is a spool.
pub(super) fn has_lost_its_head(path: &Path) -> bool {
    // Opening a FIFO waits for ever.
    if !has_a_spools_name(path) {
        return false;
    }
    let mut head = [0; 16];
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(_) => return false,
    };
    file.read_exact(&mut head).is_ok() && &head != b"SQLite format 3\0"
}

/// Puts the file at `path` aside under a name with the time in it, and carries over what can be read. `None` where
/// another publisher was quicker.
pub(super) fn put_aside(path: &Path, sync: Sync, now: i64) -> Result<Option<Damage>, SpoolError> {
    let refuse = |error| SpoolError::Io { path: path.to_owned(), error };
    // The lock is on the damaged file itself: who waited for it finds another file under the name.
    // Others may hold a lock on it as long as they can open it.
    if let Ok(name) = files::resolve(path) {
        files::narrow(&name);
    }
    let damaged = files::read_private(path).map_err(refuse)?;
    let which = identity(path);
    lock_within(&damaged, LOCK_TRIES, || block(LOCK_PAUSE)).map_err(refuse)?;
    if identity(path) != which {
        return Ok(None);
    }
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
    let mut damage = Damage { put_aside: aside.clone(), events: 0, letters: 0, retained: 0, complete: true };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    match Connection::open_with_flags(&aside, flags).and_then(limited) {
        Ok(old) => carry_over(&old, &fresh, &mut damage),
        Err(_) => damage.complete = false,
    }
    if damage.holds_nothing() {
        with_a_new_head(&aside, &fresh, &mut damage);
    }
    Ok(Some(damage))
}

fn limited(connection: Connection) -> rusqlite::Result<Connection> {
    database::limit_values(&connection).map(|()| connection)
}

/// Locks `file`, which another publisher may have locked to put it aside; gives up after so many tries with a pause between
/// them.
fn lock_within(file: &File, tries: u32, pause: impl Fn()) -> std::io::Result<()> {
    for _ in 0..tries {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => pause(),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the spool is damaged, and another process holds a lock on it for too long to put it aside; find that process with \
         fuser or lsof, and start again when it has ended",
    ))
}

/// Tries a copy of the damaged file again whose first bytes are what they are in every spool: without them SQLite reads
/// nothing of what may be whole. The file itself stays as it is.
fn with_a_new_head(aside: &Path, fresh: &Connection, damage: &mut Damage) {
    let Ok((file, copy)) = files::create_beside(aside, true) else { return };
    let opened = (|| {
        copy_into(file, aside)?;
        if with_suffix(aside, "-wal").exists() {
            copy_into(files::create_new(&with_suffix(&copy, "-wal"), true)?, &with_suffix(aside, "-wal"))?;
        }
        write_head(&copy, fresh)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&copy, flags).and_then(limited).map_err(std::io::Error::other)
    })();
    if let Ok(old) = opened {
        let mut found = Damage { complete: true, events: 0, letters: 0, retained: 0, ..damage.clone() };
        carry_over(&old, fresh, &mut found);
        if !found.holds_nothing() {
            *damage = found;
        }
    }
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(with_suffix(&copy, suffix));
    }
}

fn copy_into(mut file: std::fs::File, from: &Path) -> std::io::Result<u64> {
    std::io::copy(&mut files::read_private(from)?, &mut file)
}

/// Writes what the header of a spool holds that never changes, or may be left out.
/// (<https://www.sqlite.org/fileformat2.html#the_database_header>)
fn write_head(path: &Path, fresh: &Connection) -> std::io::Result<()> {
    let page: u16 = fresh.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(std::io::Error::other)?;
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut head = [0; 101];
    file.read_exact(&mut head)?;
    let [high, low] = page.to_be_bytes();
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = head.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, b"SQLite format 3\0");
    // The size of a page, the log, no bytes kept free in a page, and the shares of a page, which are fixed.
    put(16, &[high, low, 2, 2, 0, 64, 32, 32]);
    // Where this is zero the file's length counts.
    put(28, &[0; 4]);
    // The schema's format, and UTF-8.
    put(44, &4u32.to_be_bytes());
    put(56, &1u32.to_be_bytes());
    // The first page holds the schema: a table's leaf, unless it is an inner page.
    if head[100] != 5 {
        head[100] = 13;
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&head)
}

/// Whether the file with this identity stands beside `path` as one that was put aside.
pub(super) fn was_put_aside(path: &Path, which: Option<(u64, u64)>) -> bool {
    let Some(name) = path.file_name() else { return false };
    let start = format!("{}.damaged-", name.to_string_lossy());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(mut entries) = folder.read_dir() else { return false };
    entries.any(|entry| {
        entry.is_ok_and(|it| it.file_name().to_string_lossy().starts_with(&start) && identity(&it.path()) == which)
    })
}

/// Carries what `old` holds over into `fresh`, as far as it can be read.
pub(super) fn carry_over(old: &Connection, fresh: &Connection, damage: &mut Damage) {
    let destinations = copy(old, fresh, "destinations", "id");
    let events = copy(old, fresh, "events", "seq");
    let letters = copy(old, fresh, "dead_letters", "id");
    damage.complete &= destinations.complete && destinations.rows > 0 && events.complete && letters.complete;
    (damage.events, damage.retained, damage.letters) = (events.rows, events.retained, letters.rows);
    // Publishers at work go on with what they hold. They say it again themselves, so nothing hangs on these.
    copy(old, fresh, "runs", "id");
    let _ = copy_claims(old, fresh);
    let last: i64 = old
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'events'", [], |row| row.get(0))
        .unwrap_or(UNKNOWN_NUMBERS);
    // Without their destination's row events would wait for nobody; the totals are counted anew. No number is given out
    // twice: publishers know events and runs by them.
    let mended = fresh.execute_batch(&format!(
        "INSERT INTO destinations (id, url)
             SELECT DISTINCT destination, 'lost:' || destination FROM events WHERE true ON CONFLICT DO NOTHING;
         UPDATE destinations SET retained_events = 0, retained_bytes = 0,
             waiting_events = (SELECT count(*) FROM events WHERE destination = destinations.id),
             waiting_bytes = (SELECT coalesce(sum(length(body)), 0) FROM events WHERE destination = destinations.id);
         UPDATE dead_letters SET replaying = 0 WHERE id NOT IN (SELECT letter FROM events WHERE letter IS NOT NULL);
         INSERT INTO sqlite_sequence (name, seq)
             SELECT it, 0 FROM (SELECT 'events' AS it UNION SELECT 'runs')
             WHERE it NOT IN (SELECT name FROM sqlite_sequence);
         UPDATE sqlite_sequence SET seq = max(seq, {last}) WHERE name = 'events';
         UPDATE sqlite_sequence SET seq = max(seq, (SELECT coalesce(max(run), 0) FROM events)) WHERE name = 'runs';"
    ));
    damage.complete &= mended.is_ok();
}

/// Where the last number given out can't be read: above what a spool gives out in a lifetime.
const UNKNOWN_NUMBERS: i64 = 1 << 40;
/// So many keys in the dark are tried one by one; behind them the steps grow, so that the look ends.
const PROBES: u32 = 100_000;

/// More rows than this a page holds only in a damaged file.
const MOST_ROWS_OF_A_PAGE: u64 = 1_024;

fn copy_claims(old: &Connection, fresh: &Connection) -> rusqlite::Result<()> {
    let mut statement = old.prepare("SELECT destination, instance, run FROM claims")?;
    let mut insert = fresh.prepare("INSERT INTO claims VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        insert.execute((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))?;
    }
    Ok(())
}

/// Copies the rows of a table that can be read, in pieces around those that can't.
fn copy(old: &Connection, fresh: &Connection, table: &str, key: &str) -> Copied {
    let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
    let last = old.query_row(sql, [table], |row| row.get::<_, i64>(0)).unwrap_or(UNKNOWN_NUMBERS);
    let mut all = Copied { rows: 0, retained: 0, complete: true };
    // Without the schema no key leads anywhere.
    if old.prepare(&format!("SELECT {key} FROM {table}")).is_err() {
        return Copied { complete: false, ..all };
    }
    let (mut from, mut probes, mut step) = (0i64, 0u32, 1i64);
    loop {
        let before = from;
        if matches!(copy_from(old, fresh, (table, key), last, &mut from, &mut all), Ok(true)) {
            return all;
        }
        all.complete = false;
        // A page that can't be read hides an unknown number of rows. Each turn goes on, so that the look ends.
        let mut dark = from == before;
        while dark || !can_read(old, table, key, from) {
            probes = probes.saturating_add(1);
            step = if probes < PROBES { 1 } else { step.saturating_mul(2) };
            match from.checked_add(step).filter(|next| *next <= last) {
                Some(next) => from = next,
                None => return all,
            }
            dark = false;
        }
    }
}

/// What was copied, and whether all that there was could be read.
struct Copied {
    rows: u64,
    retained: u64,
    complete: bool,
}

/// Whether the first row from `key` on can be found.
fn can_read(old: &Connection, table: &str, key: &str, from: i64) -> bool {
    let sql = format!("SELECT {key} FROM {table} NOT INDEXED WHERE {key} >= ?1 ORDER BY {key} LIMIT 1");
    let found = old
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.query_row([from], |row| row.get::<_, i64>(0)).optional());
    found.is_ok()
}

/// Copies rows with keys `from` on, in the order of their keys, until the end (true) or a page that can't be read.
fn copy_from(
    old: &Connection,
    fresh: &Connection,
    (table, key): (&str, &str),
    last: i64,
    from: &mut i64,
    all: &mut Copied,
) -> rusqlite::Result<bool> {
    // By key alone: the indexes of a damaged file are not to be trusted.
    let sql = format!("SELECT * FROM {table} NOT INDEXED WHERE {key} >= ?1 ORDER BY {key}");
    let mut statement = old.prepare_cached(&sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let at = |name: &str| names.iter().position(|it| it == name);
    let (delivered_at, body, instance) = (at("delivered_at"), at("body"), at("instance"));
    let marks = vec!["?"; names.len()].join(", ");
    let mut insert = fresh.prepare_cached(&format!(
        "INSERT INTO {table} ({}) VALUES ({marks}) ON CONFLICT DO NOTHING",
        names.join(", ")
    ))?;
    // Pages that point at each other in a ring would be read for ever.
    let pages: u64 = old.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let mut patience = pages.saturating_mul(MOST_ROWS_OF_A_PAGE);
    let transaction = fresh.unchecked_transaction()?;
    let mut rows = statement.query([*from])?;
    let ended = loop {
        let row = match rows.next() {
            Ok(None) => break true,
            Err(_) => break false,
            Ok(Some(_)) if patience == 0 => break false,
            Ok(Some(row)) => row,
        };
        patience -= 1;
        let Some(number) = row.get::<_, i64>(0).ok().filter(|number| (0..=last).contains(number)) else {
            // A number that was never given out.
            all.complete = false;
            continue;
        };
        *from = (*from).max(number + 1);
        if delivered_at.is_some_and(|at| !matches!(row.get_ref(at), Ok(ValueRef::Null))) {
            all.retained += 1;
            continue;
        }
        let values: rusqlite::Result<Vec<Value>> = (0..names.len()).map(|at| row.get_ref(at).map(legible)).collect();
        let Ok(mut values) = values else {
            all.complete = false;
            continue;
        };
        // An event's instance stands in its body too, where its id vouches for it.
        let decoded = body.and_then(|at| match values.get(at) {
            Some(Value::Blob(bytes)) => EncodedEvent::decode_stored(bytes).ok(),
            _ => None,
        });
        if let (Some(encoded), Some(place)) = (decoded, instance.and_then(|at| values.get_mut(at))) {
            *place = Value::Text(encoded.event().instance_id.clone());
        }
        // A row whose values no longer fit the schema is one that can't be read.
        match insert.execute(params_from_iter(values)) {
            Ok(count) => all.rows += count as u64,
            Err(_) => all.complete = false,
        }
    };
    transaction.commit()?;
    Ok(ended)
}

/// The value, with what is no text any more made legible.
fn legible(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn free_name(path: &Path, now: i64) -> PathBuf {
    (0..)
        .map(|n| if n == 0 { format!(".damaged-{now}") } else { format!(".damaged-{now}-{n}") })
        .map(|suffix| with_suffix(path, &suffix))
        .find(|name| name.symlink_metadata().is_err())
        .unwrap_or_else(|| with_suffix(path, ".damaged"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_of_another_process_is_waited_for_within_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool.db");
        let theirs = File::create(&path).unwrap();
        theirs.lock().unwrap();
        let ours = File::open(&path).unwrap();
        let pauses = std::cell::Cell::new(0);
        let error = lock_within(&ours, 3, || pauses.set(pauses.get() + 1)).unwrap_err();
        assert_eq!((error.kind(), pauses.get()), (std::io::ErrorKind::TimedOut, 3));
        // It lets go while it is waited for.
        lock_within(&ours, 3, || theirs.unlock().unwrap()).unwrap();
    }
}
