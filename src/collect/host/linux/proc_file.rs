//! A file under `/proc` that is read again and again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const FIRST_BUFFER_BYTES: usize = 8 << 10;
/// Far more than any of these files has; a file that goes on is not one of them.
const MAX_BYTES: usize = 16 << 20;

/// Kept open, with its buffer: opening costs as much as reading.
#[derive(Debug)]
pub(super) struct ProcFile {
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl ProcFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, file: None, buffer: Vec::new() }
    }

    /// The whole text as of now.
    pub(super) fn read(&mut self) -> io::Result<&str> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display()));
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.path).map_err(named)?),
        };
        if self.buffer.is_empty() {
            self.buffer.resize(FIRST_BUFFER_BYTES, 0);
        }
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                if length >= MAX_BYTES {
                    return Err(named(io::Error::other(format!("more than {MAX_BYTES} bytes"))));
                }
                self.buffer.resize(length * 2, 0);
            }
            // Read from the start again, so that what was seen is of one moment as far as the kernel gives it.
            let read = file.read_at(&mut self.buffer[length..], length as u64).map_err(named)?;
            if read == 0 {
                break;
            }
            length += read;
        }
        std::str::from_utf8(&self.buffer[..length]).map_err(|error| named(io::Error::other(error)))
    }
}
