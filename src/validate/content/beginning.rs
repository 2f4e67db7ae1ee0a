//! What the first line of an input says about the rest, and a document put together from its lines.

use std::io::{self, Read};

use crate::events::{LinePart, LineReader};
use crate::validate::json::{self, Text};
use crate::validate::{cases, channels, threshold};

/// A line that has been read ahead.
pub(super) struct Held {
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) part: LinePart,
}

impl Held {
    pub(super) fn next(lines: &mut LineReader<impl Read>) -> io::Result<Option<Self>> {
        let line = lines.next_line()?;
        Ok(line.map(|line| Self { number: line.number, bytes: line.bytes.to_vec(), part: line.part }))
    }
}

/// What the first line says about the rest.
pub(super) enum Beginning {
    /// Every line stands for itself.
    Lines,
    /// One document.
    Document,
    /// An object that goes on in the next line, or was cut.
    Open,
}

impl Beginning {
    pub(super) fn of(first: &Held) -> Self {
        match first.bytes.trim_ascii_start().first() {
            Some(b'[' | b'/' | b'#') => return Self::Document,
            Some(b'{') if first.part == LinePart::Whole => {}
            _ if std::str::from_utf8(&first.bytes).is_ok_and(|line| json::other_format(line).is_some()) => {
                return Self::Document;
            }
            _ => return Self::Lines,
        }
        match continues(&first.bytes) {
            Some(Continuation::Anything) => return Self::Open,
            Some(Continuation::Object) => return Self::Document,
            None => {}
        }
        let text = Text::new(&first.bytes, 1, &mut |_| {});
        match json::read(&text, &mut |_| {}) {
            Some(root)
                if threshold::looks_like_threshold(&root)
                    || channels::looks_like_channels(&root)
                    || cases::looks_like_cases(&root) =>
            {
                Self::Document
            }
            _ => Self::Lines,
        }
    }
}

/// What may follow in the next line.
pub(in crate::validate) enum Continuation {
    /// An object would be out of place, or another document.
    Anything,
    /// An object is as good as anything: it stands in an array, which events have none of, or behind a colon.
    Object,
}

/// What follows where `line` ends inside a bracket, and not inside a string, which can't go on in the next line.
pub(in crate::validate) fn continues(line: &[u8]) -> Option<Continuation> {
    let (mut open, mut in_string, mut escaped) = (Vec::new(), false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => open.push(*byte),
            b'}' | b']' if !in_string => drop(open.pop()),
            _ => {}
        }
    }
    let innermost = open.last().filter(|_| !in_string)?;
    let in_place = *innermost == b'[' || line.trim_ascii_end().ends_with(b":");
    Some(if in_place { Continuation::Object } else { Continuation::Anything })
}

/// A document put together from its lines; blank ones, which the reader skips, keep their place.
pub(super) struct Document {
    pub(super) bytes: Vec<u8>,
    pub(super) line: u64,
}

impl Document {
    pub(super) fn push(&mut self, number: u64, bytes: &[u8]) {
        while self.line < number {
            self.bytes.push(b'\n');
            self.line += 1;
        }
        self.bytes.extend_from_slice(bytes);
    }
}
