//! What is committed together: takings, settlements and the breaker's state, in one transaction with one sync.

use std::borrow::Cow;
use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::damage::with_suffix;
use super::shares::Coming;
use super::store::{Store, usage};
use super::{NewItem, SpoolError, letter_age, letters, reserve, shares};
use crate::circuit_breaker::BreakerRecord;
use crate::database::StoreError;
use crate::events::EventId;

/// Room on the disk that takings leave free, beside the reserve.
const RESERVED_BYTES: u64 = 16 << 20;
/// Which part of the spool lines that are no events may fill, as a divisor.
const REFUSED_SHARE: u64 = 4;
/// So many rows of retained events are removed in one transaction at most, so that none takes long.
const PRUNED_AT_ONCE: i64 = 4_096;

/// How an event that was handed out ended.
#[derive(Debug, Clone)]
pub(super) struct Settlement {
    pub(super) seq: u64,
    pub(super) id: EventId,
    /// Why it can never be delivered; `None` where it was acknowledged.
    pub(super) dead: Option<String>,
    /// How often it was tried.
    pub(super) tries: u64,
}

impl Settlement {
    /// The same by the number that the event has now.
    fn renumbered(&self, numbers: &HashMap<(u64, EventId), u64>) -> Cow<'_, Self> {
        match numbers.get(&(self.seq, self.id)) {
            Some(seq) => Cow::Owned(Self { seq: *seq, ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }
}

/// What attempts to deliver an event came to that still waits.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    pub(super) seq: u64,
    pub(super) id: EventId,
    pub(super) refusals: u32,
    pub(super) unanswered: bool,
}

/// How much room items are given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Room {
    /// What [`SpoolOptions::max_bytes`](super::SpoolOptions::max_bytes) and the disk leave.
    #[default]
    Limit,
    /// An eighth more, at most 4 MiB, and half of what the disk leaves to others: nobody could give these items again.
    ReadAhead,
}

/// What is to be committed.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) items: Vec<NewItem>,
    /// For the items.
    pub(super) room: Room,
    pub(super) settled: Vec<Settlement>,
    pub(super) remembered: Vec<Remembered>,
    pub(super) breaker: Option<BreakerRecord>,
}

impl Group {
    pub(super) const fn is_empty(&self) -> bool {
        self.items.is_empty() && self.settled.is_empty() && self.remembered.is_empty() && self.breaker.is_none()
    }
}

/// How the totals of a destination change.
#[derive(Debug, Default, Clone, Copy)]
struct Change {
    waiting_events: i64,
    waiting_bytes: i64,
    retained_events: i64,
    retained_bytes: i64,
}

#[derive(Debug, Default)]
struct Changes(HashMap<i64, Change>);

impl Changes {
    fn of(&mut self, destination: i64) -> &mut Change {
        self.0.entry(destination).or_default()
    }

    fn write(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut update = connection.prepare_cached(
            "UPDATE destinations SET waiting_events = waiting_events + ?2, waiting_bytes = waiting_bytes + ?3,
                 retained_events = retained_events + ?4, retained_bytes = retained_bytes + ?5 WHERE id = ?1",
        )?;
        for (id, it) in self.0 {
            update.execute(params![id, it.waiting_events, it.waiting_bytes, it.retained_events, it.retained_bytes])?;
        }
        Ok(())
    }
}

impl Store {
    /// Commits `group`; all of it or nothing.
    pub(super) fn commit(&mut self, group: &Group, now: i64) -> Result<(), SpoolError> {
        if !group.items.is_empty() {
            self.check_room(Coming::of(&group.items), group.room)?;
        }
        let retains = !self.options.retain.is_zero() && self.options.retain_max_bytes > 0;
        self.write(group, now, retains)?;
        self.bound_refused(&group.items);
        self.drop_old_letters(now);
        Ok(())
    }

    /// Keeps the lines that are no events within their share: garbage must not keep out events. What was taken is
    /// committed; an error here is said, and it is tried again behind the next.
    fn bound_refused(&mut self, taken: &[NewItem]) {
        let more: u64 = taken.iter().map(letters::share_of).sum();
        if more == 0 {
            return;
        }
        let share = self.options.max_bytes / REFUSED_SHARE;
        let known = self.refused_bytes.map_or_else(|| letters::refused_bytes(&self.connection), |it| Ok(it + more));
        let bounded = known.and_then(|bytes| {
            if bytes <= share {
                return Ok((bytes, 0));
            }
            letters::drop_oldest(&self.connection, share - share / 8)
        });
        match bounded {
            Ok((bytes, dropped)) => {
                self.refused_bytes = Some(bytes);
                if dropped > 0 {
                    tracing::warn!(
                        "lines that are no events fill their share of the spool ({share} bytes): the {dropped} oldest of them were dropped; mend what writes them, or keep them all with --dead-letter FILE"
                    );
                }
            }
            Err(error) => {
                self.refused_bytes = None;
                tracing::warn!("the dead letters of the spool can't be bounded: {}", self.refuse(error));
            }
        }
    }

    /// Drops dead letters that are too old, once a day, and logs it. An error is logged, and it is tried again a day later:
    /// it holds up no event.
    pub(super) fn drop_old_letters(&mut self, now: i64) {
        if self.letter_age_checked_at.is_some_and(|last| !letter_age::is_due(last, now)) {
            return;
        }
        self.letter_age_checked_at = Some(now);
        let age = self.options.dead_letter_age;
        match letter_age::drop_old(&self.connection, now, age) {
            Ok(old) => {
                if old.dropped_any() {
                    self.refused_bytes = None;
                }
                for warning in old.warnings(age) {
                    tracing::warn!(spool = %self.path.display(), "{warning}");
                }
            }
            Err(error) => {
                let error = self.refuse(error);
                tracing::warn!("old dead letters could not be dropped from the spool: {error}; tried again in a day");
            }
        }
    }

    /// Commits what settles events where the disk has no room for all of it at once: in parts, down to single events,
    /// and without retaining any, which takes more room than it frees. What was written before an error stays written;
    /// to settle it again changes nothing.
    pub(super) fn commit_in_parts(&mut self, group: &Group, now: i64) -> Result<(), SpoolError> {
        let (mut rest, mut breaker) = (&group.settled[..], group.breaker.clone());
        let mut size = rest.len();
        while !rest.is_empty() || breaker.is_some() {
            let (part, behind) = rest.split_at(size.min(rest.len()));
            let part_of_it = Group { settled: part.to_vec(), breaker: breaker.clone(), ..Group::default() };
            match self.write(&part_of_it, now, false) {
                Ok(()) => (rest, breaker, size) = (behind, None, size.saturating_mul(2).max(1)),
                Err(error) if error.is_full() && part.len() > 1 => {
                    self.fold_the_log();
                    size = part.len() / 2;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write(&mut self, group: &Group, now: i64, retains: bool) -> Result<(), SpoolError> {
        let buried = self.write_rows(group, now, retains).map_err(|error| self.refuse(error))?;
        self.refused_event_bytes = self.refused_event_bytes.map(|bytes| bytes + buried);
        for settlement in &group.settled {
            self.claims.settle(settlement.renumbered(&self.numbers).seq);
        }
        Ok(())
    }

    /// Writes the rows of a group; how many bytes of events became dead letters.
    fn write_rows(&mut self, group: &Group, now: i64, retains: bool) -> rusqlite::Result<u64> {
        let shortens = self.reasons_exceed_room(&group.settled)?;
        let settled: Vec<Cow<'_, Settlement>> =
            group.settled.iter().map(|settlement| settlement.renumbered(&self.numbers)).collect();
        let seqs: Vec<u64> = settled.iter().map(|settlement| settlement.seq).collect();
        let freed = self.claims.freed_by(&seqs);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changes = Changes::default();
        take(&transaction, &group.items, self.destination, self.run, now, changes.of(self.destination))?;
        remember(&transaction, &group.remembered, self.destination, &self.numbers)?;
        let (destination, run) = (self.destination, self.run);
        let settling = Settling { connection: &transaction, destination, run, now, retains, shortens };
        let mut buried = 0;
        for settlement in &settled {
            buried += settling.settle(settlement, changes.of(self.destination))?;
        }
        {
            let mut release = transaction
                .prepare_cached("DELETE FROM claims WHERE destination = ?1 AND instance = ?2 AND run = ?3")?;
            for instance in freed {
                release.execute(params![self.destination, &*instance, self.run])?;
            }
        }
        if let Some(breaker) = &group.breaker {
            let opening = breaker.opening.as_ref();
            transaction.execute(
                "UPDATE destinations SET breaker_failures = ?2, breaker_open_until_ms = ?3, breaker_opened_at = ?4,
                     breaker_cause = ?5 WHERE id = ?1",
                params![
                    self.destination,
                    breaker.failures,
                    breaker.open_until_ms,
                    opening.map(|it| it.at),
                    opening.map(|it| &it.cause)
                ],
            )?;
        }
        if retains && !group.settled.is_empty() {
            let cutoff = now.saturating_sub(i64::try_from(self.options.retain.as_secs()).unwrap_or(i64::MAX));
            prune_older(&transaction, cutoff, &mut changes)?;
        }
        changes.write(&transaction)?;
        if retains && !group.settled.is_empty() {
            prune_to(&transaction, self.options.retain_max_bytes)?;
        }
        transaction.commit()?;
        Ok(buried)
    }

    /// Makes room by dropping retained events, or refuses.
    fn check_room(&mut self, coming: Coming, room: Room) -> Result<(), SpoolError> {
        if room == Room::Limit {
            self.check_refused_events()?;
        }
        loop {
            let refusal = self.lack_of_room(coming, room)?;
            match refusal {
                None => return Ok(()),
                Some(_) if self.drop_retained()? => {}
                Some(refusal) => return Err(refusal),
            }
        }
    }

    /// Why no event may be taken, if none may: where one of a few bytes may not, a small disk would be waited for in vain.
    /// Drops retained events as taking does.
    pub(super) fn check_room_for_one(&mut self) -> Result<(), SpoolError> {
        self.check_room(Coming::LEAST, Room::Limit)
    }

    /// Why `coming` may not be taken, if it may not.
    fn lack_of_room(&mut self, coming: Coming, room: Room) -> Result<Option<SpoolError>, SpoolError> {
        let (used, free) = usage(&self.connection).map_err(|error| self.refuse(error))?;
        if let Some(limit) = self.exceeded_limit(coming, used, room)? {
            let (path, coming, max) = (self.path.clone(), coming.bytes, self.options.max_bytes);
            return Ok(Some(if limit == max {
                SpoolError::LimitReached { path, coming, used, limit }
            } else {
                SpoolError::ShareReached { path, destination: self.url.clone(), coming, used, limit, max }
            }));
        }
        let (coming, share) = (coming.bytes, if room == Room::ReadAhead { 2 } else { 1 });
        let Some((total, left)) = reserve::disk(&self.path) else { return Ok(None) };
        // What is in the log goes into the file before the log can be used anew; so does what is coming, and its index.
        let log = with_suffix(&self.path, "-wal").metadata().map_or(0, |it| it.len());
        let written = coming.saturating_add(coming / 4).saturating_add(64 << 10);
        let size = reserve::size(total);
        let missing = size.saturating_sub(reserve::held(&self.path));
        // Pages that are free within the file need no room on the disk; the reserve does.
        let fits_within = free >= written * 2;
        // A small disk gives a quarter.
        let grows_by =
            if fits_within { 0 } else { (RESERVED_BYTES.min(total / 4) / share).saturating_add(written * 2) };
        let needed = missing.saturating_add(log).saturating_add(grows_by);
        let lacks = (missing > 0 || !fits_within) && left < needed;
        if lacks || (missing > 0 && reserve::hold(&self.path, size).is_err()) {
            return Ok(Some(StoreError::Full { path: self.path.clone() }.into()));
        }
        Ok(None)
    }

    /// Drops some of the retained events; whether there were any.
    fn drop_retained(&mut self) -> Result<bool, SpoolError> {
        let dropped = (|| {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut changes = Changes::default();
            prune_older(&transaction, i64::MAX, &mut changes)?;
            let any = !changes.0.is_empty();
            changes.write(&transaction)?;
            transaction.commit()?;
            Ok(any)
        })();
        dropped.map_err(|error| self.refuse(error))
    }
}

fn take(
    connection: &Connection,
    items: &[NewItem],
    destination: i64,
    run: i64,
    now: i64,
    change: &mut Change,
) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO events (destination, run, id, instance, body, source, line, taken_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for item in items {
        match item {
            NewItem::Letter(letter) => letters::keep(connection, destination, letter, now)?,
            NewItem::Event(event) => {
                let encoded = &event.encoded;
                insert.execute(params![
                    destination,
                    run,
                    &encoded.id().as_bytes()[..],
                    encoded.event().instance_id,
                    encoded.body(),
                    &*event.source,
                    event.line,
                    now
                ])?;
                change.waiting_events += 1;
                change.waiting_bytes += i64::try_from(encoded.body().len()).unwrap_or(i64::MAX);
            }
        }
    }
    Ok(())
}

/// The id is compared too, as where an event is settled.
fn remember(
    connection: &Connection,
    remembered: &[Remembered],
    destination: i64,
    numbers: &HashMap<(u64, EventId), u64>,
) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(
        "UPDATE events SET refusals = ?4, unanswered = ?5 WHERE seq = ?1 AND destination = ?2 AND id = ?3",
    )?;
    for it in remembered {
        let seq = numbers.get(&(it.seq, it.id)).copied().unwrap_or(it.seq);
        update.execute(params![seq, destination, &it.id.as_bytes()[..], it.refusals, it.unanswered])?;
    }
    Ok(())
}

struct Settling<'a> {
    connection: &'a Connection,
    destination: i64,
    run: i64,
    now: i64,
    retains: bool,
    /// Reasons are kept in short, since there is no room for the whole.
    shortens: bool,
}

impl Settling<'_> {
    /// How many bytes became a dead letter. The id is compared too: should another file stand under the name, its numbers
    /// are not ours.
    fn settle(&self, settlement: &Settlement, change: &mut Change) -> rusqlite::Result<u64> {
        let keep = self.retains && settlement.dead.is_none();
        let sql = if keep {
            "UPDATE events SET delivered_at = ?4 WHERE seq = ?1 AND destination = ?2 AND id = ?3 AND delivered_at IS NULL
             RETURNING run, letter, length(body)"
        } else {
            "DELETE FROM events WHERE seq = ?1 AND destination = ?2 AND id = ?3 AND delivered_at IS NULL AND ?4 = ?4
             RETURNING run, letter, length(body)"
        };
        let short = settlement.dead.as_deref().filter(|_| self.shortens).map(shares::shortened);
        let reason = short.as_deref().or(settlement.dead.as_deref());
        if let Some(reason) = reason {
            self.bury(settlement, reason)?;
        }
        let mut statement = self.connection.prepare_cached(sql)?;
        let id = &settlement.id.as_bytes()[..];
        let found: Option<(i64, Option<i64>, i64)> = statement
            .query_row(params![settlement.seq, self.destination, id, self.now], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((run, letter, bytes)) = found else { return Ok(0) };
        change.waiting_events -= 1;
        change.waiting_bytes -= bytes;
        if keep {
            change.retained_events += 1;
            change.retained_bytes += bytes;
        }
        if let (Some(letter), None) = (letter, &settlement.dead) {
            self.connection.execute("DELETE FROM dead_letters WHERE id = ?1", [letter])?;
        }
        if run != self.run {
            let counter = if settlement.dead.is_some() { "dead_elsewhere" } else { "delivered_elsewhere" };
            let sql = format!("UPDATE runs SET {counter} = {counter} + 1 WHERE id = ?1");
            self.connection.prepare_cached(&sql)?.execute([run])?;
        }
        let buried = |reason: &str| bytes.unsigned_abs() + reason.len() as u64 + letters::ROW_BYTES;
        Ok(reason.map_or(0, buried))
    }

    /// Keeps the event's bytes with the reason; a replay that failed goes back to the letter that it came from.
    fn bury(&self, settlement: &Settlement, reason: &str) -> rusqlite::Result<()> {
        let id = &settlement.id.as_bytes()[..];
        let again = self.connection.execute(
            "UPDATE dead_letters SET kind = 'dead', reason = ?4, last_at = ?5, tries = tries + ?6, replaying = 0
             WHERE id = (SELECT letter FROM events
                         WHERE seq = ?1 AND destination = ?2 AND id = ?3 AND delivered_at IS NULL)",
            params![settlement.seq, self.destination, id, reason, self.now, settlement.tries],
        )?;
        if again > 0 {
            return Ok(());
        }
        self.connection.execute(
            "INSERT INTO dead_letters (destination, kind, reason, first_at, last_at, tries, source, line, raw)
             SELECT destination, 'dead', ?4, ?5, ?5, ?6, source, line, body FROM events
             WHERE seq = ?1 AND destination = ?2 AND id = ?3 AND delivered_at IS NULL",
            params![settlement.seq, self.destination, id, reason, self.now, settlement.tries],
        )?;
        Ok(())
    }
}

/// Removes retained events that were delivered before `cutoff`.
fn prune_older(connection: &Connection, cutoff: i64, changes: &mut Changes) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM events WHERE seq IN
             (SELECT seq FROM events WHERE delivered_at IS NOT NULL AND delivered_at < ?1 ORDER BY delivered_at LIMIT ?2)
         RETURNING destination, length(body)",
    )?;
    let mut rows = statement.query(params![cutoff, PRUNED_AT_ONCE])?;
    while let Some(row) = rows.next()? {
        let change = changes.of(row.get(0)?);
        change.retained_events -= 1;
        change.retained_bytes -= row.get::<_, i64>(1)?;
    }
    Ok(())
}

/// Removes the oldest retained events until at most `limit` bytes of them are left.
fn prune_to(connection: &Connection, limit: u64) -> rusqlite::Result<()> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let retained = || -> rusqlite::Result<i64> {
        connection
            .prepare_cached("SELECT coalesce(sum(retained_bytes), 0) FROM destinations")?
            .query_row([], |row| row.get(0))
    };
    let mut over = retained()?.saturating_sub(limit);
    if over <= 0 {
        return Ok(());
    }
    let mut doomed: Vec<(i64, i64, i64)> = Vec::new();
    {
        let mut oldest = connection.prepare_cached(
            "SELECT seq, destination, length(body) FROM events WHERE delivered_at IS NOT NULL
             ORDER BY delivered_at LIMIT ?1",
        )?;
        let mut rows = oldest.query([PRUNED_AT_ONCE])?;
        while over > 0
            && let Some(row) = rows.next()?
        {
            doomed.push((row.get(0)?, row.get(1)?, row.get(2)?));
            over -= row.get::<_, i64>(2)?;
        }
    }
    let mut changes = Changes::default();
    let mut delete = connection.prepare_cached("DELETE FROM events WHERE seq = ?1")?;
    for (seq, destination, bytes) in doomed {
        delete.execute([seq])?;
        let change = changes.of(destination);
        change.retained_events -= 1;
        change.retained_bytes -= bytes;
    }
    changes.write(connection)
}
