//! Fuzzing of replies as they come over a connection.

use super::framing::{Decoder, read_head};

/// Reads `bytes` as a reply: at once, and in pieces as a network may give them. Both say the same.
pub(in super::super) fn reply(bytes: &[u8]) {
    let Ok(Some((head, length))) = read_head(bytes) else { return };
    assert!(length <= bytes.len());
    for cut in 0..length {
        assert!(!matches!(read_head(&bytes[..cut]), Ok(Some(_))), "a part of a head was taken for the whole");
    }
    let text = &bytes[length..];
    let whole = decoded(&mut Decoder::new(head.framing), text, text.len());
    for step in [1, 2, 7] {
        assert_eq!(whole, decoded(&mut Decoder::new(head.framing), text, step), "in pieces of {step} bytes");
    }
}

/// The text that comes in pieces of `step` bytes, and whether it is whole; `None` where it is no text.
fn decoded(decoder: &mut Decoder, bytes: &[u8], step: usize) -> Option<(Vec<u8>, bool)> {
    let (mut text, mut unread) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        unread.extend_from_slice(piece);
        let used = decoder.decode(&unread, &mut text).ok()?;
        unread.drain(..used);
    }
    assert!(text.len() <= bytes.len());
    Some((text, decoder.is_done()))
}
