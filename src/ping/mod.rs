//! Connectivity, step by step: which step to a destination fails, and what to do.
//!
//! ```text
//! name ─► tcp ─► tls ─► http ─► health ─► protocol ─► permission ─► clock ─► write ─► read
//!                  nats ─► tls ─► permission ─► jetstream ─► stream ─► write ─► read
//! file ─► permission ─► store ─► write ─► read
//! ```
//!
//! The steps are taken for each address that a name resolves to, in every round on a connection of its own. One that
//! fails ends its round at that address, for what comes behind it can't work either. A protocol is one small file here.
//! Nothing is written unless asked for, and then only to a topic of its own.

mod certificate;
mod cloud_events;
mod dial;
mod form;
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(crate) mod fuzzing;
mod http;
mod local;
mod nats;
mod quote;
mod report;
mod step;
mod target;
mod tls;
mod trust;
mod web;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

pub use self::certificate::TlsFacts;
pub use self::nats::NatsCredentials;
pub use self::report::{AddressReport, PingReport, StepReport, Timing};
pub use self::step::{Problem, Status, Step};
pub use self::target::{NetworkTarget, Protocol, Target, TargetError};

use self::dial::Route;
use self::http::Connection;
use self::report::Tally;
use self::step::{Stopped, Trail};
use self::target::Place;
use self::trust::Trust;
use self::web::Web;
use crate::clock::Clock;
use crate::transport::ClientCertificate;
use crate::transport::http_client::keys_in;
use crate::transport::nats::UserCredentials;

/// How a destination is probed.
#[derive(Clone)]
pub struct PingOptions {
    /// The most that one step may take; 5 seconds by default.
    pub timeout: Duration,
    /// A bearer token over HTTP, the token of a NATS server.
    pub token: Option<String>,
    /// Further headers over HTTP, such as an API key; their values are secrets. Only for CloudEvents.
    pub headers: Vec<(String, String)>,
    /// User and password of a NATS server.
    pub nats: Option<NatsCredentials>,
    /// Write a probe to a topic of its own (`formusage_probe`) and read it back. Off by default.
    pub write: bool,
    /// PEM certificates that are trusted instead of the system's roots.
    pub ca_file: Option<PathBuf>,
    /// A NATS credentials file, as `nsc` writes it.
    pub credentials_file: Option<PathBuf>,
    /// Who we are, where TLS is spoken and the server asks.
    pub client_certificate: Option<ClientCertificate>,
}

impl Default for PingOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            token: None,
            headers: Vec::new(),
            nats: None,
            write: false,
            ca_file: None,
            credentials_file: None,
            client_certificate: None,
        }
    }
}

impl fmt::Debug for PingOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PingOptions")
            .field("timeout", &self.timeout)
            .field("token", &self.token.as_ref().map(|_| "(secret)"))
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("nats", &self.nats)
            .field("write", &self.write)
            .field("ca_file", &self.ca_file)
            .field("credentials_file", &self.credentials_file)
            .field("client_certificate", &self.client_certificate)
            .finish()
    }
}

/// Why a destination can't be probed at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PingError(String);

/// Probes one destination, round by round.
///
/// ```no_run
/// use std::sync::Arc;
/// use form_usage_events::clock::SystemClock;
/// use form_usage_events::ping::{PingOptions, Pinger};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let target = "form://queue.example/usage_events".parse()?;
/// let mut pinger = Pinger::new(target, PingOptions::default(), Arc::new(SystemClock))?;
/// pinger.round().await;
/// for address in pinger.report().addresses {
///     if let Some(step) = address.failure() {
///         eprintln!("{}: {} failed: {}", address.host, step.step, step.detail);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Pinger {
    target: Target,
    options: PingOptions,
    clock: Arc<dyn Clock>,
    trust: Option<Arc<Trust>>,
    user: Option<UserCredentials>,
    tally: Tally,
}

impl Pinger {
    /// A pinger for `target`. Connects to nothing yet.
    ///
    /// # Errors
    /// When the roots of TLS, the certificate of the client or the credentials can't be read, or the token or a header
    /// can't stand in a request over HTTP.
    pub fn new(target: Target, options: PingOptions, clock: Arc<dyn Clock>) -> Result<Self, PingError> {
        let (mut trust, mut user) = (None, None);
        if let Place::Network(network) = &target.place {
            let nats = matches!(network.protocol, Protocol::Nats { .. });
            // A NATS server may ask for TLS whatever the URL says.
            if network.tls || nats {
                let certificate = options.client_certificate.as_ref();
                trust = Some(Arc::new(Trust::new(options.ca_file.as_deref(), certificate, clock.clone())?));
            }
            if let Some(path) = options.credentials_file.as_deref().filter(|_| nats) {
                user = Some(UserCredentials::read(path).map_err(PingError)?);
            }
            let visible = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
            if let Some((name, _)) = options.headers.iter().find(|(name, value)| !visible(name) || !visible(value)) {
                return Err(PingError(format!("the header {name:?} holds characters that no HTTP header may hold")));
            }
            if !nats && !options.token.as_ref().is_none_or(visible) {
                return Err(PingError(
                    "the token holds characters that no HTTP header may hold; check the file or FORMUSAGE_TOKEN".into(),
                ));
            }
        }
        Ok(Self { target, options, clock, trust, user, tally: Tally::default() })
    }

    /// Takes every step once, for every address. Dropping the future gives the round up.
    pub async fn round(&mut self) {
        let clock = self.clock.clone();
        let mut found = Vec::new();
        match &self.target.place {
            Place::Network(network) => {
                for (host, port) in &network.hosts {
                    let mut named = Trail::new(&*clock, self.options.timeout);
                    match dial::resolve(&mut named, host, *port).await {
                        Err(Stopped) => found.push((host.clone(), None, named.taken)),
                        Ok(addresses) => {
                            for address in addresses {
                                let mut trail = Trail::new(&*clock, self.options.timeout);
                                trail.taken.clone_from(&named.taken);
                                // Where it ended, the trail says so.
                                let _ = self.at(&mut trail, network, host, address).await;
                                found.push((host.clone(), Some(address), trail.taken));
                            }
                        }
                    }
                }
            }
            Place::File(path) => {
                let mut trail = Trail::new(&*clock, self.options.timeout);
                let _ = local::file_steps(&mut trail, path, self.options.write).await;
                found.push((path.display().to_string(), None, trail.taken));
            }
            Place::Sqlite(path) => {
                let mut trail = Trail::new(&*clock, self.options.timeout);
                #[cfg(feature = "sqlite")]
                let _ = local::sqlite_steps(&mut trail, path, self.probe().as_deref()).await;
                #[cfg(not(feature = "sqlite"))]
                let _ = local::file_steps(&mut trail, path, self.options.write).await;
                found.push((path.display().to_string(), None, trail.taken));
            }
        }
        self.tally.rounds += 1;
        for (host, address, mut taken) in found {
            let secrets = self.secrets();
            let secrets: Vec<&str> = secrets.iter().map(|secret| &**secret).collect();
            taken.iter_mut().for_each(|taken| taken.mask_quotes(&secrets));
            self.tally.add(&host, address, taken);
        }
    }

    /// All that is sent and must not stand in a report, the longest first, since one may hold another.
    fn secrets(&self) -> Vec<Cow<'_, str>> {
        let password = self.options.nats.as_ref().map(|nats| nats.password.as_str());
        let headers = self.options.headers.iter().map(|(_, value)| value.as_str());
        let jwt = self.user.as_ref().map(|user| user.jwt.as_str());
        let sent = self.options.token.as_deref().into_iter().chain(password).chain(jwt).chain(headers);
        let mut secrets: Vec<Cow<'_, str>> = sent.map(Cow::Borrowed).collect();
        if let Place::Network(NetworkTarget { protocol: Protocol::CloudEvents { path }, .. }) = &self.target.place {
            // The host does not matter: the keys are in the query.
            secrets.extend(keys_in(&format!("http://host{path}"), false).into_iter().map(Cow::Owned));
        }
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    /// What the rounds so far found.
    #[must_use]
    pub fn report(&self) -> PingReport {
        self.tally.report(self.target.to_string(), self.options.write)
    }

    /// The content of a probe, unlike any before it: a service that dedupes would take a known one without writing it.
    fn probe(&self) -> Option<String> {
        if !self.options.write {
            return None;
        }
        let at = self.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Some(format!(r#"{{"formusage_probe":"{:016x}","at_ms":{at}}}"#, fastrand::u64(..)))
    }

    /// The steps at one address.
    async fn at(
        &self,
        trail: &mut Trail<'_>,
        network: &NetworkTarget,
        host: &str,
        address: SocketAddr,
    ) -> Result<(), Stopped> {
        let tcp = dial::tcp(trail, address).await?;
        let mut route = Route { host: host.to_owned(), address, trust: self.trust.clone() };
        let probe = self.probe();
        if let Protocol::Nats { subject, stream } = &network.protocol {
            let wanted = nats::Wanted {
                tls: network.tls,
                subject,
                stream: stream.as_deref(),
                token: self.options.token.as_deref(),
                credentials: self.options.nats.as_ref(),
                user: self.options.credentials_file.as_deref().zip(self.user.as_ref()),
                probe: probe.as_deref(),
            };
            return nats::steps(trail, &route, tcp, &wanted).await;
        }
        let stream: Box<dyn dial::Stream> = match &self.trust {
            Some(trust) => Box::new(tls::step(trail, trust, &route, tcp).await?),
            None => {
                route.trust = None;
                Box::new(tcp)
            }
        };
        let mut headers = match network.protocol {
            Protocol::CloudEvents { .. } => self.options.headers.clone(),
            _ => Vec::new(),
        };
        let named = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        if let Some(token) = self.options.token.as_ref().filter(|_| !named("authorization")) {
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        let has_token = !headers.is_empty();
        let connection = Connection::new(stream, route, headers);
        let mut web = Web { trail, connection, address, tls: network.tls, has_token, trust: self.trust.clone() };
        match &network.protocol {
            Protocol::CloudEvents { path } => cloud_events::steps(&mut web, path).await,
            Protocol::Form { topic, sub_topic } => {
                let form = form::Form { topic, sub_topic: *sub_topic, probe: probe.as_deref() };
                form::steps(&mut web, form).await
            }
            Protocol::Nats { .. } => Ok(()),
        }
    }
}
