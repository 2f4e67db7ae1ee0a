//! Which events may go next: a lane for each instance, so that the events of one instance stay in order while those of
//! different instances go in parallel. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::intake::Taken;
use crate::transport::BatchLimits;

/// So many instances are remembered before those without events are forgotten.
const REMEMBERED: usize = 1_024;

/// A larger buffer of an instance without events is not kept.
const KEPT_EVENTS: usize = 16;

/// Events that wait, by instance.
///
/// An event costs one look-up by name, when it comes: from then on its lane goes by number, and a lane that runs empty
/// stays for the instance's next event.
#[derive(Debug)]
pub(super) struct Lanes {
    numbers: HashMap<Arc<str>, usize>,
    lanes: Vec<Lane>,
    /// Numbers that no instance has.
    free: Vec<usize>,
    /// So many instances make it worth while to look for those without events.
    forget_at: usize,
    /// Lanes with events and none of them under way, the longest waiting first.
    ready: VecDeque<usize>,
    /// The same of lanes whose first event was refused before while others went through: they go behind all others.
    refused: VecDeque<usize>,
    /// Batches that are done, for their memory.
    spent: Vec<Batch>,
    /// Events in lanes that are stuck.
    stuck: usize,
    /// One lane for all instances.
    single: bool,
}

#[derive(Debug, Default)]
struct Lane {
    events: VecDeque<Taken>,
    under_way: bool,
    /// What is under way is refused again and again.
    stuck: bool,
}

/// The name of an event's lane; it has none of its own in a `single` one.
fn lane_name(single: bool, event: &Taken) -> &str {
    if single { "" } else { event.encoded.event().instance_id.as_str() }
}

impl Lane {
    fn is_idle(&self) -> bool {
        self.events.is_empty() && !self.under_way
    }
}

/// Events to be delivered together. Their lanes are closed to others until [`Lanes::release`].
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) events: Vec<Taken>,
    lanes: Vec<usize>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Lanes {
    /// Lanes by instance, or a `single` one that keeps the order of all events.
    pub(super) fn new(single: bool) -> Self {
        Self {
            numbers: HashMap::new(),
            lanes: Vec::new(),
            free: Vec::new(),
            forget_at: REMEMBERED,
            ready: VecDeque::new(),
            refused: VecDeque::new(),
            spent: Vec::new(),
            stuck: 0,
            single,
        }
    }

    /// How many instances have events that may go.
    pub(super) fn ready(&self) -> usize {
        self.ready.len() + self.refused.len()
    }

    /// Has another lane go next, whichever `draw` of 0 to 1 says.
    pub(super) fn bring_forward(&mut self, draw: f64) {
        let lanes = if self.ready.is_empty() { &mut self.refused } else { &mut self.ready };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a draw"
        )]
        let at = (lanes.len() as f64 * draw) as usize;
        if at < lanes.len() {
            lanes.swap(0, at);
        }
    }

    pub(super) fn push(&mut self, event: Taken) {
        let instance = lane_name(self.single, &event);
        let number = match self.numbers.get(instance) {
            Some(&number) => number,
            None => self.open(instance.into()),
        };
        let Some(lane) = self.lanes.get_mut(number) else { return };
        if lane.is_idle() {
            let lanes = if event.history.refusals > 0 { &mut self.refused } else { &mut self.ready };
            lanes.push_back(number);
        }
        self.stuck += usize::from(lane.stuck);
        lane.events.push_back(event);
    }

    /// How many events wait in lanes that are stuck.
    pub(super) const fn stuck(&self) -> usize {
        self.stuck
    }

    /// Remembers that `batch` does not get through, until it does: others may. A single lane has no others.
    pub(super) fn note_stuck(&mut self, batch: &Batch) {
        if self.single {
            return;
        }
        for &number in &batch.lanes {
            if let Some(lane) = self.lanes.get_mut(number).filter(|lane| !lane.stuck) {
                lane.stuck = true;
                self.stuck += lane.events.len();
            }
        }
    }

    /// Gives all events of `batch` back but the first, which stays under way alone: those of other instances may go, those
    /// of its own wait behind it.
    pub(super) fn keep_first(&mut self, batch: &mut Batch) {
        let own = batch.events.first().and_then(|event| self.numbers.get(lane_name(self.single, event)).copied());
        for event in batch.events.drain(1..).rev() {
            let number = self.numbers.get(lane_name(self.single, &event)).copied();
            let Some(lane) = number.and_then(|number| self.lanes.get_mut(number)) else { continue };
            self.stuck += usize::from(lane.stuck);
            lane.events.push_front(event);
        }
        for number in std::mem::take(&mut batch.lanes).into_iter().rev() {
            if Some(number) == own {
                batch.lanes.push(number);
                continue;
            }
            let Some(lane) = self.lanes.get_mut(number) else { continue };
            lane.under_way = false;
            if !lane.events.is_empty() {
                self.ready.push_front(number);
            }
        }
    }

    /// A lane for an instance that has none.
    fn open(&mut self, instance: Arc<str>) -> usize {
        if self.numbers.len() >= self.forget_at {
            self.forget_the_idle();
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.lanes.push(Lane::default());
            self.lanes.len() - 1
        });
        self.numbers.insert(instance, number);
        number
    }

    /// Forgets the instances without events. The next time is when there are twice as many as are left, so that it costs
    /// an event no more than if each were forgotten at once.
    fn forget_the_idle(&mut self) {
        let Self { numbers, lanes, free, .. } = self;
        numbers.retain(|_, &mut number| {
            let Some(lane) = lanes.get_mut(number).filter(|lane| lane.is_idle()) else { return true };
            *lane = Lane::default();
            free.push(number);
            false
        });
        self.forget_at = REMEMBERED.max(2 * self.numbers.len());
    }

    /// The next events, as many as `limits` allow, of as many instances as it takes; `None` where none may go. One that was
    /// refused before while others went through goes alone, behind all others.
    pub(super) fn take(&mut self, limits: BatchLimits) -> Option<Batch> {
        let mut batch = self.spent.pop().unwrap_or_default();
        let mut bytes = 0usize;
        // One that was refused goes alone: a batch would be refused with it, and halved.
        let most = if self.ready.is_empty() { 1 } else { limits.events.max(1) };
        while batch.events.len() < most {
            let lane = self.ready.pop_front().or_else(|| self.refused.pop_front_if(|_| batch.events.is_empty()));
            let Some(number) = lane else { break };
            let Some(lane) = self.lanes.get_mut(number) else { continue };
            let before = batch.events.len();
            while batch.events.len() < most {
                let fits = lane.events.front().is_some_and(|event| {
                    batch.events.is_empty() || bytes.saturating_add(event.encoded.body().len()) <= limits.bytes
                });
                let Some(event) = lane.events.pop_front_if(|_| fits) else { break };
                bytes += event.encoded.body().len();
                batch.events.push(event);
            }
            if batch.events.len() == before {
                // Full by bytes.
                self.ready.push_front(number);
                break;
            }
            lane.under_way = true;
            batch.lanes.push(number);
        }
        if batch.events.is_empty() {
            self.spent.push(batch);
            return None;
        }
        Some(batch)
    }

    /// Opens the lanes of a batch again, all of whose events are settled.
    pub(super) fn release(&mut self, mut batch: Batch) {
        debug_assert!(batch.events.is_empty(), "unsettled events");
        for number in batch.lanes.drain(..) {
            let Some(lane) = self.lanes.get_mut(number) else { continue };
            lane.under_way = false;
            if std::mem::take(&mut lane.stuck) {
                self.stuck -= lane.events.len();
            }
            if !lane.events.is_empty() {
                self.ready.push_back(number);
            } else if lane.events.capacity() > KEPT_EVENTS {
                lane.events = VecDeque::new();
            }
        }
        if batch.events.capacity() <= KEPT_EVENTS {
            self.spent.push(batch);
        }
    }

    /// Everything that waits, in order within each instance.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Taken> + '_ {
        self.stuck = 0;
        self.ready.clear();
        self.refused.clear();
        self.free.clear();
        self.numbers.clear();
        self.lanes.drain(..).flat_map(|lane| lane.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EncodedEvent;
    use crate::events::tests::sample;
    use crate::publish::intake::{AttemptHistory, Origin};
    use proptest::prelude::*;

    fn taken(instance: &str, line: u64) -> Taken {
        let mut event = sample();
        event.instance_id = instance.to_owned();
        let origin = Origin { input: "test".into(), line: Some(line) };
        Taken {
            encoded: EncodedEvent::encode(event).unwrap(),
            origin,
            ticket: None,
            history: AttemptHistory::default(),
        }
    }

    fn lines(batch: &Batch) -> Vec<u64> {
        batch.events.iter().filter_map(|event| event.origin.line).collect()
    }

    fn settle(lanes: &mut Lanes, mut batch: Batch) {
        batch.events.clear();
        lanes.release(batch);
    }

    #[test]
    fn what_was_refused_goes_alone_behind_the_others() {
        let mut lanes = Lanes::default();
        for (line, instance) in (1..).zip(["bad", "worse", "a", "b"]) {
            let mut event = taken(instance, line);
            event.history.refusals = u32::from(line < 3);
            lanes.push(event);
        }
        let mut next = || lanes.take(BatchLimits { events: 10, bytes: usize::MAX }).map(|batch| lines(&batch));
        assert_eq!([next(), next(), next(), next()], [Some(vec![3, 4]), Some(vec![1]), Some(vec![2]), None]);
    }

    #[test]
    fn one_event_of_an_instance_at_a_time_others_beside_it() {
        let mut lanes = Lanes::default();
        for (line, instance) in (1..).zip(["a", "a", "b"]) {
            lanes.push(taken(instance, line));
        }
        let first = lanes.take(BatchLimits::ONE).unwrap();
        let second = lanes.take(BatchLimits::ONE).unwrap();
        assert_eq!((lines(&first), lines(&second)), (vec![1], vec![3]));
        assert!(lanes.take(BatchLimits::ONE).is_none());
        settle(&mut lanes, first);
        assert_eq!(lines(&lanes.take(BatchLimits::ONE).unwrap()), [2]);
    }

    #[test]
    fn a_batch_keeps_to_its_limits() {
        let mut lanes = Lanes::default();
        for line in 1..=5 {
            lanes.push(taken(if line % 2 == 0 { "even" } else { "odd" }, line));
        }
        let size = taken("even", 0).encoded.body().len();
        let batch = lanes.take(BatchLimits { events: 10, bytes: 4 * size + 3 }).unwrap();
        assert_eq!(lines(&batch), [1, 3, 5, 2]);
        // An event over the limit goes alone rather than never.
        settle(&mut lanes, batch);
        assert_eq!(lines(&lanes.take(BatchLimits { events: 10, bytes: 1 }).unwrap()), [4]);
    }

    #[test]
    fn what_waits_in_a_stuck_lane_is_counted_until_it_is_free() {
        let mut lanes = Lanes::default();
        for (line, instance) in (1..).zip(["a", "a", "a", "b", "b"]) {
            lanes.push(taken(instance, line));
        }
        let first = lanes.take(BatchLimits::ONE).unwrap();
        lanes.note_stuck(&first);
        lanes.note_stuck(&first);
        assert_eq!(lanes.stuck(), 2);
        lanes.push(taken("a", 6));
        lanes.push(taken("b", 7));
        assert_eq!(lanes.stuck(), 3);
        settle(&mut lanes, first);
        assert_eq!(lanes.stuck(), 0);

        let mut single = Lanes::new(true);
        single.push(taken("a", 1));
        let first = single.take(BatchLimits::ONE).unwrap();
        single.push(taken("b", 2));
        single.note_stuck(&first);
        assert_eq!(single.stuck(), 0);
    }

    #[test]
    fn first_event_is_kept_and_the_others_go_back_in_order() {
        let mut lanes = Lanes::default();
        for (line, instance) in (1..).zip(["a", "a", "b", "b", "c"]) {
            lanes.push(taken(instance, line));
        }
        let mut batch = lanes.take(BatchLimits { events: 4, bytes: usize::MAX }).unwrap();
        lanes.push(taken("b", 6));
        lanes.keep_first(&mut batch);
        assert_eq!(lines(&batch), [1]);
        lanes.note_stuck(&batch);
        assert_eq!(lanes.stuck(), 1);
        let others = lanes.take(BatchLimits { events: 9, bytes: usize::MAX }).unwrap();
        assert_eq!(lines(&others), [3, 4, 6, 5], "those of its instance wait");
        settle(&mut lanes, batch);
        assert_eq!((lines(&lanes.take(BatchLimits::ONE).unwrap()), lanes.stuck()), (vec![2], 0));
    }

    #[test]
    fn instances_without_events_are_forgotten_in_time() {
        let mut lanes = Lanes::default();
        let busy = taken("busy", 0);
        lanes.push(busy);
        let under_way = lanes.take(BatchLimits::ONE).unwrap();
        for line in 1..=10_000 {
            lanes.push(taken(&line.to_string(), line));
            let batch = lanes.take(BatchLimits::ONE).unwrap();
            assert_eq!(lines(&batch), [line]);
            settle(&mut lanes, batch);
        }
        assert!(lanes.numbers.len() <= REMEMBERED && lanes.lanes.len() <= REMEMBERED, "{}", lanes.lanes.len());
        // One that is under way keeps its lane.
        lanes.push(taken("busy", 10_001));
        assert!(lanes.take(BatchLimits::ONE).is_none());
        settle(&mut lanes, under_way);
        assert_eq!(lines(&lanes.take(BatchLimits::ONE).unwrap()), [10_001]);
    }

    proptest! {
        /// However takes and releases mix, every event comes out once and those of an instance in order.
        #[test]
        fn nothing_is_lost_doubled_or_overtaken(
            instances in proptest::collection::vec(0u8..4, 0..40), events in 1usize..4, order in proptest::collection::vec(any::<usize>(), 200),
        ) {
            let mut lanes = Lanes::default();
            for (line, instance) in (0..).zip(&instances) {
                lanes.push(taken(&instance.to_string(), line));
            }
            let (mut under_way, mut seen) = (Vec::new(), Vec::new());
            for choice in order {
                if choice % 3 != 0 && let Some(batch) = lanes.take(BatchLimits { events, bytes: usize::MAX }) {
                    seen.extend(lines(&batch));
                    under_way.push(batch);
                } else if !under_way.is_empty() {
                    let batch = under_way.swap_remove(choice % under_way.len());
                    settle(&mut lanes, batch);
                }
            }
            seen.extend(lanes.drain().filter_map(|event| event.origin.line));
            for instance in 0..4 {
                let of = |line: &u64| usize::try_from(*line).ok().and_then(|at| instances.get(at)) == Some(&instance);
                let order: Vec<u64> = seen.iter().copied().filter(of).collect();
                prop_assert!(order.is_sorted(), "{:?}", order);
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..instances.len() as u64).collect::<Vec<_>>());
        }
    }
}
