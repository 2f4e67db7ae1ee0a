//! The spool: events that were taken and wait for their destination's acknowledgement, in one SQLite file.
//!
//! # The promise
//!
//! - **Taken means committed.** [`Spool::take`] returns when the events are on disk (`synchronous = FULL`, one sync for
//!   a group; `NORMAL` with [`Sync::Normal`], which survives the death of the process but may lose the last moments to
//!   a power cut). A process that is killed loses nothing that was taken.
//! - **An event leaves when its destination has acknowledged it**, or turns into a dead letter. Acknowledgements are
//!   written in groups, at most 50 ms late; what was acknowledged in these 50 ms and not written is sent again, under
//!   the same id.
//! - **Several publishers share one spool.** Each claims the instances whose events it holds, so that no event is sent
//!   by two of them and the events of one instance stay in order. A publisher holds a lock on a file of its own
//!   (`SPOOL-run-…`) while it lives; when it dies the lock goes with it, whoever looks next drops its claims, and the
//!   events are there for the others.
//! - **Every event carries its destination**; a publisher sees only those of its own.
//! - **Dead letters** outlive restarts, and replays that fail: a replayed letter goes when its event is acknowledged. Lines
//!   that are no events are dropped, the oldest first, where they fill a quarter of the spool or are older than
//!   [`SpoolOptions::dead_letter_age`]; each time it is logged. Refused events are never dropped.
//! - **Delivered events are kept** for [`SpoolOptions::retain`], bounded by [`SpoolOptions::retain_max_bytes`], for
//!   destinations whose acknowledgement does not survive their restart; the oldest go first, and all of them go before
//!   an event is kept out.
//! - **A full spool refuses**, with [`SpoolError::LimitReached`] over [`SpoolOptions::max_bytes`] and
//!   [`StoreError::Full`] where the disk has less than 16 MiB left. Nothing is dropped.
//! - **No destination fills it for the others**: the last quarter is for those of which less than an eighth is there,
//!   waiting and refused together ([`SpoolError::ShareReached`]), so that there is room for one that comes later too. (A
//!   single event that would fit into the spool is taken where nothing else waits for its destination.) Events that one
//!   destination refused may fill a quarter; then nothing more is taken for it until somebody replays or purges them
//!   ([`SpoolError::RefusedEvents`]), and where they would go beyond its part with what else waits, the beginnings of their
//!   reasons are kept alone.
//! - **What was read ahead of a pipe** has a reserve beyond these limits: an eighth of [`SpoolOptions::max_bytes`], at most
//!   4 MiB. No more than half of that is read ahead ([`Spool::read_ahead_bytes`]). The file stays within
//!   [`SpoolOptions::max_bytes`] and this reserve.
//! - **On a full disk acknowledgements are still written**, in groups as small as it takes: 8 MiB of the disk are held in
//!   a file beside the spool, `SPOOL-reserve` (a sixteenth of a small disk; Linux only), which is given up for them and
//!   made again before anything more is taken. While the disk is that full, delivered events are not retained.
//! - **A damaged file is put aside**, never deleted: renamed to `SPOOL.damaged-…`, what can be read of it is carried
//!   over into a fresh one, and what happened is told ([`Damage`]). Other publishers follow and keep what they hold. An
//!   event whose bytes are no longer those of its id becomes a dead letter. A file that is removed under a publisher is
//!   made anew with what waited in it; where another spool is put in its place, what waited goes over into that one.
//!
//! # The file
//!
//! Schema version 3 (`user_version`), `application_id` "fusp". Times are Unix seconds. A file of version 1, which does not
//! know why a breaker opened, or 2, which does not know what attempts came to, is brought up to date by the next publisher.
//!
//! ```text
//! destinations  url, totals of what waits and what is retained, state of the circuit breaker, when and why it opened
//! runs          publishers at work, each with its lock file
//! events        seq (order of taking), destination, run, id, instance, body, source, line, taken_at,
//!               letter (the dead letter that this is a replay of), delivered_at (NULL while it waits),
//!               refusals (rounds in which it was refused while others went through),
//!               unanswered (1 where the reply to an attempt never came)
//! claims        destination, instance, run
//! dead_letters  kind, reason, first_at, last_at, tries, source, line, piece, raw
//! ```

mod claims;
mod damage;
#[cfg(test)]
mod fault_tests;
mod fetch;
#[cfg(test)]
mod fetch_tests;
mod group;
mod handle;
mod lease;
mod letter_age;
#[cfg(test)]
mod letter_age_tests;
mod letters;
mod look;
mod replaced;
mod reserve;
mod shares;
#[cfg(test)]
mod shares_tests;
mod store;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use damage::Damage;
pub use handle::Spool;
pub use letters::{DeadLetter, LetterKind, NewLetter, Replayed};
pub use look::{DestinationStatus, Lister, SpoolFile, Spooled, Status, StatusFilter};

use crate::database::{Kind, StoreError};
use crate::events::EncodedEvent;

const KIND: Kind = Kind { application_id: 0x6675_7370, steps: &[SCHEMA, BREAKER_CAUSE, ATTEMPT_HISTORY] };

/// The version from which on it is known why a breaker opened.
const WITH_BREAKER_CAUSE: i32 = 2;

const SCHEMA: &str = "
    CREATE TABLE destinations (
        id INTEGER PRIMARY KEY,
        url TEXT NOT NULL UNIQUE,
        waiting_events INTEGER NOT NULL DEFAULT 0,
        waiting_bytes INTEGER NOT NULL DEFAULT 0,
        retained_events INTEGER NOT NULL DEFAULT 0,
        retained_bytes INTEGER NOT NULL DEFAULT 0,
        breaker_failures INTEGER NOT NULL DEFAULT 0,
        breaker_open_until_ms INTEGER
    ) STRICT;
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        lock TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        delivered_elsewhere INTEGER NOT NULL DEFAULT 0,
        dead_elsewhere INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        destination INTEGER NOT NULL REFERENCES destinations (id),
        run INTEGER NOT NULL,
        id BLOB NOT NULL,
        instance TEXT NOT NULL,
        body BLOB NOT NULL,
        source TEXT NOT NULL,
        line INTEGER,
        taken_at INTEGER NOT NULL,
        letter INTEGER,
        delivered_at INTEGER
    ) STRICT;
    CREATE INDEX waiting ON events (destination) WHERE delivered_at IS NULL;
    CREATE INDEX retained ON events (delivered_at) WHERE delivered_at IS NOT NULL;
    CREATE TABLE claims (
        destination INTEGER NOT NULL,
        instance TEXT NOT NULL,
        run INTEGER NOT NULL,
        PRIMARY KEY (destination, instance)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        destination INTEGER NOT NULL REFERENCES destinations (id),
        kind TEXT NOT NULL,
        reason TEXT NOT NULL,
        first_at INTEGER NOT NULL,
        last_at INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        source TEXT NOT NULL,
        line INTEGER,
        piece INTEGER,
        raw BLOB NOT NULL,
        replaying INTEGER NOT NULL DEFAULT 0
    ) STRICT;
";

const BREAKER_CAUSE: &str = "
    ALTER TABLE destinations ADD COLUMN breaker_opened_at INTEGER;
    ALTER TABLE destinations ADD COLUMN breaker_cause TEXT;
";

const ATTEMPT_HISTORY: &str = "
    ALTER TABLE events ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE events ADD COLUMN unanswered INTEGER NOT NULL DEFAULT 0;
";

/// When a commit counts as done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sync {
    /// When the disk says that it has it.
    #[default]
    Full,
    /// When the operating system has it: a power cut may take the last moments back.
    Normal,
}

/// How a spool is kept.
#[derive(Debug, Clone)]
pub struct SpoolOptions {
    /// The most bytes of the file that may be in use before nothing more is taken, three quarters of it for one destination
    /// that does not deliver; 1 GiB by default.
    pub max_bytes: u64,
    /// How long delivered events are kept; 24 h by default, zero for not at all.
    pub retain: Duration,
    /// The most bytes of delivered events that are kept; 256 MiB by default.
    pub retain_max_bytes: u64,
    /// How long a line that is no event is kept as a dead letter; 90 days by default. Refused events are kept until somebody
    /// replays or purges them.
    pub dead_letter_age: Duration,
    /// When a commit counts as done.
    pub sync: Sync,
}

/// Long enough for a month's bill to be written and disputed.
const DEAD_LETTER_AGE: Duration = Duration::from_secs(90 * 86_400);

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            max_bytes: 1 << 30,
            retain: Duration::from_secs(86_400),
            retain_max_bytes: 256 << 20,
            dead_letter_age: DEAD_LETTER_AGE,
            sync: Sync::Full,
        }
    }
}

/// Why the spool can't do what it was asked for. Nothing was taken then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// The file.
    #[error("{}", of_a_spool(.0))]
    Store(StoreError),
    /// It holds as much as it may.
    #[error(
        "the spool {path} is full: {coming} more bytes do not fit, since {used} of {limit} are in use by all destinations together (formusage spool status --spool {path} says by which); it takes more when events are delivered, dead letters purged (formusage dlq purge --spool {path}) or --spool-max-bytes is raised"
    )]
    LimitReached {
        /// The file.
        path: PathBuf,
        /// Bytes of the events that were to be taken, all of them or none.
        coming: u64,
        /// Bytes in use.
        used: u64,
        /// The most there may be.
        limit: u64,
    },
    /// It holds as much as it may for a destination of which much is there already, waiting or refused.
    #[error(
        "the spool {path} is full for {destination}: {coming} more bytes do not fit, since {used} of {max} are in use, and above {limit} there is room for other destinations alone (formusage spool status --spool {path} says by which); it takes more when events are delivered, dead letters purged (formusage dlq purge --spool {path}) or --spool-max-bytes is raised"
    )]
    ShareReached {
        /// The file.
        path: PathBuf,
        /// The destination that more was to be taken for.
        destination: String,
        /// Bytes of the events that were to be taken, all of them or none.
        coming: u64,
        /// Bytes in use.
        used: u64,
        /// The most there may be for this destination.
        limit: u64,
        /// The most there may be for all.
        max: u64,
    },
    /// The events that the destination refused fill their share.
    #[error(
        "events that {destination} refused fill their share of the spool {path} ({used} of {share} bytes), and no more are accepted for it; see why with formusage dlq list --spool {path}, then have them delivered with formusage dlq replay --spool {path}, throw them away with formusage dlq purge --spool {path}, or raise --spool-max-bytes"
    )]
    RefusedEvents {
        /// The file.
        path: PathBuf,
        /// The destination that refused them.
        destination: String,
        /// Bytes that they take.
        used: u64,
        /// The most that they may take before nothing more is taken.
        share: u64,
    },
    /// A file beside the spool.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// Its thread has ended, after an error that was reported.
    #[error("the spool is closed")]
    Closed,
}

impl From<StoreError> for SpoolError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A damaged spool needs nobody to put it aside.
fn of_a_spool(error: &StoreError) -> String {
    match error {
        StoreError::Sqlite { path, error: cause } if error.is_damage() => format!(
            "{}: {cause}; the spool is damaged: the next publish puts it aside and carries over what can be read (formusage spool verify --spool {} looks at it)",
            path.display(),
            path.display()
        ),
        StoreError::NotADatabase { path } if damage::has_a_spools_name(path) => format!(
            "{}: the beginning of the file is damaged: the next publish puts it aside and carries over what can be read",
            path.display()
        ),
        _ => error.to_string(),
    }
}

impl SpoolError {
    /// Whether room may come back: the disk or the spool is full.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.is_out_of_share() || matches!(self, Self::Store(StoreError::Full { .. }))
    }

    /// Whether the spool holds as much as it may, in all or for the destination, while the disk has room.
    pub(crate) const fn is_out_of_share(&self) -> bool {
        matches!(self, Self::LimitReached { .. } | Self::ShareReached { .. } | Self::RefusedEvents { .. })
    }

    /// Whether the file is damaged, so that the next publisher puts it aside.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Store(StoreError::NotADatabase { path }) => damage::has_a_spools_name(path),
            Self::Store(error) => error.is_damage(),
            _ => false,
        }
    }

    /// Whether the same may succeed later without anybody mending the spool: it is full, or another process holds it.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        self.is_full() || matches!(self, Self::Store(StoreError::Busy { .. }))
    }
}

/// An event to be taken.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// The event.
    pub encoded: EncodedEvent,
    /// The input that it came from.
    pub source: Arc<str>,
    /// Its line there, from 1.
    pub line: Option<u64>,
}

/// Something to be taken: an event, or a line that is none.
#[derive(Debug, Clone)]
pub enum NewItem {
    /// An event to be delivered.
    Event(NewEvent),
    /// A dead letter.
    Letter(NewLetter),
}

/// An event that waits, handed out to be delivered.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Its number in the spool; [`Spool::delivered`] and [`Spool::dead`] take it.
    pub seq: u64,
    /// It was taken by this run, not left over from an earlier one or taken by another publisher.
    pub own: bool,
    /// The event.
    pub encoded: EncodedEvent,
    /// The input that it came from.
    pub source: Arc<str>,
    /// Its line there.
    pub line: Option<u64>,
    /// In how many rounds the destination refused it while it took others; [`Spool::remember`] sets it.
    pub refusals: u32,
    /// The reply to an attempt never came.
    pub unanswered: bool,
}

/// What a look for waiting events found.
#[derive(Debug, Default)]
pub struct Fetched {
    /// Events to be delivered, in the order of taking. They are this publisher's until they are settled.
    pub events: Vec<Waiting>,
    /// Others wait whose instances another publisher holds, or the look has not come to the end yet.
    pub held_elsewhere: bool,
    /// How many events wait for the destination in all, where that was looked up because nothing was found.
    pub waiting: Option<u64>,
}

/// How a run stands, by the spool's own count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events of this run that wait.
    pub own_waiting: u64,
    /// Events of this run that other publishers delivered.
    pub delivered_elsewhere: u64,
    /// Events of this run that other publishers found to be undeliverable.
    pub dead_elsewhere: u64,
    /// Events of earlier runs that wait for the same destination, and that no other publisher at work holds.
    pub other_waiting: u64,
    /// Events of other runs that this one found damaged, which are dead letters now.
    pub other_dead: u64,
}
