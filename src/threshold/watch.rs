//! Thresholds that change while they are in force.
//!
//! A [`Changes`] says when the source has another version; [`watch`] then loads it. A version that can't be used leaves
//! the old one in force and is reported once. [`PathChanges`] looks at files and folders about twice a second by
//! what the file system says of them: no watch of the kernel's, so that network file systems, renamed files and the
//! links that a Kubernetes volume swaps are all the same to it.

use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::manager::ThresholdManager;
use super::source::ThresholdSource;
use crate::clock::{Clock, Monotonic};

/// How often a path is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// A look that took a second is followed by none for so many, so that a huge or a slow folder costs little.
const LOOK_REST: u32 = 20;
/// What has changed is loaded when it has stood still for so long: it may be in the middle of being written.
const SETTLE: Duration = Duration::from_millis(100);
/// How often the states of thresholds look at the clock.
const TICK_EVERY: Duration = Duration::from_secs(1);

/// What [`Changes::changed`] returns.
pub type Changed<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Says when a source of thresholds has another version than the one that was seen before.
pub trait Changes: Send + fmt::Debug {
    /// Resolves when the source has changed since this was last asked, or since this was made. May be dropped and
    /// asked again at any time without a change being lost.
    fn changed(&mut self) -> Changed<'_>;
}

/// What a file or a folder looks like from outside: a hash of names, sizes, times and identities.
///
/// `None` where there is nothing.
fn stamp(path: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    if path.is_dir() {
        let mut names: Vec<PathBuf> = path.read_dir().ok()?.flatten().map(|entry| entry.path()).collect();
        names.retain(|name| name.extension().is_some_and(|extension| extension == "json"));
        names.sort();
        for name in names {
            name.hash(&mut hasher);
            one(&name, &mut hasher);
        }
        return Some(hasher.finish());
    }
    one(path, &mut hasher).then(|| hasher.finish())
}

/// Hashes what the file system says of one file, behind links. Whether there is one.
fn one(path: &Path, hasher: &mut DefaultHasher) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    metadata.len().hash(hasher);
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    modified.hash(hasher);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        // The time of the last change knows a write that set the modification time back.
        (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec()).hash(hasher);
    }
    true
}

/// A file or a folder of files, looked at without reading them. Blocking; for those who have no runtime.
#[derive(Debug)]
pub struct PathStamp {
    path: PathBuf,
    seen: Option<u64>,
    next_look: Monotonic,
}

impl PathStamp {
    /// `path` as it is now.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { seen: stamp(&path), path, next_look: Monotonic::ZERO }
    }

    /// Whether it has changed since the last look that said so. Looks no more than about twice a second by `clock`, and
    /// says no in between. A path that is gone is no change: somebody is about to put it back.
    pub fn has_changed(&mut self, clock: &dyn Clock) -> bool {
        let began = clock.monotonic();
        if began < self.next_look {
            return false;
        }
        let now = stamp(&self.path);
        let ended = clock.monotonic();
        self.next_look = ended + LOOK_EVERY.max(ended.saturating_sub(began) * LOOK_REST);
        if now.is_none() || now == self.seen {
            return false;
        }
        self.seen = now;
        true
    }
}

/// The changes of a file or a folder.
#[derive(Debug)]
pub struct PathChanges {
    path: PathBuf,
    seen: Option<u64>,
    clock: Arc<dyn Clock>,
}

impl PathChanges {
    /// Those from now on.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        let path = path.into();
        Self { seen: stamp(&path), path, clock }
    }

    /// A look on a thread that may block.
    async fn look(&self) -> Option<u64> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || stamp(&path)).await.ok().flatten()
    }
}

impl Changes for PathChanges {
    fn changed(&mut self) -> Changed<'_> {
        Box::pin(async move {
            let mut pause = LOOK_EVERY;
            loop {
                self.clock.sleep(pause).await;
                let began = self.clock.monotonic();
                let mut now = self.look().await;
                pause = LOOK_EVERY.max(self.clock.monotonic().saturating_sub(began) * LOOK_REST);
                if now == self.seen {
                    continue;
                }
                // It may be in the middle of being written, or between a removal and a new beginning. Somebody who
                // never stops writing is not waited for.
                for _ in 0..3 {
                    self.clock.sleep(SETTLE).await;
                    let then = self.look().await;
                    if then == now && now.is_some() {
                        break;
                    }
                    now = then;
                }
                if now != self.seen {
                    self.seen = now;
                    return;
                }
            }
        })
    }
}

/// The changes of `source`, where it is of a kind that has any.
///
/// # Errors
/// When `source` is no source; the message says what is expected.
pub fn changes_of(source: &str, clock: Arc<dyn Clock>) -> Result<Box<dyn Changes>, super::SourceError> {
    match ThresholdSource::parse(source)? {
        ThresholdSource::Path(path) => Ok(Box::new(PathChanges::new(path, clock))),
    }
}

/// Keeps `manager` up to date until `stop`: loads what has changed, loads at once when `reload` says so (a SIGHUP), and
/// lets it look at the clock every second.
///
/// A version that can't be used is reported as an error, once, and the one before stays in force.
pub async fn watch(
    manager: &ThresholdManager,
    mut changes: Box<dyn Changes>,
    reload: &Notify,
    clock: &dyn Clock,
    stop: &CancellationToken,
) {
    let mut tick_at = clock.monotonic() + TICK_EVERY;
    loop {
        // Asked once for each change, however often the clock is looked at meanwhile.
        let mut changed = changes.changed();
        loop {
            let left = tick_at.saturating_sub(clock.monotonic());
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = reload.notified() => load(manager, "asked to").await,
                () = &mut changed => break,
                () = clock.sleep(left) => {
                    tick_at = clock.monotonic() + TICK_EVERY;
                    if let Err(error) = manager.tick().await {
                        tracing::error!(%error, "a threshold's notification failed");
                    }
                }
            }
        }
        drop(changed);
        load(manager, "they have changed").await;
    }
}

async fn load(manager: &ThresholdManager, why: &str) {
    tracing::debug!(why, "loading the thresholds again");
    match manager.load_configs().await {
        Ok(()) => {
            if let Err(error) = manager.hand_over_news().await {
                tracing::error!(%error, "a threshold's notification failed");
            }
        }
        Err(error) => tracing::error!("{error}\nthe thresholds from before stay in force"),
    }
}
