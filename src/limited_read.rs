//! Files that settings name, read whole within limits of bytes and time: a path that leads to an endless device, a pipe
//! that nobody writes to or a file of gigabytes must neither fill the memory nor stop a command.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;
#[cfg(target_os = "linux")]
use std::time::Duration;

/// The largest file that holds one secret: a token, a password, headers, credentials.
pub const MAX_SECRET_BYTES: u64 = 64 << 10;
/// The largest file of certificates. The authorities that a whole operating system trusts take 250 KiB.
pub const MAX_CERTIFICATES_BYTES: u64 = 4 << 20;
/// The largest file of settings: channels, scopes.
pub const MAX_SETTINGS_BYTES: u64 = 8 << 20;
/// The largest file that is read whole though it does not begin as this program writes it, where it is to be one of its own.
const MAX_FOREIGN_BYTES: u64 = 1 << 20;

/// How long a pipe may take to be written and closed.
#[cfg(target_os = "linux")]
const PIPE_PATIENCE: Duration = Duration::from_secs(30);

/// Reads the file at `path` whole, at most `max` bytes. A pipe or a terminal is waited for, at most 30 seconds (on Linux).
///
/// # Errors
/// When it can't be opened or read, is larger (`FileTooLarge`, which names the limit) or does not end in time
/// (`TimedOut`). The path is left to the caller's message.
pub fn read_limited(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    #[cfg(target_os = "linux")]
    return read_within(path, max, PIPE_PATIENCE);
    #[cfg(not(target_os = "linux"))]
    read_file_to_limit(&File::open(path)?, max)
}

/// The same for a file of text.
///
/// # Errors
/// Those of [`read_limited`], and `InvalidData` where it is no UTF-8.
pub fn read_limited_text(path: &Path, max: u64) -> io::Result<String> {
    String::from_utf8(read_limited(path, max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

/// Reads `reader` to its end, at most `max` bytes.
///
/// # Errors
/// When it can't be read, or goes on behind the limit (`FileTooLarge`, which names the limit).
pub fn read_to_limit(reader: impl Read, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(too_large(max)) } else { Ok(bytes) }
}

/// As [`read_to_limit`] for an open file, whose size is asked first: none of a file that is too large is read.
///
/// # Errors
/// Those of [`read_to_limit`].
pub fn read_file_to_limit(file: &File, max: u64) -> io::Result<Vec<u8>> {
    if file.metadata()?.len() > max { Err(too_large(max)) } else { read_to_limit(file, max) }
}

/// As [`read_file_to_limit`] for a file that this program is to have written: of a large one that does not begin with
/// `beginning` nothing else is read. A small one may be read for what it says instead.
///
/// # Errors
/// Those of [`read_file_to_limit`]; `FileTooLarge` where it begins with something else.
pub(crate) fn read_own_file(mut file: &File, max: u64, beginning: &[u8]) -> io::Result<Vec<u8>> {
    if file.metadata()?.len() > MAX_FOREIGN_BYTES {
        let mut head = vec![0; beginning.len()];
        file.read_exact(&mut head)?;
        if head != beginning {
            let message = "it is larger than 1 MiB and begins with something else than what is kept in such a file";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        file.seek(SeekFrom::Start(0))?;
    }
    read_file_to_limit(file, max)
}

fn too_large(max: u64) -> io::Error {
    let limit = if max >= 1 << 20 { format!("{} MiB", max >> 20) } else { format!("{} KiB", max >> 10) };
    io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("it is larger than {limit}, the most that is read of such a file"),
    )
}

#[cfg(target_os = "linux")]
fn read_within(path: &Path, max: u64, patience: Duration) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::OpenOptionsExt as _;

    // Opening a pipe would wait for its writer, for ever where there is none.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    if file.metadata()?.is_file() { read_file_to_limit(&file, max) } else { read_pipe(file, max, patience) }
}

/// Reads what is no regular file: bytes come when somebody writes them.
#[cfg(target_os = "linux")]
fn read_pipe(mut file: File, max: u64, patience: Duration) -> io::Result<Vec<u8>> {
    use crate::clock::{Clock as _, SystemClock};

    let end = SystemClock.monotonic().saturating_add(patience);
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 8 << 10];
    loop {
        let left = end.saturating_sub(SystemClock.monotonic());
        if left.is_zero() || !becomes_readable(&file, left)? {
            let message = format!("it is no regular file, and its end did not come within {patience:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        if bytes.len() as u64 > max {
            return Err(too_large(max));
        }
    }
}

#[cfg(target_os = "linux")]
fn becomes_readable(file: &File, limit: Duration) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let limit =
        Timespec { tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX), tv_nsec: limit.subsec_nanos().into() };
    match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&limit)) {
        Ok(ready) => Ok(ready > 0),
        // The caller looks at its clock and comes again.
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn larger_and_endless_files_are_refused_with_their_limit() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        for (length, whole) in [(0, true), (2_048, true), (2_049, false)] {
            std::fs::write(&file, vec![b'x'; length]).unwrap();
            let read = read_limited(&file, 2_048);
            assert_eq!(read.as_ref().map(Vec::len).ok(), whole.then_some(length), "{read:?}");
        }
        for (path, max, limit) in [(&*file, 1 << 10, "1 KiB"), (Path::new("/dev/zero"), 1 << 20, "1 MiB")] {
            let error = read_limited(path, max).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
            assert!(error.to_string().contains(limit), "{error}");
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 30).unwrap();
        let error = read_file_to_limit(&file, 1 << 29).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(io::Seek::stream_position(&mut &file).unwrap(), 0);
    }

    #[test]
    fn a_large_file_that_begins_with_something_else_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        for (text, length, is_read) in [("own: ", 2 << 20, true), ("[[[[[", 2 << 20, false), ("[[[[[", 9, true)] {
            std::fs::write(&path, text).unwrap();
            let file = File::options().read(true).write(true).open(&path).unwrap();
            file.set_len(length).unwrap();
            let read = read_own_file(&file, 4 << 20, b"own: ");
            assert_eq!(
                read.as_ref().map(|bytes| bytes.len() as u64).ok(),
                is_read.then_some(length),
                "{text} {length}"
            );
            let position = io::Seek::stream_position(&mut &file).unwrap();
            assert!(is_read || position == 5, "{position} bytes were read");
        }
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_not_waited_for_in_vain() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("p");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let error = read_within(&pipe, 1_024, Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let writer = {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::write(pipe, "hush"))
        };
        assert_eq!(read_limited_text(&pipe, 1_024).unwrap(), "hush");
        writer.join().unwrap().unwrap();
    }
}
