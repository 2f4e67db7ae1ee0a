//! What a NATS destination takes beyond its address.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The window in which a stream that we make knows repeats, unless said: what a spool held back for a day is taken once.
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Credentials and settings of NATS destinations. All optional.
///
/// A token is [`ConnectOptions::token`](super::super::ConnectOptions::token).
#[derive(Clone, Default)]
pub struct NatsOptions {
    /// A user's name, with [`NatsOptions::password`].
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// A file with a JWT and an nkey seed, as `nsc` writes it. Read anew for each connection.
    pub credentials_file: Option<PathBuf>,
    /// Make the stream where there is none. One that exists is left as it is.
    pub create_stream: Option<StreamOptions>,
    /// Read as this durable consumer, which keeps its place and shares the stream with all that read by the same name.
    /// Without it, all of the stream is read.
    pub consumer: Option<String>,
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "(secret)");
        f.debug_struct("NatsOptions")
            .field("user", &hidden(&self.user))
            .field("password", &hidden(&self.password))
            .field("credentials_file", &self.credentials_file)
            .field("create_stream", &self.create_stream)
            .field("consumer", &self.consumer)
            .finish()
    }
}

/// How a stream is made. It is kept in files, and a full one refuses new events: it never drops old ones for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// Servers that hold each event, 1 to 5; 1 by default.
    pub replicas: usize,
    /// How long events are kept; for ever by default.
    pub max_age: Option<Duration>,
    /// The most bytes of events that are kept; no limit of its own by default.
    pub max_bytes: Option<u64>,
    /// How long repeats are known; 24 hours by default, and never longer than `max_age`.
    pub duplicate_window: Duration,
}

impl Default for StreamOptions {
    /// One replica, kept for ever, repeats known for 24 hours.
    fn default() -> Self {
        Self { replicas: 1, max_age: None, max_bytes: None, duplicate_window: DAY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_do_not_show() {
        let options =
            NatsOptions { user: Some("joe".into()), password: Some("hunter2".into()), ..NatsOptions::default() };
        let shown = format!("{options:?}");
        assert!(!shown.contains("joe") && !shown.contains("hunter2"), "{shown}");
    }
}
