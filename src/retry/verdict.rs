//! What a failure allows.

use std::time::Duration;

use crate::errors::UsageEventError;

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It can; not before `after` has passed, where the destination said so.
    Retry {
        /// The destination's own wish.
        after: Option<Duration>,
    },
    /// It can't.
    Permanent,
}

/// An error that knows whether trying again can help.
pub trait Retryable {
    /// The verdict.
    fn verdict(&self) -> Verdict;
}

impl Retryable for UsageEventError {
    /// Connections and refusals may pass; an open breaker is no reason to try again at once, and what can't be written
    /// as JSON or makes no sense stays so.
    fn verdict(&self) -> Verdict {
        match self {
            Self::ConnectionError(_) | Self::PublishError(_) => Verdict::Retry { after: None },
            Self::HttpError(error) if error.is_timeout() || error.is_connect() || error.is_body() => {
                Verdict::Retry { after: None }
            }
            Self::HttpError(_) | Self::SerializationError(_) | Self::CircuitBreakerOpen | Self::Other(_) => {
                Verdict::Permanent
            }
        }
    }
}
