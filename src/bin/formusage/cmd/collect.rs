//! `collect`: samples this host into events.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::collect::{Identity, Meter, Reading, Schedule, Scope, Timeline, host};
use form_usage_events::events::{UsageEvent, to_compact_json};

use crate::cli::CollectArgs;
use crate::exit::Exit;
use crate::output::{self, Stdout, StdoutClosed};
use crate::setup::{self, Shutdown};

/// How often to look unless asked otherwise, at most an interval.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &CollectArgs) -> anyhow::Result<Exit> {
    let identity = identity(args)?;
    let scope = host::this_host()?;
    setup::runtime()?.block_on(async {
        let shutdown = Shutdown::listen("")?;
        let collector = Collector { scope, clock: &SystemClock, stdout: Stdout::new() };
        collector.run(args, identity, &shutdown).await
    })
}

fn identity(args: &CollectArgs) -> anyhow::Result<Identity> {
    let instance = args.instance_id.clone().or_else(host::host_name);
    let instance = instance.context("this host has no name; give it an id with --instance-id")?;
    let user = args.user_id.clone().or_else(host::user_name);
    let user = user.context("the login name is not known; say who is billed with --user-id")?;
    Ok(Identity::new(instance, user, args.org_id.clone())?)
}

struct Collector<'a> {
    scope: Box<dyn Scope>,
    clock: &'a dyn Clock,
    stdout: Stdout,
}

impl Collector<'_> {
    async fn run(mut self, args: &CollectArgs, identity: Identity, shutdown: &Shutdown) -> anyhow::Result<Exit> {
        let mut line = Timeline::new(self.clock.monotonic(), self.wall());
        // A period covers whole seconds, so the first one starts with a whole one.
        let start = line.ceiling();
        while line.second() < start {
            tokio::select! {
                () = shutdown.finish.cancelled() => return Ok(Exit::Success),
                () = self.clock.sleep(line.until(start)) => self.look(&mut line),
            }
        }
        let schedule = if args.no_align {
            Schedule::from_start(args.interval, line.second())
        } else {
            Schedule::aligned(args.interval)
        };
        let every = args.sample_interval.unwrap_or(SAMPLE_INTERVAL).min(args.interval);
        let last =
            args.duration.map(|duration| start.saturating_add(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)));
        let mut meter = Meter::new(identity, line.second(), self.read()?);
        let mut written = 0;
        let mut failing = false;
        loop {
            let edge = last.map_or(i64::MAX, |last| last).min(schedule.edge_after(meter.start()));
            let asked = tokio::select! {
                biased;
                () = shutdown.finish.cancelled() => true,
                () = self.clock.sleep(every.min(line.until(edge))) => false,
            };
            self.look(&mut line);
            match self.read() {
                Ok(reading) => {
                    meter.add(reading);
                    failing = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "no reading; the period goes on");
                    }
                }
            }
            let end = if asked {
                // All that was metered is covered by the last period.
                Some(line.ceiling())
            } else {
                // Where edges were missed (a stopped process, a suspended host), one period goes to the last of them.
                (line.second() >= edge)
                    .then(|| schedule.edge_at_or_before(line.second()).max(edge).min(last.unwrap_or(i64::MAX)))
            };
            if let Some(event) = end.and_then(|end| meter.close(end)) {
                self.write(&event)?;
                written += 1;
            } else if output::stdout_is_closed() {
                return Err(StdoutClosed.into());
            }
            let over = last.is_some_and(|last| line.second() >= last) || args.count == Some(written);
            if asked || over {
                return Ok(Exit::Success);
            }
        }
    }

    /// The one instance of this scope.
    fn read(&mut self) -> anyhow::Result<Reading> {
        let observed = self.scope.read(self.clock.monotonic())?.pop();
        Ok(observed.context("the scope holds no instance")?.reading)
    }

    /// Looks at both clocks.
    fn look(&self, line: &mut Timeline) {
        if let Some(step) = line.advance(self.clock.monotonic(), self.wall()) {
            tracing::warn!(seconds = step.seconds, "the wall clock was set; periods stay contiguous");
        }
    }

    fn wall(&self) -> Duration {
        let wall: SystemTime = self.clock.wall();
        wall.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    fn write(&mut self, event: &UsageEvent) -> anyhow::Result<()> {
        self.stdout.line(to_compact_json(event)?.as_bytes())?;
        self.stdout.flush()
    }
}
