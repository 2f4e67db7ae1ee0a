//! `man`: a man page, rendered from the command line's definition.

use anyhow::bail;
use clap::CommandFactory;
use clap_mangen::Man;

use crate::cli::{Cli, ManArgs};
use crate::exit::Exit;
use crate::output::{Notation, Stdout};

pub(crate) fn run(args: &ManArgs) -> anyhow::Result<Exit> {
    let mut root = Cli::command();
    root.build();
    let page = match &args.command {
        None => root,
        Some(name) => match root.find_subcommand(name) {
            // The page's name is what `man formusage-publish` asks for; its synopsis stays `formusage publish`.
            Some(command) => command.clone().display_name(format!("formusage-{name}")),
            None => bail!("there is no command {name:?}{}", nearest(&root, name)),
        },
    };
    let mut stdout = Stdout::new(Notation::Words);
    stdout.bytes(&render(page, args.command.as_deref())?)?;
    stdout.flush()?;
    Ok(Exit::Success)
}

fn render(page: clap::Command, command: Option<&str>) -> std::io::Result<Vec<u8>> {
    // The exit codes have a section of their own here.
    let page = if command.is_some() { page.after_help("") } else { page };
    let man = Man::new(page).manual("formusage manual").source(concat!("formusage ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    match command {
        None => {
            man.render_subcommands_section(&mut text)?;
            man.render_extra_section(&mut text)?;
        }
        Some(name) => {
            text.extend_from_slice(b".SH EXIT STATUS\n");
            for (exit, meaning) in crate::exit::codes_of(name) {
                text.extend_from_slice(
                    format!(".TP\n\\fB{}\\fR\n{}\n", exit.code(), meaning.replace('-', "\\-")).as_bytes(),
                );
            }
            text.extend_from_slice(b".SH SEE ALSO\n\\fBformusage\\fR(1)\n");
        }
    }
    Ok(text)
}

/// The command that was probably meant, else all of them.
fn nearest(root: &clap::Command, name: &str) -> String {
    let names: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
    let near = names.iter().map(|known| (strsim::osa_distance(known, name), known)).min();
    match near {
        Some((distance, known)) if distance <= known.len() / 3 => format!("; did you mean {known:?}?"),
        _ => format!("; there are {}", names.join(", ")),
    }
}
