//! Digits and strings, eight bytes at a time.
//!
//! A word holds the next eight bytes, the first in its lowest byte. What is asked of every byte of it at once shows in
//! the byte's highest bit, so that the number of trailing zeros says where the first such byte stands. Bits above the
//! first may be wrong, since a borrow or a carry runs upwards; nothing looks at them.

use crate::events::{MAX_ID_BYTES, MetricSet, is_refused_in_id};
use crate::validate::id_characters::id_oddity;

const EVERY: u64 = 0x0101_0101_0101_0101;
const HIGHEST: u64 = 0x80 * EVERY;

/// What a number may have in digits before its value may not fit 64 bits; longer ones are for others to read.
const MOST_DIGITS: usize = 18;

const POWERS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Powers of ten that are exact in floating point, as is every whole number up to 15 digits: a division of the two
/// rounds once, and so gives the nearest value (Clinger, "How to read floating point numbers accurately", 1990).
const EXACT_POWERS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
const EXACT_DIGITS: usize = 15;

/// A place in a text. What does not stand there as it should is `None`, and the place is then of no more use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

/// A number with a fraction, as it is written.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Figure<'a> {
    text: &'a [u8],
    whole: u64,
    fraction: u64,
    digits: usize,
    fraction_digits: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// How many bytes are left.
    #[inline(always)]
    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next byte.
    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    #[inline(always)]
    pub(super) fn starts_with(&self, text: &'static str) -> bool {
        self.rest.starts_with(text.as_bytes())
    }

    /// Moves behind `text`, which has to stand here.
    #[inline(always)]
    pub(super) fn expect(&mut self, text: &'static str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text.as_bytes())?;
        Some(())
    }

    /// Moves behind spaces and tabs.
    #[inline(always)]
    pub(super) fn skip_blanks(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    #[inline(always)]
    fn word(&self) -> u64 {
        match self.rest.first_chunk::<8>() {
            Some(bytes) => u64::from_le_bytes(*bytes),
            None => last_word(self.rest),
        }
    }

    /// Up to eight digits: their value and their number.
    #[inline(always)]
    fn eight(&mut self) -> (u64, usize) {
        let digits = self.word() ^ (0x30 * EVERY);
        // 0x76 lifts what is more than 9 into the highest bit.
        let others = (digits.wrapping_add(0x76 * EVERY) | digits) & HIGHEST;
        let count = others.trailing_zeros() as usize / 8;
        if count == 0 {
            return (0, 0);
        }
        // The last digit goes into the highest byte, with zeros before the first.
        let digits = digits << (64 - 8 * count);
        let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
        let mask = 0x0000_00ff_0000_00ff;
        let outer = (pairs & mask).wrapping_mul(100 + (1_000_000 << 32));
        let inner = ((pairs >> 16) & mask).wrapping_mul(1 + (10_000 << 32));
        self.rest = self.rest.get(count..).unwrap_or_default();
        (outer.wrapping_add(inner) >> 32, count)
    }

    /// A run of 1 to [`MOST_DIGITS`] digits: its value and its length.
    #[inline(always)]
    fn run(&mut self) -> Option<(u64, usize)> {
        let (mut value, mut count) = self.eight();
        let mut more = count;
        while more == 8 {
            let next;
            (next, more) = self.eight();
            count += more;
            if count > MOST_DIGITS {
                return None;
            }
            value = value * POWERS.get(more).copied()? + next;
        }
        (count > 0).then_some((value, count))
    }

    /// A whole number that is not negative.
    #[inline(always)]
    pub(super) fn whole(&mut self) -> Option<u64> {
        let first = self.peek();
        let (value, count) = self.run()?;
        (count == 1 || first != Some(b'0')).then_some(value)
    }

    /// A number that is not negative and has no exponent.
    #[inline(always)]
    pub(super) fn figure(&mut self) -> Option<Figure<'a>> {
        let text = self.rest;
        let (whole, digits) = self.run()?;
        if digits > 1 && text.first() == Some(&b'0') {
            return None;
        }
        let (mut fraction, mut fraction_digits) = (0, 0);
        if let Some(rest) = self.rest.strip_prefix(b".") {
            self.rest = rest;
            (fraction, fraction_digits) = self.run()?;
        }
        let text = text.get(..text.len() - self.rest.len())?;
        Some(Figure { text, whole, fraction, digits: digits + fraction_digits, fraction_digits })
    }

    /// The rest of a string, up to its closing quote, as an id that no rule objects to.
    #[inline(always)]
    pub(super) fn id(&mut self) -> Option<&'a [u8]> {
        let mut length = 0;
        let mut ahead = *self;
        loop {
            let word = ahead.word();
            let is = |byte: u64| {
                let differs = word ^ (byte * EVERY);
                differs.wrapping_sub(EVERY) & !differs
            };
            let control = word.wrapping_sub(0x20 * EVERY) & !word;
            let stops = (is(0x22) | is(0x5c) | is(0x7f) | control | word) & HIGHEST;
            if stops != 0 {
                length += stops.trailing_zeros() as usize / 8;
                break;
            }
            length += 8;
            if length > MAX_ID_BYTES {
                return None;
            }
            ahead.rest = ahead.rest.get(8..)?;
        }
        if self.rest.get(length).is_some_and(|byte| *byte >= 0x80) {
            return self.id_in_unicode();
        }
        let (id, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest.strip_prefix(b"\"")?;
        // An id with a blank at an end is remarked on; one of nothing but blanks is among them.
        ((1..=MAX_ID_BYTES).contains(&length) && id.first() != Some(&b' ') && id.last() != Some(&b' ')).then_some(id)
    }

    #[cold]
    fn id_in_unicode(&mut self) -> Option<&'a [u8]> {
        let length = memchr::memchr(b'"', self.rest.get(..=MAX_ID_BYTES).unwrap_or(self.rest))?;
        let (id, rest) = self.rest.split_at_checked(length)?;
        let text = std::str::from_utf8(id).ok()?;
        if text.contains(|char: char| char == '\\' || is_refused_in_id(char)) || id_oddity(text).is_some() {
            return None;
        }
        self.rest = rest.get(1..)?;
        Some(id)
    }

    /// The rest of an array of names of metrics in the order of an event, one at least, with `comma` between them.
    pub(super) fn metrics(&mut self, comma: &'static str) -> Option<MetricSet> {
        let (names, mut found, mut from) = (MetricSet::all_names(), MetricSet::NONE, 0);
        loop {
            self.expect("\"")?;
            let behind = |name: &str| self.rest.strip_prefix(name.as_bytes())?.strip_prefix(b"\"");
            let mut later = names.iter().enumerate().skip(from);
            let (place, rest) = later.find_map(|(place, name)| Some((place, behind(name)?)))?;
            (self.rest, from) = (rest, place + 1);
            found = found.union(MetricSet::at(place));
            if let Some(rest) = self.rest.strip_prefix(b"]") {
                self.rest = rest;
                return Some(found);
            }
            self.expect(comma)?;
        }
    }

    /// The end of a line or of the text.
    #[inline(always)]
    pub(super) fn line_end(&mut self) -> Option<()> {
        self.rest = match self.rest {
            [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => rest,
            [] | [b'\r'] => &[],
            _ => return None,
        };
        Some(())
    }
}

impl Figure<'_> {
    /// What stands before the point.
    #[inline(always)]
    pub(super) const fn whole(&self) -> u64 {
        self.whole
    }

    /// Whether it is at most 100. (It is not for some that would be rounded to 100.)
    #[inline(always)]
    pub(super) const fn is_percentage(&self) -> bool {
        self.whole < 100 || (self.whole == 100 && self.fraction == 0)
    }

    /// The value that `serde_json` gives.
    #[inline(always)]
    pub(super) fn value(&self) -> Option<f64> {
        if self.digits > EXACT_DIGITS {
            return serde_json::from_slice(self.text).ok();
        }
        // Both have at most 15 digits, and so has the sum.
        let shift = POWERS_TO_15.get(self.fraction_digits).copied()?;
        #[allow(clippy::cast_precision_loss)] // less than 2^53
        let digits = (self.whole * shift + self.fraction) as f64;
        Some(digits / EXACT_POWERS.get(self.fraction_digits).copied()?)
    }
}

const POWERS_TO_15: [u64; 16] = {
    let mut powers = [1; 16];
    let mut at = 1;
    while at < 16 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// Fewer than eight bytes, with zeros behind, which are neither digits nor text.
#[cold]
fn last_word(rest: &[u8]) -> u64 {
    rest.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_of_every_form() {
        for (text, value, left) in [
            ("0", Some(0.0), 0),
            ("0.0,", Some(0.0), 1),
            ("12.5,\"x\"", Some(12.5), 4),
            ("12345678", Some(12_345_678.0), 0),
            ("1234567.12345678}", Some(1_234_567.123_456_78), 1),
            ("33.333333333333336", Some(33.333_333_333_333_336), 0),
            ("999999999999999.9", Some(999_999_999_999_999.9), 0),
            ("123456789012345678 ", Some(123_456_789_012_345_678.0), 1),
            ("1e3", Some(1.0), 2),
            ("00", None, 0),
            ("01.5", None, 0),
            ("1234567890123456789", None, 0),
            ("1.", None, 0),
            (".5", None, 0),
            ("-1", None, 0),
            ("", None, 0),
        ] {
            let mut cursor = Cursor::new(text.as_bytes());
            let found = cursor.figure().and_then(|figure| figure.value());
            assert_eq!(found, value, "{text}");
            if found.is_some() {
                assert_eq!(cursor.left(), left, "{text}");
            }
        }
    }

    #[test]
    fn ids_end_at_their_quote() {
        for (text, id) in [
            ("a\",", Some("a")),
            ("instance-abc123\"", Some("instance-abc123")),
            ("12345678\"", Some("12345678")),
            ("é!\"", Some("é!")),
            ("12345678é\"", Some("12345678é")),
            ("\"", None),
            ("no end", None),
            ("a\\n\"", None),
            ("é\\n\"", None),
            ("a\u{7f}\"", None),
            ("é\u{85}\"", None),
            ("a\nb\"", None),
            ("a\0b\"", None),
            (" a\"", None),
            ("a \"", None),
            ("  \"", None),
            ("a b\"", Some("a b")),
            ("é\u{200b}\"", None),
            ("\u{2003}\"", None),
        ] {
            assert_eq!(Cursor::new(text.as_bytes()).id(), id.map(str::as_bytes), "{text:?}");
        }
        assert_eq!(Cursor::new(b"a\xff\"").id(), None);
        for length in [255, 256, 257] {
            let (text, unicode) = (format!("{}\"", "x".repeat(length)), format!("{}é\"", "x".repeat(length - 2)));
            assert_eq!(Cursor::new(text.as_bytes()).id().is_some(), length <= 256);
            assert_eq!(Cursor::new(unicode.as_bytes()).id().is_some(), length <= 256);
        }
    }

    proptest! {
        #[test]
        fn a_figure_is_what_serde_json_reads(text in "(0|[1-9][0-9]{0,19})(\\.[0-9]{1,19})?", behind in "[,} e\\]]?.{0,3}") {
            let both = format!("{text}{behind}");
            let mut cursor = Cursor::new(both.as_bytes());
            if let Some(figure) = cursor.figure() && cursor.left() == behind.len() {
                let value: f64 = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(figure.value().unwrap().to_bits(), value.to_bits());
                prop_assert!(!figure.is_percentage() || value <= 100.0);
            }
        }

        #[test]
        fn a_whole_number_is_what_it_says(number in any::<u64>(), shift in 0..64u32, behind in "[,} ]") {
            let number = number >> shift;
            let text = format!("{number}{behind}");
            let mut cursor = Cursor::new(text.as_bytes());
            match cursor.whole() {
                Some(found) => prop_assert_eq!((found, cursor.left()), (number, 1)),
                None => prop_assert!(number >= 1_000_000_000_000_000_000),
            }
        }

        #[test]
        fn an_id_has_nothing_that_a_rule_objects_to(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(id) = Cursor::new(&bytes).id() {
                let text = std::str::from_utf8(id).unwrap();
                prop_assert!(id_oddity(text).is_none());
                prop_assert!(!text.is_empty() && !text.contains(|char: char| char.is_control() || "\"\\".contains(char)));
            }
        }
    }
}
