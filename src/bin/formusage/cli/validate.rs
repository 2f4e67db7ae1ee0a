//! `validate`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use form_usage_events::events::DEFAULT_MAX_LINE_BYTES;

use crate::input::Input;

/// Check that usage events and threshold files are valid
///
/// What a file holds is told by its content: usage events (one a line, or one JSON document with an event or an array
/// of them), or thresholds (one JSON document). Every fault is named with its file, line, column and field, and with
/// what to do. Needs no network.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("validate"))]
pub(crate) struct ValidateArgs {
    /// Files to validate; - or none is standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<Input>,
    /// Make warnings errors: unknown fields, empty files
    #[arg(long, env = "FORMUSAGE_STRICT", help_heading = "Rules")]
    pub(crate) strict: bool,
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
    /// How findings are written; without it, a table on a terminal and ndjson elsewhere
    #[arg(long, value_enum, env = "FORMUSAGE_FORMAT", help_heading = "Output")]
    pub(crate) format: Option<FindingFormat>,
    /// The most errors and the most warnings to write; 0 is all of them. The others are counted
    #[arg(long, value_name = "N", default_value_t = 100, env = "FORMUSAGE_MAX_FINDINGS", help_heading = "Output")]
    pub(crate) max_findings: u64,
}

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FindingFormat {
    /// For people: the line, and a marker under the place
    Table,
    /// One JSON document: findings, files, totals
    Json,
    /// One JSON object a finding
    Ndjson,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
