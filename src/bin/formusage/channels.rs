//! The channels of a command that has thresholds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use form_usage_events::channels::{AlertDelivery, AlertReport, ChannelsConfig, alerts_file, unbound};
use form_usage_events::clock::Clock;
use form_usage_events::threshold::ThresholdSet;

use crate::cli::ChannelsFileArgs;
use crate::output::say;

/// Reads a channels file.
pub(crate) fn read(path: &Path) -> anyhow::Result<ChannelsConfig> {
    let text = std::fs::read(path).with_context(|| format!("can't read the channels file {}", path.display()))?;
    ChannelsConfig::parse(&path.display().to_string(), &text).map_err(anyhow::Error::msg)
}

/// Starts the delivery of alerts, where a channels file is named; a name in `thresholds` that nothing is bound to is an
/// error now and no silence later. At the end, what waits is tried for `patience`. To be called on a runtime.
pub(crate) fn start(
    args: &ChannelsFileArgs,
    thresholds: &ThresholdSet,
    patience: Duration,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<AlertDelivery>> {
    let Some(path) = &args.channels else { return Ok(None) };
    let config = read(path)?;
    let faults = unbound(&config, thresholds, args.allow_exec);
    if !faults.is_empty() {
        bail!("thresholds and {} do not fit together:\n{}", path.display(), faults.join("\n"));
    }
    let spool = match &args.alert_spool {
        Some(path) => path.clone(),
        None => alerts_file(&crate::state_dir::state_dir().context(
            "no place for the alerts' spool: neither $HOME nor a state directory is set; name it with --alert-spool",
        )?),
    };
    let delivery = AlertDelivery::start(&config, args.allow_exec, &spool, patience, clock);
    delivery.map(Some).with_context(|| format!("the channels of {} can't be used", path.display()))
}

/// Ends the delivery, and says what was not delivered.
pub(crate) async fn finish(delivery: Option<AlertDelivery>) -> Vec<AlertReport> {
    let Some(delivery) = delivery else { return Vec::new() };
    let reports = delivery.finish().await;
    for report in reports.iter().filter(|report| report.waiting + report.dead > 0 || !report.errors.is_empty()) {
        let AlertReport { name, waiting, dead, errors, .. } = report;
        let why = errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        say(&format!("{name}: {waiting} alerts wait for the next run, {dead} are dead letters{why}"));
    }
    reports
}
