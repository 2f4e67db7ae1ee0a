//! Reading a file or standard input line by line, as messages.

use std::io::{self, Read, Stdin};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::follow::FollowedFile;
#[cfg(target_os = "linux")]
use super::wakeup::FolderWatch;
use crate::events::{LinePart, LineReader};
use crate::transport::cause::shortage;
use crate::transport::{BoxFuture, Failure, Message, Polled, Reach, Source};

const POLL_MESSAGES: usize = 1_000;
const POLL_BYTES: usize = 4 << 20;

/// Reads lines as messages. A later poll sees what was appended since, also where the file was rotated meanwhile
/// (see [`FollowedFile`]).
///
/// A last line without its end may be one that somebody is writing just now; it is handed out at the end of reading.
#[derive(Debug)]
pub(in crate::transport) struct FileSource {
    path: PathBuf,
    input: Arc<Mutex<Input>>,
    /// Made when somebody listens.
    #[cfg(target_os = "linux")]
    watch: Option<FolderWatch>,
}

#[derive(Debug)]
enum Input {
    Stdin(LineReader<Stdin>),
    File(Box<FollowedFile>),
}

/// The messages of one poll, a bounded number of them.
#[derive(Debug, Default)]
pub(super) struct PolledLines {
    messages: Vec<Message>,
    bytes: usize,
}

impl PolledLines {
    pub(super) const fn is_full(&self) -> bool {
        self.messages.len() >= POLL_MESSAGES || self.bytes >= POLL_BYTES
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Adds lines of `reader` until there are enough for one poll or no more have come. Positions count from
    /// `lines_before` on. The last line is left alone while it lacks its end, unless `end_may_lack`.
    pub(super) fn add<R: Read>(
        &mut self,
        reader: &mut LineReader<R>,
        lines_before: u64,
        end_may_lack: bool,
    ) -> io::Result<()> {
        while !self.is_full() {
            let line = if end_may_lack { reader.next_line()? } else { reader.next_ended_line()? };
            let Some(line) = line else { break };
            self.bytes += line.bytes.len();
            if let LinePart::Piece { index, .. } = line.part {
                tracing::warn!(line = line.number, piece = index + 1, "a line longer than the limit comes in pieces");
            }
            let position = lines_before + line.number - 1;
            self.messages.push(Message { position, body: line.bytes.to_vec() });
        }
        Ok(())
    }
}

impl From<PolledLines> for Polled {
    fn from(lines: PolledLines) -> Self {
        if lines.messages.is_empty() { Self::UpToDate } else { Self::Messages(lines.messages) }
    }
}

impl FileSource {
    pub(in crate::transport) fn open(path: &Path) -> Result<Self, Failure> {
        if path.is_dir() {
            return Err(Failure::destination(format!("{} is a directory; name a file in it", path.display())));
        }
        let file = FollowedFile::open(path)
            .map_err(|error| Failure::destination(format!("can't open {}: {error}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            input: Arc::new(Mutex::new(Input::File(Box::new(file)))),
            #[cfg(target_os = "linux")]
            watch: None,
        })
    }

    pub(in crate::transport) fn stdin() -> Self {
        let lines = LineReader::new(io::stdin());
        Self {
            path: "<stdin>".into(),
            input: Arc::new(Mutex::new(Input::Stdin(lines))),
            #[cfg(target_os = "linux")]
            watch: Some(FolderWatch::deaf()),
        }
    }

    async fn read(&self, at_the_end: bool) -> Result<Polled, Failure> {
        let (input, path) = (self.input.clone(), self.path.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut lines = PolledLines::default();
            let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
            let read = match &mut *input {
                Input::Stdin(reader) => lines.add(reader, 0, at_the_end),
                Input::File(file) if at_the_end => file.add_rest(&mut lines),
                Input::File(file) => file.poll(&mut lines),
            };
            match (read, &*input) {
                // What was read before an error is handed out; the next poll meets the error again.
                (Err(error), _) if lines.is_empty() => Err(failure(&path, &error)),
                (_, Input::File(file)) if lines.is_empty() && !file.is_open() && !at_the_end => {
                    Ok(Polled::Absent(format!("{} does not exist yet", path.display())))
                }
                _ => Ok(lines.into()),
            }
        });
        read.await.unwrap_or_else(|error| Err(Failure::service(format!("the reading thread ended: {error}"))))
    }
}

/// A descriptor may be free again soon, and a file that was just rotated gets its owner and mode a moment later; what
/// fails otherwise needs somebody to look.
fn failure(path: &Path, error: &io::Error) -> Failure {
    let message = format!("can't read {}: {error}", path.display());
    if let Some(advice) = shortage(error) {
        return Failure::local(format!("{message}; {advice}"));
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::service(message).reached(Reach::Unreached),
        _ => Failure::destination(message),
    }
}

impl Source for FileSource {
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, Failure>> {
        Box::pin(self.read(false))
    }

    fn rest(&mut self) -> BoxFuture<'_, Result<Polled, Failure>> {
        Box::pin(self.read(true))
    }

    #[cfg(target_os = "linux")]
    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            match &self.watch {
                Some(watch) => watch.changed().await,
                // What came before there was a watch shows in the next poll.
                None => self.watch = Some(FolderWatch::of(&self.path)),
            }
        })
    }
}
