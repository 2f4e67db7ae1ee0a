//! From a name to a connection.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::step::{Problem, Step, Stopped, Trail};
use super::trust::Trust;
use crate::transport::cause::shortage;
use crate::transport::name::{self, NameErrorReason};

/// Whether an error says that the other side ended the connection.
pub(super) fn is_end(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The way to one address.
#[derive(Debug, Clone)]
pub(super) struct Route {
    /// As the URL names it.
    pub(super) host: String,
    pub(super) address: SocketAddr,
    /// Set where TLS is spoken.
    pub(super) trust: Option<Arc<Trust>>,
}

impl Route {
    /// The host without the brackets of an IPv6 address.
    pub(super) fn bare_host(&self) -> &str {
        bare(&self.host)
    }

    /// A further connection, beside the steps.
    pub(super) async fn open(&self) -> io::Result<Box<dyn Stream>> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        match &self.trust {
            Some(trust) => Ok(Box::new(trust.connect(self.bare_host(), tcp).await?)),
            None => Ok(Box::new(tcp)),
        }
    }
}

fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

/// The addresses of `host`, each once.
pub(super) async fn resolve(trail: &mut Trail<'_>, host: &str, port: u16) -> Result<Vec<SocketAddr>, Stopped> {
    const EXPECTED: &str = "an address for this name";
    let bare = bare(host);
    let measured = trail.measure(name::resolve(bare, port)).await;
    let check = format!("check the host in the destination URL, and the name server: getent hosts {bare}");
    match measured.result {
        None => {
            let found = format!("the name server did not answer for {bare:?} within {}", trail.limit());
            Err(trail.fail(Step::Name, measured.elapsed, Problem::new(found, EXPECTED, check)))
        }
        Some(Err(error)) => {
            let (found, fix) = match error.reason {
                NameErrorReason::Absent => (format!("{bare:?} does not resolve ({error})"), check),
                NameErrorReason::Temporary => (
                    format!("{bare:?} can't be resolved at the moment ({error})"),
                    format!(
                        "the name server does not answer: check the network and /etc/resolv.conf, and getent hosts {bare}"
                    ),
                ),
                NameErrorReason::Local(advice) => (format!("{bare:?} can't be resolved ({error})"), advice.to_owned()),
            };
            Err(trail.fail(Step::Name, measured.elapsed, Problem::new(found, EXPECTED, fix)))
        }
        Some(Ok(found)) => {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in found {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() {
                let found = format!("{bare:?} has no address");
                return Err(trail.fail(Step::Name, measured.elapsed, Problem::new(found, EXPECTED, check)));
            }
            let detail = match (bare.parse::<IpAddr>(), addresses.len()) {
                (Ok(_), _) => "an address, which needs no name server".to_owned(),
                (_, 1) => "1 address".to_owned(),
                (_, many) => format!("{many} addresses"),
            };
            trail.ok(Step::Name, measured.elapsed, detail);
            Ok(addresses)
        }
    }
}

/// The TCP step.
pub(super) async fn tcp(trail: &mut Trail<'_>, address: SocketAddr) -> Result<TcpStream, Stopped> {
    let expected = format!("a connection to {address}");
    let measured = trail.measure(TcpStream::connect(address)).await;
    let problem = match measured.result {
        Some(Ok(stream)) => {
            // Where it can't be set, small requests take longer and nothing is wrong.
            let _ = stream.set_nodelay(true);
            trail.ok(Step::Tcp, measured.elapsed, format!("connected to {address}"));
            return Ok(stream);
        }
        None => Problem::new(
            format!("no answer within {}", trail.limit()),
            expected,
            "a firewall drops the packets, or the machine is down: check both, and the address",
        ),
        Some(Err(error)) => {
            let fix = match error.kind() {
                _ if shortage(&error).is_some() => shortage(&error).unwrap_or_default().to_owned(),
                ErrorKind::ConnectionRefused => format!(
                    "nothing listens on port {port} there: start the service, or correct the port (there: ss -ltn 'sport = :{port}')",
                    port = address.port()
                ),
                ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
                    format!("no route leads there: ip route get {}", address.ip())
                }
                ErrorKind::TimedOut => "a firewall drops the packets, or the machine is down: check both".to_owned(),
                _ => "check the address, and the firewalls on the way".to_owned(),
            };
            Problem::new(error.to_string(), expected, fix)
        }
    };
    Err(trail.fail(Step::Tcp, measured.elapsed, problem))
}

/// Whether plain HTTP is spoken at `address`. Sends nothing secret.
pub(super) async fn speaks_plain_http(trail: &Trail<'_>, address: SocketAddr) -> bool {
    let asked = trail.glance(async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut start = [0; 5];
        stream.read_exact(&mut start).await?;
        io::Result::Ok(&start == b"HTTP/")
    });
    asked.await.is_some_and(|result| result.unwrap_or(false))
}

/// Whether TLS is spoken at `address`: whether a greeting of TLS is answered with a TLS record.
pub(super) async fn speaks_tls(trail: &Trail<'_>, address: SocketAddr) -> bool {
    let asked = trail.glance(async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&client_hello()).await?;
        let mut start = [0; 2];
        stream.read_exact(&mut start).await?;
        io::Result::Ok(is_tls(&start))
    });
    asked.await.is_some_and(|result| result.unwrap_or(false))
}

/// Whether `bytes` begin a TLS record: a handshake or an alert, of TLS 1.0 to 1.3.
pub(super) fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 3, ..])
}

/// The shortest greeting that a server of TLS answers, with its own greeting or with an alert.
fn client_hello() -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend_from_slice(&[0; 32]);
    // No session; two cipher suites of TLS 1.2; no compression; no extensions.
    hello.extend_from_slice(&[0, 0, 4, 0xc0, 0x2f, 0xc0, 0x2b, 1, 0, 0, 0]);
    let length = |bytes: usize| u16::try_from(bytes).unwrap_or_default().to_be_bytes();
    let [high, low] = length(hello.len());
    let mut record = vec![0x16, 3, 1];
    record.extend_from_slice(&length(hello.len() + 4));
    record.extend_from_slice(&[1, 0, high, low]);
    record.extend_from_slice(&hello);
    record
}
