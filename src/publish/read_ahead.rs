//! How far the reader of a pipe may be ahead of the spool. A line leaves the pipe when it is read: if the process is killed
//! before the line is on disk, it is lost, and nobody can publish it again.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// The reader reads no more while this many lines were read and are not in the spool yet.
pub(super) const MOST_LINES: usize = 2_048;
/// How often a reader that is held back looks whether the writers are gone.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Holds the reader of a pipe back while the spool is full, and bounds what it reads ahead. Clones are the same.
///
/// Before each read the reader calls [`ReadAhead::wait`] and then [`ReadAhead::start`]; before it passes lines on, it
/// counts them with [`ReadAhead::gave`].
#[derive(Debug, Clone, Default)]
pub struct ReadAhead(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    paused: Notify,
}

#[derive(Debug, Default)]
struct State {
    is_held: bool,
    /// The reader has, or is about to have, something that it has not given yet.
    has_something: bool,
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
        state.has_something = within_line;
        self.0.paused.notify_waiters();
        while !(state.may_read(within_line) || state.is_held && is_at_end()) {
            let waited = self.0.changed.wait_timeout(state, LOOK_AGAIN);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a read may begin now, behind a wait for the input; how much it may take.
    pub fn start(&self, within_line: bool, is_at_end: impl Fn() -> bool) -> Option<ReadSize> {
        let mut state = self.0.lock();
        let at_end = state.is_held && is_at_end();
        if !state.may_read(within_line) && !at_end {
            return None;
        }
        state.has_something = true;
        Some(if state.is_held && !at_end { ReadSize::OneByte } else { ReadSize::Any })
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
    }

    /// Reading may go on.
    pub(super) fn release(&self) {
        self.0.lock().is_held = false;
        self.0.changed.notify_all();
    }

    pub(super) fn is_held(&self) -> bool {
        self.0.lock().is_held
    }

    /// Resolves when the reader, which is held, has given all that it read.
    pub(super) async fn paused(&self) {
        loop {
            let paused = self.0.paused.notified();
            if !self.0.lock().has_something {
                return;
            }
            paused.await;
        }
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

    #[tokio::test]
    async fn a_reader_that_is_held_ends_its_line_and_no_more() {
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
        ahead.paused().await;
        ahead.release();
        reader.join().unwrap();
        assert_eq!(ahead.start(false, OPEN), Some(ReadSize::Any));
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
