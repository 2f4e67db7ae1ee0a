//! Whether what passed a tunnel or a tap can have left its namespace by the interfaces that count. Pure.
//!
//! Nobody tells which interface carries a tunnel's packets: whoever owns the namespace may lay a cable to nowhere beside a
//! tap that leads out. But what is carried passes the carrier as well. So where more passed the tunnel than those that
//! count, some of it left uncounted. A virtual machine behind a tap sends what its host receives from it, so that the
//! carrier may count the other direction.

use crate::collect::Traffic;

/// What may have passed the one interface and not yet the other, in all.
const IN_FLIGHT: u64 = 256 << 10;

/// What passed inner interfaces and was not carried yet: by those that count in the same direction, or in the other one.
#[derive(Debug, Default)]
pub(super) struct Cover {
    same: Traffic,
    turned: Traffic,
}

impl Cover {
    /// Takes in what passed inner interfaces since the last sample, and those that count. Whether some of it was surely
    /// not counted, which it is asked for once.
    pub(super) fn is_short(&mut self, inner: Traffic, counted: Traffic) -> bool {
        self.same = uncarried(self.same, inner, counted);
        self.turned = uncarried(self.turned, inner, Traffic { sent: counted.received, received: counted.sent });
        let uncarried = [self.same, self.turned];
        let is_short = uncarried.iter().all(|left| left.sent.max(left.received) > IN_FLIGHT);
        // What one of the two explains in full is settled.
        if is_short || uncarried.contains(&Traffic::default()) {
            *self = Self::default();
        }
        is_short
    }
}

/// What is not carried, with what was not before.
const fn uncarried(before: Traffic, inner: Traffic, carrier: Traffic) -> Traffic {
    // Short packets have more headers, and each direction's acknowledgements are as many as the carrier likes.
    let sent = carrier.sent.saturating_add(carrier.sent / 4).saturating_add(carrier.received / 16);
    let received = carrier.received.saturating_add(carrier.received / 4).saturating_add(carrier.sent / 16);
    Traffic {
        sent: before.sent.saturating_add(inner.sent).saturating_sub(sent),
        received: before.received.saturating_add(inner.received).saturating_sub(received),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn passed(sent: u64, received: u64) -> Traffic {
        Traffic { sent: sent << 20, received: received << 20 }
    }

    #[test]
    fn more_than_the_carrier_had_is_not_covered() {
        let mut cover = Cover::default();
        assert!(!cover.is_short(passed(10, 1), passed(10, 1)), "a tunnel over a cable");
        assert!(!cover.is_short(passed(10, 1), passed(1, 10)), "a machine behind a tap");
        assert!(!cover.is_short(passed(0, 0), passed(10, 10)));
        assert!(cover.is_short(passed(10, 0), passed(0, 0)), "a cable to nowhere");
        assert!(!cover.is_short(passed(0, 0), passed(0, 0)), "once");
        assert!(cover.is_short(passed(100, 100), passed(50, 10)));
    }

    #[test]
    fn what_is_held_back_may_be_carried_later_and_little_by_little_is_found() {
        let mut cover = Cover::default();
        let little = Traffic { sent: IN_FLIGHT, received: 0 };
        assert!(!cover.is_short(little, Traffic::default()));
        assert!(!cover.is_short(Traffic::default(), little));
        let found = (0..10).filter(|_| cover.is_short(little, Traffic::default())).count();
        assert_eq!(found, 5, "each second time");
    }
}
