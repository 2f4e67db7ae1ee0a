//! `completions`: a completion script for a shell.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs};
use crate::exit::Exit;
use crate::output::{Notation, Stdout};

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "formusage", &mut script);
    let mut stdout = Stdout::new(Notation::Words);
    stdout.text(&String::from_utf8_lossy(&script))?;
    stdout.flush()?;
    Ok(Exit::Success)
}
