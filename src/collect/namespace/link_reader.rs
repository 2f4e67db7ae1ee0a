//! The thread that enters network namespaces to list their interfaces.
//!
//! A thread is in one network namespace, and this one goes into those that it is asked for and home again, since it would
//! keep a namespace whose processes ended. It may be held up, by locks that all namespaces share: whoever asks waits for a
//! moment, and is answered later.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::links::{Listed, add_ages, interfaces_of};
use crate::clock::{Clock as _, Monotonic, SystemClock};

/// How long a sample waits for an answer, as long as answers come in time,
const PATIENCE: Duration = Duration::from_millis(100);
/// and for all answers together: whoever makes namespaces without end must not hold up the others.
const PATIENCE_OF_A_SAMPLE: Duration = Duration::from_millis(500);
/// Questions that wait; who finds the queue full asks at the next sample.
const QUESTIONS: usize = 256;

/// The answer to come.
pub(super) type Pending = Receiver<io::Result<Listed>>;

#[derive(Debug)]
struct Question {
    namespace: File,
    others: Vec<OwnedFd>,
    wants_ages: bool,
    answer: SyncSender<io::Result<Listed>>,
}

/// Asks the thread, which is started by the first question.
#[derive(Debug, Default)]
pub(super) struct LinkReader {
    questions: Option<SyncSender<Question>>,
    /// The last answer was late: the next one is not waited for.
    late: bool,
    /// The sample that was waited in last, and how much longer it may wait.
    sample: (Monotonic, Duration),
}

impl LinkReader {
    /// Asks for the interfaces of a namespace; `others` are the instance's other ones. With `wants_ages`, also for how old
    /// they are. `None` where it can't be asked now.
    pub(super) fn ask(&mut self, namespace: File, others: Vec<OwnedFd>, wants_ages: bool) -> Option<Pending> {
        if self.questions.is_none() {
            self.questions = start().inspect_err(|error| tracing::debug!(%error, "no thread")).ok();
        }
        let (answer, pending) = sync_channel(1);
        self.questions.as_ref()?.try_send(Question { namespace, others, wants_ages, answer }).ok().map(|()| pending)
    }

    /// The answer, if it has come or comes within a moment of the sample at `at`.
    pub(super) fn answer(&mut self, pending: &Pending, at: Monotonic) -> Option<io::Result<Listed>> {
        if self.sample.0 != at {
            self.sample = (at, PATIENCE_OF_A_SAMPLE);
        }
        let answer = if self.late || self.sample.1.is_zero() {
            pending.try_recv().map_err(|error| error == TryRecvError::Disconnected)
        } else {
            let began = SystemClock.monotonic();
            let answer = pending.recv_timeout(PATIENCE.min(self.sample.1));
            self.sample.1 = self.sample.1.saturating_sub(SystemClock.monotonic().saturating_sub(began));
            answer.map_err(|error| error == RecvTimeoutError::Disconnected)
        };
        match answer {
            Ok(answer) => {
                self.late = false;
                Some(answer)
            }
            Err(true) => Some(Err(io::Error::other("the thread that lists interfaces ended"))),
            Err(false) => {
                self.late = true;
                None
            }
        }
    }
}

fn start() -> io::Result<SyncSender<Question>> {
    let (ask, questions) = sync_channel::<Question>(QUESTIONS);
    std::thread::Builder::new().name("links".to_owned()).spawn(move || {
        let home = File::open("/proc/thread-self/ns/net");
        let outside = [home.as_ref().ok().and_then(|home| home.try_clone().ok()), File::open("/proc/1/ns/net").ok()];
        let outside: Vec<OwnedFd> = outside.into_iter().flatten().map(OwnedFd::from).collect();
        for Question { namespace, others, wants_ages, answer } in questions {
            let mut found = interfaces_of(namespace.as_fd(), &others, &outside);
            if let Ok(home) = &home {
                // Where that fails, it was not entered either.
                let _ = move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network));
                if let (true, Ok(listed)) = (wants_ages, &mut found) {
                    // Without them a cable is taken for young.
                    let _ = add_ages(&mut listed.interfaces);
                }
            }
            drop((namespace, others));
            // Whoever asked may be gone.
            let _ = answer.try_send(found);
        }
    })?;
    Ok(ask)
}
