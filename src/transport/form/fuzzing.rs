//! Fuzzing of a Form queue's replies.

use serde::Deserialize;

use super::list::ListReader;
use super::wire::{Reply, read_reply};

#[derive(Deserialize)]
struct List {
    #[serde(rename = "List")]
    messages: Vec<Vec<u8>>,
}

/// Reads `text` as the reply to a write, and as a list: at once, in pieces, and as JSON.
pub(in crate::transport) fn reply(text: &[u8]) {
    if let Reply::Success = read_reply(text) {
        assert!(serde_json::from_slice::<serde_json::Value>(text).is_ok());
    }
    let whole = list(text, text.len());
    for step in [1, 3] {
        assert_eq!(whole, list(text, step), "in pieces of {step} bytes");
    }
    // JSON may spell the name with escapes, and may have other fields; queues do neither.
    let is_plain = !text.contains(&b'\\') && memchr::memchr_iter(b':', text).count() == 1;
    if let Some(expected) = serde_json::from_slice::<List>(text).ok().filter(|_| is_plain) {
        assert_eq!(whole, Some((expected.messages, true)));
    }
}

/// The messages of a list that comes in pieces of `step` bytes, and whether its end was there.
fn list(text: &[u8], step: usize) -> Option<(Vec<Vec<u8>>, bool)> {
    let (mut reader, mut found) = (ListReader::default(), Vec::new());
    text.chunks(step.max(1)).try_for_each(|piece| reader.push(piece, &mut found)).ok()?;
    Some((found, reader.is_whole()))
}
