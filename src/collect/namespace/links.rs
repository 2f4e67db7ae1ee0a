//! The interfaces and addresses of a network namespace, as rtnetlink(7) tells. Which of them count is in [`kinds`](super::kinds).

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::kinds::{self, Way};
use crate::collect::Traffic;

// Numbers of linux/netlink.h, linux/rtnetlink.h, linux/if_link.h, linux/net_namespace.h and linux/if.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWNSID: u16 = 88;
const RTM_GETNSID: u16 = 90;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_LINK_NETNSID: u16 = 37;
/// Since Linux 5.14.
const IFLA_PARENT_DEV_NAME: u16 = 56;
const IFLA_INFO_KIND: u16 = 1;
const IFA_CACHEINFO: u16 = 6;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
const IFF_LOOPBACK: u32 = 8;
/// The type of an interface (linux/if_arp.h) that multicast routing makes: it hands packets to a program of the namespace.
const ARPHRD_PIMREG: u16 = 779;
/// Bytes of the head of a message, and of that of one about a link behind it.
const MESSAGE_HEAD: usize = 16;
const LINK_HEAD: usize = 16;

/// Bytes of the head of a message about an address.
const ADDRESS_HEAD: usize = 8;

/// More than a message about one link has at most.
const BUFFER_BYTES: usize = 256 << 10;
/// The kernel answers at once; it may wait for a lock that all namespaces share.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of a namespace by who is in it.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) interfaces: Vec<Interface>,
    /// The inode of its file with the counters.
    pub(super) counters: Option<u64>,
    /// How long its oldest address has been there, which it is older than. `None` without an address.
    pub(super) age: Option<Duration>,
    /// Whether something beside cables to the instance's own namespaces may lead out, which does not count.
    pub(super) is_doubtful: bool,
}

/// An interface of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Interface {
    /// Its number, which stays whatever it is called.
    pub(super) index: i32,
    /// What passed it.
    pub(super) passed: Traffic,
    /// Its name, as the kernel has it.
    pub(super) name: Vec<u8>,
    /// What passes it leaves or enters the namespace, and passes no other interface of it that is counted.
    pub(super) leads_out: bool,
    /// It surely leads out: it is a device, or its other end is in the host's namespace or the meter's.
    pub(super) is_proven: bool,
    /// What passes it is taken to pass an interface that leads out as well, and nothing proves that it does.
    pub(super) may_lead_out: bool,
    /// It was made by software, for its namespace, so that its counters began at zero there.
    pub(super) is_virtual: bool,
    /// It is the namespace's loopback, whatever its name.
    pub(super) is_loopback: bool,
    /// The number of the namespace with its other end, and that of the other end there.
    pub(super) other_end: Option<(i32, i32)>,
    /// How long the oldest address of its other end has been there, where that was asked: it is no younger.
    pub(super) age: Option<Duration>,
}

/// Moves this thread into the network namespace, and lists its interfaces. What leads to one of the namespaces `others`
/// does not lead out: it is counted there, where it leaves that one. What leads to one of `outside`, where no tenant can
/// put anything, surely does.
pub(super) fn interfaces_of(namespace: BorrowedFd<'_>, others: &[OwnedFd], outside: &[OwnedFd]) -> io::Result<Listed> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
    let socket = route_socket()?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let links = links(&socket, &mut buffer)?;
    // After the list, which gives numbers to the namespaces that it names.
    let has_far = links.iter().any(|link| link.far.is_some());
    let mut numbers = |namespaces: &[OwnedFd]| -> Vec<i32> {
        let number = |other: &OwnedFd| number_of(&socket, other.as_fd(), &mut buffer).ok().flatten();
        namespaces.iter().filter(|_| has_far).filter_map(number).collect()
    };
    let home = numbers(outside.get(..1).unwrap_or_default());
    let (near, outside) = (numbers(others), numbers(outside));
    let counters = std::fs::metadata("/proc/thread-self/net/dev").ok().map(|known| known.ino());
    // Without it the namespace is taken for old.
    let age = addresses(&socket, &mut buffer).unwrap_or_default().into_iter().map(|(_, age)| age).max();
    let mut ways: Vec<Way> = links.iter().map(|link| link.way(&near)).filter(|way| *way != Way::Nowhere).collect();
    ways.sort_unstable();
    let is_doubtful =
        ways.first() != ways.last() && ways.last() == Some(&Way::Own) && ways.first() != Some(&Way::Direct);
    let mut interfaces = judged(links, &near, &outside);
    for interface in &mut interfaces {
        interface.other_end = interface.other_end.filter(|(far, _)| home.contains(far));
    }
    Ok(Listed { interfaces, counters, age, is_doubtful })
}

/// Adds how old interfaces are whose other end is in the namespace that this thread is in, the meter's, as far as addresses
/// of that end tell.
pub(super) fn add_ages(interfaces: &mut [Interface]) -> io::Result<()> {
    if interfaces.iter().all(|interface| interface.other_end.is_none()) {
        return Ok(());
    }
    let socket = route_socket()?;
    let addresses = addresses(&socket, &mut vec![0; BUFFER_BYTES])?;
    for interface in interfaces {
        let Some((_, end)) = interface.other_end else { continue };
        let own = addresses.iter().filter(|(index, _)| *index == end);
        interface.age = own.map(|(_, age)| *age).max();
    }
    Ok(())
}

fn route_socket() -> io::Result<OwnedFd> {
    // Without a protocol it is NETLINK_ROUTE, which is number 0.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    Ok(socket)
}

/// What a message says of a link.
#[derive(Debug, Default, PartialEq, Eq)]
struct Link {
    index: i32,
    passed: Traffic,
    name: Vec<u8>,
    kind: Option<Vec<u8>>,
    /// The number of the namespace with its other end, where that is another one.
    far: Option<i32>,
    /// The number of its other end, or of what it lies on.
    other_end: Option<i32>,
    is_loopback: bool,
    /// Nothing leaves by it: [`ARPHRD_PIMREG`].
    is_register: bool,
    /// There is a device behind it.
    has_device: bool,
}

impl Link {
    /// What carries what passes it. `near` are the numbers of the instance's other namespaces.
    fn way(&self, near: &[i32]) -> Way {
        if self.is_loopback || self.is_register {
            Way::Nowhere
        } else {
            kinds::way(self.kind.as_deref(), self.far.map(|it| near.contains(&it)))
        }
    }

    /// Whether it surely leads out. `outside` are the numbers of namespaces that are no tenant's. That it has no kind is no
    /// proof of a device: multicast routing makes interfaces without one.
    fn is_proven(&self, near: &[i32], outside: &[i32]) -> bool {
        let is_known = self.far.map_or(self.kind.is_none() && self.has_device, |far| outside.contains(&far));
        is_known && self.way(near) == Way::Direct
    }
}

/// The interfaces, of which those count that lead out by the nearest way that the namespace has. What takes a later one may
/// be carried by a cable to the instance's own namespaces as well, and be counted there.
fn judged(links: Vec<Link>, near: &[i32], outside: &[i32]) -> Vec<Interface> {
    let has_proof = links.iter().any(|link| link.is_proven(near, outside));
    let ways = || links.iter().map(|link| link.way(near));
    let nearest = ways().min().filter(|way| *way == Way::Direct || !ways().any(|way| way == Way::Own));
    let interface = |link: Link| {
        let way = link.way(near);
        let is_way = way != Way::Nowhere && way != Way::Own;
        let leads_out = is_way && Some(way) == nearest;
        let may_lead_out = is_way && !leads_out && !has_proof;
        let is_proven = link.is_proven(near, outside);
        let Link { index, passed, name, kind, is_loopback, far, other_end, .. } = link;
        let (is_virtual, other_end) = (kind.is_some(), far.zip(other_end));
        Interface {
            index,
            passed,
            name,
            leads_out,
            is_proven,
            may_lead_out,
            is_virtual,
            is_loopback,
            other_end,
            age: None,
        }
    };
    links.into_iter().map(interface).collect()
}

/// All links of the namespace that the socket is of.
fn links(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Vec<Link>> {
    let mut request = head(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP);
    request.extend([0; LINK_HEAD]);
    let mut found = Vec::new();
    ask(socket, request, buffer, RTM_NEWLINK, &mut |body| found.extend(link(body)))?;
    Ok(found)
}

/// The addresses of the namespace that the socket is of: the number of the interface, and how long it has been there. Whoever
/// owns the namespace may replace its addresses, which makes it look younger, and more of its traffic the owner's.
fn addresses(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Vec<(i32, Duration)>> {
    let mut request = head(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP);
    request.extend([0; ADDRESS_HEAD]);
    let mut made = Vec::new();
    ask(socket, request, buffer, RTM_NEWADDR, &mut |body| made.extend(address_made(body)))?;
    // The kernel counts hundredths of seconds since the boot, in 32 bits.
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default());
    #[allow(clippy::cast_possible_truncation)]
    let now = (now.as_millis() / 10) as u32;
    let age = |made: u32| Duration::from_millis(u64::from(now.wrapping_sub(made)) * 10);
    Ok(made.into_iter().map(|(index, made)| (index, age(made))).collect())
}

/// The number of an address's interface, and when the address was made, in hundredths of seconds since the boot.
fn address_made(body: &[u8]) -> Option<(i32, u32)> {
    let index = int(body.get(4..)?)?;
    let (_, times) = attributes(body.get(ADDRESS_HEAD..)?).find(|(kind, _)| *kind == IFA_CACHEINFO)?;
    // Behind how long it is preferred and valid.
    Some((index, int(times.get(8..)?)?.cast_unsigned()))
}

/// The number by which the socket's namespace knows another one, if it does.
fn number_of(socket: &OwnedFd, other: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<i32>> {
    let mut request = head(RTM_GETNSID, NLM_F_REQUEST);
    // The family, padded.
    request.extend([0; 4]);
    attribute(&mut request, NETNSA_FD, u32::try_from(other.as_raw_fd()).map_err(io::Error::other)?);
    let mut number = None;
    ask(socket, request, buffer, RTM_NEWNSID, &mut |body| {
        let attributes = attributes(body.get(4..).unwrap_or_default());
        number = attributes.filter(|(kind, _)| *kind == NETNSA_NSID).find_map(|(_, value)| int(value));
    })?;
    Ok(number.filter(|number| *number >= 0))
}

/// Sends a request, and gives the bodies of the answers of the type `wanted`.
fn ask(
    socket: &OwnedFd,
    mut request: Vec<u8>,
    buffer: &mut [u8],
    wanted: u16,
    take: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let is_list = request.get(6..8) == Some(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    let length = u32::try_from(request.len()).map_err(io::Error::other)?;
    request.splice(..4, length.to_ne_bytes());
    send(socket, &request, SendFlags::empty())?;
    loop {
        let (_, length) = recv(socket, &mut *buffer, RecvFlags::TRUNC)?;
        let mut rest = buffer.get(..length).ok_or_else(|| io::Error::other("a message about links is too long"))?;
        if rest.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some((kind, body, after)) = message(rest) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    return match int(body) {
                        Some(number) if number != 0 => Err(io::Error::from_raw_os_error(number.wrapping_neg())),
                        _ => Ok(()),
                    };
                }
                kind if kind == wanted => take(body),
                _ => {}
            }
            if !is_list {
                return Ok(());
            }
            rest = after;
        }
    }
}

/// The head of a message; its length is filled in when it is sent.
fn head(kind: u16, flags: u16) -> Vec<u8> {
    let mut head = vec![0; 4];
    head.extend(kind.to_ne_bytes());
    head.extend(flags.to_ne_bytes());
    head.resize(MESSAGE_HEAD, 0);
    head
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: u32) {
    message.extend(8u16.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value.to_ne_bytes());
}

/// The first message: its type, its body, what comes behind it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(int(bytes)?).ok()?;
    let kind = short(bytes.get(4..)?)?;
    let body = bytes.get(MESSAGE_HEAD..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn link(body: &[u8]) -> Option<Link> {
    let flags = int(body.get(8..)?)?.cast_unsigned();
    let index = int(body.get(4..)?)?;
    let mut link = Link {
        index,
        is_loopback: flags & IFF_LOOPBACK != 0,
        is_register: short(body.get(2..)?)? == ARPHRD_PIMREG,
        ..Link::default()
    };
    for (kind, value) in attributes(body.get(LINK_HEAD..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_STATS64 => link.passed = passed(value).unwrap_or_default(),
            IFLA_LINK => link.other_end = int(value),
            IFLA_LINK_NETNSID => link.far = int(value),
            IFLA_PARENT_DEV_NAME => link.has_device = true,
            IFLA_LINKINFO => {
                link.kind = attributes(value).find(|(kind, _)| *kind == IFLA_INFO_KIND).map(|(_, value)| text(value));
            }
            _ => {}
        }
    }
    Some(link)
}

/// The bytes in the figures of a link: behind the numbers of packets that were received and sent.
fn passed(value: &[u8]) -> Option<Traffic> {
    let figure = |at: usize| value.get(at..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
    Some(Traffic { received: figure(16)?, sent: figure(24)? })
}

/// The attributes in a message or in an attribute, with their values.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(short(bytes)?);
        // The two highest bits are flags.
        let kind = short(bytes.get(2..)?)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A text that ends with a NUL.
fn text(value: &[u8]) -> Vec<u8> {
    value.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn int(bytes: &[u8]) -> Option<i32> {
    bytes.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
}

fn short(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

/// Reads `bytes` as the kernel's answer to each question.
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(in crate::collect) fn fuzz_answer(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((_, body, after)) = message(rest) {
        assert!(after.len() < rest.len(), "a message without an end");
        if let Some(link) = link(body) {
            assert!(link.name.len() <= body.len() && !link.name.contains(&0));
            let _ = judged(vec![link], &[0], &[1]);
        }
        let _ = address_made(body);
        assert!(attributes(body.get(4..).unwrap_or_default()).count() <= body.len() / 4);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the interfaces that count, of links of these names, which are their kinds as well.
    fn counting(links: &[(&str, Option<i32>)]) -> Vec<String> {
        names(links, |it| it.leads_out)
    }

    /// The names of those of which `which` holds. The namespace 3 is the instance's own, 0 is the host's.
    fn names(links: &[(&str, Option<i32>)], which: impl Fn(&Interface) -> bool) -> Vec<String> {
        let link = |(kind, far): &(&str, Option<i32>)| Link {
            name: kind.as_bytes().to_vec(),
            kind: (!["device", "pimreg", "no kind", "lo"].contains(kind)).then(|| kind.as_bytes().to_vec()),
            has_device: *kind == "device",
            is_register: *kind == "pimreg",
            far: *far,
            is_loopback: *kind == "lo",
            ..Link::default()
        };
        let found = judged(links.iter().map(link).collect(), &[3], &[0]);
        found.into_iter().filter(|it| which(it)).map(|it| String::from_utf8(it.name).unwrap()).collect()
    }

    #[test]
    fn what_runs_over_an_interface_without_proof_may_lead_out() {
        let may_lead_out = |links: &[(&str, Option<i32>)]| names(links, |it| it.may_lead_out);
        let tunnels = [("tun", None), ("wireguard", None)];
        for (carrier, is_proven) in [
            (("veth", Some(0)), true),
            (("device", None), true),
            (("veth", Some(1)), false),
            (("new kind", None), false),
            (("no kind", None), false),
        ] {
            let links = [&tunnels[..], &[carrier, ("bridge", None), ("veth", None), ("lo", None)]].concat();
            let expected: &[&str] = if is_proven { &[] } else { &["tun", "wireguard"] };
            assert_eq!(may_lead_out(&links), expected, "{carrier:?}");
            assert_eq!(names(&links, |it| it.is_proven).len(), usize::from(is_proven), "{carrier:?}");
        }
        assert_eq!(may_lead_out(&tunnels), ["wireguard"], "it may have been made elsewhere");
    }

    #[test]
    fn what_leads_out_by_the_nearest_way_counts() {
        let cable = ("veth", Some(0));
        assert_eq!(counting(&[("lo", None), ("dummy", None), ("veth", None), ("veth", Some(3))]), [""; 0]);
        assert_eq!(counting(&[("lo", None), ("device", None), cable, ("vlan", Some(0))]), ["device", "veth", "vlan"]);
        assert_eq!(
            counting(&[cable, ("macvlan", None), ("bridge", None), ("a kind that is new", None)]),
            ["veth", "a kind that is new"]
        );
        for inner in ["tun", "wireguard", "gre", "ipip", "vxlan"] {
            assert_eq!(counting(&[cable, (inner, None)]), ["veth"], "{inner} runs over the cable");
            assert_eq!(counting(&[("lo", None), ("dummy", None), (inner, None)]), [inner], "nothing else leads out");
            assert_eq!(counting(&[("veth", Some(3)), (inner, None)]), [""; 0], "it may run over the cable to itself");
        }
        assert_eq!(counting(&[("gre", Some(1)), cable]), ["gre", "veth"], "it was made elsewhere, and runs over that");
        assert_eq!(counting(&[("vxlan", None), ("wireguard", None), ("tun", None)]), ["tun"]);
        assert_eq!(counting(&[("vxlan", None), ("wireguard", None)]), ["wireguard"]);
        assert_eq!(counting(&[("pimreg", None), ("tun", None)]), ["tun"], "nothing leaves by a register of multicast");
    }

    #[test]
    fn lists_the_links_of_this_threads_namespace() {
        let Ok(namespace) = std::fs::File::open("/proc/self/ns/net") else { return };
        let Ok(found) = interfaces_of(namespace.as_fd(), &[], &[]) else { return };
        assert!(found.interfaces.iter().any(|link| link.is_loopback && !link.leads_out), "{found:?}");
        assert_eq!(found.counters, std::fs::metadata("/proc/self/net/dev").ok().map(|known| known.ino()));
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec.unsigned_abs();
        assert!(found.age.is_none_or(|age| age.as_secs() <= up + 1), "{:?}", found.age);
        // Whatever passed until then is in the file by now.
        let text = std::fs::read("/proc/self/net/dev").unwrap();
        let after: Vec<_> = crate::collect::net_dev::interfaces(&text).unwrap().collect();
        for link in &found.interfaces {
            let (_, now) = after.iter().find(|(name, _)| *name == link.name).unwrap();
            assert!(now.sent >= link.passed.sent && now.received >= link.passed.received, "{link:?} {now:?}");
        }
    }

    #[test]
    fn a_message_that_is_cut_or_lies_about_its_length_is_no_message() {
        assert_eq!(message(&[]), None);
        assert_eq!(message(&[255; 20]), None);
        assert_eq!(message(&[4, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(attributes(&[0, 0, 3, 0, 1]).count(), 0);
        assert_eq!(attributes(&[200, 0, 3, 0, 1]).count(), 0);
        assert_eq!(link(&[0; 4]), None);
        assert_eq!(address_made(&[0; 12]), None);
    }
}
