//! NATS, against the real server.

use std::sync::Arc;

use form_usage_events::clock::SystemClock;
use form_usage_events::ping::{NatsCredentials, PingOptions, Pinger, Status, Step};
use serde_json::json;

use super::servers::{Nats, issue};
use super::{command, ping, pinged};

const STEPS: [&str; 8] = ["name", "tcp", "nats", "permission", "jetstream", "stream", "clock", "write"];

#[test]
fn a_server_that_is_fine() {
    let server = Nats::start(true, &[]);
    server.add_stream(&json!({"name": "USAGE", "subjects": ["usage.>"], "storage": "file"}));
    for query in ["", "?stream=USAGE"] {
        let url = format!("nats://{}/usage.events{query}", server.address);
        let without = ping(&url, &[]);
        without.fine(&STEPS);
        assert_eq!(without.step("write")["status"], "skipped");
        assert!(without.step("stream")["detail"].as_str().unwrap().starts_with("USAGE: 0 messages"));
        ping(&url, &["--write", "--count", "2"]).fine(&[&STEPS[..], &["read"]].concat());
    }
    let streams = ping(&format!("nats://{}/usage.events", server.address), &[]);
    assert_eq!(streams.step("jetstream")["detail"], "enabled, 1 streams", "the probe's stream is gone");
    assert!(streams.step("stream")["detail"].as_str().unwrap().starts_with("USAGE: 0 messages"));
}

#[test]
fn no_jetstream() {
    let server = Nats::start(false, &[]);
    ping(&format!("nats://{}/usage.events", server.address), &[]).failed_at("jetstream", "no JetStream");
}

#[test]
fn a_missing_stream_and_one_that_can_not_take_events() {
    let server = Nats::start(true, &[]);
    let to = |rest: &str| format!("nats://{}/{rest}", server.address);
    for (address, found, name) in [
        ("usage.events", "no stream takes the subject", "usage_events"),
        ("usage.events?stream=USAGE", "there is no stream", "USAGE"),
    ] {
        let pinged = ping(&to(address), &[]);
        let step = pinged.failed_at("stream", found);
        let advice =
            format!("make one (formusage publish --create-stream, or nats stream add {name} --subjects usage.events)");
        assert!(step["fix"].as_str().unwrap().contains(&advice), "{step}");
    }
    server.add_stream(&json!({"name": "OTHER", "subjects": ["other"]}));
    ping(&to("usage.events?stream=OTHER"), &[]).failed_at("stream", "takes other and not");
    server.add_stream(&json!({"name": "SHORT", "subjects": ["short"], "discard": "old", "max_msgs": 10}));
    let short = ping(&to("short"), &[]);
    let step = short.step("stream");
    assert_eq!((short.code, &step["status"]), (0, &"warning".into()), "{step}");
    assert!(step["detail"].as_str().unwrap().contains("drops the oldest"), "{step}");
    assert!(step["problem"]["fix"].as_str().or(step["fix"].as_str()).unwrap().contains("--discard=new"), "{step}");
    server.add_stream(&json!({"name": "DEAF", "subjects": ["deaf"], "no_ack": true}));
    ping(&to("deaf"), &[]).failed_at("stream", "acknowledges nothing");
}

#[test]
fn a_server_that_wants_to_know_who_it_is() {
    let server = Nats::start(true, &["--auth", "sesame-1"]);
    let url = format!("nats://{}/usage.events", server.address);
    let none = ping(&url, &[]);
    assert!(none.failed_at("permission", "Authorization")["fix"].as_str().unwrap().contains("FORMUSAGE_TOKEN"));
    for (token, step) in [("sesame-2", "permission"), ("sesame-1", "stream")] {
        let mut command = command(&url, &[]);
        command.env("FORMUSAGE_TOKEN", token);
        let pinged = pinged(command);
        pinged.failed_at(step, "");
        assert!(!pinged.report.to_string().contains("sesame") && !pinged.stderr.contains("sesame"));
    }
}

#[tokio::test]
async fn user_and_password() {
    let server = Nats::start(true, &["--user", "joe", "--pass", "hunter2"]);
    for (password, step) in [("hunter1", Step::Permission), ("hunter2", Step::Stream)] {
        let nats = Some(NatsCredentials { user: "joe".into(), password: password.into() });
        let options = PingOptions { nats, ..PingOptions::default() };
        assert!(!format!("{options:?}").contains("hunter"));
        let target = format!("nats://{}/usage.events", server.address).parse().unwrap();
        let mut pinger = Pinger::new(target, options, Arc::new(SystemClock)).unwrap();
        pinger.round().await;
        let report = pinger.report();
        let last = report.addresses[0].steps.last().unwrap();
        assert_eq!((last.step, last.status), (step, Status::Failed), "{report:?}");
    }
}

#[tokio::test]
async fn a_short_password_takes_no_letters_out_of_the_report() {
    let server = Nats::start(true, &["--user", "joe", "--pass", "hunter2"]);
    let mut found = Vec::new();
    for password in ["other-password", "a", "in"] {
        let nats = Some(NatsCredentials { user: "joe".into(), password: password.into() });
        let options = PingOptions { nats, ..PingOptions::default() };
        let target = format!("nats://{}/usage.events", server.address).parse().unwrap();
        let mut pinger = Pinger::new(target, options, Arc::new(SystemClock)).unwrap();
        pinger.round().await;
        let steps = pinger.report().addresses.remove(0).steps;
        found.push(steps.into_iter().map(|step| (step.detail, step.problem)).collect::<Vec<_>>());
    }
    assert_eq!((&found[1], &found[2]), (&found[0], &found[0]));
    let words = &found[0].last().unwrap().0;
    assert!(words.starts_with("the server refused us: Authorization Violation"), "{words}");
}

#[test]
fn tls_after_the_greeting() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let issued = issue("127.0.0.1", 2020, 2090);
    std::fs::write(path("root.pem"), &issued.root_pem).unwrap();
    std::fs::write(path("leaf.pem"), &issued.leaf_pem).unwrap();
    std::fs::write(path("key.pem"), &issued.key_pem).unwrap();
    let server = Nats::start(true, &["--tls", "--tlscert", &path("leaf.pem"), "--tlskey", &path("key.pem")]);
    // The server asks for TLS, whatever the URL says.
    for scheme in ["tls", "nats"] {
        let url = format!("{scheme}://{}/usage.events", server.address);
        let pinged = ping(&url, &["--ca-file", &path("root.pem")]);
        pinged.failed_at("stream", "no stream");
        assert_eq!(pinged.step("tls")["status"], "ok");
        ping(&url, &[]).failed_at("tls", "untrusted");
    }
    let plain = Nats::start(true, &[]);
    ping(&format!("tls://{}/usage.events", plain.address), &[]).failed_at("tls", "offers no TLS");
}

#[test]
fn every_host_of_a_list_is_tried() {
    let (one, other) = (Nats::start(true, &[]), Nats::start(false, &[]));
    let pinged = ping(&format!("nats://{},{}/usage.events", one.address, other.address), &[]);
    let last = |index: usize| {
        let steps = pinged.report["addresses"][index]["steps"].as_array().unwrap();
        steps.last().unwrap()["step"].as_str().unwrap().to_owned()
    };
    assert_eq!((pinged.code, last(0), last(1)), (1, "stream".to_owned(), "jetstream".to_owned()));
}
