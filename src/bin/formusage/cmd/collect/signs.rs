//! What wakes the collector beside time: scopes that ask for a look, and SIGHUP.

use form_usage_events::collect::{Agent, ScopeId};

#[cfg(unix)]
pub(super) use unix::{Hangup, Urgencies};

#[cfg(unix)]
mod unix {
    use std::future::poll_fn;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::task::Poll;

    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Agent, ScopeId};

    /// The descriptors of the scopes that have one.
    #[derive(Debug)]
    pub(in super::super) struct Urgencies {
        descriptors: Vec<(ScopeId, AsyncFd<OwnedFd>)>,
    }

    impl Urgencies {
        pub(in super::super) fn of(agent: &Agent) -> io::Result<Self> {
            let mut descriptors = Vec::new();
            for (id, scope, _) in agent.scopes() {
                if let Some(descriptor) = scope.urgency() {
                    let own = descriptor.try_clone_to_owned()?;
                    // What takes its place is unsafe, for types whose descriptor may be closed behind their back. An
                    // OwnedFd's is not.
                    #[allow(deprecated)]
                    let watched = AsyncFd::with_interest(own, Interest::READABLE)?;
                    descriptors.push((id, watched));
                }
            }
            Ok(Self { descriptors })
        }

        /// A scope that asks for a look.
        pub(in super::super) async fn next(&mut self) -> ScopeId {
            poll_fn(|context| {
                let asks = |(_, descriptor): &(ScopeId, AsyncFd<OwnedFd>)| match descriptor.poll_read_ready(context) {
                    Poll::Ready(Ok(mut ready)) => {
                        let is_over = ready.ready().is_read_closed();
                        // Before the look, so that what happens during it is told again.
                        ready.clear_ready();
                        Some(is_over)
                    }
                    _ => None,
                };
                let Some((at, is_over)) =
                    self.descriptors.iter().map(asks).enumerate().find_map(|(at, asks)| Some((at, asks?)))
                else {
                    return Poll::Pending;
                };
                // A process that was waited for hangs up, and would ask for ever.
                let id = self.descriptors[at].0;
                if is_over {
                    self.descriptors.remove(at);
                }
                Poll::Ready(id)
            })
            .await
        }
    }

    /// SIGHUP, where it is `wanted`: there is a file to read again, or a terminal to give back. Else it ends the process,
    /// as it does by default.
    #[derive(Debug)]
    pub(in super::super) struct Hangup(Option<Signal>);

    impl Hangup {
        pub(in super::super) fn listen(wanted: bool) -> io::Result<Self> {
            wanted.then(|| signal(SignalKind::hangup())).transpose().map(Self)
        }

        pub(in super::super) async fn next(&mut self) {
            let Some(signal) = &mut self.0 else { return std::future::pending().await };
            if signal.recv().await.is_none() {
                std::future::pending().await
            }
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Urgencies;

#[cfg(not(unix))]
impl Urgencies {
    pub(super) fn of(_: &Agent) -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) -> ScopeId {
        std::future::pending().await
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Hangup;

#[cfg(not(unix))]
impl Hangup {
    pub(super) fn listen(_: bool) -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) {
        std::future::pending().await
    }
}
