//! Writing to the embedded queue.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::store::EventStore;
use crate::clock::{Clock, SystemClock};
use crate::database::StoreError;
use crate::events::EncodedEvent;
use crate::transport::form::topic_hash;
use crate::transport::{BatchLimits, BoxFuture, Failure, FormAddress, Outcome, Sink};

/// The sub-topic byte in front of each event.
pub(super) const SUB_TOPIC: u8 = 0;

/// Writes events to a store, many in one transaction.
#[derive(Debug)]
pub(in crate::transport) struct SqliteSink {
    store: Arc<Mutex<EventStore>>,
    topic: Arc<str>,
}

impl SqliteSink {
    pub(in crate::transport) fn open(path: &Path) -> Result<Self, Failure> {
        let store = EventStore::open(path).map_err(|error| failure(&error))?;
        Ok(Self { store: Arc::new(Mutex::new(store)), topic: topic_hash(FormAddress::DEFAULT_TOPIC).into() })
    }
}

impl Sink for SqliteSink {
    fn limits(&self) -> BatchLimits {
        BatchLimits { events: 1_000, bytes: 4 << 20 }
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        let contents: Vec<Vec<u8>> = events.iter().map(|event| [&[SUB_TOPIC], event.body()].concat()).collect();
        let (store, topic) = (self.store.clone(), self.topic.clone());
        Box::pin(async move {
            let written = blocking(move || {
                let messages: Vec<(&str, &[u8])> =
                    contents.iter().map(|content| (&*topic, content.as_slice())).collect();
                let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
                store.append(&messages, SystemClock.unix_seconds()).map_err(|error| failure(&error))
            });
            let outcome = |new| if new { Outcome::Delivered } else { Outcome::Duplicate };
            Ok(written.await?.into_iter().map(outcome).collect())
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), Failure>> {
        let store = self.store.clone();
        Box::pin(blocking(move || {
            // What is not folded in now is folded in by the next one; nothing is lost by a lock that others hold.
            if let Err(error) = store.lock().unwrap_or_else(PoisonError::into_inner).checkpoint() {
                tracing::debug!(%error, "the log of the store was not folded in");
            }
            Ok(())
        }))
    }
}

/// Whose failure a store's error is: what room and time may mend is the service's, the rest needs somebody to look.
pub(super) fn failure(error: &StoreError) -> Failure {
    match error {
        StoreError::Full { .. } | StoreError::Busy { .. } => Failure::service(error.to_string()),
        StoreError::NotOurs { .. }
        | StoreError::Refused { .. }
        | StoreError::NotADatabase { .. }
        | StoreError::Sqlite { .. } => Failure::destination(error.to_string()),
    }
}

/// Runs `work` where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::service(format!("the store's thread ended: {error}"))),
    }
}
