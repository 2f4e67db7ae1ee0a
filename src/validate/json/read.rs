//! Structure: objects, arrays, and what stands between their parts.

use std::borrow::Cow;
use std::collections::HashSet;

use super::other::{first_line, other_format};
use super::{Member, Node, Text, Value, escape_pointer, quote};
use crate::events::MAX_DEPTH;
use crate::validate::finding::NOTHING;
use crate::validate::{Code, Finding};

/// Behind so many faults a text is read no further.
const MAX_FAULTS: u32 = 10_000;
/// The most values that a text may hold, which bounds the memory of the tree: some 400 MB. A threshold has about ten.
const MAX_VALUES: u32 = 4_000_000;

/// Reads the one document that `text` holds. Each fault goes to `report`; `None` means that one of them left no tree to
/// speak of.
pub(in crate::validate) fn read<'t>(text: &'t Text<'_>, report: &mut dyn FnMut(Finding)) -> Option<Node<'t>> {
    Reader {
        text,
        bytes: text.as_str().as_bytes(),
        at: 0,
        path: Vec::new(),
        faults: 0,
        values: 0,
        single_quotes_named: false,
        report,
    }
    .document()
    .ok()
}

/// What to do about a text that ends too early.
const CUT: &str = "the text was cut, or a quote or a bracket is missing: look at what wrote it";

/// A fault behind which reading on would be guessing. It has been reported.
#[derive(Debug)]
pub(super) struct Stop;

/// One step of the way from the root to the value that is being read.
#[derive(Debug)]
enum Step<'t> {
    Key(Cow<'t, str>),
    Index(usize),
}

pub(super) struct Reader<'r, 't> {
    text: &'t Text<'t>,
    bytes: &'t [u8],
    pub(super) at: usize,
    path: Vec<Step<'t>>,
    faults: u32,
    values: u32,
    pub(super) single_quotes_named: bool,
    report: &'r mut dyn FnMut(Finding),
}

impl<'t> Reader<'_, 't> {
    fn document(&mut self) -> Result<Node<'t>, Stop> {
        let text = self.text.as_str();
        if let (Some((at, _)), Some((format, help))) = (first_line(text), other_format(text)) {
            let finding = Finding::error(Code::InvalidJson, format!("this is {format}, not JSON")).help(help);
            return self.stop(at, finding);
        }
        self.skip_blank()?;
        if self.peek().is_none() {
            // Comments have had their findings.
            return if self.text.as_str().trim().is_empty() {
                self.stop(0, Finding::error(Code::Empty, "there is no JSON here").help(NOTHING))
            } else {
                Err(Stop)
            };
        }
        let root = self.value()?;
        if matches!(root.value, Value::Broken) {
            // Prose, or a table in another format: what follows it says nothing more.
            return Err(Stop);
        }
        self.skip_blank()?;
        if let Some(byte) = self.peek() {
            let message = match byte {
                b'{' | b'[' => "a second JSON document begins here".to_owned(),
                b'}' | b']' => format!("`{}` closes nothing", char::from(byte)),
                _ => "there is text behind the end of the JSON document".to_owned(),
            };
            let finding = Finding::error(Code::TrailingText, message)
                .help("write each document on a line of its own, or all of them in one array");
            self.report(self.at, finding);
        }
        Ok(root)
    }

    /// A value; `self.at` is at its first byte.
    fn value(&mut self) -> Result<Node<'t>, Stop> {
        let start = self.at;
        self.values += 1;
        if self.values > MAX_VALUES {
            let finding = Finding::error(Code::TooLong, format!("this document holds more than {MAX_VALUES} values"));
            return self.stop(start, finding.help("write it as several files"));
        }
        let value = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.array()?,
            Some(b'"') => Value::String(self.string()?),
            Some(b'\'') => Value::String(self.single_quoted()?),
            Some(b',' | b']' | b'}') => {
                let finding = Finding::error(Code::InvalidJson, "a value is missing here").help("write one here");
                self.report(start, finding);
                Value::Broken
            }
            Some(_) => self.word()?,
            None => {
                let finding = Finding::error(Code::InvalidJson, "the text ends where a value is expected").help(CUT);
                return self.stop(start, finding);
            }
        };
        Ok(Node { value, start })
    }

    fn object(&mut self) -> Result<Value<'t>, Stop> {
        let open = self.enter()?;
        let mut members: Vec<Member<'t>> = Vec::new();
        while self.more(open, b'}', members.is_empty())? {
            let start = self.at;
            let key = self.key()?;
            self.skip_blank()?;
            match self.peek() {
                Some(b':') => self.at += 1,
                Some(b'=') => {
                    let finding = Finding::error(Code::InvalidJson, "`=` stands where `:` is expected");
                    self.report(self.at, finding.help("write `:`"));
                    self.at += 1;
                }
                None => return self.unclosed(open, b'{'),
                Some(_) => {
                    let message = format!("`:` is missing behind the key {}", quote(&key));
                    return self.stop(self.at, Finding::error(Code::InvalidJson, message).help("write it"));
                }
            }
            self.skip_blank()?;
            if self.peek().is_none() {
                return self.unclosed(open, b'{');
            }
            self.path.push(Step::Key(key.clone()));
            let node = self.value()?;
            self.path.pop();
            members.push(Member { key, start, node });
        }
        members.shrink_to_fit();
        self.name_duplicates(&members);
        Ok(Value::Object(members))
    }

    fn array(&mut self) -> Result<Value<'t>, Stop> {
        let open = self.enter()?;
        let mut items = Vec::new();
        while self.more(open, b']', items.is_empty())? {
            self.path.push(Step::Index(items.len()));
            items.push(self.value()?);
            self.path.pop();
        }
        items.shrink_to_fit();
        Ok(Value::Array(items))
    }

    /// Passes an opening bracket, and says where it stands.
    fn enter(&mut self) -> Result<usize, Stop> {
        let open = self.at;
        let depth = self.path.len() + 1;
        if depth > MAX_DEPTH {
            let finding = Finding::error(Code::TooDeep, format!("values nest more than {MAX_DEPTH} deep"))
                .help("write flat values; an event needs two levels");
            return self.stop(open, finding);
        }
        self.at += 1;
        Ok(open)
    }

    /// Passes what stands between the parts of an object or an array; false when it was the closing bracket.
    fn more(&mut self, open: usize, close: u8, first: bool) -> Result<bool, Stop> {
        let behind = self.at;
        self.skip_blank()?;
        let mut comma = None;
        while self.peek() == Some(b',') {
            if first || comma.is_some() {
                let finding = Finding::error(Code::InvalidJson, "there is no value before this comma");
                self.report(self.at, finding.help("remove the comma"));
            }
            comma = Some(self.at);
            self.at += 1;
            self.skip_blank()?;
        }
        match (self.peek(), comma) {
            (None, _) => self.unclosed(open, self.bytes.get(open).copied().unwrap_or(b'{')),
            (Some(byte), comma) if byte == close => {
                if let (Some(comma), false) = (comma, first) {
                    let finding = Finding::error(Code::TrailingComma, "nothing follows this comma")
                        .help("JSON has no trailing commas; remove it");
                    self.report(comma, finding);
                }
                self.at += 1;
                Ok(false)
            }
            (Some(byte @ (b'}' | b']')), _) => {
                let opened = self.bytes.get(open).copied().map_or('{', char::from);
                let place = self.text.place(open, "");
                let finding = Finding::error(
                    Code::Unclosed,
                    format!("`{opened}`, opened at line {}, column {}, is not closed", place.line, place.column),
                )
                .found(format!("`{}`", char::from(byte)))
                .expected(format!("`{}`", char::from(close)))
                .help("close first what was opened last");
                self.stop(self.at, finding)
            }
            (Some(_), None) if !first => {
                let finding = Finding::error(Code::InvalidJson, "a comma is missing here").help("write one");
                self.report(behind, finding);
                Ok(true)
            }
            (Some(_), _) => Ok(true),
        }
    }

    fn key(&mut self) -> Result<Cow<'t, str>, Stop> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'\'') => self.single_quoted(),
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => {
                let start = self.at;
                let word = self.take_word();
                let finding = Finding::error(Code::InvalidJson, format!("the key `{word}` lacks its quotes"))
                    .help("write keys in double quotes");
                self.report(start, finding);
                Ok(word.into())
            }
            _ => {
                let finding = Finding::error(Code::InvalidJson, "this is no key").expected("a key in double quotes");
                self.stop(self.at, finding)
            }
        }
    }

    fn name_duplicates(&mut self, members: &[Member<'t>]) {
        let mut seen = HashSet::with_capacity(members.len());
        for member in members {
            if !seen.insert(&*member.key) && self.faults < MAX_FAULTS {
                let finding = Finding::error(
                    Code::DuplicateKey,
                    format!("the key {} stands twice in one object", quote(&member.key)),
                )
                .help("readers disagree on which of the two counts; remove one");
                self.path.push(Step::Key(member.key.clone()));
                self.report(member.start, finding);
                self.path.pop();
            }
        }
    }

    /// Passes whitespace, and comments with a finding each. Stops where there have been too many faults.
    fn skip_blank(&mut self) -> Result<(), Stop> {
        loop {
            if self.faults >= MAX_FAULTS {
                let message = format!("{MAX_FAULTS} faults stand before this place: from here on nothing was read");
                return self.stop(self.at, Finding::error(Code::InvalidJson, message));
            }
            while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
                self.at += 1;
            }
            let start = self.at;
            let rest = self.rest();
            let length = match rest {
                [b'/', b'*', inside @ ..] => match memchr::memmem::find(inside, b"*/") {
                    Some(end) => end + 4,
                    None => {
                        return self
                            .stop(start, Finding::error(Code::Unclosed, "this comment is not closed").help(CUT));
                    }
                },
                [b'/', b'/', ..] | [b'#', ..] => memchr::memchr(b'\n', rest).unwrap_or(rest.len()),
                _ => return Ok(()),
            };
            self.at += length;
            self.report(start, Finding::error(Code::Comment, "JSON has no comments").help("remove it"));
        }
    }

    /// The text ended inside what was opened at `open`.
    pub(super) fn unclosed<T>(&mut self, open: usize, bracket: u8) -> Result<T, Stop> {
        let message = match bracket {
            b'"' | b'\'' => "the string that begins here is not closed".to_owned(),
            _ => format!("the `{}` that stands here is not closed", char::from(bracket)),
        };
        self.stop(open, Finding::error(Code::Unclosed, message).help(CUT))
    }

    pub(super) fn stop<T>(&mut self, offset: usize, finding: Finding) -> Result<T, Stop> {
        self.report(offset, finding);
        Err(Stop)
    }

    /// Reports `finding` at `offset`, with the pointer to the value that is being read.
    pub(super) fn report(&mut self, offset: usize, finding: Finding) {
        self.faults += 1;
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Key(key) => pointer.push_str(&escape_pointer(key)),
                Step::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        (self.report)(finding.at(self.text.place(offset, pointer)));
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// What is still to be read.
    pub(super) fn rest(&self) -> &'t [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The text between two offsets, which must be boundaries of characters; empty where they are not.
    pub(super) fn slice(&self, start: usize, end: usize) -> &'t str {
        self.text.as_str().get(start..end).unwrap_or_default()
    }
}
