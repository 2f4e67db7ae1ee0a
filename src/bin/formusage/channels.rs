//! The channels of a command that has thresholds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use form_usage_events::channels::{AlertDelivery, AlertReport, ChannelsConfig, alerts_file, unbound};
use form_usage_events::clock::Clock;
use form_usage_events::threshold::{Notifier, ThresholdSet};

use crate::cli::ChannelsFileArgs;
use crate::output::say;

/// Reads a channels file.
pub(crate) fn read(path: &Path) -> anyhow::Result<ChannelsConfig> {
    let text = std::fs::read(path).with_context(|| format!("can't read the channels file {}", path.display()))?;
    ChannelsConfig::parse(&path.display().to_string(), &text).map_err(anyhow::Error::msg)
}

/// Channels that alerts are on their way to.
pub(crate) struct Channels {
    file: PathBuf,
    config: ChannelsConfig,
    allow_exec: bool,
    delivery: AlertDelivery,
}

/// Starts the delivery of alerts, where a channels file is named. At the end, what waits is tried for `patience`. To be
/// called on a runtime.
pub(crate) fn start(
    args: &ChannelsFileArgs,
    patience: Duration,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Channels>> {
    let Some(path) = &args.channels else { return Ok(None) };
    let config = read(path)?;
    let spool = match &args.alert_spool {
        Some(path) => path.clone(),
        None => alerts_file(&crate::state_dir::state_dir().context(
            "no place for the alerts' spool: neither $HOME nor a state directory is set; name it with --alert-spool",
        )?),
    };
    if let Some(folder) = spool.parent().filter(|_| args.alert_spool.is_none()) {
        std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    }
    let delivery = AlertDelivery::start(&config, args.allow_exec, &spool, patience, clock);
    let delivery = delivery.with_context(|| format!("the channels of {} can't be used", path.display()))?;
    Ok(Some(Channels { file: path.clone(), config, allow_exec: args.allow_exec, delivery }))
}

impl Channels {
    /// What a threshold manager hands its alerts to.
    pub(crate) fn notifier(&self) -> Arc<dyn Notifier> {
        self.delivery.notifier()
    }

    /// A name in `thresholds` that nothing is bound to is an error now and no silence later.
    pub(crate) fn bind(&self, thresholds: &ThresholdSet) -> anyhow::Result<()> {
        let faults = unbound(&self.config, thresholds, self.allow_exec);
        if faults.is_empty() {
            return Ok(());
        }
        bail!("thresholds and {} do not fit together:\n{}", self.file.display(), faults.join("\n"))
    }

    /// Ends the delivery, and says what was not delivered.
    pub(crate) async fn end(self) {
        let reports = self.delivery.finish().await;
        for report in reports.iter().filter(|report| report.waiting + report.dead > 0 || !report.errors.is_empty()) {
            let AlertReport { name, waiting, dead, errors, .. } = report;
            let why = errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            say(&format!("{name}: {waiting} alerts wait for the next run, {dead} are dead letters{why}"));
        }
    }
}
