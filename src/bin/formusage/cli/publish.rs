//! `publish`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use form_usage_events::transport::Destination;

use super::cloudevents::CloudEventsArgs;
use super::destination::DestinationArgs;
use super::lines::LineArgs;
use super::spool::SpoolArgs;
use crate::input::Input;

/// Deliver usage events to a destination
///
/// Reads NDJSON, one event a line, from files or standard input, and delivers each event with retries behind a circuit
/// breaker; the events of one instance in their order, different instances in parallel. Every attempt sends the
/// identical bytes, so that a destination which knows repeats takes each event once.
///
/// What is read goes to a spool on disk before anything else happens to it, and leaves it when the destination has
/// acknowledged it: while the destination is down the spool fills, and what this run can't deliver goes out with the
/// next one, also one without input (`formusage publish </dev/null`). A full spool stops reading: whoever writes into
/// the pipe waits. Local files (sqlite:, file:, -) need no spool and use none unless --spool names one.
///
/// A line that is no event (wrong shape or types, negative figures, ids that can't be used, a period that does not start
/// before its end, another major version) is reported with its place, kept as a dead letter (`formusage dlq`), and does
/// not stop the others. An event that is only implausible (a percentage over 100, times in milliseconds or in the future,
/// counters that never reset) is delivered as it is, with one warning for each instance and kind; `formusage validate`
/// names every one of them, and --strict makes dead letters of them.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("publish"))]
pub(crate) struct PublishArgs {
    /// Files of NDJSON, - for standard input (the default)
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<Input>,

    /// Deliver this one event
    #[arg(long, value_name = "JSON", conflicts_with = "files")]
    pub(crate) event: Option<String>,

    /// Where to: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, nats://HOST/SUBJECT?stream=NAME, tls://…,
    /// https://HOST/PATH, sqlite:PATH, file:PATH or -
    #[arg(long, value_name = "URL", env = "FORMUSAGE_TO", default_value_t)]
    pub(crate) to: Destination,

    /// Check events against these thresholds before sending; violations are logged, or go to --channels. A file, a folder, http(s)://HOST/PATH,
    /// sqlite:PATH or nats://HOST/BUCKET
    ///
    /// What changes there takes effect within a second (from a server within ten), and at once after SIGHUP. A version
    /// that can't be used is reported, and the one before stays in force.
    #[arg(long, value_name = "SOURCE", env = "FORMUSAGE_THRESHOLDS")]
    pub(crate) thresholds: Option<String>,

    /// Keep the states of thresholds (pending, firing) in this file, so that a restart neither repeats nor forgets an
    /// alert; without it, beside the spool, as spool.alerts.json
    #[arg(long, value_name = "PATH", env = "FORMUSAGE_ALERT_STATE")]
    pub(crate) state: Option<PathBuf>,

    /// Send nothing: print what would be sent
    #[arg(long, env = "FORMUSAGE_DRY_RUN")]
    pub(crate) dry_run: bool,

    /// Write dead letters to this file too, as NDJSON with reason, place and the raw line; without a spool, whatever could
    /// not be delivered
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_DEAD_LETTER")]
    pub(crate) dead_letter: Option<PathBuf>,

    /// How to report what became of everything, at the end
    #[arg(long, value_enum, value_name = "FORMAT", env = "FORMUSAGE_REPORT", default_value_t)]
    pub(crate) report: ReportFormat,

    /// Make dead letters of implausible events and of events with fields that are not known, instead of delivering them
    #[arg(long, env = "FORMUSAGE_STRICT", help_heading = "Rules")]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) lines: LineArgs,

    /// How long one attempt may take
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration, help_heading = "Delivery")]
    pub(crate) timeout: Duration,
    /// Attempts under way at a time: auto finds the level at which the destination takes most, a number fixes it
    #[arg(long, value_name = "auto|N", env = "FORMUSAGE_CONCURRENCY", default_value = "auto", value_parser = parse_concurrency, help_heading = "Delivery")]
    pub(crate) concurrency: Level,
    /// After the end of input, go on for so long without delivering anything; after SIGTERM or Ctrl-C, end within this time
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_DRAIN_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration, help_heading = "Delivery")]
    pub(crate) drain_timeout: Duration,
    /// Make an event a dead letter that was refused in so many rounds while others went through (of this run, or of several
    /// with a spool)
    #[arg(long, value_name = "N", env = "FORMUSAGE_POISON_AFTER", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..), help_heading = "Delivery")]
    pub(crate) poison_after: u32,
    /// A file that holds a bearer token for the destination (or set FORMUSAGE_TOKEN to the token itself)
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_TOKEN_FILE", help_heading = "Delivery")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) destination: DestinationArgs,

    #[command(flatten)]
    pub(crate) spool: SpoolArgs,

    /// Attempts after the first one, before an event has to wait for its next round
    #[arg(long, value_name = "N", env = "FORMUSAGE_MAX_RETRIES", default_value_t = 3, help_heading = "Retries")]
    pub(crate) max_retries: u32,
    /// The first wait between attempts
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_INITIAL_BACKOFF", default_value = "100ms", value_parser = humantime::parse_duration, help_heading = "Retries")]
    pub(crate) initial_backoff: Duration,
    /// The longest wait between attempts
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_MAX_BACKOFF", default_value = "10s", value_parser = humantime::parse_duration, help_heading = "Retries")]
    pub(crate) max_backoff: Duration,
    /// By how much each wait exceeds the one before
    #[arg(
        long,
        value_name = "FACTOR",
        env = "FORMUSAGE_BACKOFF_MULTIPLIER",
        default_value_t = 2.0,
        help_heading = "Retries"
    )]
    pub(crate) backoff_multiplier: f64,
    /// How far waits are spread, as a share, 0 to 1
    #[arg(
        long,
        value_name = "SHARE",
        env = "FORMUSAGE_JITTER_FACTOR",
        default_value_t = 0.1,
        help_heading = "Retries"
    )]
    pub(crate) jitter_factor: f64,

    /// So many failures in a row open the breaker
    #[arg(
        long,
        value_name = "N",
        env = "FORMUSAGE_FAILURE_THRESHOLD",
        default_value_t = 5,
        help_heading = "Circuit breaker"
    )]
    pub(crate) failure_threshold: usize,
    /// How long it stays open before a trial
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_RESET_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration, help_heading = "Circuit breaker")]
    pub(crate) reset_timeout: Duration,
    /// Trials at a time; so many successes close it
    #[arg(
        long,
        value_name = "N",
        env = "FORMUSAGE_HALF_OPEN_ALLOWED_CALLS",
        default_value_t = 1,
        help_heading = "Circuit breaker"
    )]
    pub(crate) half_open_allowed_calls: usize,
    /// Do without a circuit breaker
    #[arg(long, env = "FORMUSAGE_NO_CIRCUIT_BREAKER", help_heading = "Circuit breaker")]
    pub(crate) no_circuit_breaker: bool,

    #[command(flatten)]
    pub(crate) access: super::ThresholdAccessArgs,
    #[command(flatten)]
    pub(crate) channels: super::ChannelsFileArgs,

    #[command(flatten)]
    pub(crate) cloud_events: CloudEventsArgs,

    #[command(flatten)]
    pub(crate) monitoring: super::MonitoringArgs,
}

/// How many attempts may be under way at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// As many as the destination takes best.
    Auto,
    /// So many.
    Fixed(u16),
}

fn parse_concurrency(text: &str) -> Result<Level, String> {
    match text.parse() {
        Ok(number @ 1..=1024) => Ok(Level::Fixed(number)),
        _ if text == "auto" => Ok(Level::Auto),
        _ => Err("expected auto or a number from 1 to 1024".to_owned()),
    }
}

/// How a run is reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// A table on a terminal, and words on standard error where something went wrong
    #[default]
    Text,
    /// One JSON object on standard output (on standard error where that carries the events)
    Json,
}
