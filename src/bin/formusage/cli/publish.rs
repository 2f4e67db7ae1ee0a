//! `publish`.

use clap::Args;

/// Publish
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {}
