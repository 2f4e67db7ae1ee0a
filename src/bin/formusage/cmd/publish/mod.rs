//! `publish`: delivers events.

mod keep;
mod monitor;
mod observe;
mod overdue;
mod pipe;
mod refusal_log;
mod show;
mod thresholds;

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{Cursor, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args as _, FromArgMatches as _};
use form_usage_events::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig};
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::{Line, LinePart};
use form_usage_events::metrics::Observation;
use form_usage_events::publish::{
    Concurrency, Delivery, Feed, Intake, IntakeReader, IntakeRules, Keeper, NotTaken, Origin, Pipeline,
    PipelineOptions, ReadAhead, Report, Stop, publish_through,
};
use form_usage_events::retry::{Random, Retrier, RetryConfig};
use form_usage_events::spool::Spool;
use form_usage_events::transport::{self, ConnectOptions, Destination};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::monitor::Monitor;
use self::pipe::{EndOfRun, HeldPipe};
use self::thresholds::Thresholds;
use crate::cli::{Level, PublishArgs, ReconcileArgs};
use crate::exit::Exit;
use crate::input::Input;
use crate::open_files;
use crate::output;
use crate::setup;
use crate::signals::{Ending, Shutdown};

/// The smallest `--spool-max-bytes`: about twice what an empty spool has in use.
const LEAST_SPOOL: u64 = 128 << 10;

/// A run that was asked to end is given so long at least, however short `--drain-timeout` is: what was read is made durable.
const LEAST_FINISH_TIME: Duration = Duration::from_secs(9);

/// A run that ends sooner says by itself how it ended.
const SAY_AFTER: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &PublishArgs) -> anyhow::Result<Exit> {
    // Before anything is opened that would say it less clearly.
    open_files::check()?;
    // A FIFO may have been read from before the thresholds, which may take their time, are here.
    let shutdown = Shutdown::listen(Ending::at_once(
        "stopped by a signal before anything was accepted: publish the input again from its beginning",
    ))?;
    publish(args, Inputs::open(args)?, &shutdown)
}

/// Delivers what waits in the spool at `spool` for `to`, without any input; settings come from the environment.
pub(crate) fn deliver_waiting(to: &Destination, spool: &Path, args: &ReconcileArgs) -> anyhow::Result<Exit> {
    let timeout = humantime::format_duration(args.timeout).to_string();
    let mut words: Vec<OsString> = ["publish", "--to", &to.to_string(), "--timeout", &timeout].map(Into::into).into();
    words.extend(["--spool".into(), spool.into()]);
    let files = [
        ("--token-file", &args.token_file),
        ("--nats-creds", &args.nats.nats_creds),
        ("--ca-file", &args.tls.ca_file),
        ("--client-cert", &args.tls.client_cert),
        ("--client-key", &args.tls.client_key),
    ];
    for (option, file) in files {
        if let Some(file) = file {
            words.extend([option.into(), file.into()]);
        }
    }
    // There is a spool: what the environment says of doing without does not hold here.
    let command = crate::cli::settle(PublishArgs::augment_args(clap::Command::new("publish")), &words);
    let mut args = PublishArgs::from_arg_matches(&command.try_get_matches_from(words)?)?;
    (args.event, args.dry_run) = (None, false);
    let shutdown = Shutdown::listen(Ending::at_once(
        "stopped by a signal before anything was sent: the events wait in the spool for the next publish",
    ))?;
    publish(&args, Inputs { readers: Vec::new(), event: None, finite: true }, &shutdown)
}

fn publish(args: &PublishArgs, inputs: Inputs, shutdown: &Shutdown) -> anyhow::Result<Exit> {
    let destination = if args.dry_run { Destination::Stdio } else { args.to.clone() };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (retrier, breaker) = policy(args, &clock)?;
    let rules =
        IntakeRules { max_line_bytes: args.lines.max_line_bytes, max_skew: args.lines.max_skew(), strict: args.strict };
    let spool = open_spool(args, &destination, &clock)?;
    let concurrency = concurrency(args.concurrency, is_local(&destination));
    let options = PipelineOptions {
        spooled: spool.is_some(),
        in_order: spool.is_none() && is_local(&destination),
        drain_timeout: args.drain_timeout,
        // With a spool everything is taken first, whatever the destination does.
        finite: inputs.finite && spool.is_none(),
        input_ends: inputs.finite,
        poison_after: args.poison_after,
        read_ahead: spool.as_ref().filter(|_| !inputs.finite).map(|it| ReadAhead::new(it.read_ahead_bytes())),
        ..PipelineOptions::default()
    };
    let mut keeper = keep::open(args.dead_letter.as_deref(), spool.is_some())?;
    crate::connect::warn_of_plain(&destination, &args.destination.tls);
    let connect = crate::connect::to_write(&args.destination, args.token_file.as_deref(), args.timeout)?;
    let connect = ConnectOptions { cloud_events: args.cloud_events.options()?, ..connect };

    setup::block_on(async {
        let sink = transport::connect(&destination, &connect)?;
        let thresholds = Thresholds::start(args, spool.as_ref().map(Spool::path), clock.clone()).await?;
        if let (Some(breaker), Some(spool)) = (&breaker, &spool) {
            breaker.resume(spool.breaker().clone());
        }
        let delivery = Delivery::new(sink.into(), retrier, breaker.clone(), args.timeout, clock.clone())
            .with_concurrency(concurrency);
        let reader = inputs.reading_end();
        shutdown.end_as(Ending {
            announcement: "finishing: delivering what was read; press Ctrl-C again to stop at once",
            // The last words take their time too.
            finish_time: (args.drain_timeout - args.drain_timeout / 10).max(LEAST_FINISH_TIME),
            abort_time: Ending::ABORT_TIME,
            overdue: match &spool {
                Some(_) => overdue::with_spool(options.accepted.clone(), reader.clone()),
                None => overdue::without_spool(),
            },
        })?;
        let stop = Stop { finish: shutdown.finish.clone(), abort: shutdown.abort.clone(), ..Stop::default() };
        let late = late_after(shutdown, args.drain_timeout, clock.clone());
        let mut progress = observe::Counted::new(show::progress(&destination));
        let watched = spool.as_ref().map(|spool| observe::WatchedSpool {
            path: spool.path().to_owned(),
            url: destination.spool_key(),
            limit_bytes: args.spool.spool_max_bytes,
        });
        let observe = observe::observer(&progress, &delivery, breaker.clone(), watched, clock.clone());
        // Ready from here on: the spool is open, and a port that is taken has been noticed.
        let monitor = Monitor::start(
            &args.monitoring,
            &destination.shown(),
            observe.clone(),
            shutdown.finish.clone(),
            clock.clone(),
        )
        .await?;
        let ahead = options.read_ahead.clone().map(|ahead| (ahead, shutdown.finish.clone()));
        let intake = inputs.read(rules, ahead, clock.clone(), &reader)?;
        let manager = thresholds.as_ref().map(Thresholds::manager);
        let pipeline = Pipeline::new(delivery, manager, options);
        let breaker = breaker.as_ref();
        let run = async {
            match &spool {
                Some(spool) => {
                    publish_through(spool, &pipeline, breaker, intake, &mut *keeper, &mut progress, stop).await
                }
                None => pipeline.run(intake, &mut *keeper, &mut progress, stop).await,
            }
        };
        let report = tokio::select! {
            biased;
            report = run => report,
            never = say_what_is_left_alone(breaker, &*clock) => match never {},
        };
        drop(progress);
        // Side by side, since a run that was asked to end has little time left.
        let told = async {
            match thresholds {
                Some(thresholds) => thresholds.end(late.cancelled()).await,
                None => 0,
            }
        };
        let (lost_alerts, ()) = tokio::join!(told, monitor.end());
        let report = report?;
        keeper.finish()?;
        let report = Report { destination: args.to.shown(), ..report };
        // Whoever asked it to end does not wait for lines to be counted.
        let patience = if shutdown.finish.is_cancelled() { ReadingEnd::PATIENCE } else { reader.patience };
        finish(args, &destination, report, &observe(), &reader.said(patience), lost_alerts)
    })
}

/// A token that is cancelled when alerts that still wait are no longer sent: at a second signal, or when the time is nearly
/// over that `drain_timeout` gives a run which was asked to end. The run itself and the channels share that time.
fn late_after(shutdown: &Shutdown, drain_timeout: Duration, clock: Arc<dyn Clock>) -> CancellationToken {
    let late = shutdown.abort.child_token();
    let (told, finish) = (late.clone(), shutdown.finish.clone());
    tokio::spawn(async move {
        finish.cancelled().await;
        clock.sleep(drain_timeout - drain_timeout / 8).await;
        told.cancel();
    });
    late
}

/// The spool; none for a destination that is a local file itself, unless one is named.
fn open_spool(args: &PublishArgs, destination: &Destination, clock: &Arc<dyn Clock>) -> anyhow::Result<Option<Spool>> {
    if args.dry_run || args.spool.no_spool || (is_local(destination) && args.spool.path.spool.is_none()) {
        return Ok(None);
    }
    if args.spool.spool_max_bytes < LEAST_SPOOL {
        bail!(
            "--spool-max-bytes is {}; it must be at least 128KB, or an empty spool is full",
            args.spool.spool_max_bytes
        );
    }
    let path = args.spool.path.resolve()?;
    let spool = Spool::open(&path, &destination.spool_key(), args.spool.options(), clock.clone());
    let advice = "name another place with --spool, or do without by --no-spool";
    Ok(Some(spool.with_context(|| format!("the spool can't be used ({advice})"))?))
}

/// How many attempts may be under way: no more than connections can be opened.
fn concurrency(level: Level, is_local: bool) -> Concurrency {
    let most = if is_local { usize::MAX } else { open_files::spare_connections() };
    match level {
        Level::Auto => Concurrency::auto(most.min(Concurrency::DEFAULT_MAX)),
        Level::Fixed(number) => {
            let number = usize::from(number);
            if most < number {
                tracing::warn!(
                    "--concurrency is {number}, and only {most} connections can be open at a time: that many are used; raise the limit of open files (ulimit -n, LimitNOFILE= of a systemd unit) for more"
                );
            }
            Concurrency::fixed(number.min(most))
        }
    }
}

/// Whether the destination is a file of this machine.
fn is_local(destination: &Destination) -> bool {
    matches!(destination, Destination::Sqlite(_) | Destination::File(_) | Destination::Stdio)
}

/// A run whose input goes on, and that began with an open breaker, would look stuck until the first trial. Never resolves.
async fn say_what_is_left_alone(breaker: Option<&CircuitBreaker>, clock: &dyn Clock) -> Infallible {
    clock.sleep(SAY_AFTER).await;
    let left_open = breaker.filter(|breaker| breaker.times_opened() == 0);
    if let Some((breaker, refusal)) = left_open.and_then(|breaker| Some((breaker, breaker.refusal()?))) {
        let cause = breaker.opening().map(|opening| opening.cause);
        tracing::warn!(
            cause,
            "an earlier run found the destination out of service: {refusal}; events wait in the spool meanwhile"
        );
    }
    std::future::pending().await
}

fn policy(args: &PublishArgs, clock: &Arc<dyn Clock>) -> anyhow::Result<(Retrier, Option<CircuitBreaker>)> {
    let retry = RetryConfig {
        max_retries: args.max_retries,
        initial_backoff: args.initial_backoff,
        max_backoff: args.max_backoff,
        backoff_multiplier: args.backoff_multiplier,
        jitter_factor: args.jitter_factor,
    };
    let breaker = CircuitBreakerConfig {
        failure_threshold: args.failure_threshold,
        reset_timeout: args.reset_timeout,
        half_open_allowed_calls: args.half_open_allowed_calls,
    };
    if args.timeout < Duration::from_millis(1) {
        bail!("--timeout is {:?}; it must be at least 1ms", args.timeout);
    }
    // The settings are named as in code; on the command line they have dashes.
    let as_options = |error: form_usage_events::errors::InvalidConfig| {
        let name = |setting: &str| format!("--{}", setting.replace('_', "-"));
        let expected = error.expected.replace("initial_backoff", &name("initial_backoff"));
        anyhow::anyhow!("{} is {}; it must be {expected}", name(error.setting), error.found)
    };
    let retrier = Retrier::with(retry, clock.clone(), Random::default()).map_err(as_options)?;
    let breaker = (!args.no_circuit_breaker).then(|| CircuitBreaker::with_clock(breaker, clock.clone()));
    Ok((retrier, breaker.transpose().map_err(as_options)?))
}

/// What is to be read.
struct Inputs {
    readers: Vec<(Input, Box<dyn Read + Send>)>,
    event: Option<String>,
    /// Whether the end is known to come.
    finite: bool,
}

/// What the reading side has to say when the run is over.
#[derive(Debug, Default)]
struct ReadingEnd {
    said: Mutex<Said>,
    changed: Condvar,
    /// How long to wait for it to end.
    patience: Duration,
}

#[derive(Debug, Default)]
struct Said {
    /// The first line that nobody took, where reading was broken off.
    unread_from: Option<String>,
    /// How many lines nobody took.
    unread: u64,
    /// The first line that was handed on, and how many were.
    first: Option<Origin>,
    handed_on: u64,
    /// The last one of a pipe.
    last: Option<Origin>,
    ended: bool,
    /// The end of the input was reached.
    whole: bool,
}

impl ReadingEnd {
    /// How long the reading side may take to notice that nobody reads on; it may be waiting for its own input.
    const PATIENCE: Duration = Duration::from_millis(200);
    /// The same where it counts what is left of files.
    const PATIENCE_WITH_FILES: Duration = Duration::from_secs(5);

    /// Nobody took the line at `place`.
    fn note(&self, place: Option<String>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.unread += 1;
        said.unread_from = said.unread_from.take().or(place);
    }

    /// The lines of `group` are handed on, of a pipe where `is_pipe` says so.
    fn note_handed_on(&self, group: &[Intake], is_pipe: bool) {
        let begins_line = |item: &&Intake| match item {
            Intake::Event(_) => true,
            Intake::Refused(line) => line.is_first_piece(),
            Intake::Broken(_) => false,
        };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.handed_on += group.iter().filter(begins_line).count() as u64;
        said.first = said.first.take().or_else(|| group.iter().find_map(Intake::origin).cloned());
        if is_pipe {
            said.last = group.iter().rev().find_map(Intake::origin).cloned().or(said.last.take());
        }
    }

    /// The first line that was handed on by now, and how many were.
    fn handed_on(&self) -> (Option<Origin>, u64) {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        (said.first.clone(), said.handed_on)
    }

    /// Nothing more is read; whether that is the end of the input.
    fn end(&self, whole: bool) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        (said.ended, said.whole) = (true, whole);
        drop(said);
        self.changed.notify_all();
    }

    /// What there is to say once reading has ended, or after `patience`.
    fn said(&self, patience: Duration) -> Said {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(said, patience, |said| !said.ended);
        std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl Inputs {
    /// Opens every file before anything is sent, so that a misspelt name sends nothing.
    fn open(args: &PublishArgs) -> anyhow::Result<Self> {
        if let Some(event) = &args.event {
            return Ok(Self { readers: Vec::new(), event: Some(event.clone()), finite: true });
        }
        let inputs = Input::or_stdin(&args.files);
        let ends = |input: &Input| matches!(input, Input::File(_)) || stdin_is_a_file();
        let finite = inputs.iter().all(ends);
        let mut readers: Vec<(Input, Box<dyn Read + Send>)> = Vec::new();
        for input in inputs {
            // Standard input may take its time to say something; it is opened on the reading thread.
            let reader: Box<dyn Read + Send> = match &input {
                Input::File(_) => Box::new(input.open_events("publish")?),
                Input::Stdin => Box::new(LazyStdin(None)),
            };
            readers.push((input, reader));
        }
        Ok(Self { readers, event: None, finite })
    }

    /// What the reading side is to note.
    fn reading_end(&self) -> Arc<ReadingEnd> {
        let patience = if self.finite { ReadingEnd::PATIENCE_WITH_FILES } else { ReadingEnd::PATIENCE };
        Arc::new(ReadingEnd { patience, ..ReadingEnd::default() })
    }

    /// Reads on a thread of its own, since files and pipes block; notes at `end` how far it came.
    fn read(
        self,
        rules: IntakeRules,
        ahead: Option<(ReadAhead, CancellationToken)>,
        clock: Arc<dyn Clock>,
        end: &Arc<ReadingEnd>,
    ) -> anyhow::Result<mpsc::Receiver<Intake>> {
        let (feed, receiver) = Feed::channel();
        let (told, finite) = (end.clone(), self.finite);
        let counted = ahead.as_ref().map(|(ahead, _)| ahead.clone());
        let mut ahead = ahead
            .map(|(ahead, finish)| anyhow::Ok((ahead, EndOfRun::new(finish)?)))
            .transpose()
            .context("can't make a pipe")?;
        let give = move |group: Vec<Intake>| {
            told.note_handed_on(&group, counted.is_some());
            counted.iter().for_each(|ahead| ahead.gave(group.len(), group.iter().map(Intake::size).sum()));
            match feed.put(group) {
                Ok(()) => ControlFlow::Continue(()),
                Err(group) => {
                    group.iter().for_each(|item| told.note(item.origin().map(ToString::to_string)));
                    // Of a file it is worth knowing how much is left.
                    if finite { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                }
            }
        };
        let over = end.clone();
        std::thread::spawn(move || {
            let mut intake = IntakeReader::new(rules);
            if let Some(text) = self.event {
                let origin = Origin { input: "--event".into(), line: None };
                // JSON over several lines is still one event.
                let line = Line { number: 1, bytes: text.as_bytes(), part: LinePart::Whole };
                let _ = give(vec![intake.judge(line, origin, clock.unix_seconds())]);
            }
            for (input, mut reader) in self.readers {
                let name = input.to_string();
                let goes_on = match ahead.take_if(|_| input == Input::Stdin) {
                    Some((ahead, end)) => {
                        let mut pipe = HeldPipe::new(reader, ahead, end);
                        let goes_on = intake.read_lines(&name, &mut pipe, &*clock, &give);
                        if pipe.left_something { ControlFlow::Break(()) } else { goes_on }
                    }
                    None => intake.read_lines(&name, &mut reader, &*clock, &give),
                };
                if goes_on.is_break() {
                    over.end(false);
                    return;
                }
            }
            over.end(true);
        });
        Ok(receiver)
    }
}

/// `publish <FILE` is as finite as `publish FILE`.
fn stdin_is_a_file() -> bool {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        let stdin = std::io::stdin().as_fd().try_clone_to_owned().map(std::fs::File::from);
        stdin.and_then(|file| file.metadata()).is_ok_and(|it| it.is_file())
    }
    #[cfg(not(unix))]
    false
}

/// Standard input, checked for text when it is first read.
struct LazyStdin(Option<Box<dyn Read + Send>>);

impl Read for LazyStdin {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let reader = match &mut self.0 {
            Some(reader) => reader,
            none => {
                let opened = Input::Stdin.open_events("publish");
                let reader: Box<dyn Read + Send> = match opened {
                    Ok(reader) => Box::new(reader),
                    Err(error) => {
                        *none = Some(Box::new(Cursor::new([])));
                        return Err(std::io::Error::other(format!("{error:#}")));
                    }
                };
                none.insert(reader)
            }
        };
        reader.read(buffer)
    }
}

/// Reports the run and gives its exit code.
fn finish(
    args: &PublishArgs,
    sent_to: &Destination,
    mut report: Report,
    now: &Observation,
    unread: &Said,
    lost_alerts: u64,
) -> anyhow::Result<Exit> {
    // All that was read of a pipe is kept; what nobody read is gone with the pipe, unless somebody holds it open.
    let was_cut = if unread.ended { !unread.whole } else { pipe::has_input() };
    let goes_on = unread.last.as_ref().filter(|_| was_cut && unread.unread_from.is_none());
    if let Some(Origin { input, line }) = goes_on {
        let next = Origin { input: input.clone(), line: line.map(|line| line + 1) };
        output::say(&format!(
            "the input was not read to its end: unless the pipe is kept for the next run, publish again from {next} on"
        ));
    }
    let is_cut_off = goes_on.is_some();
    let (place, lines) = match report.not_taken.clone() {
        Some(not_taken) => (Some(not_taken.from), not_taken.lines + unread.unread),
        None => (unread.unread_from.clone(), unread.unread),
    };
    if let Some(place) = place {
        let at_least = if unread.whole { "" } else { "at least " };
        report.not_taken = Some(NotTaken { from: place.clone(), lines });
        report.errors.push(if args.event.is_some() {
            "the event of --event was not taken; publish it again".to_owned()
        } else {
            format!(
                "not read to the end: {at_least}{} not taken; publish again from {place} on",
                output::counted(lines, "line was", "lines were")
            )
        });
    }
    let exit = if !report.errors.is_empty() {
        Exit::Error
    } else if report.all_delivered() && !is_cut_off && lost_alerts == 0 {
        Exit::Success
    } else {
        Exit::Objection
    };
    show::report(&report, now, args.report, args.dry_run, *sent_to == Destination::Stdio, args.dead_letter.as_deref())?;
    Ok(exit)
}

/// A keeper that has something to do at the end.
trait Keep: Keeper {
    /// Makes what was kept durable.
    fn finish(&mut self) -> anyhow::Result<()>;
}
