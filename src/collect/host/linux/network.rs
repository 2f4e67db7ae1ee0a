//! Which interfaces count, and what passed them.
//!
//! Traffic counts once, where it leaves or enters the host: at the interfaces that have a device. What runs over them
//! (bridges, bonds, VLANs, tunnels, the ends of containers' cables) would count it again. A host without any such
//! interface is a container itself: there everything counts but loopback, bridges, and what is plugged into one.
//!
//! An interface is told by its number, since it may be renamed, and trade its name with another one. The numbers are asked for
//! where names came or went, and where a counter went back.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::collect::kernel_file::read_text_once;
use crate::collect::net_dev::interfaces;
use crate::collect::spelling::spelled;
use crate::collect::{CollectError, NamePattern, Traffic};

/// What an interface is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It has a device: the wire.
    Device,
    /// It may be the way out, where there is no device.
    Virtual,
    /// It never counts.
    Inner,
}

/// An interface.
#[derive(Debug)]
struct Known {
    kind: Kind,
    /// Of those that may count, where it can be told.
    number: Option<u32>,
    /// What its counters are called: the name that it had first.
    key: String,
    last: Traffic,
}

/// Names of counters that are remembered by the numbers of interfaces.
const MAX_KEYS: usize = 1024;

/// Knows which interfaces are uplinks.
#[derive(Debug)]
pub(super) struct Uplinks {
    folder: PathBuf,
    /// Counted instead, where there are any.
    asked: Vec<NamePattern>,
    /// Looked up once for each name; forgotten when the interface goes.
    known: HashMap<Vec<u8>, Known>,
    /// What the counters of an interface are called, by its number.
    keys: BTreeMap<u32, String>,
}

impl Uplinks {
    /// `folder` is `/sys/class/net`.
    pub(super) fn new(folder: PathBuf, asked: &[NamePattern]) -> Self {
        Self { folder, asked: asked.to_vec(), known: HashMap::new(), keys: BTreeMap::new() }
    }

    /// Refuses what was asked for and is not there.
    pub(super) fn check(&self, text: &[u8]) -> Result<(), CollectError> {
        let all = interfaces(text).map_err(|error| CollectError(format!("can't meter the network: {error}")))?;
        let names: Vec<Cow<'_, str>> = all.map(|(name, _)| spelled(name)).collect();
        match self.asked.iter().find(|pattern| !names.iter().any(|name| pattern.matches(name))) {
            None => Ok(()),
            Some(pattern) => {
                Err(CollectError(format!("there is no network interface {pattern}; there are {}", names.join(", "))))
            }
        }
    }

    /// The uplinks' counters in the text of `/proc/net/dev`.
    pub(super) fn traffic(&mut self, text: &[u8]) -> io::Result<BTreeMap<String, Traffic>> {
        let all: Vec<(&[u8], Traffic)> = interfaces(text)?.collect();
        if self.is_changed(&all) {
            self.known.clear();
        }
        self.known.retain(|known, _| all.iter().any(|(name, _)| *name == known.as_slice()));
        for (name, now) in &all {
            match self.known.get_mut(*name) {
                Some(known) => known.last = *now,
                None => {
                    let known = self.look_up(name, *now);
                    self.known.insert((*name).to_owned(), known);
                }
            }
        }
        let wanted = self.wanted();
        let counted = self.known.iter().filter(|(name, known)| self.counts(wanted, name, known));
        Ok(counted.map(|(_, known)| (known.key.clone(), known.last)).collect())
    }

    /// What counts where nothing is asked for.
    fn wanted(&self) -> Kind {
        if self.known.values().any(|known| known.kind == Kind::Device) { Kind::Device } else { Kind::Virtual }
    }

    fn counts(&self, wanted: Kind, name: &[u8], known: &Known) -> bool {
        if self.asked.is_empty() {
            known.kind == wanted
        } else {
            self.asked.iter().any(|pattern| pattern.matches(&spelled(name)))
        }
    }

    /// Whether a name may be another interface's than it was: one that counts is gone or counts anew, or, where names came,
    /// has another number.
    fn is_changed(&self, all: &[(&[u8], Traffic)]) -> bool {
        let has_come = all.iter().any(|(name, _)| !self.known.contains_key(*name));
        let wanted = self.wanted();
        self.known.iter().filter(|(name, known)| self.counts(wanted, name, known)).any(|(name, known)| {
            let now = all.iter().find(|(other, _)| *other == name.as_slice()).map(|(_, now)| now);
            now.is_none_or(|now| now.sent < known.last.sent || now.received < known.last.received)
                || has_come && self.number(name) != known.number
        })
    }

    fn look_up(&mut self, name: &[u8], last: Traffic) -> Known {
        let kind = self.kind(name);
        let may_count = kind != Kind::Inner || !self.asked.is_empty();
        let number = may_count.then(|| self.number(name)).flatten();
        let own = spelled(name).into_owned();
        let Some(number) = number else { return Known { kind, number: None, key: own, last } };
        if self.keys.len() >= MAX_KEYS {
            self.keys.clear();
        }
        let is_used = self.keys.values().any(|key| *key == own);
        let first = if is_used { format!("{own}#{number}") } else { own };
        let key = self.keys.entry(number).or_insert(first).clone();
        Known { kind, number: Some(number), key, last }
    }

    fn number(&self, name: &[u8]) -> Option<u32> {
        read_text_once(self.folder.join(OsStr::from_bytes(name)).join("ifindex")).ok()?.trim().parse().ok()
    }

    fn kind(&self, name: &[u8]) -> Kind {
        let own = self.folder.join(OsStr::from_bytes(name));
        let has = |entry: &str| own.join(entry).exists();
        if name == b"lo" || has("bridge") {
            return Kind::Inner;
        }
        if has("device") {
            // The fast path of a virtual machine's interface counts in that one (netvsc, net_failover), and the ports of
            // a switch on the board in the one that leads to it (DSA).
            let uevent = read_text_once(own.join("uevent")).unwrap_or_default();
            let inner = has("master/device") || uevent.lines().any(|line| line == "DEVTYPE=dsa");
            return if inner { Kind::Inner } else { Kind::Device };
        }
        if has("master") { Kind::Inner } else { Kind::Virtual }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_that_trade_names_are_billed_on() {
        let root = tempfile::tempdir().unwrap();
        let set = |name: &str, number: u32| {
            let folder = root.path().join(name);
            std::fs::create_dir_all(folder.join("device")).unwrap();
            std::fs::write(folder.join("ifindex"), format!("{number}\n")).unwrap();
        };
        let mut uplinks = Uplinks::new(root.path().to_owned(), &[]);
        let mut read = |lines: &[(&str, u64)]| {
            let lines = lines.iter().map(|(name, bytes)| format!("{name}: {bytes} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"));
            let text = format!("a|b\n|\n{}", lines.collect::<String>());
            let found = uplinks.traffic(text.as_bytes()).unwrap();
            found.into_iter().map(|(name, it)| (name, it.received)).collect::<Vec<_>>()
        };
        let both = |one: u64, other: u64| vec![("eth0".to_owned(), one), ("eth1".to_owned(), other)];
        set("eth0", 2);
        set("eth1", 3);
        assert_eq!(read(&[("eth0", 10), ("eth1", 263)]), both(10, 263));
        set("eth0", 3);
        set("eth1", 2);
        assert_eq!(read(&[("eth0", 264), ("eth1", 11)]), both(11, 264), "they traded names");
        set("wan", 2);
        assert_eq!(read(&[("eth0", 264), ("wan", 12)]), both(12, 264), "one was renamed");
        // The name of one that was renamed is taken by another one, which shows more.
        set("wan", 3);
        set("lan", 2);
        assert_eq!(read(&[("wan", 265), ("lan", 13)]), both(13, 265));
        set("wan", 4);
        let replaced = vec![("eth0".to_owned(), 13), ("wan".to_owned(), 5)];
        assert_eq!(read(&[("wan", 5), ("lan", 13)]), replaced, "another one has its name");
    }
}
