//! `schema`: JSON Schemas, made from the types.

use form_usage_events::validate::schema;

use crate::cli::{SchemaArgs, SchemaName};
use crate::exit::Exit;
use crate::output::{Notation, Stdout};

pub(crate) fn run(args: &SchemaArgs) -> anyhow::Result<Exit> {
    let schema = match args.name {
        SchemaName::Event => schema::event(),
        SchemaName::Thresholds => schema::thresholds(),
        SchemaName::Cases => schema::cases(),
        SchemaName::Channels => schema::channels(),
    };
    let mut stdout = Stdout::new(Notation::Json);
    stdout.text(&serde_json::to_string_pretty(&schema)?)?;
    stdout.text("\n")?;
    stdout.flush()?;
    Ok(Exit::Success)
}
