//! `validate`.

use crate::cli::ValidateArgs;
use crate::exit::Exit;

pub(crate) fn run(_args: &ValidateArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
