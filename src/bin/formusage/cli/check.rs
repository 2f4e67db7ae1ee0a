//! `check`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::lines::LineArgs;
use crate::input::Input;

/// Evaluate usage events against thresholds, and test thresholds
///
/// Reads events, one JSON object a line, and reports each threshold that one of them exceeds, sorted by threshold id
/// within an event. A threshold is exceeded by what is strictly greater. The report is the output; with --channels, alerts go
/// to their channels too, as those of publish do.
///
/// A line that is no event is named with its file, line and column on standard error. The other lines are still
/// evaluated, and the exit code is 2 in the end.
///
/// Of a threshold with states (`for`, `clear_value`, `repeat_interval`, `no_data`) only the changes are reported: pending,
/// firing, repeat, resolved, no_data. While standard input is read, changes of the thresholds take effect within a second.
///
/// With --test nothing is evaluated but cases: files that give events and say which violations, alerts and states are
/// expected of them. For example, with a series of ten events of 50 % and twenty of 95 %:
///
/// {"threshold_files":["cpu.json"],"cases":[{"name":"fires after five minutes","series":["instance web-1:
/// cpu_percent_avg 50x10 95x20, every 1m"],"alerts":[{"threshold":"cpu-high","instance":"web-1","kind":"pending",
/// "at":"11m"},{"threshold":"cpu-high","instance":"web-1","kind":"firing","at":"15m"}],"states":[{"threshold":"cpu-high",
/// "instance":"web-1","at":"12m","state":"pending"}]}]}
///
/// A job that runs now and then tells each alert once, and of its end, with --channels and --state: formusage check
/// thresholds.json events.ndjson --channels channels.json --state alerts.json. It ends when every alert was delivered, or
/// none was for as long as --drain-timeout; what is left waits in a spool for the next run. The exit code is that of the
/// thresholds, whatever became of the alerts, unless one could not even be put into the spool. A signal ends the wait for
/// channels at once.
///
/// In a pipeline, --tee passes every line on: formusage collect | formusage check thresholds.json --tee | formusage
/// publish. After SIGINT or SIGTERM it reads standard input to its end, for 5 s at most, so that what the producer writes
/// last is not lost; a second signal ends it at once.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("check"))]
pub(crate) struct CheckArgs {
    /// The thresholds: a JSON file with one or an array of them, a folder of *.json files, http(s)://HOST/PATH, sqlite:PATH
    /// or nats://HOST/BUCKET
    #[arg(required_unless_present = "test")]
    pub(crate) thresholds: Option<String>,
    /// Files of events; - or none is standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<Input>,
    /// Run the cases of these files, tests of thresholds, instead of reading events
    ///
    /// A case has events (`events` in full, or `series` in short), and what is expected of them: `violations`, `alerts`
    /// (each the whole list, where it is given) and `states`. Times are spans from the start of the case. In a series `95`
    /// is one event, `95x20` are twenty, `10+5x4` are 10, 15, 20, 25, and `_x3` are three that never came. The thresholds
    /// are those that the file names in `threshold_files` or holds in `thresholds`, else those of the command line.
    #[arg(long, value_name = "CASES", num_args = 1.., env = "FORMUSAGE_TEST", value_delimiter = None, conflicts_with_all = ["tee", "explain", "state", "channels"])]
    pub(crate) test: Vec<PathBuf>,
    /// Keep the states of thresholds in this file from one run to the next, so that what fires is told once
    ///
    /// At the end of the input, the clock finds the instances silent that an earlier run knew and this one heard nothing
    /// of: with `no_data: alert` that is told, also where the input holds no event at all. So runs that see different
    /// instances each need a file of their own.
    #[arg(long, value_name = "PATH", env = "FORMUSAGE_ALERT_STATE")]
    pub(crate) state: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) channels: super::ChannelsFileArgs,
    /// After the end of input, go on for so long without delivering an alert; what is left waits in their spool
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_DRAIN_TIMEOUT", default_value = "10s", value_parser = humantime::parse_duration, help_heading = "Alerts")]
    pub(crate) drain_timeout: Duration,
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
    #[command(flatten)]
    pub(crate) lines: LineArgs,
    #[command(flatten)]
    pub(crate) access: super::ThresholdAccessArgs,
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
    /// Workflow commands, which GitHub shows as annotations: ten errors and ten warnings; the others are in the log
    Github,
    /// SARIF 2.1.0, for code scanning and editors
    Sarif,
    /// JUnit XML: one test suite a file
    Junit,
    /// One line with performance data, for monitoring systems that run plugins; exit codes 0 OK, 1 warning, 2 critical
    /// (a threshold with that severity), 3 unknown
    Nagios,
}
