//! What to meter, as people write it: `host`, `cgroup:PATH`, `pid:N`, `systemd:UNIT`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::host;
use super::pattern::NamePattern;
use super::template::InstanceTemplate;
use super::{CollectError, Scope};
use crate::validate::names::nearest;

/// What to meter.
///
/// ```
/// use form_usage_events::collect::ScopeSpec;
///
/// let spec: ScopeSpec = "cgroup:system.slice/*.service".parse().unwrap();
/// assert_eq!(spec, ScopeSpec::Cgroup("system.slice/*.service".into()));
/// assert_eq!(spec.to_string(), "cgroup:system.slice/*.service");
/// let error = "cgruop:system.slice".parse::<ScopeSpec>().unwrap_err();
/// assert!(error.to_string().contains("did you mean cgroup:system.slice?"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScopeSpec {
    /// This machine as a whole.
    Host,
    /// A control group (version 2), or all that a pattern names: `*`, `?` and `[…]` within a level, `**` for any number
    /// of levels. From the root of the hierarchy, or as a path where that is mounted.
    Cgroup(String),
    /// A process with its children, also those that have ended.
    Process(u32),
    /// The control group of a systemd unit; `.service` where it has no suffix.
    Unit(String),
}

/// A text that names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScopeSpecError(String);

const KINDS: [&str; 4] = ["host", "cgroup", "pid", "systemd"];
const FORMS: &str = "write host, cgroup:PATH, pid:N or systemd:UNIT";

impl FromStr for ScopeSpec {
    type Err = ScopeSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = text.split_once(':').map_or((text, None), |(kind, rest)| (kind, Some(rest)));
        let value = |example: &str| match rest {
            Some(rest) if !rest.is_empty() => Ok(rest),
            _ => Err(ScopeSpecError(format!("{text:?} does not say which one: write {example}"))),
        };
        match kind {
            "host" if rest.is_none() => Ok(Self::Host),
            "host" => Err(ScopeSpecError(format!("{text:?}: there is one host only: write host"))),
            "cgroup" => Ok(Self::Cgroup(value("cgroup:system.slice/nginx.service")?.to_owned())),
            "pid" => match value("pid:1234")?.parse() {
                Ok(number) if number > 0 => Ok(Self::Process(number)),
                _ => Err(ScopeSpecError(format!("{text:?}: a process has a number: write pid:1234"))),
            },
            "systemd" => Ok(Self::Unit(value("systemd:nginx.service")?.to_owned())),
            other => Err(ScopeSpecError(match (nearest(other, KINDS), rest) {
                (Some(kind), Some(rest)) => format!("{text:?} is no scope; did you mean {kind}:{rest}?"),
                (Some(kind), None) => format!("{text:?} is no scope; did you mean {kind}?"),
                (None, _) => format!("{text:?} is no scope; {FORMS}"),
            })),
        }
    }
}

impl fmt::Display for ScopeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Cgroup(path) => write!(f, "cgroup:{path}"),
            Self::Process(number) => write!(f, "pid:{number}"),
            Self::Unit(unit) => write!(f, "systemd:{unit}"),
        }
    }
}

/// What the scopes of one agent share: watches and readers of control groups. Clones are of the same.
#[derive(Debug, Clone, Default)]
pub struct HostReaders {
    #[cfg(target_os = "linux")]
    groups: std::rc::Rc<std::cell::RefCell<super::cgroup::GroupHosts>>,
}

impl HostReaders {
    /// Has the facts of the host, such as where control groups are mounted, read again for scopes that are opened from here
    /// on.
    pub fn forget_facts(&self) {
        #[cfg(target_os = "linux")]
        self.groups.borrow_mut().forget_facts();
    }
}

/// Where a scope was asked for, for messages. It is no part of what a scope is: all are equal, so that a scope that only
/// moved within its file is the same.
#[derive(Debug, Clone, Default)]
pub enum Asked {
    /// By options.
    #[default]
    CommandLine,
    /// At a place of a configuration file: `FILE:LINE:COLUMN`.
    File(String),
}

impl PartialEq for Asked {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Asked {}

impl Asked {
    /// How to say there that instances are called so.
    pub(super) fn instance_id(&self, template: &str) -> String {
        match self {
            Self::CommandLine => format!("--instance-id '{template}'"),
            Self::File(place) => format!("instance_id = {template:?} in the scope at {place}"),
        }
    }
}

/// How a scope is read. The default reads this machine, and counts what [`host`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeOptions {
    /// Where `/proc` and `/sys` stand: `/`, unless a test has its own.
    pub root: PathBuf,
    /// How instances are called; see [`InstanceTemplate`] for what they are called without.
    pub instance: Option<InstanceTemplate>,
    /// Who is billed for an instance, where that follows from its name: [`Observed::user`](super::Observed::user).
    pub user: Option<InstanceTemplate>,
    /// The organization of who is billed, likewise.
    pub org: Option<InstanceTemplate>,
    /// The interfaces that count, by name; the uplinks where empty.
    pub interfaces: Vec<NamePattern>,
    /// The file systems that count for the host, by the path where they are mounted.
    pub mounts: Vec<NamePattern>,
    /// The file systems that count for the host, by their device. Where this and `mounts` are empty, those on local
    /// devices.
    pub devices: Vec<NamePattern>,
    /// Where it was asked for.
    pub asked: Asked,
}

impl Default for ScopeOptions {
    fn default() -> Self {
        Self {
            root: "/".into(),
            instance: None,
            user: None,
            org: None,
            interfaces: vec![],
            mounts: vec![],
            devices: vec![],
            asked: Asked::default(),
        }
    }
}

impl ScopeSpec {
    /// Opens what is to be metered, and takes a look at it.
    ///
    /// # Errors
    /// When it is not there, may not be read, or can't be metered on this system; when a pattern names nothing yet. The
    /// message says what to do.
    pub fn open(&self, options: &ScopeOptions) -> Result<Box<dyn Scope>, CollectError> {
        let scope = self.open_sharing(options, &HostReaders::default())?;
        if scope.is_absent() { Err(CollectError(scope.absence())) } else { Ok(scope) }
    }

    /// The same for a scope of an agent with many: what they have in common is had once, and control groups that are not
    /// there yet, or may not be read, are waited for ([`Scope::is_absent`]). A process that is not there never will be.
    ///
    /// # Errors
    /// As [`ScopeSpec::open`] has them, but for what is not there.
    #[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
    pub fn open_sharing(&self, options: &ScopeOptions, readers: &HostReaders) -> Result<Box<dyn Scope>, CollectError> {
        #[cfg(target_os = "linux")]
        let mut groups = readers.groups.borrow_mut();
        match self {
            Self::Host => host::open(options),
            #[cfg(target_os = "linux")]
            Self::Cgroup(path) => Ok(Box::new(super::cgroup::Cgroups::open(path, options, &mut groups)?)),
            #[cfg(target_os = "linux")]
            Self::Unit(unit) => Ok(Box::new(super::cgroup::Cgroups::open_unit(unit, options, &mut groups)?)),
            #[cfg(target_os = "linux")]
            Self::Process(number) => match super::process::ProcessTree::open(*number, options) {
                Ok(tree) => Ok(Box::new(tree)),
                Err(error) => Ok(Box::new(AbsentProcess(error))),
            },
            #[cfg(not(target_os = "linux"))]
            Self::Cgroup(_) | Self::Unit(_) | Self::Process(_) => Err(CollectError(format!(
                "can't meter {self}: there are no control groups and no /proc on this system; meter the host"
            ))),
        }
    }
}

/// A process that is not there, which keeps no other scope from being metered.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct AbsentProcess(CollectError);

#[cfg(target_os = "linux")]
impl Scope for AbsentProcess {
    fn read(&mut self, _at: crate::clock::Monotonic) -> Result<Vec<super::Observed>, CollectError> {
        Ok(Vec::new())
    }

    /// Its number may be another one's by the time that it is looked for again.
    fn is_over(&self) -> bool {
        true
    }

    fn is_absent(&self) -> bool {
        true
    }

    fn absence(&self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_as_they_are_read() {
        for text in ["host", "cgroup:/sys/fs/cgroup/a b", "cgroup:a/**/x:y", "pid:1", "systemd:foo@1.service"] {
            assert_eq!(text.parse::<ScopeSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_scope_is_told_with_what_was_meant() {
        for (text, expected) in [
            ("hots", "did you mean host?"),
            ("cgruop:/a", "did you mean cgroup:/a?"),
            ("PID:7", "did you mean pid:7?"),
            ("docker:web", "write host, cgroup:PATH, pid:N or systemd:UNIT"),
            ("", "write host, cgroup:PATH"),
            ("host:x", "write host"),
            ("cgroup:", "write cgroup:system.slice/nginx.service"),
            ("cgroup", "write cgroup:system.slice/nginx.service"),
            ("pid:", "write pid:1234"),
            ("pid:nginx", "a process has a number"),
            ("pid:0", "a process has a number"),
            ("pid:-1", "a process has a number"),
            ("systemd:", "write systemd:nginx.service"),
        ] {
            let error = text.parse::<ScopeSpec>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
