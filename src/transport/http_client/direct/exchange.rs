//! One connection: a request, its reply, the next request.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::super::MAX_REPLY_BYTES;
use super::framing::{Decoder, Head, read_head};

/// The longest head of a reply.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// The most interim replies (1xx) before the one that counts; most servers send none.
const MAX_INTERIM_REPLIES: usize = 100;

/// What is read at a time. A reply is mostly a hundred bytes; only longer ones take more.
const FIRST_BUFFER_BYTES: usize = 1 << 10;

/// Why a reply did not come, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum ExchangeError {
    /// The connection broke or ended.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What came is not HTTP.
    #[error("the reply is not HTTP: {0}")]
    NotHttp(String),
}

/// How a reply's text ended.
#[derive(Debug)]
pub(super) enum TextEnd {
    Whole,
    /// It is longer than a reply without events may be.
    TooLong,
    Cut(ExchangeError),
}

/// A connection to a server or a proxy.
#[derive(Debug)]
pub(in super::super) struct Connection {
    stream: TcpStream,
    /// What was read and not used is `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The next request may go.
    is_reusable: bool,
    /// Something came back since the last request began.
    has_heard: bool,
    /// Interim replies (1xx) since the last request began.
    interim_replies: usize,
}

impl Connection {
    pub(in super::super) const fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new(), start: 0, end: 0, is_reusable: true, has_heard: false, interim_replies: 0 }
    }

    /// The last reply was read to its end, and the other side said nothing of closing.
    pub(super) const fn is_reusable(&self) -> bool {
        self.is_reusable
    }

    /// Whether a byte of a reply has come since the last request began.
    pub(super) const fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// Whether the other side has neither closed an idle connection nor said anything on it. Costs no call of the
    /// operating system unless there is something.
    pub(super) async fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        poll_fn(|context| {
            let read = Pin::new(&mut self.stream).poll_read(context, &mut ReadBuf::new(&mut byte));
            Poll::Ready(read.is_pending())
        })
        .await
    }

    /// Sends `request` and waits for the head of its reply. A connection that this was given up on is of no more use.
    pub(in super::super) async fn send(&mut self, request: &[u8]) -> Result<Head, ExchangeError> {
        (self.is_reusable, self.has_heard, self.interim_replies) = (false, false, 0);
        let mut left = request;
        let mut broken = None;
        let (head, length) = loop {
            let came = poll_fn(|context| {
                // The other side may answer before it has read all, and close: what it says is heard in any case.
                while !left.is_empty() && broken.is_none() {
                    match Pin::new(&mut self.stream).poll_write(context, left) {
                        Poll::Ready(Ok(0)) => broken = Some(io::ErrorKind::WriteZero.into()),
                        Poll::Ready(Ok(count)) => left = left.get(count..).unwrap_or_default(),
                        Poll::Ready(Err(error)) => broken = Some(error),
                        Poll::Pending => break,
                    }
                }
                self.poll_fill(context)
            })
            .await;
            match came {
                Ok(0) => return Err(broken.unwrap_or_else(ended).into()),
                Ok(_) => self.has_heard = true,
                Err(error) => return Err(broken.unwrap_or(error).into()),
            }
            if let Some(found) = self.take_head()? {
                break found;
            }
        };
        self.start += length;
        self.is_reusable = head.keep_alive && left.is_empty() && broken.is_none();
        Ok(head)
    }

    /// The head of the final reply, if it is here, with its length.
    fn take_head(&mut self) -> Result<Option<(Head, usize)>, ExchangeError> {
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            match read_head(unread).map_err(ExchangeError::NotHttp)? {
                Some((head, length)) if head.status.is_informational() => {
                    self.start += length;
                    self.interim_replies += 1;
                    if self.interim_replies > MAX_INTERIM_REPLIES {
                        let cause = io::Error::new(io::ErrorKind::InvalidData, "interim replies (1xx) without end");
                        return Err(cause.into());
                    }
                }
                Some(found) => return Ok(Some(found)),
                None if unread.len() >= MAX_HEAD_BYTES => {
                    return Err(ExchangeError::NotHttp("its head has no end".to_owned()));
                }
                None => return Ok(None),
            }
        }
    }

    /// The text behind `head`, as much of it as is wanted.
    pub(super) async fn text(&mut self, head: &Head) -> (Vec<u8>, TextEnd) {
        let reusable = std::mem::replace(&mut self.is_reusable, false);
        let mut decoder = Decoder::new(head.framing);
        let mut text = Vec::new();
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            match decoder.decode(unread, &mut text) {
                Ok(used) => self.start += used,
                Err(cause) => {
                    return (text, TextEnd::Cut(ExchangeError::Io(io::Error::new(io::ErrorKind::InvalidData, cause))));
                }
            }
            if text.len() > MAX_REPLY_BYTES {
                text.truncate(MAX_REPLY_BYTES);
                return (text, TextEnd::TooLong);
            }
            if decoder.is_done() {
                // What lies behind the end belongs to no request.
                self.is_reusable = reusable && self.start == self.end;
                return (text, TextEnd::Whole);
            }
            match poll_fn(|context| self.poll_fill(context)).await {
                Ok(0) if decoder.may_end_here() => return (text, TextEnd::Whole),
                Ok(0) => return (text, TextEnd::Cut(ended().into())),
                Ok(_) => {}
                Err(error) => return (text, TextEnd::Cut(error.into())),
            }
        }
    }

    /// Reads more; how much, 0 at the end of the connection.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize((self.buffer.len() * 2).max(FIRST_BUFFER_BYTES), 0);
        }
        let mut room = ReadBuf::new(self.buffer.get_mut(self.end..).unwrap_or_default());
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut room))?;
        let count = room.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "connection closed before message completed")
}
