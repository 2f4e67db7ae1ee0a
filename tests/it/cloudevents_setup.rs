//! CloudEvents over HTTP: settings that do not fit the service, and secrets.

use std::io::{BufReader, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;

use form_usage_events::clock::ManualClock;
use form_usage_events::errors::UsageEventError;
use form_usage_events::publish::EventPublisher;
use form_usage_events::retry::Random;
use form_usage_events::transport::Destination;
use predicates::prelude::*;
use predicates::str::contains;

use crate::event_service::{Service, TAKEN, headers_of};
use crate::form_queue::read_request;
use crate::support::{SpawnGuarded as _, event, formusage, formusage_process, line, lines};

#[test]
fn what_is_set_up_wrong_is_no_ones_dead_letter_and_says_what_to_check() {
    for (mode, reply, says) in [
        ("batched", (401, "", "who are you"), "check the token (FORMUSAGE_TOKEN or --token-file) and the headers"),
        ("binary", (403, "", ""), "--header-file"),
        ("batched", (404, "", ""), "check host, port and path"),
        ("batched", (405, "", ""), "check host, port and path"),
        ("batched", (415, "", ""), "--cloudevents-mode binary"),
        ("structured", (415, "", ""), "try another --cloudevents-mode"),
        ("batched", (207, "", "[{\"status\":500}]"), "--cloudevents-mode structured"),
        ("batched", (308, "location: https://elsewhere/\r\n", ""), "to https://elsewhere/; it redirects"),
    ] {
        let service = Service::start(move |_, _| reply);
        service
            .publish(&["--cloudevents-mode", mode])
            .write_stdin(lines("a", 2))
            .assert()
            .code(2)
            .stdout(contains("\"undelivered\":2").and(contains("\"dead\":0")))
            .stderr(contains(says).and(contains("tenant=7").not()).and(contains("2 events wait in the spool")));
    }
}

#[test]
fn a_refused_batch_tells_that_batches_may_be_the_reason() {
    let service = Service::start(|_, _| (400, "", "expected an object"));
    service
        .publish(&[])
        .write_stdin(lines("a", 1))
        .assert()
        .code(1)
        .stdout(contains("\"dead\":1"))
        .stderr(contains("expected an object").and(contains("takes no batches (--cloudevents-mode binary)")));
}

#[test]
fn secrets_are_sent_and_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let headers = folder.path().join("headers");
    std::fs::write(&headers, "# for the tests\r\nX-Api-Key:  s3cret-key \r\n\nX-Tenant: blue:green\n").unwrap();
    let headers = headers.to_str().unwrap();
    // A service that repeats in its refusal what it was given.
    for status in [401, 422, 503] {
        let service = Service::start(move |_, _| (status, "", "bad: Bearer hunter2, s3cret-key, blue:green"));
        let output = service
            .publish(&["-vvv", "--header-file", headers, "--drain-timeout", "100ms", "--max-retries", "0"])
            .env("FORMUSAGE_TOKEN", "hunter2")
            .write_stdin(lines("a", 1))
            .output()
            .unwrap();
        let sent = headers_of(&service.requests()[0]);
        assert_eq!(sent["authorization"], "Bearer hunter2");
        assert_eq!(
            (&sent["x-api-key"], &sent["x-tenant"]),
            (&"s3cret-key".parse().unwrap(), &"blue:green".parse().unwrap())
        );
        let shown = [output.stdout, output.stderr].concat();
        let shown = String::from_utf8_lossy(&shown);
        assert!(shown.contains("(secret)"), "{shown}");
        for secret in ["hunter2", "s3cret", "blue:green"] {
            assert!(!shown.contains(secret), "{status} {secret}: {shown}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn secrets_do_not_stand_in_the_process_list() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "X-Api-Key: s3cret-key\n").unwrap();
    let service = Service::start(|_, _| (0, "", ""));
    let mut command = formusage_process();
    command.args(["publish", "--to", &service.url(), "--event", &line("a", 0), "--header-file"]).arg(file.path());
    let mut child =
        command.env("FORMUSAGE_TOKEN", "hunter2").stdout(Stdio::null()).stderr(Stdio::null()).spawn_guarded();
    service.wait_for_requests(1);
    let list = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let list = String::from_utf8_lossy(&list);
    assert!(list.contains("--header-file") && !list.contains("s3cret") && !list.contains("hunter2"), "{list}");
    assert_eq!(headers_of(&service.requests()[0])["x-api-key"], "s3cret-key");
}

#[test]
fn what_cannot_be_sent_is_refused_before_anything_is() {
    let service = Service::start(|_, _| TAKEN);
    let file = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    };
    let cases = [
        (file("hunter2\n"), ":1: no header"),
        (file("\nX-Key hunter2: x\n"), ":2: no header"),
        (file("X-Key: \n"), ":1: no header"),
        (file("ce-id: hunter2\n"), "ce-id is written by formusage itself"),
        (file("X-Key: hunter2\u{1}\n"), "extra header x-key has a value"),
    ];
    for (file, says) in &cases {
        let output = service.publish(&["--header-file"]).arg(file.path()).write_stdin(lines("a", 1)).assert().code(2);
        output.stderr(contains(*says).and(contains("hunter2").not()));
    }
    let refused = service.publish(&["--cloudevents-source", "a b"]).write_stdin(lines("a", 1)).assert().code(2);
    refused.stderr(contains("\"a b\" is no URI reference"));
    let missing = service.publish(&["--header-file", "/no/such/file"]).write_stdin(lines("a", 1)).assert().code(2);
    missing.stderr(contains("/no/such/file"));
    let named = formusage().args(["publish", "--to", "https://joe:hunter2@h/x"]).assert().code(2);
    named.stderr(contains("FORMUSAGE_TOKEN").and(contains("--header-file")));
    assert!(service.requests().is_empty());
}

#[test]
fn nothing_is_read_back_from_there() {
    formusage()
        .args(["read", "--from", "https://billing.example/events?key=x"])
        .assert()
        .code(2)
        .stdout("")
        .stderr(contains("nothing can be read back from https://billing.example/events:").and(contains("sqlite:PATH")));
}

#[tokio::test]
async fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let to: Destination = format!("http://127.0.0.1:{port}/events?key=x").parse().unwrap();
    let publisher =
        EventPublisher::to(to).with_clock(Arc::new(ManualClock::at_unix(1_700_000_000)), Random::new(|| 0.5));
    let error = publisher.publish(event("a", 0)).await.unwrap_err();
    assert!(matches!(error, UsageEventError::ConnectionError(_)), "{error:?}");
    let words = error.to_string();
    assert!(words.contains("check that the service runs") && !words.contains("key=x"), "{words}");
}

/// A service behind TLS with a certificate of its own making, which only who is told trusts.
#[test]
fn over_tls_to_a_certificate_that_is_trusted_and_to_no_other() {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let trusted = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(trusted.path(), pair.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = BufReader::new(rustls::StreamOwned::new(session, connection));
            while read_request(&mut stream).is_some() {
                let _ = stream.get_mut().write_all(b"HTTP/1.1 204 X\r\n\r\n");
            }
        }
    });
    let to = format!("https://127.0.0.1:{port}/events");
    let publish = || {
        let mut command = formusage();
        command.args(["publish", "--to", &to, "--event", &line("a", 0)]);
        command
    };
    publish().env("SSL_CERT_FILE", trusted.path()).assert().code(0).stderr("");
    publish().assert().code(2).stderr(contains("no trusted TLS connection to https://127.0.0.1"));
}
