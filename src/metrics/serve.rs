//! `GET /metrics`.
//!
//! Whoever can reach the port may ask, and may be slow, endless or many. So a connection is for one request and within
//! [`LIMITS`]. The figures hold no secrets.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::negotiate::{TextFormat, preferred_format};
use super::prometheus_text::prometheus_text;
use super::publish::PublishMetrics;
use crate::http_server::{self, Limits, Slot, from_this_machine};

/// The media type of the figures in OpenMetrics, which those get who name it in `Accept`. All others get the Prometheus
/// text format 0.0.4.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What those may take who ask.
const LIMITS: Limits = Limits {
    connections: 16,
    connections_per_peer: 8,
    head_time: Duration::from_secs(10),
    connection_time: Some(Duration::from_secs(10)),
    buffer_bytes: 16 << 10,
    keep_alive: false,
    grace: Duration::from_secs(1),
};
/// Who is answered on a loopback address.
const FROM_ELSEWHERE: &str = "on this address the figures are for requests to localhost, 127.0.0.1 or [::1] that no web page \
                              of another host sent: use such a name, or listen on another address (--metrics-listen, \
                              --metrics-allow-remote)";
/// How long the figures may take to be gathered.
const LOOK_TIME: Duration = Duration::from_secs(5);

/// Serves `metrics` at `/metrics` on `listener` until `shutdown` completes. Requests under way then get a second. On a
/// loopback address only requests to a loopback name that no web page of another host sent are answered.
///
/// # Errors
/// None at present: connections that fail end alone.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<PublishMetrics>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/metrics", get(figures))
        .fallback(|| async { (StatusCode::NOT_FOUND, "the figures are at /metrics\n") })
        .with_state(metrics);
    let app = match listener.local_addr() {
        Ok(address) if !address.ip().to_canonical().is_loopback() => app,
        _ => from_this_machine(app, FROM_ELSEWHERE),
    };
    http_server::serve(listener, app, &LIMITS, shutdown).await;
    Ok(())
}

async fn figures(
    State(metrics): State<Arc<PublishMetrics>>,
    Extension(slot): Extension<Arc<Slot>>,
    headers: HeaderMap,
) -> Response {
    let _busy = slot.busy();
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
