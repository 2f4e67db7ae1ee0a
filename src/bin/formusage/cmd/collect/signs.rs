//! What wakes the collector beside time: scopes that ask for a look, and SIGHUP.

use form_usage_events::collect::{Agent, ScopeId};

#[cfg(unix)]
pub(super) use unix::{Hangup, Urgencies};

#[cfg(unix)]
mod unix {
    use std::collections::BTreeMap;
    use std::collections::btree_map::Entry;
    use std::future::poll_fn;
    use std::io;
    use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
    use std::rc::Rc;
    use std::task::Poll;

    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Agent, ScopeId};

    /// The descriptors of the scopes that have one, each with its scopes in rising order.
    #[derive(Debug)]
    pub(in super::super) struct Urgencies {
        descriptors: Vec<(Rc<[ScopeId]>, AsyncFd<OwnedFd>)>,
    }

    impl Urgencies {
        pub(in super::super) fn of(agent: &Agent) -> io::Result<Self> {
            let mut found: BTreeMap<RawFd, (Vec<ScopeId>, OwnedFd)> = BTreeMap::new();
            for (id, scope, _) in agent.scopes() {
                let Some(descriptor) = scope.urgency() else { continue };
                match found.entry(descriptor.as_raw_fd()) {
                    Entry::Occupied(mut known) => known.get_mut().0.push(id),
                    Entry::Vacant(new) => {
                        new.insert((vec![id], descriptor.try_clone_to_owned()?));
                    }
                }
            }
            let watched = |(mut scopes, own): (Vec<ScopeId>, OwnedFd)| {
                scopes.sort_unstable();
                // What takes its place is unsafe, for types whose descriptor may be closed behind their back. An
                // OwnedFd's is not.
                #[allow(deprecated)]
                let watched = AsyncFd::with_interest(own, Interest::READABLE)?;
                Ok((scopes.into(), watched))
            };
            Ok(Self { descriptors: found.into_values().map(watched).collect::<io::Result<_>>()? })
        }

        /// Scopes one of which asks for a look at least.
        pub(in super::super) async fn next(&mut self) -> Rc<[ScopeId]> {
            poll_fn(|context| {
                let asks =
                    |(_, descriptor): &(Rc<[ScopeId]>, AsyncFd<OwnedFd>)| match descriptor.poll_read_ready(context) {
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
                let scopes = Rc::clone(&self.descriptors[at].0);
                if is_over {
                    self.descriptors.remove(at);
                }
                Poll::Ready(scopes)
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

    pub(super) async fn next(&mut self) -> std::rc::Rc<[ScopeId]> {
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
