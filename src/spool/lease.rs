//! Who is alive: a publisher holds a lock on a file of its own, and the operating system lets go of it when the
//! publisher dies, however it dies. No clock is involved.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::SpoolError;
use crate::files;

/// A sign of life; dropping it ends it.
#[derive(Debug)]
pub(super) struct Lease {
    path: PathBuf,
    _lock: File,
}

impl Lease {
    /// A new lock file beside the spool at `spool`.
    pub(super) fn new(spool: &Path) -> Result<Self, SpoolError> {
        loop {
            let name = format!("{}-run-{}-{:08x}", file_name(spool), std::process::id(), fastrand::u32(..));
            let path = spool.with_file_name(name);
            let refuse = |error| SpoolError::Io { path: path.clone(), error };
            let file = match files::create_new(&path, true) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                result => result.map_err(refuse)?,
            };
            match file.try_lock() {
                Ok(()) => return Ok(Self { path, _lock: file }),
                Err(TryLockError::Error(error)) => return Err(refuse(error)),
                // Another process was quicker to lock it; it may keep the file.
                Err(TryLockError::WouldBlock) => drop(std::fs::remove_file(&path)),
            }
        }
    }

    /// The file's name, without its folder, so that the folder may be moved.
    pub(super) fn name(&self) -> String {
        file_name(&self.path)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether the publisher with the lock file `name` beside `spool` is dead. A dead one's file is removed.
pub(super) fn is_dead(spool: &Path, name: &str) -> bool {
    let path = spool.with_file_name(name);
    match path.symlink_metadata() {
        // No publisher made what is no file: another user put it there, to keep the claims of a dead one.
        Ok(there) if !there.is_file() => return true,
        Ok(_) => {}
        // Whoever may not be looked at can't be declared dead.
        Err(error) => return error.kind() == ErrorKind::NotFound,
    }
    let file = match files::open_private(&path, OpenOptions::new().write(true)) {
        Ok(file) => file,
        Err(error) => return error.kind() == ErrorKind::NotFound || files::is_refused(&error),
    };
    match file.try_lock() {
        Ok(()) => {
            let _ = std::fs::remove_file(&path);
            true
        }
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
