//! A file of lines that holds each write whole or not at all: a disk that fills up in the middle leaves no half of a line.

use std::fs::File;
use std::io::{self, IsTerminal as _, Seek as _, SeekFrom, Write as _};

use crate::plain_text::printable_json;

/// A file that lines are written to at its end.
#[derive(Debug)]
pub struct LineFile {
    file: File,
    /// It was opened for appending: each write goes to its end, wherever that is by then.
    appends: bool,
    /// It ends in half a line of somebody who was killed or had no room.
    is_torn: bool,
}

impl LineFile {
    /// A file opened for appending, which ends in half a line where `is_torn` says so. It may be a pipe or a device.
    #[must_use]
    pub const fn appending(file: File, is_torn: bool) -> Self {
        Self { file, appends: true, is_torn }
    }

    /// Standard output, where that is a regular file; `None` otherwise, and elsewhere than on Linux.
    #[must_use]
    pub fn of_stdout() -> Option<Self> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{OFlags, fcntl_getfl};
            use std::io::Read as _;
            use std::os::fd::AsFd as _;
            let mut file = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
            let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
            let appends = fcntl_getfl(&file).ok()?.contains(OFlags::APPEND);
            let at_end = appends || file.stream_position().ok()? == length;
            let mut last = [b'\n'];
            if length > 0 && at_end {
                // Ours can only be written to.
                let readable = File::open("/proc/self/fd/1");
                let _ = readable.and_then(|mut it| it.seek(SeekFrom::End(-1)).and_then(|_| it.read_exact(&mut last)));
            }
            Some(Self { file, appends, is_torn: last != [b'\n'] })
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// The file itself.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Writes `lines`, each with its end. Of what a regular file could not take all of, it holds nothing, unless somebody
    /// else wrote behind it meanwhile. Half a line that stands at the end is ended first. A terminal gets lines as
    /// [`printable_json`] has them.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let shown;
        let lines = if self.file.is_terminal() {
            shown = printable_json(&String::from_utf8_lossy(lines)).into_owned();
            shown.as_bytes()
        } else {
            lines
        };
        let start = if self.appends { self.file.metadata()?.len() } else { self.file.stream_position()? };
        let ended;
        let bytes = if self.is_torn {
            ended = [b"\n", lines].concat();
            &ended
        } else {
            lines
        };
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            let error = match self.file.write(rest) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(count) => {
                    written += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            if written > 0 {
                self.take_back(start, written as u64)?;
            }
            return Err(error);
        }
        self.is_torn = false;
        Ok(())
    }

    /// Cuts off the last `written` bytes, where all that stands behind `start` is ours.
    fn take_back(&mut self, start: u64, written: u64) -> io::Result<()> {
        if self.file.metadata()?.len() != start + written {
            self.is_torn = true;
            return Ok(());
        }
        self.file.set_len(start)?;
        self.file.seek(SeekFrom::Start(start)).map(drop)
    }
}
