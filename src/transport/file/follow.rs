//! A log that is followed while it is rotated.
//!
//! - **Renamed**: the old file is read to its end, then the files that stood under the name in between, then the one that
//!   stands there now. The old one stays open until the next rotation, since its writer may go on with it for a while.
//! - **Cut** (`copytruncate`): the copy beside the log is known by the bytes in front of the place that reading has come
//!   to; it is read on from there, then the log from its start. Where there is no copy, that bytes may be lost is said.
//!
//! A cut shows in the file's size and, where it has grown again since, in those bytes. Of a file of which nothing was read
//! yet it shows in the time of its last change alone, and its copy is one that was not there before.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::rotated::{FileId, Rotated, rotated_files};
use super::source::PolledLines;
use crate::events::LineReader;

/// How many bytes in front of the place of reading tell one content from another: about two events, whose times differ.
const TRACE_BYTES: usize = 1 << 10;

/// The files under one name, one after the other.
#[derive(Debug)]
pub(super) struct FollowedFile {
    path: PathBuf,
    /// The file that is read now; `None` while there is none.
    current: Option<Tail>,
    /// The file before it, which may still grow.
    previous: Option<Tail>,
    /// Lines of all files before the current one.
    lines_before: u64,
    /// Rotated files that were read, or are older than this reading; of copies, when they were written.
    known: HashMap<FileId, Option<SystemTime>>,
    /// That lines may be lost between copying and truncating was said.
    warned_of_copies: bool,
}

/// A file and how far it was read.
#[derive(Debug)]
struct Tail {
    lines: LineReader<TracedFile>,
    lines_before: u64,
}

impl Tail {
    fn add_to(&mut self, lines: &mut PolledLines, end_may_lack: bool) -> io::Result<()> {
        lines.add(&mut self.lines, self.lines_before, end_may_lack)
    }

    const fn file(&self) -> &TracedFile {
        self.lines.input()
    }
}

impl FollowedFile {
    /// A file that need not exist yet.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        // What is rotated already is not part of this reading. A folder that can't be listed shows at a rotation.
        let known = rotated_files(path).unwrap_or_default().iter().map(|file| (file.id, None)).collect();
        let mut followed = Self {
            path: path.to_owned(),
            current: None,
            previous: None,
            lines_before: 0,
            known,
            warned_of_copies: false,
        };
        followed.move_on(&mut PolledLines::default())?;
        Ok(followed)
    }

    /// Whether a file was found under the name.
    pub(super) const fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// Adds the lines that have come since the last poll.
    pub(super) fn poll(&mut self, lines: &mut PolledLines) -> io::Result<()> {
        if let Some(previous) = &mut self.previous {
            previous.add_to(lines, false)?;
        }
        loop {
            if self.current.as_mut().is_some_and(|tail| tail.lines.input_mut().may_be_cut()) {
                self.pass_the_cut(lines)?;
            }
            if let Some(current) = &mut self.current {
                current.add_to(lines, false)?;
            }
            if lines.is_full() || !self.move_on(lines)? {
                return Ok(());
            }
        }
    }

    /// Adds what is left when nobody will poll again: last lines without their end.
    pub(super) fn add_rest(&mut self, lines: &mut PolledLines) -> io::Result<()> {
        self.previous.iter_mut().chain(&mut self.current).try_for_each(|tail| tail.add_to(lines, true))
    }

    /// Opens the next file, where another one stands under the name by now; whether it did.
    fn move_on(&mut self, lines: &mut PolledLines) -> io::Result<bool> {
        let current = self.current.as_ref().map(|tail| tail.file().id);
        let there = if_exists(self.path.metadata())?;
        let is_there = there.as_ref().is_some_and(|there| current == Some(FileId::of(there)));
        if is_there || current == Some(None) {
            return Ok(false);
        }
        // Opened before the folder is listed: what stood under the name before this file has another name by then.
        let next = if there.is_some() { if_exists(TracedFile::open(&self.path))? } else { None };
        // There may be no file, between the two steps of a rotation or until its writer makes one (logrotate: nocreate);
        // those that stood under the name meanwhile are read all the same.
        let skipped = match next.as_ref().map(|next| next.id) {
            Some(None) => None,
            Some(id) => self.first_unread(id)?,
            // A folder that can't be listed shows once there is a file.
            None => self.first_unread(None).unwrap_or_default(),
        };
        let next = match skipped {
            Some(skipped) => {
                let file = if_exists(TracedFile::open(&skipped.path))?;
                // Otherwise it was renamed once more; the next poll finds it under its new name.
                file.filter(|file| file.id == Some(skipped.id))
            }
            None => next,
        };
        let Some(next) = next else { return Ok(false) };
        if let Some(previous) = &mut self.previous {
            previous.add_to(lines, true)?;
        }
        self.previous = self.close_current();
        self.known.extend(next.id.map(|id| (id, None)));
        self.current = Some(Tail { lines: LineReader::new(next), lines_before: self.lines_before });
        Ok(true)
    }

    fn close_current(&mut self) -> Option<Tail> {
        let closed = self.current.take()?;
        self.lines_before = closed.lines_before + closed.lines.lines();
        Some(closed)
    }

    /// The oldest file that stood under the name after the current one and in front of `there`, if it is not read yet.
    fn first_unread(&mut self, there: Option<FileId>) -> io::Result<Option<Rotated>> {
        let rotated = rotated_files(&self.path)?;
        let current = self.current.as_ref().map(Tail::file);
        let (id, last_written) = (current.and_then(|file| file.id), current.and_then(TracedFile::modified));
        // Numbers of files that are gone may come again.
        self.known.retain(|known, _| Some(*known) == id || rotated.iter().any(|file| file.id == *known));
        for file in rotated {
            if self.known.contains_key(&file.id) || Some(file.id) == there {
                continue;
            }
            if !file.is_compressed {
                return Ok(Some(file));
            }
            self.known.insert(file.id, None);
            // One that is not younger holds lines that were read before it was compressed.
            if last_written.is_none_or(|written| file.modified > written) {
                tracing::warn!(
                    "{} was rotated and compressed before it was read: its lines are NOT shown; read them from there, and compress later (logrotate: delaycompress)",
                    file.path.display()
                );
            }
        }
        Ok(None)
    }

    /// Goes on in the copy that was made before the file was truncated; without one, anew from its start.
    fn pass_the_cut(&mut self, lines: &mut PolledLines) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let path = self.path.display();
        let nothing_was_read = current.file().offset == 0;
        for file in rotated_files(&self.path)? {
            // Copies may be written one over the other.
            let known = self.known.get(&file.id);
            let is_read = known.is_some_and(|written| written.is_none_or(|written| written == file.modified));
            if file.is_compressed || nothing_was_read && is_read {
                continue;
            }
            let Some(copy) = if_exists(TracedFile::open(&file.path))? else { continue };
            if let Some(copy) = copy.at_the_place_of(current.file())? {
                if !std::mem::replace(&mut self.warned_of_copies, true) {
                    tracing::warn!(
                        "{path} is rotated by copying and truncating it: lines written between the two are lost; rotate by renaming it (logrotate: without copytruncate)"
                    );
                }
                self.known.insert(file.id, Some(file.modified));
                *current.lines.input_mut() = copy;
                return Ok(());
            }
        }
        if nothing_was_read && current.file().is_longer_than(0) {
            // It was written, and that is all.
            return Ok(());
        }
        tracing::warn!(
            "{path} was truncated while it was followed, and no copy beside it holds what followed its first {} bytes: any lines written between the last look and the truncation are NOT shown; rotate it by renaming (logrotate: without copytruncate)",
            current.file().offset
        );
        if nothing_was_read {
            return Ok(());
        }
        current.add_to(lines, true)?;
        self.close_current();
        self.move_on(lines).map(|_| ())
    }
}

/// A file as it was read so far.
#[derive(Debug)]
struct TracedFile {
    file: File,
    /// `None` for what can't be rotated: a pipe, a device.
    id: Option<FileId>,
    offset: u64,
    /// The last bytes in front of `offset`.
    trace: Vec<u8>,
    /// When it was last changed, as of the last look at which nothing of it had been read.
    changed: Option<SystemTime>,
}

impl TracedFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let (id, changed) = (FileId::of(&metadata), metadata.modified().ok().filter(|_| metadata.len() == 0));
        Ok(Self { file, id, offset: 0, trace: Vec::new(), changed })
    }

    fn modified(&self) -> Option<SystemTime> {
        self.file.metadata().and_then(|metadata| metadata.modified()).ok()
    }

    /// Whether the file no longer holds what was read of it, or was changed before anything was.
    fn may_be_cut(&mut self) -> bool {
        if self.offset > 0 || self.id.is_none() {
            return self.id.is_some() && !holds_at(&self.file, self.offset, &self.trace);
        }
        let changed = self.modified();
        self.changed.is_some() && std::mem::replace(&mut self.changed, changed) != changed
    }

    fn is_longer_than(&self, bytes: u64) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.len() > bytes)
    }

    /// This file, to be read from where `other` stands, if it holds the same bytes in front of that place.
    fn at_the_place_of(mut self, other: &Self) -> io::Result<Option<Self>> {
        if !holds_at(&self.file, other.offset, &other.trace) {
            return Ok(None);
        }
        self.offset = self.file.seek(SeekFrom::Start(other.offset))?;
        self.trace.clone_from(&other.trace);
        Ok(Some(self))
    }
}

impl Read for TracedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.offset += count as u64;
        let read = buffer.get(..count).unwrap_or_default();
        let kept = TRACE_BYTES.saturating_sub(count).min(self.trace.len());
        self.trace.drain(..self.trace.len() - kept);
        self.trace.extend_from_slice(&read[count.saturating_sub(TRACE_BYTES)..]);
        Ok(count)
    }
}

/// Whether `bytes` stand in `file` right in front of `end`.
#[cfg(unix)]
fn holds_at(file: &File, end: u64, bytes: &[u8]) -> bool {
    use std::os::unix::fs::FileExt as _;
    let mut found = [0; TRACE_BYTES];
    let found = &mut found[..bytes.len()];
    file.read_exact_at(found, end.saturating_sub(bytes.len() as u64)).is_ok() && found == bytes
}

#[cfg(not(unix))]
fn holds_at(_: &File, _: u64, _: &[u8]) -> bool {
    true
}

/// What `result` gives, unless nothing stands under the name.
fn if_exists<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::transport::Polled;
    use std::fs;
    use std::io::Write as _;

    struct Log {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    impl Log {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("u.log");
            Self { _folder: folder, path }
        }

        fn beside(&self, end: &str) -> PathBuf {
            PathBuf::from(format!("{}{end}", self.path.display()))
        }

        fn write(&self, text: &str) {
            append(&self.path, text);
        }

        /// As logrotate does without and with copytruncate: what is numbered moves up.
        fn rotate(&self, copies: bool) {
            for n in (1..5).rev() {
                let _ = fs::rename(self.beside(&format!(".{n}")), self.beside(&format!(".{}", n + 1)));
            }
            if copies {
                fs::copy(&self.path, self.beside(".1")).unwrap();
                fs::File::options().write(true).open(&self.path).unwrap().set_len(0).unwrap();
            } else {
                fs::rename(&self.path, self.beside(".1")).unwrap();
            }
        }
    }

    fn append(path: &Path, text: &str) {
        fs::File::options().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn polled(file: &mut FollowedFile) -> Vec<String> {
        let mut lines = PolledLines::default();
        file.poll(&mut lines).unwrap();
        texts(lines)
    }

    fn texts(lines: PolledLines) -> Vec<String> {
        let Polled::Messages(messages) = lines.into() else { return Vec::new() };
        messages.into_iter().map(|message| String::from_utf8(message.body).unwrap()).collect()
    }

    #[test]
    fn all_lines_come_over_several_rotations_between_polls() {
        for copies in [false, true] {
            let log = Log::new();
            log.write("a\n");
            let mut file = FollowedFile::open(&log.path).unwrap();
            assert_eq!(polled(&mut file), ["a"]);
            let mut expected = Vec::new();
            for round in 0..3 {
                let line = format!("longer than the one before {round}");
                log.write(&format!("{line}\n"));
                expected.push(line);
                log.rotate(copies);
            }
            log.write("z\n");
            expected.push("z".to_owned());
            assert_eq!(polled(&mut file), expected, "copies: {copies}");
            assert_eq!(polled(&mut file), [""; 0]);
            log.write("behind\n");
            assert_eq!(polled(&mut file), ["behind"]);
        }
    }

    #[test]
    fn lines_that_came_into_an_empty_file_and_were_copied_away_between_polls_are_read() {
        let log = Log::new();
        log.write("");
        let mut file = FollowedFile::open(&log.path).unwrap();
        assert_eq!(polled(&mut file), [""; 0]);
        for round in 0..3 {
            // Two changes within a tick of the clock of the file system may have one time.
            let long_ago = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(round);
            fs::File::options().write(true).open(&log.path).unwrap().set_modified(long_ago).unwrap();
            assert_eq!(polled(&mut file), [""; 0]);
            log.write(&format!("a{round}\nb{round}\n"));
            log.rotate(true);
            assert_eq!(polled(&mut file), [format!("a{round}"), format!("b{round}")]);
        }
        log.write("z\n");
        assert_eq!(polled(&mut file), ["z"]);
    }

    #[test]
    fn lines_in_a_copy_that_was_written_over_the_one_before_are_read() {
        let log = Log::new();
        log.write("");
        let mut file = FollowedFile::open(&log.path).unwrap();
        for round in 0..3 {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(round);
            fs::File::options().write(true).open(&log.path).unwrap().set_modified(time).unwrap();
            assert_eq!(polled(&mut file), [""; 0], "what was copied in the round before is read once");
            log.write(&format!("a{round}\n"));
            fs::copy(&log.path, log.beside(".1")).unwrap();
            fs::File::options().write(true).open(log.beside(".1")).unwrap().set_modified(time).unwrap();
            fs::write(&log.path, "").unwrap();
            assert_eq!(polled(&mut file), [format!("a{round}")]);
        }
    }

    #[test]
    fn a_writer_that_keeps_the_renamed_file_for_a_while_is_heard() {
        let log = Log::new();
        log.write("a\nhal");
        let mut file = FollowedFile::open(&log.path).unwrap();
        assert_eq!(polled(&mut file), ["a"]);
        log.rotate(false);
        log.write("c\n");
        assert_eq!(polled(&mut file), ["c"]);
        append(&log.beside(".1"), "f\nlate\n");
        log.write("d\n");
        assert_eq!(polled(&mut file), ["half", "late", "d"]);
    }

    #[test]
    fn a_line_without_its_end_is_not_joined_with_the_next_file() {
        let log = Log::new();
        log.write("a\ntorn");
        let mut file = FollowedFile::open(&log.path).unwrap();
        assert_eq!(polled(&mut file), ["a"]);
        for next in ["b\n", "c\n"] {
            log.rotate(false);
            log.write(next);
        }
        assert_eq!(polled(&mut file), ["b", "torn", "c"]);
    }

    #[test]
    fn a_truncated_file_that_has_grown_again_is_read_from_its_start() {
        let log = Log::new();
        log.write("one\ntwo\n");
        let mut file = FollowedFile::open(&log.path).unwrap();
        assert_eq!(polled(&mut file), ["one", "two"]);
        fs::write(&log.path, "new one\nnew two\n").unwrap();
        assert_eq!(polled(&mut file), ["new one", "new two"]);
        fs::write(&log.path, "").unwrap();
        assert_eq!(polled(&mut file), [""; 0]);
        log.write("x\n");
        assert_eq!(polled(&mut file), ["x"]);
    }

    #[test]
    fn reads_what_was_rotated_away_before_the_writer_made_a_new_file() {
        let log = Log::new();
        log.write("a\n");
        let mut file = FollowedFile::open(&log.path).unwrap();
        assert_eq!(polled(&mut file), ["a"]);
        log.rotate(false);
        for line in ["b\n", "c\n"] {
            log.write(line);
            log.rotate(false);
        }
        assert!(!log.path.exists());
        append(&log.beside(".3"), "late\n");
        assert_eq!(polled(&mut file), ["late", "b", "c"]);
        assert_eq!(polled(&mut file), [""; 0]);
        log.write("d\n");
        assert_eq!(polled(&mut file), ["d"]);
    }

    #[test]
    fn what_was_rotated_before_is_not_read() {
        let log = Log::new();
        fs::write(log.beside(".1"), "old\n").unwrap();
        let mut file = FollowedFile::open(&log.path).unwrap();
        assert!(!file.is_open());
        assert_eq!(polled(&mut file), [""; 0]);
        log.write("first\n");
        log.rotate(false);
        log.write("second\n");
        assert_eq!(polled(&mut file), ["first", "second"]);
    }

    #[test]
    fn positions_go_on_over_a_rotation() {
        let log = Log::new();
        log.write("a\n\nb\n");
        let mut file = FollowedFile::open(&log.path).unwrap();
        let mut lines = PolledLines::default();
        file.poll(&mut lines).unwrap();
        log.rotate(false);
        log.write("c\n");
        file.poll(&mut lines).unwrap();
        let Polled::Messages(messages) = lines.into() else { panic!("no lines") };
        assert_eq!(messages.iter().map(|message| message.position).collect::<Vec<_>>(), [0, 2, 3]);
    }
}
