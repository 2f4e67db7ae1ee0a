//! `report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use form_usage_events::report::Dimension;
use form_usage_events::transport::Destination;

use super::destination::SourceArgs;
use super::lines::LineArgs;
use crate::input::Input;

/// Sum up usage events: totals, peaks, gaps and overlaps per user, organization, instance and day
///
/// Sums are exact, whatever the order of the events. Memory and storage are summed as GB-hours, network as MB (1 GB is
/// 2^30 bytes, 1 MB is 2^20 bytes). A period that crosses the end of a day is divided between the days in proportion.
///
/// An event that is there twice counts once. Two different events of one instance and period are a conflict: both are
/// in the sums, and both are named. A line that is no event is named with its file, line and column on standard
/// error. The other lines are still summed up, and the exit code is 2 in the end.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("report"))]
pub(crate) struct ReportArgs {
    /// Files of events; - or none is standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<Input>,
    /// Read the events from here instead: form://HOST[:3003]/TOPIC?sub_topic=N, form+https://…, sqlite:PATH, nats://HOST/SUBJECT?stream=NAME, tls://…, file:PATH; passed over where files are named
    #[arg(long, value_name = "URL", env = "FORMUSAGE_FROM", help_heading = "Source")]
    pub(crate) from: Option<Destination>,
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// What rows are told apart by, in this order: day, org, user, instance; none gives one row for all
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        value_delimiter = ',',
        default_value = "day,org,user,instance",
        env = "FORMUSAGE_BY",
        help_heading = "What"
    )]
    pub(crate) by: Vec<By>,
    /// Leave out what was before: a date, a date and a time (2026-11-22T08:00, by --tz unless it says Z or +02:00), or
    /// Unix seconds. A period across it counts in proportion
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_SINCE", allow_hyphen_values = true, help_heading = "What")]
    pub(crate) since: Option<String>,
    /// Leave out what was at that time or later: the time itself is not in the report. A date is its first second, so
    /// that the whole of November is --since 2026-11-01 --until 2026-12-01
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_UNTIL", allow_hyphen_values = true, help_heading = "What")]
    pub(crate) until: Option<String>,
    /// Expect each instance to be metered from --since to --until (without them, from the first event of all to the last):
    /// what lacks before its first and behind its last event is a gap then. Of an instance without any event in that time
    /// nothing is known
    #[arg(long, env = "FORMUSAGE_EXPECT_FULL", help_heading = "What")]
    pub(crate) expect_full: bool,
    /// The time zone whose midnight ends a day: UTC, local, an offset (+02:00), or a name (Europe/Berlin)
    #[arg(
        long,
        value_name = "ZONE",
        default_value = "UTC",
        env = "FORMUSAGE_TZ",
        allow_hyphen_values = true,
        help_heading = "What"
    )]
    pub(crate) tz: String,
    /// Count the events over these thresholds, and draw them into plots: a JSON file, a folder of *.json files,
    /// http(s)://HOST/PATH, sqlite:PATH or nats://HOST/BUCKET
    #[arg(long, value_name = "SOURCE", env = "FORMUSAGE_THRESHOLDS", help_heading = "What")]
    pub(crate) thresholds: Option<String>,
    /// What makes the exit code 1
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        value_delimiter = ',',
        default_value = "overlaps,conflicts",
        env = "FORMUSAGE_FAIL_ON",
        help_heading = "What"
    )]
    pub(crate) fail_on: Vec<FailOn>,

    /// How the report is written; without it, a table on a terminal and ndjson elsewhere
    #[arg(long, value_enum, value_name = "FORMAT", env = "FORMUSAGE_FORMAT", help_heading = "Output")]
    pub(crate) format: Option<ReportTo>,
    /// Write the report as a page with plots to this file; nothing goes to standard output then, unless --format asks
    /// for it
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) html: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) lines: LineArgs,
}

/// What rows are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    Day,
    Org,
    User,
    Instance,
    /// One row for all
    None,
}

impl By {
    pub(crate) const fn dimension(self) -> Option<Dimension> {
        match self {
            Self::Day => Some(Dimension::Day),
            Self::Org => Some(Dimension::Org),
            Self::User => Some(Dimension::User),
            Self::Instance => Some(Dimension::Instance),
            Self::None => None,
        }
    }
}

/// What is objected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Time between two periods of an instance that was not metered; with --expect-full also at both ends of the time
    Gaps,
    /// Time that was metered more than once
    Overlaps,
    /// Different events of one instance and period
    Conflicts,
    /// An event that exceeds a threshold
    Thresholds,
    /// An event that names figures which could not be measured
    NotMetered,
    /// Nothing
    None,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportTo {
    /// For people: a row for each group, and what was found
    Table,
    /// One JSON document: the total, the rows, gaps, overlaps, conflicts, thresholds
    Json,
    /// One JSON object a row
    Ndjson,
    /// One line a row, after a line of names
    Csv,
    /// One page that holds everything, with plots
    Html,
}
