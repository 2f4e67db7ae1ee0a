//! A store of thresholds with a history: one SQLite file, in which every change stands with its time and its author.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::config::ThresholdConfig;
use crate::database::{self, Kind, StoreError};
use crate::validate::names;

/// "futh" in ASCII, so that the file is known as ours.
const KIND: Kind = Kind { application_id: 0x6675_7468, steps: &[SCHEMA] };

const SCHEMA: &str = "
    CREATE TABLE thresholds (id TEXT PRIMARY KEY, config TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE changes (
        number INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        author TEXT NOT NULL,
        threshold TEXT NOT NULL,
        before TEXT,
        after TEXT
    ) STRICT;
    CREATE INDEX changes_of ON changes (threshold, number);
";

/// A change to make.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// Add a threshold; its id must be new.
    Add(ThresholdConfig),
    /// Put a threshold in the place of the one with its id, or add it.
    Put(ThresholdConfig),
    /// Put a threshold in the place of the one with its id, which must be as it was read (compact JSON).
    Replace {
        /// What stands there, as [`ThresholdStore::text`] gave it.
        before: String,
        /// What is to stand there.
        after: ThresholdConfig,
    },
    /// Remove the threshold with this id.
    Remove(String),
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Counts from 1.
    pub number: u64,
    /// When, in Unix seconds.
    pub at: i64,
    /// Who.
    pub author: String,
    /// The threshold's id.
    pub threshold: String,
    /// What stood there, as compact JSON; `None` where it was added.
    pub before: Option<String>,
    /// What stands there since, as compact JSON; `None` where it was removed.
    pub after: Option<String>,
}

/// Which state of the store this is: the number of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version(i64);

/// Why an edit was not made. None of those that came with it was made either.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A threshold to add has an id that is taken.
    #[error("there is a threshold `{0}` already; replace it with --replace, or give the new one another id")]
    Exists(String),
    /// There is no threshold of that id.
    #[error("there is no threshold `{id}`{}", near(.nearest.as_deref()))]
    Unknown {
        /// The id.
        id: String,
        /// The nearest one that there is.
        nearest: Option<String>,
    },
    /// Somebody else changed it meanwhile.
    #[error("threshold `{0}` was changed by somebody else meanwhile; nothing was changed: edit it again")]
    Changed(String),
    /// An id can't be changed, since alerts and history go by it.
    #[error("the id was changed from `{from}` to `{to}`; an id stays: add the new threshold and remove the old one")]
    Renamed {
        /// The id of the threshold.
        from: String,
        /// The id it was to have.
        to: String,
    },
}

fn near(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

/// Thresholds in one SQLite file. Several processes may use it at once.
#[derive(Debug)]
pub struct ThresholdStore {
    path: PathBuf,
    connection: Connection,
}

impl ThresholdStore {
    /// Opens the store at `path`; makes it where there is none.
    ///
    /// # Errors
    /// When the file can't be opened or is no store of thresholds.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: database::open(path, &KIND)?, path: path.to_owned() })
    }

    /// Opens the store at `path`; `None` where there is none yet.
    ///
    /// # Errors
    /// As for [`ThresholdStore::open`].
    pub fn open_existing(path: &Path) -> Result<Option<Self>, StoreError> {
        let connection = database::open_existing(path, &KIND)?;
        Ok(connection.map(|connection| Self { connection, path: path.to_owned() }))
    }

    /// The thresholds as compact JSON by their ids, in the ids' order.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn texts(&self) -> Result<Vec<(String, String)>, StoreError> {
        let read = || -> rusqlite::Result<_> {
            let mut rows = self.connection.prepare("SELECT id, config FROM thresholds ORDER BY id")?;
            rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        };
        read().map_err(|error| self.refuse(error))
    }

    /// One threshold as compact JSON.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn text(&self, id: &str) -> Result<Option<String>, StoreError> {
        text(&self.connection, id).map_err(|error| self.refuse(error))
    }

    /// Makes all of `edits` or none, in one transaction that is on disk when this returns. `at` is in Unix seconds. An
    /// edit that changes nothing leaves no trace; gives how many changed something.
    ///
    /// # Errors
    /// Names the first edit that can't be made.
    pub fn apply(&mut self, edits: &[Edit], author: &str, at: i64) -> Result<usize, EditError> {
        let path = self.path.clone();
        let refuse = |error| EditError::Store(StoreError::of(&path, error));
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(refuse)?;
        let mut changed = 0;
        for edit in edits {
            changed += usize::from(apply(&transaction, edit, author, at, &refuse)?);
        }
        transaction.commit().map_err(refuse)?;
        Ok(changed)
    }

    /// The changes, oldest first: of one threshold, or of all.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn history(&self, id: Option<&str>) -> Result<Vec<Change>, StoreError> {
        let read = || -> rusqlite::Result<Vec<Change>> {
            let mut rows = self.connection.prepare(
                "SELECT number, at, author, threshold, before, after FROM changes
                 WHERE ?1 IS NULL OR threshold = ?1 ORDER BY number",
            )?;
            let change = |row: &rusqlite::Row<'_>| {
                Ok(Change {
                    number: row.get(0)?,
                    at: row.get(1)?,
                    author: row.get(2)?,
                    threshold: row.get(3)?,
                    before: row.get(4)?,
                    after: row.get(5)?,
                })
            };
            rows.query_map([id], change)?.collect()
        };
        read().map_err(|error| self.refuse(error))
    }

    pub(super) fn version(&self) -> Result<Version, StoreError> {
        let last = self.connection.query_row("SELECT ifnull(max(number), 0) FROM changes", [], |row| row.get(0));
        last.map(Version).map_err(|error| self.refuse(error))
    }

    fn refuse(&self, error: rusqlite::Error) -> StoreError {
        StoreError::of(&self.path, error)
    }
}

fn text(connection: &Connection, id: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT config FROM thresholds WHERE id = ?1", [id], |row| row.get(0)).optional()
}

/// Makes one edit, and says whether it changed anything.
fn apply(
    transaction: &Transaction<'_>,
    edit: &Edit,
    author: &str,
    at: i64,
    refuse: &dyn Fn(rusqlite::Error) -> EditError,
) -> Result<bool, EditError> {
    let (id, after) = match edit {
        Edit::Add(config) | Edit::Put(config) => (&config.id, Some(json(config))),
        Edit::Replace { before, after } => {
            let id = serde_json::from_str::<ThresholdConfig>(before).map(|config| config.id);
            if let Some(from) = id.ok().filter(|id| *id != after.id) {
                return Err(EditError::Renamed { from, to: after.id.clone() });
            }
            (&after.id, Some(json(after)))
        }
        Edit::Remove(id) => (id, None),
    };
    let before = text(transaction, id).map_err(refuse)?;
    match (edit, &before) {
        (Edit::Add(_), Some(_)) => return Err(EditError::Exists(id.clone())),
        (Edit::Replace { before: expected, .. }, found) if found.as_ref() != Some(expected) => {
            return Err(EditError::Changed(id.clone()));
        }
        (Edit::Remove(_), None) => {
            let nearest = nearest(transaction, id).map_err(refuse)?;
            return Err(EditError::Unknown { id: id.clone(), nearest });
        }
        _ => {}
    }
    if before == after {
        return Ok(false);
    }
    let write = || {
        match &after {
            Some(text) => transaction.execute(
                "INSERT INTO thresholds VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET config = ?2",
                params![id, text],
            )?,
            None => transaction.execute("DELETE FROM thresholds WHERE id = ?1", [id])?,
        };
        transaction.execute(
            "INSERT INTO changes (at, author, threshold, before, after) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![at, author, id, before, after],
        )
    };
    write().map_err(refuse)?;
    Ok(true)
}

fn nearest(connection: &Connection, id: &str) -> rusqlite::Result<Option<String>> {
    let mut rows = connection.prepare("SELECT id FROM thresholds")?;
    let ids = rows.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(names::nearest(id, ids.iter().map(String::as_str)).map(str::to_owned))
}

fn json(config: &ThresholdConfig) -> String {
    // Text and finite numbers alone: this can't fail.
    serde_json::to_string(config).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(id: &str, value: f64) -> ThresholdConfig {
        let text = format!(
            r#"{{"id":"{id}","resource_type":"Cpu","threshold_type":{{"Percentage":{{"value":{value}}}}},"action":"Log","user_id":"*"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn store() -> (tempfile::TempDir, ThresholdStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = ThresholdStore::open(&folder.path().join("t.db")).unwrap();
        (folder, store)
    }

    #[test]
    fn every_change_stands_with_its_time_and_author() {
        let (_folder, mut store) = store();
        assert_eq!(store.apply(&[Edit::Add(config("a", 1.0)), Edit::Add(config("b", 2.0))], "ann", 10).unwrap(), 2);
        assert_eq!(store.apply(&[Edit::Put(config("a", 1.0))], "bob", 20).unwrap(), 0, "nothing changed");
        assert_eq!(store.apply(&[Edit::Put(config("a", 3.0)), Edit::Remove("b".into())], "bob", 30).unwrap(), 2);
        let history = store.history(None).unwrap();
        let told: Vec<_> = history.iter().map(|it| (it.number, it.at, &*it.author, &*it.threshold)).collect();
        assert_eq!(told, [(1, 10, "ann", "a"), (2, 10, "ann", "b"), (3, 30, "bob", "a"), (4, 30, "bob", "b")]);
        assert_eq!((history[0].before.as_deref(), history[3].after.as_deref()), (None, None));
        assert_eq!(history[2].before, history[0].after);
        assert_eq!(store.history(Some("b")).unwrap().len(), 2);
        assert_eq!(store.texts().unwrap(), [("a".to_owned(), json(&config("a", 3.0)))]);
    }

    #[test]
    fn all_edits_are_made_or_none() {
        let (_folder, mut store) = store();
        store.apply(&[Edit::Add(config("cpu-high", 1.0))], "ann", 1).unwrap();
        let before = store.version().unwrap();
        let text = store.text("cpu-high").unwrap().unwrap();
        let edits = [
            (Edit::Add(config("cpu-high", 2.0)), "already"),
            (Edit::Remove("cpu-hihg".into()), "did you mean `cpu-high`"),
            (Edit::Replace { before: "{}".into(), after: config("cpu-high", 2.0) }, "meanwhile"),
            (Edit::Replace { before: text.clone(), after: config("other", 2.0) }, "an id stays"),
        ];
        for (edit, expected) in edits {
            let error = store.apply(&[Edit::Add(config("new", 1.0)), edit], "bob", 2).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!((store.version().unwrap(), store.texts().unwrap().len()), (before, 1));
        store.apply(&[Edit::Replace { before: text, after: config("cpu-high", 2.0) }], "bob", 3).unwrap();
        assert_eq!(store.history(Some("cpu-high")).unwrap().len(), 2);
    }
}
