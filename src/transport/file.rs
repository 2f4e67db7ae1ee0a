//! NDJSON in a file, or on standard output and input.
//!
//! A file is appended to. What was reported as delivered is on disk (`fdatasync` before the report). A last line that
//! a crash left without its end is ended first, so that it stays apart from what follows; of a write that a full disk broke
//! off nothing is left. Where another file stands in its
//! place, or none (as after the rotation of logs), what comes next goes there.

mod follow;
mod rotated;
mod source;
#[cfg(target_os = "linux")]
mod wakeup;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use self::source::FileSource;
use super::cause::shortage;
use super::{BatchLimits, BoxFuture, Failure, Outcome, Reach, Sink};
use crate::events::EncodedEvent;
use crate::files::{self, LineFile};
use crate::plain_text::printable_json;

/// Writes events as lines.
#[derive(Debug, Clone)]
pub(super) struct FileSink {
    output: Arc<Mutex<Output>>,
    name: String,
}

#[derive(Debug)]
enum Output {
    File {
        file: LineFile,
        path: PathBuf,
    },
    /// Its file, where it is a regular one.
    Stdout(Option<LineFile>),
}

impl FileSink {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        if path.is_dir() {
            return Err(Failure::destination(format!("{name} is a directory; name a file in it")));
        }
        let output = Output::open(path)
            .map_err(|error| Failure::destination(format!("can't open {name} for appending: {error}")))?;
        Ok(Self { output: Arc::new(Mutex::new(output)), name })
    }

    pub(super) fn stdout() -> Self {
        Self { output: Arc::new(Mutex::new(Output::Stdout(LineFile::of_stdout()))), name: "standard output".to_owned() }
    }
}

fn ends_torn(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

impl Output {
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = files::open_output(path, OpenOptions::new().read(true).append(true).create(true))?;
        // Only a file can be looked at from its end; a device or a named pipe has none.
        let torn = file.metadata().is_ok_and(|metadata| metadata.is_file()) && ends_torn(&mut file)?;
        Ok(Self::File { file: LineFile::appending(file, torn), path: path.to_owned() })
    }

    /// Writes `lines` to the file that stands under the name.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.follow_the_name()?;
        loop {
            self.append(lines)?;
            // It may have gone into a file that was removed meanwhile.
            if !self.follow_the_name()? {
                return Ok(());
            }
        }
    }

    /// Goes on with the file that stands under the name. Whether the one before is gone, and what it held.
    fn follow_the_name(&mut self) -> io::Result<bool> {
        let Self::File { file, path } = self else { return Ok(false) };
        let Some(names) = other_names(file.file(), path) else { return Ok(false) };
        let removed = names == 0;
        if removed {
            tracing::error!(path = %path.display(), "the file was removed while it was written to: what it held is gone with it, and a new one is begun");
        }
        *self = Self::open(path)?;
        Ok(removed)
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(Some(file)) => file.write(lines),
            Self::Stdout(None) => {
                let mut stdout = io::stdout().lock();
                if stdout.is_terminal() {
                    stdout.write_all(printable_json(&String::from_utf8_lossy(lines)).as_bytes())?;
                } else {
                    stdout.write_all(lines)?;
                }
                stdout.flush()
            }
            Self::File { file, .. } => {
                file.write(lines)?;
                sync(file.file())
            }
        }
    }
}

/// How many names a file has that no longer stands under its own: none where it was removed; after the rotation of logs it
/// has another, and what was written stands there.
#[cfg(unix)]
fn other_names(file: &File, path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let ours = file.metadata().ok().filter(|ours| ours.is_file())?;
    if path.metadata().is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
        return None;
    }
    Some(ours.nlink())
}

#[cfg(not(unix))]
fn other_names(_: &File, _: &Path) -> Option<u64> {
    None
}

/// Makes a file durable; what can't be synced (a pipe, a terminal, `/dev/null`) needs it not.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_data() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

impl Sink for FileSink {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: 1_000, bytes: 4 << 20 }
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        let mut lines = Vec::with_capacity(events.iter().map(|event| event.body().len() + 1).sum());
        for event in events {
            lines.extend_from_slice(event.body());
            lines.push(b'\n');
        }
        let count = events.len();
        let sink = self.clone();
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || {
                let mut output = sink.output.lock().unwrap_or_else(PoisonError::into_inner);
                output.write(&lines).map_err(|error| failure(&sink.name, &error))
            });
            match written.await {
                Ok(result) => result.map(|()| vec![Outcome::Delivered; count]),
                Err(error) => Err(Failure::service(format!("the writing thread ended: {error}"))),
            }
        })
    }
}

/// Whose failure an error is: room may be made on a disk; a reader that went away does not come back.
fn failure(name: &str, error: &io::Error) -> Failure {
    if let Some(advice) = shortage(error) {
        return Failure::local(format!("can't write {name}: {error}; {advice}")).reached(Reach::Unknown);
    }
    match error.kind() {
        io::ErrorKind::BrokenPipe => {
            Failure::destination(format!("{name} was closed by its reader")).reached(Reach::Unreached)
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Failure::service(format!("no room left to write {name}: {error}; make room")).reached(Reach::Unknown)
        }
        _ => Failure::service(format!("can't write {name}: {error}")).reached(Reach::Unknown),
    }
}
