//! An event as a CloudEvent 1.0: its attributes, and the bodies and headers that carry them.
//!
//! Whatever the mode, the event's own bytes stand in the request as they are.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use crate::events::EncodedEvent;
use crate::transport::Failure;
use crate::units::rfc3339;

/// The media type of the event itself.
pub(super) const JSON: &str = "application/json";
/// The media type of one event with its attributes.
pub(super) const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of an array of them.
pub(super) const BATCH: &str = "application/cloudevents-batch+json";

/// In front of the `event_type`, so that the types of other producers are other types.
const TYPE_PREFIX: &str = "formusage.";

/// What is said of an event, in the order in which it is written.
#[derive(Serialize)]
struct Attributes<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    r#type: String,
    /// The instance. An attribute that is there may not be empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    /// When the event was stamped, where RFC 3339 can say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    datacontenttype: &'static str,
}

impl<'a> Attributes<'a> {
    fn of(event: &'a EncodedEvent, source: &'a str) -> Self {
        let id = event.id().to_string();
        let event = event.event();
        Self {
            specversion: "1.0",
            id,
            source,
            r#type: format!("{TYPE_PREFIX}{}", event.event_type),
            subject: Some(event.instance_id.as_str()).filter(|subject| !subject.is_empty()),
            time: rfc3339(event.timestamp),
            datacontenttype: JSON,
        }
    }
}

/// The attributes as headers, beside a `Content-Type` of [`JSON`] and the event as the body.
pub(super) fn binary_headers(event: &EncodedEvent, source: &str) -> Result<HeaderMap, Failure> {
    let Attributes { specversion, id, source, r#type, subject, time, datacontenttype: _ } =
        Attributes::of(event, source);
    let attributes = [
        ("ce-specversion", Some(specversion)),
        ("ce-id", Some(&*id)),
        ("ce-source", Some(source)),
        ("ce-type", Some(&*r#type)),
        ("ce-subject", subject),
        ("ce-time", time.as_deref()),
    ];
    let mut headers = HeaderMap::with_capacity(attributes.len());
    for (name, value) in attributes {
        let Some(value) = value else { continue };
        let value = HeaderValue::try_from(percent_encoded(value)).map_err(|error| unwritable(&error))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    Ok(headers)
}

/// Text as the value of a header: a space, a double quote, a percent sign, and whatever is not printable ASCII are
/// percent-encoded, byte by byte (HTTP binding of CloudEvents, section 3.1.3.2).
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' => out.push_str(&format!("%{byte:02X}")),
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// One event with its attributes.
pub(super) fn structured(event: &EncodedEvent, source: &str) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::with_capacity(event.body().len() + 320);
    push_structured(&mut out, event, source)?;
    Ok(out)
}

/// Events with their attributes, as an array.
pub(super) fn batch(events: &[EncodedEvent], source: &str) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::with_capacity(events.iter().map(|event| event.body().len() + 320).sum());
    out.push(b'[');
    for (n, event) in events.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        push_structured(&mut out, event, source)?;
    }
    out.push(b']');
    Ok(out)
}

fn push_structured(out: &mut Vec<u8>, event: &EncodedEvent, source: &str) -> Result<(), Failure> {
    serde_json::to_writer(&mut *out, &Attributes::of(event, source)).map_err(|error| unwritable(&error))?;
    // The object is opened again for the event's own bytes, which no serializer may touch.
    out.pop();
    out.extend_from_slice(br#","data":"#);
    out.extend_from_slice(event.body());
    out.push(b'}');
    Ok(())
}

fn unwritable(error: &dyn std::error::Error) -> Failure {
    Failure::event(format!("the event can't be written as a CloudEvent: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::{any_event, sample};
    use proptest::prelude::*;

    #[test]
    fn one_event_as_it_is_written() {
        let event = EncodedEvent::encode(sample()).unwrap();
        let expected = format!(
            r#"{{"specversion":"1.0","id":"{}","source":"/s","type":"formusage.resource_usage","subject":"instance-abc123","time":"2021-07-15T12:00:30Z","datacontenttype":"application/json","data":{}}}"#,
            event.id(),
            std::str::from_utf8(event.body()).unwrap()
        );
        assert_eq!(String::from_utf8(structured(&event, "/s").unwrap()).unwrap(), expected);
        let two = batch(&[event.clone(), event], "/s").unwrap();
        assert_eq!(String::from_utf8(two).unwrap(), format!("[{expected},{expected}]"));
    }

    #[test]
    fn header_values_as_the_binding_prescribes() {
        // The binding's own example.
        assert_eq!(percent_encoded("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(percent_encoded("a\"b%c~!\u{7f}"), "a%22b%25c~!%7F");
    }

    #[test]
    fn what_cannot_be_said_is_left_out() {
        let mut event = sample();
        (event.instance_id, event.timestamp) = (String::new(), i64::MAX);
        let headers = binary_headers(&EncodedEvent::encode(event).unwrap(), "/s").unwrap();
        assert!(!headers.contains_key("ce-subject") && !headers.contains_key("ce-time"));
        assert_eq!(headers.len(), 4);
    }

    proptest! {
        #[test]
        fn a_batch_is_json_and_holds_the_bytes(events in proptest::collection::vec(any_event(), 1..4)) {
            let events: Vec<_> = events.into_iter().map(|event| EncodedEvent::encode(event).unwrap()).collect();
            let body = batch(&events, "/s").unwrap();
            let read: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
            prop_assert_eq!(read.len(), events.len());
            for (read, event) in read.iter().zip(&events) {
                prop_assert_eq!(read["subject"].as_str(), Some(event.event().instance_id.as_str()));
                prop_assert_eq!(&read["id"], &serde_json::json!(event.id()));
                prop_assert!(memchr::memmem::find(&body, event.body()).is_some());
                let headers = binary_headers(event, "/s").unwrap();
                let subject = headers["ce-subject"].to_str().unwrap();
                prop_assert!(subject.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'"'));
            }
        }
    }
}
