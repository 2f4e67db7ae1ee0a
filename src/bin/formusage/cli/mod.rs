//! The command line: clap types, and nothing else. Help, man pages and completions all come from here.
//!
//! Every option has an environment variable, `FORMUSAGE_` and the option's name.

mod channels;
mod check;
mod cloudevents;
mod collect;
mod destination;
mod documents;
mod environment;
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
    DlqAction, DlqArgs, DlqSelectArgs, ReconcileArgs, SpoolAction, SpoolCommandArgs, SpoolListArgs, SpoolPath,
    SpoolPurgeArgs,
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
    let mut matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
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

    #[test]
    fn every_option_has_its_environment_variable() {
        let command = Cli::command();
        for subcommand in command.get_subcommands() {
            for option in subcommand.get_arguments().filter(|arg| !arg.is_positional()) {
                let id = option.get_id().as_str();
                // What only prints something has none.
                if ["help", "version"].contains(&id) || (subcommand.get_name(), id) == ("validate", "explain") {
                    continue;
                }
                let name = option.get_long().unwrap_or(id).to_uppercase().replace('-', "_");
                // The states of thresholds are another file than the state of `collect`.
                let alerts = id == "state" && subcommand.get_name() != "collect";
                let expected = format!("FORMUSAGE_{}{name}", if alerts { "ALERT_" } else { "" });
                let found = option.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(found.as_deref(), Some(expected.as_str()), "{} --{id}", subcommand.get_name());
            }
        }
    }
}
