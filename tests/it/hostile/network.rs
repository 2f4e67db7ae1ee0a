//! What tenants may do in their network namespaces to have traffic counted nowhere.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use form_usage_events::collect::{Scope, ScopeOptions, ScopeSpec};

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
