//! How CloudEvents are sent.

use std::fmt;

use reqwest::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING,
};

use crate::transport::{ConnectOptions, Failure};

/// The `source` of every event unless another is set.
///
/// The same on every host, on purpose: an event's id is a digest of its bytes, and a service that dedupes by source and
/// id then knows an event again whichever host sends it. What tells the hosts apart is the `subject`, the instance.
pub const DEFAULT_SOURCE: &str = "/formusage";

/// How an event becomes an HTTP request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CloudEventsMode {
    /// One event a request: attributes in `ce-` headers, the event's own bytes as the body.
    Binary,
    /// One event a request: attributes and event in one `application/cloudevents+json` object.
    Structured,
    /// Up to a hundred events a request, as one `application/cloudevents-batch+json` array.
    #[default]
    Batched,
}

/// How CloudEvents are sent, beyond what [`ConnectOptions`] says for every destination.
#[derive(Clone, Default)]
pub struct CloudEventsOptions {
    /// How an event becomes a request; batched by default.
    pub mode: CloudEventsMode,
    /// The `source` attribute, a URI reference; [`DEFAULT_SOURCE`] where there is none.
    pub source: Option<String>,
    /// Headers for every request, as names and values. The values are taken for secrets: nothing shows them.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for CloudEventsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| (name, "(secret)")).collect();
        f.debug_struct("CloudEventsOptions")
            .field("mode", &self.mode)
            .field("source", &self.source)
            .field("headers", &headers)
            .finish()
    }
}

/// The source to write, if it is one.
pub(super) fn source(options: &CloudEventsOptions) -> Result<&str, Failure> {
    let source = options.source.as_deref().unwrap_or(DEFAULT_SOURCE);
    let fits = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
    if !source.is_empty() && source.chars().all(fits) {
        return Ok(source);
    }
    Err(Failure::destination(format!(
        "the CloudEvents source {source:?} is no URI reference; write one such as {DEFAULT_SOURCE} or https://example.com/metering, with everything else percent-encoded"
    )))
}

/// The headers to send, if they may be sent.
pub(super) fn headers(options: &ConnectOptions) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (n, (name, value)) in (1..).zip(&options.cloud_events.headers) {
        // What is no name may be a secret in the wrong place.
        let Ok(name) = HeaderName::try_from(name) else {
            return Err(Failure::destination(format!(
                "the name of extra header {n} is none that HTTP knows; write `Name: value`"
            )));
        };
        let refuse = |why: &str| Err(Failure::destination(format!("the extra header {name} {why}")));
        if OWN.contains(&name) || name.as_str().starts_with("ce-") {
            return refuse("is written by formusage itself; take it out");
        }
        if name == AUTHORIZATION && options.token.is_some() {
            return refuse("and a token (FORMUSAGE_TOKEN or --token-file) say the same thing; keep one of them");
        }
        match HeaderValue::try_from(value) {
            Ok(value) => headers.append(name, value),
            Err(_) => return refuse("has a value with characters that no HTTP header may hold"),
        };
    }
    Ok(headers)
}

/// Headers that are the request's own.
const OWN: [HeaderName; 5] = [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, HOST];

#[cfg(test)]
mod tests {
    use super::*;

    fn with_headers(headers: &[(&str, &str)]) -> ConnectOptions {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let cloud_events = CloudEventsOptions { headers, ..CloudEventsOptions::default() };
        ConnectOptions { token: Some("t".into()), cloud_events, ..ConnectOptions::default() }
    }

    #[test]
    fn a_source_is_a_uri_reference() {
        let of = |text: &str| CloudEventsOptions { source: Some(text.into()), ..CloudEventsOptions::default() };
        assert_eq!(source(&CloudEventsOptions::default()).unwrap(), "/formusage");
        assert_eq!(source(&of("urn:x:y")).unwrap(), "urn:x:y");
        for text in ["", "a b", "é", "a\nb", "a\"b"] {
            assert!(source(&of(text)).unwrap_err().message.contains("is no URI reference"), "{text:?}");
        }
    }

    #[test]
    fn headers_that_may_not_be_sent_are_named_without_their_values() {
        assert_eq!(headers(&with_headers(&[("X-Key", "hunter2"), ("x-key", "b")])).unwrap().len(), 2);
        for (name, value, says) in [
            ("hunter2 is no name", "v", "extra header 1"),
            ("", "hunter2", "extra header 1"),
            ("X-Key", "hunter2\n", "extra header x-key has a value"),
            ("Content-Type", "hunter2", "content-type is written by formusage"),
            ("CE-Id", "hunter2", "ce-id is written by formusage"),
            ("Authorization", "hunter2", "keep one of them"),
        ] {
            let options = with_headers(&[(name, value)]);
            let message = headers(&options).unwrap_err().message;
            assert!(message.contains(says) && !message.contains("hunter2"), "{message}");
            assert!(!format!("{options:?}").contains("hunter2") || name.contains("hunter2"), "{options:?}");
        }
    }
}
