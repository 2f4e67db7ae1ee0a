//! An interface of a network namespace that an instance is in.

use super::Namespaces;
use super::links::Interface;
use crate::clock::Monotonic;
use crate::collect::Traffic;
use crate::collect::spelling::spelled;

/// An interface.
#[derive(Debug)]
pub(super) struct Known {
    /// `/NUMBER@NAMESPACE`, or `NAME@NAMESPACE` where nobody tells numbers. It stays, whatever the interface is called.
    pub(super) key: String,
    /// Its number, where that was listed.
    pub(super) index: Option<i32>,
    /// Whether it counts; `None` as long as nobody has answered.
    pub(super) counts: Option<bool>,
    pub(super) is_loopback: bool,
    /// It came to a namespace that was read then.
    pub(super) came: Option<Monotonic>,
    /// Its counters began at zero, and no earlier than then.
    pub(super) began: Option<Monotonic>,
    /// What it showed when it was first seen, or last did not count, which is what it starts from.
    pub(super) first: Traffic,
    /// What it showed last.
    pub(super) last: Traffic,
    /// Up to where it is compared with others.
    compared: Traffic,
    /// What passes it is taken to pass what counts as well, which nothing proves.
    pub(super) may_lead_out: bool,
    pub(super) started: bool,
    pub(super) seen: bool,
}

/// Where an interface that is listed comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    /// When its namespace began.
    pub(super) begun: Option<Monotonic>,
    /// It was elsewhere when the namespace was last read.
    pub(super) is_old: bool,
    /// It counted before, by its name then.
    pub(super) is_chosen: bool,
}

impl Known {
    pub(super) fn new(name: &[u8], inode: u64, came: Option<Monotonic>, first: Traffic, shared: &Namespaces) -> Self {
        let spelled = spelled(name);
        Self {
            key: format!("{spelled}@{inode}"),
            index: None,
            counts: (!shared.wanted.is_empty()).then(|| shared.is_wanted(&spelled)),
            is_loopback: false,
            came,
            began: None,
            first,
            last: first,
            compared: Traffic::default(),
            may_lead_out: false,
            started: false,
            seen: false,
        }
    }

    /// Whether something passed it, and nobody knows whether that counts.
    pub(super) fn is_undecided(&self) -> bool {
        self.counts.is_none() && self.last != Traffic::default()
    }

    /// What passed it since that was asked last.
    pub(super) const fn passed_since(&mut self) -> Traffic {
        let before = std::mem::replace(&mut self.compared, self.last);
        Traffic {
            sent: self.last.sent.saturating_sub(before.sent),
            received: self.last.received.saturating_sub(before.received),
        }
    }

    /// Takes over what the kernel says of it. `false` where its counters went back, or began elsewhere, so that some of what
    /// passed it is not known.
    pub(super) fn take(
        &mut self,
        interface: &Interface,
        is_same_name: bool,
        is_fresh: bool,
        origin: Origin,
        shared: &Namespaces,
    ) -> bool {
        let is_new = self.index.replace(interface.index).is_none();
        self.is_loopback = interface.is_loopback;
        let counted = self.counts;
        let counts = if shared.wanted.is_empty() {
            interface.leads_out
        } else {
            // What counted goes on, whatever it is called by now.
            self.counts == Some(true) || origin.is_chosen || shared.is_wanted(&spelled(&interface.name))
        };
        self.counts = Some(counts);
        self.may_lead_out = interface.may_lead_out && !counts && shared.wanted.is_empty();
        let went_back = interface.passed.sent < self.last.sent || interface.passed.received < self.last.received;
        // What an older list says of an interface is known from the file.
        if is_fresh || !is_same_name {
            self.last = interface.passed;
        }
        let is_moved = is_new && origin.is_old && counts && interface.passed != Traffic::default();
        let is_reset = went_back && is_fresh && is_same_name && counted != Some(false);
        let is_whole = !(is_moved || is_reset);
        // One that was made elsewhere and came with a device has counters that began elsewhere.
        if is_new && interface.is_virtual {
            self.began = self.came.or(origin.begun).filter(|_| !origin.is_old);
        }
        if !counts || counted == Some(false) {
            self.began = None;
            self.started &= counts;
        }
        is_whole
    }
}
