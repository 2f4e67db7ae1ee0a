//! `queue`.

use std::path::PathBuf;

use clap::Args;

/// Serve the embedded queue with the Form protocol
///
/// One file, no other server: for a single machine, for tests, for trying things out. A write is on disk before it is
/// acknowledged, and the same content is taken once. Ends on SIGINT or SIGTERM.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::help_for("queue"))]
pub(crate) struct QueueArgs {
    /// The file that holds the queue; queue.db in the state directory unless given
    #[arg(long, value_name = "PATH", env = "FORMUSAGE_DB")]
    pub(crate) db: Option<PathBuf>,

    /// Where to listen; beyond loopback a token is needed. Port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", env = "FORMUSAGE_LISTEN", default_value = "127.0.0.1:3003")]
    pub(crate) listen: String,

    /// A file that holds the bearer token that every request needs (or set FORMUSAGE_TOKEN to the token itself)
    #[arg(long, value_name = "FILE", env = "FORMUSAGE_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
}
