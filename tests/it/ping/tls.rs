//! Certificates: what is wrong with one is named, and nothing goes over a connection that is not trusted.

use std::io::Write;

use super::servers::{Issued, answer_http, form, http, https, issue, tcp};
use super::{FORM_STEPS, Pinged, ping};

/// A queue behind TLS with this certificate, probed by someone who trusts its issuer.
fn probe(issued: &Issued, host: &str) -> Pinged {
    let server = https(issued, |method, path, body| form(method, path, body, ""));
    let mut roots = tempfile::NamedTempFile::new().unwrap();
    roots.write_all(issued.root_pem.as_bytes()).unwrap();
    let url = format!("form+https://{host}:{}", server.port());
    ping(&url, &["--ca-file", roots.path().to_str().unwrap()])
}

#[test]
fn a_certificate_that_is_fine() {
    let pinged = probe(&issue("127.0.0.1", 2020, 2090), "127.0.0.1");
    pinged.fine(&[&FORM_STEPS[..2], &["tls"], &FORM_STEPS[2..]].concat());
    let tls = &pinged.step("tls")["tls"];
    assert_eq!((&tls["version"], &tls["names"][0]), (&"TLS 1.3".into(), &"127.0.0.1".into()), "{tls}");
    assert_eq!((&tls["trusted"], &tls["name_matches"]), (&true.into(), &true.into()));
    assert!(tls["days_left"].as_i64().unwrap() > 10_000);
    assert!(tls["issuer"].as_str().unwrap().contains("The test's own authority"));
}

#[test]
fn an_expired_certificate_is_named_though_the_handshake_fails() {
    let pinged = probe(&issue("127.0.0.1", 2020, 2021), "127.0.0.1");
    let step = pinged.failed_at("tls", "expired");
    assert!(step["found"].as_str().unwrap().contains("01 Jan 2021"), "{step}");
    assert!(step["tls"]["days_left"].as_i64().unwrap() < 0);
    assert_eq!((&step["tls"]["trusted"], &step["tls"]["name_matches"]), (&false.into(), &true.into()));
}

#[test]
fn one_of_tomorrow_of_another_name_of_an_unknown_issuer() {
    probe(&issue("127.0.0.1", 2080, 2090), "127.0.0.1").failed_at("tls", "not valid before");
    let pinged = probe(&issue("queue.example", 2020, 2090), "127.0.0.1");
    let step = pinged.failed_at("tls", "made out to queue.example, not to 127.0.0.1");
    assert_eq!(step["tls"]["name_matches"], false);

    let mut issued = issue("127.0.0.1", 2020, 2090);
    issued.root_pem = issue("127.0.0.1", 2020, 2090).root_pem;
    probe(&issued, "127.0.0.1").failed_at("tls", "untrusted");
}

#[test]
fn plain_and_tls_mistaken_for_each_other() {
    let issued = issue("127.0.0.1", 2020, 2090);
    let encrypted = https(&issued, |method, path, body| form(method, path, body, ""));
    ping(&format!("form://{encrypted}"), &[]).failed_at("http", "TLS is spoken");
    let plain = http(|method, path, body| form(method, path, body, ""));
    ping(&format!("form+https://{plain}"), &["--timeout", "500ms"]).failed_at("tls", "plain HTTP");
    // Some answer what is no request with a page alone.
    let pages = tcp(|mut connection| match first_byte(&connection) {
        Some(0x16) => drop(connection.write_all(b"<!DOCTYPE HTML><title>400</title>")),
        _ => answer_http(connection, &|method: &str, path: &str, body: &[u8]| form(method, path, body, "")),
    });
    ping(&format!("form+https://{pages}"), &["--timeout", "500ms"]).failed_at("tls", "plain HTTP");
}

fn first_byte(connection: &std::net::TcpStream) -> Option<u8> {
    let mut first = [0];
    matches!(connection.peek(&mut first), Ok(1)).then_some(first[0])
}

#[test]
fn a_file_of_roots_stands_in_place_of_the_systems_as_in_publish() {
    let issued = issue("127.0.0.1", 2020, 2090);
    let server = https(&issued, |method, path, body| form(method, path, body, ""));
    let file = |pem: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(pem.as_bytes()).unwrap();
        file
    };
    let (system, others) = (file(&issued.root_pem), file(&issue("127.0.0.1", 2020, 2090).root_pem));
    let ping = |words: &[&str]| {
        let mut command = crate::support::formusage();
        command.env("SSL_CERT_FILE", system.path()).args(["ping", "--to", &format!("form+https://{server}/t")]);
        command.args(words).assert()
    };
    ping(&[]).code(0);
    ping(&["--ca-file", others.path().to_str().unwrap()]).code(1);
}

#[test]
fn a_secret_header_goes_along_and_does_not_come_back() {
    let server = http(|_, _, _| (401, "", "who is Bearer-of hush-key?".into()));
    let mut headers = tempfile::NamedTempFile::new().unwrap();
    headers.write_all(b"X-Api-Key: hush-key\n").unwrap();
    let words = ["ping", "--to", &format!("http://{server}/x"), "--header-file", headers.path().to_str().unwrap()];
    let run = crate::support::formusage().args(words).assert().code(1);
    let said = format!("{:?}", run.get_output());
    assert!(said.contains("what was sent is not accepted") && !said.contains("hush-key"), "{said}");
}
