//! `check`.

use crate::cli::CheckArgs;
use crate::exit::Exit;

pub(crate) fn run(_args: &CheckArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
