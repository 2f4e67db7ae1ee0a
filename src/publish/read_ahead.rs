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
#[derive(Debug, Clone)]
pub struct ReadAhead(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The reader reads no more while lines of so many bytes were read and are not in the spool yet.
    most_bytes: usize,
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
    /// Lines that were given and are not kept yet, and their bytes.
    lines: usize,
    bytes: usize,
}

impl ReadAhead {
    /// Lets lines of `most_bytes` be read ahead, and the rest of a line that was begun.
    #[must_use]
    pub fn new(most_bytes: usize) -> Self {
        Self(Arc::new(Shared { most_bytes, state: Mutex::default(), changed: Condvar::new() }))
    }

    /// Waits until something may be read. All that was read before has been given, but for the beginning of a line where
    /// the reader stands `within_line`. `is_at_end` says whether nobody writes into the pipe any more: then the little
    /// that is left in it is read, so that its end is seen.
    pub fn wait(&self, within_line: bool, is_at_end: impl Fn() -> bool) {
        let mut state = self.0.lock();
        while !(state.is_over
            || self.0.may_read(&state, within_line)
            || state.is_held && (state.is_ending || is_at_end()))
        {
            let waited = self.0.changed.wait_timeout(state, LOOK_AGAIN);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a read may begin now, behind a wait for the input; how many bytes it may take. One that is held back within
    /// a line goes on byte by byte, to stop where the line ends.
    pub fn start(&self, within_line: bool, is_at_end: impl Fn() -> bool) -> Option<usize> {
        let state = self.0.lock();
        if state.is_held && is_at_end() {
            return Some(usize::MAX);
        }
        let left = if state.is_held { 0 } else { self.0.most_bytes.saturating_sub(state.bytes) };
        self.0.may_read(&state, within_line).then_some(left.max(1))
    }

    /// Whether the reader is to close its input now instead of waiting for more: whoever writes into it then hears that
    /// nobody reads. `has_input` says whether something can be read at once.
    pub fn is_over(&self, within_line: bool, has_input: impl Fn() -> bool) -> bool {
        let state = self.0.lock();
        state.is_over || (state.is_ending && !within_line && (state.is_held || !has_input()))
    }

    /// The reader is about to give so many lines, of so many bytes together.
    pub fn gave(&self, lines: usize, bytes: usize) {
        let mut state = self.0.lock();
        state.lines += lines;
        state.bytes += bytes;
    }
}

#[cfg(feature = "sqlite")]
impl ReadAhead {
    /// So many of the lines given are on disk, or somebody else's matter.
    pub(super) fn kept(&self, lines: usize, bytes: usize) {
        let mut state = self.0.lock();
        state.lines = state.lines.saturating_sub(lines);
        state.bytes = state.bytes.saturating_sub(bytes);
        drop(state);
        self.0.changed.notify_all();
    }

    /// How many bytes of lines may be read ahead.
    pub(super) fn most_bytes(&self) -> usize {
        self.0.most_bytes
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

    const fn may_read(&self, state: &State, within_line: bool) -> bool {
        within_line || (!state.is_held && state.lines < MOST_LINES && state.bytes < self.most_bytes)
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;

    const OPEN: fn() -> bool = || false;
    const BYTES: usize = 1_000;

    #[test]
    fn a_reader_that_is_held_ends_its_line_and_no_more() {
        let ahead = ReadAhead::new(BYTES);
        ahead.wait(false, OPEN);
        assert_eq!(ahead.start(false, OPEN), Some(BYTES));
        ahead.hold();
        ahead.wait(true, OPEN);
        assert_eq!(ahead.start(true, OPEN), Some(1));
        assert_eq!(ahead.start(false, OPEN), None);
        // Where nobody writes any more, what is left is read.
        assert_eq!(ahead.start(false, || true), Some(usize::MAX));
        let reader = std::thread::spawn({
            let ahead = ahead.clone();
            move || ahead.wait(false, OPEN)
        });
        ahead.release();
        reader.join().unwrap();
        assert_eq!(ahead.start(false, OPEN), Some(BYTES));
    }

    #[test]
    fn reader_that_is_to_end_reads_what_is_there_and_no_more() {
        let ahead = ReadAhead::new(BYTES);
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
        let ahead = ReadAhead::new(BYTES);
        ahead.gave(MOST_LINES, 0);
        assert_eq!(ahead.start(false, OPEN), None);
        ahead.kept(MOST_LINES, 0);
        assert_eq!(ahead.start(false, OPEN), Some(BYTES));
        // Few long lines are as much as many short ones.
        ahead.gave(1, BYTES - 10);
        assert_eq!(ahead.start(false, OPEN), Some(10));
        ahead.gave(1, 300);
        assert_eq!((ahead.start(false, OPEN), ahead.start(true, OPEN)), (None, Some(1)));
        ahead.kept(1, BYTES);
        assert_eq!(ahead.start(false, OPEN), Some(BYTES - 290));
    }
}
