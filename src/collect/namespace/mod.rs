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
        Self { proc, host, wanted, chosen, chosen_at: None, reader, denied: false, too_many: false }
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
                Ok(namespace) => held.ask(reader.ask(namespace, others), at),
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
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

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

    /// A socket goes on sending from a namespace that its process left.
    #[test]
    fn a_namespace_that_was_left_counts_while_a_socket_is_in_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let sockets = |count: u32| fs::write(root.join("proc/20/net/sockstat"), format!("sockets: used {count}\n"));
        process(root, 20, "7", Some(5));
        sockets(1).unwrap();
        let mut shared = Namespaces::new(root, &[]);
        let (mut traffic, mut second) = (NamespaceTraffic::default(), 0);
        let mut read = |processes: &[u32]| {
            second += 60;
            let at = Duration::from_secs(second);
            let found = traffic.read(&mut shared, at, || Ok(of(processes)), &mut Vec::new()).unwrap();
            (found.traffic.into_iter().map(|(name, it)| (name, it.received)).collect::<Vec<_>>(), traffic.is_partial())
        };
        let one = |received| vec![("eth0@7".to_owned(), received)];
        process(root, 21, "9", None);
        assert_eq!(read(&[20, 21]), (one(5), false));
        // Its files tell of the namespace that they were opened in.
        process(root, 20, "7", Some(50));
        fs::remove_file(root.join("proc/20/ns/net")).unwrap();
        assert_eq!(read(&[20, 21]), (one(50), false));
        process(root, 20, "7", Some(60));
        fs::remove_file(root.join("proc/20/ns/net")).unwrap();
        assert_eq!(read(&[]), (one(60), true), "whose it is can't be known");
        assert_eq!(read(&[]), (vec![], true));
        assert_eq!(read(&[21]), (one(60), false));
        sockets(0).unwrap();
        assert_eq!(read(&[21]), (one(60), false), "its last figures");
        assert_eq!(read(&[21]), (vec![], false));
    }

    fn bytes(traffic: &BTreeMap<String, Traffic>) -> Vec<(&str, u64, u64)> {
        traffic.iter().map(|(name, traffic)| (name.as_str(), traffic.received, traffic.sent)).collect()
    }

    fn of(numbers: &[u32]) -> Threads {
        Threads { numbers: numbers.to_vec(), is_partial: false }
    }

    /// The witness of a namespace may go elsewhere between the question where it is and the opening of its files.
    #[test]
    fn counters_of_another_namespace_are_never_taken() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 20, "7", Some(5));
        let mut shared = Namespaces::new(root.path(), &[]);
        let folder = root.path().join("proc/20");
        assert!(Held::new(&shared, 8, folder.clone()).unwrap().is_none(), "it is in 7 by now");
        let file = fs::metadata(folder.join("net/dev")).unwrap();
        let mut held = Held::new(&shared, 7, folder).unwrap().unwrap();
        for (counters, is_mistaken) in [(file.ino(), false), (file.ino() + 1, true)] {
            let listed = links::Listed { interfaces: vec![], counters: Some(counters), age: None, is_doubtful: false };
            held.take_list(7, Ok(listed), &mut shared);
            assert_eq!(held.is_mistaken, is_mistaken);
        }
    }

    /// An interface that leads out, with this number, of which so many bytes were sent.
    fn listed(index: i32, name: &str, sent: u64) -> links::Interface {
        links::Interface {
            index,
            passed: Traffic { sent, received: 0 },
            name: name.into(),
            leads_out: true,
            is_proven: true,
            may_lead_out: false,
            is_virtual: true,
            is_loopback: false,
        }
    }

    /// A namespace that is held, as of its lists of interfaces.
    fn held_with(shared: &mut Namespaces, root: &Path, lists: &[(Option<Duration>, Vec<links::Interface>)]) -> Held {
        process(root, 20, "7", None);
        let mut held = Held::new(shared, 7, root.join("proc/20")).unwrap().unwrap();
        for (age, interfaces) in lists {
            held.ask(Some(std::sync::mpsc::sync_channel(1).1), Duration::from_secs(100));
            held.is_partial = false;
            let interfaces = interfaces.clone();
            let listed = links::Listed { interfaces, counters: None, age: *age, is_doubtful: false };
            held.take_list(7, Ok(listed), shared);
            held.add_to(7, &mut NamespaceReading::default());
        }
        held
    }

    #[test]
    fn an_interface_that_is_removed_or_reset_takes_what_passed_it_last_along() {
        let root = tempfile::tempdir().unwrap();
        let mut shared = Namespaces::new(root.path(), &[]);
        let inner = links::Interface { leads_out: false, ..listed(3, "br0", 9) };
        let before = vec![listed(2, "eth0", 5), inner.clone()];
        for (after, is_partial) in [
            (before.clone(), false),
            (vec![listed(2, "eth1", 6)], false),
            (vec![inner.clone()], true),
            (vec![listed(2, "eth0", 4), inner.clone()], true),
            (vec![listed(4, "eth0", 7), inner], true),
        ] {
            let held = held_with(&mut shared, root.path(), &[(None, before.clone()), (None, after.clone())]);
            assert_eq!(held.is_partial, is_partial, "{after:?}");
        }
    }

    #[test]
    fn a_tap_beside_a_cable_that_may_lead_nowhere_is_never_free() {
        let root = tempfile::tempdir().unwrap();
        let mut shared = Namespaces::new(root.path(), &[]);
        let tap = |sent| links::Interface { leads_out: false, may_lead_out: true, ..listed(3, "tap0", sent) };
        let alone = (None, vec![listed(3, "tap0", 1 << 20)]);
        for (cable, is_partial) in [(0, true), (9 << 20, false)] {
            let lists = [alone.clone(), (None, vec![tap(10 << 20), listed(4, "dead", cable)])];
            assert_eq!(held_with(&mut shared, root.path(), &lists).is_partial, is_partial, "{cable}");
        }
    }

    #[test]
    fn interfaces_that_were_chosen_by_their_names_count_under_others_after_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let mut shared = Namespaces::new(root.path(), &["eth*".parse().unwrap()]);
        let read = |shared: &mut Namespaces, age: Option<Duration>, interfaces: Vec<links::Interface>| {
            let mut held = held_with(shared, root.path(), &[(age, interfaces)]);
            let mut found = NamespaceReading::default();
            held.add_to(7, &mut found);
            (found.traffic.into_keys().collect::<Vec<_>>(), held.is_doubtful)
        };
        let renamed = || vec![listed(2, "n0", 5)];
        assert_eq!(read(&mut shared, None, renamed()), (vec![], true), "what leads out has another name");
        let decoy = links::Interface { is_proven: false, ..listed(3, "eth0", 0) };
        let both = [renamed(), vec![decoy]].concat();
        assert_eq!(read(&mut shared, None, both), (vec!["/3@7".to_owned()], true), "and one with the name is new");
        let other = vec![listed(3, "eth0", 0), listed(2, "storage", 5)];
        assert_eq!(read(&mut shared, None, other), (vec!["/3@7".to_owned()], false), "the operator left it out");
        let keys = ["/2@7", "/3@8", "eth0", "/x@7"].map(str::to_owned);
        shared.choose(&keys, Duration::from_secs(90));
        assert_eq!(read(&mut shared, None, renamed()), (vec!["/2@7".to_owned()], false));
        let young = Some(Duration::from_secs(5));
        assert_eq!(read(&mut shared, young, renamed()), (vec![], true), "a namespace that has the number since");
        shared.choose(&[], Duration::from_secs(90));
        assert_eq!(read(&mut shared, None, renamed()), (vec![], true));
    }

    #[test]
    fn where_names_alone_are_known_one_of_them_has_to_fit() {
        let root = tempfile::tempdir().unwrap();
        for (pattern, is_doubtful) in [("eth*", false), ("up*", true)] {
            let mut shared = Namespaces::new(root.path(), &[pattern.parse().unwrap()]);
            process(root.path(), 20, "7", Some(5));
            let mut held = Held::new(&shared, 7, root.path().join("proc/20")).unwrap().unwrap();
            held.take_list(7, Err(io::ErrorKind::PermissionDenied.into()), &mut shared);
            held.update(&shared, 7, Duration::from_secs(100), &mut Vec::new()).unwrap();
            assert_eq!(held.is_doubtful, is_doubtful, "{pattern}");
        }
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
        let mut traffic = NamespaceTraffic::default();
        let mut second = 0;
        let mut read = |traffic: &mut NamespaceTraffic, processes: &[u32]| {
            second += 60;
            traffic.read(&mut shared, Duration::from_secs(second), || Ok(of(processes)), &mut buffer).unwrap().traffic
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
