//! The text protocol of NATS, as much of it as a probe needs.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::ping::dial::Stream;

/// The longest line and the longest message that are read.
const MAX_BYTES: usize = 1 << 20;
/// The most that is read until an answer comes, whatever comes before it: bytes, and lines.
const MAX_BYTES_PER_ANSWER: usize = 4 << 20;
const MAX_LINES_PER_ANSWER: usize = 10_000;

/// What a server sends.
#[derive(Debug)]
pub(super) enum Said {
    Info(Value),
    /// `+OK`, which `verbose` brings.
    Fine,
    Pong,
    Ping,
    /// `-ERR`, with its text.
    Error(String),
    Message {
        subject: String,
        /// Of the headers, where there is one: 503 means that nobody listens to the subject.
        status: Option<u16>,
        payload: Vec<u8>,
    },
}

/// Why there is nothing to be had.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection ended.
    Closed,
    /// These bytes are no NATS.
    Foreign(Vec<u8>),
    /// The server refused, in these words.
    Refused(String),
    /// The server sends and sends, and no answer is in it.
    Flood,
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if crate::ping::dial::is_end(&error) { Self::Closed } else { Self::Io(error) }
    }
}

/// A connection to a server.
pub(super) struct Link<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Bytes and lines that may still be read until the answer that is waited for.
    bytes_left: usize,
    lines_left: usize,
    inbox: String,
    asked: u32,
}

impl<S: Stream> Link<S> {
    pub(super) fn new(stream: S) -> Self {
        let inbox = format!("_INBOX.{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let (bytes_left, lines_left) = (MAX_BYTES_PER_ANSWER, MAX_LINES_PER_ANSWER);
        Self { stream, buffer: Vec::new(), bytes_left, lines_left, inbox, asked: 0 }
    }

    /// The connection itself, for TLS to go on with.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    pub(super) async fn send(&mut self, text: &[u8]) -> io::Result<()> {
        self.stream.write_all(text).await?;
        self.stream.flush().await
    }

    /// The server's greeting, which it sends unasked.
    pub(super) async fn info(&mut self) -> Result<Value, Fault> {
        match self.next().await? {
            Said::Info(info) => Ok(info),
            Said::Error(words) => Err(Fault::Refused(words)),
            other => Err(Fault::Foreign(format!("{other:?}").into_bytes())),
        }
    }

    /// Introduces us, and waits until the server lets us in.
    pub(super) async fn connect(&mut self, options: &Value) -> Result<(), Fault> {
        self.expect_answer();
        self.send(format!("CONNECT {options}\r\nPING\r\n").as_bytes()).await?;
        loop {
            match self.next().await? {
                Said::Pong => break,
                Said::Error(words) => return Err(Fault::Refused(words)),
                Said::Ping => self.send(b"PONG\r\n").await?,
                _ => {}
            }
        }
        let subscribe = format!("SUB {}.* 1\r\n", self.inbox);
        Ok(self.send(subscribe.as_bytes()).await?)
    }

    /// Sends `payload` to `subject` and gives the answer: its status, where its headers hold one, and its payload.
    pub(super) async fn request(&mut self, subject: &str, payload: &[u8]) -> Result<(Option<u16>, Vec<u8>), Fault> {
        self.asked += 1;
        self.expect_answer();
        let inbox = format!("{}.{}", self.inbox, self.asked);
        let head = format!("PUB {subject} {inbox} {}\r\n", payload.len());
        self.send(&[head.as_bytes(), payload, b"\r\n"].concat()).await?;
        loop {
            match self.next().await? {
                Said::Message { subject, status, payload } if subject == inbox => return Ok((status, payload)),
                Said::Error(words) => return Err(Fault::Refused(words)),
                Said::Ping => self.send(b"PONG\r\n").await?,
                _ => {}
            }
        }
    }

    const fn expect_answer(&mut self) {
        (self.bytes_left, self.lines_left) = (MAX_BYTES_PER_ANSWER, MAX_LINES_PER_ANSWER);
    }

    async fn next(&mut self) -> Result<Said, Fault> {
        self.lines_left = self.lines_left.checked_sub(1).ok_or(Fault::Flood)?;
        let line = self.line().await?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let (verb, rest) = text.split_once([' ', '\t']).unwrap_or((&text, ""));
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        let foreign = || Fault::Foreign(line.clone());
        Ok(match (verb.to_ascii_uppercase().as_str(), &words[..]) {
            ("INFO", _) => Said::Info(serde_json::from_str(rest).map_err(|_| foreign())?),
            ("+OK", _) => Said::Fine,
            ("PING", _) => Said::Ping,
            ("PONG", _) => Said::Pong,
            ("-ERR", _) => Said::Error(rest.trim_matches([' ', '\'']).to_owned()),
            ("MSG", [subject, .., size]) => {
                let size = size.parse().map_err(|_| foreign())?;
                let payload = self.payload(size).await?;
                Said::Message { subject: (*subject).to_owned(), status: None, payload }
            }
            ("HMSG", [subject, .., head, size]) => {
                let (head, size): (usize, usize) = head.parse().ok().zip(size.parse().ok()).ok_or_else(foreign)?;
                let mut headers = self.payload(size).await?;
                let payload = headers.split_off(head.min(headers.len()));
                let headers = String::from_utf8_lossy(&headers);
                // NATS/1.0 503
                let status = headers.lines().next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
                Said::Message { subject: (*subject).to_owned(), status, payload }
            }
            _ => return Err(foreign()),
        })
    }

    async fn line(&mut self) -> Result<Vec<u8>, Fault> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
            if self.buffer.len() > MAX_BYTES {
                return Err(Fault::Foreign(self.buffer.clone()));
            }
            self.fill().await?;
        }
    }

    async fn payload(&mut self, size: usize) -> Result<Vec<u8>, Fault> {
        if size > MAX_BYTES {
            return Err(Fault::Foreign(format!("a message of {size} bytes").into_bytes()));
        }
        while self.buffer.len() < size + 2 {
            self.fill().await?;
        }
        let payload = self.buffer.drain(..size).collect();
        self.buffer.drain(..2);
        Ok(payload)
    }

    async fn fill(&mut self) -> Result<(), Fault> {
        if self.bytes_left == 0 {
            return Err(Fault::Flood);
        }
        self.buffer.reserve(8 << 10);
        let count = self.stream.read_buf(&mut self.buffer).await?;
        self.bytes_left = self.bytes_left.saturating_sub(count);
        if count > 0 {
            return Ok(());
        }
        Err(if self.buffer.is_empty() { Fault::Closed } else { Fault::Foreign(self.buffer.clone()) })
    }
}
