//! NDJSON as a stream of lines, in flat memory whatever the input holds.

use std::io::{self, Read};

/// The longest line that is taken as one, in bytes, unless set otherwise: 1 MiB, twice what the Form queue's limit on
/// requests leaves for an event.
pub const DEFAULT_MAX_LINE_BYTES: usize = 1 << 20;

const FIRST_BUFFER_BYTES: usize = 64 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One line of the input, without its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Counted from 1; blank lines count.
    pub number: u64,
    /// The bytes, without `\n` or `\r\n`.
    pub bytes: &'a [u8],
    /// Whether this is the line or a piece of it.
    pub part: LinePart,
}

/// Whether a [`Line`] is a whole line or a piece of one that exceeds the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinePart {
    /// The whole line.
    Whole,
    /// A piece of a line that is longer than the limit; the pieces together are the line.
    Piece {
        /// Counted from 0.
        index: u64,
        /// No piece of this line follows.
        last: bool,
    },
}

/// Reads lines that end in `\n` or `\r\n`; the last one may lack its end. A byte-order mark at the start and blank
/// lines are skipped. A line beyond the limit comes in pieces, so that nothing of it is lost and memory stays flat.
///
/// ```
/// use form_usage_events::events::LineReader;
///
/// let mut lines = LineReader::new(&b"{\"a\":1}\r\n\n{\"b\":2}"[..]);
/// assert_eq!(lines.next_line()?.map(|line| (line.number, line.bytes)), Some((1, &b"{\"a\":1}"[..])));
/// assert_eq!(lines.next_line()?.map(|line| (line.number, line.bytes)), Some((3, &b"{\"b\":2}"[..])));
/// assert!(lines.next_line()?.is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct LineReader<R> {
    input: R,
    limit: usize,
    buffer: Vec<u8>,
    /// The unread bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Bytes of the unread part in which no line end was found.
    searched: usize,
    lines: u64,
    /// The next piece's index, inside a line that is longer than the limit.
    piece: Option<u64>,
    at_start: bool,
    finished: bool,
    /// Bytes read so far, and by the last read.
    bytes: u64,
    last_read: usize,
}

impl<R: Read> LineReader<R> {
    /// Reads `input` with [`DEFAULT_MAX_LINE_BYTES`].
    pub fn new(input: R) -> Self {
        Self::with_limit(input, DEFAULT_MAX_LINE_BYTES)
    }

    /// Reads `input`; lines of more than `max_line_bytes` (at least 1) come in pieces.
    pub fn with_limit(input: R, max_line_bytes: usize) -> Self {
        let limit = max_line_bytes.max(1);
        Self {
            input,
            limit,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            searched: 0,
            lines: 0,
            piece: None,
            at_start: true,
            finished: false,
            bytes: 0,
            last_read: 0,
        }
    }

    /// How many lines have been read, blank ones included.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// How many bytes have been read, and how many of them by the last read: whether the input is large, and fast.
    pub(super) const fn pace(&self) -> (u64, usize) {
        (self.bytes, self.last_read)
    }

    /// The longest line that is taken as one.
    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the next line begins where the last one ended: not inside a line that comes in pieces.
    pub(super) const fn is_between_lines(&self) -> bool {
        self.piece.is_none()
    }

    /// The input. Bytes that were read from it and not handed out as lines yet stay with the reader.
    pub(crate) const fn input(&self) -> &R {
        &self.input
    }

    /// The input, to be replaced by another that goes on where this one stands.
    pub(crate) const fn input_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// The input, and what was read of it and not handed out.
    pub(super) fn into_rest(mut self) -> (R, Vec<u8>) {
        self.buffer.truncate(self.end);
        self.buffer.drain(..self.start);
        (self.input, self.buffer)
    }

    /// Whether [`LineReader::next_line`] has a whole line at hand. Otherwise it reads the input, and may have to wait for
    /// it: the moment to hand on what was made of the lines so far.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let mut unread = &self.buffer[self.start..self.end];
        while let Some(end) = memchr::memchr(b'\n', unread) {
            // Blank lines are skipped, so that they are not what `next_line` returns.
            if !unread[..end].trim_ascii().is_empty() {
                return true;
            }
            unread = &unread[end + 1..];
        }
        false
    }

    /// The next line or piece, or `None` at the end of the input.
    ///
    /// # Errors
    /// What reading the input gave.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.next(true)
    }

    /// The next line that has its end, or `None` where no more has come yet: for inputs that others append to, who may
    /// be in the middle of a line. Looks again for what has come since.
    ///
    /// # Errors
    /// What reading the input gave.
    pub fn next_ended_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.finished = false;
        self.next(false)
    }

    fn next(&mut self, end_may_lack: bool) -> io::Result<Option<Line<'_>>> {
        loop {
            let Some((range, part)) = self.next_range(end_may_lack)? else {
                return Ok(None);
            };
            let blank = part == LinePart::Whole && self.buffer[range.clone()].trim_ascii().is_empty();
            if !blank {
                return Ok(Some(Line { number: self.lines, bytes: &self.buffer[range], part }));
            }
        }
    }

    fn next_range(&mut self, end_may_lack: bool) -> io::Result<Option<(std::ops::Range<usize>, LinePart)>> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            if let Some(found) = memchr::memchr(b'\n', &unread[self.searched..]) {
                let length = self.searched + found;
                // A line end right behind `limit` bytes, or `limit` bytes and a `\r`, still ends a line of the limit.
                let text = length - usize::from(unread[..length].ends_with(b"\r"));
                if text <= self.limit {
                    return Ok(Some(self.take(text, length + 1, true)));
                }
            } else if self.finished {
                if unread.is_empty() {
                    // Behind a full piece the line's last one is empty.
                    return Ok((end_may_lack && self.piece.is_some()).then(|| self.take(0, 0, true)));
                }
                let text = unread.len() - usize::from(unread.ends_with(b"\r"));
                if text <= self.limit {
                    if !end_may_lack {
                        return Ok(None);
                    }
                    let length = unread.len();
                    return Ok(Some(self.take(text, length, true)));
                }
            } else {
                self.searched = unread.len();
            }
            if self.end - self.start > self.limit + 1 {
                return Ok(Some(self.take(self.limit, self.limit, false)));
            }
            if self.finished {
                // `limit + 1` bytes without an end behind them: a piece, and one byte more.
                return Ok(Some(self.take(self.limit, self.limit, false)));
            }
            self.fill()?;
        }
    }

    /// Hands out the first `text` unread bytes and moves past `length` of them.
    fn take(&mut self, text: usize, length: usize, ends: bool) -> (std::ops::Range<usize>, LinePart) {
        let range = self.start..self.start + text;
        self.start += length;
        self.searched = 0;
        if self.piece.is_none() {
            self.lines += 1;
        }
        let part = match (self.piece, ends) {
            (None, true) => LinePart::Whole,
            (index, last) => LinePart::Piece { index: index.unwrap_or(0), last },
        };
        self.piece = match (part, ends) {
            (LinePart::Piece { index, .. }, false) => Some(index + 1),
            _ => None,
        };
        (range, part)
    }

    /// Reads more; grows the buffer only when a line needs it.
    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            let most = self.limit.saturating_add(2).max(FIRST_BUFFER_BYTES);
            let length = (self.buffer.len() * 2).clamp(FIRST_BUFFER_BYTES, most);
            self.buffer.resize(length, 0);
        }
        let read = loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += read;
        self.bytes += read as u64;
        self.last_read = read;
        self.finished = read == 0;
        if self.at_start && (self.end >= BYTE_ORDER_MARK.len() || self.finished) {
            self.at_start = false;
            if self.buffer[..self.end].starts_with(BYTE_ORDER_MARK) {
                self.start = BYTE_ORDER_MARK.len();
                self.searched = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    type Owned = (u64, Vec<u8>, LinePart);

    fn lines(input: impl Read, limit: usize) -> Vec<Owned> {
        let mut reader = LineReader::with_limit(input, limit);
        let mut found = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            found.push((line.number, line.bytes.to_vec(), line.part));
        }
        found
    }

    fn whole(number: u64, text: &str) -> Owned {
        (number, text.into(), LinePart::Whole)
    }

    fn piece(number: u64, text: &str, index: u64, last: bool) -> Owned {
        (number, text.into(), LinePart::Piece { index, last })
    }

    /// Gives one byte at a time, as a slow pipe may.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(buffer.len()).min(1);
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn line_ends_blank_lines_and_a_byte_order_mark() {
        let input = b"\xef\xbb\xbfone\r\n\n  \t\ntwo\nthree";
        let expected = [whole(1, "one"), whole(4, "two"), whole(5, "three")];
        assert_eq!(lines(&input[..], 100), expected);
        assert_eq!(lines(Trickle(input), 100), expected);
        assert_eq!(lines(&b""[..], 100), []);
        assert_eq!(lines(&b"\xef\xbb\xbf"[..], 100), []);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        for input in ["abcd\nx", "abcd\r\nx", "abcd"] {
            assert_eq!(lines(Trickle(input.as_bytes()), 4)[0], whole(1, "abcd"), "{input:?}");
        }
    }

    #[test]
    fn a_longer_line_comes_in_pieces() {
        let expected = [piece(1, "abcd", 0, false), piece(1, "efgh", 1, false), piece(1, "i", 2, true), whole(2, "xy")];
        assert_eq!(lines(&b"abcdefghi\nxy\n"[..], 4), expected);
        assert_eq!(lines(Trickle(b"abcdefghi\r\nxy"), 4), expected);
        assert_eq!(lines(&b"abcde"[..], 4), [piece(1, "abcd", 0, false), piece(1, "e", 1, true)]);
    }

    #[test]
    fn it_says_whether_a_line_is_at_hand() {
        let mut reader = LineReader::new(&b"one\ntwo\n \r\n\nthr"[..]);
        assert!(!reader.is_ready());
        assert_eq!(reader.next_line().unwrap().unwrap().bytes, b"one");
        assert!(reader.is_ready());
        assert_eq!(reader.next_line().unwrap().unwrap().bytes, b"two");
        assert!(!reader.is_ready(), "blank lines and a line without its end");
        assert_eq!(reader.next_line().unwrap().unwrap().bytes, b"thr");
        assert!(!reader.is_ready());
    }

    /// A file that others append to between two looks.
    #[test]
    fn a_line_that_is_still_being_written_waits_for_its_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut reader = LineReader::new(std::fs::File::open(file.path()).unwrap());
        let mut look = |text: &str| {
            std::fs::OpenOptions::new().append(true).open(file.path()).unwrap().write_all(text.as_bytes()).unwrap();
            reader
                .next_ended_line()
                .unwrap()
                .map(|line| (line.number, String::from_utf8_lossy(line.bytes).into_owned()))
        };
        assert_eq!(look(""), None);
        assert_eq!(look("on"), None);
        assert_eq!(look("e\ntw"), Some((1, "one".into())));
        assert_eq!(look(""), None);
        assert_eq!(reader.next_line().unwrap().map(|line| line.bytes.to_vec()), Some(b"tw".to_vec()));
    }

    #[test]
    fn memory_stays_flat_on_an_endless_line() {
        let mut reader = LineReader::with_limit(io::repeat(b'x').take(64 << 20), 1 << 20);
        let mut bytes = 0;
        while let Some(line) = reader.next_line().unwrap() {
            bytes += line.bytes.len();
        }
        assert_eq!(bytes, 64 << 20);
        assert!(reader.buffer.len() <= (1 << 20) + 2);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_invented(input in "(a|b|\n|\r\n){0,60}", limit in 1usize..8) {
            let mut rebuilt: Vec<(u64, String)> = Vec::new();
            for (number, bytes, part) in lines(Trickle(input.as_bytes()), limit) {
                let text = String::from_utf8(bytes).unwrap();
                prop_assert!(text.len() <= limit);
                match (part, rebuilt.last_mut()) {
                    (LinePart::Piece { index: 1.., .. }, Some(line)) => line.1.push_str(&text),
                    _ => rebuilt.push((number, text)),
                }
            }
            let expected: Vec<(u64, String)> = (1..).zip(input.split('\n'))
                .map(|(number, line)| (number, line.strip_suffix('\r').unwrap_or(line).to_owned()))
                .filter(|(_, line)| !line.trim_ascii().is_empty())
                .collect();
            prop_assert_eq!(rebuilt, expected);
        }
    }
}
