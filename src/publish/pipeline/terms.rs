//! What a run is given: its settings, how it is told to end, who keeps what it could not deliver, who watches it.

use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::publish::accepted::AcceptedLines;
use crate::publish::concurrency::Concurrency;
use crate::publish::intake::{RefusedLine, Taken};
use crate::publish::read_ahead::ReadAhead;
use crate::publish::report::Report;
use crate::transport::Failure;

/// How a stream is published.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// The most batches that are held at a time, those that wait for a retry included; 1,024 by default, at least 1.
    /// How many of them make attempts at a time is the matter of [`Delivery::with_concurrency`](crate::publish::Delivery::with_concurrency).
    pub max_workers: usize,
    /// How long to go on after the end of the input without anything being delivered or judged; 10 s by default.
    pub drain_timeout: Duration,
    /// The input is known to end (files), so that a destination that is set up wrong ends the run at once, and a
    /// service that is down ends it after `drain_timeout`, instead of being waited for. Off by default.
    pub finite: bool,
    /// The end of the input is near (files), so that a run through a spool ends which stays full for `drain_timeout`
    /// without anything being delivered; the rest of the input is not taken then. Off by default; an input whose end has
    /// been seen counts as such anyway.
    pub input_ends: bool,
    /// An event that the destination refused in so many rounds, while it took others, is a dead letter; 10 by default.
    pub poison_after: u32,
    /// Events come out of a spool, which keeps what is not delivered: the input is not cut off when the end is asked
    /// for. Off by default.
    pub spooled: bool,
    /// Events are delivered in the order in which they came, one batch at a time, not only those of one instance: what
    /// a destination holds after a crash is then a beginning of the input, which can be resumed behind its last event.
    /// Off by default.
    pub in_order: bool,
    /// The most events that are held, those behind one that is refused by name aside; 4,096 by default.
    pub max_events: usize,
    /// The most bytes of events that are held; 16 MiB by default.
    pub max_bytes: usize,
    /// What bounds the reader of a pipe, where the run goes through a spool: nothing is read while the spool is full, and
    /// what was read is kept. None by default, as for files, which can be read again.
    pub read_ahead: Option<ReadAhead>,
    /// Counts what a run through a spool has accepted, for whoever keeps a clone of it.
    pub accepted: AcceptedLines,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        Self {
            max_workers: 4 * Concurrency::DEFAULT_MAX,
            drain_timeout: Duration::from_secs(10),
            finite: false,
            input_ends: false,
            poison_after: 10,
            spooled: false,
            in_order: false,
            max_events: 4_096,
            max_bytes: 16 << 20,
            read_ahead: None,
            accepted: AcceptedLines::default(),
        }
    }
}

/// How a run is told to end.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Take nothing more in, deliver what is here.
    pub finish: CancellationToken,
    /// End now.
    pub abort: CancellationToken,
    /// The input has come to its end, and what still comes is what waited in the spool: from now on the run ends as one
    /// over files does.
    pub draining: CancellationToken,
}

/// Keeps what was not delivered.
pub trait Keeper: Send {
    /// Keeps a line that is no valid event.
    ///
    /// # Errors
    /// When it could not be kept, which ends the run: nothing may be lost.
    fn refused(&mut self, line: &RefusedLine) -> io::Result<()>;

    /// Is told that the destination has acknowledged an event.
    fn delivered(&mut self, event: &Taken) {
        let _ = event;
    }

    /// Is told that [`Taken::history`] of an event has changed that is still to be delivered. What is remembered of it is
    /// worth something to later runs; nothing depends on it.
    fn remember(&mut self, event: &Taken) {
        let _ = event;
    }

    /// Keeps an event that the destination will never take, as so many rounds of attempts have shown.
    ///
    /// # Errors
    /// As for [`Keeper::refused`].
    fn dead(&mut self, event: &Taken, failure: &Failure, tries: u64) -> io::Result<()>;

    /// Keeps an event that could not be delivered in this run.
    ///
    /// # Errors
    /// As for [`Keeper::refused`].
    fn undelivered(&mut self, event: &Taken, reason: &str) -> io::Result<()>;
}

/// Is told how a run advances, for people who watch it.
pub trait Progress: Send {
    /// Called whenever the figures have changed.
    fn update(&mut self, report: &Report);
}

impl Progress for () {
    fn update(&mut self, _: &Report) {}
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// What was not delivered could not be kept either.
    #[error("could not keep {what}: {error}")]
    Keep {
        /// Which line or event, with its place.
        what: String,
        /// Why not.
        error: io::Error,
    },
    /// The spool can't be used any more.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Spool(#[from] crate::spool::SpoolError),
}
