//! What the scopes of control groups of one agent share: facts of the host, watches, readers. A hundred thousand scopes
//! then cost what their groups cost, and not as many handles and threads.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::hierarchy::Hierarchy;
use super::limits::LimitCache;
use super::watch::GroupWatch;
use crate::clock::Monotonic;
use crate::collect::drm::Drm;
use crate::collect::machine::Machine;
use crate::collect::namespace::Namespaces;
use crate::collect::nvidia::{NvidiaShares, Shares};
use crate::collect::once::Once;
use crate::collect::pattern::NamePattern;
use crate::collect::{CollectError, ScopeOptions};

/// Files that a process may have open beside those of groups: sockets, the spool, the figures.
const OTHER_FILES: u64 = 256;
/// Files that a group keeps open.
const FILES_EACH: u64 = 5;

/// What the scopes of one agent share, by the root under which `/proc` and `/sys` stand.
#[derive(Debug, Default)]
pub(in crate::collect) struct GroupHosts {
    hosts: HashMap<PathBuf, GroupHost>,
}

#[derive(Debug)]
struct GroupHost {
    facts: Option<Rc<Facts>>,
    watch: Rc<RefCell<GroupWatch>>,
    /// By the interfaces that count.
    readers: HashMap<Vec<String>, Rc<RefCell<Readers>>>,
}

/// What is the same for all control groups of a host.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) hierarchy: Hierarchy,
    /// The host's name.
    pub(super) host: Rc<str>,
    /// Which boot this is.
    pub(super) boot: Rc<str>,
}

/// A scope's part of it.
#[derive(Debug, Clone)]
pub(super) struct SharedParts {
    pub(super) facts: Rc<Facts>,
    pub(super) watch: Rc<RefCell<GroupWatch>>,
    pub(super) readers: Rc<RefCell<Readers>>,
}

/// What reads the figures of groups.
#[derive(Debug)]
pub(super) struct Readers {
    /// The root of the hierarchy.
    pub(super) root: PathBuf,
    /// Where a hierarchy of version 1 has the memory controller.
    pub(super) old_memory: Option<String>,
    pub(super) machine: Machine,
    pub(super) namespaces: Namespaces,
    pub(super) limits: LimitCache,
    pub(super) drm: Drm,
    nvidia: NvidiaShares,
    /// Who keeps GPUs of NVIDIA's driver busy, as of the sample when that was asked.
    pub(super) shares: Option<Shares>,
    shares_at: Option<Monotonic>,
    /// Their driver gave no answer.
    pub(super) is_nvidia_stuck: bool,
    /// When the scope that is sampled was sampled before.
    pub(super) looked: Option<Monotonic>,
    pub(super) once: Once,
    pub(super) buffer: Vec<u8>,
    /// A group that keeps its files open has a part of this.
    open: Rc<()>,
    max_open: usize,
}

impl GroupHosts {
    /// The parts for a scope with these options.
    ///
    /// # Errors
    /// Where there is no version 2 of control groups.
    pub(super) fn parts(&mut self, options: &ScopeOptions) -> Result<SharedParts, CollectError> {
        if !self.hosts.contains_key(&options.root) {
            let watch = Rc::new(RefCell::new(GroupWatch::new()));
            let host = GroupHost { facts: None, watch, readers: HashMap::new() };
            self.hosts.insert(options.root.clone(), host);
        }
        let host = self.hosts.get_mut(&options.root).ok_or_else(|| CollectError("no host".to_owned()))?;
        let facts = match &host.facts {
            Some(facts) => Rc::clone(facts),
            None => Rc::clone(host.facts.insert(Rc::new(Facts::read(&options.root)?))),
        };
        let interfaces = options.interfaces.iter().map(|it| it.as_str().to_owned()).collect();
        let readers = host.readers.entry(interfaces);
        let readers = readers.or_insert_with(|| {
            Rc::new(RefCell::new(Readers::new(&options.root, &facts.hierarchy, &options.interfaces)))
        });
        Ok(SharedParts { facts, watch: Rc::clone(&host.watch), readers: Rc::clone(readers) })
    }

    /// Reads the facts of hosts again for scopes that are opened from here on.
    pub(in crate::collect) fn forget_facts(&mut self) {
        self.hosts.values_mut().for_each(|host| {
            host.facts = None;
            host.readers.retain(|_, readers| Rc::strong_count(readers) > 1);
        });
    }
}

impl Facts {
    fn read(root: &Path) -> Result<Self, CollectError> {
        let hierarchy = Hierarchy::find(root)?;
        Ok(Self { hierarchy, host: Machine::host(root).into(), boot: Machine::boot(root).into() })
    }
}

impl Readers {
    fn new(root: &Path, hierarchy: &Hierarchy, interfaces: &[NamePattern]) -> Self {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let max_open = limit.saturating_sub(OTHER_FILES) / FILES_EACH;
        Self {
            root: hierarchy.folder.clone(),
            old_memory: hierarchy.old_memory.clone(),
            machine: Machine::new(root),
            namespaces: Namespaces::new(root, interfaces),
            limits: LimitCache::default(),
            drm: Drm::new(root),
            nvidia: NvidiaShares::find(root),
            shares: None,
            shares_at: None,
            is_nvidia_stuck: false,
            looked: None,
            once: Once::default(),
            buffer: Vec::new(),
            open: Rc::default(),
            max_open: usize::try_from(max_open).unwrap_or(usize::MAX),
        }
    }

    /// Makes ready for a sample at `at` of a scope that was sampled before at `looked`.
    pub(super) fn begin(&mut self, at: Monotonic, looked: Option<Monotonic>) {
        self.looked = looked;
        if self.shares_at.replace(at) != Some(at) {
            self.shares = self.nvidia.look(at);
            self.is_nvidia_stuck = self.nvidia.is_stuck();
        }
    }

    /// What a group has that may keep its files open; `None` where there are enough of them.
    pub(super) fn may_keep_open(&self) -> Option<Rc<()>> {
        (Rc::strong_count(&self.open) <= self.max_open).then(|| Rc::clone(&self.open))
    }
}
