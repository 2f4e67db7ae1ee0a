//! Room on the disk that nobody else can take: a file beside the spool, given up when the disk is full.
//!
//! An acknowledgement frees room in the file, but writing it down takes room in the log first. Room that is only left
//! free is gone as soon as another program fills the disk; then what was delivered could not be noted, and nothing
//! would ever leave the spool. So blocks are allocated for it while there are some, in `SPOOL-reserve`. When a write
//! that is about to make room finds none, the file is removed; it is made again before anything more is taken.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use super::damage::with_suffix;
use crate::files;

/// The size of the reserve on a disk that is not small: the log as long as it gets between two checkpoints, which goes
/// into the file before the log can be used anew, and as much again to write to.
const RESERVE_BYTES: u64 = 8 << 20;
/// SQLite's own page size, in which the log grows.
const PAGE_BYTES: u64 = 4_096;

fn file(spool: &Path) -> PathBuf {
    with_suffix(spool, "-reserve")
}

/// How large the reserve is on a disk of `total` bytes: a sixteenth of a small one.
pub(super) fn size(total: u64) -> u64 {
    (total / 16).min(RESERVE_BYTES) / PAGE_BYTES * PAGE_BYTES
}

/// After how many pages the log is folded into the file, so that half of the reserve is enough for that.
pub(super) fn pages_of_the_log(total: u64) -> u64 {
    (size(total) / 2 / PAGE_BYTES).clamp(16, 1_000)
}

/// Bytes that the reserve holds.
pub(super) fn held(spool: &Path) -> u64 {
    file(spool).metadata().map_or(0, |it| it.len())
}

/// Makes the reserve. Where the disk has no room for it, none is left behind.
pub(super) fn hold(spool: &Path, bytes: u64) -> std::io::Result<()> {
    let path = file(spool);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let held = files::open_private(&path, &mut options).and_then(|file| allocate(&file, bytes));
    if held.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    held
}

#[cfg(target_os = "linux")]
fn allocate(file: &std::fs::File, bytes: u64) -> std::io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // A file system that can't allocate ahead.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_out(file, bytes),
        result => Ok(result?),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(file: &std::fs::File, bytes: u64) -> std::io::Result<()> {
    write_out(file, bytes)
}

fn write_out(mut file: &std::fs::File, bytes: u64) -> std::io::Result<()> {
    use std::io::Write as _;
    let block = [0x5a; 65_536];
    let mut left = bytes;
    while left > 0 {
        let part = left.min(block.len() as u64);
        file.write_all(&block[..usize::try_from(part).unwrap_or(block.len())])?;
        left -= part;
    }
    Ok(())
}

/// Gives the room back to the disk; whether there was any.
pub(super) fn release(spool: &Path) -> bool {
    let path = file(spool);
    let released = std::fs::remove_file(&path).is_ok();
    if released {
        tracing::warn!(reserve = %path.display(), "the disk is full: the reserve is given up, so that acknowledgements can be written");
    }
    released
}

/// Bytes of the disk that holds `path`, and how many of them are free.
#[cfg(target_os = "linux")]
pub(super) fn disk(path: &Path) -> Option<(u64, u64)> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some((disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Not known here: no reserve is kept.
#[cfg(not(target_os = "linux"))]
pub(super) fn disk(_: &Path) -> Option<(u64, u64)> {
    None
}
