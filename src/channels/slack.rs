//! Slack's incoming webhooks, and what takes the same requests (Mattermost, Rocket.Chat, …).
//!
//! `POST {"text": …}`; 200 is an acknowledgement. See <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.

use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

use super::config::SlackConfig;
use super::{message, webhook};
use crate::events::EncodedEvent;
use crate::threshold::{AlertKind, AlertSeverity, ThresholdAlert};
use crate::transport::http_client::{self, HttpClient, Peer};
use crate::transport::{BatchLimits, BoxFuture, Failure, Outcome, Repeat, Sink};

/// A message of more lines is not read.
const LIMITS: BatchLimits = BatchLimits { events: 20, bytes: 64 << 10 };

const SLACK: Peer = Peer {
    name: "chat server",
    accepts: |status| status == StatusCode::OK,
    advice: |status: StatusCode| match status.as_u16() {
        403 | 404 | 410 => Some("; the webhook was removed or its channel archived: make a new one"),
        _ => None,
    },
    conflict: Repeat::Possible,
};

/// Writes alerts into a chat.
pub(super) struct SlackSink {
    client: HttpClient,
    /// It is a secret.
    url: String,
    shown: String,
}

impl std::fmt::Debug for SlackSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlackSink").field("host", &self.shown).finish_non_exhaustive()
    }
}

impl SlackSink {
    pub(super) fn new(config: &SlackConfig) -> Result<Self, Failure> {
        let url = config.url.read().map_err(Failure::destination)?;
        let (client, shown) = webhook::client(&url, None, config.ca_file.as_deref(), None, SLACK)?;
        Ok(Self { client, url, shown })
    }
}

impl Sink for SlackSink {
    fn limits(&self) -> BatchLimits {
        LIMITS
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        Box::pin(async move {
            let alerts = super::alerts(events)?;
            let text = alerts.iter().map(line).collect::<Vec<_>>().join("\n");
            let request = self.client.post(&self.url).header(CONTENT_TYPE, "application/json");
            let request = request.body(json!({ "text": text }).to_string());
            let mut response = self.client.send(request, "an alert", &self.shown).await?;
            http_client::text_of(&mut response).await;
            Ok(vec![Outcome::Delivered; events.len()])
        })
    }
}

fn line(alert: &ThresholdAlert) -> String {
    let mark = match (alert.kind, alert.violation.config.severity()) {
        (AlertKind::Resolved, _) => ":white_check_mark:",
        (AlertKind::NoData, _) => ":grey_question:",
        (_, AlertSeverity::Critical) => ":rotating_light:",
        (_, AlertSeverity::Warning) => ":warning:",
        (_, AlertSeverity::Info) => ":information_source:",
    };
    // What Slack would take for a link, a mention or markup of its own.
    let escaped = message::headline(alert).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let user = alert.violation.user_id.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("{mark} {escaped} (user {user})")
}
