//! Fuzzing of what a NATS server says.

use std::io::Cursor;

use futures_util::FutureExt as _;
use serde_json::json;

use super::wire::Link;

/// Lets a server say `bytes` to a client that greets it, introduces itself and asks.
pub(in crate::ping) fn server(bytes: &[u8]) {
    let stream = tokio::io::join(Cursor::new(bytes.to_vec()), tokio::io::sink());
    let mut link = Link::new(stream);
    // What comes from memory comes at once: each of these ends.
    let conversation = async {
        let _ = link.info().await;
        let _ = link.connect(&json!({})).await;
        while let Ok((_, payload)) = link.request("subject", b"payload").await {
            assert!(payload.len() <= bytes.len());
        }
    };
    assert!(conversation.now_or_never().is_some(), "waits for more than there is");
}
