//! Events that are refused: whose fault it is, and when a run that has nothing else left has learned enough.
//!
//! A refused event goes on alone, round after round. The others of its batch go back, those of its instance wait behind
//! it. While nothing has gone through since a refusal, one event is sent at a time: a batch would only be halved.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::{PipelineError, Run};
use crate::publish::intake::Taken;
use crate::publish::lanes::Batch;
use crate::publish::suspects::Refusal;
use crate::publish::worker::Worker;
use crate::transport::{BatchLimits, Failure, FailureKind};

/// Instances that are known to be refused; of further ones each event is judged for itself.
const MAX_REFUSED_INSTANCES: usize = 1 << 16;

/// So long a destination that refuses single events may take none before it is said to be set up wrong.
const QUIET: Duration = Duration::from_secs(60);

/// What tells instances apart, in few bytes.
fn instance_key(event: &Taken) -> u64 {
    let mut hasher = DefaultHasher::new();
    event.encoded.event().instance_id.hash(&mut hasher);
    hasher.finish()
}

impl<'a> Run<'a> {
    /// How much the next batch may hold.
    pub(super) fn batch_limits(&self) -> BatchLimits {
        if self.suspects.may_be_everything() { BatchLimits::ONE } else { self.pipeline.delivery.sink().limits() }
    }

    /// Books that the first event of `worker` was refused in the round that has ended. It is a dead letter once that has
    /// counted against it often enough.
    pub(super) fn note_refused(&mut self, worker: &mut Worker<'a>, failure: &Failure) -> Result<(), PipelineError> {
        self.lanes.keep_first(&mut worker.batch);
        self.lanes.note_stuck(&worker.batch);
        if worker.first_refused.is_none() && self.delivered() > 0 {
            // It is one more of those that are known not to be wanted, and others may be behind it.
            self.last_advance = self.pipeline.delivery.clock().monotonic();
        }
        let first_refusal = worker.first_refusal();
        let first = *worker.first_refused.get_or_insert(first_refusal);
        self.note_reason(failure);
        let is_final = failure.kind == FailureKind::Destination;
        if is_final {
            self.last_refusal = Some(failure.clone());
        }
        let Some(event) = worker.batch.events.first_mut() else { return Ok(()) };
        let instance = instance_key(event);
        // Those behind an event that was refused while others went through share its fate, which counts once.
        let is_next = is_final && event.history.refusals == 0 && self.refused_instances.contains(&instance);
        let is_known = is_final && (is_next || event.history.refusals > 0);
        if !self.suspects.refuse(first, Refusal { is_final, is_known }) && !is_next {
            return Ok(());
        }
        self.suspects.note_counted(first);
        if is_final && self.refused_instances.len() < MAX_REFUSED_INSTANCES {
            self.refused_instances.insert(instance);
        }
        let refusals = event.history.refusals.saturating_add(1);
        event.history.refusals = refusals;
        if refusals < self.pipeline.options.poison_after {
            self.keeper.remember(event);
            return Ok(());
        }
        let message = format!("refused {refusals} times while other events went through: {}", failure.reason());
        match worker.batch.events.pop() {
            Some(event) => self.bury(&event, &Failure { message, advice: 0, ..failure.clone() }, u64::from(refusals)),
            None => Ok(()),
        }
    }

    /// The event of `worker` is no suspect any more: it is settled, or failed in another way.
    pub(super) fn clear_suspicion(&mut self, worker: &mut Worker<'a>) {
        if let Some(first) = worker.first_refused.take() {
            self.suspects.clear(first);
        }
    }

    /// Remembers which events of `batch` the destination may hold although it never said so.
    pub(super) fn remember_unanswered(&mut self, batch: &mut Batch) {
        for event in &mut batch.events {
            if !event.history.unanswered && self.pipeline.delivery.may_be_held(&event.encoded) {
                event.history.unanswered = true;
                self.keeper.remember(event);
            }
        }
    }

    /// Whether the event of `worker` was refused, and would be again for all that is known: a run that ends need not ask.
    pub(super) fn shows_nothing(&self, worker: &Worker<'a>) -> bool {
        self.is_finite() && worker.first_refused.is_some_and(|first| self.suspects.shows_nothing(first))
    }

    /// Where refused events alone are left, a run that ends gives up as soon as a further round would show nothing. Where
    /// nothing went through since any of them was refused, the destination itself may be set up wrong, and somebody has to
    /// look, unless it is known to refuse single events.
    pub(super) fn look_at_what_is_refused(&mut self) -> Result<(), PipelineError> {
        let suspects = self.suspects.len();
        let alone = suspects > 0 && self.workers() == suspects && self.lanes.ready() == 0;
        if !alone {
            return Ok(());
        }
        if !self.is_finite() {
            // At the start of a short run others may come in a moment.
            let is_single = self.refuses_single_events() && self.took_something_of_late();
            if self.refuses_everything() && self.suspects.were_tried_again() && !is_single {
                self.note_misdirection();
            }
            return Ok(());
        }
        // There may be more to try.
        if !self.ended && self.has_room() {
            return Ok(());
        }
        if self.suspects.have_more_to_show() {
            let suspects = &self.suspects;
            self.waiting.hurry(|worker| worker.first_refused.is_some_and(|first| suspects.has_more_to_show(first)));
        } else if !self.suspects.are_final() || (self.refuses_everything() && !self.rounds.is_empty()) {
            // What waits for a retry or is under way may show more.
        } else if !self.refuses_everything() || self.refuses_single_events() {
            self.give_up_on_what_is_refused()?;
        } else {
            self.note_misdirection();
        }
        Ok(())
    }

    /// Whether the destination is taken to refuse some events while it takes others: it did both, or there is but one that it
    /// refused behind those that it took. Of a run that goes on until somebody ends it, only if that was a moment ago.
    fn refuses_single_events(&self) -> bool {
        let is_single = self.suspects.include_known() || self.suspects.len() == 1;
        let does = self.suspects.are_told_apart() || (self.delivered() > 0 && is_single);
        does && (self.asked_at.is_none() || self.took_something_of_late())
    }

    /// Whether the destination took something a moment ago: the next that it takes may be on its way.
    fn took_something_of_late(&self) -> bool {
        let now = self.pipeline.delivery.clock().monotonic();
        self.last_taken.is_some_and(|last| now.saturating_sub(last) < QUIET)
    }

    fn give_up_on_what_is_refused(&mut self) -> Result<(), PipelineError> {
        self.count_known_refusals()?;
        self.suspect_the_last_one();
        if let Some(refusal) = self.last_refusal.as_ref().filter(|_| !self.waiting.is_empty()) {
            let times = self.pipeline.options.poison_after;
            self.report.reason = Some(format!(
                "{}; other events went through, so that an event which is refused {times} times in this way is a dead letter (--poison-after)",
                refusal.reason()
            ));
            self.give_up.cancel();
        }
        Ok(())
    }

    /// Remembers the only event that is left where the destination took others before it in this run. (The destination may
    /// have begun to refuse everything; then a later run that has others to send finds out.)
    fn suspect_the_last_one(&mut self) {
        if self.suspects.len() != 1 || self.delivered() == 0 {
            return;
        }
        for event in self.waiting.first_events().filter(|event| event.history.refusals == 0) {
            event.history.refusals = 1;
            self.keeper.remember(event);
        }
    }

    /// Counts one refusal of this run, which ends, for each event that was refused before while others went through, where
    /// none was counted yet. Without this a run that has nothing new would fail for ever, and so would one that has
    /// others to deliver, since those go first. Once in a run, so that a destination that is set up wrong for an hour
    /// costs no event that other events have not spoken against.
    fn count_known_refusals(&mut self) -> Result<(), PipelineError> {
        let most = self.pipeline.options.poison_after;
        for mut worker in std::mem::take(&mut self.waiting).into_workers() {
            let counts = worker.first_refused.is_some_and(|first| self.suspects.is_uncounted(first));
            let known = worker.batch.events.first_mut().filter(|event| counts && event.history.refusals > 0);
            let Some(event) = known else {
                self.wait_for_next_round(worker);
                continue;
            };
            let refusals = event.history.refusals.saturating_add(1);
            event.history.refusals = refusals;
            if refusals < most {
                self.keeper.remember(event);
                self.wait_for_next_round(worker);
                continue;
            }
            let cause = self.last_refusal.as_ref().map_or("no reason given", Failure::reason);
            let or_alone = if self.delivered() > 0 { "" } else { " or as the only one" };
            let message = format!("refused {refusals} times while other events went through{or_alone}: {cause}");
            if let Some(event) = worker.batch.events.pop() {
                self.refused_instances.insert(instance_key(&event));
                self.bury(&event, &Failure::destination(message), u64::from(refusals))?;
            }
            self.clear_suspicion(&mut worker);
            self.lanes.release(worker.batch);
        }
        Ok(())
    }

    fn note_misdirection(&mut self) {
        if let Some(refusal) = self.last_refusal.clone() {
            self.note_failure(&refusal);
        }
    }

    /// While nothing has gone through since a refusal, the next to be tried is any of them: a crowd that nobody wants must
    /// not keep those behind it from showing that others are taken.
    pub(super) fn look_anywhere(&mut self) {
        if self.suspects.may_be_everything() {
            self.lanes.bring_forward(self.pipeline.delivery.retrier().draw());
        }
    }

    /// Whether nothing went through since an event was refused as if the destination were set up wrong.
    pub(super) fn refuses_everything(&self) -> bool {
        self.suspects.may_be_everything() && self.suspects.are_final()
    }

    /// Gives up because time is over. A destination that refused everything until then is named as set up wrong.
    pub(super) fn run_out_of_time(&mut self) -> Result<(), PipelineError> {
        if self.refuses_everything()
            && !self.refuses_single_events()
            && let Some(refusal) = self.last_refusal.clone()
        {
            self.report.errors.push(refusal.message.clone());
            self.abandon(&refusal.message);
            return Ok(());
        }
        if self.suspects.len() > 0 && self.suspects.are_final() && self.lanes.ready() == 0 {
            self.give_up_on_what_is_refused()?;
        } else {
            self.count_known_refusals()?;
        }
        self.abandon(self.out_of_patience());
        Ok(())
    }
}
