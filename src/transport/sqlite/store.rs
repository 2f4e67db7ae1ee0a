//! The store itself: opening, appending, reading. Blocks; callers on a runtime give it a thread.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};
use sha3::{Digest, Sha3_256};

use crate::database::{self, Kind, StoreError};

/// "fuse" in ASCII, so that the file is known as ours.
const KIND: Kind = Kind { application_id: 0x6675_7365, steps: &[SCHEMA] };

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

/// The largest message that is read, in bytes. A queue takes 1 MiB; events that are published may be larger.
const MAX_MESSAGE_BYTES: usize = 8 << 20;

/// Messages by topic, in one SQLite file.
#[derive(Debug)]
pub struct EventStore {
    path: PathBuf,
    connection: Connection,
    /// Which file it is; `None` where that can't be told.
    identity: Option<(u64, u64)>,
}

impl EventStore {
    /// Opens the store at `path`; makes it where there is none.
    ///
    /// # Errors
    /// When the file can't be opened or is no store of ours.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = database::open(path, &KIND)?;
        Ok(Self { connection, path: path.to_owned(), identity: database::identity(path) })
    }

    /// Opens the store at `path` for reading; `None` where there is none yet. Other processes may write meanwhile.
    ///
    /// # Errors
    /// As for [`EventStore::open`].
    pub fn open_existing(path: &Path) -> Result<Option<Self>, StoreError> {
        let connection = database::open_existing(path, &KIND)?;
        Ok(connection.map(|connection| Self { connection, path: path.to_owned(), identity: database::identity(path) }))
    }

    fn refuse(&self, error: rusqlite::Error) -> StoreError {
        StoreError::of(&self.path, error)
    }

    /// Appends `messages` (each the hash of its topic, and its content) in one transaction, and says for each whether
    /// it was new. On disk when this returns, in the file that stands under the name.
    ///
    /// # Errors
    /// When nothing of it was taken.
    pub fn append(&mut self, messages: &[(&str, &[u8])], accepted_at: i64) -> Result<Vec<bool>, StoreError> {
        self.follow_the_name()?;
        loop {
            let result = append(&mut self.connection, messages, accepted_at);
            let new = result.map_err(|error| self.refuse(error))?;
            // It may have gone into a file that was removed meanwhile.
            if !self.follow_the_name()? {
                return Ok(new);
            }
        }
    }

    /// Goes on with the file that stands under the name where it is not ours any more: what is written to one that was
    /// removed nobody would ever read. Whether it is so.
    fn follow_the_name(&mut self) -> Result<bool, StoreError> {
        if self.identity.is_none() || database::identity(&self.path) == self.identity {
            return Ok(false);
        }
        let path = self.path.display();
        if self.path.try_exists().is_ok_and(|exists| !exists) {
            tracing::error!(%path, "the file was removed while it was written to: what it held is gone with it, and a new one is begun");
            // The index of the log, which belongs to the file that is gone.
            let _ = std::fs::remove_file(database::with_suffix(&self.path, "-shm"));
        } else {
            tracing::warn!(%path, "another file stands in the place of the one that was written to: going on with that");
        }
        *self = Self::open(&self.path)?;
        Ok(true)
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
    /// `bytes` are reached. One of more than 8 MiB is logged, and empty here.
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
        let oversized = |position, bytes: u64| {
            tracing::error!(
                path = %self.path.display(),
                position,
                bytes,
                "a message is larger than {MAX_MESSAGE_BYTES} bytes, the most that is read of one, and is left out"
            );
        };
        read(&self.connection, topic, position, most, bytes, oversized).map_err(|error| self.refuse(error))
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
    oversized: impl Fn(u64, u64),
) -> rusqlite::Result<Vec<(u64, Vec<u8>)>> {
    // The length stands in the row; the content is not read for it.
    let mut statement = connection.prepare_cached(
        "SELECT position, octet_length(content), CASE WHEN octet_length(content) <= ?4 THEN content END FROM messages
         WHERE topic = (SELECT id FROM topics WHERE hash = ?1) AND position >= ?2 ORDER BY position LIMIT ?3",
    )?;
    let from = i64::try_from(position).unwrap_or(i64::MAX);
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![topic, from, most, i64::try_from(MAX_MESSAGE_BYTES).unwrap_or(i64::MAX)])?;
    let mut found = Vec::new();
    let mut size = 0;
    while let Some(row) = rows.next()? {
        let position = row.get(0)?;
        let content: Option<Vec<u8>> = row.get(2)?;
        if content.is_none() {
            oversized(position, row.get(1)?);
        }
        let content = content.unwrap_or_default();
        size += content.len();
        found.push((position, content));
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
    fn a_message_that_is_too_large_is_left_out_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.db");
        let mut store = EventStore::open(&path).unwrap();
        let large = vec![b'x'; MAX_MESSAGE_BYTES];
        store.append(&[("t", b"a"), ("t", &large), ("t", b"b")], 0).unwrap();
        assert_eq!(all(&store, "t"), [(0, b"a".to_vec()), (1, large), (2, b"b".to_vec())]);
        let connection = Connection::open(&path).unwrap();
        connection.execute("UPDATE messages SET content = zeroblob(9000000) WHERE position = 1", []).unwrap();
        assert_eq!(all(&store, "t"), [(0, b"a".to_vec()), (1, Vec::new()), (2, b"b".to_vec())]);
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
