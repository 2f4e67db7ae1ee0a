//! The traffic of an instance that has a network namespace of its own.
//!
//! The counters are those of the namespace's interfaces, read through one of the instance's processes; all processes of
//! an instance are taken to share one namespace. An instance in the host's namespace has no counters of its own: its
//! traffic is the host's, and 0 here.
//!
//! The file with the counters stays open, which keeps them readable after the last process of the namespace ended. (It
//! keeps the namespace too, until the next look.)

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Traffic;
use super::kernel_file::{KernelFile, is_gone};
use super::net_dev::interfaces;
use super::pattern::NamePattern;

/// What all instances share.
#[derive(Debug)]
pub(super) struct Namespaces {
    proc: PathBuf,
    /// The namespace of the host, as its link says: `net:[4026531840]`.
    host: PathBuf,
    /// The interfaces that count, where not all.
    wanted: Vec<NamePattern>,
}

impl Namespaces {
    pub(super) fn new(root: &Path, wanted: &[NamePattern]) -> Self {
        let proc = root.join("proc");
        // The host's is that of process 1; who may not look there is taken to be in it.
        let link = |process: &str| fs::read_link(proc.join(process).join("ns/net")).ok();
        let host = link("1").or_else(|| link("self")).unwrap_or_default();
        Self { proc, host, wanted: wanted.to_vec() }
    }
}

/// One instance's traffic.
#[derive(Debug, Default)]
pub(super) struct NamespaceTraffic {
    held: Option<Held>,
    /// What was last seen, by `INTERFACE@NAMESPACE`. A namespace that comes after another one has interfaces of its own.
    last: BTreeMap<String, Traffic>,
    /// Whether the instance was there before the first look, so that nobody knows which of its traffic is new.
    old: bool,
}

/// The namespace that was found.
#[derive(Debug)]
struct Held {
    /// The folder in `/proc` of the process that it was found by.
    process: PathBuf,
    link: PathBuf,
    /// The digits of the link.
    id: String,
    /// `None` for the host's.
    counters: Option<KernelFile>,
    /// Whether an interface counts, by its name.
    counts: HashMap<String, bool>,
}

impl NamespaceTraffic {
    /// `old`: the instance was there before the first look.
    pub(super) fn new(old: bool) -> Self {
        Self { old, ..Self::default() }
    }

    /// The counters as of now. `processes` finds some of the instance's processes.
    pub(super) fn read(
        &mut self,
        shared: &Namespaces,
        processes: impl FnOnce() -> io::Result<Vec<u32>>,
        buffer: &mut Vec<u8>,
    ) -> io::Result<BTreeMap<String, Traffic>> {
        if let Some(held) = &self.held
            && fs::read_link(held.process.join("ns/net")).ok().as_ref() != Some(&held.link)
        {
            // Its end, or it went elsewhere. What is left of the counters first.
            self.update(shared, buffer)?;
            self.held = None;
        }
        if self.held.is_none() {
            self.held = find(shared, &processes()?)?;
        }
        self.update(shared, buffer)?;
        self.old = false;
        Ok(self.last.clone())
    }

    fn update(&mut self, shared: &Namespaces, buffer: &mut Vec<u8>) -> io::Result<()> {
        let Some(held) = &mut self.held else { return Ok(()) };
        let Some(file) = &mut held.counters else {
            self.last.clear();
            return Ok(());
        };
        let text = match file.read(buffer) {
            Ok(text) => text,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut seen = BTreeMap::new();
        for (name, traffic) in interfaces(text)? {
            let counts = match held.counts.get(name) {
                Some(counts) => *counts,
                None => {
                    let counts = counts(name, &held.process, &shared.wanted);
                    held.counts.insert(name.to_owned(), counts);
                    counts
                }
            };
            if !counts {
                continue;
            }
            let key = format!("{name}@{}", held.id);
            // What an interface shows at its first look is new where the instance was looked at before, unless the
            // interface came from elsewhere with counters of its own. New traffic counts from zero at the next look.
            let from_zero = !self.old && !self.last.contains_key(&key) && is_virtual(name, &held.process);
            seen.insert(key, if from_zero { Traffic::default() } else { traffic });
        }
        self.last = seen;
        Ok(())
    }
}

/// The namespace of the first process that is still there.
fn find(shared: &Namespaces, processes: &[u32]) -> io::Result<Option<Held>> {
    for number in processes {
        let process = shared.proc.join(number.to_string());
        let link = match fs::read_link(process.join("ns/net")) {
            Ok(link) => link,
            Err(error) if is_gone(&error) => continue,
            Err(error) => {
                let what = "run as root, or with CAP_SYS_PTRACE, to meter the network of others' processes";
                return Err(io::Error::new(error.kind(), format!("{}/ns/net: {error}; {what}", process.display())));
            }
        };
        let id: String = link.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let counters = (link != shared.host).then(|| KernelFile::kept(process.join("net/dev")));
        return Ok(Some(Held { process, link, id, counters, counts: HashMap::new() }));
    }
    Ok(None)
}

/// Whether an interface of a namespace is a way out: not loopback, no bridge and nothing that is plugged into one or
/// bonded, nothing that runs over another interface. What can't be known (there is no `/sys` in there) counts.
fn counts(name: &str, process: &Path, wanted: &[NamePattern]) -> bool {
    if !wanted.is_empty() {
        return wanted.iter().any(|pattern| pattern.matches(name));
    }
    let folder = sys(process, name);
    let has = |entry: &str| folder.join(entry).exists();
    if name == "lo" || has("bridge") || has("master") || has("tun_flags") {
        return false;
    }
    let uevent = fs::read_to_string(folder.join("uevent")).unwrap_or_default();
    let kind = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    !matches!(kind, Some("vlan" | "vxlan" | "geneve" | "wireguard"))
}

/// Whether an interface was made for this namespace, so that its counters began at zero there: it has no device.
/// Unknown is no.
fn is_virtual(name: &str, process: &Path) -> bool {
    let folder = sys(process, name);
    folder.exists() && !folder.join("device").exists()
}

/// An interface as the process sees it in `/sys`.
fn sys(process: &Path, name: &str) -> PathBuf {
    process.join("root/sys/class/net").join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const HEAD: &str = "Inter-| Receive | Transmit\n face |bytes\n";

    fn process(root: &Path, number: u32, namespace: &str, eth0: Option<u64>) {
        let folder = root.join(format!("proc/{number}"));
        fs::create_dir_all(folder.join("ns")).unwrap();
        fs::create_dir_all(folder.join("net")).unwrap();
        fs::create_dir_all(folder.join("root/sys/class/net/eth0")).unwrap();
        symlink(format!("net:[{namespace}]"), folder.join("ns/net")).unwrap();
        let eth0 = eth0.map(|bytes| format!("eth0: {bytes} 0 0 0 0 0 0 0 {} 0 0 0 0 0 0 0\n", 2 * bytes));
        let lo = "  lo: 9 0 0 0 0 0 0 0 9 0 0 0 0 0 0 0\n";
        fs::write(folder.join("net/dev"), format!("{HEAD}{lo}{}", eth0.unwrap_or_default())).unwrap();
    }

    fn bytes(traffic: &BTreeMap<String, Traffic>) -> Vec<(&str, u64, u64)> {
        traffic.iter().map(|(name, traffic)| (name.as_str(), traffic.received, traffic.sent)).collect()
    }

    #[test]
    fn counts_through_the_processes_of_an_instance() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        process(root, 1, "1", Some(1_000_000));
        process(root, 20, "7", None);
        let shared = Namespaces::new(root, &[]);
        let mut buffer = Vec::new();
        let mut traffic = NamespaceTraffic::new(false);
        let mut read = |traffic: &mut NamespaceTraffic, processes: &[u32]| {
            traffic.read(&shared, || Ok(processes.to_vec()), &mut buffer).unwrap()
        };
        assert_eq!(bytes(&read(&mut traffic, &[])), [], "no process yet");
        assert_eq!(bytes(&read(&mut traffic, &[20])), [], "no interface yet");
        fs::write(root.join("proc/20/net/dev"), format!("{HEAD}eth0: 5 0 0 0 0 0 0 0 6 0 0 0 0 0 0 0\n")).unwrap();
        assert_eq!(bytes(&read(&mut traffic, &[20])), [("eth0@7", 0, 0)], "new: from zero");
        assert_eq!(bytes(&read(&mut traffic, &[20])), [("eth0@7", 5, 6)]);
        // The process ends, another one of the namespace goes on.
        process(root, 21, "7", Some(30));
        fs::remove_file(root.join("proc/20/ns/net")).unwrap();
        assert_eq!(bytes(&read(&mut traffic, &[19, 21])), [("eth0@7", 30, 60)]);
        fs::remove_file(root.join("proc/21/ns/net")).unwrap();
        assert_eq!(bytes(&read(&mut traffic, &[])), [("eth0@7", 30, 60)], "kept");
        process(root, 22, "8", Some(1));
        assert_eq!(bytes(&read(&mut traffic, &[22])), [("eth0@8", 0, 0)]);
        // The host's own namespace is not an instance's.
        assert_eq!(bytes(&read(&mut NamespaceTraffic::new(true), &[1])), []);
        // What was there before the first look starts from what it shows.
        assert_eq!(bytes(&read(&mut NamespaceTraffic::new(true), &[22])), [("eth0@8", 1, 2)]);
    }
}
