//! What the services over HTTP share: asking, telling faults apart, the clock.

use std::sync::Arc;
use std::time::Duration;

use super::dial::speaks_tls;
use super::http::{Connection, Fault, Reply, Request, excerpt, foreign};
use super::step::{Measured, Problem, Status, Step, Stopped, Trail};
use super::tls::refused_behind_handshake;
use super::trust::Trust;
use crate::clock::unix_seconds;

/// Clocks this far apart, in seconds, are worth a warning: timestamps in the future are refused sooner or later.
const CLOCK_LIMIT: f64 = 5.0;

/// One service over HTTP, while it is looked at.
pub(super) struct Web<'t, 'a> {
    pub(super) trail: &'t mut Trail<'a>,
    pub(super) connection: Connection,
    pub(super) address: std::net::SocketAddr,
    pub(super) tls: bool,
    pub(super) has_token: bool,
    /// Set where TLS is spoken.
    pub(super) trust: Option<Arc<Trust>>,
}

impl Web<'_, '_> {
    /// Asks within the time limit of a step. What gets no HTTP reply fails `step`.
    pub(super) async fn ask(&mut self, step: Step, request: Request<'_>) -> Result<(Reply, Duration), Stopped> {
        let measured = self.trail.measure(self.connection.ask(request)).await;
        self.judge(step, measured).await
    }

    /// The reply, unless there is none: then `step` failed.
    pub(super) async fn judge(
        &mut self,
        step: Step,
        measured: Measured<Result<Reply, Fault>>,
    ) -> Result<(Reply, Duration), Stopped> {
        let problem = match measured.result {
            Some(Ok(reply)) => return Ok((reply, measured.elapsed)),
            Some(Err(fault)) => self.explain(fault).await,
            // Some servers of TLS wait for more when they are sent plain HTTP.
            None if !self.tls && speaks_tls(self.trail, self.address).await => spoken_tls(),
            None => Problem::new(
                format!("the connection was accepted, and no reply came within {}", self.trail.limit()),
                "a reply over HTTP",
                "the service hangs or is overloaded, or something else listens there: check it, and the port",
            ),
        };
        Err(self.trail.fail(step, measured.elapsed, problem))
    }

    async fn explain(&mut self, fault: Fault) -> Problem {
        const EXPECTED: &str = "a reply over HTTP";
        let another = "another program listens there: check host and port (there: ss -ltnp shows what it is)";
        let ended = match &fault {
            // Who has answered has taken us for who we are.
            _ if self.connection.used => None,
            Fault::Closed => Some(None),
            Fault::Io(error) => Some(Some(error)),
            Fault::Foreign(_) | Fault::Broken(_) => None,
        };
        if let Some(problem) = ended.and_then(|error| refused_behind_handshake(self.trust.as_deref(), error)) {
            return problem;
        }
        match fault {
            Fault::Foreign(bytes) if !self.tls && super::dial::is_tls(&bytes) => spoken_tls(),
            Fault::Foreign(bytes) => {
                Problem::new(format!("something that is no HTTP: {}", foreign(&bytes)), EXPECTED, another)
            }
            Fault::Closed if !self.tls && speaks_tls(self.trail, self.address).await => spoken_tls(),
            Fault::Closed => Problem::new(
                "the connection was closed without a reply",
                EXPECTED,
                "see the log of the service; if it shows nothing, another program or a proxy listens there",
            ),
            Fault::Broken(how) => Problem::new(
                format!("a reply over HTTP that makes no sense: {how}"),
                "a whole reply over HTTP",
                "see the log of the service, and of the proxies in front of it",
            ),
            Fault::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => Problem::new(
                format!("TLS was ended behind the handshake: {error}"),
                EXPECTED,
                "see the log of the server",
            ),
            Fault::Io(error) => Problem::new(error.to_string(), EXPECTED, "check the network in between"),
        }
    }

    /// The failure that a status stands for whatever was asked, with the step that it concerns.
    pub(super) fn refusal(&self, reply: &Reply, what: &str) -> Option<(Step, Problem)> {
        let found = |more: &str| format!("{what} was answered with {}{more}", reply.status);
        let said = excerpt(&reply.body);
        let server = reply.header("server").map(|name| format!(" by {}", excerpt(name.as_bytes()))).unwrap_or_default();
        let words = if reply.body.trim_ascii().is_empty() { String::new() } else { format!(": {said}") };
        Some(match reply.status {
            401 => (
                Step::Permission,
                Problem::new(
                    found(&format!(" Unauthorized{server}{words}")),
                    "a reply for a caller that may use the service",
                    if self.has_token {
                        "what was sent is not accepted: check FORMUSAGE_TOKEN, or the files of --token-file and --header-file"
                    } else {
                        "no token was sent: set FORMUSAGE_TOKEN or --token-file (--header-file for an API key over https: or http:)"
                    },
                ),
            ),
            403 => (
                Step::Permission,
                Problem::new(
                    found(&format!(" Forbidden{server}{words}")),
                    "a reply for a caller that may use the service",
                    if self.has_token {
                        "the token lacks this permission, or the address of this machine is not allowed: ask who runs the service"
                    } else {
                        "no token was sent: set FORMUSAGE_TOKEN or --token-file; or the address of this machine is not allowed"
                    },
                ),
            ),
            300..=399 => (
                Step::Protocol,
                Problem::new(
                    found(&format!(" to {}", excerpt(reply.header("location").unwrap_or_default().as_bytes()))),
                    "the service itself",
                    "redirects are not followed: give the address that it redirects to",
                ),
            ),
            400 if !self.tls && said.to_ascii_lowercase().contains("https") => (Step::Http, spoken_tls()),
            408 | 429 | 500..=599 => (
                Step::Health,
                Problem::new(
                    found(&format!("{server}: {said}")),
                    "200",
                    "the service or a proxy in front of it is in trouble: see its log; events are kept and sent again meanwhile",
                ),
            ),
            _ => return None,
        })
    }

    /// The failure of a reply that is no reply of this protocol.
    pub(super) fn foreign(&self, reply: &Reply, what: &str, expected: &str, fix: &str) -> Problem {
        let server = reply.header("server").map(|name| format!(" by {}", excerpt(name.as_bytes()))).unwrap_or_default();
        let found = format!("{what} was answered with {}{server}: {}", reply.status, excerpt(&reply.body));
        Problem::new(found, expected, fix)
    }

    /// The clock step, from a reply that took `elapsed` and has just come.
    pub(super) fn clock(&mut self, reply: &Reply, elapsed: Duration) {
        let Some(date) = reply.header("date").and_then(|date| httpdate::parse_http_date(date).ok()) else {
            return self.trail.skip(Step::Clock, "the reply holds no Date, so the other clock is not known");
        };
        // The date is cut to whole seconds, and was written about halfway.
        let there = unix_seconds(date) as f64 + 0.5;
        let wall = self.trail.clock.wall();
        let here = match wall.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => since.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        } - elapsed.as_secs_f64() / 2.0;
        let difference = ((there - here) * 10.0).round() / 10.0;
        let words = format!("its clock is {}", ahead(difference));
        let taken = if difference.abs() > CLOCK_LIMIT {
            let expected = format!("a difference of at most {CLOCK_LIMIT} s");
            let fix = "see which of the two is wrong (timedatectl), and let a time server set it: the times in usage events come from this machine's clock";
            self.trail.warn(Step::Clock, Duration::ZERO, Problem::new(words, expected, fix))
        } else {
            self.trail.ok(Step::Clock, Duration::ZERO, words)
        };
        debug_assert!(taken.status != Status::Failed);
        taken.elapsed = None;
        taken.clock_difference = Some(difference);
    }
}

fn ahead(difference: f64) -> String {
    let side = if difference < 0.0 { "behind" } else { "ahead of" };
    format!("{:.1} s (give or take one) {side} ours", difference.abs())
}

fn spoken_tls() -> Problem {
    Problem::new(
        "TLS is spoken there",
        "plain HTTP",
        "use the URL with TLS: form+https:// in place of form://, https:// in place of http://",
    )
}
