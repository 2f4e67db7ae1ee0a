//! `spool` and `dlq`, and the spool's options of `publish`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use form_usage_events::spool::{SpoolOptions, Sync};
use form_usage_events::transport::{Destination, DestinationError};
use form_usage_events::units;

use super::{NatsArgs, TlsArgs};
use crate::channels::is_channel;

/// Where the spool is.
#[derive(Debug, Args)]
pub(crate) struct SpoolPath {
    /// The spool's file; by default spool.db in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else
    /// $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage
    #[arg(long, value_name = "PATH", env = "FORMUSAGE_SPOOL", help_heading = "Spool")]
    pub(crate) spool: Option<PathBuf>,
}

impl SpoolPath {
    /// The path, chosen or default.
    pub(crate) fn resolve(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.spool {
            return Ok(path.clone());
        }
        let folder = crate::state_dir::state_dir();
        folder.map(|folder| folder.join("spool.db")).ok_or_else(|| {
            anyhow::anyhow!("no place for the spool: neither $HOME nor a state directory is set; name it with --spool")
        })
    }
}

impl SpoolPath {
    /// A command to be typed next, with the spool that was named for this one.
    pub(crate) fn command(&self, words: &str) -> String {
        match &self.spool {
            Some(path) => crate::output::spool_command(words, path),
            None => format!("formusage {words}"),
        }
    }
}

/// What a spool holds events for: a destination, or what alerts go to.
#[derive(Debug, Clone)]
pub(crate) struct SpoolDestination {
    /// What the spool knows it by.
    pub(crate) key: String,
}

impl FromStr for SpoolDestination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = if is_channel(text) { text.to_owned() } else { text.parse::<Destination>()?.spool_key() };
        Ok(Self { key })
    }
}

/// How `publish` uses the spool.
#[derive(Debug, Args)]
#[command(next_help_heading = "Spool")]
pub(crate) struct SpoolArgs {
    #[command(flatten)]
    pub(crate) path: SpoolPath,
    /// Do without: what is not delivered when the run ends goes to --dead-letter or standard error
    #[arg(long, env = "FORMUSAGE_NO_SPOOL", conflicts_with = "spool")]
    pub(crate) no_spool: bool,
    /// The most bytes in use before nothing more is read, three quarters of it for one destination (B, KB, MB, GB, TB:
    /// powers of 1024); at least 128KB
    #[arg(long, value_name = "SIZE", env = "FORMUSAGE_SPOOL_MAX_BYTES", default_value = "1GB", value_parser = parse_bytes)]
    pub(crate) spool_max_bytes: u64,
    /// When what was read counts as taken
    #[arg(long, value_enum, value_name = "WHEN", env = "FORMUSAGE_SPOOL_SYNC", default_value_t)]
    pub(crate) spool_sync: SpoolSync,
    /// Keep delivered events for so long, for `spool reconcile`; 0s for not at all
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_RETAIN", default_value = "24h", value_parser = humantime::parse_duration)]
    pub(crate) retain: Duration,
    /// The most bytes of delivered events to keep
    #[arg(long, value_name = "SIZE", env = "FORMUSAGE_RETAIN_MAX_BYTES", default_value = "256MB", value_parser = parse_bytes)]
    pub(crate) retain_max_bytes: u64,
    /// Drop a dead letter that is no event when it is older than this, with a warning; refused events are kept until they
    /// are replayed or purged (`formusage dlq`)
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_DEAD_LETTER_AGE", default_value = "90days", value_parser = parse_age)]
    pub(crate) dead_letter_age: Duration,
}

/// An age of zero would drop what was refused a moment ago.
fn parse_age(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(age) if age.as_secs() > 0 => Ok(age),
        Ok(_) => Err("expected a second or more, such as 90days".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

impl SpoolArgs {
    pub(crate) fn options(&self) -> SpoolOptions {
        SpoolOptions {
            max_bytes: self.spool_max_bytes,
            retain: self.retain,
            retain_max_bytes: self.retain_max_bytes,
            dead_letter_age: self.dead_letter_age,
            sync: match self.spool_sync {
                SpoolSync::Full => Sync::Full,
                SpoolSync::Normal => Sync::Normal,
            },
        }
    }
}

/// When what was read counts as taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SpoolSync {
    /// When the disk has it
    #[default]
    Full,
    /// When the operating system has it: a power cut may lose the last moments
    Normal,
}

fn parse_bytes(text: &str) -> Result<u64, String> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = unit.trim();
    let factor = if unit.is_empty() { Some(1) } else { units::bytes_per(unit) };
    let bytes = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    bytes.ok_or_else(|| "expected a whole number and B, KB, MB, GB or TB, such as 512MB".to_owned())
}

/// Look at the spool: what waits, what was delivered
///
/// Works while publishers run. A terminal gets a table, a pipe gets NDJSON.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("spool"))]
pub(crate) struct SpoolCommandArgs {
    #[command(subcommand)]
    pub(crate) action: SpoolAction,
}

/// What to do with the spool.
#[derive(Debug, Subcommand)]
pub(crate) enum SpoolAction {
    /// What the spool holds for each destination, and the state of its circuit breaker
    Status(SpoolStatusArgs),
    /// The events that wait, or those that were delivered and are kept
    List(SpoolListArgs),
    /// The same events as NDJSON, ready for `publish`
    Export(SpoolListArgs),
    /// Forget delivered events that are kept; with --waiting, throw away events that wait
    Purge(SpoolPurgeArgs),
    /// Check the file, page by page and event by event, and say what is wrong with it
    Verify(SpoolStatusArgs),
    /// Compare what was delivered with what the destination holds, and send again what is missing
    Reconcile(ReconcileArgs),
}

/// `spool status`, `spool verify`.
#[derive(Debug, Args)]
pub(crate) struct SpoolStatusArgs {
    #[command(flatten)]
    pub(crate) path: SpoolPath,
}

/// `spool list`, `spool export`.
#[derive(Debug, Args)]
pub(crate) struct SpoolListArgs {
    #[command(flatten)]
    pub(crate) path: SpoolPath,
    /// Those that were delivered and are kept, instead of those that wait
    #[arg(long)]
    pub(crate) delivered: bool,
    /// Only those of this destination; of an alerts' spool, channel:NAME or action:NAME
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<SpoolDestination>,
}

/// `spool purge`.
#[derive(Debug, Args)]
pub(crate) struct SpoolPurgeArgs {
    #[command(flatten)]
    pub(crate) path: SpoolPath,
    /// Throw away events that wait and that no publisher holds. They are lost: export them first. Asks before
    #[arg(long)]
    pub(crate) waiting: bool,
    /// Do not ask before events that wait are thrown away; needed where nobody can be asked
    #[arg(long)]
    pub(crate) yes: bool,
    /// Only those of this destination; of an alerts' spool, channel:NAME or action:NAME
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<SpoolDestination>,
}

/// `spool reconcile`.
#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    #[command(flatten)]
    pub(crate) path: SpoolPath,
    /// The destination to compare with; where the spool knows but one, that one unless given. Never taken from the
    /// environment
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<Destination>,
    /// Only say what is missing
    #[arg(long, env = "FORMUSAGE_DRY_RUN")]
    pub(crate) dry_run: bool,
    /// How long the destination may be silent while it is read, and how long one attempt to send may take
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_TIMEOUT", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// A file that holds a bearer token for the destination (or set FORMUSAGE_TOKEN to the token itself)
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) nats: NatsArgs,
    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// Look at dead letters: what can never be delivered as it is
///
/// Works while publishers run. A terminal gets a table, a pipe gets NDJSON.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("dlq"))]
pub(crate) struct DlqArgs {
    #[command(subcommand)]
    pub(crate) action: DlqAction,
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum DlqAction {
    /// All of them, a line each
    List(SpoolStatusArgs),
    /// One of them, with everything that is known about it
    Show(DlqShowArgs),
    /// Put letters back among the events that wait; the next `publish` delivers them
    #[command(override_usage = "formusage dlq replay [OPTIONS] <ID>...\n       formusage dlq replay [OPTIONS] --all")]
    Replay(DlqReplayArgs),
    /// Their raw bytes, a line each, to be mended and published again
    Export(SpoolStatusArgs),
    /// Throw letters away
    #[command(override_usage = "formusage dlq purge [OPTIONS] <ID>...\n       formusage dlq purge [OPTIONS] --all")]
    Purge(DlqPurgeArgs),
}

/// `dlq show`.
#[derive(Debug, Args)]
pub(crate) struct DlqShowArgs {
    /// Its number
    #[arg(value_name = "ID")]
    pub(crate) id: u64,
    #[command(flatten)]
    pub(crate) path: SpoolPath,
}

/// Which letters.
#[derive(Debug, Args)]
pub(crate) struct DlqSelectArgs {
    /// Their numbers
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub(crate) ids: Vec<u64>,
    /// All of them
    #[arg(long, conflicts_with = "ids")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) path: SpoolPath,
}

/// `dlq purge`.
#[derive(Debug, Args)]
pub(crate) struct DlqPurgeArgs {
    #[command(flatten)]
    pub(crate) select: DlqSelectArgs,
    /// Do not ask before all dead letters are thrown away; needed where nobody can be asked
    #[arg(long, requires = "all")]
    pub(crate) yes: bool,
}

/// `dlq replay`.
#[derive(Debug, Args)]
pub(crate) struct DlqReplayArgs {
    #[command(flatten)]
    pub(crate) select: DlqSelectArgs,
    /// Where to, instead of where each was to go; never taken from the environment
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<Destination>,
}
