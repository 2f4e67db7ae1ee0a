//! `thresholds`, and what a source of thresholds takes beyond its name.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::input::Input;

/// How a source of thresholds is reached that is a service.
#[derive(Debug, Args)]
#[command(next_help_heading = "Threshold source")]
pub(crate) struct ThresholdAccessArgs {
    /// A file that holds a token for the source of the thresholds (or set FORMUSAGE_THRESHOLDS_TOKEN to the token itself)
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_THRESHOLDS_TOKEN_FILE")]
    pub(crate) thresholds_token_file: Option<PathBuf>,
    /// A NATS credentials file for the source of the thresholds
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_THRESHOLDS_NATS_CREDS")]
    pub(crate) thresholds_nats_creds: Option<PathBuf>,
    /// Trust the certificates in this PEM file for the source of the thresholds instead of the system's
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_THRESHOLDS_CA_FILE")]
    pub(crate) thresholds_ca_file: Option<PathBuf>,
    /// Show this certificate to the source of the thresholds: a PEM file
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_THRESHOLDS_CLIENT_CERT")]
    pub(crate) thresholds_client_cert: Option<PathBuf>,
    /// The private key of --thresholds-client-cert: a PEM file; the same file unless given
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_THRESHOLDS_CLIENT_KEY", requires = "thresholds_client_cert")]
    pub(crate) thresholds_client_key: Option<PathBuf>,
}

/// Look after thresholds that are kept in a store, with their history
///
/// The store is one SQLite file, which `check` and `publish` read as --thresholds sqlite:PATH; a publisher that runs takes
/// up a change within a second. Every change stands in it with its time and its author.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("thresholds"))]
pub(crate) struct ThresholdsArgs {
    #[command(subcommand)]
    pub(crate) action: ThresholdsAction,
}

/// What to do with thresholds.
#[derive(Debug, Subcommand)]
pub(crate) enum ThresholdsAction {
    /// All thresholds of a source: a table on a terminal, NDJSON in a pipe
    List(ThresholdsListArgs),
    /// Add thresholds from files
    Add(ThresholdsAddArgs),
    /// Change one threshold: in an editor, or to what a file says
    Edit(ThresholdsEditArgs),
    /// Remove thresholds
    Remove(ThresholdsRemoveArgs),
    /// What was changed, when and by whom
    History(ThresholdsHistoryArgs),
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// The store, as sqlite:PATH; by default thresholds.db beside the spool
    #[arg(long, value_name = "STORE", env = "FORMUSAGE_THRESHOLDS")]
    pub(crate) thresholds: Option<String>,
}

/// Who changes it.
#[derive(Debug, Args)]
pub(crate) struct AuthorArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Who makes the change; the login name unless given
    #[arg(long, value_name = "NAME", env = "FORMUSAGE_AUTHOR")]
    pub(crate) author: Option<String>,
}

/// `thresholds list`.
#[derive(Debug, Args)]
pub(crate) struct ThresholdsListArgs {
    /// The source: a file, a folder, http(s)://HOST/PATH, sqlite:PATH or nats://HOST/BUCKET; by default the store
    /// thresholds.db beside the spool
    #[arg(long, value_name = "SOURCE", env = "FORMUSAGE_THRESHOLDS")]
    pub(crate) thresholds: Option<String>,
    /// How they are written
    #[arg(long, value_enum, value_name = "FORMAT", env = "FORMUSAGE_FORMAT")]
    pub(crate) format: Option<ListFormat>,
    #[command(flatten)]
    pub(crate) access: ThresholdAccessArgs,
}

/// `thresholds add`.
#[derive(Debug, Args)]
pub(crate) struct ThresholdsAddArgs {
    /// JSON files with one threshold or an array of them; - or none is standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<Input>,
    /// Put them in the place of thresholds that have the same ids
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) author: AuthorArgs,
}

/// `thresholds edit`.
#[derive(Debug, Args)]
pub(crate) struct ThresholdsEditArgs {
    /// The threshold's id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// What it is to be; without it, $VISUAL or $EDITOR is started
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<Input>,
    #[command(flatten)]
    pub(crate) author: AuthorArgs,
}

/// `thresholds remove`.
#[derive(Debug, Args)]
pub(crate) struct ThresholdsRemoveArgs {
    /// Their ids
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<String>,
    #[command(flatten)]
    pub(crate) author: AuthorArgs,
}

/// `thresholds history`.
#[derive(Debug, Args)]
pub(crate) struct ThresholdsHistoryArgs {
    /// Of this threshold alone
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// How it is written
    #[arg(long, value_enum, value_name = "FORMAT", env = "FORMUSAGE_FORMAT")]
    pub(crate) format: Option<ListFormat>,
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// For people
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Ndjson,
}
