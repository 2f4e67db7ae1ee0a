//! Readings that may hang: of drivers, of file systems on other machines. Each has a thread of its own, and whoever
//! asks waits for a moment only.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::clock::Monotonic;

/// How long a look waits for an answer.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long an answer stands for the next ones.
pub(super) const STANDS_FOR: Duration = Duration::from_secs(15);

/// Something that is read in a thread of its own. The thread ends when this is dropped, or when it gets unstuck after.
pub(super) struct Guarded<T> {
    ask: SyncSender<()>,
    answers: Receiver<T>,
    /// Since when a question is open.
    open: Option<Monotonic>,
    /// An answer came late, or none came yet: the next one is not waited for.
    late: bool,
    last: Option<(Monotonic, T)>,
}

/// What is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer<T> {
    /// As of now, or of a moment ago.
    Known(T),
    /// Nothing yet; it may still come.
    Waiting,
    /// There was no answer for too long.
    Stuck,
    /// There is nothing to be read.
    Never,
}

impl<T: Clone + Send + 'static> Guarded<T> {
    /// `make` runs in the new thread, and makes what reads. `None` ends it: there is nothing to be read.
    pub(super) fn new<R: FnMut() -> T>(name: &str, make: impl FnOnce() -> Option<R> + Send + 'static) -> Self {
        let (ask, questions) = sync_channel::<()>(1);
        let (answer, answers) = sync_channel(1);
        let run = move || {
            let Some(mut read) = make() else { return };
            while questions.recv().is_ok() && answer.send(read()).is_ok() {}
        };
        if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(run) {
            // Its ends of the channels are gone with it: there will be no answers.
            tracing::warn!(%error, name, "no thread can be started for it; it is not metered");
        }
        Self { ask, answers, open: None, late: true, last: None }
    }

    /// Asks, and waits for a moment where answers came in time so far.
    pub(super) fn ask(&mut self, at: Monotonic) -> Answer<T> {
        if self.open.is_none() {
            match self.ask.try_send(()) {
                Ok(()) | Err(TrySendError::Full(())) => self.open = Some(at),
                Err(TrySendError::Disconnected(())) => return Answer::Never,
            }
        }
        match self.answers.recv_timeout(if self.late { Duration::ZERO } else { PATIENCE }) {
            Ok(value) => {
                self.last = Some((at, value));
                self.late = false;
                self.open = None;
            }
            Err(RecvTimeoutError::Timeout) => self.late = true,
            Err(RecvTimeoutError::Disconnected) => return Answer::Never,
        }
        match (&self.last, self.open) {
            (Some((when, value)), _) if at <= when.saturating_add(STANDS_FOR) => Answer::Known(value.clone()),
            (_, Some(asked)) if at > asked.saturating_add(STANDS_FOR) => Answer::Stuck,
            _ => Answer::Waiting,
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("last", &self.last).field("late", &self.late).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn seconds(n: u64) -> Monotonic {
        Duration::from_secs(n)
    }

    /// Asks until there is an answer, for as long as a busy machine may need.
    fn until_known<T: Clone + Send + 'static>(guarded: &mut Guarded<T>, at: Monotonic) -> Answer<T> {
        loop {
            match guarded.ask(at) {
                Answer::Waiting => std::thread::yield_now(),
                answer => return answer,
            }
        }
    }

    #[test]
    fn a_reader_that_hangs_holds_nobody_up() {
        let (release, held) = channel::<u32>();
        let mut guarded = Guarded::new("test", move || Some(move || held.recv().unwrap_or(0)));
        assert_eq!(guarded.ask(seconds(0)), Answer::Waiting);
        release.send(1).unwrap();
        assert_eq!(until_known(&mut guarded, seconds(1)), Answer::Known(1));
        // Now it hangs: the last answer stands for a while.
        assert_eq!(guarded.ask(seconds(2)), Answer::Known(1));
        assert_eq!(guarded.ask(seconds(16)), Answer::Known(1));
        assert_eq!(guarded.ask(seconds(18)), Answer::Stuck);
        // And comes back.
        release.send(2).unwrap();
        let back = loop {
            match guarded.ask(seconds(19)) {
                Answer::Stuck => std::thread::yield_now(),
                answer => break answer,
            }
        };
        assert_eq!(back, Answer::Known(2));
    }

    #[test]
    fn what_is_not_there_costs_nothing() {
        let mut guarded = Guarded::new("test", || None::<fn() -> u32>);
        assert_eq!(until_known(&mut guarded, seconds(0)), Answer::Never);
        assert_eq!(guarded.ask(seconds(100)), Answer::Never);
    }
}
