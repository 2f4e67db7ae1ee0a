//! Events as bytes: the one form in which they are sent, stored and compared.

use std::sync::{Arc, OnceLock};

use serde::de::Error as _;

use super::{EventId, UsageEvent};

/// How deep the values of an event may nest. Known fields nest twice; the rest is room for fields that ride along.
pub(crate) const MAX_DEPTH: usize = 128;

/// An event, the bytes that stand for it wherever it is sent, and their id.
///
/// [`EncodedEvent::decode`] keeps the text that it read, compacted: fields that this library does not know ride along,
/// and numbers keep their digits. [`EncodedEvent::encode`] writes the fields in the order of [`UsageEvent`], floats in
/// the shortest form that reads back. Either way every attempt sends the identical bytes.
///
/// Clones share what they hold.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedEvent {
    shared: Arc<Encoded>,
}

#[derive(Debug)]
struct Encoded {
    event: UsageEvent,
    body: Vec<u8>,
    /// Made when it is first asked for: not every destination does, and a digest takes as long as reading the event.
    id: OnceLock<EventId>,
}

impl PartialEq for Encoded {
    fn eq(&self, other: &Self) -> bool {
        self.event == other.event && self.body == other.body
    }
}

impl EncodedEvent {
    /// Writes `event`.
    ///
    /// # Errors
    /// When a figure is infinite or not a number, which JSON has no way to say.
    pub fn encode(event: UsageEvent) -> Result<Self, serde_json::Error> {
        let body = to_compact_json(&event)?.into_bytes();
        Ok(Self::of(event, body))
    }

    fn of(event: UsageEvent, body: Vec<u8>) -> Self {
        Self { shared: Arc::new(Encoded { event, body, id: OnceLock::new() }) }
    }

    /// `event` with the JSON text that it was read from: text that [`EncodedEvent::decode`] would take, as its caller
    /// has made sure.
    pub(crate) fn of_sound(event: UsageEvent, text: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self::of(event, compact(text)?))
    }

    /// Reads the JSON text of one event.
    ///
    /// This checks the shape: valid UTF-8 and JSON, nested at most 128 deep, every field of the right type. Whether the
    /// values make sense is the matter of [`crate::validate`].
    ///
    /// # Errors
    /// What is wrong first, with its column. [`crate::validate::line_findings`] names all of it.
    pub fn decode(text: &[u8]) -> Result<Self, serde_json::Error> {
        let text = std::str::from_utf8(text).map_err(|error| {
            serde_json::Error::custom(format_args!("invalid UTF-8 after byte {}", error.valid_up_to()))
        })?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let event: UsageEvent = super::object(&mut deserializer)?;
        deserializer.end()?;
        Self::of_sound(event, text.as_bytes())
    }

    /// A notice that goes the way of events and is none: an alert on its way to a channel. `body` is the compact JSON of
    /// an object that names its instance, user and time; the event beside it holds these alone, and zeros.
    ///
    /// # Errors
    /// When one of the three is missing.
    #[cfg(feature = "channels")]
    pub(crate) fn notice(body: Vec<u8>) -> Result<Self, serde_json::Error> {
        let Notice { event_type, version, timestamp, instance_id, user_id, .. } = serde_json::from_slice(&body)?;
        let period = super::UsagePeriod { start: timestamp, end: timestamp };
        let metrics = super::UsageMetrics::default();
        let event = UsageEvent { event_type, version, timestamp, instance_id, user_id, org_id: None, metrics, period };
        Ok(Self::of(event, body))
    }

    /// Reads what this library has written down: an event, or a notice.
    ///
    /// # Errors
    /// When it is neither.
    #[cfg(feature = "sqlite")]
    pub(crate) fn decode_stored(body: &[u8]) -> Result<Self, serde_json::Error> {
        let decoded = Self::decode(body);
        #[cfg(feature = "channels")]
        if decoded.is_err()
            && let Ok(notice) = Self::notice(body.to_vec())
        {
            return Ok(notice);
        }
        decoded
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &UsageEvent {
        &self.shared.event
    }

    /// The idempotency key.
    #[must_use]
    pub fn id(&self) -> EventId {
        *self.shared.id.get_or_init(|| EventId::of(self.body()))
    }

    /// The compact JSON, without a line end.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.shared.body
    }

    /// The event alone.
    #[must_use]
    pub fn into_event(self) -> UsageEvent {
        Arc::try_unwrap(self.shared).map_or_else(|shared| shared.event.clone(), |only| only.event)
    }
}

/// What a notice says of itself beside the alert.
#[cfg(feature = "channels")]
#[derive(serde::Deserialize)]
struct Notice {
    event_type: String,
    version: String,
    timestamp: i64,
    instance_id: String,
    user_id: String,
    /// It is what tells a notice from an event with fields missing.
    #[serde(rename = "alert")]
    _alert: serde::de::IgnoredAny,
}

/// `event` as compact JSON in the order of its fields, floats in the shortest form that reads back (`30.0`, `12.5`).
///
/// # Errors
/// When a figure is infinite or not a number.
pub fn to_compact_json(event: &UsageEvent) -> Result<String, serde_json::Error> {
    let metrics = &event.metrics;
    let floats = [
        ("cpu_percent_avg", metrics.cpu_percent_avg),
        ("memory_gb", metrics.memory_gb),
        ("memory_percent", metrics.memory_percent),
        ("storage_gb", metrics.storage_gb),
        ("network_egress_mb", metrics.network_egress_mb),
        ("network_ingress_mb", metrics.network_ingress_mb),
    ];
    if let Some((name, value)) = floats.into_iter().find(|(_, value)| !value.is_finite()) {
        return Err(serde_json::Error::custom(format_args!(
            "metrics.{name} of instance {:?} is {value}; JSON can only hold finite numbers",
            event.instance_id
        )));
    }
    serde_json::to_string(event)
}

/// Valid JSON text without the whitespace between its tokens; everything else stays as it is.
///
/// # Errors
/// When it nests more than 128 deep. Text that is no JSON gives what it gives.
pub fn compact(text: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let opens = |byte: &u8| matches!(byte, b'{' | b'[');
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    // Most lines are compact, and nest twice. Without an early end the search takes many bytes at a time.
    let has_space = text.iter().fold(false, |found, byte| found | is_space(byte));
    if !has_space && text.iter().filter(|byte| opens(byte)).count() <= MAX_DEPTH {
        return Ok(text.to_vec());
    }
    let mut out = Vec::with_capacity(text.len());
    let mut depth = 0usize;
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b'"' => {
                let end = string_end(tail);
                out.extend_from_slice(&rest[..=end]);
                rest = &rest[end + 1..];
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(serde_json::Error::custom(format_args!("nested more than {MAX_DEPTH} deep")));
                }
                out.push(byte);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                out.push(byte);
            }
            _ => out.push(byte),
        }
        rest = tail;
    }
    Ok(out)
}

/// How far behind the opening quote the closing one stands, `tail` being what follows the opening one; the length of
/// `tail` where there is none, which valid JSON does not have.
fn string_end(tail: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &tail[at..]) {
        at += found;
        if tail[at] == b'"' {
            return at + 1;
        }
        at = (at + 2).min(tail.len());
    }
    tail.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::{any_event, sample};
    use proptest::prelude::*;

    const EXAMPLE: &str = r#"{"event_type":"resource_usage","version":"1.0","timestamp":1626350430,"instance_id":"instance-abc123","user_id":"user_123456","org_id":"org_789012","metrics":{"cpu_seconds":30,"cpu_percent_avg":12.5,"memory_gb":4.2,"memory_percent":52.5,"storage_gb":25.7,"network_egress_mb":15.2,"network_ingress_mb":8.7,"gpu_seconds":0},"period":{"start":1626350400,"end":1626350430}}"#;

    #[test]
    fn writes_the_documented_form() {
        assert_eq!(to_compact_json(&sample()).unwrap(), EXAMPLE);
    }

    #[test]
    fn whole_floats_keep_their_point_and_a_missing_organization_is_null() {
        let mut event = sample();
        event.org_id = None;
        event.metrics.memory_gb = 30.0;
        let json = to_compact_json(&event).unwrap();
        assert!(json.contains(r#""org_id":null"#), "{json}");
        assert!(json.contains(r#""memory_gb":30.0"#), "{json}");
    }

    #[test]
    fn an_absent_organization_reads_as_none() {
        let text = EXAMPLE.replace(r#""org_id":"org_789012","#, "");
        assert_eq!(EncodedEvent::decode(text.as_bytes()).unwrap().event().org_id, None);
    }

    #[test]
    fn what_was_read_is_sent_as_it_was() {
        let text = EXAMPLE.replace("12.5", "12.500").replace(
            r#"{"event_type""#,
            "{ \"note\" : \"a \\\" b \\\\\" ,\t\"deep\": [ 1.0e2, { } ],\r\n\"event_type\"",
        );
        let encoded = EncodedEvent::decode(text.as_bytes()).unwrap();
        let body = std::str::from_utf8(encoded.body()).unwrap();
        assert!(body.starts_with(r#"{"note":"a \" b \\","deep":[1.0e2,{}],"event_type""#), "{body}");
        assert!(body.contains("12.500"), "{body}");
        assert_eq!(encoded.id(), EventId::of(encoded.body()));
    }

    #[test]
    fn figures_that_json_cannot_hold_are_refused() {
        let mut event = sample();
        event.metrics.storage_gb = f64::NAN;
        let error = EncodedEvent::encode(event).unwrap_err().to_string();
        assert!(error.contains("metrics.storage_gb") && error.contains("NaN"), "{error}");
    }

    #[test]
    fn refuses_bytes_that_are_no_event() {
        let deep = format!(r#"{{"x":{}{},{}"#, "[".repeat(10_000), "]".repeat(10_000), &EXAMPLE[1..]);
        for text in [&b""[..], b"{}", b"\xff\xfe", b"[1]", b"{} {}", deep.as_bytes(), b"{\"x\":\"\xc3\x28\"}"] {
            assert!(EncodedEvent::decode(text).is_err());
        }
    }

    #[test]
    fn arrays_are_no_objects() {
        let metrics = EXAMPLE.replace(r#"{"cpu_seconds":30,"cpu_percent_avg":12.5,"memory_gb":4.2,"memory_percent":52.5,"storage_gb":25.7,"network_egress_mb":15.2,"network_ingress_mb":8.7,"gpu_seconds":0}"#, "[30,12.5,4.2,52.5,25.7,15.2,8.7,0]");
        let period = EXAMPLE.replace(r#"{"start":1626350400,"end":1626350430}"#, "[1626350400,1626350430]");
        let whole = r#"["resource_usage","1.0",1626350430,"i","u",null,{},{}]"#.to_owned();
        for text in [metrics, period, whole] {
            let error = EncodedEvent::decode(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("expected an object"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn parse_of_serialize_is_the_identity(event in any_event()) {
            let encoded = EncodedEvent::encode(event.clone()).unwrap();
            let again = EncodedEvent::decode(encoded.body()).unwrap();
            prop_assert_eq!(again.event(), &event);
            prop_assert_eq!(again.id(), encoded.id());
            prop_assert_eq!(again.body(), encoded.body());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = EncodedEvent::decode(&bytes);
            let _ = compact(&bytes);
        }
    }
}
