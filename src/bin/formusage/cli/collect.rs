//! `collect`.

use clap::Args;

/// Collect
#[derive(Debug, Args)]
pub(crate) struct CollectArgs {}
