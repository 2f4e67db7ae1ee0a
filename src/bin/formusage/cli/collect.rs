//! `collect`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use form_usage_events::collect::{InstanceTemplate, NamePattern, ScopeSpec};

/// Sample this host, or what runs on it, into usage events
///
/// Prints one event for each instance and period, as NDJSON: CPU seconds, memory, storage, network and GPU seconds.
/// Periods are contiguous and the sum of the events is what the kernel counted: what rounding to whole seconds leaves
/// over goes into the next period. Metering starts at the next whole second. SIGINT and SIGTERM close the open periods
/// and print their events.
///
/// A state file makes one run go on where the last one ended, however that ended: in the same boot of the host what was
/// consumed in between is an event of its own, and events that were perhaps not written are written again, byte for
/// byte, so that a repeat is known by its id. SIGHUP reads the configuration again.
#[derive(Debug, Clone, Args)]
#[command(after_help = crate::exit::help_for("collect"))]
pub(crate) struct CollectArgs {
    /// How long a period is, in whole seconds; 30s unless given
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_INTERVAL", value_parser = whole_seconds, allow_hyphen_values = true, help_heading = "Periods")]
    pub(crate) interval: Option<Duration>,
    /// How often to look in between, for averages and GPU time; the shorter of 5s (1s with --watch) and
    /// the interval unless given
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_SAMPLE_INTERVAL", value_parser = sample_interval, allow_hyphen_values = true, help_heading = "Periods")]
    pub(crate) sample_interval: Option<Duration>,
    /// End after so many periods of the schedule; one event of each instance comes with each
    #[arg(long, value_name = "N", env = "FORMUSAGE_COUNT", allow_hyphen_values = true, value_parser = periods, help_heading = "Periods")]
    pub(crate) count: Option<u64>,
    /// End after so long
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_DURATION", value_parser = whole_seconds, allow_hyphen_values = true, help_heading = "Periods")]
    pub(crate) duration: Option<Duration>,
    /// Let periods end at multiples of the interval on the wall clock: 30 s periods at :00 and :30 (the default; the
    /// first period is shorter)
    #[arg(long, env = "FORMUSAGE_ALIGN", overrides_with = "no_align", help_heading = "Periods")]
    pub(crate) align: bool,
    /// Let every period have the whole interval, counted from the start
    #[arg(long, env = "FORMUSAGE_NO_ALIGN", overrides_with = "align", help_heading = "Periods")]
    pub(crate) no_align: bool,

    /// Show the open period of each instance, live, on the terminal: a table with sparklines that keys sort and scroll;
    /// q ends it as SIGINT does. Events still go to standard output where that is a pipe or a file. Where it is a
    /// terminal they are not written, and no state is kept
    #[arg(long, env = "FORMUSAGE_WATCH")]
    pub(crate) watch: bool,

    /// What is metered: host (the default), cgroup:PATH or a pattern such as 'cgroup:system.slice/*.service',
    /// systemd:UNIT, pid:N with its children. May stand several times. What two scopes name is refused, since it would
    /// be billed twice; what a pattern shares with another scope is billed to the first, and said. A process and one of
    /// its children are both billed, the child twice
    #[arg(
        long = "scope",
        value_name = "SCOPE",
        env = "FORMUSAGE_SCOPE",
        value_delimiter = ' ',
        help_heading = "Scopes"
    )]
    pub(crate) scopes: Vec<ScopeSpec>,
    /// A TOML file with scopes that each have a user, an organization and labels of their own; SIGHUP reads it again
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_CONFIG", conflicts_with_all = ["scopes", "instance_id"], help_heading = "Scopes")]
    pub(crate) config: Option<PathBuf>,
    /// An interface that counts, by name or pattern (eth*); the uplinks unless given. May stand several times
    #[arg(
        long = "interface",
        value_name = "NAME",
        env = "FORMUSAGE_INTERFACE",
        value_delimiter = ' ',
        help_heading = "Scopes"
    )]
    pub(crate) interfaces: Vec<NamePattern>,
    /// A file system that counts, by the path where it is mounted, or a pattern; those on local devices unless given.
    /// May stand several times
    #[arg(
        long = "mount",
        value_name = "PATH",
        env = "FORMUSAGE_MOUNT",
        value_delimiter = ' ',
        help_heading = "Scopes"
    )]
    pub(crate) mounts: Vec<NamePattern>,
    /// The same, by its device. May stand several times
    #[arg(
        long = "device",
        value_name = "DEVICE",
        env = "FORMUSAGE_DEVICE",
        value_delimiter = ' ',
        help_heading = "Scopes"
    )]
    pub(crate) devices: Vec<NamePattern>,

    /// What instances are called: a name, or a template of {name}, {path}, {parent} and {host}; unless given the host's
    /// name, and {host}/{path} for what runs on it
    #[arg(long, value_name = "ID", env = "FORMUSAGE_INSTANCE_ID", help_heading = "Identity")]
    pub(crate) instance_id: Option<InstanceTemplate>,
    /// Who is billed, a template as well; the login name unless given
    #[arg(long, value_name = "ID", env = "FORMUSAGE_USER_ID", help_heading = "Identity")]
    pub(crate) user_id: Option<InstanceTemplate>,
    /// The organization that the user belongs to, a template as well; none unless given
    #[arg(long, value_name = "ID", env = "FORMUSAGE_ORG_ID", help_heading = "Identity")]
    pub(crate) org_id: Option<InstanceTemplate>,

    /// Where state is kept; by default collect.state in $FORMUSAGE_STATE_DIR, else $STATE_DIRECTORY, else
    /// $XDG_STATE_HOME/formusage, else /var/lib/formusage for root, else ~/.local/state/formusage
    #[arg(long, value_name = "PATH", env = "FORMUSAGE_STATE", conflicts_with = "no_state", help_heading = "State")]
    pub(crate) state: Option<PathBuf>,
    /// Keep no state: every run starts anew, and what the last one did not write is lost
    #[arg(long, env = "FORMUSAGE_NO_STATE", help_heading = "State")]
    pub(crate) no_state: bool,
}

/// A time as people write it. Options take what begins with a hyphen, so that a negative time is told from an option.
fn time(text: &str, examples: &str) -> Result<Duration, String> {
    match text.strip_prefix('-') {
        Some(rest) if humantime::parse_duration(rest).is_ok() || rest.parse::<f64>().is_ok() => {
            Err(format!("a time can't be negative; write {examples}"))
        }
        Some(_) => Err(format!("that is an option, and a time is needed before it; write {examples}")),
        None => humantime::parse_duration(text).map_err(|error| format!("{error}; write {examples}")),
    }
}

fn periods(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "write a number of periods, at least 1".to_owned())
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    let duration = time(text, "30s, 5m or 1h")?;
    if duration.is_zero() || duration.subsec_nanos() > 0 {
        return Err("it must be whole seconds, at least 1s".to_owned());
    }
    // What the wall clock can't count to is no interval.
    if duration.as_secs() > 366 * 24 * 3600 * 100 {
        return Err("it must be at most 100 years".to_owned());
    }
    Ok(duration)
}

fn sample_interval(text: &str) -> Result<Duration, String> {
    let duration = time(text, "500ms, 1s or 5s")?;
    if duration < Duration::from_millis(10) { Err("it must be at least 10ms".to_owned()) } else { Ok(duration) }
}
