//! Mails through an SMTP server (RFC 5321), with lettre.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use rustls::CertificateError;

use super::config::{SmtpConfig, SmtpTls};
use super::message;
use crate::events::{EncodedEvent, EventId};
use crate::limited_read::{MAX_CERTIFICATES_BYTES, read_limited};
use crate::transport::cause::{find, innermost, shortage};
use crate::transport::http_client::mask;
use crate::transport::{BatchLimits, BoxFuture, Failure, Outcome, Reach, Sink};

/// What one mail tells of.
const LIMITS: BatchLimits = BatchLimits { events: 100, bytes: 256 << 10 };
/// How much of what a server says an error shows.
const EXCERPT_CHARS: usize = 300;
/// How long each step of a conversation may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends mails.
pub(super) struct SmtpSink {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    server: String,
    /// The password in every form in which it is sent, which a server may repeat.
    secrets: Vec<String>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl std::fmt::Debug for SmtpSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SmtpSink").field("server", &self.server).finish_non_exhaustive()
    }
}

impl SmtpSink {
    pub(super) fn new(config: &SmtpConfig) -> Result<Self, Failure> {
        let mailbox = |text: &String| {
            text.parse::<Mailbox>()
                .map_err(|error| Failure::destination(format!("{text:?} is no address of a mailbox: {error}")))
        };
        let port = config.port();
        let tls = match config.tls {
            SmtpTls::None => Tls::None,
            SmtpTls::Starttls => Tls::Required(tls(config)?),
            SmtpTls::Implicit => Tls::Wrapper(tls(config)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        let mut secrets = Vec::new();
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            let password = password.read().map_err(Failure::destination)?;
            secrets = forms_sent(user, &password);
            builder = builder.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Self {
            transport: builder.build(),
            server: format!("{}:{port}", config.host),
            secrets,
            from: mailbox(&config.from)?,
            to: config.to.iter().map(mailbox).collect::<Result<_, _>>()?,
        })
    }

    fn mail(&self, events: &[EncodedEvent]) -> Result<Message, Failure> {
        let alerts = super::alerts(events)?;
        let ids = alerts.iter().map(|alert| &*alert.id).collect::<Vec<_>>();
        let first = ids.first().copied().unwrap_or_default();
        let id = if ids.len() == 1 { first.to_owned() } else { EventId::of(ids.join("\n").as_bytes()).to_string() };
        let domain = self.from.email.domain();
        // The same alerts have the same id, so that a mail that was sent twice is known.
        let mut builder: MessageBuilder = Message::builder()
            .from(self.from.clone())
            .subject(message::subject(&alerts))
            .message_id(Some(format!("<{id}@{domain}>")))
            // Without it, readers may ignore the type and the encoding of the body (RFC 2045, section 4).
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        for receiver in &self.to {
            builder = builder.to(receiver.clone());
        }
        builder
            .body(message::text(&alerts))
            .map_err(|error| Failure::event(format!("no mail can be made of this alert: {error}")))
    }

    fn failure(&self, error: &lettre::transport::smtp::Error) -> Failure {
        let server = &self.server;
        let said = excerpt(&self.secrets.iter().fold(innermost(error), |said, secret| mask(&said, secret)));
        let Some(status) = error.status() else {
            // The mail library reports a refused certificate as any connection that failed.
            if let Some(rustls::Error::InvalidCertificate(why)) = find(error) {
                let advice = certificate_advice(why);
                return Failure::destination(format!(
                    "the certificate of the mail server {server} is not trusted ({said}), so no mail was sent; {advice}"
                ))
                .reached(Reach::Unreached);
            }
            if error.is_tls() {
                return Failure::destination(format!(
                    "no trusted TLS connection to the mail server {server}: {said}; check `tls` and the certificate"
                ))
                .reached(Reach::Unreached);
            }
            if error.is_client() {
                return Failure::destination(format!(
                    "the mail server {server} can't be used: {said}; check `tls`, `user` and the port of the channel"
                ));
            }
            if let Some(advice) = shortage(error) {
                return Failure::local(format!("no connection to the mail server {server}: {said}; {advice}"));
            }
            return Failure::service(format!("no answer from the mail server {server}: {said}"))
                .reached(Reach::Unknown);
        };
        let code = status.to_string();
        let message = format!("the mail server {server} answered {code}: {said}");
        match &*code {
            // Who may not log in, send or receive: no mail is to blame.
            "530" | "534" | "535" | "538" | "550" | "551" | "553" => {
                Failure::destination(format!("{message}; check user, password, sender and receivers of the channel"))
            }
            _ if error.is_permanent() => Failure::event(message),
            _ => Failure::service(message),
        }
    }
}

/// How `AUTH` sends a password (RFC 4616, and the older LOGIN): with the user in one string, or alone; in base64, whose
/// padding a server may leave out. The longest form first, since it may hold another.
fn forms_sent(user: &str, password: &str) -> Vec<String> {
    let mut forms = vec![
        STANDARD.encode(format!("\0{user}\0{password}")),
        STANDARD_NO_PAD.encode(format!("\0{user}\0{password}")),
        STANDARD.encode(password),
        STANDARD_NO_PAD.encode(password),
        password.to_owned(),
    ];
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms
}

/// What a server said, as a log line may show it: of bounded length, on one line.
fn excerpt(said: &str) -> String {
    let shown: String =
        said.chars().take(EXCERPT_CHARS).map(|char| if char.is_control() { ' ' } else { char }).collect();
    if said.chars().nth(EXCERPT_CHARS).is_some() { shown + "…" } else { shown }
}

/// What to do about a certificate that was refused.
fn certificate_advice(why: &CertificateError) -> &'static str {
    match why {
        // The TLS library has no variant for it.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the certificate is an authority's, which no server may use: give the server one that says CA:FALSE \
             (openssl req -x509 … -addext basicConstraints=critical,CA:FALSE) and name that one in `ca_file` of the channel"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "have the certificate on the server renewed, and compare the clocks of both machines"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "compare the clocks of both machines"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "set `host` of the channel to a name that the certificate is made out to"
        }
        _ => {
            "if it is the right server, set `ca_file` of the channel to a PEM file with the authority that issued the certificate"
        }
    }
}

fn tls(config: &SmtpConfig) -> Result<TlsParameters, Failure> {
    let refuse = |why: String| Failure::destination(format!("TLS to the mail server can't be set up: {why}"));
    let mut builder = TlsParameters::builder(config.host.clone());
    if let Some(path) = &config.ca_file {
        let text = read_limited(path, MAX_CERTIFICATES_BYTES)
            .map_err(|error| refuse(format!("{} can't be read: {error}", path.display())))?;
        let certificate = Certificate::from_pem(&text).map_err(|error| refuse(innermost(&error)))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(|error| refuse(innermost(&error)))
}

impl Sink for SmtpSink {
    fn limits(&self) -> BatchLimits {
        LIMITS
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        Box::pin(async move {
            self.transport.send(self.mail(events)?).await.map_err(|error| self.failure(&error))?;
            Ok(vec![Outcome::Delivered; events.len()])
        })
    }
}
