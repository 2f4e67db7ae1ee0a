//! `read`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use form_usage_events::transport::Destination;

use super::destination::SourceArgs;

/// Read events back from a destination
///
/// Prints every event once, in the order of the source: an event that stands there twice, under the same id, is shown
/// the first time (among the last 100,000 events). What is no event is passed on as it is, with a warning.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("read"))]
pub(crate) struct ReadArgs {
    /// Where from: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, sqlite:PATH, nats://HOST/SUBJECT?stream=NAME, tls://…, file:PATH or -
    #[arg(long, value_name = "URL", env = "FORMUSAGE_FROM", default_value_t)]
    pub(crate) from: Destination,

    /// Go on with what is written from now on, until a signal
    #[arg(short, long, env = "FORMUSAGE_FOLLOW")]
    pub(crate) follow: bool,

    /// How often to look for new events
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_POLL_INTERVAL", default_value = "1s", value_parser = humantime::parse_duration, requires = "follow")]
    pub(crate) poll_interval: Duration,

    /// Pass over everything in front of this place (a message's number in a queue, a line's number less one in a file)
    #[arg(long, value_name = "N", env = "FORMUSAGE_START", default_value_t = 0)]
    pub(crate) start: u64,

    /// End after so many events
    #[arg(short = 'n', long, value_name = "N", env = "FORMUSAGE_LIMIT")]
    pub(crate) limit: Option<u64>,

    /// How events are shown; a table on a terminal, NDJSON in a pipe
    #[arg(long, value_enum, value_name = "FORMAT", env = "FORMUSAGE_FORMAT")]
    pub(crate) format: Option<ReadFormat>,

    /// Read as this durable JetStream consumer: it keeps its place, and all that read by the same name share what there
    /// is. What was shown is acknowledged. Without it, a stream is read from its start
    #[arg(long, value_name = "NAME", env = "FORMUSAGE_CONSUMER", conflicts_with = "start", help_heading = "NATS")]
    pub(crate) consumer: Option<String>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
}

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReadFormat {
    /// For people: a row for each event
    Table,
    /// One JSON array
    Json,
    /// One event a line, byte for byte as it stands in the source
    Ndjson,
}
