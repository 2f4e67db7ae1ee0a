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
    assert_eq!((reading.memory_used, reading.storage_used), (None, None));
    assert!(reading.cpu.is_some());
}

#[test]
fn a_root_without_proc_is_an_error() {
    let error = LinuxHost::new("/no/such/root").unwrap_err().to_string();
    assert!(error.contains("proc/stat") && error.contains("is /proc mounted"), "{error}");
}

#[test]
fn file_systems_count_once_and_only_those_on_devices() {
    let text = std::fs::read_to_string(format!("{FIXTURES}/container-host/proc/self/mountinfo")).unwrap();
    let found = storage::mounts(&text);
    let found: Vec<(&str, &str)> = found.iter().map(|mount| (mount.device.as_str(), mount.path.as_str())).collect();
    assert_eq!(
        found,
        [
            ("/dev/nvme0n1p2", "/"),
            ("/dev/nvme0n1p1", "/boot/efi"),
            ("/dev/md0", "/srv/big disk"),
            ("tank/data", "/tank")
        ]
    );
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
