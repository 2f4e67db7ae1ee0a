//! One step of a probe: its name, how it went, what to do about it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::certificate::TlsFacts;
use super::quote::mask_quotes;
use crate::clock::{Clock, Monotonic};
use crate::transport::BoxFuture;

/// How long a look beside the steps may take.
const GLANCE: Duration = Duration::from_secs(2);

/// What is looked at, in the order in which it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Step {
    /// The name resolves to addresses.
    Name,
    /// A TCP connection is accepted.
    Tcp,
    /// TLS is spoken, with a certificate that is trusted, in time and made out to the name.
    Tls,
    /// HTTP is spoken.
    Http,
    /// NATS is spoken.
    Nats,
    /// The service calls itself healthy.
    Health,
    /// It is the service that the URL says.
    Protocol,
    /// The caller may use it.
    Permission,
    /// A NATS server has JetStream.
    JetStream,
    /// The stream exists and takes the subject.
    Stream,
    /// Its clock and ours agree.
    Clock,
    /// The file, or the folder that it would be made in, is there.
    File,
    /// The file is one of ours.
    Store,
    /// A probe was written.
    Write,
    /// The probe was read back.
    Read,
}

impl Step {
    /// Its name, as JSON and the table have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Nats => "nats",
            Self::Health => "health",
            Self::Protocol => "protocol",
            Self::Permission => "permission",
            Self::JetStream => "jetstream",
            Self::Stream => "stream",
            Self::Clock => "clock",
            Self::File => "file",
            Self::Store => "store",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a step went. Ordered: over several rounds the gravest stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not tried, for the reason given.
    Skipped,
    /// It works, and somebody should look soon.
    Warning,
    /// It does not work. The steps behind it were not tried.
    Failed,
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What was found.
    pub found: String,
    /// What was expected in its place.
    pub expected: String,
    /// What to do.
    pub fix: String,
}

impl Problem {
    pub(super) fn new(found: impl Into<String>, expected: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { found: found.into(), expected: expected.into(), fix: fix.into() }
    }
}

/// A step in one round.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) step: Step,
    pub(super) status: Status,
    pub(super) elapsed: Option<Duration>,
    pub(super) detail: String,
    pub(super) problem: Option<Problem>,
    pub(super) tls: Option<TlsFacts>,
    /// Seconds that the other side's clock is ahead of ours.
    pub(super) clock_difference: Option<f64>,
}

impl Taken {
    /// Masks `secrets`, the longest first, in what the other side said.
    pub(super) fn mask_quotes(&mut self, secrets: &[&str]) {
        mask_quotes(&mut self.detail, secrets);
        if let Some(Problem { found, expected, fix }) = &mut self.problem {
            [found, expected, fix].into_iter().for_each(|text| mask_quotes(text, secrets));
        }
    }
}

/// A step failed, and is on the trail: those behind it can't be tried.
#[derive(Debug)]
pub(super) struct Stopped;

/// The steps of one round at one address, as they are taken.
#[derive(Debug)]
pub(super) struct Trail<'a> {
    pub(super) clock: &'a dyn Clock,
    pub(super) timeout: Duration,
    pub(super) taken: Vec<Taken>,
}

/// How long something took, and its result unless the time limit came first.
pub(super) struct Measured<T> {
    pub(super) elapsed: Duration,
    pub(super) result: Option<T>,
}

impl<'a> Trail<'a> {
    pub(super) fn new(clock: &'a dyn Clock, timeout: Duration) -> Self {
        Self { clock, timeout, taken: Vec::new() }
    }

    /// Runs `future` for as long as a step may take.
    pub(super) async fn measure<T>(&self, future: impl Future<Output = T>) -> Measured<T> {
        let started: Monotonic = self.clock.monotonic();
        let result = within(self.clock, self.timeout, future).await;
        Measured { elapsed: self.clock.monotonic().saturating_sub(started), result }
    }

    /// The same for a look beside the steps, which tells one failure from another.
    pub(super) async fn glance<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        within(self.clock, self.timeout.min(GLANCE), future).await
    }

    /// The time limit as people read it.
    pub(super) fn limit(&self) -> String {
        format!("{:?}", self.timeout)
    }

    pub(super) fn ok(&mut self, step: Step, elapsed: Duration, detail: impl Into<String>) -> &mut Taken {
        self.push(step, Status::Ok, Some(elapsed), detail.into(), None)
    }

    pub(super) fn skip(&mut self, step: Step, why: impl Into<String>) {
        self.push(step, Status::Skipped, None, why.into(), None);
    }

    pub(super) fn warn(&mut self, step: Step, elapsed: Duration, problem: Problem) -> &mut Taken {
        self.push(step, Status::Warning, Some(elapsed), problem.found.clone(), Some(problem))
    }

    /// Notes the failure, and gives what the caller returns.
    pub(super) fn fail(&mut self, step: Step, elapsed: Duration, problem: Problem) -> Stopped {
        self.push(step, Status::Failed, Some(elapsed), problem.found.clone(), Some(problem));
        Stopped
    }

    fn push(
        &mut self,
        step: Step,
        status: Status,
        elapsed: Option<Duration>,
        detail: String,
        problem: Option<Problem>,
    ) -> &mut Taken {
        // What comes out later about a step seen before (a write that is forbidden) replaces what was thought of it.
        self.taken.retain(|taken| taken.step != step);
        self.taken.push(Taken { step, status, elapsed, detail, problem, tls: None, clock_difference: None });
        let last = self.taken.len() - 1;
        &mut self.taken[last]
    }
}

/// What `future` gives, unless `limit` passes first.
pub(super) async fn within<T>(clock: &dyn Clock, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let late: BoxFuture<'_, ()> = clock.sleep(limit);
    // Outside of the task's budget: a server that always has more to say uses it up, and the timer would never fire.
    let late = tokio::task::unconstrained(late);
    tokio::select! {
        biased;
        value = future => Some(value),
        () = late => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn time_limit_holds_where_work_never_runs_out() {
        // As a connection on which there is always something to read.
        let busy = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        let limited = within(&SystemClock, Duration::from_millis(10), busy);
        assert_eq!(tokio::time::timeout(Duration::from_secs(30), limited).await, Ok(None::<()>));
    }
}
