//! The routes, and the replies to each.
//!
//! Clients may be hostile: bodies that are large are read a few at a time, and without a token only those are answered
//! who can't be a web page of somebody else's (see [`from_this_machine`]).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Json, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::json;
use sha3::{Digest, Sha3_256};

use super::large_bodies::{LargeBodies, Place, few_large_bodies};
use super::list::Sending;
use super::writer::Writer;
use super::{MAX_LISTS, QueueOptions};
use crate::clock::{Clock as _, SystemClock};
use crate::database::StoreError;
use crate::http_server::{Slot, Slots, from_this_machine};
use crate::transport::EventStore;
use crate::transport::form::{MAX_REQUEST_BYTES, topic_hash};

/// The longest name of a topic, in bytes; a hash has 64.
const MAX_TOPIC_BYTES: usize = 1_024;
/// How long a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Who is answered without a token.
const WITHOUT_TOKEN: &str = "without a token this queue answers only requests to localhost, 127.0.0.1 or [::1] that no web \
                             page of another host sent: use such a name, or give the queue a token (FORMUSAGE_TOKEN, \
                             --token-file)";

/// What every route needs.
#[derive(Debug, Clone)]
struct Queue {
    path: Arc<PathBuf>,
    writer: Writer,
    lists: Arc<Slots>,
}

/// The body of a write.
#[derive(Debug, Deserialize)]
enum Operation {
    Write { content: Vec<u8>, topic: String },
}

pub(super) fn app(path: PathBuf, writer: Writer, options: &QueueOptions) -> Router {
    let lists = super::list::slots((options.max_connections / 4).clamp(1, MAX_LISTS));
    let queue = Queue { path: Arc::new(path), writer, lists };
    let large_bodies = middleware::from_fn_with_state(LargeBodies::new(), few_large_bodies);
    let guarded = Router::new()
        .route("/queue/write_local", post(write).layer(large_bodies))
        .route("/queue/{name}/get", get(get_all))
        .route("/queue/{name}/{index}/get_after", get(get_after));
    let guarded = match &options.token {
        // Digests are compared, so that the time it takes tells nothing of the token.
        Some(token) => guarded.layer(middleware::from_fn_with_state(digest(token.as_bytes()), needs_token)),
        None => guarded,
    };
    let all = guarded.route("/queue/health", get(health)).with_state(queue);
    let all = match &options.token {
        Some(_) => all,
        None => from_this_machine(all, WITHOUT_TOKEN),
    };
    all.layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES)).layer(middleware::from_fn(within_time))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha3_256::digest(bytes).into()
}

async fn needs_token(State(expected): State<[u8; 32]>, request: Request, next: Next) -> Response {
    let given =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|token| digest(token) == expected) {
        return next.run(request).await;
    }
    let mut response =
        (StatusCode::UNAUTHORIZED, "this queue needs its token, in the header Authorization (scheme Bearer)\n")
            .into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// A client that takes forever to send its request does not keep its place.
async fn within_time(request: Request, next: Next) -> Response {
    let answered = tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await;
    answered.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

fn failure(reason: impl Into<String>) -> Response {
    Json(json!({ "Failure": { "reason": reason.into() } })).into_response()
}

async fn health(State(queue): State<Queue>) -> Response {
    if queue.writer.is_healthy() {
        "OK".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "writes fail; the log of the queue says why\n").into_response()
    }
}

async fn write(
    State(queue): State<Queue>,
    Extension(connection): Extension<Arc<Slot>>,
    place: Option<Extension<Place>>,
    body: Result<Json<Operation>, JsonRejection>,
) -> Response {
    // The extractor's own refusals are those of the protocol: 400, 413, 415 and 422 with a text.
    let Operation::Write { content, topic } = match body {
        Ok(Json(operation)) => operation,
        Err(rejection) => return rejection.into_response(),
    };
    if topic.len() > MAX_TOPIC_BYTES {
        let words = format!("the topic has {} bytes, at most {MAX_TOPIC_BYTES} are taken\n", topic.len());
        return (StatusCode::UNPROCESSABLE_ENTITY, words).into_response();
    }
    let _busy = (connection.busy(), place.map(|Extension(place)| place.busy()));
    match queue.writer.write(topic, content).await {
        Ok(()) => Json("OpSuccess").into_response(),
        Err(reason) => failure(reason),
    }
}

async fn get_all(
    State(queue): State<Queue>,
    Extension(connection): Extension<Arc<Slot>>,
    Path(name): Path<String>,
) -> Response {
    list(queue, connection, name, 0).await
}

async fn get_after(
    State(queue): State<Queue>,
    Extension(connection): Extension<Arc<Slot>>,
    Path((name, index)): Path<(String, u64)>,
) -> Response {
    list(queue, connection, name, index).await
}

async fn list(queue: Queue, connection: Arc<Slot>, name: String, from: u64) -> Response {
    let Some(slot) = queue.lists.enter(None, SystemClock.monotonic()) else {
        let words = "as many lists are under way as this queue sends at a time, and all of them advance; try again\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], words).into_response();
    };
    let sending = Sending { connection: connection.busy(), slot };
    let topic = topic_hash(&name);
    let (path, hash) = (queue.path.clone(), topic.clone());
    let count = tokio::task::spawn_blocking(move || EventStore::open(&path)?.count(&hash)).await;
    let count: Result<Option<u64>, StoreError> = match count {
        Ok(count) => count,
        Err(error) => return (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    match count {
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Ok(None) => failure(format!("there is no queue {name:?}")),
        Ok(Some(count)) if from >= count => failure(format!("Queue is shorter than {from}")),
        Ok(Some(count)) => {
            let body: Body = super::list::body(queue.path.to_path_buf(), topic, from, count, sending);
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}

/// A write that is understood is the one that a sender makes of the same message.
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) fn fuzz_write(body: &[u8]) {
    use crate::transport::form::wire::write_request;
    if let Ok(Operation::Write { content, topic }) = serde_json::from_slice(body)
        && let Some((sub_topic, event)) = content.split_first()
        // Senders give the digest of a name, which needs no escapes.
        && topic.bytes().all(|byte| byte.is_ascii_alphanumeric())
    {
        let request = write_request(&topic, *sub_topic, event);
        let arrived = serde_json::from_slice(&request).map(|Operation::Write { content, topic }| (content, topic));
        assert_eq!(arrived.ok(), Some((content, topic)), "another message arrives than was sent");
    }
}
