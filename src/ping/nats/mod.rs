//! NATS JetStream, step by step.

#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) mod fuzzing;
mod stream;
mod wire;

use std::fmt;
use std::path::Path;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use self::wire::{Fault, Link};
use super::dial::{Route, Stream, speaks_plain_http, speaks_tls};
use super::http::excerpt;
use super::step::{Problem, Step, Stopped, Trail};
use super::tls::refused_behind_handshake;
use super::trust::Trust;
use crate::transport::nats::UserCredentials;

/// User and password of a NATS server.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsCredentials {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for NatsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsCredentials").field("user", &"(secret)").field("password", &"(secret)").finish()
    }
}

/// What is asked of a server.
pub(super) struct Wanted<'a> {
    pub(super) tls: bool,
    pub(super) subject: &'a str,
    pub(super) stream: Option<&'a str>,
    pub(super) token: Option<&'a str>,
    pub(super) credentials: Option<&'a NatsCredentials>,
    /// What a credentials file holds, and its path.
    pub(super) user: Option<(&'a Path, &'a UserCredentials)>,
    /// The content of this round's probe, where writes are to be tried.
    pub(super) probe: Option<&'a str>,
}

const EXPECTED: &str = "a NATS server, which greets with INFO";
const ANOTHER: &str = "another program listens there: check host and port (there: ss -ltnp shows what it is)";

pub(super) async fn steps(
    trail: &mut Trail<'_>,
    route: &Route,
    tcp: TcpStream,
    wanted: &Wanted<'_>,
) -> Result<(), Stopped> {
    let mut link = Link::new(tcp);
    let info = greeting(trail, route, &mut link).await?;
    let flag = |name: &str| info[name].as_bool().unwrap_or(false);
    if wanted.tls && !flag("tls_required") && !flag("tls_available") {
        let problem = Problem::new(
            "the server offers no TLS",
            "TLS, as tls:// asks for",
            "set up TLS on the server, or use nats:// where the network is trusted",
        );
        return Err(trail.fail(Step::Tls, std::time::Duration::ZERO, problem));
    }
    match &route.trust {
        Some(trust) if wanted.tls || flag("tls_required") => {
            let stream = super::tls::step(trail, trust, route, link.into_stream()).await?;
            inside(trail, &mut Link::new(stream), &info, wanted, Some(trust)).await
        }
        _ => inside(trail, &mut link, &info, wanted, None).await,
    }
}

async fn greeting(trail: &mut Trail<'_>, route: &Route, link: &mut Link<TcpStream>) -> Result<Value, Stopped> {
    let measured = trail.measure(link.info()).await;
    let problem = match measured.result {
        Some(Ok(info)) => {
            let version = excerpt(info["version"].as_str().unwrap_or("?").as_bytes());
            trail.ok(Step::Nats, measured.elapsed, format!("nats-server {version}"));
            return Ok(info);
        }
        Some(Err(Fault::Refused(words))) => {
            let found = format!("the server refuses connections: {}", excerpt(words.as_bytes()));
            Problem::new(found, EXPECTED, "see its log, and its limit of connections")
        }
        Some(Err(Fault::Foreign(bytes))) => {
            Problem::new(format!("something that is no NATS: {}", excerpt(&bytes)), EXPECTED, ANOTHER)
        }
        Some(Err(Fault::Io(error))) => Problem::new(error.to_string(), EXPECTED, "check the network in between"),
        Some(Err(Fault::Flood)) => Problem::new("bytes without end and no greeting", EXPECTED, ANOTHER),
        silent => {
            if speaks_plain_http(trail, route.address).await {
                Problem::new(
                    "HTTP is spoken there",
                    EXPECTED,
                    "give the port of clients (4222), not that of a monitor or of another service",
                )
            } else if speaks_tls(trail, route.address).await {
                Problem::new(
                    "TLS is spoken there from the first byte",
                    EXPECTED,
                    "another service listens there, or the server is set to handshake_first: turn that off",
                )
            } else if silent.is_none() {
                let found = format!("the connection was accepted, and nothing came within {}", trail.limit());
                Problem::new(
                    found,
                    EXPECTED,
                    "the service hangs, or something else listens there: check it, and the port",
                )
            } else {
                Problem::new("the connection was closed without a word", EXPECTED, ANOTHER)
            }
        }
    };
    Err(trail.fail(Step::Nats, measured.elapsed, problem))
}

/// What comes once the connection is as it should be.
async fn inside<S: Stream>(
    trail: &mut Trail<'_>,
    link: &mut Link<S>,
    info: &Value,
    wanted: &Wanted<'_>,
    trust: Option<&Trust>,
) -> Result<(), Stopped> {
    let mut options = json!({
        "verbose": true, "pedantic": true, "headers": true, "no_responders": true, "echo": true, "protocol": 1,
        "tls_required": wanted.tls, "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "name": "formusage ping",
    });
    if let Some(token) = wanted.token {
        options["auth_token"] = token.into();
    }
    if let Some(NatsCredentials { user, password }) = wanted.credentials {
        options["user"] = user.as_str().into();
        options["pass"] = password.as_str().into();
    }
    if let Some((path, user)) = wanted.user {
        let Some(signature) = user.sign(info["nonce"].as_str().unwrap_or_default()) else {
            let found = format!("nothing can be signed with the seed in {}", path.display());
            let problem = Problem::new(found, "a signature", "have new credentials made (nsc generate creds)");
            return Err(trail.fail(Step::Permission, std::time::Duration::ZERO, problem));
        };
        options["jwt"] = user.jwt.as_str().into();
        options["sig"] = signature.into();
    }
    let measured = trail.measure(link.connect(&options)).await;
    match measured.result {
        Some(Ok(())) => {
            trail.ok(Step::Permission, measured.elapsed, "the server lets us in");
        }
        Some(Err(Fault::Refused(words))) => {
            let given = wanted.token.is_some() || wanted.credentials.is_some();
            let needed = info["auth_required"].as_bool().unwrap_or(false);
            let fix = match (wanted.user, given, needed) {
                (Some((path, user)), ..) => user.advice(path, trail.clock.unix_seconds()),
                (None, false, true) => "the server wants credentials and none were sent: set FORMUSAGE_TOKEN or --token-file, FORMUSAGE_NATS_USER and FORMUSAGE_NATS_PASSWORD, or --nats-creds".to_owned(),
                (None, true, _) => {
                    "the credentials that were sent are not accepted: check them, and the server's accounts".to_owned()
                }
                (None, false, false) => "see the log of the server".to_owned(),
            };
            let found = format!("the server refused us: {}", excerpt(words.as_bytes()));
            return Err(trail.fail(Step::Permission, measured.elapsed, Problem::new(found, "PONG", fix)));
        }
        other => {
            let fault = other.and_then(Result::err);
            let ended = match &fault {
                Some(Fault::Closed) => Some(None),
                Some(Fault::Io(error)) => Some(Some(error)),
                _ => None,
            };
            let refused = ended.filter(|_| trust.is_some()).and_then(|error| refused_behind_handshake(trust, error));
            let problem = refused.unwrap_or_else(|| silent(trail, fault, "the introduction"));
            return Err(trail.fail(Step::Permission, measured.elapsed, problem));
        }
    }
    let found = stream::steps(trail, link, wanted).await?;
    trail.skip(Step::Clock, "NATS does not tell the time");
    match wanted.probe {
        None => trail.skip(Step::Write, "writes were not tried: --write tries one, in a stream of its own"),
        Some(probe) => stream::round_trip(trail, link, &found, probe).await?,
    }
    Ok(())
}

/// The failure of a request that got no answer.
fn silent(trail: &Trail<'_>, fault: Option<Fault>, what: &str) -> Problem {
    let found = match fault {
        None => format!("no answer to {what} came within {}", trail.limit()),
        Some(Fault::Closed) => format!("the connection was closed after {what}"),
        Some(Fault::Foreign(bytes)) => {
            format!("{what} was answered with something that is no NATS: {}", excerpt(&bytes))
        }
        Some(Fault::Refused(words)) => format!("{what} was refused: {}", excerpt(words.as_bytes())),
        Some(Fault::Flood) => format!("{what} was not answered: the server sends other things without end"),
        Some(Fault::Io(error)) => format!("{what} failed: {error}"),
    };
    Problem::new(found, "an answer", "see the log of the server")
}
