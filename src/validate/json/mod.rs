//! JSON with places: one document as a tree whose every key and value knows where it stands.
//!
//! serde_json stops at the first fault and knows no places in what it accepted. This reader names faults as what they
//! are (a comment, a trailing comma, a bracket and where it was opened) and reads on behind those that leave no doubt
//! about what was meant, so that one run shows them all. It is made for the lines and files that have a fault; sound
//! ones never get here on the hot path.
//!
//! What it accepts without a finding is what serde_json accepts as a `Value`, with these differences, on purpose:
//! a key that stands twice in an object is a finding (readers disagree on which one counts), and values may nest 128
//! deep, as events may, where serde_json stops at 127.

mod other;
mod read;
mod scalar;
mod text;

pub(super) use other::other_format;
pub(super) use read::read;
pub(super) use text::{Text, escape_pointer};

use std::borrow::Cow;

/// A value and where it stands, in bytes of the [`Text`].
#[derive(Debug)]
pub(super) struct Node<'t> {
    pub(super) value: Value<'t>,
    pub(super) start: usize,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Value<'t> {
    Null,
    Bool(bool),
    /// A number as it was written; it fits a 64-bit float.
    Number(&'t str),
    String(Cow<'t, str>),
    Array(Vec<Node<'t>>),
    Object(Vec<Member<'t>>),
    /// A value that could not be read, which has its finding.
    Broken,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Member<'t> {
    pub(super) key: Cow<'t, str>,
    /// Where the key stands, at its opening quote.
    pub(super) start: usize,
    pub(super) node: Node<'t>,
}

/// The most characters of a value that a finding shows.
const SHOWN_CHARS: usize = 60;

impl Node<'_> {
    /// The value in words, shortened where it is long.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "null".into(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) => shorten(text),
            Value::String(text) => format!("the string {}", quote(text)),
            Value::Array(items) if items.is_empty() => "an empty array".into(),
            Value::Array(_) => "an array".into(),
            Value::Object(_) => "an object".into(),
            Value::Broken => "something unreadable".into(),
        }
    }
}

/// `text` in double quotes, with escapes where it holds what could disturb a terminal, shortened where it is long.
pub(super) fn quote(text: &str) -> String {
    let escaped: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(SHOWN_CHARS).is_some() { "…" } else { "" };
    // A single quote needs no escape between double quotes.
    format!("\"{}{more}\"", escaped.replace("\\'", "'"))
}

/// `text` as it is, shortened where it is long.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
