//! The look for events that wait and that no other publisher holds.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{TransactionBehavior, params};

use super::claims::Look;
use super::store::Store;
use super::{Fetched, SpoolError, Sync, Waiting};
use crate::events::EncodedEvent;
use crate::transport::BatchLimits;

/// So many rows are looked at in one transaction: nobody else writes meanwhile.
const MAX_ROWS: usize = 8_192;
/// So many such looks go ahead before whoever asked has an answer: each row is seen ahead but once. What was skipped
/// is looked at again and again, so that is one step each time.
const LOOKS_AHEAD: usize = 16;

#[derive(Debug, Default)]
struct Found {
    events: Vec<Waiting>,
    /// Whose they are, as the claims name it.
    instances: Vec<String>,
    looked_at: u64,
    broken: Vec<(u64, String)>,
    /// How many of the broken ones this run did not take.
    broken_of_others: u64,
    end: End,
}

impl Found {
    const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.broken.is_empty()
    }
}

/// Why a look went no further.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It found or saw as much as it may at once.
    #[default]
    Enough,
    /// There is nothing more.
    Reached,
    /// Others hold more instances than can be remembered.
    Full,
}

impl Store {
    /// The next events that wait and that no other publisher holds. They count as held until they are settled.
    pub(super) fn fetch(&mut self, limits: BatchLimits, now: i64) -> Result<Fetched, SpoolError> {
        // Claims need not outlive a power cut, which their holder does not either: no sync for them.
        let set_sync = |store: &Self, mode| store.connection.pragma_update(None, "synchronous", mode);
        set_sync(self, "normal").map_err(|error| self.refuse(error))?;
        let found = self.find(limits);
        if self.options.sync == Sync::Full {
            set_sync(self, "full").map_err(|error| self.refuse(error))?;
        }
        let (found, to_the_end) = found?;
        if !found.broken.is_empty() {
            self.bury_broken(&found.broken, now).map_err(|error| self.refuse(error))?;
            let count = found.broken.len();
            tracing::error!(spool = %self.path.display(), "{count} events in the spool are damaged; they are kept as dead letters");
            self.other_dead += found.broken_of_others;
        }
        let nothing = found.events.is_empty();
        let held_elsewhere = self.claims.has_skipped() || (nothing && !to_the_end);
        let waiting = if nothing && held_elsewhere {
            let sql = "SELECT waiting_events FROM destinations WHERE id = ?1";
            let count = self.connection.query_row(sql, [self.destination], |row| row.get(0));
            Some(count.map_err(|error| self.refuse(error))?)
        } else {
            None
        };
        Ok(Fetched { events: found.events, held_elsewhere, waiting })
    }

    /// What is found ahead or among what was skipped before, in turns; and whether all that is ahead was seen.
    fn find(&mut self, limits: BatchLimits) -> Result<(Found, bool), SpoolError> {
        if self.claims.is_agains_turn() {
            let found = self.look(Look::Again, limits)?;
            if !found.is_empty() {
                return Ok((found, false));
            }
        }
        let mut found = Found::default();
        for _ in 0..LOOKS_AHEAD {
            found = self.look(Look::Ahead, limits)?;
            if !found.is_empty() || found.end != End::Enough {
                break;
            }
        }
        let to_the_end = found.end == End::Reached;
        if found.is_empty() && found.end != End::Enough && self.claims.has_skipped() {
            found = self.look(Look::Again, limits)?;
            if found.is_empty() && self.recover()? {
                // What a publisher held that is gone may lie behind the step's start.
                self.claims.look_again();
                found = self.look(Look::Again, limits)?;
            }
        }
        Ok((found, to_the_end))
    }

    fn look(&mut self, look: Look, limits: BatchLimits) -> Result<Found, SpoolError> {
        let found = self.look_at_rows(look, limits).map_err(|error| self.refuse(error))?;
        for (waiting, instance) in found.events.iter().zip(&found.instances) {
            self.claims.hand_out(waiting.seq, instance);
        }
        if !found.is_empty() {
            self.claims.has_found(look);
        }
        self.claims.advance(look, found.looked_at);
        match (look, found.end) {
            (Look::Again, End::Reached) => self.claims.has_looked_again(),
            (Look::Again, End::Full) => self.claims.look_again(),
            _ => {}
        }
        Ok(found)
    }

    fn look_at_rows(&mut self, look: Look, limits: BatchLimits) -> rusqlite::Result<Found> {
        let (from, to) = self.claims.stretch(look);
        let mut found = Found { looked_at: from, ..Found::default() };
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut waiting = transaction.prepare_cached(
                "SELECT seq, run, instance, body, source, line, id, refusals, unanswered FROM events
                 WHERE destination = ?1 AND delivered_at IS NULL AND seq > ?2 AND seq <= ?3 ORDER BY seq",
            )?;
            // A claim of our own may be there already.
            let mut claim = transaction.prepare_cached(
                "INSERT INTO claims (destination, instance, run) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET run = run WHERE run = excluded.run",
            )?;
            let mut claimed: HashSet<String> = HashSet::new();
            let number = |seq: u64| i64::try_from(seq).unwrap_or(i64::MAX);
            let mut rows = waiting.query(params![self.destination, number(from), number(to)])?;
            let mut bytes = 0usize;
            let mut looks = 0;
            while found.events.len() < limits.events && bytes < limits.bytes && looks < MAX_ROWS {
                let Some(row) = rows.next()? else {
                    found.end = End::Reached;
                    break;
                };
                looks += 1;
                let seq: u64 = row.get(0)?;
                let instance: String = row.get(2)?;
                if self.claims.is_out(seq) || self.claims.is_skipped(look, &instance) {
                    found.looked_at = seq;
                    continue;
                }
                if !self.claims.holds(&instance) && !claimed.contains(&instance) {
                    if claim.execute(params![self.destination, instance, self.run])? == 0 {
                        if !self.claims.skip(look, &instance) {
                            found.end = End::Full;
                            break;
                        }
                        found.looked_at = seq;
                        continue;
                    }
                    claimed.insert(instance.clone());
                }
                found.looked_at = seq;
                let run: i64 = row.get(1)?;
                let body: Vec<u8> = row.get(3)?;
                bytes += body.len() + instance.len();
                let id: Vec<u8> = row.get(6)?;
                let broken = found.broken.len();
                match EncodedEvent::decode_stored(&body) {
                    // Bytes that are still an event may be another one.
                    Ok(encoded) if encoded.id().as_bytes()[..] != id[..] => {
                        found.broken.push((seq, "its bytes are not those that were taken".to_owned()));
                    }
                    Ok(encoded) => {
                        found.instances.push(instance);
                        let source: Arc<str> = row.get::<_, String>(4)?.into();
                        let own = run == self.run;
                        let (line, refusals, unanswered) = (row.get(5)?, row.get(7)?, row.get(8)?);
                        found.events.push(Waiting { seq, own, encoded, source, line, refusals, unanswered });
                    }
                    Err(error) => found.broken.push((seq, error.to_string())),
                }
                found.broken_of_others += u64::from(found.broken.len() > broken && run != self.run);
            }
        }
        transaction.commit()?;
        Ok(found)
    }

    /// What can't be read any more is kept as a dead letter. A replay gives back the letter that it came from, whose own
    /// bytes may be sound.
    fn bury_broken(&mut self, broken: &[(u64, String)], now: i64) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (seq, error) in broken {
            let reason = format!("damaged in the spool: {error}");
            let again = transaction.execute(
                "UPDATE dead_letters SET kind = 'dead', reason = ?2, last_at = ?3, replaying = 0
                 WHERE id = (SELECT letter FROM events WHERE seq = ?1)",
                params![seq, reason, now],
            )?;
            if again == 0 {
                transaction.execute(
                    "INSERT INTO dead_letters (destination, kind, reason, first_at, last_at, tries, source, line, raw)
                     SELECT destination, 'dead', ?2, taken_at, ?3, 0, source, line, body FROM events WHERE seq = ?1",
                    params![seq, reason, now],
                )?;
            }
            transaction.execute(
                "UPDATE destinations SET waiting_events = waiting_events - 1,
                     waiting_bytes = waiting_bytes - (SELECT length(body) FROM events WHERE seq = ?1)
                 WHERE id = (SELECT destination FROM events WHERE seq = ?1)",
                [seq],
            )?;
            // The books of whoever took it.
            transaction.execute(
                "UPDATE runs SET dead_elsewhere = dead_elsewhere + 1 WHERE id = (SELECT run FROM events WHERE seq = ?1)",
                [seq],
            )?;
            transaction.execute("DELETE FROM events WHERE seq = ?1", [seq])?;
        }
        transaction.commit()
    }
}
