//! A file of the kernel (`/proc`, `/sys`) that is read again and again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const FIRST_BUFFER_BYTES: usize = 8 << 10;
/// Far more than any of these files has; a file that goes on is not one of them.
const MAX_BYTES: usize = 16 << 20;

/// A file's path, and the file where it is kept open: opening costs as much as reading.
#[derive(Debug)]
pub(super) struct KernelFile {
    path: PathBuf,
    file: Option<File>,
    keep: bool,
}

impl KernelFile {
    /// Stays open from the first reading on.
    pub(super) const fn kept(path: PathBuf) -> Self {
        Self { path, file: None, keep: true }
    }

    /// Opened for each reading.
    pub(super) const fn reopened(path: PathBuf) -> Self {
        Self { path, file: None, keep: false }
    }

    /// The file, where it is open.
    pub(super) const fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// The whole text as of now, in `buffer`, which is better shared than made anew.
    pub(super) fn read<'b>(&mut self, buffer: &'b mut Vec<u8>) -> io::Result<&'b str> {
        self.fill(buffer, false)
    }

    /// The text of a file that the kernel hands out in one piece, as it does all that has one record: saves a call.
    pub(super) fn read_at_once<'b>(&mut self, buffer: &'b mut Vec<u8>) -> io::Result<&'b str> {
        self.fill(buffer, true)
    }

    fn fill<'b>(&mut self, buffer: &'b mut Vec<u8>, at_once: bool) -> io::Result<&'b str> {
        let opened;
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = File::open(&self.path).map_err(|error| named(&self.path, &error))?;
                if self.keep {
                    self.file.insert(file)
                } else {
                    opened = file;
                    &opened
                }
            }
        };
        if buffer.len() < FIRST_BUFFER_BYTES {
            buffer.resize(FIRST_BUFFER_BYTES, 0);
        }
        let mut length = 0;
        loop {
            if length == buffer.len() {
                if length >= MAX_BYTES {
                    return Err(named(&self.path, &io::Error::other(format!("more than {MAX_BYTES} bytes"))));
                }
                buffer.resize(length * 2, 0);
            }
            // From the start each time, so that what is seen is of one moment as far as the kernel gives it.
            let read = file.read_at(&mut buffer[length..], length as u64).map_err(|error| named(&self.path, &error))?;
            length += read;
            if read == 0 || at_once && length < buffer.len() {
                break;
            }
        }
        std::str::from_utf8(&buffer[..length]).map_err(|error| named(&self.path, &io::Error::other(error)))
    }
}

/// Says which file it was, and keeps the kind. The system's own number is lost by that; [`is_gone`] looks at kinds.
fn named(path: &Path, error: &io::Error) -> io::Error {
    let kind = if is_gone(error) { io::ErrorKind::NotFound } else { error.kind() };
    io::Error::new(kind, format!("{}: {error}", path.display()))
}

/// Whether what a file told of is no more: a process that ended (ESRCH), a control group that was removed (ENODEV).
pub(super) fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let number = error.raw_os_error();
    error.kind() == io::ErrorKind::NotFound
        || number == Some(Errno::SRCH.raw_os_error())
        || number == Some(Errno::NODEV.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_file_again_and_grows_its_buffer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "1").unwrap();
        let mut buffer = Vec::new();
        for mut file in [KernelFile::kept(path.clone()), KernelFile::reopened(path.clone())] {
            let long = "y".repeat(3 * FIRST_BUFFER_BYTES);
            std::fs::write(&path, &long).unwrap();
            assert_eq!(file.read(&mut buffer).unwrap(), long);
            std::fs::write(&path, "2").unwrap();
            assert_eq!(file.read_at_once(&mut buffer).unwrap(), "2");
        }
        let error = KernelFile::kept(folder.path().join("none")).read(&mut buffer).unwrap_err();
        assert!(is_gone(&error) && error.to_string().contains("none"), "{error}");
    }
}
