//! What destinations take beyond their URL, for the commands that write and read.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use form_usage_events::transport::ClientCertificate;

/// How a NATS server is spoken to.
#[derive(Debug, Args)]
pub(crate) struct NatsArgs {
    /// A NATS credentials file, as nsc writes it (for a user and a password set FORMUSAGE_NATS_USER and
    /// FORMUSAGE_NATS_PASSWORD, for a token FORMUSAGE_TOKEN or --token-file)
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_NATS_CREDS", help_heading = "NATS")]
    pub(crate) nats_creds: Option<PathBuf>,
}

/// Whom to trust over TLS, and who we are there.
#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    /// Trust the certificates in this PEM file instead of the system's
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_CA_FILE", help_heading = "TLS")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Show this certificate to a server that demands one: a PEM file, with the intermediate authorities behind it. It is
    /// read anew when it changes
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_CLIENT_CERT", help_heading = "TLS")]
    pub(crate) client_cert: Option<PathBuf>,
    /// The private key of --client-cert: a PEM file, not encrypted; the same file unless given
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_CLIENT_KEY", requires = "client_cert", help_heading = "TLS")]
    pub(crate) client_key: Option<PathBuf>,
}

impl TlsArgs {
    /// The certificate with its key.
    pub(crate) fn certificate(&self) -> Option<ClientCertificate> {
        let certificate = self.client_cert.clone()?;
        Some(ClientCertificate { key: self.client_key.clone().unwrap_or_else(|| certificate.clone()), certificate })
    }
}

/// What a source takes that is read from.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// How long the source may be silent: before it answers, and between the parts of a long answer. The whole of an
    /// answer that keeps coming may take longer
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_TIMEOUT", default_value = "30s", value_parser = super::parse_limit, help_heading = "Source")]
    pub(crate) timeout: Duration,
    /// A file that holds a bearer token for the source (or set FORMUSAGE_TOKEN to the token itself)
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_TOKEN_FILE", help_heading = "Source")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) nats: NatsArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// What a destination takes that is written to.
#[derive(Debug, Args)]
pub(crate) struct DestinationArgs {
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
    #[command(flatten)]
    pub(crate) nats: NatsArgs,
    /// Make the JetStream stream where there is none: kept in files, and when it is full it refuses new events instead of
    /// dropping old ones. A stream that exists is left as it is
    #[arg(long, env = "FORMUSAGE_CREATE_STREAM", help_heading = "NATS")]
    pub(crate) create_stream: bool,
    /// How many servers hold each event of a stream that is made
    #[arg(long, value_name = "N", env = "FORMUSAGE_STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5), help_heading = "NATS")]
    pub(crate) stream_replicas: u8,
    /// How long a stream that is made keeps events; for ever unless given
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_STREAM_MAX_AGE", value_parser = humantime::parse_duration, help_heading = "NATS")]
    pub(crate) stream_max_age: Option<Duration>,
    /// The most bytes that a stream that is made keeps
    #[arg(long, value_name = "BYTES", env = "FORMUSAGE_STREAM_MAX_BYTES", value_parser = clap::value_parser!(u64).range(1..), help_heading = "NATS")]
    pub(crate) stream_max_bytes: Option<u64>,
    /// How long a stream that is made knows repeats of an event
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_DUPLICATE_WINDOW", default_value = "24h", value_parser = humantime::parse_duration, help_heading = "NATS")]
    pub(crate) duplicate_window: Duration,
}
