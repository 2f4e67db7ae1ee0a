//! How instances are called.

use std::fmt;
use std::rc::Rc;
use std::str::FromStr;

use super::ScopeOptions;
use super::meter::check_id;
use crate::events::EventId;
use crate::validate::names::nearest;

/// Makes an instance's id from what is known of it: `{name}`, `{path}`, `{parent}`, `{host}`; `{{` and `}}` stand for
/// braces.
///
/// | placeholder | host | cgroup, systemd | pid |
/// | --- | --- | --- | --- |
/// | `{name}` | the host's name | the folder's name; of a container (Docker, Podman, Kubernetes) the first 12 digits of its id | the program's name |
/// | `{path}` | `host` | the path from the root of the hierarchy, without a leading `/` | `pid:N` |
/// | `{parent}` | the host's name | the name of the folder above; the host's name at the top | the host's name |
/// | `{host}` | the host's name | the host's name | the host's name |
///
/// Names may hold any bytes: those that are not UTF-8, and characters that are not shown, stand as `%XX`, as in URLs; `%`
/// itself does so only where two hexadecimal digits follow it. So no two names are spelled alike.
///
/// Without a template a host is called `{host}` and everything else `{host}/{path}`, which no other host has.
///
/// ```
/// use form_usage_events::collect::InstanceTemplate;
///
/// assert!("{host}-{name}".parse::<InstanceTemplate>().is_ok());
/// let error = "{nmae}".parse::<InstanceTemplate>().unwrap_err();
/// assert!(error.to_string().contains("did you mean {name}?"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name,
    Path,
    Parent,
    Host,
}

/// A template that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InstanceTemplateError(String);

/// What a template is filled in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Facts<'a> {
    name: &'a str,
    path: &'a str,
    parent: &'a str,
    host: &'a str,
}

/// What stands in every substitute id and in no other id of a host's instances, whatever they are called: who knows the
/// path of somebody's group could compute its digest and call a group so.
const DIGEST_MARK: &str = "/digest:";
/// Characters of an id that can't be used that messages show.
const SHOWN: usize = 64;

const NAMES: [&str; 4] = ["name", "path", "parent", "host"];

impl InstanceTemplate {
    /// Whether all instances would have the same id.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(_) | Part::Host))
    }

    /// The text, where it says the same of all instances of all hosts.
    pub(super) fn fixed(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The id of what `facts` describe.
    fn fill(&self, facts: &Facts<'_>) -> String {
        let mut id = String::new();
        for part in &self.parts {
            id.push_str(match part {
                Part::Text(text) => text,
                Part::Name => facts.name,
                Part::Path => facts.path,
                Part::Parent => facts.parent,
                Part::Host => facts.host,
            });
        }
        id
    }
}

/// How the instances of a scope are called, and who is billed for them.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    instance: Option<InstanceTemplate>,
    user: Option<InstanceTemplate>,
    org: Option<InstanceTemplate>,
    host: Rc<str>,
}

/// The names of one instance, each of which an event may carry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) instance: String,
    pub(super) user: Option<String>,
    pub(super) org: Option<String>,
    /// What an event may not carry and another id stands for: that one, and why.
    pub(super) replaced: Vec<String>,
}

impl Naming {
    /// `host` is the host's name.
    pub(super) fn new(options: &ScopeOptions, host: Rc<str>) -> Self {
        Self { instance: options.instance.clone(), user: options.user.clone(), org: options.org.clone(), host }
    }

    pub(super) fn of_host(&self) -> Names {
        self.fill(None, &Facts { name: &self.host, path: "host", parent: &self.host, host: &self.host })
    }

    /// Of an instance on the host, which is none elsewhere; without a `parent` or a `name` of its own it has the host's.
    #[cfg(any(test, target_os = "linux"))]
    pub(super) fn of(&self, name: Option<&str>, path: &str, parent: Option<&str>) -> Names {
        let host = &*self.host;
        let facts = Facts { name: name.unwrap_or(host), path, parent: parent.unwrap_or(host), host };
        self.fill(Some(path), &facts)
    }

    fn fill(&self, path: Option<&str>, facts: &Facts<'_>) -> Names {
        let own = || path.map_or_else(|| self.host.to_string(), |path| format!("{}/{path}", self.host));
        let filled = |template: &Option<InstanceTemplate>| template.as_ref().map(|template| template.fill(facts));
        let mut replaced = Vec::new();
        let check = |id: &str| match check_id(id) {
            Ok(()) if id.contains(DIGEST_MARK) => Err("ids with a digest stand for others".to_owned()),
            result => result,
        };
        let mut usable = |which: &str, id: String, of: Option<&str>| match check(&id) {
            // How the host is called is for its operator to say.
            Err(why) if path.is_some() => {
                let other = self.digest(of.unwrap_or(&id));
                let start: String = id.chars().take(SHOWN).collect();
                replaced.push(format!("{which} {other:?} stands for {start:?}, which can't be used: {why}"));
                other
            }
            _ => id,
        };
        let instance = usable("the instance id", filled(&self.instance).unwrap_or_else(own), path);
        let user = filled(&self.user).map(|id| usable("the user id", id, None));
        let org = filled(&self.org).map(|id| usable("the organization id", id, None));
        Names { instance, user, org, replaced }
    }

    /// The id of what has the path `path`, where its own can't be used: the host and a digest of the path, so that it is
    /// the same whenever it is made, no other host has it, and nothing on this host can be called so.
    pub(super) fn digest(&self, path: &str) -> String {
        format!("{}{DIGEST_MARK}{}", self.host, EventId::of(path.as_bytes()))
    }
}

impl FromStr for InstanceTemplate {
    type Err = InstanceTemplateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, tail) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = tail.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = tail.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let inner = tail.strip_prefix('{').and_then(|tail| tail.split_once('}'));
                let (name, after) = inner.ok_or_else(|| {
                    InstanceTemplateError(format!(
                        "{text:?} has a brace without its counterpart; write {{{{ or }}}} for the letter itself"
                    ))
                })?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(placeholder(name)?);
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

fn placeholder(name: &str) -> Result<Part, InstanceTemplateError> {
    Ok(match name {
        "name" => Part::Name,
        "path" => Part::Path,
        "parent" => Part::Parent,
        "host" => Part::Host,
        other => {
            let meant = nearest(other, NAMES).map_or(".".to_owned(), |name| format!("; did you mean {{{name}}}?"));
            let known = NAMES.map(|name| format!("{{{name}}}")).join(", ");
            return Err(InstanceTemplateError(format!("{{{other}}} stands for nothing{meant} There are {known}")));
        }
    })
}

impl fmt::Display for InstanceTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts<'_> = Facts { name: "web", path: "a.slice/web", parent: "a.slice", host: "node1" };

    #[test]
    fn placeholders_are_filled_in() {
        for (text, expected) in [
            ("{name}", "web"),
            ("{host}:{path}", "node1:a.slice/web"),
            ("{parent}-{{x}}", "a.slice-{x}"),
            ("web-1", "web-1"),
            ("", ""),
        ] {
            let template: InstanceTemplate = text.parse().unwrap();
            assert_eq!((template.fill(&FACTS).as_str(), template.to_string().as_str()), (expected, text));
        }
    }

    #[test]
    fn without_a_template_no_other_host_has_the_name() {
        let options = ScopeOptions { user: Some("{parent}".parse().unwrap()), ..ScopeOptions::default() };
        let naming = Naming::new(&options, "node1".into());
        let names = naming.of(Some("web"), "a.slice/web", Some("a.slice"));
        assert_eq!((names.instance.as_str(), names.user.as_deref()), ("node1/a.slice/web", Some("a.slice")));
        assert_eq!(
            naming.of_host(),
            Names { instance: "node1".into(), user: Some("node1".into()), ..Names::default() }
        );
    }

    #[test]
    fn an_id_that_no_event_may_carry_has_a_stable_one_in_its_place() {
        let options = ScopeOptions { user: Some("{parent}".parse().unwrap()), ..ScopeOptions::default() };
        let naming = Naming::new(&options, "node1".into());
        let long = "x".repeat(255);
        let names = naming.of(Some(&long), &format!("a/{long}"), Some(&"y".repeat(300)));
        assert_eq!(names.instance, naming.digest(&format!("a/{long}")));
        assert!(names.instance.starts_with("node1/digest:") && names.instance.len() == 45, "{}", names.instance);
        assert_eq!(names.user.unwrap(), naming.digest(&"y".repeat(300)));
        assert!(
            names.replaced[0].contains(&names.instance) && names.replaced[0].contains("263 bytes"),
            "{:?}",
            names.replaced
        );
        assert_eq!(names.replaced.len(), 2);
    }

    #[test]
    fn nobody_is_called_as_the_substitute_of_another() {
        let template = |text: &str| Some(text.parse().unwrap());
        let options = ScopeOptions {
            instance: template("{host}/{name}"),
            user: template("{host}/{parent}"),
            ..ScopeOptions::default()
        };
        let naming = Naming::new(&options, "node1".into());
        let taken = naming.digest("V/web");
        let name = taken.strip_prefix("node1/").unwrap();
        for name in [name.to_owned(), format!("{name}+0-short-lived")] {
            let names = naming.of(Some(&name), &format!("T/{name}"), Some(&name));
            assert_eq!(names.instance, naming.digest(&format!("T/{name}")), "its own, and not that of V/web");
            assert_ne!(names.user.unwrap(), format!("node1/{name}"));
            assert_eq!(names.replaced.len(), 2);
        }
    }

    #[test]
    fn faults_are_named_with_the_right_names() {
        for (text, expected) in [
            ("{nmae}", "{nmae} stands for nothing; did you mean {name}? There are {name}, {path}, {parent}, {host}"),
            ("{container}", "{container} stands for nothing. There are {name}"),
            ("{name", "a brace without its counterpart"),
            ("name}", "a brace without its counterpart"),
        ] {
            let error = text.parse::<InstanceTemplate>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
