//! A network namespace that an instance is in, with its interfaces.
//!
//! An interface is told by its number: whoever owns the namespace may give it any name at any time, also the one that
//! another interface had at the last sample. The file with the counters has names alone. So where names changed, where a
//! counter went back, and from time to time, the kernel is asked for numbers, names and counters together.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::cover::Cover;
use super::joins::Joined;
use super::known::{Known, Origin};
use super::link_reader::Pending;
use super::links::Listed;
use super::{INITIAL_NAMESPACE, NamespaceReading, Namespaces, namespace_of};
use crate::clock::Monotonic;
use crate::collect::kernel_file::{KernelFile, is_gone};
use crate::collect::net_dev::interfaces;
use crate::collect::open_files::KeptFiles;
use crate::collect::{Traffic, not_counted};

/// Files that a namespace keeps open.
const FILES: u64 = 2;
/// By so much a namespace may be younger than its addresses say: they count from the end of the boot's beginning.
const AGE_ERROR: Duration = Duration::from_millis(500);

/// A namespace that a thread of the instance is in, or was.
#[derive(Debug)]
pub(super) struct Held {
    /// The folder in `/proc` of the witness.
    pub(super) process: PathBuf,
    /// `None` for the host's.
    counters: Option<KernelFile>,
    /// Tells how many sockets there are. `None` where it could not be opened.
    sockets: Option<KernelFile>,
    /// By name.
    interfaces: HashMap<Vec<u8>, Known>,
    pub(super) pending: Option<Pending>,
    /// When that was asked.
    asked: Option<Monotonic>,
    /// The list was asked for in this sample, so that its counters are newer than those of the file.
    is_fresh: bool,
    /// Its interfaces could not be listed, so that nobody knows which of them count.
    pub(super) is_refused: bool,
    /// Its interfaces can be listed, as far as is known.
    can_list: bool,
    /// Its interfaces are to be listed again.
    pub(super) outdated: bool,
    /// What leads out of it may not be counted.
    pub(super) is_doubtful: bool,
    /// Some of what passed in the last sample is not counted.
    pub(super) is_partial: bool,
    /// Interfaces that were chosen by their names before this process, by their numbers.
    chosen: Vec<i32>,
    cover: Cover,
    /// Tells of other instances that come to it. `None` for the host's.
    pub(super) joined: Option<Joined>,
    /// The file is of another namespace: the witness went elsewhere while it was opened.
    pub(super) is_mistaken: bool,
    /// No thread of the instance is in it, but a socket is.
    pub(super) is_left: bool,
    /// When it was last read.
    read: Option<Monotonic>,
    /// It is no older than that, by its addresses. `None` where that is not known.
    begun: Option<Monotonic>,
    /// Kept while its files are open.
    _kept: Option<KeptFiles>,
}

impl Held {
    /// Holds the namespace `inode`, which `process` was seen in. `None` where it went elsewhere meanwhile.
    pub(super) fn new(shared: &mut Namespaces, inode: u64, process: PathBuf) -> io::Result<Option<Self>> {
        let is_host = inode == INITIAL_NAMESPACE || shared.host == Some(inode);
        let kept = if is_host { None } else { KeptFiles::reserve(FILES) };
        let may_keep = kept.is_some();
        let path = process.join("net/dev");
        let counters = match may_keep.then(|| KernelFile::opened(path.clone())) {
            _ if is_host => None,
            None => Some(KernelFile::reopened(path)),
            Some(Ok(file)) => Some(file),
            Some(Err(error)) if is_gone(&error) => return Ok(None),
            Some(Err(error)) => return Err(error),
        };
        let sockets = may_keep.then(|| KernelFile::opened(process.join("net/sockstat"))).and_then(Result::ok);
        let mut held = Self {
            process,
            counters,
            sockets,
            interfaces: HashMap::new(),
            pending: None,
            asked: None,
            is_fresh: false,
            is_refused: false,
            can_list: shared.reader.is_some(),
            outdated: false,
            is_doubtful: false,
            is_partial: false,
            chosen: shared.chosen_in(inode),
            cover: Cover::default(),
            joined: None,
            is_mistaken: false,
            is_left: false,
            read: None,
            begun: None,
            _kept: kept,
        };
        if !held.is_in(inode) {
            return Ok(None);
        }
        held.joined = (!is_host).then(|| shared.joins.join(inode));
        Ok(Some(held))
    }

    pub(super) const fn is_host(&self) -> bool {
        self.counters.is_none()
    }

    /// Whether the witness is still there.
    pub(super) fn is_in(&self, inode: u64) -> bool {
        namespace_of(&self.process).is_ok_and(|now| now == inode)
    }

    /// Opens the namespace.
    pub(super) fn open(&self, inode: u64) -> io::Result<File> {
        let file = File::open(self.process.join("ns/net"))?;
        // The number of a process that ended may have been given to another one.
        if file.metadata()?.ino() == inode { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Whether there are sockets in it, which may be used by who is elsewhere. `None` where that can't be told.
    pub(super) fn has_sockets(&mut self, buffer: &mut Vec<u8>) -> Option<bool> {
        let text = self.sockets.as_mut()?.read(buffer).ok()?;
        let used = text.lines().find_map(|line| line.strip_prefix("sockets: used "))?;
        Some(used.trim().parse::<u64>().ok()? > 0)
    }

    /// Whether an interface is there of which nobody knows whether it counts, or which number it has.
    pub(super) fn has_unknown(&self) -> bool {
        !self.is_refused && self.interfaces.values().any(|known| known.counts.is_none() || known.index.is_none())
    }

    /// Whether an interface came since the last sample.
    pub(super) fn has_newcomer(&self) -> bool {
        self.interfaces.values().any(|known| known.index.is_none() && known.came.is_some())
    }

    /// Whether the instance's other namespaces have to be known, which decides what counts.
    pub(super) fn has_undecided(&self) -> bool {
        !self.is_refused && self.interfaces.values().any(|known| known.counts.is_none())
    }

    /// Whether all interfaces count, or never will. What does not count may do so when its other end went elsewhere.
    /// Loopback has received what it sent; what bears its name and has not is something else.
    pub(super) fn is_settled(&self) -> bool {
        let is_settled =
            |known: &Known| known.counts == Some(true) || known.is_loopback && known.last.sent == known.last.received;
        self.interfaces.values().all(is_settled)
    }

    pub(super) fn is_to_be_listed(&self) -> bool {
        let lacks = self.has_unknown() || self.outdated && !self.interfaces.is_empty();
        lacks && !self.is_host() && self.pending.is_none() && !self.is_left
    }

    /// A list of its interfaces was asked for.
    pub(super) fn ask(&mut self, pending: Option<Pending>, at: Monotonic) {
        self.is_fresh = pending.is_some();
        self.asked = self.is_fresh.then_some(at);
        self.pending = pending;
    }

    /// Takes over which interfaces there are, and which of them count.
    pub(super) fn take_list(&mut self, inode: u64, listed: io::Result<Listed>, shared: &mut Namespaces) {
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                if shared.wanted.is_empty() {
                    shared.log_denied(&error);
                }
                self.is_refused = true;
                self.can_list = false;
                return;
            }
        };
        (self.is_refused, self.can_list) = (false, true);
        if let (None, Some(age), Some(at)) = (self.begun, listed.age, self.asked) {
            self.begun = Some(at.saturating_sub(age).saturating_add(AGE_ERROR));
        }
        let begun = self.begun;
        if shared.chosen_at.is_some_and(|at| begun.is_some_and(|begun| begun > at)) {
            // Another namespace that has the number now.
            self.chosen.clear();
        }
        let file = self.counters.as_ref().and_then(KernelFile::file);
        if let (Some(file), Some(counters)) = (file, listed.counters) {
            self.is_mistaken = file.metadata().is_ok_and(|known| known.ino() != counters);
        }
        let mut before = std::mem::take(&mut self.interfaces);
        let names: HashMap<i32, Vec<u8>> =
            before.iter().filter_map(|(name, known)| Some((known.index?, name.clone()))).collect();
        let mut is_whole = true;
        let (mut has_proven, mut misses) = (false, false);
        for interface in listed.interfaces {
            let known = match names.get(&interface.index) {
                Some(name) => before.remove(name).map(|known| (known, *name == interface.name)),
                // Under a name that another one has by now it is new as well.
                None if before.get(&interface.name).is_some_and(|known| known.index.is_none()) => {
                    before.remove(&interface.name).map(|known| (known, true))
                }
                None => None,
            };
            let (mut known, is_same_name) = known.unwrap_or_else(|| {
                let passed = interface.passed;
                (Known::new(&interface.name, inode, self.read, passed, shared), false)
            });
            let is_chosen = self.chosen.contains(&interface.index);
            let is_old = match (known.came, self.asked, interface.age) {
                (Some(came), Some(at), Some(age)) => at.saturating_sub(age).saturating_add(AGE_ERROR) < came,
                _ => false,
            };
            let origin = Origin { begun, is_old, is_chosen };
            is_whole &= known.take(&interface, is_same_name, self.is_fresh, origin, shared);
            has_proven |= interface.is_proven && known.counts == Some(true);
            misses |= interface.leads_out && known.counts != Some(true);
            self.interfaces.insert(interface.name, known);
        }
        let is_missed = misses && !has_proven && !shared.wanted.is_empty();
        if is_missed {
            not_counted::log_unnamed_interface(&self.process);
        }
        self.is_doubtful = is_missed || listed.is_doubtful && shared.wanted.is_empty();
        // What came after the list has no number yet. All others are gone, with what passed them since the last sample.
        before.retain(|_, known| {
            is_whole &= known.index.is_none() || known.counts == Some(false) && !known.may_lead_out;
            known.index.is_none()
        });
        if !is_whole {
            not_counted::log_removed_interface(&self.process);
            self.is_partial = true;
        }
        for (name, known) in before {
            self.interfaces.entry(name).or_insert(known);
        }
    }

    /// Where nothing but names is known, all but loopback count.
    pub(super) fn take_names(&mut self) {
        for (name, known) in &mut self.interfaces {
            known.counts.get_or_insert(name != b"lo");
        }
    }

    /// Reads the counters.
    pub(super) fn update(
        &mut self,
        shared: &Namespaces,
        inode: u64,
        at: Monotonic,
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        self.is_partial = false;
        self.is_fresh = false;
        let Some(file) = &mut self.counters else { return Ok(()) };
        let text = match file.read_bytes(buffer) {
            Ok(text) => text,
            Err(error) if is_gone(&error) => {
                self.is_partial = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if file.file().is_none() && namespace_of(&self.process).ok() != Some(inode) {
            // The witness went elsewhere, and the file may be that of where it is.
            self.is_partial = true;
            return Ok(());
        }
        let can_list = shared.reader.is_some() && !self.is_refused && !self.is_left;
        self.can_list = can_list;
        let mut lost = false;
        for (name, traffic) in interfaces(text)? {
            match self.interfaces.get_mut(name) {
                Some(known) => {
                    known.seen = true;
                    let went_back = known.last.sent > traffic.sent || known.last.received > traffic.received;
                    if went_back && can_list && known.index.is_some() {
                        // Another interface has its name, or it counts anew.
                        self.outdated = true;
                    } else {
                        lost |= went_back && known.started;
                        // What does not count now may do so from here on.
                        if known.counts == Some(false) {
                            known.first = known.last;
                        }
                        known.last = traffic;
                    }
                }
                None => {
                    let mut known = Known::new(name, inode, self.read, traffic, shared);
                    known.seen = true;
                    self.interfaces.insert(name.to_owned(), known);
                }
            }
        }
        self.interfaces.retain(|_, known| {
            let seen = std::mem::take(&mut known.seen);
            let may_be_renamed = can_list && known.index.is_some();
            self.outdated |= !seen && may_be_renamed;
            lost |= !seen && !may_be_renamed && (known.started || known.is_undecided());
            seen || may_be_renamed
        });
        // Whether it was renamed is not known.
        self.is_partial = lost && shared.reader.is_some();
        if self.is_refused && !shared.wanted.is_empty() {
            self.doubt_names();
        }
        self.read = Some(at);
        Ok(())
    }

    /// Whether something passed an interface of which nobody knows whether it counts.
    pub(super) fn has_undecided_traffic(&self) -> bool {
        !self.is_refused && self.interfaces.values().any(Known::is_undecided)
    }

    /// Where nothing but names is known: none of them is that of an interface that counts, and something passed one.
    fn doubt_names(&mut self) {
        let counts = self.interfaces.values().any(|known| known.counts == Some(true));
        let is_used = |(name, known): (&Vec<u8>, &Known)| name != b"lo" && known.last != Traffic::default();
        self.is_doubtful = !counts && self.interfaces.iter().any(is_used);
        if self.is_doubtful {
            not_counted::log_unnamed_interface(&self.process);
        }
    }

    /// Compares what passed interfaces that others are taken to carry with what passed those that count.
    fn compare(&mut self) {
        let (mut inner, mut counted) = (Traffic::default(), Traffic::default());
        for known in self.interfaces.values_mut() {
            let passed = known.passed_since();
            let sum = match known.counts {
                Some(true) => &mut counted,
                _ if known.may_lead_out => &mut inner,
                _ => continue,
            };
            sum.sent = sum.sent.saturating_add(passed.sent);
            sum.received = sum.received.saturating_add(passed.received);
        }
        if self.cover.is_short(inner, counted) {
            not_counted::log_uncovered_tunnel(&self.process);
            self.is_partial = true;
        }
    }

    /// Adds the counters of what counts. What is found to count begins with what it showed when it was first seen, unless
    /// it is known when its counters began.
    pub(super) fn add_to(&mut self, inode: u64, found: &mut NamespaceReading) {
        if self.is_host() {
            return;
        }
        self.compare();
        found.namespaces.push(inode);
        if self.is_left {
            found.left.push(inode);
        }
        let can_list = self.can_list;
        for known in self.interfaces.values_mut().filter(|known| known.counts == Some(true)) {
            if known.started {
                found.traffic.insert(known.key.clone(), known.last);
            } else if !can_list || known.index.is_some() {
                // One without a number may be one that goes on under another name.
                known.started = true;
                if let Some(index) = known.index {
                    known.key = format!("/{index}@{inode}");
                }
                let start = if known.began.is_some() { known.last } else { known.first };
                found.traffic.insert(known.key.clone(), start);
            }
            if let (true, Some(began)) = (known.started, known.began) {
                found.began.insert(known.key.clone(), began);
            }
        }
    }
}
