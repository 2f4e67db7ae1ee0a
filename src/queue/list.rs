//! `{"List":[[bytes],…]}` as a body that is made while it is sent, so that a long topic takes no memory.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::Frame;
use tokio::sync::mpsc;

use crate::database::StoreError;
use crate::transport::EventStore;

const PAGE_MESSAGES: usize = 500;
const PAGE_BYTES: usize = 1 << 20;
/// Pages made ahead of the reader.
const AHEAD: usize = 2;

/// The messages of a topic from `from` up to `end`.
pub(super) fn body(path: PathBuf, topic: String, from: u64, end: u64) -> Body {
    let (pages, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send(&path, &topic, from..end, &pages) {
            tracing::error!(%error, "a reply broke off");
            // Ends the connection, so that the reader knows that the list is not whole.
            let _ = pages.blocking_send(Err(error));
        }
    });
    Body::new(Pages { receiver })
}

type Page = Result<Bytes, StoreError>;

fn send(
    path: &std::path::Path,
    topic: &str,
    range: std::ops::Range<u64>,
    pages: &mpsc::Sender<Page>,
) -> Result<(), StoreError> {
    let store = EventStore::open(path)?;
    let mut text = b"{\"List\":[".to_vec();
    let mut next = range.start;
    while next < range.end {
        let rows = store.read(topic, next, PAGE_MESSAGES, PAGE_BYTES)?;
        let Some((last, _)) = rows.last() else { break };
        let behind = last + 1;
        for (position, content) in rows.iter().filter(|(position, _)| range.contains(position)) {
            if *position > range.start {
                text.push(b',');
            }
            push_numbers(&mut text, content);
        }
        next = behind;
        if pages.blocking_send(Ok(std::mem::take(&mut text).into())).is_err() {
            // The reader hung up.
            return Ok(());
        }
    }
    text.extend_from_slice(b"]}");
    let _ = pages.blocking_send(Ok(text.into()));
    Ok(())
}

fn push_numbers(text: &mut Vec<u8>, content: &[u8]) {
    text.push(b'[');
    for (n, byte) in content.iter().enumerate() {
        if n > 0 {
            text.push(b',');
        }
        text.extend_from_slice(byte.to_string().as_bytes());
    }
    text.push(b']');
}

struct Pages {
    receiver: mpsc::Receiver<Page>,
}

impl axum::body::HttpBody for Pages {
    type Data = Bytes;
    type Error = StoreError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StoreError>>> {
        self.receiver.poll_recv(context).map(|page| page.map(|page| page.map(Frame::data)))
    }
}
