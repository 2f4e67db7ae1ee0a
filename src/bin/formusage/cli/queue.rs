//! `queue`.

use clap::Args;

/// Queue
#[derive(Debug, Args)]
pub(crate) struct QueueArgs {}
