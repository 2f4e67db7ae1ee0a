//! `queue`.

use crate::cli::QueueArgs;
use crate::exit::Exit;

pub(crate) fn run(_args: &QueueArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
