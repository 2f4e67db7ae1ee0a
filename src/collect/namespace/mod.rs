//! The traffic of an instance that has network namespaces of its own.
//!
//! The counters are those of the interfaces of every namespace that a process of the instance is in, each namespace
//! once. Which interfaces count is asked of the kernel, in the namespace ([`links`]): nothing that the instance can put
//! into its files decides it. What is in the host's namespace has no counters of its own: its traffic is the host's, and
//! not metered here.
//!
//! A namespace is watched through one of its threads, its witness. All threads are asked where they are, since each may be
//! in a namespace of its own, and nothing can be asked of a process whose first thread ended: at the first sample, when a witness ends or goes elsewhere, and again after a pause that grows to some seconds.
//!
//! The file with the counters stays open, which keeps them readable after the last process of the namespace ended. (It
//! keeps the namespace too, until the next sample.)

mod link_reader;
mod links;

#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) use links::fuzz_answer;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::link_reader::{LinkReader, Pending};
use self::links::Interface;
use super::Traffic;
use super::kernel_file::{KernelFile, is_gone};
use super::net_dev::interfaces;
use super::open_files::KeptFiles;
use super::pattern::NamePattern;
use super::spelling::spelled;
use crate::clock::Monotonic;

/// Pauses between two rounds that ask all processes of an instance where they are.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// What a process adds to the pause, so that an instance with very many does not cost more than others.
const PAUSE_FOR_PROCESS: Duration = Duration::from_micros(500);
/// The inode of the machine's first network namespace, since Linux 6.18; before that no namespace has it.
const INITIAL_NAMESPACE: u64 = 0xefff_fff9;
/// With so many processes at most, all are also asked when there is a new interface.
const FEW_PROCESSES: usize = 1024;
/// Namespaces of one instance.
const MAX_NAMESPACES: usize = 256;

/// What all instances share.
#[derive(Debug)]
pub(super) struct Namespaces {
    proc: PathBuf,
    /// The inode of the host's namespace.
    host: Option<u64>,
    /// The interfaces that count, where not all.
    wanted: Vec<NamePattern>,
    /// `None` for the files of a test, behind which there are no namespaces.
    reader: Option<LinkReader>,
    /// It was logged that namespaces can't be entered, or that an instance has too many.
    denied: bool,
    too_many: bool,
    /// It was logged that instances are in the host's namespace.
    shares_host: bool,
}

impl Namespaces {
    pub(super) fn new(root: &Path, wanted: &[NamePattern]) -> Self {
        let proc = root.join("proc");
        // The host's is that of process 1; who may not look there is taken to be in it.
        let of = |process: &str| namespace_of(&proc.join(process)).ok();
        let host = of("1").or_else(|| of("self"));
        let reader = (root == Path::new("/")).then(LinkReader::default);
        Self { proc, host, wanted: wanted.to_vec(), reader, denied: false, too_many: false, shares_host: false }
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

/// One instance's traffic.
#[derive(Debug, Default)]
pub(super) struct NamespaceTraffic {
    /// By inode.
    held: BTreeMap<u64, Held>,
    /// When processes are asked again, and the pause behind that.
    next_round: Monotonic,
    pause: Duration,
    /// How many processes there were.
    processes: usize,
    /// Some of what passes is not counted.
    is_partial: bool,
    /// Whether the instance was there before the first sample, so that nobody knows which of its traffic is new.
    old: bool,
}

/// A namespace that a process of the instance is in.
#[derive(Debug)]
struct Held {
    /// The folder in `/proc` of the witness.
    process: PathBuf,
    /// `None` for the host's.
    counters: Option<KernelFile>,
    /// By name.
    interfaces: HashMap<Vec<u8>, Known>,
    pending: Option<Pending>,
    /// Its interfaces could not be listed, so that nobody knows which of them count.
    is_refused: bool,
    /// Its interfaces are to be listed again.
    outdated: bool,
    /// It was found at the first sample of an instance that had been there before.
    old: bool,
    /// Kept while its file is open.
    _kept: Option<KeptFiles>,
}

/// An interface.
#[derive(Debug)]
struct Known {
    /// `INTERFACE@NAMESPACE`: a namespace that comes after another one has interfaces of its own.
    key: String,
    /// Whether it counts; `None` as long as nobody has answered.
    counts: Option<bool>,
    is_loopback: bool,
    /// It was there at the first sample of an instance that had been there before.
    old: bool,
    /// What it showed when it was first seen, which is what it starts from.
    first: Traffic,
    started: bool,
    seen: bool,
}

impl NamespaceTraffic {
    /// `old`: the instance was there before the first sample.
    pub(super) fn new(old: bool) -> Self {
        Self { old, ..Self::default() }
    }

    /// Whether some of what passes is not counted: it is in the host's namespace, or interfaces could not be listed.
    pub(super) const fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// The counters as of now. `processes` lists all of the instance's processes, with each thread by its number.
    pub(super) fn read(
        &mut self,
        shared: &mut Namespaces,
        at: Monotonic,
        mut processes: impl FnMut() -> io::Result<Vec<u32>>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<BTreeMap<String, Traffic>> {
        let mut traffic = BTreeMap::new();
        let mut is_round = self.held.is_empty() || at >= self.next_round;
        // Nothing is counted in the host's namespace, so that its witness is asked in rounds alone.
        let asked = self.held.iter().filter(|(_, held)| is_round || held.counters.is_some());
        let moved: Vec<u64> = asked.filter(|(inode, held)| !held.is_in(**inode)).map(|(inode, _)| *inode).collect();
        is_round |= !moved.is_empty();
        let places = if is_round { self.places(shared, &processes()?, at)? } else { HashMap::new() };
        for inode in moved {
            match places.get(&inode) {
                Some(process) => {
                    if let Some(held) = self.held.get_mut(&inode) {
                        held.process.clone_from(process);
                    }
                }
                None => {
                    // No process is left in it. What is left of the counters is part of this sample.
                    if let Some(mut held) = self.held.remove(&inode) {
                        held.update(shared, inode, buffer, &mut traffic)?;
                    }
                }
            }
        }
        if is_round {
            self.enter(shared, places);
        }
        self.list_interfaces(shared);
        for (inode, held) in &mut self.held {
            held.update(shared, *inode, buffer, &mut traffic)?;
        }
        // New interfaces have to be listed before it is known whether they count. What lies at their other end may be new
        // as well.
        if self.held.values().any(Held::has_unknown) {
            if !is_round && self.processes <= FEW_PROCESSES {
                is_round = true;
                let places = self.places(shared, &processes()?, at)?;
                self.enter(shared, places);
            }
            self.list_interfaces(shared);
            self.held.values_mut().for_each(|held| held.start(&mut traffic));
        }
        if is_round {
            self.old = false;
        }
        self.is_partial = self.held.len() >= MAX_NAMESPACES
            || self.held.values().any(|held| held.counters.is_none() || held.is_refused);
        Ok(traffic)
    }

    /// Where the processes are: a witness for each namespace.
    fn places(&mut self, shared: &Namespaces, processes: &[u32], at: Monotonic) -> io::Result<HashMap<u64, PathBuf>> {
        self.pause = (2 * self.pause).clamp(FIRST_PAUSE, LAST_PAUSE);
        let count = u32::try_from(processes.len()).unwrap_or(u32::MAX);
        self.processes = processes.len();
        self.next_round = at.saturating_add(self.pause).saturating_add(PAUSE_FOR_PROCESS.saturating_mul(count));
        let mut places = HashMap::new();
        for number in processes {
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
    fn enter(&mut self, shared: &mut Namespaces, places: HashMap<u64, PathBuf>) {
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
            let held = Held::new(shared, inode, process, self.old);
            if held.counters.is_none() && !std::mem::replace(&mut shared.shares_host, true) {
                tracing::info!(
                    "the network of instances in the host's network namespace is not metered: the kernel counts it for the \
                     host alone"
                );
            }
            self.held.insert(inode, held);
        }
        let came = self.held.len() != before;
        if came {
            self.pause = Duration::ZERO;
        }
        for held in self.held.values_mut() {
            // What does not count may do so when its other end went elsewhere, and what counts may lead to one that came.
            let settled = held.interfaces.values().all(|known| known.counts == Some(true) || known.is_loopback);
            held.outdated |= came || !settled;
        }
    }

    /// Asks for the interfaces of those namespaces where they are not known, and takes what was answered.
    fn list_interfaces(&mut self, shared: &mut Namespaces) {
        let wanted: Vec<u64> =
            self.held.iter().filter(|(_, held)| held.is_to_be_listed(shared)).map(|(inode, _)| *inode).collect();
        for inode in wanted {
            let Some(reader) = &mut shared.reader else {
                self.held.values_mut().for_each(Held::take_names);
                continue;
            };
            let others = self.held.iter().filter(|(other, held)| **other != inode && held.counters.is_some());
            let others: Vec<OwnedFd> =
                others.filter_map(|(inode, held)| held.open(*inode).ok()).map(OwnedFd::from).collect();
            let Some(held) = self.held.get_mut(&inode) else { continue };
            match held.open(inode) {
                Ok(namespace) => held.pending = reader.ask(namespace, others),
                // It ends; the next sample finds that out.
                Err(error) if is_gone(&error) => {}
                Err(error) => held.take_list(Err(error), shared),
            }
            held.outdated = held.pending.is_none();
        }
        for held in self.held.values_mut() {
            if let Some(pending) = &held.pending
                && let Some(answer) = shared.reader.as_mut().and_then(|reader| reader.answer(pending))
            {
                held.pending = None;
                held.take_list(answer, shared);
            }
        }
    }
}

impl Held {
    fn new(shared: &Namespaces, inode: u64, process: PathBuf, old: bool) -> Self {
        let path = process.join("net/dev");
        let is_host = inode == INITIAL_NAMESPACE || shared.host == Some(inode);
        let kept = if is_host { None } else { KeptFiles::reserve(1) };
        let file = if kept.is_some() { KernelFile::kept(path) } else { KernelFile::reopened(path) };
        let counters = (!is_host).then_some(file);
        let interfaces = HashMap::new();
        Self { process, counters, interfaces, pending: None, is_refused: false, outdated: false, old, _kept: kept }
    }

    /// Whether the witness is still there.
    fn is_in(&self, inode: u64) -> bool {
        namespace_of(&self.process).is_ok_and(|now| now == inode)
    }

    /// Opens the namespace.
    fn open(&self, inode: u64) -> io::Result<File> {
        let file = File::open(self.process.join("ns/net"))?;
        // The number of a process that ended may have been given to another one.
        if file.metadata()?.ino() == inode { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    fn has_unknown(&self) -> bool {
        !self.is_refused && self.interfaces.values().any(|known| known.counts.is_none())
    }

    fn is_to_be_listed(&self, shared: &Namespaces) -> bool {
        let lacks = self.has_unknown() || self.outdated && !self.interfaces.is_empty();
        lacks && self.counters.is_some() && self.pending.is_none() && shared.wanted.is_empty()
    }

    /// Takes over which interfaces count.
    fn take_list(&mut self, listed: io::Result<Vec<Interface>>, shared: &mut Namespaces) {
        match listed {
            Ok(listed) => {
                self.is_refused = false;
                for interface in listed {
                    if let Some(known) = self.interfaces.get_mut(&interface.name) {
                        known.counts = Some(interface.leads_out);
                        known.is_loopback = interface.is_loopback;
                        // What began at zero here is new where the instance was looked at before.
                        if interface.is_virtual && !known.old && !known.started {
                            known.first = Traffic::default();
                        }
                    }
                }
            }
            Err(error) => {
                shared.log_denied(&error);
                self.is_refused = true;
            }
        }
    }

    /// Where nothing but names is known, all but loopback count.
    fn take_names(&mut self) {
        for (name, known) in &mut self.interfaces {
            known.counts.get_or_insert(name != b"lo");
        }
    }

    /// Reads the counters, and adds those that count.
    fn update(
        &mut self,
        shared: &Namespaces,
        inode: u64,
        buffer: &mut Vec<u8>,
        found: &mut BTreeMap<String, Traffic>,
    ) -> io::Result<()> {
        let Some(file) = &mut self.counters else { return Ok(()) };
        let text = match file.read_bytes(buffer) {
            Ok(text) => text,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for (name, traffic) in interfaces(text)? {
            if !self.interfaces.contains_key(name) {
                self.interfaces.insert(name.to_owned(), Known::new(name, inode, self.old, traffic, &shared.wanted));
            }
            let Some(known) = self.interfaces.get_mut(name) else { continue };
            known.seen = true;
            if known.started && known.counts == Some(true) {
                found.insert(known.key.clone(), traffic);
            }
        }
        self.interfaces.retain(|_, known| std::mem::take(&mut known.seen));
        self.old = false;
        self.start(found);
        Ok(())
    }

    /// Begins to count what is found to count, from what it showed when it was first seen.
    fn start(&mut self, found: &mut BTreeMap<String, Traffic>) {
        for known in self.interfaces.values_mut() {
            if known.counts == Some(true) && !std::mem::replace(&mut known.started, true) {
                found.insert(known.key.clone(), known.first);
            }
        }
    }
}

impl Known {
    fn new(name: &[u8], inode: u64, old: bool, first: Traffic, wanted: &[NamePattern]) -> Self {
        let spelled = spelled(name);
        let counts = (!wanted.is_empty()).then(|| wanted.iter().any(|pattern| pattern.matches(&spelled)));
        Self { key: format!("{spelled}@{inode}"), counts, is_loopback: false, old, first, started: false, seen: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const HEAD: &str = "Inter-| Receive | Transmit\n face |bytes\n";

    fn process(root: &Path, number: u32, namespace: &str, eth0: Option<u64>) {
        let folder = root.join(format!("proc/{number}"));
        fs::create_dir_all(folder.join("ns")).unwrap();
        fs::create_dir_all(folder.join("net")).unwrap();
        let _ = fs::remove_file(folder.join("ns/net"));
        symlink(format!("net:[{namespace}]"), folder.join("ns/net")).unwrap();
        let eth0 = eth0.map(|bytes| format!("eth0: {bytes} 0 0 0 0 0 0 0 {} 0 0 0 0 0 0 0\n", 2 * bytes));
        let lo = "  lo: 9 0 0 0 0 0 0 0 9 0 0 0 0 0 0 0\n";
        fs::write(folder.join("net/dev"), format!("{HEAD}{lo}{}", eth0.unwrap_or_default())).unwrap();
    }

    fn bytes(traffic: &BTreeMap<String, Traffic>) -> Vec<(&str, u64, u64)> {
        traffic.iter().map(|(name, traffic)| (name.as_str(), traffic.received, traffic.sent)).collect()
    }

    /// Without the kernel behind it: all but `lo` count, from what they show at first.
    #[test]
    fn counts_every_namespace_of_an_instance_once() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        process(root, 1, "1", Some(1_000_000));
        process(root, 20, "7", None);
        let mut shared = Namespaces::new(root, &[]);
        let mut buffer = Vec::new();
        let mut traffic = NamespaceTraffic::new(false);
        let mut second = 0;
        let mut read = |traffic: &mut NamespaceTraffic, processes: &[u32]| {
            second += 60;
            traffic.read(&mut shared, Duration::from_secs(second), || Ok(processes.to_vec()), &mut buffer).unwrap()
        };
        assert_eq!(bytes(&read(&mut traffic, &[])), [], "no process yet");
        assert_eq!(bytes(&read(&mut traffic, &[20])), [], "no interface yet");
        process(root, 20, "7", Some(5));
        assert_eq!(bytes(&read(&mut traffic, &[20])), [("eth0@7", 5, 10)]);
        // A process in the host's namespace, one in an empty one, and two in the same: whichever comes first.
        process(root, 19, "9", None);
        process(root, 21, "7", Some(5));
        process(root, 22, "8", Some(1));
        assert_eq!(bytes(&read(&mut traffic, &[1, 19, 21, 20, 22])), [("eth0@7", 5, 10), ("eth0@8", 1, 2)]);
        // The witness ends, another process of the namespace goes on.
        process(root, 20, "7", Some(30));
        fs::remove_file(root.join("proc/20/ns/net")).unwrap();
        assert_eq!(bytes(&read(&mut traffic, &[1, 19, 21, 22])), [("eth0@7", 30, 60), ("eth0@8", 1, 2)]);
        // Nobody is left in it: its last figures are in the sample, and it is dropped.
        process(root, 21, "9", Some(30));
        process(root, 22, "8", Some(3));
        assert_eq!(bytes(&read(&mut traffic, &[1, 19, 22])), [("eth0@7", 30, 60), ("eth0@8", 3, 6)]);
        assert_eq!(bytes(&read(&mut traffic, &[1, 19, 22])), [("eth0@8", 3, 6)]);
    }
}
