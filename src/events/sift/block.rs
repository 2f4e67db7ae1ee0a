//! An input in blocks that end where a line ends.

use std::io::{self, Read};

use crate::events::LineReader;

/// How much is read at a time: it fits a processor's own cache, and threads hand over seldom.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// Whole lines; the last one of the input may lack its end.
#[derive(Debug, Default)]
pub(super) struct Block {
    buffer: Vec<u8>,
    /// The lines are `buffer[..end]`.
    end: usize,
    /// They are the beginning of one line that is longer than the limit; the rest of it is not to be had.
    pub(super) overlong: bool,
}

impl Block {
    pub(super) fn lines(&self) -> &[u8] {
        self.buffer.get(..self.end).unwrap_or_default()
    }

    /// Gives back what a long line needed.
    pub(super) fn recycle(mut self) -> Self {
        if self.buffer.len() > 2 * BLOCK_BYTES {
            self.buffer.truncate(BLOCK_BYTES);
            self.buffer.shrink_to_fit();
        }
        self
    }
}

/// Cuts an input.
#[derive(Debug)]
pub(super) struct Cutter<R> {
    input: R,
    limit: usize,
    /// What came behind the last line end.
    carry: Vec<u8>,
    /// Inside a line that is longer than the limit.
    skipping: bool,
    finished: bool,
}

impl<R: Read> Cutter<R> {
    /// Goes on where `lines`, which must not be inside a line, stands.
    pub(super) fn new(lines: LineReader<R>) -> Self {
        let limit = lines.limit();
        let (input, carry) = lines.into_rest();
        Self { input, limit, carry, skipping: false, finished: false }
    }

    pub(super) const fn limit(&self) -> usize {
        self.limit
    }

    /// Fills `block` with the lines that the next read brings, or as many more as it takes to end one. Says whether
    /// there are any.
    pub(super) fn fill(&mut self, block: &mut Block) -> io::Result<bool> {
        (block.end, block.overlong) = (0, false);
        let buffer = &mut block.buffer;
        let mut filled = self.carry.len();
        let least = BLOCK_BYTES.max(filled + BLOCK_BYTES / 2);
        if buffer.len() < least {
            buffer.resize(least, 0);
        }
        buffer[..filled].copy_from_slice(&self.carry);
        self.carry.clear();
        let mut searched = 0;
        loop {
            if self.skipping {
                filled = match memchr::memchr(b'\n', &buffer[..filled]) {
                    Some(end) => {
                        self.skipping = false;
                        buffer.copy_within(end + 1..filled, 0);
                        filled - end - 1
                    }
                    None => 0,
                };
                searched = 0;
            }
            if let Some(end) = memchr::memrchr(b'\n', &buffer[searched..filled]) {
                block.end = searched + end + 1;
                self.carry.extend_from_slice(&buffer[block.end..filled]);
                return Ok(true);
            }
            searched = filled;
            if self.finished {
                block.end = filled;
                return Ok(filled > 0);
            }
            // A line of the limit may have a `\r` behind it.
            if filled > self.limit.saturating_add(1) {
                (block.end, block.overlong, self.skipping) = (filled, true, true);
                return Ok(true);
            }
            if filled == buffer.len() {
                let length = buffer.len().saturating_mul(2).min(self.limit.saturating_add(2));
                buffer.resize(length.max(filled + 1), 0);
            }
            let read = loop {
                match self.input.read(&mut buffer[filled..]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result?,
                }
            };
            filled += read;
            self.finished = read == 0;
        }
    }
}
