//! Where the operations of the NATS protocol begin and end (pure): what has to be known of a connection to tell a server
//! that answers from one that floods.

use std::fmt;

/// The longest line. The longest of honest servers is an `INFO` that names every server of a large cluster.
pub(super) const MAX_LINE_BYTES: usize = 256 << 10;

const LINE_END: &[u8] = b"\r\n";

/// One operation, as far as limits concern it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// `PONG`, which answers what the other side sent.
    Pong,
    Other,
}

/// What no peer sends that speaks the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Violation {
    EndlessLine,
    /// A message of so many bytes, and how many are permitted.
    HugeMessage {
        bytes: usize,
        limit: usize,
    },
    /// A line that can't be understood.
    Malformed,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndlessLine => write!(f, "a line of more than {} KiB", MAX_LINE_BYTES >> 10),
            Self::HugeMessage { bytes, limit } => {
                write!(f, "a message of {bytes} bytes, more than the limit of {limit}")
            }
            Self::Malformed => f.write_str("a line that is no operation of NATS"),
        }
    }
}

/// Finds the operations in one direction of a connection, whose bytes come in pieces. Keeps at most one unfinished line.
#[derive(Debug)]
pub(super) struct OperationReader {
    unfinished_line: Vec<u8>,
    /// How much of a message's payload, with the line end behind it, is still to come.
    payload_left: usize,
    max_message_bytes: usize,
}

impl OperationReader {
    pub(super) const fn new(max_message_bytes: usize) -> Self {
        Self { unfinished_line: Vec::new(), payload_left: 0, max_message_bytes }
    }

    /// Reads on in `bytes` and calls `each` for every operation whose line ends in them.
    ///
    /// # Errors
    /// What breaks the protocol; the connection can't be read on.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(Operation) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        while !bytes.is_empty() {
            if self.payload_left > 0 {
                let skipped = self.payload_left.min(bytes.len());
                self.payload_left -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let end = match (self.unfinished_line.last(), bytes.first()) {
                // The line end came in two pieces.
                (Some(b'\r'), Some(b'\n')) => Some(1),
                _ => memchr::memmem::find(bytes, LINE_END).map(|at| at + LINE_END.len()),
            };
            let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.unfinished_line.len() + line.len() > MAX_LINE_BYTES {
                return Err(Violation::EndlessLine);
            }
            bytes = rest;
            if end.is_none() {
                self.unfinished_line.extend_from_slice(line);
            } else if self.unfinished_line.is_empty() {
                each(self.operation(line)?)?;
            } else {
                self.unfinished_line.extend_from_slice(line);
                let line = std::mem::take(&mut self.unfinished_line);
                each(self.operation(&line)?)?;
            }
        }
        Ok(())
    }

    fn operation(&mut self, line: &[u8]) -> Result<Operation, Violation> {
        let begins_with = |verb: &[u8]| line.starts_with(verb);
        if begins_with(b"MSG ") || begins_with(b"HMSG ") || begins_with(b"PUB ") || begins_with(b"HPUB ") {
            let bytes = last_number(line).ok_or(Violation::Malformed)?;
            if bytes > self.max_message_bytes {
                return Err(Violation::HugeMessage { bytes, limit: self.max_message_bytes });
            }
            self.payload_left = bytes + LINE_END.len();
        }
        // The client panics at an error without a text.
        if begins_with(b"-ERR") && !begins_with(b"-ERR ") {
            return Err(Violation::Malformed);
        }
        Ok(if begins_with(b"PONG") { Operation::Pong } else { Operation::Other })
    }
}

fn last_number(line: &[u8]) -> Option<usize> {
    let word = line.trim_ascii_end().rsplit(u8::is_ascii_whitespace).next()?;
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(pieces: &[&[u8]], max_message_bytes: usize) -> Result<Vec<Operation>, Violation> {
        let mut reader = OperationReader::new(max_message_bytes);
        let mut found = Vec::new();
        for piece in pieces {
            reader.read(piece, |operation| {
                found.push(operation);
                Ok(())
            })?;
        }
        Ok(found)
    }

    #[test]
    fn operations_are_the_same_however_the_bytes_are_cut() {
        use Operation::{Other, Pong};
        let bytes =
            b"INFO {}\r\nPING\r\nMSG a 1 9\r\nPONG\r\nxyz\r\nHMSG b 2 r 4 6\r\nPONGab\r\nPONG\r\n-ERR 'no'\r\n+OK\r\n";
        let expected = vec![Other, Other, Other, Other, Pong, Other, Other];
        assert_eq!(operations(&[bytes], 100), Ok(expected.clone()));
        for at in 0..bytes.len() {
            let (first, second) = bytes.split_at(at);
            assert_eq!(operations(&[first, second], 100), Ok(expected.clone()), "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(operations(&single, 100), Ok(expected));
    }

    #[test]
    fn violations_are_found_before_anything_is_kept() {
        assert_eq!(operations(&[&vec![b'x'; MAX_LINE_BYTES + 1]], 100), Err(Violation::EndlessLine));
        let half = vec![b'\n'; MAX_LINE_BYTES / 2 + 1];
        assert_eq!(operations(&[&half, &half], 100), Err(Violation::EndlessLine));
        let huge = Violation::HugeMessage { bytes: 101, limit: 100 };
        assert_eq!(operations(&[b"MSG a 1 101\r\n"], 100), Err(huge));
        for line in ["MSG a 1 18446744073709551616\r\n", "MSG a 1 -1\r\n", "HMSG a 1 x\r\n", "MSG \r\n", "-ERR\r\n"] {
            assert_eq!(operations(&[line.as_bytes()], 100), Err(Violation::Malformed), "{line:?}");
        }
    }
}
