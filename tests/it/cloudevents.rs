//! CloudEvents over HTTP: what is sent, and what becomes of events that a service takes, refuses or fails.

use std::io::{BufReader, Write};
use std::net::{Shutdown, TcpListener};

use cloudevents::AttributesReader;
use form_usage_events::errors::UsageEventError;
use form_usage_events::events::EventId;
use form_usage_events::publish::EventPublisher;
use form_usage_events::transport::{CloudEventsMode, Destination};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use crate::event_service::{Service, TAKEN, data, headers_of, holds, subjects};
use crate::form_queue::read_request;
use crate::support::{event, line, lines};

#[test]
fn every_mode_is_read_back_by_another_implementation() {
    for (mode, kind, requests) in [
        ("binary", "application/json", 3),
        ("structured", "application/cloudevents+json", 3),
        ("batched", "application/cloudevents-batch+json", 1),
    ] {
        let service = Service::start(|_, _| TAKEN);
        // Digits and unknown fields ride along.
        let odd = line("a", 1).replace("12.5", "12.500").replacen('{', "{\"rack\":[1e2],", 1);
        let input = [line("a", 0), odd, line("a", 2)];
        service
            .publish(&["--cloudevents-mode", mode, "--cloudevents-source", "https://meter.example/eu"])
            .write_stdin(input.join("\n"))
            .assert()
            .code(0)
            .stdout(contains("\"delivered\":3"))
            .stderr("");
        let seen = service.requests();
        // How many events a batch finds waiting is a matter of time.
        assert!(if mode == "batched" { (requests..=3).contains(&seen.len()) } else { seen.len() == requests });
        for request in &seen {
            assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/v1/events?tenant=7"));
            assert_eq!(headers_of(request)["content-type"], kind);
        }
        let bodies: Vec<u8> = seen.iter().flat_map(|request| request.body.clone()).collect();
        let bodies = String::from_utf8(bodies).unwrap();
        let taken = service.taken();
        assert_eq!(taken.len(), 3);
        for (event, line) in taken.iter().zip(&input) {
            assert!(bodies.contains(line.as_str()), "{mode}: byte for byte");
            assert_eq!(data(event), serde_json::from_str::<Value>(line).unwrap(), "{mode}");
            assert_eq!(event.id(), EventId::of(line.as_bytes()).to_string(), "{mode}");
            assert_eq!(event.specversion().as_str(), "1.0");
            assert_eq!(event.source().as_str(), "https://meter.example/eu");
            assert_eq!(event.ty(), "formusage.resource_usage");
            assert_eq!(event.subject(), Some("a"));
            assert_eq!(event.datacontenttype(), Some("application/json"));
            let timestamp = data(event)["timestamp"].as_i64().unwrap();
            assert_eq!(event.time().unwrap().timestamp(), timestamp, "{mode}");
            assert_eq!(event.iter_extensions().count(), 0);
        }
    }
}

#[test]
fn a_web_page_in_place_of_an_acknowledgement_is_said_once() {
    let service = Service::start(|_, _| (200, "content-type: text/html; charset=utf-8\r\n", "<p>Sign in"));
    let said = contains("with 200 and a web page").count(1);
    service.publish(&["--cloudevents-mode", "binary"]).write_stdin(lines("a", 3)).assert().code(0).stderr(said);
}

#[test]
fn one_event_alone_in_binary_mode_is_its_own_bytes() {
    let service = Service::start(|_, _| TAKEN);
    service.publish(&["--cloudevents-mode", "binary", "--event", &line("a", 0)]).assert().code(0);
    let request = &service.requests()[0];
    assert_eq!(request.body, line("a", 0).into_bytes());
    let headers = headers_of(request);
    assert_eq!(headers["ce-source"], "/formusage");
    assert_eq!(headers["ce-time"], "2021-07-15T12:00:30Z");
    assert!(!headers.contains_key("ce-datacontenttype"));
}

#[test]
fn instances_with_any_letters_fit_into_headers() {
    let service = Service::start(|_, _| TAKEN);
    let quoted = serde_json::to_string(&event("Zoë \"1\" 100%", 0)).unwrap();
    service.publish(&["--cloudevents-mode", "binary", "--event", &quoted]).assert().code(0);
    assert_eq!(headers_of(&service.requests()[0])["ce-subject"], "Zo%C3%AB%20%221%22%20100%25");
}

#[test]
fn one_event_too_large_is_found_in_its_batch_and_all_others_are_delivered() {
    for status in [413, 400, 422] {
        let service =
            Service::start(move |request, _| if holds(request, "culprit") { (status, "", "too much") } else { TAKEN });
        let input: String =
            (0..40).map(|n| line(if n == 23 { "culprit" } else { ["a", "b", "c"][n % 3] }, n as i64) + "\n").collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        service
            .publish(&["--concurrency", "1", "--dead-letter", file.path().to_str().unwrap()])
            .write_stdin(input.clone())
            .assert()
            .code(1)
            .stdout(contains("\"delivered\":39").and(contains("\"dead\":1")).and(contains("\"retries\":0")));
        let letters = std::fs::read_to_string(file.path()).unwrap();
        let letter: Value = serde_json::from_str(&letters).unwrap();
        assert_eq!(letter["raw"], line("culprit", 23), "{status}: the culprit alone");
        let reason = letter["reason"].as_str().unwrap();
        assert!(reason.contains(&status.to_string()) && !reason.contains("a batch of events"), "{letter}");
        let taken = service.taken();
        for instance in ["a", "b", "c"] {
            let sent = input.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let sent: Vec<Value> = sent.filter(|event| event["instance_id"] == instance).collect();
            let came = taken.iter().filter(|event| event.subject() == Some(instance)).map(data);
            assert_eq!(came.collect::<Vec<_>>(), sent, "{status}: once, and in order");
        }
    }
}

#[tokio::test]
async fn a_batch_of_the_library_goes_in_batches_and_is_reported_event_by_event() {
    let service = Service::start(|request, _| if holds(request, "culprit") { (413, "", "") } else { TAKEN });
    let (publisher, _) = service.publisher(CloudEventsMode::Batched);
    let mut senseless = event("b", 0);
    senseless.metrics.cpu_percent_avg = -12.5;
    let mut events: Vec<_> = (0..250).map(|n| event("a", n)).collect();
    events.insert(120, senseless);
    let results = publisher.publish_batch(events.clone()).await;
    assert_eq!(service.requests().len(), 3, "of 100, 100 and 50 events");
    assert_eq!(service.taken().len(), 250);
    assert!(results.iter().enumerate().all(|(n, result)| result.is_ok() == (n != 120)));

    let mut events: Vec<_> = (0..5).map(|n| event("a", n)).collect();
    events.insert(3, event("culprit", 0));
    let results = publisher.publish_batch(events).await;
    let failed: Vec<usize> = (0..6).filter(|&n| results[n].is_err()).collect();
    assert_eq!(failed, [3]);
    assert!(matches!(&results[3], Err(UsageEventError::PublishError(why)) if why.contains("413")), "{results:?}");
    assert_eq!(service.taken().len(), 255);
}

#[tokio::test]
async fn what_a_failing_service_left_of_a_halved_batch_does_not_overtake() {
    // The batch is refused for its last event; then the service fails for the first half, and works again.
    let service = Service::start(|request, _| {
        if holds(request, "\"subject\":\"0\"") {
            (if holds(request, "culprit") { 413 } else { 503 }, "", "")
        } else {
            TAKEN
        }
    });
    let (publisher, _) = service.publisher(CloudEventsMode::Batched);
    let events = ["0", "a", "a", "culprit"].iter().zip(0..).map(|(instance, n)| event(instance, n));
    let results = publisher.publish_batch(events).await;
    assert!(results.iter().all(|result| matches!(result, Err(UsageEventError::PublishError(_)))), "{results:?}");
    assert!(service.taken().is_empty(), "{:?}", subjects(&service.taken()));
}

#[tokio::test]
async fn failures_of_the_service_are_tried_again_with_identical_bytes() {
    for (status, headers, waits) in [
        (429, "retry-after: 7\r\n", [7_000, 7_000]),
        (503, "", [100, 200]),
        (408, "", [100, 200]),
        (500, "", [100, 200]),
    ] {
        for mode in [CloudEventsMode::Binary, CloudEventsMode::Structured, CloudEventsMode::Batched] {
            let service = Service::start(move |_, n| if n < 2 { (status, headers, "later") } else { TAKEN });
            let (publisher, clock) = service.publisher(mode);
            publisher.publish(event("a", 0)).await.unwrap();
            let millis: Vec<_> = clock.sleeps().iter().map(std::time::Duration::as_millis).collect();
            assert_eq!(millis, waits, "{status} {mode:?}");
            let requests = service.requests();
            assert_eq!(requests.len(), 3);
            assert!(requests.iter().all(|it| (&it.body, &it.headers) == (&requests[0].body, &requests[0].headers)));
        }
    }
}

#[tokio::test]
async fn every_success_is_an_acknowledgement_whatever_its_text() {
    let endless: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    for reply in [(200, "", "{\"errors\":[1]}"), (201, "", ""), (202, "", "taken"), TAKEN, (200, "", endless)] {
        for mode in [CloudEventsMode::Binary, CloudEventsMode::Batched] {
            let service = Service::start(move |_, _| reply);
            service.publisher(mode).0.publish(event("a", 0)).await.unwrap();
            assert_eq!(service.requests().len(), 1);
        }
    }
}

/// The status has said it: what comes of the text, and when, is no matter.
#[tokio::test]
async fn a_success_whose_text_never_ends_is_one() {
    for end in ["", "close"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to: Destination = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let (sender, served) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            read_request(&mut BufReader::new(&connection)).unwrap();
            connection.write_all(b"HTTP/1.1 202 X\r\ncontent-length: 100\r\n\r\n{").unwrap();
            if end == "close" {
                connection.shutdown(Shutdown::Both).unwrap();
            }
            // One request and no other, and the connection is held until the publisher is through.
            sender.send(connection).unwrap();
        });
        EventPublisher::to(to).publish(event("a", 0)).await.unwrap();
        drop(served.recv().unwrap());
    }
}

#[test]
fn one_connection_serves_many_requests() {
    let service = Service::start(|_, _| (200, "content-type: application/json\r\n", "{\"accepted\":1}"));
    let options = ["--cloudevents-mode", "structured", "--concurrency", "1"];
    service.publish(&options).write_stdin(lines("a", 20)).assert().code(0);
    assert_eq!((service.requests().len(), service.connections()), (20, 1));
}

/// Many servers refuse what is too long when they have read its length, and close with the rest unread.
#[tokio::test]
async fn a_refusal_in_the_middle_of_a_batch_is_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to: Destination = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut reader = BufReader::new(connection.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(std::io::BufRead::read_line(&mut reader, &mut head).unwrap(), 0);
            }
            let length = head.lines().find_map(|it| it.strip_prefix("content-length: ")).unwrap();
            let length: usize = length.parse().unwrap();
            if length > 20_000 {
                connection.write_all(b"HTTP/1.1 413 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
                continue;
            }
            let mut body = vec![0; length];
            std::io::Read::read_exact(&mut reader, &mut body).unwrap();
            connection.write_all(b"HTTP/1.1 204 X\r\nconnection: close\r\n\r\n").unwrap();
        }
    });
    let mut events: Vec<_> = (0..100).map(|n| event("a", n)).collect();
    for event in &mut events {
        event.user_id = "x".repeat(256);
        event.org_id = Some("y".repeat(256));
    }
    let results = EventPublisher::to(to).publish_batch(events).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}
