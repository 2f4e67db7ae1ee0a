//! What passes a container's cable, counted through the network namespace of its processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{ChildStdin, Command, Stdio};
use std::time::Duration;

use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::collect::{Scope, ScopeOptions, ScopeSpec, Traffic};

use crate::control_group::ControlGroup;
use crate::support::{RunningProcess, SpawnGuarded as _, not_run};

pub(crate) const MEGABYTES: u64 = 64;

/// A process in a control group and a network namespace of its own, with a cable to this host.
pub(crate) struct Container {
    pub(crate) child: RunningProcess,
    stdin: ChildStdin,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    cable: String,
    /// The host's end, as an address.
    address: String,
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("ip {arguments}: {words}")) }
}

impl Container {
    /// `None`, with a word of it, where none can be made.
    pub(crate) fn start(group: &ControlGroup) -> Option<Self> {
        // /sys of its own namespace, as container runtimes mount it.
        let script = "exec unshare -n -m sh -c 'mount -t sysfs sysfs /sys && echo ready $$ || exit 1
            while read go; do bash -c \"head -c $((64 << 20)) /dev/zero >/dev/tcp/$go\" && echo sent; done'";
        let mut command = group.command(script);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn_guarded();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(Ok(_)) = lines.next() else {
            not_run("no network namespace can be made");
            child.wait().unwrap();
            return None;
        };
        let cable = format!("fu{}", child.id());
        let stdin = child.stdin.take().unwrap();
        let address = format!("198.18.{}.{}", child.id() / 64 % 256, child.id() % 64 * 4 + 1);
        Some(Self { child, stdin, lines, cable, address })
    }

    /// Plugs the cable in.
    pub(crate) fn plug(&self) -> Result<(), String> {
        let (id, cable, address) = (self.child.id(), &self.cable, &self.address);
        let (network, last) = address.rsplit_once('.').unwrap();
        let inner = format!("{network}.{}", last.parse::<u8>().unwrap() + 1);
        ip(&format!("link add {cable} type veth peer name eth0 netns {id}"))?;
        ip(&format!("addr add {address}/30 dev {cable}"))?;
        ip(&format!("link set {cable} up"))?;
        let inside = |arguments: &str| {
            let status =
                Command::new("nsenter").args(["-t", &id.to_string(), "-n", "ip"]).args(arguments.split(' ')).status();
            status.is_ok_and(|status| status.success()).then_some(()).ok_or_else(|| format!("nsenter ip {arguments}"))
        };
        inside(&format!("addr add {inner}/30 dev eth0"))?;
        inside("link set eth0 up")
    }

    /// Does what a tenant who owns the namespace may do, so that its interface looks like none that counts: gives it the
    /// name of loopback, and plugs it into a bridge.
    pub(crate) fn disguise(&self) -> Result<(), String> {
        let (network, last) = self.address.rsplit_once('.').unwrap();
        let inner = format!("{network}.{}", last.parse::<u8>().unwrap() + 1);
        let script = format!(
            "ip addr del {inner}/30 dev eth0 && ip link set eth0 down && ip link set lo name lx && ip link set eth0 name lo &&
             ip link add br0 type bridge && ip link set lo master br0 && ip addr add {inner}/30 dev br0 &&
             ip link set lo up && ip link set br0 up"
        );
        let id = self.child.id().to_string();
        let output = Command::new("nsenter").args(["-t", &id, "-n", "sh", "-c", &script]).output();
        let output = output.map_err(|error| format!("nsenter: {error}"))?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// The host's end of the cable.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Has it send so many megabytes to this host, as often as it is asked.
    pub(crate) fn send(&mut self) {
        let listener = TcpListener::bind((self.address.as_str(), 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        writeln!(self.stdin, "{}/{port}", self.address).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut buffer = vec![0; 1 << 20];
        let mut received = 0;
        loop {
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                count => received += count as u64,
            }
        }
        assert_eq!(received, MEGABYTES << 20);
        assert_eq!(self.lines.next().unwrap().unwrap(), "sent");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = ip(&format!("link del {}", self.cable));
    }
}

pub(crate) fn traffic(scope: &mut dyn Scope) -> Vec<(String, Traffic)> {
    let seen = scope.read(SystemClock.monotonic()).unwrap().remove(0);
    seen.reading.network.unwrap().into_iter().collect()
}

#[test]
fn bytes_over_a_cable_count_once_and_in_their_direction() {
    let Some(group) = ControlGroup::new("cable") else { return };
    let Some(mut container) = Container::start(&group) else { return };
    let open = |scope: String| scope.parse::<ScopeSpec>().unwrap().open(&ScopeOptions::default()).unwrap();
    let mut scopes = [open(format!("cgroup:{}", group.path())), open(format!("pid:{}", container.child.id()))];
    for scope in &mut scopes {
        assert_eq!(traffic(scope.as_mut()), [], "there is no cable yet");
    }
    if let Err(why) = container.plug() {
        not_run(format!("no virtual cable can be laid: {why}"));
        return;
    }
    container.send();
    for scope in &mut scopes {
        let [(name, total)] = &traffic(scope.as_mut())[..] else { panic!("one interface") };
        assert!(name.starts_with('/') && name.contains('@'), "{name}");
        let sent = MEGABYTES << 20;
        // Headers and acknowledgements come on top: little, since segments are long.
        assert!(total.sent >= sent && total.sent < sent + sent / 50, "{total:?}");
        assert!(total.received < sent / 20, "{total:?}");
    }
    // Its last process ends; what passed can be read on.
    let before = traffic(scopes[0].as_mut());
    container.child.kill().unwrap();
    container.child.wait().unwrap();
    let after = traffic(scopes[0].as_mut());
    assert!(after[0].1.sent >= before[0].1.sent && after[0].0 == before[0].0, "{before:?} {after:?}");
}

/// What a namespace has beside a cable runs over that, and counts where nothing else leads out.
#[test]
fn what_runs_over_a_cable_counts_where_there_is_none() {
    let Some(group) = ControlGroup::new("kinds") else { return };
    let open = || format!("cgroup:{}", group.path()).parse::<ScopeSpec>().unwrap().open(&ScopeOptions::default());
    let counted = |scope: &mut dyn Scope| traffic(scope).len();
    let mut made = 0;
    for (kind, alone) in [
        ("tuntap add x0 mode tap", 1),
        ("tuntap add x0 mode tun", 1),
        ("link add x0 type wireguard", 1),
        ("link add x0 type vxlan id 4 dstport 4789 local 10.0.0.1", 1),
        ("link add x0 type gre remote 10.0.0.2 local 10.0.0.1", 1),
        ("link add x0 type ipip remote 10.0.0.2 local 10.0.0.1", 1),
        ("link add x0 type dummy", 0),
        ("link add x0 type bridge", 0),
        ("link add x0 type veth peer name x1", 0),
    ] {
        let Some(container) = Container::start(&group) else { return };
        let pid = container.child.id().to_string();
        let ip = Command::new("nsenter").args(["-t", &pid, "-n", "ip"]).args(kind.split(' ')).output().unwrap();
        if !ip.status.success() {
            // The table of kinds has a unit test for all of them.
            eprintln!("this kernel has no {kind}: {}", String::from_utf8_lossy(&ip.stderr).trim());
            continue;
        }
        made += 1;
        let mut scope = open().unwrap();
        assert_eq!(counted(scope.as_mut()), alone, "{kind}");
        if let Err(why) = container.plug() {
            return not_run(format!("no virtual cable can be laid: {why}"));
        }
        // Each new interface has the others judged again.
        let (cable, total) = (counted(scope.as_mut()), counted(open().unwrap().as_mut()));
        assert_eq!((cable, total), (1, 1), "{kind} with a cable: {:?}", traffic(scope.as_mut()));
    }
    assert!(made > 0, "no kind of interface can be made");
}
