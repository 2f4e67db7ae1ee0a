//! Network namespaces and cables between them, removed at the end.
//!
//! Interfaces count whole frames, headers and repetitions as well, as the kernel does and as whoever sells traffic does.
//! A cable takes segments of 64 KB at once, each with one header of 54 bytes where TCP sends no timestamps: 0.9 MB for a
//! gigabyte, which is how these are set. (On a wire with frames of 1,500 bytes it would be 38 MB.)

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub(super) struct Wires {
    pub(super) id: u32,
    namespaces: Vec<String>,
    links: Vec<String>,
}

/// Runs `ip`.
pub(super) fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split_ascii_whitespace()).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("ip {arguments}: {}", words.trim())) }
}

impl Wires {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = std::process::id() % 10_000 * 10 + COUNT.fetch_add(1, Ordering::Relaxed);
        Self { id, namespaces: Vec::new(), links: Vec::new() }
    }

    /// A new namespace.
    pub(super) fn namespace(&mut self, letter: char) -> Result<String, String> {
        let name = format!("fu{}{letter}", self.id);
        ip(&format!("netns add {name}"))?;
        self.namespaces.push(name.clone());
        ip(&format!("-n {name} link set lo up"))?;
        Ok(name)
    }

    /// A cable from `near` in this process's namespace to `far` in another one.
    pub(super) fn cable_from_here(&mut self, near: &str, namespace: &str, far: &str) -> Result<(), String> {
        ip(&format!("link add {near} type veth peer name {far} netns {namespace}"))?;
        self.links.push(near.to_owned());
        Ok(())
    }

    /// An address of subnet 0 or 1 of these wires, of the range for tests of networks.
    pub(super) fn address(&self, subnet: u8, host: u8) -> Ipv4Addr {
        let [.., high, low] = (self.id * 8 + u32::from(subnet) * 4).to_be_bytes();
        Ipv4Addr::new(198, 18 + (self.id >> 13 & 1) as u8, high, low + host)
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        for link in &self.links {
            let _ = ip(&format!("link del {link}"));
        }
        for namespace in &self.namespaces {
            let _ = ip(&format!("netns del {namespace}"));
        }
    }
}

/// Gives a link an address, and turns it on. `place` is empty or `-n NAMESPACE`.
pub(super) fn turn_on(place: &str, link: &str, address: Option<Ipv4Addr>) -> Result<(), String> {
    if let Some(address) = address {
        ip(&format!("{place} addr add {address}/30 dev {link}"))?;
    }
    ip(&format!("{place} link set {link} up"))
}

/// Sets a figure of the network in a namespace.
pub(super) fn set(namespace: &str, name: &str, value: u8) -> Result<(), String> {
    let path = format!("/proc/sys/net/ipv4/{name}");
    let status =
        Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", &format!("echo {value} >{path}")]).status();
    status.is_ok_and(|status| status.success()).then_some(()).ok_or_else(|| format!("can't set {path} in {namespace}"))
}

/// Bytes that TCP sent again in a namespace, at most.
pub(super) fn repeated(namespace: &str) -> u64 {
    let output = Command::new("ip").args(["netns", "exec", namespace, "cat", "/proc/net/snmp"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with("Tcp:")).map(|line| line.split(' '));
    let (mut names, mut values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.position(|name| name == "RetransSegs").unwrap();
    1514 * values.nth(at).unwrap().parse::<u64>().unwrap()
}

/// Waits on an address of this process's namespace.
pub(super) fn listen(address: Ipv4Addr) -> TcpListener {
    TcpListener::bind(SocketAddr::from((address, 0))).unwrap()
}

/// The next connection; it comes within so long or never.
pub(super) fn accept(listener: &TcpListener, within: Duration) -> TcpStream {
    let mut polled = [rustix::event::PollFd::new(listener, rustix::event::PollFlags::IN)];
    let within = rustix::event::Timespec { tv_sec: within.as_secs().cast_signed(), tv_nsec: 0 };
    assert!(rustix::event::poll(&mut polled, Some(&within)).unwrap() > 0, "nobody connects");
    listener.accept().unwrap().0
}

/// Bytes sent and received by an interface, as a namespace's `/proc/net/dev` has it.
pub(super) fn counters(namespace: &str, link: &str) -> (u64, u64) {
    let output = Command::new("ip").args(["netns", "exec", namespace, "cat", "/proc/net/dev"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(link)?.strip_prefix(':')).unwrap();
    let fields: Vec<u64> = line.split_ascii_whitespace().map(|field| field.parse().unwrap()).collect();
    (fields[8], fields[0])
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
