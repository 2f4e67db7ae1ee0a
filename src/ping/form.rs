//! The Form queue, step by step.
//!
//! Its health is `OK` even while every write fails, so that health is not the end: the protocol is asked for a place of
//! the topic that no topic reaches, permission for a write that is refused by its shape, and with `write` a probe goes
//! into a topic of its own and comes back.

use std::time::Duration;

use super::http::{Fault, Reply, Request, excerpt};
use super::step::{Problem, Step, Stopped};
use super::web::Web;
use crate::transport::form::wire::{self, Reply as FormReply};
use crate::transport::form::{percent_encoded, topic_hash};

/// Where probes are written; never the topic of the destination.
pub(super) const PROBE_TOPIC: &str = "formusage_probe";

/// An index that no topic reaches.
const BEYOND: u32 = i32::MAX as u32;
/// The most that is read of the probe topic.
const MAX_PROBES_BYTES: usize = 32 << 20;

const NO_QUEUE: &str = "another program listens there: check host and port, and the path that a proxy forwards";

/// What is asked of a Form queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form<'a> {
    pub(super) topic: &'a str,
    pub(super) sub_topic: u8,
    /// The content of this round's probe, where writes are to be tried.
    pub(super) probe: Option<&'a str>,
}

pub(super) async fn steps(web: &mut Web<'_, '_>, form: Form<'_>) -> Result<(), Stopped> {
    const HEALTH: &str = "/queue/health";
    let (first, elapsed) = web.ask(Step::Http, Request::get(HEALTH)).await?;
    if let Some((Step::Http, problem)) = web.refusal(&first, HEALTH) {
        return Err(web.trail.fail(Step::Http, elapsed, problem));
    }
    let server = first.header("server").map(|name| format!(", by {}", excerpt(name.as_bytes()))).unwrap_or_default();
    web.trail.ok(Step::Http, elapsed, format!("answered with {}{server}", first.status));

    let (reply, elapsed) = web.ask(Step::Health, Request::get(HEALTH)).await?;
    health(web, &reply, elapsed)?;
    protocol(web, form.topic).await?;
    permission(web).await?;
    web.clock(&reply, elapsed);
    match form.probe {
        None => web
            .trail
            .skip(Step::Write, "writes were not tried, and health says OK even while they fail: --write tries one"),
        Some(probe) => round_trip(web, form.sub_topic, probe).await?,
    }
    Ok(())
}

fn health(web: &mut Web<'_, '_>, reply: &Reply, elapsed: Duration) -> Result<(), Stopped> {
    const WHAT: &str = "GET /queue/health";
    if let Some((step, problem)) = web.refusal(reply, WHAT) {
        return Err(web.trail.fail(step, elapsed, problem));
    }
    if reply.status == 200 && reply.body.trim_ascii() == b"OK" {
        web.trail.ok(Step::Health, elapsed, "OK");
        return Ok(());
    }
    let problem = web.foreign(reply, WHAT, "OK, from a Form queue", NO_QUEUE);
    Err(web.trail.fail(Step::Protocol, elapsed, problem))
}

async fn protocol(web: &mut Web<'_, '_>, topic: &str) -> Result<(), Stopped> {
    let path = format!("/queue/{}/{BEYOND}/get_after", percent_encoded(topic));
    let what = format!("GET {path}");
    let (reply, elapsed) = web.ask(Step::Protocol, Request::get(&path)).await?;
    if let Some((step, problem)) = web.refusal(&reply, &what) {
        return Err(web.trail.fail(step, elapsed, problem));
    }
    let said = match wire::read_reply(&reply.body) {
        FormReply::Refused(reason) if reply.status == 200 => reason.unwrap_or_else(|| "no reason".to_owned()),
        FormReply::OutOfPlace(variant) if reply.status == 200 => variant,
        _ => {
            let problem = web.foreign(&reply, &what, "a reply of the Form protocol", NO_QUEUE);
            return Err(web.trail.fail(Step::Protocol, elapsed, problem));
        }
    };
    web.trail.ok(Step::Protocol, elapsed, format!("a Form queue, which says: {}", excerpt(said.as_bytes())));
    Ok(())
}

/// Asks for a write that has no content: whoever may write is told that its shape is wrong, and nothing is written.
async fn permission(web: &mut Web<'_, '_>) -> Result<(), Stopped> {
    const WHAT: &str = "POST /queue/write_local";
    let request = Request { method: "POST", path: "/queue/write_local", body: Some(b"{}"), limit: 64 << 10 };
    let measured = web.trail.measure(web.connection.ask(request)).await;
    if let Some(Err(Fault::Closed)) = measured.result {
        // Some inputs make a handler of the queue give up; that says nothing of writes that make sense.
        let problem = Problem::new(
            "an empty write was met by a closed connection",
            "a refusal of its shape",
            "whether writes work, --write tells",
        );
        web.trail.warn(Step::Permission, measured.elapsed, problem);
        return Ok(());
    }
    let (reply, elapsed) = web.judge(Step::Permission, measured).await?;
    match web.refusal(&reply, WHAT) {
        Some((step @ (Step::Permission | Step::Protocol), problem)) => Err(web.trail.fail(step, elapsed, problem)),
        // What a service makes of a request that makes no sense says nothing of those that do.
        _ if matches!(reply.status, 400 | 415 | 422 | 500..=599) || wire::read_reply(&reply.body).is_form() => {
            web.trail.ok(Step::Permission, elapsed, "may read and ask for writes");
            Ok(())
        }
        _ => {
            let problem = web.foreign(&reply, WHAT, "a refusal of the empty write that was asked for", NO_QUEUE);
            Err(web.trail.fail(Step::Protocol, elapsed, problem))
        }
    }
}

async fn round_trip(web: &mut Web<'_, '_>, sub_topic: u8, probe: &str) -> Result<(), Stopped> {
    const WHAT: &str = "the write of a probe";
    let body = wire::write_request(&topic_hash(PROBE_TOPIC), sub_topic, probe.as_bytes());
    let request = Request { method: "POST", path: "/queue/write_local", body: Some(&body), limit: 64 << 10 };
    let (reply, elapsed) = web.ask(Step::Write, request).await?;
    if let Some((step, problem)) = web.refusal(&reply, WHAT) {
        let step = if step == Step::Permission { step } else { Step::Write };
        return Err(web.trail.fail(step, elapsed, problem));
    }
    match wire::read_reply(&reply.body) {
        FormReply::Success if reply.status == 200 => {
            web.trail.ok(Step::Write, elapsed, format!("a probe in the topic {PROBE_TOPIC}"));
        }
        FormReply::Refused(reason) if reply.status == 200 => {
            let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
            let problem = Problem::new(
                format!("the queue calls itself healthy and refused a write: {}", excerpt(reason.as_bytes())),
                "\"OpSuccess\"",
                "events are not taken either: see the log of the queue, its disk and its memory; they are kept and sent again meanwhile",
            );
            return Err(web.trail.fail(Step::Write, elapsed, problem));
        }
        _ => {
            let problem = web.foreign(&reply, WHAT, "\"OpSuccess\"", "see the log of the queue");
            return Err(web.trail.fail(Step::Write, elapsed, problem));
        }
    }
    read_back(web, sub_topic, probe).await
}

async fn read_back(web: &mut Web<'_, '_>, sub_topic: u8, probe: &str) -> Result<(), Stopped> {
    let path = format!("/queue/{PROBE_TOPIC}/get");
    let request = Request { limit: MAX_PROBES_BYTES, ..Request::get(&path) };
    let (reply, elapsed) = web.ask(Step::Read, request).await?;
    if let Some((step, problem)) = web.refusal(&reply, &path) {
        let step = if step == Step::Permission { step } else { Step::Read };
        return Err(web.trail.fail(step, elapsed, problem));
    }
    let numbers: Vec<String> =
        std::iter::once(&sub_topic).chain(probe.as_bytes()).map(|byte| byte.to_string()).collect();
    let wanted = format!("[{}]", numbers.join(","));
    // A service is free to write its lists with spaces.
    let held: Vec<u8> = reply.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if memchr::memmem::find(&held, wanted.as_bytes()).is_some() {
        web.trail.ok(Step::Read, elapsed, "the probe came back");
        return Ok(());
    }
    if reply.cut {
        web.trail.skip(
            Step::Read,
            "the topic of the probes is too long to be read through; a restart of the queue empties it",
        );
        return Ok(());
    }
    let problem = Problem::new(
        format!("the probe that the queue acknowledged is not in the topic {PROBE_TOPIC}"),
        "the probe",
        "acknowledged events may be lost there: see the log of the queue, and whether several queues share this address",
    );
    Err(web.trail.fail(Step::Read, elapsed, problem))
}
