//! The errors that the library's calls return.

use thiserror::Error;

/// What can go wrong between an event and its acknowledgement.
///
/// These six variants and no others: a `match` over them needs no wildcard. A message begins with the kind of the
/// failure, then says what failed, where to, and what to do. None holds a password or a token.
#[derive(Debug, Error)]
pub enum UsageEventError {
    /// An event could not be written as JSON, or text could not be read as an event.
    #[error("serialization failed: {0}")]
    SerializationError(#[from] serde_json::Error),

    /// The destination answered and did not take the event, or the event may not be sent at all.
    #[error("publish failed: {0}")]
    PublishError(String),

    /// The circuit breaker is open: the destination failed several times in a row, and no attempt was made.
    #[error(
        "the circuit breaker is open: the destination failed too often in a row and gets no calls until it had time to \
         recover; keep the event and publish it again later"
    )]
    CircuitBreakerOpen,

    /// The destination could not be reached, or the connection ended before its answer came.
    #[error("connection failed: {0}")]
    ConnectionError(String),

    /// The HTTP client could not be built or refused the request.
    #[error("HTTP request failed: {0}")]
    HttpError(#[from] reqwest::Error),

    /// Everything else: settings that make no sense, thresholds that can't be read.
    #[error("{0}")]
    Other(String),
}

/// A setting that makes no sense, refused where the thing that it is for is built.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{setting} is {found}; it must be {expected}")]
pub struct InvalidConfig {
    /// The setting, as it is named in code.
    pub setting: &'static str,
    /// Its value.
    pub found: String,
    /// What would do.
    pub expected: &'static str,
}

impl InvalidConfig {
    pub(crate) fn new(setting: &'static str, found: impl ToString, expected: &'static str) -> Self {
        Self { setting, found: found.to_string(), expected }
    }
}

impl From<InvalidConfig> for UsageEventError {
    fn from(error: InvalidConfig) -> Self {
        Self::Other(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_says_its_kind_and_its_cause() {
        let json = serde_json::from_str::<u8>("x").unwrap_err();
        let request = reqwest::Proxy::all("http://[").unwrap_err();
        let cases = [
            (UsageEventError::from(json), "serialization failed: expected value"),
            (UsageEventError::PublishError("refused".into()), "publish failed: refused"),
            (UsageEventError::CircuitBreakerOpen, "the circuit breaker is open"),
            (UsageEventError::ConnectionError("reset".into()), "connection failed: reset"),
            (UsageEventError::from(request), "HTTP request failed: "),
            (UsageEventError::Other("no thresholds".into()), "no thresholds"),
        ];
        for (error, starts) in cases {
            assert!(error.to_string().starts_with(starts), "{error}");
        }
    }
}
