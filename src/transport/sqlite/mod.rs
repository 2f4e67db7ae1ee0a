//! The embedded queue: one SQLite file, no server, several processes at once.
//!
//! `sqlite:PATH` writes to it and reads from it directly; `formusage queue --db PATH` serves the same file with the
//! Form protocol, and both see the same messages: `sqlite:` stands for the topic `usage_events`, sub-topic 0.
//!
//! # The file
//!
//! ```text
//! topics   (id INTEGER PRIMARY KEY, hash TEXT UNIQUE, messages INTEGER)
//! messages (topic, position) PRIMARY KEY, digest BLOB, content BLOB, accepted_at INTEGER; UNIQUE (topic, digest)
//! ```
//!
//! - `hash` is the lowercase hex SHA3-256 of the topic's name, as the Form protocol names topics;
//! - `position` counts from 0 without gaps, in order of acceptance;
//! - `content` is the sub-topic byte and the event's compact JSON; `digest` is its SHA3-256;
//! - `accepted_at` is in Unix seconds.
//!
//! # The promise
//!
//! What was reported as taken is on disk: write-ahead log, `synchronous = FULL`, one transaction for a batch, synced
//! before the report. A second write of the same content changes nothing and is reported as known. A process that is
//! killed leaves either the whole batch or nothing of it. `application_id` and `user_version` mark the file as ours
//! and tell its schema; a file of another program or of a later schema is refused and left alone.

mod sink;
mod source;
mod store;

pub(super) use sink::SqliteSink;
pub(super) use source::SqliteSource;
pub use store::EventStore;
