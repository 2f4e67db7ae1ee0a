//! What the scopes of control groups of one agent share: facts of the host, watches, readers. A hundred thousand scopes
//! then cost what their groups cost, and not as many handles and threads.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::hierarchy::Hierarchy;
use super::limits::LimitCache;
use super::memory::GroupMemory;
use super::subtrees::Subtrees;
use super::watch::GroupWatch;
use crate::clock::Monotonic;
use crate::collect::drm::Drm;
use crate::collect::machine::Machine;
use crate::collect::namespace::Namespaces;
use crate::collect::nvidia::{NvidiaShares, Shares};
use crate::collect::once::Once;
use crate::collect::pattern::NamePattern;
use crate::collect::{CollectError, ScopeOptions};

/// What the scopes of one agent share, by the root under which `/proc` and `/sys` stand.
#[derive(Debug, Default)]
pub(in crate::collect) struct GroupHosts {
    hosts: HashMap<PathBuf, GroupHost>,
    memory: Rc<GroupMemory>,
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
    pub(super) memory: Rc<GroupMemory>,
}

/// What reads the figures of groups.
#[derive(Debug)]
pub(super) struct Readers {
    /// The root of the hierarchy.
    pub(super) root: PathBuf,
    /// Where a hierarchy of version 1 has the memory controller.
    pub(super) old_memory: Option<String>,
    /// Memory of groups includes their huge pages.
    pub(super) counts_huge_pages: bool,
    /// It was said that huge pages of processes can't be told apart.
    pub(super) told_of_huge_pages: bool,
    pub(super) proc: PathBuf,
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
    /// Threads that were listed for one group of the scope that is sampled, and are those of another one as well.
    pub(super) subtrees: Subtrees,
}

impl GroupHosts {
    /// The parts for a scope with these options.
    ///
    /// # Errors
    /// Where there is no version 2 of control groups.
    pub(super) fn parts(&mut self, options: &ScopeOptions) -> Result<SharedParts, CollectError> {
        let host = self.hosts.entry(options.root.clone()).or_insert_with(|| {
            let watch = Rc::new(RefCell::new(GroupWatch::new()));
            GroupHost { facts: None, watch, readers: HashMap::new() }
        });
        let facts = match &host.facts {
            Some(facts) => Rc::clone(facts),
            None => Rc::clone(host.facts.insert(Rc::new(Facts::read(&options.root)?))),
        };
        let interfaces = options.interfaces.iter().map(|it| it.as_str().to_owned()).collect();
        let readers = host.readers.entry(interfaces);
        let readers = readers.or_insert_with(|| {
            Rc::new(RefCell::new(Readers::new(&options.root, &facts.hierarchy, &options.interfaces)))
        });
        let (watch, readers, memory) = (Rc::clone(&host.watch), Rc::clone(readers), Rc::clone(&self.memory));
        Ok(SharedParts { facts, watch, readers, memory })
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
        Self {
            root: hierarchy.folder.clone(),
            old_memory: hierarchy.old_memory.clone(),
            counts_huge_pages: hierarchy.counts_huge_pages,
            told_of_huge_pages: false,
            proc: root.join("proc"),
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
            subtrees: Subtrees::default(),
        }
    }

    /// Makes ready for a sample at `at` of a scope that was sampled before at `looked`.
    pub(super) fn begin(&mut self, at: Monotonic, looked: Option<Monotonic>) {
        self.looked = looked;
        self.subtrees.clear();
        if self.shares_at.replace(at) != Some(at) {
            self.shares = self.nvidia.look(at);
            self.is_nvidia_stuck = self.nvidia.is_stuck();
        }
    }
}
