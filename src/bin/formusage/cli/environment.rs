//! How the environment fills in for the command line: what stands there wins, and an empty variable says nothing.
//!
//! clap takes a variable for as good as an option. So `FORMUSAGE_SPOOL` in a unit's settings and `--no-spool` on a
//! command line would exclude each other, an empty variable would be an odd value, and a flag would take `true` and
//! `false` alone.

use std::collections::HashSet;
use std::ffi::OsString;

use clap::builder::{BoolishValueParser, Resettable};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// `command`, with the variables left out that `words` overrule or that are empty. Flags take 1, yes, on, true and their
/// opposites.
pub(crate) fn settle(command: Command, words: &[OsString]) -> Command {
    let given = command_line(command.clone(), words);
    settle_level(command, given.as_ref())
}

/// What stands on the command line, without the environment; as far as it can be read.
pub(super) fn command_line(command: Command, words: &[OsString]) -> Option<ArgMatches> {
    without_environment(command).ignore_errors(true).try_get_matches_from(words).ok()
}

fn without_environment(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let bare = command.mut_args(|arg| arg.env(Resettable::Reset));
    names.into_iter().fold(bare, |command, name| command.mut_subcommand(name, without_environment))
}

fn settle_level(command: Command, given: Option<&ArgMatches>) -> Command {
    let overruled = overruled(&command, given);
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let command = command.mut_args(|arg| {
        let arg =
            if is_empty(&arg) || overruled.contains(arg.get_id().as_str()) { arg.env(Resettable::Reset) } else { arg };
        let is_flag = matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse);
        if is_flag { arg.value_parser(BoolishValueParser::new()) } else { arg }
    });
    names.into_iter().fold(command, |command, name| {
        let below = given.and_then(|given| given.subcommand_matches(&name));
        command.mut_subcommand(&name, |it| settle_level(it, below))
    })
}

fn is_empty(arg: &Arg) -> bool {
    arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty())
}

/// Options that exclude one which stands on the command line, and do not stand there themselves.
fn overruled(command: &Command, given: Option<&ArgMatches>) -> HashSet<String> {
    let Some(given) = given else { return HashSet::new() };
    let stands = |arg: &Arg| {
        let id = arg.get_id().as_str();
        given.try_contains_id(id).is_ok() && given.value_source(id) == Some(ValueSource::CommandLine)
    };
    let excludes =
        |one: &Arg, other: &Arg| command.get_arg_conflicts_with(one).iter().any(|it| it.get_id() == other.get_id());
    let standing: Vec<&Arg> = command.get_arguments().filter(|arg| stands(arg)).collect();
    let overruled = command
        .get_arguments()
        .filter(|arg| !stands(arg) && standing.iter().any(|other| excludes(arg, other) || excludes(other, arg)));
    overruled.map(|arg| arg.get_id().as_str().to_owned()).collect()
}
