//! A stream through the spool: what is read is on disk before anything else happens to it.
//!
//! ```text
//! intake ─► taker: thresholds ─► spool ─► feeder ─► Pipeline: lanes ─► workers ─► retry ─► breaker ─► time limit ─► sink
//!             └─ refused lines ─► dead letters ◄────── settlements ◄─────┘
//! ```
//!
//! The taker goes on while the destination is down, for as long as the spool has room; then it stops reading, and
//! whoever writes into our pipe waits. The feeder hands out what waits, this run's events and those of earlier ones,
//! in their order.
//!
//! **Shutdown**, in this order:
//! 1. The taker ends: by the end of the input, or two seconds after [`Stop::finish`], when what can be read at once is read
//!    and the input is closed. What it took is on disk.
//! 2. The feeder hands out what is left; the pipeline ends as over files (see [`Pipeline`]).
//! 3. Settlements and the breaker's state are written; what was not delivered waits for the next run.

mod feeder;
mod taker;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use self::feeder::Feeder;
use self::taker::{Taker, Takings};
use super::feed::READ_AHEAD;
use super::intake::{AttemptHistory, Intake, RefusedLine, Taken};
use super::pipeline::{Keeper, Pipeline, PipelineError, Progress, Stop};
use super::report::Report;
use crate::circuit_breaker::{BreakerRecord, CircuitBreaker};
use crate::spool::Spool;
use crate::transport::Failure;

/// How many events may be on their way from the spool to the pipeline; of long ones fewer.
const FED_AHEAD: usize = READ_AHEAD;

/// What the parts tell each other.
#[derive(Debug, Default, Clone)]
struct Signals {
    /// Something new is in the spool.
    taken: Arc<Notify>,
    /// Something was delivered, so that there is more room in the spool.
    settled: Arc<Notify>,
    /// Nothing more will be taken.
    draining: CancellationToken,
    /// The pipeline has ended.
    over: CancellationToken,
    /// A part can't go on.
    broken: CancellationToken,
}

/// Publishes what comes out of `intake`, and what waits in `spool` already, through the spool: until the intake has
/// ended and everything is settled, or until `stop`. The pipeline's options should have
/// [`spooled`](super::PipelineOptions::spooled) set.
///
/// `letters` is given each dead letter too, beside the spool's own table. `breaker` is the delivery's, whose state is
/// kept for later runs.
///
/// # Errors
/// When the spool can't be used any more. What was taken is on disk.
pub async fn publish_through<'b>(
    spool: &Spool,
    pipeline: &Pipeline,
    breaker: Option<&CircuitBreaker>,
    intake: mpsc::Receiver<Intake>,
    letters: &'b mut (dyn Keeper + 'b),
    progress: &mut dyn Progress,
    stop: Stop,
) -> Result<Report, PipelineError> {
    let signals = Signals::default();
    let takings: Arc<Mutex<Takings>> = Arc::default();
    let letters = Mutex::new(letters);
    let (sender, receiver) = mpsc::channel(FED_AHEAD);

    let taker =
        Taker { spool, pipeline, breaker, letters: &letters, takings: &takings, signals: &signals, stop: &stop };
    let feeder = Feeder { spool, clock: pipeline.delivery().clock(), patience: pipeline.options().drain_timeout };
    let abort = stop.abort.child_token();
    let pipeline_stop = Stop { finish: stop.finish.clone(), abort: abort.clone(), draining: signals.draining.clone() };
    let mut keeper = SpoolKeeper { spool, letters: &letters, settled: &signals.settled };
    let mut watched = Watched { inner: progress, takings: &takings, breaker, saved: spool.breaker().clone(), spool };

    let delivering = async {
        let report = pipeline.run(receiver, &mut keeper, &mut watched, pipeline_stop).await;
        signals.over.cancel();
        report
    };
    let guard = async {
        tokio::select! {
            () = signals.broken.cancelled() => abort.cancel(),
            () = signals.over.cancelled() => {}
        }
    };
    let (taken, fed, report, ()) = tokio::join!(taker.run(intake), feeder.run(sender, &signals), delivering, guard);

    if let Some(breaker) = breaker {
        spool.save_breaker(breaker.record());
    }
    let flushed = spool.flush().await;
    let tally = spool.tally().await;
    let ended = spool.end().await;
    taken?;
    fed?;
    let mut report = report?;
    flushed?;
    ended?;
    let tally = tally?;

    takings.lock().unwrap_or_else(PoisonError::into_inner).add_to(&mut report);
    report.spool = Some(spool.path().to_owned());
    report.delivered += tally.delivered_elsewhere;
    report.dead += tally.dead_elsewhere;
    report.undelivered = tally.own_waiting;
    report.resumed.waiting = tally.other_waiting;
    report.resumed.dead += tally.other_dead;
    if report.waiting() == 0 {
        report.reason = None;
    }
    let incomplete = spool.damages().into_iter().filter(|damage| !damage.complete);
    report.errors.extend(incomplete.map(|damage| damage.to_string()));
    Ok(report)
}

/// Settles in the spool what the pipeline is done with.
struct SpoolKeeper<'a, 'b> {
    spool: &'a Spool,
    letters: &'a Mutex<&'b mut (dyn Keeper + 'b)>,
    settled: &'a Notify,
}

impl Keeper for SpoolKeeper<'_, '_> {
    fn refused(&mut self, line: &RefusedLine) -> io::Result<()> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).refused(line)
    }

    fn delivered(&mut self, event: &Taken) {
        if let Some(ticket) = event.ticket {
            self.spool.delivered(ticket.seq, event.encoded.id());
            self.settled.notify_one();
        }
    }

    fn remember(&mut self, event: &Taken) {
        if let Some(ticket) = event.ticket {
            let AttemptHistory { refusals, unanswered } = event.history;
            self.spool.remember(ticket.seq, event.encoded.id(), refusals, unanswered);
        }
    }

    fn dead(&mut self, event: &Taken, failure: &Failure, tries: u64) -> io::Result<()> {
        if let Some(ticket) = event.ticket {
            self.spool.dead(ticket.seq, event.encoded.id(), failure.message.clone(), tries);
            self.settled.notify_one();
        }
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).dead(event, failure, tries)
    }

    /// It is in the spool.
    fn undelivered(&mut self, _: &Taken, _: &str) -> io::Result<()> {
        Ok(())
    }
}

/// Completes the figures on their way to whoever watches, and keeps the breaker's state when it changes.
struct Watched<'a> {
    inner: &'a mut dyn Progress,
    takings: &'a Mutex<Takings>,
    breaker: Option<&'a CircuitBreaker>,
    saved: BreakerRecord,
    spool: &'a Spool,
}

impl Progress for Watched<'_> {
    fn update(&mut self, report: &Report) {
        let mut report = report.clone();
        self.takings.lock().unwrap_or_else(PoisonError::into_inner).add_to(&mut report);
        self.inner.update(&report);
        let Some(breaker) = self.breaker else { return };
        let now = breaker.record();
        // The time that is left is rounded; only a change of state is worth a write.
        let differs = now.failures != self.saved.failures
            || now.open_until_ms.is_some() != self.saved.open_until_ms.is_some()
            || now.open_until_ms.zip(self.saved.open_until_ms).is_some_and(|(one, other)| one > other + 1_000);
        if differs {
            self.spool.save_breaker(now.clone());
            self.saved = now;
        }
    }
}
