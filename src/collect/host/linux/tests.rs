//! Readings of fixture roots, and of this machine.

use std::time::Duration;

use super::*;
use crate::collect::Traffic;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/hosts");

fn read(host: &str) -> Reading {
    LinuxHost::new(format!("{FIXTURES}/{host}")).unwrap().read(Duration::from_secs(7)).unwrap().remove(0).reading
}

fn interfaces(reading: &Reading) -> Vec<(&str, Traffic)> {
    reading.network.iter().flatten().map(|(name, traffic)| (name.as_str(), *traffic)).collect()
}

#[test]
fn a_virtual_machine_with_steal_time() {
    let reading = read("vm");
    // (10000 user + 200 nice + 3000 system + 40 irq + 60 softirq) / 100; 500 of user are guest time, 9000 are steal.
    assert_eq!(reading.cpu, Some(Duration::from_secs(133)));
    assert!((reading.cpus - 2.0).abs() < 1e-9);
    assert_eq!((reading.memory_used, reading.memory_total), (Some((4_000_000 - 2_500_000) * 1024), 4_000_000 * 1024));
    assert_eq!(interfaces(&reading), [("eth0", Traffic { sent: 2_000, received: 1_000 })]);
}

#[test]
fn a_container_host_counts_the_wire_and_not_what_runs_over_it() {
    let reading = read("container-host");
    assert_eq!(
        interfaces(&reading),
        [("eno1", Traffic { sent: 700, received: 600 }), ("eno2", Traffic { sent: 70, received: 60 })]
    );
}

#[test]
fn a_container_counts_its_end_of_the_cable() {
    assert_eq!(interfaces(&read("container")), [("eth0", Traffic { sent: 20, received: 10 })]);
}

#[test]
fn a_part_that_fails_leaves_the_rest() {
    let reading = read("container");
    assert_eq!(reading.memory_used, None);
    assert!(reading.cpu.is_some());
}

#[test]
fn a_root_without_proc_is_an_error() {
    let error = LinuxHost::new("/no/such/root").unwrap_err().to_string();
    assert!(error.contains("proc/stat") && error.contains("is /proc mounted"), "{error}");
}

/// All that is read of a fixture, for people; of file systems, which.
fn golden(host: &str) -> String {
    let seen = LinuxHost::new(format!("{FIXTURES}/{host}")).unwrap().read(Duration::from_secs(7)).unwrap().remove(0);
    let reading = seen.reading;
    let mut text = format!("instance {}\nlife {}\n", seen.instance, seen.life);
    text += &format!("cpu {:.2} s of {} CPUs\n", reading.cpu.unwrap().as_secs_f64(), reading.cpus);
    text += &format!("memory {:?} of {} bytes\n", reading.memory_used, reading.memory_total);
    for (name, traffic) in reading.network.iter().flatten() {
        text += &format!("interface {name} sent {} received {}\n", traffic.sent, traffic.received);
    }
    for mount in picked(host, &[], &[]) {
        let remote = if mount.remote { ", asked aside" } else { "" };
        text += &format!("file system {} at {}{remote}\n", mount.device.display(), mount.path.display());
    }
    text
}

fn picked(host: &str, mounts: &[&str], devices: &[&str]) -> Vec<storage::Mount> {
    let text = std::fs::read(format!("{FIXTURES}/{host}/proc/self/mountinfo")).unwrap();
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    storage::Wanted { mounts: patterns(mounts), devices: patterns(devices) }.pick(&text).mounts
}

#[test]
fn file_systems_count_once_by_a_path_that_leads_to_them_or_are_named() {
    let pick = |text: &str| {
        let picked = storage::Wanted::default().pick(text.as_bytes());
        let mounts: Vec<_> = picked.mounts.into_iter().map(|mount| mount.path.into_string().unwrap()).collect();
        let covered: Vec<_> = picked.covered.into_iter().map(|(device, _)| device.into_string().unwrap()).collect();
        (mounts.join(" "), covered.join(" "))
    };
    for (text, mounts, covered) in [
        // A tmpfs over a disk.
        (
            "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /a rw - ext4 /dev/sda2 rw\n22 21 0:9 / /a rw - tmpfs t rw",
            "/",
            "/dev/sda2",
        ),
        // A disk over another one, which is mounted elsewhere too.
        (
            "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /a rw - ext4 /dev/sda2 rw\n22 21 8:3 / /a rw - ext4 /dev/sda3 rw\n\
             23 20 8:2 /x /b rw - ext4 /dev/sda2 rw",
            "/ /a /b",
            "",
        ),
        // Only a folder of a disk, in a container.
        (
            "30 1 0:7 / / rw - overlay overlay rw\n31 30 8:2 /v/x /data rw - ext4 /dev/sda2 rw\n32 30 8:2 /v/h /etc/hosts rw - ext4 /dev/sda2 rw",
            "/data",
            "",
        ),
        // The folder came before the whole.
        (
            "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 /x /b rw - ext4 /dev/sda2 rw\n22 20 8:2 / /a rw - ext4 /dev/sda2 rw",
            "/ /a",
            "",
        ),
    ] {
        assert_eq!(pick(text), (mounts.to_owned(), covered.to_owned()), "{text}");
    }
}

#[test]
fn storage_is_not_metered_where_nothing_that_counts_is_mounted() {
    let root = tempfile::tempdir().unwrap();
    let proc = root.path().join("proc");
    std::fs::create_dir_all(proc.join("self")).unwrap();
    std::fs::copy(format!("{FIXTURES}/vm/proc/stat"), proc.join("stat")).unwrap();
    std::fs::write(proc.join("self/mountinfo"), "40 39 0:5 / /proc rw - proc proc rw\n").unwrap();
    let mut host = LinuxHost::new(root.path()).unwrap();
    let reading = host.read(Duration::ZERO).unwrap().remove(0).reading;
    assert!(reading.not_metered.intersects(MetricSet::STORAGE), "{reading:?}");
}

#[test]
fn readings_are_as_they_were() {
    for host in ["laptop", "server64", "container-host", "vm", "container"] {
        let path = format!("{FIXTURES}/{host}/expected.txt");
        let found = golden(host);
        if std::env::var_os("FORMUSAGE_REWRITE").is_some() {
            std::fs::write(&path, &found).unwrap();
        }
        assert_eq!(found, std::fs::read_to_string(&path).unwrap_or_default(), "{path}");
    }
}

#[test]
fn what_is_asked_for_counts_and_nothing_else() {
    let paths = |found: Vec<storage::Mount>| {
        found.into_iter().map(|mount| mount.path.into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(paths(picked("server64", &["/backup"], &[])), ["/backup"]);
    assert_eq!(paths(picked("server64", &["/srv/*"], &["pool/*"])), ["/srv/images", "/pool/vm", "/srv/jail/root"]);
    assert_eq!(paths(picked("laptop", &[], &["/dev/mapper/*"])), ["/"], "each device once");
    assert!(picked("laptop", &["/media/*"], &[]).iter().all(|mount| mount.remote), "they may not answer");
    let open = |options: ScopeOptions| LinuxHost::open(&options).map(drop).map_err(|error| error.to_string());
    let options = |mount: &str, device: &str, interface: &str| {
        let one = |text: &str| if text.is_empty() { vec![] } else { vec![text.parse().unwrap()] };
        let root = format!("{FIXTURES}/server64").into();
        ScopeOptions {
            root,
            mounts: one(mount),
            devices: one(device),
            interfaces: one(interface),
            ..ScopeOptions::default()
        }
    };
    assert_eq!(open(options("/srv/*", "", "ens*")), Ok(()));
    for (options, expected) in [
        (options("/srv/images/x", "", ""), "is mounted at /srv/images: --mount /srv/images"),
        (options("/home", "", ""), "--mount /"),
        (options("", "/dev/sdz", ""), "there are /dev/mapper/vg0-root, /dev/md127"),
        (options("", "", "eth*"), "there is no network interface eth*; there are lo, ens1f0"),
    ] {
        assert!(open(options.clone()).unwrap_err().contains(expected), "{:?}", open(options));
    }
}

#[test]
fn interfaces_that_are_asked_for_count() {
    let options = ScopeOptions {
        root: format!("{FIXTURES}/server64").into(),
        interfaces: vec!["bond0".parse().unwrap(), "l?".parse().unwrap()],
        instance: Some("{name}-{path}".parse().unwrap()),
        ..ScopeOptions::default()
    };
    let seen = LinuxHost::open(&options).unwrap().read(Duration::ZERO).unwrap().remove(0);
    assert_eq!(seen.instance, "server64-host");
    assert_eq!(interfaces(&seen.reading).iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["bond0", "lo"]);
}

#[test]
fn this_machine_runs_on() {
    let mut host = LinuxHost::new("/").unwrap();
    let first = host.read(Duration::ZERO).unwrap().remove(0).reading;
    let second = host.read(Duration::from_secs(1)).unwrap().remove(0).reading;
    assert!(second.cpu.unwrap() >= first.cpu.unwrap());
    assert!(first.cpus >= 1.0 && first.memory_used.unwrap() <= first.memory_total);
    assert!(first.storage_used.is_some() && first.network.is_some());
}
