//! `channels`: what alerts go to, and whether they would arrive.

use std::sync::Arc;

use anyhow::bail;
use form_usage_events::channels::{ChannelConfig, ChannelsConfig, send_trial};
use form_usage_events::clock::{Clock, SystemClock};
use serde_json::json;

use crate::channels::read;
use crate::cli::{ChannelsAction, ChannelsArgs, ChannelsListArgs, ChannelsTestArgs};
use crate::exit::Exit;
use crate::output::{complain, say};
use crate::setup;

pub(crate) fn run(args: &ChannelsArgs) -> anyhow::Result<Exit> {
    match &args.action {
        ChannelsAction::List(args) => list(args),
        ChannelsAction::Test(args) => test(args),
    }
}

fn all(config: &ChannelsConfig) -> impl Iterator<Item = (&'static str, &String, &ChannelConfig)> {
    let channels = config.channels.iter().map(|(name, channel)| ("channel", name, channel));
    channels.chain(config.actions.iter().map(|(name, channel)| ("action", name, channel)))
}

fn list(args: &ChannelsListArgs) -> anyhow::Result<Exit> {
    let config = read(&args.channels)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // A sink may want a runtime around it when it is made.
    let runtime = setup::runtime()?;
    let _inside = runtime.enter();
    let (mut rows, mut values, mut faulty) = (Vec::new(), Vec::new(), false);
    for (list, name, channel) in all(&config) {
        let fault = config.open(channel, clock.clone()).err().map(|failure| failure.message);
        faulty |= fault.is_some();
        let (kind, address) = (channel.kind(), channel.shown());
        let state = fault.clone().unwrap_or_else(|| "can be used".to_owned());
        rows.push(vec![list.to_owned(), name.clone(), kind.to_owned(), address.clone().unwrap_or_default(), state]);
        values.push(json!({ "list": list, "name": name, "kind": kind, "address": address, "fault": fault }));
    }
    super::thresholds::write(args.format, &["list", "name", "kind", "address", "state"], rows.into_iter(), &values)?;
    Ok(if faulty { Exit::Objection } else { Exit::Success })
}

fn test(args: &ChannelsTestArgs) -> anyhow::Result<Exit> {
    let config = read(&args.channels)?;
    let mut chosen = Vec::new();
    for name in &args.names {
        let found: Vec<_> = all(&config).filter(|(_, other, _)| *other == name).collect();
        if found.is_empty() {
            let names: Vec<_> = all(&config).map(|(_, name, _)| name.as_str()).collect();
            bail!("{} has no channel and no action `{name}`; it has: {}", args.channels.display(), names.join(", "));
        }
        chosen.extend(found);
    }
    if let Some((.., name)) = chosen
        .iter()
        .map(|(list, name, it)| (it, list, name))
        .find(|(it, ..)| matches!(it, ChannelConfig::Exec(_)) && !args.allow_exec)
    {
        bail!("`{name}` runs a program, which only --allow-exec permits");
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    setup::block_on(async {
        let mut exit = Exit::Success;
        for (list, name, channel) in chosen {
            let began = clock.monotonic();
            let trial = send_trial(&config, name, channel, clock.clone());
            let result = match tokio::time::timeout(args.timeout, trial).await {
                Ok(result) => result.map_err(|failure| failure.message),
                Err(_) => Err(format!("no answer within {}", humantime::format_duration(args.timeout))),
            };
            let took = clock.monotonic().saturating_sub(began).as_millis();
            match result {
                Ok(()) => {
                    say(&format!("{list} {name} ({}): taken after {took} ms; look whether it arrived", channel.kind()))
                }
                Err(why) => {
                    complain(&format!("{list} {name} ({}), after {took} ms: {why}", channel.kind()));
                    exit = Exit::Objection;
                }
            }
        }
        Ok(exit)
    })
}
