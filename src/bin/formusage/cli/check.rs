//! `check`.

use clap::Args;

/// Check
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {}
