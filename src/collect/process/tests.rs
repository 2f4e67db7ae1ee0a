//! Trees of a root of the test's own. Those of this machine are tested with the binary.

use std::fs;
use std::path::PathBuf;

use super::*;

struct Proc(tempfile::TempDir);

impl Proc {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc/sys/kernel/random")).unwrap();
        fs::create_dir_all(root.path().join("sys/devices/system/cpu")).unwrap();
        fs::write(root.path().join("proc/sys/kernel/hostname"), "node1\n").unwrap();
        fs::write(root.path().join("proc/meminfo"), "MemTotal: 1000 kB\n").unwrap();
        fs::write(root.path().join("sys/devices/system/cpu/online"), "0-3\n").unwrap();
        Self(root)
    }

    fn folder(&self, number: u32) -> PathBuf {
        self.0.path().join(format!("proc/{number}"))
    }

    fn process(&self, number: u32, parent: u32, own: u64, waited: u64) {
        let folder = self.folder(number);
        fs::create_dir_all(&folder).unwrap();
        let start = 1000 + number;
        let stat = format!("{number} (x y) S {parent} 1 1 0 -1 0 1 2 3 4 {own} 0 {waited} 0 20 0 1 0 {start} 1 2");
        fs::write(folder.join("stat"), stat).unwrap();
        fs::write(folder.join("statm"), "900 100 30 1 0 5 0").unwrap();
        fs::write(folder.join("status"), format!("Tgid:\t{number}\nCpus_allowed_list:\t0-2,7\n")).unwrap();
    }

    fn open(&self, number: u32) -> Result<ProcessTree, CollectError> {
        ProcessTree::open(number, &ScopeOptions { root: self.0.path().to_owned(), ..ScopeOptions::default() })
    }
}

fn millis(tree: &mut ProcessTree) -> u128 {
    tree.read(Duration::ZERO).unwrap().remove(0).reading.cpu.unwrap().as_millis()
}

#[test]
fn a_tree_is_metered_with_those_that_ended() {
    let proc = Proc::new();
    proc.process(10, 1, 100, 20);
    proc.process(11, 10, 5, 0);
    proc.process(12, 11, 3, 0);
    proc.process(13, 1, 999, 0);
    let mut tree = proc.open(10).unwrap();
    assert_eq!(millis(&mut tree), 1280);
    let seen = tree.read(Duration::ZERO).unwrap().remove(0);
    assert_eq!((seen.instance.as_str(), seen.born), ("node1/pid:10", false));
    assert!(seen.life.ends_with(":10:1010"), "{}", seen.life);
    assert_eq!((seen.reading.cpus, seen.reading.memory_total), (4.0, 1000 << 10));
    let page = rustix::param::page_size() as u64;
    assert_eq!(seen.reading.memory_used, Some((3 * 70 + 30) * page));
    // 11 ends without waiting for 12, which another one adopts; 12 runs on and ends there.
    fs::remove_dir_all(proc.folder(11)).unwrap();
    proc.process(10, 1, 100, 25);
    proc.process(12, 1, 7, 0);
    assert_eq!(millis(&mut tree), 1320);
    fs::remove_dir_all(proc.folder(12)).unwrap();
    assert_eq!(millis(&mut tree), 1320);
    fs::remove_dir_all(proc.folder(10)).unwrap();
    assert_eq!(tree.read(Duration::ZERO).unwrap(), []);
    proc.process(10, 1, 1, 1);
    assert_eq!(tree.read(Duration::ZERO).unwrap(), [], "the number was given to another one");
}

#[test]
fn huge_pages_are_memory_and_those_that_forks_share_count_once() {
    let proc = Proc::new();
    fs::write(proc.0.path().join("proc/meminfo"), "MemTotal: 1000000 kB\nHugetlb: 262144 kB\n").unwrap();
    for (number, parent) in [(10, 1), (11, 10), (12, 10)] {
        proc.process(number, parent, 1, 0);
    }
    for number in [10, 11] {
        fs::write(proc.folder(number).join("status"), "Tgid:\t10\nHugetlbPages:\t  122880 kB\n").unwrap();
    }
    let mut tree = proc.open(10).unwrap();
    let page = rustix::param::page_size() as u64;
    let seen = tree.read(Duration::ZERO).unwrap().remove(0);
    assert_eq!(seen.reading.memory_used, Some((3 * 70 + 30) * page + (120 << 20)));
}

#[test]
fn a_tree_is_metered_until_the_last_of_it_ended() {
    let proc = Proc::new();
    proc.process(10, 1, 100, 0);
    proc.process(11, 10, 5, 0);
    let mut tree = proc.open(10).unwrap();
    assert_eq!(millis(&mut tree), 1050);
    fs::remove_dir_all(proc.folder(10)).unwrap();
    proc.process(11, 1, 805, 0);
    assert_eq!(millis(&mut tree), 9050, "the child goes on");
    assert!(!tree.is_over());
    let stat = fs::read_to_string(proc.folder(11).join("stat")).unwrap();
    fs::write(proc.folder(11).join("stat"), stat.replace(" S 1 ", " Z 1 ")).unwrap();
    assert_eq!(millis(&mut tree), 9050);
    assert!(tree.is_over());
}

#[test]
fn what_is_no_process_is_told() {
    let proc = Proc::new();
    let error = proc.open(7).unwrap_err().to_string();
    assert!(error.contains("there is no such process") && error.contains("ps -p 7"), "{error}");
    proc.process(7, 1, 0, 0);
    fs::write(proc.folder(7).join("status"), "Tgid:\t5\n").unwrap();
    assert!(proc.open(7).unwrap_err().to_string().contains("a thread of process 5; meter pid:5"));
}

#[test]
fn gpu_time_is_that_of_the_tree() {
    let proc = Proc::new();
    fs::create_dir_all(proc.0.path().join("sys/class/drm/renderD128")).unwrap();
    proc.process(10, 1, 0, 0);
    proc.process(11, 10, 0, 0);
    let client = |process: u32, id: u32, nanos: u64| {
        let folder = proc.folder(process);
        fs::create_dir_all(folder.join("fd")).unwrap();
        fs::create_dir_all(folder.join("fdinfo")).unwrap();
        let _ = std::os::unix::fs::symlink("/dev/dri/renderD128", folder.join("fd/3"));
        let text = format!("drm-pdev:\t0000:03:00.0\ndrm-client-id:\t{id}\ndrm-engine-compute:\t{nanos} ns\n");
        fs::write(folder.join("fdinfo/3"), text).unwrap();
    };
    client(10, 1, 40);
    client(11, 2, 2);
    let mut tree = proc.open(10).unwrap();
    let mut used = || -> u128 {
        let gpu = tree.read(Duration::ZERO).unwrap().remove(0).reading.gpu.unwrap();
        gpu.values().map(|time| time.used.as_nanos()).sum()
    };
    assert_eq!(used(), 42);
    fs::remove_dir_all(proc.folder(11)).unwrap();
    client(10, 1, 50);
    assert_eq!(used(), 52);
}

#[test]
fn a_process_whose_first_thread_ended_has_its_memory() {
    let proc = Proc::new();
    proc.process(10, 1, 100, 0);
    let stat = fs::read_to_string(proc.folder(10).join("stat")).unwrap();
    fs::write(proc.folder(10).join("stat"), stat.replace(" S 1 ", " Z 1 ").replace(" 20 0 1 0 ", " 20 0 2 0 "))
        .unwrap();
    fs::write(proc.folder(10).join("statm"), "0 0 0 0 0 0 0").unwrap();
    for (thread, statm) in [("10", "0 0 0 0 0 0 0"), ("11", "900 100 30 1 0 5 0")] {
        fs::create_dir_all(proc.folder(10).join("task").join(thread)).unwrap();
        fs::write(proc.folder(10).join("task").join(thread).join("statm"), statm).unwrap();
    }
    let mut tree = proc.open(10).unwrap();
    let seen = tree.read(Duration::ZERO).unwrap().remove(0);
    assert_eq!(seen.reading.memory_used, Some(100 * rustix::param::page_size() as u64));
}
