//! `validate`.

use clap::{Args, ValueEnum};
use form_usage_events::validate::continuity::DEFAULT_REORDER_WINDOW;

use super::lines::LineArgs;
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
}
