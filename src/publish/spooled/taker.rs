//! From the input into the spool.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::Signals;
use crate::circuit_breaker::CircuitBreaker;
use crate::clock::{Clock, Monotonic};
use crate::events::LinePart;
use crate::publish::intake::{Intake, Origin, RefusedLine};
use crate::publish::pipeline::{INTAKE_GRACE, Keeper, Pipeline, Stop};
use crate::publish::read_ahead::{MOST_LINES, ReadAhead};
use crate::publish::report::{NotTaken, Report};
use crate::spool::{NewEvent, NewItem, NewLetter, Spool, SpoolError};

/// A group is committed when it has so many items,
const GROUP_ITEMS: usize = 2_048;
/// or so many bytes,
const GROUP_BYTES: usize = 1 << 20;
/// or when so much time has passed since the commit before. A lone event is committed at once.
const GROUP_TIME: Duration = Duration::from_millis(50);
/// How long a full spool is left alone while nothing is delivered.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// How often it is logged that a spool is still full, and why: nothing is metered beyond it.
const STILL_FULL_AFTER: Duration = Duration::from_secs(3_600);
/// So many bytes are kept as a dead letter of a line that is larger than the whole spool may be.
const EXCERPT_BYTES: usize = 4_096;

/// What was taken so far.
#[derive(Debug, Default)]
pub(super) struct Takings {
    read: u64,
    refused: u64,
    further_pieces: u64,
    violations: u64,
    errors: Vec<String>,
    /// What is said of the first refused line that could not be written where it was to be, and how many others there are.
    unkept: Option<(String, u64)>,
    not_taken: Option<NotTaken>,
}

impl Takings {
    /// There may be as many of these as there are lines.
    fn kept_here_alone(&mut self, message: String) {
        match &mut self.unkept {
            Some((_, others)) => *others += 1,
            None => self.unkept = Some((message, 0)),
        }
    }

    const fn add(&mut self, counts: Counts) {
        self.read += counts.lines;
        self.refused += counts.refused;
        self.further_pieces += counts.further_pieces;
    }

    pub(super) fn add_to(&self, report: &mut Report) {
        report.read += self.read;
        report.refused += self.refused;
        report.further_pieces += self.further_pieces;
        report.violations += self.violations;
        report.errors.extend(self.errors.iter().cloned());
        if let Some((first, others)) = &self.unkept {
            report.errors.push(match others {
                0 => first.clone(),
                others => format!("{first}; and so are {others} others"),
            });
        }
        report.not_taken = report.not_taken.take().or_else(|| self.not_taken.clone());
    }
}

pub(super) struct Taker<'a, 'b> {
    pub(super) spool: &'a Spool,
    pub(super) pipeline: &'a Pipeline,
    pub(super) breaker: Option<&'a CircuitBreaker>,
    pub(super) letters: &'a Mutex<&'b mut (dyn Keeper + 'b)>,
    pub(super) takings: &'a Mutex<Takings>,
    pub(super) signals: &'a Signals,
    pub(super) stop: &'a Stop,
}

impl Taker<'_, '_> {
    /// Takes until the intake ends, or until it is to.
    pub(super) async fn run(self, mut intake: mpsc::Receiver<Intake>) -> Result<(), SpoolError> {
        let ending = self.ending();
        tokio::pin!(ending);
        let result = self.take_all(&mut intake, &mut ending).await;
        intake.close();
        match &result {
            Ok(()) => {
                self.ask_for_a_trial();
                self.signals.draining.cancel();
            }
            Err(_) => self.signals.broken.cancel(),
        }
        result
    }

    /// A run without any input was started to deliver what waits, now: where an earlier run left the breaker open, one
    /// trial says whether the destination is back. (A job that brings events heeds the breaker.)
    fn ask_for_a_trial(&self) {
        let read = self.takings.lock().unwrap_or_else(PoisonError::into_inner).read;
        if let Some(breaker) = self.breaker.filter(|breaker| read == 0 && breaker.times_opened() == 0) {
            breaker.try_now();
        }
    }

    /// Resolves when nothing more is to be taken: the run is over, or some time after its end was asked for, because
    /// whoever writes into our pipe was often asked at the same moment and has a last event to say.
    async fn ending(&self) {
        tokio::select! {
            () = self.signals.over.cancelled() => {}
            () = self.stop.abort.cancelled() => {}
            () = async {
                self.stop.finish.cancelled().await;
                self.clock().sleep(INTAKE_GRACE).await;
            } => {}
        }
    }

    async fn take_all(
        &self,
        intake: &mut mpsc::Receiver<Intake>,
        ending: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<(), SpoolError> {
        let mut last_commit: Option<Monotonic> = None;
        let mut group = Vec::new();
        let held = || self.read_ahead().filter(|ahead| ahead.is_held());
        loop {
            tokio::select! {
                // First, since an input that never pauses leaves nothing else its turn.
                biased;
                () = &mut *ending => return self.take_the_rest(intake).await,
                () = self.room_is_back(), if held().is_some() => {
                    tracing::warn!("the spool takes events again: reading goes on");
                    held().inspect(|ahead| ahead.release());
                    continue;
                }
                count = intake.recv_many(&mut group, GROUP_ITEMS) => if count == 0 { return Ok(()) },
            }
            // Under a stream the commits are few and large.
            let due = last_commit.map_or(Duration::ZERO, |at| at.saturating_add(GROUP_TIME));
            while group.len() < self.group_items() && bytes_of(&group) < self.group_bytes() {
                let left = due.saturating_sub(self.clock().monotonic());
                if left.is_zero() {
                    break;
                }
                tokio::select! {
                    biased;
                    count = intake.recv_many(&mut group, GROUP_ITEMS) => if count == 0 { break },
                    () = self.clock().sleep(left) => break,
                }
            }
            if !self.take(std::mem::take(&mut group), intake, ending).await? {
                return Ok(());
            }
            last_commit = Some(self.clock().monotonic());
        }
    }

    /// Takes what was read ahead and what can be read at once, since whoever wrote it is rid of it. Does not wait where
    /// there is no room.
    async fn take_the_rest(&self, intake: &mut mpsc::Receiver<Intake>) -> Result<(), SpoolError> {
        let mut group = Vec::new();
        if let Some(ahead) = self.read_ahead() {
            ahead.end();
            // A writer that never pauses is held back after a while, and one that stopped within a line is left alone.
            let (held_back, given_up) = (self.clock().sleep(INTAKE_GRACE / 2), self.clock().sleep(INTAKE_GRACE));
            tokio::pin!(held_back, given_up);
            loop {
                tokio::select! {
                    biased;
                    () = self.stop.abort.cancelled() => break,
                    () = &mut given_up => break,
                    () = &mut held_back, if !ahead.is_held() => ahead.hold(),
                    count = intake.recv_many(&mut group, GROUP_ITEMS) => {
                        if count == 0 || !self.take(std::mem::take(&mut group), intake, &mut std::future::ready(())).await? {
                            return Ok(());
                        }
                    }
                }
            }
            ahead.give_up();
        }
        intake.close();
        while intake.recv_many(&mut group, GROUP_ITEMS).await > 0 {
            if !self.take(std::mem::take(&mut group), intake, &mut std::future::ready(())).await? {
                break;
            }
        }
        Ok(())
    }

    /// Takes a group; waits while there is no room. Whether to go on.
    async fn take(
        &self,
        group: Vec<Intake>,
        intake: &mut mpsc::Receiver<Intake>,
        ending: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<bool, SpoolError> {
        let (lines, bytes) = (group.len(), bytes_of(&group));
        // What is still to be taken, the next part last.
        let mut parts = vec![self.items_of(group).await];
        let mut told_at: Option<Monotonic> = None;
        let mut last_advance = self.clock().monotonic();
        while let Some(part) = parts.pop() {
            let (counts, last) = (Counts::of(&part), part.last().map(origin_of));
            let (error, mut back) = match self.spool.take(part).await {
                Ok(()) => {
                    self.note_taken(counts, last);
                    last_advance = self.clock().monotonic();
                    continue;
                }
                Err((error, back)) => (error, back),
            };
            if !error.may_pass() {
                return Err(error);
            }
            // Nobody can give this again: it is kept at once, and the reader stops until there is room.
            if let Some(ahead) = self.read_ahead().filter(|_| error.is_full()) {
                if !ahead.is_held() {
                    tracing::error!("nothing more is read until the spool takes it: {error}");
                    ahead.hold();
                }
                match self.spool.take_read_ahead(std::mem::take(&mut back)).await {
                    Ok(()) => {
                        self.note_taken(counts, last);
                        continue;
                    }
                    Err((_, items)) => back = items,
                }
            }
            // A part of it may fit.
            if error.is_full() && back.len() > 1 {
                parts.push(back.split_off(back.len() / 2));
                parts.push(back);
                continue;
            }
            let now = self.clock().monotonic();
            if told_at.is_none_or(|at| now.saturating_sub(at) >= STILL_FULL_AFTER) {
                tracing::error!("nothing more is read until the spool takes it: {error}");
                told_at = Some(now);
            }
            // Whoever writes into a pipe may wait for days; a run over what is there already is to end.
            let options = self.pipeline.options();
            let ends = options.input_ends || intake.is_closed();
            let patience = last_advance.saturating_add(options.drain_timeout).saturating_sub(self.clock().monotonic());
            let patience = ends.then_some(patience);
            let over = tokio::select! {
                biased;
                () = &mut *ending => true,
                settled = self.room_may_be_back(patience) => {
                    if settled {
                        last_advance = self.clock().monotonic();
                    }
                    !settled && patience.is_some_and(|patience| patience.is_zero())
                }
            };
            parts.push(back);
            if over {
                self.leave(&error, parts, intake);
                return Ok(false);
            }
        }
        if told_at.is_some() {
            tracing::warn!("the spool takes events again: reading goes on");
        }
        self.read_ahead().inspect(|ahead| ahead.kept(lines, bytes));
        Ok(true)
    }

    /// Notes what is not taken, from where on: `parts`, the next one last, and what was read ahead.
    fn leave(&self, error: &SpoolError, parts: Vec<Vec<NewItem>>, intake: &mut mpsc::Receiver<Intake>) {
        let from = parts.iter().rev().flatten().next().map(|item| origin_of(item).to_string()).unwrap_or_default();
        let mut lines: u64 = parts.iter().map(|part| Counts::of(part).lines).sum();
        intake.close();
        while let Ok(item) = intake.try_recv() {
            lines += match item {
                Intake::Event(_) => 1,
                Intake::Refused(line) => u64::from(line.is_first_piece()),
                Intake::Broken(_) => 0,
            };
        }
        self.note(|takings| {
            takings.errors.push(error.to_string());
            takings.not_taken = Some(NotTaken { from, lines });
        });
    }

    const fn read_ahead(&self) -> Option<&ReadAhead> {
        self.pipeline.options().read_ahead.as_ref()
    }

    /// Of what is read ahead of a pipe, half is committed while the other half is read.
    fn group_items(&self) -> usize {
        self.read_ahead().map_or(GROUP_ITEMS, |_| MOST_LINES / 2)
    }

    fn group_bytes(&self) -> usize {
        self.read_ahead().map_or(GROUP_BYTES, |ahead| GROUP_BYTES.min(ahead.most_bytes() / 2))
    }

    /// Resolves when the spool has room.
    async fn room_is_back(&self) {
        let mut told_at = self.clock().monotonic();
        while let Err(error) = self.spool.check_room().await {
            let now = self.clock().monotonic();
            if now.saturating_sub(told_at) >= STILL_FULL_AFTER {
                tracing::error!("nothing more is read until the spool takes it: {error}");
                told_at = now;
            }
            self.room_may_be_back(None).await;
        }
    }

    /// Deliveries make room, and it says so where there were any; so does somebody who frees the disk. Waits no longer
    /// than `patience`.
    async fn room_may_be_back(&self, patience: Option<Duration>) -> bool {
        tokio::select! {
            biased;
            () = self.signals.settled.notified() => {
                self.clock().sleep(GROUP_TIME).await;
                true
            }
            () = self.clock().sleep(patience.map_or(FULL_PAUSE, |patience| patience.min(FULL_PAUSE))) => false,
        }
    }

    async fn items_of(&self, group: Vec<Intake>) -> Vec<NewItem> {
        let mut items = Vec::with_capacity(group.len());
        for item in group {
            match item {
                Intake::Event(event) if event.encoded.body().len() as u64 > self.spool.largest_item() => {
                    let (raw, origin) = (event.encoded.body().to_vec(), event.origin);
                    let reason = "it is a usage event that is larger than the spool may be: publish it again with a \
                                  larger --spool-max-bytes"
                        .to_owned();
                    items.push(self.refuse(RefusedLine { origin, reason, raw, part: LinePart::Whole }));
                }
                Intake::Event(event) => {
                    let violations = self.pipeline.violations(&event.encoded);
                    self.note(|takings| takings.violations += violations);
                    let (source, line) = (event.origin.input, event.origin.line);
                    items.push(NewItem::Event(NewEvent { encoded: event.encoded, source, line }));
                }
                Intake::Refused(line) => items.push(self.refuse(line)),
                Intake::Broken(message) => self.note(|takings| takings.errors.push(message)),
            }
        }
        // What came together is told together.
        self.pipeline.tell().await;
        items
    }

    /// A line that goes to the dead letters: the table in the spool, and whoever else keeps them.
    fn refuse(&self, line: RefusedLine) -> NewItem {
        let too_large = line.raw.len() as u64 > self.spool.largest_item();
        let kept = self.letters.lock().unwrap_or_else(PoisonError::into_inner).refused(&line);
        if let Err(error) = kept {
            let place = &line.origin;
            let extent = if too_large { "in the spool alone, and cut" } else { "in the spool alone" };
            let message = format!("the refused line {place} is kept {extent}: {error}");
            self.note(|takings| takings.kept_here_alone(message));
        }
        let mut letter = letter_of(line);
        if too_large {
            // Whole it would keep out everything behind it, for ever.
            let bytes = letter.raw.len();
            letter.raw.truncate(EXCERPT_BYTES);
            letter.reason = format!(
                "{} ({bytes} bytes, larger than the spool may be; only the first {EXCERPT_BYTES} are kept here)",
                letter.reason
            );
        }
        NewItem::Letter(letter)
    }

    /// Notes what is in the spool now, and the last line of it.
    fn note_taken(&self, counts: Counts, last: Option<Origin>) {
        self.note(|takings| takings.add(counts));
        self.pipeline.options().accepted.add(counts.lines, last);
        self.signals.taken.notify_one();
    }

    fn note(&self, change: impl FnOnce(&mut Takings)) {
        change(&mut self.takings.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn clock(&self) -> &dyn Clock {
        self.pipeline.delivery().clock()
    }
}

fn letter_of(line: RefusedLine) -> NewLetter {
    let piece = match line.part {
        LinePart::Whole => None,
        LinePart::Piece { index, .. } => Some(index + 1),
    };
    NewLetter { reason: line.reason, source: line.origin.input, line: line.origin.line, piece, raw: line.raw }
}

/// What was taken. A line in pieces counts once.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    lines: u64,
    /// Of these, lines that are no events.
    refused: u64,
    /// Pieces beyond the first.
    further_pieces: u64,
}

impl Counts {
    fn of(items: &[NewItem]) -> Self {
        let mut counts = Self::default();
        for item in items {
            match item {
                NewItem::Letter(letter) if letter.piece.is_some_and(|number| number > 1) => counts.further_pieces += 1,
                NewItem::Letter(_) => (counts.lines, counts.refused) = (counts.lines + 1, counts.refused + 1),
                NewItem::Event(_) => counts.lines += 1,
            }
        }
        counts
    }
}

fn origin_of(item: &NewItem) -> Origin {
    let (input, line) = match item {
        NewItem::Event(event) => (&event.source, event.line),
        NewItem::Letter(letter) => (&letter.source, letter.line),
    };
    Origin { input: input.clone(), line }
}

fn bytes_of(group: &[Intake]) -> usize {
    group.iter().map(Intake::size).sum()
}
