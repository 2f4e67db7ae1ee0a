//! `GET /metrics`.
//!
//! Whoever can reach the port may ask, and may be slow, endless or many. So a connection is for one request, for
//! [`CONNECTION_TIME`] and for [`MAX_REQUEST_BYTES`], and there are [`MAX_CONNECTIONS`] at a time; further ones wait in
//! the system's queue. The figures hold no secrets.

use std::future::Pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Timeout;

use super::negotiate::{TextFormat, preferred_format};
use super::prometheus_text::prometheus_text;
use super::publish::PublishMetrics;

/// The media type of the figures in OpenMetrics, which those get who name it in `Accept`. All others get the Prometheus
/// text format 0.0.4.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at a time.
const MAX_CONNECTIONS: usize = 16;
/// How long a connection lasts.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// How much of a request is read, about: head and body.
const MAX_REQUEST_BYTES: usize = 16 << 10;
/// How long the figures may take to be gathered.
const LOOK_TIME: Duration = Duration::from_secs(5);
/// How long requests under way may take once the end was asked for.
const GRACE: Duration = Duration::from_secs(1);

/// Serves `metrics` at `/metrics` on `listener` until `shutdown` completes. Requests under way then get a second.
///
/// # Errors
/// When the socket fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<PublishMetrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = Router::new()
        .route("/metrics", get(figures))
        .fallback(|| async { (StatusCode::NOT_FOUND, "the figures are at /metrics\n") })
        .layer(middleware::map_response(the_only_one))
        .with_state(metrics);
    let listener = Bounded { inner: listener, slots: Arc::new(Semaphore::new(MAX_CONNECTIONS)) };
    let ending = tokio_util::sync::CancellationToken::new();
    let asked = ending.clone();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        asked.cancel();
    });
    let late = async {
        ending.cancelled().await;
        tokio::time::timeout(GRACE, std::future::pending::<()>()).await
    };
    tokio::select! {
        served = server => served,
        _ = late => Ok(()),
    }
}

async fn figures(State(metrics): State<Arc<PublishMetrics>>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = preferred_format(accept);
    let looked = tokio::task::spawn_blocking(move || {
        let text = metrics.encode();
        if format == TextFormat::OpenMetrics { Some(text) } else { prometheus_text(&text) }
    });
    match tokio::time::timeout(LOOK_TIME, looked).await {
        Ok(Ok(Some(text))) => {
            ([(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")], text).into_response()
        }
        Ok(Ok(None) | Err(_)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the figures can't be gathered now\n").into_response()
        }
    }
}

/// A connection is for one request.
async fn the_only_one(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A listener whose connections are bounded.
struct Bounded {
    inner: TcpListener,
    slots: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // Nobody closes the semaphore; if somebody did, there would be nothing to serve.
        let Ok(slot) = self.slots.clone().acquire_owned().await else { return std::future::pending().await };
        let (stream, address) = Listener::accept(&mut self.inner).await;
        let end = Box::pin(tokio::time::timeout(CONNECTION_TIME, std::future::pending()));
        (Connection { stream, end, left: MAX_REQUEST_BYTES, _slot: slot }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A connection that ends in time, and whose request is not endless.
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Timeout<Pending<()>>>>,
    /// Bytes that may still be read.
    left: usize,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(cx) {
            Poll::Ready(_) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too large")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
