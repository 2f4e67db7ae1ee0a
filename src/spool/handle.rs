//! The spool for those who publish: a handle, and the thread behind it that has the file open.
//!
//! Every request but a settlement is answered when what came before it is committed. Settlements wait for company, 50 ms
//! at most, so that a busy publisher syncs a few times a second and not once an event.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::damage::{self, Damage};
use super::group::{Group, Remembered, Room, Settlement};
use super::store::Store;
use super::{Fetched, NewItem, SpoolError, SpoolOptions, Tally, reserve, shares};
use crate::circuit_breaker::BreakerRecord;
use crate::clock::{Clock, Monotonic};
use crate::database::StoreError;
use crate::events::EventId;
use crate::transport::BatchLimits;

/// How long a settlement waits for others.
const LINGER: Duration = Duration::from_millis(50);
/// So many settlements are committed without waiting for more.
const ENOUGH: usize = 4_096;
/// How long to wait before settlements that could not be written are tried again.
const RETRY: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<T>;
/// What was to be taken comes back where it could not be.
type TakeResult = Result<(), (SpoolError, Vec<NewItem>)>;

#[derive(Debug)]
enum Request {
    Take(Vec<NewItem>, Room, Reply<TakeResult>),
    CheckRoom(Reply<Result<(), SpoolError>>),
    Fetch(BatchLimits, Reply<Result<Fetched, SpoolError>>),
    Tally(Reply<Result<Tally, SpoolError>>),
    Settle(Settlement),
    Remember(Remembered),
    Breaker(BreakerRecord),
    Flush(Reply<Result<(), SpoolError>>),
    End(Reply<Result<(), SpoolError>>),
}

/// A spool that is open for one publisher. Clones are the same.
#[derive(Debug, Clone)]
pub struct Spool {
    path: Arc<Path>,
    requests: Sender<Request>,
    breaker: BreakerRecord,
    max_bytes: u64,
    damages: Arc<Mutex<Vec<Damage>>>,
}

impl Spool {
    /// Opens the spool at `path` for a run that publishes to the destination of this URL; makes the file and its folder
    /// where there are none. A damaged file is put aside and what can be read of it carried over ([`Spool::damages`]).
    ///
    /// # Errors
    /// When the file can't be opened or is no spool.
    pub fn open(path: &Path, url: &str, options: SpoolOptions, clock: Arc<dyn Clock>) -> Result<Self, SpoolError> {
        let damages: Arc<Mutex<Vec<Damage>>> = Arc::default();
        let max_bytes = options.max_bytes;
        let mut store = open(path, url, &options, &*clock, &damages)?;
        store.drop_old_letters(clock.unix_seconds());
        let breaker = store.breaker()?;
        let (requests, inbox) = channel();
        let keeper =
            Keeper { store, inbox, clock, group: Group::default(), reported_failing: false, damages: damages.clone() };
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || keeper.run())
            .map_err(|error| SpoolError::Io { path: path.to_owned(), error })?;
        Ok(Self { path: path.into(), requests, breaker, max_bytes, damages })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The circuit breaker's state as the last run to this destination left it.
    #[must_use]
    pub const fn breaker(&self) -> &BreakerRecord {
        &self.breaker
    }

    /// The most bytes that an event or a dead letter may have, 63 MiB at most: a larger one would not fit into a spool that
    /// is empty, and [`Spool::take`] would refuse it for ever.
    #[must_use]
    pub fn largest_item(&self) -> u64 {
        shares::largest_item(self.max_bytes)
    }

    /// How many bytes of lines may be read ahead of a pipe, so that there is room for all of them in a full spool: a
    /// sixteenth of it, at most 2 MiB.
    #[must_use]
    pub fn read_ahead_bytes(&self) -> usize {
        usize::try_from(shares::read_ahead_bytes(self.max_bytes)).unwrap_or(usize::MAX)
    }

    /// What was done about damage, so far.
    #[must_use]
    pub fn damages(&self) -> Vec<Damage> {
        self.damages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes `items`: they are on disk when this returns.
    ///
    /// # Errors
    /// Why nothing of it was taken, and the items.
    pub async fn take(&self, items: Vec<NewItem>) -> TakeResult {
        self.take_within(items, Room::Limit).await
    }

    /// Takes `items` that nobody could give again, as [`Spool::take`] does and beyond its limits by up to
    /// an eighth of [`SpoolOptions::max_bytes`], at most 4 MiB.
    ///
    /// # Errors
    /// Why nothing of it was taken, and the items.
    pub async fn take_read_ahead(&self, items: Vec<NewItem>) -> TakeResult {
        self.take_within(items, Room::ReadAhead).await
    }

    async fn take_within(&self, items: Vec<NewItem>, room: Room) -> TakeResult {
        let (reply, answer) = oneshot::channel();
        match self.requests.send(Request::Take(items, room, reply)) {
            Ok(()) => answer.await.unwrap_or_else(|_| Err((SpoolError::Closed, Vec::new()))),
            Err(std::sync::mpsc::SendError(Request::Take(items, ..))) => Err((SpoolError::Closed, items)),
            Err(_) => Err((SpoolError::Closed, Vec::new())),
        }
    }

    /// Whether there is room again.
    pub async fn has_room(&self) -> bool {
        self.check_room().await.is_ok()
    }

    /// Whether there is room again.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn check_room(&self) -> Result<(), SpoolError> {
        self.ask(Request::CheckRoom).await
    }

    /// The next events that wait and that no other publisher holds, within `limits`. They are held until they are
    /// settled or the run ends.
    ///
    /// # Errors
    /// When the file can't be read.
    pub async fn fetch(&self, limits: BatchLimits) -> Result<Fetched, SpoolError> {
        self.ask(|reply| Request::Fetch(limits, reply)).await
    }

    /// The destination has acknowledged the event. Written within 50 ms; [`Spool::flush`] waits for it.
    pub fn delivered(&self, seq: u64, id: EventId) {
        let _ = self.requests.send(Request::Settle(Settlement { seq, id, dead: None, tries: 0 }));
    }

    /// The event can never be delivered, for this reason, after so many tries: it becomes a dead letter.
    pub fn dead(&self, seq: u64, id: EventId, reason: String, tries: u64) {
        let _ = self.requests.send(Request::Settle(Settlement { seq, id, dead: Some(reason), tries }));
    }

    /// Remembers, for later runs, what attempts to deliver an event that still waits came to. Written within 50 ms.
    pub fn remember(&self, seq: u64, id: EventId, refusals: u32, unanswered: bool) {
        let _ = self.requests.send(Request::Remember(Remembered { seq, id, refusals, unanswered }));
    }

    /// Keeps the circuit breaker's state for later runs.
    pub fn save_breaker(&self, record: BreakerRecord) {
        let _ = self.requests.send(Request::Breaker(record));
    }

    /// How the run stands.
    ///
    /// # Errors
    /// When the file can't be read.
    pub async fn tally(&self) -> Result<Tally, SpoolError> {
        self.ask(Request::Tally).await
    }

    /// Waits until everything that was settled is on disk.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn flush(&self) -> Result<(), SpoolError> {
        self.ask(Request::Flush).await
    }

    /// Ends the run: what it still held is free for others and for the next one.
    ///
    /// # Errors
    /// When the last settlements could not be written; those events will be sent again, under the same ids.
    pub async fn end(&self) -> Result<(), SpoolError> {
        self.ask(Request::End).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<Result<T, SpoolError>>) -> Request) -> Result<T, SpoolError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).map_err(|_| SpoolError::Closed)?;
        answer.await.unwrap_or(Err(SpoolError::Closed))
    }
}

/// Opens the file; puts it aside first where it is damaged.
fn open(
    path: &Path,
    url: &str,
    options: &SpoolOptions,
    clock: &dyn Clock,
    damages: &Mutex<Vec<Damage>>,
) -> Result<Store, SpoolError> {
    let now = clock.unix_seconds();
    let damaged = damage::has_lost_its_head(path);
    if !damaged {
        match Store::open(path, url, options.clone(), now) {
            Err(error) if error.is_damage() => {}
            // To say that a run has begun takes room too, and what it delivers makes some.
            Err(error) if error.is_full() && reserve::release(path) => {
                return Store::open(path, url, options.clone(), now);
            }
            result => return result,
        }
    }
    put_aside(path, options, now, damages)?;
    Store::open(path, url, options.clone(), now)
}

fn put_aside(path: &Path, options: &SpoolOptions, now: i64, damages: &Mutex<Vec<Damage>>) -> Result<(), SpoolError> {
    if let Some(damage) = damage::put_aside(path, options.sync, now)? {
        tracing::error!("{damage}");
        damages.lock().unwrap_or_else(PoisonError::into_inner).push(damage);
    }
    Ok(())
}

/// The thread's side.
struct Keeper {
    store: Store,
    inbox: Receiver<Request>,
    clock: Arc<dyn Clock>,
    /// What is to be committed next.
    group: Group,
    /// The log says that acknowledgements could not be written.
    reported_failing: bool,
    damages: Arc<Mutex<Vec<Damage>>>,
}

impl Keeper {
    fn run(mut self) {
        // When the group is to be written, if nothing asks for it before.
        let mut due: Option<Monotonic> = None;
        // It could not be written the last time: more settlements are no reason to try sooner.
        let mut failing = false;
        loop {
            let request = match due {
                None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => self.inbox.recv_timeout(due.saturating_sub(self.clock.monotonic())),
            };
            // By the operating system's clock: the one that is injected may stand still.
            let timed_out = matches!(request, Err(RecvTimeoutError::Timeout));
            match request {
                Ok(Request::Settle(settlement)) => self.group.settled.push(settlement),
                Ok(Request::Remember(remembered)) => self.group.remembered.push(remembered),
                Ok(Request::Breaker(record)) => self.group.breaker = Some(record),
                Ok(Request::End(reply)) => {
                    let written = self.commit();
                    let ended = self.store.end();
                    // Whoever comes next finds the lock gone and drops the claims.
                    let ended = ended.or_else(|error| if error.may_pass() { Ok(()) } else { Err(error) });
                    let _ = reply.send(written.and(ended));
                    return;
                }
                Ok(other) => self.answer(other),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.commit_or_keep();
                    let _ = self.store.end();
                    return;
                }
            }
            if self.group.is_empty() {
                (due, failing) = (None, false);
                continue;
            }
            let now = self.clock.monotonic();
            let at = *due.get_or_insert(now + LINGER);
            if timed_out || now >= at || (self.group.settled.len() >= ENOUGH && !failing) {
                failing = !self.commit_or_keep();
                due = failing.then(|| self.clock.monotonic() + RETRY);
            }
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::CheckRoom(reply) => {
                let _ = reply.send(self.commit().and_then(|()| self.store.check_room_for_one()));
            }
            Request::Take(items, room, reply) => {
                (self.group.items, self.group.room) = (items, room);
                let taken = self.commit();
                // Whatever kept them out must not keep the settlements waiting in front of them.
                let items = std::mem::take(&mut self.group.items);
                let _ = reply.send(taken.map_err(|error| (error, items)));
            }
            Request::Fetch(limits, reply) => {
                let now = self.clock.unix_seconds();
                let fetched = self
                    .commit()
                    .and_then(|()| self.store.follow_the_name(now))
                    .and_then(|_| self.making_room(|store| store.fetch(limits, now)));
                let _ = reply.send(fetched);
            }
            Request::Tally(reply) => {
                let tally = self.commit().and_then(|()| self.mended(|store| store.tally()));
                let _ = reply.send(tally);
            }
            Request::Flush(reply) => {
                let _ = reply.send(self.commit());
            }
            Request::Settle(_) | Request::Remember(_) | Request::Breaker(_) | Request::End(_) => {}
        }
    }

    /// Writes what is to be written; what can't be is kept, to be tried again. Whether it was written. The log names the
    /// first failure and the recovery, not each try between.
    fn commit_or_keep(&mut self) -> bool {
        let result = self.commit();
        if let Err(error) = &result
            && !std::mem::replace(&mut self.reported_failing, true)
        {
            tracing::warn!(%error, "acknowledgements could not be written yet; they are kept and tried again");
        }
        result.is_ok()
    }

    fn commit(&mut self) -> Result<(), SpoolError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let now = self.clock.unix_seconds();
        self.store.follow_the_name(now)?;
        let mut group = std::mem::take(&mut self.group);
        let mut result = if group.items.is_empty() {
            self.settle(&group, now)
        } else {
            self.mended(|store| store.commit(&group, now))
        };
        if result.as_ref().is_err_and(SpoolError::is_full) && !group.items.is_empty() && !group.settled.is_empty() {
            // Settlements make room: they go first, and without the items where these still don't fit.
            let items = std::mem::take(&mut group.items);
            if self.settle(&group, now).is_ok() {
                group = Group { items, room: group.room, ..Group::default() };
                result = self.mended(|store| store.commit(&group, now));
            } else {
                group.items = items;
            }
        }
        if result.is_ok() && self.store.has_lost_its_name() {
            // It was put aside between the look at its name and the commit; whether it was carried over with this in it
            // nobody knows. Twice is better than never.
            result = self.store.follow_the_name(now).and_then(|_| self.mended(|store| store.commit(&group, now)));
        }
        self.group = if result.is_ok() { Group::default() } else { group };
        if result.is_ok() && std::mem::take(&mut self.reported_failing) {
            tracing::warn!("the spool can be written again: all acknowledgements are on disk");
        }
        result
    }

    /// Commits a group that takes nothing in: whole, or as the room allows.
    fn settle(&mut self, group: &Group, now: i64) -> Result<(), SpoolError> {
        match self.mended(|store| store.commit(group, now)) {
            Err(error) if error.is_full() => self.making_room(|store| store.commit_in_parts(group, now)),
            result => result,
        }
    }

    /// Does `work` that makes room or leads to it: on a full disk it gets the reserve.
    fn making_room<T>(&mut self, mut work: impl FnMut(&mut Store) -> Result<T, SpoolError>) -> Result<T, SpoolError> {
        match self.mended(&mut work) {
            Err(error) if error.is_full() && reserve::release(&self.store.path) => self.mended(work),
            result => result,
        }
    }

    /// Does `work`; where the file turns out to be damaged, puts it aside and does it on the fresh one.
    fn mended<T>(&mut self, mut work: impl FnMut(&mut Store) -> Result<T, SpoolError>) -> Result<T, SpoolError> {
        match work(&mut self.store) {
            // It was a spool when it was opened.
            Err(SpoolError::Store(error))
                if error.is_damage()
                    || matches!(error, StoreError::NotOurs { .. } | StoreError::NotADatabase { .. }) =>
            {
                let now = self.clock.unix_seconds();
                if !self.store.follow_the_name(now)? {
                    let path: PathBuf = self.store.path.clone();
                    put_aside(&path, &self.store.options, now, &self.damages)?;
                    self.store.go_on(true, now)?;
                }
                work(&mut self.store)
            }
            // The log may hold more room than the file needs.
            Err(SpoolError::Store(StoreError::Full { .. })) => {
                self.store.fold_the_log();
                work(&mut self.store)
            }
            result => result,
        }
    }
}
