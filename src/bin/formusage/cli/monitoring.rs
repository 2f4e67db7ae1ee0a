//! What a command takes that runs for months.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

/// How a long run can be watched.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct MonitoringArgs {
    /// Serve the figures at http://ADDRESS:PORT/metrics, as Prometheus text or, to those that ask for it, as OpenMetrics
    ///
    /// They hold no secrets. Only this machine can read them at 127.0.0.1 or [::1]; another address of it, or 0.0.0.0,
    /// opens them to the network without a password and needs --metrics-allow-remote. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", env = "FORMUSAGE_METRICS_LISTEN", help_heading = "Monitoring")]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Let --metrics-listen serve other machines too, without a password
    #[arg(long, env = "FORMUSAGE_METRICS_ALLOW_REMOTE", help_heading = "Monitoring")]
    pub(crate) metrics_allow_remote: bool,
    /// Log a line of figures so often, and a last one at the end; 0s for never
    ///
    /// The line shows without --verbose; --quiet and --log decide over it (its target is formusage::stats).
    #[arg(long, value_name = "TIME", env = "FORMUSAGE_STATS_INTERVAL", default_value = "0s", value_parser = humantime::parse_duration, help_heading = "Monitoring")]
    pub(crate) stats_interval: Duration,
}
