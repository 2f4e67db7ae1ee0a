//! The embedded queue, served with the Form protocol: for tests, for trying things out, and for a single machine.
//!
//! It answers as the Form queue does (see [`crate::transport::form`]) and differs where that one falls short:
//!
//! - a write is on disk before `"OpSuccess"` says so, and is there after a restart;
//! - `health` says `OK` only while writes succeed, else 503 with the reason;
//! - with a token, every request but `health` needs it (`Authorization: Bearer …`).
//!
//! ```text
//! POST /queue/write_local         {"Write":{"content":[…],"topic":"HASH"}}  → "OpSuccess"
//! GET  /queue/NAME/get            → {"List":[[…],…]}
//! GET  /queue/NAME/INDEX/get_after → {"List":[[…],…]}, from INDEX (from 0) on
//! GET  /queue/health              → OK
//! ```
//!
//! Writes that come at the same time are committed together, so that each is durable and many a second go through.

#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(crate) mod fuzzing;
mod large_bodies;
mod list;
mod routes;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::http_server::{self, Limits};
use crate::transport::{EventStore, StoreError};

/// How long requests under way may take once the end was asked for.
const GRACE: Duration = Duration::from_secs(5);
/// How long a connection may be idle or take for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(65);
/// The largest head of a request, and about what is buffered of a reply.
const BUFFER_BYTES: usize = 64 << 10;
/// The most lists that are sent at a time: each has a thread, an open store and about a megabyte.
pub const MAX_LISTS: usize = 32;

/// How a queue is served.
#[derive(Clone)]
pub struct QueueOptions {
    /// Requests need this token; none by default. Without one, only requests to a loopback name are answered.
    pub token: Option<String>,
    /// Connections at a time, 512 by default; half of them from one other machine. Where all are taken, a newcomer gets
    /// the place of the one that has been without a whole request for longest. A list takes three more descriptors, and
    /// there are as many at a time as a quarter of this, at most [`MAX_LISTS`].
    pub max_connections: usize,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { token: None, max_connections: 512 }
    }
}

impl std::fmt::Debug for QueueOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueOptions")
            .field("token", &self.token.as_ref().map(|_| "(secret)"))
            .field("max_connections", &self.max_connections)
            .finish()
    }
}

/// Why a queue could not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Its file can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The socket failed.
    #[error("serving failed: {0}")]
    Serve(#[from] std::io::Error),
}

/// Serves the store at `db` (made where there is none) on `listener` until `shutdown` completes. Requests under way
/// then get five seconds to end.
///
/// # Errors
/// When the store can't be used or the socket fails.
pub async fn serve(
    listener: TcpListener,
    db: &Path,
    options: QueueOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), QueueError> {
    let limits = Limits {
        connections: options.max_connections.max(1),
        connections_per_peer: options.max_connections.div_ceil(2).max(1),
        head_time: HEAD_TIME,
        connection_time: None,
        buffer_bytes: BUFFER_BYTES,
        keep_alive: true,
        grace: GRACE,
    };
    let store = EventStore::open(db)?;
    let (writer, thread) = writer::start(store);
    let app = routes::app(PathBuf::from(db), writer, &options);
    if !http_server::serve(listener, app, &limits, shutdown).await {
        tracing::warn!("some requests did not end in time; they were not answered, so they will be sent again");
    }
    // The writer ends when the last handle to it is gone; what it was given is committed by then.
    let ended = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!("the store was not closed in time; its log is folded in at the next start");
    }
    Ok(())
}
