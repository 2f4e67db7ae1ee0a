//! A text and the lines and columns in it.

use std::borrow::Cow;
use std::cell::Cell;

use crate::validate::{Code, Finding, Place};

/// At every so manyth byte it is remembered which line that is of: a text may be nothing but line ends, or one line.
const BLOCK: usize = 4_096;

/// A text to read, and where its lines begin.
#[derive(Debug)]
pub(in crate::validate) struct Text<'a> {
    text: Cow<'a, str>,
    first_line: u64,
    /// Of every [`BLOCK`]th byte the line, from 0, and where that begins.
    marks: Vec<(usize, usize)>,
    /// The last place that was asked for: its offset and its column. Findings mostly come in order, so that counting
    /// goes on from here and a line of many faults is counted through once.
    last: Cell<(usize, u64)>,
}

impl<'a> Text<'a> {
    /// `bytes` as text whose first line has the number `first_line`. Bytes that are not UTF-8 are reported, and read
    /// as U+FFFD.
    pub(in crate::validate) fn new(bytes: &'a [u8], first_line: u64, report: &mut dyn FnMut(Finding)) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut marks = vec![(0, 0)];
        marks.extend((text.as_bytes().chunks(BLOCK).enumerate()).scan((0, 0), |line, (block, bytes)| {
            *line = lines_end(*line, block * BLOCK, bytes);
            Some(*line)
        }));
        let this = Self { text, first_line, marks, last: Cell::new((0, 1)) };
        if matches!(this.text, Cow::Owned(_)) {
            this.report_invalid_utf8(bytes, report);
        }
        this
    }

    pub(in crate::validate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The place of the byte at `offset`.
    pub(in crate::validate) fn place(&self, offset: usize, pointer: impl Into<String>) -> Place {
        let offset = offset.min(self.text.len());
        let (index, start) = self.line_of(offset);
        let column = match self.last.get() {
            (last, column) if (start..=offset).contains(&last) => column + self.chars(last, offset),
            // Back a little, as for a key that turns out to stand twice.
            (last, column) if last > offset && last - offset < offset - start && self.is_one_line(offset, last) => {
                column - self.chars(offset, last)
            }
            _ => 1 + self.chars(start, offset),
        };
        self.last.set((offset, column));
        Place { line: self.first_line + index as u64, column, pointer: pointer.into() }
    }

    /// The index of the line of the byte at `offset`, from 0, and where it begins.
    fn line_of(&self, offset: usize) -> (usize, usize) {
        let block = offset / BLOCK;
        let line = self.marks.get(block).copied().unwrap_or_default();
        lines_end(line, block * BLOCK, self.text.as_bytes().get(block * BLOCK..offset).unwrap_or_default())
    }

    fn is_one_line(&self, from: usize, to: usize) -> bool {
        !self.text.as_bytes().get(from..to).unwrap_or_default().contains(&b'\n')
    }

    /// How many characters begin between two offsets.
    fn chars(&self, from: usize, to: usize) -> u64 {
        let bytes = self.text.as_bytes().get(from..to).unwrap_or_default();
        // Every character has one byte that is no continuation byte.
        bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64
    }

    /// One finding however many there are: such a text is in another encoding, or cut in the middle.
    fn report_invalid_utf8(&self, bytes: &[u8], report: &mut dyn FnMut(Finding)) {
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            at += chunk.valid().len();
            if let [first, ..] = chunk.invalid() {
                let finding = Finding::error(Code::InvalidUtf8, "the text is not UTF-8 here")
                    .at(self.place(at, ""))
                    .found(format!("the byte 0x{first:02x}"))
                    .help("JSON is UTF-8; convert the text, as in: iconv -f LATIN1 -t UTF-8");
                return report(finding);
            }
        }
    }
}

/// The line behind `bytes`, which stand at `from` in `line`: its index, and where it begins.
fn lines_end(line: (usize, usize), from: usize, bytes: &[u8]) -> (usize, usize) {
    memchr::memchr_iter(b'\n', bytes).fold(line, |(index, _), end| (index + 1, from + end + 1))
}

/// A key as it stands in a JSON pointer (RFC 6901).
pub(in crate::validate) fn escape_pointer(key: &str) -> Cow<'_, str> {
    if key.contains(['~', '/']) { key.replace('~', "~0").replace('/', "~1").into() } else { key.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_count_characters() {
        let text = Text::new("aé€😀b\n\nü!".as_bytes(), 7, &mut |finding| panic!("{finding}"));
        let at = |offset| {
            let place = text.place(offset, "");
            (place.line, place.column)
        };
        assert_eq!(at(0), (7, 1));
        assert_eq!(at(10), (7, 5)); // b
        assert_eq!(at(1), (7, 2)); // back again
        assert_eq!(at(11), (7, 6)); // the line end
        assert_eq!(at(10), (7, 5)); // back a little
        assert_eq!(at(12), (8, 1));
        assert_eq!(at(15), (9, 2));
        assert_eq!(at(999), (9, 3));
    }

    #[test]
    fn invalid_utf8_is_named_where_it_stands() {
        let mut found = Vec::new();
        let text = Text::new(b"ab\xff\xfecd\xff", 1, &mut |finding| found.push(finding));
        assert_eq!(text.as_str().chars().count(), 7);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place.as_ref().map(|place| place.column), Some(3));
    }

    #[test]
    fn pointers_escape_what_rfc_6901_says() {
        assert_eq!(escape_pointer("a/b~c"), "a~1b~0c");
    }

    #[test]
    fn lines_longer_than_a_block_have_their_places() {
        let text = format!("{}\n{}\n", "x".repeat(3 * BLOCK), "y".repeat(2 * BLOCK));
        let lines = Text::new(text.as_bytes(), 1, &mut |finding| panic!("{finding}"));
        for (offset, expected) in [
            (0, (1, 1)),
            (BLOCK, (1, 4_097)),
            (3 * BLOCK, (1, 12_289)),
            (3 * BLOCK + 1, (2, 1)),
            (5 * BLOCK, (2, 8_192)),
            (text.len(), (3, 1)),
        ] {
            let place = lines.place(offset, "");
            assert_eq!((place.line, place.column), expected, "{offset}");
        }
    }

    proptest! {
        #[test]
        fn places_do_not_depend_on_the_order_of_asking(
            text in "[aé😀\n]{0,60}",
            order in proptest::collection::vec(any::<proptest::sample::Index>(), 0..40),
        ) {
            let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let lines = Text::new(text.as_bytes(), 1, &mut |finding| panic!("{finding}"));
            for index in order {
                let offset = *index.get(&offsets);
                let before = &text[..offset];
                let line = before.matches('\n').count() as u64 + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
                let place = lines.place(offset, "");
                prop_assert_eq!((place.line, place.column), (line, column));
            }
        }
    }
}
