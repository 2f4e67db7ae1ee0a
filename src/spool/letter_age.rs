//! The age of dead letters: lines that are no events are dropped when they get old, refused events never.
//!
//! A line that is no event was billed to nobody, and nobody can deliver it as it is. A refused event is usage that somebody
//! consumed: how long it may wait for a decision is not the spool's to say, so that it is only named.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::letters::LetterKind;
use crate::units::rfc3339;

/// How often a publisher looks for old dead letters; it does so when it opens the spool too.
pub(super) const CHECKED_EVERY_SECONDS: u64 = 86_400;

/// Rows that are looked at in one transaction, so that none takes long.
const ROWS_AT_ONCE: i64 = 512;

/// Dead letters older than an age: what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct OldLetters {
    /// Lines that are no events; they were dropped.
    dropped_lines: Group,
    /// Refused events; they are kept.
    kept_events: Group,
}

/// How many dead letters of one kind there were, and when the oldest of them became one, in Unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Group {
    count: u64,
    oldest_at: i64,
}

impl Group {
    fn add(&mut self, at: i64) {
        self.oldest_at = if self.count == 0 { at } else { self.oldest_at.min(at) };
        self.count += 1;
    }

    fn since(self) -> String {
        rfc3339(self.oldest_at).unwrap_or_else(|| self.oldest_at.to_string())
    }
}

/// Whether a publisher that looked for old dead letters at `last` does so again at `now`, in Unix seconds. A clock that was
/// set back is no reason to wait longer.
pub(super) const fn is_due(last: i64, now: i64) -> bool {
    now.abs_diff(last) >= CHECKED_EVERY_SECONDS
}

/// Dead letters from before this Unix second are older than `age` at `now`.
fn cutoff(now: i64, age: Duration) -> i64 {
    now.saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX))
}

/// Drops the lines that are no events and have been dead letters for longer than `age` at `now`, and that do not wait for
/// a replay; counts the refused events that are as old.
pub(super) fn drop_old(connection: &Connection, now: i64, age: Duration) -> rusqlite::Result<OldLetters> {
    let cutoff = cutoff(now, age);
    let (mut old, mut after) = (OldLetters::default(), 0u64);
    loop {
        // Only numbers and times are read: what was kept as it came may be large.
        let rows: Vec<(u64, String, i64, i64)> = connection
            .prepare_cached("SELECT id, kind, first_at, last_at FROM dead_letters WHERE id > ?1 ORDER BY id LIMIT ?2")?
            .query_map(params![after, ROWS_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?
            .collect::<rusqlite::Result<_>>()?;
        // Numbers are given in the order of time: behind the first young letter all are young.
        let page: Vec<_> = rows.iter().take_while(|(_, _, first_at, _)| *first_at < cutoff).collect();
        let mut lines = Vec::new();
        for (id, kind, first_at, last_at) in &page {
            after = *id;
            // A replay that failed is as good as a decision.
            if *last_at >= cutoff {
                continue;
            }
            if kind == LetterKind::Dead.name() {
                old.kept_events.add(*first_at);
            } else {
                lines.push((*id, *first_at));
            }
        }
        if !lines.is_empty() {
            let transaction = connection.unchecked_transaction()?;
            for (id, first_at) in lines {
                if transaction
                    .prepare_cached("DELETE FROM dead_letters WHERE id = ?1 AND NOT replaying")?
                    .execute([id])?
                    > 0
                {
                    old.dropped_lines.add(first_at);
                }
            }
            transaction.commit()?;
        }
        if page.is_empty() || page.len() < rows.len() {
            return Ok(old);
        }
    }
}

impl OldLetters {
    /// Whether lines were dropped, so that what was known of their sizes no longer holds.
    pub(super) const fn dropped_any(&self) -> bool {
        self.dropped_lines.count > 0
    }

    /// What is to be logged: one warning for what was dropped, one for what waits for a decision.
    pub(super) fn warnings(&self, age: Duration) -> Vec<String> {
        let days = age.as_secs() / 86_400;
        let limit = if days > 0 { format!("{days} days") } else { format!("{} s", age.as_secs()) };
        let mut warnings = Vec::new();
        let Self { dropped_lines, kept_events } = *self;
        if dropped_lines.count > 0 {
            warnings.push(format!(
                "dead letters dropped because they are older than {limit} (--dead-letter-age): {}, the oldest from {}. All \
                 were lines that are no events. To deliver such lines, mend and publish them in time (formusage dlq export); \
                 to keep them, raise --dead-letter-age or name a file with --dead-letter",
                dropped_lines.count,
                dropped_lines.since()
            ));
        }
        if kept_events.count > 0 {
            warnings.push(format!(
                "events refused by their destination more than {limit} ago and still dead letters: {}, the oldest from {}. \
                 Nobody is billed for them; they are kept until they are delivered or thrown away. List them with formusage \
                 dlq list, then use formusage dlq replay or formusage dlq purge",
                kept_events.count,
                kept_events.since()
            ));
        }
        warnings
    }
}
