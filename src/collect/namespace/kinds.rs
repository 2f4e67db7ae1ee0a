//! Which interfaces of a network namespace count: what passes them leaves or enters the namespace, and each byte passes one
//! of them. One table, by the kind that the kernel gives an interface.

/// How what passes an interface leaves or enters the namespace. Only the first way that a namespace has counts, since what
/// takes a later one is carried by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// By itself: a device, or the end of something in another namespace.
    Direct,
    /// Through the process that made it. With a cable beside it, that process sends through the cable.
    Process,
    /// Encrypted, in packets of another interface, or of another namespace where it was made.
    Encrypted,
    /// In packets of another interface.
    Encapsulated,
    /// It leaves by nothing but another interface of the namespace, or not at all.
    Nowhere,
    /// To another namespace of the instance, where it is counted as it leaves that one.
    Own,
}

/// How an interface of this kind leads out, where it has no other end in another namespace.
const KINDS: [(&[u8], Way); 39] = [
    (b"amt", Way::Encapsulated),
    (b"bareudp", Way::Encapsulated),
    (b"batadv", Way::Nowhere),
    (b"bond", Way::Nowhere),
    (b"bridge", Way::Nowhere),
    (b"dummy", Way::Nowhere),
    (b"erspan", Way::Encapsulated),
    (b"geneve", Way::Encapsulated),
    (b"gre", Way::Encapsulated),
    (b"gretap", Way::Encapsulated),
    (b"gtp", Way::Encapsulated),
    (b"hsr", Way::Nowhere),
    (b"ifb", Way::Nowhere),
    (b"ip6erspan", Way::Encapsulated),
    (b"ip6gre", Way::Encapsulated),
    (b"ip6gretap", Way::Encapsulated),
    (b"ip6tnl", Way::Encapsulated),
    (b"ipip", Way::Encapsulated),
    (b"ipvlan", Way::Nowhere),
    (b"ipvtap", Way::Nowhere),
    (b"macsec", Way::Nowhere),
    (b"macvlan", Way::Nowhere),
    (b"macvtap", Way::Nowhere),
    (b"netkit", Way::Nowhere),
    (b"nlmon", Way::Nowhere),
    (b"ovpn", Way::Encrypted),
    (b"ppp", Way::Process),
    (b"sit", Way::Encapsulated),
    (b"team", Way::Nowhere),
    (b"tun", Way::Process),
    (b"veth", Way::Nowhere),
    (b"vlan", Way::Nowhere),
    (b"vrf", Way::Nowhere),
    (b"vti", Way::Encapsulated),
    (b"vti6", Way::Encapsulated),
    (b"vxcan", Way::Nowhere),
    (b"vxlan", Way::Encapsulated),
    (b"wireguard", Way::Encrypted),
    (b"xfrm", Way::Encapsulated),
];

/// The way of an interface of this kind; a device has none. `is_near`: its other end is in another namespace, which is the
/// instance's own or not. What can't be known counts.
pub(super) fn way(kind: Option<&[u8]>, is_near: Option<bool>) -> Way {
    match (is_near, kind) {
        (Some(true), _) => Way::Own,
        (Some(false), _) | (None, None) => Way::Direct,
        (None, Some(kind)) => KINDS.iter().find(|(known, _)| *known == kind).map_or(Way::Direct, |(_, way)| *way),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_interface_has_its_way_out() {
        // As iproute2 calls them; what stands in no row leads out by itself.
        let rows = [
            (Way::Direct, "device-of-a-new-kind netdevsim virt_wifi"),
            (Way::Process, "ppp tun"),
            (Way::Encrypted, "ovpn wireguard"),
            (Way::Encapsulated, "amt bareudp erspan geneve gre gretap gtp ip6erspan ip6gre ip6gretap ip6tnl ipip sit"),
            (Way::Encapsulated, "vti vti6 vxlan xfrm"),
            (
                Way::Nowhere,
                "batadv bond bridge dummy hsr ifb ipvlan ipvtap macsec macvlan macvtap netkit nlmon team veth",
            ),
            (Way::Nowhere, "vlan vrf vxcan"),
        ];
        let mut kinds = 0;
        for (expected, kind) in rows.iter().flat_map(|(way, row)| row.split(' ').map(move |kind| (*way, kind))) {
            kinds += usize::from(expected != Way::Direct);
            assert_eq!(way(Some(kind.as_bytes()), None), expected, "{kind}");
            assert_eq!(way(Some(kind.as_bytes()), Some(false)), Way::Direct, "{kind} with its other end elsewhere");
            assert_eq!(way(Some(kind.as_bytes()), Some(true)), Way::Own, "{kind} within the instance");
        }
        assert_eq!(kinds, KINDS.len(), "each row of the table is tested");
        assert_eq!(way(None, None), Way::Direct, "a device");
    }
}
