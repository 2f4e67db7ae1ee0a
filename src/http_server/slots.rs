//! Places of which there are so many, and who has to give up one when there are none left.
//!
//! Who has not advanced for longest gives way, unless it is busy: honest clients advance, those that hold a place for its
//! own sake do not. So the places can't be taken by clients that send half a request, or that do not read a reply.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::clock::{Clock as _, Monotonic, SystemClock};

/// A limited number of places.
#[derive(Debug)]
pub(crate) struct Slots {
    capacity: usize,
    per_peer: usize,
    /// Nobody gives way who has advanced within this time.
    least_age: Duration,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next_id: u64,
    entries: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    peer: Option<IpAddr>,
    advanced_at: Monotonic,
    /// How many hold it as busy.
    busy: usize,
    cut: CancellationToken,
}

impl Slots {
    pub(crate) fn new(capacity: usize, per_peer: usize, least_age: Duration) -> Arc<Self> {
        let (taken, freed) = (Mutex::default(), Notify::new());
        Arc::new(Self { capacity, per_peer, least_age, taken, freed })
    }

    /// A place for `peer`, who may be this machine or nobody in particular, which are limited together with all others
    /// alone. `None` where every place is taken by somebody who need not give way.
    pub(crate) fn enter(self: &Arc<Self>, peer: Option<IpAddr>, now: Monotonic) -> Option<Slot> {
        let peer = peer.and_then(network);
        let mut taken = self.lock();
        let of_peer = |entry: &Entry| peer.is_some() && entry.peer == peer;
        if taken.entries.values().filter(|entry| of_peer(entry)).count() >= self.per_peer {
            taken.cut_oldest(now, self.least_age, of_peer)?;
        } else if taken.entries.len() >= self.capacity {
            taken.cut_oldest(now, self.least_age, |_| true)?;
        }
        let (id, cut) = (taken.next_id, CancellationToken::new());
        taken.next_id += 1;
        taken.entries.insert(id, Entry { peer, advanced_at: now, busy: 0, cut: cut.clone() });
        Some(Slot { slots: self.clone(), id, cut })
    }

    /// As [`Slots::enter`] for nobody in particular, waiting until there is a place. Who waits at the same time comes in no
    /// order.
    #[cfg(feature = "server")]
    pub(crate) async fn enter_in_time(self: &Arc<Self>) -> Slot {
        loop {
            let freed = self.freed.notified();
            if let Some(slot) = self.enter(None, SystemClock.monotonic()) {
                return slot;
            }
            tokio::select! {
                () = freed => {}
                // Somebody may have stalled meanwhile.
                () = SystemClock.sleep(self.least_age) => {}
            }
        }
    }

    /// Takes the place of whoever has not advanced for longest.
    pub(crate) fn cut_oldest(&self, now: Monotonic) {
        self.lock().cut_oldest(now, self.least_age, |_| true);
    }

    /// Waits until a place is free or somebody could give way.
    pub(crate) async fn freed(&self) {
        loop {
            let freed = self.freed.notified();
            {
                let taken = self.lock();
                if taken.entries.len() < self.capacity || taken.entries.values().any(|entry| entry.busy == 0) {
                    return;
                }
            }
            freed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn cut_oldest(&mut self, now: Monotonic, least_age: Duration, of: impl Fn(&Entry) -> bool) -> Option<()> {
        let may_go = |entry: &Entry| entry.busy == 0 && now.saturating_sub(entry.advanced_at) >= least_age && of(entry);
        let oldest = self.entries.iter().filter(|(_, entry)| may_go(entry));
        let (&id, _) = oldest.min_by_key(|&(id, entry)| (entry.advanced_at, *id))?;
        self.entries.remove(&id)?.cut.cancel();
        Some(())
    }
}

/// Whom the limit of one other machine holds for: who has one IPv6 address has 2^64 of them. `None` is this machine.
fn network(peer: IpAddr) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    match peer {
        _ if peer.is_loopback() => None,
        IpAddr::V4(_) => Some(peer),
        IpAddr::V6(address) => Some(IpAddr::V6((address.to_bits() >> 64 << 64).into())),
    }
}

/// A place, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    id: u64,
    cut: CancellationToken,
}

impl Slot {
    /// Notes that its owner advances.
    #[cfg(feature = "server")]
    pub(crate) fn advance(&self) {
        if let Some(entry) = self.slots.lock().entries.get_mut(&self.id) {
            entry.advanced_at = SystemClock.monotonic();
        }
    }

    /// Keeps the place as long as the result lives, whoever comes.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        if let Some(entry) = self.slots.lock().entries.get_mut(&self.id) {
            entry.busy += 1;
        }
        Busy(self.clone())
    }

    /// Waits until the place was taken away.
    pub(crate) fn cut(&self) -> WaitForCancellationFuture<'_> {
        self.cut.cancelled()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().entries.remove(&self.id);
        self.slots.freed.notify_waiters();
    }
}

/// Work that is not to be interrupted.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Slot>);

#[cfg(feature = "server")]
impl Busy {
    /// Takes the place away from its owner.
    pub(crate) fn cut_off(&self) {
        self.0.cut.cancel();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(entry) = self.0.slots.lock().entries.get_mut(&self.0.id) {
            entry.busy -= 1;
            entry.advanced_at = SystemClock.monotonic();
        }
        self.0.slots.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Monotonic {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_has_waited_longest_gives_way_to_a_newcomer() {
        let slots = Slots::new(3, 3, Duration::ZERO);
        let enter = |second| slots.enter(None, at(second)).map(Arc::new);
        let (first, second, third) = (enter(1).unwrap(), enter(2).unwrap(), enter(3).unwrap());
        let busy = first.busy();
        let fourth = enter(4).unwrap();
        assert!(!first.cut.is_cancelled() && second.cut.is_cancelled() && !third.cut.is_cancelled());
        let all_busy = [third.busy(), fourth.busy()];
        assert!(enter(5).is_none(), "nobody who works gives way");
        drop(all_busy);
        drop(busy);
        // It has just been busy, by the real clock.
        assert!(enter(6).is_some());
    }

    #[test]
    fn who_has_just_advanced_does_not_give_way() {
        let slots = Slots::new(1, 1, Duration::from_secs(1));
        let _first = slots.enter(None, at(10)).unwrap();
        assert!(slots.enter(None, at(10)).is_none());
        assert!(slots.enter(None, at(11)).is_some());
    }

    #[test]
    fn one_other_machine_does_not_get_all_places() {
        let slots = Slots::new(4, 2, Duration::ZERO);
        let enter = |peer: &str| slots.enter(Some(peer.parse().unwrap()), at(1)).unwrap();
        let others = [enter("192.0.2.1"), enter("127.0.0.1")];
        let hoard = [enter("2001:db8::1"), enter("2001:db8::2"), enter("2001:db8::3")];
        assert!(hoard[0].cut.is_cancelled(), "these are of one network");
        assert!(others.iter().all(|other| !other.cut.is_cancelled()));
        let local = [enter("127.0.0.1"), enter("::1"), enter("127.0.0.1")];
        assert!(!local[2].cut.is_cancelled(), "this machine may have all of them");
    }
}
