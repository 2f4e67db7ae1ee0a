//! HTTP/1.1, small and strict: what answers may be anything, and what it is has to be said.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::dial::{Route, Stream};
use super::quote::quote;
use crate::plain_text::is_unprintable;

/// The longest head of a reply.
const MAX_HEAD_BYTES: usize = 64 << 10;
const EXCERPT_CHARS: usize = 120;

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Sent as JSON where it is there.
    pub(super) body: Option<&'a [u8]>,
    /// At most so much of the reply is read.
    pub(super) limit: usize,
}

impl<'a> Request<'a> {
    pub(super) const fn get(path: &'a str) -> Self {
        Self { method: "GET", path, body: None, limit: 64 << 10 }
    }
}

/// A reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// The body exceeded the limit and was cut.
    pub(super) cut: bool,
}

impl Reply {
    /// The header of this name, which is to be in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no reply.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection ended before the first byte.
    Closed,
    /// These bytes are no HTTP.
    Foreign(Vec<u8>),
    /// It began as HTTP and broke off or makes no sense.
    Broken(String),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        if super::dial::is_end(&error) { Self::Closed } else { Self::Io(error) }
    }
}

/// A connection over which requests go one after the other; opened again where the server closed it.
pub(super) struct Connection {
    stream: Option<Box<dyn Stream>>,
    route: Route,
    /// Names and values, secret all of them.
    headers: Vec<(String, String)>,
    buffer: Vec<u8>,
    /// A reply has come over it.
    pub(super) used: bool,
}

impl Connection {
    pub(super) fn new(stream: Box<dyn Stream>, route: Route, headers: Vec<(String, String)>) -> Self {
        Self { stream: Some(stream), route, headers, buffer: Vec::new(), used: false }
    }

    /// Sends `request` and reads its reply.
    pub(super) async fn ask(&mut self, request: Request<'_>) -> Result<Reply, Fault> {
        if let Some(stream) = self.stream.take() {
            match self.ask_over(stream, request).await {
                // A server may close a connection after any reply; what we send may be sent again.
                Err(Fault::Closed) if self.used => {}
                other => return other,
            }
        }
        let stream = self.route.open().await?;
        self.ask_over(stream, request).await
    }

    async fn ask_over(&mut self, mut stream: Box<dyn Stream>, request: Request<'_>) -> Result<Reply, Fault> {
        self.buffer.clear();
        let text = self.encode(request);
        // A server that refuses early has answered by when the rest can't be written: the reply decides.
        if stream.write_all(&text).await.is_ok() {
            let _ = stream.flush().await;
        }
        let (reply, lives) = self.read(&mut stream, request).await?;
        self.used = true;
        self.stream = lives.then_some(stream);
        Ok(reply)
    }

    fn encode(&self, request: Request<'_>) -> Vec<u8> {
        let Request { method, path, body, .. } = request;
        let host = format!("{}:{}", self.route.host, self.route.address.port());
        let version = env!("CARGO_PKG_VERSION");
        let mut text =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: formusage/{version}\r\naccept: */*\r\n");
        if let Some(body) = body {
            text.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        bytes
    }

    /// The reply, and whether the connection may be used again.
    async fn read(&mut self, stream: &mut Box<dyn Stream>, request: Request<'_>) -> Result<(Reply, bool), Fault> {
        loop {
            let (status, minor, headers) = self.head(stream).await?;
            // 1xx announce the reply proper.
            if (100..200).contains(&status) {
                continue;
            }
            let mut reply = Reply { status, headers, body: Vec::new(), cut: false };
            let lower = |name| reply.header(name).unwrap_or_default().to_ascii_lowercase();
            let mut lives = minor > 0 && !lower("connection").contains("close");
            let (chunked, length) = (lower("transfer-encoding").contains("chunked"), reply.header("content-length"));
            let length = match length.map(str::parse::<usize>) {
                Some(Err(_)) => return Err(Fault::Broken("its content-length is no number".to_owned())),
                Some(Ok(length)) => Some(length),
                None => None,
            };
            if request.method == "HEAD" || matches!(status, 204 | 304) {
                return Ok((reply, lives));
            }
            if chunked {
                reply.cut = !self.chunks(stream, &mut reply.body, request.limit).await?;
            } else {
                let wanted = length.unwrap_or(usize::MAX);
                let end = wanted.min(request.limit);
                while self.buffer.len() < end && self.fill(stream).await? {}
                if length.is_some() && self.buffer.len() < end {
                    return Err(Fault::Broken(format!("it ended after {} of {wanted} bytes", self.buffer.len())));
                }
                reply.cut = self.buffer.len() > request.limit || (wanted > end && length.is_some());
                lives &= length.is_some();
                reply.body = self.buffer.drain(..end.min(self.buffer.len())).collect();
            }
            return Ok((reply, lives && self.buffer.is_empty()));
        }
    }

    async fn head(&mut self, stream: &mut Box<dyn Stream>) -> Result<(u16, u8, Vec<(String, String)>), Fault> {
        const START: &[u8] = b"HTTP/1.";
        let end = loop {
            let known = self.buffer.len().min(START.len());
            if self.buffer[..known] != START[..known] {
                // What is there already may be the beginning of something that explains itself.
                return Err(Fault::Foreign(self.buffer.clone()));
            }
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(Fault::Broken(format!("its head exceeds {MAX_HEAD_BYTES} bytes")));
            }
            if !self.fill(stream).await? {
                return Err(match self.buffer.len() {
                    0 => Fault::Closed,
                    some if some < START.len() => Fault::Foreign(self.buffer.clone()),
                    some => Fault::Broken(format!("it ended after {some} bytes of its head")),
                });
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.lines();
        let first = lines.next().unwrap_or_default();
        let minor = u8::from(!first.starts_with("HTTP/1.0"));
        let Some(status) = first.split(' ').nth(1).and_then(|status| status.parse().ok()) else {
            return Err(Fault::Broken(format!("its first line is {}", excerpt(first.as_bytes()))));
        };
        let headers = lines.filter_map(|line| line.split_once(':'));
        Ok((status, minor, headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()))
    }

    /// Reads chunks into `body`; whether all of them fitted.
    async fn chunks(&mut self, stream: &mut Box<dyn Stream>, body: &mut Vec<u8>, limit: usize) -> Result<bool, Fault> {
        let cut = || Fault::Broken("it ended in the middle of a chunk".to_owned());
        loop {
            let line = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break self.buffer.drain(..end + 2).collect::<Vec<u8>>();
                }
                if self.buffer.len() > MAX_HEAD_BYTES || !self.fill(stream).await? {
                    return Err(cut());
                }
            };
            let size = String::from_utf8_lossy(&line);
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16)
                .map_err(|_| Fault::Broken(format!("the size of a chunk is {}", excerpt(size.as_bytes()))))?;
            if body.len().saturating_add(size) > limit {
                return Ok(false);
            }
            while self.buffer.len() < size + 2 {
                if !self.fill(stream).await? {
                    return Err(cut());
                }
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
            if size == 0 {
                return Ok(true);
            }
        }
    }

    /// Reads more; whether there was more.
    async fn fill(&mut self, stream: &mut Box<dyn Stream>) -> io::Result<bool> {
        self.buffer.reserve(8 << 10);
        match stream.read_buf(&mut self.buffer).await {
            Ok(read) => Ok(read > 0),
            // Many servers of TLS leave out the farewell.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// What `bytes` that are no HTTP are, as far as their start tells.
pub(super) fn foreign(bytes: &[u8]) -> String {
    let known = match bytes {
        [b'I', b'N', b'F', b'O', b' ', ..] => " (a NATS server?)",
        [b'S', b'S', b'H', b'-', ..] => " (an SSH server?)",
        [b'2', b'2', b'0', b' ' | b'-', ..] => " (a mail or FTP server?)",
        _ => "",
    };
    format!("{}{known}", excerpt(bytes))
}

/// The start of what somebody sent, as a quote on one line, and without what could hold our credentials, should it be an
/// echo.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lower = text.to_ascii_lowercase();
    let end = ["authorization:", "bearer ", "\"auth_token", "\"pass"].iter().filter_map(|word| lower.find(word)).min();
    let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default().trim();
    let shown: String =
        text.chars().take(EXCERPT_CHARS).map(|char| if is_unprintable(char) { '·' } else { char }).collect();
    match (shown.is_empty(), end.is_some() || text.chars().count() > EXCERPT_CHARS) {
        (true, false) => "(nothing)".to_owned(),
        (_, true) => quote(&(shown + "…")),
        (_, false) => quote(&shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ping::quote::mask_quotes;

    #[test]
    fn an_echo_does_not_show_the_token() {
        let echo = b"GET /queue/health HTTP/1.1\r\nhost: h\r\nauthorization: Bearer hunter2\r\n";
        let shown = |bytes: &[u8]| {
            let mut text = excerpt(bytes);
            mask_quotes(&mut text, &[]);
            text
        };
        assert!(shown(echo).starts_with("GET /queue/health") && !shown(echo).contains("hunter2"), "{}", shown(echo));
        assert_eq!(shown(b"needs its token: Authorization: Bearer x"), "needs its token:…", "that it was cut shows");
        assert_eq!((shown(b" \0").as_str(), shown(&[b'a'; 500]).chars().count()), ("·", EXCERPT_CHARS + 1));
    }
}
