//! The file that a collector keeps its state in.
//!
//! It is written anew beside itself and then takes the old one's place, so that it is whole at any moment. A file beside
//! it is locked while a collector runs, and so is the state itself: the operating system lets go of the locks however the
//! process ends.

mod hold;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::hold::Hold;
use super::state::{Continuation, Origin, Saved, StateFault};
use super::timeline::Now;
use crate::files::{self, with_suffix};
use crate::limited_read::read_own_file;

/// The largest state that is read: some 300,000 instances take so much.
const MAX_BYTES: u64 = 256 << 20;

/// How a state begins.
const BEGINNING: &[u8] = b"{\"format\":\"formusage collect state\"";

/// What a file holds whose name was taken, and in which no state was saved yet.
const PLACEHOLDER: &[u8] = b"{\"format\":\"formusage collect state\"}\n";

/// A state file that is ours as long as this lives.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
    hold: Mutex<Hold>,
}

/// What was found in a state file.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: StateFile,
    /// Events that may or may not have been written by the process before, each a line without its end: to be written
    /// again as they are.
    pub closing: Vec<String>,
    /// What to go on with; `None` where there is nothing.
    pub continuation: Option<Continuation>,
    /// A state that could not be gone on with: where it is now, and why.
    pub put_aside: Option<(PathBuf, StateFault)>,
}

/// Why a state file can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateFileError {
    /// Another process has it.
    #[error(
        "another collector uses the state {}; a second meter is a second bill. For another host or other scopes name another \
         file with --state, for a look beside it use --no-state", path.display()
    )]
    InUse {
        /// The state file.
        path: PathBuf,
    },
    /// It has other names, under each of which another process could use it.
    #[error(
        "the state {} has another name (a hard link), under which another collector could use it: a second meter is a \
         second bill. Remove the other name, or name another file with --state", path.display()
    )]
    OtherNames {
        /// The state file.
        path: PathBuf,
    },
    /// It could be read, and be locked, but not be replaced: events would wait for ever.
    #[error(
        "can't replace the state {}: {error}. It is written anew beside itself: let this user make files in its folder, \
         name another file with --state, or do without by --no-state", path.display()
    )]
    Fixed {
        /// The state file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The operating system refuses.
    #[error("can't use the state {}: {error}; name another file with --state, or do without by --no-state", path.display())]
    Io {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl Origin {
    /// This machine, in this boot.
    #[must_use]
    pub fn here() -> Self {
        let line = |path: &str| {
            let text = std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
            // What an image has before its first boot is no id.
            (!text.is_empty() && text != "uninitialized").then_some(text)
        };
        let name = || super::host::host_name().unwrap_or_default();
        Self {
            host: line("/etc/machine-id").unwrap_or_else(name),
            // Elsewhere the monotonic clock begins with the process, and boots have no names.
            boot: if cfg!(target_os = "linux") { line("/proc/sys/kernel/random/boot_id") } else { None },
        }
    }
}

impl StateFile {
    /// Takes the file at `path` for this process, makes its folder where there is none, and reads what it holds. Where
    /// there is no state, its name is taken, so that nothing can stand in the way of the first save. Blocks on the file
    /// system.
    ///
    /// # Errors
    /// When another process has it; when it has several names (hard links), where that can be told; when the file or its
    /// folder can't be read or written. A disk that is full is no reason, since that passes.
    pub fn open(path: &Path, here: &Origin, now: Now) -> Result<Opened, StateFileError> {
        let path = &*files::resolve(path).map_err(|error| refuse(path, error))?;
        // Said before a lock file stands beside what is no state.
        if path.metadata().is_ok_and(|it| !it.is_file()) {
            return Err(refuse(path, no_regular_file()));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            files::create_private_folder(folder).map_err(|error| refuse(folder, error))?;
        }
        let hold = Mutex::new(Hold::take(path)?);
        let file = Self { path: path.to_owned(), hold };
        file.try_replacing().map_err(|error| StateFileError::Fixed { path: path.to_owned(), error })?;
        let mut opened = Opened { file, closing: Vec::new(), continuation: None, put_aside: None };
        let bytes = files::read_private(path).and_then(|state| read_own_file(&state, MAX_BYTES, BEGINNING));
        let found = match bytes {
            Ok(bytes) if bytes == PLACEHOLDER => return Ok(opened),
            Ok(bytes) => {
                let known = hold_of(&opened.file.hold).is_last(&bytes);
                Saved::decode(&bytes)
                    .and_then(|saved| saved.continuation(here, now))
                    .and_then(|found| if known { Ok(found) } else { Err(StateFault::OlderCopy) })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                opened.file.take_name()?;
                return Ok(opened);
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(StateFault::Damaged(error.to_string())),
            Err(error) => return Err(refuse(path, error)),
        };
        match found {
            Ok((closing, continuation)) => (opened.closing, opened.continuation) = (closing, Some(continuation)),
            Err(fault) => {
                let seconds = crate::clock::unix_seconds(now.wall);
                let aside = free_name(path, seconds).map_err(|error| refuse(path, error))?;
                std::fs::rename(path, &aside).map_err(|error| refuse(path, error))?;
                hold_of(&opened.file.hold).let_go_of_state();
                opened.file.take_name()?;
                opened.put_aside = Some((aside, fault));
            }
        }
        Ok(opened)
    }

    /// Makes the file that will take the state's place, and removes it. What stands there was left by a run that was
    /// killed before it counted: no event was written on the strength of it.
    fn try_replacing(&self) -> io::Result<()> {
        let passes = |error: &io::Error| {
            !matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::IsADirectory
            )
        };
        match files::create_replacement(&self.path) {
            Err(error) if !passes(&error) => Err(error),
            Err(_) => Ok(()),
            Ok((made, name)) => {
                // Elsewhere what is open can't be removed.
                drop(made);
                match std::fs::remove_file(name) {
                    Err(error) if !passes(&error) => Err(error),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Puts a file at the name of the state, which has none.
    fn take_name(&self) -> Result<(), StateFileError> {
        let taken = files::take_name(&self.path, PLACEHOLDER);
        match taken.map_err(|error| StateFileError::Fixed { path: self.path.clone(), error })? {
            Some(file) => hold_of(&self.hold).holds_placeholder(file),
            None => Ok(()),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces what it holds, all at once. Blocks until the disk has it.
    ///
    /// # Errors
    /// When the disk is full or the folder is gone; when another process has the file, since its lock was removed
    /// ([`StateFileError::InUse`]). The file holds what it held before.
    pub fn save(&self, bytes: &[u8]) -> Result<(), StateFileError> {
        let mut hold = hold_of(&self.hold);
        let failed = |error| refuse(&self.path, error);
        hold.check()?;
        let (mut file, fresh) = files::create_replacement(&self.path).map_err(failed)?;
        let mut write = || {
            hold.lock_fresh(&file)?;
            hold.announce(bytes).map_err(failed)?;
            file.write_all(bytes).map_err(failed)?;
            // Without this, a power cut may leave the new name with nothing behind it.
            file.sync_data().map_err(failed)?;
            std::fs::rename(&fresh, &self.path).map_err(failed)
        };
        if let Err(error) = write() {
            // Each failed attempt may have a name of its own; together they would fill the folder.
            let _ = std::fs::remove_file(&fresh);
            return Err(error);
        }
        hold.replaced_by(file);
        Ok(())
    }
}

fn hold_of(hold: &Mutex<Hold>) -> MutexGuard<'_, Hold> {
    hold.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse(path: &Path, error: io::Error) -> StateFileError {
    StateFileError::Io { path: path.to_owned(), error }
}

fn no_regular_file() -> io::Error {
    io::Error::other("it is no regular file")
}

/// A name with the time in it that nothing has yet.
fn free_name(path: &Path, now: i64) -> io::Result<PathBuf> {
    let names = (0..1000).map(|n| if n == 0 { format!(".aside-{now}") } else { format!(".aside-{now}-{n}") });
    let free = names.map(|suffix| with_suffix(path, &suffix)).find(|name| name.symlink_metadata().is_err());
    free.ok_or_else(|| io::Error::other("there are a thousand states that were put aside; remove some"))
}

#[cfg(test)]
mod tests;
