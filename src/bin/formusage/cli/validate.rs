//! `validate`.

use clap::Args;

/// Validate
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {}
