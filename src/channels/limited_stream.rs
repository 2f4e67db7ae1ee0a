//! A connection to a mail server that fails once the server has sent more than a limit.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a server may send in one conversation, TLS included. For a mail it is a few kilobytes; the mail library keeps a line
/// that does not end.
const MAX_BYTES: usize = 256 << 10;

/// A stream whose reads fail once its other side has sent more than a conversation about one mail takes.
#[derive(Debug)]
pub(super) struct LimitedStream<S> {
    inner: S,
    peer: SocketAddr,
    bytes_left: usize,
}

impl<S> LimitedStream<S> {
    pub(super) const fn new(inner: S, peer: SocketAddr) -> Self {
        Self { inner, peer, bytes_left: MAX_BYTES }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LimitedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let count = buffer.filled().len().saturating_sub(before);
        match self.bytes_left.checked_sub(count) {
            Some(left) => self.bytes_left = left,
            None => {
                buffer.set_filled(before);
                let message = format!("it sent more than {} KiB, which no mail server has to say", MAX_BYTES >> 10);
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, message)));
            }
        }
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
