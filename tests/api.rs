//! The calls of the documentation, letter for letter as services write them: plain literals, no suffixes, no imports but
//! the documented paths. The crate beside this file compiles it once more with the library as its only dependency of ours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use form_usage_events::circuit_breaker::CircuitBreakerConfig;
use form_usage_events::errors::UsageEventError;
use form_usage_events::events::{UsageEvent, UsageMetrics, UsagePeriod};
use form_usage_events::publish::EventPublisher;
use form_usage_events::retry::RetryConfig;
use form_usage_events::threshold::{ActionType, ResourceType, ThresholdConfig, ThresholdManager, ThresholdType};

/// A Form queue that takes every write, and hands on the events.
fn queue() -> (u16, Receiver<serde_json::Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, events) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut reader = BufReader::new(connection);
            while let Some(body) = read_request(&mut reader) {
                let write: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let content = write["Write"]["content"].as_array().unwrap().iter();
                let bytes: Vec<u8> = content.map(|byte| byte.as_u64().unwrap() as u8).collect();
                assert_eq!(bytes[0], 0, "the sub-topic");
                sender.send(serde_json::from_slice(&bytes[1..]).unwrap()).unwrap();
                let reply =
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n\"OpSuccess\"";
                reader.get_mut().write_all(reply).unwrap();
            }
        }
    });
    (port, events)
}

/// The body of the next request; `None` at the end of the connection.
fn read_request(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 {
            return None;
        }
        let header = header.trim().to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        } else if header.is_empty() {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            return Some(body);
        }
    }
}

const JSON_EXAMPLE: &str = r#"{
  "event_type": "resource_usage",
  "version": "1.0",
  "timestamp": 1626350430,
  "instance_id": "instance-abc123",
  "user_id": "user_123456",
  "org_id": "org_789012",
  "metrics": {
    "cpu_seconds": 30,
    "cpu_percent_avg": 12.5,
    "memory_gb": 4.2,
    "memory_percent": 52.5,
    "storage_gb": 25.7,
    "network_egress_mb": 15.2,
    "network_ingress_mb": 8.7,
    "gpu_seconds": 0
  },
  "period": {
    "start": 1626350400,
    "end": 1626350430
  }
}"#;

const THRESHOLD_EXAMPLE: &str = r#"{
  "id": "cpu-high",
  "resource_type": "Cpu",
  "threshold_type": {
    "Percentage": {
      "value": 80.0
    }
  },
  "action": "Notify",
  "user_id": "*",
  "notification_channels": ["email"]
}"#;

fn metrics() -> UsageMetrics {
    UsageMetrics {
        cpu_seconds: 30,
        cpu_percent_avg: 12.5,
        memory_gb: 4.2,
        memory_percent: 52.5,
        storage_gb: 25.7,
        network_egress_mb: 15.2,
        network_ingress_mb: 8.7,
        gpu_seconds: 0,
    }
}

#[test]
fn the_json_example_is_the_documented_event() {
    let event: UsageEvent = serde_json::from_str(JSON_EXAMPLE).unwrap();
    let documented = UsageEvent {
        event_type: "resource_usage".to_string(),
        version: "1.0".to_string(),
        timestamp: 1626350430,
        instance_id: "instance-abc123".to_string(),
        user_id: "user_123456".to_string(),
        org_id: Some("org_789012".to_string()),
        metrics: metrics(),
        period: UsagePeriod { start: 1626350400, end: 1626350430 },
    };
    assert_eq!(event, documented);
    let written: serde_json::Value = serde_json::to_value(&event).unwrap();
    assert_eq!(written, serde_json::from_str::<serde_json::Value>(JSON_EXAMPLE).unwrap());
}

#[tokio::test]
async fn a_publisher_is_configured_and_publishes_as_documented() {
    let (port, events) = queue();

    // Basic configuration
    let publisher = EventPublisher::with_config(
        "127.0.0.1".to_string(),    // queue_endpoint
        port,                       // queue_port
        "usage_events".to_string(), // topic
        0,                          // sub_topic
    );

    // Add retry configuration
    let publisher = publisher.with_retry_config(RetryConfig {
        max_retries: 3,
        initial_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(10),
        backoff_multiplier: 2.0,
        jitter_factor: 0.1,
    });

    // Add circuit breaker
    let publisher = publisher.with_circuit_breaker(CircuitBreakerConfig {
        failure_threshold: 5,
        reset_timeout: Duration::from_secs(60),
        half_open_allowed_calls: 2,
    });

    // Create an event
    let metrics = metrics();
    let period = UsagePeriod { start: 1626350400, end: 1626350430 };
    let event = UsageEvent::new(
        "instance-abc123".to_string(),
        "user_123456".to_string(),
        Some("org_789012".to_string()),
        metrics,
        period,
    );

    // Publish with retries and circuit breaking
    match publisher.publish(event).await {
        Ok(_) => println!("Event published successfully"),
        Err(e) => panic!("Failed to publish event: {}", e),
    }
    let arrived = events.recv_timeout(Duration::from_secs(30)).unwrap();
    assert_eq!(arrived["instance_id"], "instance-abc123");
    assert_eq!(arrived["metrics"]["cpu_percent_avg"], 12.5);
}

#[tokio::test]
async fn a_publish_that_fails_says_why_as_documented() {
    // A port that was free a moment ago and that nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let publisher = EventPublisher::with_config("127.0.0.1".to_string(), port, "usage_events".to_string(), 0)
        .with_retry_config(RetryConfig { max_retries: 0, ..Default::default() });
    let event = serde_json::from_str(JSON_EXAMPLE).unwrap();
    match publisher.publish(event).await {
        Ok(_) => panic!("nobody took it"),
        Err(e) => assert!(e.to_string().starts_with("connection failed: "), "{}", e),
    }
}

#[test]
fn a_breaker_is_configured_from_the_settings_of_a_service() {
    struct Settings {
        failures: usize,
        trials: usize,
    }
    let settings = Settings { failures: 7, trials: 3 };
    let config = CircuitBreakerConfig {
        failure_threshold: settings.failures,
        reset_timeout: Duration::from_secs(60),
        half_open_allowed_calls: settings.trials,
    };
    assert!(EventPublisher::new().with_circuit_breaker(config).check().is_ok());
}

/// The manager of the documentation, with a source that exists.
async fn manager(folder: &std::path::Path) -> Result<ThresholdManager, UsageEventError> {
    std::fs::create_dir_all(folder).unwrap();
    let config_source = folder.join("thresholds.json");
    std::fs::write(&config_source, THRESHOLD_EXAMPLE.replace("Notify", "Log")).unwrap();

    // Create a threshold manager
    let manager = ThresholdManager::new(config_source.display().to_string());

    // Load configurations
    manager.load_configs().await?;
    Ok(manager)
}

fn folder(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("form-usage-events-api-{}-{name}", std::process::id()))
}

#[tokio::test]
async fn thresholds_are_loaded_and_checked_as_documented() -> Result<(), UsageEventError> {
    let folder = folder("check");
    let manager = manager(&folder).await?;
    let metrics = UsageMetrics { cpu_percent_avg: 95.0, ..metrics() };

    // Check metrics against thresholds
    let violations = manager.check_thresholds(&metrics, "instance-abc123", "user_123456").await?;
    assert_eq!(violations.len(), 1);
    let violation = &violations[0];
    assert_eq!((violation.config.id.as_str(), violation.current_value), ("cpu-high", 95.0));
    assert_eq!((violation.threshold_value, violation.percentage), (80.0, 18.75));
    assert_eq!((violation.instance_id.as_str(), violation.user_id.as_str()), ("instance-abc123", "user_123456"));
    assert!(violation.timestamp > 1626350430, "now");

    // Process threshold violations
    manager.process_violations(violations).await?;

    // Or check an entire event
    let event: UsageEvent = serde_json::from_str(JSON_EXAMPLE)?;
    manager.check_event(&event).await?;
    std::fs::remove_dir_all(folder).unwrap();
    Ok(())
}

#[tokio::test]
async fn thresholds_are_integrated_with_the_publisher_as_documented() -> Result<(), UsageEventError> {
    let (port, events) = queue();
    let folder = folder("publish");
    let manager = manager(&folder).await?;
    let publisher = EventPublisher::with_config("127.0.0.1".to_string(), port, "usage_events".to_string(), 0);

    // Integrate with the publisher
    let publisher = publisher.with_threshold_manager(Arc::new(manager));

    let mut event: UsageEvent = serde_json::from_str(JSON_EXAMPLE)?;
    event.metrics.cpu_percent_avg = 95.0;
    publisher.publish(event).await?;
    assert_eq!(events.recv_timeout(Duration::from_secs(30)).unwrap()["metrics"]["cpu_percent_avg"], 95.0);
    std::fs::remove_dir_all(folder).unwrap();
    Ok(())
}

#[test]
fn a_new_manager_takes_what_a_string_literal_becomes() {
    let manager = ThresholdManager::new("config_source".into());
    assert!(manager.thresholds().is_empty());
}

#[test]
fn a_threshold_is_read_and_built_from_the_documented_fields() {
    let read: ThresholdConfig = serde_json::from_str(THRESHOLD_EXAMPLE).unwrap();
    let built = ThresholdConfig {
        id: "cpu-high".to_string(),
        resource_type: ResourceType::Cpu,
        threshold_type: ThresholdType::Percentage { value: 80.0 },
        action: ActionType::Notify,
        user_id: "*".to_string(),
        instance_id: None,
        notification_channels: vec!["email".to_string()],
        description: None,
        ..Default::default()
    };
    assert_eq!(read, built);
}

/// No wildcard: the six variants are all there are.
fn kind(error: &UsageEventError) -> &'static str {
    match error {
        UsageEventError::SerializationError(_) => "serialization",
        UsageEventError::PublishError(_) => "publish",
        UsageEventError::CircuitBreakerOpen => "circuit breaker",
        UsageEventError::ConnectionError(_) => "connection",
        UsageEventError::HttpError(_) => "http",
        UsageEventError::Other(_) => "other",
    }
}

#[test]
fn errors_convert_match_and_say_their_kind() {
    fn parse() -> Result<UsageEvent, UsageEventError> {
        Ok(serde_json::from_str("{")?)
    }
    fn ask() -> Result<reqwest::Proxy, UsageEventError> {
        Ok(reqwest::Proxy::all("http://[")?)
    }
    let errors = [
        parse().unwrap_err(),
        UsageEventError::PublishError("x".to_string()),
        UsageEventError::CircuitBreakerOpen,
        UsageEventError::ConnectionError("x".to_string()),
        ask().unwrap_err(),
    ];
    let kinds: Vec<_> = errors.iter().map(kind).collect();
    assert_eq!(kinds, ["serialization", "publish", "circuit breaker", "connection", "http"]);
    for (error, kind) in errors.iter().zip(kinds) {
        assert!(error.to_string().to_lowercase().contains(kind), "{error}");
    }
    assert_eq!(kind(&UsageEventError::Other("x".to_string())), "other");
}

/// A percentage that is a hundred times too large is somebody's usage all the same.
#[tokio::test]
async fn an_implausible_event_is_delivered() {
    let (port, events) = queue();
    let publisher = EventPublisher::with_config("127.0.0.1".to_string(), port, "usage_events".to_string(), 0);
    let mut event: UsageEvent = serde_json::from_str(JSON_EXAMPLE).unwrap();
    event.metrics.cpu_percent_avg = 1250.0;
    publisher.publish(event).await.unwrap();
    assert_eq!(events.recv_timeout(Duration::from_secs(30)).unwrap()["metrics"]["cpu_percent_avg"], 1250.0);
}
