//! What to meter, from the command line and the configuration file.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use form_usage_events::collect::{CollectConfig, InstanceTemplate, Periods, ScopeConfig, ScopeSpec, host};

use crate::cli::CollectArgs;
use crate::state_dir::state_dir;

/// How long a period is unless asked otherwise.
const INTERVAL: Duration = Duration::from_secs(30);
/// How often to look unless asked otherwise, at most an interval.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
/// The same while somebody watches.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// The state's file in the state directory.
const STATE: &str = "collect.state";

/// The command line's words and the file's, as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) scopes: Vec<ScopeConfig>,
    pub(crate) periods: Periods,
    /// Who is billed where nothing says who.
    pub(crate) user: String,
    pub(crate) state: Option<PathBuf>,
}

impl Settings {
    /// Reads the configuration file, where there is one. What the command line says goes before what the file says of
    /// the whole, and after what it says of a scope.
    pub(crate) fn read(args: &CollectArgs) -> anyhow::Result<Self> {
        let (config, scopes) = match &args.config {
            Some(path) => {
                let mut config = CollectConfig::load(path)?;
                let scopes = std::mem::take(&mut config.scopes);
                (config, scopes)
            }
            None => (CollectConfig::default(), of_command_line(args)),
        };
        let scopes: Vec<ScopeConfig> = scopes.into_iter().map(|scope| with_defaults(scope, args)).collect();
        let user = match host::user_name() {
            Some(user) => user,
            None if scopes.iter().all(|scope| scope.options.user.is_some()) => String::new(),
            None => anyhow::bail!("the login name is not known; say who is billed with --user-id"),
        };
        let interval = args.interval.or(config.interval).unwrap_or(INTERVAL);
        let looks = if args.watch { WATCH_INTERVAL } else { SAMPLE_INTERVAL };
        let sample_interval = args.sample_interval.or(config.sample_interval).unwrap_or(looks);
        let align = if args.align || args.no_align { !args.no_align } else { config.align.unwrap_or(true) };
        Ok(Self {
            scopes,
            periods: Periods { interval, align, sample_interval: sample_interval.min(interval) },
            user,
            state: state(args, config.state)?,
        })
    }
}

fn of_command_line(args: &CollectArgs) -> Vec<ScopeConfig> {
    let asked = if args.scopes.is_empty() { &[ScopeSpec::Host][..] } else { &args.scopes };
    let mut scopes: Vec<ScopeConfig> = Vec::new();
    for spec in asked {
        let mut scope = ScopeConfig::new(spec.clone());
        scope.options.instance.clone_from(&args.instance_id);
        // Said twice is meant once.
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    scopes
}

fn with_defaults(mut scope: ScopeConfig, args: &CollectArgs) -> ScopeConfig {
    let or = |own: &mut Option<InstanceTemplate>, other: &Option<InstanceTemplate>| {
        if own.is_none() {
            own.clone_from(other);
        }
    };
    let options = &mut scope.options;
    or(&mut options.user, &args.user_id);
    or(&mut options.org, &args.org_id);
    for (own, other) in [
        (&mut options.interfaces, &args.interfaces),
        (&mut options.mounts, &args.mounts),
        (&mut options.devices, &args.devices),
    ] {
        if own.is_empty() {
            own.clone_from(other);
        }
    }
    scope
}

fn state(args: &CollectArgs, configured: Option<PathBuf>) -> anyhow::Result<Option<PathBuf>> {
    if args.no_state {
        return Ok(None);
    }
    let place = args.state.clone().or(configured).or_else(|| Some(state_dir()?.join(STATE)));
    let place = place.context(
        "no place for the state: neither $HOME nor a state directory is set; name it with --state, or do without by --no-state",
    )?;
    Ok(Some(place))
}
