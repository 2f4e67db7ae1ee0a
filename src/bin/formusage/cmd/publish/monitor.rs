//! What watches a run from outside: the figures over HTTP, a line of them in the log, systemd.
//!
//! All of it runs on the command's own thread, beside the pipeline: where that hangs, the watchdog goes unfed.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use form_usage_events::clock::Clock;
use form_usage_events::metrics::{self, Observation, PublishMetrics, stats_line};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::MonitoringArgs;
use crate::systemd::Notifier;

/// Gives the current totals of the run. It may block: it is called on threads that are there for that.
pub(super) type Observe = Arc<dyn Fn() -> Observation + Send + Sync>;

/// How often the line that `systemctl status` shows is renewed.
const STATUS_EVERY: Duration = Duration::from_secs(30);

/// What watches the run; it ends with [`Monitor::end`], or when it is dropped.
pub(super) struct Monitor {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    notifier: Arc<Notifier>,
}

impl Monitor {
    /// Starts what was asked for, and tells systemd that the service is ready. `finish` is cancelled when the run is
    /// asked to end; watching goes on while it drains.
    ///
    /// Must be called within a runtime.
    pub(super) async fn start(
        args: &MonitoringArgs,
        destination: &str,
        observe: Observe,
        finish: CancellationToken,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        Self::start_with(args, destination, observe, finish, clock, Notifier::from_env()).await
    }

    async fn start_with(
        args: &MonitoringArgs,
        destination: &str,
        observe: Observe,
        finish: CancellationToken,
        clock: Arc<dyn Clock>,
        notifier: Notifier,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let notifier = Arc::new(notifier);
        let mut tasks = JoinSet::new();
        if let Some(address) = args.metrics_listen {
            if !address.ip().is_loopback() && !args.metrics_allow_remote {
                anyhow::bail!(
                    "{address} is reachable from other machines, and anybody there could read the figures; add --metrics-allow-remote where that is meant, or listen on 127.0.0.1 (--metrics-listen)"
                );
            }
            let listener = bind(address).await?;
            crate::output::say(&format!("the figures are at http://{}/metrics", listener.local_addr()?));
            let look = observe.clone();
            let figures = Arc::new(PublishMetrics::new(destination).with_source(move || look()));
            let served = metrics::serve(listener, figures, stop.clone().cancelled_owned());
            tasks.spawn(async move {
                if let Err(error) = served.await {
                    tracing::error!(%error, "the figures are no longer served");
                }
            });
        }
        if !args.stats_interval.is_zero() {
            tasks.spawn(log(args.stats_interval, observe.clone(), stop.clone(), clock.clone()));
        }
        if notifier.is_heard() {
            notifier.ready();
            if let Some(every) = notifier.alive_every() {
                tasks.spawn(feed(every, notifier.clone(), stop.clone(), clock.clone()));
            }
            tasks.spawn(tell(notifier.clone(), observe, finish, stop.clone(), clock));
        }
        Ok(Self { tasks, stop, notifier })
    }

    /// Ends all of it: the last line is logged, systemd knows.
    pub(super) async fn end(mut self) {
        self.notifier.stopping();
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => anyhow::anyhow!(
            "something listens on {address} already; end it (ss -ltnp shows what it is), or choose another port with --metrics-listen"
        ),
        ErrorKind::PermissionDenied => {
            anyhow::anyhow!("no permission to listen on {address}; choose a port above 1023 for --metrics-listen")
        }
        _ => anyhow::Error::new(error).context(format!("can't listen on {address} (--metrics-listen)")),
    })
}

/// A look, on a thread that may block; `None` where it panicked.
async fn look(observe: &Observe) -> Option<Observation> {
    let observe = observe.clone();
    tokio::task::spawn_blocking(move || observe()).await.ok()
}

/// Waits; whether the run goes on.
async fn goes_on(wait: Duration, stop: &CancellationToken, clock: &dyn Clock) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        () = clock.sleep(wait) => true,
    }
}

async fn log(every: Duration, observe: Observe, stop: CancellationToken, clock: Arc<dyn Clock>) {
    let Some(mut before) = look(&observe).await else { return };
    loop {
        let more = goes_on(every, &stop, &*clock).await;
        let Some(now) = look(&observe).await else { return };
        stats_line(&now, &before);
        if !more {
            return;
        }
        before = now;
    }
}

async fn feed(every: Duration, notifier: Arc<Notifier>, stop: CancellationToken, clock: Arc<dyn Clock>) {
    loop {
        notifier.alive();
        if !goes_on(every, &stop, &*clock).await {
            return;
        }
    }
}

async fn tell(
    notifier: Arc<Notifier>,
    observe: Observe,
    finish: CancellationToken,
    stop: CancellationToken,
    clock: Arc<dyn Clock>,
) {
    let mut told = String::new();
    let mut asked = false;
    loop {
        if let Some(now) = look(&observe).await {
            let words = in_words(&now, asked);
            if words != told {
                notifier.status(&words);
                told = words;
            }
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = finish.cancelled(), if !asked => {
                asked = true;
                notifier.stopping();
            }
            () = clock.sleep(STATUS_EVERY) => {}
        }
    }
}

/// How the run stands, for `systemctl status`.
fn in_words(now: &Observation, asked: bool) -> String {
    let waiting = now.spool.map_or(now.waiting, |spool| spool.waiting);
    let mut words = format!("{} delivered, {waiting} waiting", now.delivered);
    if now.dead + now.refused > 0 {
        words.push_str(&format!(", {} refused", now.dead + now.refused));
    }
    if let Some(breaker) = now.breaker {
        words.push_str(&format!("; the circuit breaker is {}", breaker.state));
    }
    if asked {
        words.push_str("; ending");
    }
    words
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use form_usage_events::clock::SystemClock;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixDatagram;
    use std::sync::atomic::{AtomicU64, Ordering};

    const HALF_A_SECOND: &str = "500000";

    fn notifier(path: &std::path::Path) -> Notifier {
        let path = path.to_owned();
        let variable = move |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.clone().into_os_string()),
            "WATCHDOG_USEC" => Some(HALF_A_SECOND.into()),
            _ => None,
        };
        Notifier::new(variable, 1)
    }

    /// Counts its own looks as delivered events.
    fn observe() -> Observe {
        let looks = AtomicU64::new(0);
        Arc::new(move || Observation {
            delivered: looks.fetch_add(1, Ordering::Relaxed) + 1,
            waiting: 2,
            ..Observation::default()
        })
    }

    /// Reads messages until `last`, in a thread that may wait.
    async fn messages_until(socket: &Arc<UnixDatagram>, last: &'static str) -> Vec<String> {
        let socket = socket.clone();
        let read = move || {
            let mut messages = Vec::new();
            while messages.last().is_none_or(|message: &String| message != last) {
                let mut buffer = [0; 256];
                let length = socket.recv(&mut buffer).unwrap();
                messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            messages
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    #[tokio::test]
    async fn systemd_is_told_from_the_start_to_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = Arc::new(UnixDatagram::bind(&path).unwrap());
        let finish = CancellationToken::new();
        let (args, clock) = (MonitoringArgs::default(), Arc::new(SystemClock));
        let monitor = Monitor::start_with(&args, "-", observe(), finish.clone(), clock, notifier(&path)).await.unwrap();
        let started = messages_until(&systemd, "STATUS=1 delivered, 2 waiting").await;
        assert_eq!(started.first().unwrap(), "READY=1");
        assert!(messages_until(&systemd, "WATCHDOG=1").await.len() <= 1);
        finish.cancel();
        let asked = messages_until(&systemd, "STATUS=2 delivered, 2 waiting; ending").await;
        assert!(asked.contains(&"STOPPING=1".to_owned()), "{asked:?}");
        // While it drains it is alive.
        messages_until(&systemd, "WATCHDOG=1").await;
        monitor.end().await;
        messages_until(&systemd, "STOPPING=1").await;
    }

    #[tokio::test]
    async fn the_figures_are_those_of_the_moment() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let args = MonitoringArgs { metrics_listen: Some(address), ..MonitoringArgs::default() };
        let start = || {
            let clock = Arc::new(SystemClock);
            Monitor::start_with(&args, "-", observe(), CancellationToken::new(), clock, Notifier::default())
        };
        let error = start().await.err().unwrap();
        assert!(error.to_string().contains("--metrics-listen"), "{error}");
        drop(listener);
        let monitor = start().await.unwrap();
        let ask = move || {
            let mut connection = std::net::TcpStream::connect(address).unwrap();
            connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            let mut reply = String::new();
            connection.read_to_string(&mut reply).unwrap();
            reply
        };
        for looks in 1..=2 {
            let reply = tokio::task::spawn_blocking(ask).await.unwrap();
            assert!(reply.contains(&format!("events_delivered_total {looks}\n")), "{reply}");
        }
        monitor.end().await;
        assert!(std::net::TcpStream::connect(address).is_err());
    }
}
