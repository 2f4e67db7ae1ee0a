//! The command line: clap types, and nothing else. Help, man pages and completions all come from here.
//!
//! Every option has an environment variable, `FORMUSAGE_` and the option's name, but for those that throw away, redirect
//! or execute: these stand on the command line alone.

mod channels;
mod check;
mod cloudevents;
mod collect;
mod destination;
mod documents;
mod environment;
mod hints;
mod lines;
mod monitoring;
mod ping;
mod publish;
mod queue;
mod read;
mod report;
mod spool;
mod thresholds;
mod validate;
mod variables;

use std::path::Path;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

pub(crate) use channels::{ChannelsAction, ChannelsArgs, ChannelsFileArgs, ChannelsListArgs, ChannelsTestArgs};
pub(crate) use check::{CheckArgs, CheckFormat};
pub(crate) use collect::CollectArgs;
pub(crate) use destination::{DestinationArgs, NatsArgs, SourceArgs, TlsArgs};
pub(crate) use documents::{CompletionsArgs, ManArgs, SchemaArgs, SchemaName};
pub(crate) use environment::settle;
pub(crate) use lines::LineArgs;
pub(crate) use monitoring::MonitoringArgs;
pub(crate) use ping::{PingArgs, PingFormat};
pub(crate) use publish::{Level, PublishArgs, ReportFormat};
pub(crate) use queue::QueueArgs;
pub(crate) use read::{ReadArgs, ReadFormat};
pub(crate) use report::{By, FailOn, ReportArgs, ReportTo};
pub(crate) use spool::{
    DlqAction, DlqArgs, DlqPurgeArgs, DlqSelectArgs, ReconcileArgs, SpoolAction, SpoolCommandArgs, SpoolListArgs,
    SpoolPath, SpoolPurgeArgs,
};
pub(crate) use thresholds::{
    AuthorArgs, ListFormat, StoreArgs, ThresholdAccessArgs, ThresholdsAction, ThresholdsAddArgs, ThresholdsArgs,
    ThresholdsEditArgs, ThresholdsHistoryArgs, ThresholdsListArgs, ThresholdsRemoveArgs,
};
pub(crate) use validate::{FindingFormat, Topic, ValidateArgs};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// The usage meter that people bill by
///
/// Turns what this machine consumed (CPU seconds, memory, storage, network, GPU seconds) into usage events, delivers
/// each of them to a message queue, checks them against thresholds and proves that a stream of them is sound.
#[derive(Debug, Parser)]
#[command(
    name = "formusage",
    version,
    styles = STYLES,
    max_term_width = 100,
    subcommand_required = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Data goes to standard output, words go to standard error.\nStart here:  formusage collect --interval 1s --count 5 | formusage publish --to sqlite:usage.db"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the command line and the environment say.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let mut command = settle(Cli::command(), &words);
    let parsed = command.try_get_matches_from_mut(&words);
    let mut matches = parsed.map_err(|error| {
        let given = environment::command_line(Cli::command(), &words);
        variables::name_variables(hints::without_false_ones(error), &command, given.as_ref())
    })?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// A warning for each variable of the environment that is meant for us and that nothing reads. `channels` is the text of
/// the channels file, where there is one: what it names holds a secret.
pub(crate) fn variable_warnings(channels: &str) -> Vec<String> {
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    let set: Vec<String> =
        set.filter_map(|(name, _)| name.into_string().ok()).filter(|it| variables::is_ours(it)).collect();
    if set.is_empty() {
        return Vec::new();
    }
    let is_secret = |name: &str| channels.contains(&format!("\"{name}\""));
    variables::warnings(set, &variables::of_options(&Cli::command()), is_secret)
}

/// A limit on waiting: 1 ms at least.
pub(crate) fn parse_limit(text: &str) -> Result<std::time::Duration, String> {
    let limit = humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 5s or 1m"))?;
    if limit < std::time::Duration::from_millis(1) { Err("it must be at least 1ms".to_owned()) } else { Ok(limit) }
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Log more: -v for what happens, -vv for every attempt
    #[arg(short, long, global = true, action = ArgAction::Count, env = "FORMUSAGE_VERBOSE", help_heading = "Logging")]
    pub(crate) verbose: u8,
    /// Log nothing
    #[arg(short, long, global = true, env = "FORMUSAGE_QUIET", help_heading = "Logging", conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// What to log, as tracing directives, e.g. "info,form_usage_events::publish=debug"
    #[arg(long, global = true, value_name = "DIRECTIVES", env = "FORMUSAGE_LOG", help_heading = "Logging")]
    pub(crate) log: Option<String>,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t, env = "FORMUSAGE_LOG_FORMAT", help_heading = "Logging")]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

impl Command {
    /// The channels file, where the command was given one.
    pub(crate) fn channels_file(&self) -> Option<&Path> {
        match self {
            Self::Publish(args) => args.channels.channels.as_deref(),
            Self::Check(args) => args.channels.channels.as_deref(),
            Self::Validate(args) => args.channels.as_deref(),
            Self::Channels(args) => Some(match &args.action {
                ChannelsAction::List(args) => &args.channels,
                ChannelsAction::Test(args) => &args.channels,
            }),
            _ => None,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Collect(CollectArgs),
    Publish(Box<PublishArgs>),
    Check(CheckArgs),
    Validate(ValidateArgs),
    Queue(QueueArgs),
    Read(ReadArgs),
    Report(Box<ReportArgs>),
    Spool(SpoolCommandArgs),
    Dlq(DlqArgs),
    Thresholds(ThresholdsArgs),
    Channels(ChannelsArgs),
    Ping(PingArgs),
    Schema(SchemaArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// What throws away, redirects or executes, and what only prints something.
    const WITHOUT_VARIABLE: [(&str, &str); 18] = [
        ("channels test", "allow_exec"),
        ("check", "allow_exec"),
        ("dlq purge", "all"),
        ("dlq purge", "yes"),
        ("dlq replay", "all"),
        ("dlq replay", "to"),
        ("publish", "allow_exec"),
        ("publish", "event"),
        ("report", "html"),
        ("spool export", "delivered"),
        ("spool export", "to"),
        ("spool list", "delivered"),
        ("spool list", "to"),
        ("spool purge", "to"),
        ("spool purge", "waiting"),
        ("spool purge", "yes"),
        ("spool reconcile", "to"),
        ("thresholds add", "replace"),
    ];

    /// Every option of `command` and below it: command, id, long name, variable.
    fn options(path: &str, command: &clap::Command, found: &mut Vec<(String, String, String, Option<String>)>) {
        for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
            let id = arg.get_id().as_str();
            let variable = arg.get_env().map(|name| name.to_string_lossy().into_owned());
            found.push((path.to_owned(), id.to_owned(), arg.get_long().unwrap_or(id).to_owned(), variable));
        }
        for below in command.get_subcommands() {
            options(format!("{path} {}", below.get_name()).trim(), below, found);
        }
    }

    #[test]
    fn every_option_has_its_variable_unless_it_may_do_harm() {
        let mut found = Vec::new();
        options("", &Cli::command(), &mut found);
        let mut without: Vec<(String, String)> = Vec::new();
        for (command, id, long, variable) in found {
            if ["help", "version"].contains(&&*id) || (&*command, &*id) == ("validate", "explain") {
                continue;
            }
            let Some(variable) = variable else {
                without.push((command, id));
                continue;
            };
            // The states of thresholds are another file than the state of `collect`.
            let alerts = id == "state" && command != "collect";
            let name = long.to_uppercase().replace('-', "_");
            assert_eq!(variable, format!("FORMUSAGE_{}{name}", if alerts { "ALERT_" } else { "" }), "{command} --{id}");
        }
        without.sort();
        let expected: Vec<_> = WITHOUT_VARIABLE.iter().map(|(command, id)| ((*command).into(), (*id).into())).collect();
        assert_eq!(without, expected, "an option that may do harm has a variable, or a harmless one has none");
    }
}
