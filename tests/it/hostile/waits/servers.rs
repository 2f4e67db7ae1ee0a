//! Servers that take connections and do not answer as they should.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// What a server does with a connection; it calls `engaged` when the client waits for it.
pub(super) type Misbehaviour = fn(client: &mut TcpStream, engaged: &dyn Fn());

/// Servers that the client speaks to first: HTTP, TLS, proxies.
pub(super) const MISBEHAVIOURS: [(&str, Misbehaviour); 4] = [
    ("never answers", |client, engaged| {
        take_request(client);
        engaged();
        wait_for_client_to_leave(client);
    }),
    ("stops in its head", |client, engaged| {
        take_request(client);
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-le");
        engaged();
        wait_for_client_to_leave(client);
    }),
    ("drips", |client, engaged| {
        take_request(client);
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n");
        engaged();
        drip(client, b" ");
    }),
    ("floods with 1xx", |client, engaged| {
        take_request(client);
        engaged();
        while client.write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n").is_ok() {}
    }),
];

/// NATS servers: they speak first.
pub(super) const NATS: [(&str, Misbehaviour); 4] = [
    ("says nothing", |client, engaged| {
        engaged();
        wait_for_client_to_leave(client);
    }),
    ("introduces itself and says no more", |client, engaged| {
        introduce(client);
        take_request(client);
        engaged();
        wait_for_client_to_leave(client);
    }),
    ("answers no request", |client, engaged| {
        introduce(client);
        answer_first_ping(client);
        take_request(client);
        engaged();
        wait_for_client_to_leave(client);
    }),
    ("drips", |client, engaged| {
        engaged();
        drip(client, b"I");
    }),
];

/// Mail servers: they speak first, too.
pub(super) const SMTP: [(&str, Misbehaviour); 3] = [
    ("says nothing", |client, engaged| {
        engaged();
        wait_for_client_to_leave(client);
    }),
    ("greets and says no more", |client, engaged| {
        let _ = client.write_all(b"220 ready\r\n");
        take_request(client);
        engaged();
        wait_for_client_to_leave(client);
    }),
    ("drips", |client, engaged| {
        engaged();
        let _ = client.write_all(b"220");
        drip(client, b"-");
    }),
];

/// Mail servers that offer STARTTLS and let it come to nothing.
pub(super) const STARTTLS: [(&str, Misbehaviour); 2] = [
    ("never answers the greeting of TLS", |client, engaged| {
        begin_starttls(client, b"");
        take_request(client);
        engaged();
        wait_for_client_to_leave(client);
    }),
    ("drips in TLS", |client, engaged| {
        // The head of a handshake record of 16 KiB.
        begin_starttls(client, b"");
        let _ = client.write_all(b"\x16\x03\x03\x3f\xff");
        take_request(client);
        engaged();
        drip(client, b"\x02");
    }),
];

/// The conversation in clear text until TLS begins; `more` comes with the permission to begin.
pub(in crate::hostile) fn begin_starttls(client: &mut TcpStream, more: &[u8]) {
    let mut said = Vec::new();
    let mut wait_for = |client: &mut TcpStream, words: &str| {
        let mut byte = [0];
        while !String::from_utf8_lossy(&said).contains(words) {
            if !matches!(client.read(&mut byte), Ok(1)) {
                return;
            }
            said.push(byte[0]);
        }
    };
    let _ = client.write_all(b"220 ready\r\n");
    wait_for(client, "EHLO");
    wait_for(client, "\r\n");
    let _ = client.write_all(b"250-mail\r\n250 STARTTLS\r\n");
    wait_for(client, "STARTTLS\r\n");
    let _ = client.write_all(&[b"220 go ahead\r\n", more].concat());
}

pub(super) fn take_request(client: &mut TcpStream) {
    let _ = client.read(&mut [0; 4096]);
}

pub(super) fn wait_for_client_to_leave(client: &mut TcpStream) {
    let _ = client.read_to_end(&mut Vec::new());
}

/// Sends `byte` now and then until the client leaves.
pub(super) fn drip(client: &mut TcpStream, byte: &[u8]) {
    let _ = client.set_read_timeout(Some(Duration::from_millis(50)));
    while client.write_all(byte).is_ok() && !matches!(client.read(&mut [0]), Ok(0)) {}
}

fn introduce(client: &mut TcpStream) {
    let _ = client.write_all(
        b"INFO {\"server_id\":\"x\",\"server_name\":\"x\",\"version\":\"2.10.0\",\"host\":\"127.0.0.1\",\"port\":1,\
          \"max_payload\":1048576,\"headers\":true,\"jetstream\":true,\"proto\":1}\r\n",
    );
}

fn answer_first_ping(client: &mut TcpStream) {
    let mut said = Vec::new();
    while !said.ends_with(b"PING\r\n") {
        let mut byte = [0];
        if !matches!(client.read(&mut byte), Ok(1)) {
            return;
        }
        said.push(byte[0]);
    }
    let _ = client.write_all(b"PONG\r\n");
}

/// A server that treats its clients like this, and tells of each that waits for it.
pub(super) fn serve(
    misbehaviour: impl Fn(&mut TcpStream, &dyn Fn()) + Clone + Send + 'static,
) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, engaged) = channel();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let (sender, misbehaviour) = (sender.clone(), misbehaviour.clone());
            std::thread::spawn(move || {
                misbehaviour(&mut client, &|| {
                    let _ = sender.send(());
                })
            });
        }
    });
    (address, engaged)
}
