//! A gigabyte from a container, over a bridge and out of its host: in the figures of both, once, as egress.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use super::collector::{Collector, Written, sum};
use super::wires::{Wires, accept, counters, ip, listen, megabytes, repeated, set, turn_on};
use crate::control_group::ControlGroup;
use crate::support::{RunningProcess, SpawnGuarded as _, not_run};

const GIGABYTE: u64 = 1 << 30;

/// ```text
/// container: eth0 ── port in the bridge br0 ── routed ── up0 :host ── fuNNNw :this process
/// ```
fn wire(wires: &mut Wires) -> Result<String, String> {
    let host = wires.namespace('h')?;
    let (here, outside) = (format!("fu{}w", wires.id), wires.address(0, 1));
    wires.cable_from_here(&here, &host, "up0")?;
    turn_on("", &here, Some(outside))?;
    turn_on(&format!("-n {host}"), "up0", Some(wires.address(0, 2)))?;
    Ok(host)
}

/// The container's part, which is made when the meter runs.
fn wire_container(wires: &mut Wires, host: &str) -> Result<String, String> {
    let container = wires.namespace('c')?;
    let here = format!("fu{}w", wires.id);
    ip(&format!("-n {host} link add port type veth peer name eth0 netns {container}"))?;
    ip(&format!("-n {host} link add br0 type bridge"))?;
    ip(&format!("-n {host} link set port master br0"))?;
    let (at_host, at_container) = (format!("-n {host}"), format!("-n {container}"));
    turn_on(&at_host, "port", None)?;
    turn_on(&at_host, "br0", Some(wires.address(1, 1)))?;
    turn_on(&at_container, "eth0", Some(wires.address(1, 2)))?;
    set(host, "ip_forward", 1)?;
    set(&container, "tcp_timestamps", 0)?;
    ip(&format!("-n {container} route add default via {}", wires.address(1, 1)))?;
    ip(&format!("route add {}/30 via {} dev {here}", wires.address(1, 0), wires.address(0, 2)))?;
    Ok(container)
}

/// Has the container send a gigabyte to this process, which takes it.
fn send(group: &ControlGroup, container: &str, wires: &Wires) -> RunningProcess {
    let listener = listen(wires.address(0, 1));
    let to = format!("{}/{}", wires.address(0, 1), listener.local_addr().unwrap().port());
    let script = format!(
        "exec ip netns exec {container} bash -c 'dd if=/dev/zero bs=1M count=1024 status=none >/dev/tcp/{to} && read end'"
    );
    let child = group.command(&script).stdin(Stdio::piped()).spawn_guarded();
    let mut stream = accept(&listener, Duration::from_secs(30));
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (mut buffer, mut received) = (vec![0; 1 << 20], 0);
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => break,
            count => received += count as u64,
        }
    }
    assert_eq!(received, GIGABYTE);
    child
}

#[test]
fn a_gigabyte_over_a_bridge_is_1024_mb_of_egress_once() {
    let Some(group) = ControlGroup::new("gigabyte") else { return };
    let mut wires = Wires::new();
    let host = match wire(&mut wires) {
        Ok(host) => host,
        Err(why) => {
            not_run(format!("no virtual cables can be laid: {why}"));
            return;
        }
    };
    let scope = format!("cgroup:{}", group.path());
    let options = ["--no-state", "--interval", "1s", "--scope", "host", "--scope", &scope, "--instance-id", "{name}"];
    let mut written = Written::default();
    // /sys is that of the namespace, without control groups.
    let inside = "mount -t cgroup2 none /sys/fs/cgroup && exec \"$0\" \"$@\"";
    let mut run = Collector::start(&["ip", "netns", "exec", &host, "sh", "-c", inside], &options);
    let name = group.path();
    let first = run.until(&mut written, |event| event.instance_id != name);
    let container = wire_container(&mut wires, &host).unwrap();
    let before = counters(&host, "up0");
    let mut child = send(&group, &container, &wires);
    let after = counters(&host, "up0");
    // Two periods further on everything is in an event.
    let told = written.of(&first.instance_id).last().unwrap().period.end;
    let mut last = told;
    while last < told + 2 || megabytes(after.0 - before.0) > sum(&written.of(&first.instance_id), 1.0).sent_mb + 0.5 {
        last = run.until(&mut written, |event| event.instance_id == first.instance_id).period.end;
    }
    run.end("TERM", &mut written);
    drop(child.stdin.take());
    child.wait().unwrap();

    let of_host = sum(&written.of(&first.instance_id), 1.0);
    let of_container = sum(&written.of(name), 1.0);
    eprintln!("host {of_host:?}\ncontainer {of_container:?}");
    // What was lost and sent again passed twice.
    let again = megabytes(repeated(&container));
    for (who, sum) in [("host", &of_host), ("container", &of_container)] {
        assert!(sum.sent_mb >= 1024.0 && sum.sent_mb < 1025.0 + again, "{who}: {sum:?}, {again} MB again");
        assert!(sum.received_mb < 1.0, "acknowledgements alone come back to the {who}: {sum:?}");
    }
    // Neighbours are looked for by a few frames before and after.
    assert!((of_host.sent_mb - megabytes(after.0 - before.0)).abs() < 0.01, "{of_host:?}: {before:?} to {after:?}");
    assert!((of_host.received_mb - megabytes(after.1 - before.1)).abs() < 0.01, "{of_host:?}: {before:?} to {after:?}");
}
