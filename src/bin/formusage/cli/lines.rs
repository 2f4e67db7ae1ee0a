//! What every command that reads events takes.

use std::time::Duration;

use clap::Args;
use form_usage_events::events::DEFAULT_MAX_LINE_BYTES;

/// How lines are read and judged.
#[derive(Debug, Args)]
pub(crate) struct LineArgs {
    /// How far in the future an event's timestamp may lie
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5m",
        value_parser = humantime::parse_duration,
        env = "FORMUSAGE_MAX_SKEW",
        help_heading = "Rules"
    )]
    max_skew: Duration,
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

impl LineArgs {
    /// `--max-skew` in seconds.
    pub(crate) fn max_skew(&self) -> i64 {
        i64::try_from(self.max_skew.as_secs()).unwrap_or(i64::MAX)
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}
