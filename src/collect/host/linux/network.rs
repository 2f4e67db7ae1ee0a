//! Which interfaces count, and what passed them.
//!
//! Traffic counts once, where it leaves or enters the host: at the interfaces that have a device. What runs over them
//! (bridges, bonds, VLANs, tunnels, the ends of containers' cables) would count it again. A host without any such
//! interface is a container itself: there everything counts but loopback, bridges, and what is plugged into one.

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

/// Knows which interfaces are uplinks.
#[derive(Debug)]
pub(super) struct Uplinks {
    folder: PathBuf,
    /// Counted instead, where there are any.
    asked: Vec<NamePattern>,
    /// Looked up once for each name; forgotten when the interface goes.
    kinds: HashMap<Vec<u8>, Kind>,
}

impl Uplinks {
    /// `folder` is `/sys/class/net`.
    pub(super) fn new(folder: PathBuf, asked: &[NamePattern]) -> Self {
        Self { folder, asked: asked.to_vec(), kinds: HashMap::new() }
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
        self.kinds.retain(|known, _| all.iter().any(|(name, _)| *name == known.as_slice()));
        for (name, _) in &all {
            if !self.kinds.contains_key(*name) {
                let kind = self.kind(name);
                self.kinds.insert((*name).to_owned(), kind);
            }
        }
        let wanted = if self.kinds.values().any(|kind| *kind == Kind::Device) { Kind::Device } else { Kind::Virtual };
        let counts = |name: &[u8]| {
            if self.asked.is_empty() {
                self.kinds.get(name) == Some(&wanted)
            } else {
                self.asked.iter().any(|pattern| pattern.matches(&spelled(name)))
            }
        };
        let counted = all.into_iter().filter(|(name, _)| counts(name));
        Ok(counted.map(|(name, traffic)| (spelled(name).into_owned(), traffic)).collect())
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
