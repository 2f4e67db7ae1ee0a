//! `man`: a man page, rendered from the command line's definition.

use crate::cli::ManArgs;
use crate::exit::Exit;

pub(crate) fn run(_args: &ManArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
