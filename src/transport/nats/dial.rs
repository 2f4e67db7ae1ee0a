//! From a server's address to a connection on which its greeting was read, with TLS where it is asked for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use async_nats::{ConnectError, ConnectErrorKind};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;

use super::operations::MAX_LINE_BYTES;
use crate::transport::http_client::excerpt;

/// The largest message that a server may be set up to take, in bytes; servers refuse a higher setting.
const MAX_PAYLOAD: u64 = 64 << 20;

/// A connection, with TLS or without.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A server that was reached and has introduced itself.
pub(super) struct DialedServer {
    pub(super) stream: Box<dyn Stream>,
    /// Its `INFO`, without the wish for TLS, which is spoken by now.
    pub(super) greeting: Vec<u8>,
    /// What it sent behind its `INFO`.
    pub(super) rest: Vec<u8>,
}

/// How TLS is spoken.
pub(super) struct TlsSettings<'a> {
    pub(super) is_required: bool,
    /// The host that the certificate must be for.
    pub(super) host: &'a str,
    /// Makes the settings, which takes milliseconds, where TLS is spoken.
    pub(super) config: &'a (dyn Fn() -> Result<ClientConfig, crate::transport::Failure> + Sync),
}

/// Why there is no connection.
pub(super) enum DialError {
    /// Ours to judge as the client's own errors are.
    Connect(ConnectError),
    /// Settings of ours that can't be used.
    Settings(crate::transport::Failure),
}

impl From<io::Error> for DialError {
    fn from(error: io::Error) -> Self {
        Self::Connect(ConnectError::with_source(ConnectErrorKind::Io, error))
    }
}

/// Connects to `address`, reads the greeting and begins TLS.
pub(super) async fn dial(address: SocketAddr, tls: &TlsSettings<'_>) -> Result<DialedServer, DialError> {
    let mut tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    let (line, rest) = read_greeting(&mut tcp).await?;
    let mut info = parse_greeting(&line)?;
    let asks_for_tls = info.get("tls_required").and_then(Value::as_bool).unwrap_or(false);
    info.insert("tls_required".to_owned(), false.into());
    // A claim beyond what servers can be set to would make limits of ours overflow.
    if let Some(claim) = info.get("max_payload").and_then(Value::as_u64) {
        info.insert("max_payload".to_owned(), claim.min(MAX_PAYLOAD).into());
    }
    let greeting = format!("INFO {}\r\n", Value::Object(info)).into_bytes();
    if !asks_for_tls && !tls.is_required {
        return Ok(DialedServer { stream: Box::new(tcp), greeting, rest });
    }
    if !rest.is_empty() {
        return Err(foreign("it goes on in clear text where TLS begins".to_owned()).into());
    }
    let config = (tls.config)().map_err(DialError::Settings)?;
    let name = ServerName::try_from(tls.host.to_owned())
        .map_err(|error| DialError::Connect(ConnectError::with_source(ConnectErrorKind::Tls, error)))?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    Ok(DialedServer { stream: Box::new(stream), greeting, rest })
}

/// The first line, and what came behind it.
async fn read_greeting(stream: &mut TcpStream) -> Result<(Vec<u8>, Vec<u8>), DialError> {
    let mut line = Vec::with_capacity(4 << 10);
    loop {
        let searched = line.len();
        if line.len() > MAX_LINE_BYTES {
            return Err(foreign(format!("its first line is longer than {} KiB", MAX_LINE_BYTES >> 10)).into());
        }
        if stream.read_buf(&mut line).await? == 0 {
            return Err(match line.is_empty() {
                true => DialError::Connect(ConnectError::with_source(ConnectErrorKind::Io, "it closed the connection")),
                false => io::Error::from(io::ErrorKind::ConnectionReset).into(),
            });
        }
        if let Some(at) = memchr::memchr(b'\n', line.get(searched..).unwrap_or_default()) {
            let rest = line.split_off(searched + at + 1);
            return Ok((line, rest));
        }
    }
}

fn parse_greeting(line: &[u8]) -> Result<Map<String, Value>, DialError> {
    if let Some(words) = line.strip_prefix(b"-ERR") {
        return Err(DialError::Connect(ConnectError::with_source(ConnectErrorKind::Io, excerpt(words))));
    }
    let json = line.strip_prefix(b"INFO ").ok_or_else(|| foreign(format!("it says {:?}", excerpt(line))))?;
    serde_json::from_slice(json).map_err(|error| foreign(format!("its INFO can't be read: {error}")).into())
}

/// Something else than NATS is spoken there.
fn foreign(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
