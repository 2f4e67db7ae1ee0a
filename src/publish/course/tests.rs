use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::events::tests::sample;
use crate::retry::{Random, Retrier, RetryConfig};
use crate::transport::{BatchLimits, BoxFuture, Reach, Repeat, Sink};

/// What a destination does with a batch.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// Refuses it whole for an event in it; one event alone is refused for good.
    TooLarge,
    Down,
    Misset,
    /// This machine has no descriptor left.
    RunsShort,
    /// Refuses it whole, as it would for one event alone or for all of them.
    Refuses,
    /// Takes so many of them and fails for the others.
    Takes(usize),
    TakesAll,
    /// Takes the first event and says nothing of the others.
    SaysLittle,
}

/// A destination by script, which then takes everything.
#[derive(Debug, Default)]
struct Scripted {
    script: Mutex<VecDeque<Does>>,
    /// The batches that came.
    came: Mutex<Vec<usize>>,
    taken: Mutex<Vec<u64>>,
}

fn number(event: &EncodedEvent) -> u64 {
    event.event().metrics.cpu_seconds
}

fn events(count: u64) -> Vec<EncodedEvent> {
    let event = |n| {
        let mut event = sample();
        event.metrics.cpu_seconds = n;
        EncodedEvent::encode(event).unwrap()
    };
    (0..count).map(event).collect()
}

fn refusal() -> Failure {
    Failure::destination("not this one").reached(Reach::Refused)
}

const LATER: Duration = Duration::from_secs(600);

impl Sink for Scripted {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: 100, bytes: 1 << 20 }
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        self.came.lock().unwrap().push(events.len());
        let take = |count: usize| {
            self.taken.lock().unwrap().extend(events.iter().take(count).map(number));
            vec![Outcome::Delivered; count.min(events.len())]
        };
        let result = match self.script.lock().unwrap().pop_front().unwrap_or(Does::TakesAll) {
            Does::TooLarge => Err(Failure::event("too large")),
            Does::Down => Err(Failure::service("down")),
            Does::RunsShort => Err(Failure::local("no descriptor left")),
            Does::Misset => Err(Failure::destination("no such path")),
            Does::Refuses => Err(refusal()),
            Does::Takes(count) => {
                let mut outcomes = take(count);
                let failure = Failure::service("busy").retry_after(Some(LATER));
                outcomes.resize(events.len(), Outcome::Failed(failure));
                Ok(outcomes)
            }
            Does::TakesAll => Ok(take(events.len())),
            Does::SaysLittle => Ok(take(1)),
        };
        Box::pin(async { result })
    }
}

fn delivery(script: impl IntoIterator<Item = Does>) -> (Delivery, Arc<Scripted>, Arc<ManualClock>) {
    let sink = Arc::new(Scripted { script: Mutex::new(script.into_iter().collect()), ..Scripted::default() });
    let clock = Arc::new(ManualClock::at_unix(1_700_000_000));
    let retrier = Retrier::with(RetryConfig::default(), clock.clone(), Random::new(|| 0.5)).unwrap();
    (Delivery::new(sink.clone(), retrier, None, Duration::from_secs(5), clock.clone()), sink, clock)
}

const TAKEN: Option<Ending> = Some(Ending::Delivered { duplicate: false });

#[tokio::test]
async fn the_first_half_is_told_before_the_second_is_tried() {
    let (delivery, sink, _) = delivery([Does::TooLarge, Does::TooLarge]);
    let (events, mut course) = (events(5), Course::default());
    let endings = delivery.advance(&events, &mut course).await;
    assert_eq!(endings, [TAKEN, None, None, None, None]);
    assert_eq!(delivery.advance(&events[1..], &mut course).await, [TAKEN, None, None, None]);
    assert_eq!(delivery.advance(&events[2..], &mut course).await, [TAKEN, TAKEN, TAKEN]);
    assert!(!course.is_under_way());
    assert_eq!(*sink.came.lock().unwrap(), [5, 2, 1, 1, 3], "a part is not put together again");
}

#[tokio::test]
async fn what_was_taken_is_told_before_the_rest_is_waited_for() {
    let (delivery, sink, clock) = delivery([Does::Takes(2), Does::TooLarge]);
    let (events, mut course) = (events(4), Course::default());
    assert_eq!(delivery.advance(&events, &mut course).await, [TAKEN, TAKEN, None, None]);
    assert_eq!((course.is_under_way(), course.take_wait()), (true, Some(LATER)));
    clock.advance(LATER);
    assert_eq!(delivery.advance(&events[2..], &mut course).await, [TAKEN, None]);
    assert_eq!((course.is_under_way(), course.take_wait()), (true, None));
    assert_eq!(delivery.advance(&events[3..], &mut course).await, [TAKEN]);
    assert!(clock.sleeps().is_empty(), "whoever limits the attempts waits: {:?}", clock.sleeps());
    assert_eq!((delivery.stats().retries, delivery.stats().deferred), (1, 0));
    assert_eq!(*sink.came.lock().unwrap(), [4, 2, 1, 1]);
}

#[tokio::test]
async fn retries_are_counted_from_step_to_step_and_what_is_behind_waits() {
    let (delivery, sink, clock) = delivery([Does::TooLarge, Does::Takes(1), Does::Down, Does::Down, Does::Down]);
    let (events, mut course) = (events(4), Course::default());
    assert_eq!(delivery.advance(&events, &mut course).await, [TAKEN, None, None, None]);
    let mut waits = vec![course.take_wait()];
    clock.advance(LATER);
    for _ in 0..2 {
        assert_eq!(delivery.advance(&events[1..], &mut course).await, [None, None, None]);
        waits.push(course.take_wait());
    }
    assert_eq!(waits, [Some(LATER), Some(Duration::from_millis(200)), Some(Duration::from_millis(400))]);
    let down = Some(Ending::Deferred(Deferral::Failed(Failure::service("down"))));
    assert_eq!(delivery.advance(&events[1..], &mut course).await, vec![down; 3]);
    assert!(!course.is_under_way());
    assert_eq!((delivery.stats().retries, delivery.stats().deferred), (3, 3));
    assert_eq!(*sink.came.lock().unwrap(), [4, 2, 1, 1, 1]);
}

#[tokio::test]
async fn refused_batch_is_halved_and_the_refused_event_is_told_alone() {
    let (delivery, sink, _) = delivery([Does::Refuses, Does::TakesAll, Does::Refuses, Does::Refuses, Does::Refuses]);
    let (events, mut course) = (events(8), Course::default());
    assert_eq!(delivery.advance(&events, &mut course).await[..5], [TAKEN, TAKEN, TAKEN, TAKEN, None]);
    let refused = Some(Ending::Misdirected(refusal()));
    assert_eq!(delivery.advance(&events[4..], &mut course).await, [refused, None, None, None]);
    assert!(!course.is_under_way(), "whoever has the batch parts it");
    assert_eq!(*sink.came.lock().unwrap(), [8, 4, 4, 2, 1]);
}

#[tokio::test]
async fn deliver_goes_past_a_refused_event_and_keeps_its_instance_back() {
    let mut all = events(5);
    for (n, event) in all.iter_mut().enumerate() {
        let mut owned = event.event().clone();
        owned.instance_id = if n % 2 == 0 { "even" } else { "odd" }.to_owned();
        *event = EncodedEvent::encode(owned).unwrap();
    }
    // The batch is refused, and its halves, until the first event is alone.
    let (delivery, sink, _) = delivery([Does::Refuses; 4]);
    let refused = Ending::Misdirected(refusal());
    let taken = Ending::Delivered { duplicate: false };
    let expected = [refused.clone(), taken.clone(), refused.clone(), taken, refused];
    assert_eq!(delivery.deliver(&all).await, expected);
    assert_eq!(*sink.taken.lock().unwrap(), [1, 3]);
}

/// A sink that answers each call by script.
#[derive(Debug)]
struct Answers(Mutex<VecDeque<Result<Vec<Outcome>, Failure>>>);

impl Sink for Answers {
    fn limits(&self) -> BatchLimits {
        BatchLimits::ONE
    }

    fn send<'a>(&'a self, _: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        let next = self.0.lock().unwrap().pop_front().unwrap();
        Box::pin(async { next })
    }
}

#[tokio::test]
async fn refused_repeat_counts_as_delivered_only_after_a_lost_reply() {
    let possible = || Failure { repeat: Repeat::Possible, ..Failure::event("I know that one") };
    let certain = || Failure { repeat: Repeat::Certain, ..refusal() };
    let lost = || Failure::service("reset").reached(Reach::Unknown);
    let down = || Failure::service("down");
    let duplicate = Ending::Delivered { duplicate: true };
    let cases = [
        (vec![lost(), possible()], duplicate.clone()),
        (vec![lost(), down(), possible()], duplicate.clone()),
        (vec![down(), possible()], Ending::Dead(possible())),
        (vec![possible()], Ending::Dead(possible())),
        (vec![certain()], duplicate.clone()),
        (vec![Failure { resent: true, ..possible() }], duplicate),
    ];
    for (failures, expected) in cases {
        let sink = Arc::new(Answers(Mutex::new(failures.iter().cloned().map(Err).collect())));
        let clock = Arc::new(ManualClock::at_unix(1_700_000_000));
        let retrier = Retrier::with(RetryConfig::default(), clock.clone(), Random::new(|| 0.5)).unwrap();
        let delivery = Delivery::new(sink, retrier, None, Duration::from_secs(5), clock);
        assert_eq!(delivery.deliver(&events(1)).await, [expected], "{failures:?}");
    }
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        4 => Just(Does::TooLarge),
        2 => Just(Does::Down),
        1 => Just(Does::Misset),
        2 => Just(Does::Refuses),
        3 => (0usize..6).prop_map(Does::Takes),
        2 => Just(Does::TakesAll),
        1 => Just(Does::SaysLittle),
    ]
}

proptest! {
    /// Whatever a destination does: an event is acknowledged once and told once, none overtakes, and a step tells of
    /// everything that was acknowledged in it.
    #[test]
    fn nothing_is_lost_told_twice_or_overtaken(
        script in proptest::collection::vec(does(), 0..60), count in 1u64..12,
    ) {
        let (delivery, sink, _) = delivery(script);
        let (mut left, mut course) = (events(count), Course::default());
        let (mut told, mut buried) = (Vec::new(), 0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        while !left.is_empty() {
            let endings = runtime.block_on(delivery.advance(&left, &mut course));
            prop_assert_eq!(endings.len(), left.len());
            let mut settled = 0;
            let mut rest = Vec::new();
            for (event, ending) in left.into_iter().zip(&endings) {
                match ending {
                    Some(Ending::Delivered { .. }) => told.push(number(&event)),
                    Some(Ending::Dead(_)) => buried += 1,
                    _ => {
                        rest.push(event);
                        continue;
                    }
                }
                settled += 1;
            }
            left = rest;
            prop_assert_eq!(&told, &*sink.taken.lock().unwrap(), "what was taken is told at once");
            if course.is_under_way() {
                prop_assert!(!left.is_empty() && (settled > 0 || course.take_wait().is_some()));
            } else if endings.contains(&Some(Ending::Misdirected(refusal()))) {
                // The others may go without it, which is the matter of who has the batch.
            } else {
                prop_assert!(endings.iter().all(Option::is_some));
            }
        }
        prop_assert!(told.is_sorted_by(|one, other| one < other), "{:?}", told);
        prop_assert_eq!(told.len() as u64 + buried, count);
    }
}

/// Four attempts with a breaker that opens at the first failure of the service.
#[tokio::test]
async fn a_shortage_on_this_machine_is_waited_out_with_fewer_attempts_and_opens_no_breaker() {
    let sink = Arc::new(Scripted::default());
    sink.script.lock().unwrap().extend([Does::RunsShort; 3]);
    let clock = Arc::new(ManualClock::at_unix(0));
    let config = crate::circuit_breaker::CircuitBreakerConfig { failure_threshold: 1, ..Default::default() };
    let breaker = crate::circuit_breaker::CircuitBreaker::with_clock(config, clock.clone()).unwrap();
    let retrier = Retrier::with(RetryConfig::default(), clock.clone(), Random::new(|| 0.5)).unwrap();
    let delivery = Delivery::new(sink, retrier, Some(breaker), Duration::from_secs(30), clock.clone());
    let before = delivery.concurrency_limit();
    assert_eq!(delivery.deliver(&events(1)).await, [Ending::Delivered { duplicate: false }]);
    assert_eq!((delivery.stats().attempts, delivery.stats().breaker_opened), (4, 0));
    assert!(delivery.concurrency_limit() < before, "{before}");
}
