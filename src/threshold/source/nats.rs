//! Thresholds in a NATS key-value bucket: each value is a threshold or an array of them, under any key.

use std::time::Duration;

use async_nats::jetstream::kv::{Operation, Store, Watch};
use tokio_stream::StreamExt as _;

use super::text::Texts;
use super::{Loaded, SourceError};
use crate::transport::nats::{Allowance, Connector, Link};
use crate::transport::{ConnectOptions, NatsAddress};

/// A bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    connector: Connector,
    bucket: String,
    /// The address, for people.
    name: String,
    patience: Duration,
    open: Option<Open>,
    /// The stream's last message that was seen, which every change of a value exceeds.
    seen: Option<u64>,
}

struct Open {
    link: Link,
    store: Store,
    changes: Watch,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("link", &self.link).finish_non_exhaustive()
    }
}

impl Bucket {
    pub(super) fn new(address: &NatsAddress, options: &ConnectOptions) -> Result<Self, SourceError> {
        let refuse = |why: String| SourceError::one(format!("thresholds can't be read from {address}: {why}"));
        Ok(Self {
            connector: Connector::new(address, options, Allowance::BUCKET)
                .map_err(|failure| refuse(failure.message))?,
            bucket: address.subject.clone(),
            name: address.to_string(),
            patience: options.timeout,
            open: None,
            seen: None,
        })
    }

    /// What it holds; `None` where that is what it held at the last call.
    pub(super) async fn poll(&mut self) -> Result<Option<Loaded>, SourceError> {
        let polled = match tokio::time::timeout(self.patience, self.values()).await {
            Ok(polled) => polled,
            Err(_) => Err(format!("no answer within {:?}", self.patience)),
        };
        let values = polled.map_err(|why| {
            let ended = self.open.take().and_then(|open| open.link.misbehaviour());
            let why = ended.map_or(why, |failure| failure.message);
            SourceError::one(format!("thresholds can't be read from {}: {why}", self.name))
        })?;
        let Some((values, last)) = values else { return Ok(None) };
        let mut texts = Texts::default();
        for (key, value) in values {
            texts.add(&format!("{}, key {key}", self.name), &value);
        }
        // A faulty version is not read again before it changes.
        self.seen = Some(last);
        texts.finish().map(Some)
    }

    /// Waits for a change; gives up where it can't be waited for.
    pub(super) async fn changed(&mut self) -> Result<(), ()> {
        let Some(open) = self.open.as_mut().filter(|open| open.link.is_alive()) else { return Err(()) };
        match open.changes.next().await {
            Some(Ok(_)) => Ok(()),
            Some(Err(_)) | None => {
                self.open = None;
                Err(())
            }
        }
    }

    /// The values by their keys, in the keys' order, and the number of the last change.
    #[allow(clippy::type_complexity)]
    async fn values(&mut self) -> Result<Option<(Vec<(String, Vec<u8>)>, u64)>, String> {
        if self.open.as_ref().is_none_or(|open| !open.link.is_alive()) {
            let link = self.connector.connect().await.map_err(|failure| failure.message)?;
            let or_misbehaviour =
                |words: String| link.misbehaviour().map_or(words, |misbehaviour| misbehaviour.message);
            let store = link.context.get_key_value(&self.bucket).await.map_err(|error| {
                or_misbehaviour(format!(
                    "there is no bucket {:?} to be used: {error}; make it with: nats kv add {}",
                    self.bucket, self.bucket
                ))
            })?;
            let changes = store.watch_all().await.map_err(|error| or_misbehaviour(error.to_string()))?;
            self.open = Some(Open { link, store, changes });
        }
        let Some(open) = &mut self.open else { return Err("the connection was lost".to_owned()) };
        let info = open.store.stream.get_info().await.map_err(|error| error.to_string())?;
        let last = info.state.last_sequence;
        if self.seen == Some(last) {
            return Ok(None);
        }
        let mut values = std::collections::BTreeMap::new();
        if info.state.messages > 0 {
            let mut entries = open.store.watch_with_history(">").await.map_err(|error| error.to_string())?;
            while let Some(entry) = entries.next().await {
                let entry = entry.map_err(|error| error.to_string())?;
                match entry.operation {
                    Operation::Put => values.insert(entry.key, entry.value.to_vec()),
                    Operation::Delete | Operation::Purge => values.remove(&entry.key),
                };
                if entry.seen_current {
                    break;
                }
            }
        }
        Ok(Some((values.into_iter().collect(), last)))
    }
}
