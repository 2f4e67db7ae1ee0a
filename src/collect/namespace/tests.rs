//! Namespaces of instances, without the kernel behind them.

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
    let left = std::cell::RefCell::new(Vec::new());
    let mut read = |processes: &[u32]| {
        second += 60;
        let at = Duration::from_secs(second);
        let found = traffic.read(&mut shared, at, || Ok(of(processes)), &mut Vec::new()).unwrap();
        *left.borrow_mut() = found.left;
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
    assert_eq!(*left.borrow(), [7], "a restart has to know");
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
    assert!(Held::new(&mut shared, 8, folder.clone()).unwrap().is_none(), "it is in 7 by now");
    let file = fs::metadata(folder.join("net/dev")).unwrap();
    let mut held = Held::new(&mut shared, 7, folder).unwrap().unwrap();
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
        ..links::Interface::default()
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
        let mut held = Held::new(&mut shared, 7, root.path().join("proc/20")).unwrap().unwrap();
        held.take_list(7, Err(io::ErrorKind::PermissionDenied.into()), &mut shared);
        held.update(&shared, 7, Duration::from_secs(100), &mut Vec::new()).unwrap();
        assert_eq!(held.is_doubtful, is_doubtful, "{pattern}");
    }
}

/// Whoever makes namespaces without end may end them before an answer comes.
#[test]
fn a_namespace_that_ends_before_its_interfaces_are_listed_is_not_metered() {
    for passed in [0, 5] {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        process(root, 20, "7", Some(passed));
        fs::write(root.join("proc/20/net/dev"), format!("{HEAD}eth0: {passed} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"))
            .unwrap();
        fs::write(root.join("proc/20/net/sockstat"), "sockets: used 0\n").unwrap();
        // It can't be entered.
        let mut shared = Namespaces { reader: Some(LinkReader::default()), ..Namespaces::new(root, &[]) };
        let mut traffic = NamespaceTraffic::default();
        let mut read = |second: u64, processes: &[u32]| {
            let at = Duration::from_secs(second);
            let found = traffic.read(&mut shared, at, || Ok(of(processes)), &mut Vec::new()).unwrap();
            (found.traffic.len(), traffic.is_partial())
        };
        assert_eq!(read(1, &[20]), (0, passed > 0));
        fs::remove_file(root.join("proc/20/ns/net")).unwrap();
        assert_eq!(read(2, &[]), (0, passed > 0), "with what passed it");
        assert_eq!(read(3, &[]), (0, false));
    }
}

/// A group that keeps other processes is asked for them in rounds, with pauses between.
#[test]
fn a_process_that_went_to_another_group_is_missed_when_that_one_has_it() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    process(root, 20, "7", Some(5));
    process(root, 21, "8", Some(1));
    process(root, 30, "9", None);
    let mut shared = Namespaces::new(root, &[]);
    let mut read = |traffic: &mut NamespaceTraffic, second: u64, processes: &[u32]| {
        let at = Duration::from_secs(second);
        traffic.read(&mut shared, at, || Ok(of(processes)), &mut Vec::new()).unwrap().namespaces
    };
    let (mut one, mut other) = (NamespaceTraffic::default(), NamespaceTraffic::default());
    for minute in 0..6 {
        assert_eq!(read(&mut one, 60 * minute, &[20, 21]), [7, 8]);
        assert_eq!(read(&mut other, 60 * minute, &[30]), [9]);
    }
    assert_eq!(read(&mut one, 301, &[21]), [7, 8], "it is not asked yet");
    other.ask_again();
    assert_eq!(read(&mut other, 302, &[20, 30]), [7, 9]);
    assert_eq!(read(&mut one, 303, &[21]), [7, 8], "with its last figures");
    assert_eq!(read(&mut one, 304, &[21]), [8]);
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
