//! Fuzzing of what an HTTP client makes of a reply.

use super::{direct, failure, secret};

/// Reads `bytes` as a reply, as a header of it, and as a text that repeats a secret.
pub(in crate::transport) fn http_framing(bytes: &[u8]) {
    direct::fuzzing::reply(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = failure::retry_after(&text);
    assert!(!failure::excerpt(bytes).chars().any(char::is_control));
    if let Some((hidden, text)) = text.split_once('\n')
        // A secret that the mask itself repeats can't be told from it.
        && hidden.len() >= 4 && !"(secret)".contains(hidden) && !hidden.contains(['(', ')'])
    {
        assert!(!secret::mask(text, hidden).contains(hidden), "the secret shows");
    }
}
