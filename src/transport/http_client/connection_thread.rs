//! A thread of its own for the connections of an HTTP client.
//!
//! The client's library reads interim replies (1xx) as fast as they come, a hundred megabytes of them before it lets another
//! task of its thread have a turn. On the runtime of the caller, a server that sends them without end would leave no time
//! for time limits and signals; here it holds up requests to itself alone, and a request that is given up closes its
//! connection.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The runtime checks its timers after this many polls of tasks.
const EVENT_INTERVAL: u32 = 8;

/// Starts with the first request, and ends with the last clone. Where no thread can be had, requests run on the caller's.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionThread(Arc<OnceLock<Option<Running>>>);

#[derive(Debug)]
struct Running {
    runtime: Handle,
    _end: DropGuard,
}

impl ConnectionThread {
    /// Runs `request` there; it is given up when this future is.
    pub(super) async fn run<F>(&self, request: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let Some(running) = self.0.get_or_init(Running::start) else { return request.await };
        let mut task = AbortedWhenDropped(running.runtime.spawn(request));
        match (&mut task.0).await {
            Ok(output) => output,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The thread ends with the last clone, and this is one.
                Err(_) => std::future::pending().await,
            },
        }
    }
}

impl Running {
    fn start() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL).build();
        let runtime = runtime.inspect_err(|error| tracing::warn!("no runtime for HTTP connections: {error}")).ok()?;
        let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
        let ended = end.clone();
        let run = move || {
            runtime.block_on(ended.cancelled());
            // A name server may hold up a thread for longer than anybody would wait.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(run);
        thread.inspect_err(|error| tracing::warn!("no thread for HTTP connections: {error}")).ok()?;
        Some(Self { runtime: handle, _end: end.drop_guard() })
    }
}

struct AbortedWhenDropped<T>(JoinHandle<T>);

impl<T> Drop for AbortedWhenDropped<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::time::Duration;

    /// Sends interim replies until the client leaves, and tells of that.
    fn flood() -> (String, std::sync::mpsc::Receiver<()>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (sender, left) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            let _ = client.read(&mut [0; 4096]);
            let replies = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(4_096);
            while client.write_all(&replies).is_ok() {}
            let _ = sender.send(());
        });
        (url, left)
    }

    #[tokio::test]
    async fn flood_of_interim_replies_holds_up_no_time_limit_of_the_caller() {
        let (url, left) = flood();
        let builder = reqwest::Client::builder().no_proxy();
        #[cfg(feature = "tls")]
        let builder = {
            use crate::transport::tls::{Roots, client_config};
            builder.tls_backend_preconfigured(client_config(Roots::None, None).unwrap())
        };
        let client = builder.build().unwrap();
        let thread = ConnectionThread::default();
        let (ticks, limit) = (Duration::from_millis(5), Duration::from_millis(500));
        let mut count = 0;
        let request = thread.run(client.get(&url).send());
        let counting = async {
            let mut interval = tokio::time::interval(ticks);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                count += 1;
            }
        };
        let ended = tokio::time::timeout(limit, async {
            tokio::select! {
                sent = request => panic!("there is a reply: {sent:?}"),
                () = counting => {}
            }
        });
        assert!(ended.await.is_err());
        assert!(count > 5, "this thread had {count} turns");
        left.recv_timeout(Duration::from_secs(60)).expect("the connection is closed");
    }
}
