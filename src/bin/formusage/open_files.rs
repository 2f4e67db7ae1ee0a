//! How many files and connections this process may have open.
//!
//! Where descriptors run out, an attempt fails for want of one and is made again later; what follows keeps that rare.

/// What a command needs at the very least: for its runtime and signals (which panic without), the spool's files, name
/// resolution and one connection.
#[cfg(unix)]
const LEAST_FREE: usize = 16;

/// Descriptors that are not for connections to the destination: files of the spool, thresholds, channels, a metrics port.
#[cfg(target_os = "linux")]
const RESERVED: usize = 24;

/// Raises the soft limit to the hard one. The soft one is 1024 on most systems for the sake of `select`, which is not used
/// here.
pub(crate) fn raise_limit() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            // Where it can't be raised, what is there has to do.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        }
    }
}

/// Makes sure that a command can begin.
pub(crate) fn check() -> anyhow::Result<()> {
    #[cfg(unix)]
    {
        let mut opened = Vec::with_capacity(LEAST_FREE);
        while opened.len() < LEAST_FREE {
            match std::fs::File::open("/dev/null") {
                Ok(file) => opened.push(file),
                Err(error) if form_usage_events::transport::is_shortage_of_files(&error) => anyhow::bail!(
                    "only {} more files can be opened and at least {LEAST_FREE} are needed ({error}); nothing was done: raise the limit (ulimit -n 1024, or LimitNOFILE=1024 of a systemd unit)",
                    opened.len()
                ),
                // Something else is wrong with it, which need not matter.
                Err(_) => break,
            }
        }
    }
    Ok(())
}

/// How many connections to a destination may be open at a time beside what is open now; at least 1.
pub(crate) fn spare_connections() -> usize {
    #[cfg(target_os = "linux")]
    {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let open = std::fs::read_dir("/proc/self/fd").map_or(RESERVED, Iterator::count);
        limit.saturating_sub(open.saturating_add(RESERVED)).max(1)
    }
    #[cfg(not(target_os = "linux"))]
    usize::MAX
}
