//! JetStream and the stream, asked through its API of requests and replies.

use std::time::Duration;

use base64::Engine as _;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::wire::{Fault, Link};
use super::{Wanted, silent};
use crate::ping::dial::Stream;
use crate::ping::form::PROBE_TOPIC;
use crate::ping::http::excerpt;
use crate::ping::step::{Problem, Step, Stopped, Trail};
use crate::transport::nats::settings::{StreamInfo, how_to_make};

/// The stream was not found, in the API's own codes.
const NOT_FOUND: u64 = 10_059;
/// JetStream is off: for the server, for the account.
const NOT_ENABLED: [u64; 2] = [10_076, 10_039];

/// An answer of the API, and how long it took.
struct Answer {
    elapsed: Duration,
    value: Value,
}

impl Answer {
    fn error(&self) -> Option<(u64, String)> {
        let error = self.value.get("error")?;
        let words = excerpt(error["description"].as_str().unwrap_or("no reason given").as_bytes());
        Some((error["err_code"].as_u64().unwrap_or(0), words))
    }
}

/// Asks the API. What gets no answer fails `step`; what may not be asked fails the permission.
async fn ask<S: Stream>(
    trail: &mut Trail<'_>,
    link: &mut Link<S>,
    step: Step,
    subject: &str,
    payload: &Value,
) -> Result<Answer, Stopped> {
    let payload = if payload.is_null() { Vec::new() } else { payload.to_string().into_bytes() };
    let measured = trail.measure(link.request(subject, &payload)).await;
    let elapsed = measured.elapsed;
    match measured.result {
        // No responders: nobody serves the API.
        Some(Ok((Some(503), _))) => {
            let problem = Problem::new(
                "the server has no JetStream: nobody answers its API",
                "a server with JetStream",
                "start it with JetStream (nats-server -js, or jetstream {} in its configuration), and see that the account may use it",
            );
            Err(trail.fail(if step == Step::Stream { step } else { Step::JetStream }, elapsed, problem))
        }
        Some(Ok((_, text))) => match serde_json::from_slice(&text) {
            Ok(value) => Ok(Answer { elapsed, value }),
            Err(_) => {
                let found = format!("{subject} was answered with {}", excerpt(&text));
                Err(trail.fail(step, elapsed, Problem::new(found, "JSON", "see who else answers this subject")))
            }
        },
        Some(Err(Fault::Refused(words))) => {
            let problem = Problem::new(
                format!("{subject} may not be asked: {}", excerpt(words.as_bytes())),
                "permission to ask JetStream",
                "give the account or the user the permission to publish to $JS.API.> and to subscribe to _INBOX.>",
            );
            Err(trail.fail(Step::Permission, elapsed, problem))
        }
        other => {
            let problem = silent(trail, other.and_then(Result::err), subject);
            Err(trail.fail(step, elapsed, problem))
        }
    }
}

/// JetStream, then the stream; gives what the server says of it.
pub(super) async fn steps<S: Stream>(
    trail: &mut Trail<'_>,
    link: &mut Link<S>,
    wanted: &Wanted<'_>,
) -> Result<Value, Stopped> {
    let account = ask(trail, link, Step::JetStream, "$JS.API.INFO", &Value::Null).await?;
    if let Some((code, words)) = account.error() {
        let fix = if NOT_ENABLED.contains(&code) {
            "enable JetStream for the server (-js) and for the account"
        } else {
            "see the log of the server; in a cluster, whether a majority of its servers is up"
        };
        let problem = Problem::new(format!("JetStream refuses: {words}"), "JetStream for this account", fix);
        return Err(trail.fail(Step::JetStream, account.elapsed, problem));
    }
    let streams = account.value["streams"].as_u64().unwrap_or(0);
    trail.ok(Step::JetStream, account.elapsed, format!("enabled, {streams} streams"));

    let name = match wanted.stream {
        Some(name) => name.to_owned(),
        None => by_subject(trail, link, wanted.subject).await?,
    };
    let answer = ask(trail, link, Step::Stream, &format!("$JS.API.STREAM.INFO.{name}"), &Value::Null).await?;
    if let Some((code, words)) = answer.error() {
        let problem = if code == NOT_FOUND {
            Problem::new(
                format!("there is no stream {name:?}"),
                format!("a stream {name:?} that takes the subject {:?}", wanted.subject),
                how_to_make(wanted.subject, Some(&name)) + ", or correct ?stream= in the destination URL",
            )
        } else {
            Problem::new(
                format!("the stream {name:?} can't be asked: {words}"),
                "its state",
                "see the log of the server",
            )
        };
        return Err(trail.fail(Step::Stream, answer.elapsed, problem));
    }
    judge(trail, &name, &answer, wanted.subject)?;
    Ok(answer.value)
}

async fn by_subject<S: Stream>(trail: &mut Trail<'_>, link: &mut Link<S>, subject: &str) -> Result<String, Stopped> {
    let answer = ask(trail, link, Step::Stream, "$JS.API.STREAM.NAMES", &json!({ "subject": subject })).await?;
    if let Some(name) = answer.value["streams"][0].as_str() {
        return Ok(name.to_owned());
    }
    let problem = Problem::new(
        format!("no stream takes the subject {subject:?}"),
        "a stream that takes it",
        how_to_make(subject, None) + ", or correct the subject in the destination URL",
    );
    Err(trail.fail(Step::Stream, answer.elapsed, problem))
}

/// Whether the stream takes and acknowledges what is published to `subject`, and keeps it.
fn judge(trail: &mut Trail<'_>, name: &str, answer: &Answer, subject: &str) -> Result<(), Stopped> {
    let info = match StreamInfo::deserialize(&answer.value) {
        Ok(info) => info,
        Err(error) => {
            let found = format!("the stream {name:?} can't be judged: {error}");
            let problem = Problem::new(found, "its settings and its state", "see which version of NATS runs there");
            return Err(trail.fail(Step::Stream, answer.elapsed, problem));
        }
    };
    let (config, state) = (&info.config, &info.state);
    if let Some(fault) = config.refusal(subject) {
        return Err(trail.fail(Step::Stream, answer.elapsed, Problem::new(fault.found, fault.expected, fault.fix)));
    }
    if config.is_full(state) {
        let problem = Problem::new(
            format!("the stream {name:?} is full and discards what is new"),
            "room for events",
            format!("raise its limits (nats stream edit {name}), or have what is in it consumed"),
        );
        return Err(trail.fail(Step::Stream, answer.elapsed, problem));
    }
    let faults = config.drops(state);
    if let Some(first) = faults.first() {
        let found = faults.iter().map(|fault| fault.found.as_str()).collect::<Vec<_>>().join("; ");
        let fix = faults.iter().map(|fault| fault.fix.as_str()).collect::<Vec<_>>().join("; ");
        trail.warn(Step::Stream, answer.elapsed, Problem::new(found, first.expected, fix));
        return Ok(());
    }
    let (messages, window) = (state.messages, config.duplicate_window());
    trail.ok(Step::Stream, answer.elapsed, format!("{name}: {messages} messages, knows repeats for {window:?}"));
    Ok(())
}

/// Writes a probe to a stream of its own, stored as the other one is, and reads it back. The stream goes with it.
pub(super) async fn round_trip<S: Stream>(
    trail: &mut Trail<'_>,
    link: &mut Link<S>,
    like: &Value,
    probe: &str,
) -> Result<(), Stopped> {
    let config = json!({
        "name": PROBE_TOPIC, "subjects": [PROBE_TOPIC], "retention": "limits", "discard": "old", "max_msgs": 1,
        "storage": like["config"]["storage"], "num_replicas": like["config"]["num_replicas"],
        "max_consumers": -1, "max_bytes": -1, "max_age": 0,
    });
    let create = format!("$JS.API.STREAM.CREATE.{PROBE_TOPIC}");
    let created = ask(trail, link, Step::Write, &create, &config).await?;
    if let Some((_, words)) = created.error() {
        let problem = Problem::new(
            format!("no stream for probes can be made: {words}"),
            format!("a stream {PROBE_TOPIC:?}, made for the probe and removed behind it"),
            "see the limits of the account and the disk of the server",
        );
        return Err(trail.fail(Step::Write, created.elapsed, problem));
    }
    let done = written(trail, link, probe).await;
    if created.value["did_create"] == true {
        let remove = format!("$JS.API.STREAM.DELETE.{PROBE_TOPIC}");
        if trail.measure(link.request(&remove, b"")).await.result.is_none_or(|removed| removed.is_err()) {
            tracing::warn!(stream = PROBE_TOPIC, "the stream of the probe could not be removed");
        }
    }
    done
}

async fn written<S: Stream>(trail: &mut Trail<'_>, link: &mut Link<S>, probe: &str) -> Result<(), Stopped> {
    let content: Value = probe.into();
    let answer = ask(trail, link, Step::Write, PROBE_TOPIC, &content).await?;
    let Some(sequence) = answer.value["seq"].as_u64() else {
        let words = answer.error().map_or_else(|| "no sequence number".to_owned(), |(_, words)| words);
        let problem = Problem::new(
            format!("the probe was not taken: {words}"),
            "an acknowledgement",
            "events are not taken either: see the log of the server, its disk and its limits",
        );
        return Err(trail.fail(Step::Write, answer.elapsed, problem));
    };
    trail.ok(Step::Write, answer.elapsed, format!("a probe in a stream of its own, {PROBE_TOPIC}"));
    let get = format!("$JS.API.STREAM.MSG.GET.{PROBE_TOPIC}");
    let answer = ask(trail, link, Step::Read, &get, &json!({ "seq": sequence })).await?;
    let expected = base64::engine::general_purpose::STANDARD.encode(content.to_string());
    if answer.value["message"]["data"] == expected.as_str() {
        trail.ok(Step::Read, answer.elapsed, "the probe came back");
        return Ok(());
    }
    let words = answer.error().map_or_else(|| "something else".to_owned(), |(_, words)| words);
    let problem = Problem::new(
        format!("the probe that was acknowledged did not come back: {words}"),
        "the probe",
        "see the log of the server, and who else writes to this stream",
    );
    Err(trail.fail(Step::Read, answer.elapsed, problem))
}
