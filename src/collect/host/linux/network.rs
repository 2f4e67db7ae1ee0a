//! Which interfaces count, and what passed them.
//!
//! Traffic counts once, where it leaves or enters the host: at the interfaces that have a device. What runs over them
//! (bridges, bonds, VLANs, tunnels, the ends of containers' cables) would count it again. A host without any such
//! interface is a container itself: there everything counts but loopback, bridges, and what is plugged into one.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;

use crate::collect::Traffic;
use crate::collect::net_dev::interfaces;

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
    /// Looked up once for each name; forgotten when the interface goes.
    kinds: HashMap<String, Kind>,
}

impl Uplinks {
    /// `folder` is `/sys/class/net`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, kinds: HashMap::new() }
    }

    /// The uplinks' counters in the text of `/proc/net/dev`.
    pub(super) fn traffic(&mut self, text: &str) -> io::Result<BTreeMap<String, Traffic>> {
        let all: Vec<(&str, Traffic)> = interfaces(text)?.collect();
        self.kinds.retain(|known, _| all.iter().any(|(name, _)| name == known));
        for (name, _) in &all {
            if !self.kinds.contains_key(*name) {
                let kind = self.kind(name);
                self.kinds.insert((*name).to_owned(), kind);
            }
        }
        let wanted = if self.kinds.values().any(|kind| *kind == Kind::Device) { Kind::Device } else { Kind::Virtual };
        let counts = |name: &str| self.kinds.get(name) == Some(&wanted);
        Ok(all.into_iter().filter(|(name, _)| counts(name)).map(|(name, traffic)| (name.to_owned(), traffic)).collect())
    }

    fn kind(&self, name: &str) -> Kind {
        let has = |entry: &str| self.folder.join(name).join(entry).exists();
        if name == "lo" || has("bridge") {
            Kind::Inner
        } else if has("device") {
            Kind::Device
        } else if has("master") {
            Kind::Inner
        } else {
            Kind::Virtual
        }
    }
}
