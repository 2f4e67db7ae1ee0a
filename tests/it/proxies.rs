//! Proxies of the environment: which destinations they are for, and how it is said that one refuses.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};

use predicates::prelude::*;
use predicates::str::contains;

use crate::support::{formusage, lines};

/// A proxy that answers every request, whatever it asks for, with this status.
fn proxy(status: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&connection);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if !matches!(reader.read_line(&mut head), Ok(1..)) {
                        return;
                    }
                }
                let reply = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = (&connection).write_all(reply.as_bytes());
            });
        }
    });
    address
}

fn command(words: &[&str], environment: &[(&str, &str)]) -> assert_cmd::Command {
    let mut command = formusage();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.args(words).envs(environment.iter().copied()).write_stdin(lines("a", 1));
    command
}

const PUBLISH: [&str; 6] = ["publish", "--max-retries", "0", "--drain-timeout", "100ms", "--to"];

#[test]
fn a_proxy_that_refuses_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, rcgen::generate_simple_self_signed(vec!["ca".to_owned()]).unwrap().cert.pem()).unwrap();
    let ca_file = ["--ca-file", authority.to_str().unwrap()];
    for (status, code, words) in [
        ("407 Proxy Authentication Required", 2, "wants a user and a password"),
        ("403 Forbidden", 2, "403"),
        ("502 Bad Gateway", 1, "502"),
    ] {
        let proxy = proxy(status);
        let url = format!("http://joe:hunter2@{proxy}");
        let shown = format!("the proxy http://(secret)@{proxy}");
        let environment = [("HTTP_PROXY", url.as_str()), ("HTTPS_PROXY", url.as_str())];
        for (to, options) in [("form://queue.example", &[][..]), ("form+https://queue.example", &ca_file)] {
            command(&[&PUBLISH[..], &[to], options].concat(), &environment)
                .assert()
                .code(code)
                .stderr(contains(&shown).and(contains(words)).and(contains("hunter2").not()));
            let read = [&["read", "--from", to][..], options].concat();
            command(&read, &environment).assert().code(2).stderr(contains(&shown).and(contains("hunter2").not()));
        }
    }
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}");
    command(&[&PUBLISH[..], &["form://queue.example"]].concat(), &[("ALL_PROXY", &url)])
        .assert()
        .code(1)
        .stderr(contains(format!("no connection to the proxy {url}")));
    command(&["read", "--from", "form://queue.example"], &[("ALL_PROXY", "http://proxy.invalid:3128")])
        .assert()
        .code(2)
        .stderr(contains("the proxy http://proxy.invalid:3128 of ALL_PROXY can't be reached"));
}

/// Directly, the name does not resolve.
#[test]
fn no_proxy_is_heeded() {
    let url = format!("http://{}", proxy("403 Forbidden"));
    for (exceptions, is_direct) in [
        ("*", true),
        ("queue.invalid:3003", true),
        ("queue.invalid:443", false),
        ("other.invalid", false),
        (".invalid", true),
    ] {
        let environment = [("HTTP_PROXY", url.as_str()), ("NO_PROXY", exceptions)];
        let words = if is_direct { "does not resolve" } else { "the proxy" };
        let to = "form://queue.invalid";
        command(&[&PUBLISH[..], &[to]].concat(), &environment).assert().code(2).stderr(contains(words));
        command(&["read", "--from", to], &environment).assert().code(2).stderr(contains(words));
        let pinged = command(&["ping", "--to", to], &environment).output().unwrap();
        let notes = String::from_utf8(pinged.stderr).unwrap().contains(&format!("through the proxy {url}"));
        assert_eq!(notes, !is_direct, "{exceptions}");
    }
}
