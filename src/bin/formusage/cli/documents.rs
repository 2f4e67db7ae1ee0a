//! `schema`, `completions`, `man`: documents made from the definitions.

use clap::{Args, ValueEnum};
use clap_complete::Shell;

/// Print a JSON Schema (draft 2020-12)
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Which one
    #[arg(value_enum)]
    pub(crate) name: SchemaName,
}

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaName {
    /// A usage event
    Event,
    /// A threshold file
    Thresholds,
    /// A file of cases, which test thresholds
    Cases,
    /// A channels file
    Channels,
}

/// Print a completion script for a shell
///
/// bash: formusage completions bash > ~/.local/share/bash-completion/completions/formusage
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Print a man page (roff)
///
/// formusage man | man -l -
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command whose page to print; without it, the page of formusage itself
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
}
