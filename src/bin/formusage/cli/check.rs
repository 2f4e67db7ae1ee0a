//! `check`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use form_usage_events::events::DEFAULT_MAX_LINE_BYTES;

use crate::input::Input;

/// Evaluate usage events against thresholds
///
/// Reads events, one JSON object a line, and reports each threshold that one of them exceeds, sorted by threshold id
/// within an event. A threshold is exceeded by what is strictly greater. Nothing is notified: the report is the output.
///
/// A line that is no valid event is named with its file, line and column on standard error. The other lines are still
/// evaluated, and the exit code is 2 in the end.
///
/// In a pipeline, --tee passes every line on: formusage collect | formusage check thresholds.json --tee | formusage
/// publish. After SIGINT or SIGTERM it reads standard input to its end, for 5 s at most, so that what the producer writes
/// last is not lost; a second signal ends it at once.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("check"))]
pub(crate) struct CheckArgs {
    /// The thresholds: a JSON file with one or an array of them, or a folder of *.json files
    pub(crate) thresholds: String,
    /// Files of events; - or none is standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<Input>,
    /// Pass every line on to standard output as it was read, at once; the report goes to standard error
    ///
    /// Blank lines are left out, and every line ends in a line feed. An invalid line is passed on like any other, so
    /// that nothing is lost on the way: the next stage puts it aside.
    #[arg(long, env = "FORMUSAGE_TEE", help_heading = "Output")]
    pub(crate) tee: bool,
    /// Report for each event why each threshold did or did not fire, in place of the violations
    ///
    /// As a table, thresholds that did not fire are listed up to a number and then counted; json and ndjson list all.
    #[arg(long, env = "FORMUSAGE_EXPLAIN", help_heading = "Output")]
    pub(crate) explain: bool,
    /// How the report is written; without it, a table on a terminal and ndjson elsewhere
    #[arg(long, value_enum, env = "FORMUSAGE_FORMAT", help_heading = "Output")]
    pub(crate) format: Option<CheckFormat>,
    /// How far in the future an event's timestamp may lie
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5m",
        value_parser = humantime::parse_duration,
        env = "FORMUSAGE_MAX_SKEW",
        help_heading = "Rules"
    )]
    pub(crate) max_skew: Duration,
    /// The longest line to accept, in bytes
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = DEFAULT_MAX_LINE_BYTES,
        value_parser = positive,
        env = "FORMUSAGE_MAX_LINE_BYTES",
        help_heading = "Rules"
    )]
    pub(crate) max_line_bytes: usize,
}

/// How the report of `check` is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CheckFormat {
    /// For people
    Table,
    /// One JSON document: the violations, then how many events there were
    Json,
    /// One JSON object a violation
    Ndjson,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
