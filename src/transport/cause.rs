//! Errors inside errors.

use std::error::Error;
use std::io;

/// The innermost cause of an error, which says what happened; the outer ones say only that something did.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        last = cause.to_string();
        source = cause.source();
    }
    last
}

/// An error and its causes, the outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |current| {
        let current: &'a (dyn Error + 'static) = *current;
        // An I/O error that wraps another names that one's source as its own, which would skip the one looked for.
        match current.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        }
    })
}

/// The outermost `T` among an error and its causes.
pub(crate) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref::<T>())
}

/// Whether the operating system gave the error: a connection failed, and nobody refused to make one.
pub(super) fn is_of_the_system(error: &(dyn Error + 'static)) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| error.raw_os_error().is_some())
}

/// What to do where an error says that this machine lacks what a connection takes; `None` for all other errors, which are
/// the other side's or the network's.
pub(crate) fn shortage(error: &(dyn Error + 'static)) -> Option<&'static str> {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).find_map(shortage_of_io)
}

/// Whether no more files can be opened, by this process or on this machine.
pub(super) fn is_shortage_of_files(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

fn shortage_of_io(error: &io::Error) -> Option<&'static str> {
    const DESCRIPTORS: &str = "this process may open no more files: raise the limit (ulimit -n, LimitNOFILE= of a systemd unit), or lower --concurrency";
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => Some(
            "this machine has no free port or no address to connect from: see ss -s and sysctl net.ipv4.ip_local_port_range",
        ),
        io::ErrorKind::OutOfMemory => Some("this machine is out of memory"),
        // Elsewhere these numbers mean other things.
        _ if cfg!(not(unix)) => None,
        _ => match error.raw_os_error()? {
            EMFILE => Some(DESCRIPTORS),
            ENFILE => Some("this machine may open no more files: raise sysctl fs.file-max, or end what holds them"),
            ENOBUFS => Some("this machine has no memory left for sockets"),
            _ => None,
        },
    }
}

/// Numbers that `io::ErrorKind` has no names for; the first two are the same on every Unix.
const EMFILE: i32 = 24;
const ENFILE: i32 = 23;
#[cfg(target_os = "linux")]
const ENOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();
#[cfg(not(target_os = "linux"))]
const ENOBUFS: i32 = 55;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_machine_lacks_is_a_shortage() {
        use rustix::io::Errno;
        let is_local = |errno: Errno| {
            let error = io::Error::from(errno);
            shortage(&io::Error::other(error)).is_some()
        };
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL] {
            assert!(is_local(errno), "{errno}");
        }
        for errno in [
            Errno::PIPE,
            Errno::CONNRESET,
            Errno::CONNABORTED,
            Errno::CONNREFUSED,
            Errno::NETDOWN,
            Errno::NETUNREACH,
            Errno::NETRESET,
            Errno::HOSTUNREACH,
            Errno::HOSTDOWN,
            Errno::TIMEDOUT,
            Errno::ACCESS,
        ] {
            assert!(!is_local(errno), "{errno}");
        }
    }
}
