//! Opening a TCP connection to a name: both families of addresses, the second with a short delay (RFC 8305).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::transport::name::{self, NameError};

/// How long the addresses of the preferred family have a lead (RFC 8305, section 8, gives 250 ms; 300 is usual).
const LEAD: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(in super::super) enum DialError {
    /// The name does not resolve.
    Name(NameError),
    /// No address takes a connection.
    Connection(io::Error),
}

/// Connects to `host`, a name or an address without brackets, within `limit` for each family.
pub(in super::super) async fn dial(host: &str, port: u16, limit: Duration) -> Result<TcpStream, DialError> {
    let addresses = name::resolve(host, port).await.map_err(DialError::Name)?;
    let v6_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|it| it.is_ipv6() == v6_first);
    let stream = race(&preferred, &others, limit).await.map_err(DialError::Connection)?;
    stream.set_nodelay(true).map_err(DialError::Connection)?;
    Ok(stream)
}

async fn race(preferred: &[SocketAddr], others: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let first = any_of(preferred, limit);
    if others.is_empty() {
        return first.await;
    }
    tokio::pin!(first);
    let second = any_of(others, limit);
    match timeout(LEAD, &mut first).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => return second.await.or(Err(error)),
        Err(_) => {}
    }
    tokio::pin!(second);
    tokio::select! {
        result = &mut first => match result {
            Ok(stream) => Ok(stream),
            Err(error) => second.await.or(Err(error)),
        },
        result = &mut second => match result {
            Ok(stream) => Ok(stream),
            Err(_) => first.await,
        },
    }
}

/// The first of `addresses` that takes a connection, each within its share of `limit`.
async fn any_of(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let share = limit / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        last = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {share:?}")),
        };
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn another_address_is_tried_where_one_refuses() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        // Nothing listens on the discard port of this address.
        let closed: SocketAddr = "127.0.0.97:9".parse().unwrap();
        let limit = Duration::from_secs(5);
        assert_eq!(any_of(&[closed, open], limit).await.unwrap().peer_addr().unwrap(), open);
        assert_eq!(race(&[closed], &[open], limit).await.unwrap().peer_addr().unwrap(), open);
        assert_eq!(race(&[open], &[closed], limit).await.unwrap().peer_addr().unwrap(), open);
        assert_eq!(any_of(&[closed], limit).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_told_apart() {
        let error = dial("nowhere.invalid", 1, Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, DialError::Name(_)), "{error:?}");
    }
}
