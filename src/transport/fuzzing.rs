//! Fuzzing of replies: see [`crate::fuzzing`].

/// A Form queue's replies.
pub fn form_reply(bytes: &[u8]) {
    super::form::fuzzing::reply(bytes);
}

/// HTTP replies, and what errors quote of them.
pub fn http_framing(bytes: &[u8]) {
    super::http_client::fuzzing::http_framing(bytes);
}
