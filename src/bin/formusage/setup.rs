//! What a process needs once: logging, a runtime, SIGHUP.

use std::io::{self, IsTerminal, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use form_usage_events::metrics::STATS_TARGET;
use tokio::sync::Notify;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::SubscriberBuilder;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::{Command, GlobalArgs, LogFormat};
use crate::open_files;
use crate::output::LogWords;

/// So much of a channels file is searched for the variables that it names.
const CHANNELS_BYTES: u64 = 1 << 20;

/// The runtime checks its timers after this many polls of tasks. A server that floods a connection keeps a task busy for
/// milliseconds in each poll, so that with the default (61) time limits came seconds late.
pub(crate) const EVENT_INTERVAL: u32 = 8;

/// Sends log lines to standard error: warnings and violations by default, more with `--verbose`, none with `--quiet`.
pub(crate) fn logging(args: &GlobalArgs) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => "off",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let filter = match &args.log {
        Some(directives) => EnvFilter::builder().parse_lossy(directives),
        // The libraries below speak up only when asked to by name. (What the NATS client calls an error we report
        // ourselves.) Figures are logged only by who asked for them (--stats-interval), so they show at once.
        None => EnvFilter::builder().parse_lossy(format!(
            "error,async_nats=off,form_usage_events={level},formusage={level},{STATS_TARGET}=info"
        )),
    };
    let filter = if args.quiet && args.log.is_none() { EnvFilter::new("off") } else { filter };
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (is_json, has_colours) = (args.log_format == LogFormat::Json, colour);
    let builder: SubscriberBuilder<_, _, _, _> = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || LogWords { is_json, has_colours })
        // It would write its own errors to standard error by a macro that panics where that can't be written.
        .log_internal_errors(false)
        .with_ansi(colour);
    // A second initialization is impossible here and harmless anyway.
    let _ = match args.log_format {
        LogFormat::Text => builder.with_target(false).finish().with(filter_fn(is_fit_to_log)).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().with(filter_fn(is_fit_to_log)).try_init(),
    };
}

/// Logs a warning for each `FORMUSAGE_` variable that nothing reads: misspelt, a setting stays without effect, silently.
pub(crate) fn warn_of_variables(command: &Command) {
    let file = command.channels_file().map(Path::to_owned);
    let file = file.or_else(|| std::env::var_os("FORMUSAGE_CHANNELS").map(PathBuf::from));
    // What is wrong with the file is said by who needs it.
    let text = file.filter(|path| path.is_file()).and_then(|path| std::fs::File::open(path).ok()).map(|file| {
        let mut text = Vec::new();
        let _ = file.take(CHANNELS_BYTES).read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    for warning in crate::cli::variable_warnings(&text.unwrap_or_default()) {
        tracing::warn!("{warning}");
    }
}

/// Whether a log line is fit to be seen, whatever --log asks for: at the level `trace` the NATS client writes down what
/// it sends, and its first words to a server hold the user's password.
fn is_fit_to_log(metadata: &Metadata<'_>) -> bool {
    *metadata.level() != Level::TRACE || !metadata.target().starts_with("async_nats")
}

/// The runtime of a command: one thread, since a command's work is to wait for others.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    open_files::check()?;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().event_interval(EVENT_INTERVAL).build().context("could not start the runtime")
}

/// Runs `command` on a runtime of its own to its end. What is still under way then is left behind: a name server that does
/// not answer holds up a thread for longer than anybody would wait.
pub(crate) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = runtime()?;
    let ended = runtime.block_on(command);
    runtime.shutdown_background();
    ended
}

/// Told of each SIGHUP from now on, which ends the process no more. Must be called within a runtime.
pub(crate) fn hangups() -> anyhow::Result<Arc<Notify>> {
    let told = Arc::new(Notify::new());
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup()).context("could not listen for signals")?;
        let told = told.clone();
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                told.notify_one();
            }
        });
    }
    Ok(told)
}
