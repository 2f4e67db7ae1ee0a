//! HTTP/1.1 served to clients that may be slow, endless or many: the embedded queue and the figures.
//!
//! A connection has a [`Slot`] of a limited number. Where all are taken, a newcomer gets that of the connection which has
//! been without a whole request for longest (see [`slots`]), so that half-sent requests keep nobody out. What a client
//! sends and does not read is buffered up to [`Limits::buffer_bytes`].

mod loopback;
mod slots;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::loopback::from_this_machine;
#[cfg(all(feature = "server", any(fuzzing, all(test, feature = "cli"))))]
pub(crate) use self::loopback::fuzz_host;
#[cfg(feature = "server")]
pub(crate) use self::slots::Busy;
pub(crate) use self::slots::{Slot, Slots};
use crate::clock::{Clock as _, SystemClock};

/// The pause after a connection could not be accepted for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What clients may take.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Connections at a time.
    pub(crate) connections: usize,
    /// Connections at a time from one other machine: an IPv4 address, or a network of 64 bits of IPv6.
    pub(crate) connections_per_peer: usize,
    /// How long the head of a request may take, from the end of the reply before it on.
    pub(crate) head_time: Duration,
    /// How long a connection may last; `None` for as long as it is used.
    pub(crate) connection_time: Option<Duration>,
    /// The largest head of a request, and the most that is buffered of a reply (and one piece of it more).
    pub(crate) buffer_bytes: usize,
    /// Whether a connection may be used for more than one request.
    pub(crate) keep_alive: bool,
    /// How long requests under way may take once the end was asked for.
    pub(crate) grace: Duration,
}

/// Serves `app` on `listener` until `shutdown` completes; requests find their connection's `Arc<Slot>` among their
/// extensions. Returns whether all requests under way ended within the grace; those that did not are cut off.
pub(crate) async fn serve(
    listener: TcpListener,
    app: Router,
    limits: &Limits,
    shutdown: impl Future<Output = ()>,
) -> bool {
    let slots = Slots::new(limits.connections, limits.connections_per_peer, Duration::ZERO);
    let ending = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (stream, slot) = accept(&listener, &slots) => {
                connections.spawn(answer(stream, slot, app.clone(), limits.clone(), ending.clone()));
            }
        }
    }
    drop(listener);
    ending.cancel();
    let all = async { while connections.join_next().await.is_some() {} };
    tokio::time::timeout(limits.grace, all).await.is_ok()
}

/// The next connection that gets a slot.
async fn accept(listener: &TcpListener, slots: &Arc<Slots>) -> (TcpStream, Slot) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        slots.freed().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some(slot) = slots.enter(Some(peer.ip()), SystemClock.monotonic()) {
                    return (stream, slot);
                }
            }
            // The client was gone before it was accepted.
            Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted; one that waits is closed in its favour");
                slots.cut_oldest(SystemClock.monotonic());
                SystemClock.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, slot: Slot, app: Router, limits: Limits, ending: CancellationToken) {
    // Small writes go out at once: a reply may be several of them, and a reader would wait 40 ms for its delayed
    // acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let slot = Arc::new(slot);
    let app = TowerToHyperService::new(app);
    let service = {
        let slot = slot.clone();
        service_fn(move |mut request: Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(slot.clone());
            app.call(request)
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.buffer_bytes)
        .keep_alive(limits.keep_alive)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let lifetime = async {
        match limits.connection_time {
            Some(time) => SystemClock.sleep(time).await,
            None => std::future::pending().await,
        }
    };
    let mut lifetime = std::pin::pin!(lifetime);
    let mut asked_to_end = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke off");
                }
                return;
            }
            () = slot.cut() => return,
            () = &mut lifetime => return,
            () = ending.cancelled(), if !asked_to_end => {
                asked_to_end = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
