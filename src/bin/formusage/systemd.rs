//! What systemd wants to know (sd_notify(3)): that the service is ready, alive, ending, and how it stands.
//!
//! Nothing happens where `NOTIFY_SOCKET` is not set. The variable is neither removed nor shown: children of a service
//! have a use for it too.

use std::ffi::OsString;
use std::time::Duration;

/// Tells systemd, if it wants to be told.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    #[cfg(target_os = "linux")]
    socket: Option<linux::Socket>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment says.
    pub(crate) fn from_env() -> Self {
        Self::new(|name| std::env::var_os(name), std::process::id())
    }

    /// As these variables say, for the process `pid`.
    pub(crate) fn new(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> Self {
        Self {
            #[cfg(target_os = "linux")]
            socket: variable("NOTIFY_SOCKET").and_then(|address| linux::Socket::open(&address)),
            watchdog: watchdog(variable, pid),
        }
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        #[cfg(target_os = "linux")]
        return self.socket.is_some();
        #[cfg(not(target_os = "linux"))]
        false
    }

    /// How often to call [`Notifier::alive`]: twice as often as systemd insists on.
    pub(crate) fn alive_every(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.is_heard()).map(|longest| longest / 2)
    }

    /// The service has started: whoever waits for it may go on.
    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    /// The service is alive.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// The service is ending.
    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// How it stands, in a line for people.
    pub(crate) fn status(&self, text: &str) {
        self.send(&format!("STATUS={}", text.replace(['\n', '\r'], " ")));
    }

    fn send(&self, message: &str) {
        #[cfg(target_os = "linux")]
        if let Some(socket) = &self.socket {
            socket.send(message);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = message;
    }
}

/// How long systemd waits for a sign of life of this process; `None` where it does not, or waits for another's.
fn watchdog(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> Option<Duration> {
    let number = |name| variable(name).map(|text| text.to_str().and_then(|text| text.parse::<u64>().ok()));
    let ours = number("WATCHDOG_PID").is_none_or(|wanted| wanted == Some(u64::from(pid)));
    let micros = number("WATCHDOG_USEC")??;
    (ours && micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    /// Where messages go.
    #[derive(Debug)]
    pub(super) struct Socket {
        socket: UnixDatagram,
        address: SocketAddr,
    }

    impl Socket {
        /// `address` is a path, or a name behind `@`; other kinds have nobody behind them that we could reach.
        pub(super) fn open(address: &OsStr) -> Option<Self> {
            let address = match address.as_bytes() {
                [b'/', ..] => SocketAddr::from_pathname(address).ok()?,
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok()?,
                _ => return None,
            };
            let socket = UnixDatagram::unbound().ok()?;
            // A busy systemd must not hold up the runtime.
            socket.set_nonblocking(true).ok()?;
            Some(Self { socket, address })
        }

        pub(super) fn send(&self, message: &str) {
            if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
                tracing::debug!(%error, message, "systemd was not told");
            }
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn notifier(variables: &[(&str, &str)]) -> Notifier {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Notifier::new(|wanted| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.into()), 4711)
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn messages_arrive_by_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let notifier = notifier(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
        notifier.ready();
        notifier.status("3 waiting,\nbreaker open");
        notifier.alive();
        notifier.stopping();
        let messages: Vec<_> = (0..4).map(|_| received(&systemd)).collect();
        assert_eq!(messages, ["READY=1", "STATUS=3 waiting, breaker open", "WATCHDOG=1", "STOPPING=1"]);
    }

    #[test]
    fn messages_arrive_by_abstract_name() {
        let name = format!("formusage-test-{}", std::process::id());
        let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        notifier(&[("NOTIFY_SOCKET", &format!("@{name}"))]).ready();
        assert_eq!(received(&systemd), "READY=1");
    }

    #[test]
    fn without_a_listener_nothing_happens() {
        for variables in [&[][..], &[("NOTIFY_SOCKET", "/nowhere/notify")], &[("NOTIFY_SOCKET", "vsock:2:1")]] {
            let notifier = notifier(variables);
            notifier.ready();
            notifier.status("fine");
        }
        assert!(!notifier(&[("NOTIFY_SOCKET", "")]).is_heard());
    }

    #[test]
    fn the_watchdog_is_fed_twice_as_often_and_only_by_whom_it_watches() {
        let every =
            |variables: &[(&str, &str)]| notifier(&[variables, &[("NOTIFY_SOCKET", "@nobody")]].concat()).alive_every();
        let half = Some(Duration::from_secs(10));
        assert_eq!(every(&[("WATCHDOG_USEC", "20000000")]), half);
        assert_eq!(every(&[("WATCHDOG_USEC", "20000000"), ("WATCHDOG_PID", "4711")]), half);
        assert_eq!(every(&[("WATCHDOG_USEC", "20000000"), ("WATCHDOG_PID", "1")]), None);
        assert_eq!(every(&[("WATCHDOG_USEC", "20000000"), ("WATCHDOG_PID", "?")]), None);
        assert_eq!(every(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(every(&[("WATCHDOG_USEC", "soon")]), None);
        assert_eq!(every(&[]), None);
        assert_eq!(notifier(&[("WATCHDOG_USEC", "20000000")]).alive_every(), None);
    }
}
