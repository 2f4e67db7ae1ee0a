//! SIGINT and SIGTERM (Ctrl-C elsewhere than on Unix), heard from a command's first moment to its end.
//!
//! A thread of its own hears them, since the main thread may wait for what no signal interrupts: a FIFO that nobody
//! writes to, a lock, a pipe that nobody reads. Until a command listens, the first signal ends the process, also as the
//! first process of a container, to which the kernel gives no default. A command that listens is asked to finish, asked
//! to stop by the second signal, and ended where either takes longer than it may.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use form_usage_events::clock::{Clock as _, SystemClock};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::open_files;
use crate::output::{complain, say};

/// The longest that the last message may take: whoever reads standard error may have stopped.
const MESSAGE_TIME: Duration = Duration::from_secs(1);

/// What signals ask of the command that listens.
static LISTENER: OnceLock<watch::Sender<Option<Listener>>> = OnceLock::new();

/// Two tokens that signals cancel: the first signal asks to finish, the second to stop where the command is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// Take nothing new, finish what is under way.
    pub(crate) finish: CancellationToken,
    /// End at once.
    pub(crate) abort: CancellationToken,
}

/// How a command may end.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// The message at the first signal, written to a terminal only. Empty: no message.
    pub(crate) announcement: &'static str,
    /// How long finishing may take.
    pub(crate) finish_time: Duration,
    /// How long stopping may take after the second signal.
    pub(crate) abort_time: Duration,
    /// The message when the process is ended by force: why, and what became of the work.
    pub(crate) overdue: Overdue,
}

/// The message of a process that is ended by force, as it reads at that moment.
#[derive(Clone)]
pub(crate) struct Overdue(Arc<dyn Fn() -> String + Send + Sync>);

impl Overdue {
    /// What `message` returns, which must not wait for anything.
    pub(crate) fn new(message: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(message))
    }
}

impl From<&'static str> for Overdue {
    fn from(message: &'static str) -> Self {
        Self::new(move || message.to_owned())
    }
}

impl std::fmt::Debug for Overdue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Overdue").field(&(self.0)()).finish()
    }
}

#[derive(Debug, Clone)]
struct Listener {
    shutdown: Shutdown,
    ending: Ending,
}

impl Ending {
    /// How long commands may take to finish that have nothing to wait for.
    pub(crate) const FINISH_TIME: Duration = Duration::from_secs(8);
    /// How long commands may take to stop after the second signal.
    pub(crate) const ABORT_TIME: Duration = Duration::from_secs(2);

    /// At once: nothing is under way yet.
    pub(crate) fn at_once(overdue: &'static str) -> Self {
        Self { announcement: "", finish_time: Duration::ZERO, abort_time: Duration::ZERO, overdue: overdue.into() }
    }

    /// The usual times, and nothing said at the first signal.
    pub(crate) fn quiet(overdue: &'static str) -> Self {
        let (finish_time, abort_time) = (Self::FINISH_TIME, Self::ABORT_TIME);
        Self { announcement: "", finish_time, abort_time, overdue: overdue.into() }
    }
}

impl Shutdown {
    /// Listens for signals from now on. Signals from before this call do not count.
    ///
    /// # Errors
    /// When [`hear`] could not start.
    pub(crate) fn listen(ending: Ending) -> anyhow::Result<Self> {
        let shutdown = Self::default();
        shutdown.end_as(ending)?;
        Ok(shutdown)
    }

    /// Goes on listening with the same tokens, under other conditions; their times begin now.
    ///
    /// # Errors
    /// When [`hear`] could not start.
    pub(crate) fn end_as(&self, ending: Ending) -> anyhow::Result<()> {
        let Some(listener) = LISTENER.get() else {
            open_files::check()?;
            anyhow::bail!(
                "could not listen for signals: no thread could be started; raise the limit of tasks (ulimit -u)"
            );
        };
        listener.send_replace(Some(Listener { shutdown: self.clone(), ending }));
        Ok(())
    }
}

/// Hears signals until the process ends; once a process.
///
/// # Errors
/// When there is no descriptor or thread left for it. Signals then do what they do by default.
pub(crate) fn hear() -> anyhow::Result<()> {
    open_files::check()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    let (sender, listener) = watch::channel(None);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(obey(signals, listener)))?;
    // The only call, so that nothing is set yet.
    let _ = LISTENER.set(sender);
    Ok(())
}

async fn obey(mut signals: Signals, mut listener: watch::Receiver<Option<Listener>>) {
    loop {
        let current = listener.borrow_and_update().clone();
        let time_left = async {
            match &current {
                Some(Listener { shutdown, ending }) if shutdown.abort.is_cancelled() => {
                    SystemClock.sleep(ending.abort_time).await;
                }
                Some(Listener { shutdown, ending }) if shutdown.finish.is_cancelled() => {
                    SystemClock.sleep(ending.finish_time).await;
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            // A command that began to listen before a signal came is asked to finish, however late this thread is.
            biased;
            // Never an error: the sender is static.
            _ = listener.changed() => {}
            signal = signals.next() => match &current {
                None => signal.end_process(),
                Some(Listener { shutdown, ending }) if shutdown.abort.is_cancelled() => end_process(Some(&ending.overdue)),
                Some(Listener { shutdown, .. }) if shutdown.finish.is_cancelled() => shutdown.abort.cancel(),
                Some(Listener { shutdown, ending }) => {
                    shutdown.finish.cancel();
                    announce(ending.announcement);
                }
            },
            () = time_left => end_process(current.as_ref().map(|listener| &listener.ending.overdue)),
        }
    }
}

/// Standard error may be held up, and then this thread must not be.
fn announce(announcement: &'static str) {
    if !announcement.is_empty() && io::stderr().is_terminal() {
        let _ = std::thread::Builder::new().spawn(|| say(announcement));
    }
}

fn end_process(overdue: Option<&Overdue>) -> ! {
    let message = overdue.map(|overdue| (overdue.0)()).unwrap_or_default();
    let (sender, said) = channel();
    let last_words = move || {
        crate::cmd::watch::give_terminal_back();
        complain(&message);
        let _ = sender.send(());
    };
    if std::thread::Builder::new().spawn(last_words).is_ok() {
        let _ = said.recv_timeout(MESSAGE_TIME);
    }
    std::process::exit(i32::from(Exit::Error.code()));
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

/// The number of a signal.
#[cfg(unix)]
struct Received(i32);

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Received {
        use tokio::signal::unix::SignalKind;
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        Received(kind.as_raw_value())
    }
}

#[cfg(unix)]
impl Received {
    /// Ends the process as the signal does by default, so that a shell or a service manager sees which one it was.
    fn end_process(self) -> ! {
        // The kernel spares the first process of a container, and the emulation would abort it.
        if std::process::id() != 1 {
            let _ = signal_hook::low_level::emulate_default_handler(self.0);
        }
        std::process::exit(128 + self.0)
    }
}

#[cfg(not(unix))]
struct Signals;

/// Ctrl-C.
#[cfg(not(unix))]
struct Received;

#[cfg(not(unix))]
impl Signals {
    #[allow(clippy::unnecessary_wraps)] // as on Unix
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Received {
        let _ = tokio::signal::ctrl_c().await;
        Received
    }
}

#[cfg(not(unix))]
impl Received {
    fn end_process(self) -> ! {
        std::process::exit(130)
    }
}
