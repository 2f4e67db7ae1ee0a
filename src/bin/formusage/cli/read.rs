//! `read`.

use clap::Args;

/// Read
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {}
