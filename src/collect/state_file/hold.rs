//! Who has a state: a lock on the file beside it, and on Unix one on the state itself.
//!
//! The one beside it is there before the state is, and stays when the state is replaced. It can be removed by hand, and
//! another name of the state (a hard link) has another one beside it. So the state's own file is locked too, each one
//! that is put in its place, and those that were replaced as long as they have another name.
//!
//! The file beside it holds the digests of the state that is there and of the one that takes its place, so that an older
//! copy that was put back is known as that.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{StateFileError, refuse};
use crate::events::EventId;
use crate::files::{self, with_suffix};

/// Replaced states with other names that are kept locked; whoever makes more of them makes snapshots.
const MOST_OLD: usize = 64;

/// A state that is ours.
#[derive(Debug)]
pub(super) struct Hold {
    path: PathBuf,
    beside: PathBuf,
    lock: File,
    /// The state's own file.
    state: Option<File>,
    /// Those that were replaced and have other names.
    old: Vec<File>,
    /// The digest of the state that was saved last.
    last: Option<String>,
}

/// Two digests, each with its line end.
const DIGESTS_BYTES: u64 = 2 * 33;
/// In place of the digest of a state that is not there.
const NO_DIGEST: &str = "--------------------------------";

impl Hold {
    /// Takes the state at `path`, which may not be there yet.
    pub(super) fn take(path: &Path) -> Result<Self, StateFileError> {
        let beside = with_suffix(path, ".lock");
        let lock = lock_beside(path, &beside)?;
        let state = if cfg!(unix) { own_state(path)? } else { None };
        Ok(Self { path: path.to_owned(), beside, lock, state, old: Vec::new(), last: None })
    }

    /// Whether the state that holds these bytes is the one that was saved last, as far as it is known.
    pub(super) fn is_last(&mut self, bytes: &[u8]) -> bool {
        let mut known = String::new();
        // What no digest was written to was made by an earlier version, or by hand.
        let is_read = (&self.lock).take(DIGESTS_BYTES).read_to_string(&mut known).is_ok();
        let digest = EventId::of(bytes).to_string();
        let is_last = !is_read || known.is_empty() || known.lines().any(|line| line == digest);
        self.last = Some(digest);
        is_last
    }

    /// Notes which state is about to be put in place. Whatever ends the process before or behind that, the state that
    /// is there is one of the two that are named.
    pub(super) fn announce(&mut self, bytes: &[u8]) -> io::Result<()> {
        let next = EventId::of(bytes).to_string();
        let last = self.last.replace(next.clone());
        self.write_digests(last.as_deref().unwrap_or(NO_DIGEST), &next)?;
        self.lock.sync_data()
    }

    fn write_digests(&self, last: &str, next: &str) -> io::Result<()> {
        (&self.lock).seek(SeekFrom::Start(0))?;
        (&self.lock).write_all(format!("{last}\n{next}\n").as_bytes())
    }

    /// The state was moved away, and is none any more.
    pub(super) fn let_go_of_state(&mut self) {
        (self.state, self.last) = (None, None);
    }

    /// `file` stands where the first state will be. Elsewhere than on Unix what is open can't be replaced.
    pub(super) fn holds_placeholder(&mut self, file: File) -> Result<(), StateFileError> {
        if cfg!(unix) {
            lock_state(&self.path, &file)?;
            self.state = Some(file);
        }
        Ok(())
    }

    /// Makes sure that it is ours still, before it is replaced.
    pub(super) fn check(&mut self) -> Result<(), StateFileError> {
        if !is_at(&self.lock, &self.beside) {
            self.lock = lock_beside(&self.path, &self.beside)?;
            tracing::warn!(lock = %self.beside.display(), "the lock of the state was removed while this collector runs; it is locked anew");
        }
        if cfg!(unix)
            && let Ok(found) = files::read_private(&self.path)
            && !self.state.as_ref().is_some_and(|own| is_at(own, &self.path))
        {
            // Somebody put another file there. What a meter runs on is locked by that.
            lock_state(&self.path, &found)?;
            tracing::warn!(state = %self.path.display(), "another file was put in the place of the state; it is replaced");
        }
        Ok(())
    }

    /// Takes the file that will be put in the state's place.
    pub(super) fn lock_fresh(&self, fresh: &File) -> Result<(), StateFileError> {
        // Elsewhere what is locked can't be replaced.
        if cfg!(unix) { lock_state(&self.path, fresh) } else { Ok(()) }
    }

    /// `fresh` is the state now.
    pub(super) fn replaced_by(&mut self, fresh: File) {
        if let Some(digest) = &self.last
            && let Err(error) = self.write_digests(NO_DIGEST, digest)
        {
            tracing::debug!(%error, "the state before this one would be gone on with too");
        }
        if !cfg!(unix) {
            return;
        }
        self.old.retain(|file| names(file) > 0);
        if let Some(file) = self.state.replace(fresh).filter(|file| names(file) > 0) {
            if self.old.is_empty() {
                tracing::warn!(
                    state = %self.path.display(),
                    "the state had another name (a hard link), which keeps what it was; a collector that is started on \
                     that name later bills what this one bills"
                );
            }
            if self.old.len() < MOST_OLD {
                self.old.push(file);
            }
        }
    }
}

fn lock_beside(path: &Path, beside: &Path) -> Result<File, StateFileError> {
    let opened = files::open_private(beside, OpenOptions::new().read(true).write(true).create(true).truncate(false));
    let lock = opened.map_err(|error| refuse(beside, error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StateFileError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(refuse(beside, error)),
    }
}

/// The state, locked, where there is one.
fn own_state(path: &Path) -> Result<Option<File>, StateFileError> {
    loop {
        let file = match files::open_private(path, OpenOptions::new().read(true)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse(path, error)),
        };
        lock_state(path, &file)?;
        if names(&file) > 1 {
            return Err(StateFileError::OtherNames { path: path.to_owned() });
        }
        // Another collector may have replaced it since it was opened.
        if is_at(&file, path) {
            return Ok(Some(file));
        }
    }
}

/// Locks a file that is the state, or will be.
fn lock_state(path: &Path, file: &File) -> Result<(), StateFileError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(StateFileError::InUse { path: path.to_owned() }),
        // A file system without locks has none beside the state either, which was refused.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Whether the open file is the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let place = |data: io::Result<std::fs::Metadata>| data.map(|data| (data.dev(), data.ino()));
    matches!((place(file.metadata()), place(std::fs::metadata(path))), (Ok(one), Ok(other)) if one == other)
}

/// What is open can't be removed there.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// How many names the file has; 0 once it was removed.
#[cfg(unix)]
fn names(file: &File) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    file.metadata().map_or(0, |data| data.nlink())
}

#[cfg(not(unix))]
fn names(_: &File) -> u64 {
    0
}
