//! `schema`: JSON Schemas.

use crate::cli::SchemaArgs;
use crate::exit::Exit;

pub(crate) fn run(_args: &SchemaArgs) -> anyhow::Result<Exit> {
    anyhow::bail!("not there yet")
}
