//! `read`.

use crate::cli::ReadArgs;
use crate::exit::Exit;

pub(crate) fn run(_args: &ReadArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
