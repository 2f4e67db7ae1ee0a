//! `ping`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{NatsArgs, TlsArgs};

/// Find out why events do not arrive: try the way to a destination, step by step
///
/// For every address that the name resolves to: name, TCP, TLS with its certificate, HTTP or NATS, health, protocol,
/// permission, the difference of the clocks. The step that fails is named, with what was found, what was expected and
/// what to do. The steps behind it are not tried.
///
/// Nothing is written without --write, and nothing is made. With it, a probe of a hundred bytes goes into a topic of
/// its own, formusage_probe, and is read back; a Form queue keeps it
/// until its restart, the embedded queue for good; NATS gets a stream for it that is removed again.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("ping"))]
pub(crate) struct PingArgs {
    /// Where to: form://HOST[:3003]/TOPIC, form+https://…, nats://HOST[:4222][,HOST…]/SUBJECT?stream=NAME, tls://…, https://HOST/PATH, sqlite:PATH or file:PATH
    // Text, so that a password in a URL that is refused does not show in the message.
    #[arg(long, value_name = "URL", env = "FORMUSAGE_TO", default_value = "form://127.0.0.1:3003/usage_events")]
    pub(crate) to: String,

    /// Write a probe to a topic of its own and read it back
    #[arg(long, env = "FORMUSAGE_WRITE")]
    pub(crate) write: bool,

    /// Rounds; each takes every step on new connections
    #[arg(short = 'n', long, value_name = "N", env = "FORMUSAGE_COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) count: u32,

    /// The most that one step may take
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_TIMEOUT", default_value = "5s", value_parser = super::parse_limit)]
    pub(crate) timeout: Duration,

    /// How the steps are shown; a table on a terminal, NDJSON (a step a line) in a pipe
    #[arg(long, value_enum, value_name = "FORMAT", env = "FORMUSAGE_FORMAT")]
    pub(crate) format: Option<PingFormat>,

    /// A file that holds a token for the destination (or set FORMUSAGE_TOKEN to the token itself)
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// A file of further headers for https: and http:, such as an API key: a line for each, "Name: value"
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_HEADER_FILE")]
    pub(crate) header_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) nats: NatsArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// How the steps are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PingFormat {
    /// For people: a row for each step, and what to do
    Table,
    /// One JSON document: addresses, and the steps of each
    Json,
    /// One JSON object a step
    Ndjson,
}
