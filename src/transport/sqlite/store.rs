//! The store itself: opening, appending, reading. Blocks; callers on a runtime give it a thread.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use sha3::{Digest, Sha3_256};

/// "fuse" in ASCII, so that the file is known as ours.
const APPLICATION_ID: i32 = 0x6675_7365;
const SCHEMA_VERSION: i32 = 1;
/// How long another process's transaction is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const SCHEMA: &str = "
    CREATE TABLE topics (
        id INTEGER PRIMARY KEY,
        hash TEXT NOT NULL UNIQUE,
        messages INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE messages (
        topic INTEGER NOT NULL REFERENCES topics (id),
        position INTEGER NOT NULL,
        digest BLOB NOT NULL,
        content BLOB NOT NULL,
        accepted_at INTEGER NOT NULL,
        PRIMARY KEY (topic, position),
        UNIQUE (topic, digest)
    ) STRICT, WITHOUT ROWID;
";

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is there and is not a store of ours.
    #[error("{path} {what}")]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        what: String,
    },
    /// No room is left for it.
    #[error("the disk that holds {path} is full; make room and try again")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process kept the file locked for longer than ten seconds.
    #[error("{path} is locked by another process; try again, and look for who holds it with: fuser {path}")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// What SQLite said.
    #[error("{path}: {error}{}", hint(.error))]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The error; no `source`, since the message says it already.
        error: rusqlite::Error,
    },
}

/// What to do about the more likely errors.
fn hint(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode::{CannotOpen, DatabaseCorrupt, PermissionDenied, ReadOnly};
    match error.sqlite_error_code() {
        Some(CannotOpen) => "; check that its folder exists and that you may write there",
        Some(PermissionDenied | ReadOnly) => "; check that you may write the file and its folder",
        Some(DatabaseCorrupt) => "; the file is damaged: keep it, and start a new one under another name",
        _ => "",
    }
}

/// Messages by topic, in one SQLite file.
#[derive(Debug)]
pub struct EventStore {
    path: PathBuf,
    connection: Connection,
}

impl EventStore {
    /// Opens the store at `path`; makes it where there is none.
    ///
    /// # Errors
    /// When the file can't be opened or is no store of ours.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut store = Self::connect(path, flags)?;
        store.prepare().map_err(|error| store.refuse(error))?;
        store.check()?;
        Ok(store)
    }

    /// Opens the store at `path` for reading; `None` where there is none yet. Other processes may write meanwhile.
    ///
    /// # Errors
    /// As for [`EventStore::open`].
    pub fn open_existing(path: &Path) -> Result<Option<Self>, StoreError> {
        // An empty file is a store that another process is just making.
        if !path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
            return match path.try_exists() {
                Ok(_) => Ok(None),
                Err(error) => {
                    Err(StoreError::NotOurs { path: path.to_owned(), what: format!("can't be read: {error}") })
                }
            };
        }
        // A reader of a write-ahead log needs to write its index, so this opens for writing where it may.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let store = Self::connect(path, flags)?;
        let version: i32 = store.pragma("user_version").map_err(|error| store.refuse(error))?;
        if version == 0 && tables(&store.connection).map_err(|error| store.refuse(error))? == 0 {
            return Ok(None);
        }
        store.check()?;
        Ok(Some(store))
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        if path.is_dir() {
            return Err(StoreError::NotOurs {
                path: path.to_owned(),
                what: "is a directory; name a file in it".to_owned(),
            });
        }
        let refuse = |error| StoreError::Sqlite { path: path.to_owned(), error };
        let connection = Connection::open_with_flags(path, flags).map_err(refuse)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(refuse)?;
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Makes the tables in a new file, and sets what holds for this connection.
    fn prepare(&mut self) -> rusqlite::Result<()> {
        let version: i32 = self.pragma("user_version")?;
        // A file with tables that are not ours is left as it is, down to its journal mode.
        if version == 0 && self.pragma("application_id")? == 0 && tables(&self.connection)? == 0 {
            // Switching to the log does not wait for a lock, and another process may be making the same file.
            self.connection.pragma_update(None, "journal_mode", "wal").or_else(|error| {
                let held = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
                if held { Ok(()) } else { Err(error) }
            })?;
            let transaction = self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            if tables(&transaction)? == 0 {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            }
            transaction.commit()?;
        }
        self.connection.pragma_update(None, "synchronous", "full")?;
        Ok(())
    }

    fn check(&self) -> Result<(), StoreError> {
        let refuse = |what: String| Err(StoreError::NotOurs { path: self.path.clone(), what });
        let application: i32 = self.pragma("application_id").map_err(|error| self.refuse(error))?;
        let version: i32 = self.pragma("user_version").map_err(|error| self.refuse(error))?;
        match (application, version) {
            (APPLICATION_ID, SCHEMA_VERSION) => Ok(()),
            (APPLICATION_ID, later) => refuse(format!(
                "is of schema {later} and this version of formusage knows {SCHEMA_VERSION}; use the version that wrote it"
            )),
            _ => refuse("is an SQLite database of another program; name another file".to_owned()),
        }
    }

    fn pragma(&self, name: &str) -> rusqlite::Result<i32> {
        self.connection.pragma_query_value(None, name, |row| row.get(0))
    }

    fn refuse(&self, error: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, NotADatabase};
        let path = self.path.clone();
        match error.sqlite_error_code() {
            Some(DiskFull) => StoreError::Full { path },
            Some(DatabaseBusy | DatabaseLocked) => StoreError::Busy { path },
            Some(NotADatabase) => {
                StoreError::NotOurs { path, what: "is no SQLite database; name another file".to_owned() }
            }
            _ => StoreError::Sqlite { path, error },
        }
    }

    /// Appends `messages` (each the hash of its topic, and its content) in one transaction, and says for each whether
    /// it was new. On disk when this returns.
    ///
    /// # Errors
    /// When nothing of it was taken.
    pub fn append(&mut self, messages: &[(&str, &[u8])], accepted_at: i64) -> Result<Vec<bool>, StoreError> {
        let result = append(&mut self.connection, messages, accepted_at);
        result.map_err(|error| self.refuse(error))
    }

    /// How many messages the topic of this hash holds; `None` where nothing was ever written to it.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn count(&self, topic: &str) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT messages FROM topics WHERE hash = ?1";
        let found =
            self.connection.prepare_cached(sql).and_then(|mut it| it.query_row([topic], |row| row.get(0)).optional());
        found.map_err(|error| self.refuse(error))
    }

    /// The messages of a topic from `position` on, each with its position: at most `most` of them, and no more once
    /// `bytes` are reached.
    ///
    /// # Errors
    /// What SQLite said.
    pub fn read(
        &self,
        topic: &str,
        position: u64,
        most: usize,
        bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        read(&self.connection, topic, position, most, bytes).map_err(|error| self.refuse(error))
    }

    /// Folds the write-ahead log into the file, for a graceful end.
    ///
    /// # Errors
    /// What SQLite said; nothing is lost then, the log is folded in later.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let done = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        done.map_err(|error| self.refuse(error))
    }
}

fn tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

fn append(connection: &mut Connection, messages: &[(&str, &[u8])], accepted_at: i64) -> rusqlite::Result<Vec<bool>> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let mut new = Vec::with_capacity(messages.len());
    {
        let mut topic = transaction.prepare_cached("SELECT id, messages FROM topics WHERE hash = ?1")?;
        let mut add_topic = transaction.prepare_cached("INSERT INTO topics (hash) VALUES (?1) RETURNING id")?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO messages (topic, position, digest, content, accepted_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (topic, digest) DO NOTHING",
        )?;
        let mut advance = transaction.prepare_cached("UPDATE topics SET messages = ?2 WHERE id = ?1")?;
        // Messages of one topic mostly come together: its row is read and written once for each run of them.
        for run in messages.chunk_by(|one, other| one.0 == other.0) {
            let Some(&(hash, _)) = run.first() else { continue };
            let (id, before): (i64, i64) =
                match topic.query_row([hash], |row| Ok((row.get(0)?, row.get(1)?))).optional()? {
                    Some(found) => found,
                    None => (add_topic.query_row([hash], |row| row.get(0))?, 0),
                };
            let mut position = before;
            for (_, content) in run {
                let digest: [u8; 32] = Sha3_256::digest(content).into();
                let added = insert.execute(params![id, position, &digest[..], content, accepted_at])? > 0;
                position += i64::from(added);
                new.push(added);
            }
            if position > before {
                advance.execute([id, position])?;
            }
        }
    }
    transaction.commit()?;
    Ok(new)
}

fn read(
    connection: &Connection,
    topic: &str,
    position: u64,
    most: usize,
    bytes: usize,
) -> rusqlite::Result<Vec<(u64, Vec<u8>)>> {
    let mut statement = connection.prepare_cached(
        "SELECT position, content FROM messages
         WHERE topic = (SELECT id FROM topics WHERE hash = ?1) AND position >= ?2 ORDER BY position LIMIT ?3",
    )?;
    let from = i64::try_from(position).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![topic, from, i64::try_from(most).unwrap_or(i64::MAX)])?;
    let mut found = Vec::new();
    let mut size = 0;
    while let Some(row) = rows.next()? {
        let content: Vec<u8> = row.get(1)?;
        size += content.len();
        found.push((row.get(0)?, content));
        if size >= bytes {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(store: &EventStore, topic: &str) -> Vec<(u64, Vec<u8>)> {
        store.read(topic, 0, usize::MAX, usize::MAX).unwrap()
    }

    #[test]
    fn what_was_taken_is_there_for_others_and_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.db");
        assert!(EventStore::open_existing(&path).unwrap().is_none());
        let mut one = EventStore::open(&path).unwrap();
        let other = EventStore::open_existing(&path).unwrap().unwrap();
        assert_eq!(
            one.append(&[("t", b"a"), ("t", b"b"), ("t", b"a"), ("u", b"a")], 7).unwrap(),
            [true, true, false, true]
        );
        assert_eq!(all(&other, "t"), [(0, b"a".to_vec()), (1, b"b".to_vec())]);
        assert_eq!((other.count("t").unwrap(), other.count("x").unwrap()), (Some(2), None));
        drop((one, other));
        let mut again = EventStore::open(&path).unwrap();
        assert_eq!(again.append(&[("t", b"b"), ("t", b"c")], 8).unwrap(), [false, true]);
        assert_eq!(again.read("t", 1, 1, usize::MAX).unwrap(), [(1, b"b".to_vec())]);
        assert_eq!(again.read("t", 0, 10, 1).unwrap().len(), 1, "bounded by bytes");
        assert_eq!(again.read("t", 3, 10, 10).unwrap(), []);
    }

    #[test]
    fn files_that_are_not_ours_are_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text");
        std::fs::write(&text, "hello, this is no database, however long one looks at it").unwrap();
        let foreign = folder.path().join("foreign.db");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
        let later = folder.path().join("later.db");
        drop(EventStore::open(&later).unwrap());
        Connection::open(&later).unwrap().pragma_update(None, "user_version", 9).unwrap();
        let cases = [
            (text.as_path(), "is no SQLite database"),
            (&foreign, "of another program"),
            (&later, "is of schema 9"),
            (folder.path(), "is a directory"),
        ];
        for (path, says) in cases {
            let before = std::fs::read(path).ok();
            let error = EventStore::open(path).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(std::fs::read(path).ok() == before, "{says}: the file was changed");
            assert!(EventStore::open_existing(path).is_err());
        }
        let error = EventStore::open(&folder.path().join("no/such/q.db")).unwrap_err().to_string();
        assert!(error.contains("check that its folder exists"), "{error}");
    }

    #[test]
    fn several_may_make_one_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.db");
        std::thread::scope(|scope| {
            for n in 0..8u8 {
                let path = &path;
                scope.spawn(move || EventStore::open(path).unwrap().append(&[("t", &[n])], 0).unwrap());
            }
        });
        let store = EventStore::open(&path).unwrap();
        assert_eq!(all(&store, "t").iter().map(|(at, _)| *at).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn agrees_with_a_list(batches in proptest::collection::vec((proptest::collection::vec((0u8..2, 0u8..12), 0..6), any::<bool>()), 0..12)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("q.db");
            let mut store = EventStore::open(&path).unwrap();
            let mut model: [Vec<Vec<u8>>; 2] = Default::default();
            for (batch, reopen) in batches {
                let contents: Vec<(String, Vec<u8>)> = batch.iter().map(|(topic, content)| (topic.to_string(), vec![*content])).collect();
                let messages: Vec<(&str, &[u8])> = contents.iter().map(|(topic, content)| (topic.as_str(), content.as_slice())).collect();
                let new = store.append(&messages, 0).unwrap();
                for ((topic, content), new) in batch.iter().zip(new) {
                    let held = &mut model[usize::from(*topic)];
                    prop_assert_eq!(new, !held.contains(&vec![*content]));
                    if new {
                        held.push(vec![*content]);
                    }
                }
                if reopen {
                    drop(store);
                    store = EventStore::open(&path).unwrap();
                }
                for (topic, held) in model.iter().enumerate() {
                    let expected: Vec<(u64, Vec<u8>)> = (0..).zip(held.iter().cloned()).collect();
                    prop_assert_eq!(all(&store, &topic.to_string()), expected);
                }
            }
        }
    }
}
