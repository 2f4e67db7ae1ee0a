//! A connection to a mail server that fails once the server has sent more than a limit, and that hands over one line at a
//! time.
//!
//! The mail library reads ahead, and takes what it read before TLS began for something said within TLS: whoever is on the
//! way could put answers of his own before those of the server (STARTTLS response injection). What stands behind a line
//! end therefore stays here, for the TLS library to refuse.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a server may send in one conversation, TLS included. For a mail it is a few kilobytes; the mail library keeps a line
/// that does not end.
const MAX_BYTES: usize = 256 << 10;
/// So many bytes are read at a time.
const PIECE_BYTES: usize = 4 << 10;

/// A stream whose reads end with each line, and fail once its other side has sent more than a conversation about one mail
/// takes.
#[derive(Debug)]
pub(super) struct LimitedStream<S> {
    inner: S,
    peer: SocketAddr,
    bytes_left: usize,
    /// What was read and not handed over: it begins at `handed_over`.
    read_ahead: Vec<u8>,
    handed_over: usize,
}

impl<S> LimitedStream<S> {
    pub(super) const fn new(inner: S, peer: SocketAddr) -> Self {
        Self { inner, peer, bytes_left: MAX_BYTES, read_ahead: Vec::new(), handed_over: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LimitedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.handed_over == this.read_ahead.len() {
            let mut piece = [0; PIECE_BYTES];
            let mut read = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.inner).poll_read(context, &mut read))?;
            let Some(left) = this.bytes_left.checked_sub(read.filled().len()) else {
                let message = format!("it sent more than {} KiB, which no mail server has to say", MAX_BYTES >> 10);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, message)));
            };
            this.bytes_left = left;
            this.read_ahead.clear();
            this.read_ahead.extend_from_slice(read.filled());
            this.handed_over = 0;
        }
        let rest = this.read_ahead.get(this.handed_over..).unwrap_or_default();
        let line = memchr::memchr(b'\n', rest).map_or(rest, |end| rest.get(..=end).unwrap_or(rest));
        let handed = line.get(..buffer.remaining()).unwrap_or(line);
        buffer.put_slice(handed);
        this.handed_over += handed.len();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LimitedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin + std::fmt::Debug> AsyncTokioStream for LimitedStream<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
