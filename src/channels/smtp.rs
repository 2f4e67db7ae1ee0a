//! Mails through an SMTP server (RFC 5321), with lettre.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::extension::ClientId;
use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::config::{SmtpConfig, SmtpTls};
use super::limited_stream::LimitedStream;
use super::message;
use crate::events::{EncodedEvent, EventId};
use crate::limited_read::{MAX_CERTIFICATES_BYTES, read_limited};
use crate::plain_text::excerpt;
use crate::transport::cause::{find, innermost, shortage};
use crate::transport::http_client::mask;
use crate::transport::name;
use crate::transport::tls::{Roots, client_config};
use crate::transport::{BatchLimits, BoxFuture, Failure, Outcome, Reach, Sink};

/// What one mail tells of.
const LIMITS: BatchLimits = BatchLimits { events: 100, bytes: 256 << 10 };
/// How much of what a server says an error shows.
const EXCERPT_CHARS: usize = 300;
/// How long opening a connection may take, and all of a conversation with it: a server may think over its greeting.
const CONNECT_TIME: Duration = Duration::from_secs(20);
const CONVERSATION_TIME: Duration = Duration::from_secs(55);
/// How long a server may take to take leave of us. The mail is accepted by then.
const LEAVE_TIME: Duration = Duration::from_secs(1);

/// Sends mails.
pub(super) struct SmtpSink {
    host: String,
    port: u16,
    tls: MailTls,
    credentials: Option<Credentials>,
    /// Host and port, for people.
    server: String,
    /// The password in every form in which it is sent, which a server may repeat.
    secrets: Vec<String>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

/// How a conversation is protected.
enum MailTls {
    None,
    /// From the server's first word on.
    Implicit(TlsConnector, ServerName<'static>),
    /// From the command STARTTLS on, without which there is no conversation.
    Starttls(TlsParameters),
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
            SmtpTls::None => MailTls::None,
            SmtpTls::Starttls => MailTls::Starttls(starttls(config)?),
            SmtpTls::Implicit => implicit(config)?,
        };
        let (mut secrets, mut credentials) = (Vec::new(), None);
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            let password = password.read().map_err(Failure::destination)?;
            secrets = forms_sent(user, &password);
            credentials = Some(Credentials::new(user.clone(), password));
        }
        Ok(Self {
            host: config.host.clone(),
            port,
            tls,
            credentials,
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

    /// Opens a connection and logs in.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let us = ClientId::default();
        let stream = tokio::time::timeout(CONNECT_TIME, self.open()).await.unwrap_or_else(|_| {
            Err(self.silence(&format!("no connection within {CONNECT_TIME:?}")).reached(Reach::Unreached))
        })?;
        let refuse = |error| self.failure(&error);
        let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &us).await.map_err(refuse)?;
        if let MailTls::Starttls(parameters) = &self.tls {
            connection.starttls(parameters.clone(), &us).await.map_err(refuse)?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(refuse)?;
        }
        Ok(connection)
    }

    /// A stream to the server on which it may speak next.
    async fn open(&self) -> Result<Box<dyn AsyncTokioStream>, Failure> {
        let host = self.host.trim_matches(['[', ']']);
        let addresses = name::resolve(host, self.port).await.map_err(|error| error.failure())?;
        let refuse = |error: std::io::Error| self.connection_failure(&error, false);
        let stream = TcpStream::connect(&addresses[..]).await.map_err(refuse)?;
        let peer = stream.peer_addr().map_err(refuse)?;
        Ok(match &self.tls {
            MailTls::None | MailTls::Starttls(_) => Box::new(LimitedStream::new(stream, peer)),
            MailTls::Implicit(connector, name) => {
                let stream = connector.connect(name.clone(), LimitedStream::new(stream, peer)).await;
                // What is in TLS is bounded as what comes from outside is.
                Box::new(LimitedStream::new(stream.map_err(|error| self.connection_failure(&error, true))?, peer))
            }
        })
    }

    async fn deliver(&self, mail: &Message) -> Result<(), Failure> {
        let mut connection = self.connect().await?;
        let sent = connection.send(mail.envelope(), &mail.formatted()).await;
        sent.map_err(|error| self.failure(&error))?;
        let _ = tokio::time::timeout(LEAVE_TIME, connection.quit()).await;
        Ok(())
    }

    fn silence(&self, what: &str) -> Failure {
        Failure::service(format!("no answer from the mail server {}: {what}", self.server)).reached(Reach::Unknown)
    }

    /// What a server said or the system, as an error shows it.
    fn shown(&self, error: &(dyn Error + 'static)) -> String {
        excerpt(&self.secrets.iter().fold(innermost(error), |said, secret| mask(&said, secret)), EXCERPT_CHARS)
    }

    /// Why there is no conversation with the server; `is_tls` says that it failed in setting up TLS.
    fn connection_failure(&self, error: &(dyn Error + 'static), is_tls: bool) -> Failure {
        let (server, said) = (&self.server, self.shown(error));
        // The mail library reports a refused certificate as any connection that failed.
        if let Some(rustls::Error::InvalidCertificate(why)) = find(error) {
            let advice = certificate_advice(why);
            return Failure::destination(format!(
                "the certificate of the mail server {server} is not trusted ({said}), so no mail was sent; {advice}"
            ))
            .reached(Reach::Unreached);
        }
        if is_tls {
            return Failure::destination(format!(
                "no trusted TLS connection to the mail server {server}: {said}; check `tls` and the certificate"
            ))
            .reached(Reach::Unreached);
        }
        match shortage(error) {
            Some(advice) => Failure::local(format!("no connection to the mail server {server}: {said}; {advice}")),
            None => self.silence(&said),
        }
    }

    fn failure(&self, error: &lettre::transport::smtp::Error) -> Failure {
        let (server, said) = (&self.server, self.shown(error));
        let Some(status) = error.status() else {
            if error.is_client() {
                return Failure::destination(format!(
                    "the mail server {server} can't be used: {said}; check `tls`, `user` and the port of the channel"
                ));
            }
            return self.connection_failure(error, error.is_tls());
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

fn implicit(config: &SmtpConfig) -> Result<MailTls, Failure> {
    let roots = config.ca_file.as_deref().map_or(Roots::System, Roots::File);
    let name = ServerName::try_from(config.host.trim_matches(['[', ']']).to_owned()).map_err(|_| {
        Failure::destination(format!("{:?} is no name of a mail server: check `host` of the channel", config.host))
    })?;
    Ok(MailTls::Implicit(TlsConnector::from(Arc::new(client_config(roots, None)?)), name))
}

fn starttls(config: &SmtpConfig) -> Result<TlsParameters, Failure> {
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
            let mail = self.mail(events)?;
            tokio::time::timeout(CONVERSATION_TIME, self.deliver(&mail)).await.unwrap_or_else(|_| {
                Err(self.silence(&format!("the conversation was not over within {CONVERSATION_TIME:?}")))
            })?;
            Ok(vec![Outcome::Delivered; events.len()])
        })
    }
}
