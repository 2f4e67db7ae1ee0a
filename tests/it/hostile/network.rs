//! What tenants may do in their network namespaces to have traffic counted nowhere.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use form_usage_events::clock::{Clock as _, SystemClock};
use form_usage_events::collect::{Scope, ScopeOptions, ScopeSpec};
use form_usage_events::events::MetricSet;

use crate::control_group::ControlGroup;
use crate::scope_network::{Container, MEGABYTES, traffic};
use crate::support::{SpawnGuarded as _, not_run};

fn open(group: &ControlGroup, interfaces: &[&str]) -> Box<dyn Scope> {
    let spec: ScopeSpec = format!("cgroup:{}", group.path()).parse().unwrap();
    let interfaces = interfaces.iter().map(|it| it.parse().unwrap()).collect();
    spec.open(&ScopeOptions { interfaces, ..ScopeOptions::default() }).unwrap()
}

fn sent(scope: &mut dyn Scope) -> u64 {
    traffic(scope).iter().map(|(_, total)| total.sent).sum()
}

/// The bytes that were sent, and whether that is a lower bound.
fn sample(scope: &mut dyn Scope) -> (u64, bool) {
    let reading = scope.read(SystemClock.monotonic()).unwrap().remove(0).reading;
    let sent = reading.network.as_ref().unwrap().values().map(|total| total.sent).sum();
    (sent, reading.missing().intersects(MetricSet::NETWORK))
}

/// Has the tenant, who owns its namespace, run `ip` there with each of the lines.
fn inside(container: &Container, lines: &[&str]) {
    for line in lines {
        let pid = container.child.id().to_string();
        let status = Command::new("nsenter").args(["-t", &pid, "-n", "ip"]).args(line.split(' ')).status();
        assert!(status.unwrap().success(), "ip {line}");
    }
}

/// Moves the container's process out of the group, so that whoever joined its namespace is the only one there.
fn move_away(container: &Container) -> ControlGroup {
    let elsewhere = ControlGroup::new("elsewhere").unwrap();
    std::fs::write(elsewhere.folder().join("cgroup.procs"), container.child.id().to_string()).unwrap();
    elsewhere
}

#[test]
fn traffic_of_a_socket_in_a_namespace_that_was_left_is_billed() {
    const BYTES: u64 = 8 << 20;
    let Some(group) = ControlGroup::new("socket") else { return };
    let Some(container) = Container::start(&group) else { return };
    if let Err(why) = container.plug() {
        return not_run(format!("no virtual cable can be laid: {why}"));
    }
    let sender = "import ctypes, socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.connect((sys.argv[1], 9))
print(\"ready\", flush=True)
sys.stdin.readline()
assert ctypes.CDLL(None).unshare(0x40000000) == 0
print(\"elsewhere\", flush=True)
sys.stdin.readline()
for _ in range(8 << 10):
    try: one.send(bytes(1024))
    except ConnectionRefusedError: one.send(bytes(1024))
print(\"sent\", flush=True)
sys.stdin.readline()";
    let (pid, address) = (container.child.id(), container.address());
    let mut command = group.command(&format!("exec nsenter -t {pid} -n python3 -c '{sender}' {address}"));
    let mut sender = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn_guarded();
    let mut lines = BufReader::new(sender.stdout.take().unwrap()).lines();
    let mut orders = sender.stdin.take().unwrap();
    if lines.next().is_none_or(|line| line.is_err()) {
        return not_run("there is no python3");
    }
    let _elsewhere = move_away(&container);
    let mut scope = open(&group, &[]);
    sent(scope.as_mut());
    let before = sent(scope.as_mut());
    for step in ["elsewhere", "sent"] {
        writeln!(orders).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), step);
        sent(scope.as_mut());
    }
    let after = sent(scope.as_mut());
    assert!(after - before >= BYTES, "{before} {after}");
    sender.kill().unwrap();
}

#[test]
fn an_interface_that_changes_its_name_is_billed_on() {
    for interfaces in [&[][..], &["eth*"]] {
        let Some(group) = ControlGroup::new("renamed") else { return };
        let Some(mut container) = Container::start(&group) else { return };
        if let Err(why) = container.plug() {
            return not_run(format!("no virtual cable can be laid: {why}"));
        }
        inside(&container, &["link add d0 type veth peer name d9"]);
        let mut scope = open(&group, interfaces);
        sent(scope.as_mut());
        let megabytes = MEGABYTES << 20;
        // To a name that the pattern has, to one that it has not, and to the one that another interface had.
        let steps: [&[&str]; 3] = [
            &["link set eth0 down", "link set eth0 name eth1", "link set eth1 up"],
            &["link set eth1 down", "link set eth1 name n0", "link set n0 up"],
            &[
                "link set d0 name d1",
                "link set n0 down",
                "link set n0 name d0",
                "link set d0 up",
                "link set d1 name n0",
            ],
        ];
        let mut before = sent(scope.as_mut());
        for lines in steps {
            inside(&container, lines);
            container.send();
            let after = sent(scope.as_mut());
            let passed = after - before;
            assert!(passed >= megabytes && passed < megabytes + megabytes / 20, "{lines:?} {interfaces:?}: {passed}");
            before = after;
        }
    }
}

/// A tap is the way out where a process elsewhere holds it, as with slirp4netns. A cable to a namespace of nobody beside it
/// carries nothing of it.
#[test]
fn a_cable_to_nowhere_hides_no_traffic_of_a_tap() {
    let Some(group) = ControlGroup::new("nowhere") else { return };
    let Some(container) = Container::start(&group) else { return };
    let tap = "import fcntl, os, struct, sys, threading
tap = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH22x', b'tap0', 0x1002))
threading.Thread(target=lambda: [os.read(tap, 65536) for _ in iter(int, 1)], daemon=True).start()
print('ready', flush=True)
sys.stdin.readline()";
    let sender = "import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(4 << 10): one.sendto(bytes(1024), ('198.18.0.2', 9))";
    let pid = container.child.id().to_string();
    let mut holder = Command::new("nsenter");
    holder.args(["-t", &pid, "-n", "python3", "-c", tap]);
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn_guarded();
    let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    if lines.next().is_none_or(|line| line.is_err()) {
        return not_run("no tap can be made");
    }
    let mut nobody = Command::new("unshare");
    nobody.args(["-n", "sh", "-c", "echo ready; read end"]);
    let mut nobody = nobody.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn_guarded();
    BufReader::new(nobody.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let neighbour = "neigh add 198.18.0.2 lladdr 02:00:00:00:00:01 dev tap0";
    inside(&container, &["addr add 198.18.0.1/24 dev tap0", "link set tap0 up", neighbour]);
    let send = || {
        let status = Command::new("nsenter").args(["-t", &pid, "-n", "python3", "-c", sender]).status();
        assert!(status.unwrap().success());
    };
    let mut scope = open(&group, &[]);
    let before = sample(scope.as_mut());
    send();
    let alone = sample(scope.as_mut());
    // The tap drops what nobody reads in time.
    assert!(alone.0 - before.0 >= 1 << 20 && !alone.1, "it counts where nothing else leads out: {before:?} {alone:?}");
    send();
    inside(&container, &[&format!("link add dead type veth peer name dead2 netns {}", nobody.id())]);
    assert!(sample(scope.as_mut()).1, "what passed until the cable was there");
    send();
    assert!(sample(scope.as_mut()).1, "what passed beside it");
    assert!(!sample(scope.as_mut()).1, "nothing passed");
    // What is sent into the cable as well is paid.
    let mut fresh = open(&group, &[]);
    sample(fresh.as_mut());
    send();
    assert!(sample(fresh.as_mut()).1, "after a restart");
    holder.kill().unwrap();
    nobody.kill().unwrap();
}

#[test]
fn what_passed_an_uplink_before_it_was_removed_is_named_as_not_metered() {
    let Some(group) = ControlGroup::new("removed") else { return };
    let Some(mut container) = Container::start(&group) else { return };
    if let Err(why) = container.plug() {
        return not_run(format!("no virtual cable can be laid: {why}"));
    }
    inside(&container, &["link add br0 type bridge"]);
    let mut scope = open(&group, &[]);
    assert!(!sample(scope.as_mut()).1);
    container.send();
    inside(&container, &["link del br0"]);
    assert!(!sample(scope.as_mut()).1, "a bridge does not count");
    container.send();
    inside(&container, &["link del eth0"]);
    assert!(sample(scope.as_mut()).1, "an uplink does");
    assert!(!sample(scope.as_mut()).1, "it is named in the period in which it was removed");
}

#[test]
fn a_container_that_ends_leaves_no_network_unmetered() {
    let Some(group) = ControlGroup::new("ends") else { return };
    let Some(mut container) = Container::start(&group) else { return };
    if let Err(why) = container.plug() {
        return not_run(format!("no virtual cable can be laid: {why}"));
    }
    let mut scope = open(&group, &[]);
    let before = sample(scope.as_mut());
    container.send();
    container.child.kill().unwrap();
    container.child.wait().unwrap();
    let after = sample(scope.as_mut());
    assert!(!before.1 && !after.1 && after.0 - before.0 >= MEGABYTES << 20, "{before:?} {after:?}");
}

#[test]
fn an_interface_that_no_name_fits_is_named_as_not_metered() {
    let Some(group) = ControlGroup::new("unnamed") else { return };
    let Some(container) = Container::start(&group) else { return };
    if let Err(why) = container.plug() {
        return not_run(format!("no virtual cable can be laid: {why}"));
    }
    for (interfaces, is_partial) in [(&["eth*"][..], false), (&["up*"], true), (&[], false)] {
        assert_eq!(sample(open(&group, interfaces).as_mut()).1, is_partial, "{interfaces:?}");
    }
    // A decoy with the name, while what leads out has another one.
    inside(
        &container,
        &["link set eth0 down", "link set eth0 name n0", "link set n0 up", "link add eth0 type veth peer name n1"],
    );
    assert!(sample(open(&group, &["eth*"]).as_mut()).1);
}

#[test]
fn a_cable_that_is_moved_in_is_billed_from_what_it_shows() {
    let Some(group) = ControlGroup::new("moved") else { return };
    let elsewhere = ControlGroup::new("history").unwrap();
    let (Some(mut before), Some(container)) = (Container::start(&elsewhere), Container::start(&group)) else { return };
    if let Err(why) = before.plug() {
        return not_run(format!("no virtual cable can be laid: {why}"));
    }
    let mut scope = open(&group, &[]);
    before.send();
    // The host's end was there a second and more before the container was last sampled.
    let made = SystemClock.monotonic();
    while SystemClock.monotonic().saturating_sub(made) < Duration::from_millis(1_500) {
        sample(scope.as_mut());
    }
    inside(&before, &["link set eth0 down", &format!("link set eth0 netns {}", container.child.id())]);
    let first = sample(scope.as_mut());
    let second = sample(scope.as_mut());
    assert!(first.1 && !second.1, "what passed it since it came is not known: {first:?} {second:?}");
    let reading = scope.read(SystemClock.monotonic()).unwrap().remove(0).reading;
    assert!(first.0 >= MEGABYTES << 20 && reading.began.is_empty(), "{first:?} {:?}", reading.began);
}
