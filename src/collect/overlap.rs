//! What is metered twice: by two scopes, or in a control group and in one below it. Pure.
//!
//! The same group, or the same process, under two scopes that both name it would be billed twice and is refused. Where a
//! pattern has it, whoever may make a group could have a start refused; so one scope is metered for it, at the start the
//! first, and that is said. A group and one below it may both be meant, a team's slice and its services: that is said,
//! since the figures of the one contain the other's. The host contains all there is, and nothing is said of that.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

#[cfg(feature = "collect")]
use super::{CollectError, Scope, ScopeConfig};

/// What of the machine an instance is, whatever it is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// Not known; it is held against nothing.
    #[default]
    Unknown,
    /// The machine as a whole.
    Host,
    /// A control group, by its path from the root of the hierarchy; that of the root is empty.
    Group(Arc<str>),
    /// A process with its children.
    Process {
        /// Its number.
        number: u32,
        /// When it started, in clock ticks since the boot.
        start: u64,
        /// The control group that it was in when it was first looked at.
        group: Option<Arc<str>>,
    },
}

impl Place {
    /// Whether both are the same thing, so that its use would be counted twice.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Group(one), Self::Group(other)) => one == other,
            (Self::Process { number, start, .. }, Self::Process { number: other, start: began, .. }) => {
                (number, start) == (other, began)
            }
            (Self::Host, Self::Host) => true,
            _ => false,
        }
    }

    /// Whether one of the two contains the other, so that the figures of the one are in those of the other.
    pub(super) fn is_nested_with(&self, other: &Self) -> bool {
        let contains = |outer: &Self, inner: &Self| match outer {
            Self::Host => true,
            Self::Group(path) => inner.above().any(|above| above == &**path),
            _ => false,
        };
        contains(self, other) || contains(other, self)
    }

    /// The groups that contain it, the nearest first.
    fn above(&self) -> impl Iterator<Item = &str> {
        let (own, group) = match self {
            Self::Group(path) => (None, Some(&**path)),
            Self::Process { group, .. } => (group.as_deref(), group.as_deref()),
            Self::Unknown | Self::Host => (None, None),
        };
        own.into_iter().chain(std::iter::successors(group, |path| parent(path)).skip(1))
    }
}

/// The path of the group above; the root has none.
fn parent(path: &str) -> Option<&str> {
    (!path.is_empty()).then(|| path.rsplit_once('/').map_or("", |(above, _)| above))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("an instance"),
            Self::Host => f.write_str("the host"),
            Self::Group(path) if path.is_empty() => f.write_str("the root of the control groups"),
            Self::Group(path) => write!(f, "the control group {path}"),
            Self::Process { number, .. } => write!(f, "the process {number}"),
        }
    }
}

/// The group that a process is in, and the instance that it is.
type Inside = (Option<Arc<str>>, String);

/// Which places are metered, each by an instance.
#[derive(Debug, Default)]
pub(super) struct Places {
    groups: BTreeMap<Arc<str>, String>,
    /// By number and start.
    processes: BTreeMap<(u32, u64), Inside>,
    hosts: Vec<String>,
}

impl Places {
    /// The instance that has the place.
    pub(super) fn holder(&self, place: &Place) -> Option<&str> {
        match place {
            Place::Group(path) => self.groups.get(path).map(String::as_str),
            Place::Process { number, start, .. } => {
                self.processes.get(&(*number, *start)).map(|(_, instance)| instance.as_str())
            }
            Place::Unknown | Place::Host => None,
        }
    }

    /// Instances whose place contains this one; of the host, another one that is the host.
    pub(super) fn around<'p>(&'p self, place: &'p Place) -> impl Iterator<Item = &'p str> {
        let hosts = self.hosts.iter().filter(|_| *place == Place::Host).take(1);
        place.above().filter_map(|path| self.groups.get(path)).chain(hosts).map(String::as_str)
    }

    /// Instances whose place is in this one.
    pub(super) fn within<'p>(&'p self, place: &'p Place) -> impl Iterator<Item = &'p str> {
        let path = if let Place::Group(path) = place { Some(path) } else { None };
        path.into_iter().flat_map(|path| {
            let below = if path.is_empty() { String::new() } else { format!("{path}/") };
            let from = (Bound::Included(Arc::from(below.as_str())), Bound::Unbounded);
            let under = self.groups.range::<Arc<str>, _>(from).take_while(move |(other, _)| other.starts_with(&below));
            let groups = under.filter(move |(other, _)| *other != path).map(|(_, instance)| instance.as_str());
            let inside = self.processes.values().filter(move |(group, _)| {
                group
                    .as_deref()
                    .and_then(|group| group.strip_prefix(&**path))
                    .is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'))
            });
            groups.chain(inside.map(|(_, instance)| instance.as_str()))
        })
    }

    pub(super) fn take(&mut self, place: &Place, instance: &str) {
        match place {
            Place::Group(path) => {
                self.groups.insert(Arc::clone(path), instance.to_owned());
            }
            Place::Process { number, start, group } => {
                self.processes.insert((*number, *start), (group.clone(), instance.to_owned()));
            }
            Place::Host => self.hosts.push(instance.to_owned()),
            Place::Unknown => {}
        }
    }

    pub(super) fn leave(&mut self, place: &Place, instance: &str) {
        match place {
            Place::Group(path) => {
                self.groups.remove(path);
            }
            Place::Process { number, start, .. } => {
                self.processes.remove(&(*number, *start));
            }
            Place::Host => self.hosts.retain(|other| other != instance),
            Place::Unknown => {}
        }
    }
}

/// Refuses scopes that meter the same, or different things under one id, as of opening or the last looks at them. What
/// two scopes have through a [pattern](Scope::is_pattern) is left to the [`Agent`](super::Agent), which meters it once.
///
/// # Errors
/// Names the first of what is metered twice, with both scopes and what to do.
#[cfg(feature = "collect")]
pub fn refuse_overlaps<'a>(
    scopes: impl IntoIterator<Item = (&'a ScopeConfig, &'a dyn Scope)>,
) -> Result<(), CollectError> {
    let (mut places, mut known) = (Places::default(), BTreeMap::<String, (Arc<str>, bool)>::new());
    for (config, scope) in scopes {
        let instances = scope.instances();
        if instances.is_empty() {
            continue;
        }
        let (name, is_pattern): (Arc<str>, _) = (config.shown().into(), scope.is_pattern());
        for (instance, place) in instances {
            let holder = places.holder(&place).and_then(|holder| Some((holder, known.get(holder)?)));
            if let Some((other, (by, by_pattern))) = holder {
                if is_pattern || *by_pattern {
                    continue;
                }
                return Err(CollectError(twice(&place, (other, by), (&instance, &name))));
            }
            if let Some((other, by_pattern)) = known.get(&instance) {
                // Whoever may make a group chooses its name: one of them gets another id.
                if is_pattern || *by_pattern {
                    continue;
                }
                let fix = config.options.asked.instance_id("{host}/{path}");
                return Err(CollectError(clash(&instance, other, &name, &fix)));
            }
            places.take(&place, &instance);
            known.insert(instance, (Arc::clone(&name), is_pattern));
        }
    }
    Ok(())
}

/// What to say of a place that two scopes meter; each with the instance and the scope.
pub(super) fn twice(place: &Place, first: (&str, &str), second: (&str, &str)) -> String {
    format!(
        "{place} would be billed twice: as {:?} by the scope {} and as {:?} by the scope {}; remove one of the scopes, or \
         let their patterns match different groups",
        first.0, first.1, second.0, second.1
    )
}

/// What to say of a place in another one; each with the instance and the scope.
pub(super) fn contained(place: &Place, inner: (&str, &str), outer: (&str, &str)) -> String {
    let (inside, around) =
        (format!("{:?} of the scope {}", inner.0, inner.1), format!("{:?} of the scope {}", outer.0, outer.1));
    let what = if *place == Place::Host {
        format!("the host is metered as {inside} and as {around}: the figures of each contain the other's")
    } else {
        format!("{place}, metered as {inside}, is within what is metered as {around}, whose figures contain its own")
    };
    format!("{what}; bill one of them, or leave one out")
}

/// What to say of two scopes with one id; `fix` says how to give others.
pub(super) fn clash(instance: &str, first: &str, second: &str, fix: &str) -> String {
    format!("the scopes {first} and {second} both have an instance called {instance:?}; tell them apart with {fix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(path: &str) -> Place {
        Place::Group(path.into())
    }

    fn process(number: u32, group: &str) -> Place {
        Place::Process { number, start: 7, group: Some(group.into()) }
    }

    #[test]
    fn what_contains_what_is_known_by_paths() {
        let mut places = Places::default();
        for path in ["", "a", "a/b", "a/b/c", "a-b", "ab"] {
            places.take(&group(path), path);
        }
        places.take(&process(5, "a/b"), "5");
        let around = |place: Place| places.around(&place).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(around(group("a/b/c/d")), ["a/b/c", "a/b", "a", ""]);
        assert_eq!(around(group("a")), [""]);
        assert_eq!(around(group("")), [""; 0]);
        assert_eq!(around(process(9, "ab/x")), ["ab", ""]);
        assert_eq!(around(process(9, "ab")), ["ab", ""], "the group that it is in contains it");
        let within = |path: &str| places.within(&group(path)).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(within("a"), ["a/b", "a/b/c", "5"]);
        assert_eq!(within("ab"), [""; 0]);
        assert_eq!(within("").len(), 6);
        assert_eq!(places.holder(&process(5, "elsewhere")), Some("5"), "a process may move");
        places.leave(&group("a/b"), "a/b");
        assert_eq!((places.holder(&group("a/b")), places.holder(&group("a"))), (None, Some("a")));
    }
}
