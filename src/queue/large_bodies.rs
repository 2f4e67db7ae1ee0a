//! Large bodies, of which a few are read at a time, since each takes memory.
//!
//! The first [`STEP_BYTES`] are read before a place is asked for, so that who sends a few bytes and no more holds none.
//! A body that stalls gives its place up to the next that waits; who sends slowly is asked for [`STEP_BYTES`] in
//! [`LEAST_AGE`] only where others wait.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use tokio::sync::Mutex;

use crate::http_server::{Busy, Slot, Slots};

/// A body of more bytes, or of unknown length, is large.
const LARGE_BODY: u64 = 64 << 10;
/// So many large bodies are held at a time; with what is made of them each takes up to 5 MiB.
const LARGE_BODIES: usize = 16;
/// A body of which so much came has advanced.
const STEP_BYTES: usize = 16 << 10;
/// A body that advanced within this time keeps its place.
const LEAST_AGE: Duration = Duration::from_secs(1);

/// The places of large bodies.
#[derive(Debug)]
pub(super) struct LargeBodies {
    places: Arc<Slots>,
    /// Held by the body that waits for longest, so that they come in their order.
    turn: Mutex<()>,
}

impl LargeBodies {
    pub(super) fn new() -> Arc<Self> {
        let places = Slots::new(LARGE_BODIES, LARGE_BODIES, LEAST_AGE);
        Arc::new(Self { places, turn: Mutex::new(()) })
    }

    async fn enter(&self) -> Place {
        let _turn = self.turn.lock().await;
        Place(Arc::new(self.places.enter_in_time().await))
    }
}

/// The place of a large body, among the extensions of its request.
#[derive(Debug, Clone)]
pub(super) struct Place(Arc<Slot>);

impl Place {
    /// Keeps the place, whoever waits: all of the body came.
    pub(super) fn busy(&self) -> Busy {
        self.0.busy()
    }

    /// `body`, which keeps the place while it advances.
    fn watch(&self, body: Body) -> Body {
        let (slot, mut step) = (self.0.clone(), 0);
        Body::from_stream(body.into_data_stream().inspect(move |chunk| {
            step += chunk.as_ref().map_or(0, |bytes| bytes.len());
            if step >= STEP_BYTES {
                step = 0;
                slot.advance();
            }
        }))
    }
}

/// Lets a few large bodies in at a time; others wait until these are answered, or stall.
pub(super) async fn few_large_bodies(State(bodies): State<Arc<LargeBodies>>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length <= LARGE_BODY) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let (body, is_whole) = with_its_beginning(body).await;
    let request = Request::from_parts(parts, body);
    if is_whole {
        return next.run(request).await;
    }
    let place = bodies.enter().await;
    let mut request = request.map(|body| place.watch(body));
    request.extensions_mut().insert(place.clone());
    tokio::select! {
        response = next.run(request) => response,
        () = place.0.cut() => {
            let words = "the request came too slowly, and others waited; send it again\n";
            (StatusCode::REQUEST_TIMEOUT, [(header::CONNECTION, "close")], words).into_response()
        }
    }
}

/// `body` once [`STEP_BYTES`] of it came, and whether that is all of it.
async fn with_its_beginning(body: Body) -> (Body, bool) {
    let mut rest = body.into_data_stream();
    let (mut beginning, mut bytes, mut is_whole) = (Vec::new(), 0, false);
    while bytes < STEP_BYTES && !is_whole {
        match rest.next().await {
            Some(chunk) => {
                bytes += chunk.as_ref().map_or(STEP_BYTES, |bytes| bytes.len());
                beginning.push(chunk);
            }
            None => is_whole = true,
        }
    }
    (Body::from_stream(futures_util::stream::iter(beginning).chain(rest)), is_whole)
}
