//! Standard output carries data, standard error carries words.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
#[cfg(target_os = "linux")]
use std::time::Duration;

use form_usage_events::files::LineFile;
use form_usage_events::plain_text;
pub(crate) use form_usage_events::plain_text::{Notation, printable};

use crate::terminal::TerminalSafe;

/// Whoever read our standard output has closed it.
#[derive(Debug)]
pub(crate) struct StdoutClosed;

impl std::fmt::Display for StdoutClosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("standard output was closed")
    }
}

impl std::error::Error for StdoutClosed {}

/// Buffered standard output whose errors tell a closed pipe ([`StdoutClosed`]) from a real fault.
#[derive(Debug)]
pub(crate) struct Stdout {
    inner: io::BufWriter<TerminalSafe<io::Stdout>>,
}

impl Stdout {
    /// Standard output for data in `notation`, of which a terminal gets nothing that it acts upon.
    pub(crate) fn new(notation: Notation) -> Self {
        Self { inner: io::BufWriter::with_capacity(64 << 10, TerminalSafe::new(io::stdout(), notation)) }
    }

    /// Writes `line` and a line end.
    pub(crate) fn line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.inner.write_all(line).and_then(|()| self.inner.write_all(b"\n")).map_err(explain)
    }

    /// Writes `bytes` as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.inner.write_all(bytes).map_err(explain)
    }

    /// Writes `text` as it is.
    pub(crate) fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.inner.write_all(text.as_bytes()).map_err(explain)
    }

    /// Writes `value` as indented JSON and a line end, piece by piece, whatever its size.
    pub(crate) fn json_document(&mut self, value: &impl serde::Serialize) -> anyhow::Result<()> {
        serde_json::to_writer_pretty(&mut self.inner, value).map_err(|error| explain(error.into()))?;
        self.line(b"")
    }

    /// Hands everything to the reader.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        self.inner.flush().map_err(explain)
    }
}

/// Standard output for lines that are there whole or not at all, also in a file on a disk that fills up.
#[derive(Debug)]
pub(crate) struct WholeLines {
    stdout: Stdout,
    file: Option<LineFile>,
}

impl WholeLines {
    /// For lines of JSON.
    pub(crate) fn new() -> Self {
        Self { stdout: Stdout::new(Notation::Json), file: LineFile::of_stdout() }
    }

    /// Writes `lines`, each with its end. Of what a file could not take all of, it holds nothing.
    pub(crate) fn write(&mut self, lines: &[u8]) -> anyhow::Result<()> {
        match &mut self.file {
            Some(file) => file.write(lines).map_err(explain),
            None => self.stdout.bytes(lines).and_then(|()| self.stdout.flush()),
        }
    }
}

fn explain(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        anyhow::Error::new(StdoutClosed)
    } else {
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let advice = if is_full { " (make room, and run it again)" } else { "" };
        anyhow::Error::new(error).context(format!("could not write to standard output{advice}"))
    }
}

/// Whether whoever read our standard output is known to be gone, without writing to it.
pub(crate) fn stdout_is_closed() -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stdout = io::stdout();
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        let looked = poll(&mut polled, Some(&Timespec::default())).is_ok();
        // A terminal that hung up is gone as well.
        looked && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// Says so where standard output was closed before we began (`>&-`): Rust's runtime puts the null device in its place,
/// opened for reading too, and data would vanish without a word. (Some launchers open it like that on purpose, so that it
/// is no reason to refuse.)
pub(crate) fn mind_stdout() {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{OFlags, fcntl_getfl, fstat};
        let stdout = io::stdout();
        let null = std::fs::metadata("/dev/null").map(|it| std::os::unix::fs::MetadataExt::rdev(&it));
        let is_null = fstat(&stdout).is_ok_and(|it| null.is_ok_and(|null| it.st_rdev == null));
        if is_null && fcntl_getfl(&stdout).is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDWR) {
            say(
                "warning: standard output is closed or leads nowhere, and what is written there is lost; give it a reader or a file",
            );
        }
    }
}

/// Whether a person reads our standard output.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether a person reads our standard error.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// `text` as words for people. None of its lines is what the runners of workflows take for a command, whether it comes in
/// a name or in what a line holds: they read our standard error too.
fn words(text: &str) -> Cow<'_, str> {
    let text = plain_text::printable_lines(text);
    let begins_command = |line: &str| line.trim_start().starts_with("::");
    // This older form is one wherever it stands in its line.
    if !text.split('\n').any(begins_command) && !text.contains("##[") {
        return text;
    }
    let lines = text.split('\n').map(|line| if begins_command(line) { format!("\u{fffd}{line}") } else { line.into() });
    Cow::Owned(lines.collect::<Vec<_>>().join("\n").replace("##[", "##\u{fffd}["))
}

/// Words that wait until the terminal is free again, while a table is drawn on it: at most so many bytes, the newest.
const HELD_BYTES: usize = 64 << 10;

static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

fn held() -> MutexGuard<'static, Option<Vec<u8>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on words for people are held back, until [`release_words`].
pub(crate) fn hold_words() {
    held().get_or_insert_default();
}

/// Writes what was held back, and holds back nothing more.
pub(crate) fn release_words() {
    if let Some(words) = held().take() {
        write_words(&words);
    }
}

/// The last line that was held back.
pub(crate) fn last_held_words() -> Option<String> {
    let held = held();
    let last = held.as_ref()?.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?;
    // Without its colours.
    let last = anstream::adapter::strip_str(&String::from_utf8_lossy(last)).to_string();
    (!last.is_empty()).then_some(last)
}

/// What a pipe takes whole or not at all (`PIPE_BUF` on Linux): whoever may write to it need not wait for so much.
const PIECE_BYTES: usize = 4096;
/// How long words wait for a reader that stands still, once until it reads again.
#[cfg(target_os = "linux")]
const READER_PATIENCE: Duration = Duration::from_millis(500);

/// How many pieces of words were lost since their reader stands still; 0 while it reads.
static LOST: Mutex<u64> = Mutex::new(0);

/// Writes words to standard error, or drops them where their reader stands still: neither a full disk nor a log that nobody
/// reads holds up what they are about.
fn write_words(words: &[u8]) {
    let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
    for piece in words.chunks(PIECE_BYTES) {
        if !stderr_takes_words(*lost > 0) {
            *lost += 1;
            return;
        }
        if *lost > 0 {
            let said =
                format!("formusage: {} messages were lost, since nobody read them\n", std::mem::take(&mut *lost));
            let _ = io::stderr().write_all(said.as_bytes());
            if !stderr_takes_words(true) {
                *lost += 1;
                return;
            }
        }
        // Whole, so that what the disk has no room for is not tried again byte by byte.
        let _ = io::stderr().write_all(piece);
    }
}

/// Whether standard error takes [`PIECE_BYTES`] without a wait. A terminal that somebody holds is waited for.
#[cfg(target_os = "linux")]
fn stderr_takes_words(stands_still: bool) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stderr = io::stderr();
    if stderr.is_terminal() {
        return true;
    }
    let patience = if stands_still { Duration::ZERO } else { READER_PATIENCE };
    let wait = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
    let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
    // What can't be asked is written to, and fails by itself.
    poll(&mut polled, Some(&wait)).map_or(true, |_| !polled[0].revents().is_empty())
}

#[cfg(not(target_os = "linux"))]
const fn stderr_takes_words(_: bool) -> bool {
    true
}

/// Standard error for words, or where they are held back. It never fails: a log whose disk is full or whose reader is
/// gone or stands still loses words, and what they are about goes on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Words;

impl Write for Words {
    fn write(&mut self, words: &[u8]) -> io::Result<usize> {
        match held().as_mut() {
            Some(kept) => {
                kept.extend_from_slice(words);
                if kept.len() > HELD_BYTES {
                    kept.drain(..kept.len() - HELD_BYTES);
                }
            }
            None => write_words(words),
        }
        Ok(words.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// [`Words`] for the log, of which each line is written at once: its messages hold what others wrote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogWords {
    pub(crate) is_json: bool,
    /// Sequences that colour the text are left as they are.
    pub(crate) has_colours: bool,
}

impl LogWords {
    fn printable(self, text: &str) -> Cow<'_, str> {
        let words = if self.has_colours { Notation::ColouredWords } else { Notation::Words };
        plain_text::for_terminal(text, if self.is_json { Notation::Json } else { words })
    }
}

impl Write for LogWords {
    fn write(&mut self, words: &[u8]) -> io::Result<usize> {
        Words.write_all(self.printable(&String::from_utf8_lossy(words)).as_bytes())?;
        Ok(words.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A number and its noun: `1 event`, `2 events`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `text` as one word of a command line, in quotes where a shell needs them.
pub(crate) fn shell_word(text: &str) -> Cow<'_, str> {
    let plain = |char: char| char.is_alphanumeric() || "/._-+:,@%=".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', r"'\''")))
}

/// A command that looks into a spool: `formusage WORDS --spool PATH`.
pub(crate) fn spool_command(words: &str, spool: &Path) -> String {
    format!("formusage {words} --spool {}", shell_word(&spool.to_string_lossy()))
}

/// One line for people on standard error, marked as an error. A closed standard error is nobody's loss.
pub(crate) fn complain(message: &str) {
    let style = clap::builder::styling::AnsiColor::Red.on_default().bold();
    write_styled(&format!("{style}error:{style:#} {}\n", words(message)));
}

/// Words that have colours of their own and quote others', as they may be written.
pub(crate) fn shown(words: &str) -> String {
    LogWords { is_json: false, has_colours: true }.printable(words).into_owned()
}

/// Writes words with colours where standard error shows them.
pub(crate) fn write_styled(words: &str) {
    let mut shown = anstream::AutoStream::new(Vec::new(), anstream::AutoStream::choice(&io::stderr()));
    let _ = shown.write_all(words.as_bytes());
    write_words(&shown.into_inner());
}

/// One line for people on standard error.
pub(crate) fn say(message: &str) {
    if held().is_some() {
        let _ = writeln!(Words, "{}", words(message));
    } else {
        write_styled(&format!("{}\n", words(message)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_shows_nothing_that_a_terminal_acts_upon_but_its_colours() {
        let log = |is_json, has_colours, text| LogWords { is_json, has_colours }.printable(text).into_owned();
        let text = "\u{1b}[2;31ma\u{1b}[0m\u{1b}[2J\u{202e}\u{9b}\u{200b}\n";
        assert_eq!(log(false, true, text), "\u{1b}[2;31ma\u{1b}[0m\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\n");
        assert_eq!(log(false, false, "\u{1b}[1ma\n"), "\u{fffd}[1ma\n");
        assert_eq!(log(true, false, "{\"a\":\"\u{202e}\"}\n"), "{\"a\":\"\\u202e\"}\n");
    }

    #[test]
    fn no_line_of_words_is_a_command_of_a_workflow() {
        for (text, shown) in [
            ("can't open a: b::c", "can't open a: b::c"),
            ("::error::x", "\u{fffd}::error::x"),
            ("a\n ::stop-commands::pwn\nb", "a\n\u{fffd} ::stop-commands::pwn\nb"),
            ("a ##[error]x\r\x1b[2J", "a ##\u{fffd}[error]x\u{fffd}\u{fffd}[2J"),
            ("a\u{202e}b\u{200b}\u{9b}", "a\u{fffd}b\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(words(text), shown);
        }
        assert_eq!(printable("a\n::error::x"), "a\u{fffd}::error::x");
    }
}
