//! `validate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use form_usage_events::validate::continuity::DEFAULT_REORDER_WINDOW;
use form_usage_events::validate::{Code, UnknownCode};

use super::lines::LineArgs;
use crate::input::Input;

/// Check that usage events, threshold files, their tests and channels files are valid
///
/// What a file holds is told by its content: usage events (one a line, or one JSON document with an event or an array
/// of them), thresholds, tests of thresholds, or channels (one JSON document). Every fault is named with its file, line,
/// column and field, and with what to do. Every fault has a code: --explain CODE says what it means. Needs no network and no secret.
///
/// An error is not always a refusal: an event that is only implausible (a percentage over 100, times in milliseconds or in
/// the future, a timestamp before the end of the period) is delivered by `publish` with a warning, unless --strict is given
/// there.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("validate"))]
pub(crate) struct ValidateArgs {
    /// Files to validate, or folders of *.json, *.jsonl and *.ndjson files; - or none is standard input. Files of folders
    /// that may hold events or thresholds in another form are named and not validated
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<Input>,
    /// Make warnings errors: unknown fields, empty files. Files of folders that are not validated are an error too
    #[arg(long, env = "FORMUSAGE_STRICT", help_heading = "Rules")]
    pub(crate) strict: bool,
    /// Make findings of this code errors; several with commas, or given several times
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = code, env = "FORMUSAGE_ERROR", help_heading = "Rules")]
    pub(crate) error: Vec<Code>,
    /// Make findings of this code warnings
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = code, env = "FORMUSAGE_WARN", help_heading = "Rules")]
    pub(crate) warn: Vec<Code>,
    /// Leave findings of this code out
    #[arg(long, value_name = "CODE", value_delimiter = ',', value_parser = code, env = "FORMUSAGE_IGNORE", help_heading = "Rules")]
    pub(crate) ignore: Vec<Code>,
    /// Hold the channels and actions of thresholds against this channels file: what it does not bind is an error. (Named
    /// as a file to validate, it is validated itself)
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_CHANNELS", help_heading = "Rules")]
    pub(crate) channels: Option<PathBuf>,
    /// How long the periods of events are, for the `for` of thresholds
    #[arg(
        long,
        value_name = "TIME",
        default_value = "30s",
        value_parser = humantime::parse_duration,
        env = "FORMUSAGE_PERIOD",
        help_heading = "Rules"
    )]
    pub(crate) period: Duration,
    /// Say what a code means, with an input that gives it and one that just does not; without a code, list all
    #[arg(
        long,
        value_name = "CODE",
        num_args = 0..=1,
        default_missing_value = "list",
        value_parser = topic,
        conflicts_with = "files",
        help_heading = "Output"
    )]
    pub(crate) explain: Option<Topic>,
    /// Look at the periods of each instance too: gaps, overlaps, repeats, conflicts, order
    ///
    /// All files of a run are one stream, in the order in which they are named: put them as they were written. Memory
    /// stays bounded: about 100 bytes an instance, and the latest events by their digests. A chain of periods that
    /// begins anew after a reboot can't be told from events that were lost: a gap is a gap. The sums go to standard error.
    #[arg(long, env = "FORMUSAGE_CONTINUITY", help_heading = "Continuity")]
    pub(crate) continuity: bool,
    /// How many further events of its instance a gap waits for one that comes late; 0 tells it at once
    #[arg(
        long,
        value_name = "EVENTS",
        default_value_t = DEFAULT_REORDER_WINDOW,
        value_parser = clap::value_parser!(u32).range(..=1024),
        env = "FORMUSAGE_REORDER_WINDOW",
        help_heading = "Continuity"
    )]
    pub(crate) reorder_window: u32,
    #[command(flatten)]
    pub(crate) lines: LineArgs,
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
    /// Workflow commands, which GitHub shows as annotations: ten errors and ten warnings; the others are in the log
    Github,
    /// SARIF 2.1.0, for code scanning and editors
    Sarif,
    /// JUnit XML: one test suite a file
    Junit,
}

/// What `--explain` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    All,
    One(Code),
}

fn topic(text: &str) -> Result<Topic, UnknownCode> {
    if text == "list" { Ok(Topic::All) } else { text.parse().map(Topic::One) }
}

fn code(text: &str) -> Result<Code, UnknownCode> {
    text.trim().parse()
}
