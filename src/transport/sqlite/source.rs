//! Reading the embedded queue.

use std::path::{Path, PathBuf};

use super::sink::{SUB_TOPIC, blocking, failure};
use super::store::EventStore;
use crate::transport::form::topic_hash;
use crate::transport::{BoxFuture, Failure, FormAddress, Message, Polled, Source};

const POLL_MESSAGES: usize = 1_000;
const POLL_BYTES: usize = 4 << 20;

/// Reads the events of a store in order of acceptance. What other processes write meanwhile comes with a later poll.
#[derive(Debug)]
pub(in crate::transport) struct SqliteSource {
    path: PathBuf,
    /// `None` until the file is there.
    store: Option<EventStore>,
    topic: String,
    next: u64,
}

impl SqliteSource {
    pub(in crate::transport) fn open(path: &Path) -> Result<Self, Failure> {
        let store = EventStore::open_existing(path).map_err(|error| failure(&error))?;
        Ok(Self { path: path.to_owned(), store, topic: topic_hash(FormAddress::DEFAULT_TOPIC), next: 0 })
    }
}

impl Source for SqliteSource {
    fn poll(&mut self) -> BoxFuture<'_, Result<Polled, Failure>> {
        Box::pin(async move {
            let (path, topic, next) = (self.path.clone(), self.topic.clone(), self.next);
            let store = self.store.take();
            let (store, polled, next) = blocking(move || {
                let opened = match store {
                    Some(store) => Some(store),
                    None => EventStore::open_existing(&path).map_err(|error| failure(&error))?,
                };
                let Some(store) = opened else {
                    return Ok((None, Polled::Absent(format!("{} does not exist yet", path.display())), next));
                };
                let rows = store.read(&topic, next, POLL_MESSAGES, POLL_BYTES).map_err(|error| failure(&error))?;
                if rows.is_empty() && next == 0 && store.count(&topic).map_err(|error| failure(&error))?.is_none() {
                    let words = format!("{} holds no usage events yet", path.display());
                    return Ok((Some(store), Polled::Absent(words), next));
                }
                let behind = rows.last().map_or(next, |(position, _)| position + 1);
                Ok((Some(store), found(rows), behind))
            })
            .await?;
            (self.store, self.next) = (store, next);
            Ok(polled)
        })
    }
}

/// Rows as messages; those of other sub-topics are passed over.
fn found(rows: Vec<(u64, Vec<u8>)>) -> Polled {
    if rows.is_empty() {
        return Polled::UpToDate;
    }
    let message = |(position, content): (u64, Vec<u8>)| match content.split_first() {
        Some((&SUB_TOPIC, body)) => Some(Message { position, body: body.to_vec() }),
        _ => None,
    };
    Polled::Messages(rows.into_iter().filter_map(message).collect())
}
