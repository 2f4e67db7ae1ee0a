//! Reads the configuration again while metering goes on.
//!
//! A large configuration takes seconds to read, and each of its scopes is opened by listing control groups. So the file is
//! read on another thread, and scopes are opened a few at a time, between samples.

use std::collections::HashMap;
use std::time::Duration;

use form_usage_events::clock::Clock;
use form_usage_events::collect::{
    Agent, HostReaders, Plan, Scope, ScopeConfig, ScopeId, ScopeSpec, log_absent, refuse_overlaps,
};
use tokio::task::JoinHandle;

use super::settings::Settings;
use crate::cli::CollectArgs;

/// How long scopes are opened before a sample that is due has its turn.
const TURN: Duration = Duration::from_millis(20);

/// How far reading the configuration again has come.
#[derive(Debug, Default)]
pub(super) enum Reload {
    /// Nobody asked for it.
    #[default]
    Idle,
    /// The file is read.
    Reading(JoinHandle<anyhow::Result<Settings>>),
    /// Scopes are opened.
    Opening(Box<Opening>),
    /// It can be taken over.
    Ready(Box<(Settings, Vec<Plan>)>),
}

/// Settings of which some scopes are open.
#[derive(Debug)]
pub(super) struct Opening {
    wanted: Settings,
    plan: Vec<Plan>,
    /// The scopes that there are, by what they meter.
    known: HashMap<ScopeSpec, Vec<(ScopeId, ScopeConfig)>>,
}

impl Reload {
    /// Begins; what was under way is dropped, since the file may have changed since.
    pub(super) fn start(&mut self, args: &CollectArgs) {
        let args = args.clone();
        *self = Self::Reading(tokio::task::spawn_blocking(move || Settings::read(&args)));
    }

    /// Waits until the file is read; for ever where none is being read.
    pub(super) async fn reading(&mut self) -> anyhow::Result<Settings> {
        let Self::Reading(reading) = self else { return std::future::pending().await };
        let settings = reading.await;
        *self = Self::Idle;
        settings?
    }

    /// Goes on with what was read; `scopes` are those that there are. A fault leaves everything as it is.
    pub(super) fn open(
        &mut self,
        settings: anyhow::Result<Settings>,
        scopes: &[(ScopeId, ScopeConfig)],
        readers: &HostReaders,
    ) {
        readers.forget_facts();
        *self = match settings {
            Ok(wanted) => {
                let mut known: HashMap<ScopeSpec, Vec<(ScopeId, ScopeConfig)>> = HashMap::new();
                for (id, scope) in scopes {
                    known.entry(scope.spec.clone()).or_default().push((*id, scope.clone()));
                }
                Self::Opening(Box::new(Opening { wanted, plan: Vec::new(), known }))
            }
            Err(error) => refused(&error),
        };
    }

    /// Whether there are scopes to open.
    pub(super) const fn is_opening(&self) -> bool {
        matches!(self, Self::Opening(_))
    }

    /// Whether it can be taken over.
    pub(super) const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready(_))
    }

    /// Opens scopes for a moment.
    pub(super) fn open_some(&mut self, agent: &Agent, clock: &dyn Clock, readers: &HostReaders) {
        let Self::Opening(mut opening) = std::mem::take(self) else { return };
        let until = clock.monotonic().saturating_add(TURN);
        while let Some(scope) = opening.wanted.scopes.get(opening.plan.len()) {
            if clock.monotonic() >= until {
                *self = Self::Opening(opening);
                return;
            }
            let known = opening.known.get(&scope.spec).and_then(|same| same.iter().find(|(_, known)| known == scope));
            let step = match known {
                Some((id, _)) => Ok(Plan::Keep(*id)),
                None => scope.open(&opening.wanted.user, readers).map(Plan::Open),
            };
            match step {
                Ok(step) => opening.plan.push(step),
                Err(error) => {
                    *self = refused(&error.into());
                    return;
                }
            }
        }
        *self = opening.finish(agent);
    }

    /// The settings with their scopes, where they can be taken over.
    pub(super) fn take(&mut self) -> Option<(Settings, Vec<Plan>)> {
        match std::mem::take(self) {
            Self::Ready(ready) => Some(*ready),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Opening {
    fn finish(self, agent: &Agent) -> Reload {
        let Self { wanted, plan, .. } = self;
        let kept: HashMap<ScopeId, &dyn Scope> = agent.scopes().map(|(id, scope, _)| (id, scope)).collect();
        let scopes = wanted.scopes.iter().zip(&plan).filter_map(|(scope, step)| match step {
            Plan::Open(source) => Some((scope, &*source.scope)),
            Plan::Keep(id) => kept.get(id).map(|it| (scope, *it)),
        });
        match refuse_overlaps(scopes.clone()).and_then(|()| log_absent(scopes)) {
            Ok(()) => Reload::Ready(Box::new((wanted, plan))),
            Err(error) => refused(&error.into()),
        }
    }
}

fn refused(error: &anyhow::Error) -> Reload {
    tracing::error!("the configuration was not taken over, and the old one stays in force: {error:#}");
    Reload::Idle
}
