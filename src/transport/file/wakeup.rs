//! Hears when something is written or renamed in the folder of a log: inotify(7). A log that is copied and truncated is then
//! read before that mostly, whatever the time between two polls. Polls tell the rest: nothing depends on what is heard.

use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::{Clock as _, SystemClock};

/// The pause between two times that something is heard: who writes without end is read two hundred times a second.
const REST: Duration = Duration::from_millis(5);

/// Listens for what happens to a log and to what is rotated beside it.
#[derive(Debug)]
pub(super) struct FolderWatch {
    /// `None` where nothing can be heard.
    inotify: Option<OwnedFd>,
    /// The log's name, with which those of its rotated files begin.
    name: OsString,
}

impl FolderWatch {
    /// Hears nothing, ever.
    pub(super) const fn deaf() -> Self {
        Self { inotify: None, name: OsString::new() }
    }

    /// Listens in the folder of the log at `path`, where that can be had.
    pub(super) fn of(path: &Path) -> Self {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let listen = || {
            let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            inotify::add_watch(&inotify, folder, WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO)?;
            Ok::<_, Errno>(inotify)
        };
        let inotify = listen().inspect_err(|error| tracing::debug!(%error, "the folder of a log can't be watched"));
        Self { inotify: inotify.ok(), name: real.file_name().unwrap_or_default().to_owned() }
    }

    /// Completes when something has happened to the log or beside it.
    pub(super) async fn changed(&self) {
        SystemClock.sleep(REST).await;
        let Some(inotify) = &self.inotify else { return std::future::pending().await };
        // What takes its place is unsafe, for types whose descriptor may be closed behind their back. A borrowed one's is not.
        #[allow(deprecated)]
        let Ok(events) = AsyncFd::with_interest(inotify.as_fd(), Interest::READABLE) else {
            return std::future::pending().await;
        };
        loop {
            let Ok(mut ready) = events.readable().await else { return std::future::pending().await };
            if self.is_concerned(inotify) {
                return;
            }
            ready.clear_ready();
        }
    }

    /// Takes all that was heard; whether any of it is about the log.
    fn is_concerned(&self, inotify: &OwnedFd) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(inotify, &mut buffer);
        let mut is_concerned = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    // An event without a name says that some were lost.
                    let about = |name: &std::ffi::CStr| name.to_bytes().starts_with(self.name.as_bytes());
                    is_concerned |= event.file_name().is_none_or(about);
                }
                Err(Errno::INTR) => {}
                Err(_) => return is_concerned,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn what_happens_to_a_log_is_heard_and_to_other_files_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("u.log");
        let watch = FolderWatch::of(&path);
        let inotify = watch.inotify.as_ref().unwrap();
        assert!(!watch.is_concerned(inotify));
        fs::write(folder.path().join("other.log"), "x").unwrap();
        assert!(!watch.is_concerned(inotify));
        fs::write(&path, "x").unwrap();
        watch.changed().await;
        fs::rename(&path, folder.path().join("u.log.1")).unwrap();
        watch.changed().await;
        assert!(!watch.is_concerned(inotify), "all that was heard is taken");
    }
}
