//! `channels`, and where the alerts of `publish` and `check` go.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::ListFormat;

/// Where alerts go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Alerts")]
pub(crate) struct ChannelsFileArgs {
    /// What the channels and actions of thresholds stand for: a JSON file (see formusage schema channels). Without it,
    /// alerts are logged
    ///
    /// A channel that can't be used is an error where a threshold names it, and a warning where none does. After a crash
    /// an alert may arrive twice, and in another group: its own `alert.id` stays the same and is the key to drop repeats
    /// by, in a webhook too, where webhook-id is that of the message.
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_CHANNELS")]
    pub(crate) channels: Option<PathBuf>,
    /// Let channels and actions run programs; stands on the command line alone, never in the environment
    #[arg(long)]
    pub(crate) allow_exec: bool,
    /// The spool of alerts on their way; by default alerts.db beside the spool of events
    #[arg(long, value_name = "PATH", env = "FORMUSAGE_ALERT_SPOOL")]
    pub(crate) alert_spool: Option<PathBuf>,
}

/// Look after the channels that alerts go to
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("channels"))]
pub(crate) struct ChannelsArgs {
    #[command(subcommand)]
    pub(crate) action: ChannelsAction,
}

/// What to do with channels.
#[derive(Debug, Subcommand)]
pub(crate) enum ChannelsAction {
    /// All channels and actions of a file, where they lead, and whether each could be used
    ///
    /// Looks at secrets, addresses and certificates, and connects to nothing. Of a URL the server alone is shown, since
    /// its path or its query may be a key; of a program, not its arguments.
    List(ChannelsListArgs),
    /// Send a trial alert to a channel, once, and say what became of it
    Test(ChannelsTestArgs),
}

/// `channels list`.
#[derive(Debug, Args)]
pub(crate) struct ChannelsListArgs {
    /// The channels file
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_CHANNELS")]
    pub(crate) channels: PathBuf,
    /// How they are written; without it, a table on a terminal and ndjson elsewhere
    #[arg(long, value_enum, value_name = "FORMAT", env = "FORMUSAGE_FORMAT")]
    pub(crate) format: Option<ListFormat>,
}

/// `channels test`.
#[derive(Debug, Args)]
pub(crate) struct ChannelsTestArgs {
    /// The names of channels or actions
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,
    /// The channels file
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_CHANNELS")]
    pub(crate) channels: PathBuf,
    /// Let channels and actions run programs; stands on the command line alone, never in the environment
    #[arg(long)]
    pub(crate) allow_exec: bool,
    /// How long each may take
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}
