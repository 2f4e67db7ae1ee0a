//! The way of a stream: the chain, and the order in which it shuts down.
//!
//! ```text
//! intake ─► thresholds ─► lanes (order per instance) ─► workers ─► Delivery: retry ─► breaker ─► time limit ─► sink
//!    └─ refused lines ─► keeper ◄─ dead letters, what is left undelivered ─┘
//! ```
//!
//! Backpressure is the bounded channel in front of [`Pipeline::run`] and the bound on what waits in the lanes: while
//! the destination is down nothing more is read. An event that the service fails stays at the head of its lane and is
//! tried again after a pause, for as long as the run may last. Where it alone is refused, by name or as if the destination
//! were set up wrong, what waits behind it does not count as held, up to the bound in bytes: the events of others come
//! behind it, and it takes them to tell an event that nobody wants from a destination that takes nothing.
//!
//! **Shutdown**, in this order:
//! 1. The intake ends: by its own end, or two seconds after [`Stop::finish`] was asked for.
//! 2. What is in the lanes is delivered, for as long as it advances: without an event delivered or judged for
//!    `drain_timeout` (and, once asked to finish, after `drain_timeout` in all) the run gives up. It gives up at once
//!    where the breaker stays open for longer than that, where the destination is set up wrong (it refuses everything),
//!    where only events are left that it refuses while it took others, or where [`Stop::abort`] says so.
//! 3. Attempts under way are dropped; their events count as undelivered.
//! 4. What is left goes to the keeper.
//! 5. The sink is closed.

mod patience;
mod refusals;
mod terms;

use std::any::Any;
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Monotonic;
use crate::events::{EncodedEvent, MetricSet};
use crate::publish::delivery::{Deferral, Delivery, Ending, Outlook};
use crate::publish::intake::{Intake, Taken};
use crate::publish::lanes::Lanes;
use crate::publish::report::Report;
use crate::publish::suspects::Suspects;
use crate::publish::worker::{Round, Waiting, Worker};
use crate::threshold::{MeasuredEvent, ThresholdManager};
use crate::transport::{BoxFuture, Failure, FailureKind, Reach};

pub use terms::{Keeper, PipelineError, PipelineOptions, Progress, Stop};

/// How long what still comes in is taken after the end was asked for: whoever writes into our pipe was often asked at
/// the same moment, and has a last event to say.
pub(in crate::publish) const INTAKE_GRACE: Duration = Duration::from_secs(2);

/// How long closing the sink may take once the end was asked for.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Nothing more is read while so many batches may go at once. What is read ahead of its need by thousands of events leaves
/// the processor's cache before it is sent, and to fetch it back takes longer than to send it.
const READY: usize = 128;

/// Refused events that are held beside [`PipelineOptions::max_events`] others; each has a worker.
const MAX_REFUSED_BESIDE: usize = 1 << 15;

/// So many rounds are settled, and so many events taken, before anything else is looked at.
const AT_ONCE: usize = 64;

/// Publishes a stream of events.
#[derive(Debug)]
pub struct Pipeline {
    delivery: Delivery,
    thresholds: Option<Arc<ThresholdManager>>,
    options: PipelineOptions,
}

impl Pipeline {
    /// A pipeline to `delivery`.
    #[must_use]
    pub const fn new(delivery: Delivery, thresholds: Option<Arc<ThresholdManager>>, options: PipelineOptions) -> Self {
        Self { delivery, thresholds, options }
    }

    /// The options.
    #[must_use]
    pub const fn options(&self) -> &PipelineOptions {
        &self.options
    }

    /// The way to the destination.
    #[must_use]
    pub const fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// How many thresholds the event exceeds. Who is to be told of it is told by [`Pipeline::tell`].
    pub(in crate::publish) fn violations(&self, event: &EncodedEvent) -> u64 {
        self.thresholds.as_ref().map_or(0, |manager| {
            let not_metered = MetricSet::not_metered_in(event.body());
            manager.observe(MeasuredEvent::new(event.event(), not_metered)).len() as u64
        })
    }

    /// Tells what follows from the events since the last time. A notification that fails stops nothing.
    pub(in crate::publish) async fn tell(&self) {
        if let Some(manager) = &self.thresholds
            && let Err(error) = manager.hand_over_news().await
        {
            tracing::error!(%error, "a threshold's notification failed");
        }
    }

    /// Publishes what comes out of `intake` until that ends and everything is settled, or until `stop`. The report's
    /// books balance.
    ///
    /// # Errors
    /// When something that was not delivered could not be kept. The run then ends at once.
    pub async fn run(
        &self,
        intake: mpsc::Receiver<Intake>,
        keeper: &mut dyn Keeper,
        progress: &mut dyn Progress,
        stop: Stop,
    ) -> Result<Report, PipelineError> {
        let give_up = CancellationToken::new();
        let mut run = Run {
            pipeline: self,
            stop,
            keeper,
            lanes: Lanes::new(self.options.in_order),
            held: 0,
            bytes: 0,
            rounds: FuturesUnordered::new(),
            waiting: Waiting::default(),
            give_up: &give_up,
            report: Report::default(),
            ended: false,
            draining: false,
            last_advance: self.delivery.clock().monotonic(),
            asked_at: None,
            misdirection: None,
            suspects: Suspects::default(),
            last_refusal: None,
            last_taken: None,
            refused_instances: HashSet::new(),
        };
        let result = run.drive(intake, progress).await;
        // Whatever ended the run: no attempt goes on behind the report's back.
        run.rounds.clear();
        let Run { mut report, asked_at, .. } = run;
        report.add(self.delivery.stats());
        result?;
        // Every event has its outcome. Who asked the run to end does not wait for a server that says goodbye slowly.
        let close_time = async {
            match asked_at {
                Some(_) => self.delivery.clock().sleep(CLOSE_TIME).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            closed = self.delivery.sink().close() => report.errors.extend(closed.err().map(|failure| failure.message)),
            () = close_time => {}
        }
        report.no_longer_held = self.delivery.sink().lost_events();
        Ok(report)
    }
}

/// One run of a pipeline.
struct Run<'a> {
    pipeline: &'a Pipeline,
    stop: Stop,
    keeper: &'a mut dyn Keeper,
    lanes: Lanes,
    /// Events and bytes that are held, in lanes and under way.
    held: usize,
    bytes: usize,
    /// The workers that make attempts. Those that wait for their next round take no place of theirs: neither an event that
    /// is refused again and again nor retries hold up anybody else.
    rounds: FuturesUnordered<BoxFuture<'a, Ended<'a>>>,
    waiting: Waiting<'a>,
    /// Workers hand back what they hold.
    give_up: &'a CancellationToken,
    report: Report,
    /// Nothing more comes in.
    ended: bool,
    /// [`Stop::draining`] was seen.
    draining: bool,
    last_advance: Monotonic,
    /// When [`Stop::finish`] was seen.
    asked_at: Option<Monotonic>,
    /// What is wrong with the destination's set-up, as of the last attempt.
    misdirection: Option<Failure>,
    /// Events that were refused and may be to blame for it; each has a worker of its own.
    suspects: Suspects,
    /// What an event was last refused by, where it was as if the destination were set up wrong.
    last_refusal: Option<Failure>,
    /// When the destination last took something.
    last_taken: Option<Monotonic>,
    /// Instances of which an event was refused while others went through, by [`refusals::instance_key`].
    refused_instances: HashSet<u64>,
}

/// A round that came to its end, or panicked.
type Ended<'a> = Result<Round<'a>, Box<dyn Any + Send>>;

impl<'a> Run<'a> {
    async fn drive(
        &mut self,
        mut intake: mpsc::Receiver<Intake>,
        progress: &mut dyn Progress,
    ) -> Result<(), PipelineError> {
        let stop = self.stop.clone();
        let clock = self.pipeline.delivery.clock();
        loop {
            let giving_up = self.give_up.is_cancelled();
            if giving_up {
                self.keep_those_that_wait()?;
            } else {
                self.start_rounds();
            }
            if self.ended && self.rounds.is_empty() && (giving_up || self.held == 0) {
                return self.keep_the_rest();
            }
            let next_start = self.next_start().filter(|_| !giving_up);
            let left_until = |at: Monotonic| at.saturating_sub(clock.monotonic());
            let patience = self.deadline().map(left_until).filter(|_| !giving_up);
            let grace = self
                .asked_at
                .map(|at| left_until(at + INTAKE_GRACE))
                .filter(|_| self.cuts_off() && !intake.is_closed());
            // Where work never ends, nobody gets to wait for a time.
            if patience == Some(Duration::ZERO) {
                self.run_out_of_time()?;
                continue;
            }
            if grace == Some(Duration::ZERO) {
                intake.close();
                continue;
            }
            tokio::select! {
                biased;
                () = stop.abort.cancelled(), if !giving_up => self.abandon("ended at once, as asked"),
                () = stop.finish.cancelled(), if self.asked_at.is_none() => self.asked_at = Some(clock.monotonic()),
                () = stop.draining.cancelled(), if !self.draining => self.start_draining(),
                Some(round) = self.rounds.next() => self.settle_all(round)?,
                item = intake.recv(), if !self.ended && (self.wants_more() || intake.is_closed()) => match item {
                    Some(item) => self.take_all(item, &mut intake).await?,
                    None => self.end_of_intake(),
                },
                () = async { clock.sleep(next_start.unwrap_or_default()).await }, if next_start.is_some() => {}
                () = async { clock.sleep(grace.unwrap_or_default()).await }, if grace.is_some() => intake.close(),
                () = async { clock.sleep(patience.unwrap_or_default()).await }, if patience.is_some() => {
                    self.run_out_of_time()?;
                }
            }
            // What waits for the network is heard even if work never ends.
            tokio::task::consume_budget().await;
            if !self.give_up.is_cancelled() {
                self.look_at_what_is_refused()?;
            }
            if self.give_up.is_cancelled() {
                intake.close();
            } else if self.is_finite() {
                self.give_up_where_waiting_is_in_vain();
            }
            progress.update(&self.report);
        }
    }

    /// The end of the input is known or near.
    const fn is_finite(&self) -> bool {
        self.ended || self.draining || self.pipeline.options.finite
    }

    /// Whether the input is closed some time after the end was asked for.
    const fn cuts_off(&self) -> bool {
        !self.ended && !self.pipeline.options.spooled
    }

    fn has_room(&self) -> bool {
        // Nor does what is refused itself take anybody's room: a crowd of instances that nobody wants would block all.
        let refused = self.suspects.len().min(MAX_REFUSED_BESIDE);
        let others = self.held.saturating_sub(self.lanes.stuck()).saturating_sub(refused);
        others < self.pipeline.options.max_events && self.bytes < self.pipeline.options.max_bytes
    }

    /// Whether to read on: there is room, and what may go at once does not keep the workers busy anyway. While the
    /// destination is left alone, what there is room for is taken off the writer's hands; while it refuses everything,
    /// one that it takes may be further behind.
    fn wants_more(&self) -> bool {
        let delivery = &self.pipeline.delivery;
        self.has_room()
            && (self.lanes.ready() < READY.saturating_mul(delivery.sink().limits().events)
                || delivery.held_for().is_some()
                || self.suspects.may_be_everything())
    }

    /// Gives rounds to workers that have waited enough, and to new ones.
    fn start_rounds(&mut self) {
        let delivery = &self.pipeline.delivery;
        while !self.give_up.is_cancelled() && self.rounds.len() < delivery.concurrency_limit() {
            let outlook = delivery.outlook();
            if !matches!(outlook, Outlook::Free | Outlook::Trial) {
                break;
            }
            let Some(mut worker) = self.next_worker() else { break };
            worker.begin(self.suspects.begin_round());
            self.rounds.push(Box::pin(AssertUnwindSafe(worker.round()).catch_unwind()));
            if outlook == Outlook::Trial {
                // It asks the breaker once it runs; more of them would be refused.
                break;
            }
        }
    }

    fn next_worker(&mut self) -> Option<Worker<'a>> {
        let pipeline = self.pipeline;
        if !self.waiting.is_empty() {
            let now = pipeline.delivery.clock().monotonic();
            while let Some((since, mut worker)) = self.waiting.take_due(now) {
                let wait = if !since.is_zero() && self.shows_nothing(&worker) {
                    Some(worker.wait_on())
                } else if self.lanes.ready() > 0 {
                    // Those that were not tried yet show more than another refusal would.
                    worker.give_way()
                } else {
                    None
                };
                match wait {
                    Some(wait) => self.waiting.insert(worker, now.saturating_add(wait)),
                    None => return Some(worker),
                }
            }
        }
        // However many are refused again and again, others are tried.
        if self.workers().saturating_sub(self.suspects.len()) >= pipeline.options.max_workers.max(1) {
            return None;
        }
        self.look_anywhere();
        let batch = self.lanes.take(self.batch_limits())?;
        Some(Worker::new(batch, &pipeline.delivery, self.give_up))
    }

    /// How many hold a batch.
    fn workers(&self) -> usize {
        self.rounds.len() + self.waiting.len()
    }

    /// How long until a round may start that may not start now, where it is time that it waits for.
    fn next_start(&self) -> Option<Duration> {
        let delivery = &self.pipeline.delivery;
        let idle = self.waiting.is_empty() && self.lanes.ready() == 0;
        if idle || self.rounds.len() >= delivery.concurrency_limit() {
            return None;
        }
        match delivery.outlook() {
            Outlook::Held(left) => Some(left),
            // The trial's end is one of a round; if it is not ours, it is asked for again and again.
            Outlook::OnTrial => self.rounds.is_empty().then(|| delivery.retrier().config().initial_backoff),
            Outlook::Free | Outlook::Trial => {
                self.waiting.first().map(|until| until.saturating_sub(delivery.clock().monotonic()))
            }
        }
    }

    /// Workers that wait at the end hand back what they hold.
    fn keep_those_that_wait(&mut self) -> Result<(), PipelineError> {
        for worker in std::mem::take(&mut self.waiting).into_workers() {
            worker.batch.events.iter().try_for_each(|event| self.keep_undelivered(event))?;
        }
        Ok(())
    }

    /// The run ends with what is here: what was learnt before may be mended by now, so those who wait try at once.
    fn end_of_intake(&mut self) {
        self.ended = true;
        if !self.draining {
            self.start_draining();
        }
    }

    fn start_draining(&mut self) {
        self.draining = true;
        self.misdirection = None;
        self.waiting.hurry(|_| true);
        self.last_advance = self.pipeline.delivery.clock().monotonic();
    }

    /// Takes `item` and what else is there, as long as there is room.
    async fn take_all(&mut self, item: Intake, intake: &mut mpsc::Receiver<Intake>) -> Result<(), PipelineError> {
        self.take(item)?;
        for _ in 1..AT_ONCE {
            if !self.wants_more() {
                break;
            }
            let Ok(item) = intake.try_recv() else { break };
            self.take(item)?;
        }
        // What came together is told together.
        self.pipeline.tell().await;
        Ok(())
    }

    fn take(&mut self, item: Intake) -> Result<(), PipelineError> {
        match item {
            Intake::Event(event) => {
                if event.ticket.is_none() {
                    self.report.read += 1;
                    self.report.violations += self.pipeline.violations(&event.encoded);
                }
                if self.held == 0 {
                    // A quiet input is no lack of progress.
                    self.last_advance = self.pipeline.delivery.clock().monotonic();
                }
                self.held += 1;
                self.bytes += event.encoded.body().len();
                if event.history.unanswered {
                    self.pipeline.delivery.note_unanswered(&event.encoded);
                }
                self.lanes.push(*event);
            }
            Intake::Refused(line) => {
                if line.is_first_piece() {
                    self.report.read += 1;
                    self.report.refused += 1;
                }
                let kept = self.keeper.refused(&line);
                kept.map_err(|error| PipelineError::Keep { what: format!("the refused line {}", line.origin), error })?;
            }
            Intake::Broken(message) => self.report.errors.push(message),
        }
        Ok(())
    }

    /// Settles a round and those that have ended beside it; what waits takes their places at once.
    fn settle_all(&mut self, round: Ended<'a>) -> Result<(), PipelineError> {
        let before = self.settled();
        self.settle(round)?;
        for _ in 1..AT_ONCE {
            self.start_rounds();
            let Some(Some(round)) = self.rounds.next().now_or_never() else { break };
            self.settle(round)?;
        }
        if self.settled() > before {
            self.last_advance = self.pipeline.delivery.clock().monotonic();
        }
        Ok(())
    }

    /// Books what a round settled, and starts the next round for the rest of its batch.
    fn settle(&mut self, round: Ended<'a>) -> Result<(), PipelineError> {
        let Round { mut worker, endings } = match round {
            Ok(round) => round,
            Err(panic) => {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
                self.report.errors.push(format!("internal fault, please report it: {words}"));
                self.abandon("an internal fault");
                return Ok(());
            }
        };
        let mut events = std::mem::take(&mut worker.batch.events);
        let mut taken = false;
        let mut failed: Option<Failure> = None;
        // Why the first event that is left was refused, if it was: those behind it need not share its fate.
        let mut refusal: Option<Failure> = None;
        let mut endings = endings.into_iter();
        for event in events.drain(..) {
            match endings.next().flatten() {
                Some(Ending::Delivered { duplicate }) => {
                    self.release(&event);
                    if event.is_own() {
                        self.report.delivered += 1;
                        self.report.duplicates += u64::from(duplicate);
                    } else {
                        self.report.resumed.delivered += 1;
                        self.report.resumed.duplicates += u64::from(duplicate);
                    }
                    self.keeper.delivered(&event);
                    self.misdirection = None;
                    taken = true;
                }
                Some(Ending::Dead(failure)) => self.bury(&event, &failure, worker.rounds())?,
                Some(Ending::Deferred(Deferral::Failed(failure)) | Ending::Misdirected(failure)) => {
                    if worker.batch.events.is_empty() && failure.reach == Reach::Refused {
                        refusal = Some(failure.clone());
                    }
                    failed = Some(failure);
                    worker.batch.events.push(event);
                }
                Some(Ending::Deferred(Deferral::Refused(_))) | None => worker.batch.events.push(event),
            }
        }
        if taken {
            self.last_taken = Some(self.pipeline.delivery.clock().monotonic());
            self.suspects.note_taken(worker.ended_round());
            if worker.was_refused_whole() {
                self.suspects.note_proof();
            }
        }
        self.remember_unanswered(&mut worker.batch);
        if let Some(failure) = failed {
            worker.note_failure();
            if let Some(refusal) = refusal {
                self.note_refused(&mut worker, &refusal)?;
            } else {
                self.clear_suspicion(&mut worker);
                self.note_failure(&failure);
            }
        }
        if worker.batch.events.is_empty() {
            self.clear_suspicion(&mut worker);
            worker.batch.events = events;
            self.lanes.release(worker.batch);
        } else if self.give_up.is_cancelled() {
            worker.batch.events.iter().try_for_each(|event| self.keep_undelivered(event))?;
        } else {
            self.wait_for_next_round(worker);
        }
        Ok(())
    }

    fn wait_for_next_round(&mut self, mut worker: Worker<'a>) {
        let wait = worker.wait();
        let until = if wait.is_zero() { Monotonic::ZERO } else { self.pipeline.delivery.clock().monotonic() + wait };
        self.waiting.insert(worker, until);
    }

    /// Events delivered in this run, whoever took them.
    const fn delivered(&self) -> u64 {
        self.report.delivered + self.report.resumed.delivered
    }

    /// Events that this run is done with: the destination took or judged them.
    const fn settled(&self) -> u64 {
        self.delivered() + self.report.dead + self.report.resumed.dead
    }

    /// What comes in while the run gives up says less than why it does.
    fn note_reason(&mut self, failure: &Failure) {
        if !self.give_up.is_cancelled() {
            self.report.reason = Some(failure.message.clone());
        }
    }

    fn note_failure(&mut self, failure: &Failure) {
        self.note_reason(failure);
        if failure.kind == FailureKind::Destination {
            let is_known = self.misdirection.as_ref().is_some_and(|known| known.is_same_fault(failure));
            // A run that ends because of it says so at its end.
            if !is_known && !self.is_finite() && !self.pipeline.options.input_ends {
                tracing::error!(%failure, "the destination is set up wrong; events are held until it is mended");
            }
            self.misdirection = Some(failure.clone());
        }
    }

    fn abandon(&mut self, reason: &str) {
        if self.give_up.is_cancelled() {
            return;
        }
        let cause = self.pipeline.delivery.last_failure().filter(|cause| cause != reason);
        self.report.reason = Some(cause.map_or_else(|| reason.to_owned(), |cause| format!("{reason}: {cause}")));
        self.give_up.cancel();
    }

    fn release(&mut self, event: &Taken) {
        self.held = self.held.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(event.encoded.body().len());
    }

    fn bury(&mut self, event: &Taken, failure: &Failure, tries: u64) -> Result<(), PipelineError> {
        self.release(event);
        if event.is_own() {
            self.report.dead += 1;
        } else {
            self.report.resumed.dead += 1;
        }
        let kept = self.keeper.dead(event, failure, tries);
        kept.map_err(|error| PipelineError::Keep { what: format!("the dead letter {}", event.origin), error })
    }

    fn keep_undelivered(&mut self, event: &Taken) -> Result<(), PipelineError> {
        self.release(event);
        self.report.undelivered += 1;
        let reason = self.report.reason.as_deref().unwrap_or("the run ended");
        let kept = self.keeper.undelivered(event, reason);
        kept.map_err(|error| PipelineError::Keep { what: format!("the undelivered event {}", event.origin), error })
    }

    fn keep_the_rest(&mut self) -> Result<(), PipelineError> {
        let rest: Vec<Taken> = self.lanes.drain().collect();
        rest.iter().try_for_each(|event| self.keep_undelivered(event))?;
        if self.report.undelivered == 0 {
            self.report.reason = None;
        }
        Ok(())
    }
}
