//! Where alerts go: mails, signed webhooks, chats, programs, queues.
//!
//! ```text
//! ThresholdManager ─► ChannelNotifier ─► spool ─► pipeline: retry ─► breaker ─► time limit ─► channel
//!                                          └─ dead letters ◄──┘
//! ```
//!
//! An alert counts as handed over when it is in the spool; from there it goes the way of events, with the same retries,
//! breaker and dead letters, so that a mail server that is down neither holds up a publish nor loses an alert. What waits
//! for one channel goes in one message; after an outage that is the newest state of each alert. A channel is a [`Sink`] of the crate: it makes one attempt.

mod address;
mod config;
mod delivery;
#[cfg(test)]
mod delivery_tests;
mod dropped;
mod exec;
mod limited_stream;
mod message;
mod newest;
mod slack;
mod smtp;
mod webhook;

use std::path::Path;
use std::sync::Arc;

pub use config::{
    ChannelConfig, ChannelsConfig, ExecConfig, QueueConfig, SecretRef, SlackConfig, SmtpConfig, SmtpTls, WebhookConfig,
};
pub use delivery::{AlertDelivery, AlertReport, ChannelNotifier, alerts_file};
pub use message::{NOTICE_TYPE, ViolationEvent, headline};

use crate::clock::Clock;
use crate::events::EncodedEvent;
use crate::first_few::FirstFew;
use crate::threshold::{ActionType, AlertKind, ThresholdAlert, ThresholdConfig, ThresholdSet, ThresholdViolation};
use crate::threshold::{ResourceType, ThresholdType};
use crate::transport::{self, ClientCertificate, ConnectOptions, Failure, NatsOptions, Outcome, Reach, Sink};
use crate::validate::names::nearest;

impl ChannelsConfig {
    /// What sends to `channel`, which is one of these. Connects when the first alert is sent. A program gets none of the
    /// environment variables that hold a secret of any of them.
    ///
    /// # Errors
    /// A failure of the destination: a secret that can't be read, an address that can't be used; never the secret.
    pub fn open(&self, channel: &ChannelConfig, clock: Arc<dyn Clock>) -> Result<Box<dyn Sink>, Failure> {
        Ok(match channel {
            ChannelConfig::Smtp(config) => Box::new(smtp::SmtpSink::new(config)?),
            ChannelConfig::Webhook(config) => Box::new(webhook::WebhookSink::new(config, clock)?),
            ChannelConfig::Slack(config) => Box::new(slack::SlackSink::new(config)?),
            ChannelConfig::Exec(config) => Box::new(exec::ExecSink::new(config, self.secret_variables())),
            ChannelConfig::Queue(config) => queue(config)?,
        })
    }
}

fn queue(config: &QueueConfig) -> Result<Box<dyn Sink>, Failure> {
    let destination = config.to.parse().map_err(|error| Failure::destination(format!("{error}")))?;
    let token = config.token.as_ref().map(SecretRef::read).transpose().map_err(Failure::destination)?;
    let options = ConnectOptions {
        token,
        ca_file: config.ca_file.clone(),
        client_certificate: certificate(config.client_cert.as_deref(), config.client_key.as_deref())?,
        nats: NatsOptions { credentials_file: config.nats_creds.clone(), ..NatsOptions::default() },
        ..ConnectOptions::default()
    };
    transport::connect(&destination, &options)
}

/// Who we are over TLS: a certificate, and its key in the same file unless in one of its own.
fn certificate(certificate: Option<&Path>, key: Option<&Path>) -> Result<Option<ClientCertificate>, Failure> {
    match (certificate, key) {
        (Some(certificate), key) => {
            let key = key.unwrap_or(certificate);
            Ok(Some(ClientCertificate { certificate: certificate.into(), key: key.into() }))
        }
        (None, Some(_)) => Err(Failure::destination("the channel has a client_key and no client_cert: name both")),
        (None, None) => Ok(None),
    }
}

/// Why thresholds and channels do not fit together: a line for each of the first names that nothing is bound to and
/// programs that may not be run, and one with the number of the others.
#[must_use]
pub fn unbound(config: &ChannelsConfig, thresholds: &ThresholdSet, allow_exec: bool) -> Vec<String> {
    unbound_names(config, thresholds, allow_exec).into_list("faults")
}

fn unbound_names(config: &ChannelsConfig, thresholds: &ThresholdSet, allow_exec: bool) -> FirstFew {
    let mut faults = FirstFew::default();
    for threshold in thresholds.configs() {
        for (kind, name) in targets(threshold) {
            let list = if kind == Target::Channel { &config.channels } else { &config.actions };
            match list.get(name) {
                Some(ChannelConfig::Exec(_)) if !allow_exec => faults.push_with(|| {
                    let (id, kind) = (&threshold.id, kind.name());
                    format!("threshold `{id}`: {kind} `{name}` runs a program, which only --allow-exec permits")
                }),
                Some(_) => {}
                None => faults.push_with(|| {
                    let best = nearest(name, list.keys().map(String::as_str));
                    let hint = best.map(|other| format!("; did you mean `{other}`?")).unwrap_or_default();
                    let (id, kind) = (&threshold.id, kind.name());
                    format!("threshold `{id}`: nothing is bound to the {kind} `{name}`{hint}")
                }),
            }
        }
    }
    faults
}

/// Which of the two lists a name stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Channel,
    Action,
}

impl Target {
    const fn name(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Action => "action",
        }
    }
}

/// Where the alerts of a threshold go, each place once.
fn targets(threshold: &ThresholdConfig) -> Vec<(Target, &str)> {
    let mut targets = match &threshold.action {
        ActionType::Log => Vec::new(),
        ActionType::Notify => {
            threshold.notification_channels.iter().map(|name| (Target::Channel, name.as_str())).collect()
        }
        ActionType::Action(name) => vec![(Target::Action, name.as_str())],
    };
    targets.sort_unstable();
    targets.dedup();
    targets
}

/// The alerts in notices.
fn alerts(events: &[EncodedEvent]) -> Result<Vec<ThresholdAlert>, Failure> {
    let decode = |event| ViolationEvent::decode(event).map(|event| event.alert);
    events.iter().map(decode).collect::<Result<_, _>>().map_err(|error| Failure::event(format!("no alert: {error}")))
}

/// Sends a trial alert to `channel`, which is one of `config`, once and without a spool. Each trial has an id of its own,
/// so that a receiver that drops repeats shows every one.
///
/// # Errors
/// Why it did not arrive.
pub async fn send_trial(
    config: &ChannelsConfig,
    name: &str,
    channel: &ChannelConfig,
    clock: Arc<dyn Clock>,
) -> Result<(), Failure> {
    let now = clock.unix_seconds();
    let threshold = ThresholdConfig {
        description: Some(format!("A trial of the channel {name}: nothing is wrong.")),
        ..ThresholdConfig::new(
            "trial",
            ResourceType::Cpu,
            ThresholdType::Percentage { value: 80.0 },
            ActionType::Notify,
            crate::threshold::ANY,
        )
    };
    let violation = ThresholdViolation {
        config: threshold.into(),
        current_value: 95.0,
        threshold_value: 80.0,
        percentage: 18.75,
        timestamp: now,
        instance_id: "trial-instance".to_owned(),
        user_id: "trial-user".to_owned(),
    };
    let id = format!("{:032x}", fastrand::u128(..));
    let alert = ThresholdAlert { id, kind: AlertKind::Firing, ..ThresholdAlert::of_violation(violation) };
    let notice = ViolationEvent::of(&alert).encode().map_err(|error| Failure::event(error.to_string()))?;
    let sink = config.open(channel, clock)?;
    let limit = delivery::attempt_time(channel);
    let sent = tokio::time::timeout(limit, async {
        let outcomes = sink.send(std::slice::from_ref(&notice)).await?;
        sink.close().await?;
        Ok(outcomes)
    });
    let late = |_| Failure::service(format!("no answer within {limit:?}")).reached(Reach::Unknown);
    match sent.await.map_err(late)??.into_iter().next() {
        Some(Outcome::Failed(failure)) => Err(failure),
        Some(Outcome::Delivered | Outcome::Duplicate) | None => Ok(()),
    }
}
