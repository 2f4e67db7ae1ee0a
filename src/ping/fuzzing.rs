//! Fuzzing of what a server may answer to a probe: see [`crate::fuzzing`].

use std::io::Cursor;
use std::net::{Ipv4Addr, SocketAddr};

use futures_util::FutureExt as _;

use super::dial::Route;
use super::http::{Connection, Request, excerpt, foreign};

/// The most that is read of a body here.
const LIMIT: usize = 256;

/// An HTTP server's reply to a request; the first byte says to which.
pub fn http_reply(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let request = match first % 3 {
        0 => Request { limit: LIMIT, ..Request::get("/") },
        1 => Request { method: "HEAD", limit: LIMIT, ..Request::get("/") },
        _ => Request { method: "POST", body: Some(b"{}"), limit: LIMIT, ..Request::get("/") },
    };
    let route = Route { host: "h".to_owned(), address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)), trust: None };
    let stream = tokio::io::join(Cursor::new(bytes.to_vec()), tokio::io::sink());
    let mut connection = Connection::new(Box::new(stream), route, Vec::new());
    // What comes from memory comes at once.
    if let Some(Ok(reply)) = connection.ask(request).now_or_never() {
        assert!(reply.body.len() <= LIMIT && !(100..200).contains(&reply.status));
    }
    assert!(!foreign(bytes).chars().any(char::is_control) && excerpt(bytes).chars().count() < 200);
}

/// A NATS server's side of a conversation.
pub fn nats_server(bytes: &[u8]) {
    super::nats::fuzzing::server(bytes);
}
