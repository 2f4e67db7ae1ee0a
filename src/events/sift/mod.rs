//! A large input's lines, looked at on several threads, and what was found taken in order on one.
//!
//! Of a million events hardly one needs more than a glance. A [`Sieve`] gives that glance, on any thread; what it holds
//! back comes to the caller, in the order of the input and with its line number, together with how many lines passed
//! before. Memory is flat: so many blocks are in flight, and their buffers go round.
//!
//! An input that is small, or that comes slowly, is read on the caller's thread alone. Threads start for one that has
//! shown to be neither. Each takes a turn to read a block into a buffer of its own, cut at the last line end that came,
//! and looks at it while the next one reads: what was just copied is still in that processor's cache.

mod block;
mod crew;

use std::io::{self, Read};
use std::num::NonZero;

use super::{Line, LinePart, LineReader};

/// An input of fewer bytes is over before threads would pay.
const SERIAL_BYTES: u64 = 1 << 20;

/// An input whose reads bring less is a live one, which is not what one thread waits for.
const BULK_READ: usize = 32 << 10;

/// More threads than this wait for one another to read.
const MOST_THREADS: usize = 8;

/// What a [`Sieve`] makes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<N> {
    /// It is counted.
    Pass,
    /// It is counted, and comes to the caller with a note.
    Note(N),
    /// It comes to the caller, who takes a closer look.
    Hold,
}

/// The first look at lines, from several threads at a time.
pub trait Sieve: Sync {
    /// What may be noted of a line that passes; `()` where nothing is.
    type Note: Send;

    /// Called before the lines of a block are looked at: the moment to read a clock.
    fn begin(&self) {}

    /// The verdict on the line that `text` starts with, and the line's length with its end (`\n`, `\r\n`, or the end of
    /// `text`), where both are found without looking for the end first. Most lines should be; none that is blank may be.
    fn start(&self, text: &[u8]) -> Option<(usize, Verdict<Self::Note>)>;

    /// The verdict on `line`, which has no end and is not blank.
    fn line(&self, line: &[u8]) -> Verdict<Self::Note>;
}

/// What comes to the caller of [`sift()`], in the order of the input.
#[derive(Debug)]
pub enum Sifted<'a, N> {
    /// So many lines passed since the last word. Those with a note are not among them.
    Passed(u64),
    /// A line that passed with a note.
    Noted(Line<'a>, N),
    /// A line that was held back, or the first piece of one that is longer than the limit. (There are no others of it.)
    Held(Line<'a>),
    /// Nothing more is at hand: the moment to hand on what was made of the lines so far.
    Idle,
}

/// How an input came to its end.
#[derive(Debug)]
pub struct Sifting {
    /// The lines read, blank ones included.
    pub lines: u64,
    /// Why it was not read further; `None` at its end.
    pub error: Option<io::Error>,
}

/// Looks at the rest of `lines` with `sieve`, and tells `take` what it finds, in order. Blank lines are skipped.
///
/// ```
/// use form_usage_events::events::{LineReader, Sieve, Sifted, Verdict, sift};
///
/// /// Holds what does not look like an object.
/// struct Objects;
/// impl Sieve for Objects {
///     type Note = ();
///     fn start(&self, _: &[u8]) -> Option<(usize, Verdict<()>)> {
///         None
///     }
///     fn line(&self, line: &[u8]) -> Verdict<()> {
///         if line.starts_with(b"{") { Verdict::Pass } else { Verdict::Hold }
///     }
/// }
///
/// let (mut passed, mut held) = (0, Vec::new());
/// let lines = LineReader::new(&b"{\"a\":1}\n\n{\"b\":2}\noops\n"[..]);
/// let end = sift(lines, &Objects, &mut |found| {
///     match found {
///         Sifted::Passed(count) => passed += count,
///         Sifted::Held(line) => held.push(line.number),
///         Sifted::Noted(..) | Sifted::Idle => {}
///     }
///     Ok::<_, std::io::Error>(())
/// })?;
/// assert_eq!((passed, held, end.lines), (2, vec![4], 4));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// What `take` gave. The rest of the input is then left alone, but a read that another thread waits in has to end first.
#[allow(clippy::type_complexity)] // a taker, and all that it takes
pub fn sift<S: Sieve, E>(
    mut lines: LineReader<impl Read + Send>,
    sieve: &S,
    take: &mut dyn FnMut(Sifted<'_, S::Note>) -> Result<(), E>,
) -> Result<Sifting, E> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
    loop {
        let (bytes, last_read) = lines.pace();
        if threads > 1 && bytes >= SERIAL_BYTES && last_read >= BULK_READ && lines.is_between_lines() {
            let first = lines.lines();
            return crew::sift(block::Cutter::new(lines), first, sieve, threads, take);
        }
        if !lines.is_ready() {
            take(Sifted::Idle)?;
        }
        sieve.begin();
        let line = match lines.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(Sifting { lines: lines.lines(), error: None }),
            Err(error) => return Ok(Sifting { lines: lines.lines(), error: Some(error) }),
        };
        match line.part {
            LinePart::Whole => match sieve.line(line.bytes) {
                Verdict::Pass => take(Sifted::Passed(1))?,
                Verdict::Note(note) => take(Sifted::Noted(line, note))?,
                Verdict::Hold => take(Sifted::Held(line))?,
            },
            LinePart::Piece { index: 0, .. } => take(Sifted::Held(line))?,
            LinePart::Piece { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
