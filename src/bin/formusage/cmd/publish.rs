//! `publish`.

use crate::cli::PublishArgs;
use crate::exit::Exit;

pub(crate) fn run(_args: &PublishArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
