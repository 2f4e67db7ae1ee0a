//! How many files the meter keeps open: the limit is one of the process, however many scopes there are.

use std::sync::atomic::{AtomicU64, Ordering};

/// Files that a process may have open beside those that are kept: sockets, the spool, what is open for a moment.
const OTHER_FILES: u64 = 512;
static KEPT: AtomicU64 = AtomicU64::new(0);

/// Files that may be kept open, until it is dropped.
#[derive(Debug)]
pub(super) struct KeptFiles(u64);

impl KeptFiles {
    /// Leave to keep `count` files open; `None` where enough are open. Whoever has none opens files for each reading.
    pub(super) fn reserve(count: u64) -> Option<Self> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::reserve_of(&KEPT, limit.saturating_sub(OTHER_FILES), count)
    }

    fn reserve_of(kept: &AtomicU64, most: u64, count: u64) -> Option<Self> {
        let add = |kept: u64| kept.checked_add(count).filter(|sum| *sum <= most);
        kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok().then_some(Self(count))
    }
}

impl Drop for KeptFiles {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_files_are_kept_than_the_process_may_have_open() {
        let kept = AtomicU64::new(0);
        let reserve = |count| KeptFiles::reserve_of(&kept, 10, count).map(std::mem::forget).is_some();
        assert_eq!([reserve(4), reserve(4), reserve(4), reserve(2), reserve(1)], [true, true, false, true, false]);
    }
}
