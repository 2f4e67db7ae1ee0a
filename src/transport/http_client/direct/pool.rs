//! Connections that wait for their next request.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use super::super::{CONNECTION_LIFETIME, IDLE_TIMEOUT};
use super::exchange::Connection;
use crate::clock::{Clock, Monotonic, SystemClock};

/// A larger buffer is not kept: most requests have a kilobyte or two.
const KEPT_BUFFER_BYTES: usize = 16 << 10;

/// A connection and when it was opened.
#[derive(Debug)]
pub(super) struct Pooled {
    pub(super) connection: Connection,
    pub(super) opened: Monotonic,
}

impl Pooled {
    fn is_too_old(&self, now: Monotonic) -> bool {
        now.saturating_sub(self.opened) >= CONNECTION_LIFETIME
    }
}

/// Idle connections, the one used last at the end.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: VecDeque<Idle>,
    /// At most one more than there are idle connections.
    pub(super) buffers: Vec<Vec<u8>>,
    /// A task closes those that nobody uses.
    is_watched: bool,
}

#[derive(Debug)]
struct Idle {
    pooled: Pooled,
    since: Monotonic,
}

impl Idle {
    fn may_be_used(&self, now: Monotonic) -> bool {
        now.saturating_sub(self.since) < IDLE_TIMEOUT && !self.pooled.is_too_old(now)
    }
}

impl Pool {
    /// The connection used last: the others get a chance to grow old.
    pub(super) fn take(&mut self, now: Monotonic) -> Option<Pooled> {
        loop {
            let idle = self.idle.pop_back()?;
            if idle.may_be_used(now) {
                return Some(idle.pooled);
            }
        }
    }

    /// Keeps a connection for its next request if it can have one, and the buffer of its last. Whether somebody has to
    /// [watch](close_the_old) the pool from now on.
    pub(super) fn put(&mut self, pooled: Pooled, mut buffer: Vec<u8>, now: Monotonic) -> bool {
        if !pooled.connection.is_reusable() || pooled.is_too_old(now) {
            return false;
        }
        if buffer.capacity() <= KEPT_BUFFER_BYTES && self.buffers.len() <= self.idle.len() {
            buffer.clear();
            self.buffers.push(buffer);
        }
        self.idle.push_back(Idle { pooled, since: now });
        !std::mem::replace(&mut self.is_watched, true)
    }

    /// Closes what may not be used any more; whether anything is left.
    fn close_old(&mut self, now: Monotonic) -> bool {
        self.idle.retain(|idle| idle.may_be_used(now));
        self.buffers.truncate(self.idle.len());
        self.is_watched = !self.idle.is_empty();
        self.is_watched
    }
}

pub(super) fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what has not been used for a while, until nothing is left.
pub(super) async fn close_the_old(pool: Weak<Mutex<Pool>>) {
    loop {
        SystemClock.sleep(IDLE_TIMEOUT).await;
        let Some(pool) = pool.upgrade() else { return };
        if !lock(&pool).close_old(SystemClock.monotonic()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    async fn opened(at: Monotonic) -> Pooled {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        Pooled { connection: Connection::new(stream), opened: at }
    }

    /// A name may lead elsewhere by now, and only a new connection asks for it.
    #[tokio::test]
    async fn a_connection_in_use_all_the_time_ends_at_its_lifetime() {
        let mut pool = Pool::default();
        let mut pooled = opened(Duration::ZERO).await;
        let mut now = Duration::ZERO;
        while now < CONNECTION_LIFETIME {
            pool.put(pooled, Vec::new(), now);
            pooled = pool.take(now).unwrap();
            now += SECOND;
        }
        pool.put(pooled, Vec::new(), now);
        assert!(pool.take(now).is_none());
    }

    #[tokio::test]
    async fn an_idle_connection_ends_at_the_idle_timeout_or_its_lifetime() {
        let mut pool = Pool::default();
        assert!(pool.put(opened(Duration::ZERO).await, Vec::new(), Duration::ZERO), "the first is to be watched");
        assert!(!pool.put(opened(Duration::ZERO).await, Vec::new(), Duration::ZERO));
        assert!(pool.take(IDLE_TIMEOUT - SECOND).is_some());
        assert!(pool.take(IDLE_TIMEOUT).is_none());
        let late = CONNECTION_LIFETIME - SECOND;
        pool.put(opened(Duration::ZERO).await, Vec::new(), late);
        assert!(pool.take(late + SECOND).is_none());
        pool.put(opened(late).await, Vec::new(), late);
        assert!(pool.close_old(late + SECOND) && !pool.close_old(late + IDLE_TIMEOUT));
    }
}
