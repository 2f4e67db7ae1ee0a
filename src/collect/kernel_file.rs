//! Files of the kernel (`/proc`, `/sys`, control groups), some of which are read again and again.
//!
//! What stands under these paths may have been shaped by those who are metered. So no file is opened through a link, none
//! in a way that waits for somebody, and of each only so many bytes are read. Files of processes and of control groups
//! have to be on the file system of the kernel that has them, not on one that was mounted over it.
//!
//! Over files of the whole machine container managers mount what they let a container see (lxcfs), behind which is a
//! program that may not answer. Such files are read with a limit of time.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, CWD, FsWord, Mode, OFlags, PROC_SUPER_MAGIC, StatxAttributes, StatxFlags, fstatfs, openat, statx,
};

use super::timed_call::{LateCall, TimedCalls, TimedResult};

const FIRST_BUFFER_BYTES: usize = 8 << 10;
/// Far more than any of these files has; a file that goes on is not one of them.
const MAX_BYTES: usize = 16 << 20;
/// The type of the file system of control groups, as statfs(2) has it.
const CGROUP2_SUPER_MAGIC: FsWord = 0x6367_7270;

/// Through no link, and without waiting for anybody.
const OPENED_AS: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A file's path, and the file where it is kept open: opening costs as much as reading.
#[derive(Debug)]
pub(super) struct KernelFile {
    path: PathBuf,
    file: Option<File>,
    keep: bool,
    /// Where something is mounted over it.
    foreign: Option<Box<ForeignFile>>,
}

/// A file that a program answers for, which may not answer.
#[derive(Debug, Default)]
struct ForeignFile {
    calls: TimedCalls<io::Result<Vec<u8>>>,
    late: Option<LateCall>,
}

impl KernelFile {
    /// Stays open from the first reading on.
    pub(super) const fn kept(path: PathBuf) -> Self {
        Self { path, file: None, keep: true, foreign: None }
    }

    /// The same, opened at once: what it tells of is what is there now.
    pub(super) fn opened(path: PathBuf) -> io::Result<Self> {
        let file = open(&path).map_err(|error| named(&path, &error))?;
        Ok(Self { file: Some(file), ..Self::kept(path) })
    }

    /// Opened for each reading.
    pub(super) const fn reopened(path: PathBuf) -> Self {
        Self { path, file: None, keep: false, foreign: None }
    }

    /// The file, where it is open.
    pub(super) const fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// The whole text as of now, in `buffer`, which is better shared than made anew. For files that hold nothing that
    /// users choose; the others are [bytes](KernelFile::read_bytes).
    pub(super) fn read<'b>(&mut self, buffer: &'b mut Vec<u8>) -> io::Result<&'b str> {
        let length = self.fill(buffer, false)?;
        self.text(buffer, length)
    }

    /// The text of a file that the kernel hands out in one piece, as it does all that has one record: saves a call.
    pub(super) fn read_at_once<'b>(&mut self, buffer: &'b mut Vec<u8>) -> io::Result<&'b str> {
        let length = self.fill(buffer, true)?;
        self.text(buffer, length)
    }

    /// All bytes as of now.
    pub(super) fn read_bytes<'b>(&mut self, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        let length = self.fill(buffer, false)?;
        Ok(buffer.get(..length).unwrap_or_default())
    }

    /// The bytes of a file that the kernel hands out in one piece.
    pub(super) fn read_bytes_at_once<'b>(&mut self, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        let length = self.fill(buffer, true)?;
        Ok(buffer.get(..length).unwrap_or_default())
    }

    fn text<'b>(&self, buffer: &'b [u8], length: usize) -> io::Result<&'b str> {
        let bytes = buffer.get(..length).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|error| named(&self.path, &io::Error::other(error)))
    }

    fn fill(&mut self, buffer: &mut Vec<u8>, at_once: bool) -> io::Result<usize> {
        if self.foreign.is_none() && self.file.is_none() && is_mounted_over(&self.path) {
            self.foreign = Some(Box::default());
        }
        if let Some(foreign) = &mut self.foreign {
            *buffer = foreign.read(&self.path)?;
            return Ok(buffer.len());
        }
        self.fill_directly(buffer, at_once)
    }

    fn fill_directly(&mut self, buffer: &mut Vec<u8>, at_once: bool) -> io::Result<usize> {
        let opened;
        let file = match &self.file {
            Some(file) => file,
            None => {
                let file = open(&self.path).map_err(|error| named(&self.path, &error))?;
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
                return Ok(length);
            }
        }
    }
}

impl ForeignFile {
    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let silent = || named(path, &io::Error::other("the program that answers for this file does not answer"));
        if self.late.take_if(|late| late.is_over()).is_none() && self.late.is_some() {
            return Err(silent());
        }
        let own = path.to_owned();
        let read = move || {
            let mut buffer = Vec::new();
            let length = KernelFile::reopened(own).fill_directly(&mut buffer, false)?;
            buffer.truncate(length);
            Ok(buffer)
        };
        match self.calls.call(read) {
            TimedResult::InTime(result) => result,
            TimedResult::Late(late) => {
                self.late = Some(late);
                Err(silent())
            }
            TimedResult::NotMade(error) => Err(named(path, &error)),
        }
    }
}

/// Whether something is mounted over this very file, where it is one of the whole machine. Asks no program: what is known
/// of the mount is enough.
fn is_mounted_over(path: &Path) -> bool {
    if kernel_file_system(path).is_some() || !(path.starts_with("/proc") || path.starts_with("/sys")) {
        return false;
    }
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    statx(CWD, path, flags, StatxFlags::empty())
        .is_ok_and(|known| known.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// All bytes of a file that is read once.
pub(super) fn read_once(path: PathBuf) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    let length = KernelFile::reopened(path).fill(&mut buffer, false)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// All bytes of the file `name` in a folder that is open; the folder says on which file system it is.
pub(super) fn read_in(folder: &OwnedFd, name: &str) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let flags = OPENED_AS | OFlags::RDONLY | OFlags::CLOEXEC;
    let file = File::from(openat(folder, name, flags, Mode::empty())?);
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::Error::other(format!("{name} has more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// The text of a file that is read once; what is not UTF-8 in it is replaced, so that the rest can be used.
pub(super) fn read_text_once(path: PathBuf) -> io::Result<String> {
    read_once(path).map(|bytes| {
        String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    })
}

/// Opens a file for reading, as the head of this file says.
fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(OPENED_AS.bits()).map_err(io::Error::other)?;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if let Some(wanted) = kernel_file_system(path)
        && fstatfs(&file)?.f_type != wanted
    {
        return Err(io::Error::other("something else was mounted over this file of the kernel; it is not read"));
    }
    Ok(file)
}

/// The type of the file system that a file has to be on. `None` for files of the whole machine, which container managers
/// replace (lxcfs), and for those of a test.
fn kernel_file_system(path: &Path) -> Option<FsWord> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = path.as_os_str().as_bytes();
    if path.strip_prefix(b"/proc/").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit)) {
        Some(PROC_SUPER_MAGIC)
    } else if path.starts_with(b"/sys/fs/cgroup/") {
        Some(CGROUP2_SUPER_MAGIC)
    } else {
        None
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

    #[test]
    fn follows_no_link_waits_for_no_writer_and_has_a_limit() {
        let folder = tempfile::tempdir().unwrap();
        let (link, pipe) = (folder.path().join("link"), folder.path().join("pipe"));
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        assert!(read_once(link).is_err());
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(read_once(pipe).is_err(), "a pipe has no start to read from");
        let error = read_once("/dev/zero".into()).unwrap_err();
        assert!(error.to_string().contains("more than 16777216 bytes"), "{error}");
    }

    #[test]
    fn files_of_processes_and_groups_are_on_the_kernels_file_systems() {
        assert_eq!(kernel_file_system(Path::new("/proc/12/net/dev")), Some(PROC_SUPER_MAGIC));
        assert_eq!(kernel_file_system(Path::new("/sys/fs/cgroup/a/cpu.stat")), Some(CGROUP2_SUPER_MAGIC));
        assert_eq!(kernel_file_system(Path::new("/proc/meminfo")), None);
        let own = PathBuf::from(format!("/proc/{}/stat", std::process::id()));
        assert!(!read_once(own).unwrap().is_empty());
    }
}
