//! What a delivery learns from its attempts, against a queue that misbehaves on purpose.

use std::sync::Arc;
use std::time::Duration;

use form_usage_events::clock::{ManualClock, SystemClock};
use form_usage_events::events::EncodedEvent;
use form_usage_events::publish::{Concurrency, Delivery, Ending};
use form_usage_events::retry::{Random, Retrier, RetryConfig};
use form_usage_events::transport::{ConnectOptions, connect};

use crate::form_queue::{Answer, FormQueue};
use crate::support::event;

fn delivery(queue: &FormQueue, timeout: Duration) -> Delivery {
    let clock = Arc::new(ManualClock::at_unix(1_700_000_000));
    let sink =
        connect(&queue.url().parse().unwrap(), &ConnectOptions { timeout, ..ConnectOptions::default() }).unwrap();
    let retrier = Retrier::with(RetryConfig::default(), clock.clone(), Random::new(|| 0.5)).unwrap();
    Delivery::new(sink.into(), retrier, None, timeout, clock)
}

fn events(count: i64) -> Vec<EncodedEvent> {
    (0..count).map(|n| EncodedEvent::encode(event("a", n)).unwrap()).collect()
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn every_attempt_is_counted_and_its_time_taken() {
    let queue = FormQueue::start();
    queue.script([Answer::status(503), Answer::Half]);
    let delivery = delivery(&queue, LONG);
    assert_eq!(delivery.deliver(&events(1)).await, [Ending::Delivered { duplicate: false }]);
    assert_eq!((delivery.stats().attempts, delivery.latency().count()), (3, 3));
    assert_eq!((delivery.in_flight(), delivery.concurrency_limit()), (0, 4));
}

#[tokio::test]
async fn no_answer_in_time_halves_it() {
    let queue = FormQueue::start();
    queue.script([Answer::Silence]);
    let delivery = delivery(&queue, Duration::from_millis(100));
    assert_eq!(delivery.deliver(&events(1)).await, [Ending::Delivered { duplicate: false }]);
    assert_eq!((delivery.concurrency_limit(), delivery.latency().count()), (2, 2));
}

#[tokio::test]
async fn a_wish_to_be_left_alone_halves_it() {
    let queue = FormQueue::start();
    queue.script([Answer::Status(429, "Retry-After: 7\r\n", "")]);
    let delivery = delivery(&queue, LONG);
    delivery.deliver(&events(1)).await;
    assert_eq!(delivery.concurrency_limit(), 2);
}

#[tokio::test]
async fn what_is_wrong_with_an_event_or_the_set_up_says_nothing_about_the_load() {
    for status in [404, 422] {
        let queue = FormQueue::start();
        queue.always(Answer::status(status));
        let delivery = delivery(&queue, LONG);
        for _ in 0..50 {
            delivery.deliver(&events(1)).await;
        }
        assert_eq!((delivery.concurrency_limit(), delivery.latency().count()), (4, 50), "{status}");
    }
}

#[tokio::test]
async fn an_attempt_that_is_given_up_is_no_longer_under_way() {
    let queue = FormQueue::start();
    queue.always(Answer::Silence);
    let delivery = delivery(&queue, LONG);
    let task = tokio::spawn({
        let delivery = delivery.clone();
        async move { delivery.deliver(&events(1)).await }
    });
    while delivery.in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!((delivery.in_flight(), delivery.latency().count()), (0, 0));
}

#[tokio::test]
async fn the_limit_that_is_kept_to_is_never_exceeded_and_all_arrives() {
    let queue = FormQueue::start();
    let sink = connect(&queue.url().parse().unwrap(), &ConnectOptions::default()).unwrap();
    let clock = Arc::new(SystemClock);
    let retrier = Retrier::new(RetryConfig::default()).unwrap();
    let delivery = Delivery::new(sink.into(), retrier, None, LONG, clock).with_concurrency(Concurrency::auto(8));
    let mut waiting = events(600);
    let mut under_way = tokio::task::JoinSet::new();
    loop {
        while under_way.len() < delivery.concurrency_limit()
            && let Some(event) = waiting.pop()
        {
            let delivery = delivery.clone();
            under_way.spawn(async move { delivery.deliver(&[event]).await });
        }
        let Some(endings) = under_way.join_next().await else { break };
        assert_eq!(endings.unwrap(), [Ending::Delivered { duplicate: false }]);
        assert!(delivery.in_flight() <= 8 && (1..=8).contains(&delivery.concurrency_limit()));
    }
    assert_eq!((queue.events().len(), delivery.latency().count()), (600, 600));
}
