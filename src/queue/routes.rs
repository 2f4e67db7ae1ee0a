//! The routes, and the replies to each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Json, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use sha3::{Digest, Sha3_256};

use super::QueueOptions;
use super::writer::Writer;
use crate::database::StoreError;
use crate::transport::EventStore;
use crate::transport::form::{MAX_REQUEST_BYTES, topic_hash};

/// The longest name of a topic, in bytes; a hash has 64.
const MAX_TOPIC_BYTES: usize = 1_024;
/// How long a request may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What every route needs.
#[derive(Debug, Clone)]
struct Queue {
    path: Arc<PathBuf>,
    writer: Writer,
}

/// The body of a write.
#[derive(Debug, Deserialize)]
enum Operation {
    Write { content: Vec<u8>, topic: String },
}

pub(super) fn app(path: PathBuf, writer: Writer, options: &QueueOptions) -> Router {
    let queue = Queue { path: Arc::new(path), writer };
    let guarded = Router::new()
        .route("/queue/write_local", post(write))
        .route("/queue/{name}/get", get(get_all))
        .route("/queue/{name}/{index}/get_after", get(get_after));
    let guarded = match &options.token {
        // Digests are compared, so that the time it takes tells nothing of the token.
        Some(token) => guarded.layer(middleware::from_fn_with_state(digest(token.as_bytes()), needs_token)),
        None => guarded,
    };
    guarded
        .route("/queue/health", get(health))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .layer(middleware::from_fn(within_time))
        .with_state(queue)
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
        (StatusCode::UNAUTHORIZED, "this queue needs its token: Authorization: Bearer …\n").into_response();
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

async fn write(State(queue): State<Queue>, body: Result<Json<Operation>, JsonRejection>) -> Response {
    // The extractor's own refusals are those of the protocol: 400, 413, 415 and 422 with a text.
    let Operation::Write { content, topic } = match body {
        Ok(Json(operation)) => operation,
        Err(rejection) => return rejection.into_response(),
    };
    if topic.len() > MAX_TOPIC_BYTES {
        let words = format!("the topic has {} bytes, at most {MAX_TOPIC_BYTES} are taken\n", topic.len());
        return (StatusCode::UNPROCESSABLE_ENTITY, words).into_response();
    }
    match queue.writer.write(topic, content).await {
        Ok(()) => Json("OpSuccess").into_response(),
        Err(reason) => failure(reason),
    }
}

async fn get_all(State(queue): State<Queue>, Path(name): Path<String>) -> Response {
    list(queue, name, 0).await
}

async fn get_after(State(queue): State<Queue>, Path((name, index)): Path<(String, u64)>) -> Response {
    list(queue, name, index).await
}

async fn list(queue: Queue, name: String, from: u64) -> Response {
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
            let body: Body = super::list::body(queue.path.to_path_buf(), topic, from, count);
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
    }
}
