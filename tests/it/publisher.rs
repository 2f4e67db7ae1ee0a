//! The publisher as services embed it, against a queue that misbehaves on purpose.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use form_usage_events::circuit_breaker::{CircuitBreakerConfig, CircuitState};
use form_usage_events::clock::{Clock, ManualClock};
use form_usage_events::errors::UsageEventError;
use form_usage_events::publish::EventPublisher;
use form_usage_events::retry::{Random, RetryConfig};
use form_usage_events::threshold::{ThresholdConfig, ThresholdManager};
use form_usage_events::transport::ConnectOptions;

use crate::form_queue::{Answer, FormQueue};
use crate::support::{event, line};

const NOW: u64 = 1_700_000_000;

/// A publisher to `queue` whose waits take no time and are remembered by the clock.
fn publisher(queue: &FormQueue) -> (EventPublisher, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at_unix(NOW));
    let publisher = EventPublisher::with_config("127.0.0.1".into(), queue.port(), "usage_events".into(), 0)
        .with_clock(clock.clone(), Random::new(|| 0.5));
    (publisher, clock)
}

/// What is logged while it listens.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || log.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn millis(clock: &ManualClock) -> Vec<u128> {
    clock.sleeps().iter().map(Duration::as_millis).collect()
}

#[tokio::test]
async fn an_event_arrives_byte_for_byte() {
    let queue = FormQueue::start();
    publisher(&queue).0.publish(event("a", 0)).await.unwrap();
    assert_eq!(queue.events(), [line("a", 0)]);
}

#[tokio::test]
async fn failures_of_the_service_are_retried_with_identical_bytes() {
    for answer in [
        Answer::status(503),
        Answer::status(500),
        Answer::status(408),
        Answer::status(429),
        Answer::Fail(Some("full")),
        Answer::Fail(None),
        Answer::Reset { taken: false },
        Answer::Reset { taken: true },
        Answer::Half,
        Answer::Status(200, "", "{\"List\":[[1]]}"),
        Answer::Status(200, "", ""),
    ] {
        let queue = FormQueue::start();
        queue.script([answer.clone(), answer.clone()]);
        let (publisher, clock) = publisher(&queue);
        publisher.publish(event("a", 0)).await.unwrap_or_else(|error| panic!("{answer:?}: {error}"));
        let writes = queue.writes();
        assert_eq!(writes.len(), 3, "{answer:?}");
        assert!(writes.iter().all(|write| *write == writes[0]), "{answer:?}");
        assert_eq!(millis(&clock), [100, 200], "{answer:?}");
        assert_eq!(queue.events(), [line("a", 0)], "{answer:?}");
    }
}

#[tokio::test]
async fn the_waits_of_a_bad_afternoon() {
    let queue = FormQueue::start();
    queue.script([Answer::status(503), Answer::Status(429, "retry-after: 2\r\n", "slow down"), Answer::Half]);
    let (publisher, clock) = publisher(&queue);
    publisher.publish(event("a", 0)).await.unwrap();
    assert_eq!(millis(&clock), [100, 2_000, 400]);
}

#[tokio::test]
async fn a_wish_to_be_left_alone_holds_back_every_event() {
    let queue = FormQueue::start();
    queue.script([Answer::Status(503, "retry-after: 60\r\n", "")]);
    let (publisher, clock) = publisher(&queue);
    let impatient = publisher.clone().with_retry_config(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    impatient.publish(event("a", 0)).await.unwrap_err();
    assert!(clock.sleeps().is_empty());
    impatient.publish(event("b", 0)).await.unwrap();
    assert_eq!(millis(&clock), [60_000]);
}

#[tokio::test]
async fn what_no_retry_mends_is_tried_once_and_told_apart() {
    for (answer, says) in [
        (Answer::status(400), "can't be delivered as it is"),
        (Answer::status(413), "can't be delivered as it is"),
        (Answer::status(422), "can't be delivered as it is"),
        (Answer::status(401), "check the token"),
        (Answer::status(403), "check the token"),
        (Answer::status(404), "check host, port"),
        (Answer::status(405), "check host, port"),
        (Answer::status(415), "check host, port"),
        (Answer::Status(301, "location: http://elsewhere/\r\n", ""), "to http://elsewhere/; it redirects"),
        (Answer::Status(200, "", "<html>welcome</html>"), "is not a Form queue"),
        (Answer::Status(200, "", "{\"ok\":true}"), "is not a Form queue"),
        (Answer::Raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "does not speak HTTP"),
    ] {
        let queue = FormQueue::start();
        queue.always(answer.clone());
        let error = publisher(&queue).0.publish(event("a", 0)).await.unwrap_err();
        assert!(matches!(error, UsageEventError::PublishError(_)), "{answer:?}: {error:?}");
        assert!(error.to_string().contains(says), "{answer:?}: {error}");
        assert_eq!(queue.writes().len(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn an_endless_reply_is_not_read_to_its_end() {
    let queue = FormQueue::start();
    let body: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    queue.always(Answer::Status(200, "", body));
    let error = publisher(&queue).0.publish(event("a", 0)).await.unwrap_err();
    assert!(error.to_string().contains("exceeds 65536 bytes"), "{error}");
}

#[tokio::test]
async fn nobody_listens() {
    // A port that was free a moment ago and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let clock = Arc::new(ManualClock::at_unix(NOW));
    let publisher = EventPublisher::with_config("http://127.0.0.1".into(), port, "usage_events".into(), 0)
        .with_clock(clock.clone(), Random::new(|| 0.5));
    let error = publisher.publish(event("a", 0)).await.unwrap_err();
    assert!(matches!(error, UsageEventError::ConnectionError(_)), "{error:?}");
    assert!(error.to_string().contains("check that the queue runs"), "{error}");
    assert_eq!(millis(&clock), [100, 200, 400]);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_named() {
    let publisher = EventPublisher::with_config("no-such-host.invalid".into(), 1, "usage_events".into(), 0);
    let error = publisher.publish(event("a", 0)).await.unwrap_err();
    assert!(matches!(error, UsageEventError::ConnectionError(_)), "{error:?}");
    assert!(error.to_string().contains("\"no-such-host.invalid\" does not resolve"), "{error}");
}

#[tokio::test]
async fn a_reply_that_never_comes_is_waited_for_so_long_and_then_asked_for_again() {
    let queue = FormQueue::start();
    queue.script([Answer::Silence]);
    let (publisher, clock) = publisher(&queue);
    let options = ConnectOptions { timeout: Duration::from_millis(200), ..ConnectOptions::default() };
    publisher.with_connect_options(options).publish(event("a", 0)).await.unwrap();
    assert_eq!(millis(&clock), [100]);
    assert_eq!(queue.events(), [line("a", 0)], "taken once");
}

#[tokio::test]
async fn plain_http_where_tls_is_expected_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // A web server's answer to a greeting that it can't read.
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = connection.read(&mut [0; 1024]);
    });
    let publisher = EventPublisher::with_config("https://127.0.0.1".into(), port, "usage_events".into(), 0);
    let error = publisher.publish(event("a", 0)).await.unwrap_err().to_string();
    assert!(error.contains("no trusted TLS connection to https://127.0.0.1"), "{error}");
}

#[tokio::test]
async fn the_breaker_opens_leaves_the_queue_alone_and_closes() {
    let queue = FormQueue::start();
    queue.script(vec![Answer::status(503); 5]);
    let (publisher, clock) = publisher(&queue);
    let publisher = publisher.with_default_circuit_breaker();
    let error = publisher.publish(event("a", 0)).await.unwrap_err();
    assert!(matches!(error, UsageEventError::PublishError(_)), "{error:?}");
    publisher.publish(event("a", 0)).await.unwrap_err();
    assert_eq!((publisher.circuit_state(), queue.writes().len()), (Some(CircuitState::Open), 5));
    let error = publisher.publish(event("a", 0)).await.unwrap_err();
    assert!(matches!(error, UsageEventError::CircuitBreakerOpen), "{error:?}");
    assert_eq!(queue.writes().len(), 5, "no attempt is made");
    clock.advance(Duration::from_secs(30));
    publisher.publish(event("a", 0)).await.unwrap();
    assert_eq!((publisher.circuit_state(), queue.writes().len()), (Some(CircuitState::Closed), 6));
}

#[tokio::test]
async fn an_event_that_is_refused_for_itself_does_not_open_the_breaker() {
    let queue = FormQueue::start();
    queue.script(vec![Answer::status(422); 8]);
    let publisher = publisher(&queue)
        .0
        .with_circuit_breaker(CircuitBreakerConfig { failure_threshold: 2, ..CircuitBreakerConfig::default() });
    for n in 0..8 {
        publisher.publish(event("a", n)).await.unwrap_err();
    }
    assert_eq!(publisher.circuit_state(), Some(CircuitState::Closed));
    publisher.publish(event("a", 8)).await.unwrap();
}

#[tokio::test]
async fn clones_share_one_breaker() {
    let queue = FormQueue::start();
    queue.always(Answer::status(503));
    let publisher = publisher(&queue)
        .0
        .with_circuit_breaker(CircuitBreakerConfig { failure_threshold: 1, ..CircuitBreakerConfig::default() });
    let other = publisher.clone();
    publisher.publish(event("a", 0)).await.unwrap_err();
    assert!(matches!(other.publish(event("b", 0)).await, Err(UsageEventError::CircuitBreakerOpen)));
}

#[tokio::test]
async fn a_batch_says_for_each_event_how_it_went() {
    let queue = FormQueue::start();
    queue.script([Answer::Take, Answer::status(422), Answer::Take]);
    let mut senseless = event("b", 0);
    senseless.metrics.cpu_percent_avg = -12.5;
    let mut unsayable = event("c", 0);
    unsayable.metrics.memory_gb = f64::INFINITY;
    let batch = vec![event("a", 0), senseless, event("a", 1), unsayable, event("a", 2)];
    let results = publisher(&queue).0.publish_batch(batch).await;
    let kinds: Vec<&str> = results
        .iter()
        .map(|result| match result {
            Ok(()) => "ok",
            Err(UsageEventError::PublishError(message)) if message.contains("was not sent") => "invalid",
            Err(UsageEventError::PublishError(_)) => "refused",
            Err(UsageEventError::SerializationError(_)) => "unsayable",
            Err(_) => "other",
        })
        .collect();
    assert_eq!(kinds, ["ok", "invalid", "refused", "unsayable", "ok"]);
    assert_eq!(queue.events(), [line("a", 0), line("a", 2)]);
}

#[tokio::test]
async fn an_invalid_event_is_not_sent_and_its_fault_is_named() {
    let queue = FormQueue::start();
    let mut wrong = event("a", 0);
    wrong.metrics.cpu_percent_avg = -12.5;
    // What is only implausible is no reason, and is not named as one.
    wrong.metrics.memory_percent = 1250.0;
    let error = publisher(&queue).0.publish(wrong).await.unwrap_err().to_string();
    assert!(error.contains("cpu_percent_avg") && error.contains("-12.5") && !error.contains("1250"), "{error}");
    assert!(queue.requests().is_empty());
}

#[tokio::test]
async fn implausible_events_are_delivered_and_warned_of_once() {
    let queue = FormQueue::start();
    let log = Log::default();
    let _subscriber = log.listen();
    let times_100 = |instance: &str, n| {
        let mut odd = event(instance, n);
        odd.metrics.cpu_percent_avg = 1250.0;
        odd
    };
    let mut early = event("a", 2);
    early.timestamp = early.period.start;
    let (publisher, _) = publisher(&queue);
    publisher.publish(times_100("a", 0)).await.unwrap();
    let results = publisher.clone().publish_batch([times_100("a", 1), early, times_100("b", 0)]).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(queue.events().len(), 4);
    let said = log.text();
    assert_eq!(said.matches("percentage-times-100").count(), 2, "once for each instance: {said}");
    assert_eq!(said.matches("stamped-early").count(), 1, "{said}");
    assert!(said.contains("WARN") && said.contains("metrics.cpu_percent_avg"), "{said}");
}

#[tokio::test]
async fn an_event_too_large_for_the_queue_is_not_sent() {
    let queue = FormQueue::start();
    let long: serde_json::Value = serde_json::from_str(&line("a", 0)).unwrap();
    // A field that rides along may be of any length; ids may not.
    let mut long = long;
    long["note"] = "x".repeat(700_000).into();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), long.to_string()).unwrap();
    let output = crate::support::formusage().args(["publish", "--to", &queue.url()]).arg(file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("the queue takes 2097152"), "{}", &words[..words.len().min(300)]);
    assert!(queue.requests().is_empty());
}

#[tokio::test]
async fn thresholds_are_checked_and_stop_nothing() {
    let queue = FormQueue::start();
    let configs: Vec<ThresholdConfig> = serde_json::from_str(
        r#"[{"id":"cpu","resource_type":"Cpu","threshold_type":{"Percentage":{"value":10.0}},"action":"Log","user_id":"*","notification_channels":[]}]"#,
    )
    .unwrap();
    let manager = Arc::new(ThresholdManager::from_configs(configs).unwrap());
    assert_eq!(manager.event_violations(&event("a", 0)).len(), 1);
    publisher(&queue).0.with_threshold_manager(manager).publish(event("a", 0)).await.unwrap();
    assert_eq!(queue.events().len(), 1);
}

#[tokio::test]
async fn thresholds_that_cannot_be_read_are_an_error_when_asked_for() {
    let error = EventPublisher::new().with_new_threshold_manager("/no/such/file.json".into()).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/file.json"), "{error}");
}

#[test]
fn building_one_needs_no_runtime() {
    let clock = Arc::new(ManualClock::at_unix(NOW));
    assert_eq!(clock.unix_seconds(), 1_700_000_000);
    let publisher = EventPublisher::new().with_retry_config(RetryConfig::default()).with_default_circuit_breaker();
    publisher.check().unwrap();
}
