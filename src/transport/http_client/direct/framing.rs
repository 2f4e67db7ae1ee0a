//! Where a reply's head ends, and where its text does (RFC 9112, section 6). Pure.

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Response, Status};
use reqwest::StatusCode;

/// The most headers that a reply may have.
const MAX_HEADERS: usize = 100;

/// The longest line of a chunk's size, with extensions, and of a trailer.
const MAX_LINE_BYTES: usize = 8 << 10;

/// How the end of a text is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length.
    Length(u64),
    /// By the last of its chunks.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// A reply's head.
#[derive(Debug)]
pub(in super::super) struct Head {
    pub(in super::super) status: StatusCode,
    pub(super) framing: Framing,
    /// Another request may follow on the connection.
    pub(super) keep_alive: bool,
    retry_after: Option<String>,
    location: Option<String>,
    content_encoding: Option<String>,
}

impl Head {
    pub(in super::super) fn retry_after(&self) -> Option<&str> {
        self.retry_after.as_deref()
    }

    pub(super) fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    pub(super) fn content_encoding(&self) -> Option<&str> {
        self.content_encoding.as_deref()
    }
}

/// Reads the head at the start of `bytes`, and how long it is; `None` where more of it is to come. An interim reply
/// (1xx) has a head like any other.
pub(super) fn read_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
    // Three kilobytes, of which a reply uses a hundred bytes.
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, &mut headers);
    let length = match parsed.map_err(|error| error.to_string())? {
        Status::Complete(length) => length,
        Status::Partial => return Ok(None),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or("the status is out of range")?;
    let mut length_given: Option<u64> = None;
    let mut coding: Option<&[u8]> = None;
    let (mut close, mut keep) = (false, false);
    let (mut retry_after, mut location, mut content_encoding) = (None, None, None);
    let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let length = content_length(header.value).ok_or("its content-length is no number")?;
            if length_given.is_some_and(|before| before != length) {
                return Err("it has two lengths".to_owned());
            }
            length_given = Some(length);
        } else if is("transfer-encoding") {
            coding = Some(header.value);
        } else if is("connection") {
            let has = |word: &str| {
                header.value.split(|it| *it == b',').any(|it| it.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
            };
            close |= has("close");
            keep |= has("keep-alive");
        } else if is("retry-after") {
            retry_after = Some(text(header.value));
        } else if is("location") {
            location = Some(text(header.value));
        } else if is("content-encoding") {
            content_encoding = Some(text(header.value));
        }
    }
    let has_no_text = status.is_informational() || matches!(status.as_u16(), 204 | 304);
    let framing = match (coding, length_given) {
        _ if has_no_text => Framing::Length(0),
        (Some(coding), _) if last_coding_is_chunked(coding) => Framing::Chunked,
        (Some(_), _) | (None, None) => Framing::UntilClose,
        (None, Some(length)) => Framing::Length(length),
    };
    let keep_alive = !close && (keep || response.version == Some(1)) && framing != Framing::UntilClose;
    Ok(Some((Head { status, framing, keep_alive, retry_after, location, content_encoding }, length)))
}

/// `content-length` may be repeated in one line, always the same (RFC 9110, section 8.6).
fn content_length(value: &[u8]) -> Option<u64> {
    let mut lengths = std::str::from_utf8(value).ok()?.split(',').map(|it| {
        let digits = it.trim();
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<u64>().ok() } else { None }
    });
    let first = lengths.next()??;
    lengths.all(|other| other == Some(first)).then_some(first)
}

fn last_coding_is_chunked(value: &[u8]) -> bool {
    let last = value.rsplit(|it| *it == b',').next().unwrap_or_default();
    last.trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// Takes a text apart as it comes.
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    Done,
}

impl Decoder {
    pub(super) const fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether the text is whole if nothing more comes.
    pub(super) fn may_end_here(&self) -> bool {
        matches!(self.state, State::Done | State::UntilClose)
    }

    /// Appends what `bytes` hold of the text to `text`; how many of them it has used up. What is left is the beginning
    /// of something that is not whole yet, or lies behind the end.
    pub(super) fn decode(&mut self, bytes: &[u8], text: &mut Vec<u8>) -> Result<usize, String> {
        let mut rest = bytes;
        loop {
            match self.state {
                State::Done => break,
                State::UntilClose => {
                    text.extend_from_slice(rest);
                    rest = &[];
                    break;
                }
                State::Length(left) | State::Chunk(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let (data, others) = rest.split_at(here);
                    text.extend_from_slice(data);
                    rest = others;
                    let left = left - here as u64;
                    let in_chunk = matches!(self.state, State::Chunk(_));
                    self.state = match (left, in_chunk) {
                        (0, true) => State::ChunkEnd,
                        (0, false) => State::Done,
                        (_, true) => State::Chunk(left),
                        (_, false) => State::Length(left),
                    };
                    if left > 0 {
                        break;
                    }
                }
                State::ChunkSize => match httparse::parse_chunk_size(rest) {
                    Ok(Status::Complete((used, size))) => {
                        rest = rest.get(used..).unwrap_or_default();
                        self.state = if size == 0 { State::Trailer } else { State::Chunk(size) };
                    }
                    Ok(Status::Partial) if rest.len() <= MAX_LINE_BYTES => break,
                    _ => return Err("invalid chunk size".to_owned()),
                },
                State::ChunkEnd => match rest {
                    [b'\r', b'\n', others @ ..] => {
                        rest = others;
                        self.state = State::ChunkSize;
                    }
                    [] | [b'\r'] => break,
                    _ => return Err("a chunk without an end".to_owned()),
                },
                State::Trailer => match memchr::memchr(b'\n', rest) {
                    Some(end) => {
                        let (line, others) = rest.split_at(end);
                        rest = others.get(1..).unwrap_or_default();
                        if line.trim_ascii().is_empty() {
                            self.state = State::Done;
                        }
                    }
                    None if rest.len() <= MAX_LINE_BYTES => break,
                    None => return Err("a trailer without an end".to_owned()),
                },
            }
        }
        Ok(bytes.len() - rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(text: &str) -> Head {
        let (head, length) = read_head(text.as_bytes()).unwrap().unwrap();
        assert_eq!(length, text.len());
        head
    }

    #[test]
    fn the_end_of_a_text_is_known_from_the_head() {
        let framing = |text: &str| {
            let head = head(text);
            (head.framing, head.keep_alive)
        };
        assert_eq!(framing("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"), (Framing::Length(11), true));
        assert_eq!(
            framing("HTTP/1.1 200 OK\r\ncontent-length: 7, 7\r\nconnection: x, Close\r\n\r\n"),
            (Framing::Length(7), false)
        );
        assert_eq!(framing("HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n"), (Framing::Length(1), false));
        assert_eq!(
            framing("HTTP/1.0 200 OK\r\ncontent-length: 1\r\nConnection: keep-alive\r\n\r\n"),
            (Framing::Length(1), true)
        );
        assert_eq!(
            framing("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: gzip, chunked\r\n\r\n"),
            (Framing::Chunked, true)
        );
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n"), (Framing::UntilClose, false));
        assert_eq!(framing("HTTP/1.1 204 No Content\r\n\r\n"), (Framing::Length(0), true));
        let refused = head("HTTP/1.1 429 Slow\r\nRetry-After:  3 \r\nLocation: /x\r\ncontent-length: 0\r\n\r\n");
        assert_eq!((refused.retry_after(), refused.location()), (Some("3"), Some("/x")));
    }

    #[test]
    fn what_is_no_http_is_refused_at_once() {
        for text in [
            "SSH-2.0-OpenSSH_9\r\n",
            "\x15\x03\x01",
            "HTTP/3.0 200\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        ] {
            assert!(read_head(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(read_head(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap().is_none());
    }

    fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>, bool), String> {
        let (mut decoder, mut text, mut kept) = (Decoder::new(framing), Vec::new(), Vec::new());
        for piece in pieces {
            kept.extend_from_slice(piece);
            let used = decoder.decode(&kept, &mut text)?;
            kept.drain(..used);
        }
        Ok((text, kept, decoder.is_done()))
    }

    #[test]
    fn chunks_are_joined_and_trailers_skipped() {
        let reply = b"5;x=y\r\n\"OpSu\r\n6\r\nccess\"\r\n0\r\nx-trailer: 1\r\n\r\nmore";
        assert_eq!(decode(Framing::Chunked, &[reply]).unwrap(), (b"\"OpSuccess\"".to_vec(), b"more".to_vec(), true));
        assert!(decode(Framing::Chunked, &[b"xyz\r\n"]).is_err());
        assert!(decode(Framing::Chunked, &[b"1\r\nab\r\n"]).is_err());
        assert!(!decode(Framing::Chunked, &[b"5\r\nab"]).unwrap().2);
    }

    proptest! {
        /// However the network cuts a reply, its text is the same.
        #[test]
        fn cuts_change_nothing(cuts in proptest::collection::vec(1usize..9, 0..40)) {
            let reply: &[u8] = b"5\r\nhello\r\n1\r\n \r\n00b\r\nworld, hell\r\n0\r\n\r\n";
            let (mut pieces, mut rest) = (Vec::new(), reply);
            for cut in cuts {
                let (piece, others) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = others;
            }
            pieces.push(rest);
            prop_assert_eq!(decode(Framing::Chunked, &pieces).unwrap(), (b"hello world, hell".to_vec(), Vec::new(), true));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_head(&bytes);
            let _ = decode(Framing::Chunked, &[&bytes]);
        }
    }
}
