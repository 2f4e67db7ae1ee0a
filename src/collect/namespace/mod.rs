//! The traffic of an instance that has network namespaces of its own.
//!
//! The counters are those of the interfaces of every namespace that a process of the instance is in, each namespace
//! once. Which interfaces count is asked of the kernel, in the namespace ([`links`]): nothing that the instance can put
//! into its files decides it. What is in the host's namespace has no counters of its own: its traffic is the host's, and
//! not metered here.
//!
//! A namespace is watched through one of its threads, its witness. All threads are asked where they are, since each may be
//! in a namespace of its own, and nothing can be asked of a process whose first thread ended: at the first sample, when a
//! witness ends or goes elsewhere, and again after a pause that grows to some seconds.
//!
//! The file with the counters stays open, which keeps them readable after the last process of the namespace ended. (It
//! keeps the namespace too, until the next sample.) A socket goes on sending from a namespace that its process left: as
//! long as there is one, the namespace counts on. Where no thread of the instance is left either, whose socket that is
//! can't be known, and the network is named as not metered.
//!
//! A witness may go elsewhere while the file is opened. So it is asked again afterwards, and the thread that lists
//! interfaces, which is in the namespace, says which file is the right one.

mod cover;
mod held;
mod joins;
mod kinds;
mod known;
mod link_reader;
mod links;

#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) use links::fuzz_answer;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::held::Held;
use self::joins::{Joined, Joins};
use self::link_reader::LinkReader;
use super::kernel_file::is_gone;
use super::pattern::NamePattern;
use super::{Traffic, not_counted};
use crate::clock::Monotonic;

/// Pauses between two rounds that ask all threads of an instance where they are.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// What a thread adds to the pause, so that an instance with very many does not cost more than others.
const PAUSE_FOR_THREAD: Duration = Duration::from_micros(500);
/// The inode of the machine's first network namespace, since Linux 6.18; before that no namespace has it.
const INITIAL_NAMESPACE: u64 = 0xefff_fff9;
/// With so many threads at most, all are also asked when there is a new interface.
const FEW_THREADS: usize = 1024;
/// Namespaces of one instance. Each is listed together with all others.
const MAX_NAMESPACES: usize = 32;

/// What all instances share.
#[derive(Debug)]
pub(super) struct Namespaces {
    proc: PathBuf,
    /// The inode of the host's namespace.
    host: Option<u64>,
    /// The interfaces that count, where not all.
    wanted: Vec<NamePattern>,
    /// Interfaces that were chosen by their names by the process before, by the inode of their namespace; and when that
    /// process last sampled.
    chosen: HashMap<u64, Vec<i32>>,
    chosen_at: Option<Monotonic>,
    joins: Joins,
    /// `None` for the files of a test, behind which there are no namespaces.
    reader: Option<LinkReader>,
    /// It was logged that namespaces can't be entered, or that an instance has too many.
    denied: bool,
    too_many: bool,
}

impl Namespaces {
    pub(super) fn new(root: &Path, wanted: &[NamePattern]) -> Self {
        let proc = root.join("proc");
        // The host's is that of process 1; who may not look there is taken to be in it.
        let of = |process: &str| namespace_of(&proc.join(process)).ok();
        let host = of("1").or_else(|| of("self"));
        let reader = (root == Path::new("/")).then(LinkReader::default);
        let (chosen, wanted) = (HashMap::new(), wanted.to_vec());
        let joins = Joins::default();
        Self { proc, host, wanted, chosen, chosen_at: None, joins, reader, denied: false, too_many: false }
    }

    /// The names of interfaces that count, where not all do.
    pub(super) fn wanted(&self) -> Vec<String> {
        self.wanted.iter().map(|pattern| pattern.as_str().to_owned()).collect()
    }

    /// Has interfaces count in namespaces that are met from here on, whatever they are called by now: those that counted
    /// at `at`, by their keys in [`Reading::network`](super::Reading::network).
    pub(super) fn choose(&mut self, keys: &[String], at: Monotonic) {
        self.chosen.clear();
        self.chosen_at = Some(at);
        for (index, inode) in keys.iter().filter_map(|key| key.strip_prefix('/')?.split_once('@')) {
            if let (Ok(index), Ok(inode)) = (index.parse(), inode.parse()) {
                self.chosen.entry(inode).or_default().push(index);
            }
        }
    }

    fn chosen_in(&self, inode: u64) -> Vec<i32> {
        self.chosen.get(&inode).cloned().unwrap_or_default()
    }

    /// Whether an interface of this name counts, where not all do.
    fn is_wanted(&self, name: &str) -> bool {
        self.wanted.iter().any(|pattern| pattern.matches(name))
    }

    fn log_denied(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.denied, true) {
            tracing::warn!(
                "the network of instances with a network namespace of their own is NOT metered: the interfaces of a namespace \
                 can't be listed ({error}), so that it is not known which of them lead out of it; run as root or with \
                 CAP_SYS_ADMIN (systemd: tenants-network.conf), or name the interfaces that count"
            );
        }
    }
}

/// The inode of the network namespace of the process with this folder in `/proc`.
fn namespace_of(process: &Path) -> io::Result<u64> {
    use std::os::unix::ffi::OsStrExt as _;
    let link = std::fs::read_link(process.join("ns/net"))?;
    let digits = link.as_os_str().as_bytes().strip_prefix(b"net:[").and_then(|rest| rest.strip_suffix(b"]"));
    let inode = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    inode.ok_or_else(|| io::Error::other(format!("{} is no network namespace", link.display())))
}

/// The threads of an instance.
#[derive(Debug, Default)]
pub(super) struct Threads {
    /// By their numbers.
    pub(super) numbers: Vec<u32>,
    /// There are more, or some that have no number here.
    pub(super) is_partial: bool,
}

/// One instance's traffic.
#[derive(Debug, Default)]
pub(super) struct NamespaceTraffic {
    /// By inode.
    held: BTreeMap<u64, Held>,
    /// When processes are asked again, and the pause behind that.
    next_round: Monotonic,
    pause: Duration,
    /// How many threads there were in the last round, and whether there were more.
    threads: usize,
    lacks_threads: bool,
    /// Some of what passes is not counted.
    is_partial: bool,
}

/// What an instance's namespaces show.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NamespaceReading {
    /// The counters of its interfaces: [`Reading::network`](super::Reading::network).
    pub(super) traffic: BTreeMap<String, Traffic>,
    /// [`Reading::began`](super::Reading::began).
    pub(super) began: BTreeMap<String, Monotonic>,
    /// [`Reading::namespaces`](super::Reading::namespaces).
    pub(super) namespaces: Vec<u64>,
    /// [`Reading::left_namespaces`](super::Reading::left_namespaces).
    pub(super) left: Vec<u64>,
}

impl NamespaceTraffic {
    /// Whether some of what passes is not counted: it is in the host's namespace, or interfaces could not be listed.
    pub(super) const fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Has all threads asked where they are at the next sample.
    pub(super) const fn ask_again(&mut self) {
        (self.next_round, self.pause) = (Duration::ZERO, Duration::ZERO);
    }

    /// The counters as of now. `threads` lists all of the instance's threads.
    pub(super) fn read(
        &mut self,
        shared: &mut Namespaces,
        at: Monotonic,
        mut threads: impl FnMut() -> io::Result<Threads>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<NamespaceReading> {
        let mut found = NamespaceReading::default();
        self.is_partial = false;
        let mut is_round = self.held.is_empty() || at >= self.next_round;
        // One that was left has no witness, so that it is asked for in rounds alone; so is who stays in the host's namespace,
        // where nothing is counted. At first that is asked each time: a container begins there, and may end before long.
        let is_young = self.pause < LAST_PAUSE;
        let mut asked = self.held.iter().filter(|(_, held)| is_round || !held.is_left && (is_young || !held.is_host()));
        is_round |= asked.any(|(inode, held)| !held.is_in(*inode));
        // Who came may be a process of this instance that went over to another one.
        for held in self.held.values_mut() {
            is_round |= held.joined.as_mut().is_some_and(Joined::has_new);
        }
        let had_threads = self.threads > 0;
        let places = if is_round { self.places(shared, &threads()?, at)? } else { HashMap::new() };
        // A witness may also have left the instance and not the namespace.
        let is_moved = |inode: u64, held: &Held| !places.contains_key(&inode) || held.is_left || !held.is_in(inode);
        let held = self.held.iter().filter(|(inode, held)| is_round && is_moved(**inode, held));
        let moved: Vec<u64> = held.map(|(inode, _)| *inode).collect();
        for inode in moved {
            let Some(held) = self.held.get_mut(&inode) else { continue };
            match (places.get(&inode), held.has_sockets(buffer)) {
                (Some(process), _) => {
                    held.process.clone_from(process);
                    held.is_left = false;
                }
                (None, Some(true)) => {
                    // What passed until its last thread ended counts in any case.
                    if self.threads == 0 && had_threads {
                        held.update(shared, inode, at, buffer)?;
                        held.add_to(inode, &mut found);
                    }
                    held.is_left = true;
                }
                (None, sockets) => {
                    // No thread is left in it. What is left of the counters is part of this sample.
                    held.update(shared, inode, at, buffer)?;
                    held.add_to(inode, &mut found);
                    self.is_partial |= held.is_partial
                        || held.has_undecided_traffic()
                        || sockets.is_none() && !held.is_host() && self.threads > 0;
                    self.held.remove(&inode);
                }
            }
        }
        if is_round {
            self.enter(shared, places)?;
        }
        let has_threads = self.threads > 0;
        for (inode, held) in self.held.iter_mut().filter(|(_, held)| has_threads || !held.is_left) {
            held.update(shared, *inode, at, buffer)?;
        }
        // New interfaces have to be listed before it is known whether they count. What lies at their other end may be new
        // as well.
        if !is_round
            && self.threads <= FEW_THREADS
            && self.held.values().any(|held| held.has_undecided() && !held.is_left)
        {
            let places = self.places(shared, &threads()?, at)?;
            self.enter(shared, places)?;
        }
        self.list_interfaces(shared, at);
        let is_mistaken = self.held.values().any(|held| held.is_mistaken);
        if is_mistaken {
            self.held.retain(|_, held| !held.is_mistaken);
            self.next_round = at;
        }
        for (inode, held) in self.held.iter_mut().filter(|(_, held)| has_threads || !held.is_left) {
            held.add_to(*inode, &mut found);
        }
        if !has_threads {
            found.left.extend(self.held.iter().filter(|(_, held)| held.is_left).map(|(inode, _)| *inode));
        }
        found.namespaces.sort_unstable();
        found.namespaces.dedup();
        self.is_partial |= is_mistaken
            || self.lacks_threads
            || self.held.len() >= MAX_NAMESPACES
            || self.held.values().any(|held| {
                let is_refused = held.is_refused && shared.wanted.is_empty();
                held.is_host()
                    || is_refused
                    || held.is_partial
                    || held.is_doubtful
                    || held.has_undecided_traffic()
                    || held.is_left && (!has_threads || held.has_undecided())
            });
        Ok(found)
    }

    /// Where the threads are: a witness for each namespace.
    fn places(&mut self, shared: &Namespaces, threads: &Threads, at: Monotonic) -> io::Result<HashMap<u64, PathBuf>> {
        self.pause = (2 * self.pause).clamp(FIRST_PAUSE, LAST_PAUSE);
        let count = u32::try_from(threads.numbers.len()).unwrap_or(u32::MAX);
        self.threads = threads.numbers.len();
        self.lacks_threads = threads.is_partial;
        self.next_round = at.saturating_add(self.pause).saturating_add(PAUSE_FOR_THREAD.saturating_mul(count));
        let mut places = HashMap::new();
        for number in &threads.numbers {
            let process = shared.proc.join(number.to_string());
            match namespace_of(&process) {
                Ok(inode) => {
                    places.entry(inode).or_insert(process);
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => {
                    let what = "run as root or with CAP_SYS_PTRACE and CAP_SYS_ADMIN (systemd: tenants-network.conf)";
                    return Err(io::Error::new(error.kind(), format!("{}/ns/net: {error}; {what}", process.display())));
                }
            }
        }
        Ok(places)
    }

    /// Holds the namespaces that are new.
    fn enter(&mut self, shared: &mut Namespaces, places: HashMap<u64, PathBuf>) -> io::Result<()> {
        let before = self.held.len();
        for (inode, process) in places {
            if self.held.contains_key(&inode) {
                continue;
            }
            if self.held.len() >= MAX_NAMESPACES {
                if !std::mem::replace(&mut shared.too_many, true) {
                    tracing::warn!(
                        process = %process.display(),
                        "an instance has more than {MAX_NAMESPACES} network namespaces; the traffic of the others is NOT metered"
                    );
                }
                break;
            }
            let Some(held) = Held::new(shared, inode, process)? else {
                // Where its witness went is asked at the next sample.
                self.next_round = Duration::ZERO;
                self.is_partial = true;
                continue;
            };
            if held.is_host() {
                not_counted::log_shared_network();
            }
            self.held.insert(inode, held);
        }
        let came = self.held.len() != before;
        if came {
            self.pause = Duration::ZERO;
        }
        for held in self.held.values_mut() {
            // What counts may lead to a namespace that came.
            held.outdated |= came || !held.is_settled();
        }
        Ok(())
    }

    /// Asks for the interfaces of those namespaces where they are not known, and takes what was answered.
    fn list_interfaces(&mut self, shared: &mut Namespaces, at: Monotonic) {
        let wanted: Vec<u64> =
            self.held.iter().filter(|(_, held)| held.is_to_be_listed()).map(|(inode, _)| *inode).collect();
        for inode in wanted {
            let Some(reader) = &mut shared.reader else {
                self.held.values_mut().for_each(Held::take_names);
                continue;
            };
            let others = self.held.iter().filter(|(other, held)| **other != inode && !held.is_host());
            let others: Vec<OwnedFd> =
                others.filter_map(|(inode, held)| held.open(*inode).ok()).map(OwnedFd::from).collect();
            let Some(held) = self.held.get_mut(&inode) else { continue };
            match held.open(inode) {
                Ok(namespace) => held.ask(reader.ask(namespace, others, held.has_newcomer()), at),
                // It ends; the next sample finds that out.
                Err(error) if is_gone(&error) => {}
                Err(error) => held.take_list(inode, Err(error), shared),
            }
            held.outdated = held.pending.is_none();
        }
        for (inode, held) in &mut self.held {
            if let Some(pending) = &held.pending
                && let Some(answer) = shared.reader.as_mut().and_then(|reader| reader.answer(pending, at))
            {
                held.pending = None;
                held.take_list(*inode, answer, shared);
            }
        }
    }
}

#[cfg(test)]
mod tests;
