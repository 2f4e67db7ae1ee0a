//! `read`: events back from a destination.

mod repeats;
mod show;

use std::time::Duration;

use anyhow::bail;
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::{EncodedEvent, EventId};
use form_usage_events::transport::{self, Failure, FailureKind, Message, Polled};

use tokio_util::sync::CancellationToken;

use self::repeats::Repeats;
use self::show::Shower;
use crate::cli::ReadArgs;
use crate::exit::Exit;
use crate::setup;
use crate::signals::{Ending, Shutdown};

/// While following, a source that fails is asked again after so long at most.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// How long the source may take to acknowledge what was shown before the end was asked for. What it does not is handed
/// out again.
const ACKNOWLEDGE_TIME: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &ReadArgs) -> anyhow::Result<Exit> {
    crate::output::mind_stdout();
    let options = crate::connect::to_read(args)?;
    let shutdown = Shutdown::listen(Ending::quiet(
        "ended by force, since the source or standard output held up the end: what was shown last may come again",
    ))?;
    setup::block_on(async {
        let mut reading = Reading::new(args)?;
        let mut source = transport::open(&args.from, &options)?;
        let mut pause = args.poll_interval;
        let mut absent = false;
        loop {
            let polled = tokio::select! {
                biased;
                () = shutdown.finish.cancelled() => break,
                polled = source.poll() => polled,
            };
            match polled {
                Ok(Polled::Messages(messages)) => {
                    let shown = reading.take(messages)?;
                    pause = args.poll_interval;
                    reading.last_failure = None;
                    let acknowledged = tokio::select! {
                        biased;
                        acknowledged = source.acknowledge(shown) => acknowledged,
                        () = after(&shutdown.finish, ACKNOWLEDGE_TIME) => break,
                    };
                    match acknowledged {
                        // It comes again, and is then known as a repeat.
                        Err(failure) if args.follow && failure.kind.is_temporary() => {
                            pause = reading.wait_after(&failure, pause);
                        }
                        told => told?,
                    }
                    if reading.left == Some(0) {
                        return reading.end();
                    }
                    continue;
                }
                Ok(Polled::UpToDate) if !args.follow => break,
                Ok(Polled::UpToDate) => pause = args.poll_interval,
                Ok(Polled::Absent(words)) if !args.follow => bail!("{words}"),
                Ok(Polled::Absent(words)) => {
                    if !absent {
                        crate::output::say(&format!("waiting: {words}"));
                        absent = true;
                    }
                }
                Err(failure) if !args.follow || failure.kind == FailureKind::Destination => return Err(failure.into()),
                Err(failure) => pause = reading.wait_after(&failure, pause),
            }
            reading.flush()?;
            tokio::select! {
                () = shutdown.finish.cancelled() => break,
                () = SystemClock.sleep(pause) => {}
                () = source.changed() => {}
            }
        }
        if let Polled::Messages(messages) = source.rest().await? {
            reading.take(messages)?;
        }
        reading.end()
    })
}

/// Completes so long after `token` is cancelled.
async fn after(token: &CancellationToken, wait: Duration) {
    token.cancelled().await;
    SystemClock.sleep(wait).await;
}

/// What is being read, so far.
struct Reading {
    repeats: Repeats,
    dropped: u64,
    left: Option<u64>,
    start: u64,
    shower: Shower,
    /// Why the source can't be read since it last could, where that was logged.
    last_failure: Option<Failure>,
}

impl Reading {
    fn new(args: &ReadArgs) -> anyhow::Result<Self> {
        Ok(Self {
            repeats: Repeats::default(),
            dropped: 0,
            left: args.limit,
            start: args.start,
            shower: Shower::new(args.format, args.follow)?,
            last_failure: None,
        })
    }

    /// Shows `messages`, as many of them as were asked for; how many are dealt with now.
    fn take(&mut self, messages: Vec<Message>) -> anyhow::Result<usize> {
        let mut done = 0;
        for message in messages {
            if self.left == Some(0) {
                break;
            }
            done += 1;
            if message.position < self.start {
                continue;
            }
            let event = EncodedEvent::decode(&message.body);
            let id = event.as_ref().map_or_else(|_| EventId::of(&message.body), EncodedEvent::id);
            if !self.repeats.is_new(id) {
                self.dropped += 1;
                continue;
            }
            if let Err(error) = &event {
                tracing::warn!(position = message.position, "passed on as it is, for it is no usage event: {error}");
            }
            self.shower.show(&message, event.ok().as_ref())?;
            self.left = self.left.map(|left| left - 1);
        }
        self.flush()?;
        Ok(done)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.shower.flush()
    }

    /// Says once what is wrong, and how long to wait.
    fn wait_after(&mut self, failure: &Failure, pause: Duration) -> Duration {
        if !self.last_failure.as_ref().is_some_and(|known| known.is_same_fault(failure)) {
            tracing::warn!(%failure, "reading goes on when the source is back");
            self.last_failure = Some(failure.clone());
        }
        (pause * 2).min(MAX_PAUSE).max(failure.retry_after.unwrap_or_default())
    }

    fn end(self) -> anyhow::Result<Exit> {
        self.shower.end()?;
        if self.dropped > 0 {
            crate::output::say(&format!("{} repeats of events already shown were left out", self.dropped));
        }
        Ok(Exit::Success)
    }
}
