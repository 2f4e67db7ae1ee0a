//! SQLite files of ours: opening, telling them from others', schema versions, and errors that say what to do.
//!
//! `application_id` marks a file as one of ours and says which kind; `user_version` is its schema. A file of another
//! program, of another kind or of a later schema is refused and left as it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::files;
pub(crate) use crate::files::with_suffix;

/// How long another process's transaction is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes that a value or a row may have. One that is larger was not written by us; it is an error to read it, and
/// costs no memory.
pub(crate) const MAX_VALUE_BYTES: u64 = 64 << 20;
/// The most memory that SQLite takes in this process, where it is limited. A row is held whole while it is looked for in an
/// index, whatever its size.
const MAX_MEMORY_BYTES: u64 = 256 << 20;

/// What SQLite keeps beside a file.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A kind of file.
#[derive(Debug)]
pub(crate) struct Kind {
    /// Four ASCII letters.
    pub(crate) application_id: i32,
    /// What makes the schema: the first step makes version 1, each further step the next version of the one before.
    pub(crate) steps: &'static [&'static str],
}

impl Kind {
    fn version(&self) -> i32 {
        i32::try_from(self.steps.len()).unwrap_or(i32::MAX)
    }
}

/// Why a file can't be used.
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
    /// It is another user's, or a link that another user made, in a folder that others can write.
    #[error("{error}")]
    Refused {
        /// Which path, whose, and what to do.
        error: std::io::Error,
    },
    /// The file is there, and SQLite finds nothing of a database at its beginning.
    #[error("{path} is no SQLite database; name another file")]
    NotADatabase {
        /// The file.
        path: PathBuf,
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

impl StoreError {
    /// What went wrong with the file at `path`.
    pub(crate) fn of(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        // No room for the index of the log has no code of its own among the primary ones.
        if error.sqlite_error().is_some_and(|it| it.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE) {
            return Self::Full { path };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::NotADatabase) => Self::NotADatabase { path },
            _ => Self::Sqlite { path, error },
        }
    }

    /// Whether the file's content is damaged.
    pub(crate) fn is_damage(&self) -> bool {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
        let Self::Sqlite { error, .. } = self else { return false };
        // Values that the schema rules out were not written by us.
        let impossible = matches!(
            error,
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)
        );
        impossible || error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
    }
}

/// What to do about the more likely errors.
fn hint(error: &rusqlite::Error) -> &'static str {
    use ErrorCode::{CannotOpen, DatabaseCorrupt, OutOfMemory, PermissionDenied, ReadOnly, TooBig};
    match error.sqlite_error_code() {
        Some(TooBig) => {
            "; a row of it is larger than 64 MiB, the most that is read, and was not written by formusage: keep the file, and start a new one under another name"
        }
        Some(OutOfMemory) => {
            "; there is too little memory, or a row of the file is larger than 64 MiB, the most that is read: keep the file, and start a new one under another name"
        }
        Some(CannotOpen) => "; check that its folder exists and that you may write there",
        Some(PermissionDenied | ReadOnly) => "; check that you may write the file and its folder",
        Some(DatabaseCorrupt) => "; the file is damaged: keep it, and start a new one under another name",
        _ => "",
    }
}

/// Which file stands under the name.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = path.metadata().ok();
        metadata.map(|metadata| (metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// Limits the memory of SQLite in this process to 256 MiB, for all connections together. For a program of its own: a row
/// of hundreds of megabytes in a file that somebody else made is an error then.
pub fn limit_memory() {
    let limited = Connection::open_in_memory().and_then(|it| {
        it.pragma_update_and_check(None, "hard_heap_limit", MAX_MEMORY_BYTES, |row| row.get::<_, u64>(0))
    });
    if let Err(error) = limited {
        tracing::debug!("the memory of SQLite is not limited: {error}");
    }
}

/// Keeps values of more than [`MAX_VALUE_BYTES`] from being read or written on `connection`.
pub(crate) fn limit_values(connection: &Connection) -> rusqlite::Result<()> {
    let most = i32::try_from(MAX_VALUE_BYTES).unwrap_or(i32::MAX);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, most).map(drop)
}

/// Opens the file at `path` for reading and writing; makes it where there is none, and brings an older schema up to
/// date. What was committed is on disk (`synchronous = FULL`, write-ahead log).
pub(crate) fn open(path: &Path, kind: &Kind) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = connect(path, flags)?;
    prepare(&mut connection, kind).map_err(|error| StoreError::of(path, error))?;
    check(&connection, path, kind)?;
    narrow(path);
    Ok(connection)
}

/// Opens the file at `path` where it holds something already.
pub(crate) fn open_existing(path: &Path, kind: &Kind) -> Result<Option<Connection>, StoreError> {
    // An empty file is a store that another process is just making.
    if !path.metadata().is_ok_and(|metadata| metadata.len() > 0) {
        return match path.try_exists() {
            Ok(_) => Ok(None),
            Err(error) => Err(StoreError::NotOurs { path: path.to_owned(), what: format!("can't be read: {error}") }),
        };
    }
    // A reader of a write-ahead log needs to write its index, so this opens for writing where it may.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags)?;
    let refuse = |error| StoreError::of(path, error);
    let version: i32 = pragma(&connection, "user_version").map_err(refuse)?;
    if version == 0 && tables(&connection).map_err(refuse)? == 0 {
        return Ok(None);
    }
    check(&connection, path, kind)?;
    narrow(path);
    Ok(Some(connection))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    if path.is_dir() {
        return Err(StoreError::NotOurs {
            path: path.to_owned(),
            what: "is a directory; name a file in it".to_owned(),
        });
    }
    // SQLite would try, say "disk I/O error" and leave a journal beside the device.
    if path.exists() && !path.is_file() {
        return Err(StoreError::NotOurs { path: path.to_owned(), what: "is no regular file; name another".to_owned() });
    }
    let name = check_private(path, flags.contains(OpenFlags::SQLITE_OPEN_CREATE))?;
    let refuse = |error| StoreError::Sqlite { path: path.to_owned(), error };
    let connection = Connection::open_with_flags(name, flags | OpenFlags::SQLITE_OPEN_NOFOLLOW).map_err(refuse)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(refuse)?;
    limit_values(&connection).map_err(refuse)?;
    Ok(connection)
}

/// Checks the file and those beside it, and makes it for its owner alone: it holds what tenants are billed for, and the
/// keys in destinations' URLs. SQLite gives its log and the log's index the same mode.
fn check_private(path: &Path, create: bool) -> Result<PathBuf, StoreError> {
    let refuse = |error| StoreError::Refused { error };
    let name = files::check_private(path, create).map_err(refuse)?;
    for suffix in BESIDE {
        files::check_private(&with_suffix(&name, suffix), false).map_err(refuse)?;
    }
    Ok(name)
}

/// Takes the rights of others from a store of ours and the files beside it: a lock on the log's index stops who writes.
fn narrow(path: &Path) {
    let Ok(name) = files::resolve(path) else { return };
    let beside = BESIDE.map(|suffix| with_suffix(&name, suffix));
    files::narrow_all(&[std::slice::from_ref(&name), &beside].concat());
}

/// Makes the tables in a new file, brings those of an older one up to date, and sets what holds for this connection.
fn prepare(connection: &mut Connection, kind: &Kind) -> rusqlite::Result<()> {
    let version: i32 = pragma(connection, "user_version")?;
    let application: i32 = pragma(connection, "application_id")?;
    // A file with tables that are not ours is left as it is, down to its journal mode.
    let new = version == 0 && application == 0 && tables(connection)? == 0;
    if new {
        // Switching to the log does not wait for a lock, and another process may be making the same file.
        connection.pragma_update(None, "journal_mode", "wal").or_else(|error| {
            let held = error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy);
            if held { Ok(()) } else { Err(error) }
        })?;
    }
    if new || (application == kind.application_id && (0..kind.version()).contains(&version)) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been quicker.
        let done: i32 = pragma(&transaction, "user_version")?;
        for step in kind.steps.iter().skip(usize::try_from(done).unwrap_or(0)) {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", kind.application_id)?;
        transaction.pragma_update(None, "user_version", done.max(kind.version()))?;
        transaction.commit()?;
    }
    connection.pragma_update(None, "synchronous", "full")
}

fn check(connection: &Connection, path: &Path, kind: &Kind) -> Result<(), StoreError> {
    let read = |name| pragma(connection, name).map_err(|error| StoreError::of(path, error));
    let refuse = |what: String| Err(StoreError::NotOurs { path: path.to_owned(), what });
    let (application, version): (i32, i32) = (read("application_id")?, read("user_version")?);
    if application != kind.application_id {
        refuse("is an SQLite database of another program; name another file".to_owned())
    } else if version > kind.version() {
        refuse(format!(
            "is of schema {version} and this version of formusage knows {}; use the version that wrote it",
            kind.version()
        ))
    } else {
        Ok(())
    }
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn tables(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_sqlite_is_limited_where_that_is_asked_for() {
        limit_memory();
        let connection = Connection::open_in_memory().unwrap();
        let limit: u64 = connection.query_row("PRAGMA hard_heap_limit", [], |row| row.get(0)).unwrap();
        assert_eq!(limit, MAX_MEMORY_BYTES);
        let large = connection.query_row("SELECT length(hex(zeroblob(130 << 20)))", [], |row| row.get::<_, u64>(0));
        let error = StoreError::of(Path::new("q.db"), large.unwrap_err());
        assert!(error.to_string().contains("larger than 64 MiB"), "{error}");
    }
}
