//! The channels of a command that has thresholds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use form_usage_events::channels::{AlertDelivery, AlertReport, ChannelConfig, ChannelsConfig, alerts_file};
use form_usage_events::clock::Clock;
use form_usage_events::limited_read::{MAX_SETTINGS_BYTES, read_limited};
use form_usage_events::spool::SpoolFile;
use form_usage_events::threshold::{Notifier, ThresholdSet};

use crate::cli::ChannelsFileArgs;
use crate::output::{counted, say, shell_word, spool_command};

/// The text of a channels file.
pub(crate) fn text_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_limited(path, MAX_SETTINGS_BYTES).with_context(|| format!("can't read the channels file {}", path.display()))
}

/// Reads a channels file.
pub(crate) fn read(path: &Path) -> anyhow::Result<ChannelsConfig> {
    let text = text_of(path)?;
    ChannelsConfig::parse(&path.display().to_string(), &text).map_err(anyhow::Error::msg)
}

/// Channels that alerts are on their way to.
pub(crate) struct Channels {
    file: PathBuf,
    spool: PathBuf,
    config: ChannelsConfig,
    allow_exec: bool,
    delivery: AlertDelivery,
}

/// Starts the delivery of alerts, where a channels file is named; without one, says what waits from earlier runs. At the
/// end, what waits is tried for `patience`. To be called on a runtime.
pub(crate) fn start(
    args: &ChannelsFileArgs,
    patience: Duration,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Option<Channels>> {
    let Some(path) = &args.channels else {
        say_what_waits(args);
        return Ok(None);
    };
    let config = read(path)?;
    let spool = spool_of(args).context(
        "no place for the alerts' spool: neither $HOME nor a state directory is set; name it with --alert-spool",
    )?;
    if let Some(folder) = spool.parent().filter(|_| args.alert_spool.is_none()) {
        form_usage_events::files::create_private_folder(folder)
            .with_context(|| format!("can't make the folder {}", folder.display()))?;
    }
    let delivery = AlertDelivery::start(&config, args.allow_exec, &spool, patience, clock);
    let delivery = delivery.with_context(|| format!("the channels of {} can't be used", path.display()))?;
    Ok(Some(Channels { file: path.clone(), spool, config, allow_exec: args.allow_exec, delivery }))
}

fn spool_of(args: &ChannelsFileArgs) -> Option<PathBuf> {
    args.alert_spool.clone().or_else(|| Some(alerts_file(&crate::state_dir::state_dir()?)))
}

/// How many alerts wait in a spool for each channel and action. A spool that can't be read is for those to name who need
/// it.
fn waiting_in(spool: &Path) -> Vec<(String, u64)> {
    let Ok(Some(Ok(status))) = SpoolFile::open(spool).map(|file| file.map(|file| file.status())) else {
        return Vec::new();
    };
    let waiting = status.destinations.into_iter().filter(|it| it.waiting > 0 && is_channel(&it.destination));
    waiting.map(|it| (it.destination, it.waiting)).collect()
}

/// Whether a spool's destination is a channel or an action, where alerts go and no usage events.
pub(crate) fn is_channel(destination: &str) -> bool {
    destination.starts_with("channel:") || destination.starts_with("action:")
}

/// Without a channels file nothing is delivered: says so where alerts of earlier runs wait.
pub(crate) fn say_what_waits(args: &ChannelsFileArgs) {
    let Some(spool) = spool_of(args) else { return };
    let waiting = waiting_in(&spool);
    if waiting.is_empty() {
        return;
    }
    let each: Vec<_> = waiting.iter().map(|(channel, count)| format!("{count} for {channel}")).collect();
    let total = waiting.iter().map(|(_, count)| count).sum();
    say(&format!(
        "{} in {} ({}), and this run delivers none: name the channels file with --channels, or see them with: {}",
        counted(total, "alert waits", "alerts wait"),
        spool.display(),
        each.join(", "),
        spool_command("spool list", &spool)
    ));
}

impl Channels {
    /// What a threshold manager hands its alerts to.
    pub(crate) fn notifier(&self) -> Arc<dyn Notifier> {
        self.delivery.notifier()
    }

    /// A name in `thresholds` that nothing is bound to, or nothing that can be used, is an error now and no silence later.
    pub(crate) fn bind(&self, thresholds: &ThresholdSet) -> anyhow::Result<()> {
        let faults = self.notifier().objections(thresholds);
        if faults.is_empty() {
            return Ok(());
        }
        bail!("thresholds and {} do not fit together:\n{}", self.file.display(), faults.join("\n"))
    }

    /// Says which channels can't be used, which is no error as long as no threshold names them, and what waits for
    /// channels that nothing delivers to.
    pub(crate) fn say_what_is_amiss(&self) {
        let file = self.file.display();
        let unusable: Vec<_> = self.delivery.unusable().collect();
        for (channel, why) in &unusable {
            say(&format!("{channel} of {file} can't be used: {why}. No threshold names it; one that does is refused"));
        }
        for (channel, count) in waiting_in(&self.spool) {
            let (why, remedy) = match self.bound(&channel) {
                None => ("has no such name", "bind the name again to have them delivered".to_owned()),
                Some(ChannelConfig::Exec(_)) if !self.allow_exec => {
                    ("binds it to a program", "permit programs with --allow-exec to have them delivered".to_owned())
                }
                Some(_) if unusable.iter().any(|(name, _)| *name == channel) => {
                    ("binds it to what can't be used", "mend that to have them delivered".to_owned())
                }
                Some(_) => continue,
            };
            let wait = if count == 1 { "1 alert waits".to_owned() } else { format!("{count} alerts wait") };
            let to = format!(" --to {}", shell_word(&channel));
            say(&format!(
                "{wait} in {} for {channel}, and {file} {why}: {remedy}.\n  see them with: {}{to}\n  or throw them away with: {}{to}",
                self.spool.display(),
                spool_command("spool list", &self.spool),
                spool_command("spool purge --waiting", &self.spool),
            ));
        }
    }

    /// What `channel:NAME` or `action:NAME` is bound to.
    fn bound(&self, place: &str) -> Option<&ChannelConfig> {
        match place.split_once(':') {
            Some(("channel", name)) => self.config.channels.get(name),
            Some(("action", name)) => self.config.actions.get(name),
            _ => None,
        }
    }

    /// Alerts that are lost so far, since too many waited for their channel.
    pub(crate) fn dropped(&self) -> u64 {
        self.delivery.dropped()
    }

    /// Ends the delivery, and says what was not delivered. When `cut` is over, nothing more is waited for. Returns how many
    /// alerts are lost.
    pub(crate) async fn end(self, cut: impl Future<Output = ()>) -> u64 {
        let reports = self.delivery.finish_until(cut).await;
        for report in &reports {
            let AlertReport { name, superseded, dropped, waiting, dead, errors, .. } = report;
            if *superseded > 0 {
                let alerts = counted(*superseded, "alert was not sent", "alerts were not sent");
                say(&format!(
                    "{name}: {alerts} after the outage, since newer states of the same thresholds and instances were"
                ));
            }
            if *waiting + *dead + *dropped == 0 && errors.is_empty() {
                continue;
            }
            let why = errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            let waits = format!("{} for the next run", counted(*waiting, "alert waits", "alerts wait"));
            let died = counted(*dead, "alert is a dead letter", "alerts are dead letters");
            let lost = counted(*dropped, "alert is lost", "alerts are lost");
            let lost = format!("{lost}, since too many waited for it");
            let parts =
                [(*waiting, waits), (*dead, died), (*dropped, lost)].into_iter().filter(|(count, _)| *count > 0);
            let parts: Vec<_> = parts.map(|(_, words)| words).collect();
            let what = if parts.is_empty() { "its delivery failed".to_owned() } else { parts.join(", ") };
            say(&format!("{name}: {what}{why}"));
            if *waiting > 0 {
                say(&format!("  see them with: {}", spool_command("spool list", &self.spool)));
            }
            if *dead > 0 {
                let (list, replay) =
                    (spool_command("dlq list", &self.spool), spool_command("dlq replay --all", &self.spool));
                say(&format!("  see dead letters with: {list}\n  and have them tried again with: {replay}"));
            }
        }
        reports.iter().map(|report| report.dropped).sum()
    }
}
