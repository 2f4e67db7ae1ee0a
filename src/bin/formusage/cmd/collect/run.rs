//! The collector's loop: waits, looks, hands events to the writer.

use std::time::Duration;

use form_usage_events::clock::{Clock, Monotonic};
use form_usage_events::collect::{
    Agent, HostReaders, Metered, Now, Origin, Saved, ScopeConfig, ScopeId, StateFile, Tick,
};

use super::reload::Reload;
use super::settings::Settings;
use super::signs::{Hangup, Urgencies};
use super::writer::{Batch, Outcome, Writer};
use crate::cli::CollectArgs;
use crate::cmd::watch::{self, Asked, Period, Screen, Writes};
use crate::exit::Exit;
use crate::output::{self, StdoutClosed};
use crate::signals::Shutdown;

/// A sample out of turn that takes as long is followed by a rest of the same length, so that groups that come and go
/// without end take half of the meter's time at most.
const LONG_GLANCE: Duration = Duration::from_millis(2);
const LONGEST_REST: Duration = Duration::from_millis(50);

/// What one run of the command holds.
pub(super) struct Collector<'a> {
    agent: Agent,
    /// What its scopes share.
    readers: HostReaders,
    clock: &'a dyn Clock,
    origin: Origin,
    keeps_state: bool,
    writer: Writer,
    /// Events that are closed and not handed to the writer yet.
    pending: Vec<String>,
    /// Whether a state of this process was handed to the writer.
    kept: bool,
    /// Whether the state can't be saved, which was said.
    unsaved: bool,
    /// How many periods to close.
    pub(super) count: Option<u64>,
    /// Whether events are written.
    pub(super) writes: Writes,
    /// Where somebody watches.
    pub(super) screen: Option<Screen>,
    closed: u64,
    /// Until then no scope is looked at out of turn.
    rest_until: Monotonic,
}

/// Why the loop ended.
enum End {
    Asked,
    Over,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        agent: Agent,
        readers: HostReaders,
        clock: &'a dyn Clock,
        origin: Origin,
        file: Option<StateFile>,
        closing: Vec<String>,
    ) -> anyhow::Result<Self> {
        let keeps_state = file.is_some();
        let writer = Writer::start(file)?;
        Ok(Self {
            agent,
            readers,
            clock,
            origin,
            keeps_state,
            writer,
            pending: closing,
            kept: false,
            unsaved: false,
            count: None,
            writes: Writes::Events,
            screen: None,
            closed: 0,
            rest_until: Monotonic::ZERO,
        })
    }

    pub(super) async fn run(
        mut self,
        args: &CollectArgs,
        settings: Settings,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Exit> {
        if let Some(duration) = args.duration {
            self.agent.end_after(duration);
        }
        let end = self.go_on(args, settings, shutdown).await;
        // The terminal is given back before what may take long.
        self.screen = None;
        let end = end?;
        if matches!(end, End::Asked) {
            let tick = self.agent.finish(self.now());
            self.take(tick)?;
        }
        self.write_all(shutdown).await?;
        Ok(Exit::Success)
    }

    async fn go_on(&mut self, args: &CollectArgs, mut settings: Settings, shutdown: &Shutdown) -> anyhow::Result<End> {
        let mut hangup = Hangup::listen(args.config.is_some() || args.watch)?;
        let mut urgencies = Urgencies::of(&self.agent)?;
        // The settings of the scopes that the agent has.
        let mut scopes = self.pair(&settings.scopes);
        let mut reload = Reload::default();
        if let Some(screen) = &mut self.screen {
            screen.draw()?;
        }
        loop {
            let passed = self.clock.monotonic().saturating_sub(self.agent.looked_at());
            let due = self.agent.wait().saturating_sub(passed);
            let whole = self.agent.until_whole_second(passed);
            // Other settings are taken over at a whole second, not at any look before.
            let takes_over = reload.is_ready() && whole <= due;
            let pause = if takes_over { whole } else { due };
            let rest = self.rest_until.saturating_sub(self.clock.monotonic());
            tokio::select! {
                biased;
                () = shutdown.finish.cancelled() => return Ok(End::Asked),
                outcome = self.writer.outcome() => {
                    self.settle(outcome)?;
                    continue;
                }
                // Whoever makes and empties groups without end holds up no sample.
                scopes = urgencies.next(), if !pause.is_zero() && rest.is_zero() => {
                    let began = self.clock.monotonic();
                    let tick = self.agent.glance(&scopes, self.now());
                    self.take(tick)?;
                    let now = self.clock.monotonic();
                    let took = now.saturating_sub(began);
                    if took >= LONG_GLANCE {
                        self.rest_until = now.saturating_add(took.min(LONGEST_REST));
                    }
                    continue;
                }
                () = self.clock.sleep(rest), if !rest.is_zero() && rest < pause => continue,
                asked = watch::key(&mut self.screen) => match asked? {
                    Asked::End => return Ok(End::Asked),
                    Asked::Nothing => continue,
                },
                () = hangup.next() => {
                    // By default it ends the process, which would leave the terminal as it is.
                    if args.config.is_none() {
                        return Ok(End::Asked);
                    }
                    reload.start(args);
                    continue;
                }
                wanted = reload.reading() => {
                    reload.open(wanted, &scopes, &self.readers);
                    continue;
                }
                // Last, so that nothing else waits for it longer than a moment.
                () = std::future::ready(()), if reload.is_opening() && !pause.is_zero() => {
                    reload.open_some(&self.agent, self.clock, &self.readers);
                    // Signals are heard by the runtime, which has a turn now.
                    tokio::task::yield_now().await;
                    continue;
                }
                () = self.clock.sleep(pause) => {}
            }
            let tick = self.agent.tick(self.now())?;
            self.agent.plan_sample(fastrand::f64());
            let wrote = !tick.events.is_empty();
            self.show(&tick)?;
            self.take(tick)?;
            if !wrote && output::stdout_is_closed() {
                return Err(StdoutClosed.into());
            }
            if takes_over && let Some((wanted, plan)) = reload.take() {
                if wanted.state != settings.state {
                    tracing::warn!("another state file is used only after a restart");
                }
                let tick = self.agent.reconfigure(plan, wanted.periods, self.now());
                self.take(tick)?;
                settings = wanted;
                scopes = self.pair(&settings.scopes);
                urgencies = Urgencies::of(&self.agent)?;
                tracing::info!(scopes = scopes.len(), "the configuration was read again");
            }
            if self.agent.is_over() || self.count.is_some_and(|count| self.closed >= count) {
                return Ok(End::Over);
            }
        }
    }

    /// The agent's scopes and what they were asked for by; both are in the order of the settings.
    fn pair(&self, scopes: &[ScopeConfig]) -> Vec<(ScopeId, ScopeConfig)> {
        self.agent.scopes().map(|(id, ..)| id).zip(scopes.iter().cloned()).collect()
    }

    /// Shows the open periods; of what was closed just now, what it came to.
    fn show(&mut self, tick: &Tick) -> anyhow::Result<()> {
        let Some(screen) = &mut self.screen else { return Ok(()) };
        let now = self.agent.second();
        let closed = tick.events.iter().map(Period::from);
        let open = self.agent.current().filter_map(|current| {
            let (event, not_metered) = (current.meter.peek(now)?, current.meter.not_metered());
            Some(Period { event, not_metered })
        });
        screen.board.look(now, closed.chain(open));
        screen.draw()
    }

    fn now(&self) -> Now {
        Now::of(self.clock)
    }

    /// Hands events on, and holds periods open as long as nobody takes them.
    fn take(&mut self, tick: Tick) -> anyhow::Result<()> {
        self.closed += u64::from(tick.closed);
        if self.writes == Writes::Nothing {
            return Ok(());
        }
        let lines: Result<Vec<String>, _> = tick.events.iter().map(Metered::to_line).collect();
        self.pending.extend(lines?);
        self.submit()
    }

    fn submit(&mut self) -> anyhow::Result<()> {
        // The first look is kept at once: with a long period, much is used before the first event. Before that look the
        // kept state is the one that counts.
        let is_due = !self.pending.is_empty() || self.keeps_state && !self.kept;
        if !self.writer.is_busy() && is_due && self.agent.has_begun() {
            self.kept = true;
            let lines = std::mem::take(&mut self.pending);
            let states = self.keeps_state.then(|| {
                let agent = self.agent.snapshot();
                Ok::<_, serde_json::Error>((
                    Saved::encode(&self.origin, &lines, &agent)?,
                    Saved::encode(&self.origin, &[], &agent)?,
                ))
            });
            self.writer.write(Batch { lines, states: states.transpose()? });
        }
        self.agent.hold(self.writer.is_busy() || !self.pending.is_empty());
        Ok(())
    }

    fn settle(&mut self, outcome: Outcome) -> anyhow::Result<()> {
        match outcome {
            Outcome::Written => {
                if std::mem::take(&mut self.unsaved) {
                    tracing::warn!("the state can be saved again");
                }
                self.submit()
            }
            Outcome::Unsaved(mut lines, error) => {
                lines.append(&mut self.pending);
                self.pending = lines;
                if !std::mem::replace(&mut self.unsaved, true) {
                    tracing::warn!(%error, "the state can't be saved; events wait and periods go on until it can");
                }
                // Tried again with the next look.
                self.agent.hold(true);
                Ok(())
            }
            Outcome::Failed(error) => Err(error),
        }
    }

    /// Waits until everything is written, or until asked to stop where we are.
    async fn write_all(&mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        while self.writer.is_busy() {
            tokio::select! {
                outcome = self.writer.outcome() => self.settle(outcome)?,
                () = shutdown.abort.cancelled() => return Ok(()),
            }
            if self.unsaved {
                anyhow::bail!(
                    "the state can't be saved, so the last {} events were not written; the next run meters what they were for",
                    self.pending.len()
                );
            }
        }
        Ok(())
    }
}
