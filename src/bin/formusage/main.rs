//! `formusage`: the usage meter that people bill by.

mod channels;
mod cli;
mod cmd;
mod connect;
mod exit;
mod findings;
mod input;
mod lines;
mod listing;
mod open_files;
mod output;
mod secret;
mod setup;
mod signals;
mod state_dir;
mod systemd;
mod terminal;
mod thresholds;

use std::process::ExitCode;

use crate::cli::Command;

fn main() -> ExitCode {
    let cli = cli::parse().unwrap_or_else(|error| {
        let error = secret::without_passwords(error);
        if error.use_stderr() {
            output::write_styled(&output::shown(&error.render().ansi().to_string()));
            std::process::exit(error.exit_code());
        }
        error.exit()
    });
    setup::logging(&cli.global);
    open_files::raise_limit();
    form_usage_events::transport::limit_sqlite_memory();
    if let Err(error) = signals::hear() {
        tracing::debug!("signals end this process as they do by default: {error:#}");
    }
    setup::warn_of_variables(&cli.command);
    let result = match cli.command {
        Command::Collect(args) => cmd::collect::run(&args),
        Command::Publish(args) => cmd::publish::run(&args),
        Command::Check(args) => cmd::check::run(&args),
        Command::Validate(args) => cmd::validate::run(&args),
        Command::Queue(args) => cmd::queue::run(&args),
        Command::Read(args) => cmd::read::run(&args),
        Command::Report(args) => cmd::report::run(&args),
        Command::Spool(args) => cmd::spool::run(&args),
        Command::Dlq(args) => cmd::dlq::run(&args),
        Command::Thresholds(args) => cmd::thresholds::run(&args),
        Command::Channels(args) => cmd::channels::run(&args),
        Command::Ping(args) => cmd::ping::run(&args),
        Command::Schema(args) => cmd::schema::run(&args),
        Command::Completions(args) => cmd::completions::run(&args),
        Command::Man(args) => cmd::man::run(&args),
    };
    exit::report(result).into()
}
