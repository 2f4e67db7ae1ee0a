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

mod list;
mod routes;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use crate::transport::{EventStore, StoreError};

/// How long requests under way may take once the end was asked for.
const GRACE: Duration = Duration::from_secs(5);

/// How a queue is served.
#[derive(Clone, Default)]
pub struct QueueOptions {
    /// Requests need this token; none by default.
    pub token: Option<String>,
}

impl std::fmt::Debug for QueueOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueOptions").field("token", &self.token.as_ref().map(|_| "(secret)")).finish()
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
    let store = EventStore::open(db)?;
    let (writer, thread) = writer::start(store);
    let app = routes::app(PathBuf::from(db), writer, &options);
    let ending = tokio_util::sync::CancellationToken::new();
    let asked = ending.clone();
    // Small writes go out at once: a list is several of them, and a reader would wait 40 ms for its delayed acknowledgement.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        asked.cancel();
    });
    let late = async {
        ending.cancelled().await;
        tokio::time::timeout(GRACE, std::future::pending::<()>()).await
    };
    tokio::select! {
        served = server => served?,
        _ = late => tracing::warn!("some requests did not end in time; they were not answered, so they will be sent again"),
    }
    // The writer ends when the last handle to it is gone; what it was given is committed by then.
    let ended = tokio::task::spawn_blocking(move || thread.join());
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!("the store was not closed in time; its log is folded in at the next start");
    }
    Ok(())
}
