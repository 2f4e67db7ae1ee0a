//! `collect`.

use std::time::Duration;

use clap::Args;

/// Sample this host into usage events
///
/// Prints one event for each period, as NDJSON: CPU seconds, memory, storage, network and GPU seconds. Periods are
/// contiguous and the sum of the events is what the kernel counted: what rounding to whole seconds leaves over goes
/// into the next period. Metering starts at the next whole second. SIGINT and SIGTERM close the open period and print
/// its event.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("collect"))]
pub(crate) struct CollectArgs {
    /// How long a period is, in whole seconds
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_INTERVAL", default_value = "30s", value_parser = whole_seconds, help_heading = "Periods")]
    pub(crate) interval: Duration,
    /// How often to look in between, for averages and GPU time; the shorter of 5s and the interval unless given
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_SAMPLE_INTERVAL", value_parser = sample_interval, help_heading = "Periods")]
    pub(crate) sample_interval: Option<Duration>,
    /// End after so many events
    #[arg(long, value_name = "N", env = "FORMUSAGE_COUNT", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Periods")]
    pub(crate) count: Option<u64>,
    /// End after so long
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_DURATION", value_parser = whole_seconds, help_heading = "Periods")]
    pub(crate) duration: Option<Duration>,
    /// Let periods end at multiples of the interval on the wall clock: 30 s periods at :00 and :30 (the default; the
    /// first period is shorter)
    #[arg(long, env = "FORMUSAGE_ALIGN", overrides_with = "no_align", help_heading = "Periods")]
    pub(crate) align: bool,
    /// Let every period have the whole interval, counted from the start
    #[arg(long, env = "FORMUSAGE_NO_ALIGN", overrides_with = "align", help_heading = "Periods")]
    pub(crate) no_align: bool,

    /// What is metered; the host's name unless given
    #[arg(long, value_name = "ID", env = "FORMUSAGE_INSTANCE_ID", help_heading = "Identity")]
    pub(crate) instance_id: Option<String>,
    /// Who is billed; the login name unless given
    #[arg(long, value_name = "ID", env = "FORMUSAGE_USER_ID", help_heading = "Identity")]
    pub(crate) user_id: Option<String>,
    /// The organization that the user belongs to; none unless given
    #[arg(long, value_name = "ID", env = "FORMUSAGE_ORG_ID", help_heading = "Identity")]
    pub(crate) org_id: Option<String>,
}

fn whole_seconds(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; write 30s, 5m or 1h"))?;
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
    let duration = humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 1s or 5s"))?;
    if duration < Duration::from_millis(10) { Err("it must be at least 10ms".to_owned()) } else { Ok(duration) }
}
