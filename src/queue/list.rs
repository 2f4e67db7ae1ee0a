//! `{"List":[[bytes],…]}` as a body that is made while it is sent, so that a long topic takes no memory.
//!
//! A reader that does not read holds one page and no more, for [`PAGE_TIME`], and gives its place to another list before
//! that where all places are taken.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body::Frame;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::clock::{Clock as _, SystemClock};
use crate::database::StoreError;
use crate::http_server::{Busy, Slot, Slots};
use crate::transport::EventStore;

const PAGE_MESSAGES: usize = 500;
const PAGE_BYTES: usize = 128 << 10;
/// Pages made ahead of the reader.
const AHEAD: usize = 1;
/// How long a reader may take for a page.
const PAGE_TIME: Duration = Duration::from_secs(30);
/// A list whose reader took a page within this time keeps its place.
const LEAST_AGE: Duration = Duration::from_secs(1);

/// The lists that are sent at a time, at most `capacity` of them.
pub(super) fn slots(capacity: usize) -> Arc<Slots> {
    Slots::new(capacity, capacity, LEAST_AGE)
}

/// What a list needs as long as it is sent.
pub(super) struct Sending {
    /// The connection, which does not give way meanwhile.
    pub(super) connection: Busy,
    /// One of [`slots`].
    pub(super) slot: Slot,
}

/// The messages of a topic from `from` up to `end`.
pub(super) fn body(path: PathBuf, topic: String, from: u64, end: u64, sending: Sending) -> Body {
    let (pages, receiver) = mpsc::channel(AHEAD);
    let runtime = Handle::current();
    let is_whole = Arc::new(AtomicBool::new(false));
    let whole = is_whole.clone();
    tokio::task::spawn_blocking(move || {
        let sender = Sender { pages, runtime, sending };
        if let Err(broken) = send(&path, &topic, from..end, &sender) {
            if let Broken::Store(error) = &broken {
                tracing::error!(%error, "a reply broke off");
            }
            // The connection may hang in a write.
            sender.sending.connection.cut_off();
        } else {
            whole.store(true, Ordering::Release);
        }
    });
    Body::new(Pages { receiver, is_whole })
}

/// Why a list is not whole.
enum Broken {
    Store(StoreError),
    /// The reader hung up, is too slow, or gave its place to another list.
    Reader,
}

struct Sender {
    pages: mpsc::Sender<Bytes>,
    runtime: Handle,
    sending: Sending,
}

impl Sender {
    fn send(&self, page: Vec<u8>) -> Result<(), Broken> {
        let slot = &self.sending.slot;
        let sent = self.runtime.block_on(async {
            tokio::select! {
                sent = self.pages.send(page.into()) => sent.is_ok(),
                () = slot.cut() => false,
                () = SystemClock.sleep(PAGE_TIME) => false,
            }
        });
        slot.advance();
        if sent { Ok(()) } else { Err(Broken::Reader) }
    }
}

fn send(path: &Path, topic: &str, range: std::ops::Range<u64>, sender: &Sender) -> Result<(), Broken> {
    let store = EventStore::open(path).map_err(Broken::Store)?;
    let mut text = b"{\"List\":[".to_vec();
    let mut next = range.start;
    while next < range.end {
        let rows = store.read(topic, next, PAGE_MESSAGES, PAGE_BYTES).map_err(Broken::Store)?;
        let Some((last, _)) = rows.last() else { break };
        let behind = last + 1;
        for (position, content) in rows.iter().filter(|(position, _)| range.contains(position)) {
            if *position > range.start {
                text.push(b',');
            }
            push_numbers(&mut text, content);
        }
        next = behind;
        sender.send(std::mem::take(&mut text))?;
    }
    text.extend_from_slice(b"]}");
    sender.send(text)
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
    receiver: mpsc::Receiver<Bytes>,
    /// Set before the other end of the channel is dropped, unless the list broke off.
    is_whole: Arc<AtomicBool>,
}

impl axum::body::HttpBody for Pages {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.receiver.poll_recv(context).map(|page| match page {
            Some(page) => Some(Ok(Frame::data(page))),
            None if self.is_whole.load(Ordering::Acquire) => None,
            // Ends the connection, so that the reader knows that the list is not whole.
            None => Some(Err(io::Error::other("the list broke off"))),
        })
    }
}
