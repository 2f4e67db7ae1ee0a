//! One thin file for each command: options in, library calls, words and exit code out.

pub(crate) mod channels;
pub(crate) mod check;
pub(crate) mod collect;
pub(crate) mod completions;
mod confirm;
pub(crate) mod dlq;
pub(crate) mod man;
pub(crate) mod ping;
pub(crate) mod publish;
pub(crate) mod queue;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod spool;
pub(crate) mod thresholds;
pub(crate) mod validate;
pub(crate) mod watch;
