//! How far the reader of a pipe may be ahead of the spool. A line leaves the pipe when it is read: if the process is killed
//! before the line is on disk, it is lost, and nobody can publish it again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The reader reads no more while this many lines were read and are not in the spool yet.
pub(super) const MOST_LINES: usize = 2_048;
/// How often a reader that is held back looks whether the writers are gone.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Holds the reader of a pipe back while the spool is full, and bounds what it reads ahead. Clones are the same.
///
/// Before each read the reader calls [`ReadAhead::wait`], [`ReadAhead::is_over`] and then [`ReadAhead::start`]; before it
/// passes lines on, it counts them with [`ReadAhead::gave`].
#[derive(Debug, Clone, Default)]
pub struct ReadAhead(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_held: bool,
    /// The reader is to end where nothing is left to read.
    is_ending: bool,
    /// Nobody takes what it reads.
    is_over: bool,
    /// Lines that were given and are not kept yet.
    under_way: usize,
}

/// How much may be read at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadSize {
    /// The reader may fill its buffer.
    Any,
    /// One byte: the reader is held back, and is to stop where the line ends.
    OneByte,
}

impl ReadAhead {
    /// Waits until something may be read. All that was read before has been given, but for the beginning of a line where
    /// the reader stands `within_line`. `is_at_end` says whether nobody writes into the pipe any more: then the little
    /// that is left in it is read, so that its end is seen.
    pub fn wait(&self, within_line: bool, is_at_end: impl Fn() -> bool) {
        let mut state = self.0.lock();
        while !(state.is_over || state.may_read(within_line) || state.is_held && (state.is_ending || is_at_end())) {
            let waited = self.0.changed.wait_timeout(state, LOOK_AGAIN);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a read may begin now, behind a wait for the input; how much it may take.
    pub fn start(&self, within_line: bool, is_at_end: impl Fn() -> bool) -> Option<ReadSize> {
        let state = self.0.lock();
        let at_end = state.is_held && is_at_end();
        if !state.may_read(within_line) && !at_end {
            return None;
        }
        Some(if state.is_held && !at_end { ReadSize::OneByte } else { ReadSize::Any })
    }

    /// Whether the reader is to close its input now instead of waiting for more: whoever writes into it then hears that
    /// nobody reads. `has_input` says whether something can be read at once.
    pub fn is_over(&self, within_line: bool, has_input: impl Fn() -> bool) -> bool {
        let state = self.0.lock();
        state.is_over || (state.is_ending && !within_line && (state.is_held || !has_input()))
    }

    /// The reader is about to give so many lines.
    pub fn gave(&self, lines: usize) {
        self.0.lock().under_way += lines;
    }
}

#[cfg(feature = "sqlite")]
impl ReadAhead {
    /// So many of the lines given are on disk, or somebody else's matter.
    pub(super) fn kept(&self, lines: usize) {
        let mut state = self.0.lock();
        state.under_way = state.under_way.saturating_sub(lines);
        drop(state);
        self.0.changed.notify_all();
    }

    /// Nothing more is to be read.
    pub(super) fn hold(&self) {
        self.0.lock().is_held = true;
        self.0.changed.notify_all();
    }

    /// What can be read at once is the last that is to be read.
    pub(super) fn end(&self) {
        self.0.lock().is_ending = true;
        self.0.changed.notify_all();
    }

    /// Nothing that is read from now on is taken.
    pub(super) fn give_up(&self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_all();
    }

    /// Reading may go on.
    pub(super) fn release(&self) {
        self.0.lock().is_held = false;
        self.0.changed.notify_all();
    }

    pub(super) fn is_held(&self) -> bool {
        self.0.lock().is_held
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn may_read(&self, within_line: bool) -> bool {
        within_line || (!self.is_held && self.under_way < MOST_LINES)
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;

    const OPEN: fn() -> bool = || false;

    #[test]
    fn a_reader_that_is_held_ends_its_line_and_no_more() {
        let ahead = ReadAhead::default();
        ahead.wait(false, OPEN);
        assert_eq!(ahead.start(false, OPEN), Some(ReadSize::Any));
        ahead.hold();
        ahead.wait(true, OPEN);
        assert_eq!(ahead.start(true, OPEN), Some(ReadSize::OneByte));
        assert_eq!(ahead.start(false, OPEN), None);
        // Where nobody writes any more, what is left is read.
        assert_eq!(ahead.start(false, || true), Some(ReadSize::Any));
        let reader = std::thread::spawn({
            let ahead = ahead.clone();
            move || ahead.wait(false, OPEN)
        });
        ahead.release();
        reader.join().unwrap();
        assert_eq!(ahead.start(false, OPEN), Some(ReadSize::Any));
    }

    #[test]
    fn reader_that_is_to_end_reads_what_is_there_and_no_more() {
        let ahead = ReadAhead::default();
        assert!(!ahead.is_over(false, || false));
        ahead.end();
        assert!(!ahead.is_over(false, || true));
        assert!(ahead.is_over(false, || false));
        // Nobody keeps what is read on: it stays where it is.
        ahead.hold();
        ahead.wait(false, OPEN);
        assert!(ahead.is_over(false, || true));
        // The rest of a line is waited for, but not for ever.
        assert!(!ahead.is_over(true, || false));
        ahead.give_up();
        assert!(ahead.is_over(true, || false));
    }

    #[test]
    fn no_more_is_read_than_is_kept_soon() {
        let ahead = ReadAhead::default();
        ahead.gave(MOST_LINES);
        assert_eq!(ahead.start(false, OPEN), None);
        ahead.kept(1);
        assert_eq!(ahead.start(false, OPEN), Some(ReadSize::Any));
    }
}
