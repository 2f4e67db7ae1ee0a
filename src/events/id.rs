//! The event id: the idempotency key.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha3::{Digest, Sha3_256};

/// The first 16 bytes of SHA3-256 over an event's compact JSON, as it is sent.
///
/// The same bytes have the same id whoever computes it, so that a second delivery of an event is known as such.
/// Written as 32 lowercase hex digits.
///
/// ```
/// use form_usage_events::events::EventId;
///
/// let id = EventId::of(b"{}");
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId([u8; 16]);

impl EventId {
    /// The id of the event whose compact JSON is `body`.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let digest = Sha3_256::digest(body);
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id that these 16 bytes are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Text that is not an event id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event id is 32 hex digits, found {0:?}")]
pub struct ParseEventIdError(String);

impl FromStr for EventId {
    type Err = ParseEventIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseEventIdError(text.chars().take(64).collect());
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let value = u128::from_str_radix(text, 16).map_err(|_| refuse())?;
        Ok(Self(value.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA3-256 of nothing, from FIPS 202's published examples.
    #[test]
    fn is_the_first_half_of_sha3_256() {
        assert_eq!(EventId::of(b"").to_string(), "a7ffc6f8bf1ed76651c14756a061d662");
    }

    #[test]
    fn refuses_what_is_no_id() {
        for text in ["", "a7ff", "+7ffc6f8bf1ed76651c14756a061d662", "g7ffc6f8bf1ed76651c14756a061d662"] {
            assert!(text.parse::<EventId>().is_err(), "{text:?}");
        }
    }
}
