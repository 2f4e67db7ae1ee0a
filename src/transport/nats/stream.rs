//! The stream behind an address: looked up, made, judged.

use std::collections::HashMap;

use async_nats::jetstream::context::RequestErrorKind;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_nats::jetstream::{Error, ErrorCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::failure;
use super::link::Link;
use super::options::{DAY, StreamOptions};
use super::settings::{StreamInfo, StreamState, how_to_make, in_words, stream_name};
use crate::transport::{Failure, NatsAddress};

#[derive(Deserialize)]
struct Names {
    streams: Option<Vec<String>>,
}

/// Asks JetStream; what it refuses is an answer too.
async fn ask<T: DeserializeOwned>(
    link: &Link,
    subject: String,
    payload: &(impl Serialize + ?Sized),
) -> Result<Result<T, Error>, Failure> {
    let mut refusals = link.refusals();
    let reply = tokio::select! {
        biased;
        reply = link.context.request::<_, _, Response<T>>(subject, payload) => reply,
        () = refusals.next() => {
            if let Some(failure) = link.refusal(true) {
                return Err(failure);
            }
            let lost = || Failure::service(format!("the connection to {} was lost", link.url));
            return Err(link.misbehaviour().unwrap_or_else(lost));
        }
    };
    match reply {
        Ok(Response::Ok(reply)) => Ok(Ok(reply)),
        Ok(Response::Err { error }) => Ok(Err(error)),
        Err(error) if error.kind() == RequestErrorKind::TimedOut => {
            Err(link.refusal(false).unwrap_or_else(|| failure::of_request(&error, &link.url)))
        }
        Err(error) => Err(link.misbehaviour().unwrap_or_else(|| failure::of_request(&error, &link.url))),
    }
}

/// The stream that keeps the address's subject, by its name where that is given; `None` where there is none.
pub(super) async fn look_up(link: &Link, address: &NatsAddress) -> Result<Option<StreamInfo>, Failure> {
    let name = match &address.stream {
        Some(name) => name.clone(),
        None => match name_of(link, &address.subject).await? {
            Some(name) => name,
            None => return Ok(None),
        },
    };
    match ask(link, format!("STREAM.INFO.{name}"), &()).await? {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
        Err(error) => Err(failure::of_answer(&error, "to say what the stream is", &link.url)),
    }
}

async fn name_of(link: &Link, subject: &str) -> Result<Option<String>, Failure> {
    let query = serde_json::json!({ "subject": subject });
    match ask::<Names>(link, "STREAM.NAMES".to_owned(), &query).await? {
        Ok(names) => Ok(names.streams.unwrap_or_default().into_iter().next()),
        Err(error) => Err(failure::of_answer(&error, "to say which stream keeps the subject", &link.url)),
    }
}

#[derive(Deserialize)]
struct Stored {
    message: Place,
}

#[derive(Deserialize)]
struct Place {
    seq: u64,
}

/// What the stream `name` holds now, and how many messages of `subject` among it.
pub(super) async fn state(link: &Link, name: &str, subject: &str) -> Result<(StreamState, u64), Failure> {
    #[derive(Deserialize)]
    struct Counted {
        state: CountedState,
    }
    #[derive(Deserialize)]
    struct CountedState {
        #[serde(flatten)]
        state: StreamState,
        #[serde(default)]
        subjects: HashMap<String, u64>,
    }
    let query = serde_json::json!({ "subjects_filter": subject });
    match ask::<Counted>(link, format!("STREAM.INFO.{name}"), &query).await? {
        // Some servers leave the subject out though they hold messages of it: then all that they hold may be of it.
        Ok(Counted { state }) => {
            let held = state.subjects.get(subject).copied().unwrap_or(state.state.messages);
            Ok((state.state, held))
        }
        Err(error) => Err(failure::of_answer(&error, "to say what the stream holds", &link.url)),
    }
}

/// The sequence number of the subject's last message, by the stream's leader; 0 where there is none.
pub(super) async fn last(link: &Link, stream: &str, subject: &str) -> Result<u64, Failure> {
    let query = serde_json::json!({ "last_by_subj": subject });
    match ask::<Stored>(link, format!("STREAM.MSG.GET.{stream}"), &query).await? {
        Ok(stored) => Ok(stored.message.seq),
        Err(error) if error.error_code() == ErrorCode::NO_MESSAGE_FOUND => Ok(0),
        Err(error) => Err(failure::of_answer(&error, "to say what its last message is", &link.url)),
    }
}

/// Why nobody took an event: the stream is missing, or it has nobody to speak for it at the moment.
pub(super) async fn diagnose(link: &Link, address: &NatsAddress) -> Failure {
    match name_of(link, &address.subject).await {
        Ok(Some(name)) => Failure::service(format!(
            "the stream {name} at {} takes no events at the moment: it may lack a leader or a majority of its servers",
            link.url
        )),
        Ok(None) => missing(link, address),
        Err(failure) => failure,
    }
}

pub(super) fn missing(link: &Link, address: &NatsAddress) -> Failure {
    Failure::destination(format!(
        "{}; {}, or correct the destination URL",
        absence(link, address),
        how_to_make(&address.subject, address.stream.as_deref())
    ))
}

/// That there is no stream, in words.
pub(super) fn absence(link: &Link, address: &NatsAddress) -> String {
    match &address.stream {
        Some(name) => format!("{} holds no stream {name} with the subject {:?}", link.url, address.subject),
        None => format!("{} holds no stream with the subject {:?}", link.url, address.subject),
    }
}

/// Makes the stream. Another publisher that does the same at the same time is no matter.
pub(super) async fn create(link: &Link, address: &NatsAddress, options: &StreamOptions) -> Result<StreamInfo, Failure> {
    let name = stream_name(&address.subject, address.stream.as_deref());
    let max_age = options.max_age.unwrap_or_default();
    let window = options.duplicate_window;
    let config = Config {
        name: name.clone(),
        subjects: vec![address.subject.clone()],
        num_replicas: options.replicas,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_age,
        max_bytes: options.max_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        max_message_size: -1,
        duplicate_window: if max_age.is_zero() { window } else { window.min(max_age) },
        ..Config::default()
    };
    match ask(link, format!("STREAM.CREATE.{name}"), &config).await? {
        Ok(info) => {
            tracing::info!(stream = name, subject = address.subject, "made the stream");
            Ok(info)
        }
        Err(error) if error.error_code() == ErrorCode::STREAM_NAME_EXIST => {
            look_up(link, address).await?.ok_or_else(|| missing(link, address))
        }
        Err(error) => Err(failure::of_answer(&error, &format!("to make the stream {name}"), &link.url)),
    }
}

/// Why the stream can't be published to.
///
/// # Errors
/// A failure of the destination.
pub(super) fn check(info: &StreamInfo, link: &Link, address: &NatsAddress) -> Result<(), Failure> {
    match info.config.refusal(&address.subject) {
        Some(fault) => Err(Failure::destination(format!("at {}, {}: {}", link.url, fault.found, fault.fix))),
        None => Ok(()),
    }
}

/// Says what about a stream lets an event be taken twice.
pub(super) fn warn_of_short_window(info: &StreamInfo) {
    let (name, window) = (&info.config.name, info.config.duplicate_window());
    if window < DAY {
        tracing::warn!(
            stream = name,
            "the stream knows repeats for {} only: what is sent again later is kept twice; widen it with `nats stream edit {name} --dupe-window=24h`",
            in_words(window)
        );
    }
}

/// Says by which limits a stream drops what it has acknowledged, unless that was asked for.
pub(super) fn warn_of_drops(info: &StreamInfo, asked: Option<&StreamOptions>) -> bool {
    let is_asked = info.config.max_age().is_some() && info.config.max_age() == asked.and_then(|asked| asked.max_age);
    let mut settings = info.config.clone();
    if is_asked {
        settings.keep_for_ever();
    }
    let faults = settings.drops(&info.state);
    for fault in &faults {
        tracing::warn!("{}: such events are LOST, though they were delivered; {}", fault.found, fault.fix);
    }
    !faults.is_empty()
}
