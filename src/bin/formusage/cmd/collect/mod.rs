//! `collect`: samples scopes into events.

mod reload;
mod run;
mod settings;
mod signs;
mod watchdog;
mod writer;

use std::time::SystemTime;

use form_usage_events::clock::SystemClock;
use form_usage_events::collect::{
    Agent, Continuation, HostReaders, Now, Opened, Origin, Snapshot, Source, StateFile, log_absent, refuse_overlaps,
};

use self::run::Collector;
use self::settings::Settings;
use crate::cli::CollectArgs;
use crate::cmd::watch::{Screen, Writes};
use crate::exit::Exit;
use crate::output::mind_stdout;
use crate::setup;
use crate::signals::{Ending, Shutdown};

/// What a wall clock may be behind by without a word: time servers slew by less.
const SLEWED: std::time::Duration = std::time::Duration::from_secs(1);

/// How long the end may take. The watchdog, which knows when it is a sample that holds up the end, comes before.
const FINISH_TIME: std::time::Duration = std::time::Duration::from_millis(9_500);

pub(crate) fn run(args: &CollectArgs) -> anyhow::Result<Exit> {
    mind_stdout();
    let settings = Settings::read(args)?;
    let readers = HostReaders::default();
    let sources = open(&settings, &readers)?;
    setup::block_on(async {
        let shutdown = Shutdown::listen(Ending {
            finish_time: FINISH_TIME,
            ..Ending::quiet(
                "ended by force, since standard output or a sample held up the end: with a state (--state), the next run \
                 writes what was not written",
            )
        })?;
        let watched = args.watch.then(Screen::open).transpose()?;
        let (screen, writes) = watched.map_or((None, Writes::Events), |(screen, writes)| (Some(screen), writes));
        let clock = &SystemClock;
        let origin = Origin::here();
        // What is written nowhere must not be taken from a later run either.
        let state = settings.state.as_deref().filter(|_| writes == Writes::Events);
        let opened = state.map(|path| StateFile::open(path, &origin, Now::of(clock))).transpose()?;
        let (agent, closing, file) = start(sources, &settings, opened, Now::of(clock));
        let mut collector = Collector::new(agent, readers, clock, origin, file, closing)?;
        collector.count = args.count;
        collector.writes = writes;
        collector.screen = screen;
        watchdog::start(shutdown.clone())?;
        collector.run(args, settings, &shutdown).await
    })
}

/// Opens every scope that is asked for.
fn open(settings: &Settings, readers: &HostReaders) -> anyhow::Result<Vec<Source>> {
    let opened = settings.scopes.iter().map(|scope| scope.open(&settings.user, readers));
    let sources = opened.collect::<Result<Vec<_>, _>>()?;
    let scopes = settings.scopes.iter().zip(&sources).map(|(scope, source)| (scope, &*source.scope));
    refuse_overlaps(scopes.clone())?;
    log_absent(scopes)?;
    Ok(sources)
}

/// An agent that goes on where the state ends; the events that may not have been written; the file.
fn start(
    sources: Vec<Source>,
    settings: &Settings,
    opened: Option<Opened>,
    now: Now,
) -> (Agent, Vec<String>, Option<StateFile>) {
    let periods = settings.periods;
    let Some(Opened { file, closing, continuation, put_aside }) = opened else {
        return (Agent::new(sources, periods, now), Vec::new(), None);
    };
    if let Some((aside, fault)) = put_aside {
        let (state, aside) = (file.path().display().to_string(), aside.display().to_string());
        tracing::warn!(state, aside, "the state was put aside: {fault}; metering starts anew");
    }
    let agent = match continuation {
        Some(Continuation::Same(earlier)) => Agent::resume(sources, periods, earlier, now),
        Some(Continuation::Rebooted(earlier)) => {
            tracing::warn!(
                unmetered_since = %humantime::format_rfc3339_seconds(last_moment(&earlier)),
                "this host was booted since the state was kept; metering starts anew"
            );
            tell_lag(&earlier, now);
            Agent::after_boot(sources, periods, earlier, now)
        }
        None => Agent::new(sources, periods, now),
    };
    (agent, closing, Some(file))
}

/// Says where periods go on ahead of a wall clock that stands before the last one's end.
fn tell_lag(earlier: &Snapshot, now: Now) {
    if let Ok(behind) = last_moment(earlier).duration_since(now.wall)
        && behind > SLEWED
    {
        tracing::warn!(
            behind = %humantime::format_duration(std::time::Duration::from_secs(behind.as_secs())),
            "the wall clock stands before the end of the last period: periods are dated from that end on, ahead of the \
             clock, until it has caught up; set it, or let it be set before the collector starts (After=time-sync.target)"
        );
    }
}

fn last_moment(earlier: &Snapshot) -> SystemTime {
    let second = u64::try_from(earlier.line().second()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(second)
}
