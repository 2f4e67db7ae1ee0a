//! What stands between the NATS client and a server, so that the server can fill neither memory nor time.
//!
//! The client reads lines of any length, keeps an answer for every `PING` of a server that doesn't read, and serves
//! nobody while a server floods it. So it doesn't speak to the server itself: it connects to a loopback address of this
//! process, from where a task passes on what both say. The task counts what the server sends, and ends the connection
//! once that is far more than was asked for, with the reason.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::dial::DialedServer;
use super::operations::{Operation, OperationReader, Violation};

/// Bytes that are passed on at a time.
const PIECE_BYTES: usize = 32 << 10;
/// What an operation counts beside its bytes: the client's work and memory for it.
const OPERATION_COST: usize = 256;
/// As much is read of the list of connections: some 25,000.
#[cfg(target_os = "linux")]
const MAX_TABLE_BYTES: u64 = 4 << 20;
/// How long the client may take to connect within this process.
const ACCEPT_TIME: Duration = Duration::from_secs(2);

/// How much a server may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// So many bytes at the beginning, and never more at a time.
    most: usize,
    /// So many more for each operation of ours that asks for something.
    per_request: usize,
    /// The longest message.
    message: usize,
}

impl Allowance {
    /// For who publishes: acknowledgements take some 200 bytes, descriptions of streams some thousands.
    pub(crate) const ACKNOWLEDGEMENTS: Self = Self { most: 8 << 20, per_request: 64 << 10, message: 4 << 20 };
    /// For who reads a stream in pieces of 4 MiB, or of two messages of the largest kind.
    pub(crate) const MESSAGES: Self = Self { most: 24 << 20, per_request: 18 << 20, message: Self::MAX_MESSAGE };
    /// For who reads a whole bucket of thresholds: as much as a file of them may hold.
    pub(crate) const BUCKET: Self = Self { most: 64 << 20, per_request: 64 << 20, message: Self::MAX_MESSAGE };
    /// The longest message that is read.
    pub(crate) const MAX_MESSAGE: usize = 8 << 20;
}

/// Why a connection ended, where the server is to blame.
#[derive(Debug)]
pub(super) enum ServerFault {
    /// It broke the protocol or a limit, in these words.
    Misbehaved(String),
    Io(io::Error),
}

/// The relay of one connection.
#[derive(Debug)]
pub(super) struct Relay {
    /// Where the client connects to.
    pub(super) address: SocketAddr,
    fault: Arc<Mutex<Option<ServerFault>>>,
}

impl Relay {
    /// Begins to wait for the client, which must connect from the IP address of [`Relay::address`].
    ///
    /// # Errors
    /// When this machine has no usable loopback address.
    pub(super) async fn start(server: DialedServer, allowance: Allowance) -> io::Result<Self> {
        let listener = listen().await?;
        let address = listener.local_addr()?;
        let fault = Arc::new(Mutex::new(None));
        let relay = Self { address, fault: fault.clone() };
        // It ends with the client's connection.
        tokio::spawn(async move {
            let store = |found: ServerFault| {
                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            };
            match accept(&listener, address.ip()).await {
                Ok(client) => {
                    if let Err(found) = pass_on(server, client, allowance, store).await {
                        tracing::debug!(?found, "the connection was ended");
                    }
                    // The client connects again once, by itself, and must get nobody: its port is kept until then.
                    let _ = timeout(ACCEPT_TIME, accept(&listener, address.ip())).await;
                }
                Err(error) => store(ServerFault::Io(error)),
            }
        });
        Ok(relay)
    }

    /// Why the connection ended; gives it once.
    pub(super) fn take_fault(&self) -> Option<ServerFault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the server did against the protocol or a limit, if that ended the connection.
    pub(super) fn misbehaviour(&self) -> Option<String> {
        match &*self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(ServerFault::Misbehaved(words)) => Some(words.clone()),
            _ => None,
        }
    }
}

/// A loopback address that nobody guesses, where the system has more than one: others on this machine must not be taken
/// for our client.
async fn listen() -> io::Result<TcpListener> {
    if cfg!(target_os = "linux") {
        let address = Ipv4Addr::new(127, fastrand::u8(1..255), fastrand::u8(..), fastrand::u8(1..255));
        if let Ok(listener) = TcpListener::bind((address, 0)).await {
            return Ok(listener);
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
}

async fn accept(listener: &TcpListener, from: IpAddr) -> io::Result<TcpStream> {
    let accepted = timeout(ACCEPT_TIME, async {
        loop {
            let (client, peer) = listener.accept().await?;
            if peer.ip() == from && is_of_this_user(peer) {
                client.set_nodelay(true)?;
                return Ok(client);
            }
        }
    });
    accepted.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whether the connection from `peer` is of a process of this user, as far as the kernel tells (proc(5), `/proc/net/tcp`):
/// whoever else came in between would speak under our client certificate.
#[cfg(target_os = "linux")]
fn is_of_this_user(peer: SocketAddr) -> bool {
    use std::io::{BufRead as _, Read as _};
    let SocketAddr::V4(peer) = peer else { return true };
    let Ok(table) = std::fs::File::open("/proc/self/net/tcp") else { return true };
    let address = format!("{:08X}:{:04X}", u32::from_ne_bytes(peer.ip().octets()), peer.port());
    let lines = io::BufReader::new(table.take(MAX_TABLE_BYTES)).lines().map_while(Result::ok);
    let mut owner = lines.filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        (words.next()? == address).then(|| words.nth(5)?.parse::<u32>().ok())?
    });
    owner.next().is_none_or(|user| user == rustix::process::geteuid().as_raw())
}

#[cfg(not(target_os = "linux"))]
const fn is_of_this_user(_: SocketAddr) -> bool {
    true
}

/// Passes on both directions until one ends; `store` keeps the reason before the client learns of it.
async fn pass_on(
    server: DialedServer,
    client: TcpStream,
    allowance: Allowance,
    store: impl Fn(ServerFault),
) -> Result<(), ()> {
    let DialedServer { stream, greeting, rest } = server;
    let (mut from_server, mut to_server) = tokio::io::split(stream);
    let (mut from_client, mut to_client) = client.into_split();
    let left = AtomicUsize::new(allowance.most);
    let charge = |bytes: usize| {
        let rest = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        rest.map(|_| ()).map_err(|_| ())
    };
    let grant = || {
        let more = |left: usize| Some(left.saturating_add(allowance.per_request).min(allowance.most));
        let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    };
    let mut answers = OperationReader::new(allowance.message);
    let mut requests = OperationReader::new(usize::MAX - PIECE_BYTES);
    let mut check_answers = |bytes: &[u8]| -> Result<(), String> {
        let mut flood = charge(bytes.len()).is_err();
        let read = answers.read(bytes, |_| {
            flood |= charge(OPERATION_COST).is_err();
            Ok(())
        });
        read.map_err(|violation| violation.to_string())?;
        match flood {
            true => Err("far more than it was asked for".to_owned()),
            false => Ok(()),
        }
    };
    let mut count_requests = |bytes: &[u8]| {
        let counted = requests.read(bytes, |operation| {
            if operation != Operation::Pong {
                grant();
            }
            Ok(())
        });
        counted.map_err(|violation: Violation| violation.to_string())
    };
    let answered = async {
        to_client.write_all(&greeting).await.map_err(|_| None)?;
        check_answers(&rest).map_err(|words| Some(ServerFault::Misbehaved(words)))?;
        to_client.write_all(&rest).await.map_err(|_| None)?;
        copy(&mut from_server, &mut to_client, &mut check_answers).await
    };
    let asked = copy(&mut from_client, &mut to_server, &mut count_requests);
    let mut answered = std::pin::pin!(answered);
    let fault = tokio::select! {
        ended = &mut answered => ended.err().flatten(),
        ended = asked => match ended {
            // The server takes nothing more; what it said last is the reason.
            Err(None) => timeout(ACCEPT_TIME, answered).await.ok().and_then(Result::err).flatten(),
            // The client is gone.
            _ => None,
        },
    };
    match fault {
        Some(fault) => {
            store(fault);
            Err(())
        }
        None => Ok(()),
    }
}

/// Copies until `from` ends. The error is what `from` did; none where `to` takes nothing more.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    check: &mut impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), Option<ServerFault>> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut piece).await.map_err(|error| Some(ServerFault::Io(error)))?;
        let Some(bytes @ [_, ..]) = piece.get(..count) else { return Ok(()) };
        check(bytes).map_err(|words| Some(ServerFault::Misbehaved(words)))?;
        to.write_all(bytes).await.map_err(|_| None)?;
        to.flush().await.map_err(|_| None)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connection_of_this_user_is_known_as_that() {
        let listener = listen().await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        assert!(is_of_this_user(client.local_addr().unwrap()));
        let accepted = timeout(ACCEPT_TIME, listener.accept()).await.unwrap().unwrap();
        assert_eq!(accepted.1, client.local_addr().unwrap());
    }
}
