//! `collect`.

use crate::cli::CollectArgs;
use crate::exit::Exit;

pub(crate) fn run(_args: &CollectArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
