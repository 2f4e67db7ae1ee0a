//! Calls that may never return: they run on a thread of their own, which is given up where it is late.
//!
//! A thread that waits in the kernel can't be ended. So it is left alone until it returns by itself, and the next call
//! has another one. Whoever made the late call holds what is left of it ([`LateCall`]) and makes no further one until it
//! is over: one file that hangs costs one thread, and its own figures alone.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a call is waited for. The kernel answers in microseconds, but the thread needs a CPU for it, and on a busy
/// machine a figure must not count as unknown for want of one. Who hangs costs this once.
const LIMIT: Duration = Duration::from_millis(500);
/// Threads that may be late at once; beyond that no further calls are made.
const MAX_LATE: usize = 8;

type Call<T> = Box<dyn FnOnce() -> T + Send>;

/// Makes calls with a limit of time. The thread is started by the first call.
pub(super) struct TimedCalls<T> {
    worker: Option<Worker<T>>,
    /// Each late call has a part of this.
    late: Arc<()>,
}

struct Worker<T> {
    calls: SyncSender<Call<T>>,
    results: Receiver<T>,
    thread: JoinHandle<()>,
}

/// A call that did not return in time.
pub(super) struct LateCall {
    thread: JoinHandle<()>,
    _late: Arc<()>,
}

/// What became of a call.
pub(super) enum TimedResult<T> {
    /// It returned.
    InTime(T),
    /// It did not return in time.
    Late(LateCall),
    /// It could not be made: too many are late, or no thread can be started.
    NotMade(io::Error),
}

impl<T> Default for TimedCalls<T> {
    fn default() -> Self {
        Self { worker: None, late: Arc::default() }
    }
}

impl<T: Send + 'static> TimedCalls<T> {
    /// Makes a call, and waits for it as long as one may take.
    pub(super) fn call(&mut self, call: impl FnOnce() -> T + Send + 'static) -> TimedResult<T> {
        let worker = match self.worker.take().map_or_else(|| self.start(), Ok) {
            Ok(worker) => worker,
            Err(error) => return TimedResult::NotMade(error),
        };
        let ended = || TimedResult::NotMade(io::Error::other("the thread for it ended"));
        if worker.calls.send(Box::new(call)).is_err() {
            return ended();
        }
        match worker.results.recv_timeout(LIMIT) {
            Ok(result) => {
                self.worker = Some(worker);
                TimedResult::InTime(result)
            }
            Err(RecvTimeoutError::Timeout) => {
                TimedResult::Late(LateCall { thread: worker.thread, _late: Arc::clone(&self.late) })
            }
            Err(RecvTimeoutError::Disconnected) => ended(),
        }
    }

    fn start(&self) -> io::Result<Worker<T>> {
        if Arc::strong_count(&self.late) > MAX_LATE {
            return Err(io::Error::other(format!("{MAX_LATE} other files do not answer")));
        }
        let (calls, made) = sync_channel::<Call<T>>(1);
        let (answer, results) = sync_channel(1);
        let run = move || {
            for call in made {
                if answer.send(call()).is_err() {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new().name("timed".to_owned()).spawn(run)?;
        Ok(Worker { calls, results, thread })
    }
}

impl LateCall {
    /// Whether it returned after all.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

impl<T> std::fmt::Debug for TimedCalls<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TimedCalls").field("late", &(Arc::strong_count(&self.late) - 1)).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for LateCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LateCall").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn calls_that_hang_cost_themselves_alone_and_are_bounded() {
        let mut calls = TimedCalls::default();
        assert!(matches!(calls.call(|| 1), TimedResult::InTime(1)));
        let (release, held) = channel::<()>();
        let TimedResult::Late(late) = calls.call(move || held.recv().map_or(0, |()| 2)) else { panic!("it hangs") };
        assert!(!late.is_over());
        assert!(matches!(calls.call(|| 3), TimedResult::InTime(3)), "others go on");
        release.send(()).unwrap();
        while !late.is_over() {
            std::thread::yield_now();
        }
        let (hold, held) = channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let mut stuck = Vec::new();
        for _ in 1..MAX_LATE {
            let held = Arc::clone(&held);
            let TimedResult::Late(late) = calls.call(move || held.lock().map_or(0, |it| it.recv().map_or(0, |()| 0)))
            else {
                panic!("it hangs")
            };
            stuck.push(late);
        }
        stuck.push(late);
        assert!(matches!(calls.call(|| 4), TimedResult::NotMade(_)));
        stuck.pop();
        assert!(matches!(calls.call(|| 5), TimedResult::InTime(5)));
        drop(hold);
    }
}
