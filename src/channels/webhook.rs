//! Signed requests, as [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
//! prescribes.
//!
//! The signature is HMAC-SHA256, keyed with the secret's bytes, over `ID.TIMESTAMP.BODY`; it goes into
//! `webhook-signature` as `v1,BASE64` beside `webhook-id` and `webhook-timestamp`.
//!
//! `webhook-id` is that of the message: the id of its alert, or a digest of the ids of all its alerts. A message that is
//! tried again within a run has the same id. After a crash, or in the next run, what still waits may go out in other
//! groups than before, with alerts that came since, and so under another `webhook-id`. What never changes is each alert's
//! own id, `data.events[].alert.id`: that is the key by which a receiver knows what it has taken before. (To keep the
//! groups, each attempt would have to be on disk before it is made, one more write for every message, and what came
//! since could not go along.)

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use ring::hmac;
use serde_json::json;

use super::config::WebhookConfig;
use super::message::{NOTICE_TYPE, ViolationEvent};
use crate::clock::{Clock, unix_seconds};
use crate::events::{EncodedEvent, EventId};
use crate::transport::http_client::{self, HttpClient, Peer, Server};
use crate::transport::{BatchLimits, BoxFuture, ClientCertificate, ConnectOptions, Failure, Outcome, Repeat, Sink};

/// What one request tells of.
const LIMITS: BatchLimits = BatchLimits { events: 100, bytes: 256 << 10 };

const RECEIVER: Peer = Peer {
    name: "receiver",
    accepts: |status| status.is_success(),
    advice: |status: StatusCode| match status.as_u16() {
        401 | 403 => Some("; check the secret and the token of the channel"),
        404 | 405 | 410 => Some("; check the URL of the channel"),
        _ => None,
    },
    conflict: Repeat::Possible,
};

/// Posts alerts to a receiver.
#[derive(Debug)]
pub(super) struct WebhookSink {
    client: HttpClient,
    url: String,
    shown: String,
    key: Key,
    clock: Arc<dyn Clock>,
}

/// Does not show itself.
struct Key(hmac::Key);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl WebhookSink {
    pub(super) fn new(config: &WebhookConfig, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let token = config.token.as_ref().map(|token| token.read()).transpose().map_err(Failure::destination)?;
        let secret = config.secret.read().map_err(Failure::destination)?;
        let (client, shown) = {
            let certificate = super::certificate(config.client_cert.as_deref(), config.client_key.as_deref())?;
            client(&config.url, token, config.ca_file.as_deref(), certificate, RECEIVER)?
        };
        Ok(Self { client, url: config.url.clone(), shown, key: key(&secret)?, clock })
    }

    async fn post(&self, events: &[EncodedEvent]) -> Result<(), Failure> {
        let alerts = super::alerts(events)?;
        let id = match &*alerts {
            [alert] => alert.id.clone(),
            alerts => {
                EventId::of(alerts.iter().map(|alert| &*alert.id).collect::<Vec<_>>().join("\n").as_bytes()).to_string()
            }
        };
        let at = alerts.iter().map(|alert| alert.at).max().unwrap_or_default();
        let events: Vec<_> = alerts.iter().map(ViolationEvent::of).collect();
        let body = json!({ "type": NOTICE_TYPE, "timestamp": super::message::time(at), "data": { "events": events } });
        let body = body.to_string();
        let sent_at = unix_seconds(self.clock.wall());
        let signature = hmac::sign(&self.key.0, format!("{id}.{sent_at}.{body}").as_bytes());
        let request = self
            .client
            .post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", sent_at.to_string())
            .header("webhook-signature", format!("v1,{}", STANDARD.encode(signature)))
            .body(body);
        let mut response = self.client.send(request, "an alert", &self.shown).await?;
        http_client::text_of(&mut response).await;
        Ok(())
    }
}

impl Sink for WebhookSink {
    fn limits(&self) -> BatchLimits {
        LIMITS
    }

    fn send<'a>(&'a self, events: &'a [EncodedEvent]) -> BoxFuture<'a, Result<Vec<Outcome>, Failure>> {
        Box::pin(async move {
            self.post(events).await?;
            Ok(vec![Outcome::Delivered; events.len()])
        })
    }
}

/// A client for `url`, and the URL as errors may name it.
pub(super) fn client(
    url: &str,
    token: Option<String>,
    ca_file: Option<&std::path::Path>,
    client_certificate: Option<ClientCertificate>,
    peer: Peer,
) -> Result<(HttpClient, String), Failure> {
    let refuse = |why: &str| Failure::destination(format!("the URL of the channel {why}; write https://HOST/PATH"));
    let parsed = url::Url::parse(url).map_err(|_| refuse("can't be read"))?;
    let tls = match parsed.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(refuse("is neither https nor http")),
    };
    let host = parsed.host_str().unwrap_or_default();
    let server = Server { host, port: parsed.port_or_known_default().unwrap_or_default(), tls };
    let shown = super::address::server(&parsed).unwrap_or_default();
    let options =
        ConnectOptions { token, ca_file: ca_file.map(Into::into), client_certificate, ..ConnectOptions::default() };
    // The path may be a key as well as the query, and is never shown.
    Ok((HttpClient::new(peer, &server, &options, HeaderMap::new())?.hiding(url, true), shown))
}

/// The key in `whsec_BASE64`.
fn key(secret: &str) -> Result<Key, Failure> {
    let refuse = || {
        Failure::destination(
            "the secret of the channel can't be used; it is whsec_ and 24 to 64 random bytes in base64, such as: echo whsec_$(openssl rand -base64 32)",
        )
    };
    let text = secret.strip_prefix("whsec_").ok_or_else(refuse)?;
    let bytes = STANDARD.decode(text).map_err(|_| refuse())?;
    if (24..=64).contains(&bytes.len()) { Ok(Key(hmac::Key::new(hmac::HMAC_SHA256, &bytes))) } else { Err(refuse()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_a_form_and_are_not_shown() {
        let good = format!("whsec_{}", STANDARD.encode([7; 32]));
        assert_eq!(format!("{:?}", key(&good).unwrap()), "(secret)");
        for bad in ["hush-hush", "whsec_hush*", &format!("whsec_{}", STANDARD.encode([7; 8]))] {
            let message = key(bad).unwrap_err().message;
            assert!(message.contains("openssl") && !message.contains("hush"), "{message}");
        }
    }
}
