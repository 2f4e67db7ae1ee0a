//! What an agent meters, as one file says it (TOML):
//!
//! ```toml
//! interval = "30s"                  # and sample_interval, align, state
//! user_id = "ops"                   # for every scope that says nothing else; org_id and labels too
//!
//! [[scope]]
//! scope = "host"
//! interfaces = ["eth*"]             # mounts, devices
//!
//! [[scope]]
//! scope = "cgroup:system.slice/docker-*.scope"
//! instance_id = "{host}-{name}"
//! user_id = "{name}"
//! labels = { tier = "gold" }
//! ```
//!
//! All that is wrong with a file is said at once, each fault with its line and column.

mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::table::{Problems, Table};
use super::metered::{Labels, Owner};
use super::{Asked, CollectError, HostReaders, NamePattern, Scope, ScopeOptions, ScopeSpec, Source};
use crate::limited_read::read_limited_text;

/// The largest configuration that is read: room for tens of thousands of scopes.
const MAX_BYTES: u64 = 16 << 20;
const TOP: &[&str] = &["interval", "sample_interval", "align", "state", "user_id", "org_id", "labels", "scope"];
const SCOPE: &[&str] = &["scope", "instance_id", "user_id", "org_id", "labels", "interfaces", "mounts", "devices"];

/// What a configuration file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectConfig {
    /// `interval`: how long a period is.
    pub interval: Option<Duration>,
    /// `sample_interval`: how often to look in between.
    pub sample_interval: Option<Duration>,
    /// `align`: whether periods end at multiples of the interval.
    pub align: Option<bool>,
    /// `state`: the state file; from the folder of the configuration where it is relative.
    pub state: Option<PathBuf>,
    /// `[[scope]]`: what is metered; one at least.
    pub scopes: Vec<ScopeConfig>,
}

/// One scope, with who is billed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeConfig {
    /// `scope`: what it is.
    pub spec: ScopeSpec,
    /// `instance_id`, `user_id`, `org_id`, `interfaces`, `mounts`, `devices`.
    pub options: ScopeOptions,
    /// `labels`: what its events say beside.
    pub labels: Labels,
}

/// All that is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<String>,
}

impl ConfigError {
    /// One message for each fault, most of them `FILE:LINE:COLUMN: …`.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl ScopeConfig {
    /// A scope as it is read without any options.
    #[must_use]
    pub fn new(spec: ScopeSpec) -> Self {
        Self { spec, options: ScopeOptions::default(), labels: Labels::new() }
    }

    /// What it is called: [`Source::name`]. Instances under other ids belong to a scope of another name.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.options.instance {
            Some(template) => format!("{} as {template}", self.spec),
            None => self.spec.to_string(),
        }
    }

    /// What messages call it: its name, with its place in the configuration file where it is of one.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.options.asked {
            Asked::CommandLine => self.name(),
            Asked::File(place) => format!("{} ({place})", self.name()),
        }
    }

    /// Opens it among others of the agent; `user` is billed where the scope does not say who.
    ///
    /// # Errors
    /// As [`ScopeSpec::open_sharing`] has them, with the place in the configuration file.
    pub fn open(&self, user: &str, readers: &HostReaders) -> Result<Source, CollectError> {
        let owner = Owner { user: user.to_owned(), org: None, labels: Arc::new(self.labels.clone()) };
        let scope = self.spec.open_sharing(&self.options, readers).map_err(|error| self.placed(&error.to_string()))?;
        Ok(Source { name: self.name(), scope, owner })
    }
}

impl ScopeConfig {
    /// A fault of the scope, with its place in the configuration file.
    fn placed(&self, fault: &str) -> CollectError {
        CollectError(match &self.options.asked {
            Asked::CommandLine => fault.to_owned(),
            Asked::File(place) => format!("{place}: {fault}"),
        })
    }
}

/// Scopes that are not there of which each is logged; the others are counted.
const MAX_ABSENT_LOGGED: usize = 20;

/// Logs which scopes have nothing to meter yet: they are metered once there is something. A tenant who is not there must
/// not keep the others from being metered.
///
/// # Errors
/// Where nothing at all is there, so that the names are probably wrong.
pub fn log_absent<'a>(scopes: impl IntoIterator<Item = (&'a ScopeConfig, &'a dyn Scope)>) -> Result<(), CollectError> {
    let (mut absent, mut count, mut any_present) = (Vec::new(), 0_usize, false);
    for (config, scope) in scopes {
        if !scope.is_absent() {
            any_present = true;
            continue;
        }
        count += 1;
        if absent.len() < MAX_ABSENT_LOGGED {
            absent.push((config, scope));
        }
    }
    if !any_present && let Some((config, scope)) = absent.first() {
        return Err(config.placed(&scope.absence()));
    }
    for (config, scope) in &absent {
        let later = if scope.is_over() { "" } else { " yet; it is once it is there" };
        tracing::warn!(scope = config.shown(), "nothing is metered for it{later}: {}", scope.absence());
    }
    if count > absent.len() {
        tracing::warn!(
            scopes = count - absent.len(),
            "further scopes of which nothing is there yet are not logged one by one"
        );
    }
    Ok(())
}

impl CollectConfig {
    /// Reads a file. Blocks on the file system.
    ///
    /// # Errors
    /// When it can't be read; when it is no TOML; a key that there is not, with the nearest that there is; a value that
    /// can't be used; no scope, or one twice.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read_limited_text(path, MAX_BYTES).map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::NotFound => "; check the path",
                std::io::ErrorKind::PermissionDenied => "; check its permissions",
                _ => "",
            };
            ConfigError { problems: vec![format!("can't read the configuration {}: {error}{hint}", path.display())] }
        })?;
        let mut config = Self::parse(&text, &path.display().to_string())?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config.state = config.state.map(|state| folder.join(state));
        Ok(config)
    }

    /// Reads a text; `file` is what messages call it.
    ///
    /// # Errors
    /// As [`CollectConfig::load`] has them.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let problems = Problems::new(file, text);
        let parsed = table::parse(text, &problems);
        let config = parsed.as_ref().map_or_else(Self::default, |parsed| {
            let top = Table::new(parsed, "", TOP, &problems);
            Self::from_table(&top, &problems)
        });
        config.refuse_repeats(&problems);
        let problems = problems.into_inner();
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    fn from_table(top: &Table<'_>, problems: &Problems<'_>) -> Self {
        let who = (top.id("user_id"), top.id("org_id"));
        let labels = top.labels("labels");
        let scopes = top.tables("scope");
        if scopes.is_empty() && !top.has("scope") && !top.has_misspelt("scope") {
            problems.say("nothing is to be metered; add a table: [[scope]] with scope = \"host\"");
        }
        let scope = |table: &toml::Spanned<toml::de::DeValue<'_>>| {
            let table = Table::of_value(table, "[[scope]]", SCOPE, problems)?;
            let spec = table.required::<ScopeSpec>("scope", "host");
            let options = ScopeOptions {
                instance: table.id("instance_id"),
                user: table.id("user_id").or_else(|| who.0.clone()),
                org: table.id("org_id").or_else(|| who.1.clone()),
                interfaces: table.list::<NamePattern>("interfaces"),
                mounts: table.list("mounts"),
                devices: table.list("devices"),
                asked: Asked::File(table.place()),
                ..ScopeOptions::default()
            };
            let mut labels = labels.clone();
            labels.extend(table.labels("labels"));
            Some(ScopeConfig { spec: spec?, options, labels })
        };
        Self {
            interval: top.seconds("interval"),
            sample_interval: top.duration("sample_interval"),
            align: top.flag("align"),
            state: top.text("state"),
            scopes: scopes.into_iter().filter_map(scope).collect(),
        }
    }

    fn refuse_repeats(&self, problems: &Problems<'_>) {
        let mut seen = BTreeMap::new();
        for scope in &self.scopes {
            if seen.insert(scope.name(), ()).is_some() {
                problems.say(&format!("the scope {} stands twice; remove one of them", scope.name()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
