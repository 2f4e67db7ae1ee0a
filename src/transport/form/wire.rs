//! The protocol's texts: the request of a write, and the replies.

use serde_json::Value;
use sha3::{Digest, Sha3_256};

use crate::transport::http_client::excerpt;
use crate::transport::{Failure, Reach};

/// The longest request that the queue takes, in bytes. A 412-byte event makes one of 1,539.
pub const MAX_REQUEST_BYTES: usize = 2_097_152;

/// The name under which the queue keeps a topic: the lowercase hex SHA3-256 of its plain name.
///
/// ```
/// let hash = form_usage_events::transport::form::topic_hash("usage_events");
/// assert_eq!(hash, "ed54877daae9a0ac5d8dd627316b43916b5b010503be90c37d5f12c048405a72");
/// ```
#[must_use]
pub fn topic_hash(topic: &str) -> String {
    Sha3_256::digest(topic.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A comma and the decimal text of each byte in the lower four bytes, first byte lowest, and how long both are together
/// above them: one load for both.
const DECIMALS: [u64; 256] = decimals();

const TEXT: u64 = u32::MAX as u64;

const fn decimals() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (hundreds, tens, ones) = (byte / 100, byte / 10 % 10, byte % 10);
        let digits = [b'0' + hundreds as u8, b'0' + tens as u8, b'0' + ones as u8];
        let skipped = if hundreds > 0 {
            0
        } else if tens > 0 {
            1
        } else {
            2
        };
        // Nothing behind the digits: the next text is put in there.
        let mut text = [b',', 0, 0, 0];
        let mut at = skipped;
        while at < 3 {
            text[1 + at - skipped] = digits[at];
            at += 1;
        }
        table[byte] = u32::from_le_bytes(text) as u64 | ((4 - skipped as u64) << 32);
        byte += 1;
    }
    table
}

/// The body of a write request.
#[cfg(any(test, feature = "ping"))]
pub(crate) fn write_request(topic_hash: &str, sub_topic: u8, body: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    push_write_request(&mut request, topic_hash, sub_topic, body);
    request
}

/// Appends the body of a write request.
pub(super) fn push_write_request(request: &mut Vec<u8>, topic_hash: &str, sub_topic: u8, body: &[u8]) {
    const HEAD: &[u8] = br#"{"Write":{"content":["#;
    const MIDDLE: &[u8] = br#"],"topic":""#;
    const TAIL: &[u8] = br#""}}"#;
    let most = 4 * (body.len() + 1);
    request.reserve(HEAD.len() + most + MIDDLE.len() + topic_hash.len() + TAIL.len());
    request.extend_from_slice(HEAD);
    let start = request.len();
    request.resize(start + most, 0);
    let (first, length) = decimal(sub_topic);
    let mut used = length - 1;
    let left = &mut request[start..];
    left[..used].copy_from_slice(&first[1..][..used]);
    // Eight bytes are written for two, of which the next ones overwrite what is too many.
    let (pairs, last) = body.as_chunks::<2>();
    for &[one, other] in pairs {
        let (one, other) = (DECIMALS[usize::from(one)], DECIMALS[usize::from(other)]);
        let length = (one >> 32) as usize;
        let text = (one & TEXT) | ((other & TEXT) << (8 * length));
        left[used..used + 8].copy_from_slice(&text.to_le_bytes());
        used += length + (other >> 32) as usize;
    }
    for &byte in last {
        let (text, length) = decimal(byte);
        left[used..used + 4].copy_from_slice(&text);
        used += length;
    }
    request.truncate(start + used);
    request.extend_from_slice(MIDDLE);
    request.extend_from_slice(topic_hash.as_bytes());
    request.extend_from_slice(TAIL);
}

const fn decimal(byte: u8) -> ([u8; 4], usize) {
    let entry = DECIMALS[byte as usize];
    ((entry as u32).to_le_bytes(), (entry >> 32) as usize)
}

/// What a reply with status 200 says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Success,
    /// `{"Failure":{"reason":…}}`.
    Refused(Option<String>),
    /// A variant of the protocol that does not answer this request.
    OutOfPlace(String),
    /// The text ends in the middle.
    Cut,
    /// Not the protocol at all.
    Foreign,
}

#[cfg(feature = "ping")]
impl Reply {
    /// Whether it is a whole reply of the protocol, to whatever.
    pub(crate) const fn is_form(&self) -> bool {
        matches!(self, Self::Success | Self::Refused(_) | Self::OutOfPlace(_))
    }
}

/// Reads a reply that is small enough to be held.
pub(crate) fn read_reply(text: &[u8]) -> Reply {
    if text == br#""OpSuccess""# {
        return Reply::Success;
    }
    let value: Value = match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(error) if error.is_eof() => return Reply::Cut,
        Err(_) => return Reply::Foreign,
    };
    let variant = match &value {
        Value::String(name) => Some((name.as_str(), &Value::Null)),
        Value::Object(map) if map.len() == 1 => map.iter().next().map(|(name, inner)| (name.as_str(), inner)),
        _ => None,
    };
    match variant {
        Some(("OpSuccess", _)) => Reply::Success,
        Some(("Failure", inner)) => Reply::Refused(inner.get("reason").and_then(Value::as_str).map(str::to_owned)),
        Some((name @ ("Op" | "Some" | "List" | "Full"), _)) => Reply::OutOfPlace(name.to_owned()),
        _ => Reply::Foreign,
    }
}

/// The failure that a reply to `what` stands for, if it is not the success asked for.
pub(super) fn reply_failure(reply: Reply, text: &[u8], what: &str, url: &str) -> Failure {
    match reply {
        Reply::Success => Failure::service(format!("{url} answered {what} with \"OpSuccess\", which does not fit")),
        Reply::Refused(reason) => {
            let reason = reason.map_or_else(|| "no reason given".to_owned(), |reason| excerpt(reason.as_bytes()));
            Failure::service(format!("the queue at {url} refused {what}: {reason}")).reached(Reach::Refused)
        }
        Reply::OutOfPlace(variant) => {
            Failure::service(format!("{url} answered {what} with {variant:?}, a reply to something else"))
        }
        Reply::Cut => Failure::service(format!(
            "{url} cut its reply to {what} short, after {} bytes: {}",
            text.len(),
            excerpt(text)
        ))
        .reached(Reach::Unknown),
        Reply::Foreign => Failure::destination(format!(
            "what answers at {url} is not a Form queue; it answered {what} with: {}; check host, port and what listens there",
            excerpt(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_documented_request() {
        let request = write_request("ab", 0, br#"{"a":1}"#);
        assert_eq!(request, br#"{"Write":{"content":[0,123,34,97,34,58,49,125],"topic":"ab"}}"#);
    }

    #[test]
    fn replies_are_told_apart() {
        let refused = |reason: &str| Reply::Refused(Some(reason.to_owned()));
        let cases: &[(&[u8], Reply)] = &[
            (b"\"OpSuccess\"", Reply::Success),
            (b" \"OpSuccess\"\n", Reply::Success),
            (br#"{"Failure":{"reason":"full"}}"#, refused("full")),
            (br#"{"Failure":{"reason":null}}"#, Reply::Refused(None)),
            (br#"{"Failure":{}}"#, Reply::Refused(None)),
            (br#"{"List":[]}"#, Reply::OutOfPlace("List".into())),
            (br#"{"Some":[1]}"#, Reply::OutOfPlace("Some".into())),
            (b"", Reply::Cut),
            (b"\"OpSucc", Reply::Cut),
            (br#"{"Failure":{"rea"#, Reply::Cut),
            (b"<html>", Reply::Foreign),
            (b"{\"status\":\"ok\"}", Reply::Foreign),
            (b"\"OK\"", Reply::Foreign),
            (b"42", Reply::Foreign),
        ];
        for (text, expected) in cases {
            assert_eq!(&read_reply(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        #[test]
        fn a_request_holds_the_bytes(sub_topic: u8, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let request: Value = serde_json::from_slice(&write_request("t", sub_topic, &body)).unwrap();
            let content: Vec<u8> = serde_json::from_value(request["Write"]["content"].clone()).unwrap();
            prop_assert_eq!((content[0], &content[1..]), (sub_topic, &body[..]));
        }

        #[test]
        fn no_reply_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = reply_failure(read_reply(&text), &text, "a write", "http://h");
        }
    }
}
